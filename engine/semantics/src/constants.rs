//! The value of an expression that reads no row.
//!
//! Not here: literals of the syntax tree (`literal`).

use std::sync::Arc;
use std::time::SystemTime;

use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

/// The value, if the expression is a constant.
///
/// # Errors
/// What the expression fails with.
pub(crate) fn constant(expr: &Expr) -> Result<Option<ScalarValue>> {
    let is_open = |e: &Expr| {
        let reads = matches!(
            e,
            Expr::Column(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::Placeholder(_)
                | Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
                | Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
                | Expr::Unnest(_)
        );
        Ok(reads || e.is_volatile_node())
    };
    if expr.exists(is_open)? {
        return Ok(None);
    }
    let context = SimplifyContext::builder()
        .with_schema(Arc::new(DFSchema::empty()))
        .with_query_execution_start_time(Some(SystemTime::now().into()))
        .build();
    Ok(match ExprSimplifier::new(context).simplify(expr.clone())?.unalias_nested().data {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    })
}
