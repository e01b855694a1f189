//! One read that gives the rows of a table and of the side tables that share it, with what its expectations counted.
//!
//!   bound inputs ──▶ plan with judges ──▶ rows of the table
//!                          └──▶ rows that it does not keep ──▶ query of a side table ──▶ rows of the side table
//!
//! Invariants
//! * The streams run side by side: all of them must be read at the same time.
//! * Where the optimizer took a judge out of the plan, expectations are judged by a read of their own.
//!
//! Not here: what is done with the rows (`act`), which tables share a read (`decide`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::TableReference;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::provider_as_source;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{EmptyRecordBatchStream, execute_stream};
use datafusion::prelude::{DataFrame, SessionContext};
use futures::StreamExt;
use ingot_model::TableName;
use ingot_project::project::{CheckedRelation, Judging, Model, TakenRows};
use ingot_query::context;
use ingot_semantics::Judged;
use tokio::sync::mpsc::Receiver;

use super::expectations::Counts;
use super::judge::{Judgement, Seat, add, operators};
use crate::error::Result;

/// What inputs are bound to.
pub(crate) type Bound = BTreeMap<TableName, Arc<dyn TableProvider>>;

/// The rows of a read.
pub(crate) struct Reading {
    /// What the table's strategy makes of them is partials.
    pub rows: SendableRecordBatchStream,
    /// Those of the side tables that were asked for, in that order.
    pub sides: Vec<SendableRecordBatchStream>,
    pub verdicts: Verdicts,
}

/// What the expectations of a table counted in one read or more.
#[derive(Default)]
pub(crate) struct Verdicts {
    known: Counts,
    judged: Vec<(Arc<Judgement>, usize)>,
}

impl Verdicts {
    pub(crate) fn known(known: Counts) -> Self {
        Self { known, judged: vec![] }
    }

    pub(crate) fn and(mut self, more: Self) -> Self {
        add(&mut self.known, &more.known);
        self.judged.extend(more.judged);
        self
    }

    /// All counts with `more`, when all rows were read.
    ///
    /// # Errors
    /// When they were not.
    pub(crate) fn counts_and(&self, more: &Counts) -> Result<Counts> {
        let mut counts = self.known.clone();
        add(&mut counts, more);
        for (judgement, partitions) in &self.judged {
            add(&mut counts, &judgement.counts(*partitions)?);
        }
        Ok(counts)
    }
}

/// Whether what a merge by key gives is judged, and not what is read.
pub(crate) fn is_judged_merged(model: &Model, relation: &CheckedRelation) -> bool {
    model.strategy.merges_by_key() && relation.name == model.name.to_string()
}

/// Makes plans ready to run: the time of the refresh in them.
pub(crate) type Prepare<'a> = dyn Fn(LogicalPlan) -> Result<LogicalPlan> + Send + Sync + 'a;

/// The plan of a table, or of its partials, over bound inputs.
///
/// # Errors
/// Inputs of other columns.
pub(crate) fn bind(plan: &LogicalPlan, bound: &Bound, prepare: &Prepare<'_>) -> Result<LogicalPlan> {
    let source = |reference: &TableReference| {
        bound.get(&TableName::of(reference)?).map(|provider| provider_as_source(Arc::clone(provider)))
    };
    prepare(ingot_delta::rebind_tables(plan, &source)?)
}

/// Begins a read that judges on the way; `None` where it cannot, and nothing was read. `sign` is +1 for rows that come,
/// -1 for rows that go.
///
/// # Errors
/// Planning errors; those of execution come in the streams.
pub(crate) async fn judged(
    ctx: &SessionContext,
    model: &Model,
    judging: &Judging,
    bound: &Bound,
    prepare: &Prepare<'_>,
    sign: i64,
    sides: &[&TableName],
) -> Result<Option<Reading>> {
    let mut taken: Vec<&TakenRows> = vec![];
    for side in sides {
        let Some(Ok(rows)) = judging.taken.get(*side) else { return Ok(None) };
        taken.push(rows);
    }
    let places = places(&judging.plan)?;
    let judgement = |place: &usize| {
        let relation = model.checked.get(*place)?;
        Some((*place, Arc::new(Judgement::new(relation.expectations.clone(), sign))))
    };
    let judgements: BTreeMap<usize, Arc<Judgement>> = places.iter().filter_map(judgement).collect();
    let mut waiting = vec![];
    for (side, rows) in sides.iter().zip(&taken) {
        let Some(judgement) = judgements.get(&rows.place) else { return Ok(None) };
        waiting.push((judgement, judgement.rows_for(side)));
    }
    let plan = bind(&judging.strategy.partials(&judging.plan)?, bound, prepare)?;
    let plan = Judged::with_judges(plan, &|place| Some(Arc::new(Seat(Arc::clone(judgements.get(&place)?)))))?;
    let physical = DataFrame::new(ctx.state(), plan).create_physical_plan().await?;
    let mut verdicts = Verdicts::default();
    let mut schemas = BTreeMap::new();
    for (place, judgement) in &judgements {
        match operators(&physical, judgement)?.as_slice() {
            [(schema, partitions)] => {
                schemas.insert(*place, Arc::clone(schema));
                verdicts.judged.push((Arc::clone(judgement), *partitions));
            }
            _ => return Ok(None),
        }
    }
    let mut streams = vec![];
    for (rows, (_, given)) in taken.iter().zip(waiting) {
        let Some(schema) = schemas.get(&rows.place) else { return Ok(None) };
        streams.push(side(ctx, rows, schema, given, prepare).await?);
    }
    let closing = Closing(judgements.into_values().collect());
    let rows = execute_stream(physical, ctx.task_ctx())?;
    let schema = rows.schema();
    // The judgements are closed with the stream, whoever drops it.
    let rows = rows.map(move |batch| {
        let _ = &closing;
        batch
    });
    let rows = Box::pin(RecordBatchStreamAdapter::new(schema, rows));
    Ok(Some(Reading { rows, sides: streams, verdicts }))
}

fn places(plan: &LogicalPlan) -> Result<Vec<usize>> {
    let mut places = vec![];
    plan.apply(|node| {
        places.extend(Judged::of(node).map(Judged::place));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(places)
}

/// No rows go to side tables once the read is over, or given up.
struct Closing(Vec<Arc<Judgement>>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.iter().for_each(|judgement| judgement.close());
    }
}

/// The rows that a side table makes of those that it is given.
async fn side(
    ctx: &SessionContext,
    taken: &TakenRows,
    schema: &SchemaRef,
    given: Receiver<RecordBatch>,
    prepare: &Prepare<'_>,
) -> Result<SendableRecordBatchStream> {
    let named = schema.fields().iter().enumerate();
    let named = named.map(|(i, f)| f.as_ref().clone().with_name(format!("c{i}")).with_nullable(true));
    let schema: SchemaRef = Arc::new(Schema::new(named.collect::<Vec<_>>()));
    let given = Arc::new(Given { schema: Arc::clone(&schema), rows: Mutex::new(Some(given)) });
    let table = provider_as_source(Arc::new(StreamingTable::try_new(schema, vec![given])?));
    let source = |reference: &TableReference| (*reference == taken.source).then(|| Arc::clone(&table));
    let plan = prepare(ingot_delta::rebind_tables(&taken.plan, &source)?)?;
    Ok(context::stream(ctx, plan).await?)
}

/// Rows that come through a channel, once.
#[derive(Debug)]
struct Given {
    schema: SchemaRef,
    rows: Mutex<Option<Receiver<RecordBatch>>>,
}

impl PartitionStream for Given {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        let taken = self.rows.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(rows) = taken else { return Box::pin(EmptyRecordBatchStream::new(Arc::clone(&self.schema))) };
        let schema = Arc::clone(&self.schema);
        let named = futures::stream::unfold(rows, async |mut rows| {
            let batch = rows.recv().await?;
            Some((batch, rows))
        });
        let named = named.map(move |batch| Ok(RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec())?));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), named))
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
