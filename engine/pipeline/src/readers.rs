//! Which snapshots running refreshes read, and when the readers of tables were last looked at.
//!
//! Not here: what views stand on (`upkeep`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ingot_model::TableName;

use crate::error::PipelineError;

/// How often readers are looked at. What is pinned in between is younger than what any commit forgets.
const LOOK: Duration = Duration::from_secs(10);

/// An error that may pass is told of once it has lasted for so long.
const PASSING: Duration = Duration::from_secs(60);
/// How often a reader that cannot be read is told of.
const TOLD: Duration = Duration::from_secs(3_600);

/// A reader that cannot be read.
#[derive(Debug)]
struct Unread {
    since: Instant,
    told: Option<Instant>,
}

/// The readers of an engine's tables.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    unread: Mutex<BTreeMap<TableName, Unread>>,
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

    /// Notes which readers cannot be read, and gives those to tell of now.
    pub(crate) fn to_tell<'a>(
        &self,
        unread: &'a BTreeMap<TableName, PipelineError>,
        now: Instant,
    ) -> Vec<(&'a TableName, &'a PipelineError)> {
        let mut known = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|name, _| unread.contains_key(name));
        let mut tell = Vec::new();
        for (name, error) in unread {
            let entry = known.entry(name.clone()).or_insert(Unread { since: now, told: None });
            let lasts = !error.retryable() || now.duration_since(entry.since) >= PASSING;
            if lasts && entry.told.is_none_or(|told| now.duration_since(told) >= TOLD) {
                entry.told = Some(now);
                tell.push((name, error));
            }
        }
        tell
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_cannot_be_read_is_told_of_once_an_hour() {
        let readers = Readers::default();
        let error = |retryable| PipelineError::Stopped { code: "L0113", message: "x".into(), hint: None, retryable };
        let name: TableName = "silver.t".parse().unwrap();
        let start = Instant::now();
        let told = |retryable: Option<bool>, seconds: u64| {
            let unread = retryable.map(|retryable| (name.clone(), error(retryable))).into_iter().collect();
            readers.to_tell(&unread, start + Duration::from_secs(seconds)).len()
        };
        assert_eq!([told(Some(false), 0), told(Some(false), 10), told(Some(false), 3_599)], [1, 0, 0]);
        assert_eq!([told(Some(false), 3_600), told(Some(false), 3_610)], [1, 0]);
        // It was read again, and cannot be any more.
        assert_eq!([told(None, 3_620), told(Some(false), 3_630)], [0, 1]);
        // What may pass is told of when it does not.
        assert_eq!([told(None, 4_000), told(Some(true), 4_010), told(Some(true), 4_060)], [0, 0, 0]);
        assert_eq!([told(Some(true), 4_070), told(Some(true), 4_080)], [1, 0]);
    }
}
