//! Rows into data files.
//!
//! ```text
//!   batch ─▶ conform (names, types, NOT NULL) ─▶ no partitions, no order: one open Parquet file
//!                                             └─▶ clustered: rows wait with their partition, in memory, then on disk
//!   much of one partition: an open file of its own       close(): the rest, sorted where SORTED BY says
//!   file ≥ write.target-file-size-bytes, or close() ─▶ footer ─▶ bounds ─▶ DataFile
//! ```
//!
//! Invariants
//! * A file holds rows of one partition, under `data/<hash>/<uuid>.parquet`; no value becomes a path.
//! * A partition's rows of one writer are in one file, as far as its size allows, however many partitions there are.
//! * Every column, hidden ones too, carries its field id; hidden columns stand last.
//! * Files are durable when `close` returns. Files of a writer that was dropped are in no table.
//! * What is buffered is bounded, whatever the number of partitions, and counted in a pool where one was given; what is past
//!   that waits in a temporary file.
//!
//! Not here: making the files part of a table (`commit`).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{SortOptions, concat_batches};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use futures::StreamExt;
use iceberg::spec::{DataFile, FormatVersion, NestedFieldRef, NullOrder, SortDirection, SortOrder, Struct, Transform};
use ingot_model::{Definition, TableName};

use crate::crash;
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::read::key_probe::key_column;
use crate::table::definition::{ResolvedDefinition, resolve_definition};
use crate::table::partition::PartitionSplitter;
use crate::table::properties::FileWriting;
use crate::table::schema::arrow_schema;
use crate::table::{Table, left_out_ids, row_ids};
use crate::write::conform::Conform;
use crate::write::parquet_schema::parquet_schema;

pub mod bounds;
mod conform;
pub(crate) mod deletes;
mod encode;
mod files;
pub(crate) mod parquet_schema;
mod puffin;
mod shape;
mod spill;

use files::{Files, Gathered, Streamed};
pub(crate) use files::{begun_at, has_own_name};
use shape::{Shape, SortKey};
use spill::Spill;

/// Rows and bytes that are brought together before they are split by partition: small batches over many partitions
/// would be split into single rows.
const SPLIT_ROWS: usize = 65_536;
const SPLIT_BYTES: usize = 16 << 20;
/// Rows that wait with their partitions take about this much memory at most; then all of them go to disk.
const GATHERED_BYTES_MAX: usize = if cfg!(test) { 1 << 20 } else { 128 << 20 };
/// A partition with so many bytes gets an open file of its own, if there are not too many of those.
const STREAMED_BYTES_MIN: usize = 8 << 20;
/// No more files than this are open at a time.
const STREAMS_MAX: usize = 16;
/// All open files together buffer about this much at most.
const STREAMED_BYTES_MAX: usize = 128 << 20;
/// Rows gathered for one sorted file.
const SORTED_BYTES_MAX: usize = 96 << 20;
/// What an array costs beside its values, about.
const ARRAY_BYTES: usize = 256;
/// Partitions whose files are written at a time when the writer closes, if each has at most so many bytes.
const CLOSES_IN_FLIGHT_MAX: usize = 8;
const CLOSED_TOGETHER_BYTES_MAX: usize = 4 << 20;
/// What rows take while they are sorted: themselves, put together, and in their order.
const SORTING_COPIES: usize = 3;
/// Less memory than this is not worth a block on disk, a row group or a file of its own.
const WORTH_WRITING_BYTES: usize = 1 << 20;

/// Writes rows of one table into data files.
pub struct Writer {
    lake: Lake,
    table: TableName,
    resolved: ResolvedDefinition,
    /// The public columns of the rows; those left out of the definition are in no file.
    public: Vec<NestedFieldRef>,
    not_null: Vec<String>,
    splitter: PartitionSplitter,
    /// None until the first batch tells whether it brings the hidden columns.
    shape: Option<Shape>,
    /// Whether files have the columns of the rows' lineage.
    keeps_lineage: bool,
    sort: Vec<SortKey>,
    settings: FileWriting,
    /// Batches that are not split yet, and their bytes.
    unsplit: (Vec<RecordBatch>, usize),
    open: HashMap<Struct, OpenFile>,
    /// Bytes in memory of all that is gathered.
    gathered: usize,
    spill: Option<Spill>,
    done: Vec<DataFile>,
    rows: u64,
    clock: u64,
    memory: Option<MemoryReservation>,
}

enum Content {
    /// Rows go to the file as they come.
    Streamed(Box<Streamed>),
    /// Rows wait for the others of their partition.
    Gathered(Gathered),
}

struct OpenFile {
    content: Content,
    used: u64,
}

impl Writer {
    /// A writer for `table` as it is, or as it will be once the commit changes it to `definition`.
    ///
    /// # Errors
    /// A definition that Iceberg does not take; partitions over columns that cannot be read; a table with columns that
    /// are not read.
    pub fn new(table: &Table, definition: Option<&Definition>) -> Result<Writer> {
        if let Some(refusal) = table.refuses_rows() {
            return Err(LakeError::Unsupported(refusal));
        }
        let resolved = match definition {
            Some(definition) => resolve_definition(table, definition)?,
            None => ResolvedDefinition::of_table(table),
        };
        let left_out = left_out_ids(table.name(), &resolved.metadata)?;
        let fields = resolved.schema().as_struct().fields();
        let public: Vec<_> = fields.iter().filter(|f| !left_out.contains(&f.id)).cloned().collect();
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
            settings: FileWriting::of(resolved.metadata.properties()),
            resolved,
            public,
            not_null,
            shape: None,
            keeps_lineage: false,
            unsplit: (Vec::new(), 0),
            open: HashMap::new(),
            gathered: 0,
            spill: None,
            done: Vec::new(),
            rows: 0,
            clock: 0,
            memory: None,
        })
    }

    /// Refuses NULL in the columns that a definition says NOT NULL, those that Iceberg has as optional too.
    #[must_use]
    pub fn enforcing(mut self, definition: &Definition) -> Writer {
        self.not_null.extend(definition.columns.iter().filter(|c| !c.nullable).map(|c| c.name.clone()));
        self
    }

    /// Gives the files the columns of the rows' lineage: copied rows bring theirs (`ScanOptions::with_lineage`), new ones have
    /// none yet. Nothing where the table, as it will be, is of a format version without lineage.
    #[must_use]
    pub fn keeping_lineage(mut self) -> Writer {
        self.keeps_lineage = self.resolved.metadata.format_version() == FormatVersion::V3;
        self
    }

    /// Closes a file at this size already, in bytes, where the table says more.
    #[must_use]
    pub fn closing_at(mut self, file_bytes_max: Option<u64>) -> Writer {
        let max = file_bytes_max.map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        if max < self.settings.file_bytes_max {
            // Of a row group that is not closed only the size before compression is known.
            self.settings.close_at(max);
        }
        self
    }

    /// Counts what is buffered in a pool. Where its share there is used up, rows go to disk or to their files early.
    pub fn counted_in(mut self, pool: &Arc<dyn MemoryPool>) -> Writer {
        let consumer = MemoryConsumer::new(format!("writer of {}", self.table)).with_can_spill(true);
        self.memory = Some(consumer.register(pool));
        self
    }

    /// Bytes held in memory, about.
    pub(crate) fn bytes_buffered(&self) -> usize {
        self.unsplit.1 + self.gathered + self.open.values().map(OpenFile::streamed).sum::<usize>()
    }

    /// Writes a batch: the public columns by name, then the hidden ones if the rows have them.
    ///
    /// # Errors
    /// Columns or values that do not fit the table; the store's.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = &self.with_lineage(batch)?;
        let public = self.public.len() + if self.keeps_lineage { row_ids::fields().len() } else { 0 };
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
        self.unsplit.1 += bytes_of(&batch);
        self.unsplit.0.push(batch);
        let rows: usize = self.unsplit.0.iter().map(RecordBatch::num_rows).sum();
        if !self.splitter.is_split() || rows >= SPLIT_ROWS || self.unsplit.1 >= SPLIT_BYTES {
            self.split().await?;
        }
        Ok(())
    }

    /// Writes batches, and counts their rows.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub async fn write_all(&mut self, batches: &[RecordBatch]) -> Result<u64> {
        let mut rows = 0;
        for batch in batches {
            rows += batch.num_rows() as u64;
            self.write(batch).await?;
        }
        Ok(rows)
    }

    /// Closes all files and gives them.
    ///
    /// # Errors
    /// The store's. Nothing of what was written stays.
    pub async fn close(self) -> Result<Vec<DataFile>> {
        Ok(self.close_after(Ok::<_, LakeError>(())).await?.1)
    }

    /// Closes all files and gives them with the outcome of the work that wrote their rows.
    ///
    /// # Errors
    /// That of the work, or the store's. Nothing of what was written stays.
    pub async fn close_after<T, E: From<LakeError>>(mut self, work: Result<T, E>) -> Result<(T, Vec<DataFile>), E> {
        let finished = match work {
            Ok(outcome) => self.finish_all().await.map(|()| outcome).map_err(E::from),
            Err(error) => Err(error),
        };
        match finished {
            Ok(outcome) => {
                crash::point("files_written", &self.table);
                Ok((outcome, self.done))
            }
            Err(error) => {
                self.open.clear();
                self.lake.delete_unused(&self.done).await;
                Err(error)
            }
        }
    }

    async fn finish_all(&mut self) -> Result<()> {
        self.split().await?;
        let mut open: Vec<_> = std::mem::take(&mut self.open).into_iter().collect();
        open.sort_by_key(|(_, file)| file.used);
        let mut gathered = Vec::new();
        for (partition, file) in open {
            match file.content {
                Content::Streamed(streamed) => self.finish(partition, *streamed).await?,
                Content::Gathered(rows) => gathered.push((partition, rows)),
            }
        }
        let largest = gathered.iter().map(|(_, rows)| rows.total).max().unwrap_or(0);
        let at_a_time = if largest <= CLOSED_TOGETHER_BYTES_MAX { CLOSES_IN_FLIGHT_MAX } else { 1 };
        let Ok(files) = self.files() else { return Ok(()) };
        let failed = AtomicBool::new(false);
        let written = gathered.into_iter().map(async |(partition, rows)| {
            let mut done = Vec::new();
            let written = match failed.load(Ordering::Relaxed) {
                false => files.write_gathered(partition, rows, &mut done).await,
                true => Ok(()),
            };
            failed.fetch_or(written.is_err(), Ordering::Relaxed);
            (done, written)
        });
        // Those under way are waited for when one fails: their files must be known, so that they can be deleted.
        let written: Vec<_> = futures::stream::iter(written).buffered(at_a_time).collect().await;
        let (done, outcomes): (Vec<_>, Vec<_>) = written.into_iter().unzip();
        self.done.extend(done.into_iter().flatten());
        outcomes.into_iter().collect()
    }

    /// Gives the batches so far to their partitions.
    async fn split(&mut self) -> Result<()> {
        let (batches, _) = std::mem::take(&mut self.unsplit);
        let Some(first) = batches.first() else { return Ok(()) };
        let rows = match batches.len() {
            1 => first.clone(),
            _ => concat_batches(&first.schema(), &batches)?,
        };
        drop(batches);
        for (partition, part) in self.splitter.split(&rows)? {
            self.append(partition, part).await?;
        }
        self.bound().await
    }

    /// The batch with the columns of its rows' lineage where files have them, and without where they have not.
    fn with_lineage(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let has_own = |column: &str| self.public.iter().any(|field| field.name == column);
        let is_lineage =
            |field: &Field| row_ids::fields().iter().any(|of| of.name == *field.name() && !has_own(&of.name));
        let schema = batch.schema();
        let brings = schema.fields().iter().any(|field| is_lineage(field));
        if brings == self.keeps_lineage {
            return Ok(batch.clone());
        }
        if brings {
            let others: Vec<usize> = (0..batch.num_columns()).filter(|at| !is_lineage(schema.field(*at))).collect();
            return Ok(batch.project(&others)?);
        }
        let mut fields: Vec<_> = schema.fields().iter().map(Arc::clone).collect();
        fields.extend(arrow_schema(row_ids::fields(), false)?.fields().iter().map(Arc::clone));
        let none = new_null_array(&DataType::Int64, batch.num_rows());
        let columns = batch.columns().iter().cloned().chain([Arc::clone(&none), none]).collect();
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }

    fn shape_of(&self, has_state: bool, first: &RecordBatch) -> Result<Shape> {
        let mut fields = self.public.clone();
        let public = fields.len();
        if has_state {
            fields.extend(self.resolved.state.iter().map(|column| Arc::clone(&column.field)));
        }
        if self.keeps_lineage {
            fields.extend(row_ids::fields().iter().map(Arc::clone));
        }
        let not_null = (0..public).filter(|at| self.not_null.contains(&fields[*at].name)).collect();
        let arrow = Arc::new(arrow_schema(&fields, true)?);
        let parquet = parquet_schema(&arrow, &fields)?;
        let conform = Conform::new(arrow, fields.clone(), public, not_null);
        let mut properties = encode::choose(self.settings.parquet()?, &conform.apply(first)?);
        if let Some(key) = key_column(&self.resolved.state).filter(|_| has_state) {
            properties = encode::with_key_filter(properties, &key.name);
        }
        let properties = properties.build();
        Ok(Shape { conform, fields, parquet, properties, has_state })
    }

    async fn append(&mut self, partition: Struct, rows: RecordBatch) -> Result<()> {
        self.clock += 1;
        let mut file = match self.open.remove(&partition) {
            Some(file) => file,
            None if self.sort.is_empty() && !self.splitter.is_split() => {
                let streamed = self.files()?.create().await?;
                OpenFile { content: Content::Streamed(Box::new(streamed)), used: self.clock }
            }
            None => OpenFile { content: Content::Gathered(Gathered::default()), used: self.clock },
        };
        file.used = self.clock;
        match &mut file.content {
            Content::Gathered(gathered) => {
                let bytes = bytes_of(&rows);
                gathered.batches.push(rows);
                gathered.bytes += bytes;
                gathered.total += bytes;
                self.gathered += bytes;
                if !self.sort.is_empty() && gathered.total >= SORTED_BYTES_MAX {
                    let rows = std::mem::take(gathered);
                    self.gathered -= rows.bytes;
                    return self.write_gathered(partition, rows).await;
                }
                if self.sort.is_empty() && gathered.total >= STREAMED_BYTES_MIN && self.streams() < STREAMS_MAX {
                    let rows = std::mem::take(gathered);
                    self.gathered -= rows.bytes;
                    let files = self.files()?;
                    let mut streamed = files.create().await?;
                    files.pour(&mut streamed, rows).await?;
                    file.content = Content::Streamed(Box::new(streamed));
                }
            }
            Content::Streamed(streamed) => streamed.write(&rows, self.files()?.fields()).await?,
        }
        match file.content {
            Content::Streamed(streamed) if streamed.bytes() >= self.settings.file_bytes_max => {
                self.finish(partition, *streamed).await?;
            }
            content => {
                self.open.insert(partition, OpenFile { content, ..file });
            }
        }
        Ok(())
    }

    fn streams(&self) -> usize {
        self.open.values().filter(|file| matches!(file.content, Content::Streamed(_))).count()
    }

    /// Keeps what is buffered within its bounds, and within the writer's share of the pool.
    async fn bound(&mut self) -> Result<()> {
        if self.gathered > GATHERED_BYTES_MAX {
            self.spill_gathered().await?;
        }
        while self.open.values().map(OpenFile::streamed).sum::<usize>() > STREAMED_BYTES_MAX {
            if !self.shrink_streams().await? {
                break;
            }
        }
        let Some(memory) = self.memory.take() else { return Ok(()) };
        while memory.try_resize(self.held()).is_err() {
            let smaller = if self.gathered >= WORTH_WRITING_BYTES {
                self.spill_gathered().await?;
                true
            } else {
                self.shrink_streams().await? || self.write_largest_sorted().await?
            };
            if !smaller {
                // So little is held that closing more would make nothing but small files.
                memory.resize(self.held());
                break;
            }
        }
        self.memory = Some(memory);
        Ok(())
    }

    /// What is in memory, and what it takes to sort the largest of what waits for that.
    fn held(&self) -> usize {
        let sorting = if self.sort.is_empty() { 0 } else { self.largest_gathered().map_or(0, |(_, bytes)| bytes) };
        self.bytes_buffered() + SORTING_COPIES * sorting
    }

    fn largest_gathered(&self) -> Option<(&Struct, usize)> {
        let gathered = self.open.iter().filter_map(|(partition, file)| match &file.content {
            Content::Gathered(rows) => Some((partition, rows.total)),
            Content::Streamed(_) => None,
        });
        gathered.max_by_key(|(_, bytes)| *bytes)
    }

    /// Moves all gathered rows to disk, a block a partition.
    async fn spill_gathered(&mut self) -> Result<()> {
        let mut spill = match self.spill.take() {
            Some(spill) => spill,
            None => Spill::create().await?,
        };
        for file in self.open.values_mut() {
            let Content::Gathered(rows) = &mut file.content else { continue };
            let batches = std::mem::take(&mut rows.batches);
            if let Some(first) = batches.first() {
                rows.spilled.push(spill.write(&concat_batches(&first.schema(), &batches)?).await?);
                rows.bytes = 0;
            }
        }
        self.gathered = 0;
        self.spill = Some(spill);
        Ok(())
    }

    /// Ends a row group or the file of the partition that holds the most, if that is worth it.
    async fn shrink_streams(&mut self) -> Result<bool> {
        let largest = self.open.iter().max_by_key(|(_, file)| file.streamed());
        let Some((partition, bytes)) = largest.map(|(partition, file)| (partition.clone(), file.streamed())) else {
            return Ok(false);
        };
        if bytes < WORTH_WRITING_BYTES {
            return Ok(false);
        }
        let Some(OpenFile { content: Content::Streamed(mut streamed), used }) = self.open.remove(&partition) else {
            return Ok(false);
        };
        if streamed.writer.in_progress_size() >= WORTH_WRITING_BYTES {
            streamed.writer.flush()?;
            streamed.send().await?;
            self.open.insert(partition, OpenFile { content: Content::Streamed(streamed), used });
        } else {
            self.finish(partition, *streamed).await?;
        }
        Ok(true)
    }

    /// Writes what would take the most memory to be sorted, if that is worth a file.
    async fn write_largest_sorted(&mut self) -> Result<bool> {
        let Some((partition, bytes)) = self.largest_gathered() else { return Ok(false) };
        if self.sort.is_empty() || bytes < WORTH_WRITING_BYTES {
            return Ok(false);
        }
        let partition = partition.clone();
        let Some(OpenFile { content: Content::Gathered(rows), .. }) = self.open.remove(&partition) else {
            return Ok(false);
        };
        self.gathered -= rows.bytes;
        self.write_gathered(partition, rows).await?;
        Ok(true)
    }

    async fn write_gathered(&mut self, partition: Struct, rows: Gathered) -> Result<()> {
        let mut done = Vec::new();
        let written = self.files()?.write_gathered(partition, rows, &mut done).await;
        self.done.append(&mut done);
        written
    }

    /// Ends a file.
    async fn finish(&mut self, partition: Struct, streamed: Streamed) -> Result<()> {
        let file = self.files()?.finished(partition, streamed).await?;
        self.done.push(file);
        Ok(())
    }

    /// Where files are written, apart from those that are open.
    fn files(&self) -> Result<Files<'_>> {
        let Some(shape) = &self.shape else {
            return Err(LakeError::Corrupt("a file was begun before the first batch".into()));
        };
        Ok(Files {
            lake: &self.lake,
            resolved: &self.resolved,
            shape,
            sort: &self.sort,
            file_bytes_max: self.settings.file_bytes_max,
            spill: self.spill.as_ref(),
        })
    }
}

impl OpenFile {
    /// Bytes that an open file holds.
    fn streamed(&self) -> usize {
        match &self.content {
            Content::Streamed(streamed) => streamed.writer.memory_size() + streamed.upload.buffered(),
            Content::Gathered(_) => 0,
        }
    }
}

/// The memory of a batch's own rows, whatever it shares with others.
fn bytes_of(batch: &RecordBatch) -> usize {
    let own = |column: &ArrayRef| column.to_data().get_slice_memory_size();
    let bytes = |column: &ArrayRef| own(column).unwrap_or_else(|_| column.get_array_memory_size());
    batch.columns().iter().map(|column| bytes(column) + ARRAY_BYTES).sum()
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
