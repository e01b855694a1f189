//! What operators claim of their rows, and is not so, is not believed.
//!
//!   a union's columns that are constant in each part, with a value of its own        (its top-n drops them as sort keys)
//!   GROUPING SETS: the constants, equalities, order and distribution of the input    (they make NULLs)
//!   an outer join: that what is constant or equal on one side is so where there is no row of it (NULLs stand there)
//!   a projection of groups: that the columns in the keys' old places are unique      (sort keys behind them go)
//!   the first rows of an inner ORDER BY .. LIMIT: their order    (a sort above goes into them, and merges go by theirs)
//!
//! Invariants
//! * A node above those operators claims what is true. It stays: whoever copies a plan asks for claims again.
//!
//! Not here: claims of tables, of which there are none.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion, TreeNodeRewriter};
use datafusion::common::{Constraint, Constraints, JoinType, Result, Statistics, internal_err, plan_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{AcrossPartitions, EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateInputMode};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter_pushdown::{FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
    ReplaceChildrenOptions,
};

/// What is believed of an input's claims.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Believed {
    /// Constants with one known value.
    Constants,
    /// How many partitions there are.
    Nothing,
    /// How rows are spread over partitions.
    Spread,
    /// All but that columns are unique.
    Repeats,
    /// All but an order.
    Unordered,
}

impl Believed {
    fn of(self, input: &Arc<dyn ExecutionPlan>) -> Result<PlanProperties> {
        let claimed = input.equivalence_properties();
        let properties = PlanProperties::clone(input.properties());
        let schema = Arc::clone(claimed.schema());
        Ok(match self {
            Self::Constants => {
                let mut constants = EquivalenceProperties::new(schema);
                let known = |across: &AcrossPartitions| matches!(across, AcrossPartitions::Uniform(Some(_)));
                constants.add_constants(claimed.constants().into_iter().filter(|c| known(&c.across_partitions)))?;
                properties.with_eq_properties(constants)
            }
            Self::Nothing => properties
                .with_eq_properties(EquivalenceProperties::new(schema))
                .with_partitioning(Partitioning::UnknownPartitioning(input.output_partitioning().partition_count())),
            Self::Spread => properties.with_eq_properties(EquivalenceProperties::new(schema)),
            Self::Repeats => properties.with_eq_properties(claimed.clone().with_constraints(Constraints::default())),
            Self::Unordered => {
                let mut unordered = claimed.clone();
                unordered.clear_orderings();
                properties.with_eq_properties(unordered)
            }
        })
    }
}

#[derive(Debug)]
struct ClaimsExec {
    input: Arc<dyn ExecutionPlan>,
    believed: Believed,
    properties: Arc<PlanProperties>,
}

impl ClaimsExec {
    fn over(input: Arc<dyn ExecutionPlan>, believed: Believed) -> Result<Arc<dyn ExecutionPlan>> {
        let properties = Arc::new(believed.of(&input)?);
        Ok(Arc::new(Self { input, believed, properties }))
    }
}

impl DisplayAs for ClaimsExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClaimsExec: {:?}", self.believed)
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
        // Else a sort goes below, where it believes all.
        vec![self.believed == Believed::Repeats]
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
            Some(input) => Self::over(input, self.believed),
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
        let plan = plan.transform_up(doubted).data()?;
        plan.rewrite(&mut InnerOrders::default()).data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn doubted(node: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let any: &dyn Any = node.as_ref();
    if any.is::<UnionExec>() {
        return Ok(Transformed::yes(ClaimsExec::over(node, Believed::Constants)?));
    }
    if any.downcast_ref::<AggregateExec>().is_some_and(|groups| {
        groups.group_expr().has_grouping_set() && groups.mode().input_mode() == AggregateInputMode::Raw
    }) {
        return Ok(Transformed::yes(ClaimsExec::over(node, Believed::Nothing)?));
    }
    if padded(&node).into_iter().any(claims_values) {
        return Ok(Transformed::yes(ClaimsExec::over(node, Believed::Spread)?));
    }
    let Some(projection) = any.downcast_ref::<ProjectionExec>().filter(|projection| moves_keys(projection)) else {
        return Ok(Transformed::no(node));
    };
    let input = ClaimsExec::over(Arc::clone(projection.input()), Believed::Repeats)?;
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Ok(Transformed::yes(node.replace_children(vec![input], options)?))
}

/// Puts the nodes above ORDER BY .. LIMIT that something above may sort again.
#[derive(Default)]
struct InnerOrders {
    /// From the root to here: whether the order of a node's rows is the order of the answer, or nobody believes in it.
    is_settled: Vec<bool>,
}

impl TreeNodeRewriter for InnerOrders {
    type Node = Arc<dyn ExecutionPlan>;

    fn f_down(&mut self, node: Self::Node) -> Result<Transformed<Self::Node>> {
        let passes = node.children().len() == 1 && node.maintains_input_order() == [true];
        self.is_settled.push(is_limit(&node) || passes && self.settled());
        Ok(Transformed::no(node))
    }

    fn f_up(&mut self, node: Self::Node) -> Result<Transformed<Self::Node>> {
        self.is_settled.pop();
        let takes_first = is_limit(&node) || node.fetch().is_some();
        if self.settled() || !takes_first || node.output_ordering().is_none() {
            return Ok(Transformed::no(node));
        }
        Ok(Transformed::yes(ClaimsExec::over(node, Believed::Unordered)?))
    }
}

impl InnerOrders {
    fn settled(&self) -> bool {
        self.is_settled.last().is_none_or(|above| *above)
    }
}

fn is_limit(node: &Arc<dyn ExecutionPlan>) -> bool {
    let any: &dyn Any = node.as_ref();
    any.is::<GlobalLimitExec>() || any.is::<LocalLimitExec>()
}

/// The sides of a join in whose place NULLs stand where there is no row of them.
fn padded(node: &Arc<dyn ExecutionPlan>) -> Vec<&Arc<dyn ExecutionPlan>> {
    let any: &dyn Any = node.as_ref();
    let kind = if let Some(join) = any.downcast_ref::<HashJoinExec>() {
        *join.join_type()
    } else if let Some(join) = any.downcast_ref::<NestedLoopJoinExec>() {
        *join.join_type()
    } else if let Some(join) = any.downcast_ref::<SortMergeJoinExec>() {
        join.join_type()
    } else {
        return Vec::new();
    };
    let (left, right) = match kind {
        JoinType::Left => (false, true),
        JoinType::Right => (true, false),
        JoinType::Full => (true, true),
        _ => (false, false),
    };
    node.children().into_iter().zip([left, right]).filter(|(_, is_padded)| *is_padded).map(|(side, _)| side).collect()
}

/// Whether the plan says of columns that they are constant or equal.
fn claims_values(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.equivalence_properties().eq_group().iter().next().is_some()
}

/// Whether another column comes to the place of a unique one: DataFusion goes by places, not by what is projected.
fn moves_keys(projection: &ProjectionExec) -> bool {
    let stays = |at: &usize| {
        let column = projection.expr().get(*at).and_then(|e| {
            let any: &dyn Any = e.expr.as_ref();
            any.downcast_ref::<Column>()
        });
        column.is_some_and(|column| column.index() == *at)
    };
    projection.input().equivalence_properties().constraints().iter().any(|constraint| match constraint {
        Constraint::PrimaryKey(columns) | Constraint::Unique(columns) => !columns.iter().all(stays),
    })
}
