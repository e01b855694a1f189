//! What the lake tells a refresh: its inputs as they are bound, and what changed in them.
//!
//! Not here: one input's change (`changes`), what follows from it (`decide`).

use std::collections::BTreeMap;

use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::prelude::SessionContext;
use ingot_lake::{LakeError, Table};
use ingot_model::{SnapshotInfo, TableName};

use super::bases::Bases;
use super::changes::{self, Changed, Input};
use super::decide::Moved;
use super::read::Bound;
use crate::error::{PipelineError, Result};
use crate::plan::Reason;

/// The inputs of a refresh.
pub(crate) type Inputs = BTreeMap<TableName, Input>;

/// The rows added and removed in all inputs.
#[derive(Default)]
pub(crate) struct Change {
    pub inserted: Bound,
    pub deleted: Bound,
    /// Source files that are read.
    pub files: Vec<String>,
    /// Counts rows while they are held.
    pub held: Vec<MemoryReservation>,
}

/// A scan of all rows of every input, at its pinned snapshot.
///
/// # Errors
/// Lake errors.
pub(crate) async fn full_scans(inputs: &Inputs) -> Result<Bound> {
    let mut bound = Bound::new();
    for (name, input) in inputs {
        bound.insert(name.clone(), input.full_scan().await?);
    }
    Ok(bound)
}

/// The rows of all inputs at their pinned snapshots.
///
/// # Errors
/// A count that does not parse.
pub(crate) fn rows(inputs: &Inputs) -> Result<u64> {
    inputs.values().map(rows_of).sum()
}

fn rows_of(input: &Input) -> Result<u64> {
    let pinned = input.to.and_then(|id| input.table.snapshot(id));
    let rows = pinned.as_ref().map(SnapshotInfo::rows).transpose()?;
    Ok(rows.flatten().unwrap_or(0))
}

/// What changed in the inputs; the rows are empty where the change cannot be had.
///
/// # Errors
/// Lake and execution errors.
pub(crate) async fn change(
    ctx: &SessionContext,
    inputs: &Inputs,
    bytes_max: u64,
    bases_moved: bool,
) -> Result<(Moved, Change)> {
    let mut moved = Moved { bases_moved, ..Moved::default() };
    let mut change = Change::default();
    for (name, input) in inputs {
        let changed = match input.change(ctx, bytes_max).await {
            // Files of another engine that only the old snapshot holds: reading all of the new one is right.
            Err(PipelineError::Lake(e @ LakeError::Unsupported { .. })) => {
                return Ok(unreadable(Reason::new("R0547", e.to_string())));
            }
            changed => changed?,
        };
        let rows = match changed {
            Changed::TooLarge { bytes } => {
                let text = format!("{bytes} bytes of files of \"{name}\" were replaced, more than fits in memory");
                return Ok(unreadable(Reason::new("R0538", text)));
            }
            Changed::Redefined { column } => {
                let text = format!("column \"{column}\" of \"{name}\" was redefined");
                return Ok(unreadable(Reason::new("R0545", text)));
            }
            Changed::Rows(rows) => rows,
        };
        moved.rows_inserted += rows.rows_inserted;
        moved.rows_deleted += rows.rows_deleted;
        change.files.extend(rows.files);
        change.held.extend(rows.memory);
        let none = || changes::empty(input.table.defined_schema());
        change.inserted.insert(name.clone(), rows.inserted.map_or_else(none, Ok)?);
        change.deleted.insert(name.clone(), rows.deleted.map_or_else(none, Ok)?);
    }
    Ok((moved, change))
}

fn unreadable(reason: Reason) -> (Moved, Change) {
    (Moved { unreadable: Some(reason), ..Moved::default() }, Change::default())
}

/// The streaming snapshots that the last refresh of a table stands on.
///
/// # Errors
/// What it records and does not parse.
pub(crate) fn recorded_bases(table: &Table) -> Result<Bases> {
    let history = table.history();
    let recorded = history.newest_computed().map(SnapshotInfo::bases).transpose()?.flatten().unwrap_or_default();
    Ok(recorded.into_iter().filter_map(|(name, (uuid, id))| Some((name, (uuid, id?)))).collect())
}
