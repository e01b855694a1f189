//! `to_timestamp(x [, format, ...])` and its siblings give TIMESTAMPTZ in microseconds and UTC.
//!
//!   text                 in ISO 8601, or by the first format that fits; without an offset it is UTC
//!   numbers              seconds since 1970, in the `_millis` and `_micros` forms milliseconds and microseconds
//!   timestamps and dates the same instant; without a zone it is UTC
//!
//! Invariants
//! * Digits past the microsecond are cut off towards the past; what a timestamp cannot hold is an error.
//!
//! `from_unixtime` is a TIMESTAMP, of seconds alone.
//!
//! Not here: `to_timestamp_nanos`, which is DataFusion's own.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type, FieldRef, Float64Type, Int64Type, TimeUnit};
use arrow::util::display::FormatOptions;
use chrono::NaiveTime;
use chrono::format::{Parsed, StrftimeItems, parse};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// `to_timestamp`, `to_timestamp_seconds`, `to_timestamp_millis` or `to_timestamp_micros`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ToTimestamp {
    name: &'static str,
    /// What a number counts.
    unit: TimeUnit,
    signature: Signature,
}

impl ToTimestamp {
    pub(crate) fn all() -> [Self; 4] {
        [
            Self::new("to_timestamp", TimeUnit::Second),
            Self::new("to_timestamp_seconds", TimeUnit::Second),
            Self::new("to_timestamp_millis", TimeUnit::Millisecond),
            Self::new("to_timestamp_micros", TimeUnit::Microsecond),
        ]
    }

    fn new(name: &'static str, unit: TimeUnit) -> Self {
        Self { name, unit, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

impl ScalarUDFImpl for ToTimestamp {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(instant())
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [value, formats @ ..] = types else { return plan_err!("{} takes a value", self.name) };
        let value = match value {
            DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
            t if t.is_integer() => DataType::Int64,
            t if t.is_floating() => DataType::Float64,
            t @ DataType::Decimal128(..) => t.clone(),
            t if t.is_decimal() => DataType::Decimal128(38, 6),
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => instant(),
            other => return plan_err!("{} takes text, a number or a time, not {other}", self.name),
        };
        if !formats.is_empty() && value != DataType::Utf8 {
            return plan_err!("{} takes formats with text alone", self.name);
        }
        Ok([value].into_iter().chain(formats.iter().map(|_| DataType::Utf8)).collect())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|a| a.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let [value, formats @ ..] = arrays.as_slice() else { return exec_err!("{} takes a value", self.name) };
        let times = match value.data_type() {
            DataType::Utf8 if formats.is_empty() => parsed(value)?,
            DataType::Utf8 => by_format(value, formats)?,
            _ => self.counted(value)?,
        };
        Ok(match scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&times, 0)?),
            false => ColumnarValue::Array(times),
        })
    }
}

/// `to_unixtime`: seconds, rounded towards the past. What is no text is DataFusion's.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ToUnixtime {
    inner: Arc<ScalarUDF>,
}

impl ToUnixtime {
    pub(crate) fn new() -> Self {
        Self { inner: datafusion::functions::datetime::to_unixtime() }
    }
}

impl ScalarUDFImpl for ToUnixtime {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let text = |t: DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        if !args.args.iter().all(|a| text(a.data_type())) {
            return self.inner.invoke_with_args(args);
        }
        for arg in &mut args.args {
            *arg = arg.cast_to(&DataType::Utf8, None)?;
        }
        let rows = args.number_rows;
        let times = ToTimestamp::new("to_unixtime", TimeUnit::Second).invoke_with_args(args)?;
        let scalar = matches!(times, ColumnarValue::Scalar(_));
        let micros = times.to_array(if scalar { 1 } else { rows })?;
        let micros = cast(&micros, &DataType::Int64)?;
        let seconds: ArrayRef =
            Arc::new(micros.as_primitive::<Int64Type>().unary::<_, Int64Type>(|m| m.div_euclid(1_000_000)));
        Ok(match scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&seconds, 0)?),
            false => ColumnarValue::Array(seconds),
        })
    }
}

/// `from_unixtime(seconds [, zone])`: a TIMESTAMP of microseconds, as all others.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct FromUnixtime {
    inner: Arc<ScalarUDF>,
}

impl FromUnixtime {
    pub(crate) fn new() -> Self {
        Self { inner: datafusion::functions::datetime::from_unixtime() }
    }
}

impl ScalarUDFImpl for FromUnixtime {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let field = self.inner.return_field_from_args(args)?;
        let DataType::Timestamp(_, zone) = field.data_type() else { return Ok(field) };
        let micros = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
        Ok(Arc::new(field.as_ref().clone().with_data_type(micros)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(seconds) = args.args.first() else { return exec_err!("from_unixtime takes seconds") };
        let scalar = matches!(seconds, ColumnarValue::Scalar(_));
        let seconds = seconds.to_array(if scalar { 1 } else { args.number_rows })?;
        let utc = ToTimestamp::new("from_unixtime", TimeUnit::Second).counted(&seconds)?;
        // The zone tells how the instant is shown.
        let times = match args.return_field.data_type() {
            DataType::Timestamp(_, None) => cast(&cast(&utc, &DataType::Int64)?, args.return_field.data_type())?,
            zoned => cast(&utc, zoned)?,
        };
        Ok(match scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&times, 0)?),
            false => ColumnarValue::Array(times),
        })
    }
}

/// Casts that fail where they would give NULL.
const STRICT: CastOptions<'static> = CastOptions { safe: false, format_options: FormatOptions::new() };

fn parsed(text: &ArrayRef) -> Result<ArrayRef> {
    Ok(cast_with_options(text, &instant(), &STRICT)?)
}

impl ToTimestamp {
    fn counted(&self, value: &ArrayRef) -> Result<ArrayRef> {
        let micros = match self.unit {
            TimeUnit::Second => 1_000_000_i64,
            TimeUnit::Millisecond => 1_000,
            _ => 1,
        };
        let too_far = || exec_datafusion_err!("{}: a number is beyond what a timestamp holds", self.name);
        let times: TimestampMicrosecondArray = match value.data_type() {
            DataType::Int64 => {
                value.as_primitive::<Int64Type>().try_unary(|v| v.checked_mul(micros).ok_or_else(too_far))?
            }
            DataType::Float64 => value.as_primitive::<Float64Type>().try_unary(|v| {
                let v = (v * micros as f64).round();
                // The bounds of i64; NaN is in no range.
                if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&v) {
                    Ok(v as i64)
                } else {
                    Err(too_far())
                }
            })?,
            DataType::Decimal128(_, scale) => {
                let (up, down) = match u32::try_from(*scale) {
                    Ok(scale) => (i128::from(micros), 10_i128.checked_pow(scale)),
                    Err(_) => (10_i128.pow(scale.unsigned_abs().into()) * i128::from(micros), Some(1)),
                };
                let down = down.ok_or_else(too_far)?;
                value.as_primitive::<Decimal128Type>().try_unary(|v| {
                    // Whole units and the rest apart, so that 38 digits do not overflow.
                    let (whole, rest) = (v.div_euclid(down), v.rem_euclid(down));
                    let whole = whole.checked_mul(up).ok_or_else(too_far)?;
                    let rest = rest.checked_mul(up).map_or_else(|| rest / (down / up), |r| r / down);
                    whole.checked_add(rest).and_then(|t| i64::try_from(t).ok()).ok_or_else(too_far)
                })?
            }
            _ => return Ok(cast(value, &instant())?),
        };
        Ok(Arc::new(times.with_timezone("UTC")))
    }
}

/// The time by the first format that fits; NULL formats are passed over, and without any other the result is NULL.
fn by_format(text: &ArrayRef, formats: &[ArrayRef]) -> Result<ArrayRef> {
    let text = text.as_string::<i32>();
    let formats: Vec<_> = formats.iter().map(|f| f.as_string::<i32>()).collect();
    let mut times = Vec::with_capacity(text.len());
    for row in 0..text.len() {
        let given: Vec<&str> = formats.iter().filter(|f| f.is_valid(row)).map(|f| f.value(row)).collect();
        if text.is_null(row) || given.is_empty() {
            times.push(None);
            continue;
        }
        let found = given.iter().find_map(|format| time_by(text.value(row), format));
        match found {
            Some(time) => times.push(Some(time)),
            None => return exec_err!("text fits none of the formats {}", given.join(", ")),
        }
    }
    Ok(Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")))
}

/// The microseconds of a time in a format of chrono's; what it leaves out is midnight and UTC.
fn time_by(text: &str, format: &str) -> Option<i64> {
    let mut parts = Parsed::new();
    parse(&mut parts, text, StrftimeItems::new(format)).ok()?;
    if let Some(seconds) = parts.timestamp() {
        let rest = i64::from(parts.nanosecond().unwrap_or(0) / 1_000);
        return seconds.checked_mul(1_000_000)?.checked_add(rest);
    }
    let date = parts.to_naive_date().ok()?;
    let time = match parts.hour_mod_12().is_none() && parts.hour_div_12().is_none() {
        true => NaiveTime::MIN,
        false => parts.to_naive_time().ok()?,
    };
    let utc = date.and_time(time).and_utc().timestamp_micros();
    utc.checked_sub(i64::from(parts.offset().unwrap_or(0)) * 1_000_000)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimestampMicrosecondType;

    use super::*;

    #[test]
    fn formats_give_utc() {
        let micros = |text: &str, format: &str| time_by(text, format);
        assert_eq!(micros("9999-12-31 23:59:59.999999", "%Y-%m-%d %H:%M:%S%.f"), Some(253_402_300_799_999_999));
        assert_eq!(micros("0001-01-01", "%Y-%m-%d"), Some(-62_135_596_800_000_000));
        assert_eq!(micros("2023-01-31T09:26:56-05:00", "%Y-%m-%dT%H:%M:%S%z"), Some(1_675_175_216_000_000));
        assert_eq!(micros("05-17-2023", "%m-%d-%Y"), Some(1_684_281_600_000_000));
        assert_eq!(micros("nothing", "%Y"), None);
    }

    #[test]
    fn numbers_are_counted_exactly() {
        let function = ToTimestamp::new("to_timestamp", TimeUnit::Second);
        let value = ScalarValue::Decimal128(Some(-15_000_001), 38, 7).to_array().unwrap();
        let time = function.counted(&value).unwrap();
        assert_eq!(time.as_primitive::<TimestampMicrosecondType>().value(0), -1_500_001);
        let value = ScalarValue::Float64(Some(253_402_300_799.5)).to_array().unwrap();
        let time = function.counted(&value).unwrap();
        assert_eq!(time.as_primitive::<TimestampMicrosecondType>().value(0), 253_402_300_799_500_000);
        for wrong in [f64::NAN, f64::INFINITY, 1e13] {
            assert!(function.counted(&ScalarValue::Float64(Some(wrong)).to_array().unwrap()).is_err());
        }
    }
}
