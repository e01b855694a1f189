//! Keeps filters from going to another column of the same name.
//!
//!   FilterExec a.v IS NULL         FilterExec a.v IS NULL
//!     ProjectionExec a.v, b.v ──▶    FenceExec                for the time of one rule
//!       HashJoinExec                   ProjectionExec a.v, b.v
//!
//! DataFusion's physical filters, those that it learns while a query runs among them, find a column of the node below by
//! its name. Where two columns are called `v`, a filter on one becomes a filter on the other; a key that an aggregate
//! computes may be called like a column of its input, and a branch of a UNION have the columns of the others in another
//! order.
//!
//! Not here: filters of logical plans, whose columns have relations.

use std::any::Any;
use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions};

use crate::fence::FenceExec;

/// Puts a filter rule of the engine between fences.
pub(crate) fn fenced(
    rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
) -> Arc<dyn PhysicalOptimizerRule + Send + Sync> {
    if rule.name().starts_with("FilterPushdown") { Arc::new(Fenced { inner: rule }) } else { rule }
}

#[derive(Debug)]
struct Fenced {
    inner: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
}

impl PhysicalOptimizerRule for Fenced {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let fenced = plan.transform_up(fence_children)?;
        let pushed = self.inner.optimize(fenced.data, config)?;
        if !fenced.transformed {
            return Ok(pushed);
        }
        pushed
            .transform_up(|node| {
                let any: &dyn Any = node.as_ref();
                Ok(match any.downcast_ref::<FenceExec>().and_then(FenceExec::taken_out) {
                    Some(input) => Transformed::yes(input),
                    None => Transformed::no(node),
                })
            })
            .data()
    }

    fn schema_check(&self) -> bool {
        self.inner.schema_check()
    }
}

fn fence_children(node: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let own = node.schema();
    let any: &dyn Any = node.as_ref();
    let by_place = any.is::<UnionExec>();
    let misleads =
        |child: &Arc<dyn ExecutionPlan>| names_mislead(child) || (by_place && !have_same_names(&own, &child.schema()));
    if !node.children().into_iter().any(misleads) {
        return Ok(Transformed::no(node));
    }
    let fence = |child: Arc<dyn ExecutionPlan>| if misleads(&child) { FenceExec::brief(child) } else { child };
    let children = node.children().into_iter().cloned().map(fence).collect();
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Ok(Transformed::yes(node.replace_children(children, options)?))
}

/// Whether a name that a filter above has may find another column in the node or below it.
fn names_mislead(node: &Arc<dyn ExecutionPlan>) -> bool {
    let schema = node.schema();
    let mut seen = HashSet::new();
    if schema.fields().iter().any(|f| !seen.insert(f.name())) {
        return true;
    }
    let any: &dyn Any = node.as_ref();
    let Some(aggregate) = any.downcast_ref::<AggregateExec>() else { return false };
    let input: SchemaRef = aggregate.input().schema();
    aggregate.group_expr().expr().iter().any(|(key, name)| {
        let key: &dyn Any = key.as_ref();
        let is_that_column = key.downcast_ref::<Column>().is_some_and(|c| c.name() == name);
        !is_that_column && input.index_of(name).is_ok()
    })
}

fn have_same_names(one: &Schema, other: &Schema) -> bool {
    one.fields().iter().map(|f| f.name()).eq(other.fields().iter().map(|f| f.name()))
}
