//! Equality deletes: rows by the values of some columns.
//!
//! ```text
//!   delete files ──▶ key ──▶ KeySet: key ──▶ greatest sequence number of its deletes
//!   data file ─────▶ key ──▶ deleted where that number is above the file's
//! ```
//!
//! Invariants
//! * NULL equals NULL; NaN equals NaN, whatever its bits; -0.0 and 0.0 are two values; a struct that is NULL is another one
//!   than a struct whose field is NULL: all as in Java's library.
//! * Values are compared in the widest type that the column had: a key written before a promotion finds the rows after it.
//! * Columns are found by field id, those that the table has no more and those within structs too; where a data file lacks
//!   one, it has the value that a reader would see.
//! * One look-up a row and a set of columns, however many deletes there are.
//!
//! Not here: which delete files apply (`index`), reading them once (`applied`).

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::functions::core::get_field;
use datafusion::physical_expr::expressions::{Column, IsNullExpr, Literal};
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_expr_adapter::PhysicalExprAdapterFactory;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::stream::{BoxStream, StreamExt};
use iceberg::spec::{NestedFieldRef, Type};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::basic::Type as PhysicalType;
use roaring::RoaringTreemap;

use crate::error::{LakeError, damaged, not_read};
use crate::read::adapt::{ByIdAdapterFactory, ByIdReaderFactory, FieldNames, PartitionValues};
use crate::read::parquet_files::ParquetFiles;
use crate::table::{Table, schema};

/// Bytes that a key takes beside its own.
const KEY_BYTES: usize = 64;
/// Rows whose keys are read at a time.
const BATCH_ROWS: usize = 8192;

/// The columns of some equality deletes, as they are read from delete files and from data files.
#[derive(Debug)]
pub(crate) struct KeyColumns {
    names: Arc<FieldNames>,
    /// The columns at the top that hold them.
    schema: SchemaRef,
    /// In the order of the ids asked for.
    keys: Vec<KeyColumn>,
}

#[derive(Debug)]
struct KeyColumn {
    top: String,
    /// Names of the fields below it.
    below: Vec<String>,
    data_type: DataType,
    /// Whether it is NULL, instead of its value.
    is_null: bool,
}

impl KeyColumns {
    /// The columns with these field ids. `partitions` are the values of data files' partitions.
    ///
    /// # Errors
    /// Ids that no schema of the table has; `Unsupported` for what is within a list or a map.
    pub(crate) fn of(table: &Table, ids: &[i32], partitions: &Arc<PartitionValues>) -> Result<Self, LakeError> {
        let (mut tops, mut keys): (Vec<NestedFieldRef>, Vec<KeyColumn>) = (Vec::new(), Vec::new());
        for id in ids {
            let Some((top, path)) = find(table, *id)? else {
                return Err(LakeError::Damaged(format!(
                    "equality deletes of table \"{}\" name a column with the id {id}, which none of its schemas has",
                    table.name()
                )));
            };
            // A name of its own: a column that is gone may share one with a column of today.
            let name = format!("\u{1}key {}", top.id);
            let (data_type, below) = match path.last() {
                Some(leaf) => (schema::to_arrow(&leaf.field_type)?, path.iter().map(|f| f.name.clone()).collect()),
                None => (schema::to_arrow(&top.field_type)?, Vec::new()),
            };
            if data_type.is_nested() {
                return Err(LakeError::Unsupported(format!(
                    "equality deletes by column \"{}\", whose type is nested, in table \"{}\" (help: compact the table with \
                     the engine that wrote them)",
                    top.name,
                    table.name()
                )));
            }
            match tops.iter().find(|of| of.id == top.id) {
                Some(of) if of.field_type == top.field_type => {}
                Some(_) => {
                    return Err(LakeError::Unsupported(format!(
                        "equality deletes by fields of column \"{}\" that it never had at the same time, in table \"{}\" \
                         (help: compact the table with the engine that wrote them)",
                        top.name,
                        table.name()
                    )));
                }
                None => {
                    let mut of = top.as_ref().clone();
                    (of.name, of.required) = (name.clone(), false);
                    tops.push(Arc::new(of));
                }
            }
            for depth in 0..below.len() {
                let below = below.get(..depth).unwrap_or_default().to_vec();
                keys.push(KeyColumn { top: name.clone(), below, data_type: DataType::Boolean, is_null: true });
            }
            keys.push(KeyColumn { top: name, below, data_type, is_null: false });
        }
        let schema = Arc::new(schema::arrow_schema(&tops, false)?);
        Ok(Self { names: Arc::new(FieldNames::over(table, &tops, Arc::clone(partitions))), schema, keys })
    }

    /// The keys of a file's rows, in order: an array for each column in a batch, and how many rows it has. A file of
    /// deletes has all the columns.
    ///
    /// # Errors
    /// The store's; columns that are not there or not of their type.
    pub(crate) async fn read(
        &self,
        files: &ParquetFiles,
        path: &str,
        size: u64,
        is_delete: bool,
    ) -> Result<BoxStream<'static, Result<(Vec<ArrayRef>, usize)>>> {
        let factory = ByIdReaderFactory { inner: files.reader(), names: Arc::clone(&self.names) };
        let metrics = ExecutionPlanMetricsSet::new();
        let mut reader: Box<dyn AsyncFileReader> = factory.create_reader(0, files.file(path, size)?, None, &metrics)?;
        let metadata = ArrowReaderMetadata::load_async(&mut reader, ArrowReaderOptions::new()).await?;
        let stored = Arc::clone(metadata.schema());
        let adapter = ByIdAdapterFactory { names: Arc::clone(&self.names) };
        let adapter = adapter.create(Arc::clone(&self.schema), Arc::clone(&stored))?;
        let (mut exprs, mut roots) = (Vec::with_capacity(self.keys.len()), Vec::new());
        for key in &self.keys {
            if is_delete && !key.is_in(&stored) {
                return damaged(format!("the equality delete file \"{path}\" lacks a column that it is about"));
            }
            let expr = adapter.rewrite(key.expr(&self.schema)?)?;
            roots.extend(collect_columns(&expr).iter().map(Column::index));
            exprs.push(expr);
        }
        let parquet = metadata.parquet_schema();
        let is_wide = |leaf: usize| parquet.column(leaf).physical_type() == PhysicalType::INT96;
        if (0..parquet.num_columns()).any(|leaf| is_wide(leaf) && roots.contains(&parquet.get_column_root_idx(leaf))) {
            return not_read(format!(
                "equality deletes by a column that \"{path}\" stores as INT96: compact it with the engine that wrote it"
            ));
        }
        let mask = ProjectionMask::roots(parquet, roots);
        let batches = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .build()?;
        let mut bound: Option<Vec<Arc<dyn PhysicalExpr>>> = None;
        let keys = batches.map(move |batch| {
            let batch = batch?;
            if bound.is_none() {
                let exprs = exprs.iter().map(|e| reassign_expr_columns(Arc::clone(e), &batch.schema()));
                bound = Some(exprs.collect::<Result<_>>()?);
            }
            let Some(exprs) = &bound else { return exec_err!("columns are bound with the first batch") };
            let arrays = exprs.iter().map(|expr| Ok(normal(expr.evaluate(&batch)?.into_array(batch.num_rows())?)));
            Ok((arrays.collect::<Result<_>>()?, batch.num_rows()))
        });
        Ok(keys.boxed())
    }

    /// A set without keys.
    ///
    /// # Errors
    /// A type that has no order.
    pub(crate) fn set(&self) -> Result<KeySet> {
        let fields = self.keys.iter().map(|key| SortField::new(key.data_type.clone())).collect();
        Ok(KeySet { converter: RowConverter::new(fields)?, keys: HashMap::new() })
    }
}

impl KeyColumn {
    /// What it is in a row of the columns at the top.
    fn expr(&self, schema: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new_with_schema(&self.top, schema)?);
        let value = match self.below.is_empty() {
            true => column,
            false => self.within(column, schema)?,
        };
        Ok(if self.is_null { Arc::new(IsNullExpr::new(value)) } else { value })
    }

    /// The field below a column at the top.
    fn within(&self, column: Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
        let mut of = schema.field_with_name(&self.top)?.data_type();
        for name in &self.below {
            let fields = match of {
                DataType::Struct(fields) => fields,
                _ => return exec_err!("\"{name}\" is no field"),
            };
            match fields.iter().find(|field| field.name() == name) {
                Some(field) => of = field.data_type(),
                None => return exec_err!("\"{name}\" is no field"),
            }
        }
        let names = self.below.iter().map(|name| Arc::new(Literal::new(ScalarValue::from(name.as_str()))) as _);
        let args = std::iter::once(column).chain(names).collect();
        let field: FieldRef = Arc::new(Field::new("key", of.clone(), true));
        let function = get_field();
        let name = function.name().to_owned();
        Ok(Arc::new(ScalarFunctionExpr::new(&name, function, args, field, Arc::new(ConfigOptions::default()))))
    }

    /// Whether a file with these columns has it.
    fn is_in(&self, stored: &Schema) -> bool {
        let Ok(mut field) = stored.field_with_name(&self.top) else { return false };
        for name in &self.below {
            let DataType::Struct(fields) = field.data_type() else { return false };
            match fields.iter().find(|field| field.name() == name) {
                Some(below) => field = below,
                None => return false,
            }
        }
        true
    }
}

/// A column at the top, and the fields below it that lead to one of them.
type FieldPath = (NestedFieldRef, Vec<NestedFieldRef>);

/// The column at the top that is or holds the field with an id, and the fields from below it to that one: in the schema
/// of today, else in the newest that has it.
fn find(table: &Table, id: i32) -> Result<Option<FieldPath>, LakeError> {
    let metadata = table.metadata();
    let mut schemas: Vec<_> = metadata.schemas_iter().collect();
    let current = metadata.current_schema_id();
    schemas.sort_by_key(|schema| std::cmp::Reverse((schema.schema_id() == current, schema.schema_id())));
    for schema in schemas {
        if schema.field_by_id(id).is_none() {
            continue;
        }
        for top in schema.as_struct().fields() {
            let mut path = Vec::new();
            if top.id == id || leads_to(&top.field_type, id, &mut path) {
                return Ok(Some((Arc::clone(top), path)));
            }
        }
        return Err(LakeError::Unsupported(format!(
            "equality deletes by a field within a list or a map, in table \"{}\" (help: compact the table with the engine \
             that wrote them)",
            table.name()
        )));
    }
    Ok(None)
}

/// Whether the field with an id is within structs alone; `path` gets the fields that lead to it.
fn leads_to(of: &Type, id: i32, path: &mut Vec<NestedFieldRef>) -> bool {
    let Type::Struct(fields) = of else { return false };
    for field in fields.fields() {
        path.push(Arc::clone(field));
        if field.id == id || leads_to(&field.field_type, id, path) {
            return true;
        }
        path.pop();
    }
    false
}

/// The same values, every NaN with the same bits.
fn normal(array: ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float32 => {
            let floats = array.as_primitive::<Float32Type>();
            Arc::new(floats.unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v }))
        }
        DataType::Float64 => {
            let floats = array.as_primitive::<Float64Type>();
            Arc::new(floats.unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v }))
        }
        _ => array,
    }
}

/// The keys that are deleted, each with the greatest sequence number of its deletes.
#[derive(Debug)]
pub(crate) struct KeySet {
    converter: RowConverter,
    keys: HashMap<Box<[u8]>, i64>,
}

impl KeySet {
    /// Adds the keys of deletes with a sequence number; gives how many bytes they take.
    ///
    /// # Errors
    /// Arrays of other types.
    pub(crate) fn insert(&mut self, arrays: &[ArrayRef], sequence_number: i64) -> Result<usize> {
        let rows = self.converter.convert_columns(arrays)?;
        let mut bytes = 0;
        for row in &rows {
            match self.keys.get_mut(row.as_ref()) {
                Some(greatest) => *greatest = sequence_number.max(*greatest),
                None => {
                    let key: Box<[u8]> = row.as_ref().into();
                    bytes += key.len() + KEY_BYTES;
                    self.keys.insert(key, sequence_number);
                }
            }
        }
        Ok(bytes)
    }

    /// Adds to `into` the places of the rows, counted from `first`, that are deleted in a file with a sequence number.
    ///
    /// # Errors
    /// Arrays of other types.
    pub(crate) fn find(
        &self,
        arrays: &[ArrayRef],
        sequence_number: i64,
        first: u64,
        into: &mut RoaringTreemap,
    ) -> Result<()> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let rows = self.converter.convert_columns(arrays)?;
        for (row, at) in rows.iter().zip(first..) {
            if self.keys.get(row.as_ref()).is_some_and(|deleted| *deleted > sequence_number) {
                into.insert(at);
            }
        }
        Ok(())
    }
}
