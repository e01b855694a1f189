//! Position delete files: rows by data file and position, in Parquet.
//!
//! Invariants
//! * Only the positions of data files that are asked for are kept.
//!
//! Not here: which files are read (`index`), in which order and how often (`applied`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::TryStreamExt;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use roaring::RoaringTreemap;

use crate::deletes::file::{DELETE_PATH_FIELD_ID, DELETE_POS_FIELD_ID, DeleteFile, canonical};
use crate::error::damaged;
use crate::read::adapt::{ByIdReaderFactory, FieldNames};
use crate::read::parquet_files::ParquetFiles;

/// Deleted positions by canonical data file.
pub(crate) type Positions = HashMap<String, RoaringTreemap>;

/// The positions that a file takes out of the data files `wanted`.
///
/// # Errors
/// The store's; a file that holds something else.
pub(crate) async fn read(files: &ParquetFiles, delete: &DeleteFile, wanted: &HashSet<String>) -> Result<Positions> {
    let path = delete.path();
    let names = FieldNames::fixed([(DELETE_PATH_FIELD_ID, "file_path"), (DELETE_POS_FIELD_ID, "pos")]);
    let factory = ByIdReaderFactory { inner: files.reader(), names: Arc::new(names) };
    let metrics = ExecutionPlanMetricsSet::new();
    let file = files.file(path, delete.data_file.file_size_in_bytes())?;
    let reader: Box<dyn AsyncFileReader> = factory.create_reader(0, file, None, &metrics)?;
    let builder = ParquetRecordBatchStreamBuilder::new(reader).await?;
    let fields = builder.schema().fields().iter().enumerate();
    let columns: Vec<usize> =
        fields.filter(|(_, f)| matches!(f.name().as_str(), "file_path" | "pos")).map(|(i, _)| i).collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), columns);
    let mut batches = builder.with_projection(mask).build()?;
    let mut found = Positions::new();
    while let Some(batch) = batches.try_next().await? {
        let (Some(paths), Some(positions)) = (batch.column_by_name("file_path"), batch.column_by_name("pos")) else {
            return damaged(format!("the position delete file \"{path}\" lacks file_path or pos"));
        };
        let (paths, positions) = (cast(paths, &DataType::Utf8)?, cast(positions, &DataType::Int64)?);
        let (Some(paths), Some(positions)) =
            (paths.as_any().downcast_ref::<StringArray>(), positions.as_any().downcast_ref::<Int64Array>())
        else {
            return damaged(format!("the position delete file \"{path}\" has columns of other types"));
        };
        if paths.null_count() + positions.null_count() > 0 {
            return damaged(format!("the position delete file \"{path}\" holds NULL"));
        }
        let mut row = 0;
        while row < paths.len() {
            // Rows are sorted by file: one look-up for all of a file's.
            let of = paths.value(row);
            let end = (row..paths.len()).find(|next| paths.value(*next) != of).unwrap_or(paths.len());
            if wanted.contains(canonical(of)) {
                let into = found.entry(canonical(of).to_owned()).or_default();
                for position in &positions.values()[row..end] {
                    let Ok(position) = u64::try_from(*position) else {
                        return damaged(format!("the position delete file \"{path}\" holds a negative position"));
                    };
                    into.insert(position);
                }
            }
            row = end;
        }
    }
    Ok(found)
}
