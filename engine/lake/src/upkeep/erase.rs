//! All history of a table let go of at once, whoever stands on it, with every file that only it named: rows that were taken
//! out of the table are in no file of it any more.
//!
//! ```text
//!   rows taken out ─▶ purge: manifests tell of live files alone ─▶ readers go on ─▶ a commit forgets the rest ─▶ deleted
//! ```
//!
//! Invariants
//! * What is kept is the head as it was and the snapshot of the commit: its readers stand on the former.
//! * What is deleted was named by what is forgotten, or is of this engine by its name. The caller holds the project's lease,
//!   so none of those is of a commit in flight. A file of another engine that no snapshot names is left (`orphans`).
//! * What is to be deleted and does not say so by its name is recorded in the commit that forgets it, so that a process that
//!   ended there is followed by one that deletes it.
//!
//! Not here: taking rows out, and who reads them (`ingot-pipeline`).

use std::collections::{BTreeMap, HashSet};

use iceberg::spec::MAIN_BRANCH;
use ingot_model::file_settings::may_delete_files;
use ingot_model::{Operation, Record, TableName, table_properties};
use object_store::path::Path;
use uuid::Uuid;

use crate::commit::manifest::check_version;
use crate::commit::{Commit, CommitError, Rebase};
use crate::crash;
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::read::changelog::all_manifests;
use crate::table::Table;
use crate::table::load::is_own_place;
use crate::write::begun_at;

/// What was let go of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Snapshots.
    pub snapshots: usize,
    /// Files that were deleted.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Lake {
    /// Why rows that are taken out of a table would stay in a file of it; none if they would not.
    ///
    /// # Errors
    /// The catalog's, and metadata that core does not print.
    pub async fn would_keep_rows(&self, table: &Table) -> Result<Option<String>> {
        let metadata = table.metadata();
        if self.0.owner.as_deref().is_none_or(|project| table.recorded().project() != Some(project)) {
            return Ok(Some("it is not a table of this project".into()));
        }
        if !may_delete_files(metadata.properties()) {
            return Ok(Some("its property gc.enabled is false, so none of its files may be deleted".into()));
        }
        if !self.owns_folder(table.name(), table.metadata_location()).await? {
            return Ok(Some(
                "its folder is not its own: it was registered from elsewhere, or another table is in it".into(),
            ));
        }
        let named = table.refs()?;
        // One that names the head names an earlier snapshot once rows are taken out.
        if let Some((name, named)) = named.iter().find(|(name, _)| *name != MAIN_BRANCH) {
            return Ok(Some(format!(
                "{} \"{name}\" keeps a snapshot of it: drop it first",
                named.kind().to_lowercase()
            )));
        }
        if let Some(column) = table.left_out().first() {
            return Ok(Some(format!(
                "its column \"{column}\" is left out by its definition: `ingot prune` drops it first"
            )));
        }
        Ok(table.refuses_rows().or_else(|| check_version(metadata).err().map(|error| error.to_string())))
    }

    /// Writes the manifests anew that tell of files which are gone, by a commit without rows that says what `record` says:
    /// it stands for all that is forgotten later.
    ///
    /// # Errors
    /// `Superseded` where the head moved, and as `Lake::commit`.
    pub async fn purge(&self, table: &Table, record: Record) -> Result<Table, CommitError> {
        let commit = Commit { operation: Operation::Append, maintains: true, summary: record, ..Commit::default() };
        self.commit(table, commit, &|_: &Table| Rebase::Abandon("its head moved".into())).await
    }

    /// Forgets all snapshots of a table but its head, which is that of `purge`, by a commit without rows, and deletes the files
    /// that nothing names then. Done again, it goes on where it was ended.
    ///
    /// # Errors
    /// `Superseded` where the head moved since; those of a commit, and the store's.
    pub async fn forget_all(&self, name: &TableName, purged: i64) -> Result<Forgotten, CommitError> {
        let missing = || LakeError::TableMissing(name.clone());
        let table = self.load_table(name).await?.ok_or_else(missing)?;
        let Some(head) = table.head() else { return Ok(Forgotten::default()) };
        if head != purged {
            let reason = "it was written to before its history was forgotten: erase again".to_owned();
            return Err(CommitError::Superseded { reason, current: table });
        }
        if let Some(reason) = self.would_keep_rows(&table).await? {
            return Err(LakeError::Unsupported(format!("erasing rows of \"{name}\": {reason}")).into());
        }
        let mut gone = table.recorded().to_delete().map_err(LakeError::from)?;
        let had_recorded = !gone.is_empty();
        let ids: Vec<i64> = table.metadata().snapshots().map(|s| s.snapshot_id()).filter(|id| *id != head).collect();
        for id in &ids {
            gone.extend(self.named_by(&table, *id).await?);
            let metadata = table.metadata();
            gone.extend(metadata.statistics_for_snapshot(*id).map(|file| file.statistics_path.clone()));
            gone.extend(metadata.partition_statistics_for_snapshot(*id).map(|file| file.statistics_path.clone()));
        }
        let kept = self.named_by(&table, head).await?;
        gone.retain(|file| !kept.contains(file));
        let of_others = gone.iter().filter(|file| !is_own_by_name(file)).cloned().collect();
        let (property, recorded) = table_properties::to_delete(&of_others)
            .map_err(|error| LakeError::Corrupt(format!("files to delete: {error}")))?;
        let mut commit = Commit {
            operation: Operation::Replace,
            expire_snapshots: ids.clone(),
            summary: Record::because("the history of erased rows was forgotten"),
            ..Commit::default()
        };
        if had_recorded || !of_others.is_empty() {
            commit.set_properties = BTreeMap::from([(property.clone(), recorded)]);
        }
        let now = self.commit(&table, commit, &|_: &Table| Rebase::Abandon("its head moved".into())).await?;
        crash::point("erase.forgotten", name);
        // What waits to be deleted is deleted now.
        drop(self.0.garbage.take(now.uuid()));
        let named = self.named(&now).await?;
        let gone: HashSet<Path> = gone.iter().map(|file| self.object_path(file)).collect::<Result<_>>()?;
        let folder = self.object_path(now.metadata().location())?;
        let listed = self.0.store.listed(now.metadata().location()).await?;
        let goes: Vec<_> = listed
            .into_iter()
            .filter(|file| !named.contains(&file.path))
            // Other engines have folders of their own below it.
            .filter(|file| {
                gone.contains(&file.path) || is_own_place(&folder, &file.path) && is_own_by_name(file.path.as_ref())
            })
            .collect();
        let forgotten =
            Forgotten { snapshots: ids.len(), files: goes.len(), bytes: goes.iter().map(|file| file.bytes).sum() };
        self.0.store.delete_paths(goes.into_iter().map(|file| file.path).collect()).await?;
        crash::point("erase.deleted", name);
        if !of_others.is_empty() {
            let (property, none) = table_properties::to_delete(&HashSet::new())
                .map_err(|error| LakeError::Corrupt(format!("files to delete: {error}")))?;
            let commit = Commit {
                operation: Operation::Replace,
                set_properties: BTreeMap::from([(property, none)]),
                summary: Record::because("the files of erased rows were deleted"),
                ..Commit::default()
            };
            self.commit(&now, commit, &|_: &Table| Rebase::Retry).await?;
        }
        Ok(forgotten)
    }

    /// The list, the manifests, and the live files of a snapshot.
    async fn named_by(&self, table: &Table, id: i64) -> Result<HashSet<String>> {
        let mut named = HashSet::new();
        let Some(snapshot) = table.metadata().snapshot_by_id(id) else { return Ok(named) };
        named.insert(snapshot.manifest_list().to_owned());
        for file in all_manifests(table, Some(id)).await? {
            let manifest = self.manifest(&file).await?;
            named.extend(manifest.entries().iter().filter(|e| e.is_alive()).map(|e| e.file_path().to_owned()));
            named.insert(file.manifest_path.clone());
        }
        Ok(named)
    }
}

/// Whether this engine gave a file its name: a data file, a manifest, or a list of them. Others take random ids.
fn is_own_by_name(path: &str) -> bool {
    if begun_at(path).is_some() {
        return true;
    }
    let is_own = |id: &str| Uuid::try_parse(id).is_ok_and(|id| id.get_version_num() == 7);
    let Some(name) = path.rsplit('/').next().and_then(|name| name.strip_suffix(".avro")) else { return false };
    match name.strip_prefix("snap-") {
        Some(list) => list.len() > 36 && list.is_char_boundary(list.len() - 36) && is_own(&list[list.len() - 36..]),
        None => name.rsplit_once("-m").is_some_and(|(id, _)| is_own(id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_this_engine_say_so_by_their_names() {
        let (ours, other) = (Uuid::now_v7(), Uuid::new_v4());
        for (id, is_ours) in [(ours, true), (other, false)] {
            assert_eq!(is_own_by_name(&format!("w/t/metadata/{id}-m12.avro")), is_ours);
            assert_eq!(is_own_by_name(&format!("w/t/metadata/snap-77-0-{id}.avro")), is_ours);
        }
        for path in ["w/t/metadata/00001-x.metadata.json", "w/t/data/00000-0-a.parquet", "w/é.avro", "snap-é.avro", ""]
        {
            assert!(!is_own_by_name(path), "{path}");
        }
    }
}
