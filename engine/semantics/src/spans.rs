//! Lengths of time are compared as PostgreSQL does: a month is 30 days, a day 24 hours.
//!
//!   b - a > INTERVAL '1 day'  ──▶ span(b - a) > span(INTERVAL '1 day'), in nanoseconds
//!
//! DataFusion compares months, then days, then nanoseconds, and a difference of timestamps has nanoseconds alone: two
//! days would be shorter than `INTERVAL '1 day'`.
//!
//! Not here: which expressions are compared (`widen`), keys and orders of intervals (`canonical`).

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use arrow::datatypes::{
    DataType, IntervalDayTimeType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType,
    TimeUnit,
};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast,
};

pub(crate) const DAY_NANOS: i128 = 86_400_000_000_000;
pub(crate) const MONTH_NANOS: i128 = 30 * DAY_NANOS;
const SPAN: DataType = DataType::Decimal128(38, 0);

static FUNCTION: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arc::new(ScalarUDF::from(Span { signature: Signature::any(1, Volatility::Immutable) })));

/// Whether values of these types are to be compared by their length.
pub(crate) fn are_spans(types: &[DataType]) -> bool {
    let mut durations = types.iter().filter(|t| matches!(t, DataType::Duration(_)));
    let units_differ = match durations.next() {
        Some(first) => durations.any(|t| t != first),
        None => false,
    };
    units_differ || types.iter().any(|t| matches!(t, DataType::Interval(_)))
}

/// The length of a value, or the value itself where it has none. Text is taken as an interval.
pub(crate) fn span(expr: Expr, data_type: &DataType) -> Expr {
    match data_type {
        DataType::Interval(_) | DataType::Duration(_) => FUNCTION.call(vec![expr]),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            FUNCTION.call(vec![cast(expr, DataType::Interval(IntervalUnit::MonthDayNano))])
        }
        _ => expr,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Span {
    signature: Signature,
}

impl ScalarUDFImpl for Span {
    fn name(&self) -> &str {
        "ingot_span"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(SPAN)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [ColumnarValue::Array(array)] => Ok(ColumnarValue::Array(spans(array)?)),
            [ColumnarValue::Scalar(value)] => {
                let array = spans(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
            other => internal_err!("a span of {} values", other.len()),
        }
    }
}

/// The length of an interval.
pub(crate) fn nanos(v: IntervalMonthDayNano) -> i128 {
    i128::from(v.months) * MONTH_NANOS + i128::from(v.days) * DAY_NANOS + i128::from(v.nanoseconds)
}

fn spans(array: &ArrayRef) -> Result<ArrayRef> {
    let lengths: Decimal128Array = match array.data_type() {
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            array.as_primitive::<IntervalMonthDayNanoType>().iter().map(|v| v.map(nanos)).collect()
        }
        DataType::Interval(IntervalUnit::DayTime) => array
            .as_primitive::<IntervalDayTimeType>()
            .iter()
            .map(|v| v.map(|v| i128::from(v.days) * DAY_NANOS + i128::from(v.milliseconds) * 1_000_000))
            .collect(),
        DataType::Interval(IntervalUnit::YearMonth) => array
            .as_primitive::<IntervalYearMonthType>()
            .iter()
            .map(|v| v.map(|v| i128::from(v) * MONTH_NANOS))
            .collect(),
        DataType::Duration(unit) => {
            let nanos = match unit {
                TimeUnit::Second => 1_000_000_000,
                TimeUnit::Millisecond => 1_000_000,
                TimeUnit::Microsecond => 1_000,
                TimeUnit::Nanosecond => 1,
            };
            let ticks = arrow::compute::cast(array, &DataType::Int64)?;
            let ticks = ticks.as_primitive::<arrow::datatypes::Int64Type>();
            ticks.iter().map(|v| v.map(|v| i128::from(v) * nanos)).collect()
        }
        DataType::Null => Decimal128Array::new_null(array.len()),
        other => return exec_err!("a span of {other}"),
    };
    Ok(Arc::new(lengths.with_precision_and_scale(38, 0)?))
}
