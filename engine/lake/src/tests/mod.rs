//! Tests of the lake's writing side, on tables in temporary folders.
//!
//! Not here: the scan side, whose tests stand in its own modules.

use ingot_model::{Column, Definition, Operation, Record, TableName};

mod began;
mod commits;
mod definitions;
mod faults;
mod files;
mod first;
mod layout;
mod left_out;
mod names;
mod positions;
mod records;
mod row_deletes;
mod s3;
mod unreadable;
mod upkeep;
mod uploads;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, TimeUnit};
use iceberg::spec::{DataFile, ManifestEntryRef};
use tempfile::TempDir;
use uuid::Uuid;

use crate::lake::Lake;
use crate::{Commit, CommitError, NewTable, Rebase, Table, Writer};
use ingot_model::{LakeConfig, S3Config};

pub(crate) async fn lake() -> (TempDir, Lake) {
    let folder = tempfile::tempdir().unwrap();
    let lake = open(&folder).await;
    (folder, lake)
}

pub(crate) async fn open(folder: &TempDir) -> Lake {
    Lake::open(LakeConfig {
        catalog_name: "ingot".into(),
        catalog_uri: None,
        warehouse: format!("file://{}", folder.path().display()),
        s3: S3Config::default(),
    })
    .await
    .unwrap()
}

pub(crate) fn column(name: &str, data_type: DataType) -> Column {
    Column { name: name.into(), data_type, nullable: true, comment: None }
}

pub(crate) fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Two columns: `id` BIGINT, `name` VARCHAR.
pub(crate) fn plain() -> Definition {
    Definition { columns: vec![column("id", DataType::Int64), column("name", DataType::Utf8)], ..Definition::default() }
}

pub(crate) async fn create(lake: &Lake, name: &str, definition: Definition) -> Table {
    lake.create_table(NewTable { name: TableName::new("bronze", name), definition, first_summary: None }).await.unwrap()
}

pub(crate) fn rows(ids: &[i64]) -> RecordBatch {
    let names: Vec<String> = ids.iter().map(|id| format!("n{id}")).collect();
    batch(vec![
        ("id", Arc::new(Int64Array::from(ids.to_vec())) as ArrayRef),
        ("name", Arc::new(StringArray::from(names))),
    ])
}

pub(crate) fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap()
}

pub(crate) async fn write(table: &Table, batch: &RecordBatch) -> Vec<DataFile> {
    let mut writer = Writer::new(table, None).unwrap();
    writer.write(batch).await.unwrap();
    writer.close().await.unwrap()
}

pub(crate) fn appending(add: Vec<DataFile>) -> Commit {
    Commit { commit_id: Uuid::new_v4(), add, ..Commit::default() }
}

pub(crate) fn retry(_: &Table) -> Rebase {
    Rebase::Retry
}

pub(crate) async fn append(table: &Table, ids: &[i64]) -> Table {
    let files = write(table, &rows(ids)).await;
    table.lake().commit(table, appending(files), &retry).await.unwrap()
}

pub(crate) async fn overwrite(table: &Table, change: Commit) -> Result<Table, CommitError> {
    let change = Commit { commit_id: Uuid::new_v4(), operation: Operation::Overwrite, ..change };
    table.lake().commit(table, change, &retry).await
}

/// The live entries of a table's head.
pub(crate) async fn entries(table: &Table) -> Vec<ManifestEntryRef> {
    let metadata = table.metadata();
    let Some(head) = metadata.current_snapshot() else {
        return Vec::new();
    };
    let mut entries = Vec::new();
    for file in table.lake().0.manifests.list(metadata, head).await.unwrap() {
        let manifest = file.load_manifest(table.lake().file_io()).await.unwrap();
        entries.extend(manifest.entries().iter().filter(|e| e.is_alive()).cloned());
    }
    entries
}

/// All values of `id`, sorted, read with plain Parquet readers.
pub(crate) async fn ids(table: &Table) -> Vec<i64> {
    let mut ids = Vec::new();
    for entry in entries(table).await {
        for batch in read(entry.file_path()) {
            let column = batch.column_by_name("id").unwrap();
            let column = column.as_any().downcast_ref::<Int64Array>().unwrap();
            ids.extend(column.values().iter().copied());
        }
    }
    ids.sort_unstable();
    ids
}

pub(crate) fn read(location: &str) -> Vec<RecordBatch> {
    let file = std::fs::File::open(location.strip_prefix("file://").unwrap()).unwrap();
    parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

pub(crate) fn summary(pairs: &[(&str, &str)]) -> Record {
    pairs.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())).collect()
}
