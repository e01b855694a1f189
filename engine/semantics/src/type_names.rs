//! Types in texts for users, by the dialect's words.
//!
//!   List(Int64) ──▶ ARRAY<BIGINT>        Timestamp(µs, "UTC") ──▶ TIMESTAMPTZ
//!
//! Not here: types in texts of the engine (`sql_text`).

use arrow::datatypes::DataType;

/// The dialect's word for a type.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            format!("an unsigned integer of {} bits", data_type.primitive_width().unwrap_or(8) * 8)
        }
        DataType::Float16 | DataType::Float32 => "REAL".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => format!("DECIMAL({p}, {s})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "STRING".into(),
        DataType::FixedSizeBinary(16) => "UUID".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "BINARY".into()
        }
        DataType::Date32 | DataType::Date64 => "DATE".into(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".into(),
        DataType::Timestamp(_, None) => "TIMESTAMP".into(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMPTZ".into(),
        DataType::List(f)
        | DataType::LargeList(f)
        | DataType::FixedSizeList(f, _)
        | DataType::ListView(f)
        | DataType::LargeListView(f) => format!("ARRAY<{}>", type_name(f.data_type())),
        DataType::Struct(fields) => {
            let inner: Vec<_> = fields.iter().map(|f| format!("{} {}", f.name(), type_name(f.data_type()))).collect();
            format!("STRUCT<{}>", inner.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => {
                let inner: Vec<_> = fields.iter().map(|f| type_name(f.data_type())).collect();
                format!("MAP<{}>", inner.join(", "))
            }
            _ => "MAP".into(),
        },
        DataType::Dictionary(_, values) => type_name(values),
        DataType::RunEndEncoded(_, values) => type_name(values.data_type()),
        DataType::Null => "NULL".into(),
        DataType::Interval(_) => "INTERVAL".into(),
        DataType::Duration(_) => "a duration".into(),
        other => other.to_string(),
    }
}
