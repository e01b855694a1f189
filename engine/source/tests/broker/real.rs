//! What the embedded broker lacks: transactions, retention, deleted topics, new partitions. These run against the
//! broker that INGOT_TEST_KAFKA names (`host:port`), and are skipped without it.

use super::{follow, next, number, positions, schema};
use ingot_source::*;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

fn config() -> Option<KafkaConfig> {
    let Ok(brokers) = std::env::var("INGOT_TEST_KAFKA") else {
        eprintln!("skipped: INGOT_TEST_KAFKA is not set");
        return None;
    };
    let properties = [("bootstrap.servers", brokers.as_str()), ("topic.metadata.refresh.interval.ms", "1000")];
    Some(KafkaConfig { properties: properties.map(|(k, v)| (k.to_string(), v.to_string())).into_iter().collect() })
}

fn client(config: &KafkaConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &config.properties["bootstrap.servers"]);
    client
}

fn admin(config: &KafkaConfig) -> AdminClient<DefaultClientContext> {
    client(config).create().unwrap()
}

/// A topic nobody used before.
async fn topic(config: &KafkaConfig, name: &str, partitions: i32) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    let topic = format!("{name}-{now}");
    assert!(ensure_topic(config, &topic, partitions).await.unwrap());
    assert!(!ensure_topic(config, &topic, partitions).await.unwrap());
    topic
}

fn send(producer: &BaseProducer, topic: &str, count: usize) {
    for n in 0..count {
        let payload = format!("{{\"id\":\"{n}\"}}");
        producer.send(BaseRecord::to(topic).key("k").payload(&payload)).unwrap();
    }
    producer.flush(Duration::from_secs(10)).unwrap();
}

fn transactional(config: &KafkaConfig, id: &str) -> BaseProducer {
    let producer: BaseProducer = client(config).set("transactional.id", id).create().unwrap();
    producer.init_transactions(Duration::from_secs(10)).unwrap();
    producer
}

fn limits() -> BatchLimits {
    super::limits()
}

async fn connect(config: &KafkaConfig, topic: &str) -> KafkaSource {
    KafkaSource::connect(config, topic, &|_| {}).await.unwrap()
}

/// The coordinator answers before it wrote the markers: waits until the log's stable end is where it must be.
async fn wait_for_end(source: &KafkaSource, end: i64) -> BTreeMap<i32, i64> {
    let end = BTreeMap::from([(0, end)]);
    for _ in 0..100 {
        if source.end_offsets().await.unwrap() == end {
            return end;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the log ends at {:?}", source.end_offsets().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_committed_messages_are_read_and_markers_are_passed() {
    let Some(config) = config() else { return };
    let topic = topic(&config, "transactions", 1).await;
    let patience = Duration::from_secs(10);
    let first = transactional(&config, &format!("{topic}-1"));
    for commit in [true, false, true] {
        first.begin_transaction().unwrap();
        send(&first, &topic, 3);
        if commit { first.commit_transaction(patience).unwrap() } else { first.abort_transaction(patience).unwrap() }
    }
    first.begin_transaction().unwrap();
    send(&first, &topic, 3);
    let plain: BaseProducer = client(&config).create().unwrap();
    send(&plain, &topic, 3);

    let source = connect(&config, &topic).await;
    let end = wait_for_end(&source, 12).await;
    assert_eq!(source.watermarks().await.unwrap(), BTreeMap::from([(0, (0, 18))]));
    let mut at = BTreeMap::from([(0, 0)]);
    let mut stream = source.read(positions(at.clone()), schema(), limits(), Some(end.clone())).unwrap();
    let mut delivered = 0;
    while let Some(batch) = next(&mut stream).await {
        assert_eq!(batch.partitions[&0.into()].facts["epoch"], 0);
        delivered += follow(&mut at, &batch);
    }
    assert_eq!((delivered, at.clone()), (6, end));

    // The open transaction is aborted: what stood behind it becomes visible, and its marker ends the log.
    first.abort_transaction(patience).unwrap();
    let end = wait_for_end(&source, 19).await;
    let from = BTreeMap::from([(0, Position { offset: at[&0], epoch: Some(0) })]);
    let mut stream = source.read(from, schema(), limits(), None).unwrap();
    let batch = next(&mut stream).await.unwrap();
    assert_eq!(follow(&mut at, &batch), 3);
    stream.close();
    let mut rest = 0;
    while let Some(batch) = next(&mut stream).await {
        rest += follow(&mut at, &batch);
    }
    assert_eq!((rest, at), (0, end));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_transaction_alone_moves_the_position() {
    let Some(config) = config() else { return };
    let topic = topic(&config, "aborted", 1).await;
    let producer = transactional(&config, &topic);
    producer.begin_transaction().unwrap();
    send(&producer, &topic, 5);
    producer.abort_transaction(Duration::from_secs(10)).unwrap();
    let source = connect(&config, &topic).await;
    let end = wait_for_end(&source, 6).await;
    let from = positions(BTreeMap::from([(0, 0)]));
    let mut stream = source.read(from, schema(), limits(), Some(end.clone())).unwrap();
    let batch = next(&mut stream).await.unwrap();
    let part = &batch.partitions[&0.into()];
    assert_eq!((number(&part.from), number(&part.to), part.delivered), (0, 6, 0));
    assert_eq!(number(&part.to), end[&0]);
    assert!(next(&mut stream).await.is_none());

    // A stream without an end gives the move soon, unasked: the table records it before retention takes the markers.
    let mut stream = source.read(positions(BTreeMap::from([(0, 0)])), schema(), limits(), None).unwrap();
    let batch = next(&mut stream).await.unwrap();
    assert_eq!((number(&batch.partitions[&0.into()].to), batch.delivered()), (6, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_created_again_is_a_loss() {
    let Some(config) = config() else { return };
    let topic = topic(&config, "recreated", 1).await;
    let plain: BaseProducer = client(&config).create().unwrap();
    send(&plain, &topic, 10);
    let source = connect(&config, &topic).await;
    let before = source.info().topic_id.clone();
    assert_eq!(before.len(), 22, "{before}");
    let mut at = BTreeMap::from([(0, 0)]);
    let mut stream = source.read(positions(at.clone()), schema(), limits(), None).unwrap();
    assert_eq!(follow(&mut at, &next(&mut stream).await.unwrap()), 10);
    let admin = admin(&config);
    admin.delete_topics(&[&topic], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    ensure_topic(&config, &topic, 1).await.unwrap();
    let plain: BaseProducer = client(&config).create().unwrap();
    send(&plain, &topic, 20);
    let error = tokio::time::timeout(Duration::from_secs(30), stream.next()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), "S0102", "{error}");
    let after = source.topic_id().await.unwrap();
    assert!(offsets::is_recreated(&before, &after));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_topic_is_a_loss() {
    let Some(config) = config() else { return };
    let topic = topic(&config, "deleted", 1).await;
    let source = connect(&config, &topic).await;
    let mut stream = source.read(positions(BTreeMap::from([(0, 0)])), schema(), limits(), None).unwrap();
    let quiet = tokio::time::timeout(Duration::from_secs(1), stream.next()).await;
    assert!(quiet.is_err());
    admin(&config).delete_topics(&[&topic], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    let error = tokio::time::timeout(Duration::from_secs(30), stream.next()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), "S0109", "{error}");
    let error = KafkaSource::connect(&config, &topic, &|_| {}).await.err().unwrap();
    assert_eq!((error.code(), error.retryable()), ("S0106", true));
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_offsets_are_a_loss() {
    let Some(config) = config() else { return };
    let topic = topic(&config, "expired", 1).await;
    let plain: BaseProducer = client(&config).create().unwrap();
    send(&plain, &topic, 10);
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&topic, 0, Offset::Offset(4)).unwrap();
    admin(&config).delete_records(&before, &AdminOptions::new()).await.unwrap();
    let source = connect(&config, &topic).await;
    assert_eq!(source.start_offsets(&Start::Earliest).await.unwrap(), BTreeMap::from([(0, 4)]));
    let mut stream = source.read(positions(BTreeMap::from([(0, 2)])), schema(), limits(), None).unwrap();
    let error = tokio::time::timeout(Duration::from_secs(30), stream.next()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), "S0101");
    assert!(error.to_string().contains("lost offsets 2 to 3"), "{error}");
    let mut at = BTreeMap::from([(0, 4)]);
    let mut stream = source.read(positions(at.clone()), schema(), limits(), None).unwrap();
    assert_eq!(follow(&mut at, &next(&mut stream).await.unwrap()), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_added_while_reading_are_read() {
    let Some(config) = config() else { return };
    let topic = topic(&config, "grown", 1).await;
    let source = connect(&config, &topic).await;
    let mut at = BTreeMap::from([(0, 0), (1, 0), (2, 0)]);
    let mut stream = source.read(positions(BTreeMap::from([(0, 0)])), schema(), limits(), None).unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(1), stream.next()).await.is_err());
    let grown = admin(&config).create_partitions(&[NewPartitions::new(&topic, 3)], &AdminOptions::new()).await;
    grown.unwrap().remove(0).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut fleet = Fleet::new(FleetConfig::default());
    let report = produce::produce(&config, &topic, 3_000, None, &mut fleet, &|_| {}, &AtomicBool::new(false)).unwrap();
    let mut delivered = 0;
    while delivered < report.events {
        delivered += follow(&mut at, &next(&mut stream).await.unwrap());
    }
    assert_eq!((delivered, at), (3_000, source.end_offsets().await.unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_by_time_finds_its_offset() {
    let Some(config) = config() else { return };
    let topic = topic(&config, "timed", 1).await;
    let plain: BaseProducer = client(&config).create().unwrap();
    for ms in [1_000, 2_000, 3_000] {
        plain.send(BaseRecord::to(&topic).key("k").payload("{}").timestamp(ms)).unwrap();
    }
    plain.flush(Duration::from_secs(10)).unwrap();
    let source = connect(&config, &topic).await;
    for (ms, offset) in [(0, 0), (1_500, 1), (3_000, 2), (9_000, 3)] {
        assert_eq!(source.start_offsets(&Start::Timestamp(ms)).await.unwrap(), BTreeMap::from([(0, offset)]), "{ms}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: run it alone, with --nocapture"]
async fn throughput() {
    let Some(config) = config() else { return };
    let topic = topic(&config, "throughput", 4).await;
    let mut fleet = Fleet::new(FleetConfig { malformed: 0.01, duplicates: 0.02, late: 0.01, ..FleetConfig::default() });
    let report =
        produce::produce(&config, &topic, 2_000_000, None, &mut fleet, &|_| {}, &AtomicBool::new(false)).unwrap();
    println!("produced {:.0} events/s, {} bytes an event", report.events_per_second(), report.bytes / report.events);
    let source = connect(&config, &topic).await;
    let start = source.start_offsets(&Start::Earliest).await.unwrap();
    let end = source.end_offsets().await.unwrap();
    let mut at = start.clone();
    let started = std::time::Instant::now();
    let mut stream = source.read(positions(start), schema(), BatchLimits::default(), Some(end.clone())).unwrap();
    let (mut delivered, mut batches) = (0, 0);
    while let Some(batch) = next(&mut stream).await {
        delivered += follow(&mut at, &batch);
        batches += 1;
    }
    println!("read {:.0} events/s in {batches} batches", delivered as f64 / started.elapsed().as_secs_f64());
    assert_eq!((delivered, at), (2_000_000, end));
}
