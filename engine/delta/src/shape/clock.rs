//! The clocks that a plan reads, and the plan at a fixed time.
//!
//! Not here: what time a refresh records (`pipeline`).

use arrow::datatypes::DataType;
use chrono::{DateTime, Utc};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator};

use crate::error::Result;

/// Functions that give the time of the query.
pub(crate) const CLOCKS: &[&str] = &["now", "current_date", "current_time"];

/// How the rows of a plan change by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Clock {
    /// With the date alone, in UTC.
    Day,
    /// At any time.
    Always,
}

/// The clock that a plan compares something with, if it does: rows then come and go although no data do. A clock that
/// is only shown (`now() AS computed_at`) says when the rows were computed, and asks for nothing.
pub fn clock(plan: &LogicalPlan) -> Option<Clock> {
    let mut found = None;
    let walked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|e| {
                let compares = match e {
                    Expr::BinaryExpr(b) => is_comparison(b.op),
                    Expr::Between(_) | Expr::InList(_) => true,
                    _ => false,
                };
                if compares {
                    e.apply(|e| {
                        found = found.max(read_clock(e));
                        Ok(TreeNodeRecursion::Continue)
                    })?;
                    return Ok(TreeNodeRecursion::Jump);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    // A plan that cannot be walked is taken for one that changes.
    if walked.is_ok() { found } else { Some(Clock::Always) }
}

fn is_comparison(op: Operator) -> bool {
    use Operator as O;
    matches!(op, O::Eq | O::NotEq | O::Lt | O::LtEq | O::Gt | O::GtEq | O::IsDistinctFrom | O::IsNotDistinctFrom)
}

fn read_clock(e: &Expr) -> Option<Clock> {
    match e {
        Expr::ScalarFunction(call) if call.func.name() == "current_date" => Some(Clock::Day),
        Expr::ScalarFunction(call) if CLOCKS.contains(&call.func.name()) => Some(Clock::Always),
        _ => None,
    }
}

/// The plan with `now()`, `current_timestamp`, `current_date`, `today()` and `current_time` replaced by constants.
/// Dates and times of day are those of UTC.
///
/// # Errors
/// When an expression has no type.
pub fn freeze_now(plan: &LogicalPlan, now: DateTime<Utc>) -> Result<LogicalPlan> {
    let frozen = plan.clone().transform_up_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let saved = names.save(&expr);
            let expr = expr.transform_up(|e| match &e {
                Expr::ScalarFunction(call) if CLOCKS.contains(&call.func.name()) => {
                    let target = e.get_type(&schema)?;
                    let value = clock_value(call.func.name(), now, &target).cast_to(&target)?;
                    Ok(Transformed::yes(Expr::Literal(value, None)))
                }
                _ => Ok(Transformed::no(e)),
            })?;
            Ok(expr.update_data(|e| saved.restore(e)))
        })
    })?;
    Ok(frozen.data)
}

fn clock_value(function: &str, now: DateTime<Utc>, target: &DataType) -> ScalarValue {
    let nanos_a_day = 86_400_000_000_000;
    let nanos = now.timestamp_nanos_opt();
    match (function, target) {
        ("current_date", _) => ScalarValue::Date32(i32::try_from(now.timestamp().div_euclid(86_400)).ok()),
        ("current_time", _) => ScalarValue::Time64Nanosecond(nanos.map(|n| n.rem_euclid(nanos_a_day))),
        // The zone changes how the instant is shown, not the instant.
        (_, DataType::Timestamp(_, zone)) => ScalarValue::TimestampNanosecond(nanos, zone.clone()),
        _ => ScalarValue::TimestampNanosecond(nanos, None),
    }
}
