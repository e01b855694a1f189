//! Decides what a run would do now, from facts alone.
//!
//!   Project + Facts ──▶ plan() ──▶ Plan
//!
//! Invariants
//! * Pure: no clock, no I/O. Equal facts give an equal plan.
//! * A full recompute always carries its reason; "nothing" is said only when no input moved and no definition changed.
//!
//! Not here: reading the facts (`engine`), carrying out steps (`ingest`, `refresh`).

use std::collections::{BTreeMap, BTreeSet};

use datafusion::arrow::datatypes::DataType;
use ingot_delta::ENGINE_SEMANTICS_VERSION;
use ingot_dialect::ast::Policy;
use ingot_model::{Positions, TableName};

use crate::notes;
use crate::plan::{AGED, Action, MISFIT, MISSING, Plan, Read, Reason, Step, Upto};
use crate::refresh::decide::together;
use ingot_project::project::{Model, ModelKind, Project, StreamInput};

/// What a table's own last refresh recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshRecord {
    pub fingerprint: String,
    /// The version of SQL's meaning by which it was made.
    pub semantics: u32,
    /// Source table, its uuid, and the snapshot read; `None` for a table that had no snapshot.
    pub sources: BTreeMap<TableName, (String, Option<i64>)>,
}

/// A stored table as it is now.
#[derive(Debug, Clone, Default)]
pub struct TableFacts {
    pub uuid: String,
    pub head: Option<i64>,
    /// Another engine writes it: without a snapshot it is a table without rows.
    pub external: bool,
    pub snapshots: BTreeSet<i64>,
    /// The head, and those before it that hold the same rows in other files.
    pub same_rows: BTreeSet<i64>,
    pub recorded: Option<RefreshRecord>,
    /// A snapshot of another writer, other than compaction, stands above our last one.
    pub foreign: Option<String>,
    /// The stored columns are not those of the SQL file although the fingerprint is.
    pub columns_differ: bool,
    /// The definition would make a column anew, and stored rows would lose it.
    pub redefines: Option<Reason>,
    /// What its last refresh recorded does not parse.
    pub unreadable: Option<Reason>,
    /// Columns of a streaming table that its definition leaves out: their values are kept until they are pruned.
    pub left_out: Vec<String>,
    /// Some live file lacks the hidden state that a merge needs.
    pub state_missing: bool,
    /// Set when the view reads a clock that has moved since it was last computed: the reason that the plan prints.
    pub aged: Option<String>,
    /// The hidden columns that the table has: name and type.
    pub state_columns: Vec<(String, DataType)>,
    /// A column of a source that was dropped, made anew or changed its type since the recorded snapshot, by source.
    pub redefined_inputs: BTreeMap<TableName, String>,
}

/// What a streaming table would read of its source now.
#[derive(Debug, Clone)]
pub struct StreamFacts {
    /// The source's name.
    pub source: String,
    pub from: Positions,
    pub to: Positions,
}

/// What a plan is made from: what is stored, and what sources say.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub tables: BTreeMap<TableName, TableFacts>,
    pub streams: BTreeMap<TableName, Result<StreamFacts, Reason>>,
    /// Tables that cannot be worked with, and why.
    pub barred: BTreeMap<TableName, Reason>,
}

/// Plans every selected table, in graph order.
pub fn plan(project: &Project, facts: &Facts, selected: &dyn Fn(&TableName) -> bool) -> Plan {
    let mut steps: Vec<Step> = Vec::new();
    let mut working: BTreeSet<TableName> = BTreeSet::new();
    for name in &project.order {
        let Some(model) = project.tables.get(name) else { continue };
        if !selected(name) {
            continue;
        }
        let action = decide(model, facts, &working);
        if action.is_work() {
            working.insert(name.clone());
            // Error tables are filled by their main table's step.
            let side = |side: &&TableName| {
                project.tables.get(*side).is_some_and(|m| m.kind == ModelKind::DecodeErrors { of: name.clone() })
            };
            working.extend(model.sides.iter().filter(side).cloned());
        }
        if !matches!(model.kind, ModelKind::DecodeErrors { .. }) {
            steps.push(Step { table: name.clone(), action, with: None, notes: notes_on(model, facts) });
        }
    }
    share_reads(project, &mut steps);
    Plan { version: 1, steps }
}

/// Marks the side tables that are filled by the read of their main table.
fn share_reads(project: &Project, steps: &mut [Step]) {
    for at in 0..steps.len() {
        let Some((side, does)) = steps.get(at).and_then(|s| Some((project.tables.get(&s.table)?, &s.action))) else {
            continue;
        };
        let ModelKind::Quarantine { of } = &side.kind else { continue };
        let main = steps.iter().find(|s| s.table == *of).filter(|s| s.action.is_work() && does.is_work());
        let Some((main, main_does)) = main.and_then(|s| Some((project.tables.get(of)?, &s.action))) else { continue };
        let together = together(main, main_does, side, does);
        let Some(step) = steps.get_mut(at) else { continue };
        match together {
            Ok(()) => step.with = Some(of.clone()),
            Err(why) => step.notes.push(format!("read apart from {of}: {why}")),
        }
    }
}

/// What a user should know of a table beside what happens to it.
fn notes_on(model: &Model, facts: &Facts) -> Vec<String> {
    let table = facts.tables.get(&model.name);
    let recorded = table.and_then(|t| t.recorded.as_ref()).filter(|_| model.is_streaming());
    let earlier = recorded
        .filter(|r| r.semantics < ENGINE_SEMANTICS_VERSION && r.fingerprint != model.fingerprint)
        .map(|r| notes::earlier_rules(r.semantics));
    let left_out = table.map(|t| t.left_out.as_slice()).unwrap_or_default();
    let left_out = left_out.iter().map(|column| notes::left_out(&model.name, column));
    earlier.into_iter().chain(left_out).chain(model.kept.iter().map(notes::kept)).collect()
}

/// Decides one table; `working` are the tables that earlier steps change.
pub fn decide(model: &Model, facts: &Facts, working: &BTreeSet<TableName>) -> Action {
    if let Some(reason) = barred(model, facts) {
        return Action::Blocked { reason };
    }
    match &model.kind {
        ModelKind::DecodeErrors { .. } => Action::Nothing,
        ModelKind::Streaming { input: StreamInput::Source(_) } => ingest(model, facts),
        ModelKind::Streaming { input: StreamInput::Table(_) } => append(model, facts, working),
        ModelKind::View | ModelKind::Quarantine { .. } => view(model, facts, working),
    }
}

/// A streaming table whose stored rows would lose a column.
fn redefined(table: Option<&TableFacts>) -> Option<Action> {
    Some(Action::Blocked { reason: table?.redefines.clone()? })
}

fn ingest(model: &Model, facts: &Facts) -> Action {
    let table = facts.tables.get(&model.name);
    if let Some(blocked) = redefined(table) {
        return blocked;
    }
    match facts.streams.get(&model.name) {
        None => Action::Blocked { reason: Reason::new("S0105", "the broker was not asked") },
        Some(Err(reason)) => Action::Blocked { reason: reason.clone() },
        Some(Ok(stream)) => {
            let behind = stream.to.iter().any(|(p, to)| stream.from.get(p).is_none_or(|from| from < to));
            let changed = table.and_then(|t| t.recorded.as_ref()).is_some_and(|r| r.fingerprint != model.fingerprint);
            // Columns that another writer added or took are put right without waiting for a message.
            let changed = changed || table.is_some_and(|t| t.columns_differ);
            if table.is_some() && !behind && !changed {
                return Action::Nothing;
            }
            Action::Ingest {
                create: table.is_none(),
                source: stream.source.clone(),
                from: stream.from.clone(),
                to: stream.to.clone(),
            }
        }
    }
}

/// The reads of a model from what it recorded to what is there, and whether any of them moved.
fn reads(model: &Model, facts: &Facts, working: &BTreeSet<TableName>, from_start: bool) -> (Vec<Read>, bool) {
    let own = facts.tables.get(&model.name);
    let recorded = own.and_then(|t| t.recorded.as_ref());
    let redefined = |input| own.is_some_and(|t| t.redefined_inputs.contains_key(input));
    let mut moved = false;
    let reads = model
        .inputs
        .iter()
        .map(|input| {
            let from = if from_start {
                None
            } else {
                recorded.and_then(|r| r.sources.get(input)).and_then(|(_, snapshot)| *snapshot)
            };
            let to = if working.contains(input) {
                Upto::Step
            } else {
                Upto::Snapshot(facts.tables.get(input).and_then(|t| t.head))
            };
            // What was only rewritten is read as it was, unless a column's values went with its definition.
            let same = |from| facts.tables.get(input).is_some_and(|t| t.same_rows.contains(&from));
            let is_read = from.is_some_and(same) && !redefined(input);
            moved |= to == Upto::Step || to != Upto::Snapshot(from) && !is_read;
            Read { table: input.clone(), from, to }
        })
        .collect();
    (reads, moved)
}

/// Why a table cannot be worked on: it cannot be read itself, or what it needs cannot.
fn barred(model: &Model, facts: &Facts) -> Option<Reason> {
    let own = facts.barred.get(&model.name).or_else(|| facts.tables.get(&model.name)?.unreadable.as_ref());
    if let Some(reason) = own {
        return Some(reason.clone());
    }
    // An error table takes part in its main table's commits; a quarantine has steps of its own.
    let sides: &[TableName] = if model.source().is_some() { &model.sides } else { &[] };
    let mut needed = model.inputs.iter().map(|name| ("reads", name)).chain(sides.iter().map(|name| ("writes", name)));
    let (verb, name, why) = needed.find_map(|(verb, name)| Some((verb, name, facts.barred.get(name)?)))?;
    // Nothing here works on an external table, so that its readers are the only ones to say what is wrong with it.
    if [MISSING, MISFIT].contains(&why.code.as_str()) {
        return Some(why.clone());
    }
    let mut reason = Reason::new("R0321", format!("it {verb} \"{name}\", and {why}"));
    reason.hint.clone_from(&why.hint);
    Some(reason)
}

/// An input that neither exists nor is made by an earlier step.
fn missing_input(model: &Model, facts: &Facts, working: &BTreeSet<TableName>) -> Option<Action> {
    let name = model
        .inputs
        .iter()
        .find(|i| !working.contains(*i) && facts.tables.get(*i).is_none_or(|t| t.head.is_none() && !t.external))?;
    Some(Action::Blocked { reason: Reason::new("R0303", format!("it reads \"{name}\", which does not exist yet")) })
}

fn view(model: &Model, facts: &Facts, working: &BTreeSet<TableName>) -> Action {
    if let Some(blocked) = missing_input(model, facts, working) {
        return blocked;
    }
    let (all, _) = reads(model, facts, working, true);
    let Some(table) = facts.tables.get(&model.name) else {
        return Action::Create { reads: all };
    };
    let Some(recorded) = &table.recorded else {
        let reason = Reason::new("R0531", "no snapshot of this table was written by ingot");
        return Action::Rebuild { reason, reads: all };
    };
    if recorded.fingerprint != model.fingerprint {
        let reason = match recorded.semantics {
            ENGINE_SEMANTICS_VERSION => Reason::new("R0532", "the definition changed"),
            other => Reason::new(
                "R0550",
                format!(
                    "its rows were made by version {other} of SQL's meaning, and this is {ENGINE_SEMANTICS_VERSION}"
                ),
            ),
        };
        return Action::Rebuild { reason, reads: all };
    }
    if let Some(operation) = &table.foreign {
        let reason = Reason::new("R0531", format!("another writer committed \"{operation}\" to this table"));
        return Action::Recompute { reason, reads: all };
    }
    if table.columns_differ {
        let reason = Reason::new("R0531", "another writer changed the columns of this table");
        return Action::Recompute { reason, reads: all };
    }
    // A policy that changed, or a later version that maintains what an earlier one recomputed, leaves files without the
    // state that the merge reads.
    if is_incremental(model) && !has_state(table, model) {
        let reason = Reason::new("R0549", "its stored state is not what its way of refreshing needs");
        return Action::Rebuild { reason, reads: all };
    }
    let (since, moved) = reads(model, facts, working, false);
    if !moved {
        return match &table.aged {
            Some(text) => Action::Recompute { reason: Reason::new(AGED, text.clone()), reads: all },
            None => Action::Nothing,
        };
    }
    if let Some(reason) = must_recompute(model, facts, table, recorded, &since) {
        // It promises never to be computed anew by itself: whoever does it says so.
        if model.policy == Policy::IncrementalStrict && reason.code == "R0534" {
            let hint =
                format!("REFRESH POLICY INCREMENTAL STRICT: ingot refresh {} --full computes it anew", model.name);
            return Action::Blocked { reason: Reason { hint: Some(hint), ..reason } };
        }
        return Action::Recompute { reason, reads: all };
    }
    match model.strategy.incremental() {
        Err(reason) => Action::Recompute { reason: Reason::new(reason.code, reason.to_string()), reads: all },
        Ok(_) if model.policy == Policy::Full => {
            Action::Recompute { reason: Reason::new("R0537", "REFRESH POLICY FULL"), reads: all }
        }
        Ok(how) => Action::Refresh { how, reads: since },
    }
}

fn is_incremental(model: &Model) -> bool {
    model.policy != Policy::Full && model.strategy.incremental().is_ok()
}

/// Whether the table has exactly the hidden columns that the model's strategy keeps.
fn has_state(table: &TableFacts, model: &Model) -> bool {
    let (stored, needed) = (&table.state_columns, &model.definition.state_columns);
    stored.len() == needed.len() && stored.iter().zip(needed).all(|(s, n)| s.0 == n.0 && s.1.equals_datatype(&n.1))
}

fn must_recompute(
    model: &Model,
    facts: &Facts,
    table: &TableFacts,
    recorded: &RefreshRecord,
    since: &[Read],
) -> Option<Reason> {
    for read in since {
        let source = facts.tables.get(&read.table);
        let uuid = recorded.sources.get(&read.table).map(|(uuid, _)| uuid.as_str());
        match (source, uuid) {
            (Some(s), Some(uuid)) if !uuid.is_empty() && s.uuid != uuid => {
                return Some(Reason::new("R0533", format!("source \"{}\" was recreated", read.table)));
            }
            (Some(s), _) => {
                if let Some(from) = read.from {
                    if !s.snapshots.contains(&from) {
                        let text = format!("snapshot {from} of source \"{}\" is gone", read.table);
                        return Some(Reason::new("R0534", text));
                    }
                    if let Some(column) = table.redefined_inputs.get(&read.table) {
                        let text = format!("column \"{column}\" of \"{}\" was redefined", read.table);
                        return Some(Reason::new("R0545", text));
                    }
                }
            }
            (None, Some(uuid)) if !uuid.is_empty() => {
                let text = format!("source \"{}\" was dropped and is made again", read.table);
                return Some(Reason::new("R0533", text));
            }
            (None, _) => {}
        }
    }
    lacks_state(table, model)
        .then(|| Reason::new("R0536", "another engine rewrote files of this table without their state"))
}

/// Whether files that another engine wrote, a compaction's too, lack what a merge by keys reads.
fn lacks_state(table: &TableFacts, model: &Model) -> bool {
    table.state_missing && model.strategy.merges_by_key()
}

/// Whether a merge that was planned may still be made: everything that would have planned a recomputation instead.
pub(crate) fn may_merge(table: &TableFacts, model: &Model) -> bool {
    table.recorded.as_ref().is_some_and(|r| r.fingerprint == model.fingerprint)
        && table.foreign.is_none()
        && !table.columns_differ
        && has_state(table, model)
        && !lacks_state(table, model)
}

fn append(model: &Model, facts: &Facts, working: &BTreeSet<TableName>) -> Action {
    if let Some(blocked) = missing_input(model, facts, working) {
        return blocked;
    }
    let table = facts.tables.get(&model.name);
    if let Some(blocked) = redefined(table) {
        return blocked;
    }
    if table.is_some_and(|t| t.head.is_some() && t.recorded.is_none()) {
        let text = format!(
            "no snapshot that is left of it tells how far it has read; ingot refresh {} --full reads its source again",
            model.name
        );
        return Action::Blocked { reason: Reason::new("R0534", text) };
    }
    let (since, moved) = reads(model, facts, working, false);
    let changed = table.and_then(|t| t.recorded.as_ref()).is_some_and(|r| r.fingerprint != model.fingerprint);
    if table.is_some() && !moved && !changed {
        return Action::Nothing;
    }
    if let Some(recorded) = table.and_then(|t| t.recorded.as_ref()) {
        for read in &since {
            let source = facts.tables.get(&read.table);
            let uuid = recorded.sources.get(&read.table).map(|(uuid, _)| uuid.as_str());
            // A source that was dropped is made again by an earlier step, with another id.
            let gone = read.from.is_some_and(|from| source.is_none_or(|s| !s.snapshots.contains(&from)));
            if gone || uuid.is_some_and(|u| !u.is_empty() && source.is_none_or(|s| s.uuid != u)) {
                let text = format!(
                    "where it stood in \"{}\" is gone; ingot refresh {} --full reads it again",
                    read.table, model.name
                );
                return Action::Blocked { reason: Reason::new("R0534", text) };
            }
        }
    }
    Action::Append { create: table.is_none(), reads: since }
}

#[cfg(test)]
#[path = "planner_tests.rs"]
mod tests;
