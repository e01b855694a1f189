//! What a project says of a connection to Kafka.
//!
//! Invariants
//! * Pure, and without librdkafka: a project is checked where the library is not linked.
//! * A secret's value is in no Debug text.
//!
//! Not here: which properties librdkafka takes (`property`), connecting (`topic`).

use std::collections::BTreeMap;
use std::fmt;

/// librdkafka's properties of one connection.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KafkaConfig {
    pub properties: BTreeMap<String, String>,
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.properties.iter().map(|(k, v)| (k, if is_secret(k) { "[hidden]" } else { v.as_str() }));
        f.debug_map().entries(shown).finish()
    }
}

/// Why a property is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct PropertyError {
    pub reason: String,
    /// The name that was likely meant.
    pub suggestion: Option<String>,
}

/// Checks a property's name, and its value if given. [`crate::check_property`] asks librdkafka itself.
pub type CheckProperty = fn(name: &str, value: Option<&str>) -> Result<(), PropertyError>;

/// Where a new table begins to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Earliest,
    /// After the last message that is committed now.
    Latest,
    /// At the first message whose time is not before this, in milliseconds since 1970; at the end where there is none.
    Timestamp(i64),
}

/// Whether a property's value must never be shown.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "secret", ".pem", "oauthbearer.config", "assertion", "token"].iter().any(|part| name.contains(part))
        && !name.ends_with(".url")
}
