//! What a table is declared to be, and the ids its columns get.
//!
//! ```text
//!   Definition ──fresh()────▶ metadata of a new table
//!        └──────resolve_definition(table)──▶ metadata the table will have, ids kept where they can be
//! ```
//!
//! Invariants
//! * Pure and deterministic: the writer and the commit resolve the same definition over the same base
//!   and get the same ids. A commit asserts that the base's ids have not moved.
//! * A column keeps its id when its name and type stay, or when Iceberg can promote the type. Any other
//!   column is a new one, so that old files do not lend it their values. Its name is the one that our own
//!   last snapshot gave it: what another writer renamed or dropped since comes back with its values.
//! * A column that a definition leaves out of a table that keeps its rows stays, optional, behind the others, until it
//!   is pruned; if it returns with a type that fits, it has its values.
//! * Hidden columns have ids, are in no current schema, and stand after all public columns.
//!
//! Not here: making the change (`commit`), partition and sort specs themselves (`partition`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use iceberg::spec::{
    FormatVersion, NestedField, NestedFieldRef, Operation, Schema, SchemaRef, Snapshot, Summary, TableMetadata,
    TableMetadataBuilder, Type,
};
use ingot_model::file_settings::is_version_3;
use ingot_model::{Definition, PropertyChanges, Record, TableName, file_settings};

use crate::error::{LakeError, Result};
use crate::table::partition::{partition_spec, sort_order};
use crate::table::schema::{Ids, Role, promotes, same_type, to_arrow, to_iceberg};
use crate::table::{StateColumn, Table, ancestry, is_ours, left_out_ids, state_columns};

/// A table to create.
#[derive(Clone, Debug)]
pub struct NewTable {
    /// Its name.
    pub name: TableName,
    /// Its definition.
    pub definition: Definition,
    /// The summary of a first, empty append snapshot, if the table is to start with one.
    pub first_summary: Option<Record>,
}

/// A definition applied to a base: every id is known.
#[derive(Clone, Debug)]
pub struct ResolvedDefinition {
    /// The metadata the table has once the definition is applied, before any snapshot.
    pub metadata: Arc<TableMetadata>,
    /// The hidden columns.
    pub state: Vec<StateColumn>,
}

impl ResolvedDefinition {
    /// The public columns with their ids.
    pub fn schema(&self) -> &SchemaRef {
        self.metadata.current_schema()
    }

    /// A table as it stands.
    pub(crate) fn of_table(table: &Table) -> Self {
        ResolvedDefinition { metadata: Arc::clone(table.metadata()), state: table.state_columns().to_vec() }
    }
}

/// Applies a definition to a table, in memory.
///
/// # Errors
/// Types, names or transforms that Iceberg does not take.
pub(crate) fn resolve_definition(table: &Table, definition: &Definition) -> Result<ResolvedDefinition> {
    resolve(table, definition, true)
}

pub(crate) fn resolve(table: &Table, definition: &Definition, replaces_rows: bool) -> Result<ResolvedDefinition> {
    let base = table.metadata();
    let builder = TableMetadataBuilder::new_from_metadata(base.as_ref().clone(), None);
    let (builder, _) = apply_definition(builder, table, definition, replaces_rows)?;
    let metadata = preview(builder, base)?;
    let state = state_columns(table.name(), &metadata)?;
    Ok(ResolvedDefinition { metadata: Arc::new(metadata), state })
}

/// What is under construction over a base, as it stands: its schemas and specs. Core gives metadata without a new snapshot
/// this machine's time, and refuses that where another machine's clock was ahead; such metadata gets a snapshot that is
/// stored nowhere and that nothing names.
///
/// # Errors
/// What core refuses.
pub(crate) fn preview(builder: TableMetadataBuilder, base: &TableMetadata) -> Result<TableMetadata> {
    if chrono::Utc::now().timestamp_millis() > base.last_updated_ms() {
        return Ok(builder.build()?.metadata);
    }
    let id = (1..).find(|id| base.snapshot_by_id(*id).is_none()).unwrap_or_default();
    let snapshot = Snapshot::builder()
        .with_snapshot_id(id)
        .with_sequence_number(base.next_sequence_number())
        .with_timestamp_ms(base.last_updated_ms() + 1)
        .with_manifest_list(String::new())
        .with_summary(Summary { operation: Operation::Replace, additional_properties: HashMap::new() })
        // Versions before the third pass it over.
        .with_row_range(base.next_row_id(), 0);
    Ok(builder.add_snapshot(snapshot.build())?.build()?.metadata)
}

/// The metadata of a new table at `location`.
pub(crate) fn fresh(definition: &Definition, location: String) -> Result<TableMetadataBuilder> {
    validate(definition)?;
    let mut ids = Ids::after(0);
    let fields = number(definition, &HashMap::new(), &mut ids, true)?;
    let mut all = fields.public.clone();
    all.extend(fields.hidden_renamed(definition));
    let full = Schema::builder().with_fields(all).build()?;
    let spec = partition_spec(&full, &definition.partition)?;
    let sort = sort_order(&full, &definition.sort)?;
    let mut properties = PropertyChanges { set: first_properties(definition), ..PropertyChanges::default() };
    properties.state_columns(&fields.hidden).map_err(unprinted)?;
    let version = if is_version_3(&definition.properties) { FormatVersion::V3 } else { FormatVersion::V2 };
    let mut builder = TableMetadataBuilder::new(full, spec, sort, location, version, properties.set)?;
    // A second, current schema without them: the ids stay taken, and the current schema is the newest.
    if !fields.hidden.is_empty() {
        builder = builder.add_current_schema(Schema::builder().with_fields(fields.public).build()?)?;
    }
    Ok(builder)
}

/// Applies a definition to metadata under construction; tells whether anything but properties changed.
///
/// `replaces_rows`: no row of the old definition stays, so NOT NULL can be taken at its word. Otherwise a
/// column that old rows may lack stays optional in Iceberg, and the writer alone enforces NOT NULL.
pub(crate) fn apply_definition(
    mut builder: TableMetadataBuilder,
    table: &Table,
    definition: &Definition,
    replaces_rows: bool,
) -> Result<(TableMetadataBuilder, bool)> {
    validate(definition)?;
    let base = table.metadata();
    if is_version_3(&definition.properties) {
        builder = builder.upgrade_format_version(FormatVersion::V3)?;
    }
    let old = known_columns(base);
    let old_state = table.state_columns();
    let mut ids = Ids::after(base.last_column_id());
    let mut fields = number(definition, &old, &mut ids, replaces_rows)?;
    // Unchanged hidden columns keep their ids: files written before a change of comments stay valid.
    let unchanged = old_state.len() == fields.hidden.len()
        && old_state
            .iter()
            .zip(&fields.hidden)
            .all(|(old, new)| old.name == new.name && same_type(&old.field.field_type, &new.field_type));
    if unchanged {
        fields.hidden = old_state.iter().map(|column| Arc::clone(&column.field)).collect();
    }
    let kept = if replaces_rows { Vec::new() } else { left_out(table, &fields.public)? };
    let kept_ids: Vec<i32> = kept.iter().map(|field| field.id).collect();
    fields.public.extend(kept);
    let public = Schema::builder().with_fields(fields.public.clone()).build()?;
    let reused =
        base.schemas_iter().any(|s| s.as_struct() == public.as_struct() && s.identifier_field_ids().len() == 0);
    if !unchanged && !fields.hidden.is_empty() {
        let mut all = fields.public.clone();
        all.extend(fields.hidden_renamed(definition));
        builder = builder.add_schema(Schema::builder().with_fields(all).build()?)?;
        builder = builder.add_current_schema(public)?;
        if reused {
            // The schema that only reserves ids would be newer than the current one, which DuckDB's ALTER refuses.
            let newest = base.schemas_iter().map(|s| s.schema_id()).max().unwrap_or(0) + 1;
            builder = builder.remove_schemas(&[newest])?;
        }
    } else {
        builder = builder.add_current_schema(public)?;
    }
    let schema = Schema::builder().with_fields(fields.public.clone()).build()?;
    let spec = partition_spec(&schema, &definition.partition)?;
    let sort = sort_order(&schema, &definition.sort)?;
    let mut properties = PropertyChanges { set: first_properties(definition), ..PropertyChanges::default() };
    // Settings that were changed by hand stay as they are.
    properties.set.retain(|name, value| {
        definition.properties.contains_key(name) || !base.properties().contains_key(name) && !value.is_empty()
    });
    properties.state_columns(&fields.hidden).map_err(unprinted)?;
    properties.kept_types(&definition.properties);
    properties.left_out(&kept_ids).map_err(unprinted)?;
    builder = builder
        .remove_properties(&properties.remove)?
        .add_default_partition_spec(spec)?
        .add_sort_order(sort)?
        .set_default_sort_order(i64::from(TableMetadataBuilder::LAST_ADDED))?
        .set_properties(properties.set)?;
    Ok((builder, !unchanged || !reused))
}

/// The columns that the definition no longer has and whose values are kept, in table order: those of our last snapshot
/// and those left out before it. Columns that another writer added since are not ours, and columns that it dropped are
/// gone. Where no snapshot of ours is left to tell them apart, every column is kept.
fn left_out(table: &Table, defined: &[NestedFieldRef]) -> Result<Vec<NestedFieldRef>> {
    let base = table.metadata();
    if base.current_snapshot().is_none() {
        return Ok(Vec::new());
    }
    let ours = ancestry(base).find(|s| is_ours(s)).and_then(|s| s.schema(base).ok());
    let before = left_out_ids(table.name(), base)?;
    let is_ours = |id| before.contains(&id) || ours.as_ref().is_none_or(|ours| ours.field_by_id(id).is_some());
    let goes_on = |field: &NestedField| defined.iter().any(|f| f.id == field.id || f.name == field.name);
    let current = base.current_schema().as_struct().fields().iter();
    let kept = current.filter(|field| is_ours(field.id) && !goes_on(field));
    Ok(kept.map(|field| Arc::new(NestedField { required: false, ..field.as_ref().clone() })).collect())
}

fn unprinted(error: serde_json::Error) -> LakeError {
    LakeError::Definition(format!("columns for the table's properties: {error}"))
}

/// A partition field over a column that some file may be in.
pub(crate) fn partitions(metadata: &TableMetadata, column: i32) -> Option<String> {
    let mut fields = metadata.partition_specs_iter().flat_map(|spec| spec.fields());
    let found = fields.find(|f| f.source_id == column && f.transform != iceberg::spec::Transform::Void);
    found.map(|field| field.name.clone())
}

/// Drops columns that a definition has left out.
///
/// # Errors
/// Columns that it has not left out, or that files may be partitioned by.
pub(crate) fn prune(
    builder: TableMetadataBuilder,
    table: &TableName,
    base: &TableMetadata,
    columns: &[String],
) -> Result<TableMetadataBuilder> {
    let mut left_out = left_out_ids(table, base)?;
    let mut fields = base.current_schema().as_struct().fields().to_vec();
    for column in columns {
        let place = fields.iter().position(|f| f.name == *column && left_out.contains(&f.id));
        let place = place.ok_or_else(|| LakeError::Definition(format!("column \"{column}\" is not left out")))?;
        let id = fields.remove(place).id;
        if let Some(field) = partitions(base, id) {
            return Err(LakeError::Definition(format!(
                "column \"{column}\" is not dropped: older files are partitioned by \"{field}\", and other engines \
                 could not read the table without it"
            )));
        }
        left_out.remove(&id);
    }
    let ids: Vec<i32> = fields.iter().map(|f| f.id).filter(|id| left_out.contains(id)).collect();
    let mut properties = PropertyChanges::default();
    properties.left_out(&ids).map_err(unprinted)?;
    Ok(builder
        .add_current_schema(Schema::builder().with_fields(fields).build()?)?
        .remove_properties(&properties.remove)?
        .set_properties(properties.set)?)
}

/// The columns whose ids a definition keeps, by the names that our last snapshot gave them. A column that another
/// writer renamed or dropped since is there under its old name, with the type it has now: its values are in the files.
pub(crate) fn known_columns(base: &TableMetadata) -> HashMap<String, NestedFieldRef> {
    let current = base.current_schema().as_struct();
    let mut known: HashMap<String, NestedFieldRef> =
        current.fields().iter().map(|f| (f.name.clone(), Arc::clone(f))).collect();
    let ours = ancestry(base).find(|s| is_ours(s)).and_then(|s| s.schema(base).ok());
    for was in ours.iter().flat_map(|schema| schema.as_struct().fields()) {
        match current.field_by_id(was.id) {
            Some(now) if now.name == was.name => {}
            Some(now) => {
                if known.get(&now.name).is_some_and(|f| f.id == now.id) {
                    known.remove(&now.name);
                }
                known
                    .insert(was.name.clone(), Arc::new(NestedField { name: was.name.clone(), ..now.as_ref().clone() }));
            }
            None => {
                known.insert(was.name.clone(), Arc::clone(was));
            }
        }
    }
    known
}

struct Numbered {
    public: Vec<NestedFieldRef>,
    hidden: Vec<NestedFieldRef>,
}

impl Numbered {
    /// The hidden fields under names that no public column has: a schema's names are unique.
    fn hidden_renamed(&self, definition: &Definition) -> Vec<NestedFieldRef> {
        let mut taken: HashSet<String> = definition.columns.iter().map(|c| c.name.clone()).collect();
        self.hidden
            .iter()
            .map(|field| {
                let mut name = field.name.clone();
                while !taken.insert(name.clone()) {
                    name.push('_');
                }
                Arc::new(NestedField { name, ..field.as_ref().clone() })
            })
            .collect()
    }
}

/// Deals ids: first to every column that needs one, then to what nests in them.
fn number(
    definition: &Definition,
    old: &HashMap<String, NestedFieldRef>,
    ids: &mut Ids,
    replaces_rows: bool,
) -> Result<Numbered> {
    enum Plan {
        Keep(NestedFieldRef),
        Promote(i32, Type),
        New(i32),
    }
    let mut plans = Vec::with_capacity(definition.columns.len());
    for column in &definition.columns {
        let probe = to_iceberg(&column.data_type, &column.name, Role::Public, &mut Ids::after(0))?;
        plans.push(match old.get(&column.name) {
            Some(field) if same_type(&field.field_type, &probe) => Plan::Keep(Arc::clone(field)),
            Some(field) if promotes(&field.field_type, &probe) => Plan::Promote(field.id, probe),
            _ => Plan::New(ids.next()?),
        });
    }
    let hidden_ids = definition.state_columns.iter().map(|_| ids.next()).collect::<Result<Vec<_>>>()?;
    let mut public = Vec::with_capacity(definition.columns.len());
    for (column, plan) in definition.columns.iter().zip(plans) {
        let (id, of) = match plan {
            Plan::Keep(field) => (field.id, field.field_type.as_ref().clone()),
            Plan::Promote(id, of) => (id, of),
            Plan::New(id) => (id, to_iceberg(&column.data_type, &column.name, Role::Public, ids)?),
        };
        let was_required = old.get(&column.name).is_some_and(|f| f.id == id && f.required);
        let required = !column.nullable && (replaces_rows || was_required);
        let mut field = NestedField::new(id, &column.name, of, required);
        field.doc = column.comment.clone();
        public.push(Arc::new(field));
    }
    let mut hidden = Vec::with_capacity(definition.state_columns.len());
    for ((name, data_type), id) in definition.state_columns.iter().zip(hidden_ids) {
        let of = to_iceberg(data_type, name, Role::State, ids)?;
        hidden.push(Arc::new(NestedField::optional(id, name, of)));
    }
    Ok(Numbered { public, hidden })
}

/// The properties of a new table, but for those that describe its columns.
fn first_properties(definition: &Definition) -> HashMap<String, String> {
    let mut properties = HashMap::from(file_settings::defaults().map(|(name, value)| (name.into(), value.into())));
    properties.extend(definition.properties.clone());
    properties.retain(|name, _| file_settings::is_stored(name));
    properties
}

fn validate(definition: &Definition) -> Result<()> {
    if definition.columns.is_empty() {
        return Err(LakeError::Definition("a table needs a column".into()));
    }
    let mut names = HashSet::new();
    for column in &definition.columns {
        if column.name.is_empty() {
            return Err(LakeError::Definition("a column has no name".into()));
        }
        if !names.insert(&column.name) {
            return Err(LakeError::Definition(format!("column \"{}\" is declared twice", column.name)));
        }
        to_arrow(&to_iceberg(&column.data_type, &column.name, Role::Public, &mut Ids::after(0))?)?;
    }
    let mut names = HashSet::new();
    for (name, _) in &definition.state_columns {
        if !names.insert(name) {
            return Err(LakeError::Definition(format!("state column \"{name}\" is declared twice")));
        }
    }
    Ok(())
}
