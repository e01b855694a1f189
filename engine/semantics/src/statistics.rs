//! Keeps an aggregate from taking the value of an aggregate below it.
//!
//!   SELECT count(*) FILTER (WHERE x > 9) FROM (SELECT count(*) AS x FROM t)
//!
//! DataFusion answers aggregates from the statistics of their input (`aggregate_statistics`). From an aggregate that has a
//! FILTER, and is not answered so, it goes on to whatever aggregate stands below, and puts that one's values in its place:
//! wrong ones, or a plan that lacks columns.
//!
//! Invariants
//! * The rule sees aggregates alone, one by one, and only those that have no FILTER.

use std::any::Any;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateInputMode};
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;

/// Shows the rule of the engine what it can answer.
pub(crate) fn one_by_one(
    rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
) -> Arc<dyn PhysicalOptimizerRule + Send + Sync> {
    if rule.name() == "aggregate_statistics" { Arc::new(OneByOne { inner: rule }) } else { rule }
}

#[derive(Debug)]
struct OneByOne {
    inner: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
}

impl PhysicalOptimizerRule for OneByOne {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_down(|node| {
            let any: &dyn Any = node.as_ref();
            if any.downcast_ref::<AggregateExec>().is_some_and(has_no_filter) {
                let answered = self.inner.optimize(Arc::clone(&node), config)?;
                if is_constant(&answered) {
                    return Ok(Transformed::new(answered, true, TreeNodeRecursion::Jump));
                }
            }
            Ok(Transformed::no(node))
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        self.inner.schema_check()
    }
}

/// Whether no FILTER stands in the aggregate and, if it merges partial results, in what makes them.
fn has_no_filter(aggregate: &AggregateExec) -> bool {
    let is_free = |a: &AggregateExec| a.filter_expr().iter().all(Option::is_none);
    if aggregate.mode().input_mode() != AggregateInputMode::Partial {
        return is_free(aggregate);
    }
    let mut below = aggregate.input();
    loop {
        let any: &dyn Any = below.as_ref();
        if let Some(partial) = any.downcast_ref::<AggregateExec>() {
            return is_free(partial);
        }
        match below.children().as_slice() {
            [only] => below = only,
            _ => return false,
        }
    }
}

fn is_constant(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let any: &dyn Any = plan.as_ref();
    any.downcast_ref::<ProjectionExec>().is_some_and(|projection| {
        let input: &dyn Any = projection.input().as_ref();
        input.is::<PlaceholderRowExec>()
    })
}
