//! Makes a plan's result independent of the order in which rows arrive.
//!
//! Four load orders gave four results for row_number, first_value, last_value and array_agg: their ORDER BY is
//! completed by all columns of the node's input, so ties cannot be broken by chance. rank, dense_rank and RANGE
//! peers stay as they are. Float aggregates become exact (`exact::functions`).
//!
//! Invariants
//! * Idempotent. Column names and types of the result stay.
//! * Full, incremental and verifying evaluation all take the plan after this step.
//!
//! Not here: constructs that cannot be made deterministic (`refuse`).

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::expr::{AggregateFunction, Sort, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::{Distinct, DistinctOn, Limit, Window};
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, WindowFrameUnits, WindowFunctionDefinition,
};

use ingot_semantics::{exactly, has_equals};

use crate::error::{DeltaError, Result};
use crate::exact::functions::exact_aggregates;

type Plan = datafusion::common::Result<Transformed<LogicalPlan>>;

/// Completes every order that breaks ties by chance, and makes float aggregates exact.
///
/// # Errors
/// `NoOrder` when a tie could only be broken by a column whose type has no order.
pub fn complete_order(plan: &LogicalPlan) -> Result<LogicalPlan> {
    let mut failure = None;
    let completed = plan.clone().transform_up_with_subqueries(|node| {
        let kept = node.clone();
        match complete_node(node) {
            Ok(plan) => Ok(plan),
            Err(DeltaError::DataFusion(error)) => Err(error),
            Err(error) => {
                failure.get_or_insert(error);
                Ok(Transformed::no(kept))
            }
        }
    })?;
    match failure {
        Some(error) => Err(error),
        None => Ok(exact_aggregates(&completed.data)?),
    }
}

fn complete_node(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match node {
        LogicalPlan::Window(window) => complete_window(window),
        LogicalPlan::Aggregate(aggregate) => {
            let schema = Arc::clone(aggregate.input.schema());
            let plan = LogicalPlan::Aggregate(aggregate);
            Ok(map_aggregates(plan, &schema)?)
        }
        LogicalPlan::Distinct(Distinct::On(on)) => complete_distinct_on(on),
        LogicalPlan::Limit(limit) => complete_limit(limit),
        other => Ok(Transformed::no(other)),
    }
}

/// Tells whether values of the type can be sorted.
pub(crate) fn has_order(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(..) | DataType::Union(..) | DataType::RunEndEncoded(..) => false,
        DataType::List(f)
        | DataType::LargeList(f)
        | DataType::FixedSizeList(f, _)
        | DataType::ListView(f)
        | DataType::LargeListView(f) => has_order(f.data_type()),
        DataType::Struct(fields) => fields.iter().all(|f| has_order(f.data_type())),
        _ => true,
    }
}

/// `order` followed by the columns of `schema` that it does not hold yet, ascending, NULLs last.
fn completed(order: &[Sort], schema: &DFSchema) -> Result<Vec<Sort>> {
    let mut all = order.to_vec();
    for (qualifier, field) in schema.iter() {
        let column = by_bits(Expr::Column(Column::new(qualifier.cloned(), field.name())), field.data_type());
        if all.iter().any(|s| s.expr == column) {
            continue;
        }
        if !has_order(field.data_type()) {
            return Err(DeltaError::NoOrder { column: field.name().clone(), data_type: field.data_type().to_string() });
        }
        all.push(column.sort(true, false));
    }
    Ok(all)
}

/// Equal floats may differ in their bits, and which of them comes first must not be chance.
fn by_bits(expr: Expr, data_type: &DataType) -> Expr {
    if has_equals(data_type) { exactly(expr) } else { expr }
}

/// Whether the result of this window call depends on the order of ties.
fn window_breaks_ties(call: &WindowFunction) -> bool {
    match (&call.fun, call.params.window_frame.units) {
        (WindowFunctionDefinition::WindowUDF(f), _) if matches!(f.name(), "row_number" | "ntile" | "lag" | "lead") => {
            true
        }
        (WindowFunctionDefinition::WindowUDF(f), _)
            if matches!(f.name(), "rank" | "dense_rank" | "percent_rank" | "cume_dist") =>
        {
            false
        }
        (_, units) => units == WindowFrameUnits::Rows,
    }
}

fn complete_window(window: Window) -> Result<Transformed<LogicalPlan>> {
    let (mut peers, mut completed_calls, mut changed) = (Vec::new(), Vec::new(), false);
    for expr in &window.window_expr {
        let (name, inner) = match expr {
            Expr::Alias(alias) => ((alias.relation.clone(), alias.name.clone()), alias.expr.as_ref()),
            other => (other.qualified_name(), other),
        };
        match inner {
            Expr::WindowFunction(call) if window_breaks_ties(call) => {
                let mut call = call.clone();
                let order = completed(&call.params.order_by, window.input.schema())?;
                if order == call.params.order_by {
                    completed_calls.push(expr.clone());
                } else {
                    call.params.order_by = order;
                    completed_calls.push(Expr::WindowFunction(call).alias_qualified(name.0, name.1));
                    changed = true;
                }
            }
            _ => peers.push(expr.clone()),
        }
    }
    if !changed {
        return Ok(Transformed::no(LogicalPlan::Window(window)));
    }
    // One window node computes one sort order, so calls that look at peers get a node of their own, above: the
    // columns that complete the order stay those of the node's input.
    let mut builder =
        LogicalPlanBuilder::from(Arc::unwrap_or_clone(Arc::clone(&window.input))).window(completed_calls)?;
    if !peers.is_empty() {
        let columns: Vec<Expr> =
            window.schema.iter().map(|(q, f)| Expr::Column(Column::new(q.cloned(), f.name()))).collect();
        builder = builder.window(peers)?.project(columns)?;
    }
    Ok(Transformed::yes(builder.build()?))
}

fn map_aggregates(plan: LogicalPlan, schema: &DFSchema) -> Plan {
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let saved = names.save(&expr);
        let expr = expr.transform_up(|e| match e {
            Expr::AggregateFunction(call) => match aggregate_order(&call, schema) {
                Ok(Some(order_by)) => {
                    let mut call = call;
                    call.params.order_by = order_by;
                    Ok(Transformed::yes(Expr::AggregateFunction(call)))
                }
                Ok(None) => Ok(Transformed::no(Expr::AggregateFunction(call))),
                Err(error) => Err(datafusion::error::DataFusionError::External(Box::new(error))),
            },
            other => Ok(Transformed::no(other)),
        })?;
        Ok(expr.update_data(|e| saved.restore(e)))
    })
}

/// The completed ORDER BY of an aggregate that depends on order, None if nothing changes.
pub(crate) fn aggregate_order(call: &AggregateFunction, schema: &DFSchema) -> Result<Option<Vec<Sort>>> {
    let collects = matches!(call.func.name(), "array_agg" | "string_agg");
    let picks = matches!(call.func.name(), "first_value" | "last_value" | "nth_value");
    if !collects && !picks {
        return Ok(None);
    }
    let mut order = call.params.order_by.clone();
    let value = call.params.args.first().filter(|a| !matches!(a, Expr::Literal(..)));
    let value = match value {
        // Distinct floats have one form.
        Some(v) if !call.params.distinct => Some(by_bits(v.clone(), &v.get_type(schema)?)),
        other => other.cloned(),
    };
    let by_value = value.as_ref().is_none_or(|v| order.iter().any(|s| s.expr == *v));
    if order.is_empty() || call.params.distinct {
        order.extend(value.filter(|_| !by_value).map(|v| v.sort(true, false)));
    }
    // Equal values cannot be told apart in a list, so one ordered by value needs no more.
    let complete = collects && (by_value || call.params.distinct || call.params.order_by.is_empty());
    if !complete {
        order = completed(&order, schema)?;
    }
    Ok((order != call.params.order_by).then_some(order))
}

fn complete_distinct_on(on: DistinctOn) -> Result<Transformed<LogicalPlan>> {
    let order =
        on.sort_expr.clone().unwrap_or_else(|| on.on_expr.iter().map(|e| e.clone().sort(true, false)).collect());
    let order = completed(&order, on.input.schema())?;
    if on.sort_expr.as_ref() == Some(&order) {
        return Ok(Transformed::no(LogicalPlan::Distinct(Distinct::On(on))));
    }
    let on = on.with_sort_expr(order)?;
    Ok(Transformed::yes(LogicalPlan::Distinct(Distinct::On(on))))
}

/// Completes the sort below a LIMIT, through projections and aliases.
fn complete_limit(limit: Limit) -> Result<Transformed<LogicalPlan>> {
    let input = complete_sort_below(limit.input.as_ref())?;
    Ok(match input {
        Some(input) => Transformed::yes(LogicalPlan::Limit(Limit { input: Arc::new(input), ..limit })),
        None => Transformed::no(LogicalPlan::Limit(limit)),
    })
}

fn complete_sort_below(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Sort(sort) => {
            let expr = completed(&sort.expr, sort.input.schema())?;
            if expr == sort.expr {
                return Ok(None);
            }
            let mut sort = sort.clone();
            sort.expr = expr;
            Ok(Some(LogicalPlan::Sort(sort)))
        }
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => {
            let Some(below) = complete_sort_below(plan.inputs()[0])? else { return Ok(None) };
            Ok(Some(plan.with_new_exprs(plan.expressions(), vec![below])?))
        }
        _ => Ok(None),
    }
}
