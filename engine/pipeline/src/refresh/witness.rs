//! What a refresh looks up beside its work: the row or the group that made it fail, and whether it would change anything.
//!
//! Not here: how a failing row is found (`failing`).

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::LogicalPlan;
use futures::TryStreamExt;
use ingot_lake::{LakeTableProvider, ScanOptions, Table};
use ingot_query::context;

use super::act::Job;
use super::facts;
use super::spill::BoundedDiff;
use crate::error::{PipelineError, Result};
use crate::failing;

impl Job<'_> {
    /// The failure of a value, with the row where it is one row's of the only input, or the group.
    pub(super) async fn with_its_row(&self, error: PipelineError) -> PipelineError {
        let place = match self.failing_row().await {
            Some(row) => Some(row),
            None => self.failing_group().await,
        };
        match place {
            Some(place) => PipelineError::At { error: Box::new(error), place },
            None => error,
        }
    }

    async fn failing_group(&self) -> Option<String> {
        let plan = self.bind(&self.model.plan, &facts::full_scans(&self.inputs).await.ok()?).ok()?;
        let group = failing::witness_of_groups(self.ctx, &plan).await.ok()??;
        Some(format!("the group with {group}"))
    }

    async fn failing_row(&self) -> Option<String> {
        let mut scans = 0;
        let counted = self.model.plan.apply(|node| {
            scans += usize::from(matches!(node, LogicalPlan::TableScan(_)));
            Ok(TreeNodeRecursion::Continue)
        });
        let (Ok(_), 1, Some((name, input))) = (counted, scans, self.inputs.iter().next()) else { return None };
        let whole = input.full_scan().await.ok()?;
        let row = failing::witness(self.ctx, &self.model.plan, whole, self.now).await.ok()??;
        Some(format!("the row of \"{name}\" with {row}"))
    }

    /// Whether the query, over the inputs and at the time of this refresh, gives the rows that are stored.
    ///
    /// # Errors
    /// Lake and execution errors.
    pub(crate) async fn is_what_is_stored(&self, table: &Table) -> Result<bool> {
        let mut diff = BoundedDiff::new(table.schema(), self.ctx.runtime_env())?;
        let query = self.bind(&self.model.plan, &facts::full_scans(&self.inputs).await?)?;
        let mut wanted = context::stream(self.ctx, query).await?;
        while let Some(batch) = wanted.try_next().await? {
            diff.add(&batch, 1)?;
        }
        let provider = LakeTableProvider::try_new(table, ScanOptions::default()).await?;
        let mut stored = self.ctx.read_table(Arc::new(provider))?.execute_stream().await?;
        while let Some(batch) = stored.try_next().await? {
            diff.add(&batch, -1)?;
        }
        Ok(diff.finish()?.is_equal())
    }
}
