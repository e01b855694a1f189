//! Casts as a function, where DataFusion's own are not good enough.
//!
//!   numbers that lose digits     DataFusion moves such a cast to the other side of a comparison, where
//!   or may not fit               `CAST(1.25 AS INT) = 1` becomes `1.25 = 1`, and `TRY_CAST(5000000000 AS INT) > 0`
//!                                becomes `5000000000 > 0`
//!   texts, DOUBLE to exact       its errors show the value, it takes no blanks around a date, no exponent in a decimal,
//!                                and multiplies a DOUBLE by a power of ten, which rounds: 1e22 is not 1e22
//!   UUID from and to text        it has none
//!   instants to text             it knows the years that chrono knows
//!   long decimals to DOUBLE      it rounds the digits, and the quotient by the power of ten once more
//!   all others that can fail     likewise, once the optimizer is done with them (`named_failures`)
//!
//! A decimal that becomes an integer loses its fraction, one that gets a smaller scale is rounded half up.
//!
//! Not here: `round`, which has a type of its own.

use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, Float32Type, Float64Type, TimeUnit, TimestampMicrosecondType,
};
use arrow::util::display::FormatOptions;
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::failure::{FailureKind, Named};
use crate::instant_text::instants_as_text;
use crate::text_casts::{self, UUID, is_text, trimmed, uuids_as_text};
use crate::type_names::type_name;

#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Narrow {
    to: DataType,
    /// NULL instead of a failure.
    attempt: bool,
    shown: Named,
    signature: Signature,
}

impl Narrow {
    /// The type that it makes.
    pub(crate) fn target(&self) -> &DataType {
        &self.to
    }
}

/// Whether a cast of a column between these types is this function.
pub(crate) fn replaces(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (DataType::Decimal128(p, s), DataType::Decimal128(q, t)) => {
            s > t || whole_digits(*p, *s) > whole_digits(*q, *t)
        }
        // Up to these digits both the number and the power of ten are exact.
        (DataType::Decimal128(p, s), DataType::Float64) => *p > 15 || *s > 22,
        (DataType::Decimal128(p, s), DataType::Float32) => *p > 7 || *s > 10,
        (DataType::Decimal128(p, s), to) if to.is_integer() => *s > 0 || i16::from(*p) >= integer_digits(to),
        (from, DataType::Decimal128(q, t)) if from.is_integer() => integer_digits(from) > whole_digits(*q, *t),
        (from, to) if from.is_integer() && to.is_integer() => !widens(from, to),
        (from, to) if is_text(from) => to.is_numeric() || to.is_temporal() || *to == DataType::Boolean || *to == UUID,
        (DataType::FixedSizeBinary(16) | DataType::Date32 | DataType::Timestamp(..), to) => is_text(to),
        (from, to) => from.is_floating() && (to.is_integer() || to.is_decimal()),
    }
}

/// Digits before the point.
fn whole_digits(precision: u8, scale: i8) -> i16 {
    i16::from(precision) - i16::from(scale)
}

/// As many digits as the largest value of an integer type has.
fn integer_digits(of: &DataType) -> i16 {
    match of {
        DataType::Int8 | DataType::UInt8 => 3,
        DataType::Int16 | DataType::UInt16 => 5,
        DataType::Int32 | DataType::UInt32 => 10,
        DataType::Int64 => 19,
        _ => 20,
    }
}

/// Whether each value of an integer type is one of another.
fn widens(from: &DataType, to: &DataType) -> bool {
    let (width, target) = (from.primitive_width(), to.primitive_width());
    match (from.is_unsigned_integer(), to.is_unsigned_integer()) {
        // No table has it: it counts rows, as row_number() does.
        _ if *from == DataType::UInt64 => *to == DataType::Int64,
        (false, true) => false,
        (true, false) => width < target,
        _ => width <= target,
    }
}

/// A constant's value of another type, where Arrow has none.
pub(crate) fn constant(value: &ScalarValue, to: &DataType, attempt: bool) -> Option<ScalarValue> {
    if !is_text(&value.data_type()) {
        return None;
    }
    let read = text_casts::read(&value.to_array().ok()?, to, attempt).ok()??;
    ScalarValue::try_from_array(&read, 0).ok()
}

/// The cast as a function; `shown` is the argument as the user wrote it.
pub(crate) fn narrow(expr: Expr, to: DataType, attempt: bool, shown: &str) -> Expr {
    let shown = Named::new(format!("CAST({shown} AS {})", type_name(&to)));
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::from(Narrow { to, attempt, shown, signature })).call(vec![expr])
}

impl Narrow {
    fn cast(&self, value: &ColumnarValue, options: &CastOptions<'static>) -> Result<ColumnarValue> {
        let of = |array: &ArrayRef| -> Result<ArrayRef> {
            let from = array.data_type();
            let own = if is_text(from) {
                text_casts::read(array, &self.to, self.attempt)?
            } else if from.is_floating() && self.to.is_decimal() {
                text_casts::read(&shortest(array), &self.to, self.attempt)?
            } else if let Some(instants) = as_utc(array, &self.to) {
                Some(instants)
            } else if is_text(&self.to) && *from == UUID {
                Some(uuids_as_text(array)?)
            } else if is_text(&self.to) {
                instants_as_text(array)
            } else {
                None
            };
            let array = match own {
                Some(own) => own,
                None if is_text(from) => trimmed(array)?,
                None => Arc::clone(array),
            };
            Ok(cast_with_options(&array, &self.to, options)?)
        };
        match value {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(of(array)?)),
            ColumnarValue::Scalar(value) => {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&of(&value.to_array()?)?, 0)?))
            }
        }
    }
}

impl ScalarUDFImpl for Narrow {
    fn name(&self) -> &str {
        if self.attempt { "ingot_try_cast" } else { "ingot_cast" }
    }

    // A cast has its argument's name.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.iter().map(|a| a.schema_name().to_string()).collect())
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        let args: String = args.iter().map(ToString::to_string).collect();
        Ok(format!("{}({args} AS {})", if self.attempt { "TRY_CAST" } else { "CAST" }, type_name(&self.to)))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let nullable = self.attempt || args.arg_fields.iter().any(|f| f.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.to.clone(), nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let options = CastOptions { safe: self.attempt, format_options: FormatOptions::default() };
        match args.args.as_slice() {
            [ColumnarValue::Array(array)] if to_float(array.data_type(), &self.to) => {
                Ok(ColumnarValue::Array(nearest(array, &self.to)?))
            }
            [ColumnarValue::Scalar(scalar)] if to_float(&scalar.data_type(), &self.to) => {
                let array = nearest(&scalar.to_array()?, &self.to)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
            [value] => {
                let kind = match value.data_type() {
                    // What cannot be converted is too large.
                    from if from.is_decimal() || from.is_integer() => FailureKind::Overflow,
                    _ => FailureKind::Conversion,
                };
                self.cast(value, &options).map_err(|e| match e {
                    e @ (DataFusionError::ArrowError(..) | DataFusionError::Execution(_)) => {
                        self.shown.caused(kind, &self.to, e)
                    }
                    other => other,
                })
            }
            other => exec_err!("a cast of {} values", other.len()),
        }
    }
}

/// Timestamps without a zone as those of UTC, which Arrow only does for the years that chrono knows.
fn as_utc(array: &ArrayRef, to: &DataType) -> Option<ArrayRef> {
    match (array.data_type(), to) {
        (DataType::Timestamp(TimeUnit::Microsecond, None), DataType::Timestamp(TimeUnit::Microsecond, Some(zone)))
            if matches!(zone.as_ref(), "UTC" | "+00:00") =>
        {
            let times = array.as_primitive::<TimestampMicrosecondType>().clone();
            Some(Arc::new(times.with_timezone(Arc::clone(zone))))
        }
        _ => None,
    }
}

/// The shortest decimals that stand for floats, as in PostgreSQL, Trino and Spark: a product with a power of ten would
/// add digits of its own.
fn shortest(floats: &ArrayRef) -> ArrayRef {
    let texts: StringArray = match floats.data_type() {
        DataType::Float32 => floats.as_primitive::<Float32Type>().iter().map(|v| v.map(|v| format!("{v:e}"))).collect(),
        DataType::Float64 => floats.as_primitive::<Float64Type>().iter().map(|v| v.map(|v| format!("{v:e}"))).collect(),
        _ => return Arc::clone(floats),
    };
    Arc::new(texts)
}

fn to_float(from: &DataType, to: &DataType) -> bool {
    matches!((from, to), (DataType::Decimal128(..), DataType::Float64 | DataType::Float32))
}

/// The floats that are nearest to decimals.
fn nearest(decimals: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let DataType::Decimal128(_, scale) = *decimals.data_type() else {
        return exec_err!("{} is no decimal", decimals.data_type());
    };
    let decimals = decimals.as_primitive::<Decimal128Type>();
    let tens = i32::from(scale);
    Ok(match to {
        DataType::Float32 => Arc::new(decimals.unary::<_, Float32Type>(|v| {
            let exact = v.unsigned_abs() <= 1 << 24 && (0..=10).contains(&tens);
            if exact { v as f32 / 10f32.powi(tens) } else { read(v, tens) }
        })),
        _ => Arc::new(decimals.unary::<_, Float64Type>(|v| {
            let exact = v.unsigned_abs() <= 1 << 53 && (0..=22).contains(&tens);
            if exact { v as f64 / 10f64.powi(tens) } else { read(v, tens) }
        })),
    })
}

/// As text, which is rounded once.
fn read<F: FromStr + Default>(value: i128, scale: i32) -> F {
    format!("{value}e{}", -scale).parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Decimal128Array;

    /// Python's `float(Fraction(..))`.
    #[test]
    fn a_decimal_becomes_the_nearest_float() {
        for (value, scale, wanted) in [
            (-81_000_000_089_100_089_100, 14, -810_000.000_891_000_8_f64),
            (9_007_199_254_740_993, 0, 9_007_199_254_740_992.0),
            (9_007_199_254_740_995, 0, 9_007_199_254_740_996.0),
            (i128::pow(10, 37), 37, 1.0),
            (1, 38, 1e-38),
            (123_456_789_987_654_321, 9, 123_456_789.987_654_33),
            (3, 1, 0.3),
        ] {
            let array: ArrayRef =
                Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(38, scale).unwrap());
            let found = nearest(&array, &DataType::Float64).unwrap();
            assert_eq!(found.as_primitive::<Float64Type>().value(0), wanted, "{value} {scale}");
        }
        // By way of a double it would be rounded to 1.
        let array: ArrayRef = Arc::new(
            Decimal128Array::from(vec![1_000_000_059_604_644_775_390_626]).with_precision_and_scale(38, 24).unwrap(),
        );
        let found = nearest(&array, &DataType::Float32).unwrap();
        assert_eq!(found.as_primitive::<Float32Type>().value(0), 1.000_000_1);
    }
}
