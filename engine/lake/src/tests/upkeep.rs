//! Small files brought together, manifests merged, and files deleted that nothing needs, and no others.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use datafusion::prelude::SessionContext;
use ingot_model::{Count, Operation, PartitionBy, Transform};

use super::began::rolled_back;
use super::*;
use crate::read::rewrites::change_between;
use crate::{Compaction, Retention, Small};

const NONE: Duration = Duration::ZERO;

fn session(lake: &Lake) -> SessionContext {
    let session = SessionContext::new();
    lake.register(&session.runtime_env());
    session
}

/// A lake of a project whose commits keep no history that nobody reads.
async fn forgetful() -> (TempDir, Lake) {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open_as(open(&folder).await.config().clone(), "p").await.unwrap();
    lake.retain(Arc::new(Retention::new(Duration::from_millis(1), Duration::from_secs(3_600))));
    (folder, lake)
}

/// Says that a table is read at no older snapshot than its head.
fn unread(lake: &Lake, table: &Table) {
    let none = BTreeMap::from([(table.name().clone(), BTreeSet::new())]);
    lake.0.retention.get().unwrap().pin(i64::MAX, none);
}

async fn compacted(table: &Table, small: Small) -> Option<crate::Compacted> {
    table.lake().compact(&session(table.lake()), table, every(small)).await.unwrap()
}

fn every(small: Small) -> Compaction {
    Compaction { small, bytes_max: u64::MAX, file_bytes_max: None, below: None, among: None }
}

fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(at).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => open.push(entry.path()),
                false => drop(found.insert(entry.path().display().to_string())),
            }
        }
    }
    found
}

fn of(table: &Table) -> std::path::PathBuf {
    table.metadata().location().strip_prefix("file://").unwrap().into()
}

/// The files that some snapshot of a table needs, by a walk of its own over the metadata.
async fn needed(table: &Table) -> BTreeSet<String> {
    let io = table.lake().file_io();
    let mut found = BTreeSet::from([table.metadata_location().to_owned()]);
    found.extend(table.metadata().metadata_log().iter().map(|log| log.metadata_file.clone()));
    for snapshot in table.metadata().snapshots() {
        found.insert(snapshot.manifest_list().to_owned());
        for file in table.lake().0.manifests.list(table.metadata(), snapshot).await.unwrap() {
            found.insert(file.manifest_path.clone());
            let manifest = file.load_manifest(io).await.unwrap();
            found.extend(manifest.entries().iter().filter(|e| e.is_alive()).map(|e| e.file_path().to_owned()));
        }
    }
    found.into_iter().map(|location| location.strip_prefix("file://").unwrap().to_owned()).collect()
}

#[tokio::test]
async fn small_files_are_brought_together_and_rows_stay_in_order() {
    let (_folder, lake) = lake().await;
    let mut table = create(&lake, "t", plain()).await;
    for n in 0..31 {
        table = append(&table, &[n * 2, n * 2 + 1]).await;
    }
    assert!(compacted(&table, Small::Many).await.is_none(), "too few");
    table = append(&table, &[62, 63]).await;
    let before = table.clone();
    let done = compacted(&table, Small::Many).await.unwrap();
    assert_eq!((done.files_in, done.files_out), (32, 1));
    let files = entries(&done.table).await;
    let stored: Vec<i64> = read(files[0].file_path())
        .iter()
        .flat_map(|b| b.column_by_name("id").unwrap().as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec())
        .collect();
    assert_eq!(stored, (0..64).collect::<Vec<_>>());
    let head = done.table.snapshot(done.table.head().unwrap()).unwrap();
    assert_eq!((head.operation, head.parent), (Operation::Replace, before.head()));
    let counted = |of| head.count(of).unwrap();
    assert_eq!((counted(Count::TotalRecords), counted(Count::TotalDataFiles)), (Some(64), Some(1)));
    assert_eq!((counted(Count::AddedRecords), counted(Count::DeletedRecords)), (Some(64), Some(64)));
    assert!(compacted(&done.table, Small::Many).await.is_none());
    assert!(compacted(&done.table, Small::All).await.is_none());

    // A reader of changes sees what was appended, on either side of the rewrite, and not the rewrite.
    let after = append(&done.table, &[64]).await;
    let from = before.history()[1].id;
    let change = change_between(&after, Some(from), after.head().unwrap()).await.unwrap();
    assert_eq!((change.added.len(), change.removed.len()), (2, 0));
    assert_eq!(change.added.iter().map(|f| f.record_count()).sum::<u64>(), 3);
    let none = change_between(&after, before.head(), done.table.head().unwrap()).await.unwrap();
    assert_eq!((none.added.len(), none.removed.len()), (0, 0));
    // Back over it: what was appended goes.
    let back = change_between(&after, after.head(), from).await.unwrap();
    let rows = |files: &[crate::FileRef]| files.iter().map(|f| f.record_count() as i64).sum::<i64>();
    assert_eq!(rows(&back.removed) - rows(&back.added), 3);
}

/// Rewrites on lines that a rollback left: the files below both of them stay in the sum once.
#[tokio::test]
async fn rewrites_on_lines_that_were_left_change_nothing() {
    let (_folder, lake) = lake().await;
    let two = append(&append(&create(&lake, "t", plain()).await, &[1, 2, 3]).await, &[4, 5]).await;
    let three = append(&two, &[6]).await;
    let from = three.head().unwrap();
    let first = compacted(&three, Small::All).await.unwrap().table;
    let other = append(&rolled_back(&first, two.head().unwrap()).await, &[7, 8]).await;
    let second = compacted(&other, Small::All).await.unwrap().table;
    let now = append(&rolled_back(&second, other.head().unwrap()).await, &[9, 10, 11, 12]).await;
    let head = now.head().unwrap();
    let rows = |files: &[crate::FileRef]| {
        let mut rows: Vec<u64> = files.iter().map(|f| f.record_count()).collect();
        rows.sort_unstable();
        rows
    };
    let change = change_between(&now, Some(from), head).await.unwrap();
    assert_eq!((rows(&change.added), rows(&change.removed)), (vec![2, 4], vec![1]));
    let back = change_between(&now, Some(head), from).await.unwrap();
    assert_eq!((rows(&back.added), rows(&back.removed)), (vec![1], vec![2, 4]));
}

#[tokio::test]
async fn each_partition_is_brought_together_by_itself() {
    let (_folder, lake) = lake().await;
    let by = PartitionBy { column: "name".into(), transform: Transform::Identity };
    let mut table = create(&lake, "t", Definition { partition: vec![by], ..plain() }).await;
    for n in 0..40 {
        let of = if n % 4 == 0 { "a" } else { "b" };
        let rows = batch(vec![
            ("id", Arc::new(Int64Array::from(vec![n])) as ArrayRef),
            ("name", Arc::new(StringArray::from(vec![of]))),
        ]);
        table = lake.commit(&table, appending(write(&table, &rows).await), &retry).await.unwrap();
    }
    assert!(compacted(&table, Small::Many).await.is_none(), "30 and 10");
    let done = compacted(&table, Small::All).await.unwrap();
    assert_eq!((done.files_in, done.files_out), (40, 2));
    assert_eq!(ids(&done.table).await, (0..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_commit_may_come_between_that_leaves_the_files() {
    let (_folder, lake) = lake().await;
    let mut table = create(&lake, "t", plain()).await;
    for n in 0..4 {
        table = append(&table, &[n]).await;
    }
    let more = append(&table, &[4]).await;
    let done = compacted(&table, Small::All).await.unwrap();
    assert_eq!(ids(&done.table).await, [0, 1, 2, 3, 4]);
    assert_eq!(entries(&done.table).await.len(), 2);
    // Of a base whose files are gone.
    let gone = lake.compact(&session(&lake), &more, every(Small::All)).await;
    assert!(matches!(gone, Err(CommitError::Superseded { .. })), "{gone:?}");
    let base = append(&done.table, &[5]).await;
    let first = entries(&base).await[0].file_path().to_owned();
    overwrite(&base, Commit { remove: vec![first], ..Commit::default() }).await.unwrap();
    let moot = lake.compact(&session(&lake), &base, every(Small::All)).await;
    assert!(matches!(moot, Err(CommitError::Superseded { .. })), "{moot:?}");
    // The first of 33 files is larger than the others, so it is not among those that go.
    let mut table = append(&create(&lake, "u", plain()).await, &(0..5_000).collect::<Vec<_>>()).await;
    for n in 0..32 {
        table = append(&table, &[10_000 + n]).await;
    }
    let large = entries(&table).await.into_iter().find(|e| e.data_file().record_count() == 5_000).unwrap();
    overwrite(&table, Commit { remove: vec![large.file_path().to_owned()], ..Commit::default() }).await.unwrap();
    let done = compacted(&table, Small::Many).await.unwrap();
    assert_eq!(done.files_in, 32);
    assert_eq!(ids(&done.table).await, (10_000..10_032).collect::<Vec<_>>());
}

#[tokio::test]
async fn hidden_columns_are_kept_and_files_without_them_stay() {
    let (_folder, lake) = lake().await;
    let definition = Definition { state_columns: vec![("_ingot_s0".into(), DataType::Int64)], ..plain() };
    let mut table = create(&lake, "t", definition).await;
    let of = |n: i64| {
        batch(vec![
            ("id", Arc::new(Int64Array::from(vec![n])) as ArrayRef),
            ("name", Arc::new(StringArray::from(vec![format!("n{n}")]))),
            ("_ingot_s0", Arc::new(Int64Array::from(vec![n * 7]))),
        ])
    };
    for n in 0..40 {
        let files = write(&table, &of(n)).await;
        table = lake.commit(&table, appending(files), &retry).await.unwrap();
    }
    let table = append(&table, &[40]).await;
    let done = compacted(&table, Small::All).await.unwrap();
    assert_eq!((done.files_in, done.files_out), (40, 1), "one file lacks the state");
    assert!(done.table.only_rewritten_since(table.head()), "a rewrite of ours keeps the state");
    assert_eq!(done.table.same_rows().collect::<Vec<_>>(), [done.table.head().unwrap(), table.head().unwrap()]);
    let options = crate::ScanOptions { with_state: true, ..Default::default() };
    let provider = crate::LakeTableProvider::try_new(&done.table, options).await.unwrap();
    let rows = session(&lake).read_table(Arc::new(provider)).unwrap().collect().await.unwrap();
    let mut found: Vec<(i64, Option<i64>)> = Vec::new();
    for rows in rows {
        let (id, state) = (rows["id"].as_primitive::<Int64Type>(), rows["_ingot_s0"].as_primitive::<Int64Type>());
        found.extend((0..rows.num_rows()).map(|i| (id.value(i), state.is_valid(i).then(|| state.value(i)))));
    }
    found.sort_unstable();
    let wanted: Vec<_> = (0..40).map(|n| (n, Some(n * 7))).chain([(40, None)]).collect();
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn files_are_brought_together_up_to_a_size() {
    let (_folder, lake) = lake().await;
    let mut table = create(&lake, "t", plain()).await;
    for n in 0..40 {
        table = append(&table, &(n * 2_000..(n + 1) * 2_000).collect::<Vec<_>>()).await;
    }
    let size = entries(&table).await[0].data_file().file_size_in_bytes();
    let compaction = Compaction { file_bytes_max: Some(size * 8), ..every(Small::Many) };
    let done = lake.compact(&session(&lake), &table, compaction).await.unwrap().unwrap();
    let largest = entries(&done.table).await.iter().map(|e| e.data_file().file_size_in_bytes()).max();
    assert!(done.files_out > 1 && largest < Some(size * 12), "{} files, {largest:?} of {size}", done.files_out);
    assert_eq!(ids(&done.table).await, (0..80_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_forgotten_snapshots_alone_held_is_deleted() {
    let (_folder, lake) = forgetful().await;
    let mut table = create(&lake, "t", plain()).await;
    let mut swept = crate::Swept::default();
    for n in 0..200 {
        unread(&lake, &table);
        table = append(&table, &[n]).await;
        if n % 50 == 49 {
            table = compacted(&table, Small::Many).await.unwrap().table;
        }
        let done = lake.sweep(table.name(), NONE).await.unwrap();
        swept.metadata_files += done.metadata_files;
        swept.data_files += done.data_files;
    }
    assert!(table.metadata().snapshots().count() < 80, "{}", table.metadata().snapshots().count());
    assert_eq!(ids(&table).await, (0..200).collect::<Vec<_>>());
    assert!(swept.metadata_files > 200 && swept.data_files > 100, "{swept:?}");
    // Nothing that is needed is gone, and little else is there: what waits for its snapshots to be forgotten.
    let (there, needed) = (files(&of(&table)), needed(&table).await);
    assert_eq!(needed.difference(&there).count(), 0);
    let waiting = lake.0.garbage.waiting(table.uuid());
    let more: Vec<_> = there.difference(&needed).filter(|f| !waiting.contains(&format!("file://{f}"))).collect();
    assert!(more.is_empty(), "{more:?}");
}

#[tokio::test]
async fn a_rollback_over_a_removal_keeps_the_file() {
    let (_folder, lake) = forgetful().await;
    let mut table = create(&lake, "t", plain()).await;
    for n in 0..3 {
        table = append(&table, &[n]).await;
    }
    let before = table.clone();
    let done = compacted(&table, Small::All).await.unwrap().table;
    // Somebody rolls the table back, goes on from there, and forgets everything in between.
    let rolled = rolled_back(&done, before.head().unwrap()).await;
    let after = append(&rolled, &[3]).await;
    let gone: Vec<i64> =
        after.metadata().snapshots().map(|s| s.snapshot_id()).filter(|id| Some(*id) != after.head()).collect();
    let last = overwrite(&after, Commit { expire_snapshots: gone, ..Commit::default() }).await.unwrap();
    lake.sweep(last.name(), NONE).await.unwrap();
    assert_eq!(ids(&last).await, [0, 1, 2, 3]);
    let (there, needed) = (files(&of(&last)), needed(&last).await);
    assert_eq!(needed.difference(&there).count(), 0);
}

#[tokio::test]
async fn only_old_files_without_a_name_are_orphans() {
    let (_folder, lake) = forgetful().await;
    let table = create(&lake, "t", plain()).await;
    let table = append(&append(&table, &[1]).await, &[2]).await;
    // Of a commit that never came, and of one in flight.
    let lost = write(&table, &rows(&[3])).await;
    let in_flight = write(&table, &rows(&[4])).await;
    let at = |files: &[DataFile]| std::path::PathBuf::from(files[0].file_path().strip_prefix("file://").unwrap());
    let old = SystemTime::now() - Duration::from_secs(4 * 86_400);
    let age = |path: &Path| std::fs::File::open(path).unwrap().set_modified(old).unwrap();
    files(&of(&table)).iter().for_each(|file| age(Path::new(file)));
    std::fs::File::open(at(&in_flight)).unwrap().set_modified(SystemTime::now()).unwrap();
    let found = lake.orphans(&table, NONE).await.unwrap();
    assert_eq!(found.files, [at(&lost).display().to_string().trim_start_matches('/')]);
    let removed = lake.remove_orphans(&table, NONE).await.unwrap();
    assert_eq!(removed, found);
    assert!(!at(&lost).exists() && at(&in_flight).exists());
    let table = lake.load_table(table.name()).await.unwrap().unwrap();
    assert_eq!(ids(&table).await, [1, 2]);
    assert_eq!(needed(&table).await.difference(&files(&of(&table))).count(), 0);
    // It comes after all, prepared before: it is in.
    let table = lake.commit(&table, appending(in_flight), &retry).await.unwrap();
    assert_eq!(ids(&table).await, [1, 2, 4]);
    // Nothing to do makes no commit.
    let head = table.head();
    assert_eq!(lake.remove_orphans(&table, NONE).await.unwrap(), crate::Orphans::default());
    assert_eq!(lake.load_table(table.name()).await.unwrap().unwrap().head(), head);
    // Another project's table, and one whose files must stay.
    let other = Lake::open_as(lake.config().clone(), "q").await.unwrap();
    let theirs = other.load_table(table.name()).await.unwrap().unwrap();
    let stray = of(&table).join("data/stray");
    std::fs::write(&stray, "x").unwrap();
    age(&stray);
    assert_eq!(other.remove_orphans(&theirs, NONE).await.unwrap(), crate::Orphans::default());
    let keeps = Commit { set_properties: BTreeMap::from([("gc.enabled".into(), "false".into())]), ..appending(vec![]) };
    let table = lake.commit(&table, keeps, &retry).await.unwrap();
    assert_eq!(lake.remove_orphans(&table, NONE).await.unwrap(), crate::Orphans::default());
    assert!(stray.exists());
}

#[tokio::test]
async fn tables_below_a_table_keep_their_files() {
    let (_folder, lake) = forgetful().await;
    let table = append(&create(&lake, "t", plain()).await, &[1]).await;
    let old = SystemTime::now() - Duration::from_secs(4 * 86_400);
    // Namespaces `bronze.t` and `bronze.t.data`, with tables that no catalog here knows.
    let below = [
        "c/data/9f/x",
        "c/metadata/x",
        "data/data/9f/x",
        "data/metadata/x",
        "data/9f/data/9f/x",
        "metadata/metadata/x",
    ];
    let stray = ["data/9f/x", "data/x", "metadata/x"];
    for name in below.iter().chain(&stray) {
        let path = of(&table).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "x").unwrap();
        std::fs::File::open(path).unwrap().set_modified(old).unwrap();
    }
    assert_eq!(lake.remove_orphans(&table, NONE).await.unwrap().files.len(), stray.len());
    assert!(below.iter().all(|name| of(&table).join(name).exists()));
    assert!(stray.iter().all(|name| !of(&table).join(name).exists()));
}

#[tokio::test]
async fn a_commit_of_files_that_may_be_taken_for_orphans_is_refused() {
    let (_folder, lake) = lake().await;
    let table = create(&lake, "t", plain()).await;
    let file = write(&table, &rows(&[1])).await.remove(0);
    // The same file under a name of two days ago.
    let then = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() - Duration::from_secs(2 * 86_400);
    let id = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, then.as_secs(), 0));
    let old = format!("{}/data/{:02x}/{id}.parquet", table.metadata().location(), id.as_bytes()[15]);
    let aged = iceberg::spec::DataFileBuilder::default()
        .content(file.content_type())
        .file_path(old)
        .file_format(file.file_format())
        .partition(file.partition().clone())
        .record_count(file.record_count())
        .file_size_in_bytes(file.file_size_in_bytes())
        .build()
        .unwrap();
    let refused = lake.commit(&table, appending(vec![aged]), &retry).await;
    assert!(matches!(refused, Err(CommitError::Superseded { .. })), "{refused:?}");
    lake.commit(&table, appending(vec![file]), &retry).await.unwrap();
}

#[tokio::test]
async fn full_manifests_do_not_have_the_small_ones_merged_each_time() {
    let (_folder, lake) = lake().await;
    let mut table = create(&lake, "t", plain()).await;
    for n in 0..5 {
        table = append(&table, &[n]).await;
    }
    assert_eq!(lake.manifest_count(&table).await.unwrap(), 5);
    lake.maintain_metadata(table.name()).await.unwrap();
    let table = lake.load_table(table.name()).await.unwrap().unwrap();
    assert_eq!(lake.manifest_count(&table).await.unwrap(), 1);
    assert_eq!(ids(&table).await, [0, 1, 2, 3, 4]);
    let head = table.head();
    lake.maintain_metadata(table.name()).await.unwrap();
    assert_eq!(lake.load_table(table.name()).await.unwrap().unwrap().head(), head);
}

#[test]
fn own_files_are_known_by_their_names() {
    let own = "s3://b/w/t/data/9f/0194d1f2-7a3b-7c00-8000-00000000009f.parquet";
    assert!(crate::write::has_own_name(own));
    for other in [
        "s3://b/w/t/data/00/0194d1f2-7a3b-7c00-8000-00000000009f.parquet",
        "s3://b/w/t/data/00000-0-0194d1f2-7a3b-7c00-8000-00000000009f.parquet",
        "s3://b/w/t/data/9f/0194d1f2-7a3b-4c00-8000-00000000009f.parquet",
        "s3://b/w/t/data/9f/part.parquet",
    ] {
        assert!(!crate::write::has_own_name(other), "{other}");
    }
}
