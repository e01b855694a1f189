//! The ceiling of reading a topic: the same client with the same settings, which polls and does nothing else.
//!
//!     poll_only BROKERS TOPIC EVENTS
//!
//! Reads every partition from its first to its last message; fails unless there were EVENTS. A peer of `bench/`.
//!
//! Not here: decoding, positions, losses.

use ingot_source::KafkaConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [brokers, topic, events] = args.as_slice() else {
        return Err("poll_only BROKERS TOPIC EVENTS".into());
    };
    let events: u64 = events.parse()?;
    let ours = KafkaConfig { properties: BTreeMap::from([("bootstrap.servers".to_string(), brokers.clone())]) };
    let mut config = ClientConfig::new();
    for (name, value) in ours.reading() {
        config.set(name, value);
    }
    let consumer: BaseConsumer = config.create()?;
    let metadata = consumer.fetch_metadata(Some(topic), WAIT)?;
    let partitions: Vec<i32> = metadata.topics().iter().flat_map(|t| t.partitions().iter().map(|p| p.id())).collect();
    let mut list = TopicPartitionList::new();
    for partition in &partitions {
        list.add_partition_offset(topic, *partition, Offset::Beginning)?;
    }
    let started = Instant::now();
    consumer.assign(&list)?;
    let (mut messages, mut bytes, mut ended) = (0u64, 0usize, 0usize);
    while ended < partitions.len() {
        match consumer.poll(WAIT) {
            Some(Ok(message)) => {
                messages += 1;
                bytes += message.payload_len();
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => return Err(error.into()),
            None => return Err("nothing came for ten seconds".into()),
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{messages} messages, {bytes} bytes in {seconds:.2} s, {:.0} messages/s", messages as f64 / seconds);
    if messages == events { Ok(()) } else { Err(format!("{messages} messages, not {events}").into()) }
}
