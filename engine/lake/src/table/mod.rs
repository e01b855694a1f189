//! A table as one catalog read saw it: its name, its metadata, its snapshots.
//!
//! Invariants
//! * A `Table` is a value: it never changes, a commit returns a new one.
//! * Its columns are those of the current schema, or of a snapshot's (`as_of`).
//! * `schema()` is what others see; hidden state columns stand after the public ones in
//!   `schema_with_state()` only, and are known by field id (`state_columns()`).
//!
//! Not here: loading (`load`), what a new definition does to it (`evolution`), changing (`commit`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use iceberg::spec::{FormatVersion, NestedFieldRef, SchemaRef as IcebergSchemaRef, SnapshotRef, TableMetadata};
use ingot_model::{History, Operation, Properties, SnapshotInfo, Summary, TableName, TableProperties};
use uuid::Uuid;

use crate::catalog::unread::{Unread, UnreadColumn};
use crate::catalog::version::Version;
use crate::error::{LakeError, Result};
use crate::lake::Lake;

pub(crate) mod avro_names;
pub mod beginning;
pub mod declared;
pub mod definition;
mod evolution;
pub(crate) mod expired_ancestors;
pub(crate) mod held;
pub(crate) mod load;
pub(crate) mod manifests;
pub mod owner;
pub mod partition;
pub mod position;
pub(crate) mod properties;
pub(crate) mod refs;
pub(crate) mod row_ids;
pub mod schema;
mod temporal;
pub(crate) mod transform;

/// A hidden column: written into data files after the public ones, in no current schema.
#[derive(Clone, Debug, PartialEq)]
pub struct StateColumn {
    /// The name it has in data files. A public column may have the same one.
    pub name: String,
    /// Its Arrow type.
    pub data_type: DataType,
    /// The id by which it is found in data files and manifests.
    pub field_id: i32,
    /// Its Iceberg field, nested ids included.
    pub field: NestedFieldRef,
}

/// A snapshot of Iceberg's, as properties.
struct Of(SnapshotRef);

impl Properties for Of {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.summary().additional_properties.get(name).map(String::as_str)
    }
}

/// A snapshot as every other module sees it.
pub(crate) fn info(table: &Arc<TableName>, snapshot: &SnapshotRef) -> SnapshotInfo {
    SnapshotInfo {
        table: Arc::clone(table),
        id: snapshot.snapshot_id(),
        parent: snapshot.parent_snapshot_id(),
        sequence_number: snapshot.sequence_number(),
        timestamp_ms: snapshot.timestamp_ms(),
        operation: match snapshot.summary().operation {
            iceberg::spec::Operation::Append => Operation::Append,
            iceberg::spec::Operation::Replace => Operation::Replace,
            iceberg::spec::Operation::Overwrite => Operation::Overwrite,
            iceberg::spec::Operation::Delete => Operation::Delete,
        },
        summary: Summary::new(Arc::new(Of(Arc::clone(snapshot)))),
        schema_id: snapshot.schema_id(),
    }
}

/// Whether this engine made the snapshot, and not for upkeep: that tells nothing of rows and columns.
pub(crate) fn is_ours(snapshot: &SnapshotRef) -> bool {
    let summary = snapshot.summary();
    ingot_model::is_ours(&summary.additional_properties) && summary.operation != iceberg::spec::Operation::Replace
}

#[derive(Clone)]
struct Inner {
    name: Arc<TableName>,
    lake: Lake,
    metadata: Arc<TableMetadata>,
    metadata_location: String,
    expired: Vec<SnapshotRef>,
    unread: Arc<Unread>,
    columns: Columns,
    state: Vec<StateColumn>,
}

/// The columns in which a table's rows are read.
#[derive(Clone)]
struct Columns {
    of: IcebergSchemaRef,
    schema: SchemaRef,
    schema_with_state: SchemaRef,
    defined: SchemaRef,
    left_out: Vec<NestedFieldRef>,
}

impl Columns {
    fn of(of: &IcebergSchemaRef, left_out: &HashSet<i32>, state: &[StateColumn]) -> Result<Self> {
        let fields = of.as_struct().fields();
        let (left_out, defined): (Vec<_>, Vec<_>) = fields.iter().cloned().partition(|f| left_out.contains(&f.id));
        let public = schema::arrow_schema(fields, false)?;
        let mut all: Vec<Field> = public.fields().iter().map(|f| f.as_ref().clone()).collect();
        all.extend(state.iter().map(|c| Field::new(&c.name, c.data_type.clone(), true)));
        Ok(Columns {
            of: Arc::clone(of),
            schema: Arc::new(public),
            schema_with_state: Arc::new(Schema::new(all)),
            defined: Arc::new(schema::arrow_schema(&defined, false)?),
            left_out,
        })
    }
}

/// One version of a table.
#[derive(Clone)]
pub struct Table(Arc<Inner>);

impl Table {
    pub(crate) fn new(
        lake: Lake,
        name: TableName,
        metadata: Arc<TableMetadata>,
        metadata_location: String,
    ) -> Result<Self> {
        let state = state_columns(&name, &metadata)?;
        let columns = Columns::of(metadata.current_schema(), &left_out_ids(&name, &metadata)?, &state)?;
        Ok(Table(Arc::new(Inner {
            name: Arc::new(name),
            lake,
            metadata,
            metadata_location,
            expired: Vec::new(),
            unread: Arc::default(),
            columns,
            state,
        })))
    }

    /// The same version, with the ancestors that older metadata files know of.
    pub(crate) fn with_expired(mut self, expired: Vec<SnapshotRef>) -> Self {
        if let (false, Some(inner)) = (expired.is_empty(), Arc::get_mut(&mut self.0)) {
            inner.expired = expired;
        }
        self
    }

    /// The same version, of a metadata file that holds more than was parsed.
    pub(crate) fn with_unread(mut self, unread: Arc<Unread>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.unread = unread;
        }
        self
    }

    /// The table with the columns that it had at a snapshot: what a query of that snapshot, or of a tag, sees.
    ///
    /// # Errors
    /// `SnapshotGone`; a schema that the metadata does not hold.
    pub fn as_of(&self, snapshot: i64) -> Result<Table> {
        let metadata = &self.0.metadata;
        let gone = || LakeError::SnapshotGone { table: self.name().clone(), snapshot };
        let then = metadata.snapshot_by_id(snapshot).ok_or_else(gone)?.schema(metadata)?;
        if then.schema_id() == self.0.columns.of.schema_id() {
            return Ok(self.clone());
        }
        let columns = Columns::of(&then, &left_out_ids(self.name(), metadata)?, &self.0.state)?;
        Ok(Table(Arc::new(Inner { columns, ..Inner::clone(&self.0) })))
    }

    /// The same table in a version that differs in nothing that its columns depend on.
    pub(crate) fn at(self, version: Version) -> Self {
        let inner = Arc::unwrap_or_clone(self.0);
        Table(Arc::new(Inner { metadata: version.metadata, metadata_location: version.location, ..inner }))
    }

    /// The version of the table that this is.
    pub(crate) fn version(&self) -> Version {
        Version {
            metadata: Arc::clone(&self.0.metadata),
            location: self.0.metadata_location.clone(),
            unread: Arc::clone(&self.0.unread),
        }
    }

    /// The table's name.
    pub fn name(&self) -> &TableName {
        &self.0.name
    }

    pub(crate) fn shared_name(&self) -> Arc<TableName> {
        Arc::clone(&self.0.name)
    }

    /// The id that stays when everything else changes; a table made anew has another.
    pub fn uuid(&self) -> Uuid {
        self.0.metadata.uuid()
    }

    /// The Iceberg metadata of this version.
    pub fn metadata(&self) -> &Arc<TableMetadata> {
        &self.0.metadata
    }

    /// Where that metadata is stored.
    pub fn metadata_location(&self) -> &str {
        &self.0.metadata_location
    }

    /// The current snapshot of the main branch.
    pub fn head(&self) -> Option<i64> {
        self.0.metadata.current_snapshot_id()
    }

    /// A snapshot by its id.
    pub fn snapshot(&self, id: i64) -> Option<SnapshotInfo> {
        self.0.metadata.snapshot_by_id(id).map(|snapshot| info(&self.0.name, snapshot))
    }

    /// The head and its ancestors, the head first, as far as the metadata holds them.
    pub fn history(&self) -> History {
        ancestry(&self.0.metadata).map(|snapshot| info(&self.0.name, snapshot)).collect()
    }

    /// The head and its ancestors, the head first, and where others expired all of ours, those of them that older
    /// metadata files still tell of: what they held may be gone.
    pub fn past(&self) -> History {
        self.line().collect()
    }

    pub(crate) fn line(&self) -> impl Iterator<Item = SnapshotInfo> {
        ancestry(&self.0.metadata).chain(&self.0.expired).map(|snapshot| info(&self.0.name, snapshot))
    }

    /// The table properties, read as what they record.
    pub fn recorded(&self) -> TableProperties<'_> {
        TableProperties::new(&self.0.name, self.0.metadata.properties())
    }

    /// The snapshot that was current at a time (milliseconds since 1970): what the log of the main branch says, which a
    /// rollback does not change. A table without a log goes by its history.
    pub fn snapshot_at(&self, time_ms: i64) -> Option<i64> {
        let log = self.0.metadata.history();
        if log.is_empty() {
            return self.line().find(|s| s.timestamp_ms <= time_ms).map(|s| s.id);
        }
        log.iter().rev().find(|entry| entry.timestamp_ms <= time_ms).map(|entry| entry.snapshot_id)
    }

    /// The time of the first entry of that log, in UTC.
    pub fn log_begins(&self) -> Option<String> {
        let first = self.0.metadata.history().first()?;
        Some(chrono::DateTime::from_timestamp_millis(first.timestamp_ms)?.format("%F %T%.3f").to_string())
    }

    /// The snapshot of a branch or a tag, and whether it is a tag.
    pub fn reference(&self, name: &str) -> Option<(i64, bool)> {
        let of = self.refs().ok()?.remove(name)?;
        self.0.metadata.snapshot_by_id(of.snapshot_id)?;
        Some((of.snapshot_id, !of.is_branch()))
    }

    /// The branches and tags by name.
    ///
    /// # Errors
    /// Metadata that core does not print.
    pub(crate) fn refs(&self) -> Result<BTreeMap<String, refs::Ref>> {
        refs::refs(&self.0.metadata, &self.0.unread.refs)
    }

    /// Columns of any of its schemas that are not read, for their types. They are in no schema here.
    pub fn unread_columns(&self) -> &[UnreadColumn] {
        &self.0.unread.columns
    }

    /// Why nothing is written into the table, where that is so.
    pub(crate) fn refuses_rows(&self) -> Option<String> {
        self.0.unread.refusal()
    }

    /// The fields of the public columns.
    pub(crate) fn fields(&self) -> &IcebergSchemaRef {
        &self.0.columns.of
    }

    /// The public columns of the current schema.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0.columns.schema)
    }

    /// The public columns without those that its definition has left out: what models read.
    pub fn defined_schema(&self) -> SchemaRef {
        Arc::clone(&self.0.columns.defined)
    }

    /// The columns that its definition has left out, and that are kept until they are pruned.
    pub fn left_out(&self) -> Vec<String> {
        self.0.columns.left_out.iter().map(|f| f.name.clone()).collect()
    }

    /// The public columns, then the hidden ones.
    pub(crate) fn schema_with_state(&self) -> SchemaRef {
        Arc::clone(&self.0.columns.schema_with_state)
    }

    /// The hidden columns.
    pub fn state_columns(&self) -> &[StateColumn] {
        &self.0.state
    }

    /// Whether rows have ids that stay with them: from Iceberg's format version 3 on.
    pub fn has_lineage(&self) -> bool {
        self.0.metadata.format_version() == FormatVersion::V3
    }

    /// The table properties.
    pub fn properties(&self) -> &HashMap<String, String> {
        self.0.metadata.properties()
    }

    /// A column, of those that models read, that had another field id in a snapshot's schema than it has now: that
    /// snapshot's files do not lend their values to the column of today.
    pub fn redefined_since(&self, snapshot: i64) -> Option<String> {
        let metadata = &self.0.metadata;
        let then = metadata.snapshot_by_id(snapshot)?.schema(metadata).ok()?;
        let read = |name: &str| self.0.columns.defined.field_with_name(name).is_ok();
        redefined(&then, metadata.current_schema(), &read)
    }

    /// Whether nothing came since a snapshot but rewrites, which change no rows. Of rewrites of files none may be among
    /// them where the table has hidden columns: another engine's files lack them.
    pub fn only_rewritten_since(&self, snapshot: Option<i64>) -> bool {
        for newer in self.line() {
            if Some(newer.id) == snapshot {
                return true;
            }
            if !self.is_rewritten_by(&newer) {
                return false;
            }
        }
        snapshot.is_none() && self.head().is_none()
    }

    fn is_rewritten_by(&self, snapshot: &SnapshotInfo) -> bool {
        snapshot.operation.is_rewrite() && (self.state_columns().is_empty() || snapshot.keeps_hidden_columns())
    }

    /// The head, and the snapshots before it since which there were only rewrites, and commits of ours of positions alone: a
    /// reader sees the same rows in each.
    pub fn same_rows(&self) -> impl Iterator<Item = i64> {
        let mut same = true;
        self.line().map_while(move |snapshot| {
            // Others need not count their files.
            let moves_none = snapshot.is_ours() && snapshot.changes_files().is_ok_and(|some| !some);
            std::mem::replace(&mut same, moves_none || self.is_rewritten_by(&snapshot)).then_some(snapshot.id)
        })
    }

    /// Whether this is `before` with other files and the same rows, defined as it was.
    pub fn is_rewrite_of(&self, before: &Table) -> bool {
        let (now, was) = (self.metadata(), before.metadata());
        self.uuid() == before.uuid()
            && now.current_schema_id() == was.current_schema_id()
            && now.default_partition_spec_id() == was.default_partition_spec_id()
            && now.default_sort_order_id() == was.default_sort_order_id()
            && now.properties() == was.properties()
            && self.only_rewritten_since(before.head())
    }

    /// The lake that holds the table.
    pub fn lake(&self) -> &Lake {
        &self.0.lake
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({} at {})", self.0.name, self.0.metadata_location)
    }
}

/// The first column of both schemas, by name, that is read and has different ids in them, itself or somewhere within.
fn redefined(then: &iceberg::spec::Schema, now: &iceberg::spec::Schema, read: &dyn Fn(&str) -> bool) -> Option<String> {
    let were: HashMap<&str, &NestedFieldRef> = then.as_struct().fields().iter().map(|f| (f.name.as_str(), f)).collect();
    let moved =
        |f: &&NestedFieldRef| read(&f.name) && were.get(f.name.as_str()).is_some_and(|was| !has_same_ids(was, f));
    now.as_struct().fields().iter().find(moved).map(|f| f.name.clone())
}

/// Whether a field, and all within it that both have by name, have the same ids.
fn has_same_ids(was: &NestedFieldRef, is: &NestedFieldRef) -> bool {
    use iceberg::spec::Type;
    let within = match (was.field_type.as_ref(), is.field_type.as_ref()) {
        (Type::Struct(was), Type::Struct(is)) => {
            let same = |f: &NestedFieldRef| was.field_by_name(&f.name).is_none_or(|was| has_same_ids(was, f));
            is.fields().iter().all(same)
        }
        (Type::List(was), Type::List(is)) => has_same_ids(&was.element_field, &is.element_field),
        (Type::Map(was), Type::Map(is)) => {
            has_same_ids(&was.key_field, &is.key_field) && has_same_ids(&was.value_field, &is.value_field)
        }
        _ => true,
    };
    was.id == is.id && within
}

/// The head of the main branch and its ancestors, newest first, until a parent is missing.
pub(crate) fn ancestry(metadata: &TableMetadata) -> impl Iterator<Item = &SnapshotRef> {
    line_from(metadata, metadata.current_snapshot())
}

/// A snapshot and its ancestors, newest first, until a parent is missing.
pub(crate) fn ancestry_of(metadata: &TableMetadata, id: i64) -> impl Iterator<Item = &SnapshotRef> {
    line_from(metadata, metadata.snapshot_by_id(id))
}

fn line_from<'a>(metadata: &'a TableMetadata, from: Option<&'a SnapshotRef>) -> impl Iterator<Item = &'a SnapshotRef> {
    // A cycle cannot be built by any writer, but a corrupt file must not hang us.
    let mut seen = HashSet::new();
    let mut next = from;
    std::iter::from_fn(move || {
        let snapshot = next?;
        if !seen.insert(snapshot.snapshot_id()) {
            return None;
        }
        next = snapshot.parent_snapshot_id().and_then(|id| metadata.snapshot_by_id(id));
        Some(snapshot)
    })
}

/// The ids of the columns that the definition has left out.
pub(crate) fn left_out_ids(table: &TableName, metadata: &TableMetadata) -> Result<HashSet<i32>> {
    Ok(TableProperties::new(table, metadata.properties()).left_out()?)
}

/// The hidden columns.
pub(crate) fn state_columns(table: &TableName, metadata: &TableMetadata) -> Result<Vec<StateColumn>> {
    let fields: Vec<NestedFieldRef> = TableProperties::new(table, metadata.properties()).state_columns()?;
    fields
        .into_iter()
        .map(|field| {
            Ok(StateColumn {
                name: field.name.clone(),
                data_type: schema::to_arrow(&field.field_type)?,
                field_id: field.id,
                field,
            })
        })
        .collect()
}
