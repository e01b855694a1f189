//! Computed keys that windows share are columns below them.
//!
//!   sum(a) OVER (PARTITION BY k + 1), sum(coalesce(b, 0)) OVER (PARTITION BY k + 1)
//!     ──▶ both PARTITION BY __ingot_key_0, over a projection that computes it
//!
//! The optimizer rewrites the expressions of a window one by one, so that what was one key is two, and the planner panics.
//!
//! Invariants
//! * Columns keep their names.
//!
//! Not here: keys that stand twice in one window (`sort_keys`).

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::{Projection, Window};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

/// Runs on windows that are as they will be computed, before what may fail is guarded.
#[derive(Debug)]
pub(crate) struct WindowKeys;

impl AnalyzerRule for WindowKeys {
    fn name(&self) -> &str {
        "ingot_window_keys"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::Window(window) if window.window_expr.len() > 1 => with_columns(window),
            other => Ok(Transformed::no(other)),
        })
        .data()
    }
}

fn with_columns(mut window: Window) -> Result<Transformed<LogicalPlan>> {
    let taken = window.input.schema().field_names().len();
    let mut keys: Vec<Expr> = Vec::new();
    let names = NamePreserver::new_for_projection();
    for expr in &mut window.window_expr {
        let name = names.save(expr);
        let computed = std::mem::take(expr).transform_up(|e| Ok(keyed(e, &mut keys, taken)))?;
        *expr = if computed.transformed { name.restore(computed.data) } else { computed.data };
    }
    if keys.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Window(window)));
    }
    let columns = window.input.schema().columns().into_iter().map(Expr::Column);
    let named = keys.into_iter().enumerate().map(|(at, key)| key.alias(column_name(taken + at)));
    let input = Projection::try_new(columns.chain(named).collect(), window.input)?;
    // Nodes above see the same columns as before.
    let shown = window.schema.columns().into_iter().map(Expr::Column).collect();
    let window = Window::try_new(window.window_expr, Arc::new(LogicalPlan::Projection(input)))?;
    let shown = Projection::try_new(shown, Arc::new(LogicalPlan::Window(window)))?;
    Ok(Transformed::yes(LogicalPlan::Projection(shown)))
}

fn column_name(at: usize) -> String {
    format!("__ingot_key_{at}")
}

/// The window with a column for each of its keys that is computed.
fn keyed(expr: Expr, keys: &mut Vec<Expr>, taken: usize) -> Transformed<Expr> {
    let Expr::WindowFunction(mut call) = expr else { return Transformed::no(expr) };
    let mut any = false;
    let sorts = call.params.order_by.iter_mut().map(|sort| &mut sort.expr);
    for key in call.params.partition_by.iter_mut().chain(sorts) {
        if matches!(key.clone().unalias_nested().data, Expr::Column(_) | Expr::Literal(..)) || key.is_volatile() {
            continue;
        }
        let at = keys.iter().position(|k| k == key).unwrap_or_else(|| {
            keys.push(key.clone());
            keys.len() - 1
        });
        *key = Expr::Column(Column::new_unqualified(column_name(taken + at)));
        any = true;
    }
    Transformed::new_transformed(Expr::WindowFunction(call), any)
}
