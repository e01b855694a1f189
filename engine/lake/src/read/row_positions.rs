//! Reads rows with their place: `_ingot_file` and `_ingot_pos`, deletes applied.
//!
//!   file ──▶ Parquet reader + row number ──▶ minus deleted positions ──▶ columns
//!
//! Invariants
//! * `_ingot_pos` counts the rows of the file as written, from 0, deleted ones included.
//! * Every row that no delete takes away comes out once. No filter is pushed
//!   in here: a copy-on-write that missed rows would lose them. Hidden keys are,
//!   where the caller names them.
//!
//! Not here: which files (`prune`), what to do with the rows (`ingot-delta`).

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, exec_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_expr_adapter::PhysicalExprAdapterFactory;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use ingot_model::place;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask, RowNumber};
use parquet::basic::Type as PhysicalType;

use crate::deletes::applied::{ScanDeletes, Taken};
use crate::error::not_read;
use crate::read::adapt::{ByIdAdapterFactory, ByIdReaderFactory};
use crate::read::changelog::FileRef;
use crate::read::key_probe::KeyProbe;

/// What the reader calls positions; no table column can have this name.
const ROW_NUMBER: &str = "\u{1}position";

/// One file to read.
#[derive(Clone, Debug)]
pub(crate) struct PlacedFile {
    pub(crate) of: FileRef,
    pub(crate) file: PartitionedFile,
}

/// A column of the output.
#[derive(Clone, Debug)]
enum OutputColumn {
    Stored(String),
    /// What the file has of a row's id, else its first id and the position.
    RowId,
    /// What the file has of a row's last change, else the file's sequence number.
    LastUpdated,
    File,
    Position,
}

impl OutputColumn {
    /// The column of files that it is read from.
    fn stored(&self) -> Option<&str> {
        match self {
            OutputColumn::Stored(name) => Some(name),
            OutputColumn::RowId => Some(place::ROW_ID),
            OutputColumn::LastUpdated => Some(place::LAST_UPDATED),
            OutputColumn::File | OutputColumn::Position => None,
        }
    }
}

/// How files of a table are opened and read.
#[derive(Clone, Debug)]
pub(crate) struct ById {
    /// Columns of the table that can be read, hidden ones included.
    pub(crate) schema: SchemaRef,
    pub(crate) reader: Arc<ByIdReaderFactory>,
    pub(crate) adapter: Arc<ByIdAdapterFactory>,
}

/// Scans files row by row, each group of files a partition.
#[derive(Debug)]
pub(crate) struct RowPositionsExec {
    by_id: ById,
    outputs: Vec<OutputColumn>,
    groups: Vec<Vec<PlacedFile>>,
    deletes: Arc<ScanDeletes>,
    probe: Option<KeyProbe>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl RowPositionsExec {
    /// A scan with the columns of `projected`, among them `_ingot_file` and `_ingot_pos` by these names, and with `lineage`
    /// those of the rows' lineage by theirs. With `probe` rows of other keys may be left out.
    pub(crate) fn new(
        by_id: ById,
        projected: SchemaRef,
        groups: Vec<Vec<PlacedFile>>,
        deletes: Arc<ScanDeletes>,
        (probe, lineage): (Option<KeyProbe>, bool),
    ) -> Self {
        let outputs = projected
            .fields()
            .iter()
            .map(|field| match field.name().as_str() {
                place::FILE => OutputColumn::File,
                place::POSITION => OutputColumn::Position,
                place::ROW_ID if lineage => OutputColumn::RowId,
                place::LAST_UPDATED if lineage => OutputColumn::LastUpdated,
                name => OutputColumn::Stored(name.to_owned()),
            })
            .collect();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(projected),
            Partitioning::UnknownPartitioning(groups.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let (properties, metrics) = (Arc::new(properties), ExecutionPlanMetricsSet::new());
        Self { by_id, outputs, groups, deletes, probe, properties, metrics }
    }

    fn rows(&self, group: &[PlacedFile]) -> Precision<usize> {
        let rows: u64 = group.iter().map(|f| f.of.record_count()).sum();
        match usize::try_from(rows) {
            Ok(rows) if self.probe.is_none() && group.iter().all(|f| f.of.is_whole()) => Precision::Exact(rows),
            Ok(rows) => Precision::Inexact(rows),
            Err(_) => Precision::Absent,
        }
    }
}

impl DisplayAs for RowPositionsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: usize = self.groups.iter().map(Vec::len).sum();
        write!(f, "RowPositionsExec: groups={}, files={files}", self.groups.len())
    }
}

impl ExecutionPlan for RowPositionsExec {
    fn name(&self) -> &str {
        "RowPositionsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { exec_err!("a scan has no inputs") }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(files) = self.groups.get(partition) else {
            return exec_err!("the scan has no partition {partition}");
        };
        let schema = self.schema();
        let scan = FileScan {
            by_id: self.by_id.clone(),
            outputs: self.outputs.clone(),
            schema: Arc::clone(&schema),
            deletes: Arc::clone(&self.deletes),
            probe: self.probe.clone(),
            partition,
            batch_size: context.session_config().batch_size(),
            metrics: self.metrics.clone(),
        };
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let batches = stream::iter(files.clone())
            .then(move |file| {
                let scan = scan.clone();
                async move { scan.open(file).await }
            })
            .try_flatten()
            .inspect_ok(move |batch| baseline.record_output(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        statistics.num_rows = match partition {
            Some(partition) => match self.groups.get(partition) {
                Some(group) => self.rows(group),
                None => return exec_err!("the scan has no partition {partition}"),
            },
            None => {
                self.groups.iter().map(|group| self.rows(group)).fold(Precision::Exact(0), |sum, rows| sum.add(&rows))
            }
        };
        Ok(Arc::new(statistics))
    }
}

#[derive(Clone)]
struct FileScan {
    by_id: ById,
    outputs: Vec<OutputColumn>,
    schema: SchemaRef,
    deletes: Arc<ScanDeletes>,
    probe: Option<KeyProbe>,
    partition: usize,
    batch_size: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl FileScan {
    async fn open(self, file: PlacedFile) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let taken = if file.of.is_whole() { None } else { Some(self.deletes.taken(&file.of).await?) };
        let mut reader: Box<dyn AsyncFileReader> = self.by_id.reader.create_reader(
            self.partition,
            file.file.clone(),
            file.file.metadata_size_hint,
            &self.metrics,
        )?;
        let row_number = Field::new(ROW_NUMBER, DataType::Int64, false);
        let row_number = Arc::new(row_number.with_extension_type(RowNumber));
        let options = ArrowReaderOptions::new().with_virtual_columns(vec![row_number])?;
        let metadata = ArrowReaderMetadata::load_async(&mut reader, options).await?;
        let parquet = metadata.parquet_schema();
        if parquet.columns().iter().any(|c| c.physical_type() == PhysicalType::INT96) {
            return not_read(format!(
                "data file {:?} has INT96 timestamps, whose rows cannot be replaced: compact it with the engine that wrote it",
                file.of.path
            ));
        }
        let stored: Vec<_> =
            metadata.schema().fields().iter().filter(|f| f.name() != ROW_NUMBER).map(Arc::clone).collect();
        let stored = Arc::new(Schema::new_with_metadata(stored, metadata.schema().metadata().clone()));
        let adapter = self.by_id.adapter.create(Arc::clone(&self.by_id.schema), Arc::clone(&stored))?;
        let mut exprs: Vec<Option<Arc<dyn PhysicalExpr>>> = Vec::new();
        let mut roots = Vec::new();
        for output in &self.outputs {
            let Some(name) = output.stored() else {
                exprs.push(None);
                continue;
            };
            let column = Column::new_with_schema(name, &self.by_id.schema)?;
            let expr = adapter.rewrite(Arc::new(column))?;
            roots.extend(collect_columns(&expr).iter().map(Column::index));
            exprs.push(Some(expr));
        }
        let mask = ProjectionMask::roots(parquet, roots);
        let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
            .with_projection(mask)
            .with_batch_size(self.batch_size);
        if let Some(probe) = &self.probe {
            builder = probe.applied(builder, &stored).await?;
        }
        let batches = builder.build()?;
        let mut columns = None;
        let batches = batches.map(move |batch| {
            let batch = batch?;
            // Expressions know the whole file's columns; batches hold some of them.
            if columns.is_none() {
                let bound = exprs
                    .iter()
                    .map(|expr| {
                        expr.as_ref().map(|e| reassign_expr_columns(Arc::clone(e), &batch.schema())).transpose()
                    })
                    .collect::<Result<Vec<_>>>()?;
                columns = Some(bound);
            }
            match &columns {
                Some(columns) => self.finish(&file, taken.as_deref(), columns, batch),
                None => exec_err!("columns are bound with the first batch"),
            }
        });
        Ok(batches.boxed())
    }

    fn finish(
        &self,
        file: &PlacedFile,
        taken: Option<&Taken>,
        columns: &[Option<Arc<dyn PhysicalExpr>>],
        batch: RecordBatch,
    ) -> Result<RecordBatch> {
        let batch = match taken {
            None => batch,
            Some(taken) => {
                let positions = positions(&batch)?.values().iter();
                let left = |p: &i64| u64::try_from(*p).is_ok_and(|position| taken.leaves(position));
                filter_record_batch(&batch, &BooleanArray::from_iter(positions.map(|p| Some(left(p)))))?
            }
        };
        let rows = batch.num_rows();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
        for (output, expr) in self.outputs.iter().zip(columns) {
            arrays.push(match (output, expr) {
                (OutputColumn::Position, _) => Arc::new(positions(&batch)?.clone()),
                (OutputColumn::File, _) => {
                    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&file.of.path, rows)))
                }
                (OutputColumn::Stored(_), Some(expr)) => expr.evaluate(&batch)?.into_array(rows)?,
                (OutputColumn::RowId, Some(expr)) => {
                    let own = expr.evaluate(&batch)?.into_array(rows)?;
                    let first = file.of.data_file.first_row_id();
                    let places = positions(&batch)?.values().iter();
                    let ids = own.as_primitive::<Int64Type>().iter().zip(places);
                    Arc::new(ids.map(|(own, place)| own.or_else(|| first?.checked_add(*place))).collect::<Int64Array>())
                }
                (OutputColumn::LastUpdated, Some(expr)) => {
                    let own = expr.evaluate(&batch)?.into_array(rows)?;
                    // A file without ids has no lineage at all.
                    let inherited = file.of.data_file.first_row_id().map(|_| file.of.sequence_number);
                    let own = own.as_primitive::<Int64Type>().iter();
                    Arc::new(own.map(|own| own.or(inherited)).collect::<Int64Array>())
                }
                (OutputColumn::Stored(_) | OutputColumn::RowId | OutputColumn::LastUpdated, None) => {
                    return exec_err!("column {:?} was not planned", output.stored());
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?)
    }
}

fn positions(batch: &RecordBatch) -> Result<&Int64Array> {
    let column = batch.column_by_name(ROW_NUMBER);
    match column.and_then(|c| c.as_any().downcast_ref::<Int64Array>()) {
        Some(positions) => Ok(positions),
        None => exec_err!("the Parquet reader gave no row numbers"),
    }
}
