//! Number literals: a point makes an exact decimal, an exponent a DOUBLE, a long integer a decimal.
//!
//! Together with `parse_float_as_decimal`, which alone would read 1e300 as a decimal of 301 digits.
//!
//! Invariants
//! * A literal has at most 38 digits, unless it has an exponent.

use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, Diagnostic, Location, Result, Span, plan_datafusion_err};
use sqlparser::ast::{CastKind, DataType, Expr, UnaryOperator, Value, ValueWithSpan, VisitMut, VisitorMut};
use sqlparser::ast::{ExactNumberInfo, Statement};

/// Rewrites the numbers of a statement.
///
/// # Errors
/// Literals of more than 38 digits.
pub(crate) fn lower_statement(statement: &mut Statement) -> Result<()> {
    outcome(statement.visit(&mut Numbers))
}

/// Rewrites the numbers of an expression.
///
/// # Errors
/// As `lower_statement`.
pub(crate) fn lower_expression(expr: &mut Expr) -> Result<()> {
    outcome(expr.visit(&mut Numbers))
}

fn outcome(flow: ControlFlow<DataFusionError>) -> Result<()> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Numbers;

impl VisitorMut for Numbers {
    type Break = DataFusionError;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<DataFusionError> {
        // A sign belongs to its number: 9223372036854775808 alone is no BIGINT.
        let (number, sign) = match expr {
            Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } => match inner.as_ref() {
                Expr::Value(v) => (v.clone(), "-"),
                _ => return ControlFlow::Continue(()),
            },
            Expr::Value(v) => (v.clone(), ""),
            _ => return ControlFlow::Continue(()),
        };
        match lowered(&number, sign) {
            Ok(Some(new)) => *expr = new,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

fn lowered(number: &ValueWithSpan, sign: &str) -> Result<Option<Expr>> {
    let Value::Number(text, _) = &number.value else { return Ok(None) };
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    if digits.contains(['e', 'E']) {
        return Ok(Some(cast(number, format!("{sign}{digits}"), DataType::Double(ExactNumberInfo::None))));
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let whole = whole.trim_start_matches('0');
    let length = whole.len() + fraction.len();
    if length > 38 {
        return Err(too_long(number, length));
    }
    if digits.contains('.') || digits.parse::<i64>().is_ok() {
        return Ok(None);
    }
    if format!("{sign}{whole}").parse::<i64>().is_ok() {
        return Ok(Some(cast(number, format!("{sign}{whole}"), DataType::BigInt(None))));
    }
    let exact = ExactNumberInfo::PrecisionAndScale(whole.len() as u64, 0);
    Ok(Some(cast(number, format!("{sign}{whole}"), DataType::Decimal(exact))))
}

fn cast(number: &ValueWithSpan, text: String, data_type: DataType) -> Expr {
    let text = Value::SingleQuotedString(text).with_span(number.span);
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(Expr::Value(text)), data_type, array: false, format: None }
}

fn too_long(number: &ValueWithSpan, digits: usize) -> DataFusionError {
    let message = format!("the number has {digits} digits; a decimal has 38 at most");
    let at = |l: sqlparser::tokenizer::Location| Location { line: l.line, column: l.column };
    let span = Span { start: at(number.span.start), end: at(number.span.end) };
    let diagnostic = Diagnostic::new_error(message.clone(), Some(span))
        .with_help("write it with an exponent (1.5e40) for a DOUBLE", None);
    plan_datafusion_err!("{message}").with_diagnostic(diagnostic)
}
