//! Rows deleted by delete files of our own: random histories against a plain model, totals counted anew, conflicts.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use datafusion::prelude::SessionContext;
use iceberg::spec::{DataContentType, ManifestContentType};
use ingot_model::Count;

use super::*;
use crate::read::rewrites::change_between;
use crate::{Basis, Compaction, FileRef, LakeTableProvider, ScanOptions, Small, delete_rows, live_files};

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

async fn head_files(table: &Table) -> Vec<FileRef> {
    live_files(table, table.head().unwrap()).await.unwrap()
}

/// The values of `id` that a scan gives, each with its place.
async fn scanned(table: &Table, options: ScanOptions) -> Vec<(i64, String, i64)> {
    let session = SessionContext::new();
    let options = ScanOptions { with_positions: true, ..options };
    let provider = LakeTableProvider::try_new(table, options).await.unwrap();
    let batches = session.read_table(Arc::new(provider)).unwrap().collect().await.unwrap();
    let mut rows = Vec::new();
    for batch in batches {
        let ids = batch.column_by_name("id").unwrap().as_any().downcast_ref::<Int64Array>().unwrap().clone();
        let files = batch.column_by_name("_ingot_file").unwrap();
        let files = files.as_any().downcast_ref::<StringArray>().unwrap().clone();
        let places = batch.column_by_name("_ingot_pos").unwrap();
        let places = places.as_any().downcast_ref::<Int64Array>().unwrap().clone();
        rows.extend((0..ids.len()).map(|i| (ids.value(i), files.value(i).to_owned(), places.value(i))));
    }
    rows.sort();
    rows
}

/// Of each value of `id` the row's id and the sequence number of its last change.
async fn lineage(table: &Table) -> BTreeMap<i64, (i64, i64)> {
    let options = ScanOptions { with_lineage: true, ..ScanOptions::default() };
    let provider = LakeTableProvider::try_new(table, options).await.unwrap();
    let batches = SessionContext::new().read_table(Arc::new(provider)).unwrap().collect().await.unwrap();
    let mut rows = BTreeMap::new();
    for batch in batches {
        let of = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().clone();
        let (ids, row_ids, updated) = (of("id"), of("_row_id"), of("_last_updated_sequence_number"));
        for at in 0..batch.num_rows() {
            assert!(row_ids.is_valid(at) && updated.is_valid(at));
            assert!(rows.insert(ids.value(at), (row_ids.value(at), updated.value(at))).is_none());
        }
    }
    rows
}

/// Rows that stay keep their ids and what is said of their last change, however their files are written anew; a new row has
/// an id that none had before, and this commit's number. `known` has all rows that there ever were.
async fn rows_keep_their_ids(table: &Table, known: &mut BTreeMap<i64, (i64, i64)>) {
    let now = lineage(table).await;
    let number = table.snapshot(table.head().unwrap()).unwrap().sequence_number;
    let mut used: BTreeSet<i64> = known.values().map(|row| row.0).collect();
    for (id, row) in now {
        match known.get(&id) {
            Some(was) => assert_eq!(row, *was, "id {id}"),
            None => {
                assert!(used.insert(row.0), "row id {} was used before", row.0);
                assert_eq!(row.1, number, "id {id}");
                known.insert(id, row);
            }
        }
    }
    let next = i64::try_from(table.metadata().next_row_id()).unwrap();
    assert!(known.values().all(|row| row.0 < next));
}

async fn values(table: &Table, options: ScanOptions) -> Vec<i64> {
    scanned(table, options).await.into_iter().map(|row| row.0).collect()
}

async fn deleting(table: &Table, gone: &BTreeSet<i64>) -> Commit {
    let mut places: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (id, file, at) in scanned(table, ScanOptions::default()).await {
        if gone.contains(&id) {
            places.entry(file).or_default().push(at);
        }
    }
    let files = head_files(table).await;
    let of = |path: &String| files.iter().find(|file| file.path == *path).unwrap().clone();
    let rows: Vec<(FileRef, Vec<i64>)> = places.into_iter().map(|(path, at)| (of(&path), at)).collect();
    let env = SessionContext::new().runtime_env();
    let deletes = delete_rows(table, &env, &rows).await.unwrap();
    assert_eq!(deletes.rows(), rows.iter().map(|(_, at)| at.len() as u64).sum::<u64>());
    let basis = Basis::of(table, rows.iter().map(|(file, _)| file));
    Commit { commit_id: Uuid::new_v4(), operation: Operation::Delete, deletes, basis, ..Commit::default() }
}

/// What the summary of the head says is what its manifests hold; a data file has one delete object, and none is left of a file
/// that went.
async fn totals_are_right(table: &Table) {
    let entries = entries(table).await;
    let head = table.snapshot(table.head().unwrap()).unwrap();
    let count = |of| head.count(of).unwrap().unwrap_or(0);
    let of = |content: DataContentType| entries.iter().filter(move |e| e.data_file().content_type() == content);
    let sum = |content| of(content).map(|e| e.data_file().record_count()).sum::<u64>();
    let (data, deletes) = (DataContentType::Data, DataContentType::PositionDeletes);
    assert_eq!(count(Count::TotalDataFiles), of(data).count() as u64);
    assert_eq!(count(Count::TotalRecords), sum(data));
    assert_eq!(count(Count::TotalDeleteFiles), of(deletes).count() as u64);
    assert_eq!(count(Count::TotalPositionDeletes), sum(deletes));
    let paths: BTreeSet<&str> = of(data).map(|e| e.file_path()).collect();
    let mut named = BTreeSet::new();
    for entry in of(deletes) {
        let referenced = entry.data_file().referenced_data_file().unwrap();
        assert!(paths.contains(referenced.as_str()), "deletes of {referenced}, which is gone");
        assert!(named.insert(referenced), "two delete files of one data file");
        assert!(entry.sequence_number().is_some_and(|n| n > 0));
    }
}

#[tokio::test]
async fn histories_of_rows_that_leave_by_delete_files() {
    for seed in 1..=12_u64 {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let (_folder, lake) = lake().await;
        let third =
            Definition { properties: BTreeMap::from([("format-version".to_owned(), "3".to_owned())]), ..plain() };
        // Version 2, version 3, and one that becomes the other.
        let (first, becomes) = match seed % 3 {
            0 => (plain(), None),
            1 => (third.clone(), None),
            _ => (plain(), Some((seed / 3 + 3, third.clone()))),
        };
        let mut table = create(&lake, "t", first).await;
        let (mut model, mut next) = (BTreeSet::<i64>::new(), 0);
        let (mut past, mut known) = (Vec::new(), BTreeMap::new());
        for step in 0..18 {
            if let Some((_, definition)) = becomes.as_ref().filter(|(at, _)| *at == step) {
                let commit = Commit {
                    commit_id: Uuid::new_v4(),
                    operation: Operation::Append,
                    definition: Some(definition.clone()),
                    ..Commit::default()
                };
                table = lake.commit(&table, commit, &retry).await.unwrap();
                assert!(table.has_lineage());
                known = lineage(&table).await;
            }
            match if model.is_empty() { 0 } else { dice.throw(6) } {
                0 | 1 => {
                    let ids: Vec<i64> = (next..next + 20 + dice.throw(40).cast_signed()).collect();
                    next += 100;
                    model.extend(&ids);
                    table = append(&table, &ids).await;
                }
                // Some go, and some come in the same commit.
                2 | 3 => {
                    let gone: BTreeSet<i64> = model.iter().copied().filter(|_| dice.throw(7) == 0).collect();
                    let mut commit = deleting(&table, &gone).await;
                    model.retain(|id| !gone.contains(id));
                    if dice.throw(2) == 0 {
                        commit.add = write(&table, &rows(&[next])).await;
                        commit.operation = Operation::Overwrite;
                        model.insert(next);
                        next += 100;
                    }
                    table = lake.commit(&table, commit, &retry).await.unwrap();
                }
                // A file goes, with what was deleted of it.
                4 => {
                    let path = head_files(&table).await[0].path.clone();
                    let stays = scanned(&table, ScanOptions::default()).await;
                    let left: Vec<i64> = stays.iter().filter(|row| row.1 == path).map(|row| row.0).collect();
                    model.retain(|id| !left.contains(id));
                    table = overwrite(&table, Commit { remove: vec![path], ..Commit::default() }).await.unwrap();
                }
                _ => {
                    let all = Compaction {
                        small: Small::All,
                        bytes_max: u64::MAX,
                        file_bytes_max: None,
                        below: None,
                        among: None,
                    };
                    let session = SessionContext::new();
                    if let Some(done) = lake.compact(&session, &table, all).await.unwrap() {
                        table = done.table;
                    }
                }
            }
            assert_eq!(values(&table, ScanOptions::default()).await, model.iter().copied().collect::<Vec<_>>());
            totals_are_right(&table).await;
            if table.has_lineage() {
                rows_keep_their_ids(&table, &mut known).await;
            }
            past.push((table.head().unwrap(), model.clone()));
        }
        lake.maintain_metadata(table.name()).await.unwrap();
        let table = lake.load_table(table.name()).await.unwrap().unwrap();
        if table.has_lineage() {
            rows_keep_their_ids(&table, &mut known).await;
        }
        assert_eq!(values(&table, ScanOptions::default()).await, model.into_iter().collect::<Vec<_>>());
        totals_are_right(&table).await;
        for _ in 0..20 {
            let (from, before) = &past[dice.throw(past.len() as u64) as usize];
            let (to, after) = &past[dice.throw(past.len() as u64) as usize];
            let change = change_between(&table, Some(*from), *to).await.unwrap();
            let mut weights: BTreeMap<i64, i64> = BTreeMap::new();
            for (files, weight) in [(change.added, 1), (change.removed, -1)] {
                for id in values(&table, ScanOptions { files: Some(files), ..ScanOptions::default() }).await {
                    *weights.entry(id).or_default() += weight;
                }
            }
            let of = |sign: i64| -> Vec<i64> {
                weights.iter().flat_map(|(id, n)| std::iter::repeat_n(*id, (n * sign).max(0) as usize)).collect()
            };
            assert_eq!(of(1), after.difference(before).copied().collect::<Vec<_>>(), "seed {seed}: {from} to {to}");
            assert_eq!(of(-1), before.difference(after).copied().collect::<Vec<_>>(), "seed {seed}: {from} to {to}");
        }
    }
}

/// Two that delete rows of one file conflict; of two files they do not, and neither do appends and rewrites of others.
#[tokio::test]
async fn what_conflicts_in_truth_and_no_more() {
    let (_folder, lake) = lake().await;
    let table = create(&lake, "t", plain()).await;
    let one = append(&table, &[1, 2, 3]).await;
    let base = append(&one, &[11, 12, 13]).await;
    let (first, second) = (deleting(&base, &BTreeSet::from([1])).await, deleting(&base, &BTreeSet::from([2])).await);
    let other = deleting(&base, &BTreeSet::from([12])).await;
    let gone = deleting(&base, &BTreeSet::from([13])).await;
    lake.commit(&base, first, &retry).await.unwrap();
    append(&base, &[21]).await;
    let refused = lake.commit(&base, second, &retry).await;
    assert!(matches!(&refused, Err(CommitError::Superseded { reason, .. }) if reason.contains("deleted meanwhile")));
    let now = lake.commit(&base, other, &retry).await.unwrap();
    assert_eq!(values(&now, ScanOptions::default()).await, [2, 3, 11, 13, 21]);
    totals_are_right(&now).await;
    // A file that was brought together with others is not there any more.
    let all = Compaction { small: Small::All, bytes_max: u64::MAX, file_bytes_max: None, below: None, among: None };
    let done = lake.compact(&SessionContext::new(), &now, all).await.unwrap().unwrap();
    let refused = lake.commit(&base, gone, &retry).await;
    assert!(matches!(&refused, Err(CommitError::Superseded { reason, .. }) if reason.contains("are gone")));
    totals_are_right(&done.table).await;
    assert_eq!(values(&done.table, ScanOptions::default()).await, [2, 3, 11, 13, 21]);
    assert!(head_files(&done.table).await.iter().all(|file| file.rows_deleted() == 0));
}

/// A rewrite of files gives way where rows of one of them were deleted, and to nothing else.
#[tokio::test]
async fn a_rewrite_gives_way_to_deletes_of_its_files_alone() {
    for hits in [true, false] {
        let (_folder, lake) = lake().await;
        let table = create(&lake, "t", plain()).await;
        let mut base = append(&table, &[1, 2, 3]).await;
        base = append(&base, &[11, 12]).await;
        let chosen = head_files(&base).await;
        let chosen: Vec<&FileRef> = chosen.iter().take(1).collect();
        let add = write(&base, &rows(&values(&base, files_of(&chosen)).await)).await;
        let replace = Commit {
            operation: Operation::Replace,
            add,
            remove: chosen.iter().map(|file| file.path.clone()).collect(),
            basis: Basis::of(&base, chosen.iter().copied()),
            ..Commit::default()
        };
        let within: Vec<i64> = values(&base, files_of(&chosen)).await;
        let id = if hits { within[0] } else { if within[0] == 1 { 11 } else { 1 } };
        let deleted = deleting(&base, &BTreeSet::from([id])).await;
        let now = lake.commit(&base, deleted, &retry).await.unwrap();
        let outcome = lake.commit(&base, replace, &retry).await;
        let now = match hits {
            true => {
                assert!(matches!(outcome, Err(CommitError::Superseded { .. })), "{outcome:?}");
                now
            }
            false => outcome.unwrap(),
        };
        let left: Vec<i64> = [1, 2, 3, 11, 12].into_iter().filter(|of| *of != id).collect();
        assert_eq!(values(&now, ScanOptions::default()).await, left);
        totals_are_right(&now).await;
    }
}

fn files_of(chosen: &[&FileRef]) -> ScanOptions {
    ScanOptions { files: Some(chosen.iter().map(|file| (*file).clone()).collect()), ..ScanOptions::default() }
}

/// Delete manifests are merged as those of data are, and a position that is not there takes nothing.
#[tokio::test]
async fn delete_manifests_are_merged() {
    let (_folder, lake) = lake().await;
    let mut table = create(&lake, "t", plain()).await;
    for n in 0..4 {
        table = append(&table, &[10 * n, 10 * n + 1]).await;
    }
    for n in 0..4 {
        let commit = deleting(&table, &BTreeSet::from([10 * n])).await;
        table = lake.commit(&table, commit, &retry).await.unwrap();
    }
    lake.maintain_metadata(table.name()).await.unwrap();
    let table = lake.load_table(table.name()).await.unwrap().unwrap();
    let head = table.metadata().current_snapshot().unwrap();
    let manifests = lake.0.manifests.list(table.metadata(), head).await.unwrap();
    let deletes = manifests.iter().filter(|m| m.content == ManifestContentType::Deletes).count();
    assert_eq!((manifests.len(), deletes), (2, 1));
    assert_eq!(values(&table, ScanOptions::default()).await, [1, 11, 21, 31]);
    totals_are_right(&table).await;
    let file = head_files(&table).await.remove(0);
    let env = SessionContext::new().runtime_env();
    let none = delete_rows(&table, &env, &[(file, vec![0, 2, -1, 1 << 40])]).await.unwrap();
    assert_eq!((none.rows(), none.is_empty()), (0, true));
}
