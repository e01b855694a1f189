//! How large a statement may be: bounds that keep parsing, planning and dropping it within a known stack and time.
//!
//!   tokens ─▶ check_tokens (depth, chains, count) ─▶ parser ─▶ check_tree (queries and tables, CTEs counted as often
//!   as they are read)
//!
//! Invariants
//! * The depth of the tree, and of every plan made of it, is at most proportional to these bounds.
//! * Both checks are linear in the text.
//!
//! Not here: how long planning may take (`ingot-query`).

use crate::ast::Span;
use crate::cursor::Step;
use crate::diagnostic::Diagnostic;
use crate::lex::Tok;
use sqlparser::ast::{Ident, ObjectName, Query, Select, Visit, Visitor};
use sqlparser::tokenizer::Token;
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Nested parentheses, brackets and CASEs.
const DEPTH_MAX: usize = 96;
/// Operators that may chain, over all enclosing levels: each makes the tree one deeper.
const CHAIN_MAX: usize = 1500;
/// What a set operator counts for among them: its level of the tree takes as much stack as so many others.
const SET_OPERATOR_WEIGHT: usize = 10;
/// What arithmetic counts for: planning a chain takes time by the square of its length, most of it for these.
const ARITHMETIC_WEIGHT: usize = 10;
/// Names joined by dots.
const DOTS_MAX: usize = 32;
/// A client's text; a project's files are not bounded.
const TEXT_BYTES_MAX: usize = 4 << 20;
/// Words, numbers, strings and signs of one statement.
const TOKENS_MAX: usize = 50_000;
/// SELECTs and tables of one statement, those of a CTE once for each time it is read.
const PARTS_MAX: usize = 400;

/// Refuses a text that would take long to be read at all.
pub(crate) fn check_text(text: &str) -> Step<()> {
    if text.len() <= TEXT_BYTES_MAX {
        return Ok(());
    }
    let message = format!("a statement may have {} MiB, this one has more", TEXT_BYTES_MAX >> 20);
    Err(too_large(message, Span::empty()))
}

/// Refuses what would nest or chain too deeply, or is too long.
pub(crate) fn check_tokens(tokens: &[&Tok]) -> Step<()> {
    if let Some(tok) = tokens.get(TOKENS_MAX) {
        return Err(too_large(
            format!("a statement may have {TOKENS_MAX} words and signs, this one has more"),
            tok.span,
        ));
    }
    let mut chains = vec![0usize];
    let mut sets = vec![0usize];
    let mut total = 0;
    let mut dots = 0;
    let mut before: Option<&Token> = None;
    for tok in tokens {
        dots = match (&tok.token, before) {
            (Token::Period, _) => dots + 1,
            (_, Some(Token::Period)) => dots,
            _ => 0,
        };
        before = Some(&tok.token);
        let weight = match &tok.token {
            Token::LParen | Token::LBrace => {
                chains.push(0);
                sets.push(0);
                0
            }
            Token::RParen | Token::RBracket | Token::RBrace if chains.len() > 1 => {
                total -= chains.pop().unwrap_or(0);
                sets.pop();
                0
            }
            Token::Comma => {
                if let Some(chain) = chains.last_mut() {
                    total -= std::mem::take(chain);
                }
                // Queries that are joined by set operators stay joined across the commas of their lists.
                sets.last().map_or(0, |joined| joined * SET_OPERATOR_WEIGHT)
            }
            t if is_set_operator(t) => {
                if let Some(joined) = sets.last_mut() {
                    *joined += 1;
                }
                SET_OPERATOR_WEIGHT
            }
            t => weight(t),
        };
        total += weight;
        if let Some(chain) = chains.last_mut() {
            *chain += weight;
        }
        // Subscripts chain (a[1][1]), so the bracket counts on its own level and opens another.
        if tok.token == Token::LBracket {
            chains.push(0);
            sets.push(0);
        }
        if chains.len() > DEPTH_MAX || total > CHAIN_MAX || dots > DOTS_MAX {
            return Err(too_deep(tok.span));
        }
    }
    Ok(())
}

/// What a token adds to the depth of the tree without a parenthesis: operators do, and words that work as such.
fn weight(token: &Token) -> usize {
    const WORDS: &[&str] = &[
        "AND",
        "OR",
        "NOT",
        "IS",
        "IN",
        "LIKE",
        "ILIKE",
        "SIMILAR",
        "BETWEEN",
        "COLLATE",
        "AT",
        "CASE",
        "DIV",
        "XOR",
        "ISNULL",
        "NOTNULL",
        "PRIOR",
        "INTERVAL",
        "JOIN",
        "EXPLAIN",
        "DESCRIBE",
        "DESC",
        "PIVOT",
        "UNPIVOT",
        "MATCH_RECOGNIZE",
        "OPERATOR",
    ];
    match token {
        Token::Word(w) => {
            let chains = w.quote_style.is_none() && WORDS.iter().any(|k| w.value.eq_ignore_ascii_case(k));
            usize::from(chains)
        }
        Token::Plus | Token::Minus | Token::Mul | Token::Div | Token::Mod | Token::StringConcat => ARITHMETIC_WEIGHT,
        Token::Number(..) | Token::Period | Token::SemiColon | Token::Placeholder(_) => 0,
        t if crate::types::is_string(t) => 0,
        _ => 1,
    }
}

fn is_set_operator(token: &Token) -> bool {
    const WORDS: &[&str] = &["UNION", "INTERSECT", "EXCEPT", "MINUS"];
    matches!(token, Token::Word(w) if w.quote_style.is_none() && WORDS.iter().any(|k| w.value.eq_ignore_ascii_case(k)))
}

pub(crate) fn too_deep(span: Span) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::error("P0113", "this nests too deeply to be parsed")
            .span(span)
            .help("break the query into temporary views, or write long OR chains as IN (...)"),
    )
}

fn too_large(message: String, span: Span) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::error("P0130", message)
            .span(span)
            .help("break it into several, or put the values into a table and join it"),
    )
}

/// Refuses a statement of too many queries and tables. `span` is the statement's place.
pub(crate) fn check_tree<T: Visit>(tree: &T, span: Span) -> Step<()> {
    let mut parts = Parts { open: vec![Level::default()] };
    let full = tree.visit(&mut parts).is_break();
    if full || parts.open.iter().map(|l| l.parts).fold(0, usize::saturating_add) > PARTS_MAX {
        let message = format!("a statement may read {PARTS_MAX} queries and tables, this one reads more");
        return Err(too_large(message, span));
    }
    Ok(())
}

/// Counts SELECTs and tables; a CTE's count for each time that it is read.
struct Parts {
    open: Vec<Level>,
}

/// One query that is being visited.
#[derive(Default)]
struct Level {
    parts: usize,
    /// The CTEs of this query that were visited.
    ctes: HashMap<String, usize>,
    /// The queries of its CTEs, by their place in memory.
    bodies: HashMap<usize, String>,
}

fn place(query: &Query) -> usize {
    std::ptr::from_ref(query) as usize
}

fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_ascii_lowercase() }
}

impl Parts {
    fn add(&mut self, parts: usize) -> ControlFlow<()> {
        let Some(top) = self.open.last_mut() else { return ControlFlow::Break(()) };
        top.parts = top.parts.saturating_add(parts);
        if top.parts > PARTS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Visitor for Parts {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let mut level = Level::default();
        for cte in query.with.iter().flat_map(|w| &w.cte_tables) {
            level.bodies.insert(place(&cte.query), folded(&cte.alias.name));
        }
        self.open.push(level);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let parts = self.open.pop().map_or(0, |l| l.parts);
        if let Some(outer) = self.open.last_mut()
            && let Some(name) = outer.bodies.remove(&place(query))
        {
            outer.ctes.insert(name, parts);
            return ControlFlow::Continue(());
        }
        self.add(parts)
    }

    fn pre_visit_select(&mut self, _select: &Select) -> ControlFlow<()> {
        self.add(1)
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        let bare = match name.0.as_slice() {
            [part] => part.as_ident().map(folded),
            _ => None,
        };
        let cte = bare.and_then(|bare| self.open.iter().rev().find_map(|l| l.ctes.get(&bare).copied()));
        self.add(cte.unwrap_or(0).max(1))
    }
}

#[cfg(test)]
mod tests {
    use crate::client::client_statement;

    fn code(text: &str) -> Option<&'static str> {
        match client_statement(text) {
            Err(d) => Some(d.code),
            Ok(s) => s
                .check(
                    &sqlparser::parser::Parser::new(&crate::grammar::GRAMMAR)
                        .with_recursion_limit(super::super::body::RECURSION_MAX)
                        .with_tokens_with_locations(s.tokens.clone())
                        .parse_statements()
                        .unwrap_or_default(),
                )
                .err()
                .map(|d| d.code),
        }
    }

    #[test]
    fn what_deepens_the_tree_is_counted() {
        for (unit, last) in [
            ("- ", "1"),
            ("NOT ", "TRUE"),
            ("1 + ", "1"),
            ("1 IS NULL AND ", "TRUE"),
            ("'a' || ", "'a'"),
            ("(", "1"),
            ("[", "1"),
            ("CASE WHEN TRUE THEN ", "1"),
            ("EXPLAIN ", ""),
        ] {
            assert_eq!(code(&format!("SELECT {}{last}", unit.repeat(2000))), Some("P0113"), "{unit}");
        }
        for unit in ["[1]", "::INT", ".f", " AT TIME ZONE 'UTC'", " COLLATE x", "->'a'"] {
            assert_eq!(code(&format!("SELECT a{}", unit.repeat(2000))), Some("P0113"), "{unit}");
        }
        for unit in [" UNION ALL SELECT 1", " EXCEPT SELECT 1, 2"] {
            assert_eq!(code(&format!("SELECT 1{}", unit.repeat(200))), Some("P0113"), "{unit}");
        }
        assert_eq!(code(&format!("SELECT 1 FROM a{}", " JOIN b ON TRUE".repeat(2000))), Some("P0113"));
    }

    #[test]
    fn what_only_lengthens_it_may_be_long() {
        let list = vec!["1"; 10_000].join(", ");
        assert_eq!(code(&format!("SELECT * FROM a.t WHERE k IN ({list})")), None);
        assert_eq!(code(&format!("SELECT {list}")), None);
        assert_eq!(code(&format!("SELECT 1{}", " AND a.b = 1".repeat(500))), None);
        assert_eq!(code(&format!("SELECT 1{}", " + 1".repeat(140))), None);
        assert_eq!(code(&format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(100))), None);
        assert_eq!(code(&format!("SELECT{}1", " ".repeat(100_000))), None);
        assert_eq!(code(&format!("SELECT 1 FROM a.t{}", ", a.t".repeat(100))), None);
    }

    #[test]
    fn tables_subqueries_and_ctes_are_counted_as_often_as_they_are_read() {
        assert_eq!(code(&format!("SELECT {}1", "(SELECT 1), ".repeat(1000))), Some("P0130"));
        assert_eq!(code(&format!("SELECT 1 FROM a.t{}", ", a.t".repeat(1000))), Some("P0130"));
        let doubling = |n: usize| {
            let more: String =
                (1..n).map(|i| format!(", c{i} AS (SELECT * FROM c{0} UNION ALL SELECT * FROM c{0})", i - 1)).collect();
            format!("WITH c0 AS (SELECT 1 AS a){more} SELECT * FROM c{}", n - 1)
        };
        assert_eq!(code(&doubling(4)), None);
        assert_eq!(code(&doubling(30)), Some("P0130"));
        let list = vec!["1"; 60_000].join(", ");
        assert_eq!(code(&format!("SELECT * FROM a.t WHERE k IN ({list})")), Some("P0130"));
        assert_eq!(code(&format!("SELECT '{}'", "x".repeat(5 << 20))), Some("P0130"));
    }
}
