//! How far a flow has read a log, and what became of what it read.
//!
//! Not here: finding a position in a table's history (`ingot-lake`), whether the log still has it (`ingot-source`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

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
const TOTAL: &str = "total-records";

impl RecordedPositions {
    fn to_value(&self) -> Result<Value, serde_json::Error> {
        let mut value = serde_json::to_value(&self.positions)?;
        if let Value::Object(object) = &mut value {
            object.insert(SNAPSHOT_ID.into(), self.snapshot_id.into());
            object.insert(SEQUENCE_NUMBER.into(), self.sequence_number.into());
            if let Some(total) = self.total_records {
                object.insert(TOTAL.into(), total.into());
            }
        }
        Ok(value)
    }

    fn from_value(mut value: Value) -> Result<Self, serde_json::Error> {
        // Not serde's flatten: it loses the integer keys of `partitions`.
        let mut take = |name: &str| value.as_object_mut().and_then(|object| object.remove(name));
        let total_records = take(TOTAL).and_then(|n| n.as_u64());
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

/// The text of the table property: one vector, or a list of several.
pub(crate) fn print_recorded(vectors: &[RecordedPositions]) -> Result<String, serde_json::Error> {
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
pub(crate) fn parse_recorded(text: &str) -> Result<Vec<RecordedPositions>, serde_json::Error> {
    match serde_json::from_str(text)? {
        Value::Array(values) => values.into_iter().map(RecordedPositions::from_value).collect(),
        value => Ok(vec![RecordedPositions::from_value(value)?]),
    }
}
