//! What a stream hands over: rows, errors and the ranges of offsets they cover.
//!
//! Invariants
//! * `from` of a partition's range is `to` of its previous one; ranges are half-open and never empty.
//! * `delivered` = rows + errors.
//!
//! Not here: when a batch closes (`reader`).

use arrow::array::RecordBatch;
use std::collections::BTreeMap;
use std::time::Duration;

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
    pub partitions: BTreeMap<i32, PartitionBatch>,
    pub bytes: usize,
}

/// One partition's part of a batch.
#[derive(Debug, Clone)]
pub struct PartitionBatch {
    pub from: i64,
    /// The consumer's position: past control records and aborted transactions.
    pub to: i64,
    /// The leader epoch of `to`, where the broker tells.
    pub epoch: Option<i32>,
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
