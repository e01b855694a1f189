//! Upkeep: which snapshots of the project's tables its views stand on, so that the rest of the history may go.
//!
//! Invariants
//! * A table one of whose readers cannot be read keeps what was known of it, and all of its history if nothing was.
//! * What a streaming table stands on in another table is kept whatever its age: it could not be computed anew without loss.
//! * What a refresh reads is kept from the moment on at which it is pinned, for as long as it runs.
//!
//! Not here: what else is kept, and forgetting the rest (`ingot_lake`).

use std::collections::{BTreeMap, BTreeSet};

use chrono::Utc;
use ingot_lake::Table;
use ingot_model::TableName;
use ingot_project::project::Model;

use crate::engine::Engine;
use crate::error::Result;

/// Snapshots by table.
type Snapshots = BTreeMap<TableName, BTreeSet<i64>>;

/// What readers stand on.
#[derive(Debug, Default)]
struct Read {
    /// Of every reader.
    pinned: Snapshots,
    /// Of streaming tables, which is in `pinned`, too.
    held: Snapshots,
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
            Ok(Read { pinned, held }) => {
                retention.hold(held);
                retention.pin(now, pinned);
            }
            Err(error) => tracing::debug!(%error, "the readers of tables are not known: no history is let go"),
        }
    }

    /// The snapshots of each table that its readers stand on, for tables all of whose readers are known.
    async fn read_snapshots(&self) -> Result<Read> {
        // Before the tables: what ends meanwhile is recorded in them.
        let running: Vec<_> = self.looked_at().into_iter().chain(self.readers.running()).collect();
        let stored = self.stored(&|_| true).await?;
        let mut found: Snapshots = stored.tables.keys().map(|name| (name.clone(), BTreeSet::new())).collect();
        let (mut unknown, mut held) = (BTreeSet::new(), found.clone());
        for model in self.project().tables.values().filter(|model| !model.inputs.is_empty()) {
            let stands_on = match stored.tables.get(&model.name) {
                Some(table) => stands_on(model, table, &stored.tables),
                None if stored.unreadable.contains_key(&model.name) => None,
                None => Some(Snapshots::new()),
            };
            match stands_on {
                Some(snapshots) => {
                    if model.is_streaming() {
                        merge(&mut held, snapshots.clone());
                    }
                    merge(&mut found, snapshots);
                }
                None => unknown.extend(self.below(&model.name)),
            }
        }
        found.retain(|name, _| !unknown.contains(name));
        held.retain(|name, _| !unknown.contains(name));
        for (name, at) in running {
            if let Some(known) = found.get_mut(&name) {
                known.insert(at);
            }
        }
        Ok(Read { pinned: found, held })
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

/// The snapshots that a table was computed from, and those of the streaming tables below them; none if they are not known.
fn stands_on(model: &Model, table: &Table, tables: &BTreeMap<TableName, Table>) -> Option<Snapshots> {
    // A view that lost all of ours is computed anew; a streaming table goes on from what is known of them.
    let history = if model.is_streaming() { table.past() } else { table.history() };
    let mut found = Snapshots::new();
    let Some(computed) = history.newest_computed() else {
        // Made and not yet computed, or another's: it is computed anew, from the heads.
        return Some(found);
    };
    for versions in [computed.sources().ok()?, computed.bases().ok()?].into_iter().flatten() {
        for (name, (uuid, id)) in versions {
            // A table made anew is another table.
            if let Some(id) = id.filter(|_| tables.get(&name).is_none_or(|now| now.uuid() == uuid)) {
                found.entry(name).or_default().insert(id);
            }
        }
    }
    Some(found)
}
