//! Arguments that make no map (a key that is NULL or given twice, lists of two lengths) are a failure of values, as in
//! DuckDB.
//!
//! DataFusion reports them with the kind of error that it has for plans that fail for all values.

use std::sync::{Arc, LazyLock};

use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::functions_nested::make_array::make_array;
use datafusion::functions_nested::map::map_udf;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl};

use crate::delegated::as_inner;

static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(Map { inner: map_udf() })));

/// Puts the function in the place of the engine's.
pub(crate) fn wrap(functions: &mut [Arc<ScalarUDF>]) {
    for function in functions.iter_mut().filter(|f| f.name() == "map") {
        *function = Arc::clone(&FUNCTION);
    }
}

/// `make_map(k, v, ..)` and `MAP {k: v, ..}`, which are not looked up by their names.
#[derive(Debug)]
pub(crate) struct MakeMap;

impl ExprPlanner for MakeMap {
    fn plan_make_map(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        if !args.len().is_multiple_of(2) {
            return plan_err!("make_map takes keys and values in turn, and the last key has no value");
        }
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for (at, arg) in args.into_iter().enumerate() {
            if at.is_multiple_of(2) { keys.push(arg) } else { values.push(arg) }
        }
        Ok(PlannerResult::Planned(FUNCTION.call(vec![make_array(keys), make_array(values)])))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Map {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Map {
    as_inner!(names, types);

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.inner.invoke_with_args(args).map_err(|error| match error {
            DataFusionError::Execution(text) => ArrowError::ComputeError(text).into(),
            other => other,
        })
    }
}
