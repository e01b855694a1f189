//! A topic: what it is, where it starts and ends, and its messages as batches.
//!
//! Invariants
//! * Messages are read by assignment from given positions, never from a consumer group's offsets.
//! * Async calls never block their executor.
//!
//! Not here: the poll loop (`reader`), decisions about losses (`offsets`).

use crate::batch::{BatchLimits, BatchStream};
use crate::decode::schema::SourceSchema;
use crate::error::SourceError;
use crate::kafka::client::{CALL, TopicClient, TopicInfo, backoff, warn_waiting};
use crate::kafka::config::{KafkaConfig, Start};
use crate::kafka::facts::KafkaFacts;
use crate::kafka::ffi::OffsetSpec;
use crate::kafka::offsets::{Position, Watermarks};
use crate::kafka::reader::{Reader, Task};
use crate::kafka::watch::Watch;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc as blocking;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

/// A topic that can be read. Clones share a connection.
#[derive(Clone)]
pub struct KafkaSource {
    config: Arc<KafkaConfig>,
    client: Arc<TopicClient>,
    info: Arc<TopicInfo>,
}

impl KafkaSource {
    /// Connects, waiting for a broker that is away for as long as the caller does. `on_wait` hears the reason of each
    /// failed attempt.
    ///
    /// # Errors
    /// A configuration that librdkafka refuses, a broker that refuses us, a topic that does not exist.
    pub async fn connect(
        config: &KafkaConfig,
        topic: &str,
        on_wait: &(dyn Fn(&SourceError) + Send + Sync),
    ) -> Result<Self, SourceError> {
        let client = TopicClient::new(config, topic)?;
        let mut attempt = 0;
        loop {
            let asking = Arc::clone(&client);
            match blocking_call(move || asking.describe()).await {
                Ok(info) => {
                    return Ok(Self { config: Arc::new(config.clone()), client, info: Arc::new(info) });
                }
                Err(error @ SourceError::Unavailable { .. }) => {
                    let pause = backoff(attempt);
                    warn_waiting(topic, &error.to_string(), pause);
                    on_wait(&error);
                    tokio::time::sleep(pause).await;
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.client.topic
    }

    /// The topic as it was when the connection was made.
    pub fn info(&self) -> &TopicInfo {
        &self.info
    }

    /// The topic as it is now.
    pub async fn describe(&self) -> Result<TopicInfo, SourceError> {
        self.ask(TopicClient::describe).await
    }

    /// The topic's id now; empty where the broker does not tell. To be compared (`offsets::is_recreated`) before a
    /// commit: librdkafka goes on reading a topic that was deleted and created again at the old offsets.
    pub async fn topic_id(&self) -> Result<String, SourceError> {
        self.ask(TopicClient::topic_id).await
    }

    /// Where `start` is in each partition.
    pub async fn start_offsets(&self, start: &Start) -> Result<BTreeMap<i32, i64>, SourceError> {
        let start = *start;
        self.ask(move |client| {
            let partitions = client.partitions()?;
            match start {
                Start::Earliest => client.offsets(&partitions, OffsetSpec::Earliest),
                Start::Latest => client.offsets(&partitions, OffsetSpec::Latest),
                Start::Timestamp(ms) => {
                    let ends = client.offsets(&partitions, OffsetSpec::Latest)?;
                    let mut found = client.offsets(&partitions, OffsetSpec::Timestamp(ms))?;
                    for (partition, offset) in &mut found {
                        if *offset < 0 {
                            *offset = ends.get(partition).copied().unwrap_or(0);
                        }
                    }
                    Ok(found)
                }
            }
        })
        .await
    }

    /// The end of each partition: under read_committed its last stable offset, so that an open transaction ends it.
    pub async fn end_offsets(&self) -> Result<BTreeMap<i32, i64>, SourceError> {
        self.ask(|client| client.offsets(&client.partitions()?, OffsetSpec::Latest)).await
    }

    /// The log of each partition as `[low, high)`, open transactions included.
    pub async fn watermarks(&self) -> Result<BTreeMap<i32, (i64, i64)>, SourceError> {
        self.ask(|client| {
            let told = all_told(client, client.watermarks(&client.partitions()?)?)?;
            Ok(told.into_iter().map(|(partition, marks)| (partition, (marks.low, marks.high))).collect())
        })
        .await
    }

    /// What the topic is now, and the log of every partition.
    ///
    /// # Errors
    /// A partition whose leader does not answer among them.
    pub async fn facts(&self) -> Result<KafkaFacts, SourceError> {
        self.ask(|client| {
            let info = client.describe()?;
            let told = client.watermarks(&info.partitions)?;
            Ok(KafkaFacts { topic: client.topic.clone(), log: all_told(client, told)?, info })
        })
        .await
    }

    /// Whether compaction may take messages from the middle of the log. A broker that does not tell says no.
    pub async fn is_compacted(&self) -> bool {
        let Ok(admin) = self.config.metadata().create::<AdminClient<DefaultClientContext>>() else { return false };
        let options = AdminOptions::new().request_timeout(Some(CALL));
        let told = admin.describe_configs([&ResourceSpecifier::Topic(self.topic())], &options).await;
        let policy = |topic: &ConfigResource| {
            topic
                .entry_map()
                .get("cleanup.policy")
                .is_some_and(|e| e.value.as_ref().is_some_and(|policy| policy.contains("compact")))
        };
        told.is_ok_and(|topics| topics.iter().flatten().any(policy))
    }

    /// Reads on from positions. Partitions that are not among them are new and start where their log does.
    ///
    /// With `until` only its partitions are read, and each up to its offset; without, the stream never ends by itself.
    ///
    /// # Errors
    /// What librdkafka refuses.
    pub fn read(
        &self,
        from: BTreeMap<i32, Position>,
        schema: Arc<SourceSchema>,
        limits: BatchLimits,
        until: Option<BTreeMap<i32, i64>>,
    ) -> Result<BatchStream, SourceError> {
        let (order, orders) = blocking::channel();
        let (batch, batches) = mpsc::channel(1);
        let watch = Watch::start(Arc::clone(&self.client))?;
        let task = Task { topic: self.topic(), topic_id: &self.info.topic_id, from, schema, limits, until };
        let reader = Reader::new(&self.config, task, watch)?;
        reader.spawn(orders, batch)?;
        Ok(BatchStream::new(order, batches))
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&TopicClient) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let client = Arc::clone(&self.client);
        blocking_call(move || question(&client)).await
    }
}

fn all_told(
    client: &TopicClient,
    told: BTreeMap<i32, Option<Watermarks>>,
) -> Result<BTreeMap<i32, Watermarks>, SourceError> {
    let each = told.into_iter().map(|(partition, marks)| match marks {
        Some(marks) => Ok((partition, marks)),
        None => Err(SourceError::Unavailable {
            topic: client.topic.clone(),
            reason: format!("the leader of partition {partition} did not answer"),
        }),
    });
    each.collect()
}

async fn blocking_call<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    let joined = spawn_blocking(call).await;
    joined.unwrap_or_else(|e| Err(SourceError::Internal { reason: format!("a call to the broker was cut off: {e}") }))
}
