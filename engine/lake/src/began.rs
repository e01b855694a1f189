//! Where a streaming table began, recorded by the commit that began it and named by every commit since.
//!
//! ```text
//!   summary of each commit:  ingot.began-at = id of the snapshot that began the table
//!   property ingot.began-at: [{snapshot-id, sequence-number, fingerprints, positions}, ...]
//! ```
//!
//! Invariants
//! * Pure: reads metadata, no clock, no I/O.
//! * A beginning is never inferred from a missing parent: expiry by others leaves any snapshot without one.
//! * The property outlives every snapshot, and holds all beginnings that some snapshot may still stand on, so that a
//!   rollback to before a full refresh finds its own.
//! * A table that another writer has replaced as a whole (CREATE OR REPLACE) has no beginning.
//!
//! Not here: reading again from there (`ingot-pipeline`).

use std::collections::{BTreeSet, HashMap};

use iceberg::spec::{SnapshotRef, TableMetadata};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::record::parsed;
use crate::summary::{self, BEGAN_AT, FINGERPRINT, KAFKA_POSITIONS, KafkaPositions, REFRESH_MODE};
use crate::table::{SnapshotInfo, Table, TableName};

/// The start of a streaming table: made, or emptied to be read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Beginning {
    /// The snapshot that began it. It may be expired.
    pub snapshot_id: i64,
    /// That snapshot's sequence number.
    pub sequence_number: i64,
    /// The definitions that made rows since.
    #[serde(default)]
    pub fingerprints: BTreeSet<String>,
    /// Where reading began: the ends of these ranges, which hold nothing.
    pub positions: KafkaPositions,
}

/// Where a table began; none if nothing that is left says it.
///
/// # Errors
/// A property that does not parse.
pub fn beginning(table: &Table) -> Result<Option<Beginning>> {
    find(table)
}

/// Whether a snapshot that has lost its parent, or never had one, holds nothing of what was there before: as the first
/// one does, and the one that CREATE OR REPLACE leaves.
pub(crate) fn starts_over(snapshot: &SnapshotRef) -> bool {
    let properties = &snapshot.summary().additional_properties;
    let count = |name: &str| properties.get(name).and_then(|value| value.parse::<u64>().ok());
    let nothing = |name: &str| count(name).is_none_or(|n| n == 0);
    snapshot.parent_snapshot_id().is_none()
        && ["deleted-data-files", "deleted-records", "removed-delete-files"].into_iter().all(nothing)
        && count("total-data-files").is_some_and(|total| total == count("added-data-files").unwrap_or(0))
}

/// The positions at which a snapshot began its table, if it did.
pub(crate) fn begins(table: &TableName, snapshot: &SnapshotRef) -> Result<Option<KafkaPositions>> {
    let properties = &snapshot.summary().additional_properties;
    let named = told(table, snapshot)?.is_some_and(|id| id == snapshot.snapshot_id());
    // Versions that named no beginning told it by the mode.
    let by_mode = || {
        let mode = properties.get(REFRESH_MODE).map(String::as_str);
        SnapshotInfo::of(snapshot).is_ours()
            && !properties.contains_key(BEGAN_AT)
            && matches!(mode, Some("create" | "full"))
    };
    if !named && !by_mode() {
        return Ok(None);
    }
    let text = properties.get(KAFKA_POSITIONS);
    let positions = text.map(|text| parsed(table, || place(snapshot), KAFKA_POSITIONS, serde_json::from_str(text)));
    Ok(positions.transpose()?.filter(|positions: &KafkaPositions| positions.full))
}

fn place(snapshot: &SnapshotRef) -> String {
    format!("snapshot {}", snapshot.snapshot_id())
}

/// The snapshot that a snapshot says its table began with.
fn told(table: &TableName, snapshot: &SnapshotRef) -> Result<Option<i64>> {
    let text = snapshot.summary().additional_properties.get(BEGAN_AT);
    text.map(|text| parsed(table, || place(snapshot), BEGAN_AT, text.parse())).transpose()
}

fn recorded(table: &TableName, metadata: &TableMetadata) -> Result<Vec<Beginning>> {
    let text = metadata.properties().get(BEGAN_AT);
    let place = || "its properties".to_owned();
    text.map_or(Ok(Vec::new()), |text| parsed(table, place, BEGAN_AT, serde_json::from_str(text)))
}

fn find(base: &Table) -> Result<Option<Beginning>> {
    let (table, metadata) = (base.name(), base.metadata());
    let recorded = recorded(table, metadata)?;
    let mut fingerprints = BTreeSet::new();
    let mut wanted = None;
    let mut oldest = None;
    for snapshot in base.line() {
        oldest = Some(snapshot);
        fingerprints.extend(snapshot.summary().additional_properties.get(FINGERPRINT).cloned());
        wanted = match wanted {
            None => told(table, snapshot)?,
            told => told,
        };
        let copy = wanted.and_then(|id| recorded.iter().find(|known| known.snapshot_id == id));
        if let Some(known) = copy {
            let mut known = known.clone();
            known.fingerprints.append(&mut fingerprints);
            return Ok(Some(known));
        }
        // The property was taken away: the snapshot itself may still be there.
        if let Some(positions) = begins(table, snapshot)?
            && wanted.is_none_or(|id| id == snapshot.snapshot_id())
        {
            return Ok(Some(Beginning {
                snapshot_id: snapshot.snapshot_id(),
                sequence_number: snapshot.sequence_number(),
                fingerprints,
                positions,
            }));
        }
    }
    let Some(oldest) = oldest.filter(|oldest| wanted.is_none() && !starts_over(oldest)) else {
        return Ok(None);
    };
    // Only others' snapshots are left. They stand on one that was recorded before them, and where several were, on one
    // that cannot be told apart from those that a rollback took away.
    let mut before = recorded.into_iter().filter(|known| known.sequence_number <= oldest.sequence_number());
    let last = before.next_back();
    let mut last = last.filter(|last| before.all(|other| other.positions.partitions == last.positions.partitions));
    if let Some(last) = &mut last {
        last.fingerprints.append(&mut fingerprints);
    }
    Ok(last)
}

/// Records where a table began in a commit of positions over `base`, none for a new table: the one that begins it, or one
/// of those since.
///
/// # Errors
/// Recorded beginnings that do not parse.
pub(crate) fn update(
    table: &TableName,
    base: Option<&Table>,
    begins: Option<KafkaPositions>,
    summary: &mut HashMap<String, String>,
    properties: &mut HashMap<String, String>,
    (snapshot_id, sequence_number): (i64, i64),
) -> Result<()> {
    let mut known = match base.map_or(Ok(Vec::new()), |base| recorded(table, base.metadata())) {
        // Whoever begins anew needs nothing of what was.
        Err(_) if begins.is_some() => Vec::new(),
        known => known?,
    };
    let mut current = match begins {
        Some(positions) => Beginning { snapshot_id, sequence_number, fingerprints: BTreeSet::new(), positions },
        None => match base.map(find).transpose()?.flatten() {
            Some(found) => found,
            None => return Ok(()),
        },
    };
    current.fingerprints.extend(summary.get(FINGERPRINT).cloned());
    summary.insert(BEGAN_AT.to_owned(), current.snapshot_id.to_string());
    // A rollback may go back to any snapshot that is left.
    let oldest = base.and_then(|base| base.metadata().snapshots().map(|snapshot| snapshot.sequence_number()).min());
    let overtaken = oldest.is_none_or(|oldest| oldest >= current.sequence_number);
    known.retain(|other| {
        other.snapshot_id != current.snapshot_id && !(overtaken && other.sequence_number < current.sequence_number)
    });
    known.push(current);
    known.sort_by_key(|beginning| beginning.sequence_number);
    let text = parsed(table, || "its properties".to_owned(), BEGAN_AT, summary::to_json(&known))?;
    properties.insert(BEGAN_AT.to_owned(), text);
    Ok(())
}
