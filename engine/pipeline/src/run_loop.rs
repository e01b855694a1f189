//! Keeps every table fresh until stopped.
//!
//!   one task a streaming table: topic ──▶ commits ──▶ wakes ──▶ one task for all views, in graph order
//!
//! Invariants
//! * A pass over the views pins every table once, so that the inputs of a join agree on what they stand on.
//! * A table that fails for a passing reason is tried again with growing pauses; one that fails for good stops alone.
//! * A task that ends without having been asked to is noticed, named in `Progress`, and started again after a pause
//!   that grows; so is a view whose refresh panics.
//! * A stop finishes or abandons the batch in hand within the grace period.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use ingot_model::TableName;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::engine::{Engine, StepError};
use crate::error::{DEFECT, PipelineError, Result};
use crate::ingest::Ingested;
use crate::maintain::{self, Rounds};
use crate::plan::{Action, Read, Step, Upto};

/// How long a stop may take.
pub const GRACE: Duration = Duration::from_secs(8);
/// How often views look for changes that other processes made.
const LOOK: Duration = Duration::from_millis(1_000);
/// Passes over the views begin at most this often within `run.freshness`: the rest of it is for the batch, the pass
/// itself and a pass that has to be waited for.
const PASSES: u32 = 4;
/// Between two passes that each take longer than their share.
const BREATH: Duration = Duration::from_millis(20);

/// How long a table waits before it is tried again: first, and after many tries.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What the loop tells while it runs.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Rows committed since the start, by streaming table.
    pub rows: BTreeMap<TableName, u64>,
    /// Messages behind those rows, errors and filtered ones included.
    pub delivered: BTreeMap<TableName, u64>,
    pub failures: BTreeMap<TableName, StepError>,
    pub refreshes: u64,
    /// Tasks that failed or ended by a defect, by what they do.
    pub troubles: BTreeMap<String, Trouble>,
}

/// A task that failed as a whole, or ended without being stopped.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// How often since the start.
    pub times: u64,
    /// Of the last time.
    pub error: StepError,
    /// Whether it has not worked since.
    pub down: bool,
}

/// Shared with the code that shows it.
pub type Shared = Arc<Mutex<Progress>>;

fn note(shared: &Shared, f: impl FnOnce(&mut Progress)) {
    f(&mut shared.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Runs until `shutdown`; returns the failures that are left.
///
/// # Errors
/// The catalog's, at the start. Failures of single tables are in the result.
pub async fn run(
    engine: Arc<Engine>,
    selected: BTreeSet<TableName>,
    shutdown: CancellationToken,
    shared: Shared,
) -> Result<BTreeMap<TableName, StepError>> {
    let wake = Arc::new(Notify::new());
    let mut tasks = JoinSet::new();
    for name in selected.iter().filter(|n| engine.project().tables.get(*n).is_some_and(|m| m.source().is_some())) {
        let what = format!("ingestion of {name}");
        let (engine, name, wake) = (engine.clone(), name.clone(), wake.clone());
        let (stop, told) = (shutdown.clone(), shared.clone());
        let task = move |work| feed(engine.clone(), name.clone(), stop.clone(), wake.clone(), told.clone(), work);
        tasks.spawn(supervised(what, shutdown.clone(), shared.clone(), task));
    }
    let (kept, tables, stop) = (engine.clone(), selected.clone(), shutdown.clone());
    let task = move |work| upkeep(kept.clone(), tables.clone(), stop.clone(), work);
    tasks.spawn(supervised("upkeep".into(), shutdown.clone(), shared.clone(), task));
    let (stop, told) = (shutdown.clone(), shared.clone());
    let task = move |work| views(engine.clone(), selected.clone(), stop.clone(), wake.clone(), told.clone(), work);
    tasks.spawn(supervised("refresh of views".into(), shutdown.clone(), shared.clone(), task));
    shutdown.cancelled().await;
    let finish = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, finish).await.is_err() {
        warn!("a batch was abandoned: it did not finish within the grace period; nothing of it was committed");
        tasks.abort_all();
    }
    let failures = shared.lock().unwrap_or_else(PoisonError::into_inner).failures.clone();
    Ok(failures)
}

/// How a task ends.
enum Over {
    Stopped,
    /// Its table failed for good, which is in `Progress` already.
    Failed,
}

/// Runs a task again whenever it ends by itself, until `shutdown`.
async fn supervised<F>(what: String, shutdown: CancellationToken, shared: Shared, task: impl Fn(Work) -> F)
where
    F: Future<Output = Over>,
{
    let mut pause = PAUSE_MIN;
    loop {
        let began = tokio::time::Instant::now();
        let work = Work { what: what.clone(), shared: shared.clone() };
        let result = AssertUnwindSafe(task(work)).catch_unwind().await;
        if shutdown.is_cancelled() {
            return;
        }
        let error = match result {
            Ok(Over::Failed) => return,
            Ok(Over::Stopped) => PipelineError::stopped(DEFECT, "internal error: a task ended without being stopped"),
            Err(panic) => PipelineError::panicked(panic.as_ref()),
        };
        Work { what: what.clone(), shared: shared.clone() }.failed(&error);
        if began.elapsed() > PAUSE_MAX {
            pause = PAUSE_MIN;
        }
        error!(task = what, code = error.code(), %error, retry_in_s = pause.as_secs(), "a task ended and is started again");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return,
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// What a task tells of itself as a whole.
struct Work {
    what: String,
    shared: Shared,
}

impl Work {
    fn failed(&self, error: &PipelineError) {
        let error = StepError::from(error);
        note(&self.shared, |p| {
            let times = p.troubles.get(&self.what).map_or(0, |t| t.times) + 1;
            p.troubles.insert(self.what.clone(), Trouble { times, error, down: true });
        });
    }

    fn well(&self) {
        note(&self.shared, |p| {
            if let Some(trouble) = p.troubles.get_mut(&self.what).filter(|t| t.down) {
                trouble.down = false;
                info!(task = self.what, "this task works again");
            }
        });
    }
}

async fn feed(
    engine: Arc<Engine>,
    name: TableName,
    shutdown: CancellationToken,
    wake: Arc<Notify>,
    shared: Shared,
    work: Work,
) -> Over {
    let mut pause = PAUSE_MIN;
    let mut before = (0, 0);
    loop {
        let began = tokio::time::Instant::now();
        let attempt = async {
            let model = engine.model(&name)?;
            let mut ingestor = engine.ingestor(model).await?;
            note(&shared, |p| {
                p.failures.remove(&name);
            });
            work.well();
            wake.notify_one();
            let told = |table: &TableName, done: &Ingested| {
                note(&shared, |p| {
                    p.rows.insert(table.clone(), before.0 + done.rows_out);
                    p.delivered.insert(table.clone(), before.1 + done.rows_in);
                });
                wake.notify_one();
            };
            ingestor.run(None, engine.limits(), &shutdown, &told).await
        };
        let result = tokio::select! {
            result = AssertUnwindSafe(attempt).catch_unwind() => {
                result.unwrap_or_else(|panic| Err(PipelineError::panicked(panic.as_ref())))
            }
            () = late(&shutdown) => return Over::Stopped,
        };
        match result {
            Ok(_) => return Over::Stopped,
            Err(_) if shutdown.is_cancelled() => return Over::Stopped,
            Err(e) => {
                let known = StepError::from(&e);
                ingot_telemetry::metrics().table_errors.add([&name.to_string(), e.code()], 1);
                note(&shared, |p| {
                    let total = |m: &BTreeMap<TableName, u64>| m.get(&name).copied().unwrap_or(0);
                    before = (total(&p.rows), total(&p.delivered));
                    p.failures.insert(name.clone(), known);
                });
                if e.is_defect() {
                    work.failed(&e);
                } else if !e.retryable() {
                    error!(table = %name, code = e.code(), error = %e, hint = e.hint(), "this table stops; the others go on");
                    return Over::Failed;
                }
                // After a long time without a failure the pauses start short again.
                if began.elapsed() > PAUSE_MAX {
                    pause = PAUSE_MIN;
                }
                warn!(table = %name, code = e.code(), error = %e, retry_in_s = pause.as_secs(), "ingestion interrupted");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return Over::Stopped,
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Keeps tables in shape.
async fn upkeep(engine: Arc<Engine>, selected: BTreeSet<TableName>, shutdown: CancellationToken, work: Work) -> Over {
    let mut rounds = Rounds::default();
    loop {
        tokio::select! {
            () = tokio::time::sleep(maintain::ROUND) => {}
            () = shutdown.cancelled() => return Over::Stopped,
        }
        engine.keep_in_shape(&selected, &mut rounds, &shutdown).await;
        work.well();
    }
}

/// Resolves when a stop has been asked for so long ago that what hangs must be abandoned.
async fn late(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(GRACE).await;
}

/// A view that failed.
struct Failure {
    error: StepError,
    /// How often in a row.
    tries: u32,
    /// When it is looked at again.
    again: tokio::time::Instant,
    /// What it read.
    reads: Vec<Read>,
}

impl Failure {
    /// Whether reading the same again would fail the same.
    fn is_final(&self) -> bool {
        !self.error.retryable && !self.error.is_defect()
    }

    /// Whether trying now is of no use. What a step of the same plan changes is not known yet.
    fn would_read_the_same(&self, reads: &[Read]) -> bool {
        self.is_final() && self.reads == reads && reads.iter().all(|read| read.to != Upto::Step)
    }
}

type Failed = BTreeMap<TableName, Failure>;

async fn views(
    engine: Arc<Engine>,
    selected: BTreeSet<TableName>,
    shutdown: CancellationToken,
    wake: Arc<Notify>,
    shared: Shared,
    work: Work,
) -> Over {
    let mut failed = Failed::new();
    let mut unplanned = 0;
    let period = Duration::from_millis(engine.config().run.freshness_ms) / PASSES;
    loop {
        let now = tokio::time::Instant::now();
        let due = |name: &TableName| selected.contains(name) && failed.get(name).is_none_or(|f| f.again <= now);
        let mut next = now + period;
        match engine.plan_views(&due).await {
            Ok(mut plan) => {
                unplanned = 0;
                work.well();
                for step in &plan.steps {
                    match &step.action {
                        // An input that is yet to come is no failure of this table.
                        Action::Blocked { reason } if reason.code != "R0303" => {
                            let error = PipelineError::blocked(reason);
                            let told = StepError::from(&error);
                            if !is_known(&failed, &step.table, &told) {
                                warn!(table = %step.table, code = error.code(), error = %error, hint = error.hint(), "refresh blocked");
                            }
                            fails(&mut failed, &shared, &step.table, told, now, Vec::new());
                        }
                        Action::Nothing => recovers(&mut failed, &shared, &step.table),
                        _ => {}
                    }
                }
                let same = |s: &Step| failed.get(&s.table).is_some_and(|f| f.would_read_the_same(s.action.reads()));
                plan.steps.retain(|s| s.action.is_work() && !same(s));
                let report = engine.execute(&plan, &shutdown, &|_| {}).await;
                for step in report.steps {
                    match step.error {
                        None => {
                            recovers(&mut failed, &shared, &step.table);
                            note(&shared, |p| p.refreshes += u64::from(step.snapshot.is_some()));
                        }
                        Some(e) => {
                            let planned = plan.steps.iter().find(|s| s.table == step.table);
                            let reads = planned.map(|s| s.action.reads().to_vec()).unwrap_or_default();
                            fails(&mut failed, &shared, &step.table, e, now, reads);
                        }
                    }
                }
            }
            Err(e) => {
                unplanned += 1;
                work.failed(&e);
                let wait = pause(unplanned);
                warn!(code = e.code(), error = %e, retry_in_s = wait.as_secs(), "views could not be planned");
                next = now + wait;
            }
        }
        if shutdown.is_cancelled() {
            return Over::Stopped;
        }
        let next = next.max(tokio::time::Instant::now() + BREATH);
        tokio::select! {
            () = shutdown.cancelled() => return Over::Stopped,
            () = async {
                tokio::time::sleep_until(next).await;
                tokio::select! {
                    () = wake.notified() => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
            } => {}
        }
    }
}

/// How long to wait after so many failures in a row.
fn pause(tries: u32) -> Duration {
    Duration::from_secs(1 << tries.min(5))
}

/// Whether the table failed in the same way the last time, so that it is not reported again.
fn is_known(failed: &Failed, table: &TableName, error: &StepError) -> bool {
    failed.get(table).is_some_and(|f| f.error.code == error.code && f.error.message == error.message)
}

fn fails(
    failed: &mut Failed,
    shared: &Shared,
    table: &TableName,
    error: StepError,
    now: tokio::time::Instant,
    reads: Vec<Read>,
) {
    let is_known = is_known(failed, table, &error);
    let tries = failed.get(table).map_or(0, |f| f.tries) + 1;
    note(shared, |p| {
        p.failures.insert(table.clone(), error.clone());
    });
    let failure = Failure { error, tries, again: now + pause(tries), reads };
    if failure.is_final() && !is_known {
        let e = &failure.error;
        error!(%table, code = e.code, error = e.message, hint = e.hint, "this table stops until what it reads changes; the others go on");
    }
    failed.insert(table.clone(), failure);
}

fn recovers(failed: &mut Failed, shared: &Shared, table: &TableName) {
    if failed.remove(table).is_some() {
        info!(%table, "this table is fresh again");
    }
    note(shared, |p| {
        p.failures.remove(table);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(retryable: bool, to: Upto) -> (Failure, Vec<Read>) {
        let error = StepError { code: "R0301".into(), message: "".into(), hint: None, retryable, exit_code: 1 };
        let reads = vec![Read { table: "silver.t".parse().unwrap(), from: Some(1), to }];
        (Failure { error, tries: 1, again: tokio::time::Instant::now(), reads: reads.clone() }, reads)
    }

    #[test]
    fn a_failed_view_rests_until_what_it_reads_may_have_changed() {
        let (failed, reads) = failure(false, Upto::Snapshot(Some(2)));
        assert!(failed.would_read_the_same(&reads));
        let moved = vec![Read { to: Upto::Snapshot(Some(3)), ..reads[0].clone() }];
        assert!(!failed.would_read_the_same(&moved));
        let (again, reads) = failure(true, Upto::Snapshot(Some(2)));
        assert!(!again.would_read_the_same(&reads));
        // A step of the same plan changes it: the two plans look alike, and what is read does not.
        let (failed, reads) = failure(false, Upto::Step);
        assert!(!failed.would_read_the_same(&reads));
    }
}
