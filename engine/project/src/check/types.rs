//! Types of casts in query bodies, and the types that query results are stored as.
//!
//! Invariants
//! * A type name means the same in a head and in a cast: both go through the dialect's parser.
//! * `stored_type` is idempotent, and whatever it gives can be written to a table.
//!
//! Not here: Iceberg's types (`lake::schema`), decoding (`source`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast,
};
use datafusion::sql::sqlparser::ast::DataType as SqlType;

/// Gives casts in queries the dialect's meaning: TIMESTAMP has microseconds, TIMESTAMPTZ is UTC, VARCHAR is a
/// plain string. Types the dialect does not have, such as INTERVAL, keep DataFusion's meaning.
#[derive(Debug, Clone, Copy, Default)]
pub struct DialectTypes;

impl TypePlanner for DialectTypes {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        let Ok(column_type) = ingot_dialect::parse_type(&sql_type.to_string()) else { return Ok(None) };
        let data_type = ingot_source::column_type_to_arrow(&column_type);
        Ok(Some(Arc::new(Field::new("", data_type, true))))
    }
}

/// Why a result cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unstorable {
    /// An interval or a duration.
    Duration,
    /// NULL without a type.
    Null,
    Other(String),
}

/// The type a result column is stored as: unsigned integers widen, times get microseconds, views and
/// dictionaries become plain.
pub(crate) fn stored_type(t: &DataType) -> Result<DataType, Unstorable> {
    use DataType as T;
    let micros = TimeUnit::Microsecond;
    let nested = |f: &FieldRef| -> Result<FieldRef, Unstorable> {
        Ok(Arc::new(Field::new(f.name(), stored_type(f.data_type())?, f.is_nullable())))
    };
    Ok(match t {
        T::Boolean | T::Int32 | T::Int64 | T::Float32 | T::Float64 | T::Utf8 | T::Binary | T::Date32 => t.clone(),
        T::Int8 | T::Int16 | T::UInt8 | T::UInt16 => T::Int32,
        T::UInt32 | T::UInt64 => T::Int64,
        T::Float16 => T::Float32,
        T::LargeUtf8 | T::Utf8View => T::Utf8,
        T::LargeBinary | T::BinaryView => T::Binary,
        T::FixedSizeBinary(16) => t.clone(),
        T::FixedSizeBinary(_) => T::Binary,
        T::Date64 => T::Date32,
        T::Time32(_) | T::Time64(_) => T::Time64(micros),
        T::Timestamp(_, None) => T::Timestamp(micros, None),
        T::Timestamp(_, Some(_)) => T::Timestamp(micros, Some("UTC".into())),
        T::Decimal32(p, s) | T::Decimal64(p, s) | T::Decimal128(p, s) | T::Decimal256(p, s) => {
            if *p > 38 || *s < 0 {
                return Err(Unstorable::Other(format!("DECIMAL({p}, {s})")));
            }
            T::Decimal128(*p, *s)
        }
        T::List(f) | T::LargeList(f) | T::ListView(f) | T::LargeListView(f) | T::FixedSizeList(f, _) => {
            T::List(nested(f)?)
        }
        T::Struct(fields) => T::Struct(fields.iter().map(nested).collect::<Result<Vec<_>, _>>()?.into()),
        T::Map(f, sorted) => T::Map(nested(f)?, *sorted),
        T::Dictionary(_, value) => stored_type(value)?,
        T::RunEndEncoded(_, value) => stored_type(value.data_type())?,
        T::Interval(_) | T::Duration(_) => return Err(Unstorable::Duration),
        T::Null => return Err(Unstorable::Null),
        T::Union(..) => return Err(Unstorable::Other("a union of types".into())),
    })
}

/// An expression cast to the type it is stored as; nanoseconds are floored, also before 1970.
pub(crate) fn store(expr: Expr, from: &DataType, to: &DataType) -> Expr {
    match from {
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            cast(ScalarUDF::from(FloorMicros::default()).call(vec![expr]), to.clone())
        }
        _ => cast(expr, to.clone()),
    }
}

/// The dialect's word for an Arrow type, for messages.
pub fn type_word(t: &DataType) -> String {
    ingot_semantics::type_name(t)
}

/// Nanosecond timestamps to microseconds, rounding down (a plain cast rounds toward 1970).
#[derive(Debug, PartialEq, Eq, Hash)]
struct FloorMicros {
    signature: Signature,
}

impl Default for FloorMicros {
    fn default() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for FloorMicros {
    fn name(&self) -> &'static str {
        "ingot_floor_micros"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [DataType::Timestamp(_, zone)] => Ok(DataType::Timestamp(TimeUnit::Microsecond, zone.clone())),
            _ => exec_err!("ingot_floor_micros takes a timestamp"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [ColumnarValue::Array(array)] => Ok(ColumnarValue::Array(floor(array)?)),
            [ColumnarValue::Scalar(value)] => {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&floor(&value.to_array()?)?, 0)?))
            }
            _ => exec_err!("ingot_floor_micros takes one argument"),
        }
    }
}

fn floor(array: &ArrayRef) -> Result<ArrayRef> {
    let zone = match array.data_type() {
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => zone.clone(),
        // Planned as nanoseconds, and analyzed to microseconds.
        DataType::Timestamp(TimeUnit::Microsecond, _) => return Ok(Arc::clone(array)),
        other => return exec_err!("ingot_floor_micros takes nanoseconds, not {other}"),
    };
    let micros: PrimitiveArray<TimestampMicrosecondType> =
        array.as_primitive::<TimestampNanosecondType>().unary(|n| n.div_euclid(1_000));
    Ok(Arc::new(micros.with_timezone_opt(zone)))
}
