//! The poll thread: consumes, decodes, closes batches, hands them over when asked.
//!
//!   poll ──▶ decoder of the partition ──▶ open batch ──▶ (asked for, and full, old or idle) ──▶ SourceBatch
//!
//! Invariants
//! * A message is decoded as soon as it is polled: between two polls the consumer's position is exact, so it may
//!   extend a range past control records and aborted transactions.
//! * No batch is handed over before the first answer about the topic has excluded a loss.
//! * Unasked, the open batch grows to `bytes_max`, then polling stops; librdkafka stops fetching when its own queue,
//!   bounded in bytes, is full. A slow table makes larger batches, not more of them.
//!
//! Not here: facts about the topic (`watch`), what they mean (`offsets`).

use crate::batch::{BYTES_MAX, BatchLimits, Order, PartitionBatch, SourceBatch};
use crate::decode::decoder::{Absence, Decoder, MessageRef};
use crate::decode::schema::SourceSchema;
use crate::error::SourceError;
use crate::kafka::client::Context;
use crate::kafka::config::KafkaConfig;
use crate::kafka::ffi::{self, ConsumerQueue, View};
use crate::kafka::offsets::Position;
use crate::kafka::place;
use crate::kafka::property::config_error;
use crate::kafka::watch::Watch;
use ingot_dialect::ast::IncludeKind;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

mod away;
mod cursor;
mod trouble;

use away::Away;
use cursor::Cursor;

type Out = mpsc::Sender<Result<SourceBatch, SourceError>>;

/// Bytes a message costs beside its key and payload.
const MESSAGE_COST: usize = 64;
/// Rows in a batch: bounds what columns that are not in the payload (defaults) can cost.
const MESSAGES_MAX: usize = 1_000_000;
/// Longest wait for a message: orders are looked at in between.
const POLL: Duration = Duration::from_millis(20);
/// Polls between two looks at the clock.
const BURST: usize = 64;
/// Messages taken from the queue at once, at least and at most.
const TAKEN_MIN: usize = 16;
const TAKEN_MAX: usize = 512;
/// Messages and events at the queue's end that are left to `poll`.
const LEFT_TO_POLL: usize = 16;
/// Between two looks at the topic's id and partitions, unless `topic.metadata.refresh.interval.ms` says else.
const WATCH_INTERVAL: Duration = Duration::from_secs(30);
/// Positions that moved without messages are handed over after this.
const BARE_POSITIONS_AFTER: Duration = Duration::from_secs(1);

struct Partition {
    /// Where the open batch begins.
    from: i64,
    cursor: Cursor,
    /// Stop here.
    until: Option<i64>,
    at_end: bool,
    done: bool,
    decoder: Decoder,
}

pub(crate) struct Reader {
    // Dropped before its consumer.
    queue: ConsumerQueue,
    consumer: BaseConsumer<Context>,
    watch: Watch,
    topic: String,
    topic_id: String,
    schema: Arc<SourceSchema>,
    absence: Arc<Absence>,
    limits: BatchLimits,
    bounded: bool,
    wants_headers: bool,
    watch_interval: Duration,
    partitions: BTreeMap<i32, Partition>,
    /// Of the open batch.
    bytes: usize,
    messages: usize,
    /// Bytes of its largest message: how many may be taken at once.
    largest: usize,
    opened: Option<Instant>,
    last_message: Instant,
    bare_since: Option<Instant>,
    wanted: bool,
    closing: bool,
    /// An answer has excluded a loss.
    verified: bool,
    /// New partitions of a bounded stream, whose start is not known yet, with their ends.
    pending: BTreeMap<i32, i64>,
    ask_at: Instant,
    missing: u32,
    suspicions: u32,
    out_of_range: bool,
    away: Option<Away>,
}

/// Why the loop ends.
enum End {
    /// Everything was handed over, or nobody listens.
    Done,
    Failed(SourceError),
}

impl From<SourceError> for End {
    fn from(error: SourceError) -> Self {
        Self::Failed(error)
    }
}

/// What a reader is to read.
pub(crate) struct Task<'a> {
    pub topic: &'a str,
    /// The id of the topic that the positions are of; empty where the broker does not tell.
    pub topic_id: &'a str,
    pub from: BTreeMap<i32, Position>,
    pub schema: Arc<SourceSchema>,
    pub limits: BatchLimits,
    pub until: Option<BTreeMap<i32, i64>>,
}

impl Reader {
    pub(crate) fn new(config: &KafkaConfig, task: Task<'_>, watch: Watch) -> Result<Self, SourceError> {
        let Task { topic, topic_id, from, schema, limits, until } = task;
        let consumer: BaseConsumer<Context> =
            config.consumer().create_with_context(Context::default()).map_err(|e| config_error(&e))?;
        let watch_interval = config
            .properties
            .get("topic.metadata.refresh.interval.ms")
            .and_then(|ms| ms.parse().ok())
            .map_or(WATCH_INTERVAL, |ms: u64| Duration::from_millis(ms.max(100)));
        let queue = ConsumerQueue::of(consumer.client())
            .ok_or_else(|| SourceError::Internal { reason: "a consumer without a queue".into() })?;
        let mut reader = Self {
            queue,
            consumer,
            watch,
            topic: topic.to_string(),
            topic_id: topic_id.to_string(),
            absence: Arc::new(Absence::new(&schema)),
            wants_headers: schema.includes.iter().any(|(kind, _)| *kind == IncludeKind::Headers),
            schema,
            limits: BatchLimits { bytes_max: limits.bytes_max.clamp(1, BYTES_MAX), ..limits },
            bounded: until.is_some(),
            watch_interval,
            partitions: BTreeMap::new(),
            bytes: 0,
            messages: 0,
            largest: 0,
            opened: None,
            last_message: Instant::now(),
            bare_since: None,
            wanted: false,
            closing: false,
            verified: false,
            pending: BTreeMap::new(),
            ask_at: Instant::now(),
            missing: 0,
            suspicions: 0,
            out_of_range: false,
            away: None,
        };
        for (partition, position) in from {
            // A partition that the end was not fixed for is not read.
            let end = until.as_ref().map(|until| until.get(&partition).copied());
            if end != Some(None) {
                reader.add(partition, position, end.flatten())?;
            }
        }
        reader.pending = until.unwrap_or_default();
        reader.pending.retain(|partition, _| !reader.partitions.contains_key(partition));
        reader.assign()?;
        Ok(reader)
    }

    /// Starts the thread.
    pub(crate) fn spawn(self, orders: blocking::Receiver<Order>, out: Out) -> Result<(), SourceError> {
        let run = move || {
            let mut reader = self;
            if let Err(End::Failed(error)) = reader.run(&orders, &out) {
                // Nobody may be listening any more.
                let _ = out.blocking_send(Err(error));
            }
        };
        let thread = thread::Builder::new().name("kafka-read".into()).spawn(run);
        thread.map(|_| ()).map_err(|e| SourceError::Internal { reason: format!("no thread: {e}") })
    }

    fn run(&mut self, orders: &blocking::Receiver<Order>, out: &Out) -> Result<(), End> {
        loop {
            self.take_orders(orders)?;
            self.take_answer()?;
            if self.closing && !self.verified {
                return Ok(());
            }
            if self.verified && (self.closing || self.is_finished()) {
                return self.hand_over(out);
            }
            if self.wanted && self.verified && self.is_due() {
                self.hand_over(out)?;
            }
            if Instant::now() >= self.ask_at {
                self.watch.ask(self.positions());
                self.ask_at = Instant::now() + self.watch_interval;
            }
            if self.is_full() {
                self.wait_for_order(orders)?;
            } else {
                self.poll()?;
            }
        }
    }

    fn take_orders(&mut self, orders: &blocking::Receiver<Order>) -> Result<(), End> {
        loop {
            match orders.try_recv() {
                Ok(order) => self.obey(&order),
                Err(blocking::TryRecvError::Empty) => return Ok(()),
                Err(blocking::TryRecvError::Disconnected) => return Err(End::Done),
            }
        }
    }

    fn wait_for_order(&mut self, orders: &blocking::Receiver<Order>) -> Result<(), End> {
        match orders.recv_timeout(POLL) {
            Ok(order) => self.obey(&order),
            Err(blocking::RecvTimeoutError::Timeout) => {}
            Err(blocking::RecvTimeoutError::Disconnected) => return Err(End::Done),
        }
        Ok(())
    }

    fn obey(&mut self, order: &Order) {
        match order {
            Order::Batch => self.wanted = true,
            Order::Close => self.closing = true,
        }
    }

    fn is_full(&self) -> bool {
        self.bytes >= self.limits.bytes_max || self.messages >= MESSAGES_MAX
    }

    fn is_due(&self) -> bool {
        if self.messages == 0 {
            return self.bare_since.is_some_and(|since| since.elapsed() >= BARE_POSITIONS_AFTER);
        }
        // Nobody waits for the rows of a bounded stream, fewer and larger batches are better; unless a broker is away.
        let aged = !self.bounded || self.away.is_some();
        let old = aged && self.opened.is_some_and(|opened| opened.elapsed() >= self.limits.interval);
        let idle =
            self.last_message.elapsed() >= self.limits.idle && self.partitions.values().all(|p| p.at_end || p.done);
        self.is_full() || old || idle
    }

    fn is_finished(&self) -> bool {
        self.bounded && self.pending.is_empty() && self.partitions.values().all(|p| p.done)
    }

    fn hand_over(&mut self, out: &Out) -> Result<(), End> {
        let Some(batch) = self.close_batch()? else { return Ok(()) };
        self.wanted = false;
        out.blocking_send(Ok(batch)).map_err(|_| End::Done)
    }

    /// What was read since the last batch; `None` if no position moved.
    fn close_batch(&mut self) -> Result<Option<SourceBatch>, SourceError> {
        self.refresh_positions();
        let mut partitions = BTreeMap::new();
        for (id, partition) in &mut self.partitions {
            if partition.cursor.next <= partition.from {
                continue;
            }
            let decoded = partition.decoder.finish()?;
            let part = PartitionBatch {
                from: partition.from.into(),
                to: partition.cursor.next.into(),
                facts: place::facts(partition.cursor.epoch),
                delivered: decoded.messages,
                rows: decoded.rows,
                errors: decoded.errors,
                kept: decoded.kept,
            };
            partition.from = partition.cursor.next;
            partitions.insert((*id).into(), part);
        }
        let bytes = std::mem::take(&mut self.bytes);
        self.messages = 0;
        self.largest = 0;
        self.opened = None;
        self.bare_since = None;
        Ok((!partitions.is_empty()).then_some(SourceBatch { partitions, bytes }))
    }

    /// Extends positions past what is never delivered: control records and aborted transactions.
    fn refresh_positions(&mut self) {
        let Ok(told) = self.consumer.position() else { return };
        for (id, offset, epoch) in ffi::positions(&told) {
            let Some(partition) = self.partitions.get_mut(&id).filter(|p| !p.done) else { continue };
            partition.cursor.moved_to(offset, epoch);
            partition.done = partition.until.is_some_and(|until| partition.cursor.next >= until || partition.at_end);
        }
        if self.messages == 0 && self.partitions.values().any(|p| p.cursor.next > p.from) {
            self.bare_since.get_or_insert_with(Instant::now);
        }
    }

    fn positions(&self) -> BTreeMap<i32, i64> {
        self.partitions.iter().map(|(id, partition)| (*id, partition.cursor.next)).collect()
    }

    fn add(&mut self, partition: i32, position: Position, until: Option<i64>) -> Result<(), SourceError> {
        let decoder = Decoder::sharing(Arc::clone(&self.schema), Arc::clone(&self.absence))?;
        let state = Partition {
            from: position.offset,
            cursor: Cursor::at(position.offset, position.epoch),
            until,
            at_end: false,
            done: until.is_some_and(|until| position.offset >= until),
            decoder,
        };
        self.partitions.insert(partition, state);
        Ok(())
    }

    /// (Re)starts fetching every partition that is not done where it stands.
    fn assign(&self) -> Result<(), SourceError> {
        let other = |e: KafkaError| SourceError::Other { topic: self.topic.clone(), reason: e.to_string() };
        let mut list = TopicPartitionList::with_capacity(self.partitions.len());
        for (id, partition) in self.partitions.iter().filter(|(_, p)| !p.done) {
            list.add_partition_offset(&self.topic, *id, Offset::Offset(partition.cursor.next)).map_err(other)?;
            if let Some(epoch) = partition.cursor.epoch {
                ffi::set_leader_epoch(&mut list, *id, epoch);
            }
        }
        self.consumer.assign(&list).map_err(other)
    }

    /// A burst of messages, or a short wait for the first.
    fn poll(&mut self) -> Result<(), End> {
        let before = self.messages;
        let mut wait = POLL;
        let mut ends_moved = false;
        let mut failures = Vec::new();
        for _ in 0..BURST {
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    let mut intake = Intake {
                        partitions: &mut self.partitions,
                        topic: &self.topic,
                        wants_headers: self.wants_headers,
                    };
                    if let Some(bytes) = intake.take(View::of(&message))? {
                        self.bytes += bytes;
                        self.messages += 1;
                        self.largest = self.largest.max(bytes);
                    }
                    drop(message);
                    self.take_burst(&mut ends_moved, &mut failures)?;
                    if !failures.is_empty() {
                        break;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(id))) => {
                    let mut intake = Intake {
                        partitions: &mut self.partitions,
                        topic: &self.topic,
                        wants_headers: self.wants_headers,
                    };
                    intake.ended(id, None);
                    ends_moved = true;
                }
                Some(Err(error)) => {
                    failures.push(error);
                    break;
                }
            }
            wait = Duration::ZERO;
            if self.is_full() {
                break;
            }
        }
        if self.messages > before {
            self.last_message = Instant::now();
            self.opened.get_or_insert(self.last_message);
        }
        if self.messages > before || ends_moved {
            self.note_back();
        }
        if ends_moved {
            self.refresh_positions();
        }
        failures.iter().try_for_each(|error| self.fetch_failed(error))
    }
}

impl Reader {
    /// Takes most of what waits behind the last message at once.
    fn take_burst(&mut self, ends_moved: &mut bool, failures: &mut Vec<KafkaError>) -> Result<(), SourceError> {
        // librdkafka queues the event of a broker that goes away last, and only `poll` handles it.
        let room = self.limits.bytes_max.saturating_sub(self.bytes) / self.largest.max(MESSAGE_COST);
        let room = room.min(MESSAGES_MAX.saturating_sub(self.messages)).min(TAKEN_MAX);
        let most = self.queue.len().saturating_sub(LEFT_TO_POLL).min(room);
        if most < TAKEN_MIN {
            return Ok(());
        }
        let mut intake =
            Intake { partitions: &mut self.partitions, topic: &self.topic, wants_headers: self.wants_headers };
        for message in self.queue.take(most).messages() {
            match message.error() {
                None => {
                    if let Some(bytes) = intake.take(message)? {
                        self.bytes += bytes;
                        self.messages += 1;
                        self.largest = self.largest.max(bytes);
                    }
                }
                Some(RDKafkaErrorCode::PartitionEOF) => {
                    intake.ended(message.partition(), Some(message.offset()));
                    *ends_moved = true;
                }
                Some(code) => {
                    intake.failed(message.partition());
                    failures.push(match code {
                        RDKafkaErrorCode::Fatal => KafkaError::MessageConsumptionFatal(code),
                        code => KafkaError::MessageConsumption(code),
                    });
                }
            }
        }
        Ok(())
    }
}

/// The part of the reader that a borrowed message may touch.
struct Intake<'r> {
    partitions: &'r mut BTreeMap<i32, Partition>,
    topic: &'r str,
    wants_headers: bool,
}

impl Intake<'_> {
    /// Every message that existed at the fetch has been read; `end`, where it is known, is the offset behind them.
    fn ended(&mut self, id: i32, end: Option<i64>) {
        if let Some(partition) = self.partitions.get_mut(&id).filter(|p| !p.done) {
            partition.at_end = true;
            match end {
                Some(end) => partition.cursor.ended_at(end),
                None => partition.cursor.ended(),
            }
        }
    }

    fn failed(&mut self, id: i32) {
        if let Some(partition) = self.partitions.get_mut(&id) {
            partition.cursor.failed();
        }
    }

    /// Decodes a message and says what it costs; `None` for one that is not to be read.
    fn take(&mut self, message: View<'_>) -> Result<Option<usize>, SourceError> {
        let (id, offset) = (message.partition(), message.offset());
        let Some(partition) = self.partitions.get_mut(&id).filter(|p| !p.done) else { return Ok(None) };
        if offset < partition.cursor.next {
            // Fetched before the last assignment: it was decoded then.
            return Ok(None);
        }
        partition.at_end = false;
        if let Some(until) = partition.until.filter(|until| offset >= *until) {
            // Everything before it has come.
            partition.cursor.next = partition.cursor.next.max(until);
            partition.done = true;
            return Ok(None);
        }
        let headers = if self.wants_headers { message.headers() } else { Vec::new() };
        partition.decoder.push(&MessageRef {
            topic: self.topic,
            partition: id,
            offset,
            timestamp_ms: message.timestamp_ms(),
            key: message.key(),
            payload: message.payload(),
            headers: &headers,
        })?;
        partition.cursor.decoded(offset, message.leader_epoch());
        partition.done = partition.until.is_some_and(|until| partition.cursor.next >= until);
        let in_headers: usize = headers.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len)).sum();
        let in_body = message.key().map_or(0, <[u8]>::len) + message.payload().map_or(0, <[u8]>::len);
        Ok(Some(MESSAGE_COST + in_body + in_headers))
    }
}
