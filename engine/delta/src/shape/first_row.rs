//! Predicates that only the first row number passes.
//!
//! Not here: which column holds the row number (`classify`).

use arrow::datatypes::DataType;
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

/// The column that a predicate such as `column = 1`, `<= 1`, `< 2`, `IN (1)` tests; casts that keep numbers apart are
/// seen through. Anything else, right or not, is a condition of its own.
pub(crate) fn tested_for_first(predicate: &Expr) -> Option<&Column> {
    let is = |e: &Expr, wanted: i64| matches!(uncast(e), Expr::Literal(v, _) if integer(v) == Some(wanted));
    let column = |e: &'_ Expr| matches!(uncast(e), Expr::Column(_));
    let (tested, holds) = match predicate {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if column(left) => {
            (left, matches!(op, Operator::Eq | Operator::LtEq) && is(right, 1) || *op == Operator::Lt && is(right, 2))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            (right, matches!(op, Operator::Eq | Operator::GtEq) && is(left, 1) || *op == Operator::Gt && is(left, 2))
        }
        Expr::InList(InList { expr, list, negated: false }) => (expr, matches!(list.as_slice(), [one] if is(one, 1))),
        Expr::Between(between) if !between.negated => (&between.expr, is(&between.low, 1) && is(&between.high, 1)),
        _ => return None,
    };
    match uncast(tested) {
        Expr::Column(column) if holds => Some(column),
        _ => None,
    }
}

/// The value of a literal that is an integer, whatever its type.
fn integer(literal: &ScalarValue) -> Option<i64> {
    if !literal.data_type().is_numeric() {
        return None;
    }
    let value = literal.cast_to(&DataType::Int64).ok()?;
    let back = value.cast_to(&literal.data_type()).ok()?;
    match value {
        ScalarValue::Int64(value) if back == *literal => value,
        _ => None,
    }
}

/// The expression below aliases and casts under which equal and lesser row numbers stay so. As text, 10 comes before 2.
pub(crate) fn uncast(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) if keeps_row_numbers(cast.field.data_type()) => uncast(&cast.expr),
        Expr::Alias(alias) => uncast(&alias.expr),
        other => other,
    }
}

/// Whether every row number, cast to this type, compares with 1 and 2 as before.
fn keeps_row_numbers(to: &DataType) -> bool {
    match to {
        DataType::UInt64 | DataType::Int64 | DataType::Float64 => true,
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            i16::from(*precision) - i16::from(*scale) >= 20
        }
        _ => false,
    }
}
