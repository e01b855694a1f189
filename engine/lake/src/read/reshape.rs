//! A stored value of a nested type as the table's: fields by name, at every level what a file does not have filled in.
//!
//! ```text
//!   type in the file, field of the table ──plan()──▶ Step ──▶ CastExpr where DataFusion's cast does the same,
//!                                                    └──▶ Reshape: struct, list and map are taken apart and put together
//! ```
//!
//! Invariants
//! * A struct is NULL where the stored one is, whatever fields it has now, none of the stored ones included.
//! * A field that is not in the file has its initial default, else NULL; one that is NOT NULL and has no default is an error.
//! * Only lossless changes of type are made; any other is an error.
//! * What changes names is done before: a field in a file has the name that its id has now (`adapt`).
//!
//! Not here: columns at the top, which may come from the partition (`adapt`).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, StructArray, make_array};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, TimeUnit};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::CastExpr;
use iceberg::spec::{Literal, NestedField, Type};

use crate::error::not_read;
use crate::read::value_order::{float_scalar, scalar};

/// How one stored value becomes the table's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    Keep,
    Cast(DataType),
    Struct(Fields, Vec<Part>),
    List(FieldRef, Box<Step>),
    Map(FieldRef, Box<(Step, Step)>),
}

/// Where a field of a struct comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Stored(String, Step),
    /// As `Stored`, of a field that is never NULL in the file: where the struct is, it holds anything.
    Covered(String, Step),
    Value(ScalarValue),
}

/// A stored value as the table's type. `of` is the table's field, where it has one.
///
/// # Errors
/// A change of type that loses values; a field that is NOT NULL, has no default, and is not in the file.
pub(crate) fn convert(
    stored: Arc<dyn PhysicalExpr>,
    physical: &Field,
    logical: &Field,
    of: Option<&NestedField>,
) -> Result<Arc<dyn PhysicalExpr>> {
    if physical.data_type() == logical.data_type() && !has_covered(physical.data_type()) {
        return Ok(stored);
    }
    let step = match plan(physical.data_type(), logical.data_type(), of.map(|f| f.field_type.as_ref())) {
        Ok(step) => step,
        Err(at) => {
            return not_read(format!(
                "column {:?} is stored as {}, which cannot be read as {}{at}",
                logical.name(),
                physical.data_type(),
                logical.data_type()
            ));
        }
    };
    // Nullable, so that no optimizer relies on what another writer promised.
    let target = Arc::new(logical.clone().with_nullable(true));
    if step.is_cast() {
        // The Parquet source knows which parts of a column a cast needs.
        return Ok(Arc::new(CastExpr::new_with_target_field(stored, target, None)));
    }
    Ok(Arc::new(Reshape { inner: stored, step, target }))
}

/// Whether a type has a struct with a field that is never NULL.
fn has_covered(of: &DataType) -> bool {
    match of {
        DataType::Struct(fields) => fields.iter().any(|field| !field.is_nullable() || has_covered(field.data_type())),
        DataType::List(item) => has_covered(item.data_type()),
        // Keys are never NULL, and neither are entries: only what the values are counts.
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => pair.iter().skip(1).any(|value| has_covered(value.data_type())),
            _ => false,
        },
        _ => false,
    }
}

/// The value of a field that a file does not have. None: NULL.
///
/// # Errors
/// A default that cannot be given.
pub(crate) fn default_of(of: &NestedField, as_type: &DataType) -> std::result::Result<Option<ScalarValue>, String> {
    let Some(literal) = &of.initial_default else { return Ok(None) };
    let refused = || Err(format!(": the default of \"{}\" is of a nested type", of.name));
    match (literal, of.field_type.as_ref(), as_type) {
        (Literal::Primitive(value), _, as_type) => {
            match float_scalar(value, as_type).or_else(|| scalar(value, as_type)) {
                Some(value) => Ok(Some(value)),
                None => Err(format!(": the default of \"{}\" is of another type", of.name)),
            }
        }
        // An empty struct: its fields have defaults of their own.
        (Literal::Struct(values), Type::Struct(fields), DataType::Struct(as_fields))
            if values.fields().iter().all(Option::is_none) =>
        {
            let columns = fields.fields().iter().zip(as_fields).map(|(field, as_field)| {
                let value = missing(field, as_field)?;
                value.to_array().map_err(|error| format!(": {error}"))
            });
            let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
            let whole = StructArray::try_new(as_fields.clone(), columns, None).map_err(|error| format!(": {error}"))?;
            Ok(Some(ScalarValue::Struct(Arc::new(whole))))
        }
        _ => refused(),
    }
}

/// What stands for a field of a struct that the file does not have.
fn missing(of: &NestedField, as_field: &Field) -> std::result::Result<ScalarValue, String> {
    if let Some(value) = default_of(of, as_field.data_type())? {
        return Ok(value);
    }
    if !as_field.is_nullable() {
        return Err(format!(
            ": the file lacks its field \"{}\", which is NOT NULL and has no default",
            as_field.name()
        ));
    }
    ScalarValue::try_from(as_field.data_type()).map_err(|error| format!(": {error}"))
}

/// Whether every stored value has one equal value of the wanted type (Iceberg's promotions, and the Arrow types that stand
/// for one Iceberg type), and how it is made.
fn plan(stored: &DataType, wanted: &DataType, of: Option<&Type>) -> std::result::Result<Step, String> {
    use DataType as D;
    if stored == wanted && !has_covered(stored) {
        return Ok(Step::Keep);
    }
    let fine = match (stored, wanted) {
        (D::Int8 | D::Int16 | D::UInt8 | D::UInt16, D::Int32 | D::Int64) => true,
        (D::Int32 | D::UInt32, D::Int64) => true,
        (D::Float16, D::Float32 | D::Float64) | (D::Float32, D::Float64) => true,
        (D::Utf8 | D::LargeUtf8 | D::Utf8View, D::Utf8 | D::LargeUtf8 | D::Utf8View) => true,
        (
            D::Binary | D::LargeBinary | D::BinaryView,
            D::Binary | D::LargeBinary | D::BinaryView | D::Utf8 | D::Utf8View,
        ) => true,
        // `fixed(n)`, declared as BINARY.
        (D::FixedSizeBinary(_), D::Binary) => true,
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
        (D::Dictionary(_, value), to) => {
            plan(value, to, None).is_ok_and(|step| matches!(step, Step::Keep | Step::Cast(_)))
        }
        (D::Struct(from), D::Struct(to)) => {
            let fields = match of {
                Some(Type::Struct(of)) => of.fields(),
                _ => &[],
            };
            let parts = to.iter().enumerate().map(|(place, field)| {
                let of = fields.get(place);
                match (from.iter().find(|f| f.name() == field.name()), of) {
                    (Some(stored), _) => {
                        let step = plan(stored.data_type(), field.data_type(), of.map(|f| f.field_type.as_ref()))?;
                        let part = if stored.is_nullable() { Part::Stored } else { Part::Covered };
                        Ok(part(stored.name().clone(), step))
                    }
                    (None, Some(of)) => missing(of, field).map(Part::Value),
                    (None, None) => Err(String::new()),
                }
            });
            return Ok(Step::Struct(to.clone(), parts.collect::<std::result::Result<_, String>>()?));
        }
        (D::List(from), D::List(to)) => {
            let of = match of {
                Some(Type::List(of)) => Some(of.element_field.field_type.as_ref()),
                _ => None,
            };
            let item = plan(from.data_type(), to.data_type(), of)?;
            return Ok(Step::List(Arc::clone(to), Box::new(item)));
        }
        (D::Map(from, _), D::Map(to, _)) => match (from.data_type(), to.data_type()) {
            (D::Struct(from), D::Struct(to_pair)) if from.len() == 2 && to_pair.len() == 2 => {
                let (key, value) = match of {
                    Some(Type::Map(of)) => {
                        (Some(of.key_field.field_type.as_ref()), Some(of.value_field.field_type.as_ref()))
                    }
                    _ => (None, None),
                };
                let key = plan(from[0].data_type(), to_pair[0].data_type(), key)?;
                let value = plan(from[1].data_type(), to_pair[1].data_type(), value)?;
                return Ok(Step::Map(Arc::clone(to), Box::new((key, value))));
            }
            _ => false,
        },
        _ => false,
    };
    if fine { Ok(Step::Cast(wanted.clone())) } else { Err(String::new()) }
}

impl Step {
    /// Whether DataFusion's cast does the same: it fills fields up with NULL, wants one in common, and knows maps by place.
    fn is_cast(&self) -> bool {
        match self {
            Step::Keep | Step::Cast(_) => true,
            Step::List(_, item) => item.is_cast(),
            Step::Map(..) => false,
            Step::Struct(_, parts) => {
                let stored = parts.iter().filter(|part| matches!(part, Part::Stored(..))).count();
                stored > 0
                    && parts.iter().all(|part| match part {
                        Part::Stored(_, step) => step.is_cast(),
                        Part::Covered(..) => false,
                        Part::Value(value) => value.is_null(),
                    })
            }
        }
    }

    fn apply(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let of_another_type = || exec_err!("a column has another type than its file said");
        Ok(match self {
            Step::Keep => Arc::clone(array),
            Step::Cast(to) => cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() })?,
            Step::Struct(fields, parts) => {
                let Some(stored) = array.as_struct_opt() else { return of_another_type() };
                let mut columns = Vec::with_capacity(parts.len());
                for part in parts {
                    columns.push(match part {
                        Part::Stored(name, step) => match stored.column_by_name(name) {
                            Some(column) => step.apply(column)?,
                            None => return of_another_type(),
                        },
                        Part::Covered(name, step) => match stored.column_by_name(name) {
                            Some(column) => masked(&step.apply(column)?, stored.nulls())?,
                            None => return of_another_type(),
                        },
                        Part::Value(value) => masked(&value.to_array_of_size(stored.len())?, stored.nulls())?,
                    });
                }
                let nulls = stored.nulls().cloned();
                Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, stored.len())?)
            }
            Step::List(item, step) => {
                let Some(stored) = array.as_list_opt::<i32>() else { return of_another_type() };
                let values = step.apply(stored.values())?;
                let (offsets, nulls) = (stored.offsets().clone(), stored.nulls().cloned());
                Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, nulls)?)
            }
            Step::Map(entries, steps) => {
                let Some(stored) = array.as_map_opt() else { return of_another_type() };
                let DataType::Struct(pair) = entries.data_type() else { return of_another_type() };
                let columns = vec![steps.0.apply(stored.keys())?, steps.1.apply(stored.values())?];
                let pairs = StructArray::try_new(pair.clone(), columns, None)?;
                let (offsets, nulls) = (stored.offsets().clone(), stored.nulls().cloned());
                Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, false)?)
            }
        })
    }
}

/// An array that is NULL where `nulls` says so, and so is all within it: a field is taken out of a struct without a look
/// at the struct.
fn masked(array: &ArrayRef, nulls: Option<&NullBuffer>) -> Result<ArrayRef> {
    let Some(nulls) = nulls else { return Ok(Arc::clone(array)) };
    let all = NullBuffer::union(array.nulls(), Some(nulls));
    if let Some(of) = array.as_struct_opt() {
        let columns = of.columns().iter().map(|column| masked(column, Some(nulls))).collect::<Result<Vec<_>>>()?;
        return Ok(Arc::new(StructArray::try_new_with_length(of.fields().clone(), columns, all, of.len())?));
    }
    Ok(make_array(array.to_data().into_builder().nulls(all).build()?))
}

/// A stored nested value in the form that the table has now.
#[derive(Debug, Eq)]
struct Reshape {
    inner: Arc<dyn PhysicalExpr>,
    step: Step,
    target: FieldRef,
}

// By hand: the derived one does not compile for `Arc<dyn ...>` (rust-lang 78808).
impl PartialEq for Reshape {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner) && self.step == other.step && self.target == other.target
    }
}

impl Hash for Reshape {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
        self.step.hash(state);
        self.target.hash(state);
    }
}

impl fmt::Display for Reshape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RESHAPE({} AS {})", self.inner, self.target.data_type())
    }
}

impl PhysicalExpr for Reshape {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(self.target.data_type().clone())
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(true)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let array = self.inner.evaluate(batch)?.into_array(batch.num_rows())?;
        Ok(ColumnarValue::Array(self.step.apply(&array)?))
    }

    fn return_field(&self, _: &Schema) -> Result<FieldRef> {
        Ok(Arc::clone(&self.target))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        match children.pop() {
            Some(inner) if children.is_empty() => {
                Ok(Arc::new(Reshape { inner, step: self.step.clone(), target: Arc::clone(&self.target) }))
            }
            _ => exec_err!("one child expected"),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
