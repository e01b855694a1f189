//! What a commit of ours says about itself, and how it is written into a snapshot's summary.
//!
//! Not here: reading it back (`history`), properties of tables (`table_properties`).

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::name::{NotATableName, TableName};
use crate::position::FlowPositions;
use crate::property;

/// Versions of tables: of each its uuid and a snapshot, none if it had none. A table made anew has another uuid.
pub type Versions = BTreeMap<TableName, (Uuid, Option<i64>)>;

/// One version of one source table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct SourceRef {
    /// `namespace.table`.
    table: String,
    /// The table's uuid: a table made anew is another table.
    uuid: Uuid,
    /// The snapshot; none when the table had none yet.
    snapshot_id: Option<i64>,
}

/// What an expectation did in one refresh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ExpectationCounts {
    /// Rows kept although they broke it; net of rows removed.
    #[serde(default)]
    pub warned: i64,
    /// Rows dropped.
    #[serde(default)]
    pub dropped: i64,
    /// Rows that went to a quarantine table.
    #[serde(default)]
    pub quarantined: i64,
}

/// Counts per expectation name.
pub type Expectations = BTreeMap<String, ExpectationCounts>;

/// A number that a summary holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Data files added.
    AddedDataFiles,
    /// Rows in them.
    AddedRecords,
    /// Bytes of all files added.
    AddedBytes,
    /// Delete files added.
    AddedDeleteFiles,
    /// Those of positions among them, that are no vectors.
    AddedPositionDeleteFiles,
    /// Deletion vectors among them.
    AddedVectors,
    /// Positions in both.
    AddedPositionDeletes,
    /// Data files removed.
    DeletedDataFiles,
    /// Rows in them.
    DeletedRecords,
    /// Delete files removed.
    RemovedDeleteFiles,
    /// Those of positions among them, that are no vectors.
    RemovedPositionDeleteFiles,
    /// Deletion vectors among them.
    RemovedVectors,
    /// Positions in both.
    RemovedPositionDeletes,
    /// Those of equality deletes among them.
    RemovedEqualityDeleteFiles,
    /// Rows in those.
    RemovedEqualityDeletes,
    /// Bytes of all files removed.
    RemovedBytes,
    /// Partitions with files added or removed.
    ChangedPartitions,
    /// Live data files.
    TotalDataFiles,
    /// Rows in live data files, deleted ones included.
    TotalRecords,
    /// Bytes of live files.
    TotalBytes,
    /// Live files of deletes.
    TotalDeleteFiles,
    /// Positions in them.
    TotalPositionDeletes,
    /// Rows in those of equality deletes.
    TotalEqualityDeletes,
    /// Rows that a refresh read.
    RefreshRowsIn,
    /// Rows that a refresh wrote.
    RefreshRowsOut,
    /// Milliseconds that a refresh took.
    RefreshMs,
}

impl Count {
    /// The property's name; of Iceberg's specification, but for those of a refresh.
    pub fn property(self) -> &'static str {
        match self {
            Self::AddedDataFiles => "added-data-files",
            Self::AddedRecords => "added-records",
            Self::AddedBytes => "added-files-size",
            Self::AddedDeleteFiles => "added-delete-files",
            Self::AddedPositionDeleteFiles => "added-position-delete-files",
            Self::AddedVectors => "added-dvs",
            Self::AddedPositionDeletes => "added-position-deletes",
            Self::DeletedDataFiles => "deleted-data-files",
            Self::DeletedRecords => "deleted-records",
            Self::RemovedDeleteFiles => "removed-delete-files",
            Self::RemovedPositionDeleteFiles => "removed-position-delete-files",
            Self::RemovedVectors => "removed-dvs",
            Self::RemovedPositionDeletes => "removed-position-deletes",
            Self::RemovedEqualityDeleteFiles => "removed-equality-delete-files",
            Self::RemovedEqualityDeletes => "removed-equality-deletes",
            Self::RemovedBytes => "removed-files-size",
            Self::ChangedPartitions => "changed-partition-count",
            Self::TotalDataFiles => "total-data-files",
            Self::TotalRecords => "total-records",
            Self::TotalBytes => "total-files-size",
            Self::TotalDeleteFiles => "total-delete-files",
            Self::TotalPositionDeletes => "total-position-deletes",
            Self::TotalEqualityDeletes => "total-equality-deletes",
            Self::RefreshRowsIn => property::REFRESH_ROWS_IN,
            Self::RefreshRowsOut => property::REFRESH_ROWS_OUT,
            Self::RefreshMs => property::REFRESH_MS,
        }
    }
}

/// One refresh as its snapshot records it.
pub struct Refresh<'a> {
    /// `append`, `create`, `incremental`, `full` or `rebuild`.
    pub mode: &'a str,
    /// Why so.
    pub reason: Option<&'a str>,
    /// Rows read.
    pub rows_in: u64,
    /// Rows written.
    pub rows_out: u64,
    /// Milliseconds that it took.
    pub ms: u64,
    /// The definition that made the rows.
    pub fingerprint: &'a str,
    /// The version of SQL's meaning by which they were made.
    pub semantics: u32,
    /// What the expectations did.
    pub counts: &'a Expectations,
    /// now() as the query saw it.
    pub now: Option<DateTime<Utc>>,
}

/// The summary of a snapshot to be, or a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record(BTreeMap<String, String>);

impl Record {
    /// The record of a refresh; positions and sources are set beside it.
    ///
    /// # Errors
    /// What serde_json cannot print.
    pub fn of(refresh: &Refresh<'_>) -> Result<Self, serde_json::Error> {
        let mut record = Record::default();
        record.set(property::FINGERPRINT, refresh.fingerprint);
        record.set(property::SEMANTICS, refresh.semantics.to_string());
        record.set(property::REFRESH_MODE, refresh.mode);
        record.set(property::REFRESH_ROWS_IN, refresh.rows_in.to_string());
        record.set(property::REFRESH_ROWS_OUT, refresh.rows_out.to_string());
        record.set(property::REFRESH_MS, refresh.ms.to_string());
        if let Some(reason) = refresh.reason {
            record.set(property::REFRESH_REASON, reason);
        }
        if let Some(now) = refresh.now {
            record.set(property::NOW, now.to_rfc3339_opts(SecondsFormat::Micros, true));
            record.set(property::TIME_ZONE, "UTC");
        }
        if !refresh.counts.is_empty() {
            record.set(property::EXPECTATIONS, serde_json::to_string(refresh.counts)?);
        }
        Ok(record)
    }

    /// The record of a commit that says why it was made and refreshes nothing.
    pub fn because(reason: impl Into<String>) -> Self {
        Record(BTreeMap::from([(property::REFRESH_REASON.to_owned(), reason.into())]))
    }

    /// Says that this engine makes the snapshot.
    pub fn set_engine(&mut self, version: &str) {
        self.set(property::ENGINE_NAME, property::ENGINE);
        self.set(property::ENGINE_VERSION, version);
    }

    /// Sets the id shared by all attempts of the commit.
    pub fn set_commit_id(&mut self, id: Uuid) {
        self.set(property::COMMIT_ID, id.to_string());
    }

    /// The id shared by all attempts of the commit.
    pub fn commit_id(&self) -> Option<&str> {
        self.0.get(property::COMMIT_ID).map(String::as_str)
    }

    /// The definition that made the rows.
    pub fn fingerprint(&self) -> Option<&str> {
        self.0.get(property::FINGERPRINT).map(String::as_str)
    }

    /// Sets a count.
    pub fn set_count(&mut self, of: Count, value: u64) {
        self.set(of.property(), value.to_string());
    }

    /// A count; none if it is not there or no number.
    pub fn count(&self, of: Count) -> Option<u64> {
        self.0.get(of.property()).and_then(|text| text.parse().ok())
    }

    /// Sets the source snapshots that the rows are computed from.
    ///
    /// # Errors
    /// What serde_json cannot print.
    pub fn set_sources(&mut self, sources: &Versions) -> Result<(), serde_json::Error> {
        self.set(property::SOURCES, printed(sources)?);
        Ok(())
    }

    /// Sets the streaming snapshots below all that the rows are computed from.
    ///
    /// # Errors
    /// What serde_json cannot print.
    pub fn set_bases(&mut self, bases: &Versions) -> Result<(), serde_json::Error> {
        self.set(property::BASE_SNAPSHOTS, printed(bases)?);
        Ok(())
    }

    /// Sets the positions that the commit moves; none takes them out.
    ///
    /// # Errors
    /// What serde_json cannot print.
    pub fn set_positions(&mut self, positions: Option<&FlowPositions>) -> Result<(), serde_json::Error> {
        match positions {
            Some(positions) => self.set(property::POSITIONS, serde_json::to_string(positions)?),
            None => {
                self.0.remove(property::POSITIONS);
            }
        }
        Ok(())
    }

    /// The positions that the commit moves.
    ///
    /// # Errors
    /// What does not parse.
    pub fn positions(&self) -> Result<Option<FlowPositions>, serde_json::Error> {
        self.0.get(property::POSITIONS).map(|text| serde_json::from_str(text)).transpose()
    }

    /// Names the snapshot that began the table.
    pub fn set_began_at(&mut self, snapshot: i64) {
        self.set(property::BEGAN_AT, snapshot.to_string());
    }

    /// Says how many rows the commit takes out for good.
    pub fn set_erased(&mut self, rows: u64) {
        self.set(property::ERASED, rows.to_string());
    }

    /// Adds another record's properties; they win.
    pub fn extend(&mut self, other: Record) {
        self.0.extend(other.0);
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }
}

impl From<BTreeMap<String, String>> for Record {
    fn from(properties: BTreeMap<String, String>) -> Self {
        Record(properties)
    }
}

impl FromIterator<(String, String)> for Record {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(properties: I) -> Self {
        Record(properties.into_iter().collect())
    }
}

impl From<Record> for HashMap<String, String> {
    fn from(record: Record) -> Self {
        record.0.into_iter().collect()
    }
}

/// The id shared by all attempts of the commit that a snapshot's summary is of.
pub fn commit_id(summary: &HashMap<String, String>) -> Option<&str> {
    summary.get(property::COMMIT_ID).map(String::as_str)
}

fn printed(versions: &Versions) -> Result<String, serde_json::Error> {
    let listed = versions.iter().map(|(table, (uuid, snapshot_id))| SourceRef {
        table: table.to_string(),
        uuid: *uuid,
        snapshot_id: *snapshot_id,
    });
    serde_json::to_string(&listed.collect::<Vec<_>>())
}

/// Reads what [`printed`] writes.
pub(crate) fn versions(text: &str) -> Result<Versions, String> {
    let listed: Vec<SourceRef> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let named = |of: SourceRef| Ok((of.table.parse::<TableName>()?, (of.uuid, of.snapshot_id)));
    listed.into_iter().map(named).collect::<Result<_, NotATableName>>().map_err(|error| error.to_string())
}
