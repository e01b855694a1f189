//! `ingot_lazily(CASE ..)`: a condition that is evaluated branch by branch.
//!
//! DataFusion turns a CASE of booleans with few branches into AND and OR, which evaluate all of their operands. The
//! branches are therefore numbers (1, 0, NULL), and this function gives back the truth value. It also marks what is
//! guarded already, so that a plan that was analyzed is not guarded again.

use std::sync::{Arc, LazyLock};

use arrow::array::{AsArray, BooleanArray};
use arrow::datatypes::{DataType, Field, FieldRef, Int8Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    Case, ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    cast, lit,
};

const NAME: &str = "ingot_lazily";

static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Arc::new(ScalarUDF::from(Lazily { signature: Signature::exact(vec![DataType::Int8], Volatility::Immutable) }))
});

/// The condition of a CASE without operand whose results are booleans.
pub(crate) fn lazily(case: Case) -> Expr {
    let number = |e: Box<Expr>| match *e {
        Expr::Literal(ScalarValue::Boolean(value), _) => Box::new(lit(ScalarValue::Int8(value.map(i8::from)))),
        other => Box::new(cast(other, DataType::Int8)),
    };
    let when_then_expr = case.when_then_expr.into_iter().map(|(when, then)| (when, number(then))).collect();
    let else_expr = case.else_expr.map(number);
    FUNCTION.call(vec![Expr::Case(Case { expr: case.expr, when_then_expr, else_expr })])
}

/// Whether the expression is such a condition.
pub(crate) fn is_lazy(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(call) => call.func.name() == NAME,
        Expr::Not(inner) => is_lazy(inner),
        _ => false,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Lazily {
    signature: Signature,
}

impl ScalarUDFImpl for Lazily {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|f| f.is_nullable());
        Ok(Arc::new(Field::new(NAME, DataType::Boolean, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [ColumnarValue::Array(array)] => {
                let numbers = array.as_primitive::<Int8Type>();
                let truth = BooleanArray::from_unary(numbers, |n| n != 0);
                Ok(ColumnarValue::Array(Arc::new(truth)))
            }
            [ColumnarValue::Scalar(ScalarValue::Int8(n))] => {
                Ok(ColumnarValue::Scalar(ScalarValue::Boolean(n.map(|n| n != 0))))
            }
            other => exec_err!("{NAME} over {} values", other.len()),
        }
    }
}
