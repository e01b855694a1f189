//! The files a snapshot reads, and the files that differ between two snapshots.
//!
//!   snapshot ──▶ manifest list ──▶ manifests ──▶ live entries ──▶ FileRef
//!
//! Invariants
//! * A file is live in a snapshot when one of its manifests holds it as added or
//!   existing; its path names it.
//! * `changelog` is exact for any two snapshots of one table, rollbacks included:
//!   it compares live sets by path, and never trusts ancestry or entry status.
//!   Manifests that both snapshots share hold the same entries: they stay closed where the same deletes apply, and of
//!   the files in them only those are taken that changed deletes name, if these are about one file each.
//! * A file that stays and whose deletes changed is in the change with the rows alone that they took or gave back.
//!
//! Not here: which of these files a query needs (`prune`), reading their rows
//! (`provider`), which deletes apply to a file (`deletes::index`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::common::runtime::SpawnedTask;
use futures::stream::{self, StreamExt, TryStreamExt};
use iceberg::spec::{DataContentType, DataFileFormat, ManifestContentType, ManifestEntry, ManifestFile, SnapshotRef};

use crate::deletes::file::{DeleteFile, FileDeletes, Identity, canonical};
use crate::deletes::index::{DeleteIndex, Target};
use crate::error::LakeError;
use crate::table::Table;
use crate::table::manifests::SharedFile;

/// Manifests read at the same time.
const MANIFESTS_CONCURRENT: usize = 8;

/// A data file that is live in a snapshot.
#[derive(Clone, Debug)]
pub struct FileRef {
    /// Full URI, as the manifest holds it.
    pub path: String,
    /// Counts, bounds, partition values, size.
    pub data_file: SharedFile,
    /// Data sequence number.
    pub sequence_number: i64,
    /// The snapshot that added the file. Kept when manifests are rewritten.
    pub added_snapshot_id: i64,
    /// Whether every hidden state column of the table is in the file. True when
    /// the table has none. False says that somebody else wrote the file.
    pub has_state: bool,
    /// The partition spec of the file's partition values.
    pub spec_id: i32,
    /// What delete files may take out of it.
    pub(crate) deletes: FileDeletes,
    /// Of the rows that `deletes` leave, only those that these take: the rows that a change of deletes is about.
    pub(crate) only: Option<FileDeletes>,
}

impl FileRef {
    /// Rows in the file, those that deletes take away included.
    pub(crate) fn record_count(&self) -> u64 {
        self.data_file.record_count()
    }

    /// Rows that deletes about this file alone take away.
    pub fn rows_deleted(&self) -> u64 {
        self.deletes.own_rows()
    }

    /// Whether deletes may take rows out of it.
    pub fn has_deletes(&self) -> bool {
        !self.deletes.is_empty()
    }

    /// Whether all its rows are read.
    pub(crate) fn is_whole(&self) -> bool {
        self.deletes.is_empty() && self.only.is_none()
    }

    /// As many rows as are read of it at most.
    pub fn rows_read(&self) -> u64 {
        self.record_count().min(self.only.as_ref().map_or(u64::MAX, FileDeletes::rows))
    }

    /// Bytes of the file that hold rows to read, about: all of it, unless only those are that some deletes took.
    pub fn bytes_read(&self) -> u64 {
        let (bytes, rows) = (self.data_file.file_size_in_bytes(), self.record_count().max(1));
        let share = u128::from(bytes) * u128::from(self.rows_read()) / u128::from(rows);
        u64::try_from(share).unwrap_or(bytes)
    }

    fn target(&self) -> Target<'_> {
        Target { data_file: &self.data_file, sequence_number: self.sequence_number, spec_id: self.spec_id }
    }
}

/// Data files added and removed between two snapshots.
#[derive(Clone, Debug, Default)]
pub struct FileChange {
    /// Live in the later snapshot only, or with rows that are.
    pub added: Vec<FileRef>,
    /// Live in the earlier snapshot only, or with rows that are.
    pub removed: Vec<FileRef>,
}

/// The data files of `snapshot`, in manifest order.
///
/// # Errors
/// `SnapshotGone` when the metadata no longer holds the snapshot; `Unsupported` when it holds files that are not
/// Parquet; `Damaged` and `Corrupt` for entries that contradict the specification.
pub async fn live_files(table: &Table, snapshot: i64) -> Result<Vec<FileRef>, LakeError> {
    files_of(table, manifests(table, &find(table, snapshot)?).await?).await
}

/// The manifests of a snapshot that hold live entries, and the location of the list that names them. The list is kept for
/// the next scan.
pub(crate) async fn scanned_manifests(
    table: &Table,
    snapshot: i64,
) -> Result<(Arc<[ManifestFile]>, String), LakeError> {
    let snapshot = find(table, snapshot)?;
    let list = table.lake().0.manifests.listed(table.metadata(), &snapshot).await?;
    Ok((list, snapshot.manifest_list().to_owned()))
}

/// The live data files of some manifests of a snapshot, with the deletes of the delete manifests among them.
///
/// # Errors
/// As [`live_files`].
pub(crate) async fn files_of(table: &Table, manifests: Vec<ManifestFile>) -> Result<Vec<FileRef>, LakeError> {
    let (data, deletes) = split(manifests);
    let deletes = delete_files(table, deletes).await?;
    let mut files = data_files(table, data, None).await?;
    apply(&mut files, &DeleteIndex::of(table, &deletes))?;
    Ok(files)
}

/// Gives files the deletes that an index has for them.
fn apply(files: &mut [FileRef], deletes: &DeleteIndex) -> Result<(), LakeError> {
    if !deletes.is_empty() {
        for file in files {
            file.deletes = deletes.applying(&file.target())?;
        }
    }
    Ok(())
}

/// The difference of the live rows of two snapshots of one table, as files. `from` of
/// `None` stands for the empty table.
///
/// # Errors
/// As [`live_files`].
pub(crate) async fn changelog(table: &Table, from: Option<i64>, to: i64) -> Result<FileChange, LakeError> {
    let to = find(table, to)?;
    let from = from.map(|id| find(table, id)).transpose()?;
    if from.as_ref().is_some_and(|f| f.snapshot_id() == to.snapshot_id()) {
        return Ok(FileChange::default());
    }
    let (new, new_deletes) = split(manifests(table, &to).await?);
    let (old, old_deletes) = match &from {
        Some(from) => split(manifests(table, from).await?),
        None => (Vec::new(), Vec::new()),
    };
    if new_deletes.is_empty() && old_deletes.is_empty() {
        return changed_files(table, old, new, false).await;
    }
    let deletes =
        DeleteChange::between(table, delete_files(table, old_deletes).await?, delete_files(table, new_deletes).await?);
    if deletes.is_nothing() {
        let mut change = changed_files(table, old, new, true).await?;
        apply(&mut change.added, &deletes.new)?;
        apply(&mut change.removed, &deletes.old)?;
        return Ok(change);
    }
    // Else a delete file may apply to any file that stays: all have to be looked at.
    let shared = deletes.named().map(|named| {
        let old: HashSet<&String> = old.iter().map(|m| &m.manifest_path).collect();
        let both = new.iter().map(|m| &m.manifest_path).filter(|path| old.contains(path)).cloned();
        Shared { manifests: both.collect(), files: named }
    });
    let mut now = data_files(table, new, shared.as_ref()).await?;
    let mut then = data_files(table, old, shared.as_ref()).await?;
    apply(&mut now, &deletes.new)?;
    apply(&mut then, &deletes.old)?;
    let mut then: HashMap<String, FileRef> = then.into_iter().map(|file| (file.path.clone(), file)).collect();
    let mut change = FileChange::default();
    for file in now {
        match then.remove(&file.path) {
            None => change.added.push(file),
            Some(was) => deletes.of_file(was, file, &mut change)?,
        }
    }
    change.removed.extend(then.into_values());
    change.removed.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(change)
}

/// The files that are live on one side only, deletes left aside. With `numbered`, a file that was put back under another
/// sequence number is another one: other deletes apply to it.
async fn changed_files(
    table: &Table,
    old: Vec<ManifestFile>,
    new: Vec<ManifestFile>,
    numbered: bool,
) -> Result<FileChange, LakeError> {
    let paths = |list: &[ManifestFile]| -> HashSet<String> { list.iter().map(|m| m.manifest_path.clone()).collect() };
    let (in_old, in_new) = (paths(&old), paths(&new));
    let only_new = new.into_iter().filter(|m| !in_old.contains(&m.manifest_path));
    let only_old = old.into_iter().filter(|m| !in_new.contains(&m.manifest_path));
    let added = data_files(table, only_new.collect(), None).await?;
    let removed = data_files(table, only_old.collect(), None).await?;
    // A rewritten manifest carries files of the other side as existing entries.
    let key = |file: &FileRef| (file.path.clone(), numbered.then_some(file.sequence_number));
    let was: HashSet<_> = removed.iter().map(key).collect();
    let is: HashSet<_> = added.iter().map(key).collect();
    let keep = |files: Vec<FileRef>, other: &HashSet<(String, Option<i64>)>| -> Vec<FileRef> {
        files.into_iter().filter(|file| !other.contains(&key(file))).collect()
    };
    Ok(FileChange { added: keep(added, &was), removed: keep(removed, &is) })
}

/// The delete files of two snapshots, and those that only one of them has.
struct DeleteChange {
    old: DeleteIndex,
    new: DeleteIndex,
    came: DeleteIndex,
    went: DeleteIndex,
}

impl DeleteChange {
    fn between(table: &Table, old: Vec<Arc<DeleteFile>>, new: Vec<Arc<DeleteFile>>) -> Self {
        let identities = |all: &[Arc<DeleteFile>]| -> HashSet<Identity> { all.iter().map(|d| d.identity()).collect() };
        let (was, is) = (identities(&old), identities(&new));
        let without = |all: &[Arc<DeleteFile>], other: &HashSet<Identity>| -> Vec<Arc<DeleteFile>> {
            all.iter().filter(|delete| !other.contains(&delete.identity())).map(Arc::clone).collect()
        };
        let (came, went) = (without(&new, &was), without(&old, &is));
        let index = |all: &[Arc<DeleteFile>]| DeleteIndex::of(table, all);
        Self { old: index(&old), new: index(&new), came: index(&came), went: index(&went) }
    }

    /// The canonical locations of the only data files that the deletes which came or went can be about; `None` where they may
    /// be about any.
    fn named(&self) -> Option<HashSet<String>> {
        Some(self.came.named()?.chain(self.went.named()?).cloned().collect())
    }

    fn is_nothing(&self) -> bool {
        self.came.is_empty() && self.went.is_empty()
    }

    /// What became of the rows of a file that both snapshots have.
    fn of_file(&self, was: FileRef, is: FileRef, change: &mut FileChange) -> Result<(), LakeError> {
        let touched = |index: &DeleteIndex| -> Result<bool, LakeError> {
            Ok(!index.applying(&was.target())?.is_empty() || !index.applying(&is.target())?.is_empty())
        };
        let (came, went) = (touched(&self.came)?, touched(&self.went)?);
        // Put back under another sequence number, a file is another one to equality deletes.
        if was.sequence_number != is.sequence_number {
            change.added.push(is);
            change.removed.push(was);
            return Ok(());
        }
        if !came && !went {
            return Ok(());
        }
        // A vector is said to hold what position delete files name, and hides them: by its writer's word alone.
        let replaced = is.deletes.vector.is_some() && !was.deletes.positions.is_empty();
        let uncovered = was.deletes.vector.is_some() && !is.deletes.positions.is_empty();
        if (went || replaced) && !was.deletes.is_empty() {
            change.added.push(FileRef { only: Some(was.deletes.clone()), ..is.clone() });
        }
        if (came || uncovered) && !is.deletes.is_empty() {
            change.removed.push(FileRef { only: Some(is.deletes), ..was });
        }
        Ok(())
    }
}

fn find(table: &Table, snapshot: i64) -> Result<SnapshotRef, LakeError> {
    table
        .metadata()
        .snapshot_by_id(snapshot)
        .cloned()
        .ok_or_else(|| LakeError::SnapshotGone { table: table.name().clone(), snapshot })
}

pub(crate) fn has_live_files(manifest: &ManifestFile) -> bool {
    manifest.has_added_files() || manifest.has_existing_files()
}

/// The manifests of a snapshot that hold live entries.
async fn manifests(table: &Table, snapshot: &SnapshotRef) -> Result<Vec<ManifestFile>, LakeError> {
    let list = table.lake().0.manifests.list(table.metadata(), snapshot).await?;
    // Version 1 manifests may leave the counts out.
    Ok(list.into_iter().filter(has_live_files).collect())
}

/// All manifests of a snapshot; none without one.
pub(crate) async fn all_manifests(table: &Table, snapshot: Option<i64>) -> Result<Vec<ManifestFile>, LakeError> {
    match snapshot {
        Some(snapshot) => table.lake().0.manifests.list(table.metadata(), &find(table, snapshot)?).await,
        None => Ok(Vec::new()),
    }
}

/// All live entries of a snapshot with their specs, of data and of deletes of every kind; none without one.
pub(crate) async fn live_entries(
    table: &Table,
    snapshot: Option<i64>,
) -> Result<Vec<(i32, Arc<ManifestEntry>)>, LakeError> {
    match snapshot {
        Some(snapshot) => entries(table, manifests(table, &find(table, snapshot)?).await?, None).await,
        None => Ok(Vec::new()),
    }
}

fn split(manifests: Vec<ManifestFile>) -> (Vec<ManifestFile>, Vec<ManifestFile>) {
    manifests.into_iter().partition(|m| m.content == ManifestContentType::Data)
}

/// Manifests of which only some files are wanted.
struct Shared {
    manifests: HashSet<String>,
    /// Their canonical locations.
    files: HashSet<String>,
}

/// Live entries of manifests, in order, each with the manifest's partition spec.
async fn entries(
    table: &Table,
    manifests: Vec<ManifestFile>,
    shared: Option<&Shared>,
) -> Result<Vec<(i32, Arc<ManifestEntry>)>, LakeError> {
    let loads = manifests.into_iter().map(|file| {
        let lake = table.lake().clone();
        async move {
            let manifest = match lake.0.manifests.kept(&file) {
                Some(manifest) => manifest,
                // A task of its own: parsing takes a core's time.
                None => {
                    let file = file.clone();
                    let read = SpawnedTask::spawn(async move { lake.manifest(&file).await }).await;
                    read.map_err(|ended| LakeError::DataFusion(DataFusionError::ExecutionJoin(Box::new(ended))))??
                }
            };
            Ok::<_, LakeError>((file, manifest))
        }
    });
    let loaded: Vec<_> = stream::iter(loads).buffered(MANIFESTS_CONCURRENT).try_collect().await?;
    let mut live = Vec::new();
    for (file, manifest) in loaded {
        let wanted = shared.filter(|shared| shared.manifests.contains(&file.manifest_path));
        let is_wanted = |entry: &ManifestEntry| {
            entry.is_alive() && wanted.is_none_or(|shared| shared.files.contains(canonical(entry.file_path())))
        };
        let entries = manifest.entries().iter().filter(|entry| is_wanted(entry));
        live.extend(entries.map(|entry| (file.partition_spec_id, Arc::clone(entry))));
    }
    Ok(live)
}

async fn data_files(
    table: &Table,
    manifests: Vec<ManifestFile>,
    shared: Option<&Shared>,
) -> Result<Vec<FileRef>, LakeError> {
    let state: Vec<i32> = table.state_columns().iter().map(|c| c.field_id).collect();
    let entries = entries(table, manifests, shared).await?;
    let mut files = Vec::with_capacity(entries.len());
    // Two manifests of one snapshot may name a file twice after a faulty rewrite;
    // reading it twice would double its rows.
    let mut seen = HashSet::with_capacity(entries.len());
    for (_, entry) in &entries {
        if !seen.insert(entry.file_path()) {
            return Err(unsupported(
                table,
                &format!("the file {:?}, listed twice", entry.file_path()),
                "repair the table's manifests",
            ));
        }
    }
    for (spec_id, entry) in &entries {
        let data_file = entry.data_file();
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
                &format!("the data file {:?}, which is in {}", data_file.file_path(), data_file.file_format()),
                "rewrite it as Parquet with the engine that wrote it",
            ));
        }
        let counts = data_file.value_counts();
        files.push(FileRef {
            path: data_file.file_path().to_owned(),
            has_state: state.iter().all(|id| counts.contains_key(id)),
            sequence_number: entry.sequence_number().unwrap_or(0),
            added_snapshot_id: entry.snapshot_id().unwrap_or(-1),
            spec_id: *spec_id,
            deletes: FileDeletes::default(),
            only: None,
            data_file: Arc::clone(entry).into(),
        });
    }
    Ok(files)
}

async fn delete_files(table: &Table, manifests: Vec<ManifestFile>) -> Result<Vec<Arc<DeleteFile>>, LakeError> {
    let mut deletes = Vec::new();
    for (spec_id, entry) in entries(table, manifests, None).await? {
        let sequence_number = entry.sequence_number().unwrap_or(0);
        deletes.push(Arc::new(DeleteFile::listed(table.name(), entry.into(), sequence_number, spec_id)?));
    }
    Ok(deletes)
}

pub(crate) fn unsupported(table: &Table, what: &str, hint: &str) -> LakeError {
    LakeError::Unsupported(format!("{what}, in table \"{}\" (help: {hint})", table.name()))
}
