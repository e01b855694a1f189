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

use ingot_model::{Beginning, FlowPositions, Record, SnapshotInfo, TableName, table_properties};

use crate::error::{LakeError, Result};
use crate::table::Table;

/// Where a table began; none if nothing that is left says it.
///
/// # Errors
/// A property that does not parse.
pub fn beginning(table: &Table) -> Result<Option<Beginning>> {
    find(table)
}

/// The positions at which a snapshot began its table, if it did.
pub(crate) fn begins(snapshot: &SnapshotInfo) -> Result<Option<FlowPositions>> {
    let told = snapshot.began_at()?;
    // Older versions recorded no beginning; the mode of a refresh says it.
    let by_mode = || {
        let mode = snapshot.refresh().map(|(mode, _)| mode);
        snapshot.is_ours() && told.is_none() && matches!(mode, Some("create" | "full"))
    };
    if told != Some(snapshot.id) && !by_mode() {
        return Ok(None);
    }
    Ok(snapshot.positions()?.filter(|positions| positions.full))
}

fn find(base: &Table) -> Result<Option<Beginning>> {
    let recorded = base.recorded().beginnings()?;
    let mut fingerprints = BTreeSet::new();
    let mut wanted = None;
    let mut oldest = None;
    for snapshot in base.line() {
        fingerprints.extend(snapshot.fingerprint().map(str::to_owned));
        wanted = match wanted {
            None => snapshot.began_at()?,
            told => told,
        };
        let copy = wanted.and_then(|id| recorded.iter().find(|known| known.snapshot_id == id));
        if let Some(known) = copy {
            let mut known = known.clone();
            known.fingerprints.append(&mut fingerprints);
            return Ok(Some(known));
        }
        // The property was taken away: the snapshot itself may still be there.
        if let Some(positions) = begins(&snapshot)?
            && wanted.is_none_or(|id| id == snapshot.id)
        {
            return Ok(Some(Beginning {
                snapshot_id: snapshot.id,
                sequence_number: snapshot.sequence_number,
                fingerprints,
                positions,
            }));
        }
        oldest = Some(snapshot);
    }
    let Some(oldest) = oldest.filter(|oldest| wanted.is_none() && !oldest.starts_over()) else {
        return Ok(None);
    };
    // Only others' snapshots are left. They stand on one that was recorded before them, and where several were, on one
    // that cannot be told apart from those that a rollback took away.
    let mut before = recorded.into_iter().filter(|known| known.sequence_number <= oldest.sequence_number);
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
    begins: Option<FlowPositions>,
    record: &mut Record,
    properties: &mut HashMap<String, String>,
    (snapshot_id, sequence_number): (i64, i64),
) -> Result<()> {
    let mut known = match base.map_or(Ok(Vec::new()), |base| base.recorded().beginnings()) {
        // A table that begins anew needs no earlier records, so unreadable ones do not matter.
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
    current.fingerprints.extend(record.fingerprint().map(str::to_owned));
    record.set_began_at(current.snapshot_id);
    // A rollback may go back to any snapshot that is left.
    let oldest = base.and_then(|base| base.metadata().snapshots().map(|snapshot| snapshot.sequence_number()).min());
    let overtaken = oldest.is_none_or(|oldest| oldest >= current.sequence_number);
    known.retain(|other| {
        other.snapshot_id != current.snapshot_id && !(overtaken && other.sequence_number < current.sequence_number)
    });
    known.push(current);
    known.sort_by_key(|beginning| beginning.sequence_number);
    table_properties::set_beginnings(properties, &known)
        .map_err(|error| LakeError::Corrupt(format!("where table \"{table}\" began: {error}")))
}
