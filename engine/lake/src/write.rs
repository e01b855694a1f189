//! Rows into data files.
//!
//! ```text
//!   batch ─▶ conform (names, types, NOT NULL) ─▶ split by partition ─▶ one open Parquet file each
//!                                                    └─ SORTED BY: gathered, sorted, then written
//!   file ≥ 128 MiB, or too much memory, or close() ─▶ footer ─▶ bounds ─▶ DataFile
//! ```
//!
//! Invariants
//! * A file holds rows of one partition, under `data/<hash>/<uuid>.parquet`; no value becomes a path.
//! * Every column, hidden ones too, carries its field id; hidden columns stand last.
//! * Files are durable when `close` returns. Files of a writer that was dropped are in no table.
//! * What is buffered is bounded, whatever the number of partitions, and counted in a pool where one was given.
//!
//! Not here: making the files part of a table (`commit`).

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{SortColumn, SortOptions, concat_batches, lexsort_to_indices, take_record_batch};
use bytes::Bytes;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, NestedFieldRef, NullOrder, SortDirection, SortOrder,
    Struct, Transform,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::SchemaDescriptor;
use uuid::Uuid;

use crate::bounds::{count_nans, file_metrics};
use crate::conform::Conform;
use crate::crash;
use crate::definition::{Definition, ResolvedDefinition, resolve_definition};
use crate::encode;
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::parquet_schema::parquet_schema;
use crate::partition::PartitionSplitter;
use crate::schema::arrow_schema;
use crate::storage::Upload;
use crate::table::{Table, TableName};

/// A file is closed once it is this large.
const FILE_BYTES_MAX: usize = 128 << 20;
/// A row group is closed once it is this large.
const ROW_GROUP_BYTES_MAX: usize = 32 << 20;
/// All open files together buffer about this much at most.
const BUFFERED_BYTES_MAX: usize = 256 << 20;
/// No more files than this are open at a time.
const OPEN_FILES_MAX: usize = 200;
/// Rows gathered for one sorted file.
const SORTED_BYTES_MAX: usize = 96 << 20;
/// What gathered rows take while they are sorted: themselves, put together, and in their order.
const SORTING_COPIES: usize = 3;
/// A file that buffers less than this is not worth closing for its memory.
const WORTH_CLOSING_BYTES: usize = 1 << 20;

/// Writes rows of one table into data files.
pub struct Writer {
    lake: Lake,
    table: TableName,
    resolved: ResolvedDefinition,
    not_null: Vec<String>,
    splitter: PartitionSplitter,
    /// None until the first batch tells whether it brings the hidden columns.
    shape: Option<Shape>,
    sort: Vec<SortKey>,
    open: HashMap<Struct, OpenFile>,
    done: Vec<DataFile>,
    rows: u64,
    clock: u64,
    memory: Option<MemoryReservation>,
}

/// What the files of one writer have in common.
struct Shape {
    conform: Conform,
    fields: Vec<NestedFieldRef>,
    parquet: SchemaDescriptor,
    properties: WriterProperties,
    has_state: bool,
}

#[derive(Clone, Copy)]
struct SortKey {
    column: usize,
    options: SortOptions,
}

enum Content {
    /// Rows go to the file as they come.
    Streamed(Box<Streamed>),
    /// Rows wait to be sorted.
    Gathered(Vec<RecordBatch>, usize),
}

struct OpenFile {
    content: Content,
    used: u64,
}

struct Streamed {
    writer: ArrowWriter<Vec<u8>>,
    upload: Upload,
    path: String,
    sent: usize,
    nans: HashMap<i32, u64>,
}

impl Writer {
    /// A writer for `table` as it is, or as it will be once the commit changes it to `definition`.
    ///
    /// # Errors
    /// A definition that Iceberg does not take; partitions over columns that cannot be read.
    pub fn new(table: &Table, definition: Option<&Definition>) -> Result<Writer> {
        let resolved = match definition {
            Some(definition) => resolve_definition(table, definition)?,
            None => ResolvedDefinition::of_table(table),
        };
        let fields = resolved.schema().as_struct().fields();
        // Where old rows may lack a column, Iceberg has it optional although the definition says otherwise.
        let not_null = match definition {
            Some(definition) => definition.columns.iter().filter(|c| !c.nullable).map(|c| c.name.clone()).collect(),
            None => fields.iter().filter(|f| f.required).map(|f| f.name.clone()).collect(),
        };
        let spec = resolved.metadata.default_partition_spec();
        Ok(Writer {
            lake: table.lake().clone(),
            table: table.name().clone(),
            splitter: PartitionSplitter::try_new(resolved.schema(), spec)?,
            sort: sort_keys(resolved.metadata.default_sort_order(), fields),
            resolved,
            not_null,
            shape: None,
            open: HashMap::new(),
            done: Vec::new(),
            rows: 0,
            clock: 0,
            memory: None,
        })
    }

    /// Counts what is buffered in a pool. Where its share there is used up, row groups and files are closed early.
    pub fn counted_in(mut self, pool: &Arc<dyn MemoryPool>) -> Writer {
        let consumer = MemoryConsumer::new(format!("writer of {}", self.table)).with_can_spill(true);
        self.memory = Some(consumer.register(pool));
        self
    }

    /// Rows taken so far.
    pub fn rows_written(&self) -> u64 {
        self.rows
    }

    /// Bytes held in memory, about.
    pub fn bytes_buffered(&self) -> usize {
        self.open.values().map(OpenFile::buffered).sum()
    }

    /// Writes a batch: the public columns by name, then the hidden ones if the rows have them.
    ///
    /// # Errors
    /// Columns or values that do not fit the table; the store's.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let public = self.resolved.schema().as_struct().fields().len();
        let has_state = batch.num_columns() > public && !self.resolved.state.is_empty();
        let shape = match self.shape.take() {
            Some(shape) if shape.has_state == has_state => shape,
            Some(_) => {
                return Err(LakeError::Definition("some rows to write have state columns and others have none".into()));
            }
            None => self.shape_of(has_state, batch)?,
        };
        let shape = self.shape.insert(shape);
        let batch = shape.conform.apply(batch)?;
        self.rows += batch.num_rows() as u64;
        for (partition, part) in self.splitter.split(&batch)? {
            self.append(partition, &part).await?;
        }
        Ok(())
    }

    /// Closes all files and gives them, in the order in which they were closed.
    ///
    /// # Errors
    /// The store's. Files closed before stay where they are, in no table.
    pub async fn close(mut self) -> Result<Vec<DataFile>> {
        let mut open: Vec<_> = std::mem::take(&mut self.open).into_iter().collect();
        open.sort_by_key(|(_, file)| file.used);
        for (partition, file) in open {
            self.finish(partition, file).await?;
        }
        crash::point("files_written", &self.table);
        Ok(self.done)
    }

    fn shape_of(&self, has_state: bool, first: &RecordBatch) -> Result<Shape> {
        let mut fields = self.resolved.schema().as_struct().fields().to_vec();
        let public = fields.len();
        if has_state {
            fields.extend(self.resolved.state.iter().map(|column| Arc::clone(&column.field)));
        }
        let not_null = (0..public).filter(|at| self.not_null.contains(&fields[*at].name)).collect();
        let arrow = Arc::new(arrow_schema(&fields, true)?);
        let parquet = parquet_schema(&arrow, &fields)?;
        let conform = Conform::new(arrow, fields.clone(), public, not_null);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_max_row_group_bytes(Some(ROW_GROUP_BYTES_MAX))
            .set_created_by(format!("ingot {}", env!("CARGO_PKG_VERSION")));
        let properties = encode::choose(properties, &conform.apply(first)?).build();
        Ok(Shape { conform, fields, parquet, properties, has_state })
    }

    async fn append(&mut self, partition: Struct, rows: &RecordBatch) -> Result<()> {
        self.clock += 1;
        let mut file = match self.open.remove(&partition) {
            Some(file) => file,
            None if self.sort.is_empty() => {
                let streamed = self.create().await?;
                OpenFile { content: Content::Streamed(Box::new(streamed)), used: self.clock }
            }
            None => OpenFile { content: Content::Gathered(Vec::new(), 0), used: self.clock },
        };
        file.used = self.clock;
        let is_full = match &mut file.content {
            Content::Gathered(batches, size) => {
                *size += rows.get_array_memory_size();
                batches.push(rows.clone());
                *size >= SORTED_BYTES_MAX
            }
            Content::Streamed(streamed) => {
                let fields = self.shape.as_ref().map(|shape| shape.fields.as_slice());
                streamed.write(rows, fields.unwrap_or_default()).await?;
                streamed.sent + streamed.writer.in_progress_size() >= FILE_BYTES_MAX
            }
        };
        if is_full {
            self.finish(partition, file).await?;
        } else {
            self.open.insert(partition, file);
        }
        while self.open.len() > OPEN_FILES_MAX || self.open.len() > 1 && self.bytes_buffered() > BUFFERED_BYTES_MAX {
            // The least recently used of too many, the largest of too much.
            let victim = if self.open.len() > OPEN_FILES_MAX {
                self.open.iter().min_by_key(|(_, file)| file.used)
            } else {
                self.open.iter().max_by_key(|(_, file)| file.buffered())
            };
            let Some(partition) = victim.map(|(partition, _)| partition.clone()) else {
                break;
            };
            if let Some(file) = self.open.remove(&partition) {
                self.finish(partition, file).await?;
            }
        }
        self.settle().await
    }

    /// Makes what is buffered fit the writer's share of the pool.
    async fn settle(&mut self) -> Result<()> {
        let Some(memory) = self.memory.take() else { return Ok(()) };
        loop {
            let held = self.open.values().map(OpenFile::counted).sum();
            if memory.try_resize(held).is_ok() {
                break;
            }
            let largest = self.open.iter().max_by_key(|(_, file)| file.counted());
            let Some((partition, bytes)) = largest.map(|(p, file)| (p.clone(), file.counted())) else { break };
            if bytes < WORTH_CLOSING_BYTES {
                // So little is held that closing more would make nothing but small files.
                memory.resize(held);
                break;
            }
            let Some(mut file) = self.open.remove(&partition) else { break };
            match &mut file.content {
                Content::Streamed(streamed) if streamed.writer.in_progress_size() >= WORTH_CLOSING_BYTES => {
                    streamed.writer.flush()?;
                    streamed.send().await?;
                    self.open.insert(partition, file);
                }
                _ => self.finish(partition, file).await?,
            }
        }
        self.memory = Some(memory);
        Ok(())
    }

    /// Begins a file.
    async fn create(&mut self) -> Result<Streamed> {
        let Some(shape) = &self.shape else {
            return Err(LakeError::Corrupt("a file was begun before the first batch".into()));
        };
        let id = Uuid::now_v7();
        // The last byte is random: folders fill evenly, and object stores can split them.
        let hash = id.as_bytes()[15];
        let path = format!("{}/data/{hash:02x}/{id}.parquet", self.resolved.metadata.location());
        let options = ArrowWriterOptions::new()
            .with_properties(shape.properties.clone())
            .with_parquet_schema(shape.parquet.clone());
        let arrow = Arc::clone(&shape.conform.arrow);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), arrow, options)?;
        let upload = self.lake.0.store.create(&path).await?;
        Ok(Streamed { writer, upload, path, sent: 0, nans: HashMap::new() })
    }

    /// Ends a file.
    async fn finish(&mut self, partition: Struct, file: OpenFile) -> Result<()> {
        let is_sorted = matches!(file.content, Content::Gathered(..));
        let streamed = match file.content {
            Content::Streamed(streamed) => *streamed,
            Content::Gathered(batches, _) => {
                let mut streamed = self.create().await?;
                let fields = self.shape.as_ref().map(|shape| shape.fields.as_slice());
                let sorted = self.sorted(&batches)?;
                drop(batches);
                streamed.write(&sorted, fields.unwrap_or_default()).await?;
                streamed
            }
        };
        let public = self.resolved.schema().as_struct().fields().to_vec();
        let metadata = &self.resolved.metadata;
        let order = if is_sorted { metadata.default_sort_order_id() } else { 0 };
        let spec = metadata.default_partition_spec_id();
        let file = streamed.finish(partition, spec, i32::try_from(order).unwrap_or(0), &public);
        self.done.push(file.await?);
        Ok(())
    }

    fn sorted(&self, batches: &[RecordBatch]) -> Result<RecordBatch> {
        let Some(first) = batches.first() else {
            return Err(LakeError::Corrupt("a file without rows".into()));
        };
        let rows = concat_batches(&first.schema(), batches)?;
        let keys: Vec<SortColumn> = self
            .sort
            .iter()
            .map(|key| SortColumn { values: Arc::clone(rows.column(key.column)), options: Some(key.options) })
            .collect();
        Ok(take_record_batch(&rows, &lexsort_to_indices(&keys, None)?)?)
    }
}

impl OpenFile {
    fn buffered(&self) -> usize {
        match &self.content {
            Content::Streamed(streamed) => streamed.writer.memory_size() + streamed.upload.buffered(),
            Content::Gathered(_, size) => *size,
        }
    }

    /// What it takes at most until it is closed.
    fn counted(&self) -> usize {
        match &self.content {
            Content::Streamed(_) => self.buffered(),
            Content::Gathered(_, size) => *size * SORTING_COPIES,
        }
    }
}

impl Streamed {
    async fn write(&mut self, rows: &RecordBatch, fields: &[NestedFieldRef]) -> Result<()> {
        for (field, column) in fields.iter().zip(rows.columns()) {
            count_nans(field, column, &mut self.nans);
        }
        self.writer.write(rows)?;
        self.send().await
    }

    /// Passes on what the Parquet writer has finished.
    async fn send(&mut self) -> Result<()> {
        let bytes = std::mem::take(self.writer.inner_mut());
        if bytes.is_empty() {
            return Ok(());
        }
        self.sent += bytes.len();
        self.upload.write(Bytes::from(bytes)).await
    }

    async fn finish(mut self, partition: Struct, spec: i32, order: i32, public: &[NestedFieldRef]) -> Result<DataFile> {
        let footer = self.writer.finish()?;
        self.send().await?;
        self.upload.close().await?;
        let metrics = file_metrics(&footer, public, self.nans);
        DataFileBuilder::default()
            .content(DataContentType::Data)
            .file_path(self.path)
            .file_format(DataFileFormat::Parquet)
            .partition(partition)
            .partition_spec_id(spec)
            .record_count(metrics.rows)
            .file_size_in_bytes(self.sent as u64)
            .column_sizes(metrics.column_sizes)
            .value_counts(metrics.value_counts)
            .null_value_counts(metrics.null_value_counts)
            .nan_value_counts(metrics.nan_value_counts)
            .lower_bounds(metrics.lower_bounds)
            .upper_bounds(metrics.upper_bounds)
            .split_offsets(Some(metrics.split_offsets))
            .sort_order_id(order)
            .build()
            .map_err(|error| LakeError::Corrupt(format!("data file: {error}")))
    }
}

/// The sort keys, if all of them are plain columns.
fn sort_keys(order: &SortOrder, fields: &[NestedFieldRef]) -> Vec<SortKey> {
    let mut keys = Vec::new();
    for field in &order.fields {
        let column = fields.iter().position(|f| f.id == field.source_id);
        match (column, &field.transform) {
            (Some(column), Transform::Identity) => keys.push(SortKey {
                column,
                options: SortOptions {
                    descending: field.direction == SortDirection::Descending,
                    nulls_first: field.null_order == NullOrder::First,
                },
            }),
            // Another writer's order that we cannot keep: files are marked unsorted.
            _ => return Vec::new(),
        }
    }
    keys
}
