//! What type coercion leaves: arithmetic over operands that it made exact, casts (`narrow`),
//! decimal constants that became DOUBLE, sums beside DISTINCT aggregates.
//!
//! Not here: what must happen before coercion (`widen`), guards (`guard`).

use std::sync::Arc;

use arrow::compute::can_cast_types;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Aggregate, BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, TryCast, lit};
use datafusion::optimizer::AnalyzerRule;

use crate::checked::{is_exact, of_operator};
use crate::decimal::double_of;
use crate::narrow::{constant, narrow, replaces};
use crate::rewrite::{expressions, input_schema};
use crate::shown::shown;
use crate::sum::unsplit_sum;
use crate::text_casts::{UUID, is_text};
use crate::try_forms::compile;

#[derive(Debug)]
pub(crate) struct Settle;

impl AnalyzerRule for Settle {
    fn name(&self) -> &str {
        "ingot_settle"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        expressions(plan, unsplit_sums, settle)
    }
}

/// Whether a constant is one that Arrow does not convert to the type.
fn own_constant(value: &ScalarValue, to: &DataType) -> bool {
    let from = value.data_type();
    if !is_text(&from) {
        return from == UUID && is_text(to) || from.is_floating() && to.is_decimal();
    }
    let blank = value.try_as_str().flatten().is_some_and(|t| t.len() != t.trim().len());
    blank || to.is_decimal() || *to == UUID
}

fn settle(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if op.is_numerical_operators() => {
            let (l, r) = (left.get_type(schema)?, right.get_type(schema)?);
            if is_exact(&l, &r) {
                return Ok(Transformed::yes(of_operator(op, *left, *right, &l, &r)));
            }
            Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })))
        }
        Expr::Cast(Cast { expr, field }) => {
            if let (Expr::Literal(value, _), DataType::Float64) = (expr.as_ref(), field.data_type())
                && let Some(double) = double_of(value)
            {
                return Ok(Transformed::yes(lit(double)));
            }
            if let Expr::Literal(value, _) = expr.as_ref() {
                if let Some(value) = constant(value, field.data_type(), false) {
                    return Ok(Transformed::yes(lit(value)));
                }
                if !own_constant(value, field.data_type()) {
                    // A constant that does not fit fails for rows, if there are any, and by its name.
                    if field.metadata().is_empty() && !fits(value, field.data_type()) {
                        let text = shown(&expr);
                        return Ok(Transformed::yes(narrow(*expr, field.data_type().clone(), false, &text)));
                    }
                    return Ok(Transformed::no(Expr::Cast(Cast { expr, field })));
                }
            }
            if replaces(&expr.get_type(schema)?, field.data_type()) {
                let text = shown(&expr);
                return Ok(Transformed::yes(narrow(*expr, field.data_type().clone(), false, &text)));
            }
            Ok(Transformed::no(Expr::Cast(Cast { expr, field })))
        }
        Expr::TryCast(TryCast { expr, field }) => {
            let from = expr.get_type(schema)?;
            if let Expr::Literal(value, _) = expr.as_ref()
                && let Some(value) = constant(value, field.data_type(), true)
            {
                return Ok(Transformed::yes(lit(value)));
            }
            if (from.is_decimal() || from.is_integer() || is_text(&from) || from == UUID)
                && replaces(&from, field.data_type())
            {
                let text = shown(&expr);
                return Ok(Transformed::yes(narrow(*expr, field.data_type().clone(), true, &text)));
            }
            Ok(Transformed::no(Expr::TryCast(TryCast { expr, field })))
        }
        Expr::ScalarFunction(call) => compile(call, schema),
        other => Ok(Transformed::no(other)),
    }
}

fn fits(value: &ScalarValue, to: &DataType) -> bool {
    if !can_cast_types(&value.data_type(), to) {
        // It is refused where it is planned.
        return true;
    }
    match value.cast_to(to) {
        Err(DataFusionError::ArrowError(e, _)) => !matches!(
            e.as_ref(),
            ArrowError::CastError(_)
                | ArrowError::ParseError(_)
                | ArrowError::ArithmeticOverflow(_)
                | ArrowError::InvalidArgumentError(_)
        ),
        _ => true,
    }
}

/// DataFusion turns `sum(x), count(DISTINCT y)` into a sum of sums, whose type and overflow are others.
fn unsplit_sums(node: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Aggregate(aggregate) = &node else { return Ok(node) };
    let distinct = |e: &Expr| matches!(e.clone().unalias_nested().data, Expr::AggregateFunction(AggregateFunction { params, .. }) if params.distinct);
    if !aggregate.aggr_expr.iter().any(distinct) {
        return Ok(node);
    }
    let schema = input_schema(&node)?;
    let names = NamePreserver::new_for_projection();
    let expr = |e: Expr| -> Result<Expr> {
        let name = names.save(&e);
        let replaced = e.transform_up(|e| match e {
            Expr::AggregateFunction(call) if call.func.name() == "sum" && !call.params.distinct => {
                let exact = match call.params.args.first() {
                    Some(argument) => matches!(
                        argument.get_type(&schema)?,
                        DataType::Int64 | DataType::UInt64 | DataType::Decimal128(..)
                    ),
                    None => false,
                };
                let func = if exact { unsplit_sum() } else { Arc::clone(&call.func) };
                Ok(Transformed::new_transformed(Expr::AggregateFunction(AggregateFunction { func, ..call }), exact))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(name.restore(replaced.data))
    };
    let LogicalPlan::Aggregate(aggregate) = node else { return Ok(node) };
    let aggr_expr = aggregate.aggr_expr.into_iter().map(expr).collect::<Result<Vec<_>>>()?;
    Ok(LogicalPlan::Aggregate(Aggregate::try_new(aggregate.input, aggregate.group_expr, aggr_expr)?))
}
