//! The walk for a flow's position.

use super::*;
use crate::table::position::recorded_flows;
use crate::{FlowKey, PositionError, recorded_position};
use ingot_model::property::POSITIONS;
use ingot_model::{FlowPositions, Partition, PartitionRange, Position, SourceIdentity};
use serde_json::to_string as to_json;

fn key() -> FlowKey {
    FlowKey { flow: "f".into(), system: "c".into(), incarnation: "t1".into() }
}

fn positions(full: bool, ranges: &[(i32, i64, i64)]) -> FlowPositions {
    let partitions = ranges
        .iter()
        .map(|(partition, from, to)| {
            let counted = u64::try_from(*to).unwrap();
            let range = PartitionRange {
                from: (*from).into(),
                to: (*to).into(),
                delivered: counted,
                main: counted,
                ..PartitionRange::default()
            };
            (Partition::from(*partition), range)
        })
        .collect();
    FlowPositions {
        v: 1,
        full,
        flow: "f".into(),
        source: SourceIdentity { system: "c".into(), name: "topic".into(), incarnation: "t1".into() },
        partitions,
    }
}

fn number(place: &Position) -> i64 {
    let Position::Number(number) = place else { panic!("{place}") };
    *number
}

async fn started(lake: &Lake) -> Table {
    let first = positions(true, &[(0, 5, 5), (1, 0, 0), (2, 7, 7)]);
    let new = NewTable {
        name: TableName::new("bronze", "t"),
        definition: plain(),
        first_summary: Some(summary(&[(POSITIONS, &to_json(&first).unwrap())])),
    };
    lake.create_table(new).await.unwrap()
}

async fn moved(table: &Table, ranges: &[(i32, i64, i64)]) -> Table {
    commit(table, Some(positions(false, ranges)), Commit::default()).await
}

async fn commit(table: &Table, positions: Option<FlowPositions>, change: Commit) -> Table {
    let mut change = Commit { commit_id: Uuid::new_v4(), ..change };
    change.add = write(table, &rows(&[1])).await;
    if let Some(positions) = positions {
        change.summary.set_positions(Some(&positions)).unwrap();
    }
    table.lake().commit(table, change, &retry).await.unwrap()
}

fn ends(table: &Table) -> Vec<i64> {
    let vector = recorded_position(table, &key()).unwrap().unwrap();
    assert!(vector.full);
    vector.partitions.values().map(|range| number(&range.to)).collect()
}

/// The table with other JSON metadata in place of its own.
async fn edited(table: &Table, edit: impl FnOnce(&mut serde_json::Value)) -> Table {
    let mut json = serde_json::to_value(table.metadata().as_ref()).unwrap();
    edit(&mut json);
    let metadata = serde_json::from_value(json).unwrap();
    Table::new(table.lake().clone(), table.name().clone(), Arc::new(metadata), "nowhere".into()).unwrap()
}

#[tokio::test]
async fn positions_add_up_through_everybodys_snapshots() {
    let (_folder, lake) = lake().await;
    let table = started(&lake).await;
    assert_eq!(ends(&table), [5, 0, 7]);
    let table = moved(&table, &[(0, 5, 9)]).await;
    // Commits without our key: another flow's, a compaction's, somebody's delete.
    let mut other = positions(true, &[(0, 0, 100)]);
    other.flow = "g".into();
    let table = commit(&table, Some(other), Commit::default()).await;
    let table = commit(&table, None, Commit { operation: Operation::Replace, ..Commit::default() }).await;
    let table = commit(&table, None, Commit { operation: Operation::Delete, ..Commit::default() }).await;
    let table = moved(&table, &[(2, 7, 8), (3, 0, 4)]).await;
    assert_eq!(ends(&table), [9, 0, 8, 4]);
    // The same flow in a topic made anew has no position, and that is known.
    let anew = FlowKey { incarnation: "t2".into(), ..key() };
    assert_eq!(recorded_position(&table, &anew), Ok(None));
    assert_eq!(recorded_flows(&table).unwrap().len(), 2);
    // The property holds full vectors of both flows.
    let recorded = table.recorded().positions().unwrap();
    assert_eq!(recorded.len(), 2);
    let ours = recorded.iter().find(|r| r.positions.flow == "f").unwrap();
    assert_eq!(Some(ours.snapshot_id), table.head());
    assert_eq!(ours.positions.partitions[&Partition::from(1)], PartitionRange::default());
    let first = &ours.positions.partitions[&Partition::from(0)];
    assert_eq!((number(&first.from), number(&first.to)), (9, 9));
    assert_eq!(ours.positions.partitions[&Partition::from(2)].main, 8);
}

#[tokio::test]
async fn every_hundredth_summary_is_full() {
    let (_folder, lake) = lake().await;
    let mut table = started(&lake).await;
    for step in 0..101 {
        table = moved(&table, &[(1, step, step + 1)]).await;
    }
    let full: Vec<bool> = table.history().iter().map(|s| s.positions().unwrap().unwrap().full).collect();
    let places: Vec<_> = full.iter().enumerate().filter(|(_, f)| **f).map(|(at, _)| at).collect();
    assert_eq!(places, [1, 101]);
    assert_eq!(ends(&table), [5, 101, 7]);
}

/// A rollback that an expiry follows leaves a snapshot alone, older than the copy in the properties.
#[tokio::test]
async fn a_snapshot_in_which_all_partitions_moved_proves_its_position_alone() {
    let (_folder, lake) = lake().await;
    let table = started(&lake).await;
    let table = moved(&table, &[(1, 0, 1)]).await;
    let table = moved(&table, &[(0, 5, 6), (1, 1, 4), (2, 7, 9)]).await;
    let kept = table.head().unwrap();
    let table = moved(&table, &[(0, 6, 8), (1, 4, 5), (2, 9, 10)]).await;
    let table = moved(&table, &[(0, 8, 9)]).await;
    let alone = |id: i64| {
        edited(&table, move |json| {
            json["current-snapshot-id"] = id.into();
            json["refs"]["main"]["snapshot-id"] = id.into();
            json["snapshots"].as_array_mut().unwrap().retain(|s| s["snapshot-id"] == id);
            json["snapshots"][0].as_object_mut().unwrap().remove("parent-snapshot-id");
            json["snapshot-log"] = serde_json::json!([]);
        })
    };
    assert_eq!(ends(&alone(kept).await), [6, 4, 9]);
    assert_eq!(ends(&alone(table.head().unwrap()).await), [9, 5, 10], "the copy is of this one");
    // One that tells of some partitions only proves nothing of the others.
    let some =
        table.history().iter().find(|s| s.summary.get(POSITIONS).unwrap().contains("\"1\":{\"from\":0")).unwrap().id;
    let error = recorded_position(&alone(some).await, &key()).unwrap_err();
    assert!(matches!(error, PositionError::Expired { .. }), "{error}");
}

#[tokio::test]
async fn expired_snapshots_are_replaced_by_the_property() {
    let (_folder, lake) = lake().await;
    let mut table = started(&lake).await;
    for step in 0..3 {
        table = moved(&table, &[(1, step, step + 1)]).await;
    }
    table = moved(&table, &[(0, 5, 6)]).await;
    let expire: Vec<i64> = table.history().iter().skip(1).map(|s| s.id).collect();
    // Only ours and a foreign one stay: the copy was written by a snapshot that is left.
    let table = commit(&table, None, Commit { expire_snapshots: expire, ..Commit::default() }).await;
    assert_eq!(table.history().len(), 2);
    assert_eq!(ends(&table), [6, 3, 7]);
    // Ours is gone as well: the copy is older than all that is left.
    let ours = table.history()[1].id;
    let gone = commit(&table, None, Commit { expire_snapshots: vec![ours], ..Commit::default() }).await;
    let gone = commit(&gone, None, Commit::default()).await;
    assert_eq!(ends(&gone), [6, 3, 7]);
    // Another flow has none, and the copy shows that nothing of it was lost.
    let other = FlowKey { flow: "g".into(), ..key() };
    assert_eq!(recorded_position(&gone, &other), Ok(None));
    // A copy from after the snapshots that are left: somebody rolled back.
    let later = edited(&gone, |json| {
        let text = json["properties"][POSITIONS].as_str().unwrap().to_string();
        let mut copy: serde_json::Value = serde_json::from_str(&text).unwrap();
        copy["sequence-number"] = 1000.into();
        copy["snapshot-id"] = 12345.into();
        json["properties"][POSITIONS] = copy.to_string().into();
    })
    .await;
    let refused = recorded_position(&later, &key()).unwrap_err();
    assert!(matches!(refused, PositionError::Expired { .. }), "{refused}");
    // No copy at all.
    let bare = edited(&gone, |json| {
        json["properties"].as_object_mut().unwrap().remove(POSITIONS);
    })
    .await;
    let refused = recorded_position(&bare, &key()).unwrap_err();
    assert!(matches!(refused, PositionError::Expired { .. }), "{refused}");
    assert!(refused.hint().contains("refresh TABLE --full"));
    // A copy that does not know our own commits that are left: a gap.
    let stale = edited(&table, |json| {
        let text = json["properties"][POSITIONS].as_str().unwrap().to_string();
        let mut copy: serde_json::Value = serde_json::from_str(&text).unwrap();
        copy["sequence-number"] = 2.into();
        copy["snapshot-id"] = 12345.into();
        json["properties"][POSITIONS] = copy.to_string().into();
    })
    .await;
    assert!(recorded_position(&stale, &key()).is_err());
}

#[tokio::test]
async fn rows_without_any_position_are_refused() {
    let (_folder, lake) = lake().await;
    let empty = create(&lake, "t", plain()).await;
    assert_eq!(recorded_position(&empty, &key()), Ok(None));
    let foreign = append(&empty, &[1, 2]).await;
    let refused = recorded_position(&foreign, &key()).unwrap_err();
    assert!(refused.to_string().contains("holds 2 rows"), "{refused}");
    // A commit over it must name a full vector: an adopted position.
    let files = write(&foreign, &rows(&[3])).await;
    let part = summary(&[(POSITIONS, &to_json(&positions(false, &[(0, 1, 2)])).unwrap())]);
    let change = Commit { summary: part, ..appending(files.clone()) };
    assert!(lake.commit(&foreign, change, &retry).await.is_err());
    let full = summary(&[(POSITIONS, &to_json(&positions(true, &[(0, 1, 2)])).unwrap())]);
    let adopted = lake.commit(&foreign, Commit { summary: full, ..appending(files) }, &retry).await;
    assert_eq!(ends(&adopted.unwrap()), [2]);
    // Emptied by somebody: nothing to lose.
    let foreign = append(&create(&lake, "u", plain()).await, &[1]).await;
    let emptied = overwrite(&foreign, Commit { remove_all: true, ..Commit::default() }).await.unwrap();
    assert_eq!(recorded_position(&emptied, &key()), Ok(None));
}

#[tokio::test]
async fn a_replaced_table_does_not_inherit_the_property() {
    let (_folder, lake) = lake().await;
    let table = moved(&started(&lake).await, &[(0, 5, 9)]).await;
    // CREATE OR REPLACE by somebody: a new root, the properties kept.
    let head = table.head().unwrap();
    let replaced = edited(&table, |json| {
        for snapshot in json["snapshots"].as_array_mut().unwrap() {
            if snapshot["snapshot-id"] == head {
                snapshot.as_object_mut().unwrap().remove("parent-snapshot-id");
                snapshot["summary"].as_object_mut().unwrap().remove(POSITIONS);
            }
        }
    })
    .await;
    let refused = recorded_position(&replaced, &key()).unwrap_err();
    assert!(matches!(refused, PositionError::NoPosition { .. }), "{refused}");
}

#[tokio::test]
async fn positions_that_cannot_be_read_are_said() {
    let (_folder, lake) = lake().await;
    let table = started(&lake).await;
    let broken = edited(&table, |json| {
        json["snapshots"][0]["summary"][POSITIONS] = "{}".into();
    })
    .await;
    let refused = recorded_position(&broken, &key()).unwrap_err();
    assert_eq!(refused.code(), "L0133");
}

#[test]
fn the_json_shape_is_the_contracts() {
    let text = to_json(&positions(false, &[(0, 1, 2)])).unwrap();
    assert_eq!(
        text,
        r#"{"v":1,"full":false,"flow":"f","cluster":"c","topic":"topic","topic-id":"t1","partitions":{"0":{"from":1,"to":2,"delivered":2,"main":2,"errors":0,"filtered":0,"dropped":0}}}"#
    );
    assert_eq!(serde_json::from_str::<FlowPositions>(&text).unwrap(), positions(false, &[(0, 1, 2)]));
}
