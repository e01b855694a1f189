//! The configuration of a run: `ingot.toml`, its overlay, the environment and `--set`, as typed values.
//!
//!   ingot.toml ◀ [env.NAME] ◀ WITH (kafka only) ◀ INGOT_A__B ◀ --set a.b=c        (the right one wins)
//!
//! Invariants
//! * A key that is not in `settings` (or not a librdkafka property) is refused wherever it comes from.
//! * Every value knows where it came from; secrets appear in no `Debug`, `Display` or listing.
//! * All errors are reported in one pass, with their place in the file.
//!
//! Not here: what keys exist and their defaults (`settings`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ingot_dialect::ast::Span;
use ingot_dialect::diagnostic::{Diagnostic, did_you_mean};
use ingot_model::{LakeConfig, S3Config};
use ingot_source::{CheckProperty, PropertyError};

mod file;
mod origin;
mod sections;
pub mod settings;

use file::{Entry, Value};
use settings::{Kind, SETTINGS};

pub use origin::{FILE, Origin};
pub use sections::{
    CatalogConfig, HttpConfig, KafkaSettings, LogConfig, LogFormat, ProjectConfig, RunConfig, ServeConfig, TicketKey,
    WarehouseConfig,
};
pub use settings::config_reference;

/// Environment variables, for `${NAME}`; their values are never shown.
#[derive(Clone, Default)]
struct Variables(BTreeMap<String, String>);

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} variables", self.0.len())
    }
}

/// Every setting, checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub catalog: CatalogConfig,
    pub project: ProjectConfig,
    pub warehouse: WarehouseConfig,
    pub s3: S3Config,
    pub kafka: KafkaSettings,
    pub serve: ServeConfig,
    pub http: HttpConfig,
    pub run: RunConfig,
    pub log: LogConfig,
    /// Stands before every namespace of the project.
    pub namespace_prefix: String,
    /// The chosen `[env.NAME]`.
    pub environment: Option<String>,
    listing: Vec<Listed>,
    variables: Variables,
    kafka_property: CheckProperty,
}

/// One line of a listing of the configuration; the value of a secret is `***`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub key: String,
    pub value: Option<String>,
    pub origin: Origin,
}

impl Config {
    /// Reads and checks the configuration of a project.
    ///
    /// `environment` is the choice of `--env`; without it INGOT_ENV counts. `sets` are `--set` pairs, later ones
    /// winning. `variables` is the process environment. `kafka_property` knows librdkafka's properties.
    ///
    /// # Errors
    /// Every unknown key, bad value and unreadable secret file, with places in the file.
    pub fn load(
        project: &Path,
        environment: Option<&str>,
        sets: &[(String, String)],
        variables: &BTreeMap<String, String>,
        kafka_property: CheckProperty,
    ) -> Result<Self, Vec<Diagnostic>> {
        let path = project.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => {
                let d = Diagnostic::error("C0113", format!("{FILE} cannot be read: {e}"));
                return Err(vec![d]);
            }
        };
        let folder = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        Self::from_parts(text.as_deref(), project, &folder, environment, sets, variables, kafka_property)
    }

    /// The same from values: the file's text, the project's folder (secret files are relative to it) and the
    /// current folder (a bare warehouse path is relative to it).
    ///
    /// # Errors
    /// As `load`.
    pub fn from_parts(
        text: Option<&str>,
        project: &Path,
        current: &Path,
        environment: Option<&str>,
        sets: &[(String, String)],
        variables: &BTreeMap<String, String>,
        kafka_property: CheckProperty,
    ) -> Result<Self, Vec<Diagnostic>> {
        let chosen =
            environment.map(str::to_owned).or_else(|| variables.get("INGOT_ENV").filter(|v| !v.is_empty()).cloned());
        let mut reader =
            Reader { project, kafka_property, entries: Vec::new(), values: BTreeMap::new(), errors: Vec::new() };
        if let Some(text) = text {
            match file::read(text, chosen.as_deref()) {
                Ok(entries) => reader.entries.extend(entries),
                Err(mut errors) => reader.errors.append(&mut errors),
            }
        } else if let Some(name) = &chosen {
            reader.errors.push(
                Diagnostic::error("C0112", format!("environment \"{name}\" is not in {FILE}: there is no such file"))
                    .help(format!(
                        "add {FILE} with [env.{name}] to the project's folder, or leave out --env and INGOT_ENV"
                    )),
            );
        }
        reader.entries.extend(variables.iter().filter_map(|(name, value)| {
            let key = name.strip_prefix("INGOT_").filter(|rest| rest.contains("__"))?;
            Some(Entry {
                key: key_of_variable(key),
                value: Value::Text(value.clone()),
                span: Span::empty(),
                value_span: Span::empty(),
                origin: Origin::Variable(name.clone()),
            })
        }));
        reader.entries.extend(sets.iter().map(|(key, value)| Entry {
            key: key.clone(),
            value: Value::Text(value.clone()),
            span: Span::empty(),
            value_span: Span::empty(),
            origin: Origin::Set,
        }));
        reader.read_entries();
        let config = reader.build(current, chosen, variables);
        reader.errors.sort_by_key(|d| d.span.map(|s| (s.start.line, s.start.column)));
        if reader.errors.is_empty() { config.ok_or_else(Vec::new) } else { Err(reader.errors) }
    }

    /// What the lake needs.
    pub fn lake_config(&self) -> LakeConfig {
        LakeConfig {
            catalog_name: self.catalog.name.clone(),
            catalog_uri: self.catalog.uri.clone(),
            warehouse: self.warehouse.location.clone(),
            s3: self.s3.clone(),
        }
    }

    /// Who may work at a time: one process for each project and namespace prefix.
    pub fn lease_key(&self) -> String {
        format!("{}/{}", self.project.name, self.namespace_prefix)
    }

    /// Whether librdkafka takes a property, and a value of it.
    pub(crate) fn kafka_property(&self, name: &str, value: Option<&str>) -> Result<(), PropertyError> {
        (self.kafka_property)(name, value)
    }

    /// An environment variable, for `${NAME}` in WITH and ENCODE.
    pub fn variable(&self, name: &str) -> Option<String> {
        self.variables.0.get(name).cloned()
    }

    /// Every setting with its origin, secrets masked, in the order of the reference page, then `kafka.*`.
    pub fn listing(&self) -> &[Listed] {
        &self.listing
    }
}

/// `S3__ACCESS_KEY_ID` to `s3.access-key-id`: known keys match whatever their `-` and `_`.
fn key_of_variable(rest: &str) -> String {
    let key = rest.to_lowercase().replace("__", ".");
    let same = |known: &&String| known.replace('-', "_") == key.replace('-', "_");
    if let Some(known) = settings::known_keys().iter().find(same) {
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

struct Reader<'a> {
    project: &'a Path,
    kafka_property: CheckProperty,
    entries: Vec<Entry>,
    values: BTreeMap<String, Taken>,
    errors: Vec<Diagnostic>,
}

/// Whether the value of a key, which may be misspelt, may be a secret.
fn may_be_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    // The name of a file is no secret, whatever the file holds.
    !key.ends_with("-file")
        && (settings::setting(&key).is_some_and(|s| s.secret)
            || ["pas", "secret", "token", "key", "jaas"].iter().any(|word| key.contains(word)))
}

/// The place of a key or of its value. A line of the file that holds a secret is named, and not shown.
fn place(d: Diagnostic, key: &str, origin: &Origin, span: Span) -> Diagnostic {
    match origin {
        Origin::File | Origin::Overlay(_) if may_be_secret(key) => d.note(format!("{FILE}, line {}", span.start.line)),
        Origin::File | Origin::Overlay(_) => d.at(FILE, span),
        Origin::Variable(name) => d.note(format!("set by the environment variable {name}")),
        Origin::Set => d.note("set by --set"),
        Origin::Default => d,
    }
}

impl Reader<'_> {
    /// Checks keys and takes values; entries come in rising precedence.
    fn read_entries(&mut self) {
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
                        self.errors.push(place(d, &entry.key, &entry.origin, entry.value_span));
                        continue;
                    }
                }
            }
            let mark = format!("{key}\u{0}{}\u{0}{from_file}", entry.origin);
            let other = format!("{key}\u{0}{}\u{0}{}", entry.origin, !from_file);
            if both.contains(&other) {
                let d = Diagnostic::error("C0102", format!("\"{key}\" and \"{key}-file\" are both given"))
                    .help("keep one of the two");
                self.errors.push(place(d, &entry.key, &entry.origin, entry.span));
                continue;
            }
            both.insert(mark);
            if let Some(name) = key.strip_prefix("kafka.")
                && let Err(e) = (self.kafka_property)(name, Some(&value))
            {
                self.errors.push(place(kafka_error(name, &e), &entry.key, &entry.origin, entry.value_span));
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
            self.errors.push(place(d, &entry.key, &entry.origin, entry.span));
            return false;
        }
        if settings::setting(key).is_some() {
            return true;
        }
        let known = settings::known_keys();
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
            d = d.help("there are: catalog.*, project.name, warehouse.location, s3.*, kafka.*, serve.*, http.listen, run.*, log.format, namespace_prefix");
        }
        self.errors.push(place(d, &entry.key, &entry.origin, entry.span));
        false
    }

    fn text_of(&mut self, entry: &Entry) -> Option<String> {
        match &entry.value {
            Value::Text(t) | Value::Number(t) => Some(t.clone()),
            Value::Boolean(b) => Some(b.to_string()),
            Value::Other(kind) => {
                let d = Diagnostic::error("C0102", format!("\"{}\" cannot be {kind}", entry.key));
                let wanted = settings::setting(&entry.key).map_or_else(|| "text".to_owned(), |s| s.kind.describe());
                self.errors.push(place(d.help(format!("write {wanted}")), &entry.key, &entry.origin, entry.value_span));
                None
            }
        }
    }

    fn bad(&mut self, key: &str, why: &str) {
        let Some(taken) = self.values.get(key) else { return };
        let wanted = match key {
            "namespace_prefix" => "a prefix such as dev_".to_owned(),
            "serve.ticket-key" => format!("{}; openssl rand -hex 32 makes one", Kind::Key.describe()),
            "catalog.name" => "a name without dots, slashes and quotes".to_owned(),
            _ => settings::setting(key).map_or_else(|| "text".to_owned(), |s| s.kind.describe()),
        };
        let shown = if settings::setting(key).is_some_and(|s| s.secret) { "***" } else { &taken.value };
        let d = Diagnostic::error("C0102", format!("\"{key}\" is \"{shown}\", {why}")).help(format!("write {wanted}"));
        let d = place(d, key, &taken.origin, taken.value_span);
        self.errors.push(d);
    }

    fn text(&self, key: &str) -> Option<String> {
        match self.values.get(key) {
            Some(taken) => Some(taken.value.clone()),
            None => settings::setting(key).and_then(|s| s.default).map(str::to_owned),
        }
    }

    fn number(&mut self, key: &str) -> u64 {
        let parsed = self.text(key).and_then(|t| t.replace('_', "").parse::<u64>().ok()).filter(|n| *n > 0);
        if parsed.is_none() {
            self.bad(key, "which is not a positive whole number");
        }
        parsed.unwrap_or(1)
    }

    fn build(
        &mut self,
        current: &Path,
        environment: Option<String>,
        variables: &BTreeMap<String, String>,
    ) -> Option<Config> {
        for s in SETTINGS {
            let Kind::OneOf(values) = s.kind else { continue };
            if self.values.get(s.key).is_some_and(|t| !values.contains(&t.value.as_str())) {
                self.bad(s.key, "which is not one of its values");
            }
        }
        let boolean = self.text("s3.path-style-access");
        if !matches!(boolean.as_deref(), Some("true" | "false")) {
            self.bad("s3.path-style-access", "which is neither true nor false");
        }
        let freshness_ms = self.duration_ms("run.freshness");
        let timeout_ms = self.duration_ms("s3.timeout");
        if timeout_ms == Some(0) {
            self.bad("s3.timeout", "and nothing answers in no time");
        }
        let prefix = self.text("namespace_prefix").unwrap_or_default();
        if prefix.chars().any(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')) {
            self.bad("namespace_prefix", "which may hold lower-case letters, digits and underscores only");
        }
        let name = self.text("catalog.name").unwrap_or_default();
        if name.is_empty() || name.contains(['.', '"', '/']) {
            self.bad("catalog.name", "which cannot stand before a dot in a query");
        }
        let project = self.text("project.name").unwrap_or_else(|| name.clone());
        if project.is_empty() || project.contains(char::is_control) {
            self.bad("project.name", "which names no project");
        }
        let listen = self.listen();
        let http = self.address("http.listen");
        let location = self.location(current);
        let ticket_key = self.ticket_key();
        let run = RunConfig {
            commit_interval_ms: self.number("run.commit_interval_ms"),
            batch_bytes_max: usize::try_from(self.number("run.batch_bytes_max")).unwrap_or(usize::MAX),
            memory_bytes_max: usize::try_from(self.number("run.memory_bytes_max")).unwrap_or(usize::MAX),
            freshness_ms: freshness_ms.unwrap_or(0),
        };
        let s3 = S3Config {
            endpoint: self.text("s3.endpoint"),
            region: self.text("s3.region"),
            access_key_id: self.text("s3.access-key-id"),
            secret_access_key: self.text("s3.secret-access-key"),
            session_token: self.text("s3.session-token"),
            path_style_access: boolean.as_deref() != Some("false"),
            timeout: timeout_ms.map(Duration::from_millis),
        };
        let mut kafka = KafkaSettings::default();
        for (key, taken) in &self.values {
            let Some(property) = key.strip_prefix("kafka.") else { continue };
            let layer = match taken.origin {
                Origin::Variable(_) | Origin::Set => &mut kafka.over,
                Origin::Default | Origin::File | Origin::Overlay(_) => &mut kafka.file,
            };
            layer.insert(property.to_owned(), taken.value.clone());
        }
        Some(Config {
            catalog: CatalogConfig { name, uri: self.text("catalog.uri") },
            project: ProjectConfig { name: project },
            warehouse: WarehouseConfig { location: location? },
            s3,
            kafka,
            serve: ServeConfig { listen: listen?, ticket_key },
            http: HttpConfig { listen: http },
            run,
            log: LogConfig {
                format: if self.text("log.format").as_deref() == Some("json") {
                    LogFormat::Json
                } else {
                    LogFormat::Text
                },
            },
            namespace_prefix: prefix,
            environment,
            listing: self.listing(),
            kafka_property: self.kafka_property,
            variables: Variables(variables.clone()),
        })
    }

    fn duration_ms(&mut self, key: &str) -> Option<u64> {
        let parsed = self.text(key).and_then(|t| ingot_dialect::duration::parse_ms(&t));
        if parsed.is_none() {
            self.bad(key, "which is not a duration");
        }
        parsed
    }

    fn ticket_key(&mut self) -> Option<TicketKey> {
        let text = self.text("serve.ticket-key")?;
        let key = settings::parse_key(&text);
        if key.is_none() {
            self.bad("serve.ticket-key", "which is no key");
        }
        key.map(TicketKey)
    }

    fn address(&mut self, key: &str) -> Option<SocketAddr> {
        let text = self.text(key)?;
        let address = match text.strip_prefix("localhost:") {
            Some(port) => port.parse().ok().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
            None => text.parse::<SocketAddr>().ok(),
        };
        if address.is_none() {
            self.bad(key, "which is not an address with a port");
        }
        address
    }

    fn listen(&mut self) -> Option<SocketAddr> {
        let text = self.text("serve.listen")?;
        let address = self.address("serve.listen")?;
        if !address.ip().is_loopback() {
            let taken = self.values.get("serve.listen")?;
            let d =
                Diagnostic::error("C0108", format!("\"serve.listen\" is \"{text}\", which other machines can reach"))
                    .note("the endpoint serves loopback addresses only until there is authentication")
                    .help(format!(
                        "write 127.0.0.1:{}, and reach it through a tunnel or a proxy that authenticates",
                        address.port()
                    ));
            let d = place(d, "serve.listen", &taken.origin, taken.value_span);
            self.errors.push(d);
            return None;
        }
        Some(address)
    }

    fn location(&mut self, current: &Path) -> Option<String> {
        let text = self.text("warehouse.location")?;
        let trimmed = text.trim_end_matches('/');
        if trimmed.starts_with("s3://") {
            if trimmed.len() == "s3://".len() {
                self.bad("warehouse.location", "which names no bucket");
                return None;
            }
            if !self.values.contains_key("catalog.uri") {
                let taken = self.values.get("warehouse.location")?;
                let d = Diagnostic::error("C0110", "a warehouse on S3 needs \"catalog.uri\"")
                    .note("the SQLite catalog is a local file; beside a local warehouse it is found by itself")
                    .help("for example: catalog.uri = \"sqlite:///var/lib/ingot/catalog.db\"");
                let d = place(d, "warehouse.location", &taken.origin, taken.value_span);
                self.errors.push(d);
                return None;
            }
            return Some(trimmed.to_owned());
        }
        if let Some(path) = text.strip_prefix("file://") {
            if !path.starts_with('/') {
                self.bad("warehouse.location", "whose path is not absolute");
                return None;
            }
            return Some(trimmed.to_owned());
        }
        if let Some((scheme, _)) = text.split_once("://") {
            self.bad("warehouse.location", &format!("whose scheme \"{scheme}\" is not known"));
            return None;
        }
        if text.is_empty() {
            self.bad("warehouse.location", "which names no folder");
            return None;
        }
        Some(format!("file://{}", absolute(current, Path::new(&text)).display()))
    }

    fn listing(&self) -> Vec<Listed> {
        let mut all: Vec<Listed> = SETTINGS
            .iter()
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

/// The error for a property that librdkafka knows but whose value it refuses; the value is not shown.
pub(crate) fn kafka_error(name: &str, e: &PropertyError) -> Diagnostic {
    Diagnostic::error("C0106", format!("the value of \"{name}\" is refused: {}", e.reason))
        .help("see librdkafka's CONFIGURATION.md for the values it takes")
}

fn is_file_variant(base: &str) -> bool {
    base.starts_with("kafka.") || settings::setting(base).is_some_and(|s| s.file_variant)
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
