//! What the steps of a plan did: for the caller that runs it, and for the metrics.

use std::collections::BTreeSet;
use std::time::Duration;

use ingot_model::TableName;
use ingot_telemetry::{self as telemetry, metrics};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::error::{DEFECT, PipelineError, Result};
use crate::plan::{Action, Reason, Step};
use crate::refresh::Outcome;

/// What one step did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepReport {
    pub table: TableName,
    pub mode: String,
    pub reason: Option<Reason>,
    pub rows_in: u64,
    pub rows_out: u64,
    pub seconds: f64,
    pub snapshot: Option<i64>,
    pub error: Option<StepError>,
    /// Source files that an incremental step read.
    #[serde(default)]
    pub files: Vec<String>,
}

/// Why a step failed, as a report tells it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepError {
    pub code: String,
    pub message: String,
    pub hint: Option<String>,
    pub retryable: bool,
    pub exit_code: u8,
}

impl StepError {
    /// Whether this was a panic.
    pub(crate) fn is_defect(&self) -> bool {
        self.code == DEFECT
    }
}

impl From<&PipelineError> for StepError {
    fn from(e: &PipelineError) -> Self {
        Self {
            code: e.code().to_owned(),
            message: e.report(),
            hint: e.hint(),
            retryable: e.retryable(),
            exit_code: e.exit_code(),
        }
    }
}

/// What a plan's execution did, in the order of its steps.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    pub steps: Vec<StepReport>,
}

impl Report {
    /// Whether a step failed.
    pub fn failed(&self) -> bool {
        self.steps.iter().any(|s| s.error.is_some())
    }

    /// 0, or the exit code of the gravest failure: data and project before the outside.
    pub fn exit_code(&self) -> u8 {
        let codes: BTreeSet<u8> = self.steps.iter().filter_map(|s| s.error.as_ref()).map(|e| e.exit_code).collect();
        codes.first().copied().unwrap_or(0)
    }
}

/// What a step did, for the metrics. What ingestion does is counted batch by batch.
pub(super) fn count(step: &Step, done: &Result<Outcome>, took: Duration) {
    let table = step.table.to_string();
    match done {
        _ if !step.action.is_work() || matches!(step.action, Action::Ingest { .. }) => {}
        Ok(outcome) if outcome.mode == "nothing" => {}
        done => metrics().refresh_duration.observe([&table, telemetry::outcome(done)], took),
    }
    if let Err(error) = done {
        metrics().table_errors.add([&table, error.code()], 1);
    }
}

/// What a step did, for its report.
pub(super) fn reported(step: &Step, result: Result<Outcome>, took: Duration) -> StepReport {
    let mut entry = StepReport {
        table: step.table.clone(),
        mode: step.action.mode().to_owned(),
        reason: step.action.reason().cloned(),
        rows_in: 0,
        rows_out: 0,
        seconds: took.as_secs_f64(),
        snapshot: None,
        error: None,
        files: vec![],
    };
    match result {
        Ok(outcome) => {
            entry.mode = outcome.mode;
            entry.reason = outcome.reason.or(entry.reason);
            entry.rows_in = outcome.rows_in;
            entry.rows_out = outcome.rows_out;
            entry.snapshot = outcome.committed;
            entry.files = outcome.files;
        }
        Err(e) => {
            warn!(table = %step.table, code = e.code(), error = %e, hint = e.hint(), "refresh failed");
            entry.error = Some(StepError::from(&e));
        }
    }
    entry
}
