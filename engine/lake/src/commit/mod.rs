//! Commits: one snapshot, one compare-and-set, and certainty about what became of it.
//!
//! ```text
//!   Change ─▶ definition ─▶ manifests ─▶ list ─▶ metadata file ─▶ swap ──done──▶ Table
//!     ▲                                                            │
//!     │            reload; our commit id in the ancestry? ◀──conflict, unknown
//!     └── Retry ── the guard, asked when the head has moved          found: done   unresolvable: Unknown
//! ```
//!
//! Invariants
//! * All attempts share the commit id; it is in the summary, so an attempt that landed is recognised.
//! * Nothing is committed over a table whose uuid, schema, spec, sort order or last ids differ from those
//!   that the files were written for.
//! * Data files are never deleted here. Metadata of an attempt is, when the attempt certainly failed.
//!
//! Not here: whether a batch is still worth committing: the guard decides.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use iceberg::spec::{
    DataFile, MAIN_BRANCH, ManifestFile, ManifestListWriter, Snapshot, SnapshotRef, Summary, TableMetadata,
    TableMetadataBuilder,
};
use iceberg::{MetadataLocation, TableRequirement};
use ingot_model::{Count, Definition, Operation, Record, TableName, Unreadable, property, table_properties};
use ingot_telemetry::{FAILED, OK};
use tracing::{Instrument, debug_span};
use uuid::Uuid;

use crate::catalog::sql::Swap;
use crate::commit::manifest::{ManifestSet, Removal, check_version, load_list};
use crate::commit::totals::counts;
use crate::crash;
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::table::beginning;
use crate::table::definition::{self, NewTable, apply_definition, fresh};
use crate::table::position::{self, PositionError};
use crate::table::properties::deletes_old_metadata;
use crate::table::{Table, ancestry, info};

mod added;
mod first;
pub(crate) mod manifest;
mod totals;

use added::Added;

/// How often one commit is rebuilt on a newer base.
const ATTEMPTS_MAX: usize = 64;
/// How often the catalog may refuse one commit, with an error and without effect, before that error is the outcome.
const REFUSALS_MAX: u32 = 3;
/// How often the table is asked about an attempt whose outcome is unknown.
const RELOADS_MAX: u32 = 8;
/// The first pause between those.
const RELOAD_PAUSE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 100 });

/// One change of a table.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Names the change in all its attempts. Nil: one is made up.
    pub commit_id: Uuid,
    /// What kind of change readers are told it is.
    pub operation: Operation,
    /// Data files to add, as `Writer` gave them.
    pub add: Vec<DataFile>,
    /// Paths of data files to remove. All must be live.
    pub remove: Vec<String>,
    /// Whether to remove every file, delete files too.
    pub remove_all: bool,
    /// What its snapshot says beside the counts.
    pub summary: Record,
    /// Table properties to set.
    pub set_properties: BTreeMap<String, String>,
    /// A definition to change to, in the same snapshot.
    pub definition: Option<Definition>,
    /// Columns to drop that the definition has left out.
    pub prune: Vec<String>,
    /// Whether the table begins anew here, at the full vector of positions in `summary`.
    pub begins: bool,
    /// Snapshots to forget. The head and what refs name are kept, whatever is asked.
    pub expire_snapshots: Vec<i64>,
}

/// What to do with a change when its base is no longer the head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebase {
    /// Make it on the new head.
    Retry,
    /// Give it up, for this reason.
    Abandon(String),
}

/// Why a change is not in the table, or not known to be.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Not in the table, and another commit makes it moot. Its data files must be kept: where somebody rolled the
    /// table back, the snapshot that holds them may still be there.
    #[error("commit to \"{}\" superseded: {reason}", .current.name())]
    Superseded {
        /// Why.
        reason: String,
        /// The table as it is now.
        current: Table,
    },
    /// It may have been committed, and the table does not tell. Its data files must be kept.
    #[error("commit {commit_id} to \"{table}\" has an unknown outcome: {source}")]
    Unknown {
        /// The table.
        table: TableName,
        /// The change's commit id, to look for in the table's history.
        commit_id: Uuid,
        /// What hides the outcome.
        #[source]
        source: Box<LakeError>,
    },
    /// Not committed: the table was seen without it, or nothing was sent.
    #[error(transparent)]
    Failed(#[from] LakeError),
}

impl CommitError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            CommitError::Superseded { .. } => "L0121",
            CommitError::Unknown { .. } => "L0122",
            CommitError::Failed(error) => error.code(),
        }
    }

    /// Whether the same work may succeed later, planned anew on the table as it is then.
    pub fn retryable(&self) -> bool {
        match self {
            CommitError::Superseded { .. } => true,
            CommitError::Unknown { .. } => false,
            CommitError::Failed(error) => error.retryable(),
        }
    }
}

impl From<iceberg::Error> for CommitError {
    fn from(error: iceberg::Error) -> Self {
        CommitError::Failed(error.into())
    }
}

impl Lake {
    /// Makes a change over `base`. `guard` is asked, with the table as it then is, whenever the head has
    /// moved and the change is not yet in; it must not let a change pass that the new head makes wrong.
    ///
    /// # Errors
    /// See `CommitError`: only `Unknown` leaves open whether the change is in.
    pub async fn commit(
        &self,
        base: &Table,
        change: Change,
        guard: &(dyn Fn(&Table) -> Rebase + Send + Sync),
    ) -> Result<Table, CommitError> {
        let (began, added) = (Instant::now(), Added::by(&change));
        let span = debug_span!(ingot_telemetry::span::COMMIT, table = %base.name());
        let committed = self.attempts(base, change, guard).instrument(span).await;
        let outcome = match &committed {
            Ok(_) => OK,
            Err(CommitError::Superseded { .. }) => "superseded",
            Err(CommitError::Unknown { .. }) => "unknown",
            Err(CommitError::Failed(_)) => FAILED,
        };
        added.note(base.name(), outcome, began);
        committed
    }

    async fn attempts(
        &self,
        base: &Table,
        mut change: Change,
        guard: &(dyn Fn(&Table) -> Rebase + Send + Sync),
    ) -> Result<Table, CommitError> {
        if change.commit_id.is_nil() {
            // Two changes without an id would be taken for one.
            change.commit_id = Uuid::new_v4();
        }
        crash::point("commit.begun", base.name());
        let mut current = base.clone();
        let removal = Removal { all: change.remove_all, paths: change.remove.iter().cloned().collect() };
        // A caller that asks again after an unknown outcome may hold a base that has the change.
        if landed(&current, change.commit_id) {
            return Ok(current);
        }
        let mut refusals = 0;
        // An earlier attempt that SQLite refused may be in its log, and come back when it recovers.
        let mut doubt: Option<LakeError> = None;
        for _ in 0..ATTEMPTS_MAX {
            check_definition(base, &current)?;
            let attempt = match Attempt::prepare(self, &current, &change, &removal).await {
                Err(CommitError::Failed(error)) => {
                    // Files of an old base may be gone by now: then the base is to blame, not the store.
                    current = self.newer(&current, error, guard).await?;
                    continue;
                }
                prepared => prepared?,
            };
            crash::point("commit.before_swap", current.name());
            let swapped = self.0.catalog.swap(current.name(), current.metadata_location(), &attempt.location).await;
            let unknown = match swapped {
                Ok(Swap::Done) => {
                    crash::point("commit.after_swap", current.name());
                    return Ok(attempt.done(self).await);
                }
                Ok(Swap::Conflict) => None,
                Ok(Swap::Unknown(error)) => Some(error),
                Err(error) => {
                    attempt.discard(self).await;
                    return Err(error.into());
                }
            };
            crash::point("commit.conflict", current.name());
            let now = match self.reload(current.name(), unknown.is_some() || doubt.is_some()).await {
                Ok(now) => now,
                Err(error) if unknown.is_some() || doubt.is_some() => {
                    return Err(CommitError::Unknown {
                        table: current.name().clone(),
                        commit_id: change.commit_id,
                        source: Box::new(error),
                    });
                }
                Err(error) => {
                    attempt.discard(self).await;
                    return Err(error.into());
                }
            };
            if landed(&now, change.commit_id) {
                return Ok(now);
            }
            match unknown.map(|error| attempt.resolve(&now, &current, &change, error)).transpose()? {
                None => attempt.discard(self).await,
                Some(error) => {
                    let unwritten = error.is_unwritten();
                    if unwritten {
                        attempt.discard(self).await;
                    }
                    refusals += 1;
                    if refusals == REFUSALS_MAX {
                        return Err(error.into());
                    }
                    doubt = doubt.or(if unwritten { None } else { Some(error) });
                    tokio::time::sleep(RELOAD_PAUSE).await;
                }
            }
            current = rebase(&current, now, guard)?;
        }
        Err(CommitError::Superseded { reason: format!("other commits came first {ATTEMPTS_MAX} times"), current })
    }

    /// The table as it is now, if that is another version than `current`; else the error.
    async fn newer(
        &self,
        current: &Table,
        error: LakeError,
        guard: &(dyn Fn(&Table) -> Rebase + Send + Sync),
    ) -> Result<Table, CommitError> {
        match self.load_table(current.name()).await {
            Ok(Some(now)) if now.metadata_location() != current.metadata_location() => rebase(current, now, guard),
            Ok(None) => Err(LakeError::TableMissing(current.name().clone()).into()),
            _ => Err(error.into()),
        }
    }

    /// The table as it is now; patiently, when an outcome depends on it.
    async fn reload(&self, name: &TableName, patiently: bool) -> Result<Table> {
        let mut pause = RELOAD_PAUSE;
        for left in (0..RELOADS_MAX).rev() {
            match self.load_table(name).await {
                Ok(Some(table)) => return Ok(table),
                Ok(None) => return Err(LakeError::TableMissing(name.clone())),
                Err(error) if left == 0 || !patiently => return Err(error),
                Err(error) => {
                    tracing::warn!(table = %name, %error, "table not readable after a commit");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
            }
        }
        Err(LakeError::TableMissing(name.clone()))
    }
}

/// The version to try next. The guard is asked when the head has moved.
fn rebase(current: &Table, now: Table, guard: &(dyn Fn(&Table) -> Rebase + Send + Sync)) -> Result<Table, CommitError> {
    if (now.head(), now.uuid()) != (current.head(), current.uuid())
        && let Rebase::Abandon(reason) = guard(&now)
    {
        return Err(CommitError::Superseded { reason, current: now });
    }
    Ok(now)
}

fn commit_id_of(snapshot: &SnapshotRef) -> Option<&str> {
    snapshot.summary().additional_properties.get(property::COMMIT_ID).map(String::as_str)
}

/// Whether a commit is in the ancestry of a table's head.
fn landed(table: &Table, commit_id: Uuid) -> bool {
    let id = commit_id.to_string();
    ancestry(table.metadata()).any(|snapshot| commit_id_of(snapshot) == Some(&id))
}

/// Everything that data files and ids depend on must be as it was for `base`.
fn check_definition(base: &Table, current: &Table) -> Result<(), CommitError> {
    let metadata = base.metadata();
    let requirements = [
        TableRequirement::UuidMatch { uuid: metadata.uuid() },
        TableRequirement::CurrentSchemaIdMatch { current_schema_id: metadata.current_schema_id() },
        TableRequirement::LastAssignedFieldIdMatch { last_assigned_field_id: metadata.last_column_id() },
        TableRequirement::DefaultSpecIdMatch { default_spec_id: metadata.default_partition_spec_id() },
        TableRequirement::LastAssignedPartitionIdMatch { last_assigned_partition_id: metadata.last_partition_id() },
        TableRequirement::DefaultSortOrderIdMatch { default_sort_order_id: metadata.default_sort_order_id() },
    ];
    for requirement in requirements {
        if let Err(error) = requirement.check(Some(current.metadata())) {
            return Err(CommitError::Superseded {
                reason: format!("the table was defined anew: {}", error.message()),
                current: current.clone(),
            });
        }
    }
    if base.state_columns() != current.state_columns() {
        return Err(CommitError::Superseded {
            reason: "the table was defined anew: its state columns changed".into(),
            current: current.clone(),
        });
    }
    Ok(())
}

/// One attempt: metadata that is written and that no catalog row names yet.
struct Attempt {
    /// The table as it is once the row names that metadata: nothing that could fail is left for then.
    table: Table,
    location: String,
    /// Metadata files that the log no longer holds.
    expired: Vec<String>,
    /// What to delete if the attempt certainly failed.
    written: Vec<String>,
}

impl Attempt {
    /// Writes everything but the catalog's row. What was written is removed again when that fails.
    async fn prepare(lake: &Lake, base: &Table, change: &Change, removal: &Removal) -> Result<Attempt, CommitError> {
        let mut written = Vec::new();
        let (table, expired) = match Attempt::write(lake, base, change, removal, &mut written).await {
            Ok(done) => done,
            Err(error) => {
                remove_quietly(lake, &written).await;
                return Err(error);
            }
        };
        let location = table.metadata_location().to_string();
        Ok(Attempt { table, location, expired, written })
    }

    /// Gives the next version of the table and the metadata files that it no longer names; notes in `written` every
    /// file before it writes it.
    async fn write(
        lake: &Lake,
        base: &Table,
        change: &Change,
        removal: &Removal,
        written: &mut Vec<String>,
    ) -> Result<(Table, Vec<String>), CommitError> {
        let metadata = base.metadata();
        check_version(metadata)?;
        let parent = metadata.current_snapshot().cloned();
        TableRequirement::RefSnapshotIdMatch {
            r#ref: MAIN_BRANCH.to_string(),
            snapshot_id: parent.as_ref().map(|snapshot| snapshot.snapshot_id()),
        }
        .check(Some(metadata))?;
        // A draft has no metadata file before this one.
        let at = Some(base.metadata_location().to_string()).filter(|at| !at.is_empty());
        let mut builder = metadata.as_ref().clone().into_builder(at);
        let mut shape = Arc::clone(metadata);
        if let Some(definition) = &change.definition {
            let is_empty = parent.as_ref().is_none_or(|snapshot| {
                info(&base.shared_name(), snapshot).count(Count::TotalRecords).is_ok_and(|rows| rows == Some(0))
            });
            let replaces_rows = change.remove_all || is_empty;
            (builder, _) = apply_definition(builder, base, definition, replaces_rows)?;
            shape = Arc::new(builder.clone().build()?.metadata);
        }
        if !change.prune.is_empty() {
            builder = definition::prune(builder, base.name(), &shape, &change.prune)?;
            shape = Arc::new(builder.clone().build()?.metadata);
        }
        let spec = shape.default_partition_spec();
        for file in &change.add {
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
        let mut manifests = ManifestSet::new(lake, metadata, snapshot_id, written);
        let carried = match &parent {
            Some(parent) => load_list(lake, metadata, parent).await?,
            None => Vec::new(),
        };
        let missing = manifests.carry(carried, removal).await?;
        if !missing.is_empty() {
            let reason = format!("{} of the files to replace are gone, \"{}\" for one", missing.len(), missing[0]);
            return Err(CommitError::Superseded { reason, current: base.clone() });
        }
        manifests.add(&change.add, shape.current_schema(), spec).await?;
        manifests.merge().await?;
        let mut record = counts(
            &change.add,
            &manifests.removed,
            &manifests.manifests,
            parent.as_ref().map(|snapshot| info(&base.shared_name(), snapshot)).as_ref(),
        );
        record.extend(change.summary.clone());
        record.set_commit_id(change.commit_id);
        let mut set: HashMap<String, String> = change.set_properties.clone().into_iter().collect();
        let ids = (snapshot_id, sequence_number);
        set_positions(base.name(), Some(base), change.begins, &mut record, &mut set, ids)?;
        lake.own(base, &mut set)?;
        let listed = std::mem::take(&mut manifests.manifests);
        let ids = (snapshot_id, parent.as_ref().map(|snapshot| snapshot.snapshot_id()), sequence_number);
        let list = write_list(lake, metadata, listed, ids, written).await?;
        let snapshot = Snapshot::builder()
            .with_snapshot_id(snapshot_id)
            .with_parent_snapshot_id(parent.map(|snapshot| snapshot.snapshot_id()))
            .with_sequence_number(sequence_number)
            .with_timestamp_ms(now_ms().max(metadata.last_updated_ms() + 1))
            .with_manifest_list(list)
            .with_schema_id(shape.current_schema_id())
            .with_summary(Summary {
                operation: iceberg_operation(change.operation),
                additional_properties: record.into(),
            })
            .build();
        let expire = expirable(metadata, &change.expire_snapshots);
        if !expire.is_empty() {
            builder = builder.remove_snapshots(&expire);
        }
        let built = builder.set_branch_snapshot(snapshot, MAIN_BRANCH)?.set_properties(set)?.build()?;
        let next = match MetadataLocation::from_str(base.metadata_location()) {
            Ok(old) => old.with_next_version().with_new_metadata(&built.metadata),
            // Another writer's way of naming: ours starts again.
            Err(_) => MetadataLocation::new_with_metadata(metadata.location(), &built.metadata),
        };
        let location = next.to_string();
        let table = Table::new(lake.clone(), base.name().clone(), Arc::new(built.metadata), location.clone())?;
        crash::point("commit.before_metadata", base.name());
        written.push(location);
        table.metadata().as_ref().write_to(lake.file_io(), &next).await?;
        let expired = built.expired_metadata_logs.into_iter().map(|log| log.metadata_file).collect();
        Ok((table, expired))
    }

    /// The attempt is the table's current version.
    async fn done(self, lake: &Lake) -> Table {
        lake.cache(&self.location, self.table.metadata());
        let folder = format!("{}/metadata/", self.table.metadata().location());
        let deletes = deletes_old_metadata(self.table.metadata().properties());
        for location in self.expired.iter().filter(|location| location.starts_with(&folder)) {
            lake.uncache(location);
            if !deletes {
                continue;
            }
            if let Err(error) = lake.0.store.delete(location).await {
                tracing::warn!(location, %error, "old table metadata not deleted");
            }
        }
        crash::point("commit.done", self.table.name());
        self.table
    }

    /// The attempt's answer was lost, and its id is not in the ancestry of `now`. Either it certainly did
    /// not land, or this is an error.
    fn resolve(&self, now: &Table, base: &Table, change: &Change, error: LakeError) -> Result<LakeError, CommitError> {
        let metadata = now.metadata();
        let rolled_back = now.metadata_location() == self.location
            || metadata.metadata_log().iter().any(|log| log.metadata_file == self.location)
            || metadata.snapshots().any(|snapshot| commit_id_of(snapshot) == Some(&change.commit_id.to_string()));
        if rolled_back {
            return Err(CommitError::Superseded {
                reason: "it was committed, and somebody has rolled the table back since".into(),
                current: now.clone(),
            });
        }
        // Had it landed, the base's metadata file would have been followed by ours.
        let followed = now.uuid() == base.uuid()
            && (now.metadata_location() == base.metadata_location()
                || base.head().is_none_or(|head| ancestry(metadata).any(|snapshot| snapshot.snapshot_id() == head)));
        if followed {
            return Ok(error);
        }
        Err(CommitError::Unknown { table: now.name().clone(), commit_id: change.commit_id, source: Box::new(error) })
    }

    /// The attempt certainly failed: nothing will ever name its files.
    async fn discard(&self, lake: &Lake) {
        remove_quietly(lake, &self.written).await;
    }
}

async fn remove_quietly(lake: &Lake, locations: &[String]) {
    for location in locations {
        if let Err(error) = lake.0.store.delete(location).await {
            tracing::debug!(location, %error, "metadata of a failed attempt not deleted");
        }
    }
}

/// Creates a table.
pub(crate) async fn create(lake: &Lake, new: NewTable) -> Result<Table> {
    let name = new.name.clone();
    if lake.0.catalog.location(&name).await?.is_some() {
        return Err(LakeError::TableExists(name));
    }
    let mut written = Vec::new();
    let table = match write_first(lake, new, &mut written).await {
        Ok(table) => table,
        Err(error) => {
            remove_quietly(lake, &written).await;
            return Err(error);
        }
    };
    let location = table.metadata_location();
    crash::point("create.before_swap", &name);
    if let Err(error) = lake.0.catalog.create(&name, location).await {
        // The answer may be lost and the row there, or come back when SQLite recovers.
        match lake.0.catalog.location(&name).await {
            Ok(Some(found)) if found == location => {}
            _ => {
                if matches!(error, LakeError::TableExists(_)) {
                    remove_quietly(lake, &written).await;
                }
                return Err(error);
            }
        }
    }
    crash::point("create.after_swap", &name);
    lake.cache(location, table.metadata());
    Ok(table)
}

/// Writes the first version of a table; notes in `written` every file before it writes it.
async fn write_first(lake: &Lake, new: NewTable, written: &mut Vec<String>) -> Result<Table> {
    let NewTable { name, definition, first_summary } = new;
    let mut builder: TableMetadataBuilder =
        fresh(&definition, lake.table_location(&name)?)?.set_properties(lake.owned())?;
    if let Some(first) = first_summary {
        let shape = builder.clone().build()?.metadata;
        let snapshot_id = new_snapshot_id(&shape);
        let sequence_number = shape.next_sequence_number();
        let list = write_list(lake, &shape, Vec::new(), (snapshot_id, None, sequence_number), written).await?;
        let mut record = counts(&[], &[], &[], None);
        record.extend(first);
        if record.commit_id().is_none() {
            record.set_commit_id(Uuid::new_v4());
        }
        let mut set = HashMap::new();
        set_positions(&name, None, true, &mut record, &mut set, (snapshot_id, sequence_number))?;
        let snapshot = Snapshot::builder()
            .with_snapshot_id(snapshot_id)
            .with_sequence_number(sequence_number)
            .with_timestamp_ms(now_ms())
            .with_manifest_list(list)
            .with_schema_id(shape.current_schema_id())
            .with_summary(Summary { operation: iceberg::spec::Operation::Append, additional_properties: record.into() })
            .build();
        builder = builder.set_branch_snapshot(snapshot, MAIN_BRANCH)?.set_properties(set)?;
    }
    let metadata = builder.build()?.metadata;
    let location = MetadataLocation::new_with_metadata(metadata.location(), &metadata);
    let table = Table::new(lake.clone(), name, Arc::new(metadata), location.to_string())?;
    crash::point("create.before_metadata", table.name());
    written.push(location.to_string());
    table.metadata().as_ref().write_to(lake.file_io(), &location).await?;
    Ok(table)
}

/// Completes positions in a summary, and their copy in the table's properties; with them where the table began.
fn set_positions(
    table: &TableName,
    base: Option<&Table>,
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
    beginning::update(table, base, start, record, properties, (snapshot_id, sequence_number))?;
    let rows = record.count(Count::TotalRecords);
    let update = position::update(base, moved, begins, (snapshot_id, sequence_number, rows)).map_err(unreadable)?;
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
        PositionError::Unreadable { table, place, reason } => {
            Unreadable { table, place, property: property::KAFKA_POSITIONS.to_owned(), reason }.into()
        }
        error => LakeError::Corrupt(error.to_string()),
    }
}

async fn write_list(
    lake: &Lake,
    metadata: &TableMetadata,
    manifests: Vec<ManifestFile>,
    (snapshot_id, parent, sequence_number): (i64, Option<i64>, i64),
    written: &mut Vec<String>,
) -> Result<String> {
    let name = format!("snap-{snapshot_id}-0-{}.avro", Uuid::now_v7());
    let location = format!("{}/metadata/{name}", metadata.location());
    written.push(location.clone());
    let output = lake.file_io().new_output(&location)?.writer().await?;
    let mut writer = ManifestListWriter::v2(output, snapshot_id, parent, sequence_number);
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

/// Snapshots that may be forgotten: not the head, not what a ref names.
fn expirable(metadata: &TableMetadata, asked: &[i64]) -> Vec<i64> {
    if asked.is_empty() {
        return Vec::new();
    }
    let head = metadata.current_snapshot_id();
    let refs: HashSet<i64> = ref_targets(metadata);
    asked
        .iter()
        .copied()
        .filter(|id| Some(*id) != head && !refs.contains(id))
        .filter(|id| metadata.snapshot_by_id(*id).is_some())
        .collect()
}

/// The snapshots that branches and tags name. Core offers no list of refs: its JSON does.
fn ref_targets(metadata: &TableMetadata) -> HashSet<i64> {
    let Ok(value) = serde_json::to_value(metadata) else {
        // Unreadable: keep everything.
        return metadata.snapshots().map(|snapshot| snapshot.snapshot_id()).collect();
    };
    let refs = value.get("refs").and_then(|refs| refs.as_object());
    refs.into_iter()
        .flat_map(|refs| refs.values())
        .filter_map(|reference| reference.get("snapshot-id")?.as_i64())
        .collect()
}
