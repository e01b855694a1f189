//! One version of a table as a catalog holds it, and what became of an attempt to make the next one.

use std::sync::Arc;

use iceberg::spec::TableMetadata;

use crate::catalog::unread::Unread;
use crate::error::LakeError;

/// One version of a table.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    /// What it holds.
    pub(crate) metadata: Arc<TableMetadata>,
    /// Where the catalog says that it is stored.
    pub(crate) location: String,
    /// What is there and not in `metadata`.
    pub(crate) unread: Arc<Unread>,
}

/// What became of a change that was sent to a catalog.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The table has this version.
    Done(Version),
    /// Another change came first, or a requirement does not hold. Nothing changed, and nothing of the attempt is left.
    Conflict,
    /// It may or may not have happened.
    Unknown {
        /// What hides the answer.
        error: LakeError,
        /// The attempt, to be looked for in the table, and to be discarded once it certainly failed.
        attempt: Attempted,
    },
}

/// An attempt whose outcome is unknown: the metadata file that the catalog may name now, or come to name.
#[derive(Debug)]
pub(crate) struct Attempted {
    pub(crate) location: String,
}

impl Attempted {
    /// Whether a version is the attempt's, or was made over it.
    pub(crate) fn is_in(&self, location: &str, metadata: &TableMetadata) -> bool {
        location == self.location || metadata.metadata_log().iter().any(|log| log.metadata_file == self.location)
    }
}
