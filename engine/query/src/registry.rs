//! The queries that run or wait to be fetched, and the prepared statements, of all protocols and callers.
//!
//! Invariants
//! * Bounded: at most `QUERIES_MAX` waiting queries, each for at most `WAITING_MAX`; at most `STATEMENTS_MAX` prepared
//!   statements, each for at most `IDLE_MAX` without use. The least used goes first.
//! * An entry is its caller's: for everybody else it does not exist.
//! * Forgetting a waiting query loses nothing: what its client holds plans it again.
//! * Nothing is pinned by a prepared statement: every execution reads the heads of its own time.
//!
//! Not here: how a protocol names an entry to its clients, ending a stream (both the protocol's).

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use ingot_telemetry::{FAILED, OK, metrics, span};
use tokio_util::sync::CancellationToken;
use tracing::{Span, debug_span};
use uuid::Uuid;

use crate::caller::Caller;
use crate::error::{ErrorKind, QueryError};
use crate::session::Planned;

/// The outcome of a query that was stopped because its caller does not want it any more.
const CANCELLED: &str = "cancelled";
const QUERIES_MAX: usize = 1_000;
const WAITING_MAX: Duration = Duration::from_secs(600);
const STATEMENTS_MAX: usize = 10_000;
/// How long a prepared statement is kept without being used.
pub const IDLE_MAX: Duration = Duration::from_secs(3_600);

/// What the server knows of its clients' queries and statements; cheap to clone.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    queries: Mutex<HashMap<Uuid, Query>>,
    prepared: Mutex<HashMap<Uuid, Prepared>>,
    statements_max: usize,
    idle_max: Duration,
}

struct Query {
    caller: Caller,
    stop: CancellationToken,
    /// Until the first stream takes it.
    planned: Option<Planned>,
    streams: usize,
    since: Instant,
}

impl Query {
    fn new(caller: &Caller, planned: Option<Planned>) -> Self {
        Self { caller: caller.clone(), stop: CancellationToken::new(), planned, streams: 0, since: Instant::now() }
    }
}

struct Prepared {
    caller: Caller,
    statement: Statement,
    used: Instant,
}

/// A prepared statement.
#[derive(Clone)]
pub struct Statement {
    /// Its text.
    pub sql: Arc<str>,
    /// One row of parameters, once they are bound.
    pub parameters: Option<RecordBatch>,
    /// What the protocol keeps with it.
    pub kept: Arc<dyn Any + Send + Sync>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::bounded(STATEMENTS_MAX, IDLE_MAX)
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    /// A registry with other bounds on prepared statements.
    pub fn bounded(statements_max: usize, idle_max: Duration) -> Self {
        Self(Arc::new(Inner { queries: Mutex::default(), prepared: Mutex::default(), statements_max, idle_max }))
    }

    /// Keeps a plan for the client that got its handle.
    pub fn announce(&self, caller: &Caller, id: Uuid, planned: Planned) {
        let mut all = lock(&self.0.queries);
        all.retain(|_, q| q.streams > 0 || q.since.elapsed() < WAITING_MAX);
        if all.len() >= QUERIES_MAX {
            let oldest = all.iter().filter(|(_, q)| q.streams == 0).min_by_key(|(_, q)| q.since).map(|(id, _)| *id);
            if let Some(oldest) = oldest {
                all.remove(&oldest);
            }
        }
        all.insert(id, Query::new(caller, Some(planned)));
    }

    /// Begins a stream: the kept plan if it is still here, and what ends the stream.
    ///
    /// # Errors
    /// `Cancelled`; `UnknownHandle` for another caller's query.
    pub fn start(&self, caller: &Caller, id: Uuid) -> Result<(Option<Planned>, Running), QueryError> {
        let mut all = lock(&self.0.queries);
        let query = all.entry(id).or_insert_with(|| Query::new(caller, None));
        if query.caller != *caller {
            return Err(QueryError::new(ErrorKind::UnknownHandle, "the query is unknown"));
        }
        if query.stop.is_cancelled() {
            return Err(QueryError::new(ErrorKind::Cancelled, "the query was cancelled"));
        }
        query.streams += 1;
        let planned = query.planned.take();
        let running = Running {
            registry: self.clone(),
            id,
            stop: query.stop.clone(),
            began: Instant::now(),
            outcome: Outcome::Failed,
            span: debug_span!(span::QUERY, %id, user = caller.user()),
        };
        metrics().queries_running.of([]).add(1.0);
        Ok((planned, running))
    }

    /// Stops a caller's query, whether its rows are on their way or not asked for yet; false if there is none.
    pub fn cancel(&self, caller: &Caller, id: Uuid) -> bool {
        match lock(&self.0.queries).get_mut(&id).filter(|q| q.caller == *caller) {
            Some(query) => {
                query.planned = None;
                query.stop.cancel();
                true
            }
            // Done, or on another server.
            None => false,
        }
    }

    /// Stops every query.
    pub fn cancel_all(&self) {
        for query in lock(&self.0.queries).values() {
            query.stop.cancel();
        }
    }

    /// A handle for a caller's statement, and what the protocol keeps with it.
    pub fn prepare(&self, caller: &Caller, sql: &str, kept: Arc<dyn Any + Send + Sync>) -> Uuid {
        let id = Uuid::new_v4();
        let mut all = lock(&self.0.prepared);
        all.retain(|_, p| p.used.elapsed() < self.0.idle_max);
        while all.len() >= self.0.statements_max {
            let Some(oldest) = all.iter().min_by_key(|(_, p)| p.used).map(|(id, _)| *id) else { break };
            all.remove(&oldest);
        }
        let statement = Statement { sql: sql.into(), parameters: None, kept };
        all.insert(id, Prepared { caller: caller.clone(), statement, used: Instant::now() });
        id
    }

    /// A caller's statement.
    ///
    /// # Errors
    /// `UnknownHandle`.
    pub fn statement(&self, caller: &Caller, id: Uuid) -> Result<Statement, QueryError> {
        self.entry(caller, id, |s| s.clone())
    }

    /// Binds a row of parameters to a caller's statement; none unbinds.
    ///
    /// # Errors
    /// `UnknownHandle`.
    pub fn bind(&self, caller: &Caller, id: Uuid, parameters: Option<RecordBatch>) -> Result<(), QueryError> {
        self.entry(caller, id, |s| s.parameters = parameters)
    }

    /// Forgets a caller's statement. Closing twice is no error.
    pub fn close(&self, caller: &Caller, id: Uuid) {
        let mut all = lock(&self.0.prepared);
        if all.get(&id).is_some_and(|p| p.caller == *caller) {
            all.remove(&id);
        }
    }

    fn entry<T>(&self, caller: &Caller, id: Uuid, use_it: impl FnOnce(&mut Statement) -> T) -> Result<T, QueryError> {
        match lock(&self.0.prepared).get_mut(&id).filter(|p| p.caller == *caller) {
            Some(entry) => {
                entry.used = Instant::now();
                Ok(use_it(&mut entry.statement))
            }
            None => Err(QueryError::new(
                ErrorKind::UnknownHandle,
                "the prepared statement is unknown: closed, expired, or made by another server",
            )
            .with_hint("prepare it again")),
        }
    }
}

/// How a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With its last row.
    Done,
    /// With an error.
    Failed,
    /// Its caller does not want it any more.
    Cancelled,
}

/// One open stream of a query; dropping it counts it and forgets the query unless it was cancelled.
pub struct Running {
    registry: Registry,
    id: Uuid,
    stop: CancellationToken,
    began: Instant,
    outcome: Outcome,
    span: Span,
}

impl Running {
    /// Ends when the query is cancelled.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Says how it would be counted if it were dropped now; `Failed` until then.
    pub fn ends(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// What the query's work is traced in.
    pub fn span(&self) -> &Span {
        &self.span
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let outcome = match self.outcome {
            Outcome::Done => OK,
            Outcome::Failed => FAILED,
            Outcome::Cancelled => CANCELLED,
        };
        metrics().queries_running.of([]).add(-1.0);
        metrics().query_duration.observe([outcome], self.began.elapsed());
        let mut all = lock(&self.registry.0.queries);
        if let Some(query) = all.get_mut(&self.id) {
            query.streams = query.streams.saturating_sub(1);
            // A cancelled one stays until it is old: its ticket must not run again.
            if query.streams == 0 && !query.stop.is_cancelled() {
                all.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Caller = Caller::ANONYMOUS;

    #[test]
    fn the_least_used_statement_goes_first() {
        let all = Registry::bounded(2, IDLE_MAX);
        let first = all.prepare(&ME, "SELECT 1", Arc::new(()));
        let second = all.prepare(&ME, "SELECT 2", Arc::new(()));
        all.statement(&ME, first).unwrap();
        let third = all.prepare(&ME, "SELECT 3", Arc::new(()));
        assert!(all.statement(&ME, first).is_ok());
        assert!(all.statement(&ME, third).is_ok());
        assert_eq!(all.statement(&ME, second).err().unwrap().code, "Q0106");
    }

    #[test]
    fn idle_statements_expire() {
        let all = Registry::bounded(10, Duration::ZERO);
        let first = all.prepare(&ME, "SELECT 1", Arc::new(()));
        all.prepare(&ME, "SELECT 2", Arc::new(()));
        assert!(all.statement(&ME, first).is_err());
        all.close(&ME, first);
    }

    #[test]
    fn an_entry_is_its_callers_alone() {
        let (all, other) = (Registry::default(), Caller::named("other"));
        let statement = all.prepare(&ME, "SELECT 1", Arc::new(()));
        assert_eq!(all.statement(&other, statement).err().unwrap().code, "Q0106");
        assert!(all.bind(&other, statement, None).is_err());
        all.close(&other, statement);
        assert!(all.statement(&ME, statement).is_ok());
        let id = Uuid::new_v4();
        let (_, running) = all.start(&ME, id).unwrap();
        assert!(all.start(&other, id).is_err());
        assert!(!all.cancel(&other, id) && !running.stop().is_cancelled());
        assert!(all.cancel(&ME, id) && running.stop().is_cancelled());
        drop(running);
        assert_eq!(all.start(&ME, id).err().unwrap().code, "Q0107");
    }
}
