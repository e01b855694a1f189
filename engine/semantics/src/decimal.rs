//! Arithmetic of decimals: Spark 3.5's result types (precision loss allowed) and exact values rounded half up.
//!
//! A value is an integer and a scale; all steps are exact in 256 bits and one rounding comes last, away from zero
//! at one half. A result that needs more digits than its type has is no value (`None`): an overflow, never a wrap.
//!
//! Source: the rules of Spark's `DecimalPrecision` and `DecimalType.adjustPrecisionScale`.
//!
//! Not here: arrays (`checked`), sums (`sum`).

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, DecimalType, i256};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, cast, lit};

const DIGITS_MAX: i32 = DECIMAL128_MAX_PRECISION as i32;
/// Digits after the point that a long quotient or product keeps.
const SCALE_KEPT: i32 = 6;

/// DECIMAL(precision, scale).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    pub precision: u8,
    pub scale: i8,
}

/// An arithmetic operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Shape {
    /// DECIMAL(precision, scale); neither is checked.
    pub const fn new(precision: u8, scale: i8) -> Self {
        Self { precision, scale }
    }

    /// The decimal that holds every value of an exact numeric type.
    pub fn of(data_type: &DataType) -> Option<Self> {
        let whole = |digits| Some(Self::new(digits, 0));
        match data_type {
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
                Some(Self::new(*p, *s))
            }
            DataType::Int8 | DataType::UInt8 => whole(3),
            DataType::Int16 | DataType::UInt16 => whole(5),
            DataType::Int32 | DataType::UInt32 => whole(10),
            DataType::Int64 | DataType::UInt64 => whole(20),
            _ => None,
        }
    }

    /// As a type of Arrow, in 128 bits.
    pub fn data_type(self) -> DataType {
        DataType::Decimal128(self.precision, self.scale)
    }

    fn digits(self) -> (i32, i32) {
        (i32::from(self.precision), i32::from(self.scale))
    }

    /// Whether the integer fits the precision.
    pub fn holds(self, value: i128) -> bool {
        Decimal128Type::is_valid_decimal_precision(value, self.precision)
    }

    /// At most 38 digits; what is cut is cut from the fraction, down to six digits of it.
    fn adjusted(precision: i32, scale: i32) -> Self {
        if precision <= DIGITS_MAX {
            return Self::bounded(precision, scale);
        }
        let whole = precision - scale;
        Self::bounded(DIGITS_MAX, (DIGITS_MAX - whole).max(scale.min(SCALE_KEPT)))
    }

    fn bounded(precision: i32, scale: i32) -> Self {
        // Both are within 0..=38 after `min`: a decimal of Spark has no negative scale.
        let within = |v: i32| u8::try_from(v.clamp(0, DIGITS_MAX)).unwrap_or(DECIMAL128_MAX_PRECISION);
        Self::new(within(precision.max(1)), i8::try_from(within(scale)).unwrap_or(0))
    }

    /// The type of a sum of values of this type.
    pub fn sum(self) -> Self {
        let (p, s) = self.digits();
        Self::bounded(p + 10, s)
    }

    /// The type of an average.
    pub fn average(self) -> Self {
        let (p, s) = self.digits();
        Self::bounded(p + 4, s + 4)
    }

    /// The type of `round(x, places)`.
    pub fn round(self, places: i64) -> Self {
        let (p, s) = self.digits();
        // One more digit before the point: 9.9 rounds to 10.
        let whole = p - s + 1;
        let places = i32::try_from(places.clamp(-i64::from(DIGITS_MAX), i64::from(DIGITS_MAX))).unwrap_or(0);
        if places < 0 {
            return Self::bounded(whole.max(1 - places), 0);
        }
        let scale = s.min(places);
        Self::bounded(whole + scale, scale)
    }
}

impl Operation {
    /// The type of the result.
    pub fn shape(self, left: Shape, right: Shape) -> Shape {
        let ((p1, s1), (p2, s2)) = (left.digits(), right.digits());
        let scale = s1.max(s2);
        let (precision, scale) = match self {
            Self::Add | Self::Subtract => ((p1 - s1).max(p2 - s2) + scale + 1, scale),
            Self::Multiply => (p1 + p2 + 1, s1 + s2),
            Self::Divide => {
                let scale = SCALE_KEPT.max(s1 + p2 + 1);
                (p1 - s1 + s2 + scale, scale)
            }
            Self::Remainder => ((p1 - s1).min(p2 - s2) + scale, scale),
        };
        Shape::adjusted(precision, scale)
    }

    /// The result of the operation as an integer of the scale `out`; None past 38 digits, and for a zero divisor.
    pub fn apply(self, (left, s1): (i128, i8), (right, s2): (i128, i8), out: Shape) -> Option<i128> {
        self.fast((left, s1), (right, s2), out)
            .or_else(|| self.exact((left, s1), (right, s2), out))
            .filter(|v| out.holds(*v))
    }

    /// In 128 bits, where nothing is rounded.
    fn fast(self, (left, s1): (i128, i8), (right, s2): (i128, i8), out: Shape) -> Option<i128> {
        match self {
            Self::Add | Self::Subtract => {
                let left = left.checked_mul(power(out.scale.checked_sub(s1)?)?)?;
                let right = right.checked_mul(power(out.scale.checked_sub(s2)?)?)?;
                if self == Self::Add { left.checked_add(right) } else { left.checked_sub(right) }
            }
            Self::Multiply if s1.checked_add(s2)? == out.scale => left.checked_mul(right),
            Self::Divide => {
                let up = out.scale.checked_sub(s1)?.checked_add(s2)?;
                half_up(left.checked_mul(power(up)?)?, right)
            }
            _ => None,
        }
    }

    fn exact(self, (left, s1): (i128, i8), (right, s2): (i128, i8), out: Shape) -> Option<i128> {
        let (wide_left, wide_right) = (i256::from_i128(left), i256::from_i128(right));
        let both = s1.max(s2);
        match self {
            Self::Add | Self::Subtract => {
                let left = wide_left.checked_mul(wide_power(both - s1)?)?;
                let right = wide_right.checked_mul(wide_power(both - s2)?)?;
                let value = if self == Self::Add { left.checked_add(right)? } else { left.checked_sub(right)? };
                rescale(value, both, out.scale)?.to_i128()
            }
            Self::Multiply => rescale(wide_left.checked_mul(wide_right)?, s1.checked_add(s2)?, out.scale)?.to_i128(),
            Self::Divide => divide(wide_left, wide_right, i32::from(out.scale) - i32::from(s1) + i32::from(s2)),
            Self::Remainder => {
                if right == 0 {
                    return None;
                }
                // The sign is the dividend's.
                let left = wide_left.checked_mul(wide_power(both - s1)?)?;
                let right = wide_right.checked_mul(wide_power(both - s2)?)?;
                rescale(left.checked_rem(right)?, both, out.scale)?.to_i128()
            }
        }
    }
}

fn power(exponent: i8) -> Option<i128> {
    10i128.checked_pow(u32::try_from(exponent).ok()?)
}

fn wide_power(exponent: i8) -> Option<i256> {
    i256::from_i128(10).checked_pow(u32::try_from(exponent).ok()?)
}

/// A quotient rounded half up.
fn half_up(left: i128, right: i128) -> Option<i128> {
    let (quotient, rest) = (left.checked_div(right)?, left.checked_rem(right)?);
    let (rest, divisor) = (rest.unsigned_abs(), right.unsigned_abs());
    let away = if (left < 0) == (right < 0) { 1 } else { -1 };
    if rest >= divisor - rest { quotient.checked_add(away) } else { Some(quotient) }
}

/// The same value with another number of digits after the point, rounded half up.
pub(crate) fn rescale(value: i256, from: i8, to: i8) -> Option<i256> {
    if to >= from {
        return value.checked_mul(wide_power(to.checked_sub(from)?)?);
    }
    let divisor = wide_power(from.checked_sub(to)?)?;
    let (quotient, rest) = (value.checked_div(divisor)?, value.checked_rem(divisor)?.wrapping_abs());
    let away = if value.is_negative() { i256::MINUS_ONE } else { i256::ONE };
    if rest >= divisor.wrapping_sub(rest) { quotient.checked_add(away) } else { Some(quotient) }
}

/// `left * 10^digits / right`, rounded half up: digit by digit, because the product may pass 256 bits.
pub fn divide(left: i256, right: i256, digits: i32) -> Option<i128> {
    if right == i256::ZERO {
        return None;
    }
    let negative = left.is_negative() != right.is_negative();
    let (left, mut right) = (left.wrapping_abs(), right.wrapping_abs());
    if digits < 0 {
        right = right.checked_mul(wide_power(i8::try_from(-digits).ok()?)?)?;
    }
    let (mut quotient, mut rest) = (left.checked_div(right)?, left.checked_rem(right)?);
    let ten = i256::from_i128(10);
    for _ in 0..digits {
        let next = rest.checked_mul(ten)?;
        quotient = quotient.checked_mul(ten)?.checked_add(next.checked_div(right)?)?;
        rest = next.checked_rem(right)?;
    }
    if rest >= right.wrapping_sub(rest) {
        quotient = quotient.checked_add(i256::ONE)?;
    }
    let value = quotient.to_i128()?;
    Some(if negative { -value } else { value })
}

/// A decimal as DOUBLE; a constant is rounded once, from its digits.
pub(crate) fn to_double(expr: Expr, data_type: &DataType) -> Expr {
    if !data_type.is_decimal() {
        return expr;
    }
    match &expr {
        Expr::Literal(value, _) => match double_of(value) {
            Some(value) => lit(value),
            None => cast(expr, DataType::Float64),
        },
        _ => cast(expr, DataType::Float64),
    }
}

/// The DOUBLE nearest to a decimal constant.
pub(crate) fn double_of(value: &ScalarValue) -> Option<f64> {
    match value {
        ScalarValue::Decimal128(Some(v), _, scale) => format!("{v}e{}", -i32::from(*scale)).parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Operation::*;
    use super::*;

    /// Types that Spark 3.5 documents or that follow from its rules by hand.
    #[test]
    fn types_are_sparks() {
        let d = Shape::new;
        let cases = [
            (Add, d(12, 2), d(12, 2), d(13, 2)),
            (Add, d(5, 3), d(12, 2), d(14, 3)),
            (Subtract, d(38, 0), d(1, 0), d(38, 0)),
            (Add, d(38, 10), d(38, 20), d(38, 9)),
            (Multiply, d(12, 2), d(12, 2), d(25, 4)),
            (Multiply, d(38, 20), d(38, 20), d(38, 6)),
            (Multiply, d(20, 0), d(20, 0), d(38, 0)),
            (Divide, d(12, 2), d(12, 2), d(27, 15)),
            (Divide, d(10, 2), d(10, 0), d(21, 13)),
            (Divide, d(10, 2), d(1, 0), d(14, 6)),
            (Divide, d(38, 18), d(38, 18), d(38, 6)),
            (Divide, d(10, 2), d(38, 38), d(38, 6)),
            (Remainder, d(12, 2), d(5, 3), d(5, 3)),
        ];
        for (operation, left, right, expected) in cases {
            assert_eq!(operation.shape(left, right), expected, "{operation:?} {left:?} {right:?}");
        }
        assert_eq!(d(12, 2).sum(), d(22, 2));
        assert_eq!(d(38, 2).sum(), d(38, 2));
        assert_eq!(d(12, 2).average(), d(16, 6));
        assert_eq!(d(38, 36).average(), d(38, 38));
        assert_eq!(d(10, 2).round(1), d(10, 1));
        assert_eq!(d(10, 2).round(0), d(9, 0));
        assert_eq!(d(10, 2).round(5), d(11, 2));
        assert_eq!(d(4, 2).round(-5), d(6, 0));
        assert_eq!(d(38, 0).round(0), d(38, 0));
    }

    #[test]
    fn values_round_half_up_and_never_wrap() {
        let apply = |operation: Operation, l: (i128, i8), r: (i128, i8), out: (u8, i8)| {
            operation.apply(l, r, Shape::new(out.0, out.1))
        };
        // 2.00 / 3 and -2.00 / 3
        assert_eq!(apply(Divide, (200, 2), (3, 0), (14, 6)), Some(666_667));
        assert_eq!(apply(Divide, (-200, 2), (3, 0), (14, 6)), Some(-666_667));
        assert_eq!(apply(Divide, (1, 0), (-8, 0), (10, 2)), Some(-13));
        assert_eq!(apply(Divide, (5, 0), (0, 0), (10, 2)), None);
        // 1 / 10^-38 has 39 digits
        assert_eq!(apply(Divide, (1, 0), (1, 38), (38, 6)), None);
        let nines = 10i128.pow(38) - 1;
        assert_eq!(apply(Divide, (nines, 38), (1, 0), (38, 38)), Some(nines));
        assert_eq!(apply(Divide, (nines, 0), (nines, 38), (38, 0)), None);
        assert_eq!(apply(Add, (nines, 0), (1, 0), (38, 0)), None);
        assert_eq!(apply(Add, (nines, 0), (-1, 0), (38, 0)), Some(nines - 1));
        // 0.05 + 0.10 at one digit: 0.15 is half, so 0.2
        assert_eq!(apply(Add, (5, 2), (10, 2), (38, 1)), Some(2));
        assert_eq!(apply(Subtract, (-5, 2), (10, 2), (38, 1)), Some(-2));
        // 12345678901234567890 squared has 39 digits
        let n = 12_345_678_901_234_567_890i128;
        assert_eq!(apply(Multiply, (n, 0), (n, 0), (38, 0)), None);
        assert_eq!(apply(Multiply, (nines, 38), (nines, 38), (38, 38)), Some(nines - 1));
        assert_eq!(apply(Multiply, (15, 1), (15, 1), (38, 1)), Some(23));
        assert_eq!(apply(Remainder, (-70, 1), (25, 1), (5, 1)), Some(-20));
        assert_eq!(apply(Remainder, (7, 0), (25, 1), (5, 1)), Some(20));
        assert_eq!(apply(Remainder, (7, 0), (0, 0), (5, 1)), None);
        assert_eq!(rescale(i256::from_i128(-25), 1, 0), Some(i256::from_i128(-3)));
        assert_eq!(rescale(i256::from_i128(24), 1, 0), Some(i256::from_i128(2)));
    }
}
