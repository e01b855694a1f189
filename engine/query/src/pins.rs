//! The snapshots a statement reads, as a value that travels in its ticket.
//!
//! Invariant: equal pins give equal rows, on any server over the same catalog.

use std::collections::BTreeMap;

use ingot_model::TableName;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One table's snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The table's own id: a table recreated under the same name is another table.
    pub uuid: Uuid,
    /// `None`: the table had no snapshot, so it has no rows.
    pub snapshot: Option<i64>,
}

/// The snapshot of every table a statement reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<PinRow>", try_from = "Vec<PinRow>")]
pub struct Pins(pub BTreeMap<TableName, Pin>);

/// Namespace, table, table uuid, snapshot.
#[derive(Serialize, Deserialize)]
struct PinRow(String, String, String, Option<i64>);

impl From<Pins> for Vec<PinRow> {
    fn from(pins: Pins) -> Self {
        pins.0
            .into_iter()
            .map(|(n, p)| PinRow(n.namespace.to_string(), n.name, p.uuid.to_string(), p.snapshot))
            .collect()
    }
}

impl TryFrom<Vec<PinRow>> for Pins {
    type Error = uuid::Error;

    fn try_from(rows: Vec<PinRow>) -> Result<Self, uuid::Error> {
        rows.into_iter()
            .map(|PinRow(namespace, name, uuid, snapshot)| {
                Ok((TableName::new(namespace, name), Pin { uuid: Uuid::parse_str(&uuid)?, snapshot }))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}
