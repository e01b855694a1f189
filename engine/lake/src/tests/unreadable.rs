//! Tables that cannot be read beside tables that can, and a lake that is not there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;
use crate::LakeError;

fn file_of(table: &Table) -> PathBuf {
    PathBuf::from(table.metadata_location().strip_prefix("file://").unwrap())
}

fn edit(table: &Table, change: impl FnOnce(&mut Value)) {
    let file = file_of(table);
    let mut value: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(file, value.to_string()).unwrap();
}

/// Names the same metadata in another place, as a row of a stranger's catalog does.
async fn move_row(lake: &Lake, name: &TableName, location: &str) {
    sqlx::query("UPDATE iceberg_tables SET metadata_location = ? WHERE table_name = ?")
        .bind(location)
        .bind(&name.name)
        .execute(&lake.rows().pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn one_table_that_cannot_be_read_is_an_error_in_its_own_place() {
    let (folder, lake) = lake().await;
    let right = append(&create(&lake, "right", plain()).await, &[1, 2]).await;
    let mut tables: HashMap<&str, Table> = HashMap::new();
    for name in ["cut", "empty", "future", "no_version", "variant", "nested", "gone", "elsewhere", "away"] {
        tables.insert(name, append(&create(&lake, name, plain()).await, &[1]).await);
    }
    let text = std::fs::read(file_of(&tables["cut"])).unwrap();
    std::fs::write(file_of(&tables["cut"]), &text[..text.len() / 2]).unwrap();
    std::fs::write(file_of(&tables["empty"]), "").unwrap();
    edit(&tables["future"], |v| v["format-version"] = json!(9));
    edit(&tables["no_version"], |v| v.as_object_mut().unwrap().clear());
    edit(&tables["variant"], |v| v["schemas"][0]["fields"][1]["type"] = json!("variant"));
    let deep = json!({"type": "list", "element-id": 9, "element-required": false, "element": {
        "type": "struct", "fields": [{"id": 10, "name": "shape", "required": false, "type": "geometry(OGC:CRS84)"}]}});
    edit(&tables["nested"], |v| v["schemas"][0]["fields"][1]["type"] = deep);
    std::fs::remove_file(file_of(&tables["gone"])).unwrap();
    move_row(&lake, tables["elsewhere"].name(), "s3://other/t/metadata/00001-a.metadata.json").await;
    // A file that is there and cannot be opened: the store, and not the table.
    let away = file_of(&tables["away"]);
    std::fs::remove_file(&away).unwrap();
    std::os::unix::fs::symlink(&away, &away).unwrap();

    let lake = open(&folder).await;
    let wanted: &[(&str, &str, &str)] = &[
        ("cut", "L0118", "ends in the middle"),
        ("empty", "L0118", "ends in the middle, after 0 bytes"),
        ("future", "L0109", "format version 9"),
        ("no_version", "L0118", "no format version"),
        ("gone", "L0105", "does not exist"),
        ("elsewhere", "L0101", "not in the warehouse's store"),
    ];
    let unread = [("variant", "name", "variant"), ("nested", "name.element.shape", "geometry(OGC:CRS84)")];
    let names = lake.list_tables().await.unwrap();
    assert_eq!(names.len(), 10);
    for (name, loaded) in names.iter().zip(lake.load_tables(&names).await.unwrap()) {
        if name == right.name() {
            assert_eq!(ids(&loaded.unwrap().unwrap()).await, [1, 2]);
            continue;
        }
        if let Some((_, column, data_type)) = unread.iter().find(|(of, ..)| *of == name.name) {
            without_a_column(&loaded.unwrap().unwrap(), column, data_type).await;
            continue;
        }
        let error = loaded.unwrap_err();
        let alone = lake.load_table(name).await.unwrap_err();
        assert_eq!(error.to_string(), alone.to_string());
        let text = error.to_string();
        assert!(text.contains(&name.to_string()), "{text}");
        assert!(matches!(&error, LakeError::UnreadableTable { table, .. } if table == name), "{text}");
        let Some((_, code, says)) = wanted.iter().find(|(of, ..)| *of == name.name) else {
            assert_eq!((error.code(), error.retryable()), ("L0103", true), "{text}");
            continue;
        };
        assert_eq!((error.code(), error.retryable()), (*code, false), "{text}");
        assert!(text.contains(says), "{text}");
        assert!(text.contains("metadata.json") && error.hint().is_some(), "{text}");
    }
    // The rest of the lake goes on.
    assert_eq!(ids(&append(&right, &[3]).await).await, [1, 2, 3]);
}

/// A column of a type that is not read is refused alone: its table is read without it, and never written.
async fn without_a_column(table: &Table, column: &str, data_type: &str) {
    use datafusion::prelude::SessionContext;
    let unread: Vec<_> = table.unread_columns().iter().map(|c| (c.name.as_str(), c.data_type.as_str())).collect();
    assert_eq!(unread, [(column, data_type)]);
    let fields: Vec<_> = table.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(fields, ["id"]);
    let provider = crate::LakeTableProvider::try_new(table, crate::ScanOptions::default()).await.unwrap();
    let rows = SessionContext::new().read_table(Arc::new(provider)).unwrap().collect().await.unwrap();
    assert_eq!(rows[0].column(0).as_ref(), &Int64Array::from(vec![1]));
    let refused = Writer::new(table, None).err().unwrap();
    assert_eq!(refused.code(), "L0109");
    assert!(refused.to_string().contains(data_type), "{refused}");
    let removal =
        Commit { commit_id: Uuid::new_v4(), remove_all: true, operation: Operation::Delete, ..Commit::default() };
    let refused = table.lake().commit(table, removal, &retry).await.unwrap_err();
    assert!(refused.to_string().contains(data_type), "{refused}");
    assert_eq!(
        table.lake().load_table(table.name()).await.unwrap().unwrap().metadata_location(),
        table.metadata_location()
    );
}

#[tokio::test]
async fn a_damaged_table_is_read_again_when_its_file_is_back() {
    let (folder, lake) = lake().await;
    let table = append(&create(&lake, "t", plain()).await, &[1]).await;
    let text = std::fs::read(file_of(&table)).unwrap();
    std::fs::write(file_of(&table), &text[..100]).unwrap();
    let lake = open(&folder).await;
    assert_eq!(lake.load_table(table.name()).await.unwrap_err().code(), "L0118");
    std::fs::write(file_of(&table), &text).unwrap();
    assert_eq!(ids(&lake.load_table(table.name()).await.unwrap().unwrap()).await, [1]);
}

#[tokio::test]
async fn compressed_metadata_is_told_apart_as_well() {
    use std::io::Write;
    let (folder, lake) = lake().await;
    let definition = Definition {
        properties: std::collections::BTreeMap::from([("write.metadata.compression-codec".into(), "gzip".into())]),
        ..plain()
    };
    let table = append(&create(&lake, "t", definition).await, &[1]).await;
    assert!(table.metadata_location().ends_with(".gz.metadata.json"), "{}", table.metadata_location());
    let lake = open(&folder).await;
    assert_eq!(ids(&lake.load_table(table.name()).await.unwrap().unwrap()).await, [1]);
    let packed = std::fs::read(file_of(&table)).unwrap();
    std::fs::write(file_of(&table), &packed[..packed.len() / 2]).unwrap();
    assert_eq!(lake_of(&folder, &table).await, "L0118");
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(b"{\"format-version\": 4}").unwrap();
    std::fs::write(file_of(&table), writer.finish().unwrap()).unwrap();
    assert_eq!(lake_of(&folder, &table).await, "L0109");
}

/// The store gives them: nothing is gained by asking it again.
#[tokio::test]
async fn a_damaged_manifest_is_no_store_that_is_away() {
    use crate::read::changelog::live_files;
    let (folder, lake) = lake().await;
    let table = append(&create(&lake, "t", plain()).await, &[1, 2]).await;
    let head = table.metadata().current_snapshot().unwrap().clone();
    let manifest = lake.0.manifests.list(table.metadata(), &head).await.unwrap()[0].manifest_path.clone();
    for location in [head.manifest_list(), manifest.as_str()] {
        let path = PathBuf::from(location.strip_prefix("file://").unwrap());
        let text = std::fs::read(&path).unwrap();
        let found = async || {
            // Nothing is cached.
            let lake = open(&folder).await;
            let table = lake.load_table(table.name()).await.unwrap().unwrap();
            live_files(&table, head.snapshot_id()).await
        };
        let mut garbled = text.clone();
        let from = garbled.len() / 3;
        garbled[from..].fill(0xff);
        for bytes in [&text[..text.len() / 2], &text[..20], b"", b"no Avro at all", &garbled] {
            std::fs::write(&path, bytes).unwrap();
            let error = found().await.map(|_| ()).unwrap_err();
            assert_eq!((error.code(), error.retryable()), ("L0118", false), "{} bytes: {error}", bytes.len());
            assert!(error.to_string().contains(path.file_name().unwrap().to_str().unwrap()), "{error}");
            assert!(error.hint().is_some());
        }
        std::fs::remove_file(&path).unwrap();
        let error = found().await.map(|_| ()).unwrap_err();
        assert_eq!((error.code(), error.retryable()), ("L0105", false), "{error}");
        // It is there and cannot be opened.
        std::os::unix::fs::symlink(&path, &path).unwrap();
        let error = found().await.map(|_| ()).unwrap_err();
        assert!(error.retryable(), "{error}");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, &text).unwrap();
        assert_eq!(found().await.unwrap().len(), 1);
    }
}

async fn lake_of(folder: &TempDir, table: &Table) -> &'static str {
    open(folder).await.load_table(table.name()).await.unwrap_err().code()
}

fn config(warehouse: &Path) -> LakeConfig {
    LakeConfig {
        catalog_name: "ingot".into(),
        catalog_uri: None,
        warehouse: format!("file://{}", warehouse.display()),
        s3: S3Config::default(),
    }
}

#[tokio::test]
async fn a_reader_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("mistyped");
    let lake = Lake::open_existing(config(&missing)).await.unwrap();
    let error = lake.present().unwrap_err();
    assert_eq!((error.code(), error.retryable()), ("L0119", false));
    assert!(error.to_string().contains("mistyped"), "{error}");
    assert!(lake.list_tables().await.unwrap().is_empty());
    assert!(lake.list_namespaces().await.unwrap().is_empty());
    assert!(lake.load_table(&TableName::new("a", "b")).await.unwrap().is_none());
    assert!(!missing.exists());
    // A file that is no catalog stays what it is.
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("catalog.db"), "").unwrap();
    assert!(Lake::open_existing(config(&other)).await.unwrap().present().is_err());
    assert_eq!(std::fs::read(other.join("catalog.db")).unwrap(), b"");
    assert_eq!(std::fs::read_dir(&other).unwrap().count(), 1);
}

/// A catalog of an older writer, without the column that tells tables from views.
#[tokio::test]
async fn a_reader_reads_an_old_catalog_as_it_is() {
    let (folder, lake) = lake().await;
    append(&create(&lake, "t", plain()).await, &[1]).await;
    sqlx::query("ALTER TABLE iceberg_tables DROP COLUMN iceberg_type").execute(&lake.rows().pool).await.unwrap();
    let reader = Lake::open_existing(config(folder.path())).await.unwrap();
    reader.present().unwrap();
    let name = TableName::new("bronze", "t");
    assert_eq!(reader.list_tables().await.unwrap(), std::slice::from_ref(&name));
    assert_eq!(ids(&reader.load_table(&name).await.unwrap().unwrap()).await, [1]);
    let columns = sqlx::query("PRAGMA table_info(iceberg_tables)").fetch_all(&lake.rows().pool).await.unwrap();
    assert_eq!(columns.len(), 5);
    // A writer brings it up to date.
    assert_eq!(open(&folder).await.list_tables().await.unwrap(), [name]);
}
