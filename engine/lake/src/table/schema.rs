//! Arrow types as Iceberg types, and back.
//!
//! ```text
//!   Arrow ──to_iceberg(ids)──▶ Iceberg (field ids)      ids: all fields of a level, then what nests
//!   Arrow ◀──to_arrow()─────── Iceberg
//! ```
//!
//! Invariants
//! * Every type that `to_iceberg` gives comes back from `to_arrow` as the type the crates exchange:
//!   Utf8, Timestamp(us, "UTC" or none), Time64(us), FixedSizeBinary(16) for UUID.
//! * Ids are dealt in the order in which Iceberg itself deals them for a new table.
//!
//! Not here: which column keeps which id when a definition changes (`definition`).

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use iceberg::spec::{ListType, MapType, NestedField, NestedFieldRef, PrimitiveType, StructType, Type};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;

use crate::error::{LakeError, Result};

/// Deals field ids.
pub(crate) struct Ids {
    last: i32,
}

impl Ids {
    /// The next id dealt is one above `last`.
    pub(crate) fn after(last: i32) -> Self {
        Ids { last }
    }

    pub(crate) fn next(&mut self) -> Result<i32> {
        self.last = self
            .last
            .checked_add(1)
            .ok_or_else(|| LakeError::Definition("the table has run out of field ids".into()))?;
        Ok(self.last)
    }
}

/// What a column of 16 bytes means: others read a public one as a UUID.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Public,
    State,
}

/// The Iceberg type of column `column`, its nested fields numbered by `ids`.
///
/// # Errors
/// A type that Iceberg v2 does not have.
pub(crate) fn to_iceberg(data_type: &DataType, column: &str, role: Role, ids: &mut Ids) -> Result<Type> {
    let primitive = match data_type {
        DataType::Boolean => PrimitiveType::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => PrimitiveType::Int,
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => PrimitiveType::Long,
        DataType::Float16 | DataType::Float32 => PrimitiveType::Float,
        DataType::Float64 => PrimitiveType::Double,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) if *s >= 0 => {
            PrimitiveType::Decimal { precision: u32::from(*p), scale: s.unsigned_abs().into() }
        }
        DataType::Decimal256(p, s) if *s >= 0 && *p <= 38 => {
            PrimitiveType::Decimal { precision: u32::from(*p), scale: s.unsigned_abs().into() }
        }
        DataType::Date32 => PrimitiveType::Date,
        DataType::Time32(_) | DataType::Time64(_) => PrimitiveType::Time,
        DataType::Timestamp(_, None) => PrimitiveType::Timestamp,
        DataType::Timestamp(_, Some(_)) => PrimitiveType::Timestamptz,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => PrimitiveType::String,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => PrimitiveType::Binary,
        DataType::FixedSizeBinary(16) if role == Role::Public => PrimitiveType::Uuid,
        DataType::FixedSizeBinary(width) => PrimitiveType::Fixed(u64::from(width.unsigned_abs())),
        DataType::Dictionary(_, value) => return to_iceberg(value, column, role, ids),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            let id = ids.next()?;
            let element = to_iceberg(item.data_type(), column, role, ids)?;
            let element = NestedField::list_element(id, element, !item.is_nullable());
            return Ok(Type::List(ListType::new(Arc::new(element))));
        }
        DataType::Struct(fields) => {
            if fields.is_empty() {
                return Err(unsupported(column, data_type, "it has no fields"));
            }
            let numbered = fields.iter().map(|_| ids.next()).collect::<Result<Vec<_>>>()?;
            let fields = fields
                .iter()
                .zip(numbered)
                .map(|(field, id)| {
                    let of = to_iceberg(field.data_type(), column, role, ids)?;
                    Ok(Arc::new(NestedField::new(id, field.name(), of, !field.is_nullable())))
                })
                .collect::<Result<Vec<NestedFieldRef>>>()?;
            return Ok(Type::Struct(StructType::new(fields)));
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(pair) = entries.data_type() else {
                return Err(unsupported(column, data_type, "its entries are not pairs"));
            };
            let (Some(key), Some(value)) = (pair.first(), pair.get(1)) else {
                return Err(unsupported(column, data_type, "its entries are not pairs"));
            };
            let key_id = ids.next()?;
            let key = to_iceberg(key.data_type(), column, role, ids)?;
            let value_id = ids.next()?;
            let required = !value.is_nullable();
            let value = to_iceberg(value.data_type(), column, role, ids)?;
            return Ok(Type::Map(MapType::new(
                Arc::new(NestedField::map_key_element(key_id, key)),
                Arc::new(NestedField::map_value_element(value_id, value, required)),
            )));
        }
        DataType::Null => {
            return Err(unsupported(column, data_type, "write CAST(... AS type) to give it one"));
        }
        _ => return Err(unsupported(column, data_type, "Iceberg has no such type")),
    };
    Ok(Type::Primitive(primitive))
}

fn unsupported(column: &str, data_type: &DataType, why: &str) -> LakeError {
    LakeError::Definition(format!("column \"{column}\" has the type {data_type}, which cannot be stored: {why}"))
}

/// The Arrow type of an Iceberg type, without field ids.
///
/// # Errors
/// Decimals wider than Arrow's 128 bits hold.
pub(crate) fn to_arrow(of: &Type) -> Result<DataType> {
    arrow_type(of, false)
}

/// The Arrow schema of Iceberg fields; `with_ids` puts their ids where Parquet looks for them.
///
/// # Errors
/// As `to_arrow`.
pub(crate) fn arrow_schema(fields: &[NestedFieldRef], with_ids: bool) -> Result<Schema> {
    Ok(Schema::new(fields.iter().map(|f| arrow_field(f, with_ids)).collect::<Result<Vec<_>>>()?))
}

/// One Iceberg field as an Arrow field.
///
/// # Errors
/// As `to_arrow`.
pub(crate) fn arrow_field(field: &NestedField, with_ids: bool) -> Result<Field> {
    let arrow = Field::new(&field.name, arrow_type(&field.field_type, with_ids)?, !field.required);
    Ok(if with_ids {
        arrow.with_metadata(HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_string(), field.id.to_string())]))
    } else {
        arrow
    })
}

fn arrow_type(of: &Type, with_ids: bool) -> Result<DataType> {
    let primitive = match of {
        Type::Primitive(primitive) => primitive,
        Type::Struct(of) => {
            let fields = of.fields().iter().map(|f| arrow_field(f, with_ids)).collect::<Result<Vec<_>>>()?;
            return Ok(DataType::Struct(Fields::from(fields)));
        }
        Type::List(of) => {
            return Ok(DataType::List(Arc::new(arrow_field(&of.element_field, with_ids)?)));
        }
        Type::Map(of) => {
            let pair =
                Fields::from(vec![arrow_field(&of.key_field, with_ids)?, arrow_field(&of.value_field, with_ids)?]);
            let entries = Field::new("key_value", DataType::Struct(pair), false);
            return Ok(DataType::Map(Arc::new(entries), false));
        }
    };
    let timestamp = |unit, zone: Option<&str>| DataType::Timestamp(unit, zone.map(Into::into));
    Ok(match primitive {
        PrimitiveType::Boolean => DataType::Boolean,
        PrimitiveType::Int => DataType::Int32,
        PrimitiveType::Long => DataType::Int64,
        PrimitiveType::Float => DataType::Float32,
        PrimitiveType::Double => DataType::Float64,
        PrimitiveType::Decimal { precision, scale } => match (u8::try_from(*precision), i8::try_from(*scale)) {
            (Ok(p), Ok(s)) if p <= 38 => DataType::Decimal128(p, s),
            _ => {
                return Err(LakeError::Unsupported(format!(
                    "a decimal of {precision} digits, {scale} of them after the point"
                )));
            }
        },
        PrimitiveType::Date => DataType::Date32,
        PrimitiveType::Time => DataType::Time64(TimeUnit::Microsecond),
        PrimitiveType::Timestamp => timestamp(TimeUnit::Microsecond, None),
        PrimitiveType::Timestamptz => timestamp(TimeUnit::Microsecond, Some("UTC")),
        PrimitiveType::TimestampNs => timestamp(TimeUnit::Nanosecond, None),
        PrimitiveType::TimestamptzNs => timestamp(TimeUnit::Nanosecond, Some("UTC")),
        PrimitiveType::String => DataType::Utf8,
        PrimitiveType::Uuid => DataType::FixedSizeBinary(16),
        PrimitiveType::Fixed(width) => match i32::try_from(*width) {
            Ok(width) => DataType::FixedSizeBinary(width),
            Err(_) => return Err(LakeError::Unsupported(format!("fixed[{width}]"))),
        },
        PrimitiveType::Binary => DataType::Binary,
    })
}

/// Whether two types are the same but for the ids and comments inside them.
pub(crate) fn same_type(a: &Type, b: &Type) -> bool {
    let same_field = |a: &NestedField, b: &NestedField| {
        a.name == b.name && a.required == b.required && same_type(&a.field_type, &b.field_type)
    };
    match (a, b) {
        (Type::Primitive(a), Type::Primitive(b)) => a == b,
        (Type::Struct(a), Type::Struct(b)) => {
            a.fields().len() == b.fields().len() && a.fields().iter().zip(b.fields()).all(|(a, b)| same_field(a, b))
        }
        (Type::List(a), Type::List(b)) => same_field(&a.element_field, &b.element_field),
        (Type::Map(a), Type::Map(b)) => {
            same_field(&a.key_field, &b.key_field) && same_field(&a.value_field, &b.value_field)
        }
        _ => false,
    }
}

/// Whether two Arrow types are stored as the same one.
pub fn stored_alike(a: &DataType, b: &DataType) -> bool {
    let of = |data_type: &DataType| to_iceberg(data_type, "", Role::Public, &mut Ids::after(0));
    match (of(a), of(b)) {
        (Ok(a), Ok(b)) => same_type(&a, &b),
        _ => false,
    }
}

/// Whether Iceberg lets a column of type `from` become `to` and still read its old files.
pub(crate) fn promotes(from: &Type, to: &Type) -> bool {
    use PrimitiveType::{Decimal, Double, Float, Int, Long};
    match (from, to) {
        (Type::Primitive(Int), Type::Primitive(Long)) | (Type::Primitive(Float), Type::Primitive(Double)) => true,
        (Type::Primitive(Decimal { precision: p, scale: s }), Type::Primitive(Decimal { precision, scale })) => {
            s == scale && p < precision
        }
        _ => false,
    }
}
