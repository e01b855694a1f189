//! The snapshots of streaming tables that a table stands on, and whether the inputs of one step agree on them.
//!
//! Invariants
//! * Two inputs of one step stand on the same snapshot of every streaming table below both, or the step waits.
//! * What a table stands on is read from a snapshot of ours, below compactions by anybody; if it cannot be read, the
//!   step is refused: agreement is never assumed.
//!
//! Not here: recording it (`refresh`).

use std::collections::BTreeMap;

use ingot_lake::summary::{self, SourceRef};
use ingot_lake::{SnapshotInfo, Table, TableName};

use crate::error::{PipelineError, Result};

/// Streaming tables with their uuid and snapshot.
pub type Bases = BTreeMap<TableName, (uuid::Uuid, i64)>;

/// What a view stood on when `to` was its head.
///
/// # Errors
/// R0313 when no snapshot of ours tells: another writer changed its rows since, or its history was cut.
pub fn of_view(name: &TableName, table: &Table, to: i64) -> Result<Bases> {
    let mut at = Some(to);
    while let Some(id) = at {
        let Some(snapshot) = table.snapshot(id) else {
            return Err(unknown(name, format!("snapshot {id}, which would tell, is gone")));
        };
        if snapshot.is_ours()
            && let Some(json) = snapshot.summary.get(summary::BASE_SNAPSHOTS)
        {
            return parsed(name, &snapshot, json);
        }
        if snapshot.operation != "replace" {
            return Err(unknown(name, format!("another writer committed \"{}\" ({id})", snapshot.operation)));
        }
        at = snapshot.parent;
    }
    Err(unknown(name, "no snapshot of it tells".to_owned()))
}

fn parsed(name: &TableName, snapshot: &SnapshotInfo, json: &str) -> Result<Bases> {
    let bad =
        || unknown(name, format!("property {} of snapshot {} cannot be read", summary::BASE_SNAPSHOTS, snapshot.id));
    let refs: Vec<SourceRef> = serde_json::from_str(json).map_err(|_| bad())?;
    refs.into_iter()
        .map(|r| Ok((r.table.parse().map_err(|_| bad())?, (r.uuid, r.snapshot_id.ok_or_else(bad)?))))
        .collect()
}

fn unknown(name: &TableName, why: String) -> PipelineError {
    PipelineError::Stopped {
        code: "R0313",
        message: format!("it is not known which streaming snapshots \"{name}\" stands on: {why}"),
        hint: Some(format!("ingot refresh {name} --full records it again")),
        retryable: true,
    }
}

/// Adds what one more input stands on.
///
/// # Errors
/// R0305 when it disagrees with what is there.
pub fn join(base: &mut Bases, more: Bases) -> Result<()> {
    for (table, snapshot) in more {
        match base.get(&table) {
            Some(other) if *other != snapshot => {
                return Err(PipelineError::Stopped {
                    code: "R0305",
                    message: format!(
                        "inputs stand on different snapshots of \"{table}\" ({} and {}): waiting until they agree",
                        other.1, snapshot.1
                    ),
                    hint: None,
                    retryable: true,
                });
            }
            _ => {
                base.insert(table, snapshot);
            }
        }
    }
    Ok(())
}

/// The newest snapshot at or below `to` that changed rows: positions alone move nothing that a view could see.
pub fn last_with_rows(table: &Table, to: i64) -> i64 {
    let mut at = to;
    while let Some(snapshot) = table.snapshot(at) {
        let count = |key: &str| snapshot.summary.get(key).and_then(|v| v.parse::<u64>().ok()).unwrap_or(0);
        let files = count("added-data-files") + count("deleted-data-files") + count("added-delete-files");
        match snapshot.parent.filter(|p| table.snapshot(*p).is_some()) {
            Some(parent) if files == 0 || snapshot.operation == "replace" => at = parent,
            _ => break,
        }
    }
    at
}
