//! The same on a real S3-compatible store, where one is running.
//!
//! `INGOT_TEST_S3_ENDPOINT=http://127.0.0.1:9000 cargo test -p ingot-lake --lib s3 -- --ignored`, with the
//! bucket `ingot-lake-test` and the keys in `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.

use super::*;

#[tokio::test]
#[ignore = "needs an S3-compatible store, named by INGOT_TEST_S3_ENDPOINT"]
async fn tables_live_on_s3() {
    let folder = tempfile::tempdir().unwrap();
    let variable = |name: &str| std::env::var(name).unwrap();
    let lake = Lake::open(LakeConfig {
        catalog_name: "ingot".into(),
        catalog_uri: Some(format!("sqlite:///{}/catalog.db", folder.path().display())),
        warehouse: format!("s3://ingot-lake-test/{}", Uuid::new_v4()),
        s3: S3Config {
            endpoint: Some(variable("INGOT_TEST_S3_ENDPOINT")),
            access_key_id: Some(variable("AWS_ACCESS_KEY_ID")),
            secret_access_key: Some(variable("AWS_SECRET_ACCESS_KEY")),
            path_style_access: true,
            ..S3Config::default()
        },
    })
    .await
    .unwrap();
    let mut table = create(&lake, "t", plain()).await;
    for id in 0..25 {
        table = append(&table, &[id]).await;
    }
    assert_eq!(entries(&table).await.len(), 25);
    let all = overwrite(&table, Commit { remove_all: true, ..Commit::default() }).await.unwrap();
    assert!(entries(&all).await.is_empty());
    // One request under 32 MiB, several above; both whole.
    for bytes in [31 << 20, (32 << 20) + 1, 70 << 20] {
        let location = format!("{}/bronze/t/data/ü %20/{bytes}", lake.config().warehouse);
        let content: bytes::Bytes = (0..bytes).map(|at| (at % 251) as u8).collect::<Vec<_>>().into();
        lake.0.store.write(&location, content.clone()).await.unwrap();
        assert!(lake.0.store.read(&location).await.unwrap() == content);
    }
    lake.drop_table(table.name()).await.unwrap();
    assert!(!lake.0.store.exists(table.metadata_location()).await.unwrap());
    let missing = lake.0.store.read(table.metadata_location()).await.unwrap_err();
    assert_eq!(missing.code(), "L0105");
    let without_uri = LakeConfig { catalog_uri: None, ..lake.config().clone() };
    assert!(Lake::open(without_uri).await.unwrap_err().to_string().contains("catalog.uri"));
}
