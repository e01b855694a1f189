//! Commits whose answer is lost.

use std::sync::atomic::Ordering;

use super::*;
use crate::LakeError;
use crate::catalog::sql::rows::Swap;

#[tokio::test]
async fn a_lost_answer_is_found_by_the_commit_id() {
    let (_folder, lake) = lake().await;
    let table = append(&create(&lake, "t", plain()).await, &[1]).await;
    let files = write(&table, &rows(&[2])).await;
    lake.rows().faults.lose_answer.store(true, Ordering::SeqCst);
    let done = lake.commit(&table, appending(files), &|_| panic!("not asked")).await.unwrap();
    assert_eq!(ids(&done).await, [1, 2]);
    assert_eq!(done.history().len(), 2);
}

#[tokio::test]
async fn a_lost_commit_is_made_again() {
    let (_folder, lake) = lake().await;
    let table = append(&create(&lake, "t", plain()).await, &[1]).await;
    let files = write(&table, &rows(&[2])).await;
    lake.rows().faults.lose_commit.store(1, Ordering::SeqCst);
    let done = lake.commit(&table, appending(files), &|_| panic!("the head stayed")).await.unwrap();
    assert_eq!(ids(&done).await, [1, 2]);
    assert_eq!(done.history().len(), 2);
}

/// A catalog that cannot be written says so; it is not taken for another writer's commit.
#[tokio::test]
async fn a_catalog_that_refuses_every_commit_is_named() {
    let (_folder, lake) = lake().await;
    let table = append(&create(&lake, "t", plain()).await, &[1]).await;
    let files = write(&table, &rows(&[2])).await;
    let change = appending(files);
    lake.rows().faults.lose_commit.store(1000, Ordering::SeqCst);
    let error = lake.commit(&table, change.clone(), &|_| panic!("the head stayed")).await.unwrap_err();
    assert_eq!(error.code(), "L0102", "{error}");
    assert!(error.retryable());
    lake.rows().faults.lose_commit.store(0, Ordering::SeqCst);
    assert_eq!(ids(&lake.commit(&table, change, &retry).await.unwrap()).await, [1, 2]);
}

/// A commit whose sync failed is valid in SQLite's log and comes back at the next start.
#[tokio::test]
async fn a_refused_commit_that_comes_back_is_whole() {
    let (_folder, lake) = lake().await;
    let table = append(&create(&lake, "t", plain()).await, &[1]).await;
    let change = appending(write(&table, &rows(&[2])).await);
    let folder = format!("{}/metadata", table.metadata().location());
    let metadata = async || {
        let mut all = lake.0.store.below(&folder).await.unwrap();
        all.retain(|path| path.to_string().ends_with(".metadata.json"));
        all
    };
    let before = metadata().await;
    lake.rows().faults.lose_commit.store(1000, Ordering::SeqCst);
    lake.commit(&table, change.clone(), &retry).await.unwrap_err();
    lake.rows().faults.lose_commit.store(0, Ordering::SeqCst);
    let refused: Vec<_> = metadata().await.into_iter().filter(|path| !before.contains(path)).collect();
    assert_eq!(refused.len(), 3);
    for path in refused {
        let name = path.to_string().rsplit('/').next().unwrap().to_owned();
        let current = lake.load_table(table.name()).await.unwrap().unwrap();
        let back = lake.rows().swap(table.name(), current.metadata_location(), &format!("{folder}/{name}")).await;
        assert!(matches!(back, Ok(Swap::Done)));
        let now = lake.load_table(table.name()).await.unwrap().unwrap();
        assert_eq!(ids(&now).await, [1, 2]);
        assert_eq!(ids(&lake.commit(&now, change.clone(), &retry).await.unwrap()).await, [1, 2]);
    }
}

#[tokio::test]
async fn a_table_is_dropped_as_it_was_seen() {
    let (_folder, lake) = lake().await;
    let table = create(&lake, "t", plain()).await;
    append(&table, &[1]).await;
    assert!(!lake.rows().drop_table(table.name(), table.metadata_location()).await.unwrap());
    assert_eq!(ids(&lake.load_table(table.name()).await.unwrap().unwrap()).await, [1]);
}

#[tokio::test]
async fn an_outcome_that_stays_unknown_is_said_and_keeps_the_files() {
    let (_folder, lake) = lake().await;
    let table = append(&create(&lake, "t", plain()).await, &[1]).await;
    let files = write(&table, &rows(&[2])).await;
    let change = appending(files.clone());
    let faults = &lake.rows().faults;
    faults.lose_answer.store(true, Ordering::SeqCst);
    faults.fail_reads.store(1000, Ordering::SeqCst);
    let error = lake.commit(&table, change.clone(), &retry).await.unwrap_err();
    assert!(matches!(error, CommitError::Unknown { .. }), "{error}");
    assert_eq!((error.code(), error.retryable()), ("L0122", false));
    faults.fail_reads.store(0, Ordering::SeqCst);
    for file in &files {
        assert!(lake.0.store.exists(file.file_path()).await.unwrap());
    }
    // It had landed: asking again with the same commit id does not add the rows twice.
    let now = lake.load_table(table.name()).await.unwrap().unwrap();
    assert_eq!(ids(&now).await, [1, 2]);
    assert_eq!(ids(&lake.commit(&now, change, &retry).await.unwrap()).await, [1, 2]);
}

/// An attempt that SQLite refused may be in its log: as long as the table cannot be looked at, nothing is certain.
#[tokio::test]
async fn a_refused_attempt_leaves_the_outcome_open_until_the_table_is_seen() {
    let (_folder, lake) = lake().await;
    let table = append(&create(&lake, "t", plain()).await, &[1]).await;
    let change = appending(write(&table, &rows(&[2])).await);
    let faults = &lake.rows().faults;
    faults.lose_commit.store(1, Ordering::SeqCst);
    faults.conflict_then_silence.store(true, Ordering::SeqCst);
    let error = lake.commit(&table, change.clone(), &retry).await.unwrap_err();
    assert!(matches!(error, CommitError::Unknown { .. }), "{error}");
    faults.fail_reads.store(0, Ordering::SeqCst);
    assert_eq!(ids(&lake.commit(&table, change, &retry).await.unwrap()).await, [1, 2]);
}

#[tokio::test]
async fn a_transaction_that_sqlite_ended_by_itself_spoils_no_later_commit() {
    let (_folder, lake) = lake().await;
    let mut table = append(&create(&lake, "t", plain()).await, &[1]).await;
    // As after a disk error: SQLite has rolled back, sqlx knows nothing of it.
    let mut transaction = lake.rows().pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::query("ROLLBACK").execute(&mut *transaction).await.unwrap();
    assert!(transaction.commit().await.is_err());
    // One for each connection that the pool may hold.
    for id in 2..=5 {
        table = append(&table, &[id]).await;
    }
    assert_eq!(table.history().len(), 5);
}

#[tokio::test]
async fn reads_that_fail_for_a_while_are_waited_for() {
    let (_folder, lake) = lake().await;
    let table = append(&create(&lake, "t", plain()).await, &[1]).await;
    let files = write(&table, &rows(&[2])).await;
    lake.rows().faults.lose_answer.store(true, Ordering::SeqCst);
    lake.rows().faults.fail_reads.store(3, Ordering::SeqCst);
    let done = lake.commit(&table, appending(files), &retry).await.unwrap();
    assert_eq!(ids(&done).await, [1, 2]);
}

#[tokio::test]
async fn a_commit_that_landed_and_was_rolled_back_is_not_made_again() {
    let (_folder, lake) = lake().await;
    let first = append(&create(&lake, "t", plain()).await, &[1]).await;
    let files = write(&first, &rows(&[2])).await;
    let change = appending(files);
    let second = lake.commit(&first, change.clone(), &retry).await.unwrap();
    // Somebody rolls the branch back, and keeps the snapshot.
    let mut json = serde_json::to_value(second.metadata().as_ref()).unwrap();
    json["current-snapshot-id"] = first.head().into();
    json["refs"]["main"]["snapshot-id"] = first.head().into();
    json["metadata-log"].as_array_mut().unwrap().push(
        serde_json::json!({"metadata-file": second.metadata_location(), "timestamp-ms": second.metadata().last_updated_ms()}),
    );
    let location = second.metadata_location().replace("00002-", "00003-");
    lake.0.store.write(&location, serde_json::to_vec(&json).unwrap().into()).await.unwrap();
    lake.rows().swap(second.name(), second.metadata_location(), &location).await.unwrap();
    lake.rows().faults.lose_commit.store(1, Ordering::SeqCst);
    let rolled = lake.load_table(second.name()).await.unwrap().unwrap();
    let error = lake.commit(&rolled, change, &retry).await.unwrap_err();
    assert!(matches!(error, CommitError::Superseded { .. }), "{error}");
}

#[tokio::test]
async fn a_table_dropped_under_a_commit_is_an_error() {
    let (_folder, lake) = lake().await;
    let table = append(&create(&lake, "t", plain()).await, &[1]).await;
    lake.drop_table(table.name()).await.unwrap();
    let files = write(&table, &rows(&[2])).await;
    let error = lake.commit(&table, appending(files), &retry).await.unwrap_err();
    let CommitError::Failed(error) = error else { panic!("{error}") };
    assert!(matches!(error, LakeError::TableMissing(_) | LakeError::NotFound(_) | LakeError::Iceberg(_)), "{error}");
}

/// Metadata files of a table in this lake, sorted.
async fn metadata_files(table: &Table) -> Vec<String> {
    let folder = format!("{}/metadata", table.metadata().location());
    let all = table.lake().0.store.below(&folder).await.unwrap();
    let mut all: Vec<_> = all.iter().map(ToString::to_string).filter(|path| path.ends_with(".metadata.json")).collect();
    all.sort();
    all
}

#[tokio::test]
async fn a_commit_is_looked_for_before_each_attempt() {
    let (_folder, lake) = lake().await;
    let base = append(&create(&lake, "t", plain()).await, &[1]).await;
    let change = appending(write(&base, &rows(&[2])).await);
    lake.commit(&base, change.clone(), &retry).await.unwrap();
    // As after an expiry: the caller's base cannot be read, so the attempt is made over the head, which has the change.
    lake.0.store.delete(base.metadata().current_snapshot().unwrap().manifest_list()).await.unwrap();
    let again = lake.commit(&base, change, &|_| panic!("the guard is not asked about what is in")).await.unwrap();
    assert_eq!(ids(&again).await, [1, 2]);
    assert_eq!(again.history().len(), 2);
}

#[tokio::test]
async fn an_attempt_that_lost_the_race_leaves_no_metadata() {
    let (_folder, lake) = lake().await;
    let base = append(&create(&lake, "t", plain()).await, &[1]).await;
    let change = appending(write(&base, &rows(&[3])).await);
    let first = append(&base, &[2]).await;
    let before = metadata_files(&first).await;
    let folder = first.metadata().location().strip_prefix("file://").unwrap().to_owned() + "/metadata";
    let guard = |_: &Table| {
        let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.filter(|name| name.to_string_lossy().ends_with(".metadata.json")).count(), before.len());
        Rebase::Retry
    };
    let done = lake.commit(&base, change, &guard).await.unwrap();
    assert_eq!(ids(&done).await, [1, 2, 3]);
    assert_eq!(metadata_files(&done).await.len(), before.len() + 1);
}

#[tokio::test]
async fn a_table_that_begins_with_a_snapshot_has_one_version() {
    let (folder, lake) = lake().await;
    let first_summary = Some(summary(&[("note", "first")]));
    let new = NewTable { name: TableName::new("bronze", "t"), definition: plain(), first_summary };
    let table = lake.create_table(new).await.unwrap();
    assert_eq!(table.history().len(), 1);
    assert_eq!(table.metadata().metadata_log().len(), 0);
    let files = metadata_files(&table).await;
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(files[0].contains("/00000-"), "{files:?}");
    let loaded = open(&folder).await.load_table(table.name()).await.unwrap().unwrap();
    assert_eq!(loaded.metadata(), table.metadata());
}
