//! Windows whose frames reach to the end of their partition hold one partition at a time, and account for its memory.
//!
//!   rows by PARTITION BY keys ──▶ complete partitions, a batch of rows at least ──▶ DataFusion's windows over these
//!
//! DataFusion's operator for such frames (`WindowAggExec`) collects the rows of all partitions and accounts for none.
//!
//! Invariants
//! * A partition is computed as a whole.
//! * What is held is reserved, twice while it is computed: the operator copies it.
//!
//! Not here: frames that end at the current row or near it, which hold no more than their rows.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{SortColumn, concat};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::utils::evaluate_partition_ranges;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{OrderingRequirements, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::WindowAggExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, InputDistributionRequirements,
    PlanProperties, ReplaceChildrenOptions,
};
use futures::TryStreamExt;

use crate::collected::slice_bytes;

/// Puts these windows in the place of DataFusion's, as the last rule.
#[derive(Debug)]
pub(crate) struct PartitionWindows;

impl PhysicalOptimizerRule for PartitionWindows {
    fn name(&self) -> &str {
        "ingot_partition_windows"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let any: &dyn Any = node.as_ref();
            if !any.is::<WindowAggExec>() {
                return Ok(Transformed::no(node));
            }
            Ok(Transformed::yes(Arc::new(PartitionWindowExec::new(node)) as Arc<dyn ExecutionPlan>))
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct PartitionWindowExec {
    /// DataFusion's operator, which answers everything but `execute`.
    window: Arc<dyn ExecutionPlan>,
    metrics: ExecutionPlanMetricsSet,
}

impl PartitionWindowExec {
    fn new(window: Arc<dyn ExecutionPlan>) -> Self {
        Self { window, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for PartitionWindowExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.window.fmt_as(t, f)
    }
}

impl ExecutionPlan for PartitionWindowExec {
    fn name(&self) -> &str {
        self.window.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.window.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.window.children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.window.apply_expressions(f)
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.window.maintains_input_order()
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        self.window.required_input_ordering()
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        self.input_distribution_requirements().into_per_child()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        self.window.input_distribution_requirements()
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(Arc::clone(&self.window).replace_children(children, options)?)))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let any: &dyn Any = self.window.as_ref();
        let Some(window) = any.downcast_ref::<WindowAggExec>() else { return internal_err!("a window is none") };
        let held = MemoryConsumer::new(format!("rows of a window[{partition}]"));
        let rows = Rows {
            input: window.input().execute(partition, Arc::clone(&context))?,
            window: Arc::clone(&self.window),
            keys: window.partition_by_sort_keys()?,
            rows_min: context.session_config().batch_size(),
            metrics: BaselineMetrics::new(&self.metrics, partition),
            held: held.register(context.memory_pool()),
            complete: Held::default(),
            open: Held::default(),
            last_keys: None,
            results: VecDeque::new(),
            ended: false,
            partition,
            context,
        };
        let batches =
            futures::stream::try_unfold(
                rows,
                |mut rows| async move { Ok(rows.next().await?.map(|batch| (batch, rows))) },
            );
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.window.child_stats_requests(partition)
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        self.window.statistics_from_inputs(inputs, args)
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        self.window.cardinality_effect()
    }
}

/// Batches, with the bytes and rows in them.
#[derive(Default)]
struct Held {
    batches: Vec<RecordBatch>,
    bytes: usize,
    rows: usize,
}

impl Held {
    fn push(&mut self, batch: RecordBatch) {
        if batch.num_rows() > 0 {
            self.bytes += batch.columns().iter().map(slice_bytes).sum::<usize>();
            self.rows += batch.num_rows();
            self.batches.push(batch);
        }
    }

    fn append(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.rows += other.rows;
        self.batches.extend(other.batches);
    }
}

/// The rows of one partition of the plan.
struct Rows {
    input: SendableRecordBatchStream,
    window: Arc<dyn ExecutionPlan>,
    /// In the order in which the input is sorted by them.
    keys: Vec<PhysicalSortExpr>,
    rows_min: usize,
    metrics: BaselineMetrics,
    held: MemoryReservation,
    /// Whole partitions.
    complete: Held,
    /// Rows of the last partition, which may go on.
    open: Held,
    last_keys: Option<Vec<ArrayRef>>,
    results: VecDeque<RecordBatch>,
    ended: bool,
    partition: usize,
    context: Arc<TaskContext>,
}

impl Rows {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.results.pop_front() {
                return Ok(Some(batch));
            }
            if self.ended {
                return Ok(None);
            }
            self.held.try_resize(self.complete.bytes + self.open.bytes)?;
            match self.input.try_next().await? {
                Some(batch) if batch.num_rows() == 0 => {}
                Some(batch) => {
                    self.take(batch)?;
                    if self.complete.rows >= self.rows_min {
                        self.compute().await?;
                    }
                }
                None => {
                    self.ended = true;
                    // What the input holds is free before the largest step.
                    self.input = Box::pin(RecordBatchStreamAdapter::new(self.input.schema(), futures::stream::empty()));
                    self.complete.append(std::mem::take(&mut self.open));
                    self.compute().await?;
                }
            }
        }
    }

    /// Adds a batch behind the rows that are held.
    fn take(&mut self, batch: RecordBatch) -> Result<()> {
        let sorted = self.keys.iter().map(|k| k.evaluate_to_sort_column(&batch)).collect::<Result<Vec<_>>>()?;
        let rows = batch.num_rows();
        let begins = self.begins(&sorted)?;
        let last = evaluate_partition_ranges(rows, &sorted)?.last().map_or(0, |range| range.start);
        if last > 0 || begins {
            self.complete.append(std::mem::take(&mut self.open));
            self.complete.push(batch.slice(0, last));
            self.open.push(batch.slice(last, rows - last));
        } else {
            self.open.push(batch);
        }
        self.last_keys = Some(sorted.iter().map(|c| c.values.slice(rows - 1, 1)).collect());
        Ok(())
    }

    /// Whether another partition begins with the first row of these keys.
    fn begins(&self, sorted: &[SortColumn]) -> Result<bool> {
        let Some(last) = &self.last_keys else { return Ok(false) };
        let pairs = sorted.iter().zip(last).map(|(column, last)| {
            let values = concat(&[last.as_ref(), column.values.slice(0, 1).as_ref()])?;
            Ok(SortColumn { values, options: column.options })
        });
        Ok(evaluate_partition_ranges(2, &pairs.collect::<Result<Vec<_>>>()?)?.len() > 1)
    }

    /// Computes the complete partitions.
    async fn compute(&mut self) -> Result<()> {
        let complete = std::mem::take(&mut self.complete);
        self.held.try_resize(2 * complete.bytes + self.open.bytes)?;
        let Some(input) = self.window.children().first().map(|input| Arc::clone(input.properties())) else {
            return internal_err!("a window has an input");
        };
        let rows: Arc<dyn ExecutionPlan> = Arc::new(Part { batches: complete.batches, properties: input });
        let keep = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep);
        let window = Arc::clone(&self.window).replace_children(vec![rows], keep)?;
        let mut computed = window.execute(self.partition, Arc::clone(&self.context))?;
        while let Some(batch) = computed.try_next().await? {
            self.metrics.record_output(batch.num_rows());
            let starts = (0..batch.num_rows()).step_by(self.rows_min.max(1));
            self.results.extend(starts.map(|at| batch.slice(at, self.rows_min.min(batch.num_rows() - at))));
        }
        Ok(())
    }
}

/// Rows of the input, as the input of a window.
#[derive(Debug)]
struct Part {
    batches: Vec<RecordBatch>,
    properties: Arc<PlanProperties>,
}

impl DisplayAs for Part {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())
    }
}

impl ExecutionPlan for Part {
    fn name(&self) -> &str {
        "PartExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _partition: usize, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = futures::stream::iter(self.batches.clone().into_iter().map(Ok));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::error::DataFusionError;

    use crate::collected::tests::{rows_of, shown, with_rows};

    #[tokio::test]
    async fn a_partition_is_computed_as_a_whole() {
        let ctx = with_rows(64 << 20, 20_000);
        // Partitions of a batch, of parts of one and of several, and one of all.
        for key in ["k / 64", "k / 7", "k / 1000", "k % 3", "k / 30000", "CASE WHEN k % 5 > 0 THEN k / 100 END"] {
            let sql = format!(
                "SELECT count(*) AS n FROM (SELECT {key} AS g, k, sum(k) OVER (PARTITION BY {key}) AS a,
                   last_value(k) OVER (PARTITION BY {key} ORDER BY k ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS z
                 FROM t) AS w JOIN (SELECT {key} AS g, sum(k) AS a, max(k) AS z FROM t GROUP BY {key}) AS s
                 ON w.g IS NOT DISTINCT FROM s.g WHERE w.a = s.a AND w.z = s.z"
            );
            assert_eq!(shown(&ctx, &sql).await, "| 20000 |", "{key}");
        }
        assert_eq!(shown(&ctx, "SELECT sum(k) OVER () AS a FROM t WHERE k < 0").await, "");
        assert_eq!(ctx.runtime_env().memory_pool.reserved(), 0);
    }

    #[tokio::test]
    async fn rows_of_the_largest_partition_must_fit() {
        let ctx = with_rows(6 << 20, 400_000);
        let error = rows_of(&ctx, "SELECT s, sum(k) OVER () AS a FROM t").await.unwrap_err();
        assert!(matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)), "{error}");
        assert!(error.to_string().contains("rows of a window"), "{error}");
        // The sort goes to disk, and 1,000 rows are held.
        let sql = "SELECT count(*) AS n FROM (SELECT s, sum(k) OVER (PARTITION BY k % 400) AS a FROM t) WHERE a > 0";
        assert_eq!(shown(&ctx, sql).await, "| 400000 |");
        assert_eq!(ctx.runtime_env().memory_pool.reserved(), 0);
    }
}
