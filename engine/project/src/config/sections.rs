//! The settings of each section, as typed values.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use super::settings;

/// `[catalog]`: what clients call it, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogConfig {
    pub name: String,
    pub uri: Option<String>,
}

/// `[project]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectConfig {
    /// Whose tables the project's are; the catalog's name unless told.
    pub name: String,
}

/// `[warehouse]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarehouseConfig {
    /// `file:///absolute` or `s3://bucket/prefix`, without a slash at the end.
    pub location: String,
}

/// `[serve]`: the Flight SQL endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeConfig {
    /// A loopback address.
    pub listen: SocketAddr,
    /// What tickets are sealed with; none: a key of the process alone.
    pub ticket_key: Option<TicketKey>,
}

/// A key that servers share; never shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TicketKey(pub(crate) [u8; settings::KEY_BYTES]);

impl TicketKey {
    /// The key itself.
    pub fn bytes(&self) -> &[u8; settings::KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// `[http]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where health and metrics are served, if at all.
    pub listen: Option<SocketAddr>,
}

/// `[run]`: times in milliseconds, sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunConfig {
    pub commit_interval_ms: u64,
    pub batch_bytes_max: usize,
    pub memory_bytes_max: usize,
    pub freshness_ms: u64,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// `[log]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    pub format: LogFormat,
}

/// librdkafka's properties from the file, and those that override a source's WITH.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KafkaSettings {
    pub(crate) file: BTreeMap<String, String>,
    pub(crate) over: BTreeMap<String, String>,
}

impl KafkaSettings {
    /// The properties of a source: file, then its WITH, then the environment and `--set`.
    pub fn merged(&self, with: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut all = self.file.clone();
        all.extend(with.iter().chain(&self.over).map(|(k, v)| (k.clone(), v.clone())));
        all
    }

    /// One property without any WITH.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.over.get(name).or_else(|| self.file.get(name)).map(String::as_str)
    }
}

impl fmt::Debug for KafkaSettings {
    /// Names only: any value may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.file.keys().chain(self.over.keys())).finish()
    }
}
