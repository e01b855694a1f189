//! What the topic of now means for recorded positions.
//!
//! Invariant: pure. Facts and positions in, a decision out.
//!
//! Not here: asking the broker (`topic`), comparing offsets (`offsets`).

use crate::error::SourceError;
use crate::kafka::client::TopicInfo;
use crate::kafka::offsets::{Decision, TopicFacts, Watermarks, decide_loss, is_recreated};
use crate::kafka::place;
use ingot_model::{FlowPositions, Position, Positions, SourceIdentity};
use std::collections::BTreeMap;

/// A topic as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaFacts {
    /// Its name.
    pub topic: String,
    /// Which topic it is.
    pub info: TopicInfo,
    /// The log of every partition.
    pub log: BTreeMap<i32, Watermarks>,
}

/// Positions past what a source has lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where to read on.
    pub positions: FlowPositions,
    /// What is given up, in words; empty if nothing was lost.
    pub lost: Vec<String>,
}

/// Where reading a source again begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    /// The first place that is left in each partition.
    pub from: Positions,
    /// The partitions that no longer reach back to where they began.
    pub short: Vec<Short>,
}

/// A partition that begins later than it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Short {
    /// The partition.
    pub partition: ingot_model::Partition,
    /// Where it begins now.
    pub begins: Position,
    /// Where it began.
    pub began: Position,
}

impl KafkaFacts {
    /// Which source this is.
    pub fn identity(&self) -> SourceIdentity {
        identity(&self.topic, &self.info)
    }

    /// Compares recorded positions with the log: the partitions that they lack, with their beginnings.
    ///
    /// # Errors
    /// A loss; positions that are not those of a topic.
    pub fn check(&self, at: &FlowPositions) -> Result<Positions, SourceError> {
        let told = at.partitions.iter().map(|recorded| place::recorded(&self.topic, recorded));
        let told = told.map(|place| place.map(|(p, place)| (p, place.offset)));
        let told = told.collect::<Result<BTreeMap<i32, i64>, _>>()?;
        let log = self.log.iter().map(|(p, marks)| (*p, Some(*marks))).collect();
        let now = TopicFacts { topic_id: self.info.topic_id.clone(), partitions: log };
        match decide_loss(&self.topic, &at.source.incarnation, &told, &told, &now) {
            Decision::Lost(loss) => Err(SourceError::Loss(loss)),
            Decision::Continue { new } => {
                Ok(new.into_iter().map(|(p, low)| (p.into(), low.unwrap_or(0).into())).collect())
            }
        }
    }

    /// Whether what was recorded of a source of this name is of another one.
    pub fn is_another(&self, was: &SourceIdentity) -> bool {
        is_recreated(&was.incarnation, &self.info.topic_id) || was.system != self.info.cluster_id
    }

    /// Moves positions past what the log has lost of their partitions.
    ///
    /// # Errors
    /// A loss of another kind; positions that are not those of a topic.
    pub fn skip_lost(&self, at: &FlowPositions) -> Result<Skipped, SourceError> {
        let mut positions = at.at_rest();
        let mut lost = vec![];
        for (partition, range) in &mut positions.partitions {
            let (number, offset) = place::offset(&self.topic, (partition, &range.to))?;
            if let Some(marks) = self.log.get(&number).filter(|marks| marks.low > offset) {
                lost.push(format!("offsets {offset} to {} of partition {partition}", marks.low - 1));
                range.to = marks.low.into();
                range.facts.clear();
            }
        }
        self.check(&positions)?;
        Ok(Skipped { positions, lost })
    }

    /// Where reading all of it again begins, if it began at `began`; at what is left, if that is not known. Partitions that
    /// came later were read from their beginning.
    ///
    /// # Errors
    /// Positions that are not those of a topic.
    pub fn restart(&self, began: Option<&FlowPositions>) -> Result<Restart, SourceError> {
        let (mut from, mut short) = (Positions::new(), vec![]);
        for (number, marks) in &self.log {
            let partition = ingot_model::Partition::from(*number);
            let start = match began {
                None => marks.low,
                Some(began) => match began.partitions.get(&partition) {
                    None => 0,
                    Some(range) => place::offset(&self.topic, (&partition, &range.to))?.1,
                },
            };
            if start < marks.low {
                let (begins, began) = (marks.low.into(), start.into());
                short.push(Short { partition: partition.clone(), begins, began });
            }
            from.insert(partition, start.max(marks.low).into());
        }
        Ok(Restart { from, short })
    }

    /// Whether the log still has all there ever was.
    pub fn holds_everything(&self) -> bool {
        self.log.values().all(|marks| marks.low == 0)
    }
}

pub(crate) fn identity(topic: &str, info: &TopicInfo) -> SourceIdentity {
    SourceIdentity { system: info.cluster_id.clone(), name: topic.to_owned(), incarnation: info.topic_id.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(log: &[(i32, i64, i64)]) -> KafkaFacts {
        let partitions = log.iter().map(|(p, ..)| *p).collect();
        KafkaFacts {
            topic: "t".into(),
            info: TopicInfo { cluster_id: "c".into(), topic_id: "i".into(), partitions },
            log: log.iter().map(|(p, low, high)| (*p, Watermarks { low: *low, high: *high })).collect(),
        }
    }

    fn at(facts: &KafkaFacts, places: &[(i32, i64)]) -> FlowPositions {
        let places = places.iter().map(|(p, offset)| ((*p).into(), (*offset).into())).collect();
        FlowPositions::starting("bronze.t", facts.identity(), &places)
    }

    #[test]
    fn new_partitions_begin_where_their_log_does() {
        let facts = facts(&[(0, 0, 9), (1, 3, 9)]);
        assert_eq!(facts.check(&at(&facts, &[(0, 5)])).unwrap(), Positions::from([(1.into(), 3.into())]));
    }

    #[test]
    fn what_was_lost_is_skipped_and_named() {
        let facts = facts(&[(0, 7, 9), (1, 0, 9)]);
        let mut stood = at(&facts, &[(0, 5), (1, 4)]);
        for range in stood.partitions.values_mut() {
            range.facts = place::facts(Some(3));
        }
        assert_eq!(facts.check(&stood).unwrap_err().code(), "S0101");
        let skipped = facts.skip_lost(&stood).unwrap();
        assert_eq!(skipped.lost, ["offsets 5 to 6 of partition 0"]);
        assert_eq!(skipped.positions.ends(), Positions::from([(0.into(), 7.into()), (1.into(), 4.into())]));
        // The epoch was that of a record that is gone.
        let epochs: Vec<bool> = skipped.positions.partitions.values().map(|r| r.facts.is_empty()).collect();
        assert_eq!(epochs, [true, false]);
        // A log that ends before the position has lost more than what was not read.
        assert_eq!(facts.skip_lost(&at(&facts, &[(0, 5), (1, 10)])).unwrap_err().code(), "S0104");
    }

    #[test]
    fn reading_again_begins_where_it_began_or_says_what_is_missing() {
        let facts = facts(&[(0, 7, 9), (1, 0, 9), (2, 2, 9)]);
        let again = facts.restart(Some(&at(&facts, &[(0, 5), (1, 4)]))).unwrap();
        let from = [(0.into(), 7.into()), (1.into(), 4.into()), (2.into(), 2.into())];
        assert_eq!(again.from, Positions::from(from));
        let short: Vec<(String, String)> =
            again.short.iter().map(|s| (s.partition.to_string(), format!("{} {}", s.began, s.begins))).collect();
        assert_eq!(short, [("0".into(), "5 7".into()), ("2".into(), "0 2".into())]);
        assert!(facts.restart(None).unwrap().short.is_empty() && !facts.holds_everything());
    }

    #[test]
    fn places_of_another_kind_are_refused() {
        let facts = facts(&[(0, 0, 9)]);
        let places = Positions::from([("a/b.json".into(), Position::Text("z".into()))]);
        let strange = FlowPositions::starting("bronze.t", facts.identity(), &places);
        assert_eq!(facts.check(&strange).unwrap_err().code(), "S0112");
    }
}
