//! Ends planning whose caller has gone, or that takes too long.
//!
//! The engine's planner has no hook for this, so its rules are wrapped: each looks at the watch of its thread before
//! it goes on, the optimizer's for each node of the plan. A rule within one node cannot be ended: the bounds of a
//! statement's size (`ingot_dialect`) keep one node small, and so does `EXPRESSIONS_MAX` here.
//!
//! Invariants
//! * A thread without a watch plans as the engine does: the wrapped rules change nothing.
//! * A node of a plan has a bounded number of expressions, before and after each rule.
//!
//! Not here: the threads that plan (`running`).

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::error::DataFusionError;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::{AnalyzerRule, ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion::physical_optimizer::{PhysicalOptimizerContext, PhysicalOptimizerRule};
use datafusion::physical_plan::ExecutionPlan;
use tokio_util::sync::CancellationToken;

use crate::error::{ErrorKind, QueryError};

/// Operators of a plan.
const OPERATORS_MAX: usize = 5_000;
/// Expressions of one operator, each part of an expression counted.
const EXPRESSIONS_MAX: usize = 200_000;

/// When a thread must stop planning: at a deadline, or when the query is cancelled.
#[derive(Clone)]
pub(crate) struct Watch {
    pub cancelled: CancellationToken,
    pub until: Instant,
}

impl Watch {
    /// Whether the query may go on.
    ///
    /// # Errors
    /// When the query was cancelled or its time is up.
    pub fn check(&self) -> Result<(), QueryError> {
        if self.cancelled.is_cancelled() {
            return Err(QueryError::new(ErrorKind::Cancelled, "the query was cancelled"));
        }
        if Instant::now() >= self.until {
            return Err(QueryError::new(ErrorKind::Deadline, "the statement took too long to plan")
                .with_hint("make it simpler: fewer joins, subqueries and repeated expressions"));
        }
        Ok(())
    }
}

thread_local! {
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

/// Runs `work` under a watch.
pub(crate) fn watched<T>(watch: Watch, work: impl FnOnce() -> T) -> T {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            WATCH.with(|w| w.borrow_mut().take());
        }
    }
    WATCH.with(|w| *w.borrow_mut() = Some(watch));
    let _reset = Reset;
    work()
}

/// Whether the thread may go on planning.
pub(crate) fn check() -> Result<()> {
    WATCH.with(|w| w.borrow().as_ref().map_or(Ok(()), Watch::check)).map_err(|e| DataFusionError::External(Box::new(e)))
}

/// A state whose planning can be ended.
pub(crate) fn watchful(state: SessionState) -> SessionState {
    let mut builder = SessionStateBuilder::new_from_existing(state);
    if let Some(analyzer) = builder.analyzer() {
        analyzer.rules =
            analyzer.rules.drain(..).map(|r| Arc::new(Watched(r)) as Arc<dyn AnalyzerRule + Send + Sync>).collect();
    }
    if let Some(optimizer) = builder.optimizer() {
        optimizer.rules =
            optimizer.rules.drain(..).map(|r| Arc::new(Watched(r)) as Arc<dyn OptimizerRule + Send + Sync>).collect();
    }
    if let Some(optimizer) = builder.physical_optimizers() {
        optimizer.rules = optimizer
            .rules
            .drain(..)
            .map(|r| Arc::new(Watched(r)) as Arc<dyn PhysicalOptimizerRule + Send + Sync>)
            .collect();
    }
    if let Some(planners) = builder.expr_planners() {
        planners.insert(0, Arc::new(WatchedOperators));
    }
    builder.build()
}

#[derive(Debug)]
struct Watched<R>(R);

impl AnalyzerRule for Watched<Arc<dyn AnalyzerRule + Send + Sync>> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        check()?;
        self.0.analyze(plan, config)
    }
}

impl OptimizerRule for Watched<Arc<dyn OptimizerRule + Send + Sync>> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        check()?;
        if self.name() == "push_down_filter" && grows_beyond_bounds(&plan)? {
            return Ok(Transformed::no(plan));
        }
        let plan = self.0.rewrite(plan, config)?;
        if plan.transformed {
            bounded(&plan.data)?;
        }
        Ok(plan)
    }
}

impl PhysicalOptimizerRule for Watched<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        check()?;
        self.0.optimize(plan, config)
    }

    fn optimize_with_context(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        context: &dyn PhysicalOptimizerContext,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        check()?;
        self.0.optimize_with_context(plan, context)
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Asked for each operator of the text, before any plan is there.
#[derive(Debug)]
struct WatchedOperators;

impl ExprPlanner for WatchedOperators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, _schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        check()?;
        Ok(PlannerResult::Original(expr))
    }
}

/// Refuses a plan that is too large to be optimized. CTEs and views are shared in it and would be walked each time.
///
/// # Errors
/// `TooLarge`.
pub(crate) fn bounded_plan(plan: &LogicalPlan) -> Result<()> {
    let mut operators = 0;
    plan.apply_with_subqueries(|node| {
        operators += 1;
        if operators > OPERATORS_MAX {
            return Err(too_large(format!("the statement's plan has more than {OPERATORS_MAX} operators")));
        }
        bounded(node)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

fn bounded(node: &LogicalPlan) -> Result<()> {
    let mut left = EXPRESSIONS_MAX;
    node.apply_expressions(|e| {
        spend(e, &mut left)?;
        Ok(if left == 0 { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if left == 0 {
        return Err(too_large(format!("a part of the statement has more than {EXPRESSIONS_MAX} expressions")));
    }
    Ok(())
}

/// Takes an expression's size off, down to 0.
fn spend(e: &Expr, left: &mut usize) -> Result<()> {
    e.apply(|_| {
        *left = left.saturating_sub(1);
        Ok(if *left == 0 { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(())
}

/// Whether pushing a filter into its projection writes out more than may be: `a + a` over `a + a` over ... doubles at
/// each level. Such a filter stays where it is.
fn grows_beyond_bounds(plan: &LogicalPlan) -> Result<bool> {
    let LogicalPlan::Filter(filter) = plan else { return Ok(false) };
    let LogicalPlan::Projection(projection) = filter.input.as_ref() else { return Ok(false) };
    let mut sizes = Vec::new();
    for e in &projection.expr {
        let mut left = EXPRESSIONS_MAX;
        spend(e, &mut left)?;
        sizes.push(EXPRESSIONS_MAX - left);
    }
    let mut grown = 0_usize;
    filter.predicate.apply(|e| {
        let size = match e {
            Expr::Column(c) => index_of(&projection.schema, c).and_then(|i| sizes.get(i).copied()).unwrap_or(1),
            _ => 1,
        };
        grown = grown.saturating_add(size);
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(grown > EXPRESSIONS_MAX / 10)
}

fn index_of(schema: &DFSchema, column: &Column) -> Option<usize> {
    schema.maybe_index_of_column(column)
}

fn too_large(message: String) -> DataFusionError {
    let error = QueryError::new(ErrorKind::TooLarge, message);
    DataFusionError::External(Box::new(error.with_hint("break it into several statements")))
}
