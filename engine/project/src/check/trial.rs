//! Makes the physical plan of every model and runs it over a few generated rows, so that what the engine cannot run is
//! an error of `check` and not of every refresh.
//!
//!   plan ──▶ physical plan ──▶ no rows, plain ones, NULLs, both, extremes ──▶ a trouble, or none
//!   strategy ──▶ the same, and refreshes between these ──▶ what it cannot do is recomputed in full
//!
//! Invariants
//! * Errors of values (an overflow, a division by zero, a failed cast) are no trouble: other rows may be right.
//! * No network, no catalog, no clock; a plan that takes too long is let go, not refused.
//! * A panic stays on the thread of trials, and is not printed.
//!
//! Not here: the rows (`sample`), refreshes (`rehearsal`), where in the query the trouble is (`spans`).

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::mpsc::{Receiver, Sender, channel};

use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use ingot_delta::Strategy;

use super::rehearsal;
use super::room::{PATIENCE, Room, THREAD, Trouble};
use crate::project::CheckedRelation;

/// Plans nest; what a thread of the runtime could not hold must not end `check`.
const STACK_BYTES: usize = 64 << 20;

type Job = Box<dyn FnOnce(&Room) -> Option<Trouble> + Send>;

struct Worker {
    jobs: Sender<Job>,
    done: Receiver<Option<Trouble>>,
}

/// A thread that tries plans one after the other; started with the first.
#[derive(Default)]
pub(crate) struct Trials {
    worker: RefCell<Option<Worker>>,
    /// Nothing is tried.
    none: bool,
}

impl Trials {
    /// Nothing is tried.
    pub fn none() -> Self {
        Self { none: true, ..Self::default() }
    }

    /// Whether plans are tried.
    pub(crate) fn are_made(&self) -> bool {
        !self.none
    }

    /// Tries a query, and the expectations of what it reads.
    pub fn query(&self, plan: &LogicalPlan, checked: &[CheckedRelation]) -> Option<Trouble> {
        let plan = plan.clone();
        let flags: Vec<LogicalPlan> = checked.iter().filter_map(|r| flags(r).ok()).collect();
        self.run(Box::new(move |room| {
            std::iter::once(&plan).chain(&flags).find_map(|plan| room.trouble(room.query(plan)))
        }))
    }

    /// Tries the plans by which a strategy refreshes a table.
    pub fn strategy(&self, plan: &LogicalPlan, strategy: &Strategy) -> Option<Trouble> {
        if strategy.full_reason().is_some() {
            return None;
        }
        let (plan, strategy) = (plan.clone(), strategy.clone());
        self.run(Box::new(move |room| room.trouble(rehearsal::rehearse(room, &plan, &strategy))))
    }

    fn run(&self, job: Job) -> Option<Trouble> {
        if self.none {
            return None;
        }
        let mut worker = self.worker.borrow_mut();
        if worker.is_none() {
            *worker = start();
        }
        let outcome = worker.as_ref().and_then(|w| {
            w.jobs.send(job).ok()?;
            w.done.recv_timeout(PATIENCE * 3).ok()
        });
        if outcome.is_none() {
            // The thread hangs where nothing can stop it, so it is abandoned.
            *worker = None;
        }
        outcome.flatten()
    }
}

fn flags(relation: &CheckedRelation) -> datafusion::common::Result<LogicalPlan> {
    let flags: Vec<Expr> =
        relation.expectations.iter().enumerate().map(|(i, e)| e.broken.clone().alias(format!("broken_{i}"))).collect();
    LogicalPlanBuilder::from(relation.plan.clone()).project(flags)?.build()
}

fn start() -> Option<Worker> {
    quiet();
    let (jobs, todo) = channel::<Job>();
    let (answer, done) = channel();
    let work = move || {
        let Some(room) = Room::new() else { return };
        for job in todo {
            let found = catch_unwind(AssertUnwindSafe(|| job(&room)));
            let found = found.unwrap_or_else(|panic| Some(panicked(panic.as_ref())));
            if answer.send(found).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name(THREAD.into()).stack_size(STACK_BYTES).spawn(work).ok()?;
    Some(Worker { jobs, done })
}

/// Panics of trials are findings, not messages.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().name() != Some(THREAD) {
                before(info);
            }
        }));
    });
}

fn panicked(panic: &(dyn Any + Send)) -> Trouble {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("no message").lines().next().unwrap_or_default().to_owned();
    Trouble { text, panicked: true }
}
