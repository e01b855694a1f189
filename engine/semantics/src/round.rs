//! `round`: decimals round half up and have Spark's type, floats stay within their range (`doubles`).
//!
//! Invariants
//! * The number of places of a decimal is a constant: it decides the type.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, i256};
use arrow::error::ArrowError;
use datafusion::common::types::{NativeType, logical_int64};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    Coercion, ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    TypeSignatureClass, Volatility,
};

use crate::decimal::{Shape, rescale};
use crate::doubles::rounded;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Round {
    inner: Arc<ScalarUDF>,
    signature: Signature,
}

/// `round(x [, places])`.
pub(crate) fn function() -> Arc<ScalarUDF> {
    let inner = datafusion::functions::math::round();
    let decimal = Coercion::new_exact(TypeSignatureClass::Decimal);
    // As a constant is written: a cast would hide it.
    let places = Coercion::new_implicit(
        TypeSignatureClass::Native(logical_int64()),
        vec![TypeSignatureClass::Integer],
        NativeType::Int64,
    );
    let mut all =
        vec![TypeSignature::Coercible(vec![decimal.clone(), places]), TypeSignature::Coercible(vec![decimal.clone()])];
    if let TypeSignature::OneOf(others) = &inner.signature().type_signature {
        let of_decimals = |s: &TypeSignature| matches!(s, TypeSignature::Coercible(c) if c.first() == Some(&decimal));
        all.extend(others.iter().filter(|s| !of_decimals(s)).cloned());
    }
    Arc::new(ScalarUDF::from(Round { inner, signature: Signature::one_of(all, Volatility::Immutable) }))
}

impl Round {
    /// Floats within their range (`doubles`); whole numbers are DataFusion's.
    fn of_others(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let values = args.args.iter().map(|a| a.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let Some(first) = values.first() else { return self.inner.invoke_with_args(args) };
        Ok(match rounded(first, values.get(1))? {
            None => self.inner.invoke_with_args(args)?,
            Some(result) if constant => ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?),
            Some(result) => ColumnarValue::Array(result),
        })
    }
}

fn constant(value: &ScalarValue) -> Result<Option<i64>> {
    match value.cast_to(&DataType::Int64)? {
        ScalarValue::Int64(places) => Ok(places),
        other => plan_err!("round: {other} is no number of places"),
    }
}

impl ScalarUDFImpl for Round {
    fn name(&self) -> &str {
        "round"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        plan_err!("the type of round depends on its arguments")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let Some(DataType::Decimal128(p, s)) = args.arg_fields.first().map(|f| f.data_type()) else {
            return self.inner.return_field_from_args(args);
        };
        let places = match args.scalar_arguments.get(1) {
            None => 0,
            Some(Some(value)) => constant(value)?.unwrap_or(0),
            Some(None) => return plan_err!("round of a decimal: the number of places must be a constant"),
        };
        let nullable = args.arg_fields.iter().any(|f| f.is_nullable());
        Ok(Arc::new(Field::new("round", Shape::new(*p, *s).round(places).data_type(), nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (Some(DataType::Decimal128(_, from)), DataType::Decimal128(p, s)) =
            (args.args.first().map(|a| a.data_type()), args.return_field.data_type())
        else {
            return self.of_others(args);
        };
        let out = Shape::new(*p, *s);
        let places = match args.args.get(1) {
            None => Some(0),
            Some(ColumnarValue::Scalar(value)) => constant(value)?,
            Some(ColumnarValue::Array(_)) => return exec_err!("round: the number of places must be a constant"),
        };
        let Some(places) = places else {
            return ColumnarValue::Scalar(ScalarValue::Null).cast_to(args.return_field.data_type(), None);
        };
        let round = |v: i128| {
            let value = i256::from_i128(v);
            let rounded = if places >= 0 {
                rescale(value, from, out.scale)
            } else {
                // To tens, hundreds, ..., then back.
                let tens = i8::try_from(places.max(-76)).unwrap_or(-76);
                if i32::from(from) - i32::from(tens) > 76 {
                    Some(i256::ZERO)
                } else {
                    rescale(value, from, tens).and_then(|v| rescale(v, tens, 0))
                }
            };
            rounded
                .and_then(i256::to_i128)
                .filter(|v| out.holds(*v))
                .ok_or_else(|| ArrowError::ArithmeticOverflow(String::new()))
        };
        Ok(match &args.args[0] {
            ColumnarValue::Array(array) => {
                let values: Decimal128Array = array.as_primitive::<Decimal128Type>().try_unary(round)?;
                ColumnarValue::Array(Arc::new(values.with_precision_and_scale(out.precision, out.scale)?) as ArrayRef)
            }
            ColumnarValue::Scalar(ScalarValue::Decimal128(value, ..)) => {
                let value = value.map(round).transpose()?;
                ColumnarValue::Scalar(ScalarValue::Decimal128(value, out.precision, out.scale))
            }
            ColumnarValue::Scalar(other) => return exec_err!("round over {}", other.data_type()),
        })
    }
}
