//! A scan gives the rows that were written, whatever it skips and however old the
//! files are.

use ingot_model::{Column, Definition, Operation, PartitionBy, Record, TableName, Transform, property};

mod absent;
mod deletes;
mod evolution;
mod floats;
mod late;
mod order;
mod planning;
mod pruning;
mod rows;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use datafusion::prelude::{SessionConfig, SessionContext};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::commit::{Commit, Rebase};
use crate::lake::Lake;
use crate::table::definition::NewTable;
use crate::write::Writer;
use ingot_model::{LakeConfig, S3Config};

/// A lake in a folder of its own.
pub(super) struct Fixture {
    _folder: TempDir,
    lake: Lake,
}

impl Fixture {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = LakeConfig {
            catalog_name: "ingot".to_owned(),
            catalog_uri: None,
            warehouse: format!("file://{}", folder.path().display()),
            s3: S3Config::default(),
        };
        Self { lake: Lake::open(config).await.unwrap(), _folder: folder }
    }

    pub(super) async fn create(&self, definition: Definition) -> Table {
        let name = TableName::new("bronze", format!("t{}", Uuid::new_v4().simple()));
        let new = NewTable { name, definition, first_summary: None };
        self.lake.create_table(new).await.unwrap()
    }
}

pub(super) fn definition(columns: &[(&str, DataType)]) -> Definition {
    Definition {
        columns: columns
            .iter()
            .map(|(name, data_type)| Column {
                name: (*name).to_owned(),
                data_type: data_type.clone(),
                nullable: true,
                comment: None,
            })
            .collect(),
        ..Definition::default()
    }
}

pub(super) fn partitioned(mut of: Definition, by: &[(&str, Transform)]) -> Definition {
    of.partition = by
        .iter()
        .map(|(column, transform)| PartitionBy { column: (*column).to_owned(), transform: *transform })
        .collect();
    of
}

pub(super) fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap()
}

fn ours() -> Record {
    [(property::ENGINE_NAME.to_owned(), property::ENGINE.to_owned())].into_iter().collect()
}

pub(super) async fn commit(table: &Table, change: Commit) -> Table {
    let change = Commit { commit_id: Uuid::new_v4(), summary: ours(), ..change };
    table.lake().commit(table, change, &|_| Rebase::Retry).await.unwrap()
}

pub(super) async fn write(table: &Table, definition: Option<&Definition>, rows: &RecordBatch) -> Vec<crate::DataFile> {
    let mut writer = Writer::new(table, definition).unwrap();
    writer.write(rows).await.unwrap();
    writer.close().await.unwrap()
}

/// Appends each batch as files of its own, all in one snapshot.
pub(super) async fn append(table: &Table, batches: &[RecordBatch]) -> Table {
    let mut add = Vec::new();
    for rows in batches {
        add.extend(write(table, None, rows).await);
    }
    commit(table, Commit { operation: Operation::Append, add, ..Commit::default() }).await
}

/// Changes the definition and appends rows of the new one.
pub(super) async fn evolve(table: &Table, to: Definition, rows: &RecordBatch) -> Table {
    let add = write(table, Some(&to), rows).await;
    let change = Commit { operation: Operation::Append, add, definition: Some(to), ..Commit::default() };
    commit(table, change).await
}

pub(super) async fn context(table: &Table, options: ScanOptions) -> SessionContext {
    configured(table, options, SessionConfig::new().with_target_partitions(3)).await
}

pub(super) async fn configured(table: &Table, options: ScanOptions, config: SessionConfig) -> SessionContext {
    let context = SessionContext::new_with_config(config);
    let provider = LakeTableProvider::try_new(table, options).await.unwrap();
    context.register_table("t", Arc::new(provider)).unwrap();
    context
}

pub(super) fn in_memory(rows: &[RecordBatch]) -> SessionContext {
    let context = SessionContext::new();
    let schema: Arc<Schema> = rows[0].schema();
    let table = MemTable::try_new(schema, vec![rows.to_vec()]).unwrap();
    context.register_table("t", Arc::new(table)).unwrap();
    context
}

pub(super) async fn plan(context: &SessionContext, sql: &str) -> (String, Arc<dyn ExecutionPlan>) {
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let text = displayable(plan.as_ref()).indent(true).to_string();
    (text, plan)
}

/// The rows of a query as sorted lines.
pub(super) async fn lines(context: &SessionContext, sql: &str) -> Vec<String> {
    answer(context, sql).await.unwrap()
}

/// The same, or why there are none.
pub(super) async fn answer(context: &SessionContext, sql: &str) -> Result<Vec<String>> {
    let batches = context.sql(sql).await?.collect().await?;
    let text = pretty_format_batches(&batches).unwrap().to_string();
    let mut lines: Vec<String> = text
        .lines()
        .filter(|l| l.starts_with('|'))
        .skip(1)
        .map(|l| {
            let cells: Vec<&str> = l.trim_matches('|').split('|').map(str::trim).collect();
            cells.join(",")
        })
        .collect();
    lines.sort();
    Ok(lines)
}

pub(super) fn taken(log: &ScanLog) -> usize {
    std::mem::take(&mut *log.lock().unwrap()).len()
}
