//! The DataFusion context in which tables are maintained and verified.
//!
//! Invariants
//! * Join dynamic filters are off: they lose NULL and NaN keys (datafusion 22964).
//! * `sum` and `avg` of floats are exact and independent of order; clients' own queries use DataFusion's.
//! * The time zone is UTC.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::TrackConsumersPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use futures::TryStreamExt;
use ingot_lake::Lake;

use crate::pool::{self, SharedPool};

/// The share of the memory (1/n) that parsed manifests take at most, and footers of data files as much.
const CACHED_OF_MEMORY: usize = 16;

/// A runtime with a bounded memory pool that spills to the system's temporary folder. A process has one: refreshes,
/// verification, writers and clients' queries share its pool. What is kept of files' metadata is within the bound, and what
/// it may take is not the pool's.
///
/// # Errors
/// When the disk manager cannot be made.
pub fn runtime(lake: &Lake, memory_bytes_max: usize) -> Result<Arc<RuntimeEnv>> {
    let cached = memory_bytes_max / CACHED_OF_MEMORY;
    lake.limit_caches(cached);
    let env = builder(memory_bytes_max - 2 * cached).with_metadata_cache_limit(cached).build_arc()?;
    lake.register(&env);
    Ok(env)
}

/// A runtime without a lake.
///
/// # Errors
/// When the disk manager cannot be made.
pub fn bounded(memory_bytes_max: usize) -> Result<Arc<RuntimeEnv>> {
    builder(memory_bytes_max).build_arc()
}

fn builder(memory_bytes_max: usize) -> RuntimeEnvBuilder {
    const NAMED_CONSUMERS: std::num::NonZeroUsize = std::num::NonZeroUsize::MIN.saturating_add(2);
    let pool = TrackConsumersPool::new(SharedPool::new(memory_bytes_max), NAMED_CONSUMERS);
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_max_spill_merge_fan_in(pool::files_at_once(memory_bytes_max))
}

/// A context for maintenance and verification on a shared runtime.
///
/// # Errors
/// When the exact aggregates cannot be registered.
pub fn maintenance(runtime: Arc<RuntimeEnv>) -> Result<SessionContext> {
    let cores = std::thread::available_parallelism().map_or(2, |n| n.get());
    let mut config = SessionConfig::new().with_target_partitions(cores).with_information_schema(false);
    ingot_semantics::exact_options(config.options_mut());
    pool::sort_options(config.options_mut(), runtime.memory_pool.as_ref());
    let mut ctx = SessionContext::new_with_state(ingot_semantics::state(config, runtime).build());
    ingot_delta::register(&mut ctx)?;
    Ok(ctx)
}

/// Runs a logical plan, lazily.
///
/// # Errors
/// Planning errors; execution errors come in the stream.
pub async fn stream(ctx: &SessionContext, plan: LogicalPlan) -> Result<SendableRecordBatchStream> {
    DataFrame::new(ctx.state(), plan).execute_stream().await
}

/// Runs a logical plan into memory; for changes, never for whole tables.
///
/// # Errors
/// Planning and execution errors.
pub async fn collect(ctx: &SessionContext, plan: LogicalPlan) -> Result<Vec<RecordBatch>> {
    let batches: Vec<RecordBatch> = stream(ctx, plan).await?.try_collect().await?;
    Ok(batches.into_iter().filter(|b| b.num_rows() > 0).collect())
}
