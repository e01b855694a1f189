//! Rows out of their files, new rows in, as data files and delete files for one commit.
//!
//! ```text
//!   places of rows ─▶ by file ─┬─ few of a large file ─▶ deletes: the file stays
//!                              └─ else ─▶ copy: the rows that stay go to the new files, the file leaves
//!   rows to insert ──────────────────────▶ new files
//! ```
//!
//! Invariants
//! * What leaves a file leaves it whole by one way: no row is both copied and deleted.
//! * Hidden state columns travel with their rows.
//!
//! Not here: the delete files themselves (`ingot_lake::delete_rows`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};
use ingot_lake::{Basis, Commit, FileRef, LakeTableProvider, RowDeletes, ScanOptions, Table, Writer, delete_rows};
use ingot_model::file_settings::{RowMode, is_version_3};
use ingot_model::place::{FILE, POSITION};
use ingot_model::{Definition, Operation};

use crate::error::{PipelineError, Result};

/// A file is copied where deletes take more than one of so many of its rows, old ones with new ones: upkeep would do it next.
const DELETED_SHARE: u64 = 4;
/// A file below this is copied: that costs about what a delete file does, and leaves readers one file less instead of one more.
const COPIED_BYTES_MAX: u64 = 128 << 10;

/// Files for one commit.
#[derive(Default)]
pub struct Rewritten {
    commit: Commit,
    pub rows_out: u64,
}

impl Rewritten {
    /// The commit that they make, but for what it says of itself.
    pub fn commit(self) -> Commit {
        let adds = !self.commit.add.is_empty();
        let takes = !self.commit.remove.is_empty() || !self.commit.deletes.is_empty();
        let operation = match (adds, takes) {
            (_, false) => Operation::Append,
            (false, true) => Operation::Delete,
            (true, true) => Operation::Overwrite,
        };
        Commit { operation, ..self.commit }
    }
}

/// Rows to add: public, then state columns.
pub enum Insert {
    Rows(Vec<RecordBatch>),
    /// As many as there are; they go to files as they come.
    Stream(SendableRecordBatchStream),
}

/// Removes rows by place, in the way that `mode` says, and adds `insert`; `definition` is what the commit changes the table
/// to, if it does.
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
    mode: RowMode,
) -> Result<Rewritten> {
    let mut writer = Writer::new(table, definition)?.counted_in(&ctx.runtime_env().memory_pool);
    let by_file = by_file(table, live, remove)?;
    // The commit that brings format version 3 adds no file of positions: version 3 takes vectors alone.
    let upgrades = definition.is_some_and(|d| is_version_3(&d.properties)) && !table.has_lineage();
    let mode = if upgrades { RowMode::CopyOnWrite } else { mode };
    let (copied, deleted): (Vec<_>, Vec<_>) =
        by_file.into_iter().partition(|(file, positions)| is_copied(mode, file, positions.len() as u64));
    if !copied.is_empty() {
        writer = writer.keeping_lineage();
    }
    let written = write(ctx, table, &copied, insert, &mut writer).await;
    let (rows_out, add) = writer.close_after(written).await?;
    let deletes = match deletes(ctx, table, &deleted).await {
        Ok(deletes) => deletes,
        Err(error) => {
            table.lake().delete_unused(&add).await;
            return Err(error);
        }
    };
    let basis = Basis::of(table, copied.iter().chain(&deleted).map(|(file, _)| file));
    let remove = copied.into_iter().map(|(file, _)| file.path).collect();
    Ok(Rewritten { commit: Commit { add, remove, deletes, basis, ..Commit::default() }, rows_out })
}

/// Rows of a file by their positions.
type Leaving = (FileRef, Vec<i64>);

fn by_file(table: &Table, live: &[FileRef], remove: &[(String, i64)]) -> Result<Vec<Leaving>> {
    let mut places: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for (file, position) in remove {
        places.entry(file).or_default().push(*position);
    }
    let live: HashMap<&str, &FileRef> = live.iter().map(|file| (file.path.as_str(), file)).collect();
    let known = |(path, mut positions): (&str, Vec<i64>)| {
        positions.sort_unstable();
        positions.dedup();
        let file = live.get(path).map(|file| ((*file).clone(), positions));
        file.ok_or_else(|| {
            PipelineError::stopped("D0104", format!("file {path} is not part of \"{}\" any more", table.name()))
        })
    };
    places.into_iter().map(known).collect()
}

/// Whether a file that loses so many rows is written anew.
fn is_copied(mode: RowMode, file: &FileRef, leaving: u64) -> bool {
    let rows = file.data_file.record_count();
    let gone = file.rows_deleted().saturating_add(leaving);
    match mode {
        RowMode::CopyOnWrite => true,
        // A file of which nothing is left leaves the table.
        RowMode::MergeOnRead => gone >= rows,
        RowMode::ByCost => {
            gone.saturating_mul(DELETED_SHARE) > rows || file.data_file.file_size_in_bytes() < COPIED_BYTES_MAX
        }
    }
}

/// Deletes of rows of files that stay.
async fn deletes(ctx: &SessionContext, table: &Table, rows: &[Leaving]) -> Result<RowDeletes> {
    if rows.is_empty() {
        return Ok(RowDeletes::default());
    }
    let deletes = delete_rows(table, &ctx.runtime_env(), rows).await?;
    let wanted = rows.iter().map(|(_, positions)| positions.len() as u64).sum::<u64>();
    if deletes.rows() != wanted {
        table.lake().delete_unused(&deletes.written()).await;
        return Err(gone(table, wanted - deletes.rows().min(wanted), wanted, "the files of the table"));
    }
    Ok(deletes)
}

fn gone(table: &Table, missing: u64, of: u64, place: &str) -> PipelineError {
    PipelineError::stopped("D0104", format!("{missing} of {of} rows to replace are not in {place}"))
        .with_hint(format!("ingot verify {0}; ingot refresh {0} --full", table.name()))
}

/// Writes the rows that stay of the files that are copied, and those to add. Gives how many of the latter.
async fn write(
    ctx: &SessionContext,
    table: &Table,
    copied: &[Leaving],
    insert: Insert,
    writer: &mut Writer,
) -> Result<u64> {
    for (file, positions) in copied {
        let options = ScanOptions {
            snapshot: table.head(),
            with_state: !table.state_columns().is_empty(),
            with_positions: true,
            with_lineage: table.has_lineage(),
            files: Some(vec![file.clone()]),
            ..ScanOptions::default()
        };
        let provider = LakeTableProvider::try_new(table, options).await?;
        let mut rows = ctx.read_table(Arc::new(provider))?.execute_stream().await?;
        let leaving: HashSet<i64> = positions.iter().copied().collect();
        let mut hit = 0;
        while let Some(batch) = rows.try_next().await? {
            let pos = column(&batch, POSITION)?.as_primitive::<Int64Type>().clone();
            let keep: BooleanArray = (0..pos.len()).map(|i| Some(!leaving.contains(&pos.value(i)))).collect();
            hit += keep.len() - keep.true_count();
            let kept = without_places(&filter_record_batch(&batch, &keep).map_err(arrow)?)?;
            if kept.num_rows() > 0 {
                writer.write(&kept).await?;
            }
        }
        if hit != positions.len() {
            return Err(gone(table, (positions.len() - hit) as u64, positions.len() as u64, &file.path));
        }
    }
    let mut insert = match insert {
        Insert::Rows(rows) => futures::stream::iter(rows.into_iter().map(Ok)).boxed(),
        Insert::Stream(rows) => rows.boxed(),
    };
    let mut rows_out = 0;
    while let Some(batch) = insert.try_next().await? {
        rows_out += batch.num_rows() as u64;
        writer.write(&batch).await?;
    }
    Ok(rows_out)
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
