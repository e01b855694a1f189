//! librdkafka's properties among the settings.
//!
//! Not here: which properties there are (`ingot_source::CheckProperty`).

use std::collections::BTreeMap;
use std::fmt;

use ingot_dialect::diagnostic::Diagnostic;
use ingot_source::PropertyError;

/// librdkafka's properties from the file, and those that override a source's WITH.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KafkaSettings {
    pub(super) file: BTreeMap<String, String>,
    pub(super) over: BTreeMap<String, String>,
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

/// The error for a property that librdkafka knows but whose value it refuses; the value is not shown.
pub(crate) fn kafka_error(name: &str, e: &PropertyError) -> Diagnostic {
    Diagnostic::error("C0106", format!("the value of \"{name}\" is refused: {}", e.reason))
        .help("see librdkafka's CONFIGURATION.md for the values it takes")
}
