//! `date_bin(stride, timestamp [, origin])` over the whole range of timestamps.
//!
//! Invariants
//! * Days and shorter strides in 128-bit nanoseconds; months by the calendar, from the origin's day and time.
//! * TIME is DataFusion's own.
//!
//! Not here: `date_trunc`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, IntervalUnit, TimeUnit};
use datafusion::common::types::{NativeType, logical_string};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, internal_err, plan_err};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    Coercion, ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    TypeSignatureClass, Volatility,
};

use ingot_model::calendar::{DAY_SECONDS, first_of_month, month_of, ticks};

use crate::date_trunc::timestamp;

const DAY_NANOS: i128 = DAY_SECONDS as i128 * 1_000_000_000;

/// `date_bin`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct DateBin {
    inner: Arc<ScalarUDF>,
    signature: Signature,
}

impl DateBin {
    pub(crate) fn new() -> Self {
        let stride = || {
            Coercion::new_implicit(
                TypeSignatureClass::Interval,
                vec![TypeSignatureClass::Native(logical_string())],
                NativeType::Interval(IntervalUnit::MonthDayNano),
            )
        };
        let time = || Coercion::new_exact(TypeSignatureClass::Time);
        let forms = vec![
            TypeSignature::Coercible(vec![stride(), timestamp()]),
            TypeSignature::Coercible(vec![stride(), timestamp(), timestamp()]),
            TypeSignature::Coercible(vec![stride(), time()]),
            TypeSignature::Coercible(vec![stride(), time(), time()]),
        ];
        Self {
            inner: datafusion::functions::datetime::date_bin(),
            signature: Signature::one_of(forms, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for DateBin {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [_, DataType::Null, ..] => Ok(DataType::Timestamp(TimeUnit::Microsecond, None)),
            [_, data_type, ..] => Ok(data_type.clone()),
            _ => plan_err!("date_bin takes a stride and a timestamp"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (stride, value, origin) = match args.args.as_slice() {
            [stride, value] => (stride, value, None),
            [stride, value, origin] => (stride, value, Some(origin)),
            _ => return internal_err!("date_bin takes two or three arguments"),
        };
        if value.data_type() == DataType::Null {
            return Ok(ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(None, None)));
        }
        let DataType::Timestamp(unit, _) = value.data_type() else { return self.inner.invoke_with_args(args) };
        let ColumnarValue::Scalar(stride) = stride else {
            return exec_err!("the stride of date_bin must be a constant");
        };
        let origin = match origin {
            None => Some(0),
            Some(ColumnarValue::Scalar(origin)) => nanos(origin)?,
            Some(ColumnarValue::Array(_)) => return exec_err!("the origin of date_bin must be a constant"),
        };
        let null = || ScalarValue::try_from(&value.data_type()).map(ColumnarValue::Scalar);
        let (Some(stride), Some(origin)) = (Stride::of(stride)?, origin) else { return null() };
        match value {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(bins(array, unit, &stride, origin)?)),
            ColumnarValue::Scalar(value) => {
                let array = bins(&value.to_array()?, unit, &stride, origin)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
        }
    }

    fn output_ordering(&self, input: &[ExprProperties]) -> Result<SortProperties> {
        Ok(match input {
            [stride, value, rest @ ..]
                if stride.sort_properties == SortProperties::Singleton
                    && rest.iter().all(|o| o.sort_properties == SortProperties::Singleton) =>
            {
                value.sort_properties
            }
            _ => SortProperties::Unordered,
        })
    }
}

/// A timestamp in nanoseconds.
fn nanos(value: &ScalarValue) -> Result<Option<i128>> {
    let DataType::Timestamp(unit, _) = value.data_type() else {
        return exec_err!("the origin of date_bin is a timestamp, not {}", value.data_type());
    };
    let ScalarValue::Int64(ticks_since) = value.cast_to(&DataType::Int64)? else { return Ok(None) };
    Ok(ticks_since.map(|t| i128::from(t) * nanos_of(unit)))
}

fn nanos_of(unit: TimeUnit) -> i128 {
    i128::from(1_000_000_000 / ticks(unit))
}

enum Stride {
    Nanos(i128),
    Months(i64),
}

impl Stride {
    fn of(stride: &ScalarValue) -> Result<Option<Self>> {
        let (months, days, nanos) = match stride {
            ScalarValue::IntervalMonthDayNano(Some(v)) => (v.months, v.days, i128::from(v.nanoseconds)),
            ScalarValue::IntervalDayTime(Some(v)) => (0, v.days, i128::from(v.milliseconds) * 1_000_000),
            ScalarValue::IntervalYearMonth(Some(months)) => (*months, 0, 0),
            other if other.is_null() => return Ok(None),
            other => return exec_err!("the stride of date_bin is an interval, not {}", other.data_type()),
        };
        let nanos = i128::from(days) * DAY_NANOS + nanos;
        match (months, nanos) {
            (0, nanos) if nanos > 0 => Ok(Some(Stride::Nanos(nanos))),
            (months, 0) if months > 0 => Ok(Some(Stride::Months(i64::from(months)))),
            (0, _) | (_, 0) => exec_err!("the stride of date_bin must be more than nothing"),
            _ => exec_err!("the stride of date_bin is either months, or days and shorter"),
        }
    }

    /// The start of the bin that holds `value`, both in nanoseconds.
    fn start(&self, value: i128, origin: i128) -> i128 {
        match self {
            Stride::Nanos(stride) => value - (value - origin).rem_euclid(*stride),
            Stride::Months(stride) => {
                let month = |nanos: i128| month_of(nanos.div_euclid(DAY_NANOS) as i64).0;
                let between = month(value) - month(origin);
                let whole = between - between.rem_euclid(*stride);
                let start = shifted(origin, whole);
                // The origin's day of the month may come after the value's.
                if start > value { shifted(origin, whole - stride) } else { start }
            }
        }
    }
}

/// `months` after `origin`, on the last day of a month that is too short.
fn shifted(origin: i128, months: i64) -> i128 {
    let (month, day) = month_of(origin.div_euclid(DAY_NANOS) as i64);
    let (first, next) = (first_of_month(month + months), first_of_month(month + months + 1));
    let days = (first + day).min(next - 1);
    i128::from(days) * DAY_NANOS + origin.rem_euclid(DAY_NANOS)
}

fn bins(array: &ArrayRef, unit: TimeUnit, stride: &Stride, origin: i128) -> Result<ArrayRef> {
    let scale = nanos_of(unit);
    let values = cast(array, &DataType::Int64)?;
    let starts: Int64Array = values.as_primitive::<Int64Type>().try_unary(|v| {
        let start = stride.start(i128::from(v) * scale, origin).div_euclid(scale);
        i64::try_from(start)
            .map_err(|_| exec_datafusion_err!("the bin of a timestamp begins before the first timestamp"))
    })?;
    Ok(cast(&starts, array.data_type())?)
}
