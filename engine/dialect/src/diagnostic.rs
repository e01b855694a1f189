//! What is wrong with a project, where, and what to do about it.
//!
//! Invariants
//! * Every code is one of `codes::CODES`; codes are never reused.
//! * Columns count characters from 1, ends are exclusive, as in sqlparser.
//! * Rendering never fails: a span outside the source is shown as a place without its line.
//!
//! Not here: the meaning of codes (`codes`), which checks are made (`parse`, `pipeline`).

use crate::ast::{Location, Span};
use crate::codes;
use serde_json::{Value, json};

/// Whether a diagnostic ends the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    Error,
    Warning,
}

impl Severity {
    /// As it is printed: in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A text that would mend the place it names.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestion {
    pub span: Span,
    pub replacement: String,
}

/// One error or warning.
///
/// ```
/// use ingot_dialect::{Diagnostic, render};
///
/// let wrong = Diagnostic::error("N0103", "there is no column \"custmer_id\"").help("did you mean \"customer_id\"?");
/// assert_eq!(wrong.to_string(), "error[N0103]: there is no column \"custmer_id\"");
/// assert!(render(&wrong, None, false).contains("= help: did you mean"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    pub code: &'static str,
    pub severity: Severity,
    /// Whether trying again, with nothing changed, may help.
    pub retryable: bool,
    /// Lower case, no full stop.
    pub message: String,
    /// The path as shown to the user.
    pub file: Option<String>,
    pub span: Option<Span>,
    /// Stands behind the underline.
    pub label: Option<String>,
    pub notes: Vec<String>,
    pub helps: Vec<String>,
    pub suggestions: Vec<Suggestion>,
}

impl Diagnostic {
    /// An error with a code of `codes`.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, message.into())
    }

    /// A warning with a code of `codes`.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, message.into())
    }

    fn new(code: &'static str, severity: Severity, message: String) -> Self {
        Self {
            code,
            severity,
            retryable: codes::is_retryable(code),
            message,
            file: None,
            span: None,
            label: None,
            notes: Vec::new(),
            helps: Vec::new(),
            suggestions: Vec::new(),
        }
    }

    /// In this file, at this place.
    pub fn at(mut self, file: impl Into<String>, span: Span) -> Self {
        self.file = Some(file.into());
        self.span(span)
    }

    /// The place alone; the caller that knows the file adds it.
    pub fn span(mut self, span: Span) -> Self {
        self.span = (span != Span::empty()).then_some(span);
        self
    }

    /// With a text at the place that is underlined.
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = Some(text.into());
        self
    }

    /// With what explains it.
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// With what to do.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.helps.push(text.into());
        self
    }

    /// With a text that would mend it, in the place of the one at `span`.
    pub fn suggest(mut self, span: Span, replacement: impl Into<String>) -> Self {
        self.suggestions.push(Suggestion { span, replacement: replacement.into() });
        self
    }

    /// Whether the command fails for it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl std::fmt::Display for Diagnostic {
    /// One line: `error[P0101]: message (sql/a.sql:1:2)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}]: {}", self.severity.as_str(), self.code, self.message)?;
        match (&self.file, &self.span) {
            (Some(file), Some(s)) => write!(f, " ({file}:{}:{})", s.start.line, s.start.column),
            (Some(file), None) => write!(f, " ({file})"),
            _ => Ok(()),
        }
    }
}

/// The diagnostic as an object with a fixed set of keys; absent values are null or empty.
pub fn to_json(d: &Diagnostic) -> Value {
    json!({
        "code": d.code,
        "severity": d.severity.as_str(),
        "retryable": d.retryable,
        "message": d.message,
        "file": d.file,
        "span": d.span.as_ref().map(span_json),
        "label": d.label,
        "notes": d.notes,
        "helps": d.helps,
        "suggestions": d.suggestions.iter()
            .map(|s| json!({"span": span_json(&s.span), "replacement": s.replacement}))
            .collect::<Vec<_>>(),
    })
}

fn span_json(span: &Span) -> Value {
    let place = |l: &Location| json!({"line": l.line, "column": l.column});
    json!({"start": place(&span.start), "end": place(&span.end)})
}

/// The candidate that was most likely meant by `name`, if any is near enough.
///
/// Differences of case alone win; then the fewest edits, at most a third of the name's length.
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    let edits_max = (wanted.chars().count() / 3).max(1);
    let mut best: Option<(usize, &'a str)> = None;
    for candidate in candidates {
        if candidate == name {
            continue;
        }
        let folded = candidate.to_lowercase();
        let edits = strsim::damerau_levenshtein(&wanted, &folded);
        if edits <= edits_max && edits < wanted.chars().count() && best.is_none_or(|(e, _)| edits < e) {
            best = Some((edits, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}
