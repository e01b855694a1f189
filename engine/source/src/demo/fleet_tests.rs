//! The fleet's promises.

use super::*;
use std::collections::HashSet;

fn events(config: FleetConfig, count: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut fleet = Fleet::new(config);
    let mut event = Vec::new();
    (0..count).map(|_| (fleet.next_into(&mut event).to_vec(), event.clone())).collect()
}

#[test]
fn equal_configurations_give_equal_streams() {
    let config = FleetConfig { malformed: 0.1, duplicates: 0.1, late: 0.1, ..FleetConfig::default() };
    assert_eq!(events(config, 2_000), events(config, 2_000));
    assert_ne!(events(config, 10), events(FleetConfig { seed: 1, ..config }, 10));
}

#[test]
fn a_stream_goes_on_behind_skipped_events() {
    let config = FleetConfig { malformed: 0.1, duplicates: 0.1, late: 0.1, ..FleetConfig::default() };
    let whole = events(config, 1_000);
    let mut fleet = Fleet::new(config);
    fleet.skip(600);
    let mut event = Vec::new();
    let rest: Vec<_> = (600..1_000).map(|_| (fleet.next_into(&mut event).to_vec(), event.clone())).collect();
    assert_eq!(rest, whole[600..]);
}

#[test]
fn events_are_json_with_distinct_keys_and_times() {
    let all = events(FleetConfig::default(), 20_000);
    let mut seen = HashSet::new();
    let (mut odd_types, mut odd_batteries) = (0, 0);
    let bytes: usize = all.iter().map(|(_, e)| e.len()).sum();
    for (key, event) in &all {
        let value: serde_json::Value = serde_json::from_slice(event).unwrap();
        assert_eq!(value["id"].as_str().unwrap().as_bytes(), key);
        let ts = value["ts"].as_str().unwrap();
        assert!(crate::decode::time::parse_timestamp(ts, false).is_some(), "{ts}");
        assert!(seen.insert((key.clone(), ts.to_string())), "{ts} twice");
        odd_types += usize::from(!["car", "bike", "scoot"].contains(&value["type"].as_str().unwrap()));
        odd_batteries += usize::from(!value["battery"].as_f64().is_some_and(|b| (0.0..=100.0).contains(&b)));
    }
    let size = bytes / all.len();
    assert!((125..145).contains(&size), "{size} bytes an event");
    assert!((20..400).contains(&odd_types) && (20..400).contains(&odd_batteries), "{odd_types} {odd_batteries}");
}

#[test]
fn shares_are_kept() {
    let all = events(FleetConfig { malformed: 0.2, duplicates: 0.3, ..FleetConfig::default() }, 20_000);
    let malformed = all.iter().filter(|(_, e)| {
        serde_json::from_slice::<serde_json::Value>(e)
            .ok()
            .and_then(|v| v["battery"].is_number().then_some(()))
            .is_none()
    });
    let mut seen = HashSet::new();
    let repeated = all.iter().filter(|(_, e)| e.starts_with(b"{\"id\":\"veh") && !seen.insert(e.clone())).count();
    let malformed = malformed.count();
    // A fifth of what is not a repetition; null batteries are few.
    assert!((2_200..3_400).contains(&malformed), "{malformed}");
    assert!((5_400..6_600).contains(&repeated), "{repeated}");
}

#[test]
fn late_events_lie_back() {
    let all = events(FleetConfig { late: 0.5, ..FleetConfig::default() }, 1_000);
    let times: Vec<i64> = all
        .iter()
        .filter_map(|(_, e)| serde_json::from_slice::<serde_json::Value>(e).ok())
        .filter_map(|v| crate::decode::time::parse_timestamp(v["ts"].as_str()?, false))
        .collect();
    let late = times.iter().filter(|t| **t < START_US).count();
    assert!((400..600).contains(&late), "{late}");
}
