//! The columns that say where a stored row is; a scan appends them after all others.

/// The data file's location: Utf8, never NULL.
pub const FILE: &str = "_ingot_file";
/// The row's number in its file as written, deleted rows counted: Int64 from 0, never NULL.
pub const POSITION: &str = "_ingot_pos";
/// The row's id, where a scan is asked for lineage: Int64, NULL in tables before Iceberg's format version 3. The name that
/// Iceberg reserves.
pub const ROW_ID: &str = "_row_id";
/// The sequence number of the commit that last changed the row, likewise.
pub const LAST_UPDATED: &str = "_last_updated_sequence_number";
