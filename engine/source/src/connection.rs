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

impl Connection {
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
            Self::Kafka { topic, .. } => write!(f, "topic {topic}"),
        }
    }
}
