//! A Parquet scan without the rows that deletes take away.
//!
//!   file ──▶ its deletes as positions (`deletes::applied`) ──▶ row selection ──▶ DataFusion's Parquet source
//!
//! Invariants
//! * Whatever DataFusion does with a selection it does here: filters, limits and dynamic filters go into the scan, and row
//!   groups and pages are left out by it.
//! * A file's deletes are read when the file is opened.
//!
//! Not here: files without deletes, which need none of this (`provider`).

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, exec_err, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::datasource::physical_plan::{FileOpener, FileScanConfig, FileSource, ParquetSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, SortOrderPushdownResult};
use datafusion_datasource::morsel::{MorselPlan, MorselPlanner, Morselizer};
use object_store::ObjectStore;

use crate::deletes::applied::ScanDeletes;
use crate::read::changelog::FileRef;

/// The file of the table that a file of the scan is, as an extension of it.
pub(crate) struct Scanned(pub(crate) Arc<FileRef>);

/// DataFusion's Parquet source over files with deletes, each of which carries what it is in the table ([`Scanned`]).
pub(crate) struct DeletingSource {
    inner: Arc<dyn FileSource>,
    deletes: Arc<ScanDeletes>,
}

impl DeletingSource {
    pub(crate) fn new(inner: ParquetSource, deletes: Arc<ScanDeletes>) -> Self {
        Self { inner: inner.into(), deletes }
    }

    fn over(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Self { inner, deletes: Arc::clone(&self.deletes) })
    }
}

impl FileSource for DeletingSource {
    fn create_file_opener(&self, _: Arc<dyn ObjectStore>, _: &FileScanConfig, _: usize) -> Result<Arc<dyn FileOpener>> {
        internal_err!("files with deletes are opened in parts")
    }

    fn create_morselizer(
        &self,
        object_store: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let inner = self.inner.create_morselizer(object_store, base_config, partition)?;
        Ok(Box::new(Opener { inner: inner.into(), deletes: Arc::clone(&self.deletes) }))
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
            Inexact { inner } => Inexact { inner: self.over(inner) },
            Unsupported => Unsupported,
        })
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.inner.reorder_files(files)
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

/// Opens files once it is known what their deletes leave of them.
#[derive(Debug)]
struct Opener {
    inner: Arc<dyn Morselizer>,
    deletes: Arc<ScanDeletes>,
}

impl Morselizer for Opener {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let Some(of) = file.extension::<Scanned>() else {
            return exec_err!("\"{}\" is no file of a table with deletes", file.path());
        };
        let of = Arc::clone(&of.0);
        Ok(Box::new(Opening { of, file, inner: Arc::clone(&self.inner), deletes: Arc::clone(&self.deletes) }))
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
