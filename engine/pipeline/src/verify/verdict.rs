//! What is said of a table that was verified, and how it follows from a comparison.
//!
//! Invariants
//! * "equal" is said only after a comparison of every row.
//!
//! Not here: comparing (`verify`).

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::pretty::pretty_format_batches;
use ingot_delta::Difference;
use ingot_model::TableName;
use serde::Serialize;

use crate::error::Result;
use crate::refresh::spill::BoundedDiff;

/// What verification found of one table.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// Every row was compared.
    Equal {
        rows: u64,
        how: String,
    },
    Different {
        findings: Vec<String>,
    },
    /// Counts and positions agree, nobody else wrote to it, and the rows themselves cannot be compared any more.
    Consistent {
        rows: u64,
        reason: String,
    },
    /// The comparison itself failed.
    Failed {
        code: String,
        message: String,
        exit_code: u8,
    },
    /// What it would be compared with is gone, or was never there.
    Unverifiable {
        reason: String,
    },
}

/// What was found of one table.
#[derive(Debug, Clone, Serialize)]
pub struct Verified {
    pub table: TableName,
    #[serde(flatten)]
    pub verdict: Verdict,
    pub warnings: Vec<String>,
    pub seconds: f64,
}

impl Verified {
    /// 0 equal or consistent, 1 different, 4 unverifiable.
    pub fn exit_code(&self) -> u8 {
        match self.verdict {
            Verdict::Equal { .. } | Verdict::Consistent { .. } => 0,
            Verdict::Different { .. } => 1,
            Verdict::Failed { exit_code, .. } => exit_code,
            Verdict::Unverifiable { .. } => 4,
        }
    }
}

/// What has longer comparisons find what they read.
pub(super) const MORE_HISTORY: &str = "have more history kept, of that table by its property history.expire.max-snapshot-age-ms, or of \
                            all by upkeep.snapshots-min-age";

pub(super) fn unverifiable(reason: impl Into<String>) -> Verdict {
    Verdict::Unverifiable { reason: reason.into() }
}

/// The verdict when the log no longer holds all that was read: what it still holds must be in the table.
pub(super) fn verdict_of_thinned(
    diff: BoundedDiff,
    rows: u64,
    foreign: Option<i64>,
    reason: String,
    erased: u64,
) -> Result<Verdict> {
    let found = diff.finish()?;
    if found.only_plus <= erased {
        return Ok(uncompared(rows, foreign, reason));
    }
    let text = format!("{} row(s) of the log are missing from the table ({reason})", found.only_plus);
    Ok(Verdict::Different { findings: vec![text] })
}

/// What is said when counts agree and rows cannot be compared.
pub(super) fn uncompared(rows: u64, foreign: Option<i64>, reason: String) -> Verdict {
    match foreign {
        None => Verdict::Consistent { rows, reason },
        Some(id) => {
            unverifiable(format!("counts agree ({rows} rows), but snapshot {id} is another writer's, and {reason}"))
        }
    }
}

/// Rows that were erased, of two tables.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Erased {
    /// From the table: so many may be missing.
    pub(super) here: u64,
    /// Whether from what it has read as a stream: what it has taken before may be there.
    pub(super) below: bool,
}

/// The same where rows were erased: those that are missing, or are there and no more below, are no difference.
pub(super) fn verdict_with_erased(diff: BoundedDiff, rows: u64, erased: Erased, how: &str) -> Result<Verdict> {
    let found = diff.finish()?;
    if found.is_equal() {
        return Ok(Verdict::Equal { rows, how: how.to_owned() });
    }
    let (plus, minus) = (found.only_plus, found.only_minus);
    if plus <= erased.here && (minus == 0 || erased.below) {
        let lacks =
            (plus > 0).then(|| format!("{plus} row(s) are missing of the {} that were erased from it", erased.here));
        let has = (minus > 0)
            .then(|| format!("{minus} row(s) are there that are no more in what it reads, where rows were erased"));
        let told: Vec<String> = lacks.into_iter().chain(has).collect();
        return Ok(Verdict::Consistent { rows, reason: format!("{}; all others are equal", told.join(", ")) });
    }
    verdict(found, rows, how)
}

pub(super) fn verdict_of(diff: BoundedDiff, rows: u64, how: &str) -> Result<Verdict> {
    verdict(diff.finish()?, rows, how)
}

fn verdict(found: Difference, rows: u64, how: &str) -> Result<Verdict> {
    if found.is_equal() {
        return Ok(Verdict::Equal { rows, how: how.to_owned() });
    }
    let findings = [
        (found.only_plus, true, "missing from the table"),
        (found.only_minus, false, "in the table that should not be"),
    ]
    .into_iter()
    .filter(|(count, _, _)| *count > 0)
    .map(|(count, positive, what)| {
        let samples: Vec<RecordBatch> =
            found.examples.iter().filter(|(_, weight)| (*weight > 0) == positive).map(|(b, _)| b.clone()).collect();
        match pretty_format_batches(&samples) {
            Ok(shown) if !samples.is_empty() => format!("{count} row(s) {what}, the first of them:\n{shown}"),
            _ => format!("{count} row(s) {what}"),
        }
    })
    .collect();
    Ok(Verdict::Different { findings })
}
