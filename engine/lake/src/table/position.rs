//! Where a flow reads on: its position in the log, found in the table's history.
//!
//! ```text
//!   head ─▶ parent ─▶ parent ─▶ ...      each with our key adds the partitions that it moved
//!     until a full vector, or the end of what is left of the history
//!     (only then does the copy in the table's properties count)
//! ```
//!
//! Invariants
//! * Pure: reads metadata, no clock, no I/O.
//! * A snapshot in which every partition moved is full, so that it proves its position without its parents.
//! * Snapshots without our key are passed over, whatever their operation and whoever made them.
//! * A snapshot without parent proves nothing: expiry by others makes such ones. What it holds may.
//! * The copy counts where what is left stands on the commit that wrote it: it names that one as its parent, or it was
//!   made over as many rows. After a rollback it stands on an earlier one, and the copy would skip messages.
//! * A position is never guessed. Where the history does not prove one, the answer is an error that
//!   names the way out.
//!
//! Not here: whether the log still has the position (`ingot-source`).

use ingot_model::{
    Count, FlowPositions, RecordedPositions, SnapshotInfo, SourceIdentity, TableName, Unreadable, property,
};

use crate::table::Table;

/// Every so many commits of a flow, a summary holds the full vector.
pub(crate) const FULL_VECTOR_INTERVAL: usize = 100;

/// Whose position: a flow, in one incarnation of a source.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    /// The flow. Not the source's name: renaming a source must not read it again.
    pub flow: String,
    /// Where the source is.
    pub system: String,
    /// What a source made anew does not share.
    pub incarnation: String,
}

impl FlowKey {
    fn owns(&self, positions: &FlowPositions) -> bool {
        let source = &positions.source;
        self.flow == positions.flow && self.system == source.system && self.incarnation == source.incarnation
    }

    /// The key of a flow in a source.
    pub fn new(flow: impl Into<String>, source: &SourceIdentity) -> Self {
        FlowKey { flow: flow.into(), system: source.system.clone(), incarnation: source.incarnation.clone() }
    }

    /// The key of some positions.
    pub fn of(positions: &FlowPositions) -> Self {
        Self::new(&positions.flow, &positions.source)
    }
}

/// Why a table's history does not tell a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PositionError {
    /// Rows, but no positions: somebody replaced the table, or it never came from this log.
    #[error("table \"{table}\" holds {rows} rows and no position of flow \"{flow}\"")]
    NoPosition {
        /// The table.
        table: TableName,
        /// The flow.
        flow: String,
        /// Rows in the head, as its summary tells.
        rows: String,
    },
    /// The snapshots that held the position are expired and the table property cannot stand in.
    #[error("the snapshots of table \"{table}\" that held the position of flow \"{flow}\" are gone: {why}")]
    Expired {
        /// The table.
        table: TableName,
        /// The flow.
        flow: String,
        /// What is wrong with the copy in the properties.
        why: String,
    },
    /// Positions that cannot be read.
    #[error("table \"{table}\", {place}: {} is not readable: {reason}", property::POSITIONS)]
    Unreadable {
        /// The table.
        table: TableName,
        /// The snapshot or property.
        place: String,
        /// The parser's complaint.
        reason: String,
    },
}

impl PositionError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            PositionError::NoPosition { .. } => "L0131",
            PositionError::Expired { .. } => "L0132",
            PositionError::Unreadable { .. } => "L0133",
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        "read everything again with `ingot refresh TABLE --full`"
    }
}

/// The position of one flow: the full vector, counts since the table began. None: it has none yet.
///
/// # Errors
/// A history that does not prove a position.
pub fn recorded_position(table: &Table, key: &FlowKey) -> Result<Option<FlowPositions>, PositionError> {
    Ok(walk(table, key)?.vector)
}

/// The flows that the retained history or the properties of a table know, newest first.
///
/// # Errors
/// Positions that cannot be read.
pub fn recorded_flows(table: &Table) -> Result<Vec<FlowPositions>, PositionError> {
    let mut found: Vec<FlowPositions> = Vec::new();
    for snapshot in table.line() {
        if let Some(positions) = snapshot.positions()?
            && !found.iter().any(|known| FlowKey::of(known).owns(&positions))
        {
            found.push(positions);
        }
    }
    for recorded in table.recorded().positions()? {
        if !found.iter().any(|known| FlowKey::of(known).owns(&recorded.positions)) {
            found.push(recorded.positions);
        }
    }
    Ok(found)
}

/// What a walk found.
#[derive(Debug)]
pub(crate) struct Walk {
    /// The full vector; none if the flow has no position yet.
    pub(crate) vector: Option<FlowPositions>,
    /// Commits of the flow since its last full vector, if the walk met one.
    pub(crate) since_full: Option<usize>,
}

pub(crate) fn walk(base: &Table, key: &FlowKey) -> Result<Walk, PositionError> {
    let table = base.name();
    let mut vector: Option<FlowPositions> = None;
    let mut commits = 0;
    let mut other_flows = false;
    let mut oldest = None;
    let mut visited = Vec::new();
    for snapshot in base.line() {
        visited.push(snapshot.id);
        let positions = snapshot.positions()?;
        oldest = Some(snapshot);
        let Some(positions) = positions else { continue };
        if !key.owns(&positions) {
            other_flows = true;
            continue;
        }
        let full = positions.full;
        fill(&mut vector, positions);
        if full {
            return Ok(Walk { vector: complete(vector), since_full: Some(commits) });
        }
        commits += 1;
    }
    let Some(oldest) = oldest else {
        // No snapshot at all: nothing was ever read.
        return Ok(Walk { vector: None, since_full: None });
    };
    let head_rows = base.head().and_then(|head| base.snapshot(head)?.count(Count::TotalRecords).ok().flatten());
    let holds_none = head_rows == Some(0);
    let head_rows = head_rows.map_or("an unknown number of".to_owned(), |rows| rows.to_string());
    let met = vector.is_some();
    let nothing_of_ours = !met && !other_flows;
    let no_position =
        || PositionError::NoPosition { table: table.clone(), flow: key.flow.clone(), rows: head_rows.clone() };
    if nothing_of_ours && oldest.starts_over() {
        // Made by another writer, or replaced as a whole: the copy in the properties is of what was there before.
        return if holds_none { Ok(Walk { vector: None, since_full: None }) } else { Err(no_position()) };
    }
    // The history ends where others expired it: the properties hold the vector of the last commit.
    let expired =
        |why: &str| PositionError::Expired { table: table.clone(), flow: key.flow.clone(), why: why.to_string() };
    let mut recorded = base.recorded().positions()?;
    if recorded.is_empty() && nothing_of_ours && oldest.parent.is_none() {
        return if holds_none { Ok(Walk { vector: None, since_full: None }) } else { Err(no_position()) };
    }
    // Every commit of a flow writes its copy. Commits of ours that the walk met and the copy does not
    // know would mean a gap between them, and a gap would read rows twice.
    // The last commit of any flow wrote the property as it is.
    let wrote = recorded.iter().max_by_key(|entry| entry.sequence_number);
    let stands = !met && wrote.is_some_and(|last| stands_on(&oldest, last));
    let proves = |entry: &RecordedPositions| visited.contains(&entry.snapshot_id) || stands;
    let Some(place) = recorded.iter().position(|entry| key.owns(&entry.positions)) else {
        if vector.is_some() {
            return Err(expired("the table property has no vector of this flow"));
        }
        // Another flow's copy shows that the property was kept: this flow then has committed nothing.
        if recorded.iter().any(proves) {
            return Ok(Walk { vector: None, since_full: None });
        }
        return Err(expired("there is no table property that holds a copy"));
    };
    let entry = recorded.swap_remove(place);
    if !proves(&entry) {
        return Err(expired("the table property was not written by the history that is left, as after a rollback"));
    }
    fill(&mut vector, entry.positions);
    Ok(Walk { vector: complete(vector), since_full: None })
}

/// Whether a snapshot of another writer, whose parent is expired, was made over the commit of `entry`.
fn stands_on(snapshot: &SnapshotInfo, entry: &RecordedPositions) -> bool {
    if entry.sequence_number >= snapshot.sequence_number {
        return false;
    }
    if snapshot.parent == Some(entry.snapshot_id) {
        return true;
    }
    let changed = |of| snapshot.count(of).ok().map(|n| n.unwrap_or(0));
    // Expiry may remove the parent's id as well. How many rows the parent had follows from the totals and the change.
    let before = || {
        let whole = snapshot.count(Count::TotalRecords).ok()??.checked_add(changed(Count::DeletedRecords)?)?;
        whole.checked_sub(changed(Count::AddedRecords)?)
    };
    entry.total_records.is_some() && before() == entry.total_records
}

/// Adds the partitions that no newer snapshot has given.
fn fill(vector: &mut Option<FlowPositions>, older: FlowPositions) {
    match vector {
        None => *vector = Some(older),
        Some(vector) => {
            for (partition, range) in older.partitions {
                vector.partitions.entry(partition).or_insert(range);
            }
        }
    }
}

fn complete(vector: Option<FlowPositions>) -> Option<FlowPositions> {
    vector.map(|positions| FlowPositions { full: true, ..positions })
}

impl From<Unreadable> for PositionError {
    fn from(error: Unreadable) -> Self {
        PositionError::Unreadable { table: error.table, place: error.place, reason: error.reason }
    }
}

/// What one commit writes about positions.
#[derive(Debug)]
pub(crate) struct PositionUpdate {
    /// What its summary says: the partitions that moved, or all.
    pub(crate) moved: FlowPositions,
    /// What the table's properties say: the full vectors of all flows.
    pub(crate) vectors: Vec<RecordedPositions>,
}

/// Completes the positions that a commit of snapshot `snapshot_id` moves, over the base it is made on, none for a new
/// table; `begins` if the table begins anew with it.
///
/// # Errors
/// A base that does not prove a position, unless `moved` is a full vector itself.
pub(crate) fn update(
    base: Option<&Table>,
    moved: FlowPositions,
    begins: bool,
    (snapshot_id, sequence_number, total_records): (i64, i64, Option<u64>),
) -> Result<PositionUpdate, PositionError> {
    let key = FlowKey::of(&moved);
    let (full, write_full) = if moved.full {
        (moved.clone(), true)
    } else {
        let before = base.map_or(Ok(Walk { vector: None, since_full: None }), |base| walk(base, &key))?;
        let due = before.since_full.is_none_or(|commits| commits + 1 >= FULL_VECTOR_INTERVAL);
        let mut partitions = before.vector.map(|vector| vector.at_rest().partitions).unwrap_or_default();
        partitions.extend(moved.partitions.clone());
        // Where all of them moved, the word costs nothing, and the snapshot proves its position by itself.
        let whole = partitions.len() == moved.partitions.len();
        (FlowPositions { full: true, partitions, ..moved.clone() }, due || whole)
    };
    let mut vectors = match base.map_or(Ok(Vec::new()), |base| base.recorded().positions()) {
        // A table that begins anew needs no earlier records, so unreadable ones do not matter.
        Err(_) if begins => Vec::new(),
        vectors => vectors?,
    };
    vectors.retain(|entry| !key.owns(&entry.positions));
    let entry = RecordedPositions { positions: full.clone(), snapshot_id, sequence_number, total_records };
    vectors.push(entry);
    Ok(PositionUpdate { moved: if write_full { full } else { moved }, vectors })
}
