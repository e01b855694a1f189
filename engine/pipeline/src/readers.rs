//! Which snapshots running refreshes read, and when the readers of tables were last looked at.
//!
//! Not here: what views stand on (`upkeep`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ingot_model::TableName;

/// How often readers are looked at. What is pinned in between is younger than what any commit forgets.
const LOOK: Duration = Duration::from_secs(10);

/// The readers of an engine's tables.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    running: Mutex<BTreeMap<(TableName, i64), usize>>,
    looked: Mutex<Option<Instant>>,
}

/// What a running refresh reads, until this goes.
#[derive(Debug)]
pub(crate) struct InUse {
    readers: Arc<Readers>,
    snapshots: Vec<(TableName, i64)>,
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut running = self.readers.running.lock().unwrap_or_else(PoisonError::into_inner);
        for read in &self.snapshots {
            if let Some(times) = running.get_mut(read) {
                *times -= 1;
                if *times == 0 {
                    running.remove(read);
                }
            }
        }
    }
}

impl Readers {
    /// Notes the snapshots that a refresh reads.
    pub(crate) fn reading(self: &Arc<Self>, snapshots: Vec<(TableName, i64)>) -> InUse {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        for read in &snapshots {
            *running.entry(read.clone()).or_default() += 1;
        }
        drop(running);
        InUse { readers: Arc::clone(self), snapshots }
    }

    /// The snapshots that refreshes read now.
    pub(crate) fn running(&self) -> Vec<(TableName, i64)> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Whether it is time to look again; if so it is taken as done.
    pub(crate) fn is_due(&self) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let due = looked.is_none_or(|at| at.elapsed() >= LOOK);
        if due {
            *looked = Some(Instant::now());
        }
        due
    }
}
