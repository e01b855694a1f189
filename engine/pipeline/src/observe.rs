//! Looks at lag and freshness every few seconds and puts them into the metrics.
//!
//! Invariants
//! * Nothing here holds up a batch or a refresh: own connections, and a broker that does not answer is left until the
//!   next look. Its last lag stays, its tables grow older.
//! * A series is removed with its table.
//!
//! Not here: what freshness is (`freshness`), serving (`ingot_flight::http`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ingot_lake::Table;
use ingot_model::{Positions, SourceIdentity, TableName};
use ingot_project::project::{Model, SourceModel};
use ingot_source::Connector;
use ingot_telemetry::metrics;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::engine::{Engine, Stored};
use crate::freshness::{self, Ends};
use crate::ingest::facts;
use crate::refresh::bases;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);
/// How long a broker may take.
const ANSWER: Duration = Duration::from_secs(3);

/// Looks again and again until `shutdown`.
pub async fn observe(engine: Arc<Engine>, selected: BTreeSet<TableName>, shutdown: CancellationToken) {
    let mut observer = Observer { engine, selected, sources: BTreeMap::new(), fresh: BTreeSet::new() };
    loop {
        tokio::select! {
            () = observer.look() => {}
            () = shutdown.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

struct Observer {
    engine: Arc<Engine>,
    selected: BTreeSet<TableName>,
    sources: BTreeMap<TableName, Watched>,
    /// Tables that have a series of their freshness.
    fresh: BTreeSet<TableName>,
}

#[derive(Default)]
struct Watched {
    connector: Option<Connector>,
    ends: Ends,
}

impl Observer {
    async fn look(&mut self) {
        let (engine, selected) = (Arc::clone(&self.engine), self.selected.clone());
        let stored = match engine.stored(&|name| selected.contains(name)).await {
            Ok(stored) => stored,
            Err(error) => return debug!(%error, "freshness is not known: the catalog does not answer"),
        };
        let project = Arc::clone(engine.project());
        // What others write is as fresh as it is now.
        let foreign = stored.tables.keys().filter(|name| engine.is_external(name));
        let mut as_of: BTreeMap<TableName, DateTime<Utc>> = foreign.map(|name| (name.clone(), Utc::now())).collect();
        for name in project.order.iter().filter(|name| selected.contains(*name)) {
            let Some(model) = project.tables.get(name) else { continue };
            let Some(table) = stored.tables.get(name) else { continue };
            let at = match model.source().and_then(|s| project.sources.get(s)) {
                Some(source) => self.sources.entry(name.clone()).or_default().look(model, source, table).await,
                None => view(&engine, &stored, name, table, &as_of),
            };
            as_of.extend(at.map(|at| (name.clone(), at)));
        }
        as_of.retain(|name, _| !engine.is_external(name));
        let now = Utc::now();
        for (name, at) in &as_of {
            let age = (now - *at).num_milliseconds() as f64 / 1000.0;
            metrics().table_freshness.set([&name.to_string()], age.max(0.0));
        }
        let fresh: BTreeSet<TableName> = as_of.into_keys().collect();
        for gone in self.fresh.difference(&fresh) {
            metrics().table_freshness.forget([&gone.to_string()]);
        }
        self.fresh = fresh;
    }
}

impl Watched {
    /// Notes the lag, and gives the time as of which the table holds everything.
    async fn look(&mut self, model: &Model, source: &SourceModel, table: &Table) -> Option<DateTime<Utc>> {
        let now = Utc::now();
        let asked = tokio::time::timeout(ANSWER, self.ask(source)).await;
        let Ok(Ok((identity, ends))) = asked else {
            return self.ends.reached_by(&Positions::new());
        };
        let at = facts::place(table, &facts::key(model, &identity)).ok().flatten();
        let at = at.map(|positions| positions.ends()).unwrap_or_default();
        let table = model.name.to_string();
        for (partition, lag) in freshness::lag(&at, &ends) {
            metrics().source_lag.set([&table, source.connection.name(), partition.as_str()], lag as f64);
        }
        self.ends.seen(now, ends);
        self.ends.reached_by(&at)
    }

    async fn ask(&mut self, source: &SourceModel) -> crate::error::Result<(SourceIdentity, Positions)> {
        let connector = match &self.connector {
            Some(connector) => connector.clone(),
            None => self.connector.insert(facts::connect(source).await?).clone(),
        };
        Ok((connector.identity().await?, connector.ends().await?))
    }
}

/// As of when a view, built from streaming tables, holds everything; none where it does not tell what it stands on.
fn view(
    engine: &Engine,
    stored: &Stored,
    name: &TableName,
    table: &Table,
    as_of: &BTreeMap<TableName, DateTime<Utc>>,
) -> Option<DateTime<Utc>> {
    let stands_on = bases::of_view(name, table, table.head()?).ok()?;
    let each = stands_on.iter().map(|(base, (_, at))| {
        let fresh = *as_of.get(base)?;
        let below = stored.tables.get(base)?;
        let newest = engine.last_change(below, below.head()?).ok()?;
        if newest == *at {
            return Some(fresh);
        }
        // The first commit of rows after what it stands on; older than all that is left where that is gone.
        let history = below.history();
        let after = match history.iter().any(|s| s.id == *at) {
            true => history.into_iter().take_while(|s| s.id != *at).last()?.timestamp_ms,
            // What came next is forgotten: no later than what it stands on says.
            false => below.snapshot(*at).or_else(|| history.last().cloned())?.timestamp_ms,
        };
        Some(fresh.min(DateTime::from_timestamp_millis(after)?))
    });
    each.min().flatten()
}
