//! Linear plans, whose result for some rows is the union of their results for each row; and why a plan is not linear.
//!
//! Invariants
//! * A linear plan is linear, not affine: L({}) = {}, so a plan with a constant branch is not linear.
//!
//! Not here: expressions (`expressions`), plans that are merged by key (`classify`).

use datafusion::common::NullEquality;
use datafusion::logical_expr::logical_plan::{Distinct, Join, Window};
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan};
use ingot_semantics::{Fence, Judged};

use crate::reason::{FullReason, reason};
use crate::shape::expressions::check_node;

/// Checks that a plan is linear; else the first obstacle from the root.
pub(crate) fn linear(plan: &LogicalPlan) -> Result<(), FullReason> {
    if !is_linear_node(plan) {
        return Err(obstacle(plan));
    }
    check_node(plan)?;
    plan.inputs().into_iter().try_for_each(linear)
}

/// Whether the node gives for some rows what it gives for each of them, expressions aside.
pub(crate) fn is_linear_node(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => scan.fetch.is_none(),
        LogicalPlan::Sort(sort) => sort.fetch.is_none(),
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::Unnest(_) => true,
        other => Fence::of(other).is_some() || Judged::of(other).is_some(),
    }
}

/// The nodes from the root that pass every row of their one input on (projections, aliases, sorts), and the first other
/// one.
pub(crate) fn strip_projections(plan: &LogicalPlan) -> (Vec<&LogicalPlan>, &LogicalPlan) {
    let mut stripped = Vec::new();
    let mut node = plan;
    loop {
        let below = match node {
            LogicalPlan::Projection(p) => &p.input,
            LogicalPlan::SubqueryAlias(a) => &a.input,
            LogicalPlan::Sort(s) if s.fetch.is_none() => &s.input,
            LogicalPlan::Repartition(r) => &r.input,
            fence => match Fence::of(fence) {
                // It moves nothing and drops nothing.
                Some(fence) if fence.condition().is_none() => {
                    node = fence.input();
                    continue;
                }
                _ => return (stripped, node),
            },
        };
        stripped.push(node);
        node = below;
    }
}

/// EXCEPT and INTERSECT are joins in which NULL equals NULL; a join that the user wrote is not.
pub(crate) fn is_set_operation(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftAnti | JoinType::LeftSemi)
        && join.null_equality == NullEquality::NullEqualsNull
}

/// Why the node is not linear.
pub(crate) fn obstacle(plan: &LogicalPlan) -> FullReason {
    match plan {
        LogicalPlan::Join(join) => {
            let kind = match join.join_type {
                JoinType::LeftAnti if is_set_operation(join) => "EXCEPT",
                JoinType::LeftSemi if is_set_operation(join) => "INTERSECT",
                JoinType::Inner if join.on.is_empty() && join.filter.is_none() => "CROSS JOIN",
                JoinType::Inner => "JOIN",
                JoinType::Left => "LEFT JOIN",
                JoinType::Right => "RIGHT JOIN",
                JoinType::Full => "FULL JOIN",
                JoinType::LeftSemi | JoinType::RightSemi => "SEMI JOIN",
                JoinType::LeftAnti | JoinType::RightAnti => "ANTI JOIN",
                _ => "a join",
            };
            reason(
                "R0501",
                format!(
                    "{kind} is recomputed in full: only filters, projections, UNION ALL, GROUP BY and row_number() = 1 are incremental so far"
                ),
            )
        }
        LogicalPlan::Limit(_) | LogicalPlan::Sort(_) | LogicalPlan::TableScan(_) => reason(
            "R0502",
            "LIMIT: one row may push out another; number the rows within groups, or limit in the query that reads the table",
        ),
        LogicalPlan::Distinct(Distinct::All(input)) if matches!(input.as_ref(), LogicalPlan::Union(_)) => {
            reason("R0503", "UNION drops duplicates, so it is recomputed in full; UNION ALL is incremental")
        }
        LogicalPlan::Distinct(Distinct::All(_)) => {
            reason("R0503", "DISTINCT is recomputed in full; GROUP BY of the same columns is incremental")
        }
        LogicalPlan::Distinct(Distinct::On(_)) => reason(
            "R0503",
            "DISTINCT ON is recomputed in full; QUALIFY row_number() OVER (PARTITION BY ... ORDER BY ...) = 1 is incremental",
        ),
        LogicalPlan::Window(window) => window_reason(window),
        LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => reason(
            "R0509",
            "constant rows (SELECT without FROM, VALUES) are part of no change; put them into a seed table",
        ),
        LogicalPlan::Aggregate(_) => {
            reason("R0514", "an aggregate below another operator is recomputed in full; make it a view of its own")
        }
        LogicalPlan::RecursiveQuery(_) => reason("R0516", "WITH RECURSIVE is recomputed in full"),
        other => reason(
            "R0519",
            format!(
                "{} is recomputed in full",
                other.display().to_string().split([':', ' ']).next().unwrap_or("the operator")
            ),
        ),
    }
}

/// Why a window is not incremental.
pub(crate) fn window_reason(window: &Window) -> FullReason {
    let mut names = Vec::new();
    for expr in &window.window_expr {
        if let Expr::WindowFunction(call) = expr.clone().unalias_nested().data {
            if call.params.partition_by.is_empty() {
                return reason(
                    "R0505",
                    format!(
                        "{}() OVER without PARTITION BY: one row may change all; add PARTITION BY",
                        call.fun.name()
                    ),
                );
            }
            names.push(format!("{}()", call.fun.name()));
        }
    }
    reason(
        "R0504",
        format!(
            "the window function {} is recomputed in full; row_number() = 1 alone, over filters and projections, is incremental",
            names.join(", ")
        ),
    )
}
