//! Rows of which no column is wanted: as many as manifests say there are.
//!
//! Invariants
//! * The count is exact.
//!
//! Not here: when it is known without opening a manifest (`provider`).

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics, exec_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::stream;

/// So many rows without columns.
#[derive(Debug)]
pub(crate) struct CountedRowsExec {
    rows: usize,
    properties: Arc<PlanProperties>,
}

impl CountedRowsExec {
    /// `schema` has no columns.
    pub(crate) fn new(schema: SchemaRef, rows: usize) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { rows, properties: Arc::new(properties) }
    }
}

impl DisplayAs for CountedRowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CountedRowsExec: rows={}", self.rows)
    }
}

impl ExecutionPlan for CountedRowsExec {
    fn name(&self) -> &str {
        "CountedRowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { exec_err!("a scan has no inputs") }
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (schema, size) = (self.schema(), context.session_config().batch_size().max(1));
        let of = Arc::clone(&schema);
        let batches = stream::unfold(self.rows, move |left| {
            let schema = Arc::clone(&of);
            async move {
                let rows = left.min(size);
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                let batch = || RecordBatch::try_new_with_options(schema, vec![], &options);
                (rows > 0).then(|| (batch().map_err(DataFusionError::from), left - rows))
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn partition_statistics(&self, _: Option<usize>) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        statistics.num_rows = Precision::Exact(self.rows);
        Ok(Arc::new(statistics))
    }
}
