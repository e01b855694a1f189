//! What a snapshot records about itself, as values: the one place where summaries are parsed.
//!
//! Invariants
//! * A property that is not there is none; one that does not parse is an error with the table's, the snapshot's and the
//!   property's name. It is never taken for one that is not there.
//!
//! Not here: the names and shapes (`summary`), positions, which are found by a walk (`position`, `began`).

use std::collections::BTreeMap;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::error::{LakeError, Result};
use crate::summary::{self, SourceRef};
use crate::table::{SnapshotInfo, Table, TableName};

/// Versions of tables: of each its uuid and a snapshot, none if it had none.
pub type Versions = BTreeMap<TableName, (Uuid, Option<i64>)>;

/// The source snapshots that a snapshot was computed from; none if it does not say.
///
/// # Errors
/// A property that does not parse.
pub fn sources(table: &Table, snapshot: &SnapshotInfo) -> Result<Option<Versions>> {
    versions(table, snapshot, summary::SOURCES)
}

/// The streaming snapshots below all that a snapshot was computed from; none if it does not say.
///
/// # Errors
/// A property that does not parse.
pub fn bases(table: &Table, snapshot: &SnapshotInfo) -> Result<Option<Versions>> {
    versions(table, snapshot, summary::BASE_SNAPSHOTS)
}

/// What now() was; none if the snapshot does not say.
///
/// # Errors
/// A property that does not parse.
pub fn now(table: &Table, snapshot: &SnapshotInfo) -> Result<Option<DateTime<Utc>>> {
    let parse = |text: &str| DateTime::parse_from_rfc3339(text).map(|at| at.with_timezone(&Utc));
    property(table, snapshot, summary::NOW, parse)
}

/// The version of SQL's meaning by which a snapshot's rows were made. The first recorded none.
///
/// # Errors
/// A property that does not parse.
pub fn semantics(table: &Table, snapshot: &SnapshotInfo) -> Result<u32> {
    Ok(property(table, snapshot, summary::SEMANTICS, u32::from_str)?.unwrap_or(1))
}

/// A count, ours or one of Iceberg's own (`total-records`); none if the snapshot does not say.
///
/// # Errors
/// A property that does not parse.
pub fn count(table: &Table, snapshot: &SnapshotInfo, name: &str) -> Result<Option<u64>> {
    property(table, snapshot, name, u64::from_str)
}

/// The columns that keep the type they are stored with, and the types that their query has by the rules of the version
/// that kept them.
///
/// # Errors
/// A property that does not parse.
pub fn kept_types(table: &Table) -> Result<BTreeMap<String, String>> {
    let place = || "its properties".to_owned();
    let text = table.properties().get(summary::KEPT_TYPES);
    text.map_or(Ok(BTreeMap::new()), |text| {
        parsed(table.name(), place, summary::KEPT_TYPES, serde_json::from_str(text))
    })
}

/// The columns of the primary key, which nothing enforces; empty if there is none.
///
/// # Errors
/// A property that does not parse.
pub fn primary_key(table: &Table) -> Result<Vec<String>> {
    let place = || "its properties".to_owned();
    let text = table.properties().get(summary::PRIMARY_KEY);
    text.map_or(Ok(Vec::new()), |text| parsed(table.name(), place, summary::PRIMARY_KEY, serde_json::from_str(text)))
}

fn versions(table: &Table, snapshot: &SnapshotInfo, name: &str) -> Result<Option<Versions>> {
    let listed: Option<Vec<SourceRef>> = property(table, snapshot, name, json)?;
    let Some(listed) = listed else { return Ok(None) };
    let each = listed.into_iter().map(|of| {
        let place = || in_snapshot(snapshot);
        Ok((parsed(table.name(), place, name, of.table.parse::<TableName>())?, (of.uuid, of.snapshot_id)))
    });
    each.collect::<Result<_>>().map(Some)
}

fn json<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text)
}

fn property<T, E: ToString>(
    table: &Table,
    snapshot: &SnapshotInfo,
    name: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<T>> {
    let text = snapshot.summary.get(name);
    text.map(|text| parsed(table.name(), || in_snapshot(snapshot), name, parse(text))).transpose()
}

fn in_snapshot(snapshot: &SnapshotInfo) -> String {
    format!("snapshot {}", snapshot.id)
}

/// A value, or the error that names where it should have been.
pub(crate) fn parsed<T, E: ToString>(
    table: &TableName,
    place: impl Fn() -> String,
    property: &str,
    value: Result<T, E>,
) -> Result<T> {
    value.map_err(|error| LakeError::Unreadable {
        table: table.clone(),
        place: place(),
        property: property.to_owned(),
        reason: error.to_string(),
    })
}
