//! Snapshots that stay between what a reader stands on and the history that is kept whole: one that is far behind goes on
//! by one of them at a time, and holds no more than came in between.
//!
//! ```text
//!   pinned ─▶ .. ─▶ mark ─▶ .. ─▶ mark ─▶ .. ─▶ │ kept whole │ head
//!   └── so many rows ──┘└─ so many rows ─┘
//! ```
//!
//! Invariants
//! * Pure. What is chosen of what was left by choosing is the same.
//! * Few: the further behind the reader is, the further apart they are.
//!
//! Not here: what else is kept (`expire`).

use std::sync::Arc;

use iceberg::spec::{Operation, SnapshotRef, TableMetadata};
use ingot_model::{Count, TableName};

use crate::error::Result;
use crate::table::info;

/// Rows between two of them.
pub(super) const ROWS: u64 = 100_000;
/// About so many at most.
pub(super) const MARKS_MAX: u64 = 256;

/// The marks since a snapshot.
///
/// # Errors
/// Counts that do not parse.
pub(super) fn since(table: &Arc<TableName>, metadata: &TableMetadata, pinned: &SnapshotRef) -> Result<Vec<i64>> {
    let rows = |s: &SnapshotRef| -> Result<u64> { Ok(info(table, s).count(Count::TotalRecords)?.unwrap_or(0)) };
    let is_later = |s: &&SnapshotRef| s.sequence_number() > pinned.sequence_number();
    let appends = |s: &&SnapshotRef| s.summary().operation == Operation::Append;
    let mut later: Vec<&SnapshotRef> = metadata.snapshots().filter(is_later).filter(appends).collect();
    later.sort_by_key(|s| s.sequence_number());
    let mut at = rows(pinned)?;
    let all = metadata.current_snapshot().map(rows).transpose()?.unwrap_or(0);
    let apart = ROWS.max(all.saturating_sub(at) / MARKS_MAX);
    let mut marks = Vec::new();
    for snapshot in later {
        let reached = rows(snapshot)?;
        if reached.saturating_sub(at) >= apart {
            marks.push(snapshot.snapshot_id());
            at = reached;
        }
    }
    Ok(marks)
}
