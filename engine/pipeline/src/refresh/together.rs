//! A table and its side tables, refreshed by one read and committed one after the other.
//!
//!   one read ──▶ files of all ──▶ commit of each side table ──▶ commit of the table
//!
//! Invariants
//! * Nothing is committed before the files of all are written.
//! * What fails together is done apart, so that the failure of one table stays its own.
//! * A side table commits before its main table. Where a process ends in between, the main table is behind, and is brought
//!   up alone by the next plan; then they go together again.
//!
//! Not here: which tables share a read (`decide`), the read itself (`read`).

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures::FutureExt;
use futures::future::{join, join_all};
use ingot_lake::{Table, crash};
use ingot_model::TableName;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::act::{FullRefresh, Member, Outcome, Prepared, with_files};
use super::decide::{self, Moved, Way};
use super::facts;
use super::read::Verdicts;
use crate::engine::Engine;
use crate::error::{PipelineError, Result};
use crate::plan::{Action, Step};

/// Writes the files of a table and of its side tables; gives the side tables' first. `None` where they share no read.
///
/// # Errors
/// What stops any of them; then nothing is left of the files.
async fn prepared(main: &Member<'_>, sides: &[Member<'_>]) -> Result<Option<Vec<Prepared>>> {
    let exists_already = |m: &Member<'_>| matches!(m.action, Action::Create { .. }) && m.target.is_some();
    if exists_already(main) || sides.iter().any(exists_already) {
        return Ok(None);
    }
    match (FullRefresh::of(&main.action, main.target.clone()), &main.target) {
        (Some(refresh), _) => prepared_full(main, refresh, sides).await,
        (None, Some(table)) => prepared_change(main, table, sides).await,
        (None, None) => Ok(None),
    }
}

async fn prepared_full(main: &Member<'_>, refresh: FullRefresh, sides: &[Member<'_>]) -> Result<Option<Vec<Prepared>>> {
    let started = Instant::now();
    let mut refreshes = vec![];
    for side in sides {
        let Some(refresh) = FullRefresh::of(&side.action, side.target.clone()) else { return Ok(None) };
        refreshes.push(refresh);
    }
    let bound = facts::full_scans(&main.job.inputs).await?;
    let Some(reading) = main.job.read_judging(&bound, 1, &names(sides)).await? else { return Ok(None) };
    let none = Verdicts::default();
    let beside = sides.iter().zip(refreshes).zip(reading.sides);
    let beside = beside.map(|((side, refresh), rows)| side.job.write_full(refresh, rows, &none, started));
    let own = main.job.write_full(refresh, reading.rows, &reading.verdicts, started);
    let (beside, own) = join(join_all(beside), own).await;
    all(main, sides, beside, own).await
}

async fn prepared_change(main: &Member<'_>, table: &Table, sides: &[Member<'_>]) -> Result<Option<Vec<Prepared>>> {
    let started = Instant::now();
    let (moved, change) = main.job.moved(table).await?;
    let way = decide::way(&main.job.model.strategy, &moved);
    let mut beside = vec![];
    for side in sides {
        let Some(table) = &side.target else { return Ok(None) };
        let moved = Moved { bases_moved: facts::recorded_bases(table)? != side.job.base, ..moved.clone() };
        beside.push((table, decide::way(&side.job.model.strategy, &moved), moved));
    }
    let idle = beside.iter().filter(|(_, way, _)| *way == Way::Nothing).count();
    let (plus, minus) = match way {
        Way::Nothing if idle == sides.len() => {
            let nothing = || Prepared::Nothing(Outcome::nothing(change.files.clone()));
            return Ok(Some(std::iter::repeat_with(nothing).take(sides.len() + 1).collect()));
        }
        Way::Append | Way::Merge if idle == 0 => {
            let names = names(sides);
            let Some(plus) = main.job.read_judging(&change.inserted, 1, &names).await? else { return Ok(None) };
            let minus = match moved.rows_deleted {
                0 => None,
                _ => match main.job.read_judging(&change.deleted, -1, &names).await? {
                    Some(minus) => Some(minus),
                    None => return Ok(None),
                },
            };
            (plus, minus)
        }
        _ => return Ok(None),
    };
    let mut verdicts = plus.verdicts;
    let (mut gone, mut gone_beside) = (None, vec![]);
    if let Some(minus) = minus {
        verdicts = verdicts.and(minus.verdicts);
        (gone, gone_beside) = (Some(minus.rows), minus.sides);
    }
    let mut gone_beside = gone_beside.into_iter();
    let none = Verdicts::default();
    let beside = sides.iter().zip(&beside).zip(plus.sides).map(|((side, (table, way, moved)), rows)| {
        side.job.write_change(table, way, moved, (rows, gone_beside.next()), &none, started)
    });
    let beside: Vec<_> = beside.collect();
    let own = main.job.write_change(table, &way, &moved, (plus.rows, gone), &verdicts, started);
    let (beside, own) = join(join_all(beside), own).await;
    let prepared = all(main, sides, beside, own).await?;
    let with_files = |prepared| with_files(prepared, change.files.clone());
    Ok(prepared.map(|all| all.into_iter().map(with_files).collect()))
}

fn names<'a>(sides: &'a [Member<'_>]) -> Vec<&'a TableName> {
    sides.iter().map(|side| &side.job.model.name).collect()
}

/// All of them, or the first failure, the main table's before those that follow from it.
async fn all(
    main: &Member<'_>,
    sides: &[Member<'_>],
    beside: Vec<Result<Prepared>>,
    own: Result<Prepared>,
) -> Result<Option<Vec<Prepared>>> {
    let mut failure = None;
    let mut done = vec![];
    let members = std::iter::once(main).chain(sides);
    for (member, result) in members.zip(std::iter::once(own).chain(beside)) {
        match result {
            Ok(prepared) => done.push((member, prepared)),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match failure {
        None => {
            // The main table's comes last.
            done.rotate_left(1);
            Ok(Some(done.into_iter().map(|(_, prepared)| prepared).collect()))
        }
        Some(error) => {
            for (member, prepared) in done {
                member.job.discard(prepared).await;
            }
            Err(error)
        }
    }
}

/// What became of one step; `None`: it is to be done by itself.
type Done = Option<Result<Outcome>>;

impl Engine {
    /// Carries out the steps of side tables and of their main table, which is the last, by one read. Steps at the end that
    /// a stop left undone have no result.
    pub(crate) async fn steps_together(&self, steps: &[&Step], shutdown: &CancellationToken) -> Vec<Result<Outcome>> {
        let names: Vec<TableName> = steps.iter().map(|step| step.table.clone()).collect();
        let mut steps: Vec<Step> = steps.iter().map(|step| (*step).clone()).collect();
        let mut totals = vec![Outcome::default(); steps.len()];
        loop {
            let shared = AssertUnwindSafe(self.together(&steps)).catch_unwind().await;
            let shared = shared.unwrap_or_else(|panic| Err(PipelineError::panicked(panic.as_ref())));
            let (done, more) = shared.unwrap_or_else(|error| {
                info!(table = %steps.iter().map(|s| s.table.to_string()).collect::<Vec<_>>().join(", "), code = error.code(), %error, "refreshed apart from its side tables");
                (steps.iter().map(|_| None).collect(), false)
            });
            let go_on = more && !shutdown.is_cancelled() && done.iter().all(|d| matches!(d, Some(Ok(_))));
            let mut results = vec![];
            for ((step, total), done) in steps.iter().zip(&mut totals).zip(done) {
                let done = match done {
                    Some(done) => done,
                    None if shutdown.is_cancelled() => break,
                    None => self.step_caught(step, shutdown).await,
                };
                results.push(done.map(|outcome| total.extended(outcome)));
            }
            if !go_on {
                return results;
            }
            info!(table = %steps.iter().map(|s| s.table.to_string()).collect::<Vec<_>>().join(", "), "planned again: more was appended than fits in memory, and a part of it is in");
            let again = match self.plan(&|name| names.contains(name)).await {
                Ok(plan) => plan,
                Err(error) => {
                    results.pop();
                    results.push(Err(error));
                    return results;
                }
            };
            match again.reads().as_slice() {
                [all] if all.len() == names.len() => steps = all.iter().map(|step| (*step).clone()).collect(),
                _ => {
                    let mut results = vec![];
                    for (name, total) in names.iter().zip(&mut totals) {
                        if shutdown.is_cancelled() {
                            break;
                        }
                        let step = again.steps.iter().find(|step| step.table == *name);
                        results.push(match step {
                            Some(step) => self.step_caught(step, shutdown).await.map(|outcome| total.extended(outcome)),
                            None => Ok(total.clone()),
                        });
                    }
                    return results;
                }
            }
        }
    }

    /// One read and the commits after it; the flag says that a part is in and more is to come.
    async fn together(&self, steps: &[Step]) -> Result<(Vec<Done>, bool)> {
        let none = || steps.iter().map(|_| None).collect::<Vec<Done>>();
        let [sides @ .., main] = steps else { return Ok((none(), false)) };
        let (main, more) = self.pinned(self.model(&main.table)?, &main.action).await?;
        let mut members = vec![];
        for side in sides {
            members.push(self.pinned_beside(self.model(&side.table)?, &side.action, &main.job).await?);
        }
        let Some(prepared) = prepared(&main, &members).await? else { return Ok((none(), false)) };
        members.push(main);
        let mut done = none();
        let mut left = members.iter().zip(prepared).zip(&mut done);
        for ((member, prepared), done) in left.by_ref() {
            let name = &member.job.model.name;
            match member.job.land(prepared).await {
                Ok(outcome) => {
                    self.note_refreshed(member, &outcome);
                    *done = Some(Ok(outcome));
                    crash::point("refresh.committed", name);
                }
                Err(error) => {
                    // Another writer was first: it is planned again, alone.
                    if !matches!(error, PipelineError::Superseded { .. }) && !error.overtaken() {
                        *done = Some(Err(error));
                    } else {
                        warn!(table = %name, code = error.code(), %error, "planned again");
                    }
                    break;
                }
            }
        }
        for ((member, prepared), _) in left {
            member.job.discard(prepared).await;
        }
        Ok((done, more))
    }
}
