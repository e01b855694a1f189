//! Functions whose result has the size that an argument says: `lpad('a', 9223372036854775807)` is an error.
//!
//! DataFusion allocates the memory at once; where there is not enough, the process ends with all other queries. `sqrt` and
//! `power` stand here too: DOUBLE has NaN and infinities in the place of failures.
//!
//! Invariants
//! * What one batch asks for is bounded, not only one value.
//!
//! Not here: the memory of operators, which the pool counts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit};
use arrow::error::ArrowError;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
};

use crate::delegated::as_inner;

/// Bytes, or items of lists, that a function may make of one batch.
const SIZE_MAX: i128 = 1 << 28;
const DAY_NANOS: i128 = 86_400_000_000_000;

const NAMES: &[&str] =
    &["array_repeat", "array_resize", "generate_series", "lpad", "power", "range", "repeat", "rpad", "sqrt"];

/// Puts these functions in the place of those of their name.
pub(crate) fn wrap(functions: &mut [Arc<ScalarUDF>]) {
    for function in functions.iter_mut().filter(|f| NAMES.contains(&f.name())) {
        *function = Arc::new(ScalarUDF::from(Bounded { inner: Arc::clone(function) }));
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Bounded {
    as_inner!(calls);

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.inner().coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<arrow::datatypes::FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if matches!(self.name(), "lpad" | "rpad") {
            for length in args.args.iter_mut().skip(1).take(1) {
                not_below_zero(length);
            }
        }
        if let Some(value) = self.of_floats(&args)? {
            return Ok(value);
        }
        let all_constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if all_constant { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|a| a.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let asked = asked(self.name(), &arrays)?;
        if asked > SIZE_MAX {
            let text = format!("{}: more than {SIZE_MAX} bytes or items a batch", self.name());
            return Err(ArrowError::MemoryError(text).into());
        }
        self.inner.invoke_with_args(args)
    }
}

impl Bounded {
    /// What IEEE 754 says, for the functions that have no bounds.
    fn of_floats(&self, args: &ScalarFunctionArgs) -> Result<Option<ColumnarValue>> {
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let result: ArrayRef = match (self.name(), args.args.as_slice()) {
            ("sqrt", [x]) => match x.to_array(rows)? {
                x if matches!(x.data_type(), DataType::Float64) => {
                    Arc::new(x.as_primitive::<Float64Type>().unary::<_, Float64Type>(f64::sqrt))
                }
                x if matches!(x.data_type(), DataType::Float32) => {
                    Arc::new(x.as_primitive::<Float32Type>().unary::<_, Float32Type>(f32::sqrt))
                }
                _ => return Ok(None),
            },
            ("power", [x, y]) => {
                let (x, y) = (x.to_array(rows)?, y.to_array(rows)?);
                if !matches!((x.data_type(), y.data_type()), (DataType::Float64, DataType::Float64)) {
                    return Ok(None);
                }
                let (x, y) = (x.as_primitive::<Float64Type>(), y.as_primitive::<Float64Type>());
                let powers: arrow::array::Float64Array = arrow::compute::binary(x, y, f64::powf)?;
                Arc::new(powers)
            }
            _ => return Ok(None),
        };
        Ok(Some(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
        } else {
            ColumnarValue::Array(result)
        }))
    }
}

/// A length below zero is zero, as in PostgreSQL; DataFusion reserves memory for it and panics.
fn not_below_zero(length: &mut ColumnarValue) {
    match length {
        ColumnarValue::Scalar(ScalarValue::Int64(Some(length))) => *length = (*length).max(0),
        ColumnarValue::Array(lengths) if lengths.data_type() == &DataType::Int64 => {
            *lengths = Arc::new(lengths.as_primitive::<Int64Type>().unary::<_, Int64Type>(|n| n.max(0)));
        }
        _ => {}
    }
}

/// The sizes that a batch asks for, added up.
fn asked(name: &str, arrays: &[ArrayRef]) -> Result<i128> {
    let number = |i: usize| as_integers(arrays.get(i));
    Ok(match name {
        // A character has up to four bytes.
        "lpad" | "rpad" => number(1)?.into_iter().flatten().map(|n| n.max(0) * 4).sum(),
        "repeat" => {
            let bytes = match arrays.first() {
                Some(texts) => arrow::compute::kernels::length::length(&arrow::compute::cast(texts, &DataType::Utf8)?)?,
                None => return Ok(0),
            };
            let bytes = as_integers(Some(&bytes))?;
            bytes.into_iter().zip(number(1)?).map(|(b, n)| b.unwrap_or(0) * n.unwrap_or(0).max(0)).sum()
        }
        "array_repeat" | "array_resize" => number(1)?.into_iter().flatten().map(|n| n.max(0)).sum(),
        "range" | "generate_series" => {
            let starts = if arrays.len() > 1 { number(0)? } else { Vec::new() };
            let ends = number(usize::from(arrays.len() > 1))?;
            let scale = match arrays.first().map(|a| a.data_type()) {
                Some(DataType::Date32) => DAY_NANOS,
                Some(DataType::Timestamp(unit, _)) => i128::from(1_000_000_000 / ingot_model::calendar::ticks(*unit)),
                _ => 1,
            };
            let steps = steps(arrays.get(2))?;
            (0..ends.len())
                .map(|i| {
                    let at = |values: &[Option<i128>], none| match values.get(i) {
                        Some(value) => value.unwrap_or(none),
                        None => none,
                    };
                    let distance = (at(&ends, 0) - at(&starts, 0)) * scale;
                    let step = at(&steps, 1);
                    // The wrong direction gives nothing, and a step of zero fails.
                    if step == 0 { 0 } else { (distance / step).max(0) }
                })
                .sum()
        }
        _ => 0,
    })
}

/// Whole numbers, dates and times as what they count.
fn as_integers(array: Option<&ArrayRef>) -> Result<Vec<Option<i128>>> {
    let Some(array) = array else { return Ok(Vec::new()) };
    let counted = match array.data_type() {
        DataType::Date32 => arrow::compute::cast(array, &DataType::Int32)?,
        _ => Arc::clone(array),
    };
    if !arrow::compute::can_cast_types(counted.data_type(), &DataType::Int64) {
        return Ok(vec![None; array.len()]);
    }
    let counted = arrow::compute::cast(&counted, &DataType::Int64)?;
    Ok(counted.as_primitive::<Int64Type>().iter().map(|v| v.map(i128::from)).collect())
}

/// Steps of a series: whole numbers, or intervals in nanoseconds with short months.
fn steps(array: Option<&ArrayRef>) -> Result<Vec<Option<i128>>> {
    match array {
        Some(array) if matches!(array.data_type(), DataType::Interval(IntervalUnit::MonthDayNano)) => Ok(array
            .as_primitive::<IntervalMonthDayNanoType>()
            .iter()
            .map(|v| {
                v.map(|v| (i128::from(v.months) * 28 + i128::from(v.days)) * DAY_NANOS + i128::from(v.nanoseconds))
            })
            .collect()),
        other => as_integers(other),
    }
}
