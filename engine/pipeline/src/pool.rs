//! The memory that refreshes, verification, writers and clients' queries share.
//!
//! Consumers that spill share it fairly, and the others take what is free, as in DataFusion's `FairSpillPool`, but:
//! * A merge of files that a sort has spilled reads as many of them at a time as it can reserve buffers for, so the first
//!   one takes the whole pool and the next, of the same query or of another, fails. Here it reads no more than
//!   `files_at_once`, in more passes, and all come to their end.
//! * Shares count the idle, too. Where one is less than a sort needs to go on at all, a batch to begin with or two files
//!   to merge, that much is granted, past the limit if need be.
//!
//! Not here: what a comparison of rows spills (`spill`).

use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

/// Consumers of this name hold the buffers in which a sort merges (`datafusion-physical-plan`, `sorts/sort.rs`).
const MERGE: &str = "ExternalSorterMerge";
/// What is granted past the limit, of the pool: a consumer's first batch, and the least that a merge holds.
const FIRST_OF_POOL: usize = 16;
const MERGE_OF_POOL: usize = 8;
/// Files that a merge reads at a time: one for so many bytes of the pool.
const BYTES_A_FILE: usize = 16 << 20;
const FILES_MIN: usize = 4;
const FILES_MAX: usize = 64;
/// What a sort reserves for its merge before it begins, of the pool and at most.
const AHEAD_OF_POOL: usize = 64;
const AHEAD_BYTES_MAX: usize = 10 << 20;

/// A bounded pool in which no sort starves another.
#[derive(Debug)]
pub(crate) struct SharedPool {
    inner: FairSpillPool,
    bytes_max: usize,
}

impl SharedPool {
    pub fn new(bytes_max: usize) -> Self {
        Self { inner: FairSpillPool::new(bytes_max), bytes_max }
    }
}

/// How many spilled files a merge reads at a time, with a pool of this size.
pub(crate) fn files_at_once(bytes_max: usize) -> usize {
    (bytes_max / BYTES_A_FILE).clamp(FILES_MIN, FILES_MAX)
}

/// What sorts reserve ahead in a pool of this size.
pub(crate) fn sort_options(options: &mut ConfigOptions, pool: &dyn MemoryPool) {
    if let MemoryLimit::Finite(bytes_max) = pool.memory_limit() {
        options.execution.sort_spill_reservation_bytes = (bytes_max / AHEAD_OF_POOL).min(AHEAD_BYTES_MAX);
    }
}

fn merges(consumer: &MemoryConsumer) -> bool {
    !consumer.can_spill() && consumer.name().starts_with(MERGE)
}

impl MemoryPool for SharedPool {
    fn name(&self) -> &str {
        "shared"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.inner.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.inner.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.inner.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.inner.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let consumer = reservation.consumer();
        let least = match (merges(consumer), consumer.can_spill() && reservation.size() == 0) {
            (true, _) => self.bytes_max / MERGE_OF_POOL,
            (_, true) => self.bytes_max / FIRST_OF_POOL,
            _ => 0,
        };
        if reservation.size() + additional <= least {
            self.inner.grow(reservation, additional);
            return Ok(());
        }
        self.inner.try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.inner.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.inner.memory_limit()
    }
}

impl std::fmt::Display for SharedPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
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
        let merge = MemoryConsumer::new(format!("{MERGE}[0]")).register(&pool);
        merge.try_grow(125).unwrap();
        assert!(merge.try_grow(1).is_err());
        drop(join);
        merge.try_grow(500).unwrap();
        drop((sort, merge));
        assert_eq!(pool.reserved(), 0);
        let mut options = ConfigOptions::default();
        sort_options(&mut options, &SharedPool::new(64 << 20));
        assert_eq!(options.execution.sort_spill_reservation_bytes, 1 << 20);
        sort_options(&mut options, &GreedyMemoryPool::new(64 << 30));
        assert_eq!(options.execution.sort_spill_reservation_bytes, AHEAD_BYTES_MAX);
        assert_eq!([1, 64 << 20, 256 << 20, 64 << 30].map(files_at_once), [4, 4, 16, 64]);
    }
}
