//! What summaries record, and what is said when they do not parse.

use super::*;
use ingot_model::Count;
use ingot_model::property as names;

use crate::LakeError;

async fn with(lake: &Lake, name: &str, pairs: &[(&str, &str)]) -> Table {
    let table = create(lake, name, plain()).await;
    let change = Commit { summary: summary(pairs), ..appending(Vec::new()) };
    lake.commit(&table, change, &retry).await.unwrap()
}

#[tokio::test]
async fn what_parses_is_given_and_what_does_not_is_named() {
    let (_folder, lake) = lake().await;
    let uuid = Uuid::new_v4();
    let sources = format!(r#"[{{"table":"bronze.a","uuid":"{uuid}","snapshot-id":7}}]"#);
    let bases = format!(r#"[{{"table":"bronze.a","uuid":"{uuid}","snapshot-id":null}}]"#);
    let good = with(
        &lake,
        "good",
        &[(names::SOURCES, &sources), (names::BASE_SNAPSHOTS, &bases), (names::NOW, "2026-01-31T12:00:00.5Z")],
    )
    .await;
    let head = good.history()[0].clone();
    let a = TableName::new("bronze", "a");
    assert_eq!(head.sources().unwrap().unwrap()[&a], (uuid, Some(7)));
    assert_eq!(head.bases().unwrap().unwrap()[&a], (uuid, None));
    assert_eq!(head.now().unwrap().unwrap().timestamp_millis(), 1_769_860_800_500);
    assert_eq!(head.count(Count::TotalRecords).unwrap(), Some(0));
    let bare = with(&lake, "bare", &[]).await;
    let head = bare.history()[0].clone();
    assert_eq!(head.sources().unwrap(), None);
    assert_eq!(head.now().unwrap(), None);
    assert_eq!(head.count(Count::RefreshMs).unwrap(), None);
    let nameless = format!(r#"[{{"table":"a","uuid":"{uuid}","snapshot-id":7}}]"#);
    let bad = with(
        &lake,
        "bad",
        &[
            (names::SOURCES, &nameless),
            (names::BASE_SNAPSHOTS, "[{]"),
            (names::NOW, "yesterday"),
            (names::REFRESH_MS, "-3"),
        ],
    )
    .await;
    let head = bad.history()[0].clone();
    let refusals = [
        (names::SOURCES, LakeError::from(head.sources().unwrap_err())),
        (names::BASE_SNAPSHOTS, LakeError::from(head.bases().unwrap_err())),
        (names::NOW, LakeError::from(head.now().unwrap_err())),
        (names::REFRESH_MS, LakeError::from(head.count(Count::RefreshMs).unwrap_err())),
    ];
    for (property, refused) in refusals {
        let text = refused.to_string();
        assert_eq!(refused.code(), "L0134", "{text}");
        let place = format!("snapshot {}", head.id);
        assert!(["bronze.bad", &place, property].iter().all(|part| text.contains(part)), "{text}");
        assert!(!refused.retryable());
    }
}
