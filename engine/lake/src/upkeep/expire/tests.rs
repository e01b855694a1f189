//! Random histories: what is kept is enough for everybody who looks at it, and the rest goes.

use std::collections::{BTreeMap, BTreeSet};

use iceberg::spec::TableMetadata;
use ingot_model::{FlowPositions, PartitionRange, SourceIdentity, property};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::Table;
use crate::lake::Lake;
use crate::table::position::recorded_position;
use crate::tests::{create, lake, plain};

const PARTITIONS: i32 = 3;
const HOUR: i64 = 3_600_000;

/// What a snapshot of a made-up history does.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Rows, with the positions of the partitions that have a bit here.
    Rows(u8),
    /// Positions of all partitions and no rows.
    PositionsAlone,
    Rewrite,
    /// Another engine's rows.
    Foreign,
    /// The head goes back by so many snapshots; the next one stands on that.
    Back(u8),
}

fn steps() -> impl Strategy<Value = Vec<(Step, i64)>> {
    let step = prop_oneof![
        12 => (1u8..7).prop_map(Step::Rows),
        2 => Just(Step::PositionsAlone),
        1 => Just(Step::Rewrite),
        1 => Just(Step::Foreign),
        1 => (1u8..4).prop_map(Step::Back),
    ];
    // Mostly in a row, now and then after a pause.
    let pause = prop_oneof![8 => 1i64..60_000, 1 => HOUR / 2..2 * HOUR];
    proptest::collection::vec((step, pause), 40..160)
}

/// A history as metadata, the ids of its snapshots from 1 on, and the time of its last.
fn history(base: &TableMetadata, steps: &[(Step, i64)]) -> (TableMetadata, i64) {
    let mut json = serde_json::to_value(base).unwrap();
    let (mut all, mut log): (Vec<Value>, Vec<Value>) = (vec![], vec![]);
    let mut parents: BTreeMap<i64, Option<i64>> = BTreeMap::new();
    let mut ends = vec![0i64; PARTITIONS as usize];
    let mut head: Option<i64> = None;
    // In the past: metadata is never older than its last snapshot.
    let (mut now, mut since_full) = (base.last_updated_ms() - 24 * 90 * HOUR, 100);
    for (step, pause) in steps {
        now += pause;
        let id = all.len() as i64 + 1;
        let mut summary = BTreeMap::from([("operation".to_owned(), "append".to_owned())]);
        let mut moved = vec![];
        match step {
            Step::Back(by) => {
                for _ in 0..*by {
                    head = head.and_then(|id| parents[&id]).or(head);
                }
                if let Some(head) = head {
                    log.push(json!({"snapshot-id": head, "timestamp-ms": now}));
                }
                continue;
            }
            Step::Rows(bits) => moved.extend((0..PARTITIONS).filter(|p| bits & (1 << p) != 0)),
            Step::PositionsAlone => moved.extend(0..PARTITIONS),
            Step::Rewrite => {
                summary.insert("operation".to_owned(), "replace".to_owned());
            }
            Step::Foreign => {}
        }
        if !matches!(step, Step::PositionsAlone) {
            summary.insert("added-data-files".to_owned(), "1".to_owned());
        }
        if !matches!(step, Step::Foreign) {
            summary.insert(property::ENGINE_NAME.to_owned(), property::ENGINE.to_owned());
        }
        if !moved.is_empty() {
            since_full += 1;
            let full = since_full >= 9 || moved.len() == PARTITIONS as usize || head.is_none();
            since_full = if full { 0 } else { since_full };
            moved.iter().for_each(|p| ends[*p as usize] += 10);
            let listed = if full { (0..PARTITIONS).collect() } else { moved };
            let range = |p: i32| PartitionRange { to: ends[p as usize].into(), ..PartitionRange::default() };
            let positions = FlowPositions {
                v: 1,
                full,
                flow: "f".into(),
                source: SourceIdentity::default(),
                partitions: listed.into_iter().map(|p| (p.into(), range(p))).collect(),
            };
            summary.insert(property::POSITIONS.to_owned(), serde_json::to_string(&positions).unwrap());
        }
        let mut snapshot = json!({
            "snapshot-id": id, "sequence-number": id, "timestamp-ms": now, "schema-id": 0,
            "manifest-list": format!("{}/metadata/snap-{id}.avro", base.location()), "summary": summary,
        });
        if let Some(parent) = head {
            snapshot["parent-snapshot-id"] = parent.into();
        }
        parents.insert(id, head);
        log.push(json!({"snapshot-id": id, "timestamp-ms": now}));
        all.push(snapshot);
        head = Some(id);
    }
    json["last-sequence-number"] = (all.len() as i64).into();
    json["last-updated-ms"] = now.into();
    json["snapshots"] = all.into();
    json["snapshot-log"] = log.into();
    if let Some(head) = head {
        json["current-snapshot-id"] = head.into();
        json["refs"] = json!({"main": {"snapshot-id": head, "type": "branch"}});
    }
    (serde_json::from_value(json).unwrap(), now)
}

fn table(lake: &Lake, metadata: &TableMetadata, head: i64) -> Table {
    let mut json = serde_json::to_value(metadata).unwrap();
    json["current-snapshot-id"] = head.into();
    json["refs"]["main"]["snapshot-id"] = head.into();
    json["snapshot-log"] = json!([]);
    let metadata: TableMetadata = serde_json::from_value(json).unwrap();
    Table::new(lake.clone(), TableName::new("bronze", "t"), Arc::new(metadata), String::new()).unwrap()
}

/// The first snapshot with rows at or below one, as who compares what two tables stand on finds it.
fn rows_below(table: &Table, mut at: i64) -> i64 {
    while let Some(snapshot) = table.snapshot(at) {
        match snapshot.parent.filter(|p| table.snapshot(*p).is_some()) {
            Some(parent) if !moves_rows(&snapshot).unwrap() => at = parent,
            _ => break,
        }
    }
    at
}

fn without(metadata: &TableMetadata, gone: &[i64]) -> TableMetadata {
    metadata.clone().into_builder(None).remove_snapshots(gone).build().unwrap().metadata
}

/// Which snapshots were current at some time from `cutoff` on, by the log.
fn heads_since(metadata: &TableMetadata, cutoff: i64) -> BTreeSet<i64> {
    let log = metadata.history();
    let mut found: BTreeSet<i64> = log.iter().filter(|l| l.timestamp_ms() > cutoff).map(|l| l.snapshot_id).collect();
    found.extend(log.iter().rfind(|l| l.timestamp_ms() <= cutoff).map(|l| l.snapshot_id));
    found
}

#[tokio::test]
async fn what_is_kept_is_enough() {
    let (_folder, lake) = lake().await;
    let base = create(&lake, "t", plain()).await;
    let name = Arc::new(base.name().clone());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 150, ..ProptestConfig::default() });
    let pins = proptest::collection::btree_set(1i64..160, 0..3);
    let held = proptest::collection::btree_set(1i64..160, 0..2);
    let pins = (pins, held).prop_map(|(pins, held)| (&pins | &held, held));
    let input = (steps(), pins, prop_oneof![Just(HOUR / 4), Just(HOUR), Just(6 * HOUR)], 1i64..4 * HOUR);
    let forgot_any = std::cell::Cell::new(0);
    runner
        .run(&input, |(steps, (pinned, held), age, later)| {
            let (metadata, last) = history(base.metadata(), &steps);
            let Some(head) = metadata.current_snapshot_id() else { return Ok(()) };
            let now = last + later;
            let kept = Kept {
                asked: None,
                min_age: Duration::from_millis(age as u64),
                readers_max_age: Duration::from_millis(24 * HOUR as u64),
                as_of_ms: now,
                pinned: pinned.clone(),
                held: held.clone(),
            };
            let gone = expirable(&name, &metadata, &kept, now, BATCH).unwrap();
            forgot_any.set(forgot_any.get() + gone.len());
            let left = without(&metadata, &gone);
            prop_assert_eq!(left.current_snapshot_id(), Some(head));
            let cutoff = now - age;
            let young = metadata.snapshots().filter(|s| s.timestamp_ms() >= cutoff).map(|s| s.snapshot_id());
            let current = heads_since(&metadata, cutoff);
            let pinned = pinned.iter().copied().filter(|id| {
                let young = |s: &SnapshotRef| s.timestamp_ms() >= now - 24 * HOUR || held.contains(id);
                metadata.snapshot_by_id(*id).is_some_and(young)
            });
            let heads: BTreeSet<i64> = young.chain(current).collect();
            let looked_at: BTreeSet<i64> = heads.iter().copied().chain(pinned.clone()).collect();
            for id in &looked_at {
                prop_assert!(left.snapshot_by_id(*id).is_some(), "{} is gone", id);
                let (before, after) = (table(&lake, &metadata, *id), table(&lake, &left, *id));
                prop_assert_eq!(rows_below(&before, *id), rows_below(&after, *id));
            }
            // Where somebody rolls the table back to what was its head within the age, the position is still known.
            for id in ancestry(&left).map(|s| s.snapshot_id()).filter(|id| heads.contains(id)) {
                let key = FlowKey { flow: "f".into(), system: String::new(), incarnation: String::new() };
                let (before, after) = (table(&lake, &metadata, id), table(&lake, &left, id));
                let positions = |table| recorded_position(table, &key).map(|p| p.map(|p| p.ends()));
                prop_assert_eq!(positions(&before), positions(&after), "at {}", id);
            }
            if let Some(oldest) = pinned.min() {
                let since = metadata.snapshot_by_id(oldest).unwrap().sequence_number();
                for rewrite in metadata
                    .snapshots()
                    .filter(|s| s.sequence_number() >= since && s.summary().operation == Operation::Replace)
                {
                    let parent = rewrite.parent_snapshot_id();
                    prop_assert!(left.snapshot_by_id(rewrite.snapshot_id()).is_some());
                    prop_assert!(parent.is_none_or(|parent| left.snapshot_by_id(parent).is_some()));
                }
            }
            // Once more forgets nothing: what is left is needed, or too little to be worth it.
            prop_assert_eq!(expirable(&name, &left, &kept, now, BATCH).unwrap(), Vec::<i64>::new());
            prop_assert!(gone.is_empty() || gone.len() >= BATCH);
            Ok(())
        })
        .unwrap();
    let forgot = forgot_any.get();
    assert!(forgot > 1_000, "only {forgot} snapshots were forgotten in all");
}

#[tokio::test]
async fn branches_tags_and_properties_keep_theirs() {
    let (_folder, lake) = lake().await;
    let base = create(&lake, "t", plain()).await;
    let name = Arc::new(base.name().clone());
    let steps = vec![(Step::Rows(7), 1_000); 200];
    let (metadata, now) = history(base.metadata(), &steps);
    let mut json = serde_json::to_value(&metadata).unwrap();
    json["refs"]["audit"] = json!({"snapshot-id": 50, "type": "tag"});
    json["refs"]["work"] = json!({"snapshot-id": 20, "type": "branch"});
    let named: TableMetadata = serde_json::from_value(json.clone()).unwrap();
    let kept = Kept {
        asked: None,
        min_age: Duration::from_secs(10),
        readers_max_age: Duration::from_secs(60),
        as_of_ms: now,
        pinned: BTreeSet::from([100, 180]),
        held: BTreeSet::new(),
    };
    let left = |metadata: &TableMetadata| -> Vec<i64> {
        let gone = expirable(&name, metadata, &kept, now, BATCH).unwrap();
        let mut left: Vec<i64> = without(metadata, &gone).snapshots().map(|s| s.snapshot_id()).collect();
        left.sort_unstable();
        left
    };
    // 100 is read by somebody who has not come for longer than is waited.
    let wanted: Vec<i64> = (1..=20).chain([50, 180]).chain(190..=200).collect();
    assert_eq!(left(&named), wanted);
    // But for whoever could not go on without it.
    let held = Kept { held: BTreeSet::from([100]), ..kept.clone() };
    let gone = expirable(&name, &named, &held, now, BATCH).unwrap();
    assert!(!gone.contains(&100) && gone.contains(&101), "{gone:?}");
    json["properties"]["history.expire.min-snapshots-to-keep"] = "30".into();
    let counted: TableMetadata = serde_json::from_value(json.clone()).unwrap();
    let wanted: Vec<i64> = (1..=20).chain([50]).chain(171..=200).collect();
    assert_eq!(left(&counted), wanted);
    json["properties"]["history.expire.max-snapshot-age-ms"] = "100000".into();
    let aged: TableMetadata = serde_json::from_value(json).unwrap();
    let wanted: Vec<i64> = (1..=20).chain([50]).chain(100..=200).collect();
    assert_eq!(left(&aged), wanted);
    // Whoever has come since readers were looked at stands on what was current then.
    let unseen = Kept { as_of_ms: now - 30_000, ..kept };
    let gone = expirable(&name, &metadata, &unseen, now, BATCH).unwrap();
    assert!((170..=200).all(|id| !gone.contains(&id)), "{gone:?}");
    assert!(gone.contains(&169), "{gone:?}");
}

#[tokio::test]
async fn who_is_far_behind_finds_snapshots_to_go_on_by() {
    let (_folder, lake) = lake().await;
    let base = create(&lake, "t", plain()).await;
    let name = Arc::new(base.name().clone());
    const N: i64 = 2_000;
    let pinned = 100;
    let kept_of = |rows_each: i64| {
        let (metadata, now) = history(base.metadata(), &vec![(Step::Rows(7), 1_000); N as usize]);
        let mut json = serde_json::to_value(&metadata).unwrap();
        for snapshot in json["snapshots"].as_array_mut().unwrap() {
            let total = snapshot["snapshot-id"].as_i64().unwrap() * rows_each;
            snapshot["summary"]["total-records"] = total.to_string().into();
        }
        let metadata: TableMetadata = serde_json::from_value(json).unwrap();
        let kept = Kept {
            asked: None,
            min_age: Duration::from_secs(10),
            readers_max_age: Duration::from_secs(86_400),
            as_of_ms: now,
            pinned: BTreeSet::from([pinned]),
            held: BTreeSet::new(),
        };
        let gone = expirable(&name, &metadata, &kept, now, BATCH).unwrap();
        let left = without(&metadata, &gone);
        assert_eq!(expirable(&name, &left, &kept, now, BATCH).unwrap(), Vec::<i64>::new());
        let mut ids: Vec<i64> = left.snapshots().map(|s| s.snapshot_id()).collect();
        ids.sort_unstable();
        ids
    };
    // One for every hundred thousand rows.
    let whole: Vec<i64> = (N - 10..=N).collect();
    let wanted: Vec<i64> = [pinned]
        .into_iter()
        .chain((1..).map(|n| pinned + n * 500).take_while(|id| *id < N - 10))
        .chain(whole)
        .collect();
    assert_eq!(kept_of(200), wanted);
    // Each commit is more than that, and all of them would be too many.
    let many = kept_of(1_000_000);
    assert!((200..=256 + 12).contains(&many.len()), "{}", many.len());
    let most = many.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(most <= 16, "{most} commits lie between two");
}

#[tokio::test]
async fn a_table_that_never_had_a_row_keeps_no_more_than_another() {
    let (_folder, lake) = lake().await;
    let base = create(&lake, "t", plain()).await;
    let name = Arc::new(base.name().clone());
    let (metadata, now) = history(base.metadata(), &vec![(Step::PositionsAlone, 1_000); 100]);
    let mut json = serde_json::to_value(&metadata).unwrap();
    for snapshot in json["snapshots"].as_array_mut().unwrap() {
        snapshot["summary"]["total-data-files"] = "0".into();
    }
    let metadata: TableMetadata = serde_json::from_value(json).unwrap();
    let kept = Kept {
        asked: None,
        min_age: Duration::from_secs(10),
        readers_max_age: Duration::from_secs(86_400),
        as_of_ms: now,
        pinned: BTreeSet::new(),
        held: BTreeSet::new(),
    };
    let gone = expirable(&name, &metadata, &kept, now, BATCH).unwrap();
    assert_eq!(gone, (1..90).collect::<Vec<_>>());
    // Its readers agree on what they stand on by the oldest of them.
    let read = Kept { pinned: BTreeSet::from([60]), ..kept };
    assert_eq!(expirable(&name, &metadata, &read, now, BATCH).unwrap(), Vec::<i64>::new());
}
