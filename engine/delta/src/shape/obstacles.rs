//! What keeps a view from being maintained from its change: every obstacle, by the construct that the user wrote.
//!
//! The plan as written (before semantic rules rewrite it) names joins, set operations, subqueries and windows; the
//! analyzed plan has the types that decide about aggregates.
//!
//! Invariants
//! * The first obstacle is the one that the classification met; no obstacle is named twice.
//!
//! Not here: which plans are incremental (`classify`).

use datafusion::common::NullEquality;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::logical_plan::{Distinct, Join, Window};
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan};

use crate::shape::classify::{FullReason, filtered_groups, having, is_linear_node, peel, reason};
use crate::shape::rebind::CLOCKS;
use crate::target::aggregate::Aggregate;

/// Every obstacle of a query; `first` is the one that was met in the analyzed plan.
pub(crate) fn all(written: &LogicalPlan, analyzed: &LogicalPlan, first: FullReason) -> FullReason {
    let mut found = Vec::new();
    let (above, node) = peel(written);
    above.iter().for_each(|n| expressions(n, &mut found));
    match node {
        LogicalPlan::Aggregate(aggregate) => {
            aggregates(analyzed, &mut found);
            nodes(&aggregate.input, &mut found);
        }
        LogicalPlan::Filter(filter) => match peel(&filter.input) {
            (between, LogicalPlan::Aggregate(aggregate)) => {
                let below = between.iter().any(|n| matches!(n, LogicalPlan::SubqueryAlias(_)));
                found.push(if below { filtered_groups() } else { having() });
                expressions(node, &mut found);
                between.iter().for_each(|n| expressions(n, &mut found));
                aggregates(analyzed, &mut found);
                nodes(&aggregate.input, &mut found);
            }
            // `first` says what is wrong with the choice of rows.
            (between, LogicalPlan::Window(window)) if !matches!(first.code, "R0504" | "R0505") => {
                between.iter().for_each(|n| expressions(n, &mut found));
                nodes(&window.input, &mut found);
            }
            _ => nodes(node, &mut found),
        },
        node => nodes(node, &mut found),
    }
    led_by(first, found)
}

/// Reasons that name an operator, which stands in the plan as written if the user wrote it.
const OPERATORS: &[&str] = &["R0501", "R0502", "R0503", "R0513", "R0514", "R0519"];

/// Every obstacle to working row by row.
pub(crate) fn row_by_row(written: &LogicalPlan, first: FullReason) -> FullReason {
    let mut found = Vec::new();
    nodes(written, &mut found);
    led_by(first, found)
}

/// The obstacles with those of `first`'s code at their head, or `first` itself where the plan as written shows none.
fn led_by(first: FullReason, found: Vec<FullReason>) -> FullReason {
    let mut all: Vec<FullReason> = Vec::new();
    let (same, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|o| o.code == first.code);
    // The user did not write what the rules made of a subquery, so the message names the subquery.
    let made = same.is_empty() && !others.is_empty() && OPERATORS.contains(&first.code);
    let same = if same.is_empty() && !made { vec![first] } else { same };
    for obstacle in same.into_iter().chain(others) {
        if !all.contains(&obstacle) {
            all.push(obstacle);
        }
    }
    let mut head = all.remove(0);
    head.others = all;
    head
}

/// Obstacles of the aggregates at the root of an analyzed plan.
fn aggregates(analyzed: &LogicalPlan, found: &mut Vec<FullReason>) {
    let mut node = peel(analyzed).1;
    if let LogicalPlan::Filter(filter) = node {
        node = peel(&filter.input).1;
    }
    if let LogicalPlan::Aggregate(aggregate) = node
        && let Err(all) = Aggregate::new(aggregate)
    {
        found.extend(all);
    }
}

/// Obstacles of a plan that must be linear.
fn nodes(plan: &LogicalPlan, found: &mut Vec<FullReason>) {
    if !is_linear_node(plan) {
        found.push(obstacle(plan));
    }
    expressions(plan, found);
    for input in plan.inputs() {
        // EXCEPT and INTERSECT drop duplicates before they join: the user wrote no DISTINCT.
        match (plan, input) {
            (LogicalPlan::Join(join), LogicalPlan::Distinct(Distinct::All(below))) if is_set_operation(join) => {
                nodes(below, found);
            }
            (LogicalPlan::Distinct(Distinct::All(_)), LogicalPlan::Union(union)) => {
                union.inputs.iter().for_each(|i| nodes(i, found));
            }
            _ => nodes(input, found),
        }
    }
}

fn expressions(node: &LogicalPlan, found: &mut Vec<FullReason>) {
    let walked = for_each_expr(node, &mut |e| {
        match in_expr(e) {
            Ok(all) => found.extend(all),
            Err(error) => found.push(error),
        }
        true
    });
    found.extend(walked.err());
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

/// EXCEPT and INTERSECT are joins in which NULL equals NULL; a join that the user wrote is not.
fn is_set_operation(join: &Join) -> bool {
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
