//! `log(x)` and `log(base, x)`: exact where x is a whole power of the base.
//!
//!   log(10, 1000)   3          the quotient of natural logarithms is 2.9999999999999996
//!
//! Invariants
//! * Numbers that have no logarithm give NaN or an infinity, as everywhere with DOUBLE.
//!
//! Not here: `ln`, `log2` and `log10`, which are right in the engine.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl};

use crate::delegated::as_inner;

/// Puts the function in the place of the engine's.
pub(crate) fn wrap(functions: &mut [Arc<ScalarUDF>]) {
    for function in functions.iter_mut().filter(|f| f.name() == "log") {
        *function = Arc::new(ScalarUDF::from(Log { inner: Arc::clone(function) }));
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Log {
    inner: Arc<ScalarUDF>,
}

fn log(base: f64, x: f64) -> f64 {
    let quotient = if base == 10.0 {
        x.log10()
    } else if base == 2.0 {
        x.log2()
    } else {
        x.log10() / base.log10()
    };
    let whole = quotient.round();
    // A DOUBLE has exponents up to 1,100.
    let is_power = whole.abs() <= 1100.0 && base.powi(whole as i32) == x;
    if is_power { whole } else { quotient }
}

impl ScalarUDFImpl for Log {
    as_inner!(names, types);

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let mut numbers = Vec::with_capacity(2);
        for value in &args.args {
            numbers.push(arrow::compute::cast(&value.to_array(rows)?, &DataType::Float64)?);
        }
        let logs: Float64Array = match numbers.as_slice() {
            [x] => x.as_primitive::<Float64Type>().unary(|x| log(10.0, x)),
            [base, x] => {
                arrow::compute::binary(base.as_primitive::<Float64Type>(), x.as_primitive::<Float64Type>(), log)?
            }
            other => return internal_err!("log of {} values", other.len()),
        };
        let logs = arrow::compute::cast(&logs, args.return_field.data_type())?;
        debug_assert_eq!(logs.len(), rows);
        Ok(match constant {
            true => ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&logs, 0)?),
            false => ColumnarValue::Array(logs),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::log;

    #[test]
    fn whole_powers_have_whole_logarithms() {
        for base in [2.0f64, 3.0, 5.0, 7.0, 10.0, 12.0, 0.5, 1.5] {
            for power in -30..=30 {
                assert_eq!(log(base, base.powi(power)), f64::from(power), "{base} {power}");
            }
        }
        // Python's `math.log10(2) / math.log10(3)`, and IEEE 754.
        assert_eq!(log(3.0, 2.0), 0.630_929_753_571_457_4);
        assert_eq!(log(10.0, 0.0), f64::NEG_INFINITY);
        assert!(log(10.0, -1.0).is_nan());
        assert_eq!(log(1.0, 5.0), f64::INFINITY);
    }
}
