//! Commits: what lands, what is refused, what is kept.

use super::*;
use crate::table::ancestry;
use crate::{LakeError, Lease, LeaseHeld};
use ingot_model::property as names;

#[tokio::test]
async fn a_table_is_created_appended_to_and_read_back() {
    let (folder, lake) = lake().await;
    let table = create(&lake, "t", plain()).await;
    assert_eq!(table.head(), None);
    assert_eq!(table.metadata_location().rsplit('/').nth(1), Some("metadata"));
    let table = append(&append(&table, &[1, 2]).await, &[3]).await;
    assert_eq!(ids(&table).await, [1, 2, 3]);
    // Another process sees the same.
    let other = open(&folder).await;
    let loaded = other.load_table(table.name()).await.unwrap().unwrap();
    assert_eq!(loaded.metadata(), table.metadata());
    assert_eq!(loaded.schema(), table.schema());
    let history = loaded.history();
    assert_eq!(history.len(), 2);
    assert!(history.iter().all(ingot_model::SnapshotInfo::is_ours));
    assert_eq!(history[0].parent, Some(history[1].id));
    assert_eq!(history[0].summary.get("total-records"), Some("3"));
    assert_eq!(history[0].summary.get("total-data-files"), Some("2"));
    assert_eq!(history[0].summary.get("added-records"), Some("1"));
    assert_eq!(other.list_tables().await.unwrap(), [table.name().clone()]);
    assert_eq!(other.list_namespaces().await.unwrap(), ["bronze"]);
    let consistent = other.load_tables(&[TableName::new("gold", "none"), table.name().clone()]).await.unwrap();
    assert!(consistent[0].as_ref().unwrap().is_none());
    assert_eq!(consistent[1].as_ref().unwrap().as_ref().unwrap().head(), table.head());
}

#[tokio::test]
async fn a_table_is_created_once_and_dropped_with_its_files() {
    let (folder, lake) = lake().await;
    let table = append(&create(&lake, "t", plain()).await, &[1]).await;
    let again = NewTable { name: table.name().clone(), definition: plain(), first_summary: None };
    let refused = lake.create_table(again.clone()).await.unwrap_err();
    assert!(matches!(refused, LakeError::TableExists(_)), "{refused}");
    assert_eq!(ids(&table).await, [1]);
    // A sibling whose name begins alike stays.
    let sibling = append(&create(&lake, "t_other", plain()).await, &[7]).await;
    lake.drop_table(table.name()).await.unwrap();
    assert!(!folder.path().join("bronze/t").exists());
    assert_eq!(ids(&sibling).await, [7]);
    assert!(lake.load_table(table.name()).await.unwrap().is_none());
    let missing = lake.drop_table(table.name()).await.unwrap_err();
    assert_eq!(missing.code(), "L0108");
    let second = lake.create_table(again).await.unwrap();
    assert_ne!(second.uuid(), table.uuid());
    // The old version does not commit into its successor.
    let files = write(&second, &rows(&[5])).await;
    let stale = lake.commit(&table, appending(files), &retry).await.unwrap_err();
    assert!(matches!(stale, CommitError::Superseded { .. }), "{stale}");
    assert_eq!(ids(&lake.load_table(second.name()).await.unwrap().unwrap()).await, [0_i64; 0]);
}

#[tokio::test]
async fn a_first_snapshot_is_empty_and_carries_its_summary() {
    let (_folder, lake) = lake().await;
    let new = NewTable {
        name: TableName::new("bronze", "t"),
        definition: plain(),
        first_summary: Some(summary(&[(names::FINGERPRINT, "abc")])),
    };
    let table = lake.create_table(new).await.unwrap();
    let head = table.snapshot(table.head().unwrap()).unwrap();
    assert_eq!(head.operation, Operation::Append);
    assert_eq!(head.summary.get(names::FINGERPRINT), Some("abc"));
    assert_eq!(head.summary.get("total-records"), Some("0"));
    assert!(head.summary.get(names::COMMIT_ID).is_some());
    assert!(entries(&table).await.is_empty());
    assert_eq!(ids(&append(&table, &[4]).await).await, [4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_writers_all_land() {
    let (folder, lake) = lake().await;
    let table = create(&lake, "t", plain()).await;
    let mut tasks = Vec::new();
    for task in 0..8_i64 {
        // Half of them through a catalog connection of their own, as other processes would.
        let lake = if task % 2 == 0 { lake.clone() } else { open(&folder).await };
        let name = table.name().clone();
        tasks.push(tokio::spawn(async move {
            for round in 0..3 {
                let table = lake.load_table(&name).await.unwrap().unwrap();
                append(&table, &[task * 10 + round]).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let table = lake.load_table(table.name()).await.unwrap().unwrap();
    let mut expected: Vec<i64> = (0..8).flat_map(|t| (0..3).map(move |r| t * 10 + r)).collect();
    expected.sort_unstable();
    assert_eq!(ids(&table).await, expected);
    assert_eq!(table.history().len(), 24);
    let head = table.snapshot(table.head().unwrap()).unwrap();
    assert_eq!(head.summary.get("total-records"), Some("24"));
    // Attempts that failed left nothing behind.
    let on_disk = std::fs::read_dir(folder.path().join("bronze/t/metadata")).unwrap();
    let json = on_disk.filter(|f| f.as_ref().unwrap().file_name().to_string_lossy().ends_with(".json")).count();
    assert!(json <= 21, "{json} metadata files");
}

#[tokio::test]
async fn the_guard_decides_about_a_moved_head() {
    let (_folder, lake) = lake().await;
    let base = append(&create(&lake, "t", plain()).await, &[1]).await;
    append(&base, &[2]).await;
    let files = write(&base, &rows(&[3])).await;
    let change = appending(files.clone());
    let seen = std::sync::Mutex::new(0);
    let abandon = |now: &Table| {
        *seen.lock().unwrap() += 1;
        assert_eq!(now.history().len(), 2);
        Rebase::Abandon("the position moved".into())
    };
    let error = lake.commit(&base, change.clone(), &abandon).await.unwrap_err();
    let CommitError::Superseded { reason, current } = error else { panic!("{error}") };
    assert_eq!(reason, "the position moved");
    assert_eq!(*seen.lock().unwrap(), 1);
    assert_eq!(ids(&current).await, [1, 2]);
    // The same change, allowed now, and then asked for a second time.
    let done = lake.commit(&base, change.clone(), &retry).await.unwrap();
    assert_eq!(ids(&done).await, [1, 2, 3]);
    let again = lake.commit(&done, change, &|_| panic!("not asked")).await.unwrap();
    assert_eq!(again.head(), done.head());
    // Changes without an id are different changes.
    let once = lake.commit(&done, Commit::default(), &retry).await.unwrap();
    let twice = lake.commit(&once, Commit::default(), &retry).await.unwrap();
    assert_eq!(twice.history().len(), 5);
}

#[tokio::test]
async fn files_are_replaced_in_one_snapshot() {
    let (_folder, lake) = lake().await;
    let table = create(&lake, "t", plain()).await;
    let table = append(&append(&append(&table, &[1]).await, &[2]).await, &[3]).await;
    let second = entries(&table)
        .await
        .iter()
        .find(|e| e.record_count() == 1 && e.sequence_number() == Some(2))
        .unwrap()
        .file_path()
        .to_string();
    let files = write(&table, &rows(&[20, 21])).await;
    let change = Commit { add: files, remove: vec![second.clone()], ..Commit::default() };
    let after = overwrite(&table, change.clone()).await.unwrap();
    assert_eq!(ids(&after).await, [1, 3, 20, 21]);
    let head = after.snapshot(after.head().unwrap()).unwrap();
    assert_eq!(head.operation, Operation::Overwrite);
    assert_eq!(head.summary.get("deleted-records"), Some("1"));
    assert_eq!(head.summary.get("deleted-data-files"), Some("1"));
    assert_eq!(head.summary.get("total-records"), Some("4"));
    assert_eq!(head.summary.get("total-data-files"), Some("3"));
    // Entries that stay keep the snapshot and sequence number they came with.
    let sequences: Vec<_> = entries(&after).await.iter().map(|e| e.sequence_number()).collect();
    assert_eq!(sequences.iter().filter(|s| **s == Some(4)).count(), 1);
    assert!(sequences.contains(&Some(1)) && sequences.contains(&Some(3)));
    // What is gone cannot be removed again, whatever the guard says.
    let error = overwrite(&after, change).await.unwrap_err();
    assert!(matches!(error, CommitError::Superseded { .. }), "{error}");
    // Everything at once; the next commit does not carry manifests without live files.
    let empty = overwrite(&after, Commit { remove_all: true, ..Commit::default() }).await.unwrap();
    assert_eq!(ids(&empty).await, [0_i64; 0]);
    let refilled = append(&empty, &[9]).await;
    let list = lake.0.manifests.list(refilled.metadata(), refilled.metadata().current_snapshot().unwrap());
    assert_eq!(list.await.unwrap().len(), 1);
    assert_eq!(ids(&refilled).await, [9]);
    let head = refilled.snapshot(refilled.head().unwrap()).unwrap();
    assert_eq!(head.summary.get("total-records"), Some("1"));
    assert_eq!(
        head.summary.get("total-files-size").unwrap(),
        entries(&refilled).await[0].file_size_in_bytes().to_string()
    );
}

#[tokio::test]
async fn manifests_are_merged_past_a_hundred_and_old_metadata_goes() {
    let (folder, lake) = lake().await;
    let mut table = create(&lake, "t", plain()).await;
    for id in 0..104 {
        table = append(&table, &[id]).await;
    }
    let head = table.metadata().current_snapshot().unwrap().clone();
    let list = lake.0.manifests.list(table.metadata(), &head).await.unwrap();
    assert!(list.len() < 10, "{} manifests", list.len());
    assert_eq!(ids(&table).await, (0..104).collect::<Vec<_>>());
    // Every entry kept the sequence number of its own commit.
    let mut sequences: Vec<_> = entries(&table).await.iter().map(|e| e.sequence_number().unwrap()).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=104).collect::<Vec<_>>());
    assert_eq!(head.summary().additional_properties["total-records"], "104");
    let mut json: Vec<_> = std::fs::read_dir(folder.path().join("bronze/t/metadata"))
        .unwrap()
        .map(|f| f.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".metadata.json"))
        .collect();
    json.sort();
    assert_eq!(json.len(), 21, "{json:?}");
    assert!(table.metadata_location().ends_with(json.last().unwrap().as_str()));
    for log in table.metadata().metadata_log() {
        assert!(std::path::Path::new(log.metadata_file.strip_prefix("file://").unwrap()).exists());
    }
}

#[tokio::test]
async fn snapshots_are_expired_with_a_commit() {
    let (_folder, lake) = lake().await;
    let mut table = create(&lake, "t", plain()).await;
    for id in 0..4 {
        table = append(&table, &[id]).await;
    }
    let ids_of: Vec<i64> = table.history().iter().map(|s| s.id).collect();
    let files = write(&table, &rows(&[9])).await;
    // The head is asked for too, and is kept.
    let change =
        Commit { expire_snapshots: ids_of[..1].iter().chain(&ids_of[2..]).copied().collect(), ..appending(files) };
    let table = lake.commit(&table, change, &retry).await.unwrap();
    assert_eq!(ancestry(table.metadata()).count(), 3);
    assert!(table.snapshot(ids_of[3]).is_none());
    assert_eq!(ids(&table).await, [0, 1, 2, 3, 9]);
}

#[tokio::test]
async fn time_goes_forward_and_retention_stays() {
    let (_folder, lake) = lake().await;
    let table = append(&create(&lake, "t", plain()).await, &[1]).await;
    // Another writer's clock is a day ahead, and it set the branch's retention.
    let ahead = chrono::Utc::now().timestamp_millis() + 86_400_000;
    let mut json = serde_json::to_value(table.metadata().as_ref()).unwrap();
    json["last-updated-ms"] = ahead.into();
    json["refs"]["main"]["min-snapshots-to-keep"] = 7.into();
    let location = table.metadata_location().replace("00001-", "00002-");
    lake.0.store.write(&location, serde_json::to_vec(&json).unwrap().into()).await.unwrap();
    lake.rows().swap(table.name(), table.metadata_location(), &location).await.unwrap();
    let table = lake.load_table(table.name()).await.unwrap().unwrap();
    let table = append(&table, &[2]).await;
    assert_eq!(table.snapshot(table.head().unwrap()).unwrap().timestamp_ms, ahead + 1);
    let json = serde_json::to_value(table.metadata().as_ref()).unwrap();
    assert_eq!(json["refs"]["main"]["min-snapshots-to-keep"], 7);
}

#[tokio::test]
async fn one_lease_a_project() {
    let (_folder, lake) = lake().await;
    let held = Lease::acquire(&lake, "shop").unwrap();
    let refused = Lease::acquire(&lake, "shop").unwrap_err();
    assert!(matches!(refused, LeaseHeld::Held { .. }));
    assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
    drop(Lease::acquire(&lake, "other").unwrap());
    assert!(Lease::acquire(&lake, "shop").is_err());
    drop(held);
    assert!(Lease::acquire(&lake, "shop").is_ok());
}

/// The files of a table's metadata folder.
async fn metadata_files(lake: &Lake, folder: &str) -> Vec<String> {
    let mut all: Vec<String> = lake
        .0
        .store
        .below(folder)
        .await
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .filter(|p| p.contains("/metadata/"))
        .collect();
    all.sort();
    all
}

#[tokio::test]
async fn an_attempt_that_fails_while_it_prepares_changes_and_leaves_nothing() {
    let (folder, lake) = lake().await;
    let table = append(&create(&lake, "t", plain()).await, &[1]).await;
    let location = table.metadata().location().to_string();
    let before = metadata_files(&lake, &location).await;
    let change = appending(write(&table, &rows(&[2])).await);
    // A version that could not be opened, and one whose positions are wrong: manifest and list were written by then.
    let unopened = BTreeMap::from([(names::STATE_COLUMNS.to_owned(), "no JSON".to_owned())]);
    let misplaced = summary(&[(names::POSITIONS, "no JSON")]);
    for bad in [
        Commit { set_properties: unopened, ..change.clone() },
        Commit { summary: misplaced.clone(), ..change.clone() },
        Commit { remove: vec!["file:///nowhere.parquet".into()], ..change.clone() },
    ] {
        let error = lake.commit(&table, bad, &retry).await.unwrap_err();
        assert!(!matches!(error, CommitError::Unknown { .. }), "{error}");
        let now = open(&folder).await.load_table(table.name()).await.unwrap().unwrap();
        assert_eq!(now.metadata_location(), table.metadata_location());
        assert_eq!(metadata_files(&lake, &location).await, before);
    }
    let new = NewTable { name: TableName::new("bronze", "u"), definition: plain(), first_summary: Some(misplaced) };
    lake.create_table(new).await.unwrap_err();
    let other = format!("{}/u", location.strip_suffix("/t").unwrap());
    assert_eq!(metadata_files(&lake, &other).await, Vec::<String>::new());
    assert_eq!(ids(&lake.commit(&table, change, &retry).await.unwrap()).await, [1, 2]);
}
