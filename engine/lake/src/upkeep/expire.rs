//! Which snapshots of a table may be forgotten.
//!
//! ```text
//!   head ─▶ .. ─▶ .. ─▶ │ ─▶ one with rows, and a full vector │ ─▶ .. ─▶ pinned ─▶ .. ─▶ rewrite ─▶ parent ─▶ ..
//!   └── the age kept ───┘                                      goes      stays      goes  └──── stay ────┘   goes
//! ```
//!
//! Invariants
//! * Pure: the metadata, what is kept, and the time decide.
//! * Kept are: every snapshot that was current within the age, or since readers were looked at; what branches and tags
//!   name, with the ancestors of branches; what was staged for publication, for as long as a reader's snapshot; the
//!   snapshots that readers stand on, and after the oldest of those each rewrite with its parent, the newest
//!   `REWRITES_MAX`, so that a change between two kept snapshots need not read what was only rewritten; and now and
//!   then one of the others, so that nobody has to take what came since in one piece (`marks`).
//! * The history that is kept in one piece ends where a reader of it has all it looks for: a snapshot of ours that
//!   changed rows, and a full vector of positions.
//! * Nothing is forgotten one by one: what a removal costs goes with the history, so it waits for `BATCH` of them.
//!
//! Not here: deleting the files that only they name.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use iceberg::spec::{FormatVersion, MAIN_BRANCH, Operation, SnapshotRef, TableMetadata};
use ingot_model::file_settings::HistorySettings;
use ingot_model::{Count, SnapshotInfo, TableName, Unreadable, erases_rows};

use crate::error::Result;
use crate::table::position::FlowKey;
use crate::table::refs::{Ref, refs};
use crate::table::{ancestry, ancestry_of, info};
use crate::upkeep::marks;
use crate::upkeep::retention::Kept;

/// So many go at a time.
pub(crate) const BATCH: usize = 32;
/// So many rewrites since what readers stand on are kept, the newest: for one that is missing a change is read as rows
/// that went and came again.
const REWRITES_MAX: usize = 100;
/// The same where a streaming table is among the readers: it stops where it cannot tell what went from what came again.
const REWRITES_HELD_MAX: usize = 1_000;
/// What another engine sets on a snapshot that is to be looked at before it is published.
const STAGED: &str = "wap.id";
/// Commits between two looks: a look goes through the whole history.
pub(crate) const LOOK_EVERY: i64 = 16;
/// Not more than these: a table that nobody kept in shape is brought back over many commits.
const BATCH_MAX: usize = 2_000;

/// The snapshots that may be forgotten at a time, in milliseconds since 1970: the oldest first, none if fewer than `batch`.
///
/// # Errors
/// Metadata that core does not print, and summaries that do not parse: what is not understood is not forgotten.
pub(crate) fn expirable(
    table: &Arc<TableName>,
    metadata: &TableMetadata,
    kept: &Kept,
    now_ms: i64,
    batch: usize,
) -> Result<Vec<i64>> {
    let before = |age: Duration| now_ms.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    let settings = HistorySettings::of(metadata.properties());
    let is_old = |cutoff: i64| metadata.snapshots().filter(|s| s.timestamp_ms() < cutoff).count() >= batch;
    if !is_old(before(kept.asked.or(settings.min_age).unwrap_or(kept.min_age)).min(kept.as_of_ms)) {
        return Ok(Vec::new());
    }
    // Core reads no refs of the first format version, and what they name must stay.
    if metadata.format_version() == FormatVersion::V1 {
        return Ok(Vec::new());
    }
    let named = refs(metadata, &BTreeMap::new())?;
    let main = named.get(MAIN_BRANCH);
    // The branch's own settings win over the table's, as the specification has it.
    let age = main.and_then(|main| u64::try_from(main.max_snapshot_age_ms?).ok()).map(Duration::from_millis);
    let count = main.and_then(|main| usize::try_from(main.min_snapshots_to_keep?).ok());
    let cutoff = before(kept.asked.or(age).or(settings.min_age).unwrap_or(kept.min_age)).min(kept.as_of_ms);
    let mut keep = named_by(&named, metadata);
    keep.extend(ancestry(metadata).take(count.or(settings.snapshots_min).unwrap_or(1)).map(|s| s.snapshot_id()));
    keep.extend(in_one_piece(table, metadata, cutoff, kept.pinned.is_empty())?);
    // Heads that somebody rolled the table back from or to: a reader may stand on them.
    let current = current_since(metadata, cutoff);
    let is_young = |s: &SnapshotRef| s.timestamp_ms() >= cutoff || current.contains(&s.snapshot_id());
    let elsewhere: Vec<_> = metadata.snapshots().filter(|s| is_young(s) && !keep.contains(&s.snapshot_id())).collect();
    for snapshot in elsewhere {
        keep.extend(down_to_rows(table, metadata, snapshot)?);
    }
    let oldest_read = before(kept.readers_max_age);
    let staged =
        |s: &&SnapshotRef| s.summary().additional_properties.contains_key(STAGED) && s.timestamp_ms() >= oldest_read;
    keep.extend(metadata.snapshots().filter(staged).map(|s| s.snapshot_id()));
    let pinned = kept.pinned.iter().filter_map(|id| metadata.snapshot_by_id(*id));
    let is_needed = |s: &&SnapshotRef| s.timestamp_ms() >= oldest_read || kept.held.contains(&s.snapshot_id());
    let pinned: Vec<&SnapshotRef> = pinned.filter(is_needed).collect();
    for snapshot in &pinned {
        keep.extend(down_to_rows(table, metadata, snapshot)?);
    }
    if let Some(oldest) = pinned.iter().min_by_key(|s| s.sequence_number()) {
        let most = if kept.held.is_empty() { REWRITES_MAX } else { REWRITES_HELD_MAX };
        keep.extend(rewrites_since(metadata, oldest.sequence_number(), most));
        keep.extend(marks::since(table, metadata, oldest)?);
    }
    let goes = |s: &&SnapshotRef| s.timestamp_ms() < cutoff && !keep.contains(&s.snapshot_id());
    let mut gone: Vec<&SnapshotRef> = metadata.snapshots().filter(goes).collect();
    if gone.len() < batch {
        return Ok(Vec::new());
    }
    gone.sort_by_key(|s| s.sequence_number());
    Ok(gone.iter().take(BATCH_MAX).map(|s| s.snapshot_id()).collect())
}

/// The snapshots that were the head at some time since `cutoff`, by the log of heads.
fn current_since(metadata: &TableMetadata, cutoff: i64) -> HashSet<i64> {
    let log = metadata.history();
    let since = log.iter().rev().take_while(|head| head.timestamp_ms() > cutoff).count();
    // And the one that was the head at that time.
    log.iter().rev().take(since + 1).map(|head| head.snapshot_id).collect()
}

/// What refs name, and the ancestors of the branches beside the main one.
fn named_by(refs: &BTreeMap<String, Ref>, metadata: &TableMetadata) -> HashSet<i64> {
    let mut keep = HashSet::new();
    for (name, named) in refs {
        keep.insert(named.snapshot_id);
        if named.is_branch() && name != MAIN_BRANCH {
            keep.extend(ancestry_of(metadata, named.snapshot_id).map(|s| s.snapshot_id()));
        }
    }
    keep
}

/// The head and its ancestors, down to the one that was current at `cutoff`, and on to where a reader of the history has
/// what it looks for.
fn in_one_piece(table: &Arc<TableName>, metadata: &TableMetadata, cutoff: i64, is_unread: bool) -> Result<Vec<i64>> {
    let line: Vec<SnapshotInfo> = ancestry(metadata).map(|snapshot| info(table, snapshot)).collect();
    // The flows that a full vector is still looked for of: a snapshot may have only the partitions that moved, or none.
    let mut open = HashSet::new();
    for snapshot in &line {
        open.extend(snapshot.positions()?.as_ref().map(FlowKey::of));
    }
    let young = line.iter().take_while(|snapshot| snapshot.timestamp_ms > cutoff).count();
    let mut keep: Vec<i64> = line.iter().take(young).map(|snapshot| snapshot.id).collect();
    let mut has_rows = false;
    for snapshot in line.iter().skip(young) {
        keep.push(snapshot.id);
        has_rows |= snapshot.is_ours() && (moves_rows(snapshot)? || is_unread && holds_none(snapshot)?);
        if let Some(positions) = snapshot.positions()?.filter(|positions| positions.full) {
            open.remove(&FlowKey::of(&positions));
        }
        if has_rows && open.is_empty() {
            break;
        }
    }
    Ok(keep)
}

/// A snapshot and its ancestors, down to the first that changed rows: positions alone move nothing that a reader sees.
fn down_to_rows(table: &Arc<TableName>, metadata: &TableMetadata, from: &SnapshotRef) -> Result<Vec<i64>> {
    let mut keep = Vec::new();
    for snapshot in ancestry_of(metadata, from.snapshot_id()) {
        keep.push(snapshot.snapshot_id());
        if moves_rows(&info(table, snapshot))? {
            break;
        }
    }
    Ok(keep)
}

fn moves_rows(snapshot: &SnapshotInfo) -> Result<bool> {
    Ok(snapshot.changes_files()? && !snapshot.operation.is_rewrite())
}

/// Whether there is nothing in it, so that nothing before it is worth looking for: a table that takes no rows has commits of
/// positions alone. Who reads it names the oldest that is kept, so with readers none of them may go.
fn holds_none(snapshot: &SnapshotInfo) -> Result<bool> {
    let none = |of, unsaid| Ok::<_, Unreadable>(snapshot.count(of)?.map_or(unsaid, |n| n == 0));
    Ok(none(Count::TotalDataFiles, false)? && none(Count::TotalDeleteFiles, true)?)
}

/// The rewrites at or after a sequence number, each with its parent.
fn rewrites_since(metadata: &TableMetadata, sequence_number: i64, most: usize) -> Vec<i64> {
    // A streaming table passes by an erasure as by a rewrite.
    let is_rewrite = |s: &&SnapshotRef| {
        let passed = s.summary().operation == Operation::Replace || erases_rows(&s.summary().additional_properties);
        s.sequence_number() >= sequence_number && passed
    };
    let mut rewrites: Vec<&SnapshotRef> = metadata.snapshots().filter(is_rewrite).collect();
    rewrites.sort_by_key(|s| std::cmp::Reverse(s.sequence_number()));
    rewrites.truncate(most);
    rewrites.into_iter().flat_map(|s| std::iter::once(s.snapshot_id()).chain(s.parent_snapshot_id())).collect()
}

#[cfg(test)]
mod tests;
