//! The files a snapshot reads, and the files that differ between two snapshots.
//!
//!   snapshot ──▶ manifest list ──▶ manifests ──▶ live entries ──▶ FileRef
//!
//! Invariants
//! * A file is live in a snapshot when one of its manifests holds it as added or
//!   existing; its path names it.
//! * `changelog` is exact for any two snapshots of one table, rollbacks included:
//!   it compares live sets by path, and never trusts ancestry or entry status.
//!   Manifests that both snapshots share hold the same entries and stay closed.
//! * Equality deletes and deletion vectors are refused, never ignored.
//!
//! Not here: which of these files a query needs (`prune`), reading their rows
//! (`provider`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use iceberg::spec::{
    DataContentType, DataFile, DataFileFormat, Literal, ManifestContentType, ManifestEntry, ManifestFile,
    PrimitiveLiteral, SnapshotRef, Struct,
};

use crate::error::LakeError;
use crate::table::Table;

/// Manifests read at the same time.
const MANIFESTS_CONCURRENT: usize = 8;
/// Field id of the path column of position deletes (Iceberg, "Reserved field ids").
pub(crate) const DELETE_PATH_FIELD_ID: i32 = 2_147_483_546;
/// Field id of the position column of position deletes.
pub(crate) const DELETE_POS_FIELD_ID: i32 = 2_147_483_545;

/// A data file that is live in a snapshot.
#[derive(Clone, Debug)]
pub struct FileRef {
    /// Full URI, as the manifest holds it.
    pub path: String,
    /// Counts, bounds, partition values, size.
    pub data_file: Arc<DataFile>,
    /// Data sequence number.
    pub sequence_number: i64,
    /// The snapshot that added the file. Kept when manifests are rewritten.
    pub added_snapshot_id: i64,
    /// Whether every hidden state column of the table is in the file. True when
    /// the table has none. False says that somebody else wrote the file.
    pub has_state: bool,
    /// The partition spec of the file's partition values.
    pub spec_id: i32,
    /// Position delete files of other writers that may hold rows of this file.
    pub deletes: Vec<Arc<DeleteFile>>,
}

impl FileRef {
    /// Rows in the file, those that position deletes take away included.
    pub fn record_count(&self) -> u64 {
        self.data_file.record_count()
    }
}

/// A Parquet file of position deletes.
#[derive(Clone, Debug)]
pub struct DeleteFile {
    /// Full URI.
    pub path: String,
    /// Bytes.
    pub size: u64,
    pub(crate) sequence_number: i64,
    pub(crate) spec_id: i32,
    pub(crate) partition: Struct,
    /// Least and greatest data file path, when the writer told.
    pub(crate) paths: (Option<String>, Option<String>),
    pub(crate) referenced: Option<String>,
}

impl DeleteFile {
    /// Whether a data file may have rows deleted here: the spec's rule (same
    /// partition, sequence number not below the file's), or the file by name.
    fn applies(&self, file: &FileRef) -> bool {
        let path = file.path.as_str();
        if self.sequence_number < file.sequence_number {
            return false;
        }
        if let Some(referenced) = &self.referenced {
            return referenced == path;
        }
        match &self.paths {
            (Some(low), Some(high)) if low == high => return low == path,
            (low, high) => {
                if low.as_deref().is_some_and(|low| low > path) || high.as_deref().is_some_and(|high| high < path) {
                    return false;
                }
            }
        }
        let (ours, theirs) = (self.partition.fields(), file.data_file.partition().fields());
        self.spec_id == file.spec_id && ours.len() == theirs.len() && ours.iter().zip(theirs).all(is_same_value)
    }
}

/// Whether two partition values are the same, if one of them was written before a promotion.
fn is_same_value((a, b): (&Option<Literal>, &Option<Literal>)) -> bool {
    use PrimitiveLiteral::{Double, Float, Int, Long};
    let primitive = |value: &Option<Literal>| value.as_ref().and_then(Literal::as_primitive_literal);
    match (a, b) {
        (a, b) if a == b => true,
        _ => match (primitive(a), primitive(b)) {
            (Some(Int(narrow)), Some(Long(wide))) | (Some(Long(wide)), Some(Int(narrow))) => i64::from(narrow) == wide,
            (Some(Float(narrow)), Some(Double(wide))) | (Some(Double(wide)), Some(Float(narrow))) => {
                wide.total_cmp(&f64::from(narrow.0)).is_eq()
            }
            _ => false,
        },
    }
}

/// A partition with its numbers as wide as they may be promoted to: manifests of before a promotion hold the narrow ones.
pub(crate) fn promoted(partition: &Struct) -> Struct {
    let wide = |value: &Option<Literal>| match value {
        Some(Literal::Primitive(PrimitiveLiteral::Int(value))) => {
            Some(Literal::Primitive(PrimitiveLiteral::Long(i64::from(*value))))
        }
        Some(Literal::Primitive(PrimitiveLiteral::Float(value))) => {
            Some(Literal::Primitive(PrimitiveLiteral::Double(f64::from(value.0).into())))
        }
        value => value.clone(),
    };
    partition.fields().iter().map(wide).collect()
}

/// Data files added and removed between two snapshots.
#[derive(Clone, Debug, Default)]
pub struct FileChange {
    /// Live in the later snapshot only.
    pub added: Vec<FileRef>,
    /// Live in the earlier snapshot only.
    pub removed: Vec<FileRef>,
}

/// The data files of `snapshot`, in manifest order.
///
/// # Errors
/// `SnapshotGone` when the metadata no longer holds the snapshot; `Unsupported`
/// when it holds equality deletes, deletion vectors or data that is not Parquet.
pub async fn live_files(table: &Table, snapshot: i64) -> Result<Vec<FileRef>, LakeError> {
    let manifests = manifests(table, &find(table, snapshot)?).await?;
    let (data, deletes) = split(manifests);
    let deletes = delete_files(table, deletes).await?;
    let mut files = data_files(table, data).await?;
    if !deletes.is_empty() {
        for file in &mut files {
            file.deletes = deletes.iter().filter(|d| d.applies(file)).map(Arc::clone).collect();
        }
    }
    Ok(files)
}

/// The difference of the live sets of two snapshots of one table. `from` of
/// `None` stands for the empty table.
///
/// # Errors
/// As [`live_files`]; and `Unsupported` when either snapshot has delete files,
/// since their change is one of rows within files that stay.
pub(crate) async fn changelog(table: &Table, from: Option<i64>, to: i64) -> Result<FileChange, LakeError> {
    let to = find(table, to)?;
    let from = from.map(|id| find(table, id)).transpose()?;
    if from.as_ref().is_some_and(|f| f.snapshot_id() == to.snapshot_id()) {
        return Ok(FileChange::default());
    }
    let new = manifests(table, &to).await?;
    let old = match &from {
        Some(from) => manifests(table, from).await?,
        None => Vec::new(),
    };
    for manifest in old.iter().chain(&new) {
        if manifest.content == ManifestContentType::Deletes {
            return Err(unsupported(
                table,
                "the change between two snapshots of a table with delete files",
                "compact the table with the engine that wrote them, or read the whole table",
            ));
        }
    }
    let paths = |list: &[ManifestFile]| -> HashSet<String> { list.iter().map(|m| m.manifest_path.clone()).collect() };
    let (in_old, in_new) = (paths(&old), paths(&new));
    let only_new = new.into_iter().filter(|m| !in_old.contains(&m.manifest_path));
    let only_old = old.into_iter().filter(|m| !in_new.contains(&m.manifest_path));
    let added = data_files(table, only_new.collect()).await?;
    let removed = data_files(table, only_old.collect()).await?;
    // A rewritten manifest carries files of the other side as existing entries.
    let was: HashSet<String> = removed.iter().map(|f| f.path.clone()).collect();
    let is: HashSet<String> = added.iter().map(|f| f.path.clone()).collect();
    let keep = |files: Vec<FileRef>, other: &HashSet<String>| -> Vec<FileRef> {
        files.into_iter().filter(|f| !other.contains(&f.path)).collect()
    };
    Ok(FileChange { added: keep(added, &was), removed: keep(removed, &is) })
}

fn find(table: &Table, snapshot: i64) -> Result<SnapshotRef, LakeError> {
    table
        .metadata()
        .snapshot_by_id(snapshot)
        .cloned()
        .ok_or_else(|| LakeError::SnapshotGone { table: table.name().clone(), snapshot })
}

/// The manifests of a snapshot that hold live entries.
async fn manifests(table: &Table, snapshot: &SnapshotRef) -> Result<Vec<ManifestFile>, LakeError> {
    let list = table.lake().0.manifests.list(table.metadata(), snapshot).await?;
    // Version 1 manifests may leave the counts out.
    Ok(list.into_iter().filter(|m| m.has_added_files() || m.has_existing_files()).collect())
}

/// All manifests of a snapshot; none without one.
pub(crate) async fn all_manifests(table: &Table, snapshot: Option<i64>) -> Result<Vec<ManifestFile>, LakeError> {
    match snapshot {
        Some(snapshot) => table.lake().0.manifests.list(table.metadata(), &find(table, snapshot)?).await,
        None => Ok(Vec::new()),
    }
}

/// All live entries of a snapshot with their specs, of data and of deletes of every kind; none without one.
pub(crate) async fn live_entries(table: &Table, snapshot: Option<i64>) -> Result<Vec<(i32, ManifestEntry)>, LakeError> {
    match snapshot {
        Some(snapshot) => entries(table, manifests(table, &find(table, snapshot)?).await?).await,
        None => Ok(Vec::new()),
    }
}

fn split(manifests: Vec<ManifestFile>) -> (Vec<ManifestFile>, Vec<ManifestFile>) {
    manifests.into_iter().partition(|m| m.content == ManifestContentType::Data)
}

/// Live entries of manifests, in order, each with the manifest's partition spec.
async fn entries(table: &Table, manifests: Vec<ManifestFile>) -> Result<Vec<(i32, ManifestEntry)>, LakeError> {
    let lake = table.lake();
    let loads = manifests.into_iter().map(|file| async move {
        let manifest = lake.manifest(&file).await?;
        Ok::<_, LakeError>((file.partition_spec_id, manifest.entries().to_vec()))
    });
    let loaded: Vec<_> = stream::iter(loads).buffered(MANIFESTS_CONCURRENT).try_collect().await?;
    let mut live = Vec::with_capacity(loaded.iter().map(|(_, e)| e.len()).sum());
    for (spec_id, entries) in loaded {
        for entry in entries {
            if entry.is_alive() {
                live.push((spec_id, Arc::unwrap_or_clone(entry)));
            }
        }
    }
    Ok(live)
}

async fn data_files(table: &Table, manifests: Vec<ManifestFile>) -> Result<Vec<FileRef>, LakeError> {
    let state: Vec<i32> = table.state_columns().iter().map(|c| c.field_id).collect();
    let mut files = Vec::new();
    // Two manifests of one snapshot may name a file twice after a faulty rewrite;
    // reading it twice would double its rows.
    let mut seen = HashSet::new();
    for (spec_id, entry) in entries(table, manifests).await? {
        let (sequence_number, snapshot) = (entry.sequence_number, entry.snapshot_id);
        let data_file = Arc::new(entry.data_file);
        if data_file.content_type() != DataContentType::Data {
            return Err(unsupported(
                table,
                "a delete file in a data manifest",
                "repair the table with the engine that wrote it",
            ));
        }
        if data_file.file_format() != DataFileFormat::Parquet {
            return Err(unsupported(
                table,
                &format!("data files in {}", data_file.file_format()),
                "rewrite the table as Parquet",
            ));
        }
        if !seen.insert(data_file.file_path().to_owned()) {
            return Err(unsupported(
                table,
                &format!("the file {:?}, listed twice", data_file.file_path()),
                "repair the table's manifests",
            ));
        }
        let counts = data_file.value_counts();
        files.push(FileRef {
            path: data_file.file_path().to_owned(),
            has_state: state.iter().all(|id| counts.contains_key(id)),
            sequence_number: sequence_number.unwrap_or(0),
            added_snapshot_id: snapshot.unwrap_or(-1),
            spec_id,
            deletes: Vec::new(),
            data_file,
        });
    }
    Ok(files)
}

async fn delete_files(table: &Table, manifests: Vec<ManifestFile>) -> Result<Vec<Arc<DeleteFile>>, LakeError> {
    let mut deletes = Vec::new();
    for (spec_id, entry) in entries(table, manifests).await? {
        let sequence_number = entry.sequence_number.unwrap_or(0);
        let file = entry.data_file;
        match (file.content_type(), file.file_format()) {
            (DataContentType::PositionDeletes, DataFileFormat::Parquet) => {}
            (DataContentType::PositionDeletes, DataFileFormat::Puffin) => {
                return Err(unsupported(
                    table,
                    "deletion vectors",
                    "compact the table with the engine that wrote them",
                ));
            }
            (DataContentType::EqualityDeletes, _) => {
                return Err(unsupported(
                    table,
                    "equality deletes",
                    "compact the table with the engine that wrote them",
                ));
            }
            (_, format) => {
                return Err(unsupported(
                    table,
                    &format!("delete files in {format}"),
                    "compact the table with the engine that wrote them",
                ));
            }
        }
        let bound = |bounds: &HashMap<i32, iceberg::spec::Datum>| match bounds
            .get(&DELETE_PATH_FIELD_ID)
            .map(|d| d.literal())
        {
            Some(PrimitiveLiteral::String(path)) => Some(path.clone()),
            _ => None,
        };
        deletes.push(Arc::new(DeleteFile {
            path: file.file_path().to_owned(),
            size: file.file_size_in_bytes(),
            sequence_number,
            spec_id,
            partition: file.partition().clone(),
            paths: (bound(file.lower_bounds()), bound(file.upper_bounds())),
            referenced: file.referenced_data_file(),
        }));
    }
    Ok(deletes)
}

pub(crate) fn unsupported(table: &Table, what: &str, hint: &str) -> LakeError {
    LakeError::Unsupported(format!("{what}, in table \"{}\" (help: {hint})", table.name()))
}
