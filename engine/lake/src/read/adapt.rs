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
//! * A column absent from a file is NULL, or its initial default.
//! * Only lossless changes of type are made; any other is an error.
//! * A float column is opaque to DataFusion's pruning: Parquet's bounds leave NaN
//!   out, which DataFusion orders above all numbers.
//!
//! Not here: which files to open (`prune`), rows' positions (`row_positions`).

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef, TimeUnit};
use bytes::Bytes;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::functions::core::getfield::GetFieldFunc;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_expr_adapter::{PhysicalExprAdapter, PhysicalExprAdapterFactory};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use iceberg::spec::{MappedField, NameMapping, NestedFieldRef, Type};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::basic::Repetition;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataBuilder};
use parquet::schema::types::{SchemaDescriptor, Type as ParquetType, TypePtr};

use crate::read::value_order::{Opaque, scalar, unordered};
use crate::table::Table;

/// Table property with the names that stand for ids in files without any
/// (Iceberg, "Column Projection").
const NAME_MAPPING: &str = "schema.name-mapping.default";
/// Where Arrow writers keep their own schema in a Parquet footer.
const ARROW_SCHEMA: &str = "ARROW:schema";

/// The names that field ids have in a table now, nested fields included.
#[derive(Debug)]
pub(crate) struct FieldNames {
    names: HashMap<i32, String>,
    mapping: Vec<MappedField>,
    /// Values of columns in files older than the column, by column name.
    defaults: HashMap<String, ScalarValue>,
}

impl FieldNames {
    /// Names of a table's public columns, and with `state` of its hidden ones.
    pub(crate) fn of(table: &Table, state: bool) -> Self {
        let schema = table.metadata().current_schema();
        let mut names = HashMap::new();
        let mut defaults = HashMap::new();
        for (field, arrow) in schema.as_struct().fields().iter().zip(table.schema().fields()) {
            collect(field, &mut names);
            let default = field.initial_default.as_ref();
            if let Some(literal) = default.and_then(|d| d.as_primitive_literal())
                && let Some(value) = scalar(&literal, arrow.data_type())
            {
                defaults.insert(field.name.clone(), value);
            }
        }
        if state {
            for column in table.state_columns() {
                collect(&column.field, &mut names);
            }
        }
        let mapping = table
            .properties()
            .get(NAME_MAPPING)
            .and_then(|json| serde_json::from_str::<NameMapping>(json).ok())
            .map(|m| m.fields().to_vec())
            .unwrap_or_default();
        Self { names, mapping, defaults }
    }

    /// Names for a file that is no table data, such as a position delete file.
    pub(crate) fn fixed<const N: usize>(names: [(i32, &str); N]) -> Self {
        let mapping =
            names.iter().map(|(id, name)| MappedField::new(Some(*id), vec![(*name).to_owned()], Vec::new())).collect();
        let names = names.iter().map(|(id, name)| (*id, (*name).to_owned())).collect();
        Self { names, mapping, defaults: HashMap::new() }
    }

    /// The footer with every column under its name of today.
    fn rename(&self, metadata: &ParquetMetaData) -> ParquetResult<ParquetMetaData> {
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
        let kept = file
            .key_value_metadata()
            .map(|pairs| pairs.iter().filter(|p| p.key != ARROW_SCHEMA).cloned().collect::<Vec<_>>());
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
            let metadata = self.inner.get_metadata(options).await?;
            let renamed = self
                .names
                .rename(&metadata)
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
        let value = convert(stored, physical, logical)?;
        Ok(if logical.data_type().is_floating() { Opaque::wrap(value) } else { value })
    }

    /// The value of a column in files older than the column.
    fn absent(&self, logical: &Field) -> Result<Arc<dyn PhysicalExpr>> {
        if let Some(value) = self.names.defaults.get(logical.name()) {
            return Ok(Arc::new(Literal::new(value.clone())));
        }
        if !logical.is_nullable() {
            return exec_err!("a data file lacks column {:?}, which is NOT NULL and has no default", logical.name());
        }
        Ok(Arc::new(Literal::new(ScalarValue::try_from(logical.data_type())?)))
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
        let Ok(index) = self.file.index_of(column.name()) else {
            return Ok(Some(Arc::new(Literal::new(ScalarValue::try_from(wanted.data_type())?))));
        };
        let Some(found) = descend(self.file.field(index), &path) else {
            return Ok(Some(Arc::new(Literal::new(ScalarValue::try_from(wanted.data_type())?))));
        };
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
        convert(stored, &found, &wanted).map(Some)
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

/// A stored value as the table's type.
fn convert(stored: Arc<dyn PhysicalExpr>, physical: &Field, logical: &Field) -> Result<Arc<dyn PhysicalExpr>> {
    if physical.data_type() == logical.data_type() {
        return Ok(stored);
    }
    if let Err(at) = lossless(physical.data_type(), logical.data_type(), false) {
        return exec_err!(
            "column {:?} is stored as {}, which cannot be read as {}{at}",
            logical.name(),
            physical.data_type(),
            logical.data_type()
        );
    }
    // Nullable, so that no optimizer relies on what another writer promised.
    let target = Arc::new(logical.clone().with_nullable(true));
    Ok(Arc::new(CastExpr::new_with_target_field(stored, target, None)))
}

/// Whether every stored value has one equal value of the wanted type: Iceberg's
/// promotions, and the Arrow types that stand for one Iceberg type.
fn lossless(stored: &DataType, wanted: &DataType, in_map: bool) -> std::result::Result<(), String> {
    use DataType as D;
    let fine = match (stored, wanted) {
        (a, b) if a == b => true,
        (D::Int8 | D::Int16 | D::UInt8 | D::UInt16, D::Int32 | D::Int64) => true,
        (D::Int32 | D::UInt32, D::Int64) => true,
        (D::Float16, D::Float32 | D::Float64) | (D::Float32, D::Float64) => true,
        (D::Utf8 | D::LargeUtf8 | D::Utf8View, D::Utf8 | D::LargeUtf8 | D::Utf8View) => true,
        (
            D::Binary | D::LargeBinary | D::BinaryView,
            D::Binary | D::LargeBinary | D::BinaryView | D::Utf8 | D::Utf8View,
        ) => true,
        (D::Timestamp(from, _), D::Timestamp(to, _)) => {
            from == to || matches!((from, to), (TimeUnit::Millisecond, TimeUnit::Microsecond))
                // Writers that keep nanoseconds for a microsecond column.
                || matches!((from, to), (TimeUnit::Nanosecond, TimeUnit::Microsecond))
        }
        (D::Time32(_), D::Time64(_)) => true,
        (
            D::Decimal32(p, s) | D::Decimal64(p, s) | D::Decimal128(p, s) | D::Decimal256(p, s),
            D::Decimal128(to_p, to_s),
        ) => s == to_s && p <= to_p,
        (D::Dictionary(_, value), to) => return lossless(value, to, in_map),
        (D::Struct(from), D::Struct(to)) => {
            // Within maps Arrow may match fields by place, so they must agree.
            if in_map && !(from.len() == to.len() && from.iter().zip(to).all(|(a, b)| a.name() == b.name())) {
                return Err(": a struct within a map changed its fields".to_owned());
            }
            for field in to {
                if let Some(stored) = from.iter().find(|f| f.name() == field.name()) {
                    lossless(stored.data_type(), field.data_type(), in_map)?;
                }
            }
            true
        }
        (D::List(from), D::List(to)) => {
            return lossless(from.data_type(), to.data_type(), in_map);
        }
        (D::Map(from, _), D::Map(to, _)) => match (from.data_type(), to.data_type()) {
            (D::Struct(from), D::Struct(to)) if from.len() == 2 && to.len() == 2 => {
                lossless(from[0].data_type(), to[0].data_type(), true)?;
                return lossless(from[1].data_type(), to[1].data_type(), true);
            }
            _ => false,
        },
        _ => false,
    };
    if fine { Ok(()) } else { Err(String::new()) }
}
