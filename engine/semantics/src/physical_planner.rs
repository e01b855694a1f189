//! From an optimized plan to the plan that runs.
//!
//! Not here: rules over the plan that runs (`state`).

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};

use crate::correlated::refuse_left_over;
use crate::explained::explained;
use crate::fence::FencePlanner;
use crate::named_failures::name_failures;

/// Plans fences (`fence`), and all else as DataFusion does. Failures get their names here (`named_failures`), and EXPLAIN its text
/// (`explained`).
#[derive(Debug)]
pub(crate) struct OurPlanner;

#[async_trait]
impl QueryPlanner for OurPlanner {
    async fn create_physical_plan(
        &self,
        logical_plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        refuse_left_over(logical_plan)?;
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(FencePlanner)]);
        let physical = planner.create_physical_plan(&name_failures(logical_plan)?, session).await?;
        explained(logical_plan, physical)
    }
}
