//! Arrow arrays from values.
//!
//! Invariants
//! * A column can be cut back to fewer rows, so that a message that fails halfway leaves nothing behind.
//! * A finished column starts empty again, with room for as much as it held.
//! * No value is copied twice: what is appended is what the array holds.
//!
//! Not here: conversions (`convert`).

use crate::decode::cell::Cell;
use crate::error::SourceError;
use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, BooleanBufferBuilder, FixedSizeBinaryArray, ListArray,
    MapArray, NullBufferBuilder, PrimitiveArray, StringArray, StructArray,
};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, FieldRef, Fields, Float32Type, Float64Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use std::sync::Arc;

/// A column under construction.
pub(crate) enum Column {
    Boolean { values: BooleanBufferBuilder, nulls: NullBufferBuilder },
    Int32(Values<Int32Type>),
    Int64(Values<Int64Type>),
    Float32(Values<Float32Type>),
    Float64(Values<Float64Type>),
    Decimal(Values<Decimal128Type>),
    String(Bytes),
    Binary(Bytes),
    Fixed { width: i32, values: Vec<u8>, nulls: NullBufferBuilder },
    Date(Values<Date32Type>),
    Time(Values<Time64MicrosecondType>),
    Timestamp(Values<TimestampMicrosecondType>),
    List { field: FieldRef, offsets: Vec<i32>, nulls: NullBufferBuilder, items: Box<Column> },
    Struct { fields: Fields, nulls: NullBufferBuilder, columns: Vec<Column> },
    Map { field: FieldRef, offsets: Vec<i32>, nulls: NullBufferBuilder, keys: Box<Column>, items: Box<Column> },
}

/// Values of one width.
pub(crate) struct Values<T: ArrowPrimitiveType> {
    data_type: DataType,
    values: Vec<T::Native>,
    nulls: NullBufferBuilder,
}

impl<T: ArrowPrimitiveType> Values<T> {
    fn new(data_type: &DataType) -> Self {
        Self { data_type: data_type.clone(), values: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }

    pub(crate) fn push(&mut self, value: T::Native) {
        self.values.push(value);
        self.nulls.append_non_null();
    }

    fn push_null(&mut self) {
        self.values.push(T::Native::default());
        self.nulls.append_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.nulls.truncate(rows);
    }

    fn finish(&mut self) -> Result<ArrayRef, SourceError> {
        let room = Vec::with_capacity(self.values.len());
        let values = std::mem::replace(&mut self.values, room);
        let array = PrimitiveArray::<T>::try_new(values.into(), self.nulls.finish()).map_err(broken)?;
        Ok(Arc::new(array.with_data_type(self.data_type.clone())))
    }
}

/// Texts or byte strings of any length.
pub(crate) struct Bytes {
    offsets: Vec<i32>,
    values: Vec<u8>,
    nulls: NullBufferBuilder,
}

impl Bytes {
    fn new() -> Self {
        Self { offsets: vec![0], values: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }

    /// # Errors
    /// More than 2^31 bytes in one batch.
    pub(crate) fn push(&mut self, value: &[u8]) -> Result<(), SourceError> {
        self.values.extend_from_slice(value);
        let end = i32::try_from(self.values.len()).map_err(|_| internal("a batch holds more than 2^31 bytes"))?;
        self.offsets.push(end);
        self.nulls.append_non_null();
        Ok(())
    }

    fn push_null(&mut self) {
        self.offsets.push(self.offsets.last().copied().unwrap_or(0));
        self.nulls.append_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        let end = self.offsets.last().copied().unwrap_or(0);
        self.values.truncate(usize::try_from(end).unwrap_or(0));
        self.nulls.truncate(rows);
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let mut room = Vec::with_capacity(self.offsets.len());
        room.push(0);
        let offsets = std::mem::replace(&mut self.offsets, room);
        let room = Vec::with_capacity(self.values.len());
        let values = std::mem::replace(&mut self.values, room);
        (OffsetBuffer::new(offsets.into()), values.into())
    }

    fn finish_text(&mut self) -> Result<ArrayRef, SourceError> {
        let (offsets, values) = self.take();
        Ok(Arc::new(StringArray::try_new(offsets, values, self.nulls.finish()).map_err(broken)?))
    }

    fn finish_binary(&mut self) -> Result<ArrayRef, SourceError> {
        let (offsets, values) = self.take();
        Ok(Arc::new(BinaryArray::try_new(offsets, values, self.nulls.finish()).map_err(broken)?))
    }
}

fn internal(text: &str) -> SourceError {
    SourceError::Internal { reason: text.to_string() }
}

impl Column {
    /// # Errors
    /// A type that no source column has.
    pub(crate) fn new(data_type: &DataType) -> Result<Self, SourceError> {
        let nulls = || NullBufferBuilder::new(0);
        Ok(match data_type {
            DataType::Boolean => Self::Boolean { values: BooleanBufferBuilder::new(0), nulls: nulls() },
            DataType::Int32 => Self::Int32(Values::new(data_type)),
            DataType::Int64 => Self::Int64(Values::new(data_type)),
            DataType::Float32 => Self::Float32(Values::new(data_type)),
            DataType::Float64 => Self::Float64(Values::new(data_type)),
            DataType::Decimal128(..) => Self::Decimal(Values::new(data_type)),
            DataType::Utf8 => Self::String(Bytes::new()),
            DataType::Binary => Self::Binary(Bytes::new()),
            DataType::FixedSizeBinary(width) => Self::Fixed { width: *width, values: Vec::new(), nulls: nulls() },
            DataType::Date32 => Self::Date(Values::new(data_type)),
            DataType::Time64(TimeUnit::Microsecond) => Self::Time(Values::new(data_type)),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Self::Timestamp(Values::new(data_type)),
            DataType::List(field) => Self::List {
                field: Arc::clone(field),
                offsets: vec![0],
                nulls: nulls(),
                items: Box::new(Self::new(field.data_type())?),
            },
            DataType::Struct(fields) => Self::Struct {
                fields: fields.clone(),
                nulls: nulls(),
                columns: fields.iter().map(|f| Self::new(f.data_type())).collect::<Result<_, _>>()?,
            },
            DataType::Map(field, _) => match field.data_type() {
                DataType::Struct(entry) => match entry.as_ref() {
                    [key, item] => Self::Map {
                        field: Arc::clone(field),
                        offsets: vec![0],
                        nulls: nulls(),
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
            (column, Cell::Null) => column.append_null()?,
            (Self::Boolean { values, nulls }, Cell::Boolean(v)) => {
                values.append(*v);
                nulls.append_non_null();
            }
            (Self::Int32(b), Cell::Int32(v)) => b.push(*v),
            (Self::Int64(b), Cell::Int64(v)) => b.push(*v),
            (Self::Float32(b), Cell::Float32(v)) => b.push(*v),
            (Self::Float64(b), Cell::Float64(v)) => b.push(*v),
            (Self::Decimal(b), Cell::Decimal(v)) => b.push(*v),
            (Self::String(b), Cell::String(v)) => b.push(v.as_bytes())?,
            (Self::Binary(b), Cell::Bytes(v)) => b.push(v)?,
            (Self::Fixed { width, values, nulls }, Cell::Bytes(v)) if usize::try_from(*width) == Ok(v.len()) => {
                values.extend_from_slice(v);
                nulls.append_non_null();
            }
            (Self::Date(b), Cell::Int32(v)) => b.push(*v),
            (Self::Time(b), Cell::Int64(v)) => b.push(*v),
            (Self::Timestamp(b), Cell::Int64(v)) => b.push(*v),
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
            (Self::Struct { nulls, columns, .. }, Cell::Struct(cells)) if cells.len() == columns.len() => {
                nulls.append_non_null();
                for (column, cell) in columns.iter_mut().zip(cells) {
                    column.append(cell)?;
                }
            }
            _ => return Err(internal("a cell does not have its column's type")),
        }
        Ok(())
    }

    /// # Errors
    /// More than 2^31 nested elements in one batch.
    pub(crate) fn append_null(&mut self) -> Result<(), SourceError> {
        match self {
            Self::Boolean { values, nulls } => {
                values.append(false);
                nulls.append_null();
            }
            Self::Int32(b) => b.push_null(),
            Self::Int64(b) => b.push_null(),
            Self::Float32(b) => b.push_null(),
            Self::Float64(b) => b.push_null(),
            Self::Decimal(b) => b.push_null(),
            Self::String(b) | Self::Binary(b) => b.push_null(),
            Self::Fixed { width, values, nulls } => {
                values.resize(values.len() + usize::try_from(*width).unwrap_or(0), 0);
                nulls.append_null();
            }
            Self::Date(b) => b.push_null(),
            Self::Time(b) => b.push_null(),
            Self::Timestamp(b) => b.push_null(),
            Self::List { offsets, nulls, .. } | Self::Map { offsets, nulls, .. } => {
                nulls.append_null();
                extend(offsets, 0)?;
            }
            Self::Struct { nulls, columns, .. } => {
                nulls.append_null();
                for column in columns {
                    column.append_null()?;
                }
            }
        }
        Ok(())
    }

    /// Forgets all but the first `rows`.
    pub(crate) fn truncate(&mut self, rows: usize) {
        let below = |offsets: &[i32]| usize::try_from(offsets.last().copied().unwrap_or(0)).unwrap_or(0);
        match self {
            Self::Boolean { values, nulls } => {
                values.truncate(rows);
                nulls.truncate(rows);
            }
            Self::Int32(b) => b.truncate(rows),
            Self::Int64(b) => b.truncate(rows),
            Self::Float32(b) => b.truncate(rows),
            Self::Float64(b) => b.truncate(rows),
            Self::Decimal(b) => b.truncate(rows),
            Self::String(b) | Self::Binary(b) => b.truncate(rows),
            Self::Fixed { width, values, nulls } => {
                values.truncate(rows * usize::try_from(*width).unwrap_or(0));
                nulls.truncate(rows);
            }
            Self::Date(b) => b.truncate(rows),
            Self::Time(b) => b.truncate(rows),
            Self::Timestamp(b) => b.truncate(rows),
            Self::List { offsets, nulls, items, .. } => {
                offsets.truncate(rows + 1);
                nulls.truncate(rows);
                items.truncate(below(offsets));
            }
            Self::Map { offsets, nulls, keys, items, .. } => {
                offsets.truncate(rows + 1);
                nulls.truncate(rows);
                keys.truncate(below(offsets));
                items.truncate(below(offsets));
            }
            Self::Struct { nulls, columns, .. } => {
                nulls.truncate(rows);
                for column in columns {
                    column.truncate(rows);
                }
            }
        }
    }

    /// The array so far; the column is empty again.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef, SourceError> {
        Ok(match self {
            Self::Boolean { values, nulls } => Arc::new(BooleanArray::new(values.finish(), nulls.finish())),
            Self::Int32(b) => b.finish()?,
            Self::Int64(b) => b.finish()?,
            Self::Float32(b) => b.finish()?,
            Self::Float64(b) => b.finish()?,
            Self::Decimal(b) => b.finish()?,
            Self::String(b) => b.finish_text()?,
            Self::Binary(b) => b.finish_binary()?,
            Self::Fixed { width, values, nulls } => {
                let values = Buffer::from(std::mem::take(values));
                Arc::new(FixedSizeBinaryArray::try_new(*width, values, nulls.finish()).map_err(broken)?)
            }
            Self::Date(b) => b.finish()?,
            Self::Time(b) => b.finish()?,
            Self::Timestamp(b) => b.finish()?,
            Self::List { field, offsets, nulls, items } => {
                let offsets = OffsetBuffer::new(std::mem::replace(offsets, vec![0]).into());
                let list = ListArray::try_new(Arc::clone(field), offsets, items.finish()?, nulls.finish());
                Arc::new(list.map_err(broken)?)
            }
            Self::Struct { fields, nulls, columns } => {
                let length = nulls.len();
                let arrays = columns.iter_mut().map(Self::finish).collect::<Result<Vec<_>, _>>()?;
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
