//! Sends a fleet's events to a topic.
//!
//! Invariants
//! * Idempotent: retries double nothing, and events of a key keep their order.
//! * What was not delivered is an error, with a count and the first reason.
//!
//! Not here: the events (`fleet`).

use crate::demo::fleet::Fleet;
use crate::error::SourceError;
use crate::kafka::client::{TopicClient, classify};
use crate::kafka::config::KafkaConfig;
use crate::kafka::property::config_error;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tracing::debug;

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProduceReport {
    pub events: u64,
    pub bytes: u64,
    pub seconds: f64,
}

impl ProduceReport {
    /// Events that brokers confirmed, for each second.
    pub fn events_per_second(&self) -> f64 {
        self.events as f64 / self.seconds.max(1e-9)
    }
}

/// Counts what the broker did not take.
#[derive(Default)]
struct Deliveries {
    failed: AtomicU64,
    reason: Mutex<Option<String>>,
}

impl ClientContext for Deliveries {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, text: &str) {
        debug!(target: "librdkafka", facility, text, "kafka producer");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(target: "librdkafka", %error, reason, "kafka producer error");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.failed.fetch_add(1, Ordering::Relaxed);
            if let Ok(mut reason) = self.reason.lock() {
                reason.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

/// Pause while the producer's queue is full.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(1);
/// Events between two looks at the clock, at the stop flag and at failures.
const BURST: u64 = 256;
/// Between two calls of `progress`.
const PROGRESS: Duration = Duration::from_millis(100);
/// How far ahead of its rate a sender may be.
const TICK: Duration = Duration::from_millis(2);
/// Patience for outstanding events after a stop.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// Sends `events` events, at most `rate` a second, until `stop`; blocks. The key of an event is its vehicle's id.
/// `progress` hears how many were sent, a few times a second.
///
/// # Errors
/// A configuration that librdkafka refuses; events that the broker did not take.
pub fn produce(
    config: &KafkaConfig,
    topic: &str,
    events: u64,
    rate: Option<f64>,
    fleet: &mut Fleet,
    progress: &dyn Fn(u64),
    stop: &AtomicBool,
) -> Result<ProduceReport, SourceError> {
    let mut properties = config.producer();
    // Successes need no report each: after a flush, what did not fail was delivered.
    properties.set("delivery.report.only.error", "true");
    let producer: ThreadedProducer<Deliveries> =
        properties.create_with_context(Deliveries::default()).map_err(|e| config_error(&e))?;
    let started = Instant::now();
    let mut told = started;
    let (mut sent, mut bytes) = (0, 0);
    let mut event = Vec::with_capacity(256);
    let failed = || producer.context().failed.load(Ordering::Relaxed);
    'sending: while sent < events {
        if sent % BURST == 0 {
            if stop.load(Ordering::Relaxed) || failed() > 0 {
                break;
            }
            if told.elapsed() >= PROGRESS {
                progress(sent);
                told = Instant::now();
            }
        }
        if let Some(rate) = rate.filter(|r| *r > 0.0) {
            let due = started + Duration::try_from_secs_f64(sent as f64 / rate).unwrap_or(Duration::MAX / 4);
            // What is due within a tick is sent now: a pause for each event would cost more than the events.
            while Instant::now() + TICK < due {
                if stop.load(Ordering::Relaxed) {
                    break 'sending;
                }
                thread::sleep(due.saturating_duration_since(Instant::now()).min(Duration::from_millis(50)));
            }
        }
        let key = fleet.next_into(&mut event);
        let mut record = BaseRecord::to(topic).key(key).payload(event.as_slice());
        loop {
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    if stop.load(Ordering::Relaxed) || failed() > 0 {
                        break 'sending;
                    }
                    record = back;
                    thread::sleep(QUEUE_FULL_PAUSE);
                }
                Err((error, _)) => {
                    let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                    return Err(classify(topic, code, &error.to_string()));
                }
            }
        }
        sent += 1;
        bytes += u64::try_from(event.len()).unwrap_or(0);
    }
    let stopped = Instant::now();
    while producer.in_flight_count() > 0 {
        if stop.load(Ordering::Relaxed) && stopped.elapsed() > STOP_PATIENCE {
            break;
        }
        // A time-out: what is outstanding fails by itself after message.timeout.ms.
        let _ = producer.flush(PROGRESS);
        progress(sent);
    }
    let outstanding = u64::try_from(producer.in_flight_count()).unwrap_or(0);
    let lost = failed() + outstanding;
    progress(sent - lost.min(sent));
    if lost > 0 {
        let reason = producer.context().reason.lock().ok().and_then(|reason| reason.clone());
        let reason = reason.unwrap_or_else(|| "stopped before the broker took them".into());
        let reason = format!("{lost} of {sent} events were not delivered: {reason}");
        return Err(SourceError::Undelivered { topic: topic.to_string(), reason });
    }
    Ok(ProduceReport { events: sent, bytes, seconds: started.elapsed().as_secs_f64() })
}

/// Creates a topic with the broker's default replication, unless it exists; waits until it can be written. Tells
/// whether it was created.
///
/// # Errors
/// What the broker refuses; a broker that does not answer.
pub async fn ensure_topic(config: &KafkaConfig, topic: &str, partitions: i32) -> Result<bool, SourceError> {
    let admin: AdminClient<DefaultClientContext> = config.metadata().create().map_err(|e| config_error(&e))?;
    let options = AdminOptions::new()
        .request_timeout(Some(Duration::from_secs(10)))
        .operation_timeout(Some(Duration::from_secs(10)));
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
    let answers = admin.create_topics([&new], &options).await.map_err(|e| {
        let code = e.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::OperationTimedOut);
        classify(topic, code, &e.to_string())
    })?;
    let created = match answers.into_iter().next() {
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => false,
        Some(Err((_, code))) => return Err(classify(topic, code, &code.to_string())),
        Some(Ok(_)) | None => true,
    };
    let client = TopicClient::new(config, topic)?;
    let wait = move || {
        let patience = Instant::now() + Duration::from_secs(10);
        loop {
            match client.partitions() {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > patience || !error.retryable() => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
    };
    let waited = tokio::task::spawn_blocking(wait).await;
    waited.unwrap_or_else(|e| Err(SourceError::Internal { reason: e.to_string() }))?;
    Ok(created)
}
