//! What the reader does when the broker fails, is away, or says that the topic changed.
//!
//! Invariants
//! * A broker that is away is waited for, with a line in the log at growing intervals.
//! * Every failed fetch asks about all partitions again: rust-rdkafka does not say which one failed.
//! * What one broker says may be old news: a topic or partition that is missing, or a log that moved back, is asked
//!   about again before it counts as lost. Offsets count as expired when a fetch failed or nothing was fetched yet:
//!   messages that were fetched in time may still be on their way.
//!
//! Not here: the decision itself (`offsets::decide_loss`).

use super::away::Away;
use super::{End, Reader};
use crate::error::SourceError;
use crate::kafka::client::{backoff, classify, is_away, warn_waiting};
use crate::kafka::offsets::{Decision, Loss, LossKind, Position, TopicFacts, decide_loss};
use crate::kafka::watch::Answer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tracing::{debug, info, warn};

/// Answers in a row that miss the topic before it counts as deleted.
const MISSING_MAX: u32 = 3;
/// Answers in a row that a log moved back or a partition is gone before it counts.
const SUSPICIONS_MAX: u32 = 2;
/// Between two questions that follow failures.
const ASK_AGAIN: Duration = Duration::from_millis(500);

impl Reader {
    /// Looks at what the cluster said about the topic.
    pub(super) fn take_answer(&mut self) -> Result<(), End> {
        while let Some(Answer { asked, facts }) = self.watch.answer() {
            match facts {
                Ok(facts) => {
                    self.missing = 0;
                    self.note_back();
                    self.judge(&asked, &facts)?;
                }
                Err(SourceError::TopicMissing { .. }) => {
                    self.missing += 1;
                    if self.missing >= MISSING_MAX {
                        return Err(End::Failed(SourceError::Loss(self.loss(LossKind::TopicDeleted))));
                    }
                    self.ask_soon(2 * ASK_AGAIN);
                }
                Err(SourceError::Unavailable { reason, .. }) => {
                    self.note_away(&reason);
                    self.ask_soon(ASK_AGAIN);
                }
                Err(SourceError::Other { reason, .. }) => {
                    warn!(topic = self.topic, reason, "could not ask about the topic");
                    self.ask_soon(2 * ASK_AGAIN);
                }
                Err(error) => return Err(End::Failed(error)),
            }
        }
        Ok(())
    }

    fn judge(&mut self, asked: &BTreeMap<i32, i64>, facts: &TopicFacts) -> Result<(), End> {
        match decide_loss(&self.topic, &self.topic_id, asked, &self.positions(), facts) {
            Decision::Lost(loss) => match loss.kind {
                LossKind::OffsetsExpired if self.verified && !self.out_of_range => {
                    debug!(topic = self.topic, %loss, "fetched messages have expired meanwhile");
                }
                LossKind::MovedBack | LossKind::PartitionGone if self.suspicions + 1 < SUSPICIONS_MAX => {
                    self.suspicions += 1;
                    self.ask_soon(ASK_AGAIN);
                }
                _ => return Err(End::Failed(SourceError::Loss(loss))),
            },
            Decision::Continue { new } => {
                // A position was refused, and lies in the log all the same: its records were cut off, and the log has grown
                // again. librdkafka tells this by the epoch, under the code of any position that is out of range. The
                // first answer may have been asked for before the refusal.
                if self.out_of_range {
                    let is_known = |id: &i32| matches!(facts.partitions.get(id), Some(Some(_)));
                    self.suspicions += u32::from(self.partitions.keys().all(is_known));
                    if self.suspicions >= SUSPICIONS_MAX {
                        return Err(End::Failed(SourceError::Loss(self.loss(LossKind::MovedBack))));
                    }
                    self.ask_soon(ASK_AGAIN);
                    return Ok(());
                }
                self.suspicions = 0;
                self.verified = true;
                self.welcome(new)?;
            }
        }
        Ok(())
    }

    /// Starts to read new partitions.
    fn welcome(&mut self, new: BTreeMap<i32, Option<i64>>) -> Result<(), End> {
        let mut assign = false;
        for (partition, low) in new {
            let until = self.pending.get(&partition).copied();
            if self.bounded && until.is_none() {
                continue;
            }
            let Some(low) = low else {
                self.ask_soon(2 * ASK_AGAIN);
                continue;
            };
            info!(topic = self.topic, partition, offset = low, "reading a new partition");
            self.pending.remove(&partition);
            self.add(partition, Position { offset: low, epoch: None }, until)?;
            assign = true;
        }
        if assign {
            self.assign()?;
        }
        Ok(())
    }

    pub(super) fn fetch_failed(&mut self, error: &KafkaError) -> Result<(), End> {
        use RDKafkaErrorCode as E;
        let code = error.rdkafka_error_code().unwrap_or(E::Fail);
        if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
            let reason = error.to_string();
            return Err(End::Failed(SourceError::Other { topic: self.topic.clone(), reason }));
        }
        match code {
            E::AutoOffsetReset | E::OffsetOutOfRange | E::LogTruncation => self.out_of_range = true,
            E::TopicAuthorizationFailed | E::ClusterAuthorizationFailed => {
                return Err(End::Failed(classify(&self.topic, code, &error.to_string())));
            }
            // The group is a name alone: nothing is stored in it.
            E::GroupAuthorizationFailed => return Ok(()),
            // A broker that forgot us may know us again: credentials are rotated while we run.
            E::Authentication | E::SaslAuthenticationFailed | E::SSL => self.note_away(&error.to_string()),
            code if is_away(code) => {
                let reason = self.consumer_error().unwrap_or_else(|| error.to_string());
                self.note_away(&reason);
            }
            _ => warn!(topic = self.topic, %error, "fetching failed"),
        }
        self.ask_soon(ASK_AGAIN);
        Ok(())
    }

    fn consumer_error(&self) -> Option<String> {
        use rdkafka::consumer::Consumer;
        self.consumer.context().last_error().map(|(_, reason)| reason)
    }

    fn ask_soon(&mut self, after: Duration) {
        self.ask_at = self.ask_at.min(Instant::now() + after);
    }

    fn loss(&self, kind: LossKind) -> Loss {
        Loss { kind, topic: self.topic.clone(), partition: None, position: None, now: None, topic_id: None }
    }

    fn note_away(&mut self, reason: &str) {
        let now = Instant::now();
        let attempt = match &self.away {
            None => 0,
            Some(away) if now >= away.next => away.attempt,
            Some(_) => return,
        };
        let pause = backoff(attempt + 1);
        warn_waiting(&self.topic, reason, pause);
        self.away = Some(Away { attempt: attempt + 1, next: now + pause });
    }

    pub(super) fn note_back(&mut self) {
        if self.away.take().is_some() {
            info!(topic = self.topic, "the kafka broker answers again");
        }
    }
}
