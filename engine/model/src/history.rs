//! What the snapshots of a table say, newest first.
//!
//! Invariants
//! * A property that is not there is none; one that does not parse is an error with the table's, the snapshot's and the
//!   property's name. It is never taken for one that is not there.
//!
//! Not here: what our commits write (`record`), finding a position (`ingot-lake`).

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::name::TableName;
use crate::operation::Operation;
use crate::position::FlowPositions;
use crate::properties::{Properties, Unreadable, read};
use crate::property;
use crate::record::{Count, Record, Versions, versions};

/// The properties of a snapshot's summary. Shared: a history of thousands of commits is looked at again and again.
#[derive(Clone)]
pub struct Summary(Arc<dyn Properties>);

impl Summary {
    /// The summary that holds these.
    pub fn new(properties: Arc<dyn Properties>) -> Self {
        Summary(properties)
    }

    /// The value of a property; none if it is not there.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)
    }
}

/// One snapshot of a table.
#[derive(Clone)]
pub struct SnapshotInfo {
    /// The table.
    pub table: Arc<TableName>,
    /// The snapshot's id.
    pub id: i64,
    /// The snapshot it was made from. It may be expired.
    pub parent: Option<i64>,
    /// Grows by one with every commit to the table.
    pub sequence_number: i64,
    /// Commit time, milliseconds since 1970.
    pub timestamp_ms: i64,
    /// What it did.
    pub operation: Operation,
    /// Everything else that it says.
    pub summary: Summary,
    /// The schema that was current.
    pub schema_id: Option<i32>,
}

impl fmt::Debug for SnapshotInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "snapshot {} ({}) of {}", self.id, self.operation, self.table)
    }
}

impl SnapshotInfo {
    /// Whether this engine made the snapshot.
    pub fn is_ours(&self) -> bool {
        is_ours(&*self.summary.0)
    }

    /// Whether this engine made the snapshot to refresh the table.
    pub(crate) fn is_refresh_of_ours(&self) -> bool {
        self.is_ours() && self.fingerprint().is_some()
    }

    /// Whether another writer made the snapshot and changed rows with it.
    pub fn changes_rows_elsewhere(&self) -> bool {
        !self.is_ours() && !self.operation.is_rewrite()
    }

    /// The definition that made the rows; none if the snapshot does not say.
    pub fn fingerprint(&self) -> Option<&str> {
        self.summary.get(property::FINGERPRINT)
    }

    /// How the refresh was done, and why so; none if it was no refresh of ours.
    pub fn refresh(&self) -> Option<(&str, Option<&str>)> {
        Some((self.summary.get(property::REFRESH_MODE)?, self.summary.get(property::REFRESH_REASON)))
    }

    /// Whether it records what now() was.
    pub fn records_now(&self) -> bool {
        self.summary.get(property::NOW).is_some()
    }

    /// Whether it records what it was computed from.
    pub(crate) fn records_sources(&self) -> bool {
        self.summary.get(property::SOURCES).is_some()
    }

    /// The source snapshots that it was computed from; none if it does not say.
    ///
    /// # Errors
    /// A property that does not parse.
    pub fn sources(&self) -> Result<Option<Versions>, Unreadable> {
        self.read(property::SOURCES, versions)
    }

    /// The streaming snapshots below all that it was computed from; none if it does not say.
    ///
    /// # Errors
    /// A property that does not parse.
    pub fn bases(&self) -> Result<Option<Versions>, Unreadable> {
        self.read(property::BASE_SNAPSHOTS, versions)
    }

    /// What now() was; none if it does not say.
    ///
    /// # Errors
    /// A property that does not parse.
    pub fn now(&self) -> Result<Option<DateTime<Utc>>, Unreadable> {
        self.read(property::NOW, |text| DateTime::parse_from_rfc3339(text).map(|at| at.with_timezone(&Utc)))
    }

    /// The version of SQL's meaning by which its rows were made. The first recorded none.
    ///
    /// # Errors
    /// A property that does not parse.
    pub fn semantics(&self) -> Result<u32, Unreadable> {
        Ok(self.read(property::SEMANTICS, u32::from_str)?.unwrap_or(1))
    }

    /// A count; none if it does not say.
    ///
    /// # Errors
    /// A property that does not parse.
    pub fn count(&self, of: Count) -> Result<Option<u64>, Unreadable> {
        self.read(of.property(), u64::from_str)
    }

    /// The positions that it moved, of whichever flow; none if it moved none.
    ///
    /// # Errors
    /// A property that does not parse.
    pub fn positions(&self) -> Result<Option<FlowPositions>, Unreadable> {
        self.read(property::POSITIONS, |text| serde_json::from_str(text))
    }

    /// The snapshot that, as it says, began its streaming table; none if it does not say.
    ///
    /// # Errors
    /// A property that does not parse.
    pub fn began_at(&self) -> Result<Option<i64>, Unreadable> {
        self.read(property::BEGAN_AT, i64::from_str)
    }

    /// Rows of the table, as far as its summary tells: those of its data files without those that deletes name by position.
    ///
    /// # Errors
    /// Counts that do not parse.
    pub fn rows(&self) -> Result<Option<u64>, Unreadable> {
        let deleted = self.count(Count::TotalPositionDeletes)?.unwrap_or(0);
        Ok(self.count(Count::TotalRecords)?.map(|rows| rows.saturating_sub(deleted)))
    }

    /// Whether it brought or took files, or delete files came with it.
    ///
    /// # Errors
    /// Counts that do not parse.
    pub fn changes_files(&self) -> Result<bool, Unreadable> {
        let each = [Count::AddedDataFiles, Count::DeletedDataFiles, Count::AddedDeleteFiles];
        each.into_iter().try_fold(false, |some, of| Ok(some | (self.count(of)?.unwrap_or(0) > 0)))
    }

    /// Whether it took rows out for good: who keeps what it has taken passes it by.
    pub fn erases_rows(&self) -> bool {
        erases_rows(&*self.summary.0)
    }

    /// Whether every file that it brought has the hidden columns of its table: other engines do not know of them. Where it
    /// does not count its files, or the counts do not parse, files may have come.
    pub fn keeps_hidden_columns(&self) -> bool {
        let counts = [Count::AddedDataFiles, Count::DeletedDataFiles, Count::TotalDataFiles];
        let counted = counts.into_iter().any(|of| self.count(of).is_ok_and(|n| n.is_some()));
        self.is_ours() || counted && self.changes_files().is_ok_and(|some| !some)
    }

    /// Whether it has no parent and holds nothing of what was there before: as the first snapshot does, and the one that
    /// CREATE OR REPLACE leaves. Counts that do not parse count as none.
    pub fn starts_over(&self) -> bool {
        let count = |of| self.count(of).ok().flatten();
        let nothing = |of| count(of).is_none_or(|n| n == 0);
        self.parent.is_none()
            && [Count::DeletedDataFiles, Count::DeletedRecords, Count::RemovedDeleteFiles].into_iter().all(nothing)
            && count(Count::TotalDataFiles).is_some_and(|total| total == count(Count::AddedDataFiles).unwrap_or(0))
    }

    fn read<T, E: ToString>(&self, name: &str, parse: impl Fn(&str) -> Result<T, E>) -> Result<Option<T>, Unreadable> {
        read(&self.table, || format!("snapshot {}", self.id), &*self.summary.0, name, parse)
    }
}

/// Whether properties are those of a snapshot of ours that took rows out for good.
pub fn erases_rows(properties: &dyn Properties) -> bool {
    is_ours(properties) && properties.get(property::ERASED).is_some()
}

/// Whether properties are those of a snapshot that this engine made.
pub fn is_ours(properties: &dyn Properties) -> bool {
    properties.get(property::ENGINE_NAME) == Some(property::ENGINE)
}

/// The snapshots of a table, newest first.
#[derive(Clone, Debug, Default)]
pub struct History(Vec<SnapshotInfo>);

impl History {
    /// The newest snapshot by which this engine refreshed the table.
    pub fn newest_of_ours(&self) -> Option<&SnapshotInfo> {
        self.0.iter().find(|s| s.is_refresh_of_ours())
    }

    /// The snapshots newer than the newest of ours, newest first; all of them if there is none of ours.
    pub fn newer_than_ours(&self) -> impl Iterator<Item = &SnapshotInfo> {
        self.0.iter().take_while(|s| !s.is_refresh_of_ours())
    }

    /// The newest snapshot of ours that records what it was computed from.
    pub fn newest_computed(&self) -> Option<&SnapshotInfo> {
        self.0.iter().find(|s| s.is_ours() && s.records_sources())
    }

    /// The newest snapshot of a refresh.
    pub fn newest_refresh(&self) -> Option<&SnapshotInfo> {
        self.0.iter().find(|s| s.refresh().is_some())
    }

    /// What a snapshot says that stands for all before it: which definition made the rows, and from what. It gives a reason of
    /// its own.
    pub fn carried(&self, reason: &str) -> Record {
        let mut record = Record::because(reason);
        let names = [
            property::FINGERPRINT,
            property::SEMANTICS,
            property::SOURCES,
            property::BASE_SNAPSHOTS,
            property::NOW,
            property::TIME_ZONE,
        ];
        for snapshot in self.newest_computed().into_iter().chain(self.newest_of_ours()) {
            for name in names {
                if let Some(value) = snapshot.summary.get(name) {
                    record.set(name, value);
                }
            }
        }
        record
    }

    /// The fingerprint of the definition in the newest of our snapshots that records one.
    pub fn fingerprint(&self) -> Option<&str> {
        self.newest_of_ours().and_then(SnapshotInfo::fingerprint)
    }

    /// The least version of SQL's meaning that made rows by a refresh of ours; `newest` if none is older.
    ///
    /// # Errors
    /// A version that does not parse.
    pub fn oldest_semantics(&self, newest: u32) -> Result<u32, Unreadable> {
        let ours = self.0.iter().filter(|s| s.is_refresh_of_ours());
        ours.map(SnapshotInfo::semantics).try_fold(newest, |oldest, version| Ok(oldest.min(version?)))
    }
}

impl Deref for History {
    type Target = [SnapshotInfo];

    fn deref(&self) -> &[SnapshotInfo] {
        &self.0
    }
}

impl FromIterator<SnapshotInfo> for History {
    fn from_iter<I: IntoIterator<Item = SnapshotInfo>>(snapshots: I) -> Self {
        History(snapshots.into_iter().collect())
    }
}

impl IntoIterator for History {
    type Item = SnapshotInfo;
    type IntoIter = std::vec::IntoIter<SnapshotInfo>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
