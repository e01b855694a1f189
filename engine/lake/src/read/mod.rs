//! From a snapshot to rows: which files it reads, which of them a query needs, their columns by field id.
//!
//! Not here: what a file holds and how it came there (`write`), the versions themselves (`table`).

pub(crate) mod adapt;
pub mod changelog;
mod counted_rows;
mod derived;
pub(crate) mod judge;
pub(crate) mod key_probe;
pub mod key_ranges;
pub mod metadata_tables;
mod opening;
mod order;
pub(crate) mod parquet_files;
pub mod provider;
pub(crate) mod prune;
pub(crate) mod reshape;
pub mod rewrites;
pub(crate) mod row_positions;
mod summaries;
pub(crate) mod value_order;
mod value_text;
