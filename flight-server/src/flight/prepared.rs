//! Prepared statements: the text and, once bound, a row of parameters, by handle.
//!
//! Invariants
//! * Bounded in number and in idle time; the least used goes first, and its handle says so afterwards.
//! * Nothing is pinned: every execution reads the heads of its own time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use bytes::Bytes;
use ingot_query::{ErrorKind, QueryError};
use tonic::Status;
use uuid::Uuid;

use crate::error::status;
use crate::flight::jdbc::Sent;

const STATEMENTS_MAX: usize = 10_000;
/// How long a statement is kept without being used.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(3_600);

/// The prepared statements of all clients.
pub(crate) struct PreparedStatements {
    all: Mutex<HashMap<Uuid, Entry>>,
    count_max: usize,
    idle_max: Duration,
}

struct Entry {
    sql: Arc<str>,
    /// Of a client that converts values to the types it is told.
    sent: Vec<Sent>,
    params: Option<RecordBatch>,
    used: Instant,
}

impl Default for PreparedStatements {
    fn default() -> Self {
        Self::bounded(STATEMENTS_MAX, IDLE_MAX)
    }
}

impl PreparedStatements {
    pub fn bounded(count_max: usize, idle_max: Duration) -> Self {
        Self { all: Mutex::default(), count_max, idle_max }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Entry>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handle for a statement.
    pub fn prepare(&self, sql: &str, sent: Vec<Sent>) -> Bytes {
        let id = Uuid::new_v4();
        let mut all = self.lock();
        all.retain(|_, e| e.used.elapsed() < self.idle_max);
        while all.len() >= self.count_max {
            let Some(oldest) = all.iter().min_by_key(|(_, e)| e.used).map(|(id, _)| *id) else { break };
            all.remove(&oldest);
        }
        all.insert(id, Entry { sql: sql.into(), sent, params: None, used: Instant::now() });
        Bytes::copy_from_slice(id.as_bytes())
    }

    /// The statement and its row of parameters.
    pub fn get(&self, handle: &[u8]) -> Result<(Arc<str>, Option<RecordBatch>), Status> {
        self.entry(handle, |e| (Arc::clone(&e.sql), e.params.clone()))
    }

    /// How the values of its parameters come, if not as they are bound.
    pub fn sent(&self, handle: &[u8]) -> Result<Vec<Sent>, Status> {
        self.entry(handle, |e| e.sent.clone())
    }

    pub fn bind(&self, handle: &[u8], params: Option<RecordBatch>) -> Result<(), Status> {
        self.entry(handle, |e| e.params = params)
    }

    /// Closing twice is no error.
    pub fn close(&self, handle: &[u8]) {
        if let Ok(id) = Uuid::from_slice(handle) {
            self.lock().remove(&id);
        }
    }

    fn entry<T>(&self, handle: &[u8], use_it: impl FnOnce(&mut Entry) -> T) -> Result<T, Status> {
        let mut all = self.lock();
        let entry = Uuid::from_slice(handle).ok().and_then(|id| all.get_mut(&id));
        match entry {
            Some(e) => {
                e.used = Instant::now();
                Ok(use_it(e))
            }
            None => Err(status(
                &QueryError::new(
                    ErrorKind::UnknownHandle,
                    "the prepared statement is unknown: closed, expired, or made by another server",
                )
                .with_hint("prepare it again"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_used_statement_goes_first() {
        let all = PreparedStatements::bounded(2, IDLE_MAX);
        let first = all.prepare("SELECT 1", Vec::new());
        let second = all.prepare("SELECT 2", Vec::new());
        all.get(&first).unwrap();
        let third = all.prepare("SELECT 3", Vec::new());
        assert!(all.get(&first).is_ok());
        assert!(all.get(&third).is_ok());
        let gone = all.get(&second).unwrap_err();
        assert!(gone.message().starts_with("Q0106"), "{gone}");
    }

    #[test]
    fn idle_statements_expire() {
        let all = PreparedStatements::bounded(10, Duration::ZERO);
        let first = all.prepare("SELECT 1", Vec::new());
        all.prepare("SELECT 2", Vec::new());
        assert!(all.get(&first).is_err());
        all.close(&first);
    }
}
