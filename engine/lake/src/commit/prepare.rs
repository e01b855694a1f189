//! One attempt at a commit, up to the catalog: its manifests, its list, and the updates that name them.
//!
//! Invariants
//! * Everything that an update names is durable when it is given.
//! * The updates are those that Iceberg's own builder records, applied in memory to the same version first: what the
//!   catalog makes of them is known, and nothing that could fail is left for after it.
//! * What a failed attempt wrote is removed.
//!
//! Not here: sending them and what becomes of them (`attempts`, `create`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use iceberg::spec::{
    FormatVersion, MAIN_BRANCH, ManifestContentType, ManifestFile, ManifestListWriter, Snapshot, Summary,
    TableMetadata, TableMetadataBuildResult, UNASSIGNED_SEQUENCE_NUMBER,
};
use iceberg::{TableRequirement, TableUpdate};
use ingot_model::{Count, Operation, Record, Unreadable, table_properties};
use uuid::Uuid;

use crate::commit::manifest::{ManifestSet, Removal, check_version};
use crate::commit::request::{Commit, CommitError};
use crate::commit::totals::counts;
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::table::definition::{self, apply_definition};
use crate::table::position::{self, PositionError};
use crate::table::{Table, beginning, info};
use crate::upkeep::expire::{BATCH, LOOK_EVERY, expirable};
use crate::upkeep::garbage::Left;
use crate::upkeep::orphans::is_too_old;
use crate::upkeep::retention::Kept;

/// An attempt that is written but for the catalog.
pub(super) struct Prepared {
    /// The table as it is once the catalog has the updates, in a version that is stored nowhere.
    pub(super) table: Table,
    /// The head that it was made over.
    pub(super) requirement: TableRequirement,
    /// The commit, as the catalog takes it.
    pub(super) updates: Vec<TableUpdate>,
    /// Manifests and lists: to be deleted if the attempt certainly failed.
    pub(super) manifests: Vec<String>,
    /// What it leaves behind once it is in, where that is kept account of.
    pub(super) left: Option<Left>,
}

/// What an attempt gives beside the files that it wrote.
type Written = (Table, TableRequirement, Vec<TableUpdate>, Option<Left>);

impl Prepared {
    /// Writes the manifests of a commit over `base`. What was written is removed again when that fails.
    ///
    /// # Errors
    /// `Superseded` when files to remove are gone; a definition that Iceberg does not take; the store's.
    pub(super) async fn over(
        lake: &Lake,
        base: &Table,
        commit: &Commit,
        removal: &Removal,
    ) -> Result<Prepared, CommitError> {
        let mut manifests = Vec::new();
        match Prepared::write(lake, base, commit, removal, &mut manifests).await {
            Ok((table, requirement, updates, left)) => Ok(Prepared { table, requirement, updates, manifests, left }),
            Err(error) => {
                remove_quietly(lake, &manifests).await;
                Err(error)
            }
        }
    }

    /// Gives the next version of the table with the updates that make it; notes in `written` every file before it
    /// writes it.
    async fn write(
        lake: &Lake,
        base: &Table,
        commit: &Commit,
        removal: &Removal,
        written: &mut Vec<String>,
    ) -> Result<Written, CommitError> {
        let metadata = base.metadata();
        check_version(metadata)?;
        let now = SystemTime::now();
        if commit.written().iter().any(|file| is_too_old(file, now)) {
            let reason = "its files were written so long ago that they may be gone".to_owned();
            return Err(CommitError::Superseded { reason, current: base.clone() });
        }
        if let Some(reason) = commit.basis.broken(base).await? {
            return Err(CommitError::Superseded { reason, current: base.clone() });
        }
        let parent = metadata.current_snapshot().cloned();
        let requirement = TableRequirement::RefSnapshotIdMatch {
            r#ref: MAIN_BRANCH.to_string(),
            snapshot_id: parent.as_ref().map(|snapshot| snapshot.snapshot_id()),
        };
        requirement.check(Some(metadata))?;
        // In memory alone: the catalog applies the updates that this records.
        let mut builder = metadata.as_ref().clone().into_builder(None);
        let mut shape = Arc::clone(metadata);
        if let Some(definition) = &commit.definition {
            let is_empty = parent.as_ref().is_none_or(|snapshot| {
                info(&base.shared_name(), snapshot).count(Count::TotalRecords).is_ok_and(|rows| rows == Some(0))
            });
            let replaces_rows = commit.remove_all || is_empty;
            (builder, _) = apply_definition(builder, base, definition, replaces_rows)?;
            shape = Arc::new(definition::preview(builder.clone(), metadata)?);
        }
        if !commit.prune.is_empty() {
            builder = definition::prune(builder, base.name(), &shape, &commit.prune)?;
            shape = Arc::new(definition::preview(builder.clone(), metadata)?);
        }
        let spec = shape.default_partition_spec();
        for file in &commit.add {
            if file.partition().fields().len() != spec.fields().len() {
                return Err(LakeError::Corrupt(format!(
                    "data file \"{}\" was written for another partition spec",
                    file.file_path()
                ))
                .into());
            }
        }
        let snapshot_id = new_snapshot_id(metadata);
        let sequence_number = metadata.next_sequence_number();
        let version = shape.format_version();
        let mut manifests = ManifestSet::new(lake, metadata, version, snapshot_id, written);
        let carried = match &parent {
            Some(parent) => lake.0.manifests.list(metadata, parent).await?,
            None => Vec::new(),
        };
        let missing = manifests.carry(carried, removal).await?;
        if !missing.is_empty() {
            let reason = format!("{} of the files to replace are gone, \"{}\" for one", missing.len(), missing[0]);
            return Err(CommitError::Superseded { reason, current: base.clone() });
        }
        manifests.add(&commit.add, shape.current_schema(), spec).await?;
        manifests.add_deletes(&commit.deletes.files, shape.current_schema(), &shape).await?;
        manifests.merge(commit.maintains).await?;
        let mut record = counts(
            &commit.written(),
            &manifests.removed,
            &manifests.manifests,
            parent.as_ref().map(|snapshot| info(&base.shared_name(), snapshot)).as_ref(),
        );
        record.extend(commit.summary.clone());
        record.set_commit_id(commit.commit_id);
        let mut set: HashMap<String, String> = commit.set_properties.clone().into_iter().collect();
        let ids = (snapshot_id, sequence_number);
        set_positions(base, commit.begins, &mut record, &mut set, ids)?;
        lake.own(base, &mut set)?;
        let listed = std::mem::take(&mut manifests.manifests);
        let removed = std::mem::take(&mut manifests.removed);
        let kept = lake.0.retention.get().and_then(|retention| retention.of(base.name()));
        // Hundreds of manifests: copied only where somebody will ask for them.
        let named = kept.as_ref().map(|_| (snapshot_id, numbered(&listed, sequence_number)));
        let ids = (snapshot_id, parent.as_ref().map(|snapshot| snapshot.snapshot_id()), sequence_number);
        // Of the first commit after an upgrade the older manifests get theirs too.
        let first_row_id = (version == FormatVersion::V3).then(|| shape.next_row_id());
        let added_rows = listed.iter().map(rows_to_number).sum();
        let list = write_list(lake, metadata, listed, ids, first_row_id, written).await?;
        let snapshot = Snapshot::builder()
            .with_snapshot_id(snapshot_id)
            .with_parent_snapshot_id(parent.map(|snapshot| snapshot.snapshot_id()))
            .with_sequence_number(sequence_number)
            .with_timestamp_ms(now_ms().max(metadata.last_updated_ms() + 1))
            .with_manifest_list(list)
            .with_schema_id(shape.current_schema_id())
            .with_summary(Summary {
                operation: iceberg_operation(commit.operation),
                additional_properties: record.into(),
            });
        let snapshot = match first_row_id {
            Some(first) => snapshot.with_row_range(first, added_rows).build(),
            None => snapshot.build(),
        };
        let expire = expired(base, commit, kept.as_ref(), snapshot.timestamp_ms())?;
        let forgotten = expire.iter().filter_map(|id| metadata.snapshot_by_id(*id)).cloned().collect();
        let left = named.map(|snapshot| Left { snapshot, sequence_number, forgotten, removed });
        if !expire.is_empty() {
            builder = builder.remove_snapshots(&expire);
            // Statistics of a snapshot go with it: core leaves them.
            for id in &expire {
                builder = builder.remove_statistics(*id).remove_partition_statistics(*id);
            }
        }
        let built = builder.set_branch_snapshot(snapshot, MAIN_BRANCH)?.set_properties(set)?.build()?;
        let updates = with_spec_ids(&built);
        let table = Table::new(lake.clone(), base.name().clone(), Arc::new(built.metadata), String::new())?;
        Ok((table, requirement, updates, left))
    }
}

/// Manifests as the list has them: one that is new has the commit's sequence number.
fn numbered(manifests: &[ManifestFile], sequence_number: i64) -> Vec<ManifestFile> {
    let number = |of: i64| if of == UNASSIGNED_SEQUENCE_NUMBER { sequence_number } else { of };
    let numbered = |file: &ManifestFile| ManifestFile {
        sequence_number: number(file.sequence_number),
        min_sequence_number: number(file.min_sequence_number),
        ..file.clone()
    };
    manifests.iter().map(numbered).collect()
}

/// The updates, each new partition field with the id that it has in the manifests.
fn with_spec_ids(built: &TableMetadataBuildResult) -> Vec<TableUpdate> {
    let bound = |update: &TableUpdate| match update {
        TableUpdate::AddSpec { spec } => {
            let spec = built.metadata.partition_spec_by_id(spec.spec_id()?)?;
            Some(TableUpdate::AddSpec { spec: spec.as_ref().clone().into_unbound() })
        }
        _ => None,
    };
    built.changes.iter().map(|update| bound(update).unwrap_or_else(|| update.clone())).collect()
}

/// Deletes manifests that certainly no snapshot names; one that stays is only reported.
pub(super) async fn remove_quietly(lake: &Lake, locations: &[String]) {
    for location in locations {
        if let Err(error) = lake.0.store.delete(location).await {
            tracing::debug!(location, %error, "metadata of a failed attempt not deleted");
        }
    }
}

/// Completes positions in a summary, and their copy in the table's properties; with them where the table began.
fn set_positions(
    base: &Table,
    begins: bool,
    record: &mut Record,
    properties: &mut HashMap<String, String>,
    (snapshot_id, sequence_number): (i64, i64),
) -> Result<()> {
    let corrupt = |error: &dyn std::fmt::Display| LakeError::Corrupt(format!("positions to commit: {error}"));
    let Some(moved) = record.positions().map_err(|error| corrupt(&error))? else {
        return Ok(());
    };
    let start = (begins && moved.full).then(|| moved.clone());
    if begins && start.is_none() {
        return Err(corrupt(&"a table begins with a full vector"));
    }
    beginning::update(base.name(), Some(base), start, record, properties, (snapshot_id, sequence_number))?;
    let rows = record.count(Count::TotalRecords);
    let update =
        position::update(Some(base), moved, begins, (snapshot_id, sequence_number, rows)).map_err(unreadable)?;
    record.set_positions(Some(&update.moved)).map_err(|error| corrupt(&error))?;
    table_properties::set_positions(properties, &update.vectors).map_err(|error| corrupt(&error))?;
    Ok(())
}

/// Iceberg's own value for an operation.
fn iceberg_operation(operation: Operation) -> iceberg::spec::Operation {
    match operation {
        Operation::Append => iceberg::spec::Operation::Append,
        Operation::Replace => iceberg::spec::Operation::Replace,
        Operation::Overwrite => iceberg::spec::Operation::Overwrite,
        Operation::Delete => iceberg::spec::Operation::Delete,
    }
}

fn unreadable(error: PositionError) -> LakeError {
    match error {
        PositionError::Unreadable { table, place, reason } => Unreadable::positions(table, place, reason).into(),
        error => LakeError::Corrupt(error.to_string()),
    }
}

/// The rows that get ids in a list: those of each manifest that has none yet.
fn rows_to_number(manifest: &ManifestFile) -> u64 {
    match (manifest.content, manifest.first_row_id) {
        (ManifestContentType::Data, None) => {
            manifest.added_rows_count.unwrap_or(0) + manifest.existing_rows_count.unwrap_or(0)
        }
        _ => 0,
    }
}

async fn write_list(
    lake: &Lake,
    metadata: &TableMetadata,
    manifests: Vec<ManifestFile>,
    (snapshot_id, parent, sequence_number): (i64, Option<i64>, i64),
    first_row_id: Option<u64>,
    written: &mut Vec<String>,
) -> Result<String> {
    let name = format!("snap-{snapshot_id}-0-{}.avro", Uuid::now_v7());
    let location = format!("{}/metadata/{name}", metadata.location());
    written.push(location.clone());
    let output = lake.file_io().new_output(&location)?.writer().await?;
    let mut writer = match first_row_id {
        Some(_) => ManifestListWriter::v3(output, snapshot_id, parent, sequence_number, first_row_id),
        None => ManifestListWriter::v2(output, snapshot_id, parent, sequence_number),
    };
    writer.add_manifests(manifests.into_iter())?;
    writer.close().await?;
    Ok(location)
}

fn new_snapshot_id(metadata: &TableMetadata) -> i64 {
    loop {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        let id = ((high ^ low) & 0x7fff_ffff_ffff_ffff).cast_signed();
        if id != 0 && metadata.snapshot_by_id(id).is_none() {
            return id;
        }
    }
}

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// The snapshots that a commit forgets: those it was asked to, but for the head and what refs name, and those that the
/// table need not keep.
fn expired(base: &Table, commit: &Commit, kept: Option<&Kept>, now_ms: i64) -> Result<Vec<i64>> {
    let metadata = base.metadata();
    let mut ids = match kept {
        Some(kept) if commit.maintains => expirable(&base.shared_name(), metadata, kept, now_ms, 1)?,
        Some(kept) if metadata.next_sequence_number() % LOOK_EVERY == 0 => {
            expirable(&base.shared_name(), metadata, kept, now_ms, BATCH)?
        }
        _ => Vec::new(),
    };
    if !commit.expire_snapshots.is_empty() {
        let named: HashSet<i64> = base.refs()?.into_values().map(|named| named.snapshot_id).collect();
        let there = |id: &i64| Some(*id) != metadata.current_snapshot_id() && metadata.snapshot_by_id(*id).is_some();
        ids.extend(commit.expire_snapshots.iter().copied().filter(|id| there(id) && !named.contains(id)));
    }
    Ok(ids)
}
