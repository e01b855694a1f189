//! A table's snapshot as a DataFusion table.
//!
//!   FileRefs ──▶ prune ──▶ groups by size ──▶ DataSourceExec (Parquet, by field id)
//!                    ├──▶ with deletes ──▶ the same over a DeletingSource
//!                    └──▶ rows' positions wanted ──▶ RowPositionsExec
//!
//! Invariants
//! * A provider reads one snapshot, fixed when it is made, in the columns that the
//!   table has (`Table::as_of` gives it those of a snapshot).
//! * Filters are pushed down as inexact: the plan above applies them again unless
//!   the Parquet scan itself takes them over.
//! * Exact statistics are true statements about the rows that come out.
//! * Filters that DataFusion makes while a query runs are taken as they come;
//!   `ingot_semantics::exact_options` keeps it from making those that lose rows.
//!
//! Not here: which files a snapshot has (`changelog`), columns by id (`adapt`).

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Result, plan_err};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::TableType;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use ingot_model::place;

use crate::deletes::applied::ScanDeletes;
use crate::error::LakeError;
use crate::read::adapt::{ByIdAdapterFactory, ByIdReaderFactory, FieldNames, PartitionValues};
use crate::read::changelog::{FileRef, live_files, unsupported};
use crate::read::deleting::{DeletingSource, Scanned};
use crate::read::key_probe::{KeyProbe, key_column};
use crate::read::parquet_files::ParquetFiles;
use crate::read::prune::{TableBounds, computed_columns};
use crate::read::row_positions::{ById, PlacedFile, RowPositionsExec};
use crate::table::Table;

/// Collects the paths of the files that scans open, for tests and EXPLAIN.
pub type ScanLog = Arc<Mutex<Vec<String>>>;

/// What of a table to read.
#[derive(Clone, Debug, Default)]
pub struct ScanOptions {
    /// The snapshot; the head when `None`.
    pub snapshot: Option<i64>,
    /// Without columns that the table's definition has left out: what models read.
    pub defined: bool,
    /// Hidden state columns after the public ones; NULL in files without them.
    pub with_state: bool,
    /// Columns `_ingot_file` (Utf8) and `_ingot_pos` (Int64, from 0) after all others.
    pub with_positions: bool,
    /// Rows that have none of these hidden keys may be left out; with positions and hidden columns alone.
    pub keys: Option<Arc<HashSet<[u8; 16]>>>,
    /// Only these files, instead of all of the snapshot's.
    pub files: Option<Vec<FileRef>>,
    /// Receives the files that remain after pruning, at every scan.
    pub log: Option<ScanLog>,
}

/// A snapshot of a table, to be queried by DataFusion.
pub struct LakeTableProvider {
    table: Table,
    /// Columns of the table, hidden ones when asked for.
    stored: SchemaRef,
    /// `stored`, and positions when asked for.
    schema: SchemaRef,
    files: Vec<FileRef>,
    bounds: TableBounds,
    names: Arc<FieldNames>,
    partitions: Arc<PartitionValues>,
    options: ScanOptions,
}

impl fmt::Debug for LakeTableProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LakeTableProvider")
            .field("table", self.table.name())
            .field("files", &self.files.len())
            .finish_non_exhaustive()
    }
}

impl LakeTableProvider {
    /// Reads the snapshot's manifests, unless the options name the files.
    ///
    /// # Errors
    /// As [`live_files`]; and `Unsupported` when a column's name is needed twice.
    pub async fn try_new(table: &Table, options: ScanOptions) -> Result<Self, LakeError> {
        let stored = match (options.with_state, options.defined) {
            (true, _) => table.schema_with_state(),
            (false, true) => table.defined_schema(),
            (false, false) => table.schema(),
        };
        let mut schema = Arc::clone(&stored);
        if options.with_positions {
            let mut fields: Vec<_> = schema.fields().iter().map(Arc::clone).collect();
            fields.push(Arc::new(Field::new(place::FILE, DataType::Utf8, false)));
            fields.push(Arc::new(Field::new(place::POSITION, DataType::Int64, false)));
            schema = Arc::new(Schema::new(fields));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = schema.fields().iter().find(|f| !seen.insert(f.name())) {
            return Err(unsupported(
                table,
                &format!("a column named {:?}, which the engine uses itself", twice.name()),
                "rename the column",
            ));
        }
        let files = match (&options.files, options.snapshot.or(table.head())) {
            (Some(files), _) => files.clone(),
            (None, Some(snapshot)) => live_files(table, snapshot).await?,
            (None, None) => Vec::new(),
        };
        let bounds = TableBounds::of(table);
        let partitions = Arc::new(bounds.partition_values(table, &files)?);
        Ok(Self {
            bounds,
            names: Arc::new(FieldNames::of(table, options.with_state, Arc::clone(&partitions))),
            partitions,
            table: table.clone(),
            stored,
            schema,
            files,
            options,
        })
    }

    /// The files that are read when no filter prunes any.
    pub fn files(&self) -> &[FileRef] {
        &self.files
    }

    /// The table, as it was when the provider was made.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// What takes rows out of some files of the table.
    fn deletes(&self, state: &dyn Session, opened: &ParquetFiles, files: &[FileRef]) -> Arc<ScanDeletes> {
        let pool = &state.runtime_env().memory_pool;
        Arc::new(ScanDeletes::of(&self.table, opened.clone(), Arc::clone(&self.partitions), files, pool))
    }

    /// A scan by DataFusion's own Parquet source. Without `deletes` all rows are read.
    fn parquet(
        &self,
        state: &dyn Session,
        (by_id, opened): (&ById, &ParquetFiles),
        (files, deletes): (&[FileRef], Option<Arc<ScanDeletes>>),
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut statistics = self.bounds.statistics(files, &self.stored);
        for column in computed_columns(filters, &self.schema, state)? {
            if let Ok(index) = self.stored.index_of(&column) {
                let column = &mut statistics.column_statistics[index];
                (column.min_value, column.max_value) = (Precision::Absent, Precision::Absent);
            }
        }
        if limit.is_some() {
            statistics = statistics.to_inexact();
        }
        let mut groups = Vec::new();
        for group in spread(files.to_vec(), state.config().target_partitions()) {
            let group = group.into_iter().map(|of| {
                let file = opened.file(&of.path, of.data_file.file_size_in_bytes())?;
                Ok(if deletes.is_some() { file.with_extension(Scanned(Arc::new(of))) } else { file })
            });
            groups.push(FileGroup::new(group.collect::<Result<Vec<_>>>()?));
        }
        let mut global = state.config_options().execution.parquet.clone();
        // Spark's INT96 would otherwise wrap around outside of 1677 to 2262.
        global.coerce_int96 = Some("us".to_owned());
        let hint = global.metadata_size_hint;
        let options = TableParquetOptions { global, ..TableParquetOptions::default() };
        let mut source = ParquetSource::new(Arc::clone(&self.stored))
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::clone(&by_id.reader) as _);
        if let Some(hint) = hint {
            source = source.with_metadata_size_hint(hint);
        }
        let source: Arc<dyn FileSource> = match deletes {
            Some(deletes) => Arc::new(DeletingSource::new(source, deletes)),
            None => source.into(),
        };
        let url = self.table.lake().object_store_url();
        let config = FileScanConfigBuilder::new(url, source)
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_expr_adapter(Some(Arc::clone(&by_id.adapter) as _))
            .with_statistics(statistics)
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// A scan that knows rows' positions.
    fn with_positions(
        &self,
        state: &dyn Session,
        (by_id, opened): (ById, &ParquetFiles),
        files: Vec<FileRef>,
        projected: SchemaRef,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let deletes = self.deletes(state, opened, &files);
        let mut groups = Vec::new();
        for group in spread(files, state.config().target_partitions()) {
            let group = group.into_iter().map(|of| {
                let file = opened.file(&of.path, of.data_file.file_size_in_bytes())?;
                Ok(PlacedFile { of, file })
            });
            groups.push(group.collect::<Result<Vec<_>>>()?);
        }
        let keys = self.options.keys.as_ref().filter(|_| self.options.with_state);
        let probe = keys
            .zip(key_column(self.table.state_columns()))
            .map(|(keys, column)| KeyProbe { column: column.name.clone(), keys: Arc::clone(keys) });
        Ok(Arc::new(RowPositionsExec::new(by_id, projected, groups, deletes, probe)))
    }
}

#[async_trait]
impl TableProvider for LakeTableProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let projected = match projection {
            Some(indices) => Arc::new(self.schema.project(indices)?),
            None => Arc::clone(&self.schema),
        };
        let keep = self.bounds.keep(&self.files, filters, &self.schema, state);
        let mut files: Vec<FileRef> =
            self.files.iter().zip(keep).filter(|(_, keep)| *keep).map(|(f, _)| f.clone()).collect();
        // A file without rows needs no opening.
        files.retain(|f| f.record_count() > 0);
        // Filters above may drop rows, so that more than `limit` must come out here.
        let limit = if filters.is_empty() { limit } else { None };
        if let Some(limit) = limit {
            enough(&mut files, limit);
        }
        if let Some(log) = &self.options.log {
            match log.lock() {
                Ok(mut log) => log.extend(files.iter().map(|f| f.path.clone())),
                Err(_) => return plan_err!("the scan log is poisoned"),
            }
        }
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(projected)));
        }
        let lake = self.table.lake();
        if state.runtime_env().object_store(lake.object_store_url()).is_err() {
            lake.register(state.runtime_env());
        }
        let opened = ParquetFiles::of(lake, state.runtime_env());
        let by_id = ById {
            schema: Arc::clone(&self.stored),
            reader: Arc::new(ByIdReaderFactory { inner: opened.reader(), names: Arc::clone(&self.names) }),
            adapter: Arc::new(ByIdAdapterFactory { names: Arc::clone(&self.names) }),
        };
        if self.options.with_positions {
            return self.with_positions(state, (by_id, &opened), files, projected);
        }
        let (whole, others): (Vec<_>, Vec<_>) = files.into_iter().partition(FileRef::is_whole);
        let (by_id, mut plans) = ((&by_id, &opened), Vec::new());
        if !whole.is_empty() {
            plans.push(self.parquet(state, by_id, (&whole, None), projection, filters, limit)?);
        }
        if !others.is_empty() {
            let deletes = Some(self.deletes(state, &opened, &others));
            plans.push(self.parquet(state, by_id, (&others, deletes), projection, filters, limit)?);
        }
        UnionExec::try_new(plans)
    }
}

/// Cuts the list where the files so far surely hold `limit` rows.
fn enough(files: &mut Vec<FileRef>, limit: usize) {
    let mut rows = 0u64;
    let mut needed = 0;
    for file in files.iter() {
        if rows >= limit as u64 {
            break;
        }
        needed += 1;
        if file.is_whole() {
            rows = rows.saturating_add(file.record_count());
        }
    }
    files.truncate(needed);
}

/// Files in at most `partitions` groups of about the same size: each, the largest
/// first, goes to the group that is smallest so far.
fn spread(mut files: Vec<FileRef>, partitions: usize) -> Vec<Vec<FileRef>> {
    let count = partitions.clamp(1, files.len().max(1));
    files.sort_by_key(|f| std::cmp::Reverse(f.data_file.file_size_in_bytes()));
    let mut groups: Vec<(u64, Vec<FileRef>)> = vec![(0, Vec::new()); count];
    for file in files {
        let size = file.data_file.file_size_in_bytes();
        if let Some(least) = groups.iter_mut().min_by_key(|(size, group)| (*size, group.len())) {
            least.0 += size;
            least.1.push(file);
        }
    }
    groups.into_iter().map(|(_, group)| group).filter(|g| !g.is_empty()).collect()
}

#[cfg(test)]
mod tests;
