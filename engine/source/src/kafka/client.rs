//! A client that asks the cluster about one topic.
//!
//! Invariants
//! * Calls block for at most a few times `CALL`; async callers go through `KafkaSource`.
//! * Log lines and errors that queue up in librdkafka are drained with every call.
//!
//! Not here: reading messages (`reader`), what the answers mean (`offsets`).

use crate::error::SourceError;
use crate::kafka::config::KafkaConfig;
use crate::kafka::ffi::{self, CallError, OffsetSpec};
use crate::kafka::offsets::{TopicFacts, Watermarks};
use crate::kafka::property::config_error;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::{debug, error, warn};

/// One question to the broker.
pub(crate) const CALL: Duration = Duration::from_secs(5);

/// Routes librdkafka's log lines to ours and remembers its last error.
#[derive(Default)]
pub(crate) struct Context {
    last_error: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

impl Context {
    fn clear(&self) {
        if let Ok(mut last) = self.last_error.lock() {
            *last = None;
        }
    }

    pub(crate) fn last_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.last_error.lock().ok().and_then(|last| last.clone())
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                error!(target: "librdkafka", facility, text, "kafka client");
            }
            // What it calls an error, such as a broker that is away, is passed to `error` too; the code that waits
            // reports it.
            _ => debug!(target: "librdkafka", facility, text, "kafka client"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        if code == RDKafkaErrorCode::PartitionEOF {
            return;
        }
        debug!(target: "librdkafka", %error, reason, "kafka client error");
        // The reason behind "all brokers down" came just before.
        if let Ok(mut last) = self.last_error.lock()
            && (code != RDKafkaErrorCode::AllBrokersDown || last.is_none())
        {
            *last = Some((code, reason.to_string()));
        }
    }
}

impl ConsumerContext for Context {}

/// Which topic this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// Empty where the broker does not tell.
    pub cluster_id: String,
    /// As `kafka-topics.sh --describe` prints it; empty where the broker does not tell.
    pub topic_id: String,
    pub partitions: Vec<i32>,
}

/// Asks about one topic.
pub(crate) struct TopicClient {
    consumer: BaseConsumer<Context>,
    pub(crate) topic: String,
    /// Who answered last; negative before.
    broker: AtomicI32,
    pub(crate) read_committed: bool,
}

impl TopicClient {
    pub(crate) fn new(config: &KafkaConfig, topic: &str) -> Result<Arc<Self>, SourceError> {
        let consumer = config.metadata().create_with_context(Context::default()).map_err(|e| config_error(&e))?;
        Ok(Arc::new(Self {
            consumer,
            topic: topic.to_string(),
            broker: AtomicI32::new(-1),
            read_committed: config.reads_committed(),
        }))
    }

    /// Serves what librdkafka queued: without this, log lines of a broker that is away would pile up.
    fn drain(&self) {
        for _ in 0..1_000 {
            if self.consumer.poll(Duration::ZERO).is_none() {
                break;
            }
        }
    }

    /// The topic's partitions.
    pub(crate) fn partitions(&self) -> Result<Vec<i32>, SourceError> {
        self.drain();
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), CALL);
        self.drain();
        let metadata = metadata
            .map_err(|e| self.failed(e.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail), &e.to_string()))?;
        self.consumer.context().clear();
        let answered = metadata.orig_broker_id();
        let broker = metadata.brokers().iter().map(|b| b.id()).find(|id| *id == answered);
        let broker = broker.or_else(|| metadata.brokers().first().map(|b| b.id()));
        self.broker.store(broker.unwrap_or(-1), Ordering::Relaxed);
        let Some(topic) = metadata.topics().iter().find(|t| t.name() == self.topic) else {
            return Err(SourceError::TopicMissing { topic: self.topic.clone() });
        };
        if let Some(code) = topic.error() {
            let code = RDKafkaErrorCode::from(code);
            return Err(self.failed(code, &code.to_string()));
        }
        let mut partitions: Vec<_> = topic.partitions().iter().map(|p| p.id()).collect();
        partitions.sort_unstable();
        if partitions.is_empty() {
            return Err(SourceError::TopicMissing { topic: self.topic.clone() });
        }
        Ok(partitions)
    }

    pub(crate) fn topic_id(&self) -> Result<String, SourceError> {
        self.drain();
        let ask = |broker| ffi::topic_id(self.consumer.client(), &self.topic, broker, CALL);
        match ask(self.broker.load(Ordering::Relaxed)) {
            // That broker may never come back: ask the one that answers metadata requests now.
            Err(error) if is_away(error.code) => {
                self.partitions()?;
                ask(self.broker.load(Ordering::Relaxed)).map_err(|e| self.call_failed(&e))
            }
            other => other.map_err(|e| self.call_failed(&e)),
        }
    }

    pub(crate) fn cluster_id(&self) -> String {
        ffi::cluster_id(self.consumer.client(), CALL)
    }

    /// An offset for every partition.
    pub(crate) fn offsets(&self, partitions: &[i32], spec: OffsetSpec) -> Result<BTreeMap<i32, i64>, SourceError> {
        let told = self.offsets_told(partitions, spec, self.read_committed)?;
        told.into_iter()
            .map(|(partition, offset)| offset.map(|o| (partition, o)).map_err(|e| self.call_failed(&e)))
            .collect()
    }

    fn offsets_told(
        &self,
        partitions: &[i32],
        spec: OffsetSpec,
        read_committed: bool,
    ) -> Result<BTreeMap<i32, Result<i64, CallError>>, SourceError> {
        self.drain();
        ffi::list_offsets(self.consumer.client(), &self.topic, partitions, spec, read_committed, CALL)
            .map_err(|e| self.call_failed(&e))
    }

    /// The ends of every partition's log, open transactions included; `None` where a leader did not answer.
    pub(crate) fn watermarks(&self, partitions: &[i32]) -> Result<BTreeMap<i32, Option<Watermarks>>, SourceError> {
        // The low end first: it only grows, so that it is never above the high end told after it.
        let low = self.offsets_told(partitions, OffsetSpec::Earliest, false)?;
        let high = self.offsets_told(partitions, OffsetSpec::Latest, false)?;
        let both = partitions.iter().map(|partition| {
            let marks = match (low.get(partition), high.get(partition)) {
                (Some(Ok(low)), Some(Ok(high))) => Some(Watermarks { low: *low, high: *high }),
                _ => None,
            };
            (*partition, marks)
        });
        Ok(both.collect())
    }

    /// Which topic this is now.
    pub(crate) fn describe(&self) -> Result<TopicInfo, SourceError> {
        let partitions = self.partitions()?;
        let topic_id = self.topic_id()?;
        Ok(TopicInfo { cluster_id: self.cluster_id(), topic_id, partitions })
    }

    /// Topic id, partitions and watermarks together.
    pub(crate) fn facts(&self) -> Result<TopicFacts, SourceError> {
        let partitions = self.partitions()?;
        let topic_id = self.topic_id()?;
        Ok(TopicFacts { topic_id, partitions: self.watermarks(&partitions)? })
    }

    fn call_failed(&self, error: &CallError) -> SourceError {
        self.failed(error.code, &error.reason)
    }

    fn failed(&self, code: RDKafkaErrorCode, reason: &str) -> SourceError {
        // A time-out says little; what the connection ran into says more.
        let (code, reason) = match self.consumer.context().last_error() {
            Some((last, text)) if is_away(code) => (last, text),
            _ => (code, reason.to_string()),
        };
        classify(&self.topic, code, &reason)
    }
}

/// Whether the code means that no broker answered.
pub(crate) fn is_away(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as E;
    matches!(
        code,
        E::BrokerTransportFailure
            | E::AllBrokersDown
            | E::Resolve
            | E::OperationTimedOut
            | E::MessageTimedOut
            | E::RequestTimedOut
            | E::WaitingForCoordinator
            | E::CoordinatorNotAvailable
            | E::CoordinatorLoadInProgress
            | E::NotCoordinator
            | E::NetworkException
            | E::LeaderNotAvailable
            | E::NotLeaderForPartition
            | E::BrokerNotAvailable
            | E::ReplicaNotAvailable
            | E::FencedLeaderEpoch
            | E::UnknownLeaderEpoch
            | E::OffsetNotAvailable
            // No partition of a question has a leader.
            | E::NoEnt
    )
}

/// The error of a source that a code of librdkafka means.
pub(crate) fn classify(topic: &str, code: RDKafkaErrorCode, reason: &str) -> SourceError {
    use RDKafkaErrorCode as E;
    let (topic, reason) = (topic.to_string(), reason.to_string());
    match code {
        E::UnknownTopic | E::UnknownTopicOrPartition | E::UnknownPartition | E::UnknownTopicId => {
            SourceError::TopicMissing { topic }
        }
        E::Authentication
        | E::SaslAuthenticationFailed
        | E::TopicAuthorizationFailed
        | E::ClusterAuthorizationFailed
        | E::UnsupportedSASLMechanism
        | E::SSL => SourceError::Refused { topic, reason },
        E::InvalidTopic => SourceError::Config { reason: format!("\"{topic}\" is not a name of a topic") },
        code if is_away(code) => SourceError::Unavailable { topic, reason },
        _ => SourceError::Other { topic, reason },
    }
}

/// Pauses between attempts: doubling, up to half a minute.
pub(crate) fn backoff(attempt: u32) -> Duration {
    Duration::from_millis(500 << attempt.min(6)).min(Duration::from_secs(30))
}

/// Says that a broker is waited for.
pub(crate) fn warn_waiting(topic: &str, reason: &str, pause: Duration) {
    ingot_telemetry::metrics().source_waits.add([topic], 1);
    warn!(
        topic,
        reason,
        retry_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
        "waiting for the kafka broker"
    );
}
