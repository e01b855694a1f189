//! What a commit is asked to do, and what can become of it.
//!
//! Not here: doing it (`attempts`, `create`).

use std::collections::BTreeMap;

use iceberg::spec::DataFile;
use ingot_model::{Definition, Operation, Record, TableName};
use uuid::Uuid;

use crate::commit::basis::Basis;
use crate::error::LakeError;
use crate::table::Table;
use crate::write::deletes::RowDeletes;

/// One commit of a table.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// Names the commit in all its attempts. Nil: one is made up.
    pub commit_id: Uuid,
    /// What kind of commit readers are told it is.
    pub operation: Operation,
    /// Data files to add, as `Writer` gave them.
    pub add: Vec<DataFile>,
    /// Paths of data files to remove. All must be live.
    pub remove: Vec<String>,
    /// Whether to remove every file, delete files too.
    pub remove_all: bool,
    /// Deletes of rows of files that stay.
    pub deletes: RowDeletes,
    /// The files that are removed or lose rows, as they were: where one is not so any more, the commit is superseded.
    pub basis: Basis,
    /// What its snapshot says beside the counts.
    pub summary: Record,
    /// Table properties to set.
    pub set_properties: BTreeMap<String, String>,
    /// A definition to change to, in the same snapshot.
    pub definition: Option<Definition>,
    /// Columns to drop that the definition has left out.
    pub prune: Vec<String>,
    /// Whether the table begins anew here, at the full vector of positions in `summary`.
    pub begins: bool,
    /// Whether it is upkeep that was asked for: small manifests are merged and snapshots forgotten although there are few.
    pub maintains: bool,
    /// Snapshots to forget. The head and what refs name are kept, whatever is asked.
    pub expire_snapshots: Vec<i64>,
}

impl Commit {
    /// Every file that was written for it: of no use to anybody if it is given up.
    pub fn written(&self) -> Vec<DataFile> {
        self.add.iter().cloned().chain(self.deletes.written()).collect()
    }
}

/// What to do with a commit when its base is no longer the head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebase {
    /// Make it on the new head.
    Retry,
    /// Give it up, for this reason.
    Abandon(String),
}

/// Why a commit is not in the table, or not known to be.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Not in the table, and another commit makes it moot. Its data files must be kept: where somebody rolled the
    /// table back, the snapshot that holds them may still be there.
    #[error("commit to \"{}\" superseded: {reason}", .current.name())]
    Superseded {
        /// Why.
        reason: String,
        /// The table as it is now.
        current: Table,
    },
    /// It may have been committed, and the table does not tell. Its data files must be kept.
    #[error("commit {commit_id} to \"{table}\" has an unknown outcome: {source}")]
    Unknown {
        /// The table.
        table: TableName,
        /// The commit's commit id, to look for in the table's history.
        commit_id: Uuid,
        /// What hides the outcome.
        #[source]
        source: Box<LakeError>,
    },
    /// Not committed: the table was seen without it, or nothing was sent.
    #[error(transparent)]
    Failed(#[from] LakeError),
}

impl CommitError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            CommitError::Superseded { .. } => "L0121",
            CommitError::Unknown { .. } => "L0122",
            CommitError::Failed(error) => error.code(),
        }
    }

    /// Whether the same work may succeed later, planned anew on the table as it is then.
    pub fn retryable(&self) -> bool {
        match self {
            CommitError::Superseded { .. } => true,
            CommitError::Unknown { .. } => false,
            CommitError::Failed(error) => error.retryable(),
        }
    }
}

impl From<iceberg::Error> for CommitError {
    fn from(error: iceberg::Error) -> Self {
        CommitError::Failed(error.into())
    }
}
