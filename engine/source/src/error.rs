//! What can go wrong between a topic and its batches.
//!
//! Invariants
//! * A message never holds the value of a secret property.
//! * Whether a retry can help follows from the kind of error, never from its text.
//!
//! Not here: messages that do not decode: they are data (`decode`).

use crate::kafka::offsets::Loss;
use ingot_model::SourceIdentity;

/// An error of a source.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SourceError {
    /// Messages between a recorded position and the topic of today are gone, or the topic is another one.
    #[error("{0}")]
    Loss(Loss),
    /// The broker does not answer, or not yet.
    #[error("kafka broker is not available for topic \"{topic}\": {reason}")]
    Unavailable { topic: String, reason: String },
    #[error("topic \"{topic}\" does not exist")]
    TopicMissing { topic: String },
    /// The broker refuses who we are or what we want.
    #[error("kafka broker refuses topic \"{topic}\": {reason}")]
    Refused { topic: String, reason: String },
    /// Events that were sent and not acknowledged.
    #[error("topic \"{topic}\": {reason}")]
    Undelivered { topic: String, reason: String },
    /// librdkafka refuses the configuration.
    #[error("kafka configuration: {reason}")]
    Config { reason: String },
    #[error("topic \"{topic}\": {reason}")]
    Other { topic: String, reason: String },
    /// A recorded position that is not one in this kind of source.
    #[error("topic \"{topic}\" has no such place: partition {place}")]
    NoPlace { topic: String, place: String },
    /// A defect of Ingot.
    #[error("internal error in a source: {reason}")]
    Internal { reason: String },
}

impl SourceError {
    /// The loss of everything that was read of a source that was made anew under the same name.
    pub fn recreated(was: &SourceIdentity, now: &SourceIdentity) -> Self {
        Self::Loss(Loss::recreated(&now.name, &was.incarnation, &now.incarnation))
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Loss(loss) => loss.kind.code(),
            Self::Unavailable { .. } => "S0105",
            Self::TopicMissing { .. } => "S0106",
            Self::Refused { .. } => "S0110",
            Self::Undelivered { .. } => "S0111",
            Self::Config { .. } => "C0106",
            Self::NoPlace { .. } => "S0112",
            Self::Other { .. } | Self::Internal { .. } => "S0108",
        }
    }

    /// Whether trying again, with nothing changed, may help.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::TopicMissing { .. } | Self::Undelivered { .. } | Self::Other { .. } => {
                true
            }
            Self::Loss(_)
            | Self::Refused { .. }
            | Self::Config { .. }
            | Self::NoPlace { .. }
            | Self::Internal { .. } => false,
        }
    }

    /// Whether the source is not there at all.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::TopicMissing { .. })
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Loss(loss) => Some(loss.hint("TABLE")),
            Self::Unavailable { .. } => Some("check kafka.bootstrap.servers and that the broker runs".into()),
            Self::TopicMissing { topic } => {
                Some(format!("create it, or check 'topic' of the source; `ingot produce` creates it: --topic {topic}"))
            }
            Self::Refused { .. } => Some("check kafka.security.protocol, kafka.sasl.* and the topic's ACLs".into()),
            Self::Config { .. } => Some("names and values are those of librdkafka's CONFIGURATION.md".into()),
            Self::Undelivered { .. } | Self::Other { .. } | Self::NoPlace { .. } | Self::Internal { .. } => None,
        }
    }
}
