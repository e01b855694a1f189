//! `array_sum`, `array_avg` and `array_product` with the types of `sum` and `avg`.
//!
//!   BIGINT[]          sum: BIGINT, or a failure; avg: DOUBLE of the exact sum
//!   DECIMAL(p, s)[]   sum: DECIMAL(p + 10, s); avg: DECIMAL(p + 4, s + 4), rounded half up
//!   DOUBLE[]          DOUBLE, in the order of the items; a sum or product that leaves the range on its way does no harm
//!
//! DataFusion takes all numbers to DOUBLE, which holds 53 bits of them. A product stays DOUBLE for every type.
//!
//! Invariants
//! * NULL items are passed over; without others the result is NULL.
//!
//! Not here: `array_min` and `array_max`, which compare in the items' own type.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Float64Type, Int64Type, i256};
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::decimal::Shape;
use crate::failure::{FailureKind, Named};
use crate::sum::fit;
use crate::type_names::type_name;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum TotalKind {
    Sum,
    Average,
    Product,
}

/// Puts these functions in the place of those of their name.
pub(crate) fn wrap(functions: &mut [Arc<ScalarUDF>]) {
    for function in functions.iter_mut() {
        let kind = match function.name() {
            "array_sum" => TotalKind::Sum,
            "array_avg" => TotalKind::Average,
            "array_product" => TotalKind::Product,
            _ => continue,
        };
        let signature = Signature::user_defined(Volatility::Immutable);
        *function = Arc::new(ScalarUDF::from(ListTotal { inner: Arc::clone(function), kind, signature }));
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ListTotal {
    inner: Arc<ScalarUDF>,
    kind: TotalKind,
    signature: Signature,
}

/// The type in which items are added.
fn added(item: &DataType) -> Option<DataType> {
    Some(match item {
        DataType::UInt64 => DataType::Decimal128(20, 0),
        item if item.is_integer() => DataType::Int64,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
            DataType::Decimal128(*p, *s)
        }
        DataType::Null => DataType::Float64,
        item if item.is_floating() => DataType::Float64,
        _ => return None,
    })
}

impl ListTotal {
    fn result(&self, item: &DataType) -> DataType {
        match (self.kind, item) {
            (TotalKind::Sum, DataType::Int64) => DataType::Int64,
            (TotalKind::Sum, DataType::Decimal128(p, s)) => Shape::new(*p, *s).sum().data_type(),
            (TotalKind::Average, DataType::Decimal128(p, s)) => Shape::new(*p, *s).average().data_type(),
            _ => DataType::Float64,
        }
    }
}

impl ScalarUDFImpl for ListTotal {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let item = match types {
            [DataType::Null] => &DataType::Null,
            [DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _)] => f.data_type(),
            [other] => return plan_err!("{} takes a list of numbers, not {}", self.name(), type_name(other)),
            other => return plan_err!("{} takes one list, not {} arguments", self.name(), other.len()),
        };
        let Some(added) = added(item) else {
            return plan_err!("{} takes a list of numbers, and this is one of {}", self.name(), type_name(item));
        };
        let added = if self.kind == TotalKind::Product { DataType::Float64 } else { added };
        Ok(vec![DataType::List(Arc::new(Field::new_list_field(added, true)))])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [DataType::List(field)] => Ok(self.result(field.data_type())),
            other => internal_err!("{} over {other:?}", self.name()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, true)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [list] = args.args.as_slice() else { return internal_err!("{} takes one list", self.name()) };
        let constant = matches!(list, ColumnarValue::Scalar(_));
        let lists = list.to_array(if constant { 1 } else { args.number_rows })?;
        let shown = || Named::new(format!("{}({})", self.name(), args.arg_fields.first().map_or("", |f| f.name())));
        let result = self.totals(&lists, args.return_field.data_type(), shown)?;
        Ok(match constant {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?),
            false => ColumnarValue::Array(result),
        })
    }
}

impl ListTotal {
    fn totals(&self, lists: &ArrayRef, out: &DataType, shown: impl Fn() -> Named) -> Result<ArrayRef> {
        let lists = lists.as_list::<i32>();
        let items = |row: usize| lists.is_valid(row).then(|| lists.value(row)).filter(|i| i.null_count() < i.len());
        let average = self.kind == TotalKind::Average;
        let exact = |items: &ArrayRef| -> (i256, i64) {
            let mut total = i256::ZERO;
            let mut add = |v: i128| total = total.wrapping_add(i256::from_i128(v));
            match items.data_type() {
                DataType::Int64 => {
                    items.as_primitive::<Int64Type>().iter().flatten().for_each(|v| add(i128::from(v)));
                }
                _ => items.as_primitive::<Decimal128Type>().iter().flatten().for_each(add),
            }
            (total, i64::try_from(items.len() - items.null_count()).unwrap_or(i64::MAX))
        };
        let fitted = |row: usize, scale: i8| -> Result<Option<i128>> {
            let Some(items) = items(row) else { return Ok(None) };
            let (total, count) = exact(&items);
            match fit(total, count, scale, average, out) {
                None => Err(shown().failure(FailureKind::Overflow, out)),
                value => Ok(value),
            }
        };
        Ok(match (lists.value_type(), out) {
            (DataType::Float64, _) => {
                let of = |items: ArrayRef| -> f64 {
                    let items = items.as_primitive::<Float64Type>();
                    let values: Vec<f64> = items.iter().flatten().collect();
                    match self.kind {
                        TotalKind::Sum => sum(&values),
                        TotalKind::Average => average_of(&values),
                        TotalKind::Product => product(&values),
                    }
                };
                Arc::new((0..lists.len()).map(|row| items(row).map(of)).collect::<Float64Array>())
            }
            (DataType::Int64, DataType::Float64) => {
                // A BIGINT's sum over a list has less than 128 bits.
                let of = |items: ArrayRef| {
                    let (total, count) = exact(&items);
                    total.to_i128().unwrap_or_default() as f64 / count as f64
                };
                Arc::new((0..lists.len()).map(|row| items(row).map(of)).collect::<Float64Array>())
            }
            (DataType::Int64, _) => {
                let whole = |v: Option<i128>| v.and_then(|v| i64::try_from(v).ok());
                let values = (0..lists.len()).map(|row| Ok(whole(fitted(row, 0)?)));
                Arc::new(values.collect::<Result<Int64Array>>()?)
            }
            (DataType::Decimal128(_, scale), DataType::Decimal128(p, s)) => {
                let values = (0..lists.len()).map(|row| fitted(row, scale));
                Arc::new(values.collect::<Result<Decimal128Array>>()?.with_precision_and_scale(*p, *s)?)
            }
            (item, out) => return internal_err!("{} of {item} as {out}", self.name()),
        })
    }
}

/// Whether only the way to a result left the range of doubles.
fn left_the_range(result: f64, values: &[f64]) -> bool {
    !result.is_finite() && values.iter().all(|v| v.is_finite())
}

/// A power of two by which no list of numbers leaves the range.
const SMALLER: f64 = 1.0 / (1u64 << 63) as f64;

fn sum(values: &[f64]) -> f64 {
    let plain: f64 = values.iter().sum();
    if left_the_range(plain, values) { values.iter().map(|v| v * SMALLER).sum::<f64>() / SMALLER } else { plain }
}

fn average_of(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let plain = values.iter().sum::<f64>() / count;
    if left_the_range(plain, values) {
        values.iter().map(|v| v * SMALLER).sum::<f64>() / count / SMALLER
    } else {
        plain
    }
}

fn product(values: &[f64]) -> f64 {
    let plain: f64 = values.iter().product();
    let vanished = plain == 0.0 && values.iter().all(|v| *v != 0.0);
    if !vanished && !left_the_range(plain, values) {
        return plain;
    }
    // The mantissa stays near one, the power of two is counted.
    let (mut mantissa, mut power) = (1.0f64, 0i64);
    for value in values {
        // Subnormal numbers are made normal first.
        let (value, small) = if value.abs() < f64::MIN_POSITIVE { (value * 2f64.powi(64), 64) } else { (*value, 0) };
        let of = |v: f64| i64::from((v.to_bits() >> 52 & 0x7ff) as i32) - 1023;
        let by = of(value);
        mantissa *= value * 2f64.powi(-(by as i32) / 2) * 2f64.powi(-(by as i32) + by as i32 / 2);
        let own = of(mantissa);
        mantissa *= 2f64.powi(-(own as i32));
        power += by + own - small;
    }
    let power = power.clamp(-4000, 4000) as i32;
    let (quarter, rest) = (power / 4, power - 3 * (power / 4));
    (0..3).fold(mantissa * 2f64.powi(rest), |m, _| m * 2f64.powi(quarter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_may_leave_the_range() {
        assert_eq!(sum(&[1e308, 1e308, -1e308]), 1e308);
        assert_eq!(sum(&[1e308, 1e308]), f64::INFINITY);
        assert_eq!(average_of(&[1e308, 1e308, 1e308]), 1e308);
        assert!((product(&[1e200, 1e200, 1e-300]) / 1e100 - 1.0).abs() < 1e-15);
        assert!((product(&[1e-200, 1e-200, 1e300]) / 1e-100 - 1.0).abs() < 1e-15);
        assert_eq!(product(&[1e200, 1e200]), f64::INFINITY);
        assert_eq!(product(&[1e-200, 1e-200]), 0.0);
        assert_eq!(product(&[-1e200, 1e200]), f64::NEG_INFINITY);
        assert!((product(&[5e-324, 1e300, 1e300, 1e-280]) / 4.940656458412466e-4 - 1.0).abs() < 1e-15);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
    }
}
