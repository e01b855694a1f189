//! A table's snapshot as a DataFusion table.
//!
//!   manifest list ──▶ manifests that can match ──▶ files that can ──▶ groups ──▶ DataSourceExec (Parquet, by field id)
//!        │                                             │         by size, or in their sort order        over an OpeningSource
//!        │                                             └──▶ rows' positions wanted ──▶ RowPositionsExec
//!        └── no column is wanted, and the rows are known ──▶ CountedRowsExec
//!
//! Invariants
//! * Nothing is read before `scan` knows the filters; what it reads is what they leave.
//! * Deletes that are left out are of partitions of which no row is wanted.
//! * A provider reads one snapshot, fixed when it is made, in the columns that the
//!   table has (`Table::as_of` gives it those of a snapshot).
//! * Filters are pushed down as inexact: the plan above applies them again unless
//!   the Parquet scan itself takes them over.
//! * Exact statistics are true statements about the rows that come out.
//! * Filters that DataFusion makes while a query runs are taken as they come;
//!   `ingot_semantics::exact_options` keeps it from making those that lose rows.
//!
//! Not here: which files a snapshot has (`changelog`), what a filter leaves out (`judge`), files left out while a query runs
//! (`opening`), which groups keep an order (`order`), columns by id (`adapt`).

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
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use iceberg::spec::{ManifestContentType, ManifestFile};
use ingot_model::place;

use crate::deletes::applied::ScanDeletes;
use crate::error::{LakeError, external};
use crate::read::adapt::{ByIdAdapterFactory, ByIdReaderFactory, FieldNames, PartitionValues};
use crate::read::changelog::{FileRef, files_of, has_live_files, scanned_manifests, unsupported};
use crate::read::counted_rows::CountedRowsExec;
use crate::read::judge::{Files, Filters};
use crate::read::key_probe::{KeyProbe, key_column};
use crate::read::opening::{Known, OpeningSource, Scanned};
use crate::read::order::{Ordered, Piece};
use crate::read::parquet_files::ParquetFiles;
use crate::read::prune::{TableBounds, computed_columns};
use crate::read::row_positions::{ById, PlacedFile, RowPositionsExec};
use crate::read::summaries::Summaries;
use crate::table::schema::arrow_schema;
use crate::table::{Table, row_ids};

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
    /// Columns `_row_id` and `_last_updated_sequence_number` (Int64) before those: where a table in format version 3 has
    /// rows that are copied; NULL in other tables.
    pub with_lineage: bool,
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
    bounds: Arc<TableBounds>,
    options: ScanOptions,
}

impl fmt::Debug for LakeTableProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LakeTableProvider")
            .field("table", self.table.name())
            .field("snapshot", &self.snapshot())
            .finish_non_exhaustive()
    }
}

/// What is scanned, pruned.
enum Found {
    /// Nothing but how many rows there are.
    Rows(u64),
    Files(Vec<FileRef>),
}

/// What one scan reads with.
struct Reads<'a> {
    state: &'a dyn Session,
    by_id: ById,
    opened: ParquetFiles,
    partitions: Arc<PartitionValues>,
}

impl LakeTableProvider {
    /// A provider; it reads nothing but the metadata that the table holds.
    ///
    /// # Errors
    /// `Unsupported` when a column's name is needed twice; `SnapshotGone` when the metadata no longer holds the snapshot.
    pub async fn try_new(table: &Table, options: ScanOptions) -> Result<Self, LakeError> {
        let stored = match (options.with_state, options.defined) {
            (true, _) => table.schema_with_state(),
            (false, true) => table.defined_schema(),
            (false, false) => table.schema(),
        };
        let stored = match options.with_lineage {
            true => with_lineage(&stored)?,
            false => stored,
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
        if let (None, Some(snapshot)) = (&options.files, options.snapshot)
            && table.snapshot(snapshot).is_none()
        {
            return Err(LakeError::SnapshotGone { table: table.name().clone(), snapshot });
        }
        Ok(Self { bounds: Arc::new(TableBounds::of(table)), table: table.clone(), stored, schema, options })
    }

    /// An error of planning a scan: what is wrong with a file of the table's metadata is the table's error.
    fn in_scan(&self, error: LakeError) -> LakeError {
        match error {
            error @ (LakeError::Damaged(_) | LakeError::Corrupt(_)) => error.of_table(self.table.name(), ""),
            error => error,
        }
    }

    fn snapshot(&self) -> Option<i64> {
        self.options.snapshot.or(self.table.head())
    }

    /// The table, as it was when the provider was made.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// What is left of the snapshot once the filters are known.
    async fn found(&self, filters: &Filters, counts: bool) -> Result<Found, LakeError> {
        let mut files = match (&self.options.files, self.snapshot()) {
            (Some(files), _) => files.clone(),
            (None, None) => Vec::new(),
            (None, Some(snapshot)) => {
                let (listed, list) = scanned_manifests(&self.table, snapshot).await?;
                if counts && let Some(rows) = self.counted(&listed, &list) {
                    return Ok(Found::Rows(rows));
                }
                let live: Vec<ManifestFile> = listed.iter().filter(|m| has_live_files(m)).cloned().collect();
                let keep = filters.keep(&Summaries { bounds: &self.bounds, manifests: &live });
                let count = live.len();
                let kept: Vec<_> = live.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(m, _)| m).collect();
                tracing::debug!(table = %self.table.name(), manifests = count, read = kept.len(), "scan planned");
                let is_all = kept.len() == count && !kept.iter().any(|m| m.content == ManifestContentType::Deletes);
                let files = files_of(&self.table, kept).await?;
                if is_all {
                    self.table.lake().0.manifests.note_rows(&list, files.iter().map(FileRef::record_count).sum());
                }
                files
            }
        };
        if !filters.is_empty() {
            let mut keep = filters.keep(&Files { bounds: &self.bounds, files: &files }).into_iter();
            files.retain(|_| keep.next().unwrap_or(true));
        }
        Ok(Found::Files(files))
    }

    /// How many rows the snapshot has, if that is known without opening a manifest: all of them were read before, or are
    /// our own, whose counts are right, and nothing is deleted.
    fn counted(&self, listed: &[ManifestFile], list: &str) -> Option<u64> {
        if let Some(rows) = self.table.lake().0.manifests.rows(list) {
            return Some(rows);
        }
        listed.iter().filter(|m| has_live_files(m)).try_fold(0u64, |sum, manifest| {
            let is_ours = manifest.content == ManifestContentType::Data
                && self.table.snapshot(manifest.added_snapshot_id).is_some_and(|s| s.is_ours());
            let rows = manifest.added_rows_count?.checked_add(manifest.existing_rows_count?)?;
            if is_ours { sum.checked_add(rows) } else { None }
        })
    }

    /// What takes rows out of some files of the table.
    fn deletes(&self, reads: &Reads<'_>, files: &[FileRef]) -> Arc<ScanDeletes> {
        let pool = &reads.state.runtime_env().memory_pool;
        Arc::new(ScanDeletes::of(&self.table, reads.opened.clone(), Arc::clone(&reads.partitions), files, pool))
    }

    /// A scan by DataFusion's own Parquet source.
    fn parquet(
        &self,
        reads: &Reads<'_>,
        files: &[FileRef],
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (state, by_id) = (reads.state, &reads.by_id);
        let mut statistics = self.bounds.statistics(files, &self.stored, projection);
        for column in computed_columns(filters, &self.schema, state)? {
            if let Ok(index) = self.stored.index_of(&column) {
                let column = &mut statistics.column_statistics[index];
                (column.min_value, column.max_value) = (Precision::Absent, Precision::Absent);
            }
        }
        if limit.is_some() {
            statistics = statistics.to_inexact();
        }
        let partitions = state.config().target_partitions();
        let ordered = Ordered::of(&self.table, &self.bounds, &self.stored, files, partitions);
        let columns = ordered.as_ref().map(Ordered::columns).unwrap_or_default();
        let (groups, order) = match ordered {
            Some(Ordered { groups, order }) => (groups, vec![order]),
            None => {
                let whole = |file| Piece { file, range: None };
                let groups = spread(files.to_vec(), partitions).into_iter();
                (groups.map(|group| group.into_iter().map(whole).collect()).collect(), Vec::new())
            }
        };
        // DataFusion lets partitions take each other's files where a limit is near, though the order is to be kept: not where
        // it is told what the partitions are.
        let kept_apart = (!order.is_empty()).then(|| Partitioning::UnknownPartitioning(groups.len()));
        let groups = groups.into_iter().map(|group| self.group(reads, group, &columns)).collect::<Result<Vec<_>>>()?;
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
        let others: Vec<FileRef> = files.iter().filter(|file| !file.is_whole()).cloned().collect();
        let deletes = (!others.is_empty()).then(|| self.deletes(reads, &others));
        let known = Known { bounds: Arc::clone(&self.bounds), schema: Arc::clone(&self.stored), deletes };
        let url = self.table.lake().object_store_url();
        let config = FileScanConfigBuilder::new(url, Arc::new(OpeningSource::new(source, known)))
            .with_file_groups(groups)
            .with_output_ordering(order)
            .with_output_partitioning(kept_apart)
            .with_projection_indices(projection.cloned())?
            .with_expr_adapter(Some(Arc::clone(&by_id.adapter) as _))
            .with_statistics(statistics)
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// Files that are read one after another. DataFusion wants bounds of what it is to believe to be in order.
    fn group(&self, reads: &Reads<'_>, pieces: Vec<Piece>, ordered_by: &[String]) -> Result<FileGroup> {
        let is_chain = !ordered_by.is_empty() && pieces.len() > 1;
        let files = pieces.into_iter().map(|Piece { file: of, range }| {
            let file = reads.opened.file(&of.path, of.data_file.file_size_in_bytes())?;
            let file = match is_chain {
                true => file.with_statistics(Arc::new(Ordered::ends(&self.bounds, &of, &self.stored, ordered_by))),
                false => file,
            };
            let file = match range {
                Some(range) => file.with_range(range.start, range.end),
                None => file,
            };
            Ok(file.with_extension(Scanned(Arc::new(of))))
        });
        Ok(FileGroup::new(files.collect::<Result<Vec<_>>>()?))
    }

    /// A scan that knows rows' positions.
    fn with_positions(
        &self,
        reads: Reads<'_>,
        files: Vec<FileRef>,
        projected: SchemaRef,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let deletes = self.deletes(&reads, &files);
        let opened = &reads.opened;
        let mut groups = Vec::new();
        for group in spread(files, reads.state.config().target_partitions()) {
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
        let asked = (probe, self.options.with_lineage);
        Ok(Arc::new(RowPositionsExec::new(reads.by_id, projected, groups, deletes, asked)))
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
        let judged = Filters::of(filters, &self.schema, state);
        let counts = projected.fields().is_empty() && filters.is_empty() && self.options.log.is_none();
        let mut files = match self.found(&judged, counts).await.map_err(|e| external(self.in_scan(e)))? {
            Found::Files(files) => files,
            Found::Rows(rows) => {
                let Ok(rows) = usize::try_from(rows) else { return plan_err!("the table has {rows} rows") };
                let rows = limit.map_or(rows, |limit| rows.min(limit));
                return Ok(Arc::new(CountedRowsExec::new(projected, rows)));
            }
        };
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
        // Equality deletes may go by any column.
        let wanted = files.iter().all(FileRef::is_whole).then(|| {
            let mut names: HashSet<String> = projected.fields().iter().map(|field| field.name().clone()).collect();
            names.extend(filters.iter().flat_map(Expr::column_refs).map(|column| column.name.clone()));
            names
        });
        let partitions = Arc::new(self.bounds.partition_values(&files, wanted.as_ref()).map_err(external)?);
        let names = Arc::new(FieldNames::of(
            &self.table,
            (self.options.with_state, self.options.with_lineage),
            Arc::clone(&partitions),
        ));
        let by_id = ById {
            schema: Arc::clone(&self.stored),
            reader: Arc::new(ByIdReaderFactory { inner: opened.reader(), names: Arc::clone(&names) }),
            adapter: Arc::new(ByIdAdapterFactory { names }),
        };
        let reads = Reads { state, by_id, opened, partitions };
        if self.options.with_positions || self.options.with_lineage {
            return self.with_positions(reads, files, projected);
        }
        self.parquet(&reads, &files, projection, filters, limit)
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

/// A table's columns, and those of the rows' lineage.
fn with_lineage(stored: &SchemaRef) -> Result<SchemaRef, LakeError> {
    let mut fields: Vec<_> = stored.fields().iter().map(Arc::clone).collect();
    fields.extend(arrow_schema(row_ids::fields(), false)?.fields().iter().map(Arc::clone));
    Ok(Arc::new(Schema::new(fields)))
}

#[cfg(test)]
mod tests;
