//! The columns that say where a stored row is; a scan appends them after all others.

/// The data file's location: Utf8, never NULL.
pub const FILE: &str = "_ingot_file";
/// The row's number in its file as written, deleted rows counted: Int64 from 0, never NULL.
pub const POSITION: &str = "_ingot_pos";
