//! `ingot fmt`: canonical heads; bodies and comments verbatim.
//!
//!   statements ─▶ Layout (canonical lines with their places) ─▶ comments put back beside what they stood beside
//!
//! A comment behind code on its line stays behind the line that holds that code; a comment on a line of its own stays
//! above what followed it. At most one blank line is kept between things; statements are at least one apart.
//!
//! Invariants
//! * The result means the same and holds every comment, or the file is refused (P0127): this is checked each time.
//! * Formatting the result again changes nothing.
//!
//! Not here: the lines themselves (`layout`).

use crate::ast::{Location, Span, Statement};
use crate::diagnostic::Diagnostic;
use crate::layout::{Anchor, INDENT, Layout, Line};
use crate::lex::{Lexed, Tok, lex};
use crate::parse::parse_lexed;
use sqlparser::tokenizer::{Token, Whitespace};
use std::ops::Range;

/// The file in canonical form, ending with a newline (or empty).
///
/// # Errors
/// The file's errors if it does not parse; P0127 if it could not be formatted without loss.
pub fn format_file(path: &str, text: &str) -> Result<String, Vec<Diagnostic>> {
    let lexed = lex(text);
    let parsed = parse_lexed(path, &lexed);
    if parsed.has_errors() {
        return Err(parsed.diagnostics);
    }
    let runs = lexed.statements();
    let mut out = String::new();
    let mut gap_start = 0;
    let mut last_line = None;
    for (statement, run) in parsed.statements.iter().zip(&runs) {
        let Some(code) = code_range(&lexed, run) else { continue };
        gap(&lexed, gap_start..code.start, last_line, Some(line_of(&lexed, code.start)), &mut out);
        out.push_str(&format_statement(&lexed, statement, &code));
        out.push(';');
        gap_start = code.end;
        last_line = lexed.tokens.get(code.end - 1).map(|t| t.span.end.line);
    }
    gap(&lexed, gap_start..lexed.tokens.len(), last_line, None, &mut out);
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    check(path, &parsed.statements, &lexed, &out)?;
    Ok(out)
}

/// From the first to the last code token of a run.
fn code_range(lexed: &Lexed<'_>, run: &Range<usize>) -> Option<Range<usize>> {
    let is_code = |i: &usize| lexed.tokens.get(*i).is_some_and(Tok::is_code);
    let first = run.clone().find(is_code)?;
    let last = run.clone().rev().find(is_code)?;
    Some(first..last + 1)
}

fn line_of(lexed: &Lexed<'_>, at: usize) -> u64 {
    lexed.tokens.get(at).map_or(0, |t| t.span.start.line)
}

/// The comments between two statements. `before` is the line where the first one ended, `after` where the second begins.
fn gap(lexed: &Lexed<'_>, tokens: Range<usize>, before: Option<u64>, after: Option<u64>, out: &mut String) {
    let mut line = before;
    let mut own_lines: Vec<(bool, String)> = Vec::new();
    for tok in lexed.tokens.get(tokens).unwrap_or(&[]) {
        if tok.token == Token::SemiColon && own_lines.is_empty() {
            line = Some(tok.span.start.line);
        }
        if !tok.is_comment() {
            continue;
        }
        let text = comment_text(lexed, tok);
        if own_lines.is_empty() && line == Some(tok.span.start.line) && before.is_some() {
            out.push(' ');
            out.push_str(&text);
        } else {
            let blank = line.is_some_and(|l| tok.span.start.line > l + 1);
            own_lines.push((blank, text));
        }
        line = Some(last_line(tok));
    }
    let blank_after = match (after, line) {
        (Some(next), Some(l)) => next > l + 1,
        _ => false,
    };
    let is_apart = blank_after || own_lines.iter().any(|(blank, _)| *blank);
    for (i, (blank, text)) in own_lines.iter().enumerate() {
        if !out.is_empty() {
            out.push('\n');
            let forced = i == 0 && before.is_some() && after.is_some() && !is_apart;
            if *blank || forced {
                out.push('\n');
            }
        }
        out.push_str(text);
    }
    if after.is_some() && !out.is_empty() {
        out.push('\n');
        if blank_after || own_lines.is_empty() {
            out.push('\n');
        }
    }
}

/// A comment's text without the end of its line.
fn comment_text(lexed: &Lexed<'_>, tok: &Tok) -> String {
    lexed.text.get(tok.bytes.clone()).unwrap_or("").trim_end().to_string()
}

/// The line a comment ends on; the tokenizer counts the newline into a comment of one line.
fn last_line(tok: &Tok) -> u64 {
    if ends_line(tok) { tok.span.start.line } else { tok.span.end.line }
}

fn ends_line(tok: &Tok) -> bool {
    matches!(tok.token, Token::Whitespace(Whitespace::SingleLineComment { .. }))
}

/// A canonical line with the comments that stay with it.
struct Dressed {
    line: Line,
    anchor: Location,
    above: Vec<String>,
    behind: Vec<Behind>,
}

struct Behind {
    text: String,
    /// Nothing may follow it on its line.
    is_last: bool,
}

fn format_statement(lexed: &Lexed<'_>, statement: &Statement, code: &Range<usize>) -> String {
    let layout = Layout::of(statement);
    let tokens = lexed.tokens.get(code.clone()).unwrap_or(&[]);
    let mut lines = dress(layout.lines, tokens);
    let mut code_line = 0;
    for tok in tokens {
        if tok.is_code() {
            code_line = tok.span.end.line;
        }
        let is_inside = layout.verbatim.iter().any(|s| s.start <= tok.span.start && tok.span.start < s.end);
        if !tok.is_comment() || is_inside {
            continue;
        }
        let text = comment_text(lexed, tok);
        let place = tok.span.start;
        let holder = nearest(&lines, |a| a <= place, true);
        if code_line == place.line {
            if let Some(line) = holder.and_then(|i| lines.get_mut(i)) {
                let is_last = ends_line(tok) || text.contains('\n');
                line.behind.push(Behind { text, is_last });
            }
        } else if let Some(i) = nearest(&lines, |a| a > place, false).or(holder)
            && let Some(line) = lines.get_mut(i)
        {
            line.above.push(text);
        }
    }
    write_lines(lexed, lines)
}

/// The index of the line with the largest (or smallest) anchor that passes.
fn nearest(lines: &[Dressed], passes: impl Fn(Location) -> bool, largest: bool) -> Option<usize> {
    let candidates = lines.iter().enumerate().filter(|(_, l)| passes(l.anchor));
    if largest {
        candidates.max_by_key(|(i, l)| (l.anchor, *i)).map(|(i, _)| i)
    } else {
        candidates.min_by_key(|(i, l)| (l.anchor, *i)).map(|(i, _)| i)
    }
}

/// Finds where each line's content stood.
fn dress(lines: Vec<Line>, tokens: &[Tok]) -> Vec<Dressed> {
    let code: Vec<&Tok> = tokens.iter().filter(|t| t.is_code()).collect();
    let mut out: Vec<Dressed> = Vec::with_capacity(lines.len());
    for line in lines {
        let before = out.last().map_or(Location::new(0, 0), |l| l.anchor);
        let anchor = match (&line.anchor, &line.body) {
            (Anchor::At(place), _) => *place,
            (Anchor::Words(_, place), Some(_)) => {
                // The word just before the query, AS or NAME.
                code.iter().rev().find(|t| t.span.start < *place).map_or(*place, |t| t.span.start)
            }
            (Anchor::Words(words, place), None) => words_at(&code, words, *place).unwrap_or(*place),
            (Anchor::Close, _) => closing_after(&code, before).unwrap_or(before),
        };
        out.push(Dressed { line, anchor, above: Vec::new(), behind: Vec::new() });
    }
    out
}

/// Where these words stand outside parentheses: last at or before the place of what they introduce, or else first.
fn words_at(code: &[&Tok], words: &[&str], place: Location) -> Option<Location> {
    let mut depth = 0usize;
    let (mut before, mut behind) = (None, None);
    for (i, tok) in code.iter().enumerate() {
        match tok.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ if depth == 0 && words.iter().enumerate().all(|(n, w)| code.get(i + n).is_some_and(|t| t.is_word(w))) => {
                if tok.span.start <= place {
                    before = Some(tok.span.start);
                } else {
                    behind = behind.or(Some(tok.span.start));
                }
            }
            _ => {}
        }
    }
    before.or(behind)
}

fn closing_after(code: &[&Tok], place: Location) -> Option<Location> {
    let mut depth = 0usize;
    for tok in code {
        match tok.token {
            Token::LParen => depth += 1,
            Token::RParen => {
                depth = depth.saturating_sub(1);
                if depth == 0 && tok.span.start > place {
                    return Some(tok.span.start);
                }
            }
            _ => {}
        }
    }
    None
}

/// All lines; what would stand behind the semicolon is put above the last line instead.
fn write_lines(lexed: &Lexed<'_>, lines: Vec<Dressed>) -> String {
    let mut out = String::new();
    let count = lines.len();
    for (i, dressed) in lines.into_iter().enumerate() {
        let is_end = i + 1 == count;
        // A comment above a closing parenthesis was inside of it.
        let is_inside = dressed.line.anchor == Anchor::Close || dressed.line.text.starts_with(INDENT);
        let indent = if is_inside { INDENT } else { "" };
        let (behind, last, raised) = arrange(dressed.behind, is_end);
        if i > 0 {
            out.push('\n');
        }
        for comment in dressed.above.iter().chain(&raised) {
            out.push_str(&format!("{indent}{comment}\n"));
        }
        out.push_str(&dressed.line.text);
        if let Some(query) = &dressed.line.body {
            out.push_str(&before_body(lexed, query.tokens.first().map(|t| t.span)));
            out.push_str(&query.text);
        }
        for comment in behind.iter().chain(&last) {
            out.push_str(&format!(" {comment}"));
        }
    }
    out
}

/// Splits the comments behind a line into those of one line, the last one, and those that must go above.
fn arrange(behind: Vec<Behind>, is_end: bool) -> (Vec<String>, Option<String>, Vec<String>) {
    let (enders, short): (Vec<Behind>, Vec<Behind>) = behind.into_iter().partition(|b| b.is_last);
    let text = |list: Vec<Behind>| list.into_iter().map(|b| b.text).collect::<Vec<_>>();
    let (mut enders, short) = (text(enders), text(short));
    if is_end {
        // The semicolon follows this line.
        let mut raised = short;
        raised.append(&mut enders);
        return (Vec::new(), None, raised);
    }
    let last = enders.pop();
    (short, last, enders)
}

/// A query that began on a line of its own keeps its line and its indentation.
fn before_body(lexed: &Lexed<'_>, span: Option<Span>) -> String {
    let first = span.and_then(|s| lexed.tokens.iter().find(|t| t.span.start == s.start));
    let before = first.and_then(|t| lexed.text.get(..t.bytes.start)).unwrap_or("");
    let line = before.rsplit('\n').next().unwrap_or("");
    if before.contains('\n') && line.chars().all(char::is_whitespace) { format!("\n{line}") } else { " ".to_string() }
}

/// The formatted text must mean the same and hold the same comments.
fn check(path: &str, statements: &[Statement], lexed: &Lexed<'_>, formatted: &str) -> Result<(), Vec<Diagnostic>> {
    let after = lex(formatted);
    let parsed = parse_lexed(path, &after);
    let comments = |lexed: &Lexed<'_>| {
        let mut all: Vec<String> =
            lexed.tokens.iter().filter(|t| t.is_comment()).map(|t| comment_text(lexed, t)).collect();
        all.sort();
        all
    };
    if !parsed.has_errors() && parsed.statements == statements && comments(lexed) == comments(&after) {
        return Ok(());
    }
    let first = statements.iter().zip(&parsed.statements).find(|(a, b)| a != b).map(|(a, _)| a.span);
    let span = first.or_else(|| statements.first().map(|s| s.span)).unwrap_or(Span::empty());
    Err(vec![
        Diagnostic::error("P0127", "this file cannot be formatted without loss; it was left as it is").at(path, span),
    ])
}
