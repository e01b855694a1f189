//! Reads columns of Parquet files by field id.
//!
//!   footer ──▶ FieldNames::rename ──▶ footer with today's names ──▶ adapter
//!
//! DataFusion finds columns by name in five places (projection, row filters,
//! row-group statistics, page index, bloom filters). So a file's columns get the
//! names that their field ids have in the table now, in its footer as read; then
//! every one of those places is right, renamed columns, hidden columns and a name
//! used twice over time included. What no id asks for gets a name that no table
//! column can have. The footer's Arrow schema is dropped too: Parquet's own types
//! are the same for every writer.
//!
//! Invariants
//! * A column absent from a file has the value of its identity partition (Hive
//!   tables), else its initial default, else NULL.
//! * A float column is opaque to DataFusion's pruning: Parquet's bounds leave NaN
//!   out, which DataFusion orders above all numbers.
//!
//! What a file's partition says travels with it: the footer as read names the
//! file, so that the adapter, which sees schemas alone, knows which one it is.
//!
//! Not here: which files to open (`prune`), rows' positions (`row_positions`), changes
//! of type and what is missing within a column (`reshape`).

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use bytes::Bytes;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::functions::core::getfield::GetFieldFunc;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_expr_adapter::{PhysicalExprAdapter, PhysicalExprAdapterFactory};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use iceberg::spec::{MappedField, NameMapping, NestedField, NestedFieldRef, Type};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::basic::Repetition;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataBuilder};
use parquet::schema::types::{SchemaDescriptor, Type as ParquetType, TypePtr};

use crate::error::not_read;
use crate::read::reshape::{convert, default_of};
use crate::read::value_order::{Opaque, unordered};
use crate::table::{Table, row_ids};

/// Table property with the names that stand for ids in files without any
/// (Iceberg, "Column Projection").
const NAME_MAPPING: &str = "schema.name-mapping.default";
/// Where Arrow writers keep their own schema in a Parquet footer.
const ARROW_SCHEMA: &str = "ARROW:schema";
/// Where a footer, as read, names its file.
const FILE: &str = "\u{1}file";

/// The values that identity partitions give to columns, by location and field id. NULL is a value too; none is one that
/// the column's type does not hold.
pub(crate) type PartitionValues = HashMap<String, HashMap<i32, Option<ScalarValue>>>;

/// The names that field ids have in a table now, nested fields included.
#[derive(Debug)]
pub(crate) struct FieldNames {
    names: HashMap<i32, String>,
    mapping: Vec<MappedField>,
    /// The table's columns by name.
    columns: HashMap<String, NestedFieldRef>,
    partitions: Arc<PartitionValues>,
}

impl FieldNames {
    /// Names of a table's public columns, with `state` of its hidden ones, and with `lineage` of those of its rows' lineage.
    pub(crate) fn of(table: &Table, (state, lineage): (bool, bool), partitions: Arc<PartitionValues>) -> Self {
        let hidden = table.state_columns().iter().map(|column| &column.field).filter(|_| state);
        let lineage = row_ids::fields().iter().filter(|_| lineage);
        Self::over(table, table.fields().as_struct().fields().iter().chain(hidden).chain(lineage), partitions)
    }

    /// Names of some columns, as these fields have them.
    pub(crate) fn over<'a>(
        table: &Table,
        fields: impl IntoIterator<Item = &'a NestedFieldRef>,
        partitions: Arc<PartitionValues>,
    ) -> Self {
        let mut names = HashMap::new();
        let mut columns: HashMap<String, NestedFieldRef> = HashMap::new();
        for field in fields {
            collect(field, &mut names);
            columns.insert(field.name.clone(), Arc::clone(field));
        }
        let mapping = table
            .properties()
            .get(NAME_MAPPING)
            .and_then(|json| serde_json::from_str::<NameMapping>(json).ok())
            .map(|m| m.fields().to_vec())
            .unwrap_or_default();
        Self { names, mapping, columns, partitions }
    }

    /// Names for a file that is no table data, such as a position delete file.
    pub(crate) fn fixed<const N: usize>(names: [(i32, &str); N]) -> Self {
        let mapping =
            names.iter().map(|(id, name)| MappedField::new(Some(*id), vec![(*name).to_owned()], Vec::new())).collect();
        let names = names.iter().map(|(id, name)| (*id, (*name).to_owned())).collect();
        Self { names, mapping, columns: HashMap::new(), partitions: Arc::default() }
    }

    /// The footer with every column under its name of today, and the file's path where its partition has values.
    fn rename(&self, metadata: &ParquetMetaData, path: &str) -> ParquetResult<ParquetMetaData> {
        let file = metadata.file_metadata();
        let root = file.schema_descr().root_schema();
        let with_ids = root.get_fields().iter().any(has_id);
        if !with_ids && self.mapping.is_empty() {
            return Err(ParquetError::General(format!(
                "the file has no field ids, and the table has no property {NAME_MAPPING:?} to give them"
            )));
        }
        let mapping = (!with_ids).then_some(self.mapping.as_slice());
        let fields = self.rename_fields(root.get_fields(), mapping)?;
        let root = ParquetType::group_type_builder(root.name()).with_fields(fields).build()?;
        let mut kept = file
            .key_value_metadata()
            .map(|pairs| pairs.iter().filter(|p| p.key != ARROW_SCHEMA && p.key != FILE).cloned().collect::<Vec<_>>());
        if self.partitions.contains_key(path) {
            kept.get_or_insert_default().push(KeyValue::new(FILE.to_owned(), path.to_owned()));
        }
        let renamed = FileMetaData::new(
            file.version(),
            file.num_rows(),
            file.created_by().map(str::to_owned),
            kept,
            Arc::new(SchemaDescriptor::new(Arc::new(root))),
            file.column_orders().cloned(),
        );
        let mut old = ParquetMetaDataBuilder::new_from_metadata(metadata.clone());
        // Row groups keep descriptors with the old names: readers go by index.
        Ok(ParquetMetaDataBuilder::new(renamed)
            .set_row_groups(old.take_row_groups())
            .set_column_index(old.take_column_index())
            .set_offset_index(old.take_offset_index())
            .build())
    }

    fn rename_fields(&self, fields: &[TypePtr], mapping: Option<&[MappedField]>) -> ParquetResult<Vec<TypePtr>> {
        fields
            .iter()
            .enumerate()
            .map(|(index, field)| {
                let mapped = mapping.and_then(|m| m.iter().find(|m| m.names().iter().any(|n| n == field.name())));
                let id = match mapped {
                    Some(mapped) => mapped.field_id(),
                    None => id(field),
                };
                // The repeated group within a list or map has no id, and its name
                // decides how lists of old writers are read.
                let repeated = field.get_basic_info().has_repetition()
                    && field.get_basic_info().repetition() == Repetition::REPEATED;
                let name = match id.and_then(|id| self.names.get(&id)) {
                    _ if repeated => field.name().to_owned(),
                    Some(name) => name.clone(),
                    None => format!("\u{1}{index}"),
                };
                let children: Vec<MappedField>;
                let nested = match (mapping, mapped) {
                    (None, _) => None,
                    (Some(_), Some(mapped)) => {
                        children = mapped.fields().iter().map(|f| (**f).clone()).collect();
                        Some(children.as_slice())
                    }
                    // The mapping skips the repeated group of lists and maps.
                    (Some(same), None) => Some(if repeated { same } else { &[] }),
                };
                self.rebuild(field, &name, nested).map(Arc::new)
            })
            .collect()
    }

    fn rebuild(&self, field: &ParquetType, name: &str, mapping: Option<&[MappedField]>) -> ParquetResult<ParquetType> {
        let info = field.get_basic_info();
        let logical = info.logical_type_ref().cloned();
        match field {
            ParquetType::GroupType { fields, .. } => {
                let mut group = ParquetType::group_type_builder(name)
                    .with_converted_type(info.converted_type())
                    .with_logical_type(logical)
                    .with_fields(self.rename_fields(fields, mapping)?);
                if info.has_repetition() {
                    group = group.with_repetition(info.repetition());
                }
                group.build()
            }
            ParquetType::PrimitiveType { physical_type, type_length, scale, precision, .. } => {
                let mut leaf = ParquetType::primitive_type_builder(name, *physical_type)
                    .with_repetition(info.repetition())
                    .with_length(*type_length)
                    .with_precision(*precision)
                    .with_scale(*scale);
                // The converted type follows from a logical one.
                leaf = match logical {
                    Some(logical) => leaf.with_logical_type(Some(logical)),
                    None => leaf.with_converted_type(info.converted_type()),
                };
                leaf.build()
            }
        }
    }
}

fn collect(field: &NestedFieldRef, names: &mut HashMap<i32, String>) {
    names.insert(field.id, field.name.clone());
    match field.field_type.as_ref() {
        Type::Primitive(_) => {}
        Type::Struct(fields) => fields.fields().iter().for_each(|f| collect(f, names)),
        Type::List(list) => collect(&list.element_field, names),
        Type::Map(map) => {
            collect(&map.key_field, names);
            collect(&map.value_field, names);
        }
    }
}

fn id(field: &TypePtr) -> Option<i32> {
    let info = field.get_basic_info();
    info.has_id().then(|| info.id())
}

fn has_id(field: &TypePtr) -> bool {
    id(field).is_some() || (field.is_group() && field.get_fields().iter().any(has_id))
}

/// Opens files so that their footers have today's names.
#[derive(Debug)]
pub(crate) struct ByIdReaderFactory {
    pub(crate) inner: Arc<dyn ParquetFileReaderFactory>,
    pub(crate) names: Arc<FieldNames>,
}

impl ParquetFileReaderFactory for ByIdReaderFactory {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let path = file.object_meta.location.to_string();
        let inner = self.inner.create_reader(partition_index, file, metadata_size_hint, metrics)?;
        Ok(Box::new(ByIdReader { inner, names: Arc::clone(&self.names), path }))
    }
}

struct ByIdReader {
    inner: Box<dyn AsyncFileReader + Send>,
    names: Arc<FieldNames>,
    path: String,
}

impl AsyncFileReader for ByIdReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.inner.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        self.inner.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let metadata = match self.inner.get_metadata(options).await {
                Ok(metadata) => metadata,
                // DataFusion makes a text of the cause. A store that does not give the file says so once more, as an
                // error of its own; one that gives it again is asked again, and then the footer is to blame.
                Err(_) => {
                    self.inner.get_bytes(0..1).await?;
                    self.inner.get_metadata(options).await?
                }
            };
            let renamed = self
                .names
                .rename(&metadata, &self.path)
                .map_err(|error| ParquetError::General(format!("data file {:?}: {error}", self.path)))?;
            Ok(Arc::new(renamed))
        }
        .boxed()
    }
}

/// Makes the adapters that turn a file's columns into the table's.
#[derive(Debug)]
pub(crate) struct ByIdAdapterFactory {
    pub(crate) names: Arc<FieldNames>,
}

impl PhysicalExprAdapterFactory for ByIdAdapterFactory {
    fn create(
        &self,
        logical_file_schema: SchemaRef,
        physical_file_schema: SchemaRef,
    ) -> Result<Arc<dyn PhysicalExprAdapter>> {
        Ok(Arc::new(ByIdAdapter {
            table: logical_file_schema,
            file: physical_file_schema,
            names: Arc::clone(&self.names),
        }))
    }
}

#[derive(Debug)]
struct ByIdAdapter {
    table: SchemaRef,
    file: SchemaRef,
    names: Arc<FieldNames>,
}

impl PhysicalExprAdapter for ByIdAdapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        // A rewritten column must not be visited again, hence `Jump`.
        let done = |e| Ok(Transformed::new(e, true, TreeNodeRecursion::Jump));
        expr.transform_down(|expr| {
            if let Some(column) = expr.downcast_ref::<Column>() {
                return done(self.column(column)?);
            }
            if let Some(accessed) = self.field_access(&expr)? {
                return done(accessed);
            }
            if let Some(inner) = unordered(&expr, &self.table) {
                let child = self.rewrite(Arc::clone(inner))?;
                return done(Opaque::wrap(expr.with_new_children(vec![child])?));
            }
            Ok(Transformed::no(expr))
        })
        .map(|t| t.data)
    }
}

impl ByIdAdapter {
    fn column(&self, column: &Column) -> Result<Arc<dyn PhysicalExpr>> {
        let Ok(logical) = self.table.field_with_name(column.name()) else {
            return exec_err!("the table has no column {:?}", column.name());
        };
        let Ok(index) = self.file.index_of(column.name()) else {
            return self.absent(logical);
        };
        let physical = self.file.field(index);
        let stored: Arc<dyn PhysicalExpr> = Arc::new(Column::new(column.name(), index));
        let of = self.names.columns.get(column.name()).map(Arc::as_ref);
        let value = convert(stored, physical, logical, of)?;
        Ok(if logical.data_type().is_floating() { Opaque::wrap(value) } else { value })
    }

    /// The value of a column that the file does not have.
    fn absent(&self, logical: &Field) -> Result<Arc<dyn PhysicalExpr>> {
        if let Some(value) = self.given(logical)? {
            return Ok(Arc::new(Literal::new(value)));
        }
        if !logical.is_nullable() {
            let name = logical.name();
            return not_read(format!("a data file lacks column {name:?}, which is NOT NULL and has no default"));
        }
        null(logical)
    }

    /// The value that the file's partition or a default gives to a column that the file does not have.
    fn given(&self, logical: &Field) -> Result<Option<ScalarValue>> {
        let Some(of) = self.names.columns.get(logical.name()) else { return Ok(None) };
        let partition = self.file.metadata().get(FILE).and_then(|path| self.names.partitions.get(path));
        match partition.and_then(|values| values.get(&of.id)) {
            Some(Some(value)) => return Ok(Some(value.clone())),
            Some(None) => {
                return not_read(format!("column {:?}: its partition's value is none of its type", logical.name()));
            }
            None => {}
        }
        match default_of(of, logical.data_type()) {
            Ok(value) => Ok(value),
            Err(at) => not_read(format!("column {:?} cannot be read{at}", logical.name())),
        }
    }

    /// A field of a struct column, taken from the file's own struct. Casting the
    /// whole struct first would keep filters from being pushed into the file.
    fn field_access(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let Some((function, column, path)) = access_path(expr) else {
            return Ok(None);
        };
        let Ok(logical) = self.table.field_with_name(column.name()) else {
            return Ok(None);
        };
        let Some(wanted) = descend(logical, &path) else {
            return Ok(None);
        };
        let top = self.names.columns.get(column.name()).map(Arc::as_ref);
        let Ok(index) = self.file.index_of(column.name()) else {
            // A default of the column is taken apart like any other value of it.
            return if self.given(logical)?.is_some() { Ok(None) } else { null(&wanted).map(Some) };
        };
        let Some(found) = descend(self.file.field(index), &path) else {
            return if fills_up(self.file.field(index), top, &path) { Ok(None) } else { null(&wanted).map(Some) };
        };
        if !found.is_nullable() && has_nullable(self.file.field(index), &path) {
            // Where a struct around it is NULL, it holds anything: the whole column is put right (`reshape`).
            return Ok(None);
        }
        let mut args: Vec<Arc<dyn PhysicalExpr>> = vec![Arc::new(Column::new(column.name(), index))];
        for name in &path {
            args.push(Arc::new(Literal::new(ScalarValue::from(name.as_str()))));
        }
        let field = Arc::new(found.as_ref().clone().with_nullable(true));
        let stored: Arc<dyn PhysicalExpr> = Arc::new(ScalarFunctionExpr::new(
            function.name(),
            Arc::new(function.fun().clone()),
            args,
            field,
            Arc::new(function.config_options().clone()),
        ));
        let of = top.and_then(|top| within(top, &path));
        convert(stored, &found, &wanted, of).map(Some)
    }
}

/// `get_field(get_field(column, 'a'), 'b')` or `get_field(column, 'a', 'b')`.
fn access_path(expr: &Arc<dyn PhysicalExpr>) -> Option<(&ScalarFunctionExpr, &Column, Vec<String>)> {
    let function = ScalarFunctionExpr::try_downcast_func::<GetFieldFunc>(expr.as_ref())?;
    let (base, keys) = function.args().split_first()?;
    let mut path = Vec::with_capacity(keys.len());
    for key in keys {
        let literal = key.downcast_ref::<Literal>()?;
        path.push(literal.value().try_as_str().flatten()?.to_owned());
    }
    if let Some(column) = base.downcast_ref::<Column>() {
        return Some((function, column, path));
    }
    let (_, column, mut outer) = access_path(base)?;
    outer.append(&mut path);
    Some((function, column, outer))
}

fn descend(field: &Field, path: &[String]) -> Option<FieldRef> {
    let (name, rest) = path.split_first()?;
    let DataType::Struct(fields) = field.data_type() else {
        return None;
    };
    let child = fields.iter().find(|f| f.name() == name)?;
    if rest.is_empty() { Some(Arc::clone(child)) } else { descend(child, rest) }
}

/// Whether a column, or a field on a path below it but for the last, may be NULL.
fn has_nullable(field: &Field, path: &[String]) -> bool {
    field.is_nullable() || (1..path.len()).any(|depth| descend(field, &path[..depth]).is_some_and(|f| f.is_nullable()))
}

/// The table's field at a path below a column.
fn within<'a>(of: &'a NestedField, path: &[String]) -> Option<&'a NestedField> {
    let Some((name, rest)) = path.split_first() else { return Some(of) };
    let Type::Struct(fields) = of.field_type.as_ref() else { return None };
    within(fields.field_by_name(name)?, rest)
}

/// Whether the first field of a path that a file does not have has a default: then its value is not always NULL.
fn fills_up(stored: &Field, of: Option<&NestedField>, path: &[String]) -> bool {
    let known = (1..path.len()).take_while(|depth| descend(stored, &path[..*depth]).is_some()).count();
    let first = path.get(..=known).and_then(|path| within(of?, path));
    first.is_some_and(|first| first.initial_default.is_some() || first.required)
}

fn null(of: &Field) -> Result<Arc<dyn PhysicalExpr>> {
    Ok(Arc::new(Literal::new(ScalarValue::try_from(of.data_type())?)))
}
