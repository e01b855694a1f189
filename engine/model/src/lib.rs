//! The words that every other crate uses: names, definitions, places of rows, and what a snapshot records.
//!
//! ```text
//!   name         catalog.namespace.table          definition   what a table is declared to be
//!   range        keys looked for in files         place        where a stored row is
//!   record       what a commit of ours says       history      what the snapshots of a table say
//!   position     how far a source was read        property     the names under which all of it is written
//!   calendar     dates and their days since 1970
//!   file_settings  how a table's files are written  lake_config  where a lake is
//! ```
//!
//! Invariants
//! * Pure: values in, values out; no clock, no I/O, no runtime.
//! * `property` is the one list of names. What a property holds is written and read here, and nowhere else.
//!
//! Not here: SQL (`ingot-dialect`), Iceberg metadata and files (`ingot-lake`).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod calendar;
mod definition;
pub mod file_settings;
mod history;
mod lake_config;
mod name;
mod operation;
pub mod place;
mod position;
mod properties;
pub mod property;
mod range;
mod record;
pub mod table_properties;

pub use definition::{Column, Definition, PartitionBy, SortBy, Transform};
pub use history::{History, SnapshotInfo, Summary, erases_rows, is_ours};
pub use lake_config::{LakeConfig, S3Config};
pub use name::{Namespace, NotATableName, Readings, TableName};
pub use operation::Operation;
pub use position::{FlowPositions, Partition, PartitionRange, Position, Positions, RecordedPositions, SourceIdentity};
pub use properties::{Properties, Unreadable};
pub use range::KeyRange;
pub use record::{Count, ExpectationCounts, Expectations, Record, Refresh, Versions, commit_id};
pub use table_properties::{Beginning, PropertyChanges, TableProperties};
