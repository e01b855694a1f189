//! Statements as canonical text: heads in one spelling, queries and expressions verbatim, no comments of heads.
//!
//! Invariants
//! * parse(print(x)) = x.
//!
//! Not here: keeping comments (`format`).

use crate::ast::Statement;
use crate::layout::Layout;

/// The statement's canonical text, without a semicolon.
pub fn print(statement: &Statement) -> String {
    let lines = Layout::of(statement).lines;
    let texts: Vec<String> = lines
        .into_iter()
        .map(|line| match &line.body {
            Some(query) => format!("{} {}", line.text, query.text),
            None => line.text,
        })
        .collect();
    texts.join("\n")
}
