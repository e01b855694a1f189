//! From the rows of one partition to its data files.
//!
//! Invariants
//! * It shares nothing that changes with the writer, so that several partitions' files are written at a time.
//! * Rows on disk came before those in memory, and keep their order unless SORTED BY says otherwise.
//!
//! Not here: which rows wait and which are written when (`write`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::RecordBatch;
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch};
use bytes::Bytes;
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, NestedFieldRef, Struct};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use uuid::Uuid;

use super::shape::{Shape, SortKey};
use super::spill::{Block, Spill};
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::store::Upload;
use crate::table::definition::ResolvedDefinition;
use crate::write::bounds::{count_nans, file_metrics};

/// Rows of one partition that wait: those on disk came before those in memory.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) spilled: Vec<Block>,
    pub(super) batches: Vec<RecordBatch>,
    /// Bytes of `batches`.
    pub(super) bytes: usize,
    /// Bytes of all.
    pub(super) total: usize,
}

/// A file that is open.
pub(super) struct Streamed {
    pub(super) writer: ArrowWriter<Vec<u8>>,
    pub(super) upload: Upload,
    path: String,
    sent: usize,
    nans: HashMap<i32, u64>,
}

/// What the files of one writer have in common.
#[derive(Clone, Copy)]
pub(super) struct Files<'a> {
    pub(super) lake: &'a Lake,
    pub(super) resolved: &'a ResolvedDefinition,
    pub(super) shape: &'a Shape,
    pub(super) sort: &'a [SortKey],
    pub(super) file_bytes_max: usize,
    pub(super) spill: Option<&'a Spill>,
}

impl<'a> Files<'a> {
    pub(super) fn fields(self) -> &'a [NestedFieldRef] {
        &self.shape.fields
    }

    /// Begins a file.
    pub(super) async fn create(self) -> Result<Streamed> {
        let path = format!("{}/data/{}", self.resolved.metadata.location(), name_of(Uuid::now_v7()));
        let options = ArrowWriterOptions::new()
            .with_properties(self.shape.properties.clone())
            .with_parquet_schema(self.shape.parquet.clone());
        let arrow = Arc::clone(&self.shape.conform.arrow);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), arrow, options)?;
        let upload = self.lake.0.store.create(&path).await?;
        Ok(Streamed { writer, upload, path, sent: 0, nans: HashMap::new() })
    }

    /// Ends a file.
    pub(super) async fn finished(self, partition: Struct, streamed: Streamed) -> Result<DataFile> {
        let public = self.resolved.schema().as_struct().fields().to_vec();
        let metadata = &self.resolved.metadata;
        let order = if self.sort.is_empty() { 0 } else { metadata.default_sort_order_id() };
        let spec = metadata.default_partition_spec_id();
        streamed.finish(partition, spec, i32::try_from(order).unwrap_or(0), &public).await
    }

    /// Writes gathered rows to an open file.
    pub(super) async fn pour(self, streamed: &mut Streamed, rows: Gathered) -> Result<()> {
        for block in rows.spilled {
            for batch in self.unspilled(block).await? {
                streamed.write(&batch, self.fields()).await?;
            }
        }
        for batch in &rows.batches {
            streamed.write(batch, self.fields()).await?;
        }
        Ok(())
    }

    /// Writes the files of a partition's gathered rows; `done` has those that are written, if others fail too.
    pub(super) async fn write_gathered(
        self,
        partition: Struct,
        rows: Gathered,
        done: &mut Vec<DataFile>,
    ) -> Result<()> {
        if !self.sort.is_empty() {
            let mut batches = Vec::new();
            for block in rows.spilled {
                batches.extend(self.unspilled(block).await?);
            }
            batches.extend(rows.batches);
            let sorted = self.sorted(&batches)?;
            drop(batches);
            let mut streamed = self.create().await?;
            streamed.write(&sorted, self.fields()).await?;
            done.push(self.finished(partition, streamed).await?);
            return Ok(());
        }
        let mut open: Option<Streamed> = None;
        let spilled = rows.spilled.into_iter().map(Some).chain([None]);
        let mut last = rows.batches;
        for block in spilled {
            let batches = match block {
                Some(block) => self.unspilled(block).await?,
                None => std::mem::take(&mut last),
            };
            for batch in batches {
                let mut streamed = match open.take() {
                    Some(streamed) => streamed,
                    None => self.create().await?,
                };
                streamed.write(&batch, self.fields()).await?;
                if streamed.bytes() >= self.file_bytes_max {
                    done.push(self.finished(partition.clone(), streamed).await?);
                } else {
                    open = Some(streamed);
                }
            }
        }
        if let Some(streamed) = open {
            done.push(self.finished(partition, streamed).await?);
        }
        Ok(())
    }

    async fn unspilled(self, block: Block) -> Result<Vec<RecordBatch>> {
        match self.spill {
            Some(spill) => spill.read(block).await,
            None => Err(LakeError::Corrupt("rows were spilled to no file".into())),
        }
    }

    fn sorted(self, batches: &[RecordBatch]) -> Result<RecordBatch> {
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

impl Streamed {
    pub(super) async fn write(&mut self, rows: &RecordBatch, fields: &[NestedFieldRef]) -> Result<()> {
        for (field, column) in fields.iter().zip(rows.columns()) {
            count_nans(field, column, &mut self.nans);
        }
        self.writer.write(rows)?;
        self.send().await
    }

    /// Bytes of the file so far, about.
    pub(super) fn bytes(&self) -> usize {
        self.sent + self.writer.in_progress_size()
    }

    /// Passes on what the Parquet writer has finished.
    pub(super) async fn send(&mut self) -> Result<()> {
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

/// The name of a data file below the folder of them. The last byte is random: folders fill evenly, and object stores can
/// split them.
pub(super) fn name_of(id: Uuid) -> String {
    named(id, "parquet")
}

/// The name of a file of deletion vectors, likewise.
pub(super) fn vectors_name_of(id: Uuid) -> String {
    named(id, "puffin")
}

fn named(id: Uuid, kind: &str) -> String {
    format!("{:02x}/{id}.{kind}", id.as_bytes()[15])
}

/// When a file of rows or of deletes was begun, by its name, if that is one that this engine gives: no other engine's looks like it.
pub(crate) fn begun_at(path: &str) -> Option<SystemTime> {
    let (id, kind) =
        path.rsplit('/').next()?.split_once('.').filter(|(_, kind)| ["parquet", "puffin"].contains(kind))?;
    let id = Uuid::try_parse(id).ok()?;
    if !path.ends_with(&format!("/data/{}", named(id, kind))) {
        return None;
    }
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    Some(SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos))
}

/// Whether this engine wrote a data file, by its name.
pub(crate) fn has_own_name(path: &str) -> bool {
    begun_at(path).is_some()
}
