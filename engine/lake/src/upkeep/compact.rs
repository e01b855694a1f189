//! Small data files brought together, and those with many deletes written anew, in a commit that changes no rows.
//!
//! ```text
//!   live files ─▶ small ones by partition ─▶ 32 of one size class? ─▶ read in order ─▶ Writer ─▶ replace
//!       │                                        └── a class is eight times the one below
//!       └─▶ those of which deletes took more than a quarter of the rows ─▶ likewise
//! ```
//!
//! Invariants
//! * The rows of a table are the same before and after; their order within a partition stays, or is that of `SORTED BY`.
//! * A row is written once a size class, so however many files come, a row is rewritten a few times.
//! * A commit that takes one of the files, or deletes rows of one, makes the rewrite moot; deletes of other files do not.
//!
//! Not here: when it is done (`ingot-pipeline`), files that are no longer needed (`sweep`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use iceberg::spec::Struct;
use ingot_model::{Operation, Record};
use uuid::Uuid;

use crate::commit::manifest::check_version;
use crate::commit::{Basis, Commit, CommitError, Rebase};
use crate::crash;
use crate::deletes::index::promoted;
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::read::changelog::{FileRef, live_files};
use crate::read::provider::{LakeTableProvider, ScanOptions};
use crate::table::Table;
use crate::table::properties::FileWriting;
use crate::write::Writer;

/// So many files of one size class in one partition are brought together.
pub const FAN_IN: usize = 32;
/// A size class is this many times the one below, as a power of two.
const CLASS_BITS: u32 = 3;

/// A file of which deletes of its own take more than one of so many rows is written anew.
const DELETED_SHARE: u64 = 4;

/// A file in order holds the rows that are sorted together, in memory: it does not get larger than about this.
const SORTED_BYTES: u64 = 4 << 20;

/// Which files are brought together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compaction {
    /// How many there must be.
    pub small: Small,
    /// Bytes that one commit rewrites at most.
    pub bytes_max: u64,
    /// Bytes of a file at most, where the table's own target is larger.
    pub file_bytes_max: Option<u64>,
    /// A file below so many bytes is small; without it, one below three quarters of the target.
    pub below: Option<u64>,
    /// The paths of the files that may be taken; without it all.
    pub among: Option<Arc<HashSet<String>>>,
}

/// How many files of a partition are worth bringing together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Small {
    /// Those of which there are many of about one size.
    Many,
    /// All that are smaller than they should be.
    All,
}

/// What a rewrite did.
#[derive(Debug, Clone)]
pub struct Compacted {
    /// The table after it.
    pub table: Table,
    /// Files that went.
    pub files_in: usize,
    /// Their bytes.
    pub bytes_in: u64,
    /// Files that came.
    pub files_out: usize,
    /// Whether that was worth a commit: else nothing changed.
    pub is_in: bool,
}

impl Lake {
    /// Brings small data files of a table together, hidden columns with the others; none where there is nothing to do. A
    /// table with columns that a new file would not have is left as it is.
    ///
    /// # Errors
    /// `Superseded` where rows were changed meanwhile; the store's, and those of reading.
    pub async fn compact(
        &self,
        session: &SessionContext,
        table: &Table,
        compaction: Compaction,
    ) -> Result<Option<Compacted>, CommitError> {
        let (file_bytes_max, small) = (compaction.file_bytes_max, compaction.small);
        let chosen = chosen(table, compaction).await?;
        if chosen.is_empty() {
            return Ok(None);
        }
        let bytes_in = bytes(&chosen);
        let has_deletes = chosen.iter().any(|file| has_many_deletes(file, small));
        let remove: Vec<String> = chosen.iter().map(|file| file.path.clone()).collect();
        let files_in = remove.len();
        let basis = Basis::of(table, &chosen);
        crash::point("compact.chosen", table.name());
        let mut writer =
            Writer::new(table, None)?.counted_in(&session.runtime_env().memory_pool).closing_at(file_bytes_max);
        writer = writer.keeping_lineage();
        let written = rewrite(session, table, chosen, &mut writer).await;
        let ((), add) = writer.close_after(written).await?;
        let files_out = add.len();
        crash::point("compact.files_written", table.name());
        if !has_deletes && files_out * 2 > files_in {
            self.delete_unused(&add).await;
            return Ok(Some(Compacted { table: table.clone(), files_in, bytes_in, files_out, is_in: false }));
        }
        let commit = Commit {
            commit_id: Uuid::now_v7(),
            operation: Operation::Replace,
            add,
            remove,
            basis,
            summary: Record::because("small files were brought together"),
            ..Commit::default()
        };
        let uuid = table.uuid();
        let guard = move |now: &Table| match now.uuid() == uuid {
            true => Rebase::Retry,
            false => Rebase::Abandon("the table was made anew while small files were brought together".into()),
        };
        // What was written stays where it is superseded: it may have been committed and rolled back.
        let table = self.commit(table, commit, &guard).await?;
        crash::point("compact.committed", table.name());
        Ok(Some(Compacted { table, files_in, bytes_in, files_out, is_in: true }))
    }

    /// How many files `compact` would bring together by now, in as many commits as it takes, and their bytes.
    ///
    /// # Errors
    /// Those of reading manifests.
    pub async fn small_files(&self, table: &Table, compaction: Compaction) -> Result<(usize, u64)> {
        let chosen = chosen(table, Compaction { bytes_max: u64::MAX, ..compaction }).await?;
        Ok((chosen.len(), bytes(&chosen)))
    }
}

/// The files of a table to bring together; none where none may be.
async fn chosen(table: &Table, compaction: Compaction) -> Result<Vec<FileRef>> {
    let Some(head) = table.head().filter(|_| is_fit(table)) else { return Ok(Vec::new()) };
    let mut target = FileWriting::of(table.properties()).file_bytes_max as u64;
    target = target.min(compaction.file_bytes_max.unwrap_or(u64::MAX));
    if !table.metadata().default_sort_order().is_unsorted() {
        target = target.min(SORTED_BYTES);
    }
    let spec = table.metadata().default_partition_spec_id();
    Ok(choose(live_files(table, head).await?, spec, target, compaction))
}

fn bytes(files: &[FileRef]) -> u64 {
    files.iter().map(|file| file.data_file.file_size_in_bytes()).sum()
}

/// Whether every file of a table can be written anew by this engine without losing anything.
fn is_fit(table: &Table) -> bool {
    // A left out column is in no new file.
    table.left_out().is_empty() && table.refuses_rows().is_none() && check_version(table.metadata()).is_ok()
}

/// The files to bring together, in the order of their rows.
fn choose(files: Vec<FileRef>, spec: i32, target: u64, compaction: Compaction) -> Vec<FileRef> {
    let Compaction { small, bytes_max, below, among, .. } = compaction;
    let below = below.unwrap_or(target / 4 * 3);
    let size = |file: &FileRef| file.data_file.file_size_in_bytes();
    let mut partitions: HashMap<Struct, Vec<FileRef>> = HashMap::new();
    for file in files {
        let may_go = among.as_ref().is_none_or(|among| among.contains(&file.path));
        let is_fit = may_go && file.spec_id == spec && file.has_state;
        if is_fit && (is_small(&file, below) || has_many_deletes(&file, small)) {
            partitions.entry(promoted(file.data_file.partition())).or_default().push(file);
        }
    }
    let mut candidates: Vec<Vec<FileRef>> = partitions.into_values().filter_map(|of| worth(of, small, below)).collect();
    // The fullest partitions first.
    candidates.sort_by_key(|of| std::cmp::Reverse(of.len()));
    let (mut chosen, mut bytes) = (Vec::new(), 0);
    for mut of in candidates {
        of.sort_by_key(|file| file.sequence_number);
        let mut taken = Vec::new();
        for file in of {
            if bytes + size(&file) > bytes_max {
                break;
            }
            bytes += size(&file);
            taken.push(file);
        }
        if taken.len() > 1 || taken.iter().any(|file| has_many_deletes(file, small)) {
            chosen.append(&mut taken);
        }
        if bytes >= bytes_max {
            break;
        }
    }
    chosen
}

/// Whether deletes took so many rows of a file that it is worth a rewrite by itself.
fn has_many_deletes(file: &FileRef, small: Small) -> bool {
    match small {
        Small::All => !file.deletes.is_empty(),
        Small::Many => file.deletes.own_rows().saturating_mul(DELETED_SHARE) > file.record_count(),
    }
}

/// Whether a file is so small that it is brought together with others, deletes or not.
fn is_small(file: &FileRef, below: u64) -> bool {
    file.data_file.file_size_in_bytes() < below
}

/// The files of one partition that are worth a rewrite; none if none are.
fn worth(files: Vec<FileRef>, small: Small, below: u64) -> Option<Vec<FileRef>> {
    let has_deletes = files.iter().any(|file| has_many_deletes(file, small));
    let class = |file: &FileRef| file.data_file.file_size_in_bytes().max(1).ilog2() / CLASS_BITS;
    match small {
        Small::All => (has_deletes || files.len() > 1).then_some(files),
        Small::Many => {
            let mut count: HashMap<u32, usize> = HashMap::new();
            for file in files.iter().filter(|file| is_small(file, below)) {
                *count.entry(class(file)).or_default() += 1;
            }
            // The smallest first: they come fastest.
            let full = count.into_iter().filter(|(_, n)| *n >= FAN_IN).map(|(class, _)| class).min();
            // Smaller ones go with them: they cost little and would only wait.
            let is_full = |file: &FileRef| full.is_some_and(|full| is_small(file, below) && class(file) <= full);
            let goes = |file: &FileRef| has_many_deletes(file, small) || is_full(file);
            (has_deletes || full.is_some()).then(|| files.into_iter().filter(goes).collect())
        }
    }
}

/// Reads the rows of some files, one file after the other, into a writer.
async fn rewrite(session: &SessionContext, table: &Table, files: Vec<FileRef>, writer: &mut Writer) -> Result<()> {
    // One partition: rows come in the order of the files.
    let config = session.copied_config().with_target_partitions(1);
    let state = SessionStateBuilder::new_from_existing(session.state()).with_config(config).build();
    let session = SessionContext::new_with_state(state);
    for file in files {
        let options = ScanOptions {
            snapshot: table.head(),
            with_state: !table.state_columns().is_empty(),
            with_lineage: table.has_lineage(),
            files: Some(vec![file]),
            ..ScanOptions::default()
        };
        let provider = LakeTableProvider::try_new(table, options).await?;
        let mut rows = session.read_table(Arc::new(provider)).map_err(LakeError::from)?.execute_stream().await?;
        while let Some(batch) = rows.try_next().await? {
            writer.write(&batch).await?;
        }
    }
    Ok(())
}
