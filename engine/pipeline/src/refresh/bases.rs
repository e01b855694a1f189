//! The snapshots of streaming and external tables that a table stands on, and whether the inputs of one step agree on them.
//!
//! Invariants
//! * Two inputs of one step stand on the same snapshot of every streaming table below both, or the step waits.
//! * What a table stands on is read from a snapshot of ours, below compactions by anybody; if it cannot be read, the
//!   step is refused: agreement is never assumed.
//!
//! Not here: recording it (`refresh`).

use std::collections::BTreeMap;

use ingot_lake::{LakeError, Table};
use ingot_model::TableName;

use crate::error::{PipelineError, Result};

/// Streaming tables with their uuid and snapshot.
pub type Bases = BTreeMap<TableName, (uuid::Uuid, i64)>;

/// What a view stood on when `to` was its head.
///
/// # Errors
/// R0313 when no snapshot of ours tells: another writer changed its rows since, or its history was cut; what it records
/// and does not parse.
pub(crate) fn of_view(name: &TableName, table: &Table, to: i64) -> Result<Bases> {
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
            && let Some(versions) = snapshot.bases()?
        {
            let bare = || unknown(name, format!("snapshot {id} names a table without its snapshot"));
            let each = versions.into_iter().map(|(of, (uuid, at))| Ok((of, (uuid, at.ok_or_else(bare)?))));
            return each.collect();
        }
        if !snapshot.operation.is_rewrite() {
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
pub(crate) fn last_with_rows(table: &Table, to: i64) -> Result<i64> {
    let mut at = to;
    while let Some(snapshot) = table.snapshot(at) {
        let moves_rows = snapshot.changes_files()? && !snapshot.operation.is_rewrite();
        match snapshot.parent.filter(|p| table.snapshot(*p).is_some()) {
            Some(parent) if !moves_rows => at = parent,
            _ => break,
        }
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;
    use ingot_lake::{Commit, Lake, LakeConfig, NewTable, Rebase, S3Config};
    use ingot_model::{Column, Definition, Operation};

    use ingot_model::property;

    use super::*;

    async fn view(lake: &Lake) -> Table {
        let column = Column { name: "id".into(), data_type: DataType::Int64, nullable: true, comment: None };
        let definition = Definition { columns: vec![column], ..Definition::default() };
        let name = TableName::new("silver", "v");
        lake.create_table(NewTable { name, definition, first_summary: None }).await.unwrap()
    }

    async fn committed(lake: &Lake, table: &Table, operation: Operation, base: Option<String>) -> Table {
        let named = base.map(|json| (property::BASE_SNAPSHOTS.to_owned(), json));
        let summary = named.into_iter().collect::<BTreeMap<_, _>>().into();
        let change = Commit { commit_id: uuid::Uuid::new_v4(), operation, summary, ..Commit::default() };
        lake.commit(table, change, &|_| Rebase::Retry).await.unwrap()
    }

    fn of(table: &Table) -> Result<Bases> {
        of_view(table.name(), table, table.head().unwrap())
    }

    #[tokio::test]
    async fn what_a_view_stands_on_is_found_below_compactions_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let warehouse = format!("file://{}", folder.path().display());
        let config = LakeConfig { catalog_name: "ingot".into(), catalog_uri: None, warehouse, s3: S3Config::default() };
        let lake = Lake::open(config).await.unwrap();
        let stream = TableName::new("bronze", "t");
        let uuid = uuid::Uuid::new_v4();
        let json = format!(r#"[{{"table":"{stream}","uuid":"{uuid}","snapshot-id":7}}]"#);

        let refreshed = committed(&lake, &view(&lake).await, Operation::Append, Some(json.clone())).await;
        let wanted = Bases::from([(stream.clone(), (uuid, 7))]);
        assert_eq!(of(&refreshed).unwrap(), wanted);
        let mut compacted = refreshed;
        for _ in 0..3 {
            compacted = committed(&lake, &compacted, Operation::Replace, None).await;
            assert_eq!(of(&compacted).unwrap(), wanted);
        }
        // Two inputs of which one was compacted still disagree about the stream.
        let mut base = Bases::from([(stream, (uuid, 8))]);
        let refused = join(&mut base, of(&compacted).unwrap()).unwrap_err();
        assert_eq!(refused.code(), "R0305");

        let changed = committed(&lake, &compacted, Operation::Append, None).await;
        assert_eq!(of(&changed).unwrap_err().code(), "R0313");
        let again = committed(&lake, &changed, Operation::Overwrite, Some(json)).await;
        assert_eq!(of(&again).unwrap(), wanted);
        let damaged = committed(&lake, &again, Operation::Overwrite, Some("[{]".into())).await;
        let message = of(&damaged).unwrap_err().to_string();
        assert!(message.contains("ingot.base-snapshots"), "{message}");
    }
}
