//! The judgement of a relation's rows as an operator of the plan that reads them.
//!
//!   rows ──▶ JudgeExec ──▶ rows that stay
//!               ├──▶ rows for quarantine tables, each through a channel of its own
//!               └──▶ counts, and the FAIL UPDATE that is broken
//!
//! Invariants
//! * Every row is judged once, and is on one way alone.
//! * A channel holds a few batches: who reads slowly slows the read down, and nothing is collected here.
//! * Counts are given only when every partition was read to its end.
//!
//! Not here: what an expectation means (`expectations`), the plan around the operator (`read`).

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::StreamExt;
use ingot_model::TableName;
use ingot_project::project::BoundExpectation;
use ingot_semantics::Judge;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::expectations::{Counts, Judged, count, true_alone};

/// Batches that wait for the reader of a quarantine table.
const WAITING_BATCHES: usize = 4;

/// A FAIL UPDATE is broken: what is written is told apart by the judgement that looks for a row to show.
#[derive(Debug, thiserror::Error)]
#[error("expectation \"{0}\" is broken")]
pub(crate) struct Broken(String);

/// The judgement of one relation during one read.
#[derive(Debug)]
pub(crate) struct Judgement {
    expectations: Vec<BoundExpectation>,
    /// +1 for rows that come, -1 for rows that go.
    sign: i64,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    counts: Counts,
    ended: usize,
    /// Where rows of quarantine tables go, as long as the read goes on.
    to: BTreeMap<TableName, Sender<RecordBatch>>,
}

/// A judgement as the plan knows it.
#[derive(Debug)]
pub(crate) struct Seat(pub(crate) Arc<Judgement>);

impl Judge for Seat {
    fn takes_rows(&self) -> bool {
        self.0.with(|found| !found.to.is_empty())
    }

    fn operator(
        &self,
        input: Arc<dyn ExecutionPlan>,
        conditions: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(JudgeExec { input, conditions, judgement: Arc::clone(&self.0) }))
    }
}

impl Judgement {
    pub(crate) fn new(expectations: Vec<BoundExpectation>, sign: i64) -> Self {
        Self { expectations, sign, found: Mutex::default() }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Found) -> T) -> T {
        f(&mut self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The rows that go into a quarantine table from here on.
    pub(crate) fn rows_for(&self, table: &TableName) -> Receiver<RecordBatch> {
        let (to, rows) = channel(WAITING_BATCHES);
        self.with(|found| found.to.insert(table.clone(), to));
        rows
    }

    /// No more rows will go anywhere, but for those of partitions that are being read.
    pub(crate) fn close(&self) {
        self.with(|found| found.to.clear());
    }

    /// What it counted.
    ///
    /// # Errors
    /// When it was not shown every row of its `partitions`.
    pub(crate) fn counts(&self, partitions: usize) -> Result<Counts> {
        self.with(|found| match found.ended == partitions {
            true => Ok(found.counts.clone()),
            false => internal_err!("rows were not judged: {} of {partitions} partitions were read", found.ended),
        })
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct JudgeExec {
    input: Arc<dyn ExecutionPlan>,
    /// TRUE where a row passes, for each expectation.
    conditions: Vec<Arc<dyn PhysicalExpr>>,
    judgement: Arc<Judgement>,
}

/// The operators of a judgement in a plan, as their schema and their number of partitions.
pub(crate) fn operators(plan: &Arc<dyn ExecutionPlan>, of: &Arc<Judgement>) -> Result<Vec<(SchemaRef, usize)>> {
    let mut found = vec![];
    plan.apply(|node| {
        let any: &dyn Any = node.as_ref();
        if let Some(judge) = any.downcast_ref::<JudgeExec>().filter(|judge| Arc::ptr_eq(&judge.judgement, of)) {
            found.push((judge.input.schema(), node.output_partitioning().partition_count()));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// One partition on its way.
struct Passing {
    rows: SendableRecordBatchStream,
    conditions: Vec<Arc<dyn PhysicalExpr>>,
    judgement: Arc<Judgement>,
    to: BTreeMap<TableName, Sender<RecordBatch>>,
}

impl Passing {
    /// The next rows that stay.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        while let Some(batch) = self.rows.next().await.transpose()? {
            let rows = batch.num_rows();
            let passes = self.conditions.iter().map(|c| passes(c, &batch)).collect::<Result<Vec<_>>>()?;
            let Judgement { expectations, sign, .. } = self.judgement.as_ref();
            let mut counts = Counts::new();
            let routes = match count(expectations, &passes, rows, *sign, &mut counts)? {
                Judged::Rows(routes) => routes,
                Judged::Failed(i) => {
                    let name = expectations.get(i).map(|e| e.name.clone()).unwrap_or_default();
                    return Err(DataFusionError::External(Box::new(Broken(name))));
                }
            };
            if !counts.is_empty() {
                self.judgement.with(|found| add(&mut found.counts, &counts));
            }
            for (table, taken) in &routes.taken {
                let Some(to) = self.to.get(table).filter(|_| taken.true_count() > 0) else { continue };
                if to.send(filter_record_batch(&batch, taken)?).await.is_err() {
                    return Err(DataFusionError::Execution(format!("the refresh of \"{table}\" has ended")));
                }
            }
            match routes.stays.true_count() {
                0 => {}
                all if all == rows => return Ok(Some(batch)),
                _ => return Ok(Some(filter_record_batch(&batch, &routes.stays)?)),
            }
        }
        self.judgement.with(|found| found.ended += 1);
        self.to.clear();
        Ok(None)
    }
}

fn passes(condition: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<BooleanArray> {
    let value = condition.evaluate(batch)?.into_array(batch.num_rows())?;
    match value.as_boolean_opt() {
        Some(value) => Ok(true_alone(value)),
        None => internal_err!("a condition is {}", value.data_type()),
    }
}

/// Adds counts to counts.
pub(crate) fn add(all: &mut Counts, more: &Counts) {
    for (name, counts) in more {
        let entry = all.entry(name.clone()).or_default();
        entry.warned += counts.warned;
        entry.dropped += counts.dropped;
        entry.quarantined += counts.quarantined;
    }
}

impl DisplayAs for JudgeExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.judgement.expectations.iter().map(|e| e.name.as_str()).collect();
        write!(f, "JudgeExec: {}", names.join(", "))
    }
}

impl ExecutionPlan for JudgeExec {
    fn name(&self) -> &str {
        "JudgeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let mut on = TreeNodeRecursion::Continue;
        for condition in &self.conditions {
            on = f(condition)?;
            if on == TreeNodeRecursion::Stop {
                break;
            }
        }
        Ok(on)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.into_iter().next() {
            Some(input) => Ok(Arc::new(Self {
                input,
                conditions: self.conditions.clone(),
                judgement: Arc::clone(&self.judgement),
            })),
            None => internal_err!("a judge has an input"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let passing = Passing {
            rows: self.input.execute(partition, context)?,
            conditions: self.conditions.clone(),
            judgement: Arc::clone(&self.judgement),
            to: self.judgement.with(|found| found.to.clone()),
        };
        let rows = futures::stream::try_unfold(passing, async |mut passing| {
            Ok(passing.next().await?.map(|batch| (batch, passing)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::LowerEqual
    }
}
