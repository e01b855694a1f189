//! `interval * n`, `n * interval` and `interval / n` for whole numbers, as in PostgreSQL.
//!
//!   INTERVAL '1 month 2 days' * 3   3 months 6 days        each part by itself
//!   INTERVAL '1 month' / 2          15 days                what is left of a month goes on as 30 days, of a day as 24 hours
//!
//! Invariants
//! * Exact, but for the last microsecond of a quotient, which is rounded half to even.
//!
//! Not here: sums and differences, which the engine has; lengths that are compared (`spans`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{
    DataType, DurationMicrosecondType, DurationNanosecondType, Field, FieldRef, Int64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::failure::{FailureKind, Named};
use crate::shown::operand;
use crate::spans::DAY_NANOS;
use crate::sql_text::{INTERVAL_DIVIDE, INTERVAL_MULTIPLY};
use crate::type_names::type_name;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Scaled {
    divides: bool,
    shown: Named,
    signature: Signature,
}

fn is_interval(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_) | DataType::Duration(_))
}

/// The operator over a length of time and a whole number; None where neither is a length of time.
///
/// # Errors
/// When the other operand is no whole number.
pub(crate) fn scaled(op: Operator, left: &Expr, right: &Expr, l: &DataType, r: &DataType) -> Result<Option<Expr>> {
    let divides = match op {
        Operator::Multiply => false,
        Operator::Divide => true,
        _ => return Ok(None),
    };
    let other = match (is_interval(l), is_interval(r)) {
        (true, false) => r,
        (false, true) if !divides => l,
        (false, false) => return Ok(None),
        _ => return plan_err!("{} {op} {} has no meaning", type_name(l), type_name(r)),
    };
    if other.is_null() {
        return Ok(None);
    }
    let text = format!("{} {op} {}", operand(left), operand(right));
    if !other.is_integer() {
        return plan_err!(
            "{text}: an interval is multiplied and divided by whole numbers alone, and this is {}; \
             CAST it AS BIGINT, or count in smaller units: 36 * INTERVAL '1 hour'",
            type_name(other)
        );
    }
    let scaled = Scaled { divides, shown: Named::new(text), signature: Signature::any(2, Volatility::Immutable) };
    Ok(Some(Arc::new(ScalarUDF::from(scaled)).call(vec![left.clone(), right.clone()])))
}

/// The type of a result: lengths of time have microseconds.
fn result(types: &[DataType]) -> Result<DataType> {
    match types.iter().find(|t| is_interval(t)) {
        Some(DataType::Duration(TimeUnit::Nanosecond)) => Ok(DataType::Duration(TimeUnit::Nanosecond)),
        Some(DataType::Duration(_)) => Ok(DataType::Duration(TimeUnit::Microsecond)),
        Some(_) => Ok(DataType::Interval(IntervalUnit::MonthDayNano)),
        None => internal_err!("arithmetic of intervals without one"),
    }
}

impl ScalarUDFImpl for Scaled {
    fn name(&self) -> &str {
        if self.divides { INTERVAL_DIVIDE } else { INTERVAL_MULTIPLY }
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let op = if self.divides { "/" } else { "*" };
        Ok(args.iter().map(|a| a.schema_name().to_string()).collect::<Vec<_>>().join(&format!(" {op} ")))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        result(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|f| f.is_nullable());
        Ok(Arc::new(Field::new(self.name(), result(&types)?, nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|a| a.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let out = args.return_field.data_type();
        let (mut lengths, mut numbers) = (None, None);
        for array in &arrays {
            match is_interval(array.data_type()) {
                true => lengths = Some(arrow::compute::cast(array, out)?),
                false => numbers = Some(arrow::compute::cast(array, &DataType::Int64)?),
            }
        }
        let (Some(lengths), Some(numbers)) = (lengths, numbers) else { return internal_err!("{}", self.shown.0) };
        let result = self.compute(&lengths, numbers.as_primitive::<Int64Type>(), out)?;
        Ok(match constant {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?),
            false => ColumnarValue::Array(result),
        })
    }
}

impl Scaled {
    fn compute(&self, lengths: &ArrayRef, numbers: &Int64Array, out: &DataType) -> Result<ArrayRef> {
        let zero = self.divides && numbers.iter().enumerate().any(|(row, n)| n == Some(0) && lengths.is_valid(row));
        if zero {
            return Err(self.shown.failure(FailureKind::DivisionByZero, out));
        }
        let failed = || self.shown.failure(FailureKind::Overflow, out);
        macro_rules! each {
            ($type:ty, $of:expr) => {{
                let values =
                    lengths.as_primitive::<$type>().iter().zip(numbers).map(|(length, n)| match length.zip(n) {
                        Some((length, n)) => $of(length, i128::from(n)).map(Some).ok_or_else(failed),
                        None => Ok(None),
                    });
                Arc::new(values.collect::<Result<arrow::array::PrimitiveArray<$type>>>()?) as ArrayRef
            }};
        }
        let plain = |length: i64, n: i128| {
            let length = i128::from(length);
            i64::try_from(if self.divides { half_even(length, n) } else { length.checked_mul(n)? }).ok()
        };
        Ok(match out {
            DataType::Interval(_) if self.divides => each!(IntervalMonthDayNanoType, divided),
            DataType::Interval(_) => each!(IntervalMonthDayNanoType, multiplied),
            DataType::Duration(TimeUnit::Nanosecond) => each!(DurationNanosecondType, plain),
            _ => each!(DurationMicrosecondType, plain),
        })
    }
}

fn multiplied(v: IntervalMonthDayNano, n: i128) -> Option<IntervalMonthDayNano> {
    Some(IntervalMonthDayNano {
        months: i32::try_from(i128::from(v.months) * n).ok()?,
        days: i32::try_from(i128::from(v.days) * n).ok()?,
        nanoseconds: i64::try_from(i128::from(v.nanoseconds) * n).ok()?,
    })
}

/// PostgreSQL's `interval_div`, without its way over doubles. `n` is not zero.
fn divided(v: IntervalMonthDayNano, n: i128) -> Option<IntervalMonthDayNano> {
    let (months, days) = (i128::from(v.months), i128::from(v.days));
    let left_of_months = months % n * 30;
    let left_of_days = days % n + left_of_months % n;
    let nanos = i128::from(v.nanoseconds) + left_of_days % n * DAY_NANOS;
    Some(IntervalMonthDayNano {
        months: i32::try_from(months / n).ok()?,
        days: i32::try_from(days / n + left_of_months / n + left_of_days / n).ok()?,
        nanoseconds: i64::try_from(half_even(nanos, n * 1000) * 1000).ok()?,
    })
}

fn half_even(value: i128, by: i128) -> i128 {
    let (quotient, rest) = (value / by, value % by);
    let away = if (value < 0) == (by < 0) { 1 } else { -1 };
    match (rest.abs() * 2).cmp(&by.abs()) {
        std::cmp::Ordering::Greater => quotient + away,
        std::cmp::Ordering::Equal if quotient % 2 != 0 => quotient + away,
        _ => quotient,
    }
}
