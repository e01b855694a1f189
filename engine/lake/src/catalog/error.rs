//! What went wrong in a catalog, whatever its kind.
//!
//! Invariants
//! * No driver's type is named: what retries and hints need is in [`CatalogErrorKind`].
//!
//! Not here: the other errors of the lake (`error`).

use std::error::Error;
use std::fmt;

/// What a catalog's error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CatalogErrorKind {
    /// Another process holds the catalog locked.
    Busy,
    /// This user may not write to it.
    ReadOnly,
    /// Its disk is full: what was sent is not stored, and cannot come back.
    Full,
    /// It could not write to its log: what was sent is not stored, and cannot come back.
    WriteFailed,
    /// Its file is damaged, or none of a catalog.
    Damaged,
    /// Anything else.
    Other,
}

/// A catalog's error: its kind, and the driver's own error as text and source.
#[derive(Debug)]
pub struct CatalogError {
    kind: CatalogErrorKind,
    driver: Box<dyn Error + Send + Sync>,
}

impl CatalogError {
    pub(crate) fn new(kind: CatalogErrorKind, driver: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        CatalogError { kind, driver: driver.into() }
    }

    /// What it is about.
    pub fn kind(&self) -> CatalogErrorKind {
        self.kind
    }

    /// Whether the catalog could not store what was sent, so that nothing can bring it back.
    pub(crate) fn is_unwritten(&self) -> bool {
        matches!(self.kind, CatalogErrorKind::Full | CatalogErrorKind::WriteFailed)
    }

    /// What the reader of the error can do about it.
    pub fn hint(&self) -> &'static str {
        match self.kind {
            CatalogErrorKind::Busy => {
                "this step changed nothing: another process holds the SQLite catalog locked; let it finish or end it, then \
                 run again; `run` does so by itself"
            }
            CatalogErrorKind::ReadOnly => {
                "this step changed nothing: make the SQLite catalog and its folder writable for this user, then run again; \
                 `run` does so by itself"
            }
            CatalogErrorKind::Full => {
                "this step changed nothing: the disk of the SQLite catalog is full; free some space, then run again; `run` \
                 does so by itself"
            }
            CatalogErrorKind::Damaged => {
                "the SQLite catalog is damaged: restore it from a backup; the tables' metadata files are in the warehouse"
            }
            CatalogErrorKind::WriteFailed | CatalogErrorKind::Other => {
                "the SQLite catalog must be a file on a local file system that this user may write and that is not full"
            }
        }
    }
}

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.driver.fmt(f)
    }
}

impl Error for CatalogError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.driver.source()
    }
}
