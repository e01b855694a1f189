//! How far a flow has read a source, and what became of what it read.
//!
//! A source's position is a place in each of its partitions. What a place is, only its connector knows; here places have
//! an order, and that is all.
//!
//! Not here: finding a position in a table's history (`ingot-lake`), whether the source still has it (`ingot-source`).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A partition of a source, as text: the number of a topic's partition, a path, a slot's name.
///
/// Numbers come first and are ordered as numbers, so that `10` comes after `9`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partition(String);

impl Partition {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its number, if its text is exactly how that number is written.
    fn number(&self) -> Option<u64> {
        let is_canonical = self.0 == "0" || self.0.starts_with(|first| ('1'..='9').contains(&first));
        is_canonical.then(|| self.0.parse().ok()).flatten()
    }
}

impl Ord for Partition {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.number(), other.number()) {
            (Some(one), Some(two)) => one.cmp(&two),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => self.0.cmp(&other.0),
        }
    }
}

impl PartialOrd for Partition {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<i32> for Partition {
    fn from(number: i32) -> Self {
        Partition(number.to_string())
    }
}

impl From<&str> for Partition {
    fn from(text: &str) -> Self {
        Partition(text.to_owned())
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in a partition: everything before it has been read. All places of one partition are of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Position {
    /// A count, such as an offset.
    Number(i64),
    /// Anything else whose places are ordered as texts, such as the names of files.
    Text(String),
}

impl Position {
    /// How many places lie between this one and a later one, 0 if it is not later; none where they cannot be counted.
    pub fn until(&self, later: &Position) -> Option<i64> {
        match (self, later) {
            (Position::Number(from), Position::Number(to)) => Some(to.saturating_sub(*from).max(0)),
            _ => None,
        }
    }
}

impl Default for Position {
    fn default() -> Self {
        Position::Number(0)
    }
}

impl From<i64> for Position {
    fn from(number: i64) -> Self {
        Position::Number(number)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::Number(number) => write!(f, "{number}"),
            Position::Text(text) => f.write_str(text),
        }
    }
}

/// A place in each partition: where reading goes on, or where it ends.
pub type Positions = BTreeMap<Partition, Position>;

/// Which source this is. The names under which it is recorded are those of the first connector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceIdentity {
    /// Where it is: the id of a cluster. Empty where that is not told.
    #[serde(rename = "cluster")]
    pub system: String,
    /// Its name there, for people: a topic's name.
    #[serde(rename = "topic")]
    pub name: String,
    /// What a source made anew under the same name does not share: a topic's id. Empty where that is not told.
    #[serde(rename = "topic-id")]
    pub incarnation: String,
}

impl SourceIdentity {
    /// Whether positions in one are positions in the other.
    pub fn is_same_log(&self, other: &SourceIdentity) -> bool {
        self.system == other.system && self.incarnation == other.incarnation
    }
}

/// The range of one partition that a snapshot holds, with counts since the table began.
///
/// `delivered = main + errors + filtered + dropped` once everything of the range is decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PartitionRange {
    /// Where the range begins.
    pub from: Position,
    /// Where it ends, and where to read on.
    pub to: Position,
    /// What the connector knows of `to` beside its order, by name: the leader epoch of a topic's partition.
    #[serde(flatten)]
    pub facts: BTreeMap<String, Value>,
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

impl PartitionRange {
    /// An empty range at a place.
    pub fn at(place: impl Into<Position>) -> Self {
        let place = place.into();
        PartitionRange { from: place.clone(), to: place, ..PartitionRange::default() }
    }
}

/// Positions of one flow in one source.
///
/// ```
/// use ingot_model::{FlowPositions, Partition, PartitionRange, Position, Positions, SourceIdentity};
///
/// let source = SourceIdentity { name: "trips".into(), ..SourceIdentity::default() };
/// let start = Positions::from([(Partition::from(0), Position::from(5))]);
/// let mut read = FlowPositions::starting("bronze.trips", source, &start);
/// assert_eq!(read.ends(), start);
///
/// // Messages 5, 6 and 7 were read: the next range begins at 8.
/// let range = PartitionRange { to: Position::from(8), delivered: 3, main: 3, ..PartitionRange::at(5) };
/// read.partitions.insert(Partition::from(0), range);
/// assert_eq!(read.ends(), Positions::from([(Partition::from(0), Position::from(8))]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FlowPositions {
    /// Version of this shape: 1.
    pub v: u32,
    /// Whether every partition is listed, or only those that moved.
    pub full: bool,
    /// The flow: which statement reads.
    pub flow: String,
    /// What it reads.
    #[serde(flatten)]
    pub source: SourceIdentity,
    /// Ranges by partition.
    pub partitions: BTreeMap<Partition, PartitionRange>,
}

impl FlowPositions {
    /// All partitions of a source, read from these places on.
    pub fn starting(flow: impl fmt::Display, source: SourceIdentity, from: &Positions) -> Self {
        let partitions = from.iter().map(|(p, place)| (p.clone(), PartitionRange::at(place.clone()))).collect();
        FlowPositions { v: 1, full: true, flow: flow.to_string(), source, partitions }
    }

    /// Where each partition is to be read on.
    pub fn ends(&self) -> Positions {
        self.partitions.iter().map(|(p, range)| (p.clone(), range.to.clone())).collect()
    }

    /// The same places, without a range of their own.
    pub fn at_rest(&self) -> Self {
        let mut rest = self.clone();
        for range in rest.partitions.values_mut() {
            range.from = range.to.clone();
        }
        rest
    }

    /// Messages that became rows of the error table since the table began.
    pub fn errors(&self) -> u64 {
        self.partitions.values().map(|range| range.errors).sum()
    }
}

/// A full vector as the table property holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedPositions {
    /// The vector.
    pub positions: FlowPositions,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_that_are_numbers_are_ordered_as_numbers_and_come_first() {
        let mut some: Vec<Partition> = ["b", "10", "", "01", "9", "+1", "0", "a"].map(Partition::from).into();
        some.sort();
        assert_eq!(some, ["0", "9", "10", "", "+1", "01", "a", "b"].map(Partition::from));
    }

    #[test]
    fn what_a_connector_adds_to_a_place_is_kept() {
        let text = r#"{"v":1,"full":true,"flow":"bronze.t","cluster":"c","topic":"t","topic-id":"i","partitions":{"9":{"from":1,"to":2,"epoch":3,"delivered":1,"main":1,"errors":0,"filtered":0,"dropped":0},"10":{"from":"a","to":"b","delivered":0,"main":0,"errors":0,"filtered":0,"dropped":0}}}"#;
        let read: FlowPositions = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        let range = &read.partitions[&Partition::from(9)];
        assert_eq!((range.from.until(&range.to), &range.facts["epoch"]), (Some(1), &Value::from(3)));
        assert_eq!(read.ends()[&Partition::from(10)], Position::Text("b".into()));
        let recorded = RecordedPositions { positions: read, snapshot_id: 5, sequence_number: 6, total_records: None };
        let printed = print_recorded(std::slice::from_ref(&recorded)).unwrap();
        assert_eq!(parse_recorded(&printed).unwrap(), [recorded]);
    }
}
