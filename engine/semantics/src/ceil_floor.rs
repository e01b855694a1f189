//! `ceil` and `floor` of decimals, exact and with Spark's types, and `trunc` of whole numbers.
//!
//! DataFusion keeps the decimal's own type, in which the next whole number may have no place, and takes whole numbers
//! through DOUBLE in `trunc`.
//!
//! Not here: `round` (`round`); floats, which are DataFusion's.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef};
use arrow::error::ArrowError;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, cast,
};

use crate::decimal::{Operation, Shape};
use crate::delegated::as_inner;

/// The functions to register.
pub(crate) fn functions() -> [Arc<ScalarUDF>; 2] {
    let function = |inner, up| Arc::new(ScalarUDF::from(CeilFloor { inner, up }));
    [function(datafusion::functions::math::ceil(), true), function(datafusion::functions::math::floor(), false)]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CeilFloor {
    inner: Arc<ScalarUDF>,
    up: bool,
}

impl CeilFloor {
    /// The whole number above or below.
    fn of(&self, value: i128, scale: i8, out: Shape) -> std::result::Result<i128, ArrowError> {
        let unit = u32::try_from(scale).ok().and_then(|s| 10i128.checked_pow(s)).unwrap_or(1);
        let (quotient, rest) = (value / unit, value % unit);
        let step = match (self.up, rest.signum()) {
            (true, 1) => 1,
            (false, -1) => -1,
            _ => 0,
        };
        let whole = quotient + step;
        if out.holds(whole) { Ok(whole) } else { Err(ArrowError::ArithmeticOverflow(String::new())) }
    }
}

impl ScalarUDFImpl for CeilFloor {
    as_inner!(calls);

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.inner().coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [DataType::Decimal128(p, s)] => Ok(Shape::new(*p, *s).round(0).data_type()),
            other => self.inner.return_type(other),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        match types.as_slice() {
            [DataType::Decimal128(..)] => {
                let nullable = args.arg_fields.iter().any(|f| f.is_nullable());
                Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, nullable)))
            }
            _ => self.inner.return_field_from_args(args),
        }
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (Some(DataType::Decimal128(_, scale)), DataType::Decimal128(p, s)) =
            (args.args.first().map(ColumnarValue::data_type), args.return_field.data_type())
        else {
            return self.inner.invoke_with_args(args);
        };
        let out = Shape::new(*p, *s);
        match args.args.as_slice() {
            [ColumnarValue::Array(array)] => {
                let values: Decimal128Array =
                    array.as_primitive::<Decimal128Type>().try_unary(|v| self.of(v, scale, out))?;
                Ok(ColumnarValue::Array(
                    Arc::new(values.with_precision_and_scale(out.precision, out.scale)?) as ArrayRef
                ))
            }
            [ColumnarValue::Scalar(ScalarValue::Decimal128(value, ..))] => {
                let value = value.map(|v| self.of(v, scale, out)).transpose()?;
                Ok(ColumnarValue::Scalar(ScalarValue::Decimal128(value, out.precision, out.scale)))
            }
            other => exec_err!("{} over {} arguments", self.name(), other.len()),
        }
    }
}

/// `trunc` of a whole number is it, or takes the digits before the point that a negative number of places names.
pub(crate) fn truncated(mut call: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let own = match call.args.first() {
        Some(first) => first.get_type(schema)?,
        None => return Ok(Transformed::no(Expr::ScalarFunction(call))),
    };
    if !own.is_integer() {
        return Ok(Transformed::no(Expr::ScalarFunction(call)));
    }
    let argument = call.args.remove(0);
    let places = match call.args.first() {
        None => Some(0),
        Some(Expr::Literal(value, _)) => match value.cast_to(&DataType::Int64)? {
            ScalarValue::Int64(Some(places)) => Some(places),
            _ => None,
        },
        Some(_) => None,
    };
    match places {
        Some(places) if places >= 0 => return Ok(Transformed::yes(argument)),
        Some(places) => {
            let unit = u32::try_from(-places).ok().and_then(|digits| 10i64.checked_pow(digits));
            let unit = Expr::Literal(ScalarValue::Int64(unit), None);
            let whole = cast(argument.clone(), DataType::Int64);
            let Expr::Literal(ScalarValue::Int64(Some(_)), _) = &unit else {
                // More digits than a BIGINT has: zero, NULL for NULL.
                let none = crate::checked::binary(
                    Operation::Multiply,
                    whole,
                    Expr::Literal(ScalarValue::Int64(Some(0)), None),
                );
                return Ok(Transformed::yes(cast(none, own)));
            };
            let rest = crate::checked::binary(Operation::Remainder, whole.clone(), unit);
            return Ok(Transformed::yes(cast(crate::checked::binary(Operation::Subtract, whole, rest), own)));
        }
        None => {}
    }
    // In decimals, which have room for every whole number.
    call.args.insert(0, cast(argument, DataType::Decimal128(20, 0)));
    Ok(Transformed::yes(cast(Expr::ScalarFunction(call), own)))
}
