//! `array_has(a, x)` and `x = ANY(a)` over an array with NULLs: NULL where x is not found, since it may be one of them.
//!
//! Invariants
//! * TRUE stays TRUE, NULL stays NULL; only FALSE over an array that holds NULL becomes NULL.
//! * Arrays that are written out without NULL keep DataFusion's own function, which becomes a list of values.
//!
//! Not here: lists of values (`lists`), subqueries (`membership`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::optimizer::AnalyzerRule;

const ARRAY_HAS: &str = "array_has";

/// Runs on plans whose types are coerced.
#[derive(Debug)]
pub(crate) struct Arrays;

impl AnalyzerRule for Arrays {
    fn name(&self) -> &str {
        "ingot_arrays"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let names = NamePreserver::new(&plan);
            let sorted = matches!(plan, LogicalPlan::Sort(_));
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let expr = expr.transform_up(replace)?;
                Ok(if sorted { expr } else { expr.update_data(|e| name.restore(e)) })
            })
        })
        .data()
    }
}

fn replace(expr: Expr) -> Result<Transformed<Expr>> {
    match expr {
        Expr::ScalarFunction(mut call)
            if call.func.name() == ARRAY_HAS
                && !call.func.inner().is::<NullAwareHas>()
                && call.args.first().is_none_or(|a| !holds_no_null(a)) =>
        {
            call.func = Arc::new(ScalarUDF::from(NullAwareHas { inner: call.func }));
            Ok(Transformed::yes(Expr::ScalarFunction(call)))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Whether the expression is an array written out without NULL.
fn holds_no_null(array: &Expr) -> bool {
    match array {
        Expr::ScalarFunction(call) if call.func.name() == "make_array" => {
            call.args.iter().all(|a| matches!(a, Expr::Literal(v, _) if !v.is_null()))
        }
        Expr::Literal(ScalarValue::List(list), _) => {
            !list.is_empty() && list.is_valid(0) && list.value(0).logical_null_count() == 0
        }
        Expr::Cast(cast) => holds_no_null(&cast.expr),
        _ => false,
    }
}

/// `array_has` that knows of NULLs.
#[derive(Debug, PartialEq, Eq, Hash)]
struct NullAwareHas {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for NullAwareHas {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let field = self.inner.return_field_from_args(args)?;
        Ok(Arc::new(field.as_ref().clone().with_nullable(true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let Some(array) = args.args.first().cloned() else { return internal_err!("array_has takes two arguments") };
        let found = self.inner.invoke_with_args(args)?;
        let scalar = matches!((&array, &found), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { rows };
        let (array, found) = (array.to_array(rows)?, found.to_array(rows)?);
        let holds = holds_null(&array)?;
        let found: BooleanArray =
            found.as_boolean().iter().zip(holds).map(|(f, null)| f.filter(|f| *f || !null)).collect();
        let found: ArrayRef = Arc::new(found);
        Ok(match scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&found, 0)?),
            false => ColumnarValue::Array(found),
        })
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.inner().coerce_types(types)
    }
}

/// Whether each array holds a NULL.
fn holds_null(arrays: &ArrayRef) -> Result<Vec<bool>> {
    fn each(len: usize, value: impl Fn(usize) -> Option<ArrayRef>) -> Vec<bool> {
        (0..len).map(|i| value(i).is_some_and(|v| v.logical_null_count() > 0)).collect()
    }
    let valid = |i: usize| arrays.is_valid(i);
    Ok(match arrays.data_type() {
        DataType::List(_) => each(arrays.len(), |i| valid(i).then(|| arrays.as_list::<i32>().value(i))),
        DataType::LargeList(_) => each(arrays.len(), |i| valid(i).then(|| arrays.as_list::<i64>().value(i))),
        DataType::FixedSizeList(..) => each(arrays.len(), |i| valid(i).then(|| arrays.as_fixed_size_list().value(i))),
        DataType::Null => vec![false; arrays.len()],
        other => return internal_err!("array_has over {other}"),
    })
}
