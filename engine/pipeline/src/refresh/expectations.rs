//! Counts the rows that break expectations, and stops on FAIL UPDATE.
//!
//! Invariants
//! * A row passes only if the condition is TRUE.
//! * FAIL UPDATE is looked at first; then the first broken DROP ROW or QUARANTINE in declared order decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::common::TableReference;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, TableSource};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use ingot_model::ExpectationCounts;

use crate::error::{PipelineError, Result};
use ingot_project::project::{BoundExpectation, CheckedRelation, Model, ViolationAction};
use ingot_query::context;

/// Net counts by expectation; a deleted row takes its count back.
pub type Counts = BTreeMap<String, ExpectationCounts>;

/// What scans are bound to.
pub type Binding<'a> = dyn Fn(&TableReference) -> Option<Arc<dyn TableSource>> + Send + Sync + 'a;

/// Evaluates every expectation of a model over bound inputs; `sign` is +1 for rows that come, -1 for rows that go.
///
/// # Errors
/// D0102 when a FAIL UPDATE expectation is broken by a row that comes; execution errors.
pub async fn judge(
    ctx: &SessionContext,
    model: &Model,
    relations: &[&CheckedRelation],
    bind: &Binding<'_>,
    prepare: &(dyn Fn(LogicalPlan) -> Result<LogicalPlan> + Send + Sync),
    sign: i64,
    counts: &mut Counts,
) -> Result<()> {
    for relation in relations {
        let plan = ingot_delta::rebind_tables(&relation.plan, &|t| bind(t))?;
        judge_relation(ctx, model, relation, plan, prepare, sign, counts).await?;
    }
    Ok(())
}

/// Evaluates one relation's expectations over a plan that yields its rows.
///
/// # Errors
/// As [`judge`].
pub async fn judge_relation(
    ctx: &SessionContext,
    model: &Model,
    relation: &CheckedRelation,
    plan: LogicalPlan,
    prepare: &(dyn Fn(LogicalPlan) -> Result<LogicalPlan> + Send + Sync),
    sign: i64,
    counts: &mut Counts,
) -> Result<()> {
    let flags: Vec<_> =
        relation.expectations.iter().enumerate().map(|(i, e)| e.broken.clone().alias(format!("broken_{i}"))).collect();
    let flagged = prepare(LogicalPlanBuilder::from(plan.clone()).project(flags)?.build()?)?;
    let mut stream = context::stream(ctx, flagged).await?;
    let mut failed = None;
    while let Some(batch) = stream.try_next().await? {
        if let Some(i) = count(&relation.expectations, &batch, sign, counts) {
            failed = Some(i);
            break;
        }
    }
    drop(stream);
    let Some(expectation) = failed.and_then(|i| relation.expectations.get(i)) else { return Ok(()) };
    let sample =
        prepare(LogicalPlanBuilder::from(plan).filter(expectation.broken.clone())?.limit(0, Some(1))?.build()?)?;
    let rows = context::collect(ctx, sample).await?;
    let shown = pretty_format_batches(&rows).map(|t| t.to_string()).unwrap_or_default();
    Err(PipelineError::stopped(
        "D0102",
        format!(
            "\"{}\": expectation \"{}\" ({}) is broken, and ON VIOLATION FAIL UPDATE stops the update; one such row:\n{shown}",
            model.name, expectation.name, expectation.sql
        ),
    )
    .with_hint("mend the data, or change the expectation's ON VIOLATION"))
}

/// Adds one batch of flags; returns the first broken FAIL UPDATE expectation of a row that comes.
fn count(expectations: &[BoundExpectation], flags: &RecordBatch, sign: i64, counts: &mut Counts) -> Option<usize> {
    let columns: Vec<&BooleanArray> = flags.columns().iter().map(|c| c.as_boolean()).collect();
    let broken = |i: usize, row: usize| columns[i].is_valid(row) && columns[i].value(row);
    if sign > 0 {
        for (i, e) in expectations.iter().enumerate() {
            if e.violation == ViolationAction::FailUpdate && columns[i].true_count() > 0 {
                return Some(i);
            }
        }
    }
    for row in 0..flags.num_rows() {
        let mut routed = false;
        for (i, e) in expectations.iter().enumerate() {
            if !broken(i, row) {
                continue;
            }
            let entry = counts.entry(e.name.clone()).or_default();
            match e.violation {
                ViolationAction::Warn => entry.warned += sign,
                ViolationAction::DropRow if !routed => {
                    entry.dropped += sign;
                    routed = true;
                }
                ViolationAction::Quarantine(_) if !routed => {
                    entry.quarantined += sign;
                    routed = true;
                }
                _ => {}
            }
        }
    }
    None
}
