//! Where queries are planned and run: threads of their own, so that a query that computes for minutes keeps nobody
//! from being answered, or from cancelling it.
//!
//!   plan: one thread a statement, as many as there are places      run: one thread a core, tasks take turns
//!
//! Invariants
//! * The engine's tasks never run on the caller's threads, and neither does planning.
//! * All these threads have a stack that fits the deepest plan of a statement within the dialect's bounds.
//! * Planning ends soon after its caller goes, and at its deadline.
//! * Dropping a result stops its tasks at their next yield; joins yield between their batches.
//! * At most two batches wait for a slow reader.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{FutureExt, StreamExt};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::error::{ErrorKind, QueryError};
use crate::watch::{Watch, watched};

const BATCHES_WAITING_MAX: usize = 2;
/// Statements that are planned at the same time. The system shares the cores out among them, so that a small one does
/// not wait for large ones.
const PLANNING_MAX: usize = 64;

/// The stack of threads that plan and run queries; what is not used takes no memory.
pub const STACK_BYTES: usize = 64 << 20;

/// Threads for queries. They end in the background when the last session goes.
pub(crate) struct QueryThreads {
    runtime: Option<Runtime>,
    places: Arc<Semaphore>,
    planning_max: Duration,
}

impl QueryThreads {
    /// So many threads, and how long planning may take.
    ///
    /// # Errors
    /// When their runtime cannot be made.
    pub fn new(count: usize, planning_max: Duration) -> Result<Self, QueryError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(count.max(1))
            .thread_stack_size(STACK_BYTES)
            .thread_name("ingot-query")
            .enable_all()
            .build()
            .map_err(|e| QueryError::new(ErrorKind::Resources, format!("no threads for queries: {e}")))?;
        Ok(Self { runtime: Some(runtime), places: Arc::new(Semaphore::new(PLANNING_MAX)), planning_max })
    }

    /// Runs a part of planning on a thread for it. Dropping the future ends the work at its next look at the watch.
    ///
    /// # Errors
    /// Those of `work`; `Deadline`; `Internal` where it panics.
    pub async fn plan<T, F>(&self, work: impl FnOnce() -> F + Send + 'static) -> Result<T, QueryError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, QueryError>>,
    {
        let ended = || QueryError::new(ErrorKind::Internal, "the query threads have ended");
        let runtime = self.runtime.as_ref().ok_or_else(ended)?;
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| ended())?;
        let cancelled = CancellationToken::new();
        let _guard = cancelled.clone().drop_guard();
        let watch = Watch { cancelled, until: Instant::now() + self.planning_max };
        let handle = runtime.handle().clone();
        let task = runtime.spawn_blocking(move || {
            let _place = place;
            let run = || {
                handle.block_on(async {
                    let result = tokio::select! {
                        biased;
                        () = watch.cancelled.cancelled() => Err(QueryError::new(ErrorKind::Cancelled, "the query was cancelled")),
                        result = async { work().await } => result,
                        () = tokio::time::sleep_until(watch.until.into()) => watch.check().and_then(|()| Err(ended())),
                    };
                    result
                })
            };
            watched(watch.clone(), || std::panic::catch_unwind(AssertUnwindSafe(run)))
        });
        match task.await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(QueryError::new(ErrorKind::Internal, "the engine panicked while planning the statement")),
            Err(_) => Err(ended()),
        }
    }

    /// Statements that could begin to be planned now.
    #[cfg(test)]
    pub fn free(&self) -> usize {
        self.places.available_permits()
    }

    /// Starts a plan that was opened.
    ///
    /// # Errors
    /// When the threads have ended; those of running come in the stream.
    pub fn start(&self, rows: SendableRecordBatchStream) -> Result<SendableRecordBatchStream> {
        let Some(runtime) = &self.runtime else {
            return Err(DataFusionError::Internal("the query threads have ended".to_owned()));
        };
        let schema = rows.schema();
        let (send, receive) = mpsc::channel(BATCHES_WAITING_MAX);
        let task = runtime.spawn(async move {
            let panics = send.clone();
            if AssertUnwindSafe(pump(rows, send)).catch_unwind().await.is_err() {
                let error = QueryError::new(ErrorKind::Internal, "the engine panicked while running the query");
                // The reader may be gone.
                let _ = panics.send(Err(DataFusionError::External(Box::new(error)))).await;
            }
        });
        let state = (receive, AbortOnDrop(task.abort_handle()));
        let batches = futures::stream::unfold(state, |(mut receive, task)| async move {
            receive.recv().await.map(|b| (b, (receive, task)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// A plan's rows, before any of them is asked for. To be called on a query thread.
///
/// # Errors
/// Those of operators that refuse to start.
pub(crate) fn open(plan: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
    execute_stream(plan, context)
}

impl Drop for QueryThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for it would block, which async callers must not.
            runtime.shutdown_background();
        }
    }
}

async fn pump(mut rows: SendableRecordBatchStream, send: mpsc::Sender<Result<RecordBatch>>) {
    while let Some(batch) = rows.next().await {
        let failed = batch.is_err();
        if send.send(batch).await.is_err() || failed {
            return;
        }
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Lets joins yield. The engine's own rule makes the leaves yield, but a join may make a great many rows of one
/// batch of its input.
#[derive(Debug)]
pub(crate) struct YieldingJoins;

impl PhysicalOptimizerRule for YieldingJoins {
    fn name(&self) -> &str {
        "yielding_joins"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let wrapped = plan.transform_up(|node| {
            let any: &dyn Any = node.as_ref();
            if any.is::<NestedLoopJoinExec>()
                || any.is::<CrossJoinExec>()
                || any.is::<HashJoinExec>()
                || any.is::<SortMergeJoinExec>()
            {
                Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>))
            } else {
                Ok(Transformed::no(node))
            }
        })?;
        Ok(wrapped.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}
