//! Expressions that do not work on one row alone, or give another value each time.
//!
//! Not here: the operators that hold them (`linear`).

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::reason::{FullReason, reason};
use crate::shape::clock::CLOCKS;

/// Checks the expressions that decide a node's rows.
pub(crate) fn check_node(node: &LogicalPlan) -> Result<(), FullReason> {
    let mut found = Ok(());
    let walked = for_each_expr(node, &mut |e| {
        found = check_expr(e);
        found.is_ok()
    });
    found.and(walked)
}

/// An expression is linear if it works on one row and always gives the same.
pub(crate) fn check_expr(expr: &Expr) -> Result<(), FullReason> {
    match in_expr(expr)?.into_iter().next() {
        Some(reason) => Err(reason),
        None => Ok(()),
    }
}

/// Calls `visit` with each expression of a node that decides its rows, as long as it gives TRUE.
pub(crate) fn for_each_expr(node: &LogicalPlan, visit: &mut dyn FnMut(&Expr) -> bool) -> Result<(), FullReason> {
    // A table's rows have no order, so the expressions of a sort are not counted.
    if matches!(node, LogicalPlan::Sort(_) | LogicalPlan::Repartition(_)) {
        return Ok(());
    }
    let walked =
        node.apply_expressions(|e| Ok(if visit(e) { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop }));
    walked.map(|_| ()).map_err(FullReason::plan)
}

/// What of an expression does not work on one row alone, or gives another value each time.
pub(crate) fn in_expr(expr: &Expr) -> Result<Vec<FullReason>, FullReason> {
    let mut found = Vec::new();
    let walked = expr.apply(|e| {
        found.extend(match e {
            Expr::Exists(e) if e.negated => Some(subquery("NOT EXISTS (SELECT ...)")),
            Expr::Exists(_) => Some(subquery("EXISTS (SELECT ...)")),
            Expr::InSubquery(i) if i.negated => Some(subquery("NOT IN (SELECT ...)")),
            Expr::InSubquery(_) => Some(subquery("IN (SELECT ...)")),
            Expr::SetComparison(_) => Some(subquery("a comparison with ANY or ALL (SELECT ...)")),
            Expr::ScalarSubquery(_) | Expr::OuterReferenceColumn(..) => Some(subquery("(SELECT ...) as a value")),
            Expr::ScalarFunction(call) if CLOCKS.contains(&call.func.name()) => Some(reason(
                "R0507",
                format!(
                    "{}() changes with every refresh; filter by time in the query that reads the table",
                    call.func.name()
                ),
            )),
            other if other.is_volatile_node() => {
                Some(reason("R0508", format!("{} gives another value each time", ingot_semantics::shown(other))))
            }
            _ => None,
        });
        Ok(TreeNodeRecursion::Continue)
    });
    walked.map_err(FullReason::plan)?;
    Ok(found)
}

fn subquery(construct: &str) -> FullReason {
    reason(
        "R0506",
        format!(
            "{construct}, a subquery in an expression: one changed row of it may change every row; join a view instead, or accept the full recompute"
        ),
    )
}
