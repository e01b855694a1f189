//! A file's text as tokens with their places, split at semicolons.
//!
//!   text ─▶ sqlparser's tokenizer ─▶ tokens with byte ranges ─▶ one run of tokens a statement
//!
//! Invariants
//! * Tokens cover the text without gaps, up to the first unterminated one.
//! * What is unterminated is reported at its opening: the tokenizer's own errors often say "end of input".
//! * `/*! ... */` is a comment like another. The tokenizer alone would read its inside as code (MySQL's hints).
//!
//! Not here: `${NAME}` (`env`), the grammar (`parse`).

use crate::ast::{Location, Span};
use crate::diagnostic::Diagnostic;
use crate::grammar::GRAMMAR;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace};
use std::ops::Range;

/// A token with its place in lines and in bytes.
#[derive(Debug, Clone)]
pub(crate) struct Tok {
    pub token: Token,
    pub span: Span,
    pub bytes: Range<usize>,
}

impl Tok {
    pub(crate) fn is_comment(&self) -> bool {
        matches!(&self.token, Token::Whitespace(w) if is_comment(w))
    }

    /// Whether the parser sees it: neither space nor comment.
    pub(crate) fn is_code(&self) -> bool {
        !matches!(self.token, Token::Whitespace(_))
    }

    /// An unquoted word of this spelling, in any case.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        matches!(&self.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
    }

    /// As sqlparser's.
    pub fn with_span(&self) -> TokenWithSpan {
        TokenWithSpan::new(self.token.clone(), self.span)
    }
}

fn is_comment(w: &Whitespace) -> bool {
    matches!(w, Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_))
}

/// A file's tokens and the tokenizer's complaints.
pub(crate) struct Lexed<'a> {
    /// Without a byte-order mark.
    pub text: &'a str,
    pub tokens: Vec<Tok>,
    pub diagnostics: Vec<Diagnostic>,
    /// Bytes where tokenizing failed; a statement around one of them is not parsed.
    pub broken: Vec<usize>,
}

impl Lexed<'_> {
    /// The verbatim text of a run of tokens.
    pub fn slice(&self, tokens: &Range<usize>) -> &str {
        let run = self.tokens.get(tokens.clone()).unwrap_or(&[]);
        match (run.first(), run.last()) {
            (Some(first), Some(last)) => self.text.get(first.bytes.start..last.bytes.end).unwrap_or(""),
            _ => "",
        }
    }

    /// Runs of tokens between semicolons, without them; runs of comments and spaces alone are left out.
    pub fn statements(&self) -> Vec<Range<usize>> {
        let mut out = Vec::new();
        let mut start = 0;
        for end in 0..=self.tokens.len() {
            let at_end = self.tokens.get(end).is_none_or(|t| t.token == Token::SemiColon);
            if at_end {
                if self.tokens.get(start..end).is_some_and(|run| run.iter().any(Tok::is_code)) {
                    out.push(start..end);
                }
                start = end + 1;
            }
        }
        out
    }

    /// Whether tokenizing failed inside or just behind this run of tokens.
    pub(crate) fn is_broken(&self, run: &Range<usize>) -> bool {
        let start = self.tokens.get(run.start).map_or(0, |t| t.bytes.start);
        let end = self.tokens.get(run.end).map_or(self.text.len(), |t| t.bytes.start);
        self.broken.iter().any(|at| (start..=end).contains(at))
    }
}

/// Tokenizes a file; never fails, complaints are in the result.
pub(crate) fn lex(text: &str) -> Lexed<'_> {
    tokenize(text, true)
}

/// As [`lex`], up to the first complaint: in linear time whatever the text.
pub(crate) fn lex_to_first_error(text: &str) -> Lexed<'_> {
    tokenize(text, false)
}

fn tokenize(text: &str, go_on: bool) -> Lexed<'_> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut out = Lexed { text, tokens: Vec::new(), diagnostics: Vec::new(), broken: Vec::new() };
    let masked = Masked::new(text);
    let mut walk = Walk { at: 0, place: Location::new(1, 1) };
    while let Some(rest) = masked.text.get(masked.offset(walk.at)..).filter(|r| !r.is_empty()) {
        let base = walk.place;
        let mut buf = Vec::new();
        let ended = Tokenizer::new(&GRAMMAR, rest).tokenize_with_location_into_buf(&mut buf).is_ok();
        for token in buf {
            let end = shift(token.span.end, base);
            let (start_at, start) = (walk.at, walk.place);
            walk.advance_to(text, end);
            out.tokens.push(Tok {
                token: ungrouped(masked.restore(token.token)),
                span: Span::new(start, walk.place),
                bytes: start_at..walk.at,
            });
        }
        if ended {
            break;
        }
        // The token that failed begins where the last good one ended.
        let failure = Failure::at(text, walk.at);
        let mut end = walk;
        end.advance_by(text, failure.opening.len());
        out.diagnostics.push(failure.diagnostic(Span::new(walk.place, end.place)));
        out.broken.push(walk.at);
        if failure.swallows_rest || !go_on {
            break;
        }
        // Go on at the next semicolon.
        let Some(skip) = text.get(end.at..).and_then(|t| t.find(';')) else { break };
        end.advance_by(text, skip);
        walk = end;
    }
    out
}

/// A number without the `_` between its digits.
fn ungrouped(token: Token) -> Token {
    match token {
        Token::Number(digits, long) => Token::Number(digits.replace('_', ""), long),
        Token::HexStringLiteral(digits) => Token::HexStringLiteral(digits.replace('_', "")),
        other => other,
    }
}

/// A place of a text that began at `base`.
fn shift(place: Location, base: Location) -> Location {
    if place.line == 1 {
        Location::new(base.line, place.column + base.column - 1)
    } else {
        Location::new(place.line + base.line - 1, place.column)
    }
}

/// A position in bytes and in lines, kept together.
#[derive(Clone, Copy)]
struct Walk {
    at: usize,
    place: Location,
}

impl Walk {
    fn step(&mut self, c: char) {
        self.at += c.len_utf8();
        if c == '\n' {
            self.place = Location::new(self.place.line + 1, 1);
        } else {
            self.place.column += 1;
        }
    }

    fn advance_to(&mut self, text: &str, place: Location) {
        while self.place < place {
            let Some(c) = text.get(self.at..).and_then(|t| t.chars().next()) else { return };
            self.step(c);
        }
    }

    fn advance_by(&mut self, text: &str, bytes: usize) {
        let end = self.at + bytes;
        while self.at < end {
            let Some(c) = text.get(self.at..).and_then(|t| t.chars().next()) else { return };
            self.step(c);
        }
    }
}

/// The text with the `!` of every `/*!` replaced by a character that occurs nowhere else in it.
struct Masked<'a> {
    text: std::borrow::Cow<'a, str>,
    stand_in: Option<char>,
    /// Bytes before which a replacement stands, in the original text.
    places: Vec<usize>,
}

impl<'a> Masked<'a> {
    fn new(text: &'a str) -> Self {
        let places: Vec<usize> = text.match_indices("/*!").map(|(at, _)| at + 2).collect();
        let free = || ('\u{e000}'..='\u{f8ff}').find(|c| !text.contains(*c));
        let stand_in = if places.is_empty() { None } else { free() };
        match stand_in {
            Some(c) => Self { text: text.replace("/*!", &format!("/*{c}")).into(), stand_in, places },
            None => Self { text: text.into(), stand_in, places: Vec::new() },
        }
    }

    /// Where a byte of the original text is in the masked one.
    fn offset(&self, at: usize) -> usize {
        let before = self.places.partition_point(|p| *p < at);
        at + before * self.stand_in.map_or(0, |c| c.len_utf8() - 1)
    }

    fn restore(&self, mut token: Token) -> Token {
        let Some(c) = self.stand_in else { return token };
        let text = match &mut token {
            Token::Word(w) => &mut w.value,
            Token::DollarQuotedString(s) => &mut s.value,
            Token::QuoteDelimitedStringLiteral(s) | Token::NationalQuoteDelimitedStringLiteral(s) => &mut s.value,
            Token::Whitespace(
                Whitespace::SingleLineComment { comment, .. } | Whitespace::MultiLineComment(comment),
            ) => comment,
            Token::SingleQuotedString(s)
            | Token::DoubleQuotedString(s)
            | Token::TripleSingleQuotedString(s)
            | Token::TripleDoubleQuotedString(s)
            | Token::SingleQuotedByteStringLiteral(s)
            | Token::DoubleQuotedByteStringLiteral(s)
            | Token::TripleSingleQuotedByteStringLiteral(s)
            | Token::TripleDoubleQuotedByteStringLiteral(s)
            | Token::SingleQuotedRawStringLiteral(s)
            | Token::DoubleQuotedRawStringLiteral(s)
            | Token::TripleSingleQuotedRawStringLiteral(s)
            | Token::TripleDoubleQuotedRawStringLiteral(s)
            | Token::NationalStringLiteral(s)
            | Token::EscapedStringLiteral(s)
            | Token::UnicodeStringLiteral(s)
            | Token::HexStringLiteral(s) => s,
            _ => return token,
        };
        if text.contains(c) {
            *text = text.replace(c, "!");
        }
        token
    }
}

/// Why a token could not be read, told from its first characters.
struct Failure<'a> {
    opening: &'a str,
    swallows_rest: bool,
    code: &'static str,
    message: &'static str,
    help: &'static str,
}

impl<'a> Failure<'a> {
    fn at(text: &'a str, at: usize) -> Self {
        let rest = text.get(at..).unwrap_or("");
        let open = |bytes: usize| rest.get(..bytes).unwrap_or("");
        let unterminated = |opening, code, message, help| Self { opening, swallows_rest: true, code, message, help };
        if rest.starts_with("/*") {
            return unterminated(open(2), "P0103", "unterminated comment", "close it with */; comments nest");
        }
        if let Some(inner) = rest.strip_prefix('$') {
            let tag = inner.find('$').map_or(1, |n| n + 2);
            return unterminated(
                open(tag),
                "P0104",
                "unterminated dollar quote",
                "close it with the mark that opened it",
            );
        }
        let prefix = rest.find(|c: char| !(c.is_ascii_alphabetic() || c == '&')).unwrap_or(0);
        let quote = rest.get(prefix..).and_then(|t| t.chars().next()).filter(|c| "'\"`".contains(*c));
        if let Some(quote) = quote.filter(|_| prefix <= 2) {
            let body = rest.get(prefix + 1..).unwrap_or("");
            let escapes = prefix == 1 && rest.starts_with(['e', 'E', 'x', 'X']);
            if !has_end(body, quote, escapes) {
                let (message, help) = match quote {
                    '\'' => ("unterminated string", "close it with '; a quote inside is doubled: 'it''s'"),
                    _ => ("unterminated quoted name", "close it with the quote that opened it"),
                };
                return unterminated(open(prefix + 1), "P0102", message, help);
            }
            return Self {
                opening: open(prefix + 1),
                swallows_rest: false,
                code: "P0105",
                message: "this string has an escape that cannot be read",
                help: "write a plain string: '...'",
            };
        }
        let first = rest.chars().next().map_or(0, char::len_utf8);
        Self {
            opening: open(first),
            swallows_rest: false,
            code: "P0105",
            message: "no token begins with this character here",
            help: "remove it, or quote the name it belongs to",
        }
    }

    fn diagnostic(&self, span: Span) -> Diagnostic {
        let d = Diagnostic::error(self.code, self.message).span(span).help(self.help);
        if self.swallows_rest { d.label("opened here") } else { d }
    }
}

/// Whether a string's closing quote exists; doubled quotes, and escaped ones if there are escapes, do not close.
fn has_end(body: &str, quote: char, escapes: bool) -> bool {
    let mut chars = body.chars().peekable();
    while let Some(c) = chars.next() {
        if escapes && c == '\\' {
            chars.next();
        } else if c == quote && chars.next_if_eq(&quote).is_none() {
            return true;
        }
    }
    false
}

/// The statements of a text that is not a project file, verbatim, without their semicolons.
pub fn statements(text: &str) -> Vec<String> {
    let lexed = lex(text);
    lexed.statements().iter().map(|run| lexed.slice(run).trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grouped_digits_are_one_number() {
        let lexed = lex("SELECT 1_000 AS x, 1_0.000_1, 0xFF_FF, a_1");
        let numbers = lexed.tokens.iter().filter_map(|t| match &t.token {
            Token::Number(digits, _) | Token::HexStringLiteral(digits) => Some(digits.as_str()),
            _ => None,
        });
        assert_eq!(numbers.collect::<Vec<_>>(), ["1000", "10.0001", "FFFF"]);
        assert_eq!(lexed.slice(&(0..lexed.tokens.len())), lexed.text);
    }
}
