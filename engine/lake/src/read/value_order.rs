//! Which expressions keep the order of their column's values, and Iceberg's values as DataFusion's.
//!
//! Invariants
//! * What is not known to keep the order is taken not to.
//!
//! Not here: what bounds say of a file (`prune`), reading a file's columns (`adapt`).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema, TimeUnit};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, NegativeExpr, TryCastExpr};
use iceberg::spec::PrimitiveLiteral;

/// The child of an expression whose values are not in the order of the child's,
/// although DataFusion's pruning takes it so: `CAST(ts AS TIME)`, `-x`.
pub(crate) fn unordered<'a>(expr: &'a Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<&'a Arc<dyn PhysicalExpr>> {
    let (child, to) = if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        (cast.expr(), cast.cast_type())
    } else if let Some(cast) = expr.downcast_ref::<TryCastExpr>() {
        (cast.expr(), cast.cast_type())
    } else if let Some(negative) = expr.downcast_ref::<NegativeExpr>() {
        return Some(negative.arg());
    } else {
        return None;
    };
    match child.data_type(schema) {
        Ok(from) if monotone(&from, to) => None,
        _ => Some(child),
    }
}

/// A value that pruning cannot look into.
#[derive(Debug, Eq)]
pub(crate) struct Opaque {
    inner: Arc<dyn PhysicalExpr>,
}

// By hand: the derived one does not compile for `Arc<dyn ...>` (rust-lang 78808).
impl PartialEq for Opaque {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Hash for Opaque {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl Opaque {
    pub(crate) fn wrap(inner: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
        Arc::new(Self { inner })
    }
}

impl fmt::Display for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for Opaque {
    fn data_type(&self, input: &Schema) -> Result<DataType> {
        self.inner.data_type(input)
    }

    fn nullable(&self, input: &Schema) -> Result<bool> {
        self.inner.nullable(input)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.inner.evaluate(batch)
    }

    fn return_field(&self, input: &Schema) -> Result<FieldRef> {
        self.inner.return_field(input)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        match children.pop() {
            Some(inner) if children.is_empty() => Ok(Self::wrap(inner)),
            _ => exec_err!("one child expected"),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

/// Whether a cast keeps the order of values, equal ones included.
pub(crate) fn monotone(from: &DataType, to: &DataType) -> bool {
    use DataType as D;
    let utc = |zone: &Option<Arc<str>>| zone.as_deref().is_none_or(|z| matches!(z, "UTC" | "+00:00" | "Z"));
    match (from, to) {
        (a, b) if a == b => true,
        (D::Dictionary(_, value), to) => monotone(value, to),
        (from, D::Dictionary(_, value)) => monotone(from, value),
        (a, b) if a.is_integer() && b.is_integer() => true,
        (a, D::Float64) if a.is_integer() => true,
        (D::Float32, D::Float64) => true,
        (a, D::Decimal128(..) | D::Decimal256(..)) if a.is_integer() => true,
        (D::Decimal128(_, s) | D::Decimal256(_, s), D::Decimal128(_, to) | D::Decimal256(_, to)) => to >= s,
        (D::Utf8 | D::LargeUtf8 | D::Utf8View, D::Utf8 | D::LargeUtf8 | D::Utf8View) => true,
        (D::Binary | D::LargeBinary | D::BinaryView, D::Binary | D::LargeBinary | D::BinaryView) => true,
        // Between zones only the label changes, unless one side has none.
        (D::Timestamp(_, Some(_)), D::Timestamp(_, Some(_))) => true,
        (D::Timestamp(_, a), D::Timestamp(_, b)) => utc(a) && utc(b),
        (D::Date32, D::Timestamp(_, zone)) | (D::Timestamp(_, zone), D::Date32) => utc(zone),
        _ => false,
    }
}

/// An Iceberg value of a float column, NaN included: what `scalar` leaves out, since bounds have none.
pub(crate) fn float_scalar(literal: &PrimitiveLiteral, of: &DataType) -> Option<ScalarValue> {
    use PrimitiveLiteral as L;
    Some(match (literal, of) {
        (L::Float(v), DataType::Float32) => ScalarValue::from(v.0),
        (L::Float(v), DataType::Float64) => ScalarValue::from(f64::from(v.0)),
        (L::Double(v), DataType::Float64) => ScalarValue::from(v.0),
        _ => return None,
    })
}

/// An Iceberg value as a value of a column's Arrow type, promoted where that is
/// lossless.
pub(crate) fn scalar(literal: &PrimitiveLiteral, of: &DataType) -> Option<ScalarValue> {
    use PrimitiveLiteral as L;
    Some(match (literal, of) {
        (L::Boolean(v), DataType::Boolean) => ScalarValue::from(*v),
        (L::Int(v), DataType::Int32) => ScalarValue::from(*v),
        (L::Int(v), DataType::Int64) => ScalarValue::from(i64::from(*v)),
        (L::Long(v), DataType::Int64) => ScalarValue::from(*v),
        (L::Int(v), DataType::Date32) => ScalarValue::Date32(Some(*v)),
        (L::Float(v), DataType::Float32) if !v.0.is_nan() => ScalarValue::from(v.0),
        (L::Float(v), DataType::Float64) if !v.0.is_nan() => ScalarValue::from(f64::from(v.0)),
        (L::Double(v), DataType::Float64) if !v.0.is_nan() => ScalarValue::from(v.0),
        (L::Long(v), DataType::Time64(TimeUnit::Microsecond)) => ScalarValue::Time64Microsecond(Some(*v)),
        (L::Long(v), DataType::Timestamp(TimeUnit::Microsecond, zone)) => {
            ScalarValue::TimestampMicrosecond(Some(*v), zone.clone())
        }
        (L::Long(v), DataType::Timestamp(TimeUnit::Nanosecond, zone)) => {
            ScalarValue::TimestampNanosecond(Some(*v), zone.clone())
        }
        (L::String(v), DataType::Utf8) => ScalarValue::from(v.as_str()),
        (L::Binary(v), DataType::Binary) => ScalarValue::Binary(Some(v.clone())),
        (L::Binary(v), DataType::FixedSizeBinary(width)) => ScalarValue::FixedSizeBinary(*width, Some(v.clone())),
        (L::UInt128(v), DataType::FixedSizeBinary(16)) => {
            ScalarValue::FixedSizeBinary(16, Some(v.to_be_bytes().to_vec()))
        }
        (L::Int128(v), DataType::Decimal128(p, s)) => ScalarValue::Decimal128(Some(*v), *p, *s),
        _ => return None,
    })
}
