//! `date_part(part, x)` and `extract(part FROM x)`, of differences and intervals too.
//!
//! A difference of timestamps is an interval of days and a time of day, as in SQL: `extract(hour FROM b - a)` is 0 to
//! 23, and `epoch` is the whole of it in seconds.
//!
//! `decade`, `century` and `millennium` are computed of the year, as in PostgreSQL: the first century is that of the years
//! 1 to 100, and the offset of a TIMESTAMPTZ (`timezone`, `timezone_hour`, `timezone_minute`) is 0, because the zone is UTC.
//!
//! Invariants
//! * A part that a type does not have is refused when the query is planned.
//! * What does not fit the result's type is an error, never NULL or a wrapped number.
//! * Parts of dates, times and timestamps are DataFusion's own, over the whole range of microseconds: beyond the year
//!   262142 they are those of a time whole cycles of the calendar nearer.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, FieldRef, Float64Type, Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, internal_err, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult};
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    Coercion, ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, TypeSignatureClass, Volatility,
};

use ingot_model::calendar::{CYCLE_DAYS, CYCLE_YEARS, DAY_SECONDS, ticks};

use crate::date_trunc::{text, timestamp};
use crate::instant_text::CHRONO_DAYS;

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
        let word = part.and_then(|p| p.try_as_str().flatten());
        if !is_span(field.data_type()) {
            if let Some(word) = word {
                let whole = || Ok(Arc::new(Field::new(self.name(), DataType::Int32, field.is_nullable())));
                match Computed::of(word) {
                    Some(part) if part.is_of(field.data_type()) => return whole(),
                    None if is_known(word, field.data_type()) => {}
                    _ => return plan_err!("{}", unknown(word, field.data_type())),
                }
            }
            return self.inner.return_field_from_args(args);
        }
        let Some(word) = word else {
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
            if let ColumnarValue::Scalar(word) = word
                && let Some(part) = word.try_as_str().flatten().and_then(Computed::of)
            {
                return self.computed(part, args);
            }
            let far = match value {
                ColumnarValue::Array(array) => nearer(array)?,
                ColumnarValue::Scalar(value) => nearer(&value.to_array()?)?,
            };
            return match far {
                Some((near, cycles)) => self.of_far_times(args, near, &cycles),
                None => self.inner.invoke_with_args(args),
            };
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

    // Of years alone, which `inner` tells by the word.
    fn preimage(&self, args: &[Expr], literal: &Expr, info: &SimplifyContext) -> Result<PreimageResult> {
        self.inner.inner().preimage(args, literal, info)
    }
}

/// The ticks of a day, of a type of times.
fn ticks_of_a_day(data_type: &DataType) -> Option<i64> {
    Some(match data_type {
        DataType::Date32 => 1,
        // Nanoseconds are all near.
        DataType::Timestamp(TimeUnit::Nanosecond, _) => return None,
        DataType::Timestamp(unit, _) => DAY_SECONDS * ticks(*unit),
        _ => return None,
    })
}

/// Times whose years the engine does not know, as times within 1970 to 2369, and how many cycles of the calendar each is
/// from there; None if it knows all.
fn nearer(times: &ArrayRef) -> Result<Option<(ArrayRef, Int64Array)>> {
    let Some(day) = ticks_of_a_day(times.data_type()) else { return Ok(None) };
    let whole = match times.data_type() {
        DataType::Date32 => cast(&cast(times, &DataType::Int32)?, &DataType::Int64)?,
        _ => cast(times, &DataType::Int64)?,
    };
    let ticks = whole.as_primitive::<Int64Type>();
    if !ticks.iter().flatten().any(|t| t.div_euclid(day).abs() > CHRONO_DAYS) {
        return Ok(None);
    }
    let cycle = CYCLE_DAYS * day;
    let near: ArrayRef = Arc::new(ticks.unary::<_, Int64Type>(|t| t.rem_euclid(cycle)));
    let near = match times.data_type() {
        DataType::Date32 => cast(&cast(&near, &DataType::Int32)?, &DataType::Date32)?,
        // Ticks of this unit: no time is computed.
        other => arrow::compute::cast(&near, other)?,
    };
    Ok(Some((near, ticks.unary(|t| t.div_euclid(cycle)))))
}

/// Parts that the engine does not have, of times.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Computed {
    /// Years of 10, counted from 0.
    Decade,
    /// Years of 100 or 1000, counted from 1.
    Count(i32),
    /// Of UTC, which is 0.
    Offset,
}

impl Computed {
    fn of(word: &str) -> Option<Self> {
        Some(match folded(word).as_str() {
            "decade" | "decades" => Self::Decade,
            "century" | "centuries" => Self::Count(100),
            "millennium" | "millenium" | "millennia" | "millenniums" => Self::Count(1000),
            "timezone" | "timezone_hour" | "timezone_minute" => Self::Offset,
            _ => return None,
        })
    }

    fn is_of(self, data_type: &DataType) -> bool {
        match self {
            Self::Offset => matches!(data_type, DataType::Timestamp(_, Some(_)) | DataType::Null),
            _ => !is_time_of_day(data_type),
        }
    }

    /// Of a year, where 0 is 1 BC. PostgreSQL's formulas.
    fn of_year(self, year: i32) -> i32 {
        match self {
            Self::Decade => year.div_euclid(10),
            Self::Count(years) if year > 0 => (year - 1) / years + 1,
            Self::Count(years) => year.div_euclid(years) - i32::from(year % years == 0),
            Self::Offset => 0,
        }
    }
}

fn folded(word: &str) -> String {
    word.trim_matches(['\'', '"']).to_lowercase()
}

fn is_time_of_day(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Time32(_) | DataType::Time64(_))
}

/// Whether the engine has a part of times of a type.
fn is_known(word: &str, data_type: &DataType) -> bool {
    use arrow::compute::kernels::cast_utils::IntervalUnit as Unit;
    let word = folded(word);
    match word.parse::<Unit>() {
        Ok(Unit::Century | Unit::Decade) => false,
        Ok(Unit::Year | Unit::Month | Unit::Week | Unit::Day) => !is_time_of_day(data_type),
        Ok(_) => true,
        Err(_) => match word.as_str() {
            "epoch" => true,
            "isoyear" | "qtr" | "quarter" | "doy" | "dow" | "isodow" => !is_time_of_day(data_type),
            _ => false,
        },
    }
}

fn unknown(word: &str, data_type: &DataType) -> String {
    let has = match data_type {
        DataType::Time32(_) | DataType::Time64(_) => "hour, minute, second, millisecond, microsecond and epoch",
        DataType::Timestamp(_, Some(_)) => {
            "millennium, century, decade, year, isoyear, quarter, month, week, day, doy, dow, isodow, hour, minute, second, \
             millisecond, microsecond, epoch, timezone, timezone_hour and timezone_minute"
        }
        _ => {
            "millennium, century, decade, year, isoyear, quarter, month, week, day, doy, dow, isodow, hour, minute, second, \
             millisecond, microsecond and epoch"
        }
    };
    format!("{} has no part '{}'; it has {has}", crate::type_names::type_name(data_type), folded(word))
}

impl DatePart {
    fn computed(&self, part: Computed, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if let Some(word) = args.args.first_mut() {
            *word = ColumnarValue::Scalar(ScalarValue::from("year"));
        }
        let rows = args.number_rows;
        let years = self.invoke_with_args(args)?;
        let is_constant = matches!(years, ColumnarValue::Scalar(_));
        let years = cast(&years.to_array(if is_constant { 1 } else { rows })?, &DataType::Int32)?;
        let parts: ArrayRef = Arc::new(years.as_primitive::<Int32Type>().unary::<_, Int32Type>(|y| part.of_year(y)));
        Ok(match is_constant {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&parts, 0)?),
            false => ColumnarValue::Array(parts),
        })
    }

    /// A part of times as of those nearer: the same, or 400 for each cycle more where it counts years.
    fn of_far_times(&self, args: ScalarFunctionArgs, near: ArrayRef, cycles: &Int64Array) -> Result<ColumnarValue> {
        let [word, value] = args.args.as_slice() else { return internal_err!("date_part takes two arguments") };
        let is_constant = matches!(value, ColumnarValue::Scalar(_));
        let part = |times: ArrayRef, rows: usize| -> Result<ArrayRef> {
            let own = ScalarFunctionArgs {
                args: vec![word.clone(), ColumnarValue::Array(times)],
                arg_fields: args.arg_fields.clone(),
                number_rows: rows,
                return_field: Arc::clone(&args.return_field),
                config_options: Arc::clone(&args.config_options),
            };
            self.inner.invoke_with_args(own)?.to_array(rows)
        };
        // What it is of the first day of two cycles says how it goes on.
        let days: ArrayRef = Arc::new(Date32Array::from(vec![0, CYCLE_DAYS as i32]));
        let first = cast(&part(cast(&days, near.data_type())?, 2)?, &DataType::Float64)?;
        let first = first.as_primitive::<Float64Type>();
        let rows = near.len();
        let parts = match first.value(1) - first.value(0) {
            0.0 => part(near, rows)?,
            years if years == CYCLE_YEARS as f64 => {
                let parts = cast(&part(near, rows)?, &DataType::Int64)?;
                let more = |n: i64, cycles: i64| n + cycles * CYCLE_YEARS;
                let parts: Int64Array = arrow::compute::binary(parts.as_primitive::<Int64Type>(), cycles, more)?;
                cast(&parts, args.return_field.data_type())?
            }
            // Seconds since 1970, of which the engine knows all.
            _ => return self.inner.invoke_with_args(args),
        };
        Ok(match is_constant {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&parts, 0)?),
            false => ColumnarValue::Array(parts),
        })
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
    Millennium,
    Century,
    Decade,
    Year,
    Quarter,
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
        let lower = folded(word);
        Ok(match lower.as_str() {
            "year" | "years" if matches!(from, DataType::Interval(_)) => Part::Year,
            "month" | "months" if matches!(from, DataType::Interval(_)) => Part::Month,
            "quarter" if matches!(from, DataType::Interval(_)) => Part::Quarter,
            "decade" | "decades" if matches!(from, DataType::Interval(_)) => Part::Decade,
            "century" | "centuries" if matches!(from, DataType::Interval(_)) => Part::Century,
            "millennium" | "millennia" | "millenniums" if matches!(from, DataType::Interval(_)) => Part::Millennium,
            "day" | "days" => Part::Day,
            "hour" | "hours" => Part::Hour,
            "minute" | "minutes" => Part::Minute,
            "second" | "seconds" => Part::Second,
            "millisecond" | "milliseconds" | "ms" => Part::Millisecond,
            "microsecond" | "microseconds" | "us" => Part::Microsecond,
            "nanosecond" | "nanoseconds" => Part::Nanosecond,
            "epoch" => Part::Epoch,
            _ => {
                let calendar = match from {
                    DataType::Interval(_) => "millennium, century, decade, year, quarter, month, ",
                    _ => "",
                };
                return plan_err!(
                    "a difference of times has no part '{lower}'; it has {calendar}day, hour, minute, second, millisecond, microsecond and epoch"
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
            Part::Millennium => i128::from(span.months / 12_000),
            Part::Century => i128::from(span.months / 1_200),
            Part::Decade => i128::from(span.months / 120),
            Part::Year => i128::from(span.months / 12),
            Part::Quarter => i128::from(span.months % 12 / 3 + 1),
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
