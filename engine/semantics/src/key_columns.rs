//! Computed keys of sorts, windows and ordered aggregates are columns below them.
//!
//!   ORDER BY abs(b) > 2, id  ──▶ ORDER BY __ingot_by_0, id      over a projection that computes it
//!
//! DataFusion asks an expression for its order by way of its bounds, which it does not know for most functions. It then
//! finds that what it has sorted is not sorted, and refuses the plan; or it puts an equal column into one of two places.
//!
//! Invariants
//! * Columns keep their names.
//! * A key is computed for rows alone that it was computed for: one of an aggregate with a FILTER stays where it is.
//!
//! Not here: keys that windows share, which must be columns before they are simplified (`window_keys`).

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchemaRef, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::{Projection, Sort, Window};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use crate::canonical::{is_canonical, is_exactly};

/// Runs last, when keys are as they will be computed.
#[derive(Debug)]
pub(crate) struct KeyColumns;

impl OptimizerRule for KeyColumns {
    fn name(&self) -> &str {
        "ingot_key_columns"
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::Sort(sort) => of_sort(sort),
            LogicalPlan::Window(window) => of_window(window),
            LogicalPlan::Aggregate(aggregate) => of_aggregate(aggregate),
            other => Ok(Transformed::no(other)),
        })
    }
}

/// The keys that become columns behind those of an input.
struct Keys {
    taken: usize,
    computed: Vec<Expr>,
}

impl Keys {
    fn behind(input: &LogicalPlan) -> Self {
        Self { taken: input.schema().fields().len(), computed: Vec::new() }
    }

    fn name(&self, at: usize) -> String {
        format!("__ingot_by_{}", self.taken + at)
    }

    /// Puts a column in the place of a key that is computed; whether it did.
    fn take(&mut self, key: &mut Expr) -> bool {
        if !is_computed(key) || key.is_volatile() {
            return false;
        }
        let plain = key.clone().unalias_nested().data;
        let at = self.computed.iter().position(|k| *k == plain).unwrap_or_else(|| {
            self.computed.push(plain);
            self.computed.len() - 1
        });
        *key = Expr::Column(Column::new_unqualified(self.name(at)));
        true
    }

    /// As [`take`](Self::take), of each; whether of any.
    fn take_all<'a>(&mut self, each: impl Iterator<Item = &'a mut Expr>) -> bool {
        let mut any = false;
        for key in each {
            any |= self.take(key);
        }
        any
    }

    fn over(self, input: Arc<LogicalPlan>) -> Result<Arc<LogicalPlan>> {
        let names: Vec<String> = (0..self.computed.len()).map(|at| self.name(at)).collect();
        let columns = input.schema().columns().into_iter().map(Expr::Column);
        let named = self.computed.into_iter().zip(names).map(|(key, name)| key.alias(name));
        Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(columns.chain(named).collect(), input)?)))
    }
}

/// Whether a key is more than a column, or the canonical value of one.
fn is_computed(key: &Expr) -> bool {
    match key {
        Expr::Column(_) | Expr::Literal(..) => false,
        Expr::Alias(alias) => is_computed(&alias.expr),
        Expr::ScalarFunction(call) if is_canonical(key) || is_exactly(key) => call.args.iter().any(is_computed),
        _ => true,
    }
}

/// The columns of a node that has some behind them now.
fn shown(plan: LogicalPlan, schema: &DFSchemaRef) -> Result<Transformed<LogicalPlan>> {
    let columns = schema.columns().into_iter().map(Expr::Column).collect();
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?)))
}

fn of_sort(mut sort: Sort) -> Result<Transformed<LogicalPlan>> {
    let schema = Arc::clone(sort.input.schema());
    let mut keys = Keys::behind(&sort.input);
    keys.take_all(sort.expr.iter_mut().map(|key| &mut key.expr));
    if keys.computed.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Sort(sort)));
    }
    sort.input = keys.over(sort.input)?;
    shown(LogicalPlan::Sort(sort), &schema)
}

fn of_window(mut window: Window) -> Result<Transformed<LogicalPlan>> {
    let mut keys = Keys::behind(&window.input);
    let names = NamePreserver::new_for_projection();
    for expr in &mut window.window_expr {
        let name = names.save(expr);
        let computed = std::mem::take(expr).transform_up(|e| {
            let Expr::WindowFunction(mut call) = e else { return Ok(Transformed::no(e)) };
            let params = &mut call.params;
            let sorts = params.order_by.iter_mut().map(|sort| &mut sort.expr);
            let any = keys.take_all(params.partition_by.iter_mut().chain(sorts));
            Ok(Transformed::new_transformed(Expr::WindowFunction(call), any))
        })?;
        *expr = if computed.transformed { name.restore(computed.data) } else { computed.data };
    }
    if keys.computed.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Window(window)));
    }
    let input = keys.over(window.input)?;
    shown(LogicalPlan::Window(Window::try_new(window.window_expr, input)?), &window.schema)
}

fn of_aggregate(mut aggregate: Aggregate) -> Result<Transformed<LogicalPlan>> {
    let mut keys = Keys::behind(&aggregate.input);
    let names = NamePreserver::new_for_projection();
    for expr in &mut aggregate.aggr_expr {
        let name = names.save(expr);
        let computed = std::mem::take(expr).transform_up(|e| {
            let Expr::AggregateFunction(mut call) = e else { return Ok(Transformed::no(e)) };
            let params = &mut call.params;
            let stays = params.filter.is_some() || params.distinct || call.func.supports_within_group_clause();
            let any = !stays && keys.take_all(params.order_by.iter_mut().map(|sort| &mut sort.expr));
            Ok(Transformed::new_transformed(Expr::AggregateFunction(call), any))
        })?;
        *expr = if computed.transformed { name.restore(computed.data) } else { computed.data };
    }
    if keys.computed.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    let input = keys.over(aggregate.input)?;
    Ok(Transformed::yes(LogicalPlan::Aggregate(Aggregate::try_new(input, aggregate.group_expr, aggregate.aggr_expr)?)))
}
