//! Sorts, windows and aggregates do not rely on what operators below them claim about their rows.
//!
//!   SortExec [k, id] ──▶ SortExec [k, id] over ClaimsExec      no key goes because something below says it is constant
//!
//! DataFusion's operators claim constants, equal columns, unique ones and orders that their rows do not have: a column that
//! is constant in each branch of a union, but not the same; columns of GROUPING SETS and of the side of an outer join in
//! whose place NULLs stand; the places of GROUP BY's keys after a projection; the order of an inner ORDER BY .. LIMIT once a
//! sort above has gone into it. Sort keys were dropped by them, rows of groups and windows fell apart, and merges went by
//! fewer keys than their input had. Where claims hold, a node above may not know them any more, and the plan is refused.
//!
//! Invariants
//! * Between a sort, a window or an aggregate and its input stands a node that says no more than how rows are spread.
//!   Sorts and windows that stand on another window believe that one.
//! * The node stays in the plan: claims are asked for again whenever a plan is copied.
//!
//! Not here: claims of tables, of which there are none.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, Statistics, internal_err, plan_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateInputMode};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter_pushdown::{FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::projection::{ProjectionExec, make_with_child};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};

/// Passes on its input's batches; of its input's claims, only how rows are spread over partitions.
#[derive(Debug)]
struct ClaimsExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl ClaimsExec {
    fn over(input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        let none = EquivalenceProperties::new(input.schema());
        let properties = Arc::new(PlanProperties::clone(input.properties()).with_eq_properties(none));
        Arc::new(Self { input, properties })
    }
}

impl DisplayAs for ClaimsExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClaimsExec")
    }
}

impl ExecutionPlan for ClaimsExec {
    fn name(&self) -> &str {
        "ClaimsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        // Otherwise a sort is moved below this node, where it relies on every claim.
        vec![false]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.into_iter().next() {
            Some(input) => Ok(Self::over(input)),
            None => plan_err!("claims have an input"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let [input] = inputs else { return internal_err!("claims have one input") };
        Ok(Arc::clone(input))
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn try_swapping_with_projection(&self, projection: &ProjectionExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        Ok(Some(Self::over(make_with_child(projection, &self.input)?)))
    }

    fn gather_filters_for_pushdown(
        &self,
        _phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        FilterDescription::from_children(parent_filters, &self.children())
    }
}

/// Puts the nodes in, before other rules ask for claims.
#[derive(Debug)]
pub(crate) struct Doubt;

impl PhysicalOptimizerRule for Doubt {
    fn name(&self) -> &str {
        "ingot_doubt"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(doubted).data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn doubted(node: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let any: &dyn Any = node.as_ref();
    let acts = any.is::<SortExec>()
        || is_window(&node)
        || any.downcast_ref::<AggregateExec>().is_some_and(|a| a.mode().input_mode() == AggregateInputMode::Raw);
    let [input] = node.children()[..] else { return Ok(Transformed::no(node)) };
    if !acts || (any.is::<SortExec>() || is_window(&node)) && is_window(projected(input)) {
        return Ok(Transformed::no(node));
    }
    let input = ClaimsExec::over(Arc::clone(input));
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Ok(Transformed::yes(node.replace_children(vec![input], options)?))
}

/// What projections stand on.
fn projected(mut node: &Arc<dyn ExecutionPlan>) -> &Arc<dyn ExecutionPlan> {
    loop {
        let any: &dyn Any = node.as_ref();
        match any.downcast_ref::<ProjectionExec>() {
            Some(projection) => node = projection.input(),
            None => return node,
        }
    }
}

fn is_window(node: &Arc<dyn ExecutionPlan>) -> bool {
    let any: &dyn Any = node.as_ref();
    any.is::<WindowAggExec>() || any.is::<BoundedWindowAggExec>()
}
