//! A batch as the table's columns: found by name, in the table's order and types.
//!
//! Invariants
//! * Only conversions that keep every value: timestamps are floored to microseconds, integers widened
//!   or refused, text and lists brought to one layout. Anything else is an error, never a guess.
//! * A NULL in a NOT NULL column is an error that names the column.
//!
//! Not here: casts that a query asks for (`ingot-pipeline`).

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, RecordBatchOptions, StructArray,
    TimestampMicrosecondArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, SchemaRef, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use iceberg::spec::{NestedField, NestedFieldRef, Type};

use crate::error::{LakeError, Result};
use crate::table::schema::{Ids, Role, promotes, same_type, to_iceberg};

/// Brings batches to a table's columns.
#[derive(Debug)]
pub(crate) struct Conform {
    /// The columns of a file, public ones first, with field ids.
    pub(crate) arrow: SchemaRef,
    fields: Vec<NestedFieldRef>,
    /// How many of them are public.
    public: usize,
    /// Places of columns that must not hold NULL.
    not_null: Vec<usize>,
}

impl Conform {
    pub(crate) fn new(arrow: SchemaRef, fields: Vec<NestedFieldRef>, public: usize, not_null: Vec<usize>) -> Self {
        Conform { arrow, fields, public, not_null }
    }

    /// The batch in the table's shape.
    ///
    /// # Errors
    /// Columns missing or too many, types that do not fit, values that do not, NULLs.
    pub(crate) fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let source = batch.schema();
        let mut used = HashSet::new();
        let mut columns = Vec::with_capacity(self.fields.len());
        for (place, (field, target)) in self.fields.iter().zip(self.arrow.fields()).enumerate() {
            // A public column comes first under its name; a hidden one may share the name, behind it.
            let mut candidates =
                (0..source.fields().len()).filter(|at| source.field(*at).name() == &field.name && !used.contains(at));
            let at = candidates
                .next()
                .ok_or_else(|| LakeError::Definition(format!("the rows to write have no column \"{}\"", field.name)))?;
            used.insert(at);
            let role = if place < self.public { Role::Public } else { Role::State };
            let array = conform(batch.column(at), field, target.data_type(), role)?;
            columns.push(array);
        }
        if let Some(extra) = (0..source.fields().len()).find(|at| !used.contains(at)) {
            return Err(LakeError::Definition(format!(
                "the rows to write have a column \"{}\" that the table does not have",
                source.field(extra).name()
            )));
        }
        for place in &self.not_null {
            let rows = columns[*place].null_count();
            if rows > 0 {
                return Err(LakeError::NotNull { column: self.fields[*place].name.clone(), rows });
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(SchemaRef::clone(&self.arrow), columns, &options)?)
    }
}

fn misfit(field: &NestedField, from: &DataType) -> LakeError {
    LakeError::Value {
        column: field.name.clone(),
        reason: format!("values of type {from} cannot be stored as {}", field.field_type),
    }
}

fn conform(array: &ArrayRef, field: &NestedField, target: &DataType, role: Role) -> Result<ArrayRef> {
    if array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    let from = array.data_type();
    match (from, field.field_type.as_ref(), target) {
        (DataType::Dictionary(_, values), _, _) => {
            let plain = cast(array, values, field)?;
            conform(&plain, field, target, role)
        }
        (DataType::Null, _, _) => Ok(arrow::array::new_null_array(target, array.len())),
        (DataType::Timestamp(unit, zone), _, DataType::Timestamp(TimeUnit::Microsecond, to)) => {
            if zone.is_some() != to.is_some() {
                return Err(misfit(field, from));
            }
            let array = microseconds(array, *unit, field)?;
            Ok(Arc::new(match to {
                Some(zone) => array.with_timezone(Arc::clone(zone)),
                None => array,
            }))
        }
        (DataType::Struct(children), Type::Struct(of), DataType::Struct(to)) => {
            let same_names = children.len() == of.fields().len()
                && children.iter().zip(of.fields()).all(|(a, b)| a.name() == &b.name);
            if !same_names {
                return Err(misfit(field, from));
            }
            let array = array.as_struct();
            let columns = of
                .fields()
                .iter()
                .zip(to)
                .zip(array.columns())
                .map(|((child, to), values)| conform(values, child, to.data_type(), role))
                .collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(StructArray::try_new_with_length(to.clone(), columns, array.nulls().cloned(), array.len())?))
        }
        (DataType::List(_), Type::List(of), DataType::List(to)) => {
            let array = array.as_list::<i32>();
            let values = conform(array.values(), &of.element_field, to.data_type(), role)?;
            let (offsets, nulls) = (array.offsets().clone(), array.nulls().cloned());
            Ok(Arc::new(ListArray::try_new(Arc::clone(to), offsets, values, nulls)?))
        }
        (
            DataType::LargeList(item)
            | DataType::FixedSizeList(item, _)
            | DataType::ListView(item)
            | DataType::LargeListView(item),
            Type::List(_),
            DataType::List(_),
        ) => {
            let plain = cast(array, &DataType::List(Arc::clone(item)), field)?;
            conform(&plain, field, target, role)
        }
        (DataType::Map(_, _), Type::Map(of), DataType::Map(to, _)) => {
            let DataType::Struct(pair) = to.data_type() else {
                return Err(misfit(field, from));
            };
            let array = array.as_map();
            let mut columns = Vec::with_capacity(2);
            let sides = [(&of.key_field, array.keys()), (&of.value_field, array.values())];
            for ((child, values), to) in sides.into_iter().zip(pair) {
                columns.push(conform(values, child, to.data_type(), role)?);
            }
            let entries = StructArray::try_new(pair.clone(), columns, None)?;
            Ok(Arc::new(MapArray::try_new(
                Arc::clone(to),
                array.offsets().clone(),
                entries,
                array.nulls().cloned(),
                false,
            )?))
        }
        _ => {
            let stored = to_iceberg(from, &field.name, role, &mut Ids::after(0)).map_err(|_| misfit(field, from))?;
            let fits = matches!(stored, Type::Primitive(_))
                && (same_type(&stored, &field.field_type) || promotes(&stored, &field.field_type));
            if fits { cast(array, target, field) } else { Err(misfit(field, from)) }
        }
    }
}

/// Arrow's cast, with an error rather than NULL for what does not fit.
fn cast(array: &ArrayRef, target: &DataType, field: &NestedField) -> Result<ArrayRef> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    // Arrow's text has the value.
    cast_with_options(array, target, &options).map_err(|_| LakeError::Value {
        column: field.name.clone(),
        reason: format!("a value cannot be stored as {}", field.field_type),
    })
}

fn microseconds(array: &ArrayRef, unit: TimeUnit, field: &NestedField) -> Result<TimestampMicrosecondArray> {
    let times = |factor: i64| {
        move |value: i64| value.checked_mul(factor).ok_or_else(|| arrow::error::ArrowError::ComputeError(String::new()))
    };
    let scaled: Result<TimestampMicrosecondArray, arrow::error::ArrowError> = match unit {
        TimeUnit::Microsecond => {
            Ok(array.as_primitive::<TimestampMicrosecondType>().clone().with_timezone_opt(None::<Arc<str>>))
        }
        // Floored: a time before 1970 must not move to the next microsecond.
        TimeUnit::Nanosecond => Ok(array.as_primitive::<TimestampNanosecondType>().unary(|ns| ns.div_euclid(1000))),
        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().try_unary(times(1000)),
        TimeUnit::Second => array.as_primitive::<TimestampSecondType>().try_unary(times(1_000_000)),
    };
    scaled.map_err(|_| LakeError::Value {
        column: field.name.clone(),
        reason: "a timestamp is too far away for microseconds".into(),
    })
}
