//! Deletes what a table's own commits left behind, once nothing of the table reaches it.
//!
//! ```text
//!   commit ─▶ forgot snapshots ─▶ their lists and manifests ─┐  − what the kept snapshots name ─▶ deleted
//!          └▶ took data files away ─▶ wait, for who reads them ┘
//! ```
//!
//! Invariants
//! * What any snapshot of the newest metadata names is kept: lists and manifests by name, data files by every manifest
//!   that could hold them. Nothing is concluded from ancestry, so a rollback meanwhile does no harm.
//! * Only files below the table's own location are deleted, and none where `gc.enabled` is false.
//!
//! Not here: what was left behind (`garbage`), files that no commit knows of (`orphans`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use iceberg::spec::{ManifestFile, SnapshotRef, TableMetadata};
use ingot_model::TableName;
use ingot_model::file_settings::may_delete_files;

use crate::crash;
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::table::Table;
use crate::upkeep::garbage::{Pending, Removed};

/// Lists that are read, and files that are deleted, at a time.
const IN_FLIGHT_MAX: usize = 16;
/// How often data files are looked at.
const DATA_EVERY: Duration = Duration::from_secs(300);

/// What was deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Manifests and lists of them.
    pub metadata_files: usize,
    /// Files of rows and of deletes.
    pub data_files: usize,
}

impl Lake {
    /// Deletes what commits of this process left behind of a table: manifests of snapshots that are forgotten at once, data
    /// files that were taken away once that is `grace` ago and no snapshot holds them.
    ///
    /// # Errors
    /// The catalog's and the store's; what was not deleted is tried again the next time.
    pub async fn sweep(&self, name: &TableName, grace: Duration) -> Result<Swept> {
        let Some(known) = self.load_table(name).await? else { return Ok(Swept::default()) };
        let Some(mut pending) = self.0.garbage.take(known.uuid()) else { return Ok(Swept::default()) };
        // Loaded after: the metadata is at least as new as what was noted.
        let swept = match self.load_table(name).await {
            Ok(Some(table)) if table.uuid() == known.uuid() => self.sweep_pending(&table, &mut pending, grace).await,
            // Made anew, or gone: its folder went with it.
            Ok(_) => return Ok(Swept::default()),
            Err(error) => Err(error),
        };
        self.0.garbage.put_back(known.uuid(), pending);
        swept
    }

    async fn sweep_pending(&self, table: &Table, pending: &mut Pending, grace: Duration) -> Result<Swept> {
        let metadata = table.metadata();
        if !may_delete_files(metadata.properties()) {
            *pending = Pending::default();
            return Ok(Swept::default());
        }
        let gone: Vec<SnapshotRef> = std::mem::take(&mut pending.forgotten);
        let gone: Vec<SnapshotRef> =
            gone.into_iter().filter(|s| metadata.snapshot_by_id(s.snapshot_id()).is_none()).collect();
        // Every manifest is looked at for them: not each time.
        let looks = pending.data_swept.is_none_or(|at| at.elapsed() >= grace.min(DATA_EVERY));
        let due = if looks { due(&pending.removed, metadata, grace) } else { HashSet::new() };
        if gone.is_empty() && due.is_empty() {
            return Ok(Swept::default());
        }
        match self.delete_unreachable(table, pending, &gone, due).await {
            Ok(swept) => Ok(swept),
            Err(error) => {
                pending.forgotten.extend(gone);
                Err(error)
            }
        }
    }

    async fn delete_unreachable(
        &self,
        table: &Table,
        pending: &mut Pending,
        gone: &[SnapshotRef],
        due: HashSet<String>,
    ) -> Result<Swept> {
        let metadata = table.metadata();
        let kept: Vec<SnapshotRef> = metadata.snapshots().cloned().collect();
        self.read_lists(metadata, &kept, pending, false).await?;
        self.read_lists(metadata, gone, pending, true).await?;
        let named: HashMap<&str, &Arc<ManifestFile>> = kept
            .iter()
            .flat_map(|s| pending.lists.get(&s.snapshot_id()).into_iter().flatten())
            .map(|m| (m.manifest_path.as_str(), m))
            .collect();
        let lists: HashSet<&str> = kept.iter().map(|s| s.manifest_list()).collect();
        let mut metadata_files: HashSet<String> = gone
            .iter()
            .flat_map(|s| pending.lists.get(&s.snapshot_id()).into_iter().flatten())
            .map(|m| m.manifest_path.clone())
            .filter(|path| !named.contains_key(path.as_str()))
            .collect();
        metadata_files
            .extend(gone.iter().map(|s| s.manifest_list().to_owned()).filter(|l| !lists.contains(l.as_str())));
        if !due.is_empty() {
            pending.data_swept = Some(Instant::now());
        }
        let held = self.held(&due, named.values().copied()).await?;
        let data_files: Vec<String> = due.into_iter().filter(|path| !held.contains(path)).collect();
        let done: HashSet<String> = data_files.iter().cloned().collect();
        crash::point("sweep.chosen", table.name());
        let swept = Swept {
            metadata_files: self.delete_all(table, metadata_files.into_iter().collect()).await?,
            data_files: self.delete_all(table, data_files).await?,
        };
        crash::point("sweep.deleted", table.name());
        // What a snapshot still holds is looked at again when it is gone.
        pending.removed.retain(|file| !done.contains(&file.path));
        let kept: HashSet<i64> = kept.iter().map(|s| s.snapshot_id()).collect();
        pending.lists.retain(|id, _| kept.contains(id));
        pending.manifests.retain(|_, file| Arc::strong_count(file) > 1);
        Ok(swept)
    }

    /// Reads the lists of snapshots that are not known yet. One that is gone is passed over if `may_lack` says so.
    async fn read_lists(
        &self,
        metadata: &TableMetadata,
        snapshots: &[SnapshotRef],
        pending: &mut Pending,
        may_lack: bool,
    ) -> Result<()> {
        let unknown: Vec<SnapshotRef> =
            snapshots.iter().filter(|s| !pending.lists.contains_key(&s.snapshot_id())).cloned().collect();
        let reads = unknown.into_iter().map(|snapshot| async move {
            match self.0.manifests.list(metadata, &snapshot).await {
                Err(LakeError::NotFound(_)) if may_lack => Ok((snapshot.snapshot_id(), Vec::new())),
                read => read.map(|list| (snapshot.snapshot_id(), list)),
            }
        });
        let read: Vec<(i64, Vec<ManifestFile>)> =
            futures::stream::iter(reads).buffer_unordered(IN_FLIGHT_MAX).try_collect().await?;
        for (id, list) in read {
            pending.keep(id, list);
        }
        Ok(())
    }

    /// Those of some files that a manifest holds: also one that is younger than the removal, by a cherry-pick.
    async fn held(
        &self,
        due: &HashSet<String>,
        manifests: impl Iterator<Item = &Arc<ManifestFile>>,
    ) -> Result<HashSet<String>> {
        let mut held = HashSet::new();
        if due.is_empty() {
            return Ok(held);
        }
        for file in manifests {
            let manifest = self.manifest(file).await?;
            let live = manifest.entries().iter().filter(|entry| entry.is_alive()).map(|entry| entry.file_path());
            held.extend(live.filter(|path| due.contains(*path)).map(str::to_owned));
        }
        Ok(held)
    }

    /// Deletes those of some files that are the table's own. Gives how many.
    pub(super) async fn delete_all(&self, table: &Table, locations: Vec<String>) -> Result<usize> {
        let own = format!("{}/", table.metadata().location());
        let deletes = locations
            .into_iter()
            .filter(|location| location.starts_with(&own))
            .map(|location| async move { self.0.store.delete(&location).await });
        let deleted: Vec<()> = futures::stream::iter(deletes).buffer_unordered(IN_FLIGHT_MAX).try_collect().await?;
        Ok(deleted.len())
    }
}

/// The data files that may be deleted if no snapshot holds them.
fn due(removed: &[Removed], metadata: &TableMetadata, grace: Duration) -> HashSet<String> {
    // While a snapshot is kept that is older than the removal, it holds the file: manifests need not be read for that.
    let oldest = metadata.snapshots().map(|s| s.sequence_number()).min().unwrap_or(i64::MAX);
    let is_due = |file: &&Removed| file.at.elapsed() >= grace && file.sequence_number <= oldest;
    removed.iter().filter(is_due).map(|file| file.path.clone()).collect()
}
