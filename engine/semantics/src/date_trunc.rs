//! `date_trunc(granularity, timestamp)` over the whole range of timestamps.
//!
//! Invariants
//! * In UTC, and without a zone, by integer arithmetic; in another zone by its own wall clock.
//! * TIME is DataFusion's own.
//!
//! Not here: `date_bin`.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Field, FieldRef, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use arrow::error::ArrowError;
use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone};
use datafusion::common::types::{NativeType, logical_date, logical_string};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    Coercion, ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    TypeSignatureClass, Volatility,
};

use crate::calendar::{DAY_SECONDS, first_of_month, month_of, ticks};

/// A timestamp of any unit; text and dates become microseconds.
pub(crate) fn timestamp() -> Coercion {
    Coercion::new_implicit(
        TypeSignatureClass::Timestamp,
        vec![TypeSignatureClass::Native(logical_string()), TypeSignatureClass::Native(logical_date())],
        NativeType::Timestamp(TimeUnit::Microsecond, None),
    )
}

pub(crate) fn text() -> Coercion {
    Coercion::new_exact(TypeSignatureClass::Native(logical_string()))
}

/// `date_trunc`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct DateTrunc {
    inner: Arc<ScalarUDF>,
    signature: Signature,
}

impl DateTrunc {
    pub(crate) fn new() -> Self {
        let time = Coercion::new_exact(TypeSignatureClass::Time);
        let forms =
            vec![TypeSignature::Coercible(vec![text(), timestamp()]), TypeSignature::Coercible(vec![text(), time])];
        Self {
            inner: datafusion::functions::datetime::date_trunc(),
            signature: Signature::one_of(forms, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for DateTrunc {
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
            [_, DataType::Null] => Ok(DataType::Timestamp(TimeUnit::Microsecond, None)),
            [_, data_type] => Ok(data_type.clone()),
            _ => plan_err!("date_trunc takes a granularity and a timestamp"),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        if let [Some(granularity), _] = args.scalar_arguments
            && let Some(word) = granularity.try_as_str().flatten()
            && Granularity::of(word).is_none()
        {
            return plan_err!("date_trunc knows no granularity '{word}'; it knows {}", WORDS.join(", "));
        }
        let nullable = args.arg_fields.get(1).is_none_or(|f| f.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [granularity, value] = args.args.as_slice() else {
            return internal_err!("date_trunc takes two arguments");
        };
        if value.data_type() == DataType::Null {
            return Ok(ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(None, None)));
        }
        let DataType::Timestamp(..) = value.data_type() else { return self.inner.invoke_with_args(args) };
        let ColumnarValue::Scalar(word) = granularity else {
            return exec_err!("the granularity of date_trunc must be a constant");
        };
        let Some(Granularity(step)) = word.try_as_str().flatten().and_then(Granularity::of) else {
            return exec_err!("date_trunc knows no granularity {word}; it knows {}", WORDS.join(", "));
        };
        match value {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(truncate(array, step)?)),
            ColumnarValue::Scalar(value) => {
                let array = truncate(&value.to_array()?, step)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
        }
    }

    fn output_ordering(&self, input: &[ExprProperties]) -> Result<SortProperties> {
        Ok(match input {
            [granularity, value] if granularity.sort_properties == SortProperties::Singleton => value.sort_properties,
            _ => SortProperties::Unordered,
        })
    }
}

const WORDS: [&str; 10] =
    ["microsecond", "millisecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year"];

#[derive(Clone, Copy)]
enum Step {
    /// A fraction of a second: how many make one.
    Fraction(i64),
    Seconds(i64),
    Week,
    Months(i64),
}

struct Granularity(Step);

impl Granularity {
    fn of(word: &str) -> Option<Self> {
        let steps = [
            Step::Fraction(1_000_000),
            Step::Fraction(1_000),
            Step::Seconds(1),
            Step::Seconds(60),
            Step::Seconds(3_600),
            Step::Seconds(DAY_SECONDS),
            Step::Week,
            Step::Months(1),
            Step::Months(3),
            Step::Months(12),
        ];
        let word = word.to_lowercase();
        let known = WORDS.iter().zip(steps).find(|(w, _)| **w == word);
        known.map(|(_, step)| Granularity(step))
    }
}

fn truncate(array: &ArrayRef, step: Step) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => each::<TimestampSecondType>(array, step),
        DataType::Timestamp(TimeUnit::Millisecond, _) => each::<TimestampMillisecondType>(array, step),
        DataType::Timestamp(TimeUnit::Microsecond, _) => each::<TimestampMicrosecondType>(array, step),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => each::<TimestampNanosecondType>(array, step),
        other => exec_err!("date_trunc takes a timestamp, not {other}"),
    }
}

fn each<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef, step: Step) -> Result<ArrayRef> {
    let DataType::Timestamp(unit, zone) = array.data_type() else { return exec_err!("date_trunc takes a timestamp") };
    let per_second = ticks(*unit);
    let zone = zone.as_deref().filter(|z| !is_utc(z)).map(str::parse::<Tz>).transpose()?;
    let floor = |value: i64| match zone {
        Some(zone) if !matches!(step, Step::Fraction(_) | Step::Seconds(1 | 60)) => {
            in_zone(value, per_second, step, zone)
        }
        _ => down(value, per_second, step),
    };
    let values: PrimitiveArray<T> = array.as_primitive::<T>().try_unary(|v| {
        floor(v).ok_or_else(|| ArrowError::ComputeError("date_trunc goes before the first timestamp".to_owned()))
    })?;
    Ok(Arc::new(values.with_data_type(array.data_type().clone())))
}

pub(crate) fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | "utc" | "+00:00" | "Z" | "Etc/UTC")
}

/// The start of the step that holds a timestamp.
fn down(value: i64, per_second: i64, step: Step) -> Option<i64> {
    let day = DAY_SECONDS * per_second;
    match step {
        Step::Fraction(parts) if parts >= per_second => Some(value),
        Step::Fraction(parts) => value.checked_sub(value.rem_euclid(per_second / parts)),
        Step::Seconds(seconds) => value.checked_sub(value.rem_euclid(seconds * per_second)),
        Step::Week => {
            let days = value.div_euclid(day);
            // 1970-01-01 was a Thursday.
            days.checked_sub((days + 3).rem_euclid(7))?.checked_mul(day)
        }
        Step::Months(months) => {
            let (month, _) = month_of(value.div_euclid(day));
            first_of_month(month - month.rem_euclid(months)).checked_mul(day)
        }
    }
}

/// As `down`, by the zone's wall clock.
fn in_zone(value: i64, per_second: i64, step: Step, zone: Tz) -> Option<i64> {
    let nanos = u32::try_from(value.rem_euclid(per_second) * (1_000_000_000 / per_second)).ok()?;
    let utc = DateTime::from_timestamp(value.div_euclid(per_second), nanos)?.naive_utc();
    let offset = zone.offset_from_utc_datetime(&utc).fix();
    let wall = value.checked_add(i64::from(offset.local_minus_utc()).checked_mul(per_second)?)?;
    let wall = down(wall, per_second, step)?;
    let start: NaiveDateTime = DateTime::from_timestamp(wall.div_euclid(per_second), 0)?.naive_utc();
    let start = match zone.from_local_datetime(&start) {
        LocalResult::Single(start) => start,
        // The clock went back within the step: the offset of the value decides.
        LocalResult::Ambiguous(first, second) => {
            if first.offset().fix() == offset {
                first
            } else {
                second
            }
        }
        // The clock went forward over the start.
        LocalResult::None => {
            let before = start.checked_sub_signed(TimeDelta::try_hours(3)?)?;
            zone.from_local_datetime(&before).single()?.checked_add_signed(TimeDelta::try_hours(3)?)?
        }
    };
    start.timestamp().checked_mul(per_second)
}
