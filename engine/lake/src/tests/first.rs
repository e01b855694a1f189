//! Tables that come with their first rows, and whose tables they are.

use ingot_model::property::PROJECT;

use super::*;
use crate::LakeError;

fn files_below(folder: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.flatten().map(|e| if e.path().is_dir() { files_below(&e.path()) } else { 1 }).sum()
}

#[tokio::test]
async fn a_table_is_there_with_its_first_rows_or_not_at_all() {
    let (folder, lake) = lake().await;
    let name = TableName::new("gold", "v");
    let draft = lake.draft(&name, &plain()).unwrap();
    let files = write(&draft, &rows(&[1, 2])).await;
    assert!(lake.load_table(&name).await.unwrap().is_none());
    assert!(lake.list_tables().await.unwrap().is_empty());
    let made = lake.create_with(&draft, appending(files)).await.unwrap();
    assert_eq!((made.history().len(), made.uuid()), (1, draft.uuid()));
    let loaded = open(&folder).await.load_table(&name).await.unwrap().unwrap();
    assert_eq!(ids(&loaded).await, [1, 2]);
    assert_eq!(loaded.metadata().last_sequence_number(), 1);
    assert!(loaded.metadata().metadata_log().is_empty());
    assert_eq!(ids(&append(&loaded, &[3]).await).await, [1, 2, 3]);

    // Somebody else was first: nothing of ours stays but what the caller wrote.
    let before = files_below(folder.path());
    let late = lake.draft(&name, &plain()).unwrap();
    let files = write(&late, &rows(&[9])).await;
    let refused = lake.create_with(&late, appending(files.clone())).await.unwrap_err();
    assert!(matches!(refused, LakeError::TableExists(_)), "{refused}");
    lake.delete_unused(&files).await;
    assert_eq!(files_below(folder.path()), before);

    // No rows are rows, too.
    let none = lake.draft(&TableName::new("gold", "none"), &plain()).unwrap();
    let made = lake.create_with(&none, appending(Vec::new())).await.unwrap();
    assert!(made.head().is_some());
    assert_eq!(ids(&made).await, [0_i64; 0]);
}

#[tokio::test]
async fn two_that_create_one_table_leave_one() {
    let (folder, lake) = lake().await;
    let name = TableName::new("gold", "v");
    let makers = (0..8).map(|i| {
        let (lake, name) = (lake.clone(), name.clone());
        async move {
            let draft = lake.draft(&name, &plain()).unwrap();
            let files = write(&draft, &rows(&[i])).await;
            let made = lake.create_with(&draft, appending(files.clone())).await;
            if made.is_err() {
                lake.delete_unused(&files).await;
            }
            made.map(|_| i)
        }
    });
    let made: Vec<_> = futures::future::join_all(makers).await;
    let winners: Vec<i64> = made.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    let table = lake.load_table(&name).await.unwrap().unwrap();
    assert_eq!(ids(&table).await, winners);
    // One data file, one manifest, one list, one metadata file.
    assert_eq!(files_below(&folder.path().join("gold")), 4);
}

#[tokio::test]
async fn a_writer_that_gives_up_leaves_no_file() {
    let (folder, lake) = lake().await;
    let definition = Definition {
        properties: std::collections::BTreeMap::from([("write.target-file-size-bytes".into(), "1".into())]),
        ..plain()
    };
    let draft = lake.draft(&TableName::new("gold", "v"), &definition).unwrap();
    let mut writer = Writer::new(&draft, None).unwrap();
    for id in 0..5 {
        writer.write(&rows(&[id])).await.unwrap();
    }
    assert!(files_below(&folder.path().join("gold")) >= 5);
    writer.close_after(Err::<(), _>(crate::LakeError::Corrupt("given up".into()))).await.unwrap_err();
    assert_eq!(files_below(&folder.path().join("gold")), 0);
}

async fn lake_as(folder: &TempDir, project: &str) -> Lake {
    let config = LakeConfig {
        catalog_name: "ingot".into(),
        catalog_uri: None,
        warehouse: format!("file://{}", folder.path().display()),
        s3: S3Config::default(),
    };
    Lake::open_as(config, project).await.unwrap()
}

#[tokio::test]
async fn a_table_has_one_project() {
    let (folder, plain_lake) = lake().await;
    let (a, b) = (lake_as(&folder, "a").await, lake_as(&folder, "b").await);
    let owner = |table: &Table| table.properties().get(PROJECT).cloned();
    let first = create(&a, "first", plain()).await;
    assert_eq!(owner(&first).as_deref(), Some("a"));
    let of_a = append(&first, &[1]).await;
    let draft = a.draft(&TableName::new("gold", "v"), &plain()).unwrap();
    let files = write(&draft, &rows(&[1])).await;
    let view = a.create_with(&draft, appending(files)).await.unwrap();
    assert_eq!(owner(&view).as_deref(), Some("a"));

    let seen = b.load_table(of_a.name()).await.unwrap().unwrap();
    let files = write(&seen, &rows(&[2])).await;
    let refused = b.commit(&seen, appending(files), &retry).await.unwrap_err();
    assert_eq!((refused.code(), refused.retryable()), ("L0120", false), "{refused}");
    assert!(refused.to_string().contains("\"a\"") && refused.to_string().contains("\"b\""), "{refused}");
    assert_eq!(b.drop_table(of_a.name()).await.unwrap_err().code(), "L0120");
    assert_eq!(ids(&plain_lake.load_table(of_a.name()).await.unwrap().unwrap()).await, [1]);

    // A table of an older version, without the property, is the first one's to commit to it.
    let old = append(&create(&plain_lake, "old", plain()).await, &[1]).await;
    assert_eq!(owner(&old), None);
    let (in_a, in_b) =
        (a.load_table(old.name()).await.unwrap().unwrap(), b.load_table(old.name()).await.unwrap().unwrap());
    assert_eq!(owner(&append(&in_b, &[2]).await).as_deref(), Some("b"));
    let files = write(&in_a, &rows(&[3])).await;
    assert_eq!(a.commit(&in_a, appending(files), &retry).await.unwrap_err().code(), "L0120");
    assert_eq!(ids(&b.load_table(old.name()).await.unwrap().unwrap()).await, [1, 2]);
}
