//! Queries between their ticket and their last row: kept plans, and the handle to stop them.
//!
//! Invariants
//! * Bounded: at most `QUERIES_MAX` waiting entries, each for at most `WAITING_MAX`.
//! * Forgetting an entry loses no query: its ticket plans it again.
//! * A cancelled stream drops its plan at once, which stops the engine's tasks.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arrow_flight::{CancelStatus, FlightData};
use futures::Stream;
use futures::stream::BoxStream;
use ingot_query::{ErrorKind, Planned};
use ingot_telemetry::{FAILED, OK, metrics, span};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Code, Status};
use tracing::{Span, debug_span};
use uuid::Uuid;

use crate::error::failed;

/// The outcome of a query that did not come to its end because nobody wants it any more.
const CANCELLED: &str = "cancelled";
const QUERIES_MAX: usize = 1_000;
const WAITING_MAX: Duration = Duration::from_secs(600);

/// The queries this server knows.
#[derive(Clone, Default)]
pub(crate) struct Queries(Arc<Mutex<HashMap<Uuid, Entry>>>);

struct Entry {
    stop: CancellationToken,
    /// Until the first DoGet takes it.
    planned: Option<Planned>,
    streams: usize,
    since: Instant,
}

impl Entry {
    fn new(planned: Option<Planned>) -> Self {
        Self { stop: CancellationToken::new(), planned, streams: 0, since: Instant::now() }
    }
}

impl Queries {
    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a plan for the ticket that was given out.
    pub fn announce(&self, id: Uuid, planned: Planned) {
        let mut all = self.lock();
        all.retain(|_, e| e.streams > 0 || e.since.elapsed() < WAITING_MAX);
        if all.len() >= QUERIES_MAX {
            let oldest = all.iter().filter(|(_, e)| e.streams == 0).min_by_key(|(_, e)| e.since).map(|(id, _)| *id);
            if let Some(oldest) = oldest {
                all.remove(&oldest);
            }
        }
        all.insert(id, Entry::new(Some(planned)));
    }

    /// Begins a stream: the kept plan if it is still here, and what ends the stream.
    pub fn start(&self, id: Uuid) -> Result<(Option<Planned>, Running), Status> {
        let mut all = self.lock();
        let entry = all.entry(id).or_insert_with(|| Entry::new(None));
        if entry.stop.is_cancelled() {
            return Err(failed(ErrorKind::Cancelled, "the query was cancelled"));
        }
        entry.streams += 1;
        let planned = entry.planned.take();
        let running = Running {
            queries: self.clone(),
            id,
            stop: entry.stop.clone(),
            began: Instant::now(),
            outcome: FAILED,
            span: debug_span!(span::QUERY, %id),
        };
        metrics().queries_running.of([]).add(1.0);
        Ok((planned, running))
    }

    /// Stops a query, whether its rows are on their way or not asked for yet.
    pub fn cancel(&self, id: Uuid) -> CancelStatus {
        match self.lock().get_mut(&id) {
            Some(entry) => {
                entry.planned = None;
                entry.stop.cancel();
                CancelStatus::Cancelled
            }
            // Done, or on another server.
            None => CancelStatus::NotCancellable,
        }
    }

    pub fn cancel_all(&self) {
        for entry in self.lock().values() {
            entry.stop.cancel();
        }
    }
}

/// One open stream of a query; dropping it forgets the query unless it was cancelled.
pub(crate) struct Running {
    queries: Queries,
    id: Uuid,
    stop: CancellationToken,
    began: Instant,
    /// As the metrics will have it.
    outcome: &'static str,
    span: Span,
}

impl Drop for Running {
    fn drop(&mut self) {
        metrics().queries_running.of([]).add(-1.0);
        metrics().query_duration.observe([self.outcome], self.began.elapsed());
        let mut all = self.queries.lock();
        if let Some(entry) = all.get_mut(&self.id) {
            entry.streams = entry.streams.saturating_sub(1);
            // A cancelled one stays until it is old: its ticket must not run again.
            if entry.streams == 0 && !entry.stop.is_cancelled() {
                all.remove(&self.id);
            }
        }
    }
}

/// A result that ends with an error when its query is cancelled.
pub(crate) struct Stoppable {
    rows: Option<BoxStream<'static, Result<FlightData, Status>>>,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    running: Running,
}

impl Stoppable {
    pub fn new(rows: BoxStream<'static, Result<FlightData, Status>>, mut running: Running) -> Self {
        // Whoever drops it before its end has cancelled it.
        running.outcome = CANCELLED;
        Self { rows: Some(rows), stopped: Box::pin(running.stop.clone().cancelled_owned()), running }
    }

    fn note(&mut self, item: Option<&Result<FlightData, Status>>) {
        match item {
            Some(Ok(data)) => {
                let bytes = data.data_header.len() + data.data_body.len();
                metrics().query_bytes.add([], bytes as u64);
            }
            Some(Err(status)) if status.code() == Code::Cancelled => {}
            Some(Err(_)) => self.running.outcome = FAILED,
            None => self.running.outcome = OK,
        }
    }
}

impl Stream for Stoppable {
    type Item = Result<FlightData, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.as_mut().get_mut();
        let span = this.running.span.clone();
        let _within = span.enter();
        let Some(rows) = this.rows.as_mut() else { return Poll::Ready(None) };
        if Future::poll(this.stopped.as_mut(), cx).is_ready() {
            this.rows = None;
            return Poll::Ready(Some(Err(failed(ErrorKind::Cancelled, "the query was cancelled"))));
        }
        let item = futures::ready!(rows.as_mut().poll_next(cx));
        this.note(item.as_ref());
        if !matches!(item, Some(Ok(_))) {
            this.rows = None;
        }
        Poll::Ready(item)
    }
}
