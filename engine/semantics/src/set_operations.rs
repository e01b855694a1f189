//! EXCEPT ALL and INTERSECT ALL count copies: n copies on the left and m on the right leave max(n - m, 0) and min(n, m).
//!
//!   L EXCEPT ALL R ──▶ the copies of each row are numbered on both sides, and the number is one more key of the join
//!
//! DataFusion makes plain semi and anti joins of them, for which one equal row stands for all.
//!
//! Invariants
//! * EXCEPT and INTERSECT stay as they are: their left side is distinct.
//! * Of equal rows the canonical one is the result.
//!
//! Not here: UNION ALL, which is right.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::logical_plan::Distinct;
use datafusion::logical_expr::{Expr, ExprFunctionExt, Join, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::AnalyzerRule;

use crate::canonical::{canonical, holds_floats};

const LEFT_COPY: &str = "__ingot_copy_left";
const RIGHT_COPY: &str = "__ingot_copy_right";

/// Runs on plans whose types are coerced.
#[derive(Debug)]
pub(crate) struct SetOperations;

impl AnalyzerRule for SetOperations {
    fn name(&self) -> &str {
        "ingot_set_operations"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Join(join) if counts_copies(&join) => copies(join).map(Transformed::yes),
            other => Ok(Transformed::no(other)),
        })
        .data()
    }
}

/// Whether the planner made this join of EXCEPT ALL or INTERSECT ALL: no other join has all columns of both sides as
/// keys that match NULLs.
fn counts_copies(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && join.filter.is_none()
        && join.on.len() == join.left.schema().fields().len()
        && join.on.len() == join.right.schema().fields().len()
        && !matches!(join.left.as_ref(), LogicalPlan::Distinct(Distinct::All(_)))
        && !join.left.schema().fields().iter().any(|f| f.name() == LEFT_COPY)
}

fn copies(join: Join) -> Result<LogicalPlan> {
    let output: Vec<Expr> = join
        .left
        .schema()
        .iter()
        .map(|(qualifier, field)| {
            let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            match holds_floats(field.data_type()) {
                true => canonical(column).alias_qualified(qualifier.cloned(), field.name()),
                false => column,
            }
        })
        .collect();
    let number = |name: &str| Expr::Column(Column::new_unqualified(name));
    let mut on = join.on;
    on.push((number(LEFT_COPY), number(RIGHT_COPY)));
    let joined = LogicalPlan::Join(Join::try_new(
        Arc::new(numbered(&join.left, LEFT_COPY)?),
        Arc::new(numbered(&join.right, RIGHT_COPY)?),
        on,
        None,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?);
    LogicalPlanBuilder::from(joined).project(output)?.build()
}

/// The plan's columns and the number of each row among its copies.
fn numbered(plan: &LogicalPlan, name: &str) -> Result<LogicalPlan> {
    let columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let number = row_number().partition_by(columns.clone()).build()?;
    let numbered = LogicalPlanBuilder::from(plan.clone()).window(vec![number])?.build()?;
    let (qualifier, field) = numbered.schema().qualified_field(columns.len());
    let number = Expr::Column(Column::new(qualifier.cloned(), field.name())).alias(name);
    LogicalPlanBuilder::from(numbered.clone()).project(columns.into_iter().chain([number]))?.build()
}
