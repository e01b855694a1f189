//! Sort keys that DataFusion plans and then cannot run.
//!
//!   ORDER BY k, i, k                  ──▶ ORDER BY k, i     in sorts, windows, aggregates, DISTINCT ON
//!   RANGE over a UUID, up to its peers ──▶ GROUPS, which is the same there
//!   count(x ORDER BY k)               ──▶ count(x)          in aggregates whose value no order changes
//!
//! It forgets the second `k` in one place and counts it in another. It looks for the distance of a RANGE also where
//! no bound has one, and UUID, BINARY, STRUCT, TIME and lengths of time have none.
//!
//! Invariants
//! * A key that stands behind itself decides nothing, whatever its direction: the first one stays.
//! * Columns keep their names.
//!
//! Not here: ties (`ingot_delta::complete_order`), keys of floats (`zero`).

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::Distinct;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, WindowFrame, WindowFrameBound, WindowFrameUnits};
use datafusion::optimizer::{AnalyzerRule, OptimizerConfig, OptimizerRule};
use sqlparser::ast::{Distinct as SqlDistinct, Expr as SqlExpr, OrderByKind, Query, SetExpr};

use crate::rewrite::expressions;
use crate::type_names::type_name;

/// Keys that DISTINCT ON names twice, and sorts behind themselves: the planner compares both lists by their places.
pub(crate) fn in_query(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let Some(SqlDistinct::On(keys)) = &mut select.distinct else { return };
    once(keys, |key: &SqlExpr| key.clone());
    if let Some(order) = &mut query.order_by
        && let OrderByKind::Expressions(sorts) = &mut order.kind
    {
        once(sorts, |sort| sort.expr.clone());
    }
}

/// Leaves out what is equal to something before it.
fn once<T, K: PartialEq>(items: &mut Vec<T>, key: impl Fn(&T) -> K) -> bool {
    let before = items.len();
    let mut seen: Vec<K> = Vec::with_capacity(before);
    items.retain(|item| {
        let key = key(item);
        let new = !seen.contains(&key);
        if new {
            seen.push(key);
        }
        new
    });
    items.len() < before
}

/// Aggregates whose value depends on the order of rows, beside those with WITHIN GROUP.
const HEEDS_ORDER: [&str; 6] = ["array_agg", "string_agg", "first_value", "last_value", "nth_value", "any_value"];

/// Runs before types are coerced, which is where RANGE is refused.
///
/// Orders of aggregates that need none go here, too.
#[derive(Debug)]
pub(crate) struct Peers;

impl AnalyzerRule for Peers {
    fn name(&self) -> &str {
        "ingot_peers"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        expressions(plan, Ok, peers)
    }
}

fn peers(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if let Expr::AggregateFunction(mut call) = expr {
        let heeded = HEEDS_ORDER.contains(&call.func.name()) || call.func.supports_within_group_clause();
        let idle = !heeded && !call.params.order_by.is_empty();
        if idle {
            call.params.order_by.clear();
        }
        return Ok(Transformed::new_transformed(Expr::AggregateFunction(call), idle));
    }
    let Expr::WindowFunction(mut call) = expr else { return Ok(Transformed::no(expr)) };
    let frame = &call.params.window_frame;
    let ends = |bound: &WindowFrameBound| bound.is_unbounded() || matches!(bound, WindowFrameBound::CurrentRow);
    let key = call.params.order_by.first().map(|sort| sort.expr.get_type(schema)).transpose()?;
    let Some(key) = key.filter(|t| frame.units == WindowFrameUnits::Range && !has_distance(t)) else {
        return Ok(Transformed::no(Expr::WindowFunction(call)));
    };
    if !ends(&frame.start_bound) || !ends(&frame.end_bound) {
        return plan_err!(
            "a RANGE with a distance is over a number, a date or a timestamp, and this one is ordered by {}",
            type_name(&key)
        );
    }
    let (start, end) = (frame.start_bound.clone(), frame.end_bound.clone());
    call.params.window_frame = WindowFrame::new_bounds(WindowFrameUnits::Groups, start, end);
    Ok(Transformed::yes(Expr::WindowFunction(call)))
}

/// Whether DataFusion takes a RANGE over the type.
fn has_distance(data_type: &DataType) -> bool {
    !matches!(
        data_type,
        DataType::FixedSizeBinary(_)
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Duration(_)
            | DataType::Interval(_)
            | DataType::Struct(_)
            | DataType::Map(..)
    )
}

/// Runs last, when equal expressions look equal.
#[derive(Debug)]
pub(crate) struct KeysOnce;

impl OptimizerRule for KeysOnce {
    fn name(&self) -> &str {
        "ingot_keys_once"
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::Sort(mut sort) => {
                let fewer = once(&mut sort.expr, sorted);
                Ok(Transformed::new_transformed(LogicalPlan::Sort(sort), fewer))
            }
            LogicalPlan::Distinct(Distinct::On(mut on)) => {
                let fewer = on.sort_expr.as_mut().is_some_and(|sorts| once(sorts, sorted));
                Ok(Transformed::new_transformed(LogicalPlan::Distinct(Distinct::On(on)), fewer))
            }
            node @ (LogicalPlan::Aggregate(_) | LogicalPlan::Window(_)) => {
                let names = NamePreserver::new(&node);
                node.map_expressions(|expr| {
                    let name = names.save(&expr);
                    let expr = expr.transform_up(in_call)?;
                    Ok(if expr.transformed { expr.update_data(|e| name.restore(e)) } else { expr })
                })
            }
            other => Ok(Transformed::no(other)),
        })
    }
}

fn sorted(sort: &Sort) -> Expr {
    sort.expr.clone().unalias()
}

fn in_call(expr: Expr) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::AggregateFunction(mut call) => {
            let fewer = once(&mut call.params.order_by, sorted);
            Transformed::new_transformed(Expr::AggregateFunction(call), fewer)
        }
        Expr::WindowFunction(mut call) => {
            let fewer = once(&mut call.params.order_by, sorted);
            Transformed::new_transformed(Expr::WindowFunction(call), fewer)
        }
        other => Transformed::no(other),
    })
}
