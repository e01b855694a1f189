//! Decides how a view is maintained: from its change alone, by merging keys, or in full with the reason.
//!
//!   scans, filters, projections, UNION ALL           ──▶ Linear
//!   [projections] row_number() = 1 over a linear plan ──▶ KeepFirst
//!   [projections] GROUP BY over a linear plan         ──▶ Aggregate
//!   anything else                                     ──▶ Full, naming the construct
//!
//! Invariants
//! * Pure: equal plans give equal strategies. In doubt: Full.
//! * A linear plan is linear, not affine: L({}) = {}, so constant branches are none.
//!
//! Not here: the merge itself (`keyed`), what must not run at all (`refuse`).

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::logical_plan::{Distinct, Filter, Window};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, JoinType, LogicalPlan, Operator, WindowFunctionDefinition};
use datafusion::optimizer::analyzer::Analyzer;
use ingot_semantics::Fence;

use crate::above::Above;
use crate::aggregate::Aggregate;
use crate::consolidate::has_row_format;
use crate::keep_first::KeepFirst;
use crate::keyed::{Keyed, Kind};
use crate::order::complete_order;
use crate::rebind::CLOCKS;

/// How a view follows its sources.
#[derive(Debug, Clone)]
pub enum Strategy {
    /// The view's change is its query over the change.
    Linear,
    /// One winner per key is merged.
    KeepFirst(Keyed),
    /// States of groups are merged.
    Aggregate(Keyed),
    /// Everything is computed anew.
    Full(FullReason),
}

/// Why a view is recomputed in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullReason {
    /// `R05xx`, see `REASONS`.
    pub code: &'static str,
    /// In the user's words, with what to do about it where there is something.
    pub text: String,
}

impl FullReason {
    pub(crate) fn plan(error: impl std::fmt::Display) -> Self {
        reason("R0500", format!("the change of this query cannot be planned: {error}"))
    }
}

pub(crate) fn reason(code: &'static str, text: impl Into<String>) -> FullReason {
    FullReason { code, text: text.into() }
}

/// Every code of `FullReason` with its title.
pub const REASONS: &[(&str, &str)] = &[
    ("R0500", "the change of the query cannot be planned"),
    ("R0501", "a join is recomputed in full"),
    ("R0502", "LIMIT is recomputed in full"),
    ("R0503", "DISTINCT is recomputed in full"),
    ("R0504", "a window function is recomputed in full"),
    ("R0505", "a window without PARTITION BY may renumber every row"),
    ("R0506", "a subquery in an expression is recomputed in full"),
    ("R0507", "now() changes with every refresh"),
    ("R0508", "a volatile function has no change"),
    ("R0509", "constant rows are not part of any change"),
    ("R0510", "the aggregate function cannot be merged"),
    ("R0511", "a DISTINCT aggregate cannot be merged"),
    ("R0512", "grouping sets are not merged"),
    ("R0513", "HAVING leaves no trace of the groups it drops"),
    ("R0514", "an aggregate below the root is recomputed in full"),
    ("R0515", "a filter above row_number() = 1 leaves no trace of the rows it drops"),
    ("R0516", "a recursive query is recomputed in full"),
    ("R0518", "the column's type cannot be compared row by row"),
    ("R0519", "the operator is recomputed in full"),
];

/// Decides the strategy for an unoptimized plan over table scans, views inlined.
pub fn classify(plan: &LogicalPlan) -> Strategy {
    match decide(plan) {
        Ok(strategy) => strategy,
        Err(reason) => Strategy::Full(reason),
    }
}

fn decide(plan: &LogicalPlan) -> Result<Strategy, FullReason> {
    for field in plan.schema().fields() {
        if !has_row_format(field.data_type()) {
            return Err(reason(
                "R0518",
                format!("column \"{}\" of type {} cannot be compared row by row", field.name(), field.data_type()),
            ));
        }
    }
    let completed = complete_order(plan).map_err(FullReason::plan)?;
    let analyzed = Analyzer::with_rules(ingot_semantics::rules())
        .execute_and_check(completed, &ConfigOptions::default(), |_, _| {})
        .map_err(FullReason::plan)?;
    let obstacle = match linear(&analyzed) {
        Ok(()) => return Ok(Strategy::Linear),
        Err(obstacle) => obstacle,
    };
    let (above, node) = peel(&analyzed);
    for node in &above {
        check_node(node)?;
    }
    match node {
        LogicalPlan::Aggregate(aggregate) => {
            linear(&aggregate.input)?;
            let kind = Aggregate::new(aggregate)?;
            let above = Above::new(&aggregate.schema, &analyzed, &above).map_err(FullReason::plan)?;
            let keyed =
                Keyed::new(aggregate.input.as_ref().clone(), Kind::Aggregate(kind), above).map_err(FullReason::plan)?;
            Ok(Strategy::Aggregate(keyed))
        }
        fence if Fence::of(fence).is_some() => Err(conditions_above(fence).unwrap_or(obstacle)),
        LogicalPlan::Filter(filter) => match peel(&filter.input) {
            (_, LogicalPlan::Aggregate(_)) => Err(having()),
            (between, LogicalPlan::Window(window)) => keep_first(&analyzed, &above, filter, &between, window),
            _ => Err(obstacle),
        },
        _ => Err(obstacle),
    }
}

fn having() -> FullReason {
    reason(
        "R0513",
        "HAVING, or a filter above GROUP BY, leaves no trace of the groups it drops; keep the groups here and filter in a view above",
    )
}

fn beside_first() -> FullReason {
    reason(
        "R0515",
        "a condition stands beside or above row_number() = 1: a winner that it drops leaves no trace, so its duplicate would get in; move it into a view below",
    )
}

/// What a fenced condition above a merged node hinders.
fn conditions_above(plan: &LogicalPlan) -> Option<FullReason> {
    let (_, node) = peel(Fence::of(plan)?.input());
    match node {
        LogicalPlan::Aggregate(_) => Some(having()),
        LogicalPlan::Filter(filter) => match peel(&filter.input) {
            (_, LogicalPlan::Aggregate(_)) => Some(having()),
            (between, LogicalPlan::Window(window)) => {
                let number = window.schema.fields().len() - 1;
                let is_choice = |e: &&Expr| first_of(e).is_some_and(|c| traced(c, filter, &between) == Some(number));
                split_conjunction(&filter.predicate).iter().any(is_choice).then(beside_first)
            }
            _ => None,
        },
        fence => conditions_above(fence),
    }
}

fn keep_first(
    root: &LogicalPlan,
    above: &[&LogicalPlan],
    filter: &Filter,
    between: &[&LogicalPlan],
    window: &Window,
) -> Result<Strategy, FullReason> {
    for node in between {
        check_node(node)?;
    }
    let obstacle = || window_reason(window);
    let (call, expr) = match window.window_expr.as_slice() {
        [expr] => match expr.clone().unalias_nested().data {
            Expr::WindowFunction(call) => (call, expr),
            _ => return Err(obstacle()),
        },
        _ => return Err(obstacle()),
    };
    let numbers = matches!(&call.fun, WindowFunctionDefinition::WindowUDF(f) if f.name() == "row_number");
    if !numbers || call.params.filter.is_some() {
        return Err(obstacle());
    }
    let conjuncts = split_conjunction(&filter.predicate);
    let number = window.schema.fields().len() - 1;
    let is_choice = |e: &&Expr| first_of(e).is_some_and(|c| traced(c, filter, between) == Some(number));
    if !conjuncts.iter().any(is_choice) {
        return Err(obstacle());
    }
    if conjuncts.len() > 1 {
        return Err(beside_first());
    }
    linear(&window.input)?;
    let nodes: Vec<&LogicalPlan> = above.iter().chain(between).copied().collect();
    let kind = KeepFirst::new(expr, &call.params.partition_by, &call.params.order_by, window.input.schema())?;
    let above = Above::new(&window.schema, root, &nodes).map_err(FullReason::plan)?;
    let keyed = Keyed::new(window.input.as_ref().clone(), Kind::KeepFirst(kind), above).map_err(FullReason::plan)?;
    Ok(Strategy::KeepFirst(keyed))
}

/// The column that a predicate `column = 1` (or `<= 1`, `< 2`) tests, casts aside.
fn first_of(predicate: &Expr) -> Option<&datafusion::common::Column> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = predicate else { return None };
    let (column, op, literal) = match (uncast(left), uncast(right)) {
        (Expr::Column(c), Expr::Literal(v, _)) => (c, *op, v),
        (Expr::Literal(v, _), Expr::Column(c)) => (c, op.swap()?, v),
        _ => return None,
    };
    let value = literal.cast_to(&arrow::datatypes::DataType::Int64).ok()?;
    let back = value.cast_to(&literal.data_type()).ok()?;
    let datafusion::common::ScalarValue::Int64(Some(value)) = value else { return None };
    let is_first = back == *literal && matches!((op, value), (Operator::Eq | Operator::LtEq, 1) | (Operator::Lt, 2));
    is_first.then_some(column)
}

fn uncast(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) => uncast(&cast.expr),
        Expr::Alias(alias) => uncast(&alias.expr),
        other => other,
    }
}

/// The window column that a column of the filter's input is, through projections and aliases.
fn traced(column: &datafusion::common::Column, filter: &Filter, between: &[&LogicalPlan]) -> Option<usize> {
    let mut index = filter.input.schema().index_of_column(column).ok()?;
    for node in between {
        if let LogicalPlan::Projection(projection) = node {
            let Expr::Column(column) = uncast(&projection.expr[index]) else { return None };
            index = projection.input.schema().index_of_column(column).ok()?;
        }
    }
    Some(index)
}

/// The nodes from the root that work row by row on one input, without filters, and the first other one.
fn peel(plan: &LogicalPlan) -> (Vec<&LogicalPlan>, &LogicalPlan) {
    let mut above = Vec::new();
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
                _ => return (above, node),
            },
        };
        above.push(node);
        node = below;
    }
}

fn check_node(node: &LogicalPlan) -> Result<(), FullReason> {
    // The order of a table's rows is nobody's business, so a sort's expressions do not count.
    if matches!(node, LogicalPlan::Sort(_) | LogicalPlan::Repartition(_)) {
        return Ok(());
    }
    let mut found = Ok(());
    let walked = node.apply_expressions(|e| {
        found = check_expr(e);
        Ok(if found.is_err() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found.and(walked.map(|_| ()).map_err(FullReason::plan))
}

/// An expression is linear if it works on one row and always gives the same.
pub(crate) fn check_expr(expr: &Expr) -> Result<(), FullReason> {
    let mut found = None;
    let walked = expr.apply(|e| {
        found = match e {
            Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_) | Expr::OuterReferenceColumn(..) => {
                Some(reason("R0506", "a subquery in an expression: one changed row of it may change every row; join a view instead, or accept the full recompute"))
            }
            Expr::ScalarFunction(call) if CLOCKS.contains(&call.func.name()) => {
                Some(reason("R0507", format!("{}() changes with every refresh; filter by time in the query that reads the table", call.func.name())))
            }
            other if other.is_volatile_node() => Some(reason("R0508", format!("{other} gives another value each time"))),
            _ => None,
        };
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    match found {
        Some(reason) => Err(reason),
        None => walked.map(|_| ()).map_err(FullReason::plan),
    }
}

/// Checks that a plan is linear; else the first obstacle from the root.
pub(crate) fn linear(plan: &LogicalPlan) -> Result<(), FullReason> {
    match plan {
        LogicalPlan::TableScan(scan) if scan.fetch.is_none() => {}
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::Unnest(_) => {}
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => {}
        other if Fence::of(other).is_some() => {}
        other => return Err(obstacle(other)),
    }
    check_node(plan)?;
    plan.inputs().into_iter().try_for_each(linear)
}

fn obstacle(plan: &LogicalPlan) -> FullReason {
    match plan {
        LogicalPlan::Join(join) => {
            let kind = match join.join_type {
                JoinType::Inner if join.on.is_empty() && join.filter.is_none() => "CROSS JOIN",
                JoinType::Inner => "JOIN",
                JoinType::Left => "LEFT JOIN",
                JoinType::Right => "RIGHT JOIN",
                JoinType::Full => "FULL JOIN",
                _ => "EXCEPT, INTERSECT or another semi or anti join",
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

fn window_reason(window: &Window) -> FullReason {
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
