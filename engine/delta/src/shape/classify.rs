//! Decides what a plan is: linear, merged by key, or neither with the reasons.
//!
//!   scans, filters, projections, UNION ALL           ──▶ Linear
//!   [projections] row_number() = 1 over a linear plan ──▶ Keyed, KeepFirst
//!   [projections] GROUP BY over a linear plan         ──▶ Keyed, Aggregate
//!   anything else                                     ──▶ the reasons, naming the constructs
//!
//! Invariants
//! * Pure: equal plans give equal shapes. In doubt: a reason.
//! * A reason names every obstacle of the query, by the construct that the user wrote (`obstacles`).
//!
//! Not here: the merge itself (`target`), what must not run at all (`refuse`).

use datafusion::common::Column;
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::logical_plan::{Filter, Window};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, WindowFunctionDefinition};
use datafusion::optimizer::analyzer::Analyzer;
use ingot_semantics::{Fence, flattened};

use crate::reason::{FullReason, reason};
use crate::shape::aggregate::Aggregate;
use crate::shape::expressions::check_node;
use crate::shape::first_row::{tested_for_first, uncast};
use crate::shape::keep_first::KeepFirst;
use crate::shape::linear::{linear, strip_projections, window_reason};
use crate::shape::obstacles;
use crate::shape::order::complete_order;
use crate::shape::projections::Projections;
use crate::values::format::is_comparable;

/// What a plan is.
#[derive(Debug)]
pub(crate) enum Shape {
    /// The query over a change is the change of the query.
    Linear,
    /// One row a key, merged.
    Keyed(Box<KeyedShape>),
}

/// An operator that gives one row a key, over a linear plan, and the projections on it.
#[derive(Debug)]
pub(crate) struct KeyedShape {
    /// The linear plan.
    pub(crate) input: LogicalPlan,
    pub(crate) operator: KeyedOperator,
    pub(crate) projections: Projections,
}

/// The operators whose rows are merged by key.
#[derive(Debug)]
pub(crate) enum KeyedOperator {
    KeepFirst(KeepFirst),
    Aggregate(Aggregate),
}

impl KeyedOperator {
    /// The key, as expressions over the input; none if all rows are of one key.
    pub(crate) fn keys(&self) -> &[Expr] {
        match self {
            Self::KeepFirst(k) => &k.keys,
            Self::Aggregate(a) => &a.keys,
        }
    }
}

/// The shape of an unoptimized plan over table scans, views inlined.
///
/// # Errors
/// Every obstacle to maintaining it from its change.
pub(crate) fn shape_of(plan: &LogicalPlan) -> Result<Shape, FullReason> {
    let completed = complete_order(plan).and_then(|p| Ok(flattened(p)?)).map_err(FullReason::plan)?;
    let analyzed = analyzed(completed.clone())?;
    analyzed_shape(&analyzed).map_err(|first| obstacles::all(&completed, &analyzed, first))
}

/// Checks that the rows of a plan can be told apart, so that one of them can be found in the stored table.
///
/// # Errors
/// The first column of a type that cannot be compared.
pub(crate) fn check_columns(plan: &LogicalPlan) -> Result<(), FullReason> {
    for field in plan.schema().fields() {
        if !is_comparable(field.data_type()) {
            return Err(reason(
                "R0518",
                format!("column \"{}\" of type {} cannot be compared row by row", field.name(), field.data_type()),
            ));
        }
    }
    Ok(())
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

/// The shape of an analyzed plan, or the first obstacle.
fn analyzed_shape(analyzed: &LogicalPlan) -> Result<Shape, FullReason> {
    let obstacle = match linear(analyzed) {
        Ok(()) => return Ok(Shape::Linear),
        Err(obstacle) => obstacle,
    };
    let (stripped, node) = strip_projections(analyzed);
    for node in &stripped {
        check_node(node)?;
    }
    match node {
        LogicalPlan::Aggregate(aggregate) => {
            linear(&aggregate.input)?;
            let operator = KeyedOperator::Aggregate(Aggregate::new(aggregate).map_err(first_reason)?);
            let projections = Projections::new(&aggregate.schema, analyzed, &stripped).map_err(FullReason::plan)?;
            Ok(keyed(&aggregate.input, operator, projections))
        }
        fence if Fence::of(fence).is_some() => Err(fenced_condition(fence).unwrap_or(obstacle)),
        LogicalPlan::Filter(filter) => match strip_projections(&filter.input) {
            (_, LogicalPlan::Aggregate(_)) => Err(obstacles::having()),
            (between, LogicalPlan::Window(window)) => keep_first(analyzed, &stripped, filter, &between, window),
            _ => Err(obstacle),
        },
        _ => Err(obstacle),
    }
}

fn keyed(input: &LogicalPlan, operator: KeyedOperator, projections: Projections) -> Shape {
    Shape::Keyed(Box::new(KeyedShape { input: input.clone(), operator, projections }))
}

fn first_reason(mut all: Vec<FullReason>) -> FullReason {
    if all.is_empty() { FullReason::plan("no reason") } else { all.remove(0) }
}

fn condition_beside_choice() -> FullReason {
    reason(
        "R0515",
        "a condition stands beside or above row_number() = 1: a winner that it drops leaves no trace, so its duplicate would get in; move it into a view below",
    )
}

/// Why a fenced condition on an operator whose rows are merged stands in the way.
fn fenced_condition(plan: &LogicalPlan) -> Option<FullReason> {
    let (_, node) = strip_projections(Fence::of(plan)?.input());
    match node {
        LogicalPlan::Aggregate(_) => Some(obstacles::having()),
        LogicalPlan::Filter(filter) => match strip_projections(&filter.input) {
            (_, LogicalPlan::Aggregate(_)) => Some(obstacles::having()),
            (between, LogicalPlan::Window(window)) => {
                let number = window.schema.fields().len() - 1;
                let is_choice =
                    |e: &&Expr| tested_for_first(e).is_some_and(|c| source_column(c, filter, &between) == Some(number));
                split_conjunction(&filter.predicate).iter().any(is_choice).then(condition_beside_choice)
            }
            _ => None,
        },
        fence => fenced_condition(fence),
    }
}

fn keep_first(
    root: &LogicalPlan,
    stripped: &[&LogicalPlan],
    filter: &Filter,
    between: &[&LogicalPlan],
    window: &Window,
) -> Result<Shape, FullReason> {
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
    let is_choice = |e: &&Expr| tested_for_first(e).is_some_and(|c| source_column(c, filter, between) == Some(number));
    if !conjuncts.iter().any(is_choice) {
        return Err(obstacle());
    }
    if conjuncts.len() > 1 {
        return Err(condition_beside_choice());
    }
    linear(&window.input)?;
    let nodes: Vec<&LogicalPlan> = stripped.iter().chain(between).copied().collect();
    let choice = KeepFirst::new(expr, &call.params.partition_by, &call.params.order_by, window.input.schema())?;
    let operator = KeyedOperator::KeepFirst(choice);
    let projections = Projections::new(&window.schema, root, &nodes).map_err(FullReason::plan)?;
    Ok(keyed(&window.input, operator, projections))
}

/// The window column that a column of the filter's input is, through projections and aliases.
fn source_column(column: &Column, filter: &Filter, between: &[&LogicalPlan]) -> Option<usize> {
    let mut index = filter.input.schema().index_of_column(column).ok()?;
    for node in between {
        if let LogicalPlan::Projection(projection) = node {
            let Expr::Column(column) = uncast(&projection.expr[index]) else { return None };
            index = projection.input.schema().index_of_column(column).ok()?;
        }
    }
    Some(index)
}
