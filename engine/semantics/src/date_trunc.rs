//! `date_trunc(granularity, timestamp)` over the whole range of timestamps.
//!
//! Invariants
//! * A TIMESTAMPTZ is truncated in UTC.
//! * TIME is DataFusion's own.
//!
//! Not here: `date_bin`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Field, FieldRef, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use arrow::error::ArrowError;
use datafusion::common::types::{NativeType, logical_date, logical_string};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    Coercion, ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    TypeSignatureClass, Volatility,
};

use ingot_model::calendar::{DAY_SECONDS, first_of_month, month_of, ticks};

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
    let DataType::Timestamp(unit, _) = array.data_type() else { return exec_err!("date_trunc takes a timestamp") };
    let per_second = ticks(*unit);
    let values: PrimitiveArray<T> = array.as_primitive::<T>().try_unary(|v| {
        down(v, per_second, step)
            .ok_or_else(|| ArrowError::ComputeError("date_trunc goes before the first timestamp".to_owned()))
    })?;
    Ok(Arc::new(values.with_data_type(array.data_type().clone())))
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
