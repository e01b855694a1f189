//! Places in a query's text: the part that causes an error without a place, whole expressions, keywords.
//!
//! DataFusion gives no place for types and arguments that do not fit, so parts of the query are left out one after the
//! other: the part without which the error does not occur is its cause.
//!
//! Not here: the complaint's text (`planning_error`).

use datafusion::sql::sqlparser::ast::{Expr, Ident, Query, Select, SelectItem, SetExpr, Spanned, Value};
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};

/// The select item or filter without which `wrong` no longer holds.
pub(crate) fn failing_part(tree: &Query, tokens: &[TokenWithSpan], wrong: &dyn Fn(&Query) -> bool) -> Option<Span> {
    let SetExpr::Select(select) = tree.body.as_ref() else { return None };
    let without = |change: &dyn Fn(&mut Select)| {
        let mut tree = tree.clone();
        if let SetExpr::Select(s) = tree.body.as_mut() {
            change(s);
        }
        !wrong(&tree)
    };
    for (i, item) in select.projection.iter().enumerate() {
        let (expr, alias) = match item {
            SelectItem::UnnamedExpr(e) => (e, Ident::new(format!("c{i}"))),
            SelectItem::ExprWithAlias { expr, alias } => (expr, alias.clone()),
            _ => continue,
        };
        let change = |s: &mut Select| {
            if let Some(item) = s.projection.get_mut(i) {
                *item = SelectItem::ExprWithAlias { expr: Expr::value(Value::Null), alias: alias.clone() };
            }
        };
        if without(&change) {
            return Some(with_parentheses(tokens, expr.span()));
        }
    }
    let filter = match select.as_ref() {
        Select { selection: Some(e), .. } if without(&|s| s.selection = None) => e,
        Select { having: Some(e), .. } if without(&|s| s.having = None) => e,
        Select { qualify: Some(e), .. } if without(&|s| s.qualify = None) => e,
        _ => return None,
    };
    Some(with_parentheses(tokens, filter.span()))
}

/// A span with the parentheses that sqlparser leaves out of it: of `count(*)` it knows `count` alone.
pub(crate) fn with_parentheses(tokens: &[TokenWithSpan], span: Span) -> Span {
    let mut end = span.end;
    let mut depth = 0_usize;
    for t in tokens.iter().filter(|t| t.span.start >= span.start) {
        let inside = t.span.end <= span.end;
        match &t.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket if depth > 0 => depth -= 1,
            Token::Whitespace(_) => continue,
            Token::Word(w) if !inside && depth == 0 => {
                // What may follow a call and belongs to it.
                let follows = ["OVER", "FILTER", "WITHIN", "GROUP"].iter().any(|k| w.value.eq_ignore_ascii_case(k));
                if !follows || w.quote_style.is_some() {
                    break;
                }
            }
            _ if !inside && depth == 0 => break,
            _ => {}
        }
        if t.span.end > end {
            end = t.span.end;
        }
    }
    Span::new(span.start, end)
}

/// The first unquoted word of these.
pub(crate) fn of_word(tokens: &[TokenWithSpan], words: &[&str]) -> Option<Span> {
    let found = tokens.iter().find(|t| match &t.token {
        Token::Word(w) => w.quote_style.is_none() && words.iter().any(|k| w.value.eq_ignore_ascii_case(k)),
        _ => false,
    });
    found.map(|t| t.span)
}
