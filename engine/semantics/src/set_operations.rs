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
//! Their columns have one type on both sides, the one that UNION would give them: DataFusion keeps the left one.
//!
//! Not here: UNION ALL, which is right.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, JoinType, NullEquality, Result, plan_err};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::logical_plan::Distinct;
use datafusion::logical_expr::type_coercion::binary::type_union_coercion;
use datafusion::logical_expr::{Expr, ExprFunctionExt, Join, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion::optimizer::AnalyzerRule;

use crate::canonical::{canonical, has_equals};
use crate::decimal::to_double;
use crate::type_names::type_name;

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

/// Whether the planner made this join of EXCEPT ALL or INTERSECT ALL.
fn counts_copies(join: &Join) -> bool {
    is_set_operation(join)
        && !matches!(join.left.as_ref(), LogicalPlan::Distinct(Distinct::All(_)))
        && !join.left.schema().fields().iter().any(|f| f.name() == LEFT_COPY)
}

/// Whether the planner made this join of EXCEPT or INTERSECT: no other join has all columns of both sides as keys that
/// match NULLs.
pub(crate) fn is_set_operation(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && join.filter.is_none()
        && join.on.len() == join.left.schema().fields().len()
        && join.on.len() == join.right.schema().fields().len()
        && !join.left.schema().fields().is_empty()
        && join.on.iter().all(|(l, r)| matches!((l, r), (Expr::Column(_), Expr::Column(_))))
}

/// A whole number and a DATE are no values of one type, though DataFusion counts days from 1970.
///
/// # Errors
/// When such types stand in one column.
pub(crate) fn refuse_unlike(types: &[DataType]) -> Result<()> {
    let date = types.iter().any(|t| matches!(t, DataType::Date32 | DataType::Date64));
    match types.iter().find(|t| t.is_integer()) {
        Some(whole) if date => plan_err!("a column cannot be DATE and {} at once: CAST one of them", type_name(whole)),
        _ => Ok(()),
    }
}

/// The type of a column that has these types on the two sides.
pub(crate) fn common(left: &DataType, right: &DataType) -> Result<DataType> {
    use DataType::{Date32, Date64, Float64, Timestamp};
    refuse_unlike(&[left.clone(), right.clone()])?;
    Ok(match (left, right) {
        (l, r) if l == r => l.clone(),
        (l, r) if (l.is_decimal() && r.is_floating()) || (l.is_floating() && r.is_decimal()) => Float64,
        (Date32 | Date64, stamp @ Timestamp(..)) | (stamp @ Timestamp(..), Date32 | Date64) => stamp.clone(),
        (l, r) => match type_union_coercion(l, r) {
            Some(common) => common,
            None => return plan_err!("{} and {} have no common type: CAST one of them", type_name(l), type_name(r)),
        },
    })
}

/// The join with one type for each column of its sides.
///
/// # Errors
/// When a column has types without a common one.
pub(crate) fn one_type(mut join: Join) -> Result<Join> {
    let sides = join.left.schema().fields().iter().zip(join.right.schema().fields().iter());
    let types = sides.map(|(l, r)| common(l.data_type(), r.data_type())).collect::<Result<Vec<_>>>()?;
    join.left = match join.left.as_ref() {
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let input = with_types(input, &types)?;
            Arc::new(LogicalPlan::Distinct(Distinct::All(input)))
        }
        _ => with_types(&join.left, &types)?,
    };
    join.right = with_types(&join.right, &types)?;
    Ok(join)
}

pub(crate) fn with_types(plan: &Arc<LogicalPlan>, types: &[DataType]) -> Result<Arc<LogicalPlan>> {
    if plan.schema().fields().iter().zip(types).all(|(f, t)| f.data_type() == t) {
        return Ok(Arc::clone(plan));
    }
    let exprs: Vec<Expr> = plan
        .schema()
        .iter()
        .zip(types)
        .map(|((qualifier, field), to)| {
            let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            match field.data_type() == to {
                true => column,
                false if to.is_floating() => {
                    let double = to_double(column.clone(), field.data_type());
                    let typed = if double == column { cast(column, to.clone()) } else { double };
                    typed.alias_qualified(qualifier.cloned(), field.name())
                }
                false => cast(column, to.clone()).alias_qualified(qualifier.cloned(), field.name()),
            }
        })
        .collect();
    Ok(Arc::new(LogicalPlanBuilder::from(plan.as_ref().clone()).project(exprs)?.build()?))
}

fn copies(join: Join) -> Result<LogicalPlan> {
    let output: Vec<Expr> = join
        .left
        .schema()
        .iter()
        .map(|(qualifier, field)| {
            let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            match has_equals(field.data_type()) {
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
