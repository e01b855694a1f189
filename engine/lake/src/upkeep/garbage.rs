//! What a table's own commits left behind: known in memory alone.
//!
//! Invariants
//! * What a process that ended had not come to is left to the removal of orphans.
//!
//! Not here: deleting it (`sweep`), files that no commit knows of (`orphans`).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use iceberg::spec::{DataFile, ManifestFile, SnapshotRef};
use uuid::Uuid;

/// How many data files wait to be deleted in one table. What is past it is left to the removal of orphans.
const WAITING_MAX: usize = 100_000;

/// What commits of this process left behind, by table.
#[derive(Default)]
pub(crate) struct Garbage(Mutex<HashMap<Uuid, Pending>>);

#[derive(Default)]
pub(super) struct Pending {
    pub(super) forgotten: Vec<SnapshotRef>,
    pub(super) removed: Vec<Removed>,
    /// When data files were last looked at.
    pub(super) data_swept: Option<Instant>,
    /// The manifests of snapshots, so that a list is read once.
    pub(super) lists: HashMap<i64, Vec<Arc<ManifestFile>>>,
    /// Those manifests by path: a manifest is in many lists, and held once.
    pub(super) manifests: HashMap<String, Arc<ManifestFile>>,
}

/// A data file that a commit took away.
pub(super) struct Removed {
    pub(super) path: String,
    /// The sequence number of that commit.
    pub(super) sequence_number: i64,
    pub(super) at: Instant,
}

/// What a commit left behind.
pub(crate) struct Left {
    /// The snapshot that it made, and its manifests.
    pub(crate) snapshot: (i64, Vec<ManifestFile>),
    pub(crate) sequence_number: i64,
    /// The snapshots that it forgot.
    pub(crate) forgotten: Vec<SnapshotRef>,
    /// The files that it took away.
    pub(crate) removed: Vec<DataFile>,
}

impl Garbage {
    /// Notes what a commit left behind.
    pub(crate) fn note(&self, table: Uuid, left: Left) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = all.entry(table).or_default();
        pending.forgotten.extend(left.forgotten);
        let room = WAITING_MAX.saturating_sub(pending.removed.len());
        pending.removed.extend(left.removed.into_iter().take(room).map(|file| Removed {
            path: file.file_path().to_owned(),
            sequence_number: left.sequence_number,
            at: Instant::now(),
        }));
        let (snapshot, manifests) = left.snapshot;
        pending.keep(snapshot, manifests);
    }

    /// The data files that were taken away and are not deleted yet: somebody may read them.
    pub(crate) fn waiting(&self, table: Uuid) -> HashSet<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&table).into_iter().flat_map(|pending| &pending.removed).map(|file| file.path.clone()).collect()
    }

    /// Takes what was noted of a table.
    pub(super) fn take(&self, table: Uuid) -> Option<Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&table)
    }

    /// Puts back what was not come to, with what was noted meanwhile.
    pub(super) fn put_back(&self, table: Uuid, mut pending: Pending) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = all.remove(&table) {
            pending.forgotten.extend(since.forgotten);
            pending.removed.extend(since.removed);
            pending.lists.extend(since.lists);
            pending.manifests.extend(since.manifests);
        }
        all.insert(table, pending);
    }
}

impl Pending {
    /// Keeps the manifests of a snapshot.
    pub(super) fn keep(&mut self, snapshot: i64, manifests: Vec<ManifestFile>) {
        let shared = manifests.into_iter().map(|file| match self.manifests.get(&file.manifest_path) {
            Some(same) => Arc::clone(same),
            None => {
                let file = Arc::new(file);
                self.manifests.insert(file.manifest_path.clone(), Arc::clone(&file));
                file
            }
        });
        let shared = shared.collect();
        self.lists.insert(snapshot, shared);
    }
}
