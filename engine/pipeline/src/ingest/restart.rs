//! Reading the topic of a streaming table again from where it began, and going on past what it lost.
//!
//! Invariants
//! * One commit empties the table and puts its position back: a crash leaves the old rows or the new start.
//! * Without `--accept-loss` nothing is emptied that the log cannot give again.

use std::collections::BTreeMap;

use ingot_lake::crash;
use ingot_lake::{Change, Lake, LakeError, Rebase, Table, beginning};
use ingot_model::{Count, Definition, KafkaPositions, Operation};
use ingot_source::offsets::{Decision, decide_loss, is_recreated};
use ingot_source::{LossKind, SourceError, Start};
use tracing::warn;

use crate::error::{PipelineError, Result};
use crate::history;
use crate::ingest::{act, run};
use ingot_project::project::{Model, Project, SourceModel};

/// The mode of the snapshot from which a table was read again.
const AGAIN: &str = "full";

/// Empties a streaming table and puts its position back to where it began, in one commit; its next step reads on
/// from there.
///
/// # Errors
/// S0101 or S0102 when the log cannot give all rows again and `accept_loss` is not set; source and lake errors.
pub async fn read_again(
    lake: &Lake,
    project: &Project,
    model: &Model,
    source: &SourceModel,
    table: &Table,
    accept_loss: bool,
) -> Result<()> {
    let kafka = run::connect(source).await?;
    let topic = kafka.describe().await?;
    let low = kafka.start_offsets(&Start::Earliest).await?;
    let began = match beginning(table) {
        Ok(began) => began.map(|began| began.positions),
        // Reading everything again is the way out of that.
        Err(error @ LakeError::Unreadable(_)) => {
            warn!(table = %model.name, %error, "where the table began is not readable");
            None
        }
        Err(error) => return Err(error.into()),
    };
    let recreated =
        began.as_ref().filter(|b| is_recreated(&b.topic_id, &topic.topic_id) || b.cluster != topic.cluster_id);
    if let (Some(was), false) = (recreated, accept_loss) {
        return Err(run::recreated(model, source, &was.topic_id, &topic.topic_id));
    }
    let known = began.as_ref().filter(|_| recreated.is_none());
    // Partitions that came later were read from their beginning.
    let start = |p: &i32, low: i64| match known {
        Some(b) => b.partitions.get(p).map_or(0, |r| r.to),
        None => low,
    };
    if !accept_loss {
        // A log that ends before what was read cannot give it again.
        if let Ok(recorded) = act::recorded(model, source, &topic, table).map(|r| r.positions) {
            let at = run::ends(&recorded);
            let facts = run::log(&kafka, &topic).await?;
            if let Decision::Lost(loss) = decide_loss(&source.topic, &recorded.topic_id, &at, &at, &facts)
                && loss.kind != LossKind::OffsetsExpired
            {
                return Err(PipelineError::source(&model.name, SourceError::Loss(loss)));
            }
        }
        let mut short: Vec<String> = vec![];
        // A log that begins at zero has all there ever was.
        let whole = matches!(source.start, Start::Earliest) && low.values().all(|low| *low == 0);
        if began.is_none() && !whole {
            short.push("nothing that is left says where it began".into());
        }
        let later = low.iter().filter(|(p, low)| start(p, **low) < **low);
        short.extend(later.map(|(p, low)| format!("partition {p} begins at offset {low} now")));
        if !short.is_empty() {
            let text = format!(
                "the log of topic {} no longer reaches back to where \"{}\" began: {}",
                source.topic,
                model.name,
                short.join(", ")
            );
            let hint = format!("ingot refresh {} --full --accept-loss gives up what the log no longer has", model.name);
            return Err(PipelineError::stopped("S0101", text).with_hint(hint));
        }
    }
    let from: BTreeMap<i32, i64> = low.iter().map(|(p, low)| (*p, start(p, *low).max(*low))).collect();
    let positions = run::vector(model, &topic, &source.topic, &from);
    empty(lake, model, table, &positions, Some(model.definition.clone())).await?;
    crash::point("full.emptied", &model.name);
    // Rows of a side table stay right when the same log is read again; of another log they do not.
    if accept_loss {
        for side in &model.sides {
            if let (Some(owned), Some(table)) = (project.tables.get(side), lake.load_table(side).await?) {
                empty(lake, model, &table, &positions, Some(owned.definition.clone())).await?;
                crash::point("full.side_emptied", side);
            }
        }
    }
    Ok(())
}

/// Moves a streaming table's position past what its log lost before it was read. Its rows stay, and its next step reads
/// on with the first message that is left.
///
/// # Errors
/// Losses of another kind, for which rows cannot stay; source and lake errors.
pub async fn skip_lost(lake: &Lake, model: &Model, source: &SourceModel, table: &Table) -> Result<()> {
    let kafka = run::connect(source).await?;
    let topic = kafka.describe().await?;
    let mut positions = act::recorded(model, source, &topic, table)?.positions;
    let facts = run::log(&kafka, &topic).await?;
    let mut lost = vec![];
    for (p, range) in &mut positions.partitions {
        range.from = range.to;
        if let Some(Some(marks)) = facts.partitions.get(p).filter(|m| m.is_some_and(|m| m.low > range.to)) {
            lost.push(format!("offsets {} to {} of partition {p}", range.to, marks.low - 1));
            range.to = marks.low;
            range.epoch = None;
        }
    }
    let at = run::ends(&positions);
    if let Decision::Lost(loss) = decide_loss(&source.topic, &positions.topic_id, &at, &at, &facts) {
        return Err(PipelineError::source(&model.name, SourceError::Loss(loss)));
    }
    if lost.is_empty() {
        return Ok(());
    }
    let reason = format!("given up, as asked: {}", lost.join(", "));
    warn!(table = %model.name, topic = source.topic, "{reason}");
    // The definition comes with its fingerprint: one without the other would pass for applied.
    if let Some(column) = table.redefined_by(&model.definition)? {
        return Err(act::redefined(model, table, &column));
    }
    let properties = history::without_rows("append", Some(&reason), &model.fingerprint, &positions)?;
    let change = Change {
        commit_id: uuid::Uuid::now_v7(),
        summary: properties,
        definition: Some(model.definition.clone()),
        ..Change::default()
    };
    let guard = |_: &Table| Rebase::Abandon("it is being written to".into());
    lake.commit(table, change, &guard).await.map_err(|e| PipelineError::commit(table.name(), e))?;
    Ok(())
}

/// Takes all rows out and records positions, in one commit.
///
/// # Errors
/// Lake errors; `Superseded` when another writer was first.
pub(crate) async fn empty(
    lake: &Lake,
    model: &Model,
    table: &Table,
    positions: &KafkaPositions,
    definition: Option<Definition>,
) -> Result<Table> {
    let properties = history::without_rows(AGAIN, Some("asked for with --full"), &model.fingerprint, positions)?;
    let head = table.head().and_then(|id| table.snapshot(id));
    let holds_none = head.is_none_or(|s| s.count(Count::TotalDataFiles).is_ok_and(|n| n.is_none_or(|n| n == 0)));
    let change = Change {
        commit_id: uuid::Uuid::now_v7(),
        operation: if holds_none { Operation::Append } else { Operation::Delete },
        remove_all: !holds_none,
        summary: properties,
        definition,
        begins: true,
        ..Change::default()
    };
    let guard = |_: &Table| Rebase::Abandon("it is being written to".into());
    lake.commit(table, change, &guard).await.map_err(|e| PipelineError::commit(table.name(), e))
}
