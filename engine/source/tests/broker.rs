//! Producing to and reading from the embedded broker: ranges, limits, ends, waiting.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use ingot_dialect::ast::ColumnType;
use ingot_source::offsets::is_recreated;
use ingot_source::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

#[path = "broker/real.rs"]
mod real;

const TOPIC: &str = "events";

fn schema() -> Arc<SourceSchema> {
    let field = |name: &str, column_type: ColumnType| SourceField {
        name: name.into(),
        data_type: column_type_to_arrow(&column_type),
        column_type,
        path: None,
        key: name.into(),
        nullable: true,
        default: None,
    };
    Arc::new(SourceSchema {
        columns: vec![
            field("id", ColumnType::String(None)),
            field("battery", ColumnType::Double),
            field("ts", ColumnType::TimestampTz(None)),
        ],
        includes: vec![(IncludeKind::Offset, "_offset".into())],
        json: JsonOptions::default(),
        encoding: Encoding::Json,
        keep_messages: false,
    })
}

fn limits() -> BatchLimits {
    BatchLimits { bytes_max: 1 << 20, interval: Duration::from_millis(300), idle: Duration::from_millis(50) }
}

fn send(broker: &MockBroker, seed: u64, events: u64, malformed: f64) -> ProduceReport {
    let mut fleet = Fleet::new(FleetConfig { seed, malformed, ..FleetConfig::default() });
    produce::produce(&broker.config(), TOPIC, events, None, &mut fleet, &|_| {}, &AtomicBool::new(false)).unwrap()
}

async fn connect(broker: &MockBroker) -> KafkaSource {
    KafkaSource::connect(&broker.config(), TOPIC, &|_| {}).await.unwrap()
}

fn positions(offsets: BTreeMap<i32, i64>) -> BTreeMap<i32, Position> {
    offsets.into_iter().map(|(p, offset)| (p, Position { offset, epoch: None })).collect()
}

fn number(place: &ingot_model::Position) -> i64 {
    let ingot_model::Position::Number(number) = place else { panic!("{place}") };
    *number
}

/// Checks that a batch continues where the last one ended, and moves the ends on.
fn follow(at: &mut BTreeMap<i32, i64>, batch: &SourceBatch) -> u64 {
    for (partition, part) in &batch.partitions {
        let (from, to) = (number(&part.from), number(&part.to));
        let id = partition.as_str().parse().unwrap();
        assert_eq!(at.insert(id, to), Some(from), "partition {partition}");
        assert_eq!(part.delivered, (part.rows.num_rows() + part.errors.num_rows()) as u64);
        let rows = part.rows.column(3).as_primitive::<Int64Type>().values();
        let errors = part.errors.column(2).as_primitive::<Int64Type>().values();
        let mut offsets: Vec<i64> = rows.iter().chain(errors.iter()).copied().collect();
        offsets.sort_unstable();
        assert!(offsets.windows(2).all(|w| w[0] < w[1]));
        assert!(offsets.iter().all(|o| (from..to).contains(o)));
    }
    batch.delivered()
}

async fn next(stream: &mut BatchStream) -> Option<SourceBatch> {
    tokio::time::timeout(Duration::from_secs(30), stream.next()).await.expect("a batch in time").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn once_reads_exactly_up_to_the_end() {
    let broker = MockBroker::start().unwrap();
    broker.create_topic(TOPIC, 4).unwrap();
    let report = send(&broker, 1, 20_000, 0.1);
    assert_eq!(report.events, 20_000);
    let source = connect(&broker).await;
    let info = source.describe().await.unwrap();
    assert_eq!(info.partitions, [0, 1, 2, 3]);
    assert!(!info.topic_id.is_empty() && !info.cluster_id.is_empty(), "{info:?}");
    assert!(!is_recreated(&info.topic_id, &source.topic_id().await.unwrap()));
    let start = source.start_offsets(&Start::Earliest).await.unwrap();
    let end = source.end_offsets().await.unwrap();
    assert_eq!(end.values().sum::<i64>(), 20_000);
    assert_eq!(source.start_offsets(&Start::Latest).await.unwrap(), end);
    assert_eq!(source.watermarks().await.unwrap()[&0], (start[&0], end[&0]));
    send(&broker, 2, 1_000, 0.0);
    let mut stream = source.read(positions(start.clone()), schema(), limits(), Some(end.clone())).unwrap();
    let mut at = start;
    let (mut delivered, mut batches, mut errors) = (0, 0, 0);
    while let Some(batch) = next(&mut stream).await {
        assert!(batch.bytes < (1 << 20) + 1_000);
        delivered += follow(&mut at, &batch);
        errors += batch.partitions.values().map(|p| p.errors.num_rows()).sum::<usize>();
        batches += 1;
    }
    assert_eq!((at, delivered), (end, 20_000));
    assert!(batches > 2, "{batches}");
    assert!((1_500..2_500).contains(&errors), "{errors}");
    assert!(next(&mut stream).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_with_new_messages_and_closes() {
    let broker = MockBroker::start().unwrap();
    broker.create_topic(TOPIC, 2).unwrap();
    let source = connect(&broker).await;
    let start = source.start_offsets(&Start::Latest).await.unwrap();
    let mut at = start.clone();
    let mut stream = source.read(positions(start), schema(), limits(), None).unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(500), stream.next()).await;
    assert!(quiet.is_err(), "nothing was sent");
    for round in 1..=3 {
        send(&broker, round, 500, 0.0);
        let mut delivered = 0;
        while delivered < 500 {
            delivered += follow(&mut at, &next(&mut stream).await.unwrap());
        }
        assert_eq!(delivered, 500);
    }
    send(&broker, 9, 100, 0.0);
    tokio::time::sleep(Duration::from_millis(300)).await;
    stream.close();
    let mut last = 0;
    while let Some(batch) = next(&mut stream).await {
        last += follow(&mut at, &batch);
    }
    assert_eq!(last, 100);
    assert_eq!(at, source.end_offsets().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_caller_gets_bounded_batches_and_nothing_is_lost() {
    let broker = MockBroker::start().unwrap();
    broker.create_topic(TOPIC, 1).unwrap();
    send(&broker, 1, 30_000, 0.0);
    let source = connect(&broker).await;
    let start = source.start_offsets(&Start::Earliest).await.unwrap();
    let mut at = start.clone();
    let mut stream = source.read(positions(start), schema(), limits(), None).unwrap();
    let mut delivered = 0;
    while delivered < 30_000 {
        let batch = next(&mut stream).await.unwrap();
        assert!(batch.bytes < (1 << 20) + 1_000, "{}", batch.bytes);
        delivered += follow(&mut at, &batch);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(delivered, 30_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_outside_the_log_are_named_losses() {
    let broker = MockBroker::start().unwrap();
    broker.create_topic(TOPIC, 1).unwrap();
    send(&broker, 1, 10, 0.0);
    let source = connect(&broker).await;
    let ahead = BTreeMap::from([(0, Position { offset: 11, epoch: None })]);
    let mut stream = source.read(ahead, schema(), limits(), None).unwrap();
    let error = tokio::time::timeout(Duration::from_secs(30), stream.next()).await.unwrap().unwrap_err();
    let SourceError::Loss(loss) = &error else { panic!("{error}") };
    assert_eq!((loss.kind, loss.position, error.code()), (LossKind::MovedBack, Some(11), "S0104"));
    let gone = BTreeMap::from([(0, Position { offset: 0, epoch: None }), (7, Position { offset: 5, epoch: None })]);
    let mut stream = source.read(gone, schema(), limits(), None).unwrap();
    let error = tokio::time::timeout(Duration::from_secs(30), stream.next()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), "S0103", "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_waited_for() {
    let broker = MockBroker::start().unwrap();
    broker.create_topic(TOPIC, 1).unwrap();
    send(&broker, 1, 100, 0.0);
    let source = connect(&broker).await;
    let mut at = BTreeMap::from([(0, 0)]);
    let mut stream = source.read(positions(at.clone()), schema(), limits(), None).unwrap();
    assert_eq!(follow(&mut at, &next(&mut stream).await.unwrap()), 100);
    broker.set_down(true).unwrap();
    let waiting = tokio::time::timeout(Duration::from_secs(2), stream.next()).await;
    assert!(waiting.is_err(), "{waiting:?}");
    broker.set_down(false).unwrap();
    send(&broker, 2, 50, 0.0);
    assert_eq!(follow(&mut at, &next(&mut stream).await.unwrap()), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_an_error_and_a_missing_broker_is_waited_for() {
    let broker = MockBroker::start().unwrap();
    let nowhere = KafkaConfig { properties: BTreeMap::from([("bootstrap.servers".into(), "127.0.0.1:1".into())]) };
    let told = std::sync::atomic::AtomicUsize::new(0);
    let on_wait = |error: &SourceError| {
        assert_eq!(error.code(), "S0105");
        told.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    };
    let waiting = tokio::time::timeout(Duration::from_secs(8), KafkaSource::connect(&nowhere, TOPIC, &on_wait)).await;
    assert!(waiting.is_err() && told.load(std::sync::atomic::Ordering::Relaxed) > 0);
    drop(broker);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_partitions_start_at_their_beginning() {
    let broker = MockBroker::start().unwrap();
    broker.create_topic(TOPIC, 3).unwrap();
    send(&broker, 1, 3_000, 0.0);
    let source = connect(&broker).await;
    let end = source.end_offsets().await.unwrap();
    // Partition 2 is unknown to the table: once with an end, once without.
    let known = positions(BTreeMap::from([(0, 0), (1, 0)]));
    for until in [Some(end.clone()), None] {
        let mut at = BTreeMap::from([(0, 0), (1, 0), (2, 0)]);
        let mut stream = source.read(known.clone(), schema(), limits(), until).unwrap();
        while at != end {
            follow(&mut at, &next(&mut stream).await.unwrap());
        }
    }
}
