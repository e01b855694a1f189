//! The memory that refreshes, verification, writers and clients' queries share.
//!
//! Consumers that spill share it fairly, and the others take what is free, as in DataFusion's `FairSpillPool`, but:
//! * Those that spill leave a quarter to those that cannot. Sorts that fill the pool could not be merged: an ORDER BY of
//!   as many bytes as the pool failed alone, and one beside it for want of a megabyte.
//! * A merge of files that a sort has spilled reads as many of them at a time as it can reserve buffers for, so the first
//!   one takes the whole pool and the next, of the same query or of another, fails. Here it reads no more than
//!   `files_at_once`, in more passes, and all come to their end.
//! * What a sort holds is sorted as one batch, in the bytes that are reserved for it already: merging its batches takes as
//!   many again, while others wait for the same.
//! * Shares count the idle, too. Where one is less than a sort needs to go on at all, a batch to begin with or two files
//!   to merge, that much is granted, past the limit if need be.
//!
//! Not here: what a comparison of rows spills (`spill`).

use std::sync::{Mutex, MutexGuard, PoisonError};

use datafusion::common::config::ConfigOptions;
use datafusion::common::{human_readable_size, resources_datafusion_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use ingot_telemetry::{Level, metrics};

/// Consumers of these names hold the buffers in which sorted rows are merged: of one sort, and of several
/// (`datafusion-physical-plan`, `sorts/sort.rs` and `sorts/sort_preserving_merge.rs`).
const MERGES: [&str; 2] = ["ExternalSorterMerge", "SortPreservingMergeExec"];
/// How the names of consumers begin, and what the metrics call them.
const CONSUMERS: [(&str, &str); 7] = [
    ("ExternalSorterMerge", "merge"),
    ("SortPreservingMerge", "merge"),
    ("ExternalSorter", "sort"),
    ("TopK", "sort"),
    ("GroupedHash", "aggregate"),
    ("HashJoin", "join"),
    ("NestedLoopJoin", "join"),
];
/// The share of the pool (1/n) that consumers which spill leave to the others.
const LEFT_OF_POOL: usize = 4;
/// Rows may take a little more memory in one batch than in several. A consumer whose share has become smaller may still
/// grow by this part (1/n) of what it holds, out of half of what is left to the others.
const ROUNDED_OF_HELD: usize = 16;
/// The share of the pool (1/n) that is granted past the limit, for a consumer's first batch and for the least that a
/// merge holds.
const FIRST_OF_POOL: usize = 16;
const MERGE_OF_POOL: usize = 8;
/// Files that a merge reads at a time: one for so many bytes of the pool.
const BYTES_A_FILE: usize = 16 << 20;
const FILES_MIN: usize = 4;
const FILES_MAX: usize = 64;
/// What a sort reserves for its merge before it begins, of the pool and at most.
const AHEAD_OF_POOL: usize = 64;
const AHEAD_BYTES_MAX: usize = 10 << 20;
/// What is sorted as one batch, at most: texts of a batch have no more than 2 GiB, and far less sorts sooner.
const ONE_BATCH_BYTES_MAX: usize = 64 << 20;

/// A bounded pool in which no sort starves another.
#[derive(Debug)]
pub(crate) struct SharedPool {
    bytes_max: usize,
    held: Mutex<Held>,
    metrics: HeldMetrics,
}

/// What is held, by what its consumers do, in the metrics of the process.
#[derive(Debug)]
struct HeldMetrics {
    kinds: [(&'static str, Level); CONSUMERS.len()],
    others: Level,
}

impl HeldMetrics {
    fn new() -> Self {
        let level = |name| metrics().memory.of([name]);
        Self { kinds: CONSUMERS.map(|(begins, name)| (begins, level(name))), others: level("other") }
    }

    fn note(&self, consumer: &MemoryConsumer, change: f64) {
        let known = self.kinds.iter().find(|(begins, _)| consumer.name().starts_with(begins));
        known.map_or(&self.others, |(_, level)| level).add(change);
    }
}

/// Bytes, and how many there are of those that spill.
#[derive(Debug, Default)]
struct Held {
    by_spillers: usize,
    by_others: usize,
    spillers: usize,
}

impl SharedPool {
    /// A pool of so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, held: Mutex::default(), metrics: HeldMetrics::new() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes a consumer that spills may hold.
    fn share(&self, held: &Held) -> usize {
        let free = self.bytes_max.saturating_sub(held.by_others);
        (free - free / LEFT_OF_POOL) / held.spillers.max(1)
    }

    fn exhausted(&self, reservation: &MemoryReservation, additional: usize, available: usize) -> DataFusionError {
        resources_datafusion_err!(
            "Failed to allocate additional {} for {} with {} already allocated for this reservation - {} of {} remain available for it",
            human_readable_size(additional),
            reservation.consumer().name(),
            human_readable_size(reservation.size()),
            human_readable_size(available),
            human_readable_size(self.bytes_max)
        )
    }
}

/// How many spilled files a merge reads at a time, with a pool of this size.
pub(crate) fn files_at_once(bytes_max: usize) -> usize {
    (bytes_max / BYTES_A_FILE).clamp(FILES_MIN, FILES_MAX)
}

/// What sorts reserve ahead, and sort as one batch, in a pool of this size.
pub(crate) fn sort_options(options: &mut ConfigOptions, pool: &dyn MemoryPool) {
    if let MemoryLimit::Finite(bytes_max) = pool.memory_limit() {
        options.execution.sort_spill_reservation_bytes = (bytes_max / AHEAD_OF_POOL).min(AHEAD_BYTES_MAX);
        options.execution.sort_in_place_threshold_bytes = bytes_max.min(ONE_BATCH_BYTES_MAX);
    }
}

fn merges(consumer: &MemoryConsumer) -> bool {
    !consumer.can_spill() && MERGES.iter().any(|name| consumer.name().starts_with(name))
}

impl MemoryPool for SharedPool {
    fn name(&self) -> &str {
        "shared"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.held().spillers += 1;
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            let mut held = self.held();
            held.spillers = held.spillers.saturating_sub(1);
        }
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.held().of(reservation, |bytes| bytes.saturating_add(additional));
        self.metrics.note(reservation.consumer(), additional as f64);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.held().of(reservation, |bytes| bytes.saturating_sub(shrink));
        self.metrics.note(reservation.consumer(), -(shrink as f64));
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let (consumer, size) = (reservation.consumer(), reservation.size());
        let least = match (merges(consumer), consumer.can_spill() && size == 0) {
            (true, _) => self.bytes_max / MERGE_OF_POOL,
            (_, true) => self.bytes_max / FIRST_OF_POOL,
            _ => 0,
        };
        let mut held = self.held();
        let (wanted, available) = match consumer.can_spill() {
            true => (size + additional, self.share(&held)),
            false => (additional, self.bytes_max.saturating_sub(held.by_spillers + held.by_others)),
        };
        let rounds_up = consumer.can_spill()
            && additional <= size / ROUNDED_OF_HELD
            && held.by_spillers + held.by_others + additional <= self.bytes_max - self.bytes_max / (2 * LEFT_OF_POOL);
        if wanted > available && size + additional > least && !rounds_up {
            drop(held);
            return Err(self.exhausted(reservation, additional, available));
        }
        held.of(reservation, |bytes| bytes.saturating_add(additional));
        drop(held);
        self.metrics.note(consumer, additional as f64);
        Ok(())
    }

    fn reserved(&self) -> usize {
        let held = self.held();
        held.by_spillers + held.by_others
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes_max)
    }
}

impl Held {
    fn of(&mut self, reservation: &MemoryReservation, change: impl Fn(usize) -> usize) {
        let bytes = if reservation.consumer().can_spill() { &mut self.by_spillers } else { &mut self.by_others };
        *bytes = change(*bytes);
    }
}

impl std::fmt::Display for SharedPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}(pool_size: {})", self.name(), human_readable_size(self.bytes_max))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
    use datafusion::arrow::datatypes::Int64Type;
    use datafusion::datasource::MemTable;
    use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryConsumer};
    use datafusion::prelude::SessionContext;
    use futures::TryStreamExt;

    use super::*;

    /// A context of four partitions over rows of about 150 bytes, `rows` of them, in no order.
    fn context(pool_bytes: usize, rows: i64) -> SessionContext {
        let env = crate::context::bounded(pool_bytes).unwrap();
        let ctx = crate::context::maintenance(env).unwrap();
        ctx.state_ref().write().config_mut().options_mut().execution.target_partitions = 4;
        let batch = |from: i64| {
            let ids: Vec<i64> = (from..from + 8192).map(|i| i.wrapping_mul(0x9E37_79B9) % rows).collect();
            let text: StringArray = ids.iter().map(|i| Some(format!("{i:0>120}"))).collect();
            RecordBatch::try_from_iter([
                ("k", Arc::new(Int64Array::from(ids)) as ArrayRef),
                ("t", Arc::new(text) as ArrayRef),
            ])
            .unwrap()
        };
        let parts: Vec<Vec<RecordBatch>> =
            (0..4).map(|p| (0..rows / 8192 / 4).map(|i| batch((i * 4 + p) * 8192)).collect()).collect();
        let table = MemTable::try_new(parts[0][0].schema(), parts).unwrap();
        ctx.register_table("t", Arc::new(table)).unwrap();
        ctx
    }

    /// The rows that an ordering over keys gives, and whether each key counts from one.
    async fn numbered(ctx: &SessionContext) -> Result<usize> {
        let sql = "SELECT k, row_number() OVER (PARTITION BY k ORDER BY t) AS n, t FROM t";
        let mut stream = ctx.sql(sql).await?.execute_stream().await?;
        let mut rows = 0;
        while let Some(batch) = stream.try_next().await? {
            rows += batch.num_rows();
            let least = batch.column(1).as_ref();
            assert!(
                datafusion::arrow::compute::cast(least, &datafusion::arrow::datatypes::DataType::Int64)
                    .unwrap()
                    .as_primitive::<Int64Type>()
                    .values()
                    .iter()
                    .all(|n| *n > 0)
            );
        }
        Ok(rows)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sorts_of_more_than_the_pool_come_to_their_end_side_by_side() {
        let rows = 8192 * 96;
        let ctx = context(64 << 20, rows);
        let (one, two, three) = tokio::join!(numbered(&ctx), numbered(&ctx), numbered(&ctx));
        for found in [one, two, three] {
            assert_eq!(found.unwrap(), rows as usize);
        }
        assert_eq!(ctx.runtime_env().memory_pool.reserved(), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_order_of_as_much_as_the_pool_comes_to_its_end_alone_and_among_others() {
        let rows = 8192 * 48;
        let ctx = context(64 << 20, rows);
        let ordered = || async {
            let mut stream = ctx.sql("SELECT t, k FROM t ORDER BY t").await?.execute_stream().await?;
            let (mut rows, mut last) = (0, String::new());
            while let Some(batch) = stream.try_next().await? {
                rows += batch.num_rows();
                for text in batch.column(0).as_string::<i32>().iter().flatten() {
                    assert!(last.as_str() <= text);
                    text.clone_into(&mut last);
                }
            }
            Ok::<_, DataFusionError>(rows)
        };
        assert_eq!(ordered().await.unwrap(), rows as usize);
        for found in futures::future::join_all((0..6).map(|_| ordered())).await {
            assert_eq!(found.unwrap(), rows as usize);
        }
        assert_eq!(ctx.runtime_env().memory_pool.reserved(), 0);
    }

    #[test]
    fn those_that_spill_leave_a_quarter() {
        let pool: Arc<dyn MemoryPool> = Arc::new(SharedPool::new(1600));
        let sorts: Vec<_> =
            (0..2).map(|_| MemoryConsumer::new("ExternalSorter").with_can_spill(true).register(&pool)).collect();
        for sort in &sorts {
            sort.try_grow(600).unwrap();
            assert!(sort.try_grow(38).is_err());
        }
        sorts[0].try_grow(37).unwrap();
        let join = MemoryConsumer::new("HashJoinInput").register(&pool);
        join.try_grow(363).unwrap();
        let error = join.try_grow(1).unwrap_err();
        assert!(error.to_string().contains("HashJoinInput with 363.0 B"), "{error}");
        let merge = MemoryConsumer::new("SortPreservingMergeExec[0]").register(&pool);
        merge.try_grow(200).unwrap();
        assert!(merge.try_grow(1).is_err());
        drop((sorts, join, merge));
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn whoever_can_go_on_by_spilling_begins_in_a_full_pool() {
        let pool: Arc<dyn MemoryPool> = Arc::new(SharedPool::new(1000));
        let join = MemoryConsumer::new("HashJoinInput").register(&pool);
        join.try_grow(1000).unwrap();
        assert!(join.try_grow(1).is_err());
        let sort = MemoryConsumer::new("ExternalSorter[0]").with_can_spill(true).register(&pool);
        assert!(sort.try_grow(63).is_err());
        sort.try_grow(62).unwrap();
        assert!(sort.try_grow(1).is_err());
        let merge = MemoryConsumer::new(format!("{}[0]", MERGES[0])).register(&pool);
        merge.try_grow(125).unwrap();
        assert!(merge.try_grow(1).is_err());
        drop(join);
        merge.try_grow(500).unwrap();
        drop((sort, merge));
        assert_eq!(pool.reserved(), 0);
        let mut options = ConfigOptions::default();
        sort_options(&mut options, &SharedPool::new(64 << 20));
        assert_eq!(options.execution.sort_spill_reservation_bytes, 1 << 20);
        assert_eq!(options.execution.sort_in_place_threshold_bytes, 64 << 20);
        sort_options(&mut options, &GreedyMemoryPool::new(64 << 30));
        assert_eq!(options.execution.sort_spill_reservation_bytes, AHEAD_BYTES_MAX);
        assert_eq!([1, 64 << 20, 256 << 20, 64 << 30].map(files_at_once), [4, 4, 16, 64]);
    }
}
