//! Each table as it is: rows, files, positions and lag, age, and what its last refresh did.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ingot_lake::position::{self, PositionError};
use ingot_lake::{LakeError, Table};
use ingot_model::{Count, Partition, Position, Positions, SnapshotInfo, TableName, Unreadable};
use serde::Serialize;

use crate::engine::{Engine, StepError, Stored};
use crate::error::Result;
use crate::ingest::facts;
use crate::notes;
use ingot_project::project::{Model, ModelKind};

/// How far a table has read one partition; places are the source's own, lag is counted in messages.
#[derive(Debug, Clone, Serialize)]
pub struct PartitionStatus {
    /// Where it is read on.
    pub position: Position,
    /// Where reading would end now; `None` when the source does not answer.
    pub end: Option<Position>,
    /// Messages in between; `None` where they cannot be counted.
    pub lag: Option<i64>,
}

/// What the last refresh of a table recorded.
#[derive(Debug, Clone, Serialize)]
pub struct LastRefresh {
    pub mode: String,
    pub reason: Option<String>,
    pub rows_in: u64,
    pub rows_out: u64,
    pub seconds: f64,
}

/// A table as it is: sizes in bytes, ages in seconds.
#[derive(Debug, Clone, Serialize)]
pub struct TableStatus {
    pub table: TableName,
    pub kind: &'static str,
    /// How the view refreshes, or why it is always recomputed.
    pub refresh: String,
    pub exists: bool,
    /// Why the table cannot be read; then nothing else of it is known.
    pub error: Option<StepError>,
    pub rows: u64,
    pub files: u64,
    pub bytes: u64,
    /// Files of deletes that other engines left.
    pub delete_files: u64,
    pub snapshot: Option<i64>,
    /// How many snapshots there are.
    pub snapshots: usize,
    /// How far back they reach, in seconds.
    pub history_s: Option<f64>,
    pub positions: BTreeMap<Partition, PartitionStatus>,
    pub age_s: Option<f64>,
    pub last: Option<LastRefresh>,
    /// What a user should know beside that: columns that are kept, and what is recorded and does not parse.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Reads what a table records, and notes what does not parse.
struct Reading {
    notes: Vec<String>,
}

impl Reading {
    fn note(&mut self, code: &str, error: &dyn std::fmt::Display) {
        let text = format!("{code}: {error}");
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    fn count(&mut self, snapshot: Option<&SnapshotInfo>, of: Count) -> u64 {
        self.number(snapshot.map(|s| s.count(of)).transpose())
    }

    fn rows(&mut self, snapshot: Option<&SnapshotInfo>) -> u64 {
        self.number(snapshot.map(SnapshotInfo::rows).transpose())
    }

    fn number(&mut self, counted: std::result::Result<Option<Option<u64>>, Unreadable>) -> u64 {
        counted
            .map_err(LakeError::from)
            .unwrap_or_else(|e: LakeError| {
                self.note(e.code(), &e);
                None
            })
            .flatten()
            .unwrap_or(0)
    }
}

fn age_s(snapshot: &SnapshotInfo) -> Option<f64> {
    since_s(snapshot.timestamp_ms)
}

fn since_s(timestamp_ms: i64) -> Option<f64> {
    let at = DateTime::from_timestamp_millis(timestamp_ms)?;
    Some((Utc::now() - at).num_milliseconds() as f64 / 1000.0)
}

/// The age of the oldest snapshot.
fn history_s(table: &Table) -> Option<f64> {
    since_s(table.metadata().snapshots().map(|s| s.timestamp_ms()).min()?)
}

fn kind(model: &Model) -> &'static str {
    match model.kind {
        ModelKind::Streaming { .. } => "streaming table",
        ModelKind::View => "materialized view",
        ModelKind::Quarantine { .. } => "quarantine",
        ModelKind::DecodeErrors { .. } => "decode errors",
    }
}

fn how(model: &Model) -> String {
    match model.kind {
        ModelKind::Streaming { .. } | ModelKind::DecodeErrors { .. } => "append".into(),
        ModelKind::View | ModelKind::Quarantine { .. } => model.strategy.to_string(),
    }
}

/// The status of a table that does not exist.
fn absent(model: &Model) -> TableStatus {
    TableStatus {
        table: model.name.clone(),
        kind: kind(model),
        refresh: how(model),
        exists: false,
        error: None,
        rows: 0,
        files: 0,
        bytes: 0,
        delete_files: 0,
        snapshot: None,
        snapshots: 0,
        history_s: None,
        positions: BTreeMap::new(),
        age_s: None,
        last: None,
        notes: vec![],
    }
}

impl Engine {
    /// The status of the selected tables, in graph order.
    ///
    /// # Errors
    /// Lake errors; a broker that is away leaves the lag unknown.
    pub async fn status(&self, selected: &(dyn Fn(&TableName) -> bool + Sync)) -> Result<Vec<TableStatus>> {
        let stored = self.stored(selected).await?;
        // Brokers are asked all at a time.
        let all = self.project().order.iter().filter(|n| selected(n)).filter_map(|name| {
            let model = self.project().tables.get(name)?;
            let (table, error) = (stored.tables.get(name), stored.unreadable.get(name).map(StepError::from));
            Some(async move {
                match table {
                    Some(table) => self.status_of(model, table).await,
                    None => TableStatus { exists: error.is_some(), error, ..absent(model) },
                }
            })
        });
        let mut all = futures::future::join_all(all).await;
        all.extend(self.foreign_status(&stored, selected));
        Ok(all)
    }

    /// External tables: those that selected tables read.
    fn foreign_status(&self, stored: &Stored, selected: &dyn Fn(&TableName) -> bool) -> Vec<TableStatus> {
        let is_read = |name: &TableName| {
            let mut models = self.project().tables.values().filter(|model| selected(&model.name));
            models.any(|model| model.inputs.contains(name))
        };
        let names = self.project().externals.keys().filter(|name| is_read(name));
        names
            .map(|name| {
                let (table, error) = (stored.tables.get(name), stored.unreadable.get(name).map(StepError::from));
                let head = table.and_then(|t| t.snapshot(t.head()?));
                let mut reading = Reading { notes: vec![] };
                TableStatus {
                    table: name.clone(),
                    kind: "external table",
                    refresh: "another engine writes it".into(),
                    exists: table.is_some() || error.is_some(),
                    rows: reading.rows(head.as_ref()),
                    files: reading.count(head.as_ref(), Count::TotalDataFiles),
                    bytes: reading.count(head.as_ref(), Count::TotalBytes),
                    delete_files: reading.count(head.as_ref(), Count::TotalDeleteFiles),
                    snapshot: table.and_then(Table::head),
                    snapshots: table.map_or(0, |table| table.metadata().snapshots().len()),
                    history_s: table.and_then(history_s),
                    positions: BTreeMap::new(),
                    age_s: head.as_ref().and_then(age_s),
                    last: None,
                    notes: reading.notes,
                    error,
                }
            })
            .collect()
    }

    async fn status_of(&self, model: &Model, table: &Table) -> TableStatus {
        let head = table.head().and_then(|id| table.snapshot(id));
        let last = table.history().newest_refresh().cloned();
        let mut reading = Reading { notes: vec![] };
        if model.is_streaming() {
            // A definition that Iceberg refuses is reported by the step itself.
            let left_out = table.left_out_by(&model.definition).unwrap_or_else(|_| table.left_out());
            reading.notes.extend(left_out.iter().map(|column| notes::left_out(&model.name, column)));
            reading.notes.extend(model.kept.iter().map(notes::kept));
        }
        let positions = self.positions(model, table).await.unwrap_or_else(|e| {
            reading.note(e.code(), &e);
            BTreeMap::new()
        });
        TableStatus {
            exists: true,
            rows: reading.rows(head.as_ref()),
            files: reading.count(head.as_ref(), Count::TotalDataFiles),
            bytes: reading.count(head.as_ref(), Count::TotalBytes),
            delete_files: reading.count(head.as_ref(), Count::TotalDeleteFiles),
            snapshot: table.head(),
            snapshots: table.metadata().snapshots().len(),
            history_s: history_s(table),
            positions,
            age_s: head.as_ref().and_then(age_s),
            last: last.as_ref().and_then(|s| {
                let (mode, reason) = s.refresh()?;
                Some(LastRefresh {
                    mode: mode.to_owned(),
                    reason: reason.map(str::to_owned),
                    rows_in: reading.count(Some(s), Count::RefreshRowsIn),
                    rows_out: reading.count(Some(s), Count::RefreshRowsOut),
                    seconds: reading.count(Some(s), Count::RefreshMs) as f64 / 1000.0,
                })
            }),
            notes: reading.notes,
            ..absent(model)
        }
    }

    async fn positions(
        &self,
        model: &Model,
        table: &Table,
    ) -> Result<BTreeMap<Partition, PartitionStatus>, PositionError> {
        let Some(source) = model.source().and_then(|s| self.project().sources.get(s)) else {
            return Ok(BTreeMap::new());
        };
        let asked = async {
            let connector = facts::connect(source).await.ok()?;
            Some((connector.identity().await.ok()?, connector.ends().await.ok()?))
        };
        let asked = tokio::time::timeout(std::time::Duration::from_secs(3), asked).await.ok().flatten();
        let (at, ends) = match asked {
            Some((identity, ends)) => (position::recorded_position(table, &facts::key(model, &identity))?, ends),
            None => (position::recorded_flows(table)?.pop(), Positions::new()),
        };
        let shown = at.into_iter().flat_map(|positions| positions.ends()).map(|(p, position)| {
            let end = ends.get(&p).cloned();
            let lag = end.as_ref().and_then(|end| position.until(end));
            (p, PartitionStatus { position, end, lag })
        });
        Ok(shown.collect())
    }
}
