//! Rows to delete, written as delete files for one commit.
//!
//! ```text
//!   positions of a data file ─┬─▶ one position delete file (format version 2) or deletion vector (3), which replaces
//!   its own deletes so far ───┘    those that it takes in
//! ```
//!
//! Invariants
//! * A data file has one delete file of ours at most: a new one takes in those that are about that file alone. A vector takes
//!   in all positions, those in files about others too: readers look at nothing else once there is one.
//! * Rows are sorted, the bounds are the file's whole path, and the entry names the file.
//! * No equality deletes, ever: what is deleted is known by its place.
//!
//! Not here: which rows are deleted and which files rewritten instead (`ingot-pipeline`), the commit (`commit`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::{FutureExt, StreamExt};
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum};
use parquet::arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY};
use parquet::schema::types::ColumnPath;
use roaring::RoaringTreemap;
use uuid::Uuid;

use crate::crash;
use crate::deletes::applied::ScanDeletes;
use crate::deletes::file::{DELETE_PATH_FIELD_ID, DELETE_POS_FIELD_ID, DeleteFile, DeleteKind, FileDeletes, Identity};
use crate::deletes::vector;
use crate::error::{LakeError, Result};
use crate::read::changelog::FileRef;
use crate::read::parquet_files::ParquetFiles;
use crate::read::prune::TableBounds;
use crate::table::Table;
use crate::table::properties::FileWriting;
use crate::write::files::{name_of, vectors_name_of};
use crate::write::puffin::Vectors;

/// Delete files that are written at a time.
const IN_FLIGHT_MAX: usize = 8;
const PATH: &str = "file_path";
const POSITION: &str = "pos";

/// Delete files for one commit, and those that they replace.
#[derive(Debug, Clone, Default)]
pub struct RowDeletes {
    /// Each with the partition spec of its data file.
    pub(crate) files: Vec<(i32, DataFile)>,
    pub(crate) replaced: HashSet<Identity>,
    rows: u64,
}

impl RowDeletes {
    /// How many rows they take that were there before.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The files that were written.
    pub fn written(&self) -> Vec<DataFile> {
        self.files.iter().map(|(_, file)| file.clone()).collect()
    }
}

/// Writes deletes of rows of a table's head. Positions of a file that it does not have, or that were deleted before, take
/// nothing: `rows` tells.
///
/// # Errors
/// The store's; delete files that cannot be read. Nothing of what was written stays.
pub async fn delete_rows(table: &Table, env: &Arc<RuntimeEnv>, rows: &[(FileRef, Vec<i64>)]) -> Result<RowDeletes> {
    let known = known(table, env, rows).await?;
    let mut all = RowDeletes::default();
    let mut sets = Vec::with_capacity(rows.len());
    for ((file, positions), (own, gone)) in rows.iter().zip(known) {
        let before = own.len();
        let mut set = own;
        let there = |at: &u64| *at < file.record_count() && !gone.contains(*at);
        set.extend(positions.iter().filter_map(|at| u64::try_from(*at).ok()).filter(there));
        if set.len() == before {
            continue;
        }
        all.rows += set.len() - before;
        all.replaced.extend(file.deletes.positional().filter(|d| is_of_one_file(d)).map(|d| d.identity()));
        sets.push((file, set));
    }
    all.files = delete_files(table, &sets).await?;
    // The second time for a refresh that brings rows too.
    crash::point("files_written", table.name());
    Ok(all)
}

/// Whether a delete file is about one data file alone, and says so.
fn is_of_one_file(delete: &DeleteFile) -> bool {
    matches!(&delete.kind, DeleteKind::Vector { .. } | DeleteKind::Positions { referenced: Some(_), .. })
}

/// The deletes of a file that a new delete file holds too.
fn taken_in(table: &Table, file: &FileRef) -> FileDeletes {
    let mut own = FileDeletes { equality: Vec::new(), ..file.deletes.clone() };
    own.positions.retain(|delete| has_vectors(table) || is_of_one_file(delete));
    own
}

/// Whether deletes of a table are vectors: the format version that brought them brought lineage too.
fn has_vectors(table: &Table) -> bool {
    table.has_lineage()
}

/// Of each file the positions that a new delete file takes in, and those that any delete has.
async fn known(
    table: &Table,
    env: &Arc<RuntimeEnv>,
    rows: &[(FileRef, Vec<i64>)],
) -> Result<Vec<(RoaringTreemap, RoaringTreemap)>> {
    let opened = ParquetFiles::of(table.lake(), env);
    let whole: Vec<FileRef> = rows.iter().map(|(file, _)| FileRef { only: None, ..file.clone() }).collect();
    let own: Vec<FileRef> =
        whole.iter().map(|file| FileRef { deletes: taken_in(table, file), ..file.clone() }).collect();
    let partitions = Arc::new(TableBounds::of(table).partition_values(&whole, None)?);
    let both: Vec<FileRef> = whole.iter().chain(&own).cloned().collect();
    let deletes = ScanDeletes::of(table, opened, partitions, &both, &env.memory_pool);
    let mut known = Vec::with_capacity(rows.len());
    for (whole, own) in whole.iter().zip(&own) {
        let own = match own.deletes.is_empty() {
            true => RoaringTreemap::new(),
            false => deletes.taken(own).await?.deleted().clone(),
        };
        let all = match whole.deletes.is_empty() {
            true => RoaringTreemap::new(),
            false => deletes.taken(whole).await?.deleted().clone(),
        };
        known.push((own, all));
    }
    Ok(known)
}

/// One file of deletes for each data file.
async fn delete_files(table: &Table, sets: &[(&FileRef, RoaringTreemap)]) -> Result<Vec<(i32, DataFile)>> {
    // Boxed: the compiler does not see that a closure's futures may be sent.
    let mut writes = Vec::with_capacity(sets.len());
    for (file, set) in sets {
        writes.push(match has_vectors(table) {
            true => vector_file(table, file, set).boxed(),
            false => position_file(table, file, set).boxed(),
        });
    }
    let written: Vec<Result<(i32, DataFile)>> = futures::stream::iter(writes).buffered(IN_FLIGHT_MAX).collect().await;
    all_or_none(table, written).await
}

/// What was written, unless one failed: then nothing of it stays.
async fn all_or_none(table: &Table, written: Vec<Result<(i32, DataFile)>>) -> Result<Vec<(i32, DataFile)>> {
    let (done, failed): (Vec<_>, Vec<_>) = written.into_iter().partition(Result::is_ok);
    let done: Vec<(i32, DataFile)> = done.into_iter().flatten().collect();
    match failed.into_iter().find_map(Result::err) {
        None => Ok(done),
        Some(error) => {
            let files: Vec<DataFile> = done.into_iter().map(|(_, file)| file).collect();
            table.lake().delete_unused(&files).await;
            Err(error)
        }
    }
}

async fn vector_file(table: &Table, of: &FileRef, set: &RoaringTreemap) -> Result<(i32, DataFile)> {
    let mut vectors = Vectors::default();
    let (offset, length) = vectors.push(&of.path, &vector::blob(set)?, set.len());
    let bytes = vectors.finish()?;
    let path = format!("{}/data/{}", table.metadata().location(), vectors_name_of(Uuid::now_v7()));
    let file = DataFileBuilder::default()
        .content(DataContentType::PositionDeletes)
        .file_path(path.clone())
        .file_format(DataFileFormat::Puffin)
        .partition(of.data_file.partition().clone())
        .partition_spec_id(of.spec_id)
        .record_count(set.len())
        .file_size_in_bytes(bytes.len() as u64)
        .referenced_data_file(Some(of.path.clone()))
        .content_offset(Some(offset))
        .content_size_in_bytes(Some(length))
        .build()
        .map_err(|error| LakeError::Corrupt(format!("delete file: {error}")))?;
    table.lake().0.store.write(&path, Bytes::from(bytes)).await?;
    Ok((of.spec_id, file))
}

async fn position_file(table: &Table, of: &FileRef, set: &RoaringTreemap) -> Result<(i32, DataFile)> {
    let field = |name: &str, data_type: DataType, id: i32| {
        let id = HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())]);
        Field::new(name, data_type, false).with_metadata(id)
    };
    let schema = Arc::new(Schema::new(vec![
        field(PATH, DataType::Utf8, DELETE_PATH_FIELD_ID),
        field(POSITION, DataType::Int64, DELETE_POS_FIELD_ID),
    ]));
    let positions: Int64Array = set.iter().map(|at| i64::try_from(at).ok()).collect();
    let paths = StringArray::from_iter_values(std::iter::repeat_n(&of.path, positions.len()));
    let columns: Vec<ArrayRef> = vec![Arc::new(paths), Arc::new(positions)];
    let properties =
        FileWriting::of(table.properties()).parquet()?.set_column_dictionary_enabled(ColumnPath::from(POSITION), false);
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, Arc::clone(&schema), Some(properties.build()))?;
    writer.write(&RecordBatch::try_new(schema, columns)?)?;
    let footer = writer.close()?;
    let sizes = [DELETE_PATH_FIELD_ID, DELETE_POS_FIELD_ID].into_iter().enumerate().map(|(at, id)| {
        let groups = footer.row_groups().iter();
        let size: i64 = groups.filter_map(|group| Some(group.columns().get(at)?.compressed_size())).sum();
        (id, u64::try_from(size).unwrap_or(0))
    });
    let counts = |n: u64| HashMap::from([(DELETE_PATH_FIELD_ID, n), (DELETE_POS_FIELD_ID, n)]);
    let bounds = |at: Option<u64>| {
        let position = at.and_then(|at| i64::try_from(at).ok()).map(|at| (DELETE_POS_FIELD_ID, Datum::long(at)));
        let path = (DELETE_PATH_FIELD_ID, Datum::string(&of.path));
        std::iter::once(path).chain(position).collect::<HashMap<_, _>>()
    };
    let path = format!("{}/data/{}", table.metadata().location(), name_of(Uuid::now_v7()));
    let offsets = footer.row_groups().iter().filter_map(|group| Some(group.columns().first()?.byte_range().0));
    let file = DataFileBuilder::default()
        .content(DataContentType::PositionDeletes)
        .file_path(path.clone())
        .file_format(DataFileFormat::Parquet)
        .partition(of.data_file.partition().clone())
        .partition_spec_id(of.spec_id)
        .record_count(set.len())
        .file_size_in_bytes(bytes.len() as u64)
        .column_sizes(sizes.collect())
        .value_counts(counts(set.len()))
        .null_value_counts(counts(0))
        .lower_bounds(bounds(set.min()))
        .upper_bounds(bounds(set.max()))
        .split_offsets(Some(offsets.filter_map(|at| i64::try_from(at).ok()).collect()))
        .referenced_data_file(Some(of.path.clone()))
        .build()
        .map_err(|error| LakeError::Corrupt(format!("delete file: {error}")))?;
    table.lake().0.store.write(&path, Bytes::from(bytes)).await?;
    Ok((of.spec_id, file))
}
