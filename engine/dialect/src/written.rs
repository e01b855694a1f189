//! SQL that the code itself writes, as trees: by the grammar of all SQL here.
//!
//! Not here: text of users, which is bounded and has places (`client`, `parse`).

use sqlparser::ast::{Expr, Query};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use crate::body::RECURSION_MAX;
use crate::grammar::GRAMMAR;

/// The expression that a text of our own says. Places are those of this text.
///
/// # Errors
/// A text that is none: a defect.
pub fn written_expr(text: &str) -> Result<Expr, ParserError> {
    whole(text, Parser::parse_expr)
}

/// The query that a text of our own says. Places are those of this text.
///
/// # Errors
/// A text that is none: a defect.
pub fn written_query(text: &str) -> Result<Query, ParserError> {
    whole(text, Parser::parse_query).map(|query| *query)
}

fn whole<T>(text: &str, parse: impl FnOnce(&mut Parser<'static>) -> Result<T, ParserError>) -> Result<T, ParserError> {
    let mut parser = Parser::new(&GRAMMAR).with_recursion_limit(RECURSION_MAX).try_with_sql(text)?;
    let tree = parse(&mut parser)?;
    parser.expect_token(&Token::EOF)?;
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_tree_by_our_grammar() {
        assert_eq!(written_query("SELECT * EXCLUDE (a) FROM (SELECT 1)").unwrap().to_string(), {
            "SELECT * EXCLUDE (a) FROM (SELECT 1)"
        });
        let Expr::BinaryOp { right, .. } = written_expr("'a' || b * 2").unwrap() else { panic!() };
        assert_eq!(right.to_string(), "b * 2");
        assert!(written_expr("a b").is_err() && written_query("SELECT 1; SELECT 2").is_err());
    }
}
