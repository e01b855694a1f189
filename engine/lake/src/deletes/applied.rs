//! The rows that are left of the data files of one scan.
//!
//! ```text
//!   first file opened ──▶ all position files and vectors, some at a time     (once a scan)
//!   first file of a group of equality deletes ──▶ its KeySet                 (once a scan)
//!   each file ──▶ keys read and looked up ──▶ Taken                          (once, in however many parts it is read)
//! ```
//!
//! Invariants
//! * Nothing is read before a file is opened, and nothing twice.
//! * What is shared is computed by a task of its own: a reader that nobody polls keeps no other one waiting.
//! * What is held is counted in the pool, until the scan is gone.
//!
//! Not here: which deletes a file has (`index`), reading its rows (`read`).

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use futures::future::{BoxFuture, FutureExt, Shared};
use futures::stream::{self, StreamExt, TryStreamExt};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use roaring::RoaringTreemap;

use crate::deletes::equality::{KeyColumns, KeySet};
use crate::deletes::file::{DeleteFile, DeleteKind, EqualityGroup, FileDeletes, Identity, canonical};
use crate::deletes::position::{self, Positions};
use crate::deletes::vector;
use crate::error::{damaged, external};
use crate::read::adapt::PartitionValues;
use crate::read::changelog::FileRef;
use crate::read::parquet_files::ParquetFiles;
use crate::table::Table;

/// Files of positions that are read at a time.
const POSITIONS_CONCURRENT: usize = 16;
/// Files of equality deletes that are read at a time.
const EQUALITY_CONCURRENT: usize = 4;

/// What deletes leave of one data file.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Positions of rows that are gone.
    deleted: RoaringTreemap,
    /// Of the others, only these are asked for.
    only: Option<RoaringTreemap>,
}

impl Taken {
    /// Positions of rows that are gone.
    pub(crate) fn deleted(&self) -> &RoaringTreemap {
        &self.deleted
    }

    /// Whether the row at a position is left.
    pub(crate) fn leaves(&self, position: u64) -> bool {
        !self.deleted.contains(position) && self.only.as_ref().is_none_or(|only| only.contains(position))
    }

    /// The rows that are left of a file of so many.
    pub(crate) fn selection(&self, rows: u64) -> Result<RowSelection> {
        let wanted = self.only.as_ref().map(|only| only - &self.deleted);
        let (set, is_skipped) = match &wanted {
            Some(wanted) => (wanted, false),
            None => (&self.deleted, true),
        };
        let Ok(rows) = usize::try_from(rows) else { return exec_err!("a data file has {rows} rows") };
        let mut selectors: Vec<RowSelector> = Vec::new();
        let mut push = |row_count: usize, skip: bool| match selectors.last_mut() {
            Some(last) if last.skip == skip => last.row_count += row_count,
            _ if row_count > 0 => selectors.push(RowSelector { row_count, skip }),
            _ => {}
        };
        let mut next = 0;
        for position in set.iter().map_while(|position| usize::try_from(position).ok().filter(|at| *at < rows)) {
            push(position - next, !is_skipped);
            push(1, is_skipped);
            next = position + 1;
        }
        push(rows - next, !is_skipped);
        Ok(RowSelection::from(selectors))
    }
}

/// The columns and the values of a group of equality deletes.
type Keys = (KeyColumns, KeySet);

/// The deletes of all data files of one scan.
pub(crate) struct ScanDeletes {
    shared: Arc<Sources>,
    positional: Once<HashMap<Identity, Positions>>,
    /// By where the group is in memory.
    equality: HashMap<usize, (Arc<EqualityGroup>, Once<Keys>)>,
    /// Files with equality deletes.
    taken: HashMap<FileKey, Once<Taken>>,
}

/// What reading deletes takes.
struct Sources {
    table: Table,
    files: ParquetFiles,
    partitions: Arc<PartitionValues>,
    /// Files of positions, each once.
    positional: Vec<Arc<DeleteFile>>,
    /// The canonical locations of the scan's data files.
    wanted: HashSet<String>,
    memory: MemoryReservation,
}

impl fmt::Debug for ScanDeletes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let positional = self.shared.positional.len();
        write!(f, "ScanDeletes(positional={positional}, equality={})", self.equality.len())
    }
}

/// The deletes that a file has, and those that its rows must have.
fn each_of(file: &FileRef) -> impl Iterator<Item = &FileDeletes> {
    std::iter::once(&file.deletes).chain(&file.only)
}

/// A file with its deletes and those that its rows must have: a change may have it more than once, with others each time.
type FileKey = (String, Vec<(Vec<Identity>, Vec<usize>)>);

fn key(file: &FileRef) -> FileKey {
    let of = |deletes: &FileDeletes| {
        let positional = deletes.positional().map(|delete| delete.identity()).collect();
        (positional, deletes.equality.iter().map(place).collect())
    };
    (file.path.clone(), each_of(file).map(of).collect())
}

fn place(group: &Arc<EqualityGroup>) -> usize {
    Arc::as_ptr(group) as usize
}

impl ScanDeletes {
    /// The deletes of some of a table's data files; `partitions` are the values of their partitions.
    pub(crate) fn of(
        table: &Table,
        files: ParquetFiles,
        partitions: Arc<PartitionValues>,
        scanned: &[FileRef],
        pool: &Arc<dyn MemoryPool>,
    ) -> Self {
        let (mut positional, mut seen) = (Vec::new(), HashSet::new());
        let (mut equality, mut taken) = (HashMap::new(), HashMap::new());
        for file in scanned {
            for deletes in each_of(file) {
                positional.extend(deletes.positional().filter(|of| seen.insert(of.identity())).map(Arc::clone));
                for group in &deletes.equality {
                    equality.entry(place(group)).or_insert_with(|| (Arc::clone(group), Once::default()));
                    taken.entry(key(file)).or_insert_with(Once::default);
                }
            }
        }
        let wanted = scanned.iter().map(|file| canonical(&file.path).to_owned()).collect();
        let memory = MemoryConsumer::new(format!("deletes of {}", table.name())).register(pool);
        let shared = Sources { table: table.clone(), files, partitions, positional, wanted, memory };
        Self { shared: Arc::new(shared), positional: Once::default(), equality, taken }
    }

    /// What is left of a file of the scan.
    ///
    /// # Errors
    /// The store's; delete files that are damaged or not read; `ResourcesExhausted` where the pool has no room for what
    /// they hold.
    pub(crate) async fn taken(&self, file: &FileRef) -> Result<Arc<Taken>> {
        let positions = match each_of(file).any(|deletes| deletes.positional().next().is_some()) {
            true => {
                let sources = Arc::clone(&self.shared);
                self.positional.get(|| async move { sources.positions().await }).await?
            }
            false => Arc::default(),
        };
        let mut sets = Vec::new();
        for (of, deletes) in each_of(file).enumerate() {
            for group in &deletes.equality {
                let Some((group, once)) = self.equality.get(&place(group)) else {
                    return exec_err!("the deletes of \"{}\" are not those of its scan", file.path);
                };
                let (sources, group) = (Arc::clone(&self.shared), Arc::clone(group));
                sets.push((of, once.get(|| async move { sources.keys(&group).await }).await?));
            }
        }
        let named = |deletes: &FileDeletes| named(&positions, file, deletes);
        let taken = Taken { deleted: named(&file.deletes), only: file.only.as_ref().map(named) };
        match self.taken.get(&key(file)) {
            Some(once) if !sets.is_empty() => {
                let (sources, file) = (Arc::clone(&self.shared), file.clone());
                once.get(|| async move { sources.matching(&file, taken, &sets).await }).await
            }
            _ => Ok(Arc::new(taken)),
        }
    }
}

/// The positions of a file that deletes name by position.
fn named(positions: &HashMap<Identity, Positions>, file: &FileRef, deletes: &FileDeletes) -> RoaringTreemap {
    let mut all = RoaringTreemap::new();
    for delete in deletes.positional() {
        if let Some(of) = positions.get(&delete.identity()).and_then(|of| of.get(canonical(&file.path))) {
            all |= of;
        }
    }
    all
}

impl Sources {
    /// All files of positions.
    async fn positions(&self) -> Result<HashMap<Identity, Positions>> {
        // Boxed: the compiler does not see that a closure's futures may be sent.
        let mut reads = Vec::with_capacity(self.positional.len());
        for delete in &self.positional {
            reads.push(self.positions_in(delete).boxed());
        }
        stream::iter(reads).buffer_unordered(POSITIONS_CONCURRENT).try_collect().await
    }

    async fn positions_in(&self, delete: &DeleteFile) -> Result<(Identity, Positions)> {
        let positions = match &delete.kind {
            DeleteKind::Vector { referenced, offset, length } => {
                let positions = self.vector(delete, *offset, *length).await?;
                Positions::from([(canonical(referenced).to_owned(), positions)])
            }
            _ => position::read(&self.files, delete, &self.wanted).await?,
        };
        self.memory.try_grow(positions.values().map(RoaringTreemap::serialized_size).sum())?;
        Ok((delete.identity(), positions))
    }

    async fn vector(&self, delete: &DeleteFile, offset: u64, length: u64) -> Result<RoaringTreemap> {
        let path = delete.path();
        let end = offset.checked_add(length).filter(|end| *end <= delete.data_file.file_size_in_bytes());
        let Some(end) = end else {
            return damaged(format!("the deletion vector at {offset} of \"{path}\" lies beyond the file's end"));
        };
        let blob = self.files.lake().0.store.read_range(path, offset..end).await.map_err(external)?;
        match vector::parse(&blob, delete.data_file.record_count()) {
            Ok(positions) => Ok(positions),
            Err(error) => damaged(format!("the deletion vector at {offset} of \"{path}\": {error}")),
        }
    }

    /// The keys of a group of equality deletes.
    async fn keys(&self, group: &EqualityGroup) -> Result<Keys> {
        let columns = KeyColumns::of(&self.table, &group.ids, &self.partitions).map_err(external)?;
        let set = Mutex::new(columns.set()?);
        let mut reads = Vec::with_capacity(group.files.len());
        for delete in &group.files {
            reads.push(self.keys_in(delete, &columns, &set).boxed());
        }
        stream::iter(reads).buffer_unordered(EQUALITY_CONCURRENT).try_collect::<()>().await?;
        Ok((columns, set.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    async fn keys_in(&self, delete: &DeleteFile, columns: &KeyColumns, into: &Mutex<KeySet>) -> Result<()> {
        let size = delete.data_file.file_size_in_bytes();
        let mut keys = columns.read(&self.files, delete.path(), size, true).await?;
        while let Some((arrays, _)) = keys.try_next().await? {
            let mut set = into.lock().unwrap_or_else(PoisonError::into_inner);
            self.memory.try_grow(set.insert(&arrays, delete.sequence_number)?)?;
        }
        Ok(())
    }

    /// `taken` with the rows of a file whose values are among the keys of `sets`: of the file's own deletes (0), and of
    /// those that its rows must have (1).
    async fn matching(&self, file: &FileRef, mut taken: Taken, sets: &[(usize, Arc<Keys>)]) -> Result<Taken> {
        for (of, set) in sets {
            let (columns, set) = set.as_ref();
            let into = match of {
                0 => &mut taken.deleted,
                _ => taken.only.get_or_insert_default(),
            };
            let mut keys = columns.read(&self.files, &file.path, file.data_file.file_size_in_bytes(), false).await?;
            let mut first = 0;
            while let Some((arrays, rows)) = keys.try_next().await? {
                set.find(&arrays, file.sequence_number, first, into)?;
                first += rows as u64;
            }
        }
        let held = taken.deleted.serialized_size() + taken.only.as_ref().map_or(0, RoaringTreemap::serialized_size);
        self.memory.try_grow(held)?;
        Ok(taken)
    }
}

type Work<T> = Shared<BoxFuture<'static, Result<Arc<T>, Arc<DataFusionError>>>>;

/// A value that a task computes once, for whoever asks first; it ends when nobody is left who asked.
struct Once<T>(Mutex<Option<Work<T>>>);

impl<T> Default for Once<T> {
    fn default() -> Self {
        Once(Mutex::new(None))
    }
}

impl<T: Send + Sync + 'static> Once<T> {
    async fn get<F>(&self, work: impl FnOnce() -> F) -> Result<Arc<T>>
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let work = {
            let mut begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let begun = begun.get_or_insert_with(|| {
                let task = SpawnedTask::spawn(work());
                let done = async move {
                    match task.await {
                        Ok(done) => done.map(Arc::new).map_err(Arc::new),
                        Err(ended) => Err(Arc::new(DataFusionError::ExecutionJoin(Box::new(ended)))),
                    }
                };
                done.boxed().shared()
            });
            begun.clone()
        };
        work.await.map_err(DataFusionError::Shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(taken: &Taken, of: u64) -> Vec<u64> {
        let (mut at, mut rows) = (0, Vec::new());
        for selector in taken.selection(of).unwrap().iter() {
            let next = at + selector.row_count as u64;
            if !selector.skip {
                rows.extend(at..next);
            }
            at = next;
        }
        assert_eq!(at, of);
        rows
    }

    #[test]
    fn what_is_selected_is_what_is_left() {
        let sets: [&[u64]; 8] = [&[], &[0], &[9], &[0, 1, 2], &[3, 4, 8], &[0, 2, 4, 9], &[7, 8, 9, 10, 99], &[12]];
        for deleted in sets {
            for only in sets.iter().map(Some).chain([None]) {
                let taken = Taken { deleted: deleted.iter().collect(), only: only.map(|only| only.iter().collect()) };
                let left: Vec<u64> = (0..10)
                    .filter(|row| !deleted.contains(row) && only.is_none_or(|only| only.contains(row)))
                    .collect();
                assert_eq!(rows(&taken, 10), left, "{deleted:?} {only:?}");
                assert_eq!((0..10).filter(|row| taken.leaves(*row)).collect::<Vec<_>>(), left);
                assert!(rows(&taken, 0).is_empty());
            }
        }
    }
}
