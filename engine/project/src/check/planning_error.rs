//! DataFusion's planning errors as diagnostics of a file.
//!
//! Invariants
//! * The code follows from what is wrong (`ingot_semantics::Wrong`), never from a text.
//! * A suggestion names something that exists.
//!
//! Not here: errors while a plan runs (`error`).

use datafusion::common::{Column, DataFusionError};
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};
use ingot_dialect::diagnostic::{Diagnostic, did_you_mean};
use ingot_dialect::identifier;
use ingot_semantics::{Complaint, Wrong, complaints, written_name};

use super::output::other_name;
use super::query::Planner;

/// The text that was planned.
pub(crate) struct Planned<'a> {
    pub file: &'a str,
    pub span: Span,
    pub tokens: &'a [TokenWithSpan],
}

/// Every complaint of an error.
pub(crate) fn diagnostics(error: &DataFusionError, planned: &Planned<'_>) -> Vec<Diagnostic> {
    let written = planned.tokens.iter().map(|t| t.token.to_string()).collect::<Vec<_>>().join(" ");
    complaints(error).iter().map(|complaint| diagnostic(complaint, planned, &written)).collect()
}

fn diagnostic(complaint: &Complaint<'_>, planned: &Planned<'_>, written: &str) -> Diagnostic {
    let (whole, text) = (head(planned), || complaint.text(written));
    let span = complaint.span().unwrap_or(whole);
    let place_of = |name: &str| complaint.span().or_else(|| find_word(name, planned)).unwrap_or(whole);
    match &complaint.wrong {
        Wrong::Refused(refusal) => {
            Diagnostic::error(refusal.code, refusal.text.clone()).at(planned.file, span).help(refusal.help)
        }
        Wrong::UnknownColumn { column, candidates } => match complaint.unknown_qualifier(planned.tokens) {
            Some((qualifier, there)) => {
                let d = Diagnostic::error("N0103", format!("column \"{qualifier}.{}\" does not exist", column.name))
                    .at(planned.file, place_of(&column.name));
                if there.is_empty() {
                    return d;
                }
                d.note(format!("no table is called \"{qualifier}\" here; there are: {}", there.join(", ")))
            }
            None => unknown_column(&column.name, candidates, planned, place_of(&column.name)),
        },
        Wrong::AmbiguousColumn(column) => {
            let name = &column.name;
            Diagnostic::error("N0105", format!("column \"{name}\" is in more than one table of the query"))
                .at(planned.file, place_of(name))
                .help(format!("qualify it with the table or its alias: t.{}", identifier(name)))
        }
        Wrong::DuplicateColumn(name) => Diagnostic::error("N0311", format!("two columns are called \"{name}\""))
            .at(planned.file, place_of(name))
            .help(format!("give one another name: ... AS {}", other_name(name))),
        Wrong::Unsupported(_) => {
            let text = complaint.detail(written);
            Diagnostic::error("U0124", format!("the query engine does not have this: {text}")).at(planned.file, span)
        }
        Wrong::Plan(_) if complaint.is_told() => of_told(complaint, planned, written),
        Wrong::Plan(_) => Diagnostic::error("T0101", text()).at(planned.file, whole).help(LOOK_AT_TYPES),
        Wrong::Row(failure) => Diagnostic::error("T0114", text()).at(planned.file, whole).help(failure.hint()),
        _ => Diagnostic::error("T0114", complaint.detail(written)).at(planned.file, whole),
    }
}

const LOOK_AT_TYPES: &str = "look at the types here, and cast where they do not fit: CAST(x AS DOUBLE)";

fn of_told(complaint: &Complaint<'_>, planned: &Planned<'_>, written: &str) -> Diagnostic {
    let span = complaint.span().unwrap_or_else(|| head(planned));
    // A complaint about an expression with operators is about their types; one about a name or a whole query is not.
    let code = if is_operation(planned, span) { "T0101" } else { "T0114" };
    let mut out = Diagnostic::error(code, complaint.text(written)).at(planned.file, span);
    let helps = complaint.helps(written);
    if complaint.span().is_none() {
        // Nothing is underlined, so the operation is named.
        out = out.note(complaint.detail(written));
        if helps.is_empty() {
            out = out.help(LOOK_AT_TYPES);
        }
    }
    out.notes.extend(complaint.notes(planned.tokens, written));
    out.helps.extend(helps);
    out
}

fn is_operation(planned: &Planned<'_>, span: Span) -> bool {
    let mut inside = planned.tokens.iter().filter(|t| t.span.start >= span.start && t.span.end <= span.end);
    let mut operators = false;
    inside.all(|t| {
        operators |= !matches!(t.token, Token::Word(_) | Token::Period | Token::Whitespace(_));
        !matches!(&t.token, Token::Word(w) if w.value.eq_ignore_ascii_case("select"))
    }) && operators
}

/// N0103 for a folded name at a place.
pub(crate) fn unknown_column(name: &str, valid: &[Column], planned: &Planned<'_>, span: Span) -> Diagnostic {
    let mut names: Vec<&str> = valid.iter().map(|c| c.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let written = written_name(planned.tokens, name, Some(span));
    if let Some(exact) = names.iter().find(|n| n.eq_ignore_ascii_case(name) && **n != name) {
        let quoted = format!("\"{exact}\"");
        let message = match &written {
            Some(w) if !w.quoted => format!("unquoted {} means {name}, and there is no such column", w.text),
            _ => format!("column \"{name}\" does not exist"),
        };
        let place = written.as_ref().map_or(span, |w| w.span);
        return Diagnostic::error("N0103", message)
            .at(planned.file, place)
            .help(format!("write {quoted}"))
            .suggest(place, quoted);
    }
    let place = written.as_ref().map_or(span, |w| w.span);
    let d = Diagnostic::error("N0103", format!("column \"{name}\" does not exist")).at(planned.file, place);
    match did_you_mean(name, names.iter().copied()) {
        Some(near) => d.help(format!("did you mean \"{near}\"?")).suggest(place, identifier(near)),
        None if names.is_empty() => d.note("there are no columns to read here"),
        None => d.note(format!("there are: {}", names.join(", "))),
    }
}

fn find_word(name: &str, planned: &Planned<'_>) -> Option<Span> {
    written_name(planned.tokens, name, None).map(|written| written.span)
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
