//! `nvl2(x, a, b)`: `a` where `x` is not NULL, and `b` where it is.
//!
//! DataFusion brings all three to one type, though nothing of `x` is in the result: `nvl2('a', 1, 2)` is a text there.
//!
//! Not here: the type of `a` and `b`, which is that of a CASE.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{Case, ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl};

use crate::delegated::as_inner;

const NAME: &str = "nvl2";

/// Puts the function in the place of DataFusion's.
pub(crate) fn wrap(functions: &mut [Arc<ScalarUDF>]) {
    for function in functions.iter_mut().filter(|f| f.name() == NAME) {
        *function = Arc::new(ScalarUDF::from(Nvl2 { inner: Arc::clone(function) }));
    }
}

/// The call as what it is.
pub(crate) fn as_case(call: ScalarFunction) -> std::result::Result<Case, ScalarFunction> {
    if call.func.name() != NAME {
        return Err(call);
    }
    let [tested, some, none] =
        <[Expr; 3]>::try_from(call.args).map_err(|args| ScalarFunction { func: Arc::clone(&call.func), args })?;
    let when = (Box::new(tested.is_not_null()), Box::new(some));
    Ok(Case { expr: None, when_then_expr: vec![when], else_expr: Some(Box::new(none)) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Nvl2 {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Nvl2 {
    as_inner!(names, types);

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [tested, some, none] = types else { return plan_err!("{NAME} takes three values") };
        let mut one = self.inner.inner().coerce_types(&[some.clone(), some.clone(), none.clone()])?;
        if let Some(first) = one.first_mut() {
            *first = tested.clone();
        }
        Ok(one)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn short_circuits(&self) -> bool {
        self.inner.short_circuits()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.inner.invoke_with_args(args)
    }
}
