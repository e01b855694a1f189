//! The lake: Iceberg tables that one catalog names and one object store holds.
//!
//! ```text
//!   rows ──▶ write + bounds ──▶ data files ──▶ manifest ──▶ commit ──▶ catalog (compare-and-set)
//!                                                              │
//!   query ◀── provider ◀── adapt ◀── prune ◀── Table ◀─────────┘
//! ```
//!
//! Invariants
//! * Every change of a table is one snapshot, made by one compare-and-set of its catalog row.
//! * Whatever a catalog row points at was durable before the row changed.
//! * Columns are known by field id; hidden state columns are never in a table's current schema.
//!
//! Not here: what to write and when (`ingot-pipeline`), reading Kafka (`ingot-source`).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod catalog;
pub mod commit;
pub mod crash;
mod deletes;
pub mod error;
#[cfg(test)]
mod faults;
pub mod lake;
pub mod read;
mod store;
pub mod table;
mod upkeep;
pub mod write;

pub use catalog::error::{CatalogError, CatalogErrorKind};
pub use catalog::lease::{self, Lease, LeaseHeld};
pub use catalog::unread::UnreadColumn;
pub use commit::{Basis, Commit, CommitError, Rebase};
pub use error::{LakeError, Result, STORE_HINT};
/// Iceberg's own type for one file of a table, as commits and scans exchange it.
pub use iceberg::spec::DataFile;
/// Where a lake is, as `Lake::open` takes it.
pub use ingot_model::{LakeConfig, S3Config};
pub use lake::Lake;
pub use read::changelog::{self, FileChange, FileRef, live_files};
pub use read::key_ranges::prune_files;
pub use read::metadata_tables::MetadataTable;
pub use read::provider::{LakeTableProvider, ScanLog, ScanOptions};
pub use read::rewrites::{appended_between, change_between};
pub use table::beginning::{self, beginning};
pub use table::declared::{DeclaredColumn, Misfit};
pub use table::definition::{NewTable, ResolvedDefinition};
pub use table::manifests::SharedFile;
pub use table::position::{self, FlowKey, PositionError, recorded_position};
pub use table::{StateColumn, Table, owner, schema};
pub use upkeep::compact::{Compacted, Compaction, FAN_IN, Small};
pub use upkeep::erase::Forgotten;
pub use upkeep::orphans::Orphans;
pub use upkeep::retention::Retention;
pub use upkeep::sweep::Swept;
pub use write::Writer;
pub use write::deletes::{RowDeletes, delete_rows};

#[cfg(test)]
mod tests;
