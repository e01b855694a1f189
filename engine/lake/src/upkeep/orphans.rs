//! Files in a table's folder that nothing of the table names: what processes that ended left behind.
//!
//! ```text
//!   files older than three days ─ named by the table ─▶ an empty commit ─ named by the table now ─▶ deleted
//! ```
//!
//! Invariants
//! * A file of a commit in flight or of unknown outcome is no orphan: it is younger than `AGE_MIN`, and no commit brings
//!   files that were written longer than half of that ago (`is_too_old`, asked in every attempt).
//! * A commit that was prepared before the empty one fails to swap, and is asked again.
//! * Only tables of the lake's own project, and none where `gc.enabled` is false.
//! * Only where this engine puts a table's files: below a table's folder another table may have its own (`a.b.c` has below
//!   that of `a.b`).
//!
//! Not here: what commits of this process left behind (`garbage`), which is deleted sooner.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use futures::{StreamExt, TryStreamExt};
use iceberg::spec::DataFile;
use ingot_model::file_settings::may_delete_files;
use ingot_model::{Operation, Record};
use object_store::path::Path;

use crate::catalog::metadata_file;
use crate::commit::{Commit, CommitError, Rebase};
use crate::crash;
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::read::changelog::all_manifests;
use crate::store::Listed;
use crate::table::Table;
use crate::table::load::is_own_place;
use crate::write::begun_at;

/// A file must be this old to be an orphan.
pub(crate) const AGE_MIN: Duration = Duration::from_secs(3 * 86_400);
/// Manifests that are read at a time.
const IN_FLIGHT_MAX: usize = 16;

/// Files that nothing names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orphans {
    /// Paths within the store.
    pub files: Vec<String>,
    /// Their bytes.
    pub bytes: u64,
}

impl Lake {
    /// The orphans of a table that were last written `age` ago or longer; no less than `AGE_MIN` counts.
    ///
    /// # Errors
    /// The store's.
    pub async fn orphans(&self, table: &Table, age: Duration) -> Result<Orphans> {
        Ok(Orphans::of(&self.unnamed(table, age.max(AGE_MIN)).await?))
    }

    /// Deletes the orphans of a table, if it is the lake's own project's.
    ///
    /// # Errors
    /// As `orphans`, and those of a commit.
    pub async fn remove_orphans(&self, table: &Table, age: Duration) -> Result<Orphans, CommitError> {
        self.remove_unnamed(table, age.max(AGE_MIN)).await
    }

    pub(crate) async fn remove_unnamed(&self, table: &Table, age: Duration) -> Result<Orphans, CommitError> {
        let own = self.0.owner.as_deref().is_some_and(|project| table.recorded().project() == Some(project));
        let candidates = if own { self.unnamed(table, age).await? } else { Vec::new() };
        if candidates.is_empty() {
            return Ok(Orphans::default());
        }
        crash::point("orphans.listed", table.name());
        let commit = Commit {
            operation: Operation::Replace,
            summary: Record::because("files that nothing names are removed"),
            ..Commit::default()
        };
        let base = table.uuid();
        let guard = move |now: &Table| match now.uuid() == base {
            true => Rebase::Retry,
            false => Rebase::Abandon("the table was made anew".into()),
        };
        let fenced = self.commit(table, commit, &guard).await?;
        crash::point("orphans.fenced", table.name());
        let named = match self.named(&fenced).await {
            Err(LakeError::NotFound(path)) => return Err(self.overtaken(&fenced, LakeError::NotFound(path)).await),
            named => named?,
        };
        let orphans: Vec<Listed> = candidates.into_iter().filter(|file| !named.contains(&file.path)).collect();
        let told = Orphans::of(&orphans);
        self.0.store.delete_paths(orphans.into_iter().map(|file| file.path).collect()).await?;
        crash::point("orphans.deleted", table.name());
        Ok(told)
    }

    /// What a missing file means: others may have forgotten snapshots of that version since, with their files.
    async fn overtaken(&self, version: &Table, missing: LakeError) -> CommitError {
        match self.load_table(version.name()).await {
            Ok(Some(current)) if current.metadata_location() != version.metadata_location() => {
                let reason = "snapshots were forgotten while files that nothing names were looked for".to_owned();
                CommitError::Superseded { reason, current }
            }
            _ => missing.into(),
        }
    }

    /// The files below a table's folder that were last written `age` ago or longer and that it does not name.
    async fn unnamed(&self, table: &Table, age: Duration) -> Result<Vec<Listed>> {
        // A table without a snapshot has nothing that a commit could be compared with. One that was registered from
        // elsewhere, or in whose folder another table is, has files that are not known here.
        if !self.owns_folder(table.name(), table.metadata_location()).await?
            || table.head().is_none()
            || !may_delete_files(table.properties())
        {
            return Ok(Vec::new());
        }
        let now = SystemTime::now();
        let is_old = |file: &Listed| now.duration_since(file.written).is_ok_and(|passed| passed >= age);
        let folder = self.object_path(table.metadata().location())?;
        let listed = self.0.store.listed(table.metadata().location()).await?;
        let old = listed.into_iter().filter(|file| is_own_place(&folder, &file.path) && is_old(file));
        let old: Vec<Listed> = old.collect();
        if old.is_empty() {
            return Ok(old);
        }
        let named = self.named(table).await?;
        let unnamed: Vec<Listed> = old.into_iter().filter(|file| !named.contains(&file.path)).collect();
        for file in unnamed.iter().filter(|file| file.path.as_ref().contains(".metadata.json")) {
            if !self.is_version_of(table, &file.path).await? {
                let at = file.path.as_ref();
                tracing::warn!(table = %table.name(), at, "another table was here: files without a name are left");
                return Ok(Vec::new());
            }
        }
        Ok(unnamed)
    }

    /// Whether a metadata file is an older one of the table: that of another may be registered again, with its files.
    async fn is_version_of(&self, table: &Table, path: &Path) -> Result<bool> {
        let location = format!("{}{path}", self.object_store_url().as_str());
        match metadata_file::read(&self.0.store, &location).await {
            Ok(parsed) => Ok(parsed.metadata.uuid() == table.uuid()),
            // Half written: nothing can be made of it.
            Err(LakeError::Damaged(_)) => Ok(true),
            Err(LakeError::NotFound(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Every file that a version of a table names, and those that somebody may still read.
    pub(super) async fn named(&self, table: &Table) -> Result<HashSet<Path>> {
        let metadata = table.metadata();
        let mut named: HashSet<String> = HashSet::from([table.metadata_location().to_owned()]);
        named.extend(metadata.metadata_log().iter().map(|log| log.metadata_file.clone()));
        named.extend(metadata.statistics_iter().map(|file| file.statistics_path.clone()));
        named.extend(metadata.partition_statistics_iter().map(|file| file.statistics_path.clone()));
        named.insert(format!("{}/metadata/version-hint.text", metadata.location()));
        named.extend(self.0.garbage.waiting(table.uuid()));
        let mut manifests = HashSet::new();
        for snapshot in metadata.snapshots() {
            named.insert(snapshot.manifest_list().to_owned());
            let list = all_manifests(table, Some(snapshot.snapshot_id())).await?;
            let fresh: Vec<_> = list.into_iter().filter(|file| manifests.insert(file.manifest_path.clone())).collect();
            let reads = fresh.into_iter().map(|file| async move { self.manifest(&file).await });
            let read: Vec<_> = futures::stream::iter(reads).buffer_unordered(IN_FLIGHT_MAX).try_collect().await?;
            let live = read.iter().flat_map(|manifest| manifest.entries()).filter(|entry| entry.is_alive());
            named.extend(live.map(|entry| entry.file_path().to_owned()));
        }
        named.extend(manifests);
        // Where a name cannot be compared with the store's, none of its files is known to be without one.
        named.iter().map(|location| self.object_path(location)).collect()
    }
}

impl Orphans {
    fn of(files: &[Listed]) -> Self {
        Orphans {
            files: files.iter().map(|file| file.path.to_string()).collect(),
            bytes: files.iter().map(|file| file.bytes).sum(),
        }
    }
}

/// Whether a data file was begun so long ago that it may be taken for an orphan before its commit is in. The clock of its
/// name goes on while a process is suspended.
pub(crate) fn is_too_old(file: &DataFile, now: SystemTime) -> bool {
    let Some(begun) = begun_at(file.file_path()) else { return false };
    now.duration_since(begun).is_ok_and(|passed| passed > AGE_MIN / 2)
}
