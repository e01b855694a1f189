//! The names and shapes of what a snapshot says about itself.
//!
//! Invariants
//! * Every property name is a constant here; nothing else spells one out.
//! * The JSON shapes are read by other programs: fields are added, never renamed.
//!
//! Not here: reading them from a snapshot (`record`), finding a position in a table's history (`position`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// The value of [`ENGINE_NAME`] in our snapshots.
pub const ENGINE: &str = "ingot";
/// Which engine made the snapshot.
pub const ENGINE_NAME: &str = "engine-name";
/// Which version of the engine.
pub const ENGINE_VERSION: &str = "engine-version";
/// The id shared by all attempts of one commit.
pub const COMMIT_ID: &str = "ingot.commit-id";
/// The fingerprint of the definition that made the rows.
pub const FINGERPRINT: &str = "ingot.fingerprint";
/// The version of SQL's meaning by which the rows were made. A snapshot without it is of the first.
pub const SEMANTICS: &str = "ingot.semantics-version";
/// How the refresh was done.
pub const REFRESH_MODE: &str = "ingot.refresh.mode";
/// Why it was done so.
pub const REFRESH_REASON: &str = "ingot.refresh.reason";
/// Rows read.
pub const REFRESH_ROWS_IN: &str = "ingot.refresh.rows-in";
/// Rows written.
pub const REFRESH_ROWS_OUT: &str = "ingot.refresh.rows-out";
/// How long the refresh took, in milliseconds.
pub const REFRESH_MS: &str = "ingot.refresh.ms";
/// What now() was.
pub const NOW: &str = "ingot.now";
/// The session time zone.
pub const TIME_ZONE: &str = "ingot.time-zone";
/// The source snapshots that the table stands on: a list of [`SourceRef`].
pub const SOURCES: &str = "ingot.sources";
/// The snapshots from which the change was computed: a list of [`SourceRef`].
pub const BASE_SNAPSHOTS: &str = "ingot.base-snapshots";
/// Counts per expectation: name to [`ExpectationCounts`].
pub const EXPECTATIONS: &str = "ingot.expectations";
/// Kafka positions: a [`KafkaPositions`]; the table property of this name holds full vectors.
pub const KAFKA_POSITIONS: &str = "ingot.kafka.positions";
/// Where a streaming table began: in a summary the id of the snapshot that began it; the table property of this name
/// holds a list of [`crate::began::Beginning`].
pub const BEGAN_AT: &str = "ingot.began-at";

/// Table property: the project that writes the table.
pub const PROJECT: &str = "ingot.project";
/// Table property: the hidden columns, a JSON list of Iceberg fields.
pub const STATE_COLUMNS: &str = "ingot.state-columns";
/// Table property: the ids of columns that the definition has no more and whose values are kept, a JSON list.
pub const LEFT_OUT_COLUMNS: &str = "ingot.left-out-columns";
/// Table property: columns that keep the type they are stored with although their query has another one by present rules,
/// a JSON object of names and the types that the query has.
pub const KEPT_TYPES: &str = "ingot.kept-types";
/// Table property: the columns of the primary key, which nothing enforces.
pub const PRIMARY_KEY: &str = "ingot.primary-key";

/// The JSON form of a summary value.
///
/// # Errors
/// Never for the types of this module; the signature leaves it to serde to say so.
pub fn to_json<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    serde_json::to_string(value)
}

/// One version of one source table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SourceRef {
    /// `namespace.table`.
    pub table: String,
    /// The table's uuid: a table made anew is another table.
    pub uuid: Uuid,
    /// The snapshot; none when the table had none yet.
    pub snapshot_id: Option<i64>,
}

/// What an expectation did in one refresh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ExpectationCounts {
    /// Rows kept although they broke it; net of rows that went.
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

/// The range of one topic partition that a snapshot holds, with counts since the table began.
///
/// `delivered = main + errors + filtered + dropped` once everything of the range is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PartitionRange {
    /// First offset of the range.
    pub from: i64,
    /// One past its last offset: where to read on.
    pub to: i64,
    /// The leader epoch of the last message, if the broker tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i32>,
    /// Messages read.
    #[serde(default)]
    pub delivered: u64,
    /// Rows in the table itself.
    #[serde(default)]
    pub main: u64,
    /// Messages in the table of decode errors.
    #[serde(default)]
    pub errors: u64,
    /// Messages that the query leaves out.
    #[serde(default)]
    pub filtered: u64,
    /// Messages dropped by a rule.
    #[serde(default)]
    pub dropped: u64,
}

/// Positions of one flow in one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct KafkaPositions {
    /// Version of this shape: 1.
    pub v: u32,
    /// Whether every partition is listed, or only those that moved.
    pub full: bool,
    /// The flow: which statement reads.
    pub flow: String,
    /// The cluster's id.
    pub cluster: String,
    /// The topic's name, for people.
    pub topic: String,
    /// The topic's id, which a topic made anew does not share.
    pub topic_id: String,
    /// Ranges by partition number.
    pub partitions: BTreeMap<i32, PartitionRange>,
}

/// A full vector as the table property holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedPositions {
    /// The vector.
    pub positions: KafkaPositions,
    /// The snapshot whose commit wrote it.
    pub snapshot_id: i64,
    /// That snapshot's sequence number.
    pub sequence_number: i64,
    /// Rows in its data files, deleted ones included; none if it is not recorded.
    pub total_records: Option<u64>,
}

const SNAPSHOT_ID: &str = "snapshot-id";
const SEQUENCE_NUMBER: &str = "sequence-number";
/// Iceberg's name.
pub(crate) const TOTAL_RECORDS: &str = "total-records";

impl RecordedPositions {
    fn to_value(&self) -> Result<Value, serde_json::Error> {
        let mut value = serde_json::to_value(&self.positions)?;
        if let Value::Object(object) = &mut value {
            object.insert(SNAPSHOT_ID.into(), self.snapshot_id.into());
            object.insert(SEQUENCE_NUMBER.into(), self.sequence_number.into());
            if let Some(total) = self.total_records {
                object.insert(TOTAL_RECORDS.into(), total.into());
            }
        }
        Ok(value)
    }

    fn from_value(mut value: Value) -> Result<Self, serde_json::Error> {
        // Not serde's flatten: it loses the integer keys of `partitions`.
        let mut take = |name: &str| value.as_object_mut().and_then(|object| object.remove(name));
        let total_records = take(TOTAL_RECORDS).and_then(|n| n.as_u64());
        let mut number = |name: &str| {
            take(name)
                .and_then(|n| n.as_i64())
                .ok_or_else(|| serde::de::Error::custom(format!("field \"{name}\" is missing")))
        };
        let (snapshot_id, sequence_number) = (number(SNAPSHOT_ID)?, number(SEQUENCE_NUMBER)?);
        let positions = serde_json::from_value(value)?;
        Ok(RecordedPositions { positions, snapshot_id, sequence_number, total_records })
    }
}

/// The text of the table property [`KAFKA_POSITIONS`]: one vector, or a list of several.
///
/// # Errors
/// As [`to_json`].
pub fn print_recorded(vectors: &[RecordedPositions]) -> Result<String, serde_json::Error> {
    let mut values = vectors.iter().map(RecordedPositions::to_value).collect::<Result<Vec<_>, _>>()?;
    match (values.len(), values.pop()) {
        (1, Some(one)) => serde_json::to_string(&one),
        (_, last) => {
            values.extend(last);
            serde_json::to_string(&values)
        }
    }
}

/// Reads what [`print_recorded`] writes.
///
/// # Errors
/// Text of another shape.
pub fn parse_recorded(text: &str) -> Result<Vec<RecordedPositions>, serde_json::Error> {
    match serde_json::from_str(text)? {
        Value::Array(values) => values.into_iter().map(RecordedPositions::from_value).collect(),
        value => Ok(vec![RecordedPositions::from_value(value)?]),
    }
}
