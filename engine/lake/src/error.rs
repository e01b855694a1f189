//! The errors of the lake, each with a stable code and whether trying again can help.
//!
//! Not here: outcomes of a commit that another writer overtook (`commit::CommitError`).

use ingot_model::{NotATableName, TableName, Unreadable};

use crate::catalog::error::CatalogError;

/// Result of a lake operation.
pub type Result<T, E = LakeError> = std::result::Result<T, E>;

/// What to do when the object store fails.
pub const STORE_HINT: &str = "this step changed nothing, and what was committed before stays: check that the store answers \
                              and lets us in (warehouse.location, s3.*), then run again; `run` does so by itself";

/// What went wrong in the lake.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LakeError {
    /// A setting that cannot be used.
    #[error("lake configuration: {0}")]
    Config(String),
    /// The catalog did not answer, or answered with an error.
    #[error("catalog, {context}: {source}")]
    Catalog {
        /// What was asked of the catalog.
        context: String,
        /// What it answered.
        #[source]
        source: CatalogError,
    },
    /// The object store failed.
    #[error("object store, \"{location}\": {source}")]
    Storage {
        /// The file concerned.
        location: String,
        /// The store's error.
        #[source]
        source: object_store::Error,
    },
    /// The local file system failed.
    #[error("file \"{path}\": {source}")]
    Io {
        /// The file concerned.
        path: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A file the table points at is not there.
    #[error("file \"{0}\" does not exist")]
    NotFound(String),
    /// Iceberg metadata could not be read or built.
    #[error("{}", described(.0))]
    Iceberg(#[from] iceberg::Error),
    /// The table to create is there.
    #[error("table \"{0}\" exists already")]
    TableExists(TableName),
    /// The table is not there.
    #[error("table \"{0}\" does not exist")]
    TableMissing(TableName),
    /// Something that this version does not do.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// A definition that Iceberg cannot hold.
    #[error("table definition: {0}")]
    Definition(String),
    /// A NULL in a NOT NULL column.
    #[error("column \"{column}\" is NOT NULL, and {rows} of the rows to write hold NULL there")]
    NotNull {
        /// The column's name.
        column: String,
        /// How many rows of the batch.
        rows: usize,
    },
    /// A value that the column's type does not hold.
    #[error("column \"{column}\": {reason}")]
    Value {
        /// The column's name.
        column: String,
        /// Why not.
        reason: String,
    },
    /// Parquet could not be written or read.
    #[error("a data file: {}", ingot_semantics::parquet_without_values(.0))]
    Parquet(#[from] parquet::errors::ParquetError),
    /// Arrow could not build an array.
    #[error("{}", ingot_semantics::arrow_without_values(.0))]
    Arrow(#[from] arrow::error::ArrowError),
    /// DataFusion could not plan or run a scan.
    #[error("{}", ingot_semantics::without_values(.0))]
    DataFusion(#[from] datafusion::error::DataFusionError),
    /// A snapshot that the table no longer holds.
    #[error("snapshot {snapshot} of table \"{table}\" is gone")]
    SnapshotGone {
        /// The table.
        table: TableName,
        /// The snapshot's id.
        snapshot: i64,
    },
    /// What a snapshot or a property records, and that does not parse.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// Metadata that contradicts itself.
    #[error("table metadata: {0}")]
    Corrupt(String),
    /// A metadata file that is stored whole and does not parse.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// One table that cannot be read, whatever the others are.
    #[error("table \"{table}\" cannot be read: {}", place(.location, .source))]
    UnreadableTable {
        /// The table.
        table: TableName,
        /// Its metadata file.
        location: String,
        /// What is wrong with it.
        #[source]
        source: Box<LakeError>,
    },
    /// There is nothing where a lake is looked for.
    #[error("there is no lake in \"{warehouse}\": it has no catalog \"{catalog}\"")]
    NoLake {
        /// The warehouse.
        warehouse: String,
        /// The catalog's file.
        catalog: String,
    },
    /// A table that another project writes.
    #[error("table \"{table}\" belongs to the project \"{owner}\", and this one is \"{project}\"")]
    OtherOwner {
        /// The table.
        table: TableName,
        /// The project that owns it.
        owner: String,
        /// The project that asked for it.
        project: String,
    },
}

impl LakeError {
    /// The stable code of this kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            LakeError::Config(_) => "L0101",
            LakeError::Catalog { .. } => "L0102",
            LakeError::Storage { .. } => "L0103",
            LakeError::Io { .. } => "L0104",
            LakeError::NotFound(_) => "L0105",
            LakeError::Iceberg(error) => ours(error).map_or("L0106", LakeError::code),
            LakeError::TableExists(_) => "L0107",
            LakeError::TableMissing(_) => "L0108",
            LakeError::Unsupported(_) => "L0109",
            LakeError::Definition(_) => "L0110",
            LakeError::NotNull { .. } => "L0111",
            LakeError::Value { .. } => "L0112",
            LakeError::Parquet(_) => "L0113",
            LakeError::Arrow(_) => "L0114",
            LakeError::DataFusion(_) => "L0115",
            LakeError::SnapshotGone { .. } => "L0116",
            LakeError::Corrupt(_) => "L0117",
            LakeError::Unreadable(_) => "L0134",
            LakeError::Damaged(_) => "L0118",
            LakeError::UnreadableTable { source, .. } => source.code(),
            LakeError::NoLake { .. } => "L0119",
            LakeError::OtherOwner { .. } => "L0120",
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn retryable(&self) -> bool {
        match self {
            LakeError::Catalog { .. } | LakeError::Storage { .. } | LakeError::Io { .. } => true,
            LakeError::UnreadableTable { source, .. } => source.retryable(),
            LakeError::Iceberg(error) => match ours(error) {
                Some(inner) => inner.retryable(),
                // A file that does not parse may have been cut off on its way here.
                None => {
                    error.retryable()
                        || matches!(error.kind(), iceberg::ErrorKind::Unexpected | iceberg::ErrorKind::DataInvalid)
                }
            },
            _ => false,
        }
    }

    /// What the reader of the error can do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            LakeError::Config(_) => Some("see [catalog], [warehouse] and [s3] in ingot.toml"),
            LakeError::Catalog { source, .. } => Some(source.hint()),
            LakeError::Storage { .. } => Some(STORE_HINT),
            LakeError::Io { source, .. } => Some(file_hint(source)),
            LakeError::Iceberg(error) => match ours(error) {
                Some(inner) => inner.hint(),
                None => Some(
                    "this step changed nothing; if it comes again, a metadata file is damaged: restore it from a backup, or \
                     register an older one",
                ),
            },
            LakeError::NotFound(_) => Some("somebody deleted a file of the table: restore it, or roll the table back"),
            LakeError::NotNull { .. } => {
                Some("drop such rows with an expectation, or declare the column without NOT NULL")
            }
            LakeError::Unreadable(_) => Some(
                "something else wrote there: roll the table back, or compute it again with `ingot refresh TABLE --full`",
            ),
            LakeError::SnapshotGone { .. } => Some("snapshots are expired by age: read a later one"),
            LakeError::UnreadableTable { source, .. } => match source.as_ref() {
                LakeError::Unsupported(_) => {
                    Some("the other tables go on; an engine that knows it can rewrite this one")
                }
                LakeError::Config(_) => {
                    Some("the other tables go on; register the table in a catalog of the store that it lies in")
                }
                source => source.hint(),
            },
            LakeError::Damaged(_) | LakeError::Corrupt(_) => Some(
                "the other tables go on; restore the file from a backup, or register an older one of the table's metadata \
                 folder",
            ),
            LakeError::NoLake { .. } => {
                Some("check warehouse.location and catalog.uri; `ingot run` makes a new one, and reading makes nothing")
            }
            LakeError::OtherOwner { .. } => Some(
                "each table has one project: rename it, set namespace_prefix, or give this project the other one's \
                 project.name; to take it over, remove the table's property ingot.project",
            ),
            _ => None,
        }
    }

    /// The same error, of one table with its metadata file. The catalog's own errors are no table's.
    pub(crate) fn of_table(self, table: &TableName, location: &str) -> Self {
        match self {
            error @ (LakeError::Catalog { .. } | LakeError::UnreadableTable { .. }) => error,
            source => LakeError::UnreadableTable {
                table: table.clone(),
                location: location.to_string(),
                source: Box::new(source),
            },
        }
    }

    pub(crate) fn io(path: impl AsRef<std::path::Path>, source: std::io::Error) -> Self {
        LakeError::Io { path: path.as_ref().display().to_string(), source }
    }

    pub(crate) fn store(location: &str, source: object_store::Error) -> Self {
        match source {
            object_store::Error::NotFound { .. } => LakeError::NotFound(location.to_string()),
            source => LakeError::Storage { location: location.to_string(), source },
        }
    }

    /// Whether the catalog could not store a commit: nothing can bring it back. Without space it is asked again and
    /// again, so what was written for it must not stay.
    pub(crate) fn is_unwritten(&self) -> bool {
        matches!(self, LakeError::Catalog { source, .. } if source.is_unwritten())
    }
}

/// Our own storage's error inside one of Iceberg's library, which asked it for a file.
fn ours(error: &iceberg::Error) -> Option<&LakeError> {
    std::error::Error::source(error).and_then(|source| source.downcast_ref())
}

/// An error with the file it is about, which some name already.
fn place(location: &str, source: &LakeError) -> String {
    let text = source.to_string();
    let path = location.strip_prefix("file://").unwrap_or(location);
    if text.contains(path) { text } else { format!("its metadata \"{location}\": {text}") }
}

fn described(error: &iceberg::Error) -> String {
    ours(error).map_or_else(|| format!("iceberg: {error}"), ToString::to_string)
}

/// What the file system's answer asks for.
fn file_hint(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind as K;
    match error.kind() {
        K::StorageFull | K::QuotaExceeded | K::FileTooLarge => {
            "this step changed nothing: the warehouse's disk (or a limit on it) is full; free some space, then run again; \
             `run` does so by itself"
        }
        K::PermissionDenied | K::ReadOnlyFilesystem => {
            "this step changed nothing: make the warehouse's folder writable for this user, then run again; `run` does so \
             by itself"
        }
        _ => {
            "this step changed nothing: check the warehouse's disk and folder, then run again; `run` does so by itself"
        }
    }
}

impl From<NotATableName> for LakeError {
    fn from(error: NotATableName) -> Self {
        LakeError::Definition(error.to_string())
    }
}

/// The error of a scan for rows that are stored in a way that is not read.
pub(crate) fn not_read<T>(text: String) -> std::result::Result<T, datafusion::error::DataFusionError> {
    Err(external(LakeError::Unsupported(text)))
}

/// The error of a scan for a file that is stored whole and does not hold what it should.
pub(crate) fn damaged<T>(text: String) -> std::result::Result<T, datafusion::error::DataFusionError> {
    Err(external(LakeError::Damaged(text)))
}

/// An error of the lake, as that of a scan.
pub(crate) fn external(error: LakeError) -> datafusion::error::DataFusionError {
    datafusion::error::DataFusionError::External(Box::new(error))
}
