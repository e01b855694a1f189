//! Bodies: queries and expressions, given to DataFusion's parser as slices of our own tokens.
//!
//!   tokens ─▶ STREAM and FOR ... AS OF taken out (`lift`) ─▶ sqlparser ─▶ tree with places in the file
//!
//! Invariants
//! * The parser sees code tokens only, so its index counts ours.
//! * A body that could overflow the stack, of the parser or of code that walks the tree, is refused first (`size`).
//! * Its own panics, should there be any, become a diagnostic (P0128).
//!
//! Not here: what a query may contain (`pipeline`, `delta`).

use crate::ast::{Expr, Location, Query, Span};
use crate::cursor::{Cursor, Step, quoted};
use crate::diagnostic::Diagnostic;
use crate::grammar::GRAMMAR;
use crate::lex::Tok;
use crate::lift::{self, Lifted};
use crate::size;
use sqlparser::ast::{ObjectName as SqlName, Spanned as _, visit_relations};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};
use std::collections::HashSet;
use std::ops::{ControlFlow, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Recursion that sqlparser may use; its own default of 50 refuses ordinary queries.
pub(crate) const RECURSION_MAX: usize = 300;

/// Words that begin a clause of a head, for hints when they stand behind a query.
const HEAD_WORDS: &[&str] =
    &["PARTITIONED", "SORTED", "TAGS", "TBLPROPERTIES", "FRESHNESS", "FROZEN", "BACKFILL", "COMMENT"];

/// What to take out of a query before the parser sees it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    /// A project's file: STREAM marks a relation.
    TakeOut,
    /// An ad hoc query: STREAM is a name like another.
    Keep,
}

impl<'a> Cursor<'a> {
    /// The rest of what may be read, as a query.
    pub fn query(&mut self, streams: Streams) -> Step<Query> {
        let run = self.at..self.end;
        if run.is_empty() {
            let d = self.unexpected("a query");
            return Err(Box::new(Diagnostic { code: "P0110", ..*d }));
        }
        let tokens = self.run_tokens(&run);
        size::check_tokens(&tokens)?;
        let lifted = lift::lift(&tokens, streams == Streams::TakeOut, self.has_table_stream)?;
        let span = self.span_of(&run);
        let tree = self.parse_query_tree(&lifted, span)?;
        check_relations(&tree, &lifted)?;
        size::check_tree(tree.as_ref(), span)?;
        self.at = self.end;
        let whole = self.with_leading_comments(&run);
        let text = self.lexed.slice(&whole).to_string();
        let verbatim = self.lexed.tokens.get(whole).unwrap_or(&[]).iter().map(Tok::with_span).collect();
        Ok(Query { text, tokens: verbatim, tree, streams: lifted.streams, as_of: lifted.as_of, span })
    }

    /// `( query )`.
    pub(crate) fn query_in_parens(&mut self) -> Step<Query> {
        self.in_parens("a query", |c| c.query(Streams::TakeOut))
    }

    /// `( expression )`.
    pub(crate) fn expr_in_parens(&mut self) -> Step<Expr> {
        self.in_parens("an expression", |c| {
            let expr = c.expr()?;
            if c.is_done() { Ok(expr) } else { Err(c.unexpected("an operator or \")\"")) }
        })
    }

    /// An expression that ends where the grammar of expressions ends.
    pub fn expr(&mut self) -> Step<Expr> {
        let run = self.at..self.end;
        if run.is_empty() {
            return Err(self.unexpected("an expression"));
        }
        size::check_tokens(&self.run_tokens(&run))?;
        let tokens: Vec<TokenWithSpan> = self.run_tokens(&run).iter().map(|t| t.with_span()).collect();
        let count = tokens.len();
        let parsed = guarded(|| {
            let mut parser = parser(tokens);
            let tree = parser.parse_expr();
            (tree, parser.index().min(count))
        });
        let end_of_all = self.span_of(&run);
        let (tree, read) = match parsed {
            Some((Ok(tree), read)) => (tree, read),
            Some((Err(error), _)) => return Err(self.parser_error("P0112", error, &run)),
            None => return Err(crashed(end_of_all)),
        };
        let run = run.start..run.start + read;
        self.at = run.end;
        Ok(self.expr_of(&run, tree))
    }

    /// `[+|-] number`, a string, TRUE, FALSE, NULL, or a type's name and a string.
    pub fn literal(&mut self) -> Step<Expr> {
        let start = self.at;
        let token = |n: usize| self.peek(n).map(|t| &t.token);
        let is_word = |words: &[&str]| words.iter().any(|w| self.is_word(0, w));
        let length = match (token(0), token(1)) {
            (Some(Token::Plus | Token::Minus), Some(Token::Number(..))) => 2,
            (Some(Token::Number(..)), _) => 1,
            (Some(Token::HexStringLiteral(_)), _) => 1,
            (Some(t), _) if crate::types::is_string(t) => 1,
            _ if is_word(&["TRUE", "FALSE", "NULL"]) => 1,
            (Some(Token::Word(_)), Some(t))
                if crate::types::is_string(t) && is_word(&["DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ"]) =>
            {
                2
            }
            _ => return Err(self.unexpected("a literal: a number, a string, TRUE, FALSE or NULL")),
        };
        let outer = std::mem::replace(&mut self.end, start + length);
        let expr = self.expr();
        let is_read = self.is_done();
        self.end = outer;
        let expr = expr?;
        if is_read { Ok(expr) } else { Err(self.unexpected("the end of the literal")) }
    }

    fn expr_of(&self, run: &Range<usize>, tree: sqlparser::ast::Expr) -> Expr {
        let whole = self.all_tokens(run);
        let tokens = self.lexed.tokens.get(whole.clone()).unwrap_or(&[]).iter().map(Tok::with_span).collect();
        Expr { text: self.lexed.slice(&whole).to_string(), tokens, tree: Box::new(tree), span: self.span_of(run) }
    }

    fn parse_query_tree(&self, lifted: &Lifted, span: Span) -> Step<Box<sqlparser::ast::Query>> {
        let tokens: Vec<TokenWithSpan> = lifted.tokens.iter().map(|t| t.with_span()).collect();
        let count = tokens.len();
        let parsed = guarded(|| {
            let mut parser = parser(tokens);
            let tree = parser.parse_query();
            (tree, parser.index().min(count))
        });
        let run = self.at..self.end;
        match parsed {
            Some((Ok(tree), read)) => match lifted.tokens.get(read) {
                None => Ok(tree),
                Some(rest) => Err(self.text_behind(&lifted.tokens, read, rest)),
            },
            Some((Err(error), _)) => Err(self.parser_error("P0111", error, &run)),
            None => Err(crashed(span)),
        }
    }

    /// The query ended, and something follows.
    fn text_behind(&self, tokens: &[&Tok], read: usize, rest: &Tok) -> Box<Diagnostic> {
        let before = read.checked_sub(1).and_then(|i| tokens.get(i));
        let clause = [Some(&rest), before].into_iter().flatten().find(|t| HEAD_WORDS.iter().any(|w| t.is_word(w)));
        let text = |t: &Tok| quoted(self.lexed.text.get(t.bytes.clone()).unwrap_or(""));
        if let Some(clause) = clause {
            return Box::new(
                Diagnostic::error("P0125", format!("the clause {} stands behind the query", text(clause)))
                    .span(clause.span)
                    .help("clauses stand before AS; the query comes last"),
            );
        }
        let mut d =
            Diagnostic::error("P0124", format!("expected the end of the query, found {}", text(rest))).span(rest.span);
        if rest.is_word("CREATE") || rest.is_word("REFRESH") {
            d = d.help("a \";\" is missing between the two statements");
        }
        Box::new(d)
    }

    /// The parser's own message; its place stands in the text alone.
    fn parser_error(&self, code: &'static str, error: ParserError, run: &Range<usize>) -> Box<Diagnostic> {
        let message = match error {
            ParserError::RecursionLimitExceeded => return size::too_deep(self.span_of(run)),
            ParserError::ParserError(m) | ParserError::TokenizerError(m) => m,
        };
        let (message, place) = parser_message(&message);
        let token = place.and_then(|p| run.clone().filter_map(|at| self.tok(at)).find(|t| t.span.start == p));
        let span = match (token, place) {
            (Some(t), _) => t.span,
            (None, Some(p)) => Span::new(p, Location::new(p.line, p.column + 1)),
            (None, None) => self.behind_run(run),
        };
        let mut d = Diagnostic::error(code, message).span(span);
        if token.is_some_and(|t| t.is_word("CREATE")) {
            d = d.help("perhaps a \";\" is missing before CREATE");
        }
        Box::new(d)
    }

    /// One character behind a run.
    fn behind_run(&self, run: &Range<usize>) -> Span {
        let end = self.span_of(run).end;
        Span::new(end, Location::new(end.line, end.column + 1))
    }

    pub(crate) fn run_tokens(&self, run: &Range<usize>) -> Vec<&'a Tok> {
        run.clone().filter_map(|at| self.code.get(at)).filter_map(|i| self.lexed.tokens.get(*i)).collect()
    }

    /// All tokens of a run of code tokens, spaces and comments between them included.
    fn all_tokens(&self, run: &Range<usize>) -> Range<usize> {
        let first = self.code.get(run.start).copied().unwrap_or(0);
        let last = run.end.checked_sub(1).and_then(|at| self.code.get(at)).map_or(first, |i| i + 1);
        first..last.max(first)
    }

    /// Comments between the token before a query (AS, or a parenthesis) and the query belong to the query.
    fn with_leading_comments(&self, run: &Range<usize>) -> Range<usize> {
        let whole = self.all_tokens(run);
        let after = run.start.checked_sub(1).and_then(|at| self.code.get(at)).map_or(whole.start, |i| i + 1);
        let comment = (after..whole.start).find(|i| self.lexed.tokens.get(*i).is_some_and(Tok::is_comment));
        comment.unwrap_or(whole.start)..whole.end
    }

    /// The place of a run of tokens.
    pub fn span_of(&self, run: &Range<usize>) -> Span {
        let tokens = self.run_tokens(run);
        match (tokens.first(), tokens.last()) {
            (Some(a), Some(b)) => a.span.union(&b.span),
            _ => Span::empty(),
        }
    }
}

fn crashed(span: Span) -> Box<Diagnostic> {
    Box::new(Diagnostic::error("P0128", "the SQL parser stopped on its own fault here").span(span))
}

fn parser(tokens: Vec<TokenWithSpan>) -> Parser<'static> {
    Parser::new(&GRAMMAR).with_recursion_limit(RECURSION_MAX).with_tokens_with_locations(tokens)
}

/// The parser is not ours: its panics must not be ours either.
fn guarded<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

/// What a message of sqlparser says, and the place that stands at its end: it is given in no other way.
pub fn parser_message(text: &str) -> (String, Option<Location>) {
    let parse = |at: usize| {
        let (line, column) = text.get(at..)?.strip_prefix(" at Line: ")?.split_once(", Column: ")?;
        Some(Location::new(line.parse().ok()?, column.trim().parse().ok()?))
    };
    let (message, place) = match text.rfind(" at Line: ").map(|at| (at, parse(at))) {
        Some((at, Some(place))) => (text.get(..at).unwrap_or(text), Some(place)),
        _ => (text, None),
    };
    let message = message.trim_end_matches(['.', ' ']).replace("found: EOF", "found: the end");
    let mut chars = message.chars();
    let message = match (chars.next(), chars.clone().next()) {
        // NOT, UNNEST and the like.
        (Some(_), Some(second)) if second.is_uppercase() => message,
        (Some(first), _) => first.to_lowercase().chain(chars).collect(),
        (None, _) => message,
    };
    (message, place)
}

/// Every name that was marked must have become a relation.
fn check_relations(tree: &sqlparser::ast::Query, lifted: &Lifted) -> Step<()> {
    if lifted.streams.is_empty() && lifted.as_of.is_empty() {
        return Ok(());
    }
    let mut places: HashSet<Location> = HashSet::new();
    let _: ControlFlow<()> = visit_relations(tree, |name: &SqlName| {
        places.insert(name.span().start);
        ControlFlow::Continue(())
    });
    for name in &lifted.streams {
        if !places.contains(&name.span().start) {
            let d =
                Diagnostic::error("P0115", format!("STREAM marks a table, and \"{}\" is not one here", name.dotted()))
                    .span(name.span())
                    .help("quote \"stream\" if a table of that name is meant");
            return Err(Box::new(d));
        }
    }
    for as_of in &lifted.as_of {
        if !places.contains(&as_of.name.span().start) {
            let d = Diagnostic::error(
                "P0116",
                format!("FOR ... AS OF stands behind \"{}\", which is not a table", as_of.name.dotted()),
            )
            .span(as_of.name.span());
            return Err(Box::new(d));
        }
    }
    Ok(())
}
