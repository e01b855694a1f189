//! The configuration of a run: `ingot.toml`, its overlay, the environment and `--set`, as typed values.
//!
//!   ingot.toml ◀ [env.NAME] ◀ WITH (kafka only) ◀ INGOT_A__B ◀ --set a.b=c        (the right one wins)
//!
//!   file (entries with places) ──▶ reader (keys, precedence, shapes) ──▶ sections (structs) ──▶ Config
//!
//! Invariants
//! * A key that is in no section (and no librdkafka property) is refused wherever it comes from.
//! * Every value knows where it came from; secrets appear in no `Debug`, `Display` or listing.
//! * All errors are reported in one pass, with their place in the file.
//!
//! Not here: what keys exist and their defaults (`sections`).

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ingot_dialect::diagnostic::Diagnostic;
use ingot_model::{LakeConfig, S3Config};
use ingot_source::{CheckProperty, PropertyError};

mod file;
mod kafka;
mod origin;
mod reader;
mod reference;
mod sections;
mod shape;

use reader::Reader;
use sections::{RootSettings, S3Settings};
use shape::Plain;

pub use kafka::KafkaSettings;
pub(crate) use kafka::kafka_error;
pub use origin::{FILE, Origin};
pub use reader::{Listed, parse_set};
pub use reference::config_reference;
pub use sections::{
    CatalogConfig, HttpConfig, LogConfig, LogFormat, ProjectConfig, RunConfig, ServeConfig, TicketKey, UpkeepConfig,
    WarehouseConfig, settings,
};

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
    pub upkeep: UpkeepConfig,
    pub log: LogConfig,
    /// Stands before every namespace of the project.
    pub namespace_prefix: String,
    /// The chosen `[env.NAME]`.
    pub environment: Option<String>,
    listing: Vec<Listed>,
    variables: Variables,
    kafka_property: CheckProperty,
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
        let mut reader = Reader::new(project, kafka_property);
        if let Some(text) = text {
            reader.file(text, chosen.as_deref());
        } else if let Some(name) = &chosen {
            let d =
                Diagnostic::error("C0112", format!("environment \"{name}\" is not in {FILE}: there is no such file"));
            reader.errors.push(d.help(format!(
                "add {FILE} with [env.{name}] to the project's folder, or leave out --env and INGOT_ENV"
            )));
        }
        reader.variables(variables);
        reader.sets(sets);
        reader.take_entries();
        let config = Self::build(&mut reader, current, chosen, variables);
        reader.errors.sort_by_key(|d| d.span.map(|s| (s.start.line, s.start.column)));
        for d in &mut reader.errors {
            origin::hide_secrets(d, text.unwrap_or_default());
        }
        if reader.errors.is_empty() { config.ok_or_else(Vec::new) } else { Err(reader.errors) }
    }

    /// The sections, and what one setting asks of another.
    fn build(
        reader: &mut Reader<'_>,
        current: &Path,
        environment: Option<String>,
        variables: &BTreeMap<String, String>,
    ) -> Option<Self> {
        let (catalog, s3) = (reader.section::<CatalogConfig>(), reader.section::<S3Settings>());
        let name = reader.text("catalog.name").unwrap_or_default();
        let project = reader.section_over::<ProjectConfig>([("name", Plain::Text(name))]);
        let warehouse = reader.section::<WarehouseConfig>();
        let location = warehouse.and_then(|w| reader.location(&w.location, current));
        let serve = reader.section::<ServeConfig>();
        if let Some(serve) = &serve {
            reader.refuse_open("serve.listen", serve.listen);
        }
        let (http, run, upkeep, log) = (reader.section(), reader.section(), reader.section(), reader.section());
        let root = reader.section::<RootSettings>();
        Some(Self {
            catalog: catalog?,
            project: project?,
            warehouse: WarehouseConfig { location: location? },
            s3: s3_config(s3?),
            kafka: reader.kafka(),
            serve: serve?,
            http: http?,
            run: run?,
            upkeep: upkeep?,
            log: log?,
            namespace_prefix: root?.namespace_prefix,
            environment,
            listing: reader.listing(),
            variables: Variables(variables.clone()),
            kafka_property: reader.kafka_property,
        })
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

/// How the lake wants to be told of a store.
fn s3_config(s3: S3Settings) -> S3Config {
    let revealed = |secret: Option<sections::Secret>| secret.map(|s| s.reveal().to_owned());
    S3Config {
        endpoint: s3.endpoint,
        region: s3.region,
        access_key_id: s3.access_key_id,
        secret_access_key: revealed(s3.secret_access_key),
        session_token: revealed(s3.session_token),
        path_style_access: s3.path_style_access,
        timeout: Some(Duration::from_millis(s3.timeout_ms)),
    }
}
