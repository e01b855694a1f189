//! Keeps the optimizer from computing below two windows what the upper one computes from the lower one's result.
//!
//!   Window f(g(w))          Window f(g(w))
//!     Window w       ──▶      barrier         for the time of one rule
//!       input                   Window w
//!
//! Windows that follow one another share what both compute, as columns below all of them (`common_sub_expression_
//! eliminate`), where the result of a window is not yet there.
//!
//! Not here: orders that are completed by results of windows (`ingot_delta`).

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::logical_plan::{Limit, Window};
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
        let apart = plan.transform_up_with_subqueries(put_apart)?;
        let shared = self.inner.rewrite(apart.data, config)?;
        if !apart.transformed {
            return Ok(shared);
        }
        let whole = shared.data.transform_up_with_subqueries(put_together).data()?;
        Ok(Transformed::new_transformed(whole, shared.transformed))
    }
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
