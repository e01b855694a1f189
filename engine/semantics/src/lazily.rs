//! `ingot_lazily(CASE ..)`: a condition that is evaluated branch by branch.
//!
//! DataFusion turns a CASE of booleans with few branches into AND and OR, which evaluate all of their operands. The
//! branches are therefore numbers (1, 0, NULL), and this function gives back the truth value. It also marks what is
//! guarded already, so that a plan that was analyzed is not guarded again.
//!
//! `ingot_reached(e)` and `ingot_joined(e)` are e, with a mark of what guards it: the conditions around a subquery
//! (`reached`), those of a join (`join_guards`).

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

/// The CASE of such a condition.
pub(crate) fn lazy_case(expr: &Expr) -> Option<&Case> {
    match expr {
        Expr::ScalarFunction(call) if call.func.name() == NAME => match call.args.as_slice() {
            [Expr::Case(case)] => Some(case),
            _ => None,
        },
        _ => None,
    }
}

/// What guards an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum By {
    Around,
    Join,
}

impl By {
    fn name(self) -> &'static str {
        match self {
            Self::Around => "ingot_reached",
            Self::Join => "ingot_joined",
        }
    }
}

/// The expression with a mark that it is guarded.
pub(crate) fn mark(by: By, expr: Expr) -> Expr {
    let marked = Marked { by, signature: Signature::any(1, Volatility::Immutable) };
    ScalarUDF::from(marked).call(vec![expr])
}

pub(crate) fn is_marked(by: By, expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.func.name() == by.name())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Marked {
    by: By,
    signature: Signature,
}

impl ScalarUDFImpl for Marked {
    fn name(&self) -> &str {
        self.by.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [t] => Ok(t.clone()),
            other => exec_err!("{} over {} values", self.name(), other.len()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        match args.arg_fields {
            [field] => Ok(Arc::new(Field::new(self.name(), field.data_type().clone(), field.is_nullable()))),
            other => exec_err!("{} over {} values", self.name(), other.len()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match <[ColumnarValue; 1]>::try_from(args.args) {
            Ok([value]) => Ok(value),
            Err(other) => exec_err!("{} over {} values", self.name(), other.len()),
        }
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
