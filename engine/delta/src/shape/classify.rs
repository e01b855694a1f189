//! Decides how a view is maintained: from its change alone, by merging keys, or in full with the reason.
//!
//!   scans, filters, projections, UNION ALL           ──▶ Linear
//!   [projections] row_number() = 1 over a linear plan ──▶ KeepFirst
//!   [projections] GROUP BY over a linear plan         ──▶ Aggregate
//!   anything else                                     ──▶ Full, naming the construct
//!
//! Invariants
//! * Pure: equal plans give equal strategies. In doubt: Full.
//! * A reason names every obstacle of the query, by the construct that the user wrote (`obstacles`).
//! * A linear plan is linear, not affine: L({}) = {}, so constant branches are none.
//!
//! Not here: the merge itself (`keyed`), what must not run at all (`refuse`).

use arrow::datatypes::DataType;
use datafusion::common::{Column, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::logical_plan::{Filter, Window};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, WindowFunctionDefinition};
use datafusion::optimizer::analyzer::Analyzer;
use ingot_semantics::{Fence, flattened};

use crate::shape::above::Above;
use crate::shape::obstacles::{self, obstacle, window_reason};
use crate::shape::order::complete_order;
use crate::target::aggregate::Aggregate;
use crate::target::keep_first::KeepFirst;
use crate::target::keyed::{Keyed, Kind};
use crate::target::rows::is_comparable;

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
    /// `R05xx`, see `REASONS`; of the first obstacle.
    pub code: &'static str,
    /// In the user's words, with what to do about it where there is something.
    pub text: String,
    /// What else stands in the way: mending the first alone would not do.
    pub others: Vec<FullReason>,
}

impl FullReason {
    pub fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: ingot_semantics::sql_text(&text.into()), others: Vec::new() }
    }

    pub(crate) fn plan(error: impl std::fmt::Display) -> Self {
        reason("R0500", format!("the change of this query cannot be planned: {error}"))
    }

    /// The first obstacle and all that follow.
    pub fn obstacles(&self) -> impl Iterator<Item = &FullReason> {
        std::iter::once(self).chain(&self.others)
    }
}

/// All obstacles in one line, the first one's code left to whoever prints it.
impl std::fmt::Display for FullReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)?;
        self.others.iter().try_for_each(|o| write!(f, "; and {}: {}", o.code, o.text))
    }
}

pub(crate) fn reason(code: &'static str, text: impl Into<String>) -> FullReason {
    FullReason::new(code, text)
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
    let completed = complete_order(plan).and_then(|p| Ok(flattened(p)?)).map_err(FullReason::plan)?;
    let analyzed = analyzed(completed.clone())?;
    let strategy = strategy(&analyzed).map_err(|first| obstacles::all(&completed, &analyzed, first))?;
    for field in plan.schema().fields() {
        if !is_comparable(field.data_type()) {
            return Err(reason(
                "R0518",
                format!("column \"{}\" of type {} cannot be compared row by row", field.name(), field.data_type()),
            ));
        }
    }
    Ok(strategy)
}

/// Checks that a query works row by row, as that of a streaming table must: what it gives for some rows does not
/// depend on others.
///
/// # Errors
/// Every obstacle.
pub fn row_by_row(plan: &LogicalPlan) -> Result<(), FullReason> {
    let completed = complete_order(plan).and_then(|p| Ok(flattened(p)?)).map_err(FullReason::plan)?;
    let analyzed = analyzed(completed.clone())?;
    linear(&analyzed).map_err(|first| obstacles::row_by_row(&completed, first))
}

fn analyzed(plan: LogicalPlan) -> Result<LogicalPlan, FullReason> {
    Analyzer::with_rules(ingot_semantics::rules())
        .execute_and_check(plan, &ConfigOptions::default(), |_, _| {})
        .map_err(FullReason::plan)
}

/// The strategy of an analyzed plan, or the first obstacle.
fn strategy(analyzed: &LogicalPlan) -> Result<Strategy, FullReason> {
    let obstacle = match linear(analyzed) {
        Ok(()) => return Ok(Strategy::Linear),
        Err(obstacle) => obstacle,
    };
    let (above, node) = peel(analyzed);
    for node in &above {
        check_node(node)?;
    }
    match node {
        LogicalPlan::Aggregate(aggregate) => {
            linear(&aggregate.input)?;
            let kind = Aggregate::new(aggregate).map_err(first)?;
            let above = Above::new(&aggregate.schema, analyzed, &above).map_err(FullReason::plan)?;
            let keyed =
                Keyed::new(aggregate.input.as_ref().clone(), Kind::Aggregate(kind), above).map_err(FullReason::plan)?;
            Ok(Strategy::Aggregate(keyed))
        }
        fence if Fence::of(fence).is_some() => Err(conditions_above(fence).unwrap_or(obstacle)),
        LogicalPlan::Filter(filter) => match peel(&filter.input) {
            (_, LogicalPlan::Aggregate(_)) => Err(having()),
            (between, LogicalPlan::Window(window)) => keep_first(analyzed, &above, filter, &between, window),
            _ => Err(obstacle),
        },
        _ => Err(obstacle),
    }
}

fn first(mut all: Vec<FullReason>) -> FullReason {
    if all.is_empty() { FullReason::plan("no reason") } else { all.remove(0) }
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

/// The column that a predicate such as `column = 1`, `<= 1`, `< 2`, `IN (1)` tests; casts that keep numbers apart are
/// seen through. Anything else, right or not, is a condition of its own.
fn first_of(predicate: &Expr) -> Option<&Column> {
    let is = |e: &Expr, wanted: i64| matches!(uncast(e), Expr::Literal(v, _) if whole_number(v) == Some(wanted));
    let column = |e: &'_ Expr| matches!(uncast(e), Expr::Column(_));
    let (tested, holds) = match predicate {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if column(left) => {
            (left, matches!(op, Operator::Eq | Operator::LtEq) && is(right, 1) || *op == Operator::Lt && is(right, 2))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            (right, matches!(op, Operator::Eq | Operator::GtEq) && is(left, 1) || *op == Operator::Gt && is(left, 2))
        }
        Expr::InList(InList { expr, list, negated: false }) => (expr, matches!(list.as_slice(), [one] if is(one, 1))),
        Expr::Between(between) if !between.negated => (&between.expr, is(&between.low, 1) && is(&between.high, 1)),
        _ => return None,
    };
    match uncast(tested) {
        Expr::Column(column) if holds => Some(column),
        _ => None,
    }
}

/// The value of a literal that is a whole number.
fn whole_number(literal: &ScalarValue) -> Option<i64> {
    if !literal.data_type().is_numeric() {
        return None;
    }
    let value = literal.cast_to(&DataType::Int64).ok()?;
    let back = value.cast_to(&literal.data_type()).ok()?;
    match value {
        ScalarValue::Int64(value) if back == *literal => value,
        _ => None,
    }
}

/// The expression below aliases and casts under which equal and lesser row numbers stay so. As text, 10 comes before 2.
fn uncast(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) if keeps_row_numbers(cast.field.data_type()) => uncast(&cast.expr),
        Expr::Alias(alias) => uncast(&alias.expr),
        other => other,
    }
}

/// Whether every row number, cast to this type, compares with 1 and 2 as before.
fn keeps_row_numbers(to: &DataType) -> bool {
    match to {
        DataType::UInt64 | DataType::Int64 | DataType::Float64 => true,
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            i16::from(*precision) - i16::from(*scale) >= 20
        }
        _ => false,
    }
}

/// The window column that a column of the filter's input is, through projections and aliases.
fn traced(column: &Column, filter: &Filter, between: &[&LogicalPlan]) -> Option<usize> {
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
pub(crate) fn peel(plan: &LogicalPlan) -> (Vec<&LogicalPlan>, &LogicalPlan) {
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
    let mut found = Ok(());
    let walked = obstacles::for_each_expr(node, &mut |e| {
        found = check_expr(e);
        found.is_ok()
    });
    found.and(walked)
}

/// An expression is linear if it works on one row and always gives the same.
pub(crate) fn check_expr(expr: &Expr) -> Result<(), FullReason> {
    match obstacles::in_expr(expr)?.into_iter().next() {
        Some(reason) => Err(reason),
        None => Ok(()),
    }
}

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
        other => Fence::of(other).is_some(),
    }
}
