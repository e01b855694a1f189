//! librdkafka's properties: which exist, what they take, which are ours to set.
//!
//! Invariants
//! * The list is librdkafka's own, of the version that is linked.
//! * A secret's value is in no message and no Debug text.
//!
//! Not here: keys of WITH that are not librdkafka's (`pipeline`).

use crate::error::SourceError;
use crate::kafka::config::{KafkaConfig, PropertyError, is_secret};
use crate::kafka::ffi;
use ingot_dialect::did_you_mean;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Set by Ingot, because positions live in the tables and losses must be seen.
const OURS: [(&str, &str); 6] = [
    ("enable.auto.commit", "offsets are in the table's snapshots, never in the consumer group"),
    ("enable.auto.offset.store", "offsets are in the table's snapshots, never in the consumer group"),
    ("auto.offset.reset", "a position that is gone is an error; the source's 'start' says where a new table begins"),
    ("enable.partition.eof", "ingot needs to know where a partition ends"),
    ("log.queue", "log lines go to ingot's log"),
    ("plugin.library.paths", "plugins would run inside the engine"),
];

/// Checks a property's name, and its value if given, against librdkafka.
///
/// # Errors
/// An unknown name, with the nearest; a value of the wrong form; a property that Ingot sets itself.
pub fn check_property(name: &str, value: Option<&str>) -> Result<(), PropertyError> {
    let refuse = |reason| Err(PropertyError { reason, suggestion: None });
    if let Some((_, why)) = OURS.iter().find(|(ours, _)| *ours == name) {
        return refuse(format!("property \"{name}\" is set by ingot: {why}"));
    }
    let names = property_names();
    if !names.iter().any(|known| known == name) {
        return Err(PropertyError {
            reason: format!("librdkafka has no property \"{name}\""),
            suggestion: did_you_mean(name, names.iter().map(String::as_str)).map(ToString::to_string),
        });
    }
    let Some(value) = value else { return Ok(()) };
    let mut config = ClientConfig::new();
    config.set(name, value);
    match config.create_native_config() {
        Ok(_) => Ok(()),
        Err(error) => refuse(describe_config_error(&error)),
    }
}

/// Every property name that librdkafka takes.
pub(crate) fn property_names() -> &'static [String] {
    static NAMES: OnceLock<Vec<String>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let mut names = ffi::property_names();
        names.sort();
        names.dedup();
        names
    })
}

/// librdkafka's words for a refused configuration, without secret values.
pub(crate) fn describe_config_error(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, name, _) if is_secret(name) => {
            format!("the value of property \"{name}\" is refused (it is secret and not shown)")
        }
        KafkaError::ClientConfig(_, reason, name, _) if reason.is_empty() => {
            format!("property \"{name}\" is refused")
        }
        KafkaError::ClientConfig(_, reason, _, _) => reason.clone(),
        KafkaError::ClientCreation(reason) => reason.clone(),
        other => other.to_string(),
    }
}

/// librdkafka's default is ten times as much a consumer.
const QUEUE_KBYTES: &str = "16384";

impl KafkaConfig {
    /// What a reading consumer is made of: the user's properties between our defaults and our demands.
    pub(crate) fn consumer(&self) -> ClientConfig {
        let mut config = base();
        config
            .set("group.id", "ingot")
            .set("isolation.level", "read_committed")
            .set("queued.max.messages.kbytes", QUEUE_KBYTES)
            .set("queued.min.messages", "100000")
            // The default of a second idles a consumer whose queue was full for a moment.
            .set("fetch.queue.backoff.ms", "20")
            .set("fetch.wait.max.ms", "100");
        self.overlay(&mut config);
        config
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true");
        config
    }

    /// The properties of a reading consumer, for tools that are to read as Ingot does.
    pub fn reading(&self) -> BTreeMap<String, String> {
        self.consumer().config_map().iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect()
    }

    /// A client that only asks: without a group its main queue needs no polling consumer.
    pub(crate) fn metadata(&self) -> ClientConfig {
        let mut config = base();
        // With sparse connections an admin call that waits for a broker which is down asks for a connection on every change
        // of state, each of which cancels `reconnect.backoff.ms` (rd_kafka_broker_find_by_nodeid0): it spins on a core.
        config.set("enable.sparse.connections", "false");
        self.overlay(&mut config);
        config.remove("group.id");
        config.remove("group.instance.id");
        config
    }

    /// A producer that favours throughput and never doubles an event by a retry.
    pub(crate) fn producer(&self) -> ClientConfig {
        let mut config = base();
        config
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "20")
            .set("batch.num.messages", "20000")
            .set("batch.size", "1000000")
            .set("queue.buffering.max.messages", "500000")
            .set("queue.buffering.max.kbytes", "262144");
        self.overlay(&mut config);
        config
    }

    pub(crate) fn reads_committed(&self) -> bool {
        self.properties.get("isolation.level").is_none_or(|level| level != "read_uncommitted")
    }

    fn overlay(&self, config: &mut ClientConfig) {
        for (name, value) in &self.properties {
            config.set(name, value);
        }
    }
}

fn base() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("client.id", "ingot").set_log_level(RDKafkaLogLevel::Warning);
    config
}

/// A configuration error as an error of a source.
pub(crate) fn config_error(error: &KafkaError) -> SourceError {
    SourceError::Config { reason: describe_config_error(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn librdkafkas_names_are_known_and_misspelt_ones_suggested() {
        for name in ["bootstrap.servers", "sasl.password", "fetch.min.bytes", "metadata.broker.list", "acks"] {
            assert_eq!(check_property(name, None), Ok(()), "{name}");
        }
        let error = check_property("bootstrap.server", None).unwrap_err();
        assert_eq!(error.suggestion.as_deref(), Some("bootstrap.servers"));
        assert!(check_property("key.deserializer", Some("x")).is_err());
        assert!(property_names().len() > 100);
    }

    #[test]
    fn values_are_checked_by_librdkafka() {
        assert_eq!(check_property("fetch.min.bytes", Some("10")), Ok(()));
        assert!(check_property("fetch.min.bytes", Some("ten")).is_err());
        assert!(check_property("security.protocol", Some("tls")).unwrap_err().reason.contains("tls"));
    }

    #[test]
    fn ours_cannot_be_set() {
        assert!(check_property("auto.offset.reset", Some("earliest")).unwrap_err().reason.contains("'start'"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let properties = [("sasl.password", "hunter2"), ("ssl.key.pem", "hunter2"), ("client.id", "me")];
        let config =
            KafkaConfig { properties: properties.map(|(k, v)| (k.to_string(), v.to_string())).into_iter().collect() };
        let text = format!("{config:?}");
        assert!(!text.contains("hunter2") && text.contains("me"), "{text}");
        let error = check_property("sasl.oauthbearer.client.secret", Some("\0hunter2"));
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
