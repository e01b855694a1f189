//! From entries to sections: which keys there are, which value wins, and whether it has its shape.
//!
//! Invariants
//! * Entries come in rising precedence: the last one of a key is taken.
//! * An error is kept and its setting left at its default, so that all errors are found in one pass.
//!
//! Not here: the file's syntax (`file`), the settings (`sections`), their shapes (`shape`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ingot_dialect::ast::Span;
use ingot_dialect::diagnostic::{Diagnostic, did_you_mean};
use ingot_source::CheckProperty;
use serde::de::value::MapDeserializer;

use super::file::{Entry, Value};
use super::kafka::{KafkaSettings, kafka_error};
use super::origin::Origin;
use super::sections::{Section, Setting, known_keys, outline, setting, settings};
use super::shape::Plain;

/// One line of a listing of the configuration; the value of a secret is `***`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub key: String,
    pub value: Option<String>,
    pub origin: Origin,
}

/// `S3__ACCESS_KEY_ID` to `s3.access-key-id`: known keys match whatever their `-` and `_`.
fn key_of_variable(rest: &str) -> String {
    let key = rest.to_lowercase().replace("__", ".");
    let same = |known: &&String| known.replace('-', "_") == key.replace('-', "_");
    if let Some(known) = known_keys().iter().find(same) {
        return known.clone();
    }
    match key.strip_suffix("_file") {
        Some(name) if key.starts_with("kafka.") => format!("{name}-file"),
        _ => key,
    }
}

/// Splits a `--set` argument at its first `=`.
///
/// # Errors
/// When there is no `=` or no key.
pub fn parse_set(argument: &str) -> Result<(String, String), Diagnostic> {
    match argument.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err(Diagnostic::error("C0102", format!("--set takes key=value, not \"{argument}\""))
            .help("for example: --set run.commit_interval_ms=500")),
    }
}

struct Taken {
    value: String,
    value_span: Span,
    origin: Origin,
}

/// What was given, and what is wrong with it.
pub(crate) struct Reader<'a> {
    project: &'a Path,
    pub kafka_property: CheckProperty,
    entries: Vec<Entry>,
    values: BTreeMap<String, Taken>,
    pub errors: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    /// Nothing given yet; files of secrets are relative to `project`.
    pub(crate) fn new(project: &'a Path, kafka_property: CheckProperty) -> Self {
        Self { project, kafka_property, entries: Vec::new(), values: BTreeMap::new(), errors: Vec::new() }
    }

    /// The file's entries and those of the chosen overlay.
    pub(crate) fn file(&mut self, text: &str, environment: Option<&str>) {
        match super::file::read(text, environment) {
            Ok(entries) => self.entries.extend(entries),
            Err(mut errors) => self.errors.append(&mut errors),
        }
    }

    /// `INGOT_A__B` of the environment.
    pub(crate) fn variables(&mut self, variables: &BTreeMap<String, String>) {
        self.entries.extend(variables.iter().filter_map(|(name, value)| {
            let key = name.strip_prefix("INGOT_").filter(|rest| rest.contains("__"))?;
            Some(Entry::elsewhere(key_of_variable(key), value, Origin::Variable(name.clone())))
        }));
    }

    /// Pairs of `--set`.
    pub(crate) fn sets(&mut self, sets: &[(String, String)]) {
        self.entries.extend(sets.iter().map(|(key, value)| Entry::elsewhere(key.clone(), value, Origin::Set)));
    }

    /// Checks keys and takes values; entries come in rising precedence.
    pub(crate) fn take_entries(&mut self) {
        let mut both: BTreeSet<String> = BTreeSet::new();
        for entry in std::mem::take(&mut self.entries) {
            let (key, from_file) = match entry.key.strip_suffix("-file") {
                Some(base) if is_file_variant(base) => (base.to_owned(), true),
                _ => (entry.key.clone(), false),
            };
            if !self.check_key(&key, &entry) {
                continue;
            }
            let Some(mut value) = self.text_of(&entry) else { continue };
            if from_file {
                match std::fs::read_to_string(self.project.join(&value)) {
                    Ok(text) => value = text.trim_end_matches(['\n', '\r']).to_owned(),
                    Err(e) => {
                        let d = Diagnostic::error(
                            "C0109",
                            format!("\"{}\" names \"{value}\", which cannot be read: {e}", entry.key),
                        )
                        .help("a relative path starts at the project's folder");
                        self.errors.push(entry.origin.place(d, &entry.key, entry.value_span));
                        continue;
                    }
                }
            }
            let mark = format!("{key}\u{0}{}\u{0}{from_file}", entry.origin);
            let other = format!("{key}\u{0}{}\u{0}{}", entry.origin, !from_file);
            if both.contains(&other) {
                let d = Diagnostic::error("C0102", format!("\"{key}\" and \"{key}-file\" are both given"))
                    .help("keep one of the two");
                self.errors.push(entry.origin.place(d, &entry.key, entry.span));
                continue;
            }
            both.insert(mark);
            if let Some(name) = key.strip_prefix("kafka.")
                && let Err(e) = (self.kafka_property)(name, Some(&value))
            {
                self.errors.push(entry.origin.place(kafka_error(name, &e), &entry.key, entry.value_span));
                continue;
            }
            self.values.insert(key, Taken { value, value_span: entry.value_span, origin: entry.origin });
        }
    }

    fn check_key(&mut self, key: &str, entry: &Entry) -> bool {
        if let Some(name) = key.strip_prefix("kafka.") {
            let Err(e) = (self.kafka_property)(name, None) else { return true };
            let mut d = Diagnostic::error("C0106", e.reason);
            if let Some(s) = &e.suggestion {
                d = d.help(format!("did you mean \"kafka.{s}\"?"));
            }
            self.errors.push(entry.origin.place(d, &entry.key, entry.span));
            return false;
        }
        if setting(key).is_some() {
            return true;
        }
        let known = known_keys();
        let mut d = Diagnostic::error("C0101", format!("\"{}\" is not a setting", entry.key));
        let section: Vec<&str> = known
            .iter()
            .map(String::as_str)
            .filter(|k| k.split('.').next() == entry.key.split('.').next() && k.contains('.'))
            .collect();
        if let Some(near) = did_you_mean(&entry.key, known.iter().map(String::as_str)) {
            d = d.help(format!("did you mean \"{near}\"?"));
        } else if !section.is_empty() {
            d = d.help(format!("there are: {}", section.join(", ")));
        } else {
            d = d.help(format!("there are: {}", outline()));
        }
        self.errors.push(entry.origin.place(d, &entry.key, entry.span));
        false
    }

    fn text_of(&mut self, entry: &Entry) -> Option<String> {
        match &entry.value {
            Value::Text(t) | Value::Number(t) => Some(t.clone()),
            Value::Boolean(b) => Some(b.to_string()),
            Value::Other(kind) => {
                let d = Diagnostic::error("C0102", format!("\"{}\" cannot be {kind}", entry.key));
                let wanted = setting(&entry.key).map_or_else(|| "text".to_owned(), |s| s.shape.describe());
                self.errors.push(entry.origin.place(d.help(format!("write {wanted}")), &entry.key, entry.value_span));
                None
            }
        }
    }

    /// Says why a setting's value is none, where it was given.
    fn bad(&mut self, setting: &Setting, why: &str) {
        let Some(taken) = self.values.get(setting.key) else { return };
        let shown = if setting.secret { "***" } else { &taken.value };
        let d = Diagnostic::error("C0102", format!("\"{}\" is \"{shown}\", {why}", setting.key))
            .help(format!("write {}", setting.shape.wanted()));
        let d = taken.origin.place(d, setting.key, taken.value_span);
        self.errors.push(d);
    }

    /// A setting's text as it was given, or its default.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        match self.values.get(key) {
            Some(taken) => Some(taken.value.clone()),
            None => setting(key).and_then(|s| s.default).map(str::to_owned),
        }
    }

    /// A section, with its defaults for what is not given or wrong; none only where an error was kept.
    pub(crate) fn section<S: Section>(&mut self) -> Option<S> {
        self.section_over([])
    }

    /// The same, with values for what is not given and has no default of its own.
    pub(crate) fn section_over<S: Section>(
        &mut self,
        otherwise: impl IntoIterator<Item = (&'static str, Plain)>,
    ) -> Option<S> {
        let mut plain: BTreeMap<&'static str, Plain> = otherwise.into_iter().collect();
        for s in S::SETTINGS {
            let name = s.key.strip_prefix(S::PREFIX).unwrap_or(s.key);
            let given = self.values.get(s.key).map(|taken| s.shape.read(&taken.value)).transpose();
            let given = given.unwrap_or_else(|why| {
                self.bad(s, why);
                None
            });
            if let Some(value) = given.or_else(|| s.default.and_then(|d| s.shape.read(d).ok())) {
                plain.insert(name, value);
            }
        }
        let section = S::deserialize(MapDeserializer::new(plain.into_iter())).ok();
        if section.is_none() {
            // A shape that does not fit its field's type: a defect. Serde's words would show the value.
            self.errors.push(Diagnostic::error("C0102", format!("the settings \"{}*\" cannot be read", S::PREFIX)));
        }
        section
    }

    /// Refuses an address that other machines can reach.
    pub(crate) fn refuse_open(&mut self, key: &str, address: SocketAddr) {
        let Some(taken) = self.values.get(key).filter(|_| !address.ip().is_loopback()) else { return };
        let text = format!("\"{key}\" is \"{}\", which other machines can reach", taken.value);
        let d = Diagnostic::error("C0108", text)
            .note("the endpoint serves loopback addresses only until there is authentication")
            .help(format!(
                "write 127.0.0.1:{}, and reach it through a tunnel or a proxy that authenticates",
                address.port()
            ));
        let d = taken.origin.place(d, key, taken.value_span);
        self.errors.push(d);
    }

    /// librdkafka's properties.
    pub(crate) fn kafka(&self) -> KafkaSettings {
        let mut kafka = KafkaSettings::default();
        for (key, taken) in &self.values {
            let Some(property) = key.strip_prefix("kafka.") else { continue };
            let layer = match taken.origin {
                Origin::Variable(_) | Origin::Set => &mut kafka.over,
                Origin::Default | Origin::File | Origin::Overlay(_) => &mut kafka.file,
            };
            layer.insert(property.to_owned(), taken.value.clone());
        }
        kafka
    }

    fn bad_location(&mut self, why: &str) {
        if let Some(setting) = setting("warehouse.location") {
            self.bad(setting, why);
        }
    }

    /// A warehouse's URL, without a slash at the end.
    pub(crate) fn location(&mut self, text: &str, current: &Path) -> Option<String> {
        let trimmed = text.trim_end_matches('/');
        if trimmed.starts_with("s3://") {
            if trimmed.len() == "s3://".len() {
                self.bad_location("which names no bucket");
                return None;
            }
            if !self.values.contains_key("catalog.uri") {
                let taken = self.values.get("warehouse.location")?;
                let d = Diagnostic::error("C0110", "a warehouse on S3 needs \"catalog.uri\"")
                    .note("the SQLite catalog is a local file; beside a local warehouse it is found by itself")
                    .help("for example: catalog.uri = \"sqlite:///var/lib/ingot/catalog.db\"");
                let d = taken.origin.place(d, "warehouse.location", taken.value_span);
                self.errors.push(d);
                return None;
            }
            return Some(trimmed.to_owned());
        }
        if let Some(path) = text.strip_prefix("file://") {
            if !path.starts_with('/') {
                self.bad_location("whose path is not absolute");
                return None;
            }
            return Some(trimmed.to_owned());
        }
        if let Some((scheme, _)) = text.split_once("://") {
            self.bad_location(&format!("whose scheme \"{scheme}\" is not known"));
            return None;
        }
        if text.is_empty() {
            self.bad_location("which names no folder");
            return None;
        }
        Some(format!("file://{}", absolute(current, Path::new(text)).display()))
    }

    /// Every setting with its origin, secrets masked.
    pub(crate) fn listing(&self) -> Vec<Listed> {
        let mut all: Vec<Listed> = settings()
            .map(|s| match self.values.get(s.key) {
                Some(t) => Listed {
                    key: s.key.into(),
                    value: Some(if s.secret { "***".into() } else { t.value.clone() }),
                    origin: t.origin.clone(),
                },
                None => Listed { key: s.key.into(), value: s.default.map(Into::into), origin: Origin::Default },
            })
            .collect();
        all.extend(self.values.iter().filter(|(k, _)| k.starts_with("kafka.")).map(|(key, t)| Listed {
            key: key.clone(),
            value: Some(if ingot_source::is_secret(key) { "***".into() } else { t.value.clone() }),
            origin: t.origin.clone(),
        }));
        all
    }
}

fn is_file_variant(base: &str) -> bool {
    base.starts_with("kafka.") || setting(base).is_some_and(|s| s.file_variant)
}

/// An absolute path without `.` and `..`, whether or not it exists.
fn absolute(current: &Path, path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in current.join(path).components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}
