//! Reading the source of a streaming table again from where it began, and going on past what it lost.
//!
//! Invariants
//! * One commit empties the table and puts its position back: a crash leaves the old rows or the new start.
//!
//! Not here: whether the source can give all rows again (`decide`).

use ingot_lake::crash;
use ingot_lake::{Lake, Table};
use ingot_project::project::{Model, Project, SourceModel};
use tracing::warn;

use crate::error::Result;
use crate::ingest::{act, decide, facts};

/// Empties a streaming table and puts its position back to where it began, in one commit; its next step reads on
/// from there.
///
/// # Errors
/// S0101 or S0102 when the source cannot give all rows again and `accept_loss` is not set; source and lake errors.
pub(crate) async fn read_again(
    lake: &Lake,
    project: &Project,
    model: &Model,
    source: &SourceModel,
    table: &Table,
    accept_loss: bool,
) -> Result<()> {
    let now = facts::connect(source).await?.facts().await?;
    let stored = facts::stored(model, &now.identity(), table);
    let began = facts::began(model, table)?;
    let facts = decide::Again {
        began: began.as_ref(),
        stored: &stored,
        source: &now,
        starts_at_the_beginning: source.connection.starts_at_the_beginning(),
    };
    let positions = decide::again(&model.name, facts, accept_loss)?;
    act::empty(lake, model, table, &positions, Some(model.definition.clone())).await?;
    crash::point("full.emptied", &model.name);
    // Rows of a side table stay right when the same log is read again; of another log they do not.
    if accept_loss {
        for side in &model.sides {
            if let (Some(owned), Some(table)) = (project.tables.get(side), lake.load_table(side).await?) {
                act::empty(lake, model, &table, &positions, Some(owned.definition.clone())).await?;
                crash::point("full.side_emptied", side);
            }
        }
    }
    Ok(())
}

/// Moves a streaming table's position past what its source lost before it was read. Its rows stay, and its next step reads
/// on with the first message that is left.
///
/// # Errors
/// Losses of another kind, for which rows cannot stay; source and lake errors.
pub async fn skip_lost(lake: &Lake, model: &Model, source: &SourceModel, table: &Table) -> Result<()> {
    let now = facts::connect(source).await?.facts().await?;
    let stored = facts::stored(model, &now.identity(), table);
    let Some(skip) = decide::skip(&model.name, &stored, &now)? else { return Ok(()) };
    warn!(table = %model.name, topic = source.connection.name(), "{}", skip.reason);
    act::move_past(lake, model, table, &skip.positions, &skip.reason).await
}
