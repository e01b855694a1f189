//! Every kind of source behind one door: facts, reads and positions.
//!
//!   Connection (what a statement says) ──▶ Connector ──▶ facts(), starts(), ends(), read()
//!                                                            └──▶ what they mean for recorded positions (pure)
//!
//! Invariants
//! * Code that reads sources depends on this file and on no kind of source.
//! * What a place in a source is, only its connector knows: it is handed out and taken back as recorded.
//!
//! Not here: how one kind is read (`kafka`), where positions are stored (`lake`).

use crate::batch::{BatchLimits, BatchStream};
use crate::connection::{Connection, KAFKA, Words};
use crate::decode::schema::SourceSchema;
use crate::error::SourceError;
use crate::kafka::config::Start;
use crate::kafka::facts::{self, KafkaFacts, Restart, Skipped};
use crate::kafka::offsets::is_recreated;
use crate::kafka::place;
use crate::kafka::topic::KafkaSource;
use ingot_model::{FlowPositions, Partition, Position, Positions, SourceIdentity};
use std::sync::Arc;

/// A source that can be asked and read. Clones share a connection.
#[derive(Clone)]
pub enum Connector {
    /// A topic.
    Kafka { source: KafkaSource, start: Start },
}

/// A source as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceFacts {
    /// A topic.
    Kafka(KafkaFacts),
}

/// What a source keeps back of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    pub partition: Partition,
    /// Where reading ends.
    pub end: Position,
    /// Messages behind that.
    pub behind: i64,
}

impl Connector {
    /// Connects; a source that does not answer is waited for as long as the caller does.
    ///
    /// # Errors
    /// Settings that are refused, a source that refuses us or that does not exist.
    pub async fn connect(connection: &Connection) -> Result<Self, SourceError> {
        match connection {
            Connection::Kafka { topic, start, config } => {
                Ok(Self::Kafka { source: KafkaSource::connect(config, topic, &|_| {}).await?, start: *start })
            }
        }
    }

    /// Which source this is now.
    ///
    /// # Errors
    /// Those of the source.
    pub async fn identity(&self) -> Result<SourceIdentity, SourceError> {
        match self {
            Self::Kafka { source, .. } => Ok(facts::identity(source.topic(), &source.describe().await?)),
        }
    }

    /// What the source is now, and how far back and forward it reaches.
    ///
    /// # Errors
    /// Those of the source.
    pub async fn facts(&self) -> Result<SourceFacts, SourceError> {
        match self {
            Self::Kafka { source, .. } => Ok(SourceFacts::Kafka(source.facts().await?)),
        }
    }

    /// Where a new table begins, as its source's statement says.
    ///
    /// # Errors
    /// Those of the source.
    pub async fn starts(&self) -> Result<Positions, SourceError> {
        match self {
            Self::Kafka { source, start } => Ok(source
                .start_offsets(start)
                .await?
                .into_iter()
                .map(|(p, offset)| (p.into(), offset.into()))
                .collect()),
        }
    }

    /// Where reading would end now.
    ///
    /// # Errors
    /// Those of the source.
    pub async fn ends(&self) -> Result<Positions, SourceError> {
        match self {
            Self::Kafka { source, .. } => {
                Ok(source.end_offsets().await?.into_iter().map(|(p, offset)| (p.into(), offset.into())).collect())
            }
        }
    }

    /// What open transactions keep back.
    ///
    /// # Errors
    /// Those of the source.
    pub async fn held_back(&self) -> Result<Vec<HeldBack>, SourceError> {
        match self {
            Self::Kafka { source, .. } => {
                let stable = source.end_offsets().await?;
                let marks = source.watermarks().await?;
                let each = marks.into_iter().filter_map(|(partition, (_, high))| {
                    let end = stable.get(&partition).copied().unwrap_or(high);
                    (high > end).then(|| HeldBack { partition: partition.into(), end: end.into(), behind: high - end })
                });
                Ok(each.collect())
            }
        }
    }

    /// Makes sure that the source is still the one that is read. To be asked before a commit: a source that was made anew
    /// may go on as if it were the old one.
    ///
    /// # Errors
    /// The loss, if it is another one; those of the source.
    pub async fn expect(&self, identity: &SourceIdentity) -> Result<(), SourceError> {
        match self {
            Self::Kafka { source, .. } => {
                let now = SourceIdentity { incarnation: source.topic_id().await?, ..identity.clone() };
                match is_recreated(&identity.incarnation, &now.incarnation) {
                    true => Err(SourceError::recreated(identity, &now)),
                    false => Ok(()),
                }
            }
        }
    }

    /// Reads on where recorded ranges end. Partitions that are not among them are new and start where they begin.
    ///
    /// With `until` only its partitions are read, and each up to its place; without, the stream never ends by itself.
    ///
    /// # Errors
    /// What the client library refuses; positions of another kind of source.
    pub fn read(
        &self,
        from: &FlowPositions,
        schema: Arc<SourceSchema>,
        limits: BatchLimits,
        until: Option<&Positions>,
    ) -> Result<BatchStream, SourceError> {
        match self {
            Self::Kafka { source, .. } => {
                let topic = source.topic();
                let from = from.partitions.iter().map(|recorded| place::recorded(topic, recorded));
                let until = until.map(|ends| ends.iter().map(|end| place::offset(topic, end)).collect());
                source.read(from.collect::<Result<_, _>>()?, schema, limits, until.transpose()?)
            }
        }
    }

    /// Whether messages may vanish from between others that stay. A source that does not tell says no.
    pub async fn is_compacted(&self) -> bool {
        match self {
            Self::Kafka { source, .. } => source.is_compacted().await,
        }
    }
}

impl SourceFacts {
    /// The words for this kind of source.
    pub fn words(&self) -> &'static Words {
        match self {
            Self::Kafka(_) => &KAFKA,
        }
    }

    /// Which source this is.
    pub fn identity(&self) -> SourceIdentity {
        match self {
            Self::Kafka(topic) => topic.identity(),
        }
    }

    /// Compares recorded positions with what is there: the partitions that they lack, with their beginnings.
    ///
    /// # Errors
    /// A loss; positions of another kind of source.
    pub fn check(&self, at: &FlowPositions) -> Result<Positions, SourceError> {
        match self {
            Self::Kafka(topic) => topic.check(at),
        }
    }

    /// Whether what was recorded of a source of this name is of another one.
    pub fn is_another(&self, was: &SourceIdentity) -> bool {
        match self {
            Self::Kafka(topic) => topic.is_another(was),
        }
    }

    /// Moves positions past what the source has lost of their partitions.
    ///
    /// # Errors
    /// A loss of another kind; positions of another kind of source.
    pub fn skip_lost(&self, at: &FlowPositions) -> Result<Skipped, SourceError> {
        match self {
            Self::Kafka(topic) => topic.skip_lost(at),
        }
    }

    /// Where reading all of it again begins, if it began at `began`; at what is left, if that is not known.
    ///
    /// # Errors
    /// Positions of another kind of source.
    pub fn restart(&self, began: Option<&FlowPositions>) -> Result<Restart, SourceError> {
        match self {
            Self::Kafka(topic) => topic.restart(began),
        }
    }

    /// Whether everything is left that there ever was.
    pub fn holds_everything(&self) -> bool {
        match self {
            Self::Kafka(topic) => topic.holds_everything(),
        }
    }
}
