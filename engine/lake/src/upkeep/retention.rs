//! How much of a table's history is kept, and for whom.
//!
//! Invariants
//! * A table nobody has said the readers of keeps all of its snapshots: not knowing is no reason to forget.
//! * What was current when its readers were last looked at, or since, is kept: somebody may have begun to read it.
//!
//! Not here: which snapshots that leaves (`expire`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ingot_model::TableName;

/// What a process keeps of the history of the tables that it writes. Shared by all commits of a lake.
#[derive(Debug)]
pub struct Retention {
    min_age: Duration,
    readers_max_age: Duration,
    pinned: Mutex<BTreeMap<TableName, (i64, BTreeSet<i64>)>>,
    held: Mutex<BTreeMap<TableName, BTreeSet<i64>>>,
}

/// What is kept of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The history of so long is kept whole: every snapshot that was current within it.
    pub(crate) min_age: Duration,
    /// The same where somebody has just said so: it counts whatever the table's properties say.
    pub(crate) asked: Option<Duration>,
    /// What a reader stands on is kept while it is not older than this.
    pub(crate) readers_max_age: Duration,
    /// When its readers were looked at, in milliseconds since 1970.
    pub(crate) as_of_ms: i64,
    /// The snapshots that readers stood on then.
    pub(crate) pinned: BTreeSet<i64>,
    /// Those of them that stay whatever their age.
    pub(crate) held: BTreeSet<i64>,
}

impl Retention {
    /// Keeps the history of `min_age` whole, unless a table's property says another age, and before that the snapshots
    /// that readers stand on, up to `readers_max_age`.
    pub fn new(min_age: Duration, readers_max_age: Duration) -> Self {
        Self { min_age, readers_max_age, pinned: Mutex::default(), held: Mutex::default() }
    }

    /// Says which snapshots of some tables were read at a time, in milliseconds since 1970. Only tables that have been named
    /// here are ever let go of.
    pub fn pin(&self, as_of_ms: i64, snapshots: BTreeMap<TableName, BTreeSet<i64>>) {
        let mut pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        pinned.extend(snapshots.into_iter().map(|(name, ids)| (name, (as_of_ms, ids))));
    }

    /// Says which of the snapshots that are pinned never grow too old: whoever stands on them could not go on without.
    pub fn hold(&self, snapshots: BTreeMap<TableName, BTreeSet<i64>>) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).extend(snapshots);
    }

    /// What is kept of a table; none if nobody said who reads it.
    pub(crate) fn of(&self, table: &TableName) -> Option<Kept> {
        let (as_of_ms, pinned) = self.pinned.lock().unwrap_or_else(PoisonError::into_inner).get(table).cloned()?;
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).get(table).cloned().unwrap_or_default();
        Some(Kept { min_age: self.min_age, asked: None, readers_max_age: self.readers_max_age, as_of_ms, pinned, held })
    }
}
