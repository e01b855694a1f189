//! SIMILAR TO, and LIKE with an escape character of its own, as what DataFusion evaluates right.
//!
//!   x SIMILAR TO 'a%(b|c)_'  ──▶ x ~ '(?s)^(?:a.*(?:b|c).)$'
//!   x LIKE '5!%' ESCAPE '!'  ──▶ x LIKE '5\%'
//!
//! DataFusion takes the pattern of SIMILAR TO for a regular expression that may match anywhere, and knows no escape
//! character but the backslash.
//!
//! Invariants
//! * A SIMILAR TO pattern matches the whole value; `%` and `_` match any characters, line ends too.

use datafusion::common::Result;
use sqlparser::ast::{BinaryOperator, Expr, Spanned, UnaryOperator, Value, ValueWithSpan};

use crate::refusal::Refusal;

/// Rewrites one expression of the syntax tree, its parts done.
///
/// # Errors
/// A pattern that is no constant, and an escape that is no single character.
pub(crate) fn in_expr(expr: &mut Expr) -> Result<()> {
    match expr {
        Expr::SimilarTo { negated, expr: value, pattern, escape_char } => {
            let Some(written) = text(pattern) else {
                // NULL has no pattern and is no fault.
                return if is_null(pattern) { Ok(()) } else { refuse(pattern) };
            };
            let escape = escape(escape_char.as_ref(), pattern)?;
            let op = if *negated { BinaryOperator::PGRegexNotMatch } else { BinaryOperator::PGRegexMatch };
            let regex = similar(&written, escape);
            *expr = Expr::BinaryOp { left: value.clone(), op, right: Box::new(literal(regex, pattern)) };
            parenthesize(expr);
            Ok(())
        }
        Expr::Like { pattern, escape_char, any: false, .. } | Expr::ILike { pattern, escape_char, any: false, .. } => {
            if escape_char.is_none() {
                return Ok(());
            }
            let escape = escape(escape_char.as_ref(), pattern)?;
            if escape != Some('\\') {
                let Some(written) = text(pattern) else {
                    return if is_null(pattern) { Ok(()) } else { refuse(pattern) };
                };
                **pattern = literal(with_backslashes(&written, escape), pattern);
            }
            *escape_char = None;
            Ok(())
        }
        // x < ANY (a) is not (x >= ALL (a)), which is NULL where an item is; only = has a function of its own.
        Expr::AnyOp { left, compare_op, right, .. } if !matches!(right.as_ref(), Expr::Subquery(_)) => {
            let opposite = match compare_op {
                BinaryOperator::Lt => BinaryOperator::GtEq,
                BinaryOperator::LtEq => BinaryOperator::Gt,
                BinaryOperator::Gt => BinaryOperator::LtEq,
                BinaryOperator::GtEq => BinaryOperator::Lt,
                BinaryOperator::NotEq => BinaryOperator::Eq,
                _ => return Ok(()),
            };
            let all = Expr::AllOp { left: left.clone(), compare_op: opposite, right: right.clone() };
            *expr = Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(Expr::Nested(Box::new(all))) };
            parenthesize(expr);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn parenthesize(expr: &mut Expr) {
    *expr = Expr::Nested(Box::new(expr.clone()));
}

fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(ValueWithSpan {
            value: Value::SingleQuotedString(s) | Value::EscapedStringLiteral(s) | Value::NationalStringLiteral(s),
            ..
        }) => Some(s.clone()),
        Expr::Nested(inner) => text(inner),
        _ => None,
    }
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(ValueWithSpan { value: Value::Null, .. }))
}

fn literal(text: String, place: &Expr) -> Expr {
    Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), span: place.span() })
}

fn refuse(pattern: &Expr) -> Result<()> {
    let text = "a pattern with its own syntax must be a constant text".to_owned();
    let help = "write the pattern as a text, or use regexp_like(value, pattern)";
    Err(Refusal { code: "U0511", text, help, span: pattern.span() }.into())
}

/// The escape character: the backslash unless said; none for `ESCAPE ''`.
fn escape(written: Option<&ValueWithSpan>, pattern: &Expr) -> Result<Option<char>> {
    let Some(written) = written else { return Ok(Some('\\')) };
    let text = match &written.value {
        Value::SingleQuotedString(s) => s.as_str(),
        _ => "  ",
    };
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (one, None) => Ok(one),
        _ => {
            let text = "ESCAPE takes one character".to_owned();
            let help = "write ESCAPE '!' and put ! before the characters that stand for themselves";
            Err(Refusal { code: "U0511", text, help, span: pattern.span() }.into())
        }
    }
}

/// A LIKE pattern with backslashes in the place of another escape character.
fn with_backslashes(pattern: &str, escape: Option<char>) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            if let Some(next) = chars.next() {
                out.extend(['\\', next]);
            }
        } else if c == '\\' {
            out.push_str("\\\\");
        } else {
            out.push(c);
        }
    }
    out
}

/// The regular expression of a SIMILAR TO pattern.
fn similar(pattern: &str, escape: Option<char>) -> String {
    let mut out = String::from("(?s)^(?:");
    let mut chars = pattern.chars().peekable();
    let mut in_set = false;
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            if let Some(next) = chars.next() {
                itself(next, &mut out);
            }
        } else if in_set {
            match c {
                ']' => in_set = false,
                '[' if chars.peek() == Some(&':') => {
                    // A class such as [:digit:].
                    out.push('[');
                    for c in chars.by_ref() {
                        out.push(c);
                        if c == ']' {
                            break;
                        }
                    }
                    continue;
                }
                '[' | '&' | '~' | '\\' => out.push('\\'),
                _ => {}
            }
            out.push(c);
        } else {
            match c {
                '%' => out.push_str(".*"),
                '_' => out.push('.'),
                '(' => out.push_str("(?:"),
                '[' => {
                    in_set = true;
                    out.push(c);
                    if chars.next_if_eq(&'^').is_some() {
                        out.push('^');
                    }
                }
                '|' | '*' | '+' | '?' | '{' | '}' | ')' => out.push(c),
                other => itself(other, &mut out),
            }
        }
    }
    out.push_str(")$");
    out
}

/// A character that stands for itself.
fn itself(c: char, out: &mut String) {
    if c.is_ascii_punctuation() {
        out.push('\\');
    }
    out.push(c);
}
