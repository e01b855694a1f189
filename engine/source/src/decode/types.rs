//! The one meaning of a column type in Arrow, for sources and for casts in queries.
//!
//! Invariants
//! * Times have microseconds; a zone is written exactly "UTC".
//! * Field names inside lists and maps are those that DataFusion's own functions give.
//!
//! Not here: types of stored tables (`lake::schema`), types inferred from query results (`pipeline`).

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use ingot_dialect::ast::{ColumnType, IncludeKind};
use std::sync::Arc;

/// The zone of every TIMESTAMPTZ.
pub const UTC: &str = "UTC";

/// TIMESTAMPTZ in Arrow.
pub fn timestamptz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}

/// The Arrow type of a column declared with `t`.
pub fn column_type_to_arrow(t: &ColumnType) -> DataType {
    match t {
        ColumnType::TinyInt | ColumnType::SmallInt | ColumnType::Int => DataType::Int32,
        ColumnType::BigInt => DataType::Int64,
        ColumnType::Real => DataType::Float32,
        ColumnType::Double => DataType::Float64,
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Decimal(precision, scale) => DataType::Decimal128(*precision, *scale),
        ColumnType::String(_) | ColumnType::Json => DataType::Utf8,
        ColumnType::Binary => DataType::Binary,
        ColumnType::Uuid => DataType::FixedSizeBinary(16),
        ColumnType::Date => DataType::Date32,
        ColumnType::Time => DataType::Time64(TimeUnit::Microsecond),
        ColumnType::Timestamp(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
        ColumnType::TimestampTz(_) => timestamptz(),
        ColumnType::List(element) => DataType::List(list_field(column_type_to_arrow(element))),
        ColumnType::Struct(fields) => DataType::Struct(struct_fields(fields)),
        ColumnType::Map(key, value) => {
            DataType::Map(map_field(column_type_to_arrow(key), column_type_to_arrow(value)), false)
        }
    }
}

fn list_field(element: DataType) -> Arc<Field> {
    Arc::new(Field::new_list_field(element, true))
}

fn struct_fields(fields: &[(String, ColumnType)]) -> Fields {
    fields.iter().map(|(name, t)| Field::new(name, column_type_to_arrow(t), true)).collect()
}

fn map_field(key: DataType, value: DataType) -> Arc<Field> {
    let entry = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
    Arc::new(Field::new("entries", DataType::Struct(entry), false))
}

/// The Arrow type of an INCLUDE column.
pub(crate) fn include_to_arrow(kind: IncludeKind) -> DataType {
    match kind {
        IncludeKind::Key | IncludeKind::Payload => DataType::Binary,
        IncludeKind::Topic => DataType::Utf8,
        IncludeKind::Partition => DataType::Int32,
        IncludeKind::Offset => DataType::Int64,
        IncludeKind::Timestamp => timestamptz(),
        IncludeKind::Headers => DataType::List(list_field(DataType::Struct(header_fields()))),
    }
}

pub(crate) fn header_fields() -> Fields {
    Fields::from(vec![Field::new("key", DataType::Utf8, true), Field::new("value", DataType::Binary, true)])
}

/// The type as it is written in SQL, for messages.
pub fn type_name(t: &ColumnType) -> String {
    match t {
        ColumnType::TinyInt => "TINYINT".into(),
        ColumnType::SmallInt => "SMALLINT".into(),
        ColumnType::Int => "INT".into(),
        ColumnType::BigInt => "BIGINT".into(),
        ColumnType::Real => "REAL".into(),
        ColumnType::Double => "DOUBLE".into(),
        ColumnType::Boolean => "BOOLEAN".into(),
        ColumnType::Decimal(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        ColumnType::String(_) => "STRING".into(),
        ColumnType::Json => "JSON".into(),
        ColumnType::Binary => "BINARY".into(),
        ColumnType::Uuid => "UUID".into(),
        ColumnType::Date => "DATE".into(),
        ColumnType::Time => "TIME".into(),
        ColumnType::Timestamp(_) => "TIMESTAMP".into(),
        ColumnType::TimestampTz(_) => "TIMESTAMPTZ".into(),
        ColumnType::List(element) => format!("ARRAY<{}>", type_name(element)),
        ColumnType::Struct(fields) => {
            let fields: Vec<_> = fields.iter().map(|(n, t)| format!("{n} {}", type_name(t))).collect();
            format!("STRUCT<{}>", fields.join(", "))
        }
        ColumnType::Map(key, value) => format!("MAP<{}, {}>", type_name(key), type_name(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_microseconds_in_utc() {
        assert_eq!(
            column_type_to_arrow(&ColumnType::TimestampTz(None)),
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        );
        assert_eq!(column_type_to_arrow(&ColumnType::Time), DataType::Time64(TimeUnit::Microsecond));
        assert_eq!(column_type_to_arrow(&ColumnType::SmallInt), DataType::Int32);
    }

    #[test]
    fn nested_types_keep_their_names() {
        let t = ColumnType::Map(
            Box::new(ColumnType::String(None)),
            Box::new(ColumnType::List(Box::new(ColumnType::Struct(vec![("a".into(), ColumnType::Uuid)])))),
        );
        assert_eq!(type_name(&t), "MAP<STRING, ARRAY<STRUCT<a UUID>>>");
        assert!(matches!(column_type_to_arrow(&t), DataType::Map(_, false)));
    }
}
