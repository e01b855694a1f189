//! Where queries run: threads of their own, so that a query that computes for minutes keeps nobody from being
//! answered, or from cancelling it.
//!
//! Invariants
//! * The engine's tasks never run on the caller's threads.
//! * Dropping a result stops its tasks at their next yield; joins yield between their batches.
//! * At most two batches wait for a slow reader.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

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
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::error::{ErrorKind, QueryError};

const BATCHES_WAITING_MAX: usize = 2;

/// Threads for queries. They end in the background when the last session goes.
pub(super) struct QueryThreads(Option<Runtime>);

impl QueryThreads {
    pub fn new(count: usize) -> Result<Self, QueryError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(count.max(1))
            .thread_name("ingot-query")
            .enable_all()
            .build()
            .map_err(|e| QueryError::new(ErrorKind::Resources, format!("no threads for queries: {e}")))?;
        Ok(Self(Some(runtime)))
    }

    /// Starts a plan.
    ///
    /// # Errors
    /// Of starting; those of running come in the stream.
    pub fn start(&self, plan: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(runtime) = &self.0 else {
            return Err(DataFusionError::Internal("the query threads have ended".to_owned()));
        };
        let schema = plan.schema();
        let (send, receive) = mpsc::channel(BATCHES_WAITING_MAX);
        let rows = {
            // Operators may start tasks at once.
            let _entered = runtime.enter();
            execute_stream(plan, context)?
        };
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

impl Drop for QueryThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
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
pub(super) struct YieldingJoins;

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
