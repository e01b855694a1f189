//! Counts the rows that break expectations, and stops on FAIL UPDATE.
//!
//! Invariants
//! * A row passes only if the condition is TRUE.
//! * FAIL UPDATE is looked at first; then the first broken DROP ROW or QUARANTINE in declared order decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, BooleanArray};
use datafusion::arrow::compute::{and, not, or, prep_null_mask_filter};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::common::TableReference;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, TableSource};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use ingot_model::{ExpectationCounts, TableName};

use crate::error::{PipelineError, Result};
use crate::refresh::rewrite::arrow;
use ingot_project::project::{BoundExpectation, CheckedRelation, Model, ViolationAction};
use ingot_query::context;

/// Net counts by expectation; a deleted row takes its count back.
pub type Counts = BTreeMap<String, ExpectationCounts>;

/// What scans are bound to.
pub(crate) type Binding<'a> = dyn Fn(&TableReference) -> Option<Arc<dyn TableSource>> + Send + Sync + 'a;

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
pub(crate) async fn judge_relation(
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
        let broken = batch.columns().iter().map(|c| not(&true_alone(c.as_boolean())));
        let passes = broken.collect::<Result<Vec<_>, _>>().map_err(arrow)?;
        let judged = count(&relation.expectations, &passes, batch.num_rows(), sign, counts).map_err(arrow)?;
        if let Judged::Failed(i) = judged {
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

/// TRUE or FALSE for each row: NULL is not TRUE.
pub(crate) fn true_alone(values: &BooleanArray) -> BooleanArray {
    if values.null_count() > 0 { prep_null_mask_filter(values) } else { values.clone() }
}

/// Where the rows of a batch go.
pub(crate) struct Routes {
    /// TRUE where a row stays.
    pub stays: BooleanArray,
    /// TRUE where a row goes into a quarantine table, by table; never for a row that stays.
    pub taken: BTreeMap<TableName, BooleanArray>,
}

/// What expectations make of a batch.
pub(crate) enum Judged {
    Rows(Routes),
    /// The place of a FAIL UPDATE that a row which comes has broken.
    Failed(usize),
}

/// Counts one batch; `passes` has TRUE or FALSE for each expectation and row.
///
/// # Errors
/// Arrays of different lengths, which there are none of.
pub(crate) fn count(
    expectations: &[BoundExpectation],
    passes: &[BooleanArray],
    rows: usize,
    sign: i64,
    counts: &mut Counts,
) -> Result<Judged, ArrowError> {
    let fails = |(e, p): &(&BoundExpectation, &BooleanArray)| {
        e.violation == ViolationAction::FailUpdate && p.true_count() < p.len()
    };
    if sign > 0
        && let Some(i) = expectations.iter().zip(passes).position(|both| fails(&both))
    {
        return Ok(Judged::Failed(i));
    }
    let mut stays = BooleanArray::from(vec![true; rows]);
    let mut taken: BTreeMap<TableName, BooleanArray> = BTreeMap::new();
    for (e, passes) in expectations.iter().zip(passes) {
        let broken = passes.len() - passes.true_count();
        if broken == 0 {
            continue;
        }
        let entry = counts.entry(e.name.clone()).or_default();
        match &e.violation {
            ViolationAction::FailUpdate => continue,
            ViolationAction::Warn => {
                entry.warned += sign * net(broken);
                continue;
            }
            ViolationAction::DropRow | ViolationAction::Quarantine(_) => {}
        }
        let here = and(&stays, &not(passes)?)?;
        stays = and(&stays, passes)?;
        match &e.violation {
            ViolationAction::Quarantine(to) => {
                entry.quarantined += sign * net(here.true_count());
                let all = match taken.get(to) {
                    Some(before) => or(before, &here)?,
                    None => here,
                };
                taken.insert(to.clone(), all);
            }
            _ => entry.dropped += sign * net(here.true_count()),
        }
    }
    Ok(Judged::Rows(Routes { stays, taken }))
}

fn net(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::logical_expr::lit;

    fn expectation(name: &str, violation: ViolationAction) -> BoundExpectation {
        BoundExpectation { name: name.into(), violation, broken: lit(false), sql: String::new() }
    }

    /// Row by row, as the words of the dialect say it.
    fn row_by_row(expectations: &[BoundExpectation], passes: &[BooleanArray], rows: usize, sign: i64) -> Counts {
        let mut counts = Counts::new();
        for row in 0..rows {
            let mut gone = false;
            for (e, _) in expectations.iter().zip(passes).filter(|(_, p)| !p.value(row)) {
                let entry = counts.entry(e.name.clone()).or_default();
                match e.violation {
                    ViolationAction::Warn => entry.warned += sign,
                    ViolationAction::DropRow if !gone => (entry.dropped, gone) = (entry.dropped + sign, true),
                    ViolationAction::Quarantine(_) if !gone => {
                        (entry.quarantined, gone) = (entry.quarantined + sign, true);
                    }
                    _ => {}
                }
            }
        }
        counts
    }

    #[test]
    fn batches_are_counted_as_their_rows_are() {
        let (a, b) = (TableName::new("silver", "a"), TableName::new("silver", "b"));
        let expectations = [
            expectation("w", ViolationAction::Warn),
            expectation("f", ViolationAction::FailUpdate),
            expectation("q", ViolationAction::Quarantine(a.clone())),
            expectation("d", ViolationAction::DropRow),
            expectation("r", ViolationAction::Quarantine(b.clone())),
            expectation("s", ViolationAction::Quarantine(a.clone())),
        ];
        let rows = 64;
        for round in 0..rows {
            let bits: Vec<BooleanArray> = (0..expectations.len())
                .map(|i| (0..rows).map(|row| Some((row * 31 + round * 7) >> i & 1 == 1 || row == round)).collect())
                .collect();
            let mut counts = Counts::new();
            let Judged::Rows(routes) = count(&expectations, &bits, rows, -1, &mut counts).unwrap() else {
                panic!("rows that go stop nothing")
            };
            assert_eq!(counts, row_by_row(&expectations, &bits, rows, -1));
            for row in 0..rows {
                let there = routes.taken.values().filter(|t| t.value(row)).count();
                let dropped = !routes.stays.value(row) && there == 0;
                let first = [2, 3, 4, 5].into_iter().find(|i| !bits[*i].value(row));
                assert_eq!(routes.stays.value(row), first.is_none());
                assert_eq!(dropped, first == Some(3));
                assert_eq!(routes.taken.get(&a).is_some_and(|t| t.value(row)), matches!(first, Some(2 | 5)));
            }
            let failed = count(&expectations, &bits, rows, 1, &mut Counts::new()).unwrap();
            assert_eq!(matches!(failed, Judged::Failed(1)), bits[1].true_count() < rows);
        }
    }
}
