//! DataFusion's planning errors as diagnostics of a file.
//!
//! Invariants
//! * The code follows from the error's type, never from its text.
//! * A suggestion names something that exists.
//!
//! Not here: errors while a plan runs (`error`).

use datafusion::common::{Column, DataFusionError, SchemaError};
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};
use ingot_dialect::diagnostic::{Diagnostic, did_you_mean};
use ingot_dialect::identifier;
use ingot_semantics::Refusal;

use super::output::{other_name, text_of};
use super::query::Planner;
use ingot_semantics::find;

/// The text that was planned.
pub(crate) struct Planned<'a> {
    pub file: &'a str,
    pub span: Span,
    pub tokens: &'a [TokenWithSpan],
}

/// Every complaint of an error.
pub(crate) fn diagnostics(error: &DataFusionError, planned: &Planned<'_>) -> Vec<Diagnostic> {
    explain(error, None, planned)
}

fn explain(
    error: &DataFusionError,
    told: Option<&datafusion::common::Diagnostic>,
    planned: &Planned<'_>,
) -> Vec<Diagnostic> {
    let whole = head(planned);
    if let Some(refusal) = find::<Refusal>(error) {
        let span = if refusal.span == Span::empty() { whole } else { refusal.span };
        return vec![Diagnostic::error(refusal.code, refusal.text.clone()).at(planned.file, span).help(refusal.help)];
    }
    let one = match error {
        DataFusionError::Collection(all) => return all.iter().flat_map(|e| explain(e, None, planned)).collect(),
        DataFusionError::Context(_, inner) => return explain(inner, told, planned),
        DataFusionError::Shared(inner) => return explain(inner, told, planned),
        DataFusionError::Diagnostic(d, inner) => return explain(inner, Some(d), planned),
        DataFusionError::SchemaError(schema, _) => schema_error(schema, told, planned),
        DataFusionError::NotImplemented(text) => {
            Diagnostic::error("U0124", format!("the query engine does not have this: {}", short(&tidy(text, planned))))
                .at(planned.file, told.and_then(|d| d.span).map_or(whole, span_of))
        }
        DataFusionError::Plan(text) => match told {
            Some(d) => from_told(d, text, planned),
            None => Diagnostic::error("T0101", short(&tidy(text, planned)))
                .at(planned.file, whole)
                .help("look at the types here, and cast where they do not fit: CAST(x AS DOUBLE)"),
        },
        other => Diagnostic::error("T0114", short(&tidy(&other.strip_backtrace(), planned))).at(planned.file, whole),
    };
    vec![one]
}

fn from_told(d: &datafusion::common::Diagnostic, text: &str, planned: &Planned<'_>) -> Diagnostic {
    let span = d.span.map_or(head(planned), span_of);
    // A complaint about an expression with operators is about their types; one about a name or a whole query is not.
    let code = if is_operation(planned, span) { "T0101" } else { "T0114" };
    let mut out = Diagnostic::error(code, tidy(&d.message, planned)).at(planned.file, span);
    if d.span.is_none() {
        // Nothing is underlined, so the operation is named.
        out = out.note(short(&tidy(text, planned)));
    }
    if d.span.is_none() && d.helps.is_empty() {
        out = out.help("look at the types here, and cast where they do not fit: CAST(x AS DOUBLE)");
    }
    for note in &d.notes {
        let about = note
            .span
            .map(|s| text_of(planned.tokens, span_of(s)))
            .filter(|t| !t.is_empty() && t.len() <= LENGTH_MAX / 4);
        out = out.note(match about {
            Some(text) => format!("{text}: {}", tidy(&note.message, planned)),
            None => tidy(&note.message, planned),
        });
    }
    for help in &d.helps {
        // The function that it proposes does not exist here.
        let text = help.message.split(" like ANY_VALUE").next().unwrap_or_default();
        out = out.help(tidy(text, planned));
    }
    out
}

/// Complaints longer than this are cut.
const LENGTH_MAX: usize = 200;

fn is_operation(planned: &Planned<'_>, span: Span) -> bool {
    let mut inside = planned.tokens.iter().filter(|t| t.span.start >= span.start && t.span.end <= span.end);
    let mut operators = false;
    inside.all(|t| {
        operators |= !matches!(t.token, Token::Word(_) | Token::Period | Token::Whitespace(_));
        !matches!(&t.token, Token::Word(w) if w.value.eq_ignore_ascii_case("select"))
    }) && operators
}

/// The beginning of a complaint that goes on with details of the engine.
fn short(text: &str) -> String {
    let text = text.strip_prefix("internal error: ").unwrap_or(text);
    let text = text.split(", errors:").next().unwrap_or(text);
    let text = text.split(" { ").next().unwrap_or(text);
    match text.char_indices().nth(LENGTH_MAX) {
        Some((at, _)) => format!("{} ...", &text[..at]),
        None => text.to_owned(),
    }
}

fn schema_error(
    error: &SchemaError,
    told: Option<&datafusion::common::Diagnostic>,
    planned: &Planned<'_>,
) -> Diagnostic {
    let spanned = told.and_then(|d| d.span).map(span_of);
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let span = spanned.or_else(|| find_word(&field.name, planned)).unwrap_or_else(|| head(planned));
            unknown_column(&field.name, valid_fields, planned, span)
        }
        SchemaError::AmbiguousReference { field } => {
            let span = spanned.or_else(|| find_word(&field.name, planned)).unwrap_or_else(|| head(planned));
            let d =
                Diagnostic::error("N0105", format!("column \"{}\" is in more than one table of the query", field.name));
            d.at(planned.file, span)
                .help(format!("qualify it with the table or its alias: t.{}", identifier(&field.name)))
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            let span = spanned.or_else(|| find_word(name, planned)).unwrap_or_else(|| head(planned));
            let d = Diagnostic::error("N0311", format!("two columns are called \"{name}\""));
            d.at(planned.file, span).help(format!("give one another name: ... AS {}", other_name(name)))
        }
    }
}

/// N0103 for a folded name at a place.
pub(crate) fn unknown_column(name: &str, valid: &[Column], planned: &Planned<'_>, span: Span) -> Diagnostic {
    let mut names: Vec<&str> = valid.iter().map(|c| c.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let written = word_at(planned, name, span);
    if let Some(exact) = names.iter().find(|n| n.eq_ignore_ascii_case(name) && **n != name) {
        let quoted = format!("\"{exact}\"");
        let message = match &written {
            Some((text, false, _)) => format!("unquoted {text} means {name}, and there is no such column"),
            _ => format!("column \"{name}\" does not exist"),
        };
        let place = written.as_ref().map_or(span, |(.., s)| *s);
        return Diagnostic::error("N0103", message)
            .at(planned.file, place)
            .help(format!("write {quoted}"))
            .suggest(place, quoted);
    }
    let place = written.as_ref().map_or(span, |(.., s)| *s);
    let d = Diagnostic::error("N0103", format!("column \"{name}\" does not exist")).at(planned.file, place);
    match did_you_mean(name, names.iter().copied()) {
        Some(near) => d.help(format!("did you mean \"{near}\"?")).suggest(place, identifier(near)),
        None if names.is_empty() => d.note("there are no columns to read here"),
        None => d.note(format!("there are: {}", names.join(", "))),
    }
}

/// The word of a (possibly qualified) column inside a span: its text, whether it was quoted, and its place.
fn word_at(planned: &Planned<'_>, name: &str, span: Span) -> Option<(String, bool, Span)> {
    planned.tokens.iter().filter(|t| t.span.start >= span.start && t.span.end <= span.end).find_map(|t| word(t, name))
}

fn word(t: &TokenWithSpan, name: &str) -> Option<(String, bool, Span)> {
    let Token::Word(w) = &t.token else { return None };
    let folded = if w.quote_style.is_some() { w.value.clone() } else { w.value.to_ascii_lowercase() };
    (folded == name).then(|| (w.value.clone(), w.quote_style.is_some(), t.span))
}

fn find_word(name: &str, planned: &Planned<'_>) -> Option<Span> {
    planned.tokens.iter().find_map(|t| word(t, name)).map(|(.., span)| span)
}

/// The first word of a body: where to point when nothing better is known.
pub(crate) fn head(planned: &Planned<'_>) -> Span {
    let first = planned.tokens.iter().find(|t| !matches!(t.token, Token::Whitespace(_)));
    first.map_or(planned.span, |t| t.span)
}

/// N0104 with the nearest name.
pub(crate) fn unknown_function(planner: &Planner, file: &str, name: &str, span: Span) -> Diagnostic {
    let d = Diagnostic::error("N0104", format!("function \"{name}\" does not exist")).at(file, span);
    match did_you_mean(name, planner.function_names()) {
        Some(near) => d.help(format!("did you mean {near}?")).suggest(span, near),
        None => d.help("functions are DataFusion's: see its reference of scalar, aggregate and window functions"),
    }
}

fn span_of(s: datafusion::common::Span) -> Span {
    Span::new(Location::new(s.start.line, s.start.column), Location::new(s.end.line, s.end.column))
}

/// One line in lower case, without a full stop at its end.
fn tidy(text: &str, planned: &Planned<'_>) -> String {
    let call = ingot_semantics::call_text(text);
    let text = call.as_deref().unwrap_or(text);
    let written = planned.tokens.iter().map(|t| t.token.to_string()).collect::<Vec<_>>().join(" ");
    let text = ingot_semantics::sql_words(&ingot_semantics::sql_text(text), &written);
    let line = text.lines().find(|l| !l.trim().is_empty()).unwrap_or(&text).trim().trim_end_matches('.');
    let mut chars = line.chars();
    match (chars.next(), chars.next()) {
        (Some(a), Some(b)) if a.is_uppercase() && b.is_lowercase() => {
            format!("{}{}", a.to_lowercase(), line.chars().skip(1).collect::<String>())
        }
        _ => line.to_owned(),
    }
}
