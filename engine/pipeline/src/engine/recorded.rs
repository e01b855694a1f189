//! What the snapshots of a view say of its last refresh.

use chrono::{DateTime, Utc};
use ingot_lake::Table;
use ingot_model::SnapshotInfo;

use crate::error::Result;
use crate::planner::RefreshRecord;

/// Whether two schemas have the same column names and types, in order.
pub(crate) fn same_columns(a: &arrow::datatypes::Schema, b: &arrow::datatypes::Schema) -> bool {
    let pairs = a.fields().iter().zip(b.fields());
    a.fields().len() == b.fields().len()
        && pairs.into_iter().all(|(a, b)| a.name() == b.name() && a.data_type().equals_datatype(b.data_type()))
}

/// The time that the last refresh of a view recorded, and its snapshot.
pub(crate) fn recorded_now(table: &Table) -> Option<(DateTime<Utc>, i64)> {
    let ours = table.history().into_iter().find(|s| s.is_ours() && s.records_now())?;
    Some((ours.now().ok()??, ours.id))
}

pub(super) fn recorded_in(snapshot: &SnapshotInfo) -> Result<RefreshRecord> {
    let sources = snapshot.sources()?.unwrap_or_default();
    Ok(RefreshRecord {
        fingerprint: snapshot.fingerprint().unwrap_or_default().to_owned(),
        semantics: snapshot.semantics()?,
        sources: sources.into_iter().map(|(name, (uuid, id))| (name, (uuid.to_string(), id))).collect(),
    })
}
