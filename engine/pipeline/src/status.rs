//! Each table as it is: rows, files, positions and lag, age, and what its last refresh did.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ingot_lake::position::{self, FlowKey};
use ingot_lake::{SnapshotInfo, Table, TableName, summary};
use ingot_source::KafkaSource;
use serde::Serialize;

use crate::engine::Engine;
use crate::error::Result;
use crate::project::{Model, ModelKind};

#[derive(Debug, Clone, Serialize)]
pub struct PartitionStatus {
    pub position: i64,
    /// Last stable offset; `None` when the broker does not answer.
    pub end: Option<i64>,
    pub lag: Option<i64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct LastRefresh {
    pub mode: String,
    pub reason: Option<String>,
    pub rows_in: u64,
    pub rows_out: u64,
    pub seconds: f64,
}

#[derive(Debug, Clone, Serialize)]
pub struct TableStatus {
    pub table: TableName,
    pub kind: &'static str,
    /// How the view refreshes, or why it is always recomputed.
    pub refresh: String,
    pub exists: bool,
    pub rows: u64,
    pub files: u64,
    pub bytes: u64,
    pub snapshot: Option<i64>,
    pub positions: BTreeMap<i32, PartitionStatus>,
    pub age_s: Option<f64>,
    pub last: Option<LastRefresh>,
}

fn number(snapshot: Option<&SnapshotInfo>, key: &str) -> u64 {
    snapshot.and_then(|s| s.summary.get(key)).and_then(|v| v.parse().ok()).unwrap_or(0)
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
    use ingot_delta::Strategy;
    match (&model.kind, &model.strategy) {
        (ModelKind::Streaming { .. } | ModelKind::DecodeErrors { .. }, _) => "append".into(),
        (_, Strategy::Linear) => "incremental: rows in, rows out".into(),
        (_, Strategy::KeepFirst(_)) => "incremental: keep-first merge".into(),
        (_, Strategy::Aggregate(_)) => "incremental: aggregate merge".into(),
        (_, Strategy::Full(reason)) => format!("full: {}: {}", reason.code, reason.text),
    }
}

impl Engine {
    /// The status of the selected tables, in graph order.
    ///
    /// # Errors
    /// Lake errors; a broker that is away leaves the lag unknown.
    pub async fn status(&self, selected: &(dyn Fn(&TableName) -> bool + Sync)) -> Result<Vec<TableStatus>> {
        let tables = self.tables().await?;
        let mut out = vec![];
        for name in self.project.order.iter().filter(|n| selected(n)) {
            let Some(model) = self.project.tables.get(name) else { continue };
            let table = tables.get(name);
            let head = table.and_then(|t| t.head().and_then(|id| t.snapshot(id)));
            let last =
                table.and_then(|t| t.history().into_iter().find(|s| s.summary.contains_key(summary::REFRESH_MODE)));
            out.push(TableStatus {
                table: name.clone(),
                kind: kind(model),
                refresh: how(model),
                exists: table.is_some(),
                rows: number(head.as_ref(), "total-records"),
                files: number(head.as_ref(), "total-data-files"),
                bytes: number(head.as_ref(), "total-files-size"),
                snapshot: table.and_then(Table::head),
                positions: match table {
                    Some(table) => self.positions(model, table).await,
                    None => BTreeMap::new(),
                },
                age_s: head
                    .as_ref()
                    .and_then(|s| DateTime::from_timestamp_millis(s.timestamp_ms))
                    .map(|t| (Utc::now() - t).num_milliseconds() as f64 / 1000.0),
                last: last.map(|s| LastRefresh {
                    mode: s.summary.get(summary::REFRESH_MODE).cloned().unwrap_or_default(),
                    reason: s.summary.get(summary::REFRESH_REASON).cloned(),
                    rows_in: number(Some(&s), summary::REFRESH_ROWS_IN),
                    rows_out: number(Some(&s), summary::REFRESH_ROWS_OUT),
                    seconds: number(Some(&s), summary::REFRESH_MS) as f64 / 1000.0,
                }),
            });
        }
        Ok(out)
    }

    async fn positions(&self, model: &Model, table: &Table) -> BTreeMap<i32, PartitionStatus> {
        let Some(source) = model.source().and_then(|s| self.project.sources.get(s)) else { return BTreeMap::new() };
        let asked = async {
            let kafka = KafkaSource::connect(&source.kafka, &source.topic, &|_| {}).await.ok()?;
            let topic = kafka.describe().await.ok()?;
            let ends = kafka.end_offsets().await.ok()?;
            Some((topic, ends))
        };
        let asked = tokio::time::timeout(std::time::Duration::from_secs(3), asked).await.ok().flatten();
        let (at, ends) = match asked {
            Some((topic, ends)) => {
                let key = FlowKey { flow: model.name.to_string(), cluster: topic.cluster_id, topic_id: topic.topic_id };
                (position::kafka_position(table, &key).ok().flatten(), ends)
            }
            None => (position::recorded_flows(table).ok().and_then(|mut f| f.pop()), BTreeMap::new()),
        };
        at.map(|positions| {
            positions
                .partitions
                .iter()
                .map(|(p, r)| {
                    let end = ends.get(p).copied();
                    (*p, PartitionStatus { position: r.to, end, lag: end.map(|e| (e - r.to).max(0)) })
                })
                .collect()
        })
        .unwrap_or_default()
    }
}
