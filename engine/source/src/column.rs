//! Arrow arrays from cells.
//!
//! Invariants
//! * Appending a cell of the column's own type cannot fail, so rows are converted whole before any is appended.
//! * A finished column starts empty again.
//!
//! Not here: conversions (`convert`).

use crate::cell::Cell;
use crate::error::SourceError;
use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, FixedSizeBinaryBuilder, Float32Builder,
    Float64Builder, Int32Builder, Int64Builder, ListArray, MapArray, NullBufferBuilder, StringBuilder, StructArray,
    Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, FieldRef, Fields, TimeUnit};
use arrow::error::ArrowError;
use std::sync::Arc;

/// A column under construction.
pub(crate) enum Column {
    Boolean(BooleanBuilder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder),
    String(StringBuilder),
    Binary(BinaryBuilder),
    Fixed(FixedSizeBinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    List { field: FieldRef, offsets: Vec<i32>, nulls: NullBufferBuilder, items: Box<Column> },
    Struct { fields: Fields, nulls: NullBufferBuilder, columns: Vec<Column>, rows: usize },
    Map { field: FieldRef, offsets: Vec<i32>, nulls: NullBufferBuilder, keys: Box<Column>, items: Box<Column> },
}

fn internal(text: &str) -> SourceError {
    SourceError::Internal { reason: text.to_string() }
}

impl Column {
    /// # Errors
    /// A type that no source column has.
    pub(crate) fn new(data_type: &DataType) -> Result<Self, SourceError> {
        Ok(match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Int32 => Self::Int32(Int32Builder::new()),
            DataType::Int64 => Self::Int64(Int64Builder::new()),
            DataType::Float32 => Self::Float32(Float32Builder::new()),
            DataType::Float64 => Self::Float64(Float64Builder::new()),
            DataType::Decimal128(..) => Self::Decimal(Decimal128Builder::new().with_data_type(data_type.clone())),
            DataType::Utf8 => Self::String(StringBuilder::new()),
            DataType::Binary => Self::Binary(BinaryBuilder::new()),
            DataType::FixedSizeBinary(width) => Self::Fixed(FixedSizeBinaryBuilder::new(*width)),
            DataType::Date32 => Self::Date(Date32Builder::new()),
            DataType::Time64(TimeUnit::Microsecond) => Self::Time(Time64MicrosecondBuilder::new()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(data_type.clone()))
            }
            DataType::List(field) => Self::List {
                field: Arc::clone(field),
                offsets: vec![0],
                nulls: NullBufferBuilder::new(0),
                items: Box::new(Self::new(field.data_type())?),
            },
            DataType::Struct(fields) => Self::Struct {
                fields: fields.clone(),
                nulls: NullBufferBuilder::new(0),
                columns: fields.iter().map(|f| Self::new(f.data_type())).collect::<Result<_, _>>()?,
                rows: 0,
            },
            DataType::Map(field, _) => match field.data_type() {
                DataType::Struct(entry) => match entry.as_ref() {
                    [key, item] => Self::Map {
                        field: Arc::clone(field),
                        offsets: vec![0],
                        nulls: NullBufferBuilder::new(0),
                        keys: Box::new(Self::new(key.data_type())?),
                        items: Box::new(Self::new(item.data_type())?),
                    },
                    _ => return Err(internal("a map without key and value")),
                },
                _ => return Err(internal("a map without entries")),
            },
            other => return Err(internal(&format!("no source column has type {other}"))),
        })
    }

    /// # Errors
    /// A cell of another type: a defect of this crate.
    pub(crate) fn append(&mut self, cell: &Cell<'_>) -> Result<(), SourceError> {
        match (self, cell) {
            (Self::Boolean(b), Cell::Boolean(v)) => b.append_value(*v),
            (Self::Boolean(b), Cell::Null) => b.append_null(),
            (Self::Int32(b), Cell::Int32(v)) => b.append_value(*v),
            (Self::Int32(b), Cell::Null) => b.append_null(),
            (Self::Int64(b), Cell::Int64(v)) => b.append_value(*v),
            (Self::Int64(b), Cell::Null) => b.append_null(),
            (Self::Float32(b), Cell::Float32(v)) => b.append_value(*v),
            (Self::Float32(b), Cell::Null) => b.append_null(),
            (Self::Float64(b), Cell::Float64(v)) => b.append_value(*v),
            (Self::Float64(b), Cell::Null) => b.append_null(),
            (Self::Decimal(b), Cell::Decimal(v)) => b.append_value(*v),
            (Self::Decimal(b), Cell::Null) => b.append_null(),
            (Self::String(b), Cell::String(v)) => b.append_value(v),
            (Self::String(b), Cell::Null) => b.append_null(),
            (Self::Binary(b), Cell::Bytes(v)) => b.append_value(v),
            (Self::Binary(b), Cell::Null) => b.append_null(),
            (Self::Fixed(b), Cell::Bytes(v)) => b.append_value(v).map_err(broken)?,
            (Self::Fixed(b), Cell::Null) => b.append_null(),
            (Self::Date(b), Cell::Int32(v)) => b.append_value(*v),
            (Self::Date(b), Cell::Null) => b.append_null(),
            (Self::Time(b), Cell::Int64(v)) => b.append_value(*v),
            (Self::Time(b), Cell::Null) => b.append_null(),
            (Self::Timestamp(b), Cell::Int64(v)) => b.append_value(*v),
            (Self::Timestamp(b), Cell::Null) => b.append_null(),
            (Self::List { offsets, nulls, .. } | Self::Map { offsets, nulls, .. }, Cell::Null) => {
                nulls.append_null();
                extend(offsets, 0)?;
            }
            (Self::List { offsets, nulls, items, .. }, Cell::List(cells)) => {
                nulls.append_non_null();
                extend(offsets, cells.len())?;
                for cell in cells {
                    items.append(cell)?;
                }
            }
            (Self::Map { offsets, nulls, keys, items, .. }, Cell::Map(entries)) => {
                nulls.append_non_null();
                extend(offsets, entries.len())?;
                for (key, item) in entries {
                    keys.append(key)?;
                    items.append(item)?;
                }
            }
            (Self::Struct { nulls, columns, rows, .. }, Cell::Null) => {
                nulls.append_null();
                *rows += 1;
                for column in columns {
                    column.append(&Cell::Null)?;
                }
            }
            (Self::Struct { nulls, columns, rows, .. }, Cell::Struct(cells)) if cells.len() == columns.len() => {
                nulls.append_non_null();
                *rows += 1;
                for (column, cell) in columns.iter_mut().zip(cells) {
                    column.append(cell)?;
                }
            }
            _ => return Err(internal("a cell does not have its column's type")),
        }
        Ok(())
    }

    /// The array so far; the column is empty again.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef, SourceError> {
        Ok(match self {
            Self::Boolean(b) => Arc::new(b.finish()),
            Self::Int32(b) => Arc::new(b.finish()),
            Self::Int64(b) => Arc::new(b.finish()),
            Self::Float32(b) => Arc::new(b.finish()),
            Self::Float64(b) => Arc::new(b.finish()),
            Self::Decimal(b) => Arc::new(b.finish()),
            Self::String(b) => Arc::new(b.finish()),
            Self::Binary(b) => Arc::new(b.finish()),
            Self::Fixed(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::Time(b) => Arc::new(b.finish()),
            Self::Timestamp(b) => Arc::new(b.finish()),
            Self::List { field, offsets, nulls, items } => {
                let offsets = OffsetBuffer::new(std::mem::replace(offsets, vec![0]).into());
                let list = ListArray::try_new(Arc::clone(field), offsets, items.finish()?, nulls.finish());
                Arc::new(list.map_err(broken)?)
            }
            Self::Struct { fields, nulls, columns, rows } => {
                let arrays = columns.iter_mut().map(Self::finish).collect::<Result<Vec<_>, _>>()?;
                let length = std::mem::take(rows);
                let array = StructArray::try_new_with_length(fields.clone(), arrays, nulls.finish(), length);
                Arc::new(array.map_err(broken)?)
            }
            Self::Map { field, offsets, nulls, keys, items } => {
                let DataType::Struct(entry) = field.data_type() else {
                    return Err(internal("a map without entries"));
                };
                let entries = StructArray::try_new(entry.clone(), vec![keys.finish()?, items.finish()?], None);
                let offsets = OffsetBuffer::new(std::mem::replace(offsets, vec![0]).into());
                let map =
                    MapArray::try_new(Arc::clone(field), offsets, entries.map_err(broken)?, nulls.finish(), false);
                Arc::new(map.map_err(broken)?)
            }
        })
    }
}

fn broken(error: ArrowError) -> SourceError {
    SourceError::Internal { reason: error.to_string() }
}

fn extend(offsets: &mut Vec<i32>, count: usize) -> Result<(), SourceError> {
    let last = offsets.last().copied().unwrap_or(0);
    let next = i32::try_from(count).ok().and_then(|count| last.checked_add(count));
    offsets.push(next.ok_or_else(|| internal("a batch holds more than 2^31 nested elements"))?);
    Ok(())
}
