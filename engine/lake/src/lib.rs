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

mod adapt;
mod avro_names;
pub mod began;
pub mod bounds;
mod catalog;
pub mod changelog;
pub mod commit;
mod conform;
pub mod crash;
pub mod definition;
mod encode;
pub mod error;
pub mod lake;
pub mod lease;
mod lineage;
pub mod locate;
mod manifest;
mod metadata_file;
pub mod owner;
mod parquet_schema;
pub mod partition;
pub mod placed;
pub mod position;
pub mod properties;
pub mod provider;
mod prune;
pub mod schema;
mod storage;
pub mod table;
mod temporal;
mod totals;
mod transform;
pub mod write;

pub use began::beginning;
pub use changelog::{FileChange, FileRef, changelog, live_files};
pub use commit::{Change, CommitError, Rebase};
pub use definition::{NewTable, ResolvedDefinition, resolve_definition};
pub use error::{LakeError, Result, STORE_HINT};
/// Iceberg's own type for one file of a table, as commits and scans exchange it.
pub use iceberg::spec::DataFile;
pub use lake::{Lake, LakeConfig, S3Config};
pub use lease::{Lease, LeaseHeld};
pub use locate::prune_files;
pub use position::{FlowKey, PositionError, kafka_position};
pub use provider::{LakeTableProvider, ScanLog, ScanOptions, exact_options};
pub use table::{StateColumn, Table};
pub use write::Writer;

#[cfg(test)]
mod tests;
