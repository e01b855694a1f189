//! A place in one statement's tokens, with the small steps that all heads share.
//!
//! Invariants
//! * Only code tokens are seen; comments and spaces lie between them and stay in `Lexed`.
//! * Parentheses balance: `parse` refuses a statement whose parentheses do not, before any head is read.
//! * A step that fails leaves a diagnostic with a place; it never panics and never moves back.
//!
//! Not here: bodies of queries (`body`), types (`types`), what statements look like (`source`, `table`, ...).

use crate::ast::{Ident, Location, ObjectName, Pair, Span, Spanned, Str};
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::lex::{Lexed, Tok};
use sqlparser::tokenizer::Token;
use std::collections::HashSet;
use std::ops::Range;

/// Errors are boxed: diagnostics are large, and success is the usual way.
pub(crate) type Step<T> = Result<T, Box<Diagnostic>>;

pub(crate) struct Cursor<'a> {
    pub lexed: &'a Lexed<'a>,
    /// Indexes into `lexed.tokens` of the code tokens of this statement.
    pub code: Vec<usize>,
    /// The next token, as an index into `code`.
    pub at: usize,
    /// One past the last token that may be read; less than `code.len()` inside parentheses.
    pub end: usize,
    /// Errors after which reading could go on, and warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// Strings that may hold `${NAME}`.
    pub expandable: HashSet<Location>,
    /// Closing angle brackets left over from a `>>` token.
    pub angles: u8,
    /// Whether an unquoted, lower-case `stream` may be the name of a table of this file.
    pub has_table_stream: bool,
}

impl<'a> Cursor<'a> {
    /// At the first token of a run that is no comment. `has_table_stream`: `STREAM t` may be a table.
    pub fn new(lexed: &'a Lexed<'a>, run: Range<usize>, has_table_stream: bool) -> Self {
        let is_code = |i: &usize| lexed.tokens.get(*i).is_some_and(Tok::is_code);
        let code: Vec<usize> = run.filter(is_code).collect();
        let end = code.len();
        Self {
            lexed,
            code,
            at: 0,
            end,
            diagnostics: Vec::new(),
            expandable: HashSet::new(),
            angles: 0,
            has_table_stream,
        }
    }

    pub(crate) fn tok(&self, at: usize) -> Option<&'a Tok> {
        if at >= self.end {
            return None;
        }
        self.code.get(at).and_then(|i| self.lexed.tokens.get(*i))
    }

    /// The token `n` behind the next one.
    pub fn peek(&self, n: usize) -> Option<&'a Tok> {
        self.tok(self.at + n)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.end
    }

    /// The next token's place, or the place just behind the last token.
    pub fn here(&self) -> Span {
        match self.peek(0) {
            Some(t) => t.span,
            None => self.behind(),
        }
    }

    /// A place of one character behind the last token read.
    fn behind(&self) -> Span {
        let last = self.code.get(self.end.saturating_sub(1)).and_then(|i| self.lexed.tokens.get(*i));
        // Inside parentheses the closing one is the place where something is missing.
        let closing = self.code.get(self.end).and_then(|i| self.lexed.tokens.get(*i));
        match (closing, last) {
            (Some(t), _) => t.span,
            (None, Some(t)) => Span::new(t.span.end, Location::new(t.span.end.line, t.span.end.column + 1)),
            (None, None) => Span::empty(),
        }
    }

    /// The place from a token to the last one read.
    pub(crate) fn span_from(&self, start: usize) -> Span {
        let of = |at: usize| self.code.get(at).and_then(|i| self.lexed.tokens.get(*i)).map(|t| t.span);
        match (of(start), of(self.at.saturating_sub(1).max(start))) {
            (Some(a), Some(b)) => a.union(&b),
            (Some(a), None) => a,
            _ => Span::empty(),
        }
    }

    pub(crate) fn is_word(&self, n: usize, word: &str) -> bool {
        self.peek(n).is_some_and(|t| t.is_word(word))
    }

    pub(crate) fn are_words(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(n, w)| self.is_word(n, w))
    }

    pub(crate) fn is_token(&self, n: usize, token: &Token) -> bool {
        self.peek(n).is_some_and(|t| t.token == *token)
    }

    /// Whether the next token is this one; then it is passed.
    pub fn eat(&mut self, token: &Token) -> bool {
        let found = self.is_token(0, token);
        self.at += usize::from(found);
        found
    }

    /// Takes all the words, or none.
    pub(crate) fn eat_words(&mut self, words: &[&str]) -> bool {
        let found = self.are_words(words);
        if found {
            self.at += words.len();
        }
        found
    }

    /// Passes this token.
    ///
    /// # Errors
    /// Another one, or the end; `what` says what was wanted.
    pub fn expect(&mut self, token: &Token, what: &str) -> Step<()> {
        if self.eat(token) { Ok(()) } else { Err(self.unexpected(what)) }
    }

    pub(crate) fn expect_words(&mut self, words: &[&str]) -> Step<()> {
        for (i, word) in words.iter().enumerate() {
            if !self.eat_words(&[word]) {
                let what = words.get(i..).unwrap_or(words).join(" ");
                let mut d = self.unexpected(&what);
                if let Some((tok, written)) = self.written_word(0)
                    && did_you_mean(written, [*word]).is_some()
                {
                    *d = d.help(format!("did you mean {word}?")).suggest(tok.span, *word);
                }
                return Err(d);
            }
        }
        Ok(())
    }

    /// The next token's text if it is an unquoted word.
    pub(crate) fn written_word(&self, n: usize) -> Option<(&'a Tok, &'a str)> {
        let tok = self.peek(n)?;
        match &tok.token {
            Token::Word(w) if w.quote_style.is_none() => Some((tok, w.value.as_str())),
            _ => None,
        }
    }

    /// "expected X, found Y" at the next token.
    pub fn unexpected(&self, what: &str) -> Box<Diagnostic> {
        let found = match self.peek(0) {
            Some(t) => quoted(self.lexed.text.get(t.bytes.clone()).unwrap_or("")),
            None if self.end < self.code.len() => "\")\"".to_string(),
            None => "the end of the statement".to_string(),
        };
        let mut d = Diagnostic::error("P0101", format!("expected {what}, found {found}")).span(self.here());
        if self.is_reference() {
            d = d.help("values are strings: write '${NAME}' with quotes");
        }
        Box::new(d)
    }

    fn is_reference(&self) -> bool {
        matches!(self.peek(0).map(|t| &t.token), Some(Token::Placeholder(p)) if p == "$")
            && self.is_token(1, &Token::LBrace)
    }

    /// An error with this code at a place.
    pub fn fail<T>(&self, code: &'static str, message: impl Into<String>, span: Span) -> Step<T> {
        Err(Box::new(Diagnostic::error(code, message).span(span)))
    }

    /// One of a few words, with the nearest suggested otherwise.
    pub fn choice<T: Copy>(&mut self, what: &str, choices: &[(&'static [&'static str], T)]) -> Step<Spanned<T>> {
        let start = self.at;
        for (words, value) in choices {
            if self.eat_words(words) {
                return Ok(Spanned::new(*value, self.span_from(start)));
            }
        }
        let names: Vec<String> = choices.iter().map(|(w, _)| w.join(" ")).collect();
        let list = one_of(&names);
        let Some((tok, written)) = self.written_word(0) else {
            return Err(self.unexpected(&list));
        };
        let mut d =
            Diagnostic::error("P0119", format!("unknown {what} {}, expected {list}", quoted(written))).span(tok.span);
        // The first word alone is compared, since the rest may follow rightly.
        let firsts: Vec<&str> = choices.iter().filter_map(|(w, _)| w.first().copied()).collect();
        if let Some(near) = did_you_mean(written, firsts) {
            d = d.help(format!("did you mean {near}?")).suggest(tok.span, near);
        }
        Err(Box::new(d))
    }

    /// Any word, quoted or not: no word is reserved where a name is expected.
    pub fn ident(&mut self, what: &str) -> Step<Ident> {
        let Some(tok) = self.peek(0) else { return Err(self.unexpected(what)) };
        let Token::Word(w) = &tok.token else { return Err(self.unexpected(what)) };
        if w.value.is_empty() {
            return self.fail("P0101", format!("expected {what}, found an empty name"), tok.span);
        }
        self.at += 1;
        let quoted = w.quote_style.is_some();
        let value = if quoted { w.value.clone() } else { w.value.to_ascii_lowercase() };
        Ok(Ident { value, written: w.value.clone(), quoted, span: tok.span })
    }

    pub(crate) fn object_name(&mut self, what: &str) -> Step<ObjectName> {
        let mut parts = vec![self.ident(what)?];
        while self.eat(&Token::Period) {
            parts.push(self.ident("a name after the dot")?);
        }
        Ok(ObjectName(parts))
    }

    /// A string literal's value.
    pub fn string(&mut self, what: &str) -> Step<Str> {
        let Some(tok) = self.peek(0) else { return Err(self.unexpected(what)) };
        let value = match &tok.token {
            Token::SingleQuotedString(s) | Token::NationalStringLiteral(s) | Token::EscapedStringLiteral(s) => s,
            Token::UnicodeStringLiteral(s) => s,
            Token::DollarQuotedString(s) => &s.value,
            Token::Word(w) if w.quote_style.is_some() => {
                let single = format!("'{}'", w.value.replace('\'', "''"));
                let mut d = self.unexpected(what);
                *d = d.help(format!("strings have single quotes: {single}")).suggest(tok.span, single);
                return Err(d);
            }
            _ => return Err(self.unexpected(what)),
        };
        self.at += 1;
        Ok(Spanned::new(value.clone(), tok.span))
    }

    /// A whole number without sign.
    pub fn number<N: std::str::FromStr>(&mut self, what: &str) -> Step<Spanned<N>> {
        let Some(tok) = self.peek(0) else { return Err(self.unexpected(what)) };
        let Token::Number(digits, false) = &tok.token else { return Err(self.unexpected(what)) };
        let Ok(value) = digits.parse() else {
            return self.fail("P0120", format!("\"{digits}\" is not {what}, or too large"), tok.span);
        };
        self.at += 1;
        Ok(Spanned::new(value, tok.span))
    }

    /// The index of the parenthesis that closes the one at `open`.
    pub fn closing(&self, open: usize) -> Option<usize> {
        let mut depth = 0usize;
        for at in open..self.end {
            match self.tok(at).map(|t| &t.token) {
                Some(Token::LParen) => depth += 1,
                Some(Token::RParen) if depth == 1 => return Some(at),
                Some(Token::RParen) => depth = depth.checked_sub(1)?,
                _ => {}
            }
        }
        None
    }

    /// Takes `( ... )` and reads its inside with `read`, which must read all of it.
    pub(crate) fn in_parens<T>(&mut self, what: &str, read: impl FnOnce(&mut Self) -> Step<T>) -> Step<T> {
        let open = self.at;
        self.expect(&Token::LParen, &format!("\"(\" and {what}"))?;
        let Some(close) = self.closing(open) else {
            let span = self.tok(open).map_or_else(|| self.here(), |t| t.span);
            return self.fail("P0114", "this parenthesis is never closed", span);
        };
        let outer = std::mem::replace(&mut self.end, close);
        let read = read(self);
        let rest = if read.is_ok() && !self.is_done() { Some(self.unexpected("\",\" or \")\"")) } else { None };
        self.end = outer;
        match (read, rest) {
            (Ok(value), None) => {
                self.at = close + 1;
                Ok(value)
            }
            (Ok(_), Some(d)) | (Err(d), _) => Err(d),
        }
    }

    /// `( entry, entry, ... )` with at least one entry.
    pub fn list<T>(&mut self, what: &str, mut read: impl FnMut(&mut Self) -> Step<T>) -> Step<Vec<T>> {
        let start = self.at;
        self.in_parens(what, |c| {
            let mut out = Vec::new();
            if c.is_done() {
                c.at += 1;
                let span = c.span_from(start);
                return c.fail("P0121", format!("the list is empty; expected {what}"), span);
            }
            loop {
                out.push(read(c)?);
                if !c.eat(&Token::Comma) {
                    return Ok(out);
                }
            }
        })
    }

    /// Names of columns in parentheses.
    pub fn idents(&mut self) -> Step<Vec<Ident>> {
        self.list("names of columns", |c| c.ident("the name of a column"))
    }

    /// `('k' = 'v', ...)`. An empty list is allowed where `optional`.
    pub fn pairs(&mut self, expandable: bool) -> Step<Vec<Pair>> {
        self.list("'key' = 'value'", |c| {
            let key = c.string("a key in single quotes")?;
            c.expect(&Token::Eq, "\"=\"")?;
            let value = c.string("a value in single quotes")?;
            if expandable {
                c.expandable.insert(value.span.start);
            }
            Ok(Pair { key, value })
        })
    }

    /// Skips to the next comma at this depth, or the end; used to go on after an error in a list.
    pub(crate) fn skip_to_comma(&mut self) {
        let mut depth = 0usize;
        while let Some(t) = self.peek(0) {
            match t.token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                Token::Comma if depth == 0 => return,
                _ => {}
            }
            self.at += 1;
        }
    }
}

/// A text in double quotes for messages, shortened.
pub(crate) fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    format!("\"{short}\"")
}

/// "A", "A or B", "A, B or C".
pub(crate) fn one_of(names: &[String]) -> String {
    match names.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}
