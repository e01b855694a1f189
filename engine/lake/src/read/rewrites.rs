//! The change between two snapshots, past what was only rewritten in between.
//!
//! ```text
//!   from ──▶ parent │ rewrite ──▶ parent │ rewrite ──▶ to        the sum of the differences ──▶
//! ```
//!
//! Invariants
//! * A rewrite and its parent hold the same rows, so the sum is the difference of `from` and `to` wherever the rewrites
//!   stand, on their line or not.
//! * No file is in a result twice: where rewrites stand on lines that were left, and the sum would have one so, the result is the
//!   difference of the two snapshots.
//! * A file that comes in one difference and goes in another is in neither result. One of which deletes took rows stands for
//!   other rows each time: it stays in both, and its rows cancel out where they are read.
//!
//! Not here: the difference of two snapshots (`changelog`).

use std::collections::HashMap;

use ingot_model::SnapshotInfo;

use crate::error::LakeError;
use crate::read::changelog::{FileChange, FileRef, changelog};
use crate::table::Table;

/// The data files that came and went between two snapshots of one table, rewrites in between left out where the metadata
/// still holds them and their parents. `from` of `None` stands for the empty table.
///
/// # Errors
/// As [`changelog`].
pub async fn change_between(table: &Table, from: Option<i64>, to: i64) -> Result<FileChange, LakeError> {
    sum_of(table, (from, to), |s| s.operation.is_rewrite()).await
}

/// The same for who keeps what it has taken: erasures are left out as rewrites are.
///
/// # Errors
/// As [`changelog`].
pub async fn appended_between(table: &Table, from: Option<i64>, to: i64) -> Result<FileChange, LakeError> {
    sum_of(table, (from, to), |s| s.operation.is_rewrite() || s.erases_rows()).await
}

async fn sum_of(
    table: &Table,
    whole: (Option<i64>, i64),
    is_left_out: impl Fn(&SnapshotInfo) -> bool,
) -> Result<FileChange, LakeError> {
    let mut sum = FileChange::default();
    for (from, to) in steps(table, whole.0, whole.1, is_left_out) {
        let difference = changelog(table, from, to).await?;
        let Some(both) = added(sum, difference) else {
            return changelog(table, whole.0, whole.1).await;
        };
        sum = both;
    }
    Ok(sum)
}

/// The pairs whose differences are summed, oldest first.
fn steps(
    table: &Table,
    from: Option<i64>,
    to: i64,
    is_left_out: impl Fn(&SnapshotInfo) -> bool,
) -> Vec<(Option<i64>, i64)> {
    let (Some(start), Some(end)) = (from.and_then(|id| table.snapshot(id)), table.snapshot(to)) else {
        return vec![(from, to)];
    };
    let mut rewrites: Vec<(i64, i64, i64)> = table
        .metadata()
        .snapshots()
        .filter(|s| start.sequence_number < s.sequence_number() && s.sequence_number() <= end.sequence_number)
        .filter_map(|s| {
            let info = table.snapshot(s.snapshot_id()).filter(|info| is_left_out(info))?;
            let parent = table.snapshot(info.parent?)?;
            // One that moved no files is passed by its neighbours.
            let moves = info.changes_files().unwrap_or(true) && parent.sequence_number >= start.sequence_number;
            moves.then_some((info.sequence_number, parent.id, info.id))
        })
        .collect();
    rewrites.sort_unstable();
    let mut steps = Vec::with_capacity(rewrites.len() + 1);
    let mut at = from;
    for (_, parent, rewrite) in rewrites {
        steps.push((at, parent));
        at = Some(rewrite);
    }
    steps.push((at, to));
    steps
}

/// One change after another: what came and went again is in neither. `None` where a file would come, or go, twice.
fn added(first: FileChange, then: FileChange) -> Option<FileChange> {
    if first.added.is_empty() && first.removed.is_empty() {
        return Some(then);
    }
    let mut sums: HashMap<String, (FileRef, i32)> = HashMap::new();
    let mut order = Vec::new();
    let mut sum = FileChange::default();
    let each = |files: Vec<FileRef>, sign: i32| files.into_iter().map(move |file| (file, sign));
    let all =
        each(first.added, 1).chain(each(first.removed, -1)).chain(each(then.added, 1)).chain(each(then.removed, -1));
    for (file, sign) in all {
        if !file.is_whole() {
            if sign > 0 {
                sum.added.push(file)
            } else {
                sum.removed.push(file)
            }
            continue;
        }
        let entry = sums.entry(file.path.clone()).or_insert_with(|| {
            order.push(file.path.clone());
            (file, 0)
        });
        entry.1 += sign;
    }
    for path in order {
        match sums.remove(&path) {
            Some((file, 1)) => sum.added.push(file),
            Some((file, -1)) => sum.removed.push(file),
            Some((_, 0)) | None => {}
            Some(_) => return None,
        }
    }
    Some(sum)
}
