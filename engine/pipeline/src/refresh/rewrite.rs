//! Copy-on-write: rows out of their files, new rows in, as data files for one commit.
//!
//! Invariants
//! * A file with a removed row is read whole, written again without the row, and leaves the table; others stay.
//! * Hidden state columns travel with their rows.

use std::collections::{BTreeMap, HashSet};

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};
use ingot_lake::{DataFile, FileRef, LakeTableProvider, ScanOptions, Table, Writer};
use ingot_model::place::{FILE, POSITION};
use ingot_model::{Definition, Operation};

use crate::error::{PipelineError, Result};

/// Files for one commit.
#[derive(Default)]
pub struct Rewritten {
    pub add: Vec<DataFile>,
    pub remove: Vec<String>,
    pub rows_out: u64,
    pub rows_rewritten: u64,
}

impl Rewritten {
    /// What kind of change readers are told this is.
    pub fn operation(&self) -> Operation {
        match (self.add.is_empty(), self.remove.is_empty()) {
            (_, true) => Operation::Append,
            (true, false) => Operation::Delete,
            (false, false) => Operation::Overwrite,
        }
    }
}

/// Rows to add: public, then state columns.
pub enum Insert {
    Rows(Vec<RecordBatch>),
    /// As many as there are; they go to files as they come.
    Stream(SendableRecordBatchStream),
}

/// Removes rows by place and adds `insert`; `definition` is what the commit changes the
/// table to, if it does.
///
/// # Errors
/// Lake and execution errors; D0104 when a place does not exist, which means the target changed under us.
pub async fn rewrite(
    ctx: &SessionContext,
    table: &Table,
    live: &[FileRef],
    remove: &[(String, i64)],
    insert: Insert,
    definition: Option<&Definition>,
) -> Result<Rewritten> {
    let mut writer = Writer::new(table, definition)?.counted_in(&ctx.runtime_env().memory_pool);
    let written = write(ctx, table, live, remove, insert, &mut writer).await;
    let (out, add) = writer.close_after(written).await?;
    Ok(Rewritten { add, ..out })
}

/// Writes the rows that stay of the files that lose some, and those to add.
async fn write(
    ctx: &SessionContext,
    table: &Table,
    live: &[FileRef],
    remove: &[(String, i64)],
    insert: Insert,
    writer: &mut Writer,
) -> Result<Rewritten> {
    let mut places: BTreeMap<&str, HashSet<i64>> = BTreeMap::new();
    for (file, pos) in remove {
        places.entry(file).or_default().insert(*pos);
    }
    let mut out = Rewritten::default();
    for (path, positions) in &places {
        let file = live.iter().find(|f| f.path == *path).ok_or_else(|| {
            PipelineError::stopped("D0104", format!("file {path} is not part of \"{}\" any more", table.name()))
        })?;
        let options = ScanOptions {
            snapshot: table.head(),
            with_state: !table.state_columns().is_empty(),
            with_positions: true,
            files: Some(vec![file.clone()]),
            ..ScanOptions::default()
        };
        let provider = LakeTableProvider::try_new(table, options).await?;
        let mut rows = ctx.read_table(std::sync::Arc::new(provider))?.execute_stream().await?;
        let mut hit = 0;
        while let Some(batch) = rows.try_next().await? {
            let pos = column(&batch, POSITION)?.as_primitive::<Int64Type>().clone();
            let keep: BooleanArray = (0..pos.len()).map(|i| Some(!positions.contains(&pos.value(i)))).collect();
            hit += keep.len() - keep.true_count();
            let kept = without_places(&filter_record_batch(&batch, &keep).map_err(arrow)?)?;
            out.rows_rewritten += kept.num_rows() as u64;
            if kept.num_rows() > 0 {
                writer.write(&kept).await?;
            }
        }
        if hit != positions.len() {
            let text = format!("{} of {} rows to replace are not in {path}", positions.len() - hit, positions.len());
            return Err(PipelineError::stopped("D0104", text)
                .with_hint(format!("ingot verify {0}; ingot refresh {0} --full", table.name())));
        }
        out.remove.push((*path).to_owned());
    }
    let mut insert = match insert {
        Insert::Rows(rows) => futures::stream::iter(rows.into_iter().map(Ok)).boxed(),
        Insert::Stream(rows) => rows.boxed(),
    };
    while let Some(batch) = insert.try_next().await? {
        out.rows_out += batch.num_rows() as u64;
        writer.write(&batch).await?;
    }
    Ok(out)
}

/// A batch without the place columns.
///
/// # Errors
/// Columns that cannot be projected; column names are distinct, so they always can.
pub(crate) fn without_places(batch: &RecordBatch) -> Result<RecordBatch> {
    let keep: Vec<usize> = batch
        .schema()
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, f)| f.name() != FILE && f.name() != POSITION)
        .map(|(i, _)| i)
        .collect();
    batch.project(&keep).map_err(arrow)
}

/// The column of this name.
///
/// # Errors
/// When there is none.
pub fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| {
        PipelineError::Engine(datafusion::error::DataFusionError::Internal(format!("a scan lacks column {name}")))
    })
}

/// As an error of a refresh.
pub fn arrow(error: datafusion::arrow::error::ArrowError) -> PipelineError {
    PipelineError::Engine(error.into())
}
