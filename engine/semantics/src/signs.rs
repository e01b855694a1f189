//! `-x` and `~x` over whole numbers that DataFusion has no sign for.
//!
//!   -rank() OVER (..)   ──▶ -ingot_signed(rank() OVER (..)) ──▶ the planner ──▶ -CAST(rank() OVER (..) AS BIGINT)
//!   ~x                  ──▶ x # -1
//!
//! Ranks, row numbers and lengths of arrays are unsigned there, and the planner takes no `-` of them. Elsewhere in SQL they
//! are BIGINT.
//!
//! Invariants
//! * Statements without such a call are planned as they are.
//!
//! Not here: other operators, which know of both kinds (`checked`).

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, cast,
};
use datafusion::optimizer::AnalyzerRule;
use sqlparser::ast::{
    BinaryOperator, Expr as SqlExpr, UnaryOperator, Value, Visit, VisitMut, VisitorMut, visit_expressions,
};

use crate::outputs::bare;
use crate::rewrite::expressions;

const SIGNED: &str = "ingot_signed";

/// Functions whose values have no sign.
const UNSIGNED: [&str; 10] = [
    "row_number",
    "rank",
    "dense_rank",
    "ntile",
    "array_length",
    "list_length",
    "cardinality",
    "array_position",
    "list_position",
    "array_ndims",
];

/// Rewrites the signs of a tree.
pub(crate) fn lower<T: Visit + VisitMut>(tree: &mut T) {
    let is_unsigned = |e: &SqlExpr| {
        matches!(e, SqlExpr::Function(call)
            if UNSIGNED.contains(&call.name.to_string().to_lowercase().as_str()))
    };
    let any = visit_expressions(tree, |e| match is_unsigned(e) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    });
    let _ = tree.visit(&mut Signs { unsigned: any.is_break() });
}

struct Signs {
    unsigned: bool,
}

impl VisitorMut for Signs {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut SqlExpr) -> ControlFlow<()> {
        match expr {
            SqlExpr::UnaryOp { op: UnaryOperator::Minus, expr: inner }
                if self.unsigned && !matches!(bare(inner), SqlExpr::Value(_) | SqlExpr::Interval(_)) =>
            {
                **inner = crate::namesakes::call(SIGNED, vec![inner.as_ref().clone()]);
            }
            SqlExpr::UnaryOp { op: UnaryOperator::BitwiseNot, expr: inner } => {
                let ones = SqlExpr::UnaryOp {
                    op: UnaryOperator::Minus,
                    expr: Box::new(SqlExpr::value(Value::Number("1".into(), false))),
                };
                let operand = match self.unsigned {
                    true => crate::namesakes::call(SIGNED, vec![inner.as_ref().clone()]),
                    false => SqlExpr::Nested(inner.clone()),
                };
                let flipped = SqlExpr::BinaryOp {
                    left: Box::new(operand),
                    op: BinaryOperator::PGBitwiseXor,
                    right: Box::new(ones),
                };
                *expr = SqlExpr::Nested(Box::new(flipped));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Makes casts of what `lower` marked, or nothing.
#[derive(Debug)]
pub(crate) struct Signed;

impl AnalyzerRule for Signed {
    fn name(&self) -> &str {
        "ingot_signed"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let mut found = false;
        plan.apply_with_subqueries(|node| {
            found |= node.expressions().iter().any(|e| e.exists(|e| Ok(argument(e).is_some())).unwrap_or(true));
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if !found {
            return Ok(plan);
        }
        expressions(plan, Ok, |expr, schema| {
            let Some(inner) = argument(&expr) else { return Ok(Transformed::no(expr)) };
            let inner = inner.clone();
            let unsigned = inner.get_type(schema)?.is_unsigned_integer();
            Ok(Transformed::yes(if unsigned { cast(inner, DataType::Int64) } else { inner }))
        })
    }
}

fn argument(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::ScalarFunction(call) if call.func.name() == SIGNED => call.args.first(),
        _ => None,
    }
}

/// The mark: its argument, with a sign.
pub(crate) fn function() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Mark { signature: Signature::any(1, Volatility::Immutable) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Mark {
    signature: Signature,
}

impl ScalarUDFImpl for Mark {
    fn name(&self) -> &str {
        SIGNED
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match types.first() {
            Some(of) if of.is_unsigned_integer() => DataType::Int64,
            Some(of) => of.clone(),
            None => DataType::Null,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let to = args.return_field.data_type().clone();
        match args.args.into_iter().next() {
            Some(value) => value.cast_to(&to, None),
            None => Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::Null)),
        }
    }
}
