//! What keeps a view from being maintained from its change: every obstacle, by the construct that the user wrote.
//!
//! The plan as written (before semantic rules rewrite it) names joins, set operations, subqueries and windows; the
//! analyzed plan has the types that decide about aggregates.
//!
//! Invariants
//! * The first obstacle is the one that the classification met; no obstacle is named twice.
//!
//! Not here: which plans are incremental (`classify`), what one operator hinders (`linear`, `expressions`).

use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::logical_plan::Distinct;

use crate::reason::{FullReason, reason};
use crate::shape::aggregate::Aggregate;
use crate::shape::expressions::{for_each_expr, in_expr};
use crate::shape::linear::{is_linear_node, is_set_operation, obstacle, strip_projections};

/// Every obstacle of a query; `first` is the one that was met in the analyzed plan.
pub(crate) fn all(written: &LogicalPlan, analyzed: &LogicalPlan, first: FullReason) -> FullReason {
    let mut found = Vec::new();
    let (stripped, node) = strip_projections(written);
    stripped.iter().for_each(|n| expressions(n, &mut found));
    match node {
        LogicalPlan::Aggregate(aggregate) => {
            aggregates(analyzed, &mut found);
            nodes(&aggregate.input, &mut found);
        }
        LogicalPlan::Filter(filter) => match strip_projections(&filter.input) {
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
    starting_with(first, found)
}

/// Reasons that name an operator, which stands in the plan as written if the user wrote it.
const OPERATORS: &[&str] = &["R0501", "R0502", "R0503", "R0513", "R0514", "R0519"];

/// Every obstacle to working row by row.
pub(crate) fn row_by_row(written: &LogicalPlan, first: FullReason) -> FullReason {
    let mut found = Vec::new();
    nodes(written, &mut found);
    starting_with(first, found)
}

/// The obstacles with those of `first`'s code at their head, or `first` itself where the plan as written shows none.
fn starting_with(first: FullReason, found: Vec<FullReason>) -> FullReason {
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
    let mut node = strip_projections(analyzed).1;
    if let LogicalPlan::Filter(filter) = node {
        node = strip_projections(&filter.input).1;
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

pub(crate) fn having() -> FullReason {
    reason("R0513", "HAVING leaves no trace of the groups it drops; keep the groups here and filter in a view above")
}

/// As `having`, where the groups come from a query below.
pub(crate) fn filtered_groups() -> FullReason {
    reason(
        "R0513",
        "WHERE above a query with GROUP BY leaves no trace of the groups it drops; keep the groups here and filter in a view above",
    )
}
