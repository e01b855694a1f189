//! What is read of a streaming table and of its source: the questions of ingestion, and what they tell.
//!
//!   catalog ──▶ Table ──▶ Stored          source ──▶ Connector ──▶ SourceFacts
//!
//! Not here: what follows from it (`decide`), reading messages (`run`).

use ingot_lake::position::{self, FlowKey, PositionError};
use ingot_lake::{LakeError, Table, beginning};
use ingot_model::{FlowPositions, SourceIdentity};
use ingot_project::project::{Model, SourceModel};
use ingot_source::{Connector, SourceFacts};
use tracing::warn;

use crate::error::{PipelineError, Result};
use crate::ingest::decide::{self, Stored, Unproven};
use crate::planner::StreamFacts;

/// A connection to a source; one that is away is waited for.
pub(crate) async fn connect(source: &SourceModel) -> Result<Connector> {
    Ok(Connector::connect(&source.connection).await?)
}

/// A table's source as it is now. One that is missing and was read before is more than a source yet to be made.
pub(crate) async fn source(
    model: &Model,
    source: &SourceModel,
    table: Option<&Table>,
) -> Result<(Connector, SourceFacts)> {
    let asked = async {
        let connector = connect(source).await?;
        let facts = connector.facts().await?;
        Ok((connector, facts))
    };
    match (asked.await, table) {
        (Err(PipelineError::Source(error)), Some(table)) if error.is_missing() => {
            let flows = flows(table).map_err(|e| e.refusal(&model.name))?;
            let refusal = decide::gone(&model.name, source.connection.words(), source.connection.name(), &flows);
            Err(refusal.map_or(PipelineError::Source(error), PipelineError::from))
        }
        (asked, _) => asked,
    }
}

/// What a plan says of a streaming table: from where to where its source would be read.
///
/// # Errors
/// Source errors; a named loss among them.
pub(crate) async fn of_plan(model: &Model, of: &SourceModel, table: Option<&Table>) -> Result<StreamFacts> {
    let (connector, now) = source(model, of, table).await?;
    let from = match table {
        None => connector.starts().await?,
        Some(table) => {
            let stored = stored(model, &now.identity(), table);
            decide::read_on(&model.name, &stored, &now)?.positions.ends()
        }
    };
    let to = connector.ends().await?;
    Ok(StreamFacts { source: of.connection.name().to_owned(), from, to })
}

/// The flow of a streaming table in a source.
pub(crate) fn key(model: &Model, source: &SourceIdentity) -> FlowKey {
    FlowKey::new(model.name.to_string(), source)
}

/// What a table, or the error table beside it, tells of the flow that feeds `model`.
pub(crate) fn stored(model: &Model, source: &SourceIdentity, table: &Table) -> Stored {
    let own = place(table, &key(model, source));
    let flows = flows(table);
    let renamed = match &flows {
        Ok(flows) => match flows.iter().filter(|f| f.source.is_same_log(source)).collect::<Vec<_>>().as_slice() {
            [was] if was.flow != model.name.to_string() => place(table, &FlowKey::of(was)),
            _ => Ok(None),
        },
        Err(error) => Err(error.clone()),
    };
    Stored { own, flows, renamed }
}

/// A flow's position, if the table's history tells it.
pub(crate) fn place(table: &Table, key: &FlowKey) -> Result<Option<FlowPositions>, Unproven> {
    position::recorded_position(table, key).map_err(Unproven::from)
}

fn flows(table: &Table) -> Result<Vec<FlowPositions>, Unproven> {
    position::recorded_flows(table).map_err(Unproven::from)
}

/// The fingerprint of the definition in the newest of our snapshots that records one.
pub(crate) fn fingerprint(table: &Table) -> Option<String> {
    table.past().fingerprint().map(str::to_owned)
}

/// The positions at which a table began; none if nothing that can be read says so.
///
/// # Errors
/// Lake errors.
pub(crate) fn began(model: &Model, table: &Table) -> Result<Option<FlowPositions>> {
    match beginning(table) {
        Ok(began) => Ok(began.map(|began| began.positions)),
        // Reading everything again is the way out of that.
        Err(error @ LakeError::Unreadable(_)) => {
            warn!(table = %model.name, %error, "where the table began is not readable");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

impl From<PositionError> for Unproven {
    fn from(error: PositionError) -> Self {
        let is_unreadable = matches!(error, PositionError::Unreadable { .. });
        Unproven { code: error.code(), text: error.to_string(), is_unreadable }
    }
}
