//! A Parquet scan of a table's data files: which are opened, and which of their rows are left.
//!
//! ```text
//!   file ──▶ can it hold what is wanted by now? ──▶ its deletes as positions (`deletes::applied`) ──▶ row selection
//!               no: it is not opened                                                 DataFusion's Parquet source ◀──┘
//! ```
//!
//! Invariants
//! * Whatever DataFusion does with a selection it does here: filters, limits and dynamic filters go into the scan, and row
//!   groups and pages are left out by it.
//! * A file's deletes are read when the file is opened.
//! * Filters that change while a query runs, those of joins and of `ORDER BY ... LIMIT`, are judged as they are when a file
//!   is about to be opened.
//! * The Parquet source sees no statistics of a file: it would take bounds for values, and casts that keep no order for
//!   ones that do.
//!
//! Not here: what is left out when the query is planned (`provider`), how a filter is judged (`judge`).

use std::fmt;
use std::slice;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, exec_err, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::datasource::physical_plan::{FileOpener, FileScanConfig, FileSource, ParquetSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::expressions::{Column, DynamicFilterTracking};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::utils::split_conjunction;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_expr_common::physical_expr::{snapshot_generation, snapshot_physical_expr};
use datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use datafusion::physical_plan::{DisplayFormatType, SortOrderPushdownResult};
use datafusion_datasource::morsel::{MorselPlan, MorselPlanner, Morselizer};
use object_store::ObjectStore;

use crate::deletes::applied::ScanDeletes;
use crate::read::changelog::FileRef;
use crate::read::judge::{Files, Filters};
use crate::read::prune::TableBounds;

/// The metric of the files that were left out when they were about to be opened.
const FILES_LEFT_OUT: &str = "files_left_out";

/// The file of the table that a file of the scan is, as an extension of it.
pub(crate) struct Scanned(pub(crate) Arc<FileRef>);

/// What is known of the files of a scan.
pub(crate) struct Known {
    pub(crate) bounds: Arc<TableBounds>,
    /// The columns that filters are over.
    pub(crate) schema: SchemaRef,
    /// Of the files that have deletes, if there are some.
    pub(crate) deletes: Option<Arc<ScanDeletes>>,
}

/// DataFusion's Parquet source over files each of which carries what it is in the table ([`Scanned`]).
pub(crate) struct OpeningSource {
    inner: Arc<dyn FileSource>,
    known: Arc<Known>,
    /// Columns by whose values what is wanted first is found: files are opened in the order of their bounds.
    first_by: Arc<[String]>,
}

impl OpeningSource {
    pub(crate) fn new(inner: ParquetSource, known: Known) -> Self {
        Self { inner: inner.into(), known: Arc::new(known), first_by: Arc::default() }
    }

    fn over(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Self { inner, known: Arc::clone(&self.known), first_by: Arc::clone(&self.first_by) })
    }
}

impl FileSource for OpeningSource {
    fn create_file_opener(&self, _: Arc<dyn ObjectStore>, _: &FileScanConfig, _: usize) -> Result<Arc<dyn FileOpener>> {
        internal_err!("a table's files are opened in parts")
    }

    fn create_morselizer(
        &self,
        object_store: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let late = self.inner.filter().and_then(|filter| Late::of(&filter));
        let left_out = MetricBuilder::new(self.inner.metrics()).counter(FILES_LEFT_OUT, partition);
        // A limit has DataFusion forget it, and read the row groups first that are sure to have rows.
        let inner = if base_config.preserve_order || base_config.output_ordering.is_empty() {
            self.inner.create_morselizer(object_store, base_config, partition)?
        } else {
            let mut config = base_config.clone();
            config.preserve_order = true;
            self.inner.create_morselizer(object_store, &config, partition)?
        };
        Ok(Box::new(Opener { inner: inner.into(), known: Arc::clone(&self.known), late, left_out }))
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        self.over(self.inner.with_batch_size(batch_size))
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.inner.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.inner.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.inner.metrics()
    }

    fn file_type(&self) -> &str {
        self.inner.file_type()
    }

    fn fmt_extra(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match t {
            _ if self.known.deletes.is_none() => {}
            DisplayFormatType::TreeRender => writeln!(f, "deletes=applied")?,
            _ => write!(f, ", deletes=applied")?,
        }
        self.inner.fmt_extra(t, f)
    }

    fn supports_repartitioning(&self) -> bool {
        self.inner.supports_repartitioning()
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let pushed = self.inner.try_pushdown_filters(filters, config)?;
        let updated_node = pushed.updated_node.map(|inner| self.over(inner));
        Ok(FilterPushdownPropagation { filters: pushed.filters, updated_node })
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        eq_properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        use SortOrderPushdownResult::{Exact, Inexact, Unsupported};
        Ok(match self.inner.try_pushdown_sort(order, eq_properties)? {
            Exact { inner } => Exact { inner: self.over(inner) },
            Inexact { inner } => {
                let columns = order.iter().filter_map(|by| by.expr.downcast_ref::<Column>());
                let first_by = columns.map(|column| column.name().to_owned()).collect();
                Inexact { inner: Arc::new(Self { inner, known: Arc::clone(&self.known), first_by }) }
            }
            Unsupported => Unsupported,
        })
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        if self.first_by.is_empty() {
            return self.inner.reorder_files(files);
        }
        let bounded = files.into_iter().map(|file| match file.extension::<Scanned>() {
            Some(of) => {
                let statistics = self.known.bounds.bounds_of(&of.0, &self.known.schema, &self.first_by);
                file.with_statistics(Arc::new(statistics))
            }
            None => file,
        });
        self.inner.reorder_files(bounded.collect())
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        Ok(self.inner.try_pushdown_projection(projection)?.map(|inner| self.over(inner)))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(f)
    }
}

/// The parts of a filter that change while the query runs.
#[derive(Debug)]
struct Late {
    parts: Vec<Arc<dyn PhysicalExpr>>,
    /// As they were last, and the count of their changes then.
    judged: Mutex<Option<(u64, Arc<Filters>)>>,
}

impl Late {
    fn of(filter: &Arc<dyn PhysicalExpr>) -> Option<Self> {
        let changes = |part: &&Arc<dyn PhysicalExpr>| DynamicFilterTracking::classify(part).contains_dynamic_filter();
        let parts: Vec<_> = split_conjunction(filter).into_iter().filter(changes).map(Arc::clone).collect();
        (!parts.is_empty()).then_some(Self { parts, judged: Mutex::new(None) })
    }

    fn by_now(&self, schema: &SchemaRef) -> Result<Arc<Filters>> {
        let changes = self.parts.iter().map(snapshot_generation).fold(0, u64::wrapping_add);
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, filters)) = judged.as_ref()
            && *of == changes
        {
            return Ok(Arc::clone(filters));
        }
        let parts: Vec<_> =
            self.parts.iter().map(|part| snapshot_physical_expr(Arc::clone(part))).collect::<Result<_>>()?;
        let filters = Arc::new(Filters::planned(parts, schema));
        *judged = Some((changes, Arc::clone(&filters)));
        Ok(filters)
    }
}

/// Opens files that may hold what is wanted, once it is known what their deletes leave of them.
struct Opener {
    inner: Arc<dyn Morselizer>,
    known: Arc<Known>,
    late: Option<Late>,
    left_out: Count,
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("inner", &self.inner).field("late", &self.late).finish_non_exhaustive()
    }
}

impl Morselizer for Opener {
    fn plan_file(&self, mut file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let Some(of) = file.extension::<Scanned>() else {
            return exec_err!("\"{}\" is no file of a table", file.path());
        };
        let of = Arc::clone(&of.0);
        if let Some(late) = &self.late {
            let known = Files { bounds: &self.known.bounds, files: slice::from_ref(&*of) };
            if late.by_now(&self.known.schema)?.keep(&known).contains(&false) {
                self.left_out.add(1);
                return Ok(Box::new(LeftOut));
            }
        }
        file.statistics = None;
        match self.known.deletes.as_ref().filter(|_| !of.is_whole()) {
            Some(deletes) => {
                let (inner, deletes) = (Arc::clone(&self.inner), Arc::clone(deletes));
                Ok(Box::new(Opening { of, file, inner, deletes }))
            }
            None => self.inner.plan_file(file),
        }
    }
}

/// A file of which no row is wanted.
#[derive(Debug)]
struct LeftOut;

impl MorselPlanner for LeftOut {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        Ok(None)
    }
}

#[derive(Debug)]
struct Opening {
    of: Arc<FileRef>,
    file: PartitionedFile,
    inner: Arc<dyn Morselizer>,
    deletes: Arc<ScanDeletes>,
}

impl MorselPlanner for Opening {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        let Self { of, file, inner, deletes } = *self;
        Ok(Some(MorselPlan::new().with_pending_planner(async move {
            let taken = deletes.taken(&of).await?;
            let left = taken.selection(of.record_count())?;
            inner.plan_file(file.with_extension(ParquetRowSelection::new(left)))
        })))
    }
}
