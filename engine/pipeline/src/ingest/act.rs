//! Where a streaming table and its error table stand, whatever others did to them since we last looked.
//!
//!   table as it is ──▶ position (or a named refusal) ──▶ definition put back ──▶ error table joined again
//!
//! Invariants
//! * A position is found in the table's history or the table is refused with the command that goes on.
//! * The SQL file is the definition: columns that others added go, columns that they renamed or dropped come back with
//!   their values, in a snapshot of its own that moves no position.
//! * The main table is authoritative: an error table without a position of its own takes the main table's.
//!
//! Not here: reading (`ingest`), what a commit asserts (`ingot_lake::commit`).

use std::collections::BTreeMap;

use datafusion::prelude::SessionContext;
use ingot_delta::ENGINE_SEMANTICS_VERSION;
use ingot_lake::position::{self, FlowKey, PositionError};
use ingot_lake::{Change, Lake, NewTable, Rebase, Table};
use ingot_model::{Definition, KafkaPositions, Operation, PartitionRange, Record, TableName};
use ingot_source::TopicInfo;
use tracing::{info, warn};

use crate::error::{PipelineError, Result};
use crate::history;
use crate::ingest::run::{self, ends};
use crate::ingest::{restart, rewind};
use ingot_project::check::type_word;
use ingot_project::project::{KeptType, Model, SourceModel};

pub(crate) fn key(model: &Model, topic: &TopicInfo) -> FlowKey {
    FlowKey { flow: model.name.to_string(), cluster: topic.cluster_id.clone(), topic_id: topic.topic_id.clone() }
}

pub(crate) fn positions_error(model: &Model, error: PositionError) -> PipelineError {
    PipelineError::stopped(error.code(), format!("\"{}\": {error}", model.name)).with_hint(read_again(model))
}

fn read_again(model: &Model) -> String {
    format!("ingot refresh {} --full reads the topic again from where the table began", model.name)
}

/// The error for a table that was dropped while it was being written. Creating it again could undo a deliberate DROP.
pub(crate) fn dropped(model: &Model) -> PipelineError {
    PipelineError::stopped("L0108", format!("table \"{}\" was dropped while it was fed", model.name)).with_hint(
        "start `ingot run` again: it makes the table anew and reads the topic from the start that its SQL file says",
    )
}

/// Where a table stands in a topic.
pub(crate) struct Recorded {
    pub(crate) positions: KafkaPositions,
    /// The table had another name when it recorded them: they must be recorded under its own.
    pub(crate) renamed: bool,
}

/// What a table records of this flow. A table that records only others must not be fed from the start again.
pub(crate) fn recorded(model: &Model, source: &SourceModel, topic: &TopicInfo, table: &Table) -> Result<Recorded> {
    let found = position::kafka_position(table, &key(model, topic)).map_err(|e| positions_error(model, e))?;
    if let Some(positions) = found {
        return Ok(Recorded { positions, renamed: false });
    }
    let others = others(table, model)?;
    let flow = model.name.to_string();
    let here = |o: &&KafkaPositions| o.cluster == topic.cluster_id && o.topic_id == topic.topic_id;
    let mut same_topic = others.iter().filter(here);
    if let (Some(was), None) = (same_topic.next(), same_topic.next()) {
        // One table has one flow, named after it: under another name it is this table before it was renamed.
        let found = position::kafka_position(table, &FlowKey::of(was)).map_err(|e| positions_error(model, e))?;
        if let Some(positions) = found.filter(|_| was.flow != flow) {
            info!(table = %model.name, was = was.flow, "the table was renamed: it reads on from the position of its old name");
            return Ok(Recorded { positions: KafkaPositions { flow, ..positions }, renamed: true });
        }
        let text = format!(
            "\"{}\" was replaced or emptied by another writer: no snapshot that is left records a position in topic {}",
            model.name, source.topic
        );
        return Err(PipelineError::stopped("L0131", text).with_hint(read_again(model)));
    }
    if let Some(was) =
        others.iter().find(|o| o.flow == flow && o.cluster == topic.cluster_id && o.topic == source.topic)
    {
        return Err(run::recreated(model, source, &was.topic_id, &topic.topic_id));
    }
    let known: Vec<String> = others.iter().map(|o| format!("topic {} of cluster {}", o.topic, o.cluster)).collect();
    let shown = if known.is_empty() { "no position at all".to_owned() } else { known.join(", ") };
    let hint = if known.is_empty() {
        format!("another writer made it; {}", read_again(model))
    } else {
        format!(
            "check kafka.bootstrap.servers and 'topic'; ingot refresh {} --full --accept-loss reads this topic from its start instead",
            model.name
        )
    };
    Err(PipelineError::stopped(
        "S0112",
        format!(
            "\"{}\" exists and records {shown}, but nothing of topic {} of cluster {}",
            model.name, source.topic, topic.cluster_id
        ),
    )
    .with_hint(hint))
}

/// A streaming table keeps its rows, so a column cannot become one that their files do not hold.
pub fn redefined(model: &Model, stored: &Table, column: &str) -> PipelineError {
    let table = &model.name;
    let text =
        format!("column \"{column}\" of \"{table}\" cannot take this type: the rows that are stored keep the old one");
    let old = stored.known_types().ok().and_then(|types| types.get(column).map(type_word));
    let cast = old.map(|old| format!("write CAST(... AS {old}), the stored type, ")).unwrap_or_default();
    PipelineError::stopped("R0310", text).with_hint(format!(
        "{cast}add a column of another name, or read everything again: ingot refresh {table} --full"
    ))
}

/// A column that is cast to the type it is stored with, and what to write so that the SQL file says so itself.
pub fn kept(kept: &KeptType) -> String {
    let KeptType { column, stored, given, cast } = kept;
    format!(
        "column \"{column}\" keeps its stored type {}, although its query has {} by the rules of this version: write {cast}",
        type_word(stored),
        type_word(given)
    )
}

/// What is said of a streaming table whose rows so far were made by earlier rules.
pub fn earlier_rules(version: u32) -> String {
    format!(
        "its rows so far were made by version {version} of SQL's meaning and stay; new ones are made by version \
         {ENGINE_SEMANTICS_VERSION}"
    )
}

/// What becomes of a column that a streaming table's SELECT has no more.
pub fn left_out(table: &TableName, column: &str) -> String {
    format!(
        "column \"{column}\" is not in its SELECT: the stored values stay and new rows have NULL; `ingot prune {table}` drops it"
    )
}

/// The fingerprint of the definition in the newest of our snapshots that records one.
pub(crate) fn judged_by(table: &Table) -> Option<String> {
    table.past().fingerprint().map(str::to_owned)
}

/// Positions that say where reading goes on and claim no range of their own.
pub(crate) fn at_rest(positions: &KafkaPositions) -> KafkaPositions {
    let mut start = positions.clone();
    for range in start.partitions.values_mut() {
        range.from = range.to;
    }
    start
}

fn properties(mode: &str, reason: Option<&str>, model: &Model, positions: &KafkaPositions) -> Result<Record> {
    history::without_rows(mode, reason, &model.fingerprint, &at_rest(positions))
}

/// The table of a model, made with its starting positions if it does not exist.
pub(crate) async fn ensure(lake: &Lake, model: &Model, positions: &KafkaPositions) -> Result<Table> {
    if let Some(table) = lake.load_table(&model.name).await? {
        return Ok(table);
    }
    let first = properties("create", None, model, positions)?;
    let new = NewTable { name: model.name.clone(), definition: model.definition.clone(), first_summary: Some(first) };
    lake.create_table(new).await.map_err(PipelineError::creating)
}

/// A changed definition of a streaming table applies from its position on, in a snapshot of its own. `renamed` makes
/// one in any case, since the positions are recorded under a new name.
pub(crate) async fn apply_definition(
    lake: &Lake,
    model: &Model,
    table: Table,
    positions: &KafkaPositions,
    renamed: bool,
) -> Result<Table> {
    let same = judged_by(&table).as_ref() == Some(&model.fingerprint);
    let differs = table.layout_differs(&model.definition)?;
    if same && !differs && !renamed {
        return Ok(table);
    }
    let reason = match (same, differs) {
        (false, _) => "the definition changed",
        (true, true) => "another writer changed the definition",
        (true, false) => "the table was renamed",
    };
    info!(table = %model.name, reason, "the SQL file's definition applies from the recorded position on");
    redefine(lake, model, table, properties("append", Some(reason), model, positions)?).await
}

async fn redefine(lake: &Lake, model: &Model, table: Table, summary: Record) -> Result<Table> {
    if let Some(column) = table.redefined_by(&model.definition)? {
        return Err(redefined(model, &table, &column));
    }
    let definition: Option<Definition> = Some(model.definition.clone());
    let change = Change {
        commit_id: uuid::Uuid::now_v7(),
        operation: Operation::Append,
        summary,
        definition,
        ..Change::default()
    };
    let guard = |_: &Table| Rebase::Abandon("its definition is being changed elsewhere".into());
    lake.commit(&table, change, &guard).await.map_err(|e| PipelineError::commit(&model.name, e))
}

fn others(table: &Table, model: &Model) -> Result<Vec<KafkaPositions>> {
    position::recorded_flows(table).map_err(|e| positions_error(model, e))
}

/// An error table and up to where it holds errors.
pub(crate) type Side = (Table, BTreeMap<i32, i64>);

/// The error table of a streaming table whose recorded positions are `committed`. It is created if it is missing;
/// otherwise the current version is opened, whoever changed it since.
pub(crate) async fn side(
    ctx: &SessionContext,
    lake: &Lake,
    model: &Model,
    side: &Model,
    key: &FlowKey,
    committed: &KafkaPositions,
) -> Result<Side> {
    let mut table = ensure(lake, side, committed).await?;
    let found = position::kafka_position(&table, key);
    if table.layout_differs(&side.definition)? {
        info!(table = %side.name, "another writer changed the definition of this error table: it is put back");
        // Without a position of its own, the next step records one.
        let mut summary = properties("append", Some("another writer changed the definition"), model, committed)?;
        let own = found.as_ref().ok().and_then(Option::as_ref);
        summary.set_positions(own.map(at_rest).as_ref())?;
        table = redefine(lake, side, table, summary).await?;
    }
    match found {
        Ok(Some(own)) => {
            let lacks = |(p, r): (&i32, &PartitionRange)| {
                committed.partitions.get(p).is_some_and(|main| r.to <= main.to && r.errors < main.errors)
            };
            if own.partitions.iter().any(lacks) {
                warn!(table = %side.name, "another writer took this error table back to an older state: errors that its main table counts are missing (`ingot verify` says how many)");
            }
            Ok((table, ends(&own)))
        }
        Err(e @ PositionError::Unreadable { .. }) => Err(positions_error(model, e)),
        Ok(None) if others(&table, model)?.iter().any(|f| f.flow == committed.flow) => {
            warn!(table = %side.name, "error rows of a log that \"{}\" has given up are deleted", model.name);
            let start = at_rest(committed);
            Ok((restart::empty(lake, model, &table, &start, None).await?, ends(&start)))
        }
        Ok(None) | Err(_) => {
            warn!(table = %side.name, "this error table records no position: it takes its main table's, and rows past that are judged again");
            let table = rewind::delete_from(ctx, lake, &table, &ends(committed), &at_rest(committed), model).await?;
            Ok((table, ends(committed)))
        }
    }
}
