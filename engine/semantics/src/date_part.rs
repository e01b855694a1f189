//! `date_part(part, x)` and `extract(part FROM x)`, of differences and intervals too.
//!
//! A difference of timestamps is an interval of days and a time of day, as in SQL: `extract(hour FROM b - a)` is 0 to
//! 23, and `epoch` is the whole of it in seconds.
//!
//! Invariants
//! * What does not fit the result's type is an error, never NULL or a wrapped number.
//! * Parts of dates, times and timestamps are DataFusion's own.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, internal_err, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult};
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    Coercion, ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, TypeSignatureClass, Volatility,
};

use crate::calendar::{DAY_SECONDS, ticks};
use crate::date_trunc::{text, timestamp};

/// Plans `extract` by the function here.
#[derive(Debug)]
pub(crate) struct Extract;

impl ExprPlanner for Extract {
    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        let function = Arc::new(ScalarUDF::from(DatePart::new()));
        Ok(PlannerResult::Planned(Expr::ScalarFunction(ScalarFunction::new_udf(function, args))))
    }
}

/// `date_part`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct DatePart {
    inner: Arc<ScalarUDF>,
    signature: Signature,
}

impl DatePart {
    pub(crate) fn new() -> Self {
        let class = |class| Coercion::new_exact(class);
        let date = TypeSignatureClass::Native(datafusion::common::types::logical_date());
        let forms = [
            class(date),
            timestamp(),
            class(TypeSignatureClass::Time),
            class(TypeSignatureClass::Interval),
            class(TypeSignatureClass::Duration),
        ];
        let forms = forms.into_iter().map(|form| TypeSignature::Coercible(vec![text(), form])).collect();
        Self {
            inner: datafusion::functions::datetime::date_part(),
            signature: Signature::one_of(forms, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for DatePart {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        internal_err!("date_part has a type for each part")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let ([part, _], [_, field]) = (args.scalar_arguments, args.arg_fields) else {
            return plan_err!("date_part takes a part and a time");
        };
        if !is_span(field.data_type()) {
            return self.inner.return_field_from_args(args);
        }
        let Some(word) = part.and_then(|p| p.try_as_str().flatten()) else {
            return plan_err!("the part of date_part must be a constant");
        };
        let data_type = match Part::of(word, field.data_type())? {
            Part::Epoch => DataType::Float64,
            Part::Nanosecond => DataType::Int64,
            _ => DataType::Int32,
        };
        Ok(Arc::new(Field::new(self.name(), data_type, field.is_nullable())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [word, value] = args.args.as_slice() else { return internal_err!("date_part takes two arguments") };
        let from = value.data_type();
        if !is_span(&from) {
            return self.inner.invoke_with_args(args);
        }
        let ColumnarValue::Scalar(word) = word else {
            return exec_err!("the part of date_part must be a constant");
        };
        let Some(word) = word.try_as_str().flatten() else {
            return exec_err!("the part of date_part must be a constant");
        };
        let part = Part::of(word, &from)?;
        match value {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(part.of_spans(array)?)),
            ColumnarValue::Scalar(value) => {
                let array = part.of_spans(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
        }
    }

    fn preimage(&self, args: &[Expr], literal: &Expr, info: &SimplifyContext) -> Result<PreimageResult> {
        self.inner.inner().preimage(args, literal, info)
    }
}

fn is_span(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_) | DataType::Duration(_))
}

/// A length of time as SQL writes it.
#[derive(Clone, Copy)]
struct Span {
    months: i64,
    days: i64,
    nanos: i128,
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
    Epoch,
}

impl Part {
    fn of(word: &str, from: &DataType) -> Result<Self> {
        let lower = word.trim_matches(['\'', '"']).to_lowercase();
        Ok(match lower.as_str() {
            "year" | "years" if matches!(from, DataType::Interval(_)) => Part::Year,
            "month" | "months" if matches!(from, DataType::Interval(_)) => Part::Month,
            "day" | "days" => Part::Day,
            "hour" | "hours" => Part::Hour,
            "minute" | "minutes" => Part::Minute,
            "second" | "seconds" => Part::Second,
            "millisecond" | "milliseconds" | "ms" => Part::Millisecond,
            "microsecond" | "microseconds" | "us" => Part::Microsecond,
            "nanosecond" | "nanoseconds" => Part::Nanosecond,
            "epoch" => Part::Epoch,
            _ => {
                return plan_err!(
                    "a difference of times has no part '{word}'; it has day, hour, minute, second, millisecond, microsecond and epoch"
                );
            }
        })
    }

    fn of_spans(self, array: &ArrayRef) -> Result<ArrayRef> {
        let spans = spans(array)?;
        if self == Part::Epoch {
            let seconds: Float64Array = spans.iter().map(|s| s.map(epoch)).collect();
            return Ok(Arc::new(seconds));
        }
        let numbers = spans.iter().map(|span| span.map(|s| self.number(s)).transpose());
        let numbers: ArrayRef = Arc::new(numbers.collect::<Result<Int64Array>>()?);
        match self {
            Part::Nanosecond => Ok(numbers),
            _ => Ok(Arc::new(numbers.as_primitive::<Int64Type>().try_unary::<_, Int32Type, _>(|n| {
                i32::try_from(n).map_err(|_| exec_datafusion_err!("a part of a difference of times does not fit INT"))
            })?)),
        }
    }

    fn number(self, span: Span) -> Result<i64> {
        const SECOND: i128 = 1_000_000_000;
        const MINUTE: i128 = 60 * SECOND;
        let number = match self {
            Part::Year => i128::from(span.months / 12),
            Part::Month => i128::from(span.months % 12),
            Part::Day => i128::from(span.days),
            Part::Hour => span.nanos / (60 * MINUTE),
            Part::Minute => span.nanos / MINUTE % 60,
            Part::Second => span.nanos % MINUTE / SECOND,
            Part::Millisecond => span.nanos % MINUTE / 1_000_000,
            Part::Microsecond => span.nanos % MINUTE / 1_000,
            Part::Nanosecond => span.nanos % MINUTE,
            Part::Epoch => return internal_err!("epoch is no whole number"),
        };
        i64::try_from(number).map_err(|_| exec_datafusion_err!("a part of a difference of times does not fit BIGINT"))
    }
}

/// The seconds of a span: a year of it has 365.25 days, a month by itself 30, as in PostgreSQL.
fn epoch(span: Span) -> f64 {
    let quarter_days = span.months / 12 * 1_461 + span.months % 12 * 120 + span.days * 4;
    let nanos = i128::from(quarter_days) * i128::from(DAY_SECONDS / 4) * 1_000_000_000 + span.nanos;
    let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    // Both parts are exact, and so is a microsecond of less than 2^53 of them.
    if rest % 1_000 == 0 && nanos.unsigned_abs() / 1_000 < 1 << 53 {
        return (nanos / 1_000) as f64 / 1e6;
    }
    seconds as f64 + rest as f64 / 1e9
}

fn spans(array: &ArrayRef) -> Result<Vec<Option<Span>>> {
    let null_or = |i: usize, span: Span| (!array.is_null(i)).then_some(span);
    match array.data_type() {
        DataType::Duration(unit) => {
            let scale = i128::from(1_000_000_000 / ticks(*unit));
            let day = i128::from(DAY_SECONDS) * 1_000_000_000;
            let values = cast(array, &DataType::Int64)?;
            let values = values.as_primitive::<Int64Type>();
            Ok((0..values.len())
                .map(|i| {
                    let nanos = i128::from(values.value(i)) * scale;
                    null_or(i, Span { months: 0, days: (nanos / day) as i64, nanos: nanos % day })
                })
                .collect())
        }
        DataType::Interval(_) => {
            let values = cast(array, &DataType::Interval(IntervalUnit::MonthDayNano))?;
            let values = values.as_primitive::<IntervalMonthDayNanoType>();
            Ok((0..values.len())
                .map(|i| {
                    let v = values.value(i);
                    let span = Span { months: v.months.into(), days: v.days.into(), nanos: v.nanoseconds.into() };
                    null_or(i, span)
                })
                .collect())
        }
        other => exec_err!("{other} is no difference of times"),
    }
}
