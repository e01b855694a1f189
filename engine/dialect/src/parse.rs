//! Files to statements: splits, dispatches on the first words, and goes on at the next semicolon after an error.
//!
//!   text ─▶ lex ─▶ run of tokens ─▶ checks of the whole run ─▶ head by head ─▶ Statement, or diagnostics
//!
//! Invariants
//! * All errors of a file in one pass. A statement with an error is left out; the others are given.
//! * Never panics, whatever the text.
//!
//! Not here: the heads themselves (`source`, `table`, `flow`, `test_case`, `command`), meaning (`pipeline`).

use crate::ast::{Command, Query, Span, Statement, StatementKind};
use crate::body::Streams;
use crate::cursor::{Cursor, Step, quoted};
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::env::has_reference;
use crate::lex::{Lexed, Tok, lex};
use sqlparser::tokenizer::Token;

/// A file's statements and everything that is wrong with it.
///
/// ```
/// use ingot_dialect::{parse_file, render};
///
/// let text = "CREATE VIEW gold.trips AS SELECT * FROM silver.trips;\nCREATE VIEW gold.late AS SELEC 1;\n";
/// let parsed = parse_file("sql/gold.sql", text);
/// assert_eq!(parsed.statements.len(), 1);
/// assert!(parsed.has_errors());
/// let shown = render(&parsed.diagnostics[0], Some(text), false);
/// assert!(shown.contains("--> sql/gold.sql:2:26"), "{shown}");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Parsed {
    pub statements: Vec<Statement>,
    /// In the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

impl Parsed {
    /// Whether a diagnostic is an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Parses a file. `path` is how the file is named in diagnostics.
pub fn parse_file(path: &str, text: &str) -> Parsed {
    parse_lexed(path, &lex(text))
}

pub(crate) fn parse_lexed(path: &str, lexed: &Lexed<'_>) -> Parsed {
    let mut out = Parsed { statements: Vec::new(), diagnostics: lexed.diagnostics.clone() };
    let has_table_stream = declares_view_stream(&lexed.tokens);
    for run in lexed.statements() {
        if lexed.is_broken(&run) {
            continue;
        }
        let mut cursor = Cursor::new(lexed, run, has_table_stream);
        let result = statement(&mut cursor, path);
        let mut found = std::mem::take(&mut cursor.diagnostics);
        match result {
            Ok(statement) => {
                found.extend(stray_references(&cursor));
                if !found.iter().any(Diagnostic::is_error) {
                    out.statements.push(statement);
                }
            }
            Err(d) => found.push(*d),
        }
        out.diagnostics.append(&mut found);
    }
    for d in &mut out.diagnostics {
        d.file = Some(path.to_string());
    }
    out.diagnostics.sort_by_key(|d| d.span.map(|s| s.start));
    out
}

/// Parses one ad hoc query: STREAM is an ordinary name, `FOR ... AS OF` is lifted; a semicolon may follow.
///
/// # Errors
/// Everything that is wrong with the text.
pub fn parse_query(path: &str, text: &str) -> Result<Query, Vec<Diagnostic>> {
    let lexed = lex(text);
    let fail = |d: Diagnostic| Err(vec![Diagnostic { file: Some(path.to_string()), ..d }]);
    if !lexed.diagnostics.is_empty() {
        let with_file = |d: &Diagnostic| Diagnostic { file: Some(path.to_string()), ..d.clone() };
        return Err(lexed.diagnostics.iter().map(with_file).collect());
    }
    let runs = lexed.statements();
    let run = match runs.as_slice() {
        [] => return fail(Diagnostic::error("P0129", "expected a query, found nothing")),
        [run] => run.clone(),
        [_, second, ..] => {
            let span = lexed.tokens.get(second.clone()).and_then(|r| r.iter().find(|t| t.is_code())).map(|t| t.span);
            let d = Diagnostic::error("P0129", "expected one query, found several statements");
            return fail(d.span(span.unwrap_or(Span::empty())));
        }
    };
    let mut cursor = Cursor::new(&lexed, run, false);
    let result = balanced(&cursor).and_then(|()| cursor.query(Streams::Keep));
    result.or_else(|d| fail(*d).map_err(|e: Vec<Diagnostic>| e))
}

fn statement(c: &mut Cursor<'_>, path: &str) -> Step<Statement> {
    templating(c, path)?;
    balanced(c)?;
    let kind = kind(c)?;
    if !c.is_done() {
        return Err(c.unexpected("the end of the statement"));
    }
    Ok(Statement { kind, span: c.span_from(0) })
}

fn kind(c: &mut Cursor<'_>) -> Step<StatementKind> {
    if !c.eat_words(&["CREATE"]) {
        return command(c).map(StatementKind::Command);
    }
    let or_refresh = c.eat_words(&["OR", "REFRESH"]);
    if c.eat_words(&["STREAMING", "TABLE"]) {
        return c.table(or_refresh, false).map(StatementKind::StreamingTable);
    }
    if c.eat_words(&["MATERIALIZED", "VIEW"]) {
        return c.table(or_refresh, true).map(StatementKind::MaterializedView);
    }
    if or_refresh {
        return Err(c.unexpected("STREAMING TABLE or MATERIALIZED VIEW after OR REFRESH"));
    }
    if c.eat_words(&["SOURCE"]) {
        return c.source().map(StatementKind::Source);
    }
    if c.eat_words(&["VIEW"]) {
        return c.view().map(StatementKind::View);
    }
    if c.eat_words(&["TEMPORARY", "VIEW"]) || c.eat_words(&["TEMP", "VIEW"]) {
        return c.view().map(StatementKind::TemporaryView);
    }
    if c.eat_words(&["TABLE"]) {
        return c.seed().map(StatementKind::Seed);
    }
    if c.eat_words(&["EXTERNAL", "TABLE"]) {
        return c.external().map(StatementKind::External);
    }
    if c.eat_words(&["FLOW"]) {
        return c.flow().map(StatementKind::Flow);
    }
    if c.eat_words(&["TEST"]) {
        return c.test_case().map(StatementKind::Test);
    }
    Err(unknown_create(c))
}

fn command(c: &mut Cursor<'_>) -> Step<Command> {
    if c.eat_words(&["REFRESH"]) {
        return c.refresh();
    }
    if c.eat_words(&["EXPLAIN", "REFRESH"]) {
        return c.explain_refresh();
    }
    if c.eat_words(&["SHOW"]) {
        return c.show();
    }
    if c.eat_words(&["ALTER", "TABLE"]) {
        return c.alter();
    }
    let Some((tok, written)) = c.written_word(0) else {
        return Err(c.unexpected("CREATE"));
    };
    let d = Diagnostic::error("P0106", format!("unknown statement {}", quoted(written))).span(tok.span);
    let upper = written.to_ascii_uppercase();
    let d = match upper.as_str() {
        "SELECT" | "WITH" | "VALUES" | "FROM" => {
            d.help("a query of a project belongs to a view: CREATE MATERIALIZED VIEW layer.name AS ...")
        }
        "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "DROP" | "COPY" => {
            d.help("files declare what tables are, not steps: CREATE STREAMING TABLE or CREATE MATERIALIZED VIEW")
        }
        _ => match did_you_mean(written, ["CREATE", "REFRESH", "EXPLAIN", "SHOW", "ALTER"]) {
            Some(near) => d.help(format!("did you mean {near}?")).suggest(tok.span, near),
            None => d.note("statements begin with CREATE"),
        },
    };
    Err(Box::new(d))
}

fn unknown_create(c: &Cursor<'_>) -> Box<Diagnostic> {
    const KINDS: &[&[&str]] = &[
        &["SOURCE"],
        &["STREAMING", "TABLE"],
        &["MATERIALIZED", "VIEW"],
        &["VIEW"],
        &["TEMPORARY", "VIEW"],
        &["TABLE"],
        &["EXTERNAL", "TABLE"],
        &["FLOW"],
        &["TEST"],
    ];
    let Some((tok, written)) = c.written_word(0) else {
        return c.unexpected("SOURCE, STREAMING TABLE, MATERIALIZED VIEW, VIEW, FLOW or TEST");
    };
    let d = Diagnostic::error("P0106", format!("cannot CREATE {}", quoted(written))).span(tok.span);
    if c.are_words(&["OR", "REPLACE"]) {
        let span = c.written_word(1).map_or(tok.span, |(t, _)| t.span);
        let help = "a changed file replaces its table by itself; write CREATE, or CREATE OR REFRESH";
        return Box::new(d.help(help).suggest(span, "REFRESH"));
    }
    // The first word is right and the second is not.
    let by_first = KINDS.iter().find(|k| k.first().is_some_and(|w| c.is_word(0, w)));
    if let (Some(kind), Some((second, found))) = (by_first, c.written_word(1))
        && let Some(right) = kind.get(1)
    {
        let d = Diagnostic::error("P0106", format!("expected {}, found {}", kind.join(" "), quoted(found)))
            .span(second.span);
        return Box::new(d.suggest(second.span, *right).help(format!("did you mean CREATE {}?", kind.join(" "))));
    }
    Box::new(match did_you_mean(written, KINDS.iter().filter_map(|k| k.first().copied())) {
        Some(near) => {
            let whole = KINDS.iter().find(|k| k.first() == Some(&near)).map_or_else(String::new, |k| k.join(" "));
            d.help(format!("did you mean CREATE {whole}?")).suggest(tok.span, near)
        }
        None => d.note("CREATE makes a SOURCE, STREAMING TABLE, MATERIALIZED VIEW, VIEW, TEMPORARY VIEW, TABLE, EXTERNAL TABLE, FLOW or TEST"),
    })
}

/// Every parenthesis has its partner.
fn balanced(c: &Cursor<'_>) -> Step<()> {
    let mut open: Vec<Span> = Vec::new();
    for at in 0..c.end {
        let Some(tok) = c.tok(at) else { break };
        match tok.token {
            Token::LParen => open.push(tok.span),
            Token::RParen if open.pop().is_none() => {
                return c.fail("P0114", "this parenthesis was never opened", tok.span);
            }
            _ => {}
        }
    }
    match open.first() {
        Some(span) => c.fail("P0114", "this parenthesis is never closed", *span),
        None => Ok(()),
    }
}

/// `{{ ... }}` and `{% ... %}`.
fn templating(c: &Cursor<'_>, path: &str) -> Step<()> {
    let touches = |a: &Tok, b: &Tok| a.bytes.end == b.bytes.start;
    for at in 0..c.end {
        let (Some(first), Some(second)) = (c.tok(at), c.tok(at + 1)) else { break };
        let doubled = second.token == Token::LBrace || second.token == Token::Mod;
        if first.token != Token::LBrace || !doubled || !touches(first, second) {
            continue;
        }
        let closer = (at + 2..c.end).find(|i| match (c.tok(*i), c.tok(i + 1)) {
            (Some(a), Some(b)) => {
                (a.token == Token::RBrace || a.token == Token::Mod) && b.token == Token::RBrace && touches(a, b)
            }
            _ => false,
        });
        let end = closer.and_then(|i| c.tok(i + 1)).unwrap_or(second);
        let span = first.span.union(&end.span);
        let mut d = Diagnostic::error("P0107", "no templating").span(span);
        let inside = at + 2..closer.unwrap_or(at + 2);
        let strings: Vec<&str> = inside
            .filter_map(|i| match c.tok(i).map(|t| &t.token) {
                Some(Token::SingleQuotedString(s)) => Some(s.as_str()),
                Some(Token::Word(w)) if w.quote_style.is_some() => Some(w.value.as_str()),
                _ => None,
            })
            .collect();
        let name = match strings.as_slice() {
            [name] if name.contains('.') => Some(name.to_string()),
            [name] => Some(format!("{}.{name}", layer_below(path))),
            [schema, name] => Some(format!("{schema}.{name}")),
            _ => None,
        };
        d = match name {
            Some(name) => d.help(format!("write {name}")).suggest(span, name),
            None => d.help("write plain SQL: the order of models follows from the tables they read"),
        };
        return Err(Box::new(d));
    }
    Ok(())
}

/// The layer that a file of this folder usually reads.
fn layer_below(path: &str) -> &'static str {
    let is_in = |layer: &str| path.split(['/', '\\']).any(|part| part == layer);
    if is_in("silver") || is_in("bronze") { "bronze" } else { "silver" }
}

/// Warnings for `${NAME}` in strings that are never expanded.
fn stray_references(c: &Cursor<'_>) -> Vec<Diagnostic> {
    let warn = |tok: &Tok| {
        Diagnostic::warning("P0123", "${...} is not expanded here")
            .span(tok.span)
            .note("only values of WITH and ENCODE are; elsewhere it is text")
    };
    let is_stray = |tok: &&Tok| {
        let text = match &tok.token {
            Token::SingleQuotedString(s) | Token::EscapedStringLiteral(s) | Token::NationalStringLiteral(s) => s,
            Token::DollarQuotedString(s) => &s.value,
            Token::Word(w) if w.quote_style.is_some() => &w.value,
            _ => return false,
        };
        has_reference(text) && !c.expandable.contains(&tok.span.start)
    };
    (0..c.end).filter_map(|at| c.tok(at)).filter(is_stray).map(warn).collect()
}

/// Whether the file declares a view of the name stream: `FROM stream s` may then mean that view.
fn declares_view_stream(tokens: &[Tok]) -> bool {
    let code: Vec<&Tok> = tokens.iter().filter(|t| t.is_code()).collect();
    code.windows(2).any(|pair| matches!(pair, [view, name] if view.is_word("VIEW") && name.is_word("STREAM")))
}
