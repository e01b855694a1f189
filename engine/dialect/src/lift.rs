//! Takes STREAM and `FOR VERSION|TIMESTAMP AS OF` out of a query's tokens, remembering what they marked.
//!
//! DataFusion would read `FROM STREAM v` as a table named stream with the alias v. STREAM is taken out where it is an
//! unquoted word after FROM (not that of IS DISTINCT FROM, nor of TRIM and its like), JOIN, or a comma of a FROM list,
//! and before a name that is neither AS nor reserved. `STREAM(x)` means `STREAM x`. Where a temporary view or a CTE is
//! named stream, a lower-case `FROM stream s` reads that one.
//!
//! Invariants
//! * Taken-out tokens are whole: what remains keeps its places.
//!
//! Not here: whether the marked name became a relation (`body`), what it names (`pipeline`).

use crate::ast::{AsOf, Ident, ObjectName, Version};
use crate::cursor::Step;
use crate::diagnostic::Diagnostic;
use crate::lex::Tok;
use sqlparser::keywords::RESERVED_FOR_TABLE_ALIAS;
use sqlparser::tokenizer::Token;

pub(crate) struct Lifted<'a> {
    pub tokens: Vec<&'a Tok>,
    pub streams: Vec<ObjectName>,
    pub as_of: Vec<AsOf>,
}

/// What is known of one level of parentheses.
#[derive(Clone, Copy, Default)]
struct Level {
    /// Between FROM and the word that ends its list.
    in_from: bool,
    /// Inside `trim(...)` and its like, whose FROM takes no table.
    is_function: bool,
}

pub(crate) fn lift<'a>(tokens: &[&'a Tok], take_streams: bool, has_table_stream: bool) -> Step<Lifted<'a>> {
    let is_named_stream = has_table_stream || has_cte_stream(tokens);
    let mut out = Lifted { tokens: Vec::with_capacity(tokens.len()), streams: Vec::new(), as_of: Vec::new() };
    let mut levels = vec![Level::default()];
    let mut at = 0;
    // A parenthesis of STREAM(x) is dropped when its end is reached.
    let mut dropped: Option<usize> = None;
    while let Some(tok) = tokens.get(at) {
        let before = at.checked_sub(1).and_then(|i| tokens.get(i)).copied();
        let mut level = levels.last().copied().unwrap_or_default();
        let may_begin_relation = match before {
            Some(t) if t.is_word("FROM") => level.in_from,
            Some(t) if t.is_word("JOIN") => true,
            Some(t) => t.token == Token::Comma && level.in_from,
            None => false,
        };
        if take_streams
            && may_begin_relation
            && tok.is_word("STREAM")
            && let Some(mark) = stream_mark(tokens, at, is_named_stream)?
        {
            out.streams.push(mark.name);
            dropped = mark.closing;
            let name_end = mark.name_at + mark.name_tokens;
            out.tokens.extend(tokens.get(mark.name_at..name_end).unwrap_or(&[]));
            at = name_end + usize::from(mark.closing.is_some());
            continue;
        }
        if let Some((as_of, length)) = as_of_mark(tokens, at, dropped)? {
            out.as_of.push(as_of);
            at += length;
            continue;
        }
        match &tok.token {
            Token::LParen => {
                let is_function = before.is_some_and(|t| {
                    ["TRIM", "EXTRACT", "SUBSTRING", "SUBSTR", "OVERLAY", "POSITION", "CEIL", "FLOOR"]
                        .iter()
                        .any(|w| t.is_word(w))
                });
                levels.push(Level { in_from: may_begin_relation, is_function });
            }
            Token::RParen if levels.len() > 1 => {
                levels.pop();
            }
            Token::Word(w) if w.quote_style.is_none() => {
                let is_distinct_from = before.is_some_and(|t| t.is_word("DISTINCT"))
                    && at
                        .checked_sub(2)
                        .and_then(|i| tokens.get(i))
                        .is_some_and(|t| t.is_word("IS") || t.is_word("NOT"));
                match w.value.to_ascii_uppercase().as_str() {
                    "FROM" if !is_distinct_from && !level.is_function => level.in_from = true,
                    "SELECT" => level = Level::default(),
                    "WHERE" | "GROUP" | "HAVING" | "QUALIFY" | "ORDER" | "LIMIT" | "OFFSET" | "FETCH" | "WINDOW"
                    | "UNION" | "INTERSECT" | "EXCEPT" | "MINUS" | "SORT" | "CLUSTER" | "DISTRIBUTE" | "CONNECT" => {
                        level.in_from = false
                    }
                    _ => {}
                }
                if let Some(last) = levels.last_mut() {
                    *last = level;
                }
            }
            _ => {}
        }
        out.tokens.push(tok);
        at += 1;
    }
    Ok(out)
}

struct StreamMark {
    name: ObjectName,
    name_at: usize,
    name_tokens: usize,
    closing: Option<usize>,
}

/// What the word STREAM at `at` marks; `None` if it is itself the name of a table.
fn stream_mark(tokens: &[&Tok], at: usize, is_named_stream: bool) -> Step<Option<StreamMark>> {
    let is_shouted = matches!(tokens.get(at).map(|t| &t.token), Some(Token::Word(w)) if w.value == "STREAM");
    let parens = tokens.get(at + 1).is_some_and(|t| t.token == Token::LParen);
    let name_at = at + 1 + usize::from(parens);
    let Some((name, name_tokens)) = name_from(tokens, name_at) else {
        if parens && !is_named_stream {
            let place =
                tokens.get(name_at).or(tokens.get(at)).map(|t| t.span).unwrap_or(sqlparser::tokenizer::Span::empty());
            let d = Diagnostic::error("P0115", "STREAM marks a table, and this is not the name of one")
                .span(place)
                .help("write STREAM layer.table, and filter or join behind it");
            return Err(Box::new(d));
        }
        return Ok(None);
    };
    if parens {
        let closing = name_at + name_tokens;
        let closes = tokens.get(closing).is_some_and(|t| t.token == Token::RParen);
        let mark = StreamMark { name, name_at, name_tokens, closing: Some(closing) };
        if closes {
            return Ok(Some(mark));
        }
        let d = Diagnostic::error("P0115", "STREAM(...) holds the name of one table").span(mark.name.span());
        return Err(Box::new(d));
    }
    let is_alias = name.0.len() == 1 && is_named_stream && !is_shouted;
    Ok((!is_alias).then_some(StreamMark { name, name_at, name_tokens, closing: None }))
}

/// A name of a table at `at`, with its number of tokens; no reserved word begins one.
fn name_from(tokens: &[&Tok], at: usize) -> Option<(ObjectName, usize)> {
    let first = tokens.get(at)?;
    match &first.token {
        Token::Word(w) if w.quote_style.is_some() => {}
        Token::Word(w) if w.keyword == sqlparser::keywords::Keyword::AS => return None,
        Token::Word(w) if RESERVED_FOR_TABLE_ALIAS.contains(&w.keyword) => return None,
        Token::Word(w)
            if ["SELECT", "WITH", "VALUES", "LATERAL", "UNNEST"].iter().any(|k| w.value.eq_ignore_ascii_case(k)) =>
        {
            return None;
        }
        _ => {}
    }
    let mut parts = vec![ident(first)?];
    let mut length = 1;
    while tokens.get(at + length).is_some_and(|t| t.token == Token::Period) {
        let Some(part) = tokens.get(at + length + 1).and_then(|t| ident(t)) else { break };
        parts.push(part);
        length += 2;
    }
    Some((ObjectName(parts), length))
}

fn ident(tok: &Tok) -> Option<Ident> {
    let Token::Word(w) = &tok.token else { return None };
    let quoted = w.quote_style.is_some();
    let value = if quoted { w.value.clone() } else { w.value.to_ascii_lowercase() };
    Some(Ident { value, written: w.value.clone(), quoted, span: tok.span })
}

/// `FOR VERSION|TIMESTAMP AS OF literal` at `at`, with its number of tokens.
fn as_of_mark(tokens: &[&Tok], at: usize, dropped: Option<usize>) -> Step<Option<(AsOf, usize)>> {
    let is = |n: usize, word: &str| tokens.get(at + n).is_some_and(|t| t.is_word(word));
    // SYSTEM_VERSION and SYSTEM_TIME are Spark's and the standard's words for the same.
    let is_version = is(1, "VERSION") || is(1, "SYSTEM_VERSION");
    let is_time = is(1, "TIMESTAMP") || is(1, "SYSTEM_TIME");
    if !(is(0, "FOR") && (is_version || is_time) && is(2, "AS") && is(3, "OF")) {
        return Ok(None);
    }
    let here = tokens.get(at).map(|t| t.span).unwrap_or(sqlparser::tokenizer::Span::empty());
    // The name ends just before, or before the parenthesis of STREAM(x).
    let end = if dropped.is_some_and(|d| d + 1 == at) { at - 1 } else { at };
    let Some(name) = name_before(tokens, end) else {
        let d = Diagnostic::error("P0116", "FOR ... AS OF stands behind the name of a table").span(here);
        return Err(Box::new(d));
    };
    // TIMESTAMP '...' and DATE '...' are literals too.
    let skip = usize::from(!is_version && (is(4, "TIMESTAMP") || is(4, "DATE")));
    let literal = tokens.get(at + 4 + skip);
    let negative = literal.is_some_and(|t| t.token == Token::Minus);
    let value = tokens.get(at + 4 + skip + usize::from(negative));
    let version = match value.map(|t| &t.token) {
        Some(Token::Number(digits, false)) if is_version => {
            let digits = if negative { format!("-{digits}") } else { digits.clone() };
            digits.parse().ok().map(Version::Id)
        }
        Some(Token::SingleQuotedString(s)) if !negative => {
            Some(if is_version { Version::Ref(s.clone()) } else { Version::Timestamp(s.clone()) })
        }
        _ => None,
    };
    let Some(at_version) = version else {
        let what = if is_version {
            "VERSION takes a snapshot id, or a branch's or tag's name in quotes"
        } else {
            "TIMESTAMP takes a time in quotes"
        };
        let span = literal.map_or(here, |t| t.span);
        return Err(Box::new(
            Diagnostic::error("P0116", what).span(span).note("only literals: the version is a constant of the query"),
        ));
    };
    Ok(Some((AsOf { name, at: at_version }, 5 + skip + usize::from(negative))))
}

/// The name whose last token is just before `end`.
fn name_before(tokens: &[&Tok], end: usize) -> Option<ObjectName> {
    let mut at = end.checked_sub(1)?;
    let mut parts = vec![ident(tokens.get(at)?)?];
    while at >= 2 && tokens.get(at - 1).is_some_and(|t| t.token == Token::Period) {
        let Some(part) = tokens.get(at - 2).and_then(|t| ident(t)) else { break };
        parts.insert(0, part);
        at -= 2;
    }
    Some(ObjectName(parts))
}

/// Whether a CTE of this query is named stream: `WITH stream AS (`, or behind a comma.
fn has_cte_stream(tokens: &[&Tok]) -> bool {
    tokens.windows(4).any(|w| match w {
        [before, name, next, open] => {
            let begins = before.is_word("WITH") || before.is_word("RECURSIVE") || before.token == Token::Comma;
            let is_cte = (next.is_word("AS") && open.token == Token::LParen) || next.token == Token::LParen;
            begins && name.is_word("STREAM") && is_cte && !(before.token == Token::Comma && next.token == Token::LParen)
        }
        _ => false,
    })
}
