//! Functions over DOUBLE and REAL whose way to a plain result leads past the largest number.
//!
//!   round, trunc with places        x * 10^n overflows: digits are cut from the number's own decimal form instead
//!   asinh, acosh                    x + x overflows: ln(x) + ln(2)
//!   array_distance, cosine_distance, array_normalize   squares overflow, or vanish: lists are scaled by a power of two
//!
//! Invariants
//! * Where DataFusion's way stays within range, its result is kept.
//! * Infinities and NaN stay what they are.
//!
//! Not here: sums (`list_totals`, `sum`), functions that fail in DataFusion (`bounds`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Float64Builder, ListArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
};

use crate::delegated::as_inner;

const NAMES: &[&str] = &["acosh", "array_distance", "array_normalize", "asinh", "cosine_distance", "trunc"];

/// Puts these functions in the place of those of their name.
pub(crate) fn wrap(functions: &mut [Arc<ScalarUDF>]) {
    for function in functions.iter_mut().filter(|f| NAMES.contains(&f.name())) {
        *function = Arc::new(ScalarUDF::from(WithinRange { inner: Arc::clone(function) }));
    }
}

/// What becomes of the digits that are cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    HalfUp,
    Down,
}

macro_rules! places {
    ($name:ident, $float:ty, $exact_power:expr, $mantissa_bits:expr) => {
        /// The number with so many digits after the point, before it where negative.
        pub(crate) fn $name(x: $float, places: i64, cut: Cut) -> $float {
            /// From here on every number is whole.
            const WHOLE: $float = (1u64 << ($mantissa_bits - 1)) as $float;
            if !x.is_finite() || x == 0.0 {
                return x;
            }
            let whole = |v: $float| if cut == Cut::HalfUp { v.round() } else { v.trunc() };
            let exact = i32::try_from(places).ok().filter(|p| p.abs() <= $exact_power);
            let Some(places) = exact else { return cut_digits(x, places, cut) };
            let ten: $float = 10.0;
            let power = ten.powi(places.abs());
            let scaled = if places < 0 { x / power } else { x * power };
            match (scaled.abs() >= WHOLE, places < 0) {
                (true, _) => x,
                (false, true) => whole(scaled) * power,
                (false, false) => whole(scaled) / power,
            }
        }
    };
}

// Powers of ten up to these are exact.
places!(with_places, f64, 22, 53);
places!(with_places_real, f32, 10, 24);

/// By the shortest decimal that stands for the number.
fn cut_digits<F>(x: F, places: i64, cut: Cut) -> F
where
    F: std::fmt::LowerExp + std::str::FromStr + Copy + From<f32>,
{
    let text = format!("{x:e}");
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.as_str()),
    };
    let Some((mantissa, exponent)) = text.split_once('e') else { return x };
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let Ok(exponent) = exponent.parse::<i64>() else { return x };
    // Digits before the place, the first of which weighs 10^exponent.
    let kept = exponent.saturating_add(places).saturating_add(1);
    let Ok(kept) = usize::try_from(kept) else { return F::from(0.0) };
    if kept >= digits.len() {
        return x;
    }
    let (before, after) = digits.split_at(kept);
    let up = cut == Cut::HalfUp && after.starts_with(|d: char| d >= '5');
    let number = before.parse::<u64>().unwrap_or(0) + u64::from(up);
    format!("{sign}{number}e{}", places.saturating_neg()).parse().unwrap_or(x)
}

fn asinh(x: f64) -> f64 {
    if x.is_finite() && x.abs() > 1e300 { (x.abs().ln() + std::f64::consts::LN_2).copysign(x) } else { x.asinh() }
}

fn acosh(x: f64) -> f64 {
    if x.is_finite() && x > 1e300 { x.ln() + std::f64::consts::LN_2 } else { x.acosh() }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WithinRange {
    inner: Arc<ScalarUDF>,
}

impl WithinRange {
    fn of_numbers(&self, values: &[ArrayRef]) -> Result<Option<ArrayRef>> {
        let Some(first) = values.first() else { return Ok(None) };
        let unary = match self.name() {
            "asinh" => asinh,
            "acosh" => acosh,
            "trunc" => return truncated(first, values.get(1)),
            _ => return Ok(None),
        };
        Ok(match first.data_type() {
            DataType::Float64 => Some(Arc::new(first.as_primitive::<Float64Type>().unary::<_, Float64Type>(unary))),
            DataType::Float32 => {
                let real = |x: f32| unary(f64::from(x)) as f32;
                Some(Arc::new(first.as_primitive::<Float32Type>().unary::<_, Float32Type>(real)))
            }
            _ => None,
        })
    }

    fn of_lists(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let mut lists = args.args.iter().map(|a| a.to_array(rows)).collect::<Result<Vec<_>>>()?;
        if !lists.iter().all(is_list_of_doubles) {
            return self.inner.invoke_with_args(args);
        }
        let mut largest: Vec<Vec<f64>> = lists.iter().map(largest).collect();
        if self.name() == "array_distance" {
            // One scale for both, which the result is freed from again.
            let of = |row: usize| {
                largest.iter().filter_map(|l| l.get(row)).fold(0.0, |a: f64, b| if a >= *b { a } else { *b })
            };
            let both: Vec<f64> = (0..rows).map(of).collect();
            largest.iter_mut().for_each(|l| l.clone_from(&both));
        }
        let powers: Vec<Vec<i32>> = largest.iter().map(|l| l.iter().map(|v| power(*v)).collect()).collect();
        if powers.iter().flatten().all(|p| *p == 0) {
            return self.inner.invoke_with_args(args);
        }
        for (list, powers) in lists.iter_mut().zip(&powers) {
            *list = scaled(list, powers)?;
        }
        let args = ScalarFunctionArgs {
            args: lists.into_iter().map(ColumnarValue::Array).collect(),
            number_rows: rows,
            ..args
        };
        let mut result = self.inner.invoke_with_args(args)?.to_array(rows)?;
        if self.name() == "array_distance" {
            let back = powers.first().map(Vec::as_slice).unwrap_or_default();
            let distances = result.as_primitive::<Float64Type>().iter().zip(back);
            result = Arc::new(distances.map(|(d, p)| d.map(|d| times_power(d, -p))).collect::<Float64Array>());
        }
        Ok(match constant {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?),
            false => ColumnarValue::Array(result),
        })
    }
}

fn truncated(x: &ArrayRef, places: Option<&ArrayRef>) -> Result<Option<ArrayRef>> {
    let Some(places) = places else { return Ok(None) };
    if !places.data_type().is_integer() {
        return Ok(None);
    }
    let places = arrow::compute::cast(places, &DataType::Int64)?;
    let places = places.as_primitive::<Int64Type>();
    of_floats(
        x,
        |x| Ok(arrow::compute::binary(x, places, |x, p| with_places(x, p, Cut::Down))?),
        |x| Ok(arrow::compute::binary(x, places, |x, p| with_places_real(x, p, Cut::Down))?),
    )
    .transpose()
}

type Doubles = arrow::array::PrimitiveArray<Float64Type>;
type Reals = arrow::array::PrimitiveArray<Float32Type>;

fn of_floats(
    x: &ArrayRef,
    double: impl FnOnce(&Doubles) -> Result<Doubles>,
    real: impl FnOnce(&Reals) -> Result<Reals>,
) -> Option<Result<ArrayRef>> {
    match x.data_type() {
        DataType::Float64 => Some(double(x.as_primitive()).map(|a| Arc::new(a) as ArrayRef)),
        DataType::Float32 => Some(real(x.as_primitive()).map(|a| Arc::new(a) as ArrayRef)),
        _ => None,
    }
}

/// `round` of DOUBLE and REAL; None for other numbers.
pub(crate) fn rounded(x: &ArrayRef, places: Option<&ArrayRef>) -> Result<Option<ArrayRef>> {
    let places = match places {
        Some(places) => arrow::compute::cast(places, &DataType::Int64)?,
        None => Arc::new(arrow::array::Int64Array::from_value(0, x.len())),
    };
    let places = places.as_primitive::<Int64Type>();
    of_floats(
        x,
        |x| Ok(arrow::compute::binary(x, places, |x, p| with_places(x, p, Cut::HalfUp))?),
        |x| Ok(arrow::compute::binary(x, places, |x, p| with_places_real(x, p, Cut::HalfUp))?),
    )
    .transpose()
}

fn is_list_of_doubles(list: &ArrayRef) -> bool {
    matches!(list.data_type(), DataType::List(f) if *f.data_type() == DataType::Float64)
}

/// The largest number of each list, by its size; infinite where one is not finite.
fn largest(lists: &ArrayRef) -> Vec<f64> {
    let lists = lists.as_list::<i32>();
    let values = lists.values().as_primitive::<Float64Type>();
    let of_row = |row: usize| {
        let (from, to) = (lists.value_offsets()[row], lists.value_offsets()[row + 1]);
        let from = usize::try_from(from).unwrap_or(0);
        let items = values.slice(from, usize::try_from(to).unwrap_or(0).saturating_sub(from));
        let size = |v: f64| if v.is_finite() { v.abs() } else { f64::INFINITY };
        items.iter().flatten().map(size).fold(0.0, f64::max)
    };
    (0..lists.len()).map(|row| if lists.is_null(row) { 0.0 } else { of_row(row) }).collect()
}

/// The power of two that takes a number near one; zero where its square is a plain number anyway.
fn power(largest: f64) -> i32 {
    let plain = largest == 0.0 || !largest.is_finite() || (1e-120..1e120).contains(&largest);
    if plain { 0 } else { -(largest.log2().floor() as i32) }
}

/// x * 2^power, where the power alone may be past the largest number.
fn times_power(x: f64, power: i32) -> f64 {
    let half = power / 2;
    x * 2f64.powi(half) * 2f64.powi(power - half)
}

fn scaled(lists: &ArrayRef, powers: &[i32]) -> Result<ArrayRef> {
    let lists = lists.as_list::<i32>();
    let values = lists.values().as_primitive::<Float64Type>();
    let mut out = Float64Builder::with_capacity(values.len());
    for (row, power) in powers.iter().enumerate() {
        let (from, to) = (lists.value_offsets()[row], lists.value_offsets()[row + 1]);
        for at in usize::try_from(from).unwrap_or(0)..usize::try_from(to).unwrap_or(0) {
            out.append_option(values.is_valid(at).then(|| times_power(values.value(at), *power)));
        }
    }
    let field = Arc::new(Field::new_list_field(DataType::Float64, true));
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(lists.offsets().lengths());
    Ok(Arc::new(ListArray::try_new(field, offsets, Arc::new(out.finish()), lists.nulls().cloned())?))
}

impl ScalarUDFImpl for WithinRange {
    as_inner!(calls);

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.inner().coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if self.name().contains("array_") || self.name() == "cosine_distance" {
            return self.of_lists(args);
        }
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let values = args.args.iter().map(|a| a.to_array(rows)).collect::<Result<Vec<_>>>()?;
        match self.of_numbers(&values)? {
            None => self.inner.invoke_with_args(args),
            Some(result) if constant => match result.len() {
                1 => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)),
                other => internal_err!("{other} results of one row"),
            },
            Some(result) => Ok(ColumnarValue::Array(result)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_cut_from_the_decimal_form() {
        // Worked out by hand; Spark gives the same for round.
        let up = |x, places| with_places(x, places, Cut::HalfUp);
        assert_eq!(up(1e308, 2), 1e308);
        assert_eq!(up(-1.5e300, 10), -1.5e300);
        assert_eq!(up(1e-300, 320), 1e-300);
        assert_eq!(up(1.2345e-300, 302), 1.23e-300);
        assert_eq!(up(1.235e-300, 302), 1.24e-300);
        assert_eq!(up(5e-324, 324), 5e-324);
        assert_eq!(up(4e-310, 309), 0.0);
        assert_eq!(up(6e-310, 309), 1e-309);
        assert_eq!(up(1.4e308, -308), 1e308);
        assert_eq!(up(4.9e307, -308), 0.0);
        assert_eq!(up(9007199254740993.0, 2), 9007199254740992.0);
        assert_eq!(up(2.675, 2), 2.68);
        assert_eq!(up(-2.5, 0), -3.0);
        assert_eq!(up(123_456.789, -2), 123_500.0);
        assert_eq!(up(1.5, i64::MAX), 1.5);
        assert_eq!(up(1.5, i64::MIN), 0.0);
        let down = |x, places| with_places(x, places, Cut::Down);
        assert_eq!(down(1e308, 2), 1e308);
        assert_eq!(down(1.99e-300, 301), 1.9e-300);
        assert_eq!(down(-199.0, -2), -100.0);
        assert_eq!(down(1.7e308, 400), 1.7e308);
        assert!(up(f64::NAN, 3).is_nan());
        assert_eq!(up(f64::INFINITY, 3), f64::INFINITY);
        assert_eq!(with_places_real(3.4e38, 2, Cut::HalfUp), 3.4e38);
        assert_eq!(with_places_real(1.15, 1, Cut::HalfUp), 1.2);
        assert_eq!(with_places_real(1.2345e-30, 32, Cut::Down), 1.23e-30);
    }
}
