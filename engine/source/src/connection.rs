//! How a source is reached, as its statement says. A project is checked with this alone.
//!
//! Not here: connecting (`connector`).

use crate::kafka::config::{KafkaConfig, Start};
use std::fmt;

/// How a source is reached, and where a new table begins to read it.
#[derive(Debug, Clone)]
pub enum Connection {
    /// A topic.
    Kafka {
        topic: String,
        start: Start,
        /// librdkafka's properties: the configuration file, then WITH, then the environment and `--set`.
        config: KafkaConfig,
    },
}

/// What users call a kind of source and what stands around it, in the errors of code that knows no kind.
#[derive(Debug, PartialEq, Eq)]
pub struct Words {
    /// A source.
    pub source: &'static str,
    /// What holds sources.
    pub system: &'static str,
    /// The settings that choose a source.
    pub chosen_by: &'static str,
    /// What to check where a source is not found.
    pub found_by: &'static str,
}

/// The words for Kafka.
pub(crate) static KAFKA: Words = Words {
    source: "topic",
    system: "cluster",
    chosen_by: "kafka.bootstrap.servers and 'topic'",
    found_by: "kafka.bootstrap.servers and the topic's ACLs",
};

impl Connection {
    /// The words for this kind of source.
    pub fn words(&self) -> &'static Words {
        match self {
            Self::Kafka { .. } => &KAFKA,
        }
    }

    /// The source's name where it is: the label of its metrics.
    pub fn name(&self) -> &str {
        match self {
            Self::Kafka { topic, .. } => topic,
        }
    }

    /// Whether a new table reads everything there ever was, if it is still there.
    pub fn starts_at_the_beginning(&self) -> bool {
        match self {
            Self::Kafka { start, .. } => matches!(start, Start::Earliest),
        }
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kafka { topic, .. } => write!(f, "{} {topic}", self.words().source),
        }
    }
}
