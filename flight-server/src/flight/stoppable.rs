//! A query's rows on their way to a client, until the last of them or until the query is cancelled.
//!
//! Invariant: a cancelled stream drops its plan at once, which stops the engine's tasks.
//!
//! Not here: which queries there are (`ingot_query::registry`).

use std::pin::Pin;
use std::task::{Context, Poll};

use arrow_flight::FlightData;
use futures::Stream;
use futures::stream::BoxStream;
use ingot_query::ErrorKind;
use ingot_query::registry::{Outcome, Running};
use ingot_telemetry::metrics;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Code, Status};

use crate::error::failed;

/// A result that ends with an error when its query is cancelled.
pub(crate) struct Stoppable {
    rows: Option<BoxStream<'static, Result<FlightData, Status>>>,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    running: Running,
}

impl Stoppable {
    /// The rows, until they end or the query is cancelled; the registry records how it ended.
    pub fn new(rows: BoxStream<'static, Result<FlightData, Status>>, mut running: Running) -> Self {
        // A stream that is dropped before its end was cancelled.
        running.ends(Outcome::Cancelled);
        Self { rows: Some(rows), stopped: Box::pin(running.stop().cancelled_owned()), running }
    }

    fn note(&mut self, item: Option<&Result<FlightData, Status>>) {
        match item {
            Some(Ok(data)) => {
                let bytes = data.data_header.len() + data.data_body.len();
                metrics().query_bytes.add([], bytes as u64);
            }
            Some(Err(status)) if status.code() == Code::Cancelled => {}
            Some(Err(_)) => self.running.ends(Outcome::Failed),
            None => self.running.ends(Outcome::Done),
        }
    }
}

impl Stream for Stoppable {
    type Item = Result<FlightData, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.as_mut().get_mut();
        let span = this.running.span().clone();
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
