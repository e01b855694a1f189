//! The names of the properties that snapshots and tables have, ours and those of Iceberg that we read.
//!
//! Invariants
//! * Every name is a constant here; nothing else spells one out.
//! * The JSON shapes behind them are read by other programs: fields are added, never renamed.
//!
//! Not here: reading and writing them (`record`, `table_properties`).

/// The value of [`ENGINE_NAME`] in our snapshots.
pub const ENGINE: &str = "ingot";
/// Which engine made the snapshot.
pub const ENGINE_NAME: &str = "engine-name";
/// Which version of the engine.
pub(crate) const ENGINE_VERSION: &str = "engine-version";
/// The id shared by all attempts of one commit.
pub const COMMIT_ID: &str = "ingot.commit-id";
/// The fingerprint of the definition that made the rows.
pub const FINGERPRINT: &str = "ingot.fingerprint";
/// The version of SQL's meaning by which the rows were made. A snapshot without it is of the first.
pub(crate) const SEMANTICS: &str = "ingot.semantics-version";
/// How the refresh was done.
pub const REFRESH_MODE: &str = "ingot.refresh.mode";
/// Why it was done so.
pub(crate) const REFRESH_REASON: &str = "ingot.refresh.reason";
/// Rows read.
pub(crate) const REFRESH_ROWS_IN: &str = "ingot.refresh.rows-in";
/// Rows written.
pub(crate) const REFRESH_ROWS_OUT: &str = "ingot.refresh.rows-out";
/// How long the refresh took, in milliseconds.
pub const REFRESH_MS: &str = "ingot.refresh.ms";
/// What now() was.
pub const NOW: &str = "ingot.now";
/// The session time zone.
pub(crate) const TIME_ZONE: &str = "ingot.time-zone";
/// The source snapshots that the table stands on: a list of `{table, uuid, snapshot-id}`.
pub const SOURCES: &str = "ingot.sources";
/// The snapshots from which the change was computed: a list of `{table, uuid, snapshot-id}`.
pub const BASE_SNAPSHOTS: &str = "ingot.base-snapshots";
/// Counts per expectation: a JSON object of names and [`crate::ExpectationCounts`].
pub const EXPECTATIONS: &str = "ingot.expectations";
/// Positions in a source, under the name of the first connector: a [`crate::FlowPositions`]; the table property of this
/// name holds full vectors.
pub const POSITIONS: &str = "ingot.kafka.positions";
/// Where a streaming table began: in a summary the id of the snapshot that began it; the table property of this name
/// holds a list of [`crate::Beginning`].
pub const BEGAN_AT: &str = "ingot.began-at";

/// How many rows were erased: in a summary by that snapshot, as a table property since the table began.
pub(crate) const ERASED: &str = "ingot.erased";
/// Table property: files that nothing names and that are to be deleted, a JSON list.
pub(crate) const TO_DELETE: &str = "ingot.to-delete";

/// Table property: the fingerprints of the definitions that a streaming table over another table was made by, a JSON list;
/// an empty one stands for those that nobody knows.
pub(crate) const MADE_BY: &str = "ingot.made-by";
/// Table property: the project that writes the table.
pub const PROJECT: &str = "ingot.project";
/// Table property: the hidden columns, a JSON list of Iceberg fields.
pub const STATE_COLUMNS: &str = "ingot.state-columns";
/// Table property: the ids of columns that the definition has no more and whose values are kept, a JSON list.
pub const LEFT_OUT_COLUMNS: &str = "ingot.left-out-columns";
/// Table property: columns that keep the type they are stored with although their query has another one by present rules,
/// a JSON object of names and the types that the query has.
pub(crate) const KEPT_TYPES: &str = "ingot.kept-types";
/// Table property: the columns of the primary key, which nothing enforces.
pub(crate) const PRIMARY_KEY: &str = "ingot.primary-key";
