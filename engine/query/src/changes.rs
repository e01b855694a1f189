//! The rows that came and went in a table between its snapshots, as tables of a statement.
//!
//! ```text
//!   changes('t', from, to) ──▶ one step   ╮   files that came and went ──▶ rows ──▶ consolidated where files went
//!   "t$changes" ──▶ a step a snapshot     ╯
//! ```
//!
//! Invariants
//! * Of each step: rows after = rows before - those marked `delete` + those marked `insert`, as multisets, and no row
//!   stands on both sides.
//! * Rows of both snapshots are read in the columns of one, by field id.
//! * Rows that are held to be compared count in the pool.
//!
//! Not here: which files came and went (`ingot_lake`), how a statement names the snapshots (`changes_call`).

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::datasource::TableType;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::expressions::{Column, lit};
use datafusion::physical_expr::{Distribution, EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};
use ingot_lake::{FileRef, LakeError, LakeTableProvider, ScanOptions, Table, change_between};

use crate::error::{ErrorKind, QueryError};

const CHANGE_TYPE: &str = "_change_type";
const CHANGE_VERSION_ID: &str = "_change_version_id";
const CHANGE_TIMESTAMP: &str = "_change_timestamp";
const CHANGE_ORDINAL: &str = "_change_ordinal";
const INSERT: &str = "insert";
const DELETE: &str = "delete";

/// Snapshots whose changes one statement reads at most: each is a scan of its own.
const STEPS_MAX: usize = 2_000;

/// From one snapshot, or none, to another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    from: Option<i64>,
    to: i64,
    /// When `to` was made, in milliseconds since 1970.
    timestamp_ms: i64,
}

/// A table's change over some steps.
#[derive(Debug)]
pub(crate) struct Changes {
    /// In whose columns the rows are read.
    table: Table,
    steps: Vec<Step>,
    /// The table's columns, and behind them what marks a row.
    schema: SchemaRef,
    /// Whether a row says which step it is of.
    is_numbered: bool,
}

impl Changes {
    /// The difference of two snapshots; nothing without a later one.
    ///
    /// # Errors
    /// A column of a name that marks rows; snapshots that are gone.
    pub(crate) fn between(table: Table, from: Option<i64>, to: Option<i64>) -> std::result::Result<Self, QueryError> {
        let made = |to: i64| match table.snapshot(to) {
            Some(snapshot) => Ok(Step { from, to, timestamp_ms: snapshot.timestamp_ms }),
            None => Err(QueryError::from_lake(&LakeError::SnapshotGone { table: table.name().clone(), snapshot: to })),
        };
        let steps = to.map(made).transpose()?.into_iter().collect();
        Self::of(table, steps, false)
    }

    /// What each snapshot of the line that ends with `head` did to the rows, as far back as the metadata goes.
    ///
    /// # Errors
    /// As [`Changes::between`]; too many snapshots.
    pub(crate) fn of_each(table: Table, head: Option<i64>) -> std::result::Result<Self, QueryError> {
        let mut steps = Vec::new();
        let mut at = head.and_then(|id| table.snapshot(id));
        while let Some(snapshot) = at {
            let parent = snapshot.parent.map(|id| (id, table.snapshot(id)));
            let is_told = !matches!(parent, Some((_, None))) && !snapshot.operation.is_rewrite();
            if is_told && snapshot.changes_files().unwrap_or(true) {
                let from = snapshot.parent;
                steps.push(Step { from, to: snapshot.id, timestamp_ms: snapshot.timestamp_ms });
            }
            if steps.len() > STEPS_MAX {
                let text = format!("more than {STEPS_MAX} snapshots of \"{}\" changed rows", table.name());
                return Err(QueryError::new(ErrorKind::Unsupported, text)
                    .with_hint("ask for the difference of two of them: changes('namespace.table', from, to)"));
            }
            at = parent.and_then(|(_, parent)| parent);
        }
        steps.reverse();
        Self::of(table, steps, true)
    }

    fn of(table: Table, steps: Vec<Step>, is_numbered: bool) -> std::result::Result<Self, QueryError> {
        let mut marks = vec![Field::new(CHANGE_TYPE, DataType::Utf8, false)];
        if is_numbered {
            let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
            marks.extend([
                Field::new(CHANGE_VERSION_ID, DataType::Int64, false),
                Field::new(CHANGE_TIMESTAMP, time, false),
                Field::new(CHANGE_ORDINAL, DataType::Int32, false),
            ]);
        }
        let stored = table.schema();
        if let Some(mark) = marks.iter().find(|mark| stored.field_with_name(mark.name()).is_ok()) {
            let text = format!("table \"{}\" has a column \"{}\", which marks changes", table.name(), mark.name());
            return Err(QueryError::new(ErrorKind::Unsupported, text).with_hint("rename the column"));
        }
        let fields: Vec<_> = stored.fields().iter().map(Arc::clone).chain(marks.into_iter().map(Arc::new)).collect();
        Ok(Self { table, steps, schema: Arc::new(Schema::new(fields)), is_numbered })
    }

    async fn rows(&self, state: &dyn Session, to: i64, files: Vec<FileRef>) -> Result<Arc<dyn ExecutionPlan>> {
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(self.table.schema())));
        }
        let options = ScanOptions { snapshot: Some(to), files: Some(files), ..ScanOptions::default() };
        let provider = LakeTableProvider::try_new(&self.table, options).await.map_err(external)?;
        provider.scan(state, None, &[], None).await
    }

    async fn step(&self, state: &dyn Session, ordinal: usize, step: &Step) -> Result<Arc<dyn ExecutionPlan>> {
        let change = change_between(&self.table, step.from, step.to).await.map_err(external)?;
        let is_append = change.removed.is_empty();
        let plus = self.rows(state, step.to, change.added).await?;
        let rows = if is_append {
            plus
        } else {
            let minus = self.rows(state, step.to, change.removed).await?;
            Arc::new(NetChangeExec::new(plus, minus, self.table.name().to_string())) as Arc<dyn ExecutionPlan>
        };
        let of = rows.schema();
        let mut outputs: Vec<(Arc<dyn PhysicalExpr>, String)> = Vec::with_capacity(self.schema.fields().len());
        for (index, field) in of.fields().iter().enumerate() {
            outputs.push((Arc::new(Column::new(field.name(), index)), field.name().clone()));
        }
        if is_append {
            outputs.push((lit(INSERT), CHANGE_TYPE.into()));
        }
        if self.is_numbered {
            let time = ScalarValue::TimestampMillisecond(Some(step.timestamp_ms), Some("UTC".into()));
            outputs.push((lit(step.to), CHANGE_VERSION_ID.into()));
            outputs.push((lit(time), CHANGE_TIMESTAMP.into()));
            outputs.push((lit(i32::try_from(ordinal).unwrap_or(i32::MAX)), CHANGE_ORDINAL.into()));
        }
        Ok(Arc::new(ProjectionExec::try_new(outputs, rows)?))
    }
}

fn external(error: LakeError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

#[async_trait::async_trait]
impl TableProvider for Changes {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut steps = Vec::with_capacity(self.steps.len());
        for (ordinal, step) in self.steps.iter().enumerate() {
            steps.push(self.step(state, ordinal, step).await?);
        }
        let all = match steps.len() {
            0 => Arc::new(EmptyExec::new(self.schema())) as Arc<dyn ExecutionPlan>,
            _ => UnionExec::try_new(steps)?,
        };
        let Some(projection) = projection else { return Ok(all) };
        let outputs = projection.iter().map(|index| {
            let field = self.schema.field(*index);
            (Arc::new(Column::new(field.name(), *index)) as Arc<dyn PhysicalExpr>, field.name().clone())
        });
        Ok(Arc::new(ProjectionExec::try_new(outputs.collect::<Vec<_>>(), all)?))
    }
}

/// Rows that came and rows that went, without those that are in both: each marked with what became of it.
#[derive(Debug)]
struct NetChangeExec {
    inputs: [Arc<dyn ExecutionPlan>; 2],
    table: String,
    properties: Arc<PlanProperties>,
}

impl NetChangeExec {
    fn new(plus: Arc<dyn ExecutionPlan>, minus: Arc<dyn ExecutionPlan>, table: String) -> Self {
        let mark = Arc::new(Field::new(CHANGE_TYPE, DataType::Utf8, false));
        let fields: Vec<_> = plus.schema().fields().iter().map(Arc::clone).chain([mark]).collect();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(Schema::new(fields))),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self { inputs: [plus, minus], table, properties: Arc::new(properties) }
    }
}

impl DisplayAs for NetChangeExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetChangeExec: table={}", self.table)
    }
}

impl ExecutionPlan for NetChangeExec {
    fn name(&self) -> &str {
        "NetChangeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().collect()
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition; 2]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match <[_; 2]>::try_from(children) {
            Ok([plus, minus]) => Ok(Arc::new(Self::new(plus, minus, self.table.clone()))),
            Err(_) => exec_err!("a change has two inputs"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return exec_err!("a change has no partition {partition}");
        }
        let held = MemoryConsumer::new(format!("changes of {}", self.table)).register(context.memory_pool());
        let [plus, minus] = &self.inputs;
        let (plus, minus) = (plus.execute(0, Arc::clone(&context))?, minus.execute(0, context)?);
        let schema = self.schema();
        let of = Arc::clone(&schema);
        let rows = async move {
            let (plus, minus) = (collected(plus, &held).await?, collected(minus, &held).await?);
            let (plus, minus) =
                ingot_delta::consolidate(&plus, &minus).map_err(|e| DataFusionError::External(Box::new(e)))?;
            let plus = plus.into_iter().map(|rows| (rows, INSERT));
            let marked = plus.chain(minus.into_iter().map(|rows| (rows, DELETE)));
            let batches: Vec<_> = marked.map(|(rows, mark)| marked_with(&of, &rows, mark)).collect();
            // The reservation lives as long as the rows.
            Ok::<_, DataFusionError>(stream::iter(batches).inspect(move |_| {
                let _ = &held;
            }))
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::once(rows).try_flatten())))
    }
}

async fn collected(mut rows: SendableRecordBatchStream, held: &MemoryReservation) -> Result<Vec<RecordBatch>> {
    let mut all = Vec::new();
    while let Some(batch) = rows.next().await.transpose()? {
        // Once as it is, once as the bytes that are compared.
        held.try_grow(2 * batch.get_array_memory_size())?;
        all.push(batch);
    }
    Ok(all)
}

fn marked_with(schema: &SchemaRef, rows: &RecordBatch, mark: &str) -> Result<RecordBatch> {
    let marks: ArrayRef = Arc::new(StringArray::from_iter_values(std::iter::repeat_n(mark, rows.num_rows())));
    let columns = rows.columns().iter().map(Arc::clone).chain([marks]).collect();
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
