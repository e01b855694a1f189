//! `ingot.toml` as a list of dotted keys with their places.
//!
//! Invariants
//! * The overlay's entries follow the file's own, so that later ones win.
//! * Overlays that were not chosen are read too: their keys are checked for syntax alone.
//!
//! Not here: which keys exist (`sections`), which value wins (`reader`).

use ingot_dialect::ast::{Location, Span};
use ingot_dialect::diagnostic::{Diagnostic, did_you_mean};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::origin::{FILE, Origin};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Number(String),
    Boolean(bool),
    /// Something no setting takes, as a phrase.
    Other(&'static str),
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub key: String,
    pub value: Value,
    pub span: Span,
    pub value_span: Span,
    pub origin: Origin,
}

impl Entry {
    /// Of a text that stands in no file.
    pub fn elsewhere(key: String, value: &str, origin: Origin) -> Self {
        let value = Value::Text(value.to_owned());
        Self { key, value, span: Span::empty(), value_span: Span::empty(), origin }
    }
}

/// Longest file: work on a configuration stays small whatever it holds.
const BYTES_MAX: usize = 256 << 10;
/// Syntax errors that are shown.
const ERRORS_MAX: usize = 100;

/// Reads the file's text; `environment` chooses an overlay.
pub(crate) fn read(text: &str, environment: Option<&str>) -> Result<Vec<Entry>, Vec<Diagnostic>> {
    if text.len() > BYTES_MAX {
        let text = format!("{FILE} has {} bytes, and {BYTES_MAX} are the most", text.len());
        return Err(vec![Diagnostic::error("C0107", text)]);
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors.iter().take(ERRORS_MAX).map(|e| syntax_error(text, e)).collect());
    }
    let mut entries = Vec::new();
    let mut overlays: Vec<(String, Span, Vec<Entry>)> = Vec::new();
    let mut problems = Vec::new();
    for (key, value) in table.get_ref().iter() {
        if key.get_ref().as_ref() != "env" {
            flatten(text, key.get_ref(), key.span(), value, &Origin::File, &mut entries);
            continue;
        }
        let Some(named) = value.get_ref().as_table() else {
            let d = Diagnostic::error("C0102", "\"env\" holds overlays, not a value");
            problems.push(
                d.at(FILE, span(text, value.span())).help("write [env.NAME] with the settings that differ there"),
            );
            continue;
        };
        for (name, settings) in named.iter() {
            let place = span(text, name.span());
            let Some(settings) = settings.get_ref().as_table() else {
                let d = Diagnostic::error("C0102", format!("\"env.{}\" is not an overlay", name.get_ref()));
                problems.push(d.at(FILE, place).help("write [env.NAME] with the settings that differ there"));
                continue;
            };
            let origin = Origin::Overlay(name.get_ref().to_string());
            let mut own = Vec::new();
            for (k, v) in settings.iter() {
                flatten(text, k.get_ref(), k.span(), v, &origin, &mut own);
            }
            overlays.push((name.get_ref().to_string(), place, own));
        }
    }
    if let Some(wanted) = environment {
        match overlays.iter().position(|(name, ..)| name == wanted) {
            Some(at) => entries.append(&mut overlays[at].2),
            None => {
                let names: Vec<&str> = overlays.iter().map(|(name, ..)| name.as_str()).collect();
                let mut d = Diagnostic::error("C0112", format!("environment \"{wanted}\" is not in {FILE}"));
                d = match (did_you_mean(wanted, names.iter().copied()), names.is_empty()) {
                    (Some(near), _) => d.help(format!("did you mean \"{near}\"?")),
                    (None, false) => d.help(format!("there are: {}", names.join(", "))),
                    (None, true) => d.help(format!("add [env.{wanted}] to {FILE}, or leave out --env and INGOT_ENV")),
                };
                problems.push(d);
            }
        }
    }
    if problems.is_empty() { Ok(entries) } else { Err(problems) }
}

fn flatten(
    text: &str,
    key: &str,
    key_span: std::ops::Range<usize>,
    value: &Spanned<DeValue<'_>>,
    origin: &Origin,
    out: &mut Vec<Entry>,
) {
    let taken = match value.get_ref() {
        DeValue::Table(table) => {
            for (k, v) in table.iter() {
                flatten(text, &format!("{key}.{}", k.get_ref()), k.span(), v, origin, out);
            }
            return;
        }
        DeValue::String(s) => Value::Text(s.to_string()),
        DeValue::Integer(i) => Value::Number(i.to_string()),
        DeValue::Float(f) => Value::Number(f.to_string()),
        DeValue::Boolean(b) => Value::Boolean(*b),
        DeValue::Array(_) => Value::Other("a list"),
        DeValue::Datetime(_) => Value::Other("a date"),
    };
    out.push(Entry {
        key: key.to_owned(),
        value: taken,
        span: span(text, key_span),
        value_span: span(text, value.span()),
        origin: origin.clone(),
    });
}

fn syntax_error(text: &str, e: &toml::de::Error) -> Diagnostic {
    let message = e.message().lines().collect::<Vec<_>>().join("; ");
    let d = Diagnostic::error("C0107", format!("{FILE} is not TOML: {message}"));
    let d = d.help("text stands in double quotes: warehouse.location = \"./warehouse\"");
    match e.span() {
        Some(range) => d.at(FILE, span(text, range)),
        None => d,
    }
}

/// A byte range as lines and columns counted in characters from 1.
fn span(text: &str, range: std::ops::Range<usize>) -> Span {
    Span::new(location(text, range.start), location(text, range.end))
}

fn location(text: &str, at: usize) -> Location {
    let before = text.get(..at.min(text.len())).unwrap_or("");
    let line = before.matches('\n').count() as u64 + 1;
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    let column = before.get(start..).map_or(0, |s| s.chars().count()) as u64 + 1;
    Location::new(line, column)
}
