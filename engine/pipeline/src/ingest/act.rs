//! Carries out what was decided of a streaming table and its error table: each function is one commit.
//!
//! Invariants
//! * The SQL file is the definition: columns that others added go, columns that they renamed or dropped come back with
//!   their values, in a snapshot of its own that moves no position.
//! * Rows and the positions behind them are one commit, and it is made only where the table stands as it was decided for.
//!
//! Not here: what is to be done (`decide`), what a commit asserts (`ingot_lake::commit`).

use std::collections::BTreeMap;

use datafusion::prelude::SessionContext;
use ingot_delta::ENGINE_SEMANTICS_VERSION;
use ingot_lake::{Commit, DataFile, Lake, NewTable, Rebase, Table};
use ingot_model::{Count, Definition, FlowPositions, Operation, Positions, Record, Refresh, table_properties};
use ingot_project::project::Model;
use tracing::{info, warn};

use crate::error::{PipelineError, Result};
use crate::ingest::decide::{self, ErrorTablePosition};
use crate::ingest::{facts, rewind};
use crate::notes;
use crate::refresh::expectations::Counts;

/// The mode of the snapshot from which a table was read again.
const AGAIN: &str = "full";

/// The error for a table that was dropped while it was being written. Creating it again could undo a deliberate DROP.
pub(crate) fn dropped(model: &Model) -> PipelineError {
    PipelineError::stopped("L0108", format!("table \"{}\" was dropped while it was fed", model.name)).with_hint(
        "start `ingot run` again: it makes the table anew and reads its source from the start that its SQL file says",
    )
}

/// The error for a definition that would make a column of a streaming table anew.
pub fn redefined(model: &Model, stored: &Table, column: &str) -> PipelineError {
    let types = stored.known_types().ok();
    let (text, hint) = notes::redefined(&model.name, column, types.as_ref().and_then(|types| types.get(column)));
    PipelineError::stopped("R0310", text).with_hint(hint)
}

/// The record of a commit that moves positions or the definition and brings no rows.
fn without_rows(mode: &str, reason: Option<&str>, fingerprint: &str, positions: &FlowPositions) -> Result<Record> {
    let counts = Counts::new();
    let refresh = Refresh {
        mode,
        reason,
        rows_in: 0,
        rows_out: 0,
        ms: 0,
        fingerprint,
        semantics: ENGINE_SEMANTICS_VERSION,
        counts: &counts,
        now: None,
    };
    let mut record = Record::of(&refresh)?;
    record.set_positions(Some(positions))?;
    Ok(record)
}

fn commit(summary: Record) -> Commit {
    Commit { commit_id: uuid::Uuid::now_v7(), operation: Operation::Append, summary, ..Commit::default() }
}

/// The table of a model, made with its starting positions if it does not exist.
pub(crate) async fn ensure(lake: &Lake, model: &Model, positions: &FlowPositions) -> Result<Table> {
    if let Some(table) = lake.load_table(&model.name).await? {
        return Ok(table);
    }
    let first = without_rows("create", None, &model.fingerprint, &positions.at_rest())?;
    let new = NewTable { name: model.name.clone(), definition: model.definition.clone(), first_summary: Some(first) };
    lake.create_table(new).await.map_err(PipelineError::creating)
}

/// A changed definition of a streaming table applies from its position on, in a snapshot of its own. A table that was
/// renamed from another name gets one in any case, since the positions are recorded under a new name.
pub(crate) async fn apply_definition(
    lake: &Lake,
    model: &Model,
    table: Table,
    positions: &FlowPositions,
    renamed_from: Option<&str>,
) -> Result<Table> {
    if let Some(was) = renamed_from {
        info!(table = %model.name, was, "the table was renamed: it reads on from the position of its old name");
    }
    let differs = table.layout_differs(&model.definition)?;
    let recorded = facts::fingerprint(&table);
    let reason = decide::redefinition(recorded.as_deref(), &model.fingerprint, differs, renamed_from.is_some());
    let Some(reason) = reason else { return Ok(table) };
    info!(table = %model.name, reason, "the SQL file's definition applies from the recorded position on");
    let summary = without_rows("append", Some(reason), &model.fingerprint, &positions.at_rest())?;
    redefine(lake, model, table, summary).await
}

async fn redefine(lake: &Lake, model: &Model, table: Table, summary: Record) -> Result<Table> {
    if let Some(column) = table.redefined_by(&model.definition)? {
        return Err(redefined(model, &table, &column));
    }
    let commit = Commit { definition: Some(model.definition.clone()), ..commit(summary) };
    let guard = over_rewrites(&table, "its definition is being changed elsewhere");
    lake.commit(&table, commit, &guard).await.map_err(|e| PipelineError::commit(&model.name, e))
}

/// An error table that is open for writing, and the positions up to which it holds errors.
pub(crate) type OpenErrorTable = (Table, Positions);

/// The error table of a streaming table whose recorded positions are `committed`. It is created if it is missing;
/// otherwise the current version is opened, whoever changed it since.
pub(crate) async fn error_table(
    ctx: &SessionContext,
    lake: &Lake,
    model: &Model,
    side: &Model,
    committed: &FlowPositions,
) -> Result<OpenErrorTable> {
    let mut table = ensure(lake, side, committed).await?;
    let stored = facts::stored(model, &committed.source, &table);
    if table.layout_differs(&side.definition)? {
        info!(table = %side.name, "another writer changed the definition of this error table: it is put back");
        // Without a position of its own, the next step records one.
        let reason = Some("another writer changed the definition");
        let mut summary = without_rows("append", reason, &model.fingerprint, committed)?;
        let own = stored.own.as_ref().ok().and_then(Option::as_ref);
        summary.set_positions(own.map(FlowPositions::at_rest).as_ref())?;
        table = redefine(lake, side, table, summary).await?;
    }
    match decide::error_table(&model.name, &stored, committed)? {
        ErrorTablePosition::Own { positions, lacks_errors } => {
            if lacks_errors {
                warn!(table = %side.name, "another writer took this error table back to an older state: errors that its main table counts are missing (`ingot verify` says how many)");
            }
            Ok((table, positions.ends()))
        }
        ErrorTablePosition::GivenUp => {
            warn!(table = %side.name, "error rows of a log that \"{}\" has given up are deleted", model.name);
            let start = committed.at_rest();
            Ok((empty(lake, model, &table, &start, None).await?, start.ends()))
        }
        ErrorTablePosition::MainTables => {
            warn!(table = %side.name, "this error table records no position: it takes its main table's, and rows past that are judged again");
            let at = committed.ends();
            let table = rewind::delete_from(ctx, lake, &table, &at, &committed.at_rest(), model).await?;
            Ok((table, at))
        }
    }
}

/// Goes on over other files with the same rows, and gives way to anything else.
fn over_rewrites(base: &Table, otherwise: &'static str) -> impl Fn(&Table) -> Rebase + Send + Sync {
    let base = base.clone();
    move |now| match now.is_rewrite_of(&base) {
        true => Rebase::Retry,
        false => Rebase::Abandon(otherwise.into()),
    }
}

/// Takes all rows out and records positions.
///
/// # Errors
/// Lake errors; `Superseded` when another writer was first.
pub(crate) async fn empty(
    lake: &Lake,
    model: &Model,
    table: &Table,
    positions: &FlowPositions,
    definition: Option<Definition>,
) -> Result<Table> {
    let summary = without_rows(AGAIN, Some("asked for with --full"), &model.fingerprint, positions)?;
    let head = table.head().and_then(|id| table.snapshot(id));
    let holds_none = head.is_none_or(|s| s.count(Count::TotalDataFiles).is_ok_and(|n| n.is_none_or(|n| n == 0)));
    let commit = Commit {
        operation: if holds_none { Operation::Append } else { Operation::Delete },
        remove_all: !holds_none,
        definition,
        begins: true,
        // What was erased is counted from here on.
        set_properties: BTreeMap::from([table_properties::erased(0)]),
        ..commit(summary)
    };
    let guard = over_rewrites(table, "it is being written to");
    lake.commit(table, commit, &guard).await.map_err(|e| PipelineError::commit(table.name(), e))
}

/// Records positions past what was lost; the rows stay.
///
/// # Errors
/// Lake errors; `Superseded` when another writer was first.
pub(crate) async fn move_past(
    lake: &Lake,
    model: &Model,
    table: &Table,
    positions: &FlowPositions,
    reason: &str,
) -> Result<()> {
    // The definition comes with its fingerprint: one without the other would pass for applied.
    if let Some(column) = table.redefined_by(&model.definition)? {
        return Err(redefined(model, table, &column));
    }
    let summary = without_rows("append", Some(reason), &model.fingerprint, positions)?;
    let commit = Commit { definition: Some(model.definition.clone()), ..commit(summary) };
    let guard = over_rewrites(table, "it is being written to");
    lake.commit(table, commit, &guard).await.map_err(|e| PipelineError::commit(table.name(), e))?;
    Ok(())
}

/// Rows to be appended with the positions behind them.
pub(crate) struct Append<'a> {
    pub(crate) table: &'a Table,
    pub(crate) files: Vec<DataFile>,
    /// All partitions; those whose range is not empty moved.
    pub(crate) positions: &'a FlowPositions,
    /// Where the table must stand, if another writer was there meanwhile.
    pub(crate) expected: Positions,
    pub(crate) refresh: Refresh<'a>,
}

/// One append; on a conflict it goes on only if the table still stands where it is expected.
///
/// # Errors
/// Lake errors; `Superseded` when another writer moved it.
pub(crate) async fn append(lake: &Lake, model: &Model, rows: Append<'_>) -> Result<Table> {
    let Append { table, files, positions, expected, refresh } = rows;
    // The partitions that moved; the commit makes it a full vector every so often.
    let mut shown = positions.clone();
    shown.full = false;
    shown.partitions.retain(|_, r| r.from != r.to);
    let mut summary = Record::of(&refresh)?;
    summary.set_positions(Some(&shown))?;
    let commit = Commit { add: files, ..commit(summary) };
    let flow = facts::key(model, &positions.source);
    let definition = |t: &Table| (t.metadata().current_schema_id(), facts::fingerprint(t));
    let planned = definition(table);
    let guard = move |now: &Table| -> Rebase {
        if definition(now) != planned {
            return Rebase::Abandon("its definition changed".into());
        }
        match decide::may_append(facts::place(now, &flow), &expected) {
            Ok(()) => Rebase::Retry,
            Err(reason) => Rebase::Abandon(reason),
        }
    };
    lake.commit(table, commit, &guard).await.map_err(|e| PipelineError::commit(table.name(), e))
}
