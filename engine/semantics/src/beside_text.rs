//! A text beside a value of another type: what PostgreSQL takes a literal for there.
//!
//!   id = '6f1e...' ──▶ id = UUID '6f1e...'        length < '1 hour' ──▶ length < INTERVAL '1 hour'
//!
//! Not here: numbers, dates and times beside a text, which DataFusion reads; casts (`text_casts`).

use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{Expr, cast, lit};

use crate::narrow::constant;
use crate::shown::shown;
use crate::text_casts::{UUID, is_text};
use crate::type_names::type_name;

/// What a text beside a UUID stands for. As in PostgreSQL a literal is one of the other side's type, and any other text
/// needs a CAST in the statement.
///
/// # Errors
/// A literal that is no UUID, and every other text.
pub(crate) fn beside_uuid(expr: Expr, data_type: &DataType) -> Result<Expr> {
    match &expr {
        Expr::Literal(value, _) if value.is_null() => Ok(lit(ScalarValue::FixedSizeBinary(16, None))),
        Expr::Literal(value, _) => match constant(value, &UUID, false) {
            Some(value) => Ok(lit(value)),
            None => plan_err!("{} is no UUID", shown(&expr)),
        },
        _ => plan_err!(
            "{} is {} and stands beside a UUID: write CAST({} AS UUID)",
            shown(&expr),
            type_name(data_type),
            shown(&expr)
        ),
    }
}

/// The operands of a comparison that the planner would not let stand beside each other: a literal beside a UUID or a
/// length of time is one of these, as in PostgreSQL. None where they may.
///
/// # Errors
/// A literal that does not denote such a value.
pub(crate) fn beside_text(left: &Expr, right: &Expr, l: &DataType, r: &DataType) -> Result<Option<(Expr, Expr)>> {
    let typed = |expr: &Expr, own: &DataType, other: &DataType| -> Result<Option<Expr>> {
        if !is_text(own) {
            return Ok(None);
        }
        let interval = DataType::Interval(IntervalUnit::MonthDayNano);
        match (other, expr) {
            (other, _) if *other == UUID => beside_uuid(expr.clone(), own).map(Some),
            (DataType::Duration(_) | DataType::Interval(_), Expr::Literal(value, _)) => {
                match value.cast_to(&interval) {
                    Ok(value) => Ok(Some(lit(value))),
                    Err(_) => plan_err!("{} is no INTERVAL", shown(expr)),
                }
            }
            (DataType::Duration(_), _) => Ok(Some(cast(expr.clone(), interval))),
            _ => Ok(None),
        }
    };
    Ok(match (typed(left, l, r)?, typed(right, r, l)?) {
        (None, None) => None,
        (l, r) => Some((l.unwrap_or_else(|| left.clone()), r.unwrap_or_else(|| right.clone()))),
    })
}
