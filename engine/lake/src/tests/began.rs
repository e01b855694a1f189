//! Where a streaming table began, whatever others did to its history.

use serde_json::Value;

use super::*;
use crate::table::beginning::beginning;
use crate::{FlowKey, LakeError, PositionError, recorded_position};
use ingot_model::property::{self as names, BEGAN_AT, POSITIONS};
use ingot_model::{FlowPositions, Partition, PartitionRange, Position, SourceIdentity};
use serde_json::to_string as to_json;

fn key() -> FlowKey {
    FlowKey { flow: "f".into(), system: "c".into(), incarnation: "t1".into() }
}

fn number(place: &Position) -> i64 {
    let Position::Number(number) = place else { panic!("{place}") };
    *number
}

fn vector(full: bool, ranges: &[(i32, i64, i64)]) -> String {
    let range = |from: i64, to: i64| PartitionRange { from: from.into(), to: to.into(), ..PartitionRange::default() };
    let positions = FlowPositions {
        v: 1,
        full,
        flow: "f".into(),
        source: SourceIdentity { system: "c".into(), name: "topic".into(), incarnation: "t1".into() },
        partitions: ranges
            .iter()
            .map(|(partition, from, to)| (Partition::from(*partition), range(*from, *to)))
            .collect(),
    };
    to_json(&positions).unwrap()
}

/// A table that begins at offsets 5 and 0.
async fn started(lake: &Lake) -> Table {
    let first = summary(&[(POSITIONS, &vector(true, &[(0, 5, 5), (1, 0, 0)])), (names::FINGERPRINT, "one")]);
    let new = NewTable { name: TableName::new("bronze", "t"), definition: plain(), first_summary: Some(first) };
    lake.create_table(new).await.unwrap()
}

async fn moved(table: &Table, ranges: &[(i32, i64, i64)]) -> Table {
    let summary = summary(&[(POSITIONS, &vector(false, ranges)), (names::FINGERPRINT, "one")]);
    let change = Commit { summary, ..appending(write(table, &rows(&[1])).await) };
    table.lake().commit(table, change, &retry).await.unwrap()
}

/// Emptied to be read again from offsets 7 and 0.
async fn again(table: &Table) -> Table {
    let summary = summary(&[(POSITIONS, &vector(true, &[(0, 7, 7), (1, 0, 0)])), (names::FINGERPRINT, "two")]);
    let change = Commit { summary, begins: true, remove_all: true, ..Commit::default() };
    overwrite(table, change).await.unwrap()
}

/// A commit of another engine: none of our properties.
pub(super) async fn foreign(table: &Table, change: Commit) -> Table {
    let table = overwrite(table, change).await.unwrap();
    edited(&table, |json| {
        let head = json["current-snapshot-id"].clone();
        let snapshots = json["snapshots"].as_array_mut().unwrap();
        let head = snapshots.iter_mut().find(|s| s["snapshot-id"] == head).unwrap();
        head["summary"].as_object_mut().unwrap().retain(|name, _| !name.contains("ingot") && name != "engine-name");
    })
    .await
}

pub(super) async fn edited(table: &Table, edit: impl FnOnce(&mut Value)) -> Table {
    let mut json = serde_json::to_value(table.metadata().as_ref()).unwrap();
    let before = serde_json::json!({
        "metadata-file": table.metadata_location(),
        "timestamp-ms": table.metadata().last_updated_ms(),
    });
    json["metadata-log"].as_array_mut().unwrap().push(before);
    edit(&mut json);
    let lake = table.lake();
    let location = format!("{}/metadata/09999-{}.metadata.json", table.metadata().location(), Uuid::new_v4());
    lake.0.store.write(&location, serde_json::to_vec(&json).unwrap().into()).await.unwrap();
    let now = lake.rows().location(table.name()).await.unwrap().unwrap();
    lake.rows().swap(table.name(), &now, &location).await.unwrap();
    lake.load_table(table.name()).await.unwrap().unwrap()
}

/// As PyIceberg expires: what lost its parent names none. Java and core leave the name of a snapshot that is gone.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expiry {
    ParentsForgotten,
    ParentsNamed,
}

pub(super) const BOTH: [Expiry; 2] = [Expiry::ParentsForgotten, Expiry::ParentsNamed];

pub(super) async fn all_but_head_expired(table: &Table, expiry: Expiry) -> Table {
    edited(table, |json| {
        let head = json["current-snapshot-id"].clone();
        for list in ["snapshots", "snapshot-log"] {
            if let Some(list) = json[list].as_array_mut() {
                list.retain(|s| s["snapshot-id"] == head);
            }
        }
        if let Expiry::ParentsForgotten = expiry {
            json["snapshots"][0].as_object_mut().unwrap().remove("parent-snapshot-id");
        }
    })
    .await
}

/// As an engine leaves it that deletes old metadata files.
async fn without_log(table: &Table) -> Table {
    edited(table, |json| json["metadata-log"] = serde_json::json!([])).await
}

pub(super) async fn rolled_back(table: &Table, to: i64) -> Table {
    edited(table, |json| {
        json["current-snapshot-id"] = to.into();
        json["refs"]["main"]["snapshot-id"] = to.into();
    })
    .await
}

fn starts(table: &Table) -> Option<Vec<i64>> {
    let began = beginning(table).unwrap()?;
    Some(began.positions.partitions.values().map(|range| number(&range.to)).collect())
}

fn ends(table: &Table) -> Vec<i64> {
    recorded_position(table, &key()).unwrap().unwrap().partitions.values().map(|range| number(&range.to)).collect()
}

#[tokio::test]
async fn expiry_by_others_takes_neither_beginning_nor_position() {
    for expiry in BOTH {
        let (_folder, lake) = lake().await;
        let table = started(&lake).await;
        let first = table.head();
        assert_eq!(starts(&table), Some(vec![5, 0]));
        let table = moved(&table, &[(1, 0, 4)]).await;
        let table = moved(&table, &[(0, 5, 9)]).await;
        // The head tells of one partition alone.
        let table = all_but_head_expired(&table, expiry).await;
        assert_eq!(table.history().len(), 1);
        assert_eq!(starts(&table), Some(vec![5, 0]), "{expiry:?}");
        assert_eq!(beginning(&table).unwrap().unwrap().snapshot_id, first.unwrap());
        assert_eq!(ends(&table), [9, 4], "{expiry:?}");
        // And on from there, expired again.
        let table = moved(&table, &[(0, 9, 10)]).await;
        let table = all_but_head_expired(&table, expiry).await;
        assert_eq!((starts(&table), ends(&table)), (Some(vec![5, 0]), vec![10, 4]), "{expiry:?}");
        // Another engine's delete on top, and nothing else left.
        let change = Commit { remove: vec![entries(&table).await[0].file_path().into()], ..Commit::default() };
        let deleted = all_but_head_expired(&foreign(&table, change).await, expiry).await;
        assert_eq!((starts(&deleted), ends(&deleted)), (Some(vec![5, 0]), vec![10, 4]), "{expiry:?}");
        // Or its append.
        let change = Commit { add: write(&table, &rows(&[7])).await, ..Commit::default() };
        let appended = foreign(&deleted, change).await;
        let appended = all_but_head_expired(&appended, expiry).await;
        assert_eq!((starts(&appended), ends(&appended)), (Some(vec![5, 0]), vec![10, 4]), "{expiry:?}");
        let on = moved(&appended, &[(1, 4, 5)]).await;
        assert_eq!((starts(&on), ends(&on)), (Some(vec![5, 0]), vec![10, 5]), "{expiry:?}");
    }
}

#[tokio::test]
async fn without_old_metadata_the_copy_counts_where_it_fits() {
    for expiry in BOTH {
        let (_folder, lake) = lake().await;
        let table = moved(&started(&lake).await, &[(1, 0, 4)]).await;
        let table = moved(&table, &[(0, 5, 9)]).await;
        let remove = vec![entries(&table).await[0].file_path().into()];
        let add = write(&table, &rows(&[7, 8])).await;
        let rewritten = foreign(&table, Commit { remove, add, ..Commit::default() }).await;
        let head = without_log(&all_but_head_expired(&rewritten, expiry).await).await;
        assert_eq!((starts(&head), ends(&head)), (Some(vec![5, 0]), vec![9, 4]), "{expiry:?}");
        // What stood between is gone without a trace: it may have been a rollback.
        let change = Commit { add: write(&head, &rows(&[7])).await, ..Commit::default() };
        let above = foreign(&head, change).await;
        let refused = recorded_position(&without_log(&all_but_head_expired(&above, expiry).await).await, &key());
        assert!(matches!(refused, Err(PositionError::Expired { .. })), "{expiry:?}: {refused:?}");
    }
}

#[tokio::test]
async fn a_position_that_a_rollback_took_away_does_not_count() {
    for expiry in BOTH {
        let (_folder, lake) = lake().await;
        let before = moved(&started(&lake).await, &[(0, 5, 9)]).await;
        let after = moved(&before, &[(0, 9, 20)]).await;
        let back = rolled_back(&after, before.head().unwrap()).await;
        assert_eq!(ends(&back), [9, 0]);
        let change = Commit { add: write(&back, &rows(&[7])).await, ..Commit::default() };
        let above = all_but_head_expired(&foreign(&back, change).await, expiry).await;
        assert_eq!(starts(&above), Some(vec![5, 0]), "{expiry:?}");
        // Where old metadata tell of the snapshot that it stands on, that one's counts; else none does.
        for above in [without_log(&above).await, above] {
            let refused = recorded_position(&above, &key());
            assert!(matches!(refused, Err(PositionError::Expired { .. })), "{expiry:?}: {refused:?}");
        }
    }
}

#[tokio::test]
async fn a_rollback_finds_its_own_beginning_after_expiry() {
    for expiry in BOTH {
        let (_folder, lake) = lake().await;
        // Not all partitions moved in it: it does not prove its position alone.
        let before = moved(&started(&lake).await, &[(0, 5, 9)]).await;
        let second = again(&before).await;
        assert_eq!(starts(&second), Some(vec![7, 0]));
        let table = moved(&second, &[(0, 7, 8)]).await;
        assert_eq!(starts(&table), Some(vec![7, 0]));
        let back = rolled_back(&table, before.head().unwrap()).await;
        assert_eq!(starts(&back), Some(vec![5, 0]));
        let back = all_but_head_expired(&back, expiry).await;
        assert_eq!(starts(&back), Some(vec![5, 0]), "{expiry:?}");
        // The copy of its position is from after the rollback, and says so.
        let refused = recorded_position(&back, &key()).unwrap_err();
        assert!(matches!(refused, PositionError::Expired { .. }), "{expiry:?}: {refused}");
        // Where only another engine's snapshot is left above it, old metadata tell what it stands on; without them the
        // two beginnings cannot be told apart.
        let change = Commit { add: write(&back, &rows(&[7])).await, ..Commit::default() };
        let above = all_but_head_expired(&foreign(&back, change).await, expiry).await;
        assert_eq!(starts(&above), Some(vec![5, 0]), "{expiry:?}");
        assert_eq!(starts(&without_log(&above).await), None, "{expiry:?}");
        // A beginning that nothing can go back to any more is forgotten.
        let table = all_but_head_expired(&table, expiry).await;
        let table = moved(&table, &[(1, 0, 2)]).await;
        let kept: Vec<Value> = serde_json::from_str(&table.properties()[BEGAN_AT]).unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0]["snapshot-id"], second.head().unwrap());
    }
}

#[tokio::test]
async fn a_table_that_others_replaced_has_no_beginning() {
    let (_folder, lake) = lake().await;
    let table = moved(&started(&lake).await, &[(0, 5, 9)]).await;
    // CREATE OR REPLACE TABLE ... AS: a new root beside the old snapshots, properties kept.
    let added = write(&table, &rows(&[1, 2, 3])).await;
    let created = foreign(&create(&lake, "other", plain()).await, Commit { add: added, ..Commit::default() }).await;
    let root = serde_json::to_value(created.metadata().as_ref()).unwrap()["snapshots"][0].clone();
    let replaced = edited(&table, |json| {
        let mut root = root;
        root["sequence-number"] = 9.into();
        json["last-sequence-number"] = 9.into();
        json["current-snapshot-id"] = root["snapshot-id"].clone();
        json["refs"]["main"]["snapshot-id"] = root["snapshot-id"].clone();
        json["snapshots"].as_array_mut().unwrap().push(root);
        json["snapshot-log"] = serde_json::json!([]);
    })
    .await;
    for expiry in BOTH {
        for table in [replaced.clone(), all_but_head_expired(&replaced, expiry).await] {
            assert_eq!(starts(&table), None);
            let refused = recorded_position(&table, &key()).unwrap_err();
            assert!(matches!(refused, PositionError::NoPosition { .. }), "{refused}");
        }
    }
}

#[tokio::test]
async fn tables_of_the_version_before_are_taken_over() {
    let (_folder, lake) = lake().await;
    let table = moved(&started(&lake).await, &[(0, 5, 9)]).await;
    let unnamed = |json: &mut Value| {
        json["properties"].as_object_mut().unwrap().remove(BEGAN_AT);
        for snapshot in json["snapshots"].as_array_mut().unwrap() {
            let summary = snapshot["summary"].as_object_mut().unwrap();
            summary.remove(BEGAN_AT);
            let first = summary[POSITIONS].as_str().unwrap().contains("\"full\":true");
            let mode = if first { "create" } else { "append" };
            summary.insert(names::REFRESH_MODE.into(), mode.into());
        }
    };
    let old = edited(&table, unnamed).await;
    assert_eq!(starts(&old), Some(vec![5, 0]));
    let on = moved(&old, &[(0, 9, 10)]).await;
    for expiry in BOTH {
        assert_eq!(starts(&all_but_head_expired(&on, expiry).await), Some(vec![5, 0]));
        // One whose beginning was lost before it could be recorded does not guess.
        assert_eq!(starts(&all_but_head_expired(&old, expiry).await), None);
    }
}

#[tokio::test]
async fn every_definition_since_the_beginning_is_known() {
    let (_folder, lake) = lake().await;
    let table = moved(&started(&lake).await, &[(0, 5, 6)]).await;
    let summary = summary(&[(POSITIONS, &vector(false, &[(0, 6, 7)])), (names::FINGERPRINT, "other")]);
    let change = Commit { summary, ..appending(Vec::new()) };
    let table = lake.commit(&table, change, &retry).await.unwrap();
    let table = moved(&table, &[(0, 7, 8)]).await;
    for table in [table.clone(), all_but_head_expired(&table, Expiry::ParentsForgotten).await] {
        let began = beginning(&table).unwrap().unwrap();
        assert_eq!(began.fingerprints.iter().collect::<Vec<_>>(), ["one", "other"]);
    }
    let table = again(&table).await;
    assert_eq!(beginning(&table).unwrap().unwrap().fingerprints.iter().collect::<Vec<_>>(), ["two"]);
}

#[tokio::test]
async fn what_does_not_parse_has_a_name() {
    let (_folder, lake) = lake().await;
    let table = moved(&started(&lake).await, &[(0, 5, 6)]).await;
    let head = table.head().unwrap();
    let property = edited(&table, |json| json["properties"][BEGAN_AT] = "[{}]".into()).await;
    let refused = beginning(&property).unwrap_err();
    assert!(matches!(refused, LakeError::Unreadable(_)) && refused.code() == "L0134", "{refused}");
    let text = refused.to_string();
    assert!(["bronze.t", "properties", BEGAN_AT].iter().all(|part| text.contains(part)), "{text}");
    let own = edited(&table, |json| {
        for snapshot in json["snapshots"].as_array_mut().unwrap() {
            snapshot["summary"][BEGAN_AT] = "then".into();
        }
    })
    .await;
    let text = beginning(&own).unwrap_err().to_string();
    assert!([&format!("snapshot {head}"), BEGAN_AT].iter().all(|part| text.contains(*part)), "{text}");
    // Reading everything again is the way out: it needs nothing of what was recorded.
    let both = edited(&property, |json| json["properties"][POSITIONS] = "?".into()).await;
    assert_eq!(starts(&again(&both).await), Some(vec![7, 0]));
}
