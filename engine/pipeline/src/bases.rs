//! The snapshots of streaming tables that a table stands on, and whether the inputs of one step agree on them.
//!
//! Invariants
//! * Two inputs of one step stand on the same snapshot of every streaming table below both, or the step waits.
//! * What a table stands on is read from a snapshot of ours, below compactions by anybody; if it cannot be read, the
//!   step is refused: agreement is never assumed.
//!
//! Not here: recording it (`refresh`).

use std::collections::BTreeMap;

use ingot_lake::{LakeError, Table, TableName, record};

use crate::error::{PipelineError, Result};

/// Streaming tables with their uuid and snapshot.
pub type Bases = BTreeMap<TableName, (uuid::Uuid, i64)>;

/// What a view stood on when `to` was its head.
///
/// # Errors
/// R0313 when no snapshot of ours tells: another writer changed its rows since, or its history was cut; what it records
/// and does not parse.
pub fn of_view(name: &TableName, table: &Table, to: i64) -> Result<Bases> {
    let mut at = Some(to);
    while let Some(id) = at {
        let Some(snapshot) = table.snapshot(id) else {
            if id == to {
                // Another writer expired or dropped it since it was pinned: planning again is right.
                return Err(LakeError::SnapshotGone { table: name.clone(), snapshot: id }.into());
            }
            return Err(unknown(name, format!("snapshot {id}, which would tell, is gone")));
        };
        if snapshot.is_ours()
            && let Some(versions) = record::bases(table, &snapshot)?
        {
            let bare = || unknown(name, format!("snapshot {id} names a table without its snapshot"));
            let each = versions.into_iter().map(|(of, (uuid, at))| Ok((of, (uuid, at.ok_or_else(bare)?))));
            return each.collect();
        }
        if snapshot.operation != "replace" {
            return Err(unknown(name, format!("another writer committed \"{}\" ({id})", snapshot.operation)));
        }
        at = snapshot.parent;
    }
    Err(unknown(name, "no snapshot of it tells".to_owned()))
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
///
/// # Errors
/// Counts that do not parse.
pub fn last_with_rows(table: &Table, to: i64) -> Result<i64> {
    let mut at = to;
    while let Some(snapshot) = table.snapshot(at) {
        let mut files = 0;
        for name in ["added-data-files", "deleted-data-files", "added-delete-files"] {
            files += record::count(table, &snapshot, name)?.unwrap_or(0);
        }
        match snapshot.parent.filter(|p| table.snapshot(*p).is_some()) {
            Some(parent) if files == 0 || snapshot.operation == "replace" => at = parent,
            _ => break,
        }
    }
    Ok(at)
}
