//! What a stream hands over: rows, errors and the ranges of places they cover.
//!
//!   the connector's reader (a thread) ◀── orders ── BatchStream ── batches ──▶ whoever reads the source
//!
//! Invariants
//! * `from` of a partition's range is `to` of its previous one; ranges are half-open and never empty.
//! * `delivered` = rows + errors.
//! * Dropping a stream ends its reader; dropping the future of a batch loses none.
//!
//! Not here: when a batch closes (the connector's reader).

#[cfg(feature = "kafka")]
use crate::error::SourceError;
use arrow::array::RecordBatch;
use ingot_model::{Partition, Position};
use serde_json::Value;
use std::collections::BTreeMap;
#[cfg(feature = "kafka")]
use std::sync::mpsc as blocking;
use std::time::Duration;
#[cfg(feature = "kafka")]
use tokio::sync::mpsc;

/// Bytes of decoded messages in one batch at most, whatever is configured: Arrow's offsets are 32 bits wide.
pub const BYTES_MAX: usize = 512 << 20;

/// When a batch closes: at the first of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Keys, payloads and a fixed cost a message.
    pub bytes_max: usize,
    /// Since the batch's first message.
    pub interval: Duration,
    /// Nothing came for so long, and every partition is at its end.
    pub idle: Duration,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { bytes_max: 64 << 20, interval: Duration::from_secs(1), idle: Duration::from_millis(100) }
    }
}

/// The partitions whose position moved.
#[derive(Debug, Clone)]
pub struct SourceBatch {
    pub partitions: BTreeMap<Partition, PartitionBatch>,
    /// What the messages cost in memory.
    pub bytes: usize,
}

/// One partition's part of a batch.
#[derive(Debug, Clone)]
pub struct PartitionBatch {
    /// The first place of the range.
    pub from: Position,
    /// Where to read on: past what the source never delivers, too.
    pub to: Position,
    /// What the connector knows of `to` beside its order.
    pub facts: BTreeMap<String, Value>,
    /// Messages, decoded or not.
    pub delivered: u64,
    /// Declared columns, then INCLUDE columns, in offset order.
    pub rows: RecordBatch,
    /// One row a message that did not decode (`error_schema`).
    pub errors: RecordBatch,
    /// The message of each row (`error_schema`, code and reason NULL), where the schema says to keep them.
    pub kept: Option<RecordBatch>,
}

impl SourceBatch {
    /// Messages in all partitions.
    pub fn delivered(&self) -> u64 {
        self.partitions.values().map(|p| p.delivered).sum()
    }
}

#[cfg(feature = "kafka")]
/// What a stream wants of its reader.
pub(crate) enum Order {
    Batch,
    Close,
}

#[cfg(feature = "kafka")]
/// Batches of one source. While the caller works on one, the next is read, up to its limit of bytes.
pub struct BatchStream {
    order: blocking::Sender<Order>,
    batches: mpsc::Receiver<Result<SourceBatch, SourceError>>,
    /// A batch was ordered and has not come.
    wanted: bool,
    over: bool,
}

#[cfg(feature = "kafka")]
impl BatchStream {
    /// A stream of what a reader sends that obeys these orders.
    pub(crate) fn new(
        order: blocking::Sender<Order>,
        batches: mpsc::Receiver<Result<SourceBatch, SourceError>>,
    ) -> Self {
        BatchStream { order, batches, wanted: false, over: false }
    }

    /// The next batch; `None` when `until` is reached everywhere, or after `close`. May be dropped and called again.
    ///
    /// # Errors
    /// A loss, or a broker that refuses; the stream is over then.
    pub async fn next(&mut self) -> Result<Option<SourceBatch>, SourceError> {
        if self.over {
            return Ok(None);
        }
        if !self.wanted {
            // A reader that is gone has closed the other channel, too.
            self.wanted = self.order.send(Order::Batch).is_ok();
        }
        match self.batches.recv().await {
            Some(Ok(batch)) => {
                self.wanted = false;
                Ok(Some(batch))
            }
            Some(Err(error)) => {
                self.over = true;
                Err(error)
            }
            None => {
                self.over = true;
                Ok(None)
            }
        }
    }

    /// Stops reading: `next` still gives what was read, positions that moved without messages among it, then `None`.
    pub fn close(&self) {
        // A reader that is gone is closed.
        let _ = self.order.send(Order::Close);
    }
}
