//! Upkeep: which snapshots of the project's tables its views stand on, so that the rest of the history may go.
//!
//! Invariants
//! * A table one of whose readers cannot be read keeps what was known of it, and all of its history if nothing was.
//! * What a streaming table stands on in another table is kept whatever its age: it could not be computed anew without loss.
//! * What a refresh reads is kept from the moment on at which it is pinned, for as long as it runs.
//!
//! Not here: what else is kept, and forgetting the rest (`ingot_lake`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use chrono::Utc;
use ingot_lake::Table;
use ingot_model::TableName;
use ingot_project::project::Model;
use tracing::{debug, warn};

use crate::engine::Engine;
use crate::error::{PipelineError, Result};

/// Snapshots by table.
type Snapshots = BTreeMap<TableName, BTreeSet<i64>>;

/// What readers stand on.
#[derive(Debug, Default)]
struct Read {
    /// Of every reader.
    pinned: Snapshots,
    /// Of streaming tables, which is in `pinned`, too.
    held: Snapshots,
    /// Readers that cannot be read, with what is wrong with each. Nothing of the tables below them is above.
    unread: BTreeMap<TableName, PipelineError>,
}

impl Engine {
    /// Tells the lake which snapshots the project's tables are read at, if it has not lately.
    pub async fn tell_readers(&self) {
        let Some(retention) = self.retention() else { return };
        if !self.readers.is_due() {
            return;
        }
        let now = Utc::now().timestamp_millis();
        match self.read_snapshots().await {
            Ok(Read { pinned, held, unread }) => {
                for (table, error) in self.readers.to_tell(&unread, Instant::now()) {
                    warn!(%table, code = error.code(), %error, hint = error.hint(), "this table cannot be read: the tables below it keep their history until it can be");
                }
                retention.hold(held);
                retention.pin(now, pinned);
            }
            Err(error) => debug!(%error, "the readers of tables are not known: no history is let go"),
        }
    }

    /// The snapshots of each table that its readers stand on, for tables all of whose readers are known.
    async fn read_snapshots(&self) -> Result<Read> {
        // Before the tables: what ends meanwhile is recorded in them.
        let running: Vec<_> = self.looked_at().into_iter().chain(self.readers.running()).collect();
        let mut stored = self.stored(&|_| true).await?;
        let mut found: Snapshots = stored.tables.keys().map(|name| (name.clone(), BTreeSet::new())).collect();
        let (mut unread, mut held) = (BTreeMap::new(), found.clone());
        for model in self.project().tables.values().filter(|model| !model.inputs.is_empty()) {
            let stands_on = match stored.tables.get(&model.name) {
                Some(table) => stands_on(model, table, &stored.tables),
                None => stored.unreadable.remove(&model.name).map_or_else(|| Ok(Snapshots::new()), Err),
            };
            match stands_on {
                Ok(snapshots) => {
                    if model.is_streaming() {
                        merge(&mut held, snapshots.clone());
                    }
                    merge(&mut found, snapshots);
                }
                Err(error) => drop(unread.insert(model.name.clone(), error)),
            }
        }
        let unknown: BTreeSet<TableName> = unread.keys().flat_map(|name| self.below(name)).collect();
        found.retain(|name, _| !unknown.contains(name));
        held.retain(|name, _| !unknown.contains(name));
        for (name, at) in running {
            if let Some(known) = found.get_mut(&name) {
                known.insert(at);
            }
        }
        Ok(Read { pinned: found, held, unread })
    }

    /// All tables below one.
    fn below(&self, name: &TableName) -> BTreeSet<TableName> {
        let (mut found, mut open) = (BTreeSet::new(), vec![name]);
        while let Some(model) = open.pop().and_then(|name| self.project().tables.get(name)) {
            open.extend(model.inputs.iter().filter(|input| found.insert((*input).clone())));
        }
        found
    }
}

fn merge(into: &mut Snapshots, snapshots: Snapshots) {
    for (name, ids) in snapshots {
        if let Some(known) = into.get_mut(&name) {
            known.extend(ids);
        }
    }
}

/// The snapshots that a table was computed from, and those of the streaming tables below them.
///
/// # Errors
/// What it records and does not parse.
fn stands_on(model: &Model, table: &Table, tables: &BTreeMap<TableName, Table>) -> Result<Snapshots> {
    // A view that lost all of ours is computed anew; a streaming table goes on from what is known of them.
    let history = if model.is_streaming() { table.past() } else { table.history() };
    let mut found = Snapshots::new();
    let Some(computed) = history.newest_computed() else {
        // Made and not yet computed, or another's: it is computed anew, from the heads.
        return Ok(found);
    };
    for versions in [computed.sources()?, computed.bases()?].into_iter().flatten() {
        for (name, (uuid, id)) in versions {
            // A table made anew is another table.
            if let Some(id) = id.filter(|_| tables.get(&name).is_none_or(|now| now.uuid() == uuid)) {
                found.entry(name).or_default().insert(id);
            }
        }
    }
    Ok(found)
}
