//! Whether the log still continues where a table stands.
//!
//! Invariants
//! * Pure: facts in, a decision out.
//! * A loss is only named for what both the record and the log prove: an unknown topic id or epoch proves nothing.
//!
//! Not here: asking the broker (`watch`), stopping the table (`pipeline`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The next offset to read, and the leader epoch of the record before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub offset: i64,
    pub epoch: Option<i32>,
}

/// What the broker says about a partition: its log is `[low, high)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    pub low: i64,
    pub high: i64,
}

/// What the broker says about a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicFacts {
    /// Empty where the broker does not tell.
    pub topic_id: String,
    /// All partitions; `None` where the leader did not answer.
    pub partitions: BTreeMap<i32, Option<Watermarks>>,
}

/// Why messages that were not read are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossKind {
    /// Retention took messages that were never read.
    OffsetsExpired,
    /// A topic of the same name, but another one.
    TopicRecreated,
    PartitionGone,
    /// The log ends before the position: it was truncated.
    MovedBack,
    TopicDeleted,
}

impl LossKind {
    /// The code of the error that says so.
    pub fn code(self) -> &'static str {
        match self {
            Self::OffsetsExpired => "S0101",
            Self::TopicRecreated => "S0102",
            Self::PartitionGone => "S0103",
            Self::MovedBack => "S0104",
            Self::TopicDeleted => "S0109",
        }
    }
}

/// Messages that a table can never read, with what was recorded and what is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    pub kind: LossKind,
    pub topic: String,
    pub partition: Option<i32>,
    /// The next offset that would have been read.
    pub position: Option<i64>,
    pub now: Option<Watermarks>,
    pub topic_id: Option<(String, String)>,
}

impl Loss {
    /// A topic that was deleted and created again, with its ids.
    pub(crate) fn recreated(topic: &str, was: &str, now: &str) -> Self {
        let topic_id = Some((was.to_owned(), now.to_owned()));
        let kind = LossKind::TopicRecreated;
        Loss { kind, topic: topic.to_owned(), partition: None, position: None, now: None, topic_id }
    }

    /// Whether what was read before stays right, and what is left can be read on.
    pub fn leaves_the_rest(&self) -> bool {
        self.kind == LossKind::OffsetsExpired
    }

    /// The way to go on with the table that reads the topic.
    pub fn hint(&self, table: &str) -> String {
        match self.kind {
            LossKind::OffsetsExpired => format!(
                "restore them to the topic if you can, else stop `run` and give them up: `ingot refresh {table} --accept-loss` \
                 keeps the rows stored so far and goes on at the first message that is left"
            ),
            LossKind::TopicRecreated | LossKind::PartitionGone | LossKind::MovedBack => format!(
                "stop `run`, then `ingot refresh {table} --full --accept-loss` drops the rows of the old log and reads the \
                 topic as it is now from its start; to keep the old rows, copy them to another table first"
            ),
            LossKind::TopicDeleted => format!(
                "the rows stored so far stay; to go on, create the topic again, stop `run`, then `ingot refresh {table} \
                 --full --accept-loss` drops them and reads the new topic"
            ),
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic \"{}\"", self.topic)?;
        if let Some(partition) = self.partition {
            write!(f, " partition {partition}")?;
        }
        let position = self.position.unwrap_or(0);
        match (self.kind, self.now) {
            (LossKind::OffsetsExpired, Some(now)) => {
                write!(
                    f,
                    " lost offsets {position} to {} before they were read: the log now starts at {}",
                    now.low - 1,
                    now.low
                )
            }
            (LossKind::OffsetsExpired, None) => write!(f, " no longer holds offset {position}"),
            (LossKind::MovedBack, Some(now)) => {
                write!(f, " moved back: offset {position} was to be read next, but the log ends at {}", now.high)
            }
            (LossKind::MovedBack, None) => write!(f, " was truncated: records that were read are no longer in its log"),
            (LossKind::PartitionGone, _) => write!(f, " is gone: offset {position} was to be read next"),
            (LossKind::TopicDeleted, _) => write!(f, " was deleted"),
            (LossKind::TopicRecreated, _) => {
                let (was, now) = self.topic_id.clone().unwrap_or_default();
                write!(f, " was deleted and created again: its id was {was} and is {now}")
            }
        }
    }
}

/// What the facts mean for positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is lost; these partitions are new, with the offset where their log starts, if known.
    Continue {
        new: BTreeMap<i32, Option<i64>>,
    },
    Lost(Loss),
}

/// Compares where we stand with what the broker says.
///
/// `asked` are the positions when the facts were asked for, `now` those of this moment: a position may have moved on
/// meanwhile, so only an older one proves that the log moved back, and only the newest that offsets expired unread.
/// An empty `topic_id`, recorded or told, is unknown.
#[cfg_attr(not(feature = "kafka"), allow(dead_code))]
pub(crate) fn decide_loss(
    topic: &str,
    topic_id: &str,
    asked: &BTreeMap<i32, i64>,
    now: &BTreeMap<i32, i64>,
    facts: &TopicFacts,
) -> Decision {
    let loss = |kind, partition, position, now| Loss {
        kind,
        topic: topic.to_string(),
        partition,
        position,
        now,
        topic_id: None,
    };
    if is_recreated(topic_id, &facts.topic_id) {
        let ids = Some((topic_id.to_string(), facts.topic_id.clone()));
        return Decision::Lost(Loss { topic_id: ids, ..loss(LossKind::TopicRecreated, None, None, None) });
    }
    for (partition, position) in now {
        let Some(marks) = facts.partitions.get(partition) else {
            return Decision::Lost(loss(LossKind::PartitionGone, Some(*partition), Some(*position), None));
        };
        let Some(marks) = *marks else { continue };
        if *position < marks.low {
            return Decision::Lost(loss(LossKind::OffsetsExpired, Some(*partition), Some(*position), Some(marks)));
        }
        let before = asked.get(partition).copied().unwrap_or(*position);
        if before > marks.high {
            return Decision::Lost(loss(LossKind::MovedBack, Some(*partition), Some(before), Some(marks)));
        }
    }
    let known: BTreeSet<_> = now.keys().collect();
    let new = facts.partitions.iter().filter(|(p, _)| !known.contains(p));
    Decision::Continue { new: new.map(|(p, marks)| (*p, marks.map(|m| m.low))).collect() }
}

/// Whether two ids prove that they name different topics; an empty one is unknown.
pub fn is_recreated(recorded: &str, now: &str) -> bool {
    !recorded.is_empty() && !now.is_empty() && recorded != now
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(id: &str, partitions: &[(i32, i64, i64)]) -> TopicFacts {
        let partitions = partitions.iter().map(|(p, low, high)| (*p, Some(Watermarks { low: *low, high: *high })));
        TopicFacts { topic_id: id.into(), partitions: partitions.collect() }
    }

    fn decide(id: &str, at: &[(i32, i64)], facts: &TopicFacts) -> Decision {
        let at = at.iter().copied().collect();
        decide_loss("t", id, &at, &at, facts)
    }

    fn kind(decision: Decision) -> Option<LossKind> {
        match decision {
            Decision::Lost(loss) => Some(loss.kind),
            Decision::Continue { .. } => None,
        }
    }

    #[test]
    fn names_each_loss() {
        let cases: [(&str, i64, TopicFacts, Option<LossKind>); 9] = [
            ("a", 5, facts("a", &[(0, 0, 9)]), None),
            ("a", 9, facts("a", &[(0, 9, 9)]), None),
            ("a", 0, facts("a", &[(0, 0, 0)]), None),
            ("a", 5, facts("a", &[(0, 6, 9)]), Some(LossKind::OffsetsExpired)),
            ("a", 10, facts("a", &[(0, 0, 9)]), Some(LossKind::MovedBack)),
            ("a", 5, facts("b", &[(0, 0, 9)]), Some(LossKind::TopicRecreated)),
            ("a", 5, facts("", &[(0, 0, 9)]), None),
            ("", 5, facts("b", &[(0, 0, 9)]), None),
            ("a", 5, facts("a", &[(1, 0, 9)]), Some(LossKind::PartitionGone)),
        ];
        for (id, position, facts, wanted) in cases {
            assert_eq!(kind(decide(id, &[(0, position)], &facts)), wanted, "{id} {position} {facts:?}");
        }
    }

    #[test]
    fn new_partitions_start_where_their_log_does() {
        let mut told = facts("a", &[(0, 0, 9), (1, 3, 9)]);
        told.partitions.insert(2, None);
        let new = BTreeMap::from([(1, Some(3)), (2, None)]);
        assert_eq!(decide("a", &[(0, 5)], &told), Decision::Continue { new });
    }

    #[test]
    fn a_position_that_moved_on_meanwhile_is_no_loss() {
        let told = facts("a", &[(0, 0, 9)]);
        let asked = BTreeMap::from([(0, 5)]);
        let now = BTreeMap::from([(0, 12)]);
        assert_eq!(kind(decide_loss("t", "a", &asked, &now, &told)), None);
    }

    #[test]
    fn messages_tell_what_was_and_what_is() {
        let Decision::Lost(loss) = decide("a", &[(3, 5)], &facts("a", &[(3, 8, 20)])) else { panic!() };
        assert_eq!(
            loss.to_string(),
            "topic \"t\" partition 3 lost offsets 5 to 7 before they were read: the log now starts at 8"
        );
        assert_eq!(loss.kind.code(), "S0101");
    }
}
