//! A node through which the optimizer moves nothing that may fail.
//!
//!   Fence(condition) over input     rows of the input for which the condition is TRUE, and it is evaluated on no others
//!   Fence(kept columns) over input  the input; no condition on those columns goes below
//!
//! As a plan it is a `FilterExec` over a `FenceExec`, or a `FenceExec` alone, which the last rule takes out: a fence
//! costs nothing when it runs.
//!
//! Not here: where fences stand (`guard`).

use std::any::Any;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchemaRef, Result, plan_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use crate::judged::Judged;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fence {
    input: LogicalPlan,
    condition: Option<Expr>,
    kept: BTreeSet<String>,
}

impl PartialOrd for Fence {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl Fence {
    pub(crate) fn filter(condition: Expr, input: LogicalPlan) -> LogicalPlan {
        Self { input, condition: Some(condition), kept: BTreeSet::new() }.plan()
    }

    pub(crate) fn keep(kept: BTreeSet<String>, input: LogicalPlan) -> LogicalPlan {
        Self { input, condition: None, kept }.plan()
    }

    fn plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }

    /// The plan as a fence, if it is one.
    pub fn of(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
            _ => None,
        }
    }

    /// What it fences.
    pub fn input(&self) -> &LogicalPlan {
        &self.input
    }

    /// None: every row passes.
    pub fn condition(&self) -> Option<&Expr> {
        self.condition.as_ref()
    }
}

impl UserDefinedLogicalNodeCore for Fence {
    fn name(&self) -> &str {
        "Fence"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        self.condition.iter().cloned().collect()
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.kept.iter().cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.condition {
            Some(condition) => write!(f, "Fence: {condition}"),
            None => write!(f, "Fence"),
        }
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (mut exprs, mut inputs) = (exprs.into_iter(), inputs.into_iter());
        let (condition, Some(input)) = (exprs.next(), inputs.next()) else { return plan_err!("a fence has an input") };
        Ok(Self { input, condition, kept: self.kept.clone() })
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let mut columns: BTreeSet<usize> = output_columns.iter().copied().collect();
        for column in self.condition.iter().flat_map(Expr::column_refs) {
            columns.insert(self.input.schema().maybe_index_of_column(column)?);
        }
        Some(vec![columns.into_iter().collect()])
    }

    fn supports_limit_pushdown(&self) -> bool {
        self.condition.is_none()
    }
}

/// Plans fences and judged relations (`judged`).
#[derive(Debug)]
pub(crate) struct FencePlanner;

#[async_trait]
impl ExtensionPlanner for FencePlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if let (Some(judged), [logical], [input]) =
            (node.as_any().downcast_ref::<Judged>(), logical_inputs, physical_inputs)
        {
            let condition = |e| planner.create_physical_expr(e, logical.schema(), session, context);
            let conditions = judged.conditions().iter().map(condition).collect::<Result<_>>()?;
            return judged.operator(Arc::clone(input), conditions).map(Some);
        }
        let (Some(fence), [logical], [input]) =
            (node.as_any().downcast_ref::<Fence>(), logical_inputs, physical_inputs)
        else {
            return Ok(None);
        };
        let fenced: Arc<dyn ExecutionPlan> = Arc::new(FenceExec::new(Arc::clone(input)));
        Ok(Some(match &fence.condition {
            None => fenced,
            Some(condition) => {
                let condition = planner.create_physical_expr(condition, logical.schema(), session, context)?;
                Arc::new(FilterExec::try_new(condition, fenced)?)
            }
        }))
    }
}

/// Passes its input's batches on; no rule moves anything across it.
#[derive(Debug)]
pub(crate) struct FenceExec {
    input: Arc<dyn ExecutionPlan>,
    /// It stands while one rule runs.
    is_brief: bool,
}

impl FenceExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        Self { input, is_brief: false }
    }

    /// A fence for the time of one rule.
    pub(crate) fn brief(input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self { input, is_brief: true })
    }

    /// The input of a fence that was only there for one rule.
    pub(crate) fn taken_out(&self) -> Option<Arc<dyn ExecutionPlan>> {
        self.is_brief.then(|| Arc::clone(&self.input))
    }
}

impl DisplayAs for FenceExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FenceExec")
    }
}

impl ExecutionPlan for FenceExec {
    fn name(&self) -> &str {
        "FenceExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
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
            Some(input) => Ok(Arc::new(Self { input, is_brief: self.is_brief })),
            None => plan_err!("a fence has an input"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }
}

/// Fences what the physical rules must not move: projections that may fail, which they would put below a filter.
#[derive(Debug)]
pub(crate) struct RaiseFences;

impl PhysicalOptimizerRule for RaiseFences {
    fn name(&self) -> &str {
        "ingot_raise_fences"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let fenced = plan.transform_up(|node| {
            let any: &dyn Any = node.as_ref();
            let Some(projection) = any.downcast_ref::<ProjectionExec>() else { return Ok(Transformed::no(node)) };
            let below: &dyn Any = projection.input().as_ref();
            // Nothing is excluded below a leaf but by the leaf itself.
            let is_leaf = projection.input().children().is_empty();
            if is_leaf || below.is::<FenceExec>() || !projection.expr().iter().any(|e| may_fail(&e.expr)) {
                return Ok(Transformed::no(node));
            }
            let input: Arc<dyn ExecutionPlan> = Arc::new(FenceExec::new(Arc::clone(projection.input())));
            Ok(Transformed::yes(
                node.replace_children(vec![input], ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))?,
            ))
        })?;
        Ok(fenced.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether the expression is more than columns, constants and operators over them that always have a value.
fn may_fail(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let any: &dyn Any = expr.as_ref();
    if any.is::<Column>() {
        return false;
    }
    any.is::<ScalarFunctionExpr>() || any.is::<CastExpr>() || expr.children().into_iter().any(may_fail)
}

/// Takes the fences out, as the last rule.
#[derive(Debug)]
pub(crate) struct LowerFences;

impl PhysicalOptimizerRule for LowerFences {
    fn name(&self) -> &str {
        "ingot_lower_fences"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let lowered = plan.transform_up(|node| {
            let any: &dyn Any = node.as_ref();
            Ok(match any.downcast_ref::<FenceExec>() {
                Some(fence) => Transformed::yes(Arc::clone(&fence.input)),
                None => Transformed::no(node),
            })
        })?;
        Ok(lowered.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}
