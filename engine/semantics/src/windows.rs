//! Keeps the optimizer from computing below windows what is computed by them, or from what they compute.
//!
//!   Window f(g(w))          Window f(g(w))
//!     Window w       ──▶      barrier         for the time of one rule
//!       input                   Window w
//!
//!   Window a AS x, a AS y   ──▶ Projection *, x AS y
//!     input                       Window a AS x
//!                                   input
//!
//! Windows that follow one another share what both compute, as columns below all of them (`common_sub_expression_
//! eliminate`), where the result of a window is not yet there, and where no window can be computed. Two that were written
//! in two ways may be one when they are simplified.
//!
//! Not here: orders that are completed by results of windows (`ingot_delta`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::{Limit, Projection, Window};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

const SHARES: &str = "common_sub_expression_eliminate";

/// `rules`, of which one sees windows apart.
pub(crate) fn optimizer_rules(
    mut rules: Vec<Arc<dyn OptimizerRule + Send + Sync>>,
) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    for rule in &mut rules {
        if rule.name() == SHARES {
            *rule = Arc::new(Apart { inner: Arc::clone(rule) });
        }
    }
    rules
}

#[derive(Debug)]
struct Apart {
    inner: Arc<dyn OptimizerRule + Send + Sync>,
}

impl OptimizerRule for Apart {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.inner.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let once = plan.transform_down_with_subqueries(once)?;
        let apart = once.data.transform_up_with_subqueries(put_apart)?;
        let shared = self.inner.rewrite(apart.data, config)?;
        let any = once.transformed || shared.transformed;
        if !apart.transformed {
            return Ok(Transformed::new_transformed(shared.data, any));
        }
        let whole = shared.data.transform_up_with_subqueries(put_together).data()?;
        Ok(Transformed::new_transformed(whole, any))
    }
}

/// Windows that follow one another, each expression of them once.
fn once(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Window(top) = &plan else { return Ok(Transformed::no(plan)) };
    let mut windows = vec![top];
    let mut input = &top.input;
    while let LogicalPlan::Window(lower) = input.as_ref() {
        windows.push(lower);
        input = &lower.input;
    }
    let mut input = Arc::clone(input);
    let mut first: HashMap<Expr, Column> = HashMap::new();
    let mut same: HashMap<Column, Column> = HashMap::new();
    for window in windows.into_iter().rev() {
        let width = window.input.schema().fields().len();
        let names = window.schema.iter().skip(width).map(|(q, f)| Column::new(q.cloned(), f.name()));
        let mut kept = Vec::new();
        for (expr, column) in window.window_expr.iter().zip(names) {
            let name = NamePreserver::new_for_projection().save(expr);
            let expr = expr.clone().transform_up(|e| match e {
                Expr::Column(of) if same.contains_key(&of) => {
                    Ok(Transformed::yes(Expr::Column(same.get(&of).cloned().unwrap_or(of))))
                }
                other => Ok(Transformed::no(other)),
            });
            let expr = name.restore(expr.data()?);
            let computed = expr.clone().unalias_nested().data;
            match first.get(&computed) {
                Some(known) if !computed.is_volatile() => {
                    same.insert(column, known.clone());
                }
                _ => {
                    first.insert(computed, column);
                    kept.push(expr);
                }
            }
        }
        if !kept.is_empty() {
            input = Arc::new(LogicalPlan::Window(Window::try_new(kept, input)?));
        }
    }
    if same.is_empty() {
        return Ok(Transformed::no(plan));
    }
    let columns = top.schema.iter().map(|(q, f)| {
        let column = Column::new(q.cloned(), f.name());
        match same.get(&column) {
            Some(known) => Expr::Column(known.clone()).alias_qualified(q.cloned(), f.name()),
            None => Expr::Column(column),
        }
    });
    let columns = columns.collect();
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(columns, input)?)))
}

fn put_apart(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Window(mut window) if computes_from_window(&window) => {
            window.input = Arc::new(LogicalPlan::Limit(Limit { skip: None, fetch: None, input: window.input }));
            Ok(Transformed::yes(LogicalPlan::Window(window)))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn put_together(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Limit(Limit { skip: None, fetch: None, input }) => {
            Ok(Transformed::yes(Arc::unwrap_or_clone(input)))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Whether it reads a result of windows right below it.
fn computes_from_window(window: &Window) -> bool {
    let mut results: HashSet<Column> = HashSet::new();
    let mut below = window.input.as_ref();
    while let LogicalPlan::Window(lower) = below {
        let width = lower.input.schema().fields().len();
        results.extend(lower.schema.iter().skip(width).map(|(q, f)| Column::new(q.cloned(), f.name())));
        below = lower.input.as_ref();
    }
    !results.is_empty() && window.window_expr.iter().flat_map(Expr::column_refs).any(|c| results.contains(c))
}
