//! Partition columns whose names Avro does not take.

use arrow::array::TimestampMicrosecondArray;
use iceberg::spec::{ManifestWriterBuilder, SchemaRef};
use ingot_model::{PartitionBy, Transform};
use serde_json::Value;

use super::*;
use crate::live_files;
use crate::table::avro_names::is_plain;

const NAMES: [&str; 5] = ["my col", "ev-time", "é", "日本語", "9x"];

fn named() -> Definition {
    let mut columns = vec![column("id", DataType::Int64)];
    columns.extend(NAMES.iter().map(|name| column(name, DataType::Utf8)));
    columns[2].data_type = utc();
    let by = |column: &str, transform| PartitionBy { column: column.into(), transform };
    let mut partition: Vec<_> = NAMES.iter().map(|name| by(name, Transform::Identity)).collect();
    partition[1].transform = Transform::Day;
    partition[3].transform = Transform::Truncate(2);
    // Two names that are one after sanitizing, and a plain one.
    columns.push(column("my_x20col", DataType::Utf8));
    partition.push(by("my_x20col", Transform::Identity));
    partition.push(by("id", Transform::Bucket(4)));
    Definition { columns, partition, ..Definition::default() }
}

fn named_rows(ids: &[i64]) -> RecordBatch {
    let text = |prefix: &str| -> ArrayRef {
        Arc::new(StringArray::from_iter(ids.iter().map(|id| (id % 3 != 0).then(|| format!("{prefix}{id}")))))
    };
    let days: Vec<i64> = ids.iter().map(|id| id * 86_400_000_000).collect();
    batch(vec![
        ("id", Arc::new(Int64Array::from(ids.to_vec())) as ArrayRef),
        ("my col", text("a")),
        ("ev-time", Arc::new(TimestampMicrosecondArray::from(days).with_timezone("UTC"))),
        ("é", text("b")),
        ("日本語", text("cdef")),
        ("9x", text("d")),
        ("my_x20col", text("e")),
    ])
}

async fn add(table: &Table, ids: &[i64]) -> Table {
    let files = write(table, &named_rows(ids)).await;
    table.lake().commit(table, appending(files), &retry).await.unwrap()
}

/// Every live file's partition as text, sorted.
async fn partitions(table: &Table) -> Vec<String> {
    // A lake of its own: nothing is cached.
    let folder = table.lake().config().warehouse.strip_prefix("file://").unwrap().to_owned();
    let config = LakeConfig {
        catalog_name: "ingot".into(),
        catalog_uri: None,
        warehouse: format!("file://{folder}"),
        s3: S3Config::default(),
    };
    let table = Lake::open(config).await.unwrap().load_table(table.name()).await.unwrap().unwrap();
    let files = live_files(&table, table.head().unwrap()).await.unwrap();
    let mut all: Vec<String> = files.iter().map(|f| format!("{:?}", f.data_file.partition().fields())).collect();
    all.sort();
    all
}

/// The names in a manifest: of the partition fields in Avro, each with its `iceberg-field-name`, and in the spec.
struct Names {
    fields: Vec<(String, Option<String>)>,
    spec: Vec<String>,
}

/// The names in the manifests of the head.
async fn in_manifests(table: &Table) -> Vec<Names> {
    let head = table.metadata().current_snapshot().unwrap();
    let mut all = Vec::new();
    for file in table.lake().0.manifests.list(table.metadata(), head).await.unwrap() {
        let bytes = table.lake().0.store.read(&file.manifest_path).await.unwrap();
        assert_eq!(i64::try_from(bytes.len()).unwrap(), file.manifest_length);
        // The header's texts stand in the file as they are.
        let json = |name: &str| -> Value {
            let key = [&[u8::try_from(name.len() * 2).unwrap()], name.as_bytes()].concat();
            let at = bytes.windows(key.len()).position(|w| w == key).unwrap() + key.len();
            // Behind the number of its bytes.
            let parsed = |start: usize| serde_json::Deserializer::from_slice(&bytes[start..]).into_iter().next();
            (at..at + 5).find_map(|start| parsed(start)?.ok().filter(|v: &Value| !v.is_number())).unwrap()
        };
        let schema = json("avro.schema");
        let of = |record: &Value, name: &str| -> Value {
            let fields = record["fields"].as_array().unwrap();
            fields.iter().find(|f| f["name"] == name).unwrap()["type"].clone()
        };
        let partition = of(&of(&schema, "data_file"), "partition");
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let fields = partition["fields"].as_array().unwrap();
        let fields = fields.iter().map(|f| (text(&f["name"]).unwrap(), text(&f["iceberg-field-name"]))).collect();
        let spec = json("partition-spec");
        let spec = spec.as_array().unwrap().iter().map(|f| text(&f["name"]).unwrap()).collect();
        all.push(Names { fields, spec });
    }
    all
}

fn sound(manifests: &[Names]) {
    let some = |text: &str| Some(text.to_owned());
    for Names { fields, spec } in manifests {
        assert!(fields.iter().all(|(name, _)| is_plain(name)), "{fields:?}");
        let expected = [
            ("my_x20col", some("my col")),
            ("ev_x2Dtime_day", some("ev-time_day")),
            ("_xE9", some("é")),
            ("_x65E5_x672C_x8A9E_trunc", some("日本語_trunc")),
            ("_9x", some("9x")),
            ("my_x20col_", some("my_x20col")),
            ("id_bucket", None),
        ];
        assert_eq!(fields, &expected.map(|(name, real)| (name.to_owned(), real)));
        assert_eq!(spec, &["my col", "ev-time_day", "é", "日本語_trunc", "9x", "my_x20col", "id_bucket"]);
    }
}

#[tokio::test]
async fn any_name_of_a_partition_column_is_written_and_read() {
    let (_folder, lake) = lake().await;
    let table = add(&create(&lake, "t", named()).await, &[1, 2, 3]).await;
    let first = partitions(&table).await;
    assert_eq!(first.len(), 3);
    assert!(first.iter().any(|p| p.contains("\"a2\"") && p.contains("\"cd\"")), "{first:?}");
    sound(&in_manifests(&table).await);
    // Rewritten manifests: one file goes, the others are carried into a new one.
    let table = add(&table, &[4]).await;
    let gone = entries_of(&table).await.remove(0);
    let table = overwrite(&table, Commit { remove: vec![gone], ..Commit::default() }).await.unwrap();
    assert_eq!(partitions(&table).await.len(), 3);
    sound(&in_manifests(&table).await);
    // More than a commit carries: merged.
    let mut table = table;
    for id in 10..115 {
        table = add(&table, &[id]).await;
    }
    assert_eq!(partitions(&table).await.len(), 108);
    let manifests = in_manifests(&table).await;
    assert!(manifests.len() < 100, "{}", manifests.len());
    sound(&manifests);
}

async fn entries_of(table: &Table) -> Vec<String> {
    let files = live_files(table, table.head().unwrap()).await.unwrap();
    files.into_iter().map(|f| f.path).collect()
}

/// As the version before wrote them: the names as they are.
async fn written_as_before(table: &Table) {
    let head = table.metadata().current_snapshot().unwrap();
    let spec = table.metadata().default_partition_spec();
    for file in table.lake().0.manifests.list(table.metadata(), head).await.unwrap() {
        let manifest = table.lake().manifest(&file).await.unwrap();
        let output = table.lake().file_io().new_output(&file.manifest_path).unwrap();
        let schema = SchemaRef::clone(table.metadata().current_schema());
        let added_by = Some(file.added_snapshot_id);
        let mut writer = ManifestWriterBuilder::new(output, added_by, schema, spec.as_ref().clone()).build_v2_data();
        for entry in manifest.entries() {
            writer.add_file(entry.data_file().clone(), -1).unwrap();
        }
        writer.write_manifest_file().await.unwrap();
    }
}

#[tokio::test]
async fn a_table_of_the_version_before_is_read_and_mended_by_the_next_commit() {
    let (folder, lake) = lake().await;
    let table = add(&create(&lake, "t", named()).await, &[1, 2]).await;
    let table = add(&table, &[3]).await;
    let before = partitions(&table).await;
    written_as_before(&table).await;
    // Core cannot.
    let head = table.metadata().current_snapshot().unwrap();
    for file in lake.0.manifests.list(table.metadata(), head).await.unwrap() {
        assert!(file.load_manifest(lake.file_io()).await.is_err());
    }
    assert_eq!(partitions(&table).await, before);
    let again = open(&folder).await;
    let table = again.load_table(table.name()).await.unwrap().unwrap();
    let table = add(&table, &[4]).await;
    let after = partitions(&table).await;
    assert_eq!(after.len(), 4);
    assert!(before.iter().all(|p| after.contains(p)));
    let mended: Vec<_> = in_manifests(&table).await;
    assert_eq!(mended.len(), 3);
    sound(&mended);
    // Entries keep what they were added with.
    let files = live_files(&table, table.head().unwrap()).await.unwrap();
    let mut sequences: Vec<_> = files.iter().map(|f| f.sequence_number).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, [1, 1, 2, 3]);
}
