//! One value for equal floats and lengths of time: -0.0 becomes +0.0, every NaN the positive quiet one, 31 days become
//! 1 month 1 day, as PostgreSQL's `justify_interval` has it.
//!
//! In the total order that Arrow compares and sorts by, canonical floats stand as SQL wants them: zeros are one
//! value, NaN equals NaN and is the largest. So do canonical intervals: by months, then days, then the rest.
//!
//! Invariants
//! * Idempotent; NULLs, lengths and types stay; floats within lists, structs and maps count.
//!
//! Not here: where values must be canonical (`zero`).

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, MapArray, OffsetSizeTrait, StructArray,
};
use arrow::datatypes::{
    DataType, FieldRef, Float16Type, Float32Type, Float64Type, IntervalDayTime, IntervalDayTimeType,
    IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::LazyLock;

use crate::spans::{DAY_NANOS, MONTH_NANOS, nanos};

/// The name of the function that gives the canonical value: readers of bounds may look through it.
pub const CANONICAL: &str = "ingot_canonical";
const EXACTLY: &str = "ingot_exactly";

static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(Unary::new(CANONICAL))));
static BITS: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(Unary::new(EXACTLY))));

/// Whether values of the type, or what they hold, may be equal and look different.
pub fn has_equals(data_type: &DataType) -> bool {
    match data_type {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => true,
        DataType::Interval(unit) => *unit != IntervalUnit::YearMonth,
        DataType::List(f)
        | DataType::LargeList(f)
        | DataType::ListView(f)
        | DataType::LargeListView(f)
        | DataType::FixedSizeList(f, _)
        | DataType::Map(f, _) => has_equals(f.data_type()),
        DataType::Struct(fields) => fields.iter().any(|f| has_equals(f.data_type())),
        _ => false,
    }
}

/// The canonical value of an expression.
pub(crate) fn canonical(expr: Expr) -> Expr {
    match expr {
        Expr::Literal(value, metadata) => match canonical_scalar(&value) {
            Ok(value) => Expr::Literal(value, metadata),
            Err(_) => FUNCTION.call(vec![Expr::Literal(value, metadata)]),
        },
        other if is_call(&other, CANONICAL) => other,
        other => FUNCTION.call(vec![other]),
    }
}

/// The expression of which this is the canonical value, or itself: NULL for the same rows.
pub fn uncanonical(expr: &Expr) -> &Expr {
    match expr {
        Expr::ScalarFunction(call) if is_canonical(expr) => call.args.first().unwrap_or(expr),
        other => other,
    }
}

/// The same value, to be sorted by its bits: what tells equal values apart so that ties are not broken by chance.
pub fn exactly(expr: Expr) -> Expr {
    if is_call(&expr, EXACTLY) { expr } else { BITS.call(vec![expr]) }
}

/// Whether the expression is to be sorted by its bits.
pub(crate) fn is_exactly(expr: &Expr) -> bool {
    is_call(expr, EXACTLY)
}

pub(crate) fn is_canonical(expr: &Expr) -> bool {
    is_call(expr, CANONICAL)
}

fn is_call(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.func.name() == name)
}

/// The array with canonical values.
///
/// # Errors
/// When Arrow cannot rebuild a nested array.
pub fn canonical_array(array: &ArrayRef) -> Result<ArrayRef> {
    if !has_equals(array.data_type()) {
        return Ok(Arc::clone(array));
    }
    Ok(match array.data_type() {
        DataType::Float16 => Arc::new(array.as_primitive::<Float16Type>().unary::<_, Float16Type>(|v| {
            if v.is_nan() {
                half_nan()
            } else if v.to_bits() == 0x8000 {
                Default::default()
            } else {
                v
            }
        })),
        DataType::Float32 => Arc::new(
            array
                .as_primitive::<Float32Type>()
                .unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v + 0.0 }),
        ),
        DataType::Float64 => Arc::new(
            array
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v + 0.0 }),
        ),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            Arc::new(array.as_primitive::<IntervalMonthDayNanoType>().unary::<_, IntervalMonthDayNanoType>(|v| {
                let (months, days, nanoseconds) = justified(nanos(v));
                IntervalMonthDayNano { months, days, nanoseconds }
            }))
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            Arc::new(array.as_primitive::<IntervalDayTimeType>().unary::<_, IntervalDayTimeType>(|v| {
                let millis = i64::from(v.days) * DAY_MILLIS + i64::from(v.milliseconds);
                // As many days as before, or one more or less for each day of milliseconds.
                let days = i32::try_from(millis / DAY_MILLIS).unwrap_or(v.days);
                let rest = millis - i64::from(days) * DAY_MILLIS;
                IntervalDayTime { days, milliseconds: i32::try_from(rest).unwrap_or(v.milliseconds) }
            }))
        }
        DataType::List(field) => list::<i32>(array, field)?,
        DataType::LargeList(field) => list::<i64>(array, field)?,
        DataType::FixedSizeList(field, width) => {
            let lists = array.as_fixed_size_list();
            Arc::new(FixedSizeListArray::try_new(
                Arc::clone(field),
                *width,
                canonical_array(lists.values())?,
                lists.nulls().cloned(),
            )?)
        }
        DataType::Struct(fields) => {
            let structs = array.as_struct();
            let columns = structs.columns().iter().map(canonical_array).collect::<Result<Vec<_>>>()?;
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, structs.nulls().cloned(), array.len())?)
        }
        DataType::Map(field, ordered) => {
            let maps = array.as_map();
            let entries: ArrayRef = Arc::new(maps.entries().clone());
            let entries = canonical_array(&entries)?.as_struct().clone();
            Arc::new(MapArray::try_new(
                Arc::clone(field),
                maps.offsets().clone(),
                entries,
                maps.nulls().cloned(),
                *ordered,
            )?)
        }
        other => return exec_err!("floats in {other} cannot be compared"),
    })
}

const DAY_MILLIS: i64 = 86_400_000;

/// Months, days and nanoseconds of a length: as many of the larger units as fit it and their types, none against its sign.
fn justified(length: i128) -> (i32, i32, i64) {
    let part = |length: i128, unit: i128| {
        let count = (length / unit).clamp(i128::from(i32::MIN), i128::from(i32::MAX));
        (i32::try_from(count).unwrap_or(0), length - count * unit)
    };
    let (months, rest) = part(length, MONTH_NANOS);
    let (days, rest) = part(rest, DAY_NANOS);
    // What was a length of three such parts leaves no more than 64 bits.
    (months, days, i64::try_from(rest).unwrap_or(0))
}

fn half_nan() -> <Float16Type as arrow::datatypes::ArrowPrimitiveType>::Native {
    <Float16Type as arrow::datatypes::ArrowPrimitiveType>::Native::NAN
}

fn list<O: OffsetSizeTrait>(array: &ArrayRef, field: &FieldRef) -> Result<ArrayRef> {
    let lists = array.as_list::<O>();
    Ok(Arc::new(GenericListArray::<O>::try_new(
        Arc::clone(field),
        lists.offsets().clone(),
        canonical_array(lists.values())?,
        lists.nulls().cloned(),
    )?))
}

/// The canonical value.
///
/// # Errors
/// As [`canonical_array`].
pub(crate) fn canonical_scalar(value: &ScalarValue) -> Result<ScalarValue> {
    if !has_equals(&value.data_type()) {
        return Ok(value.clone());
    }
    ScalarValue::try_from_array(&canonical_array(&value.to_array()?)?, 0)
}

/// A function of one argument that keeps its type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Unary {
    name: &'static str,
    signature: Signature,
}

impl Unary {
    fn new(name: &'static str) -> Self {
        Self { name, signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Unary {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [data_type] => Ok(data_type.clone()),
            _ => internal_err!("{} takes one argument", self.name),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        match args.arg_fields {
            [field] => Ok(Arc::clone(field)),
            _ => internal_err!("{} takes one argument", self.name),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match (args.args.as_slice(), self.name) {
            ([value], EXACTLY) => Ok(value.clone()),
            ([ColumnarValue::Array(array)], _) => Ok(ColumnarValue::Array(canonical_array(array)?)),
            ([ColumnarValue::Scalar(value)], _) => Ok(ColumnarValue::Scalar(canonical_scalar(value)?)),
            _ => internal_err!("{} takes one argument", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float32Array, Float64Array, ListArray};

    #[test]
    fn zeros_and_nans_become_one_and_other_bits_stay() {
        let odd = f64::from_bits(0xfff8_0000_0000_0001);
        let given =
            vec![Some(-0.0), Some(0.0), Some(-f64::NAN), Some(odd), None, Some(-5e-324), Some(f64::NEG_INFINITY)];
        let array: ArrayRef = Arc::new(Float64Array::from(given));
        let got = canonical_array(&array).unwrap();
        let bits: Vec<_> = got.as_primitive::<Float64Type>().iter().map(|v| v.map(f64::to_bits)).collect();
        let nan = Some(0x7ff8_0000_0000_0000);
        let rest = [Some(0x8000_0000_0000_0001), Some(0xfff0_0000_0000_0000)];
        assert_eq!(bits, [Some(0), Some(0), nan, nan, None, rest[0], rest[1]]);
        let singles: ArrayRef = Arc::new(Float32Array::from(vec![-0.0, f32::from_bits(0xffc0_0001), -1e-45]));
        let got = canonical_array(&singles).unwrap();
        let bits: Vec<_> = got.as_primitive::<Float32Type>().values().iter().map(|v| v.to_bits()).collect();
        assert_eq!(bits, [0, 0x7fc0_0000, 0x8000_0001]);
    }

    #[test]
    fn intervals_are_ordered_by_their_length() {
        let part = |i: usize| [i32::MIN, i32::MIN + 1, -31, -30, -1, 0, 1, 29, 30, 31, i32::MAX][i];
        let rest = |i: usize| {
            [i64::MIN, -86_400_000_000_000, -1, 0, 5, 86_400_000_000_000, 2_592_000_000_000_000, i64::MAX][i]
        };
        let mut all = Vec::new();
        for months in 0..11 {
            for days in 0..11 {
                for nanos in 0..8 {
                    all.push(IntervalMonthDayNano::new(part(months), part(days), rest(nanos)));
                }
            }
        }
        let length = |v: &IntervalMonthDayNano| {
            (i128::from(v.months) * 30 + i128::from(v.days)) * 86_400_000_000_000 + i128::from(v.nanoseconds)
        };
        let array: ArrayRef = Arc::new(arrow::array::IntervalMonthDayNanoArray::from(all.clone()));
        let got = canonical_array(&array).unwrap();
        let got = got.as_primitive::<IntervalMonthDayNanoType>().values().to_vec();
        for (given, got) in all.iter().zip(&got) {
            assert_eq!(length(given), length(got), "{given:?} {got:?}");
        }
        let mut sorted = got.clone();
        sorted.sort();
        assert!(sorted.windows(2).all(|w| length(&w[0]) <= length(&w[1])));
        assert!(sorted.windows(2).all(|w| (length(&w[0]) == length(&w[1])) == (w[0] == w[1])));
        let days = |n| IntervalMonthDayNano::new(0, n, 0);
        let of = |v| {
            let array: ArrayRef = Arc::new(arrow::array::IntervalMonthDayNanoArray::from(vec![v]));
            canonical_array(&array).unwrap().as_primitive::<IntervalMonthDayNanoType>().value(0)
        };
        assert_eq!(of(days(31)), IntervalMonthDayNano::new(1, 1, 0));
        assert_eq!(of(days(-31)), IntervalMonthDayNano::new(-1, -1, 0));
    }

    #[test]
    fn floats_within_lists_count() {
        let lists = ListArray::from_iter_primitive::<Float64Type, _, _>([Some([Some(-0.0), None]), None]);
        let array: ArrayRef = Arc::new(lists);
        let got = canonical_array(&array).unwrap();
        assert!(got.is_null(1));
        let first = got.as_list::<i32>().value(0);
        assert_eq!(first.as_primitive::<Float64Type>().value(0).to_bits(), 0);
        assert!(first.is_null(1));
    }
}
