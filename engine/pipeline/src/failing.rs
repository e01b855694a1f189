//! Rows for which an expression of a statement fails.
//!
//!   decoded rows ──▶ query ──▶ rows
//!                      └─ fails for a row ──▶ by halves ──▶ messages that fail, and the rows that are left
//!
//! Invariants
//! * Whether a row fails depends on the row alone: not on the batch that it came in, so that a replay finds the same.
//! * Only failures of values count; what fails otherwise fails the batch.
//!
//! Not here: what becomes of such messages (`ingest`).

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, BooleanArray, StringArray, UInt32Array, UInt64Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, Utc};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::execution::{SendableRecordBatchStream, SessionStateBuilder, TaskContext};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableSource, ident, lit};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use ingot_delta::DeltaError;
use ingot_source::{SELECT_FAILS, SourceSchema};

use crate::error::{PipelineError, Result};
use crate::refresh::changes::memory;
use crate::refresh::rewrite::arrow as arrow_error;
use ingot_project::project::{DecodeErrorPolicy, Model, SourceModel};
use ingot_query::context;

/// What a batch is without the messages that fail.
pub(crate) struct Apart {
    pub(crate) rows: RecordBatch,
    /// The others as rows of an error table.
    pub(crate) errors: RecordBatch,
}

/// How a table's source is read: with the messages beside the rows where the statement may fail for some.
pub(crate) fn schema_to_read(model: &Model, source: &SourceModel) -> Arc<SourceSchema> {
    match ingot_semantics::plan_can_fail(&model.plan) || !are_plain(model) {
        true => Arc::new(SourceSchema { keep_messages: true, ..source.schema.as_ref().clone() }),
        false => source.schema.clone(),
    }
}

/// The query of a streaming table over decoded rows.
///
/// # Errors
/// Execution errors; failures of rows among them.
pub(crate) async fn query(
    ctx: &SessionContext,
    model: &Model,
    source: &SourceModel,
    rows: RecordBatch,
    now: DateTime<Utc>,
) -> Result<Vec<RecordBatch>> {
    let provider = provider_as_source(memory(rows.schema(), vec![rows])?);
    let bind = |t: &TableReference| (t.table() == source.name).then(|| provider.clone());
    let plan = ingot_delta::rebind_tables(&model.plan, &bind)?;
    Ok(context::collect(ctx, ingot_delta::freeze_now(&plan, now)?).await?)
}

/// The query of a streaming table over decoded rows, as it was when they were read: rows, and messages that fail.
///
/// # Errors
/// As [`query`]; a failure where the table has no place for such messages.
pub(crate) async fn replayed(
    ctx: &SessionContext,
    model: &Model,
    source: &SourceModel,
    (rows, kept): (RecordBatch, Option<&RecordBatch>),
    now: DateTime<Utc>,
) -> Result<(Vec<RecordBatch>, Option<RecordBatch>)> {
    let Some(kept) = kept.filter(|_| matches!(model.on_decode_error, DecodeErrorPolicy::Into(_))) else {
        return Ok((query(ctx, model, source, rows, now).await?, None));
    };
    match query(ctx, model, source, rows.clone(), now).await {
        Ok(out) if are_plain(model) => Ok((out, None)),
        Err(error) if !of_a_row(&error) => Err(error),
        _ => {
            let apart = apart(ctx, model, source, &rows, kept, now).await?;
            let out = query(ctx, model, source, apart.rows, now).await?;
            Ok((out, Some(apart.errors)))
        }
    }
}

/// Whether nothing fails where expectations look at rows. A condition that fails does not: it is broken.
fn are_plain(model: &Model) -> bool {
    let looked_at = model.checked.iter().filter(|relation| !relation.expectations.is_empty());
    looked_at.into_iter().all(|relation| !ingot_semantics::plan_can_fail(&relation.plan))
}

/// Whether an error is one of a row's values.
pub(crate) fn of_a_row(error: &PipelineError) -> bool {
    match error {
        PipelineError::Engine(e) | PipelineError::Delta(DeltaError::DataFusion(e)) => ingot_semantics::is_failure(e),
        _ => false,
    }
}

/// Tells the rows for which the statement fails apart; `kept` holds their messages.
///
/// # Errors
/// What fails for another reason.
pub(crate) async fn apart(
    ctx: &SessionContext,
    model: &Model,
    source: &SourceModel,
    rows: &RecordBatch,
    kept: &RecordBatch,
    now: DateTime<Utc>,
) -> Result<Apart> {
    let failing = failing(ctx, model, source, rows, now).await?;
    let mut good = vec![true; rows.num_rows()];
    let (mut indices, mut reasons) = (vec![], vec![]);
    for (row, reason) in failing {
        if let Some(good) = good.get_mut(row) {
            *good = false;
        }
        indices.push(u32::try_from(row).unwrap_or(u32::MAX));
        reasons.push(reason);
    }
    let rows = filter_record_batch(rows, &BooleanArray::from(good)).map_err(arrow_error)?;
    let taken = take_record_batch(kept, &UInt32Array::from(indices)).map_err(arrow_error)?;
    let codes = vec![SELECT_FAILS; reasons.len()];
    let schema = taken.schema();
    let columns = schema.fields().iter().zip(taken.columns()).map(|(field, column)| -> ArrayRef {
        match field.name().as_str() {
            "code" => Arc::new(StringArray::from(codes.clone())),
            "reason" => Arc::new(StringArray::from_iter_values(&reasons)),
            _ => column.clone(),
        }
    });
    let errors = RecordBatch::try_new(schema.clone(), columns.collect()).map_err(arrow_error)?;
    Ok(Apart { rows, errors })
}

/// The rows for which a plan of the statement fails, and why, in order.
async fn failing(
    ctx: &SessionContext,
    model: &Model,
    source: &SourceModel,
    rows: &RecordBatch,
    now: DateTime<Utc>,
) -> Result<Vec<(usize, String)>> {
    let (held, table) = Held::table(rows.schema())?;
    let bind = |t: &TableReference| (t.table() == source.name).then(|| table.clone());
    let mut plans = vec![ingot_delta::rebind_tables(&model.plan, &bind)?];
    for relation in model.checked.iter().filter(|relation| !relation.expectations.is_empty()) {
        let plan = ingot_delta::rebind_tables(&relation.plan, &bind)?;
        let flags =
            relation.expectations.iter().enumerate().map(|(i, e)| e.broken.clone().alias(format!("broken_{i}")));
        plans.push(LogicalPlanBuilder::from(plan).project(flags)?.build()?);
    }
    let compiled = compile(ctx, plans, now).await?;
    search(ctx, &compiled, &held, rows, usize::MAX).await
}

/// The first rows of a batch for which one of the plans fails.
async fn search(
    ctx: &SessionContext,
    compiled: &[Arc<dyn ExecutionPlan>],
    held: &Held,
    rows: &RecordBatch,
    most: usize,
) -> Result<Vec<(usize, String)>> {
    let mut failing = vec![];
    // Halves that are still to be looked at, the first rows on top.
    let mut open = vec![(0, rows.num_rows())];
    while let Some((at, count)) = open.pop().filter(|_| failing.len() < most) {
        held.set(alone(rows, at, count)?);
        match run(ctx, compiled).await {
            Ok(()) => {}
            Err(error) if !ingot_semantics::is_failure(&error) => return Err(error.into()),
            Err(error) if count <= 1 => failing.push((at, reason(&error))),
            Err(_) => {
                let half = count / 2;
                open.push((at + half, count - half));
                open.push((at, half));
            }
        }
    }
    Ok(failing)
}

/// Some rows of a batch, and nothing of the others: a slice of a list holds the items of all, which its cast looks at.
fn alone(rows: &RecordBatch, at: usize, count: usize) -> Result<RecordBatch> {
    if count == rows.num_rows() || rows.num_columns() == 0 {
        return Ok(rows.slice(at, count));
    }
    let indices = UInt64Array::from_iter_values(at as u64..(at + count) as u64);
    take_record_batch(rows, &indices).map_err(arrow_error)
}

/// A row of a view's only input for which its statement fails, as `column = value` of the columns that it reads.
/// `None` where no row fails by itself: the failure is an aggregate's, or takes several rows.
///
/// # Errors
/// What fails for another reason.
pub(crate) async fn witness(
    ctx: &SessionContext,
    plan: &LogicalPlan,
    input: Arc<dyn TableProvider>,
    now: DateTime<Utc>,
) -> Result<Option<String>> {
    let (held, table) = Held::table(input.schema())?;
    let plan = ingot_delta::rebind_tables(plan, &|_| Some(table.clone()))?;
    let mut read = vec![];
    ctx.state().optimize(&ingot_delta::freeze_now(&plan, now)?)?.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            read.extend(scan.projected_schema.fields().iter().map(|f| f.name().clone()));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let compiled = compile(ctx, vec![plan], now).await?;
    let mut rows = ctx.read_table(input)?.execute_stream().await?;
    while let Some(batch) = rows.try_next().await? {
        if let Some((row, _)) = search(ctx, &compiled, &held, &batch, 1).await?.first() {
            return Ok(Some(described(&batch, *row, &read)));
        }
    }
    Ok(None)
}

/// A group of a bound plan's innermost aggregate for which a sum or an average does not fit its type.
///
/// # Errors
/// What fails for another reason.
pub(crate) async fn witness_of_groups(ctx: &SessionContext, plan: &LogicalPlan) -> Result<Option<String>> {
    let mut innermost = None;
    plan.apply(|node| {
        if let LogicalPlan::Aggregate(aggregate) = node {
            innermost = Some(aggregate.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let Some(aggregate) = innermost.filter(|aggregate| !aggregate.group_expr.is_empty()) else { return Ok(None) };
    let functions = ctx.state().aggregate_functions().clone();
    let (mut computed, mut unfit) = (vec![], None::<Expr>);
    for expr in &aggregate.aggr_expr {
        let mut inner = expr.clone().unalias_nested().data;
        let Expr::AggregateFunction(call) = &mut inner else { continue };
        let Some(attempt) = functions.get(&format!("try_{}", call.func.name())) else { continue };
        let mut counted = call.clone();
        call.func = attempt.clone();
        counted.func = count_udaf();
        let (value, count) = (format!("value_{}", computed.len()), format!("count_{}", computed.len()));
        computed.push(inner.alias(&value));
        computed.push(Expr::AggregateFunction(counted).alias(&count));
        let fails = ident(value).is_null().and(ident(count).gt(lit(0_i64)));
        unfit = Some(unfit.map_or(fails.clone(), |other| other.or(fails)));
    }
    let Some(unfit) = unfit else { return Ok(None) };
    let keys = match aggregate.group_expr.as_slice() {
        [Expr::GroupingSet(sets)] => sets.distinct_expr().into_iter().cloned().collect(),
        keys => keys.to_vec(),
    };
    let named: Vec<Expr> = keys.iter().enumerate().map(|(i, key)| key.clone().alias(format!("key_{i}"))).collect();
    let shown = (0..keys.len()).map(|i| ident(format!("key_{i}")));
    let found = LogicalPlanBuilder::from(aggregate.input.as_ref().clone())
        .aggregate(named, computed)?
        .filter(unfit)?
        .project(shown)?
        .limit(0, Some(1))?
        .build()?;
    let rows = context::collect(ctx, found).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let names: Vec<String> = keys.iter().map(ingot_semantics::shown).collect();
    let fields: Vec<Field> =
        row.schema().fields().iter().zip(&names).map(|(f, name)| f.as_ref().clone().with_name(name)).collect();
    let row = RecordBatch::try_new(Arc::new(Schema::new(fields)), row.columns().to_vec()).map_err(arrow_error)?;
    Ok(Some(described(&row, 0, &names)))
}

/// Some columns of a row, shortened.
fn described(batch: &RecordBatch, row: usize, columns: &[String]) -> String {
    const COLUMNS_MAX: usize = 8;
    const LENGTH_MAX: usize = 60;
    let options = FormatOptions::new().with_null("NULL");
    let shown = columns.iter().filter_map(|name| {
        let column = batch.column_by_name(name)?;
        let value = ArrayFormatter::try_new(column.as_ref(), &options).ok()?.value(row).to_string();
        let cut = value.chars().count() > LENGTH_MAX;
        let value: String = value.chars().take(LENGTH_MAX).collect();
        Some(format!("{name} = {value}{}", if cut { "..." } else { "" }))
    });
    let shown: Vec<String> = shown.collect();
    match shown.len() > COLUMNS_MAX {
        true => format!("{}, ...", shown[..COLUMNS_MAX].join(", ")),
        false => shown.join(", "),
    }
}

/// Plans that run again and again over what `Held` holds: nothing in them keeps a state between two runs.
async fn compile(
    ctx: &SessionContext,
    plans: Vec<LogicalPlan>,
    now: DateTime<Utc>,
) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
    let state = ctx.state();
    let config = state.config().clone().with_target_partitions(1);
    let state = SessionStateBuilder::new_from_existing(state).with_config(config).build();
    let mut compiled = Vec::with_capacity(plans.len());
    for plan in plans {
        compiled.push(state.create_physical_plan(&ingot_delta::freeze_now(&plan, now)?).await?);
    }
    Ok(compiled)
}

async fn run(ctx: &SessionContext, plans: &[Arc<dyn ExecutionPlan>]) -> Result<(), DataFusionError> {
    for plan in plans {
        collect(plan.clone(), ctx.task_ctx()).await?;
    }
    Ok(())
}

/// Why a row fails: an expression and a type.
pub(crate) fn reason(error: &DataFusionError) -> String {
    ingot_semantics::without_values(error)
}

/// A table of the rows that it was last given.
#[derive(Debug)]
struct Held {
    schema: SchemaRef,
    batch: Mutex<RecordBatch>,
}

impl Held {
    fn table(schema: SchemaRef) -> Result<(Arc<Self>, Arc<dyn TableSource>)> {
        let none = Mutex::new(RecordBatch::new_empty(schema.clone()));
        let held = Arc::new(Self { schema: schema.clone(), batch: none });
        let table = StreamingTable::try_new(schema, vec![held.clone()])?;
        Ok((held, provider_as_source(Arc::new(table))))
    }

    fn set(&self, batch: RecordBatch) {
        *self.batch.lock().unwrap_or_else(PoisonError::into_inner) = batch;
    }
}

impl PartitionStream for Held {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batch = self.batch.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), futures::stream::iter([Ok(batch)])))
    }
}
