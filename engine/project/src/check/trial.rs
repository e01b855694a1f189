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
//! Not here: the rows (`sample`), refreshes (`rehearsal`), where in the query the trouble is (`locate`).

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Once};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use chrono::{DateTime, Utc};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, ScalarValue, TableReference};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};
use ingot_delta::{DeltaError, Strategy};

use super::rehearsal;
use super::sample::{Occasion, Stage};
use crate::project::CheckedRelation;
use ingot_semantics::find;

/// Plans nest; what a thread of the runtime could not hold must not end `check`.
const STACK_BYTES: usize = 64 << 20;
/// How long one model may take before it is let go.
const PATIENCE: Duration = Duration::from_secs(2);
/// The name of the thread, by which the panic hook knows that a panic is a finding.
const THREAD: &str = "ingot-trial";

/// What the engine cannot do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// One line in the engine's words.
    pub text: String,
    pub panicked: bool,
}

/// Why something did not run.
#[derive(Debug)]
pub(super) enum Failure {
    /// It never will.
    Trouble(Trouble),
    /// These rows are to blame, or it took too long.
    Passing,
}

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
    pub fn none() -> Self {
        Self { none: true, ..Self::default() }
    }

    pub fn are_made(&self) -> bool {
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

/// Where plans run: as tables are maintained, over sample rows, on one thread.
pub(super) struct Room {
    ctx: SessionContext,
    runtime: tokio::runtime::Runtime,
}

/// A physical plan over sample tables.
pub(super) struct Rehearsed {
    logical: LogicalPlan,
    physical: Arc<dyn ExecutionPlan>,
    stage: Stage,
    /// Functions whose arguments are sizes would fill memory.
    sizes: bool,
}

impl Room {
    fn new() -> Option<Self> {
        let mut config = SessionConfig::new().with_target_partitions(2).with_information_schema(false);
        let options = config.options_mut();
        ingot_semantics::exact_options(options);
        // A plan that prunes by what it met cannot run twice.
        options.optimizer.enable_dynamic_filter_pushdown = false;
        options.optimizer.enable_topk_dynamic_filter_pushdown = false;
        let mut ctx = SessionContext::new_with_state(ingot_semantics::state(config, Arc::default()).build());
        ingot_delta::register(&mut ctx).ok()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .thread_name(THREAD)
            .max_blocking_threads(1)
            .build()
            .ok()?;
        Some(Self { ctx, runtime })
    }

    fn trouble(&self, result: Result<(), Failure>) -> Option<Trouble> {
        match result {
            Err(Failure::Trouble(trouble)) => Some(trouble),
            Ok(()) | Err(Failure::Passing) => None,
        }
    }

    /// Runs a query at every occasion.
    pub fn query(&self, plan: &LogicalPlan) -> Result<(), Failure> {
        let plan = self.prepare(plan)?;
        for occasion in Occasion::ALL {
            match self.at(&plan, occasion) {
                Ok(_) | Err(Failure::Passing) => {}
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(())
    }

    /// The physical plan over sample tables.
    pub fn prepare(&self, plan: &LogicalPlan) -> Result<Rehearsed, Failure> {
        if makes(plan, &|e| matches!(e, Expr::Literal(v, _) if is_huge(v))) {
            return Err(Failure::Passing);
        }
        let stage = Stage::default();
        let bound = bound(plan, &stage).map_err(|e| failure(&e, None))?;
        let state = self.ctx.state();
        let physical = self.patiently(async { state.create_physical_plan(&bound).await })?;
        let physical = physical.map_err(|e| failure(&e, None))?;
        Ok(Rehearsed { sizes: makes(&bound, &|_| true), logical: bound, physical, stage })
    }

    /// The rows of a plan at an occasion.
    pub fn at(&self, plan: &Rehearsed, occasion: Occasion) -> Result<Vec<RecordBatch>, Failure> {
        if plan.sizes && occasion == Occasion::Extremes {
            return Err(Failure::Passing);
        }
        plan.stage.set(occasion);
        let fail = |e: DataFusionError| failure(&e, Some(occasion));
        let again = if is_recursive(&plan.logical) {
            let state = self.ctx.state();
            self.patiently(async { state.create_physical_plan(&plan.logical).await })?
        } else {
            reset_plan_states(Arc::clone(&plan.physical))
        };
        let (again, context) = (again.map_err(fail)?, Arc::new(TaskContext::from(&self.ctx)));
        self.patiently(async { collect(again, context).await })?.map_err(fail)
    }

    fn patiently<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await }).map_err(|_| Failure::Passing)
    }
}

/// The plan over sample tables, at a fixed time.
fn bound(plan: &LogicalPlan, stage: &Stage) -> Result<LogicalPlan, DataFusionError> {
    let mut tables: BTreeMap<TableReference, SchemaRef> = BTreeMap::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && source_as_provider(&scan.source).is_err()
        {
            tables.insert(scan.table_name.clone(), scan.source.schema());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let mut sources = BTreeMap::new();
    for (name, schema) in tables {
        sources.insert(name, provider_as_source(stage.table(&schema)?));
    }
    let unwrapped = |e: DeltaError| match e {
        DeltaError::DataFusion(e) => e,
        other => DataFusionError::External(Box::new(other)),
    };
    let bound = ingot_delta::rebind_tables(plan, &|name| sources.get(name).cloned()).map_err(unwrapped)?;
    ingot_delta::freeze_now(&bound, DateTime::<Utc>::UNIX_EPOCH).map_err(unwrapped)
}

fn is_recursive(plan: &LogicalPlan) -> bool {
    let recursive = |node: &LogicalPlan| Ok(matches!(node, LogicalPlan::RecursiveQuery(_)));
    plan.exists(recursive).unwrap_or(true)
}

/// Whether a function is called that makes as much as an argument says, with such an argument.
fn makes(plan: &LogicalPlan, how_much: &dyn Fn(&Expr) -> bool) -> bool {
    const SIZED: [&str; 10] = [
        "repeat",
        "lpad",
        "rpad",
        "space",
        "range",
        "generate_series",
        "array_repeat",
        "array_resize",
        "list_repeat",
        "list_resize",
    ];
    let mut found = false;
    let walked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|e| {
                found |= matches!(e, Expr::ScalarFunction(f)
                    if SIZED.contains(&f.func.name()) && f.args.iter().any(how_much));
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    found || walked.is_err()
}

/// More than a trial should make.
fn is_huge(value: &ScalarValue) -> bool {
    value.data_type().is_integer()
        && matches!(value.cast_to(&DataType::Int64), Ok(ScalarValue::Int64(Some(n))) if n.unsigned_abs() > 1_000_000)
}

/// Whether an error is the engine's for good. `occasion` is None while it plans.
pub(super) fn failure(error: &DataFusionError, occasion: Option<Occasion>) -> Failure {
    // Without values, none can be to blame.
    let without_values = matches!(occasion, None | Some(Occasion::Empty | Occasion::Nulls));
    // Sample rows hold nothing to be kept from anybody.
    let error = find::<ingot_semantics::Failure>(error).and_then(|failure| failure.cause()).unwrap_or(error);
    let root = error.find_root();
    let for_good = match root {
        DataFusionError::Internal(_)
        | DataFusionError::NotImplemented(_)
        | DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::Substrait(_)
        | DataFusionError::SQL(..) => true,
        DataFusionError::ExecutionJoin(join) => {
            return if join.is_panic() {
                Failure::Trouble(Trouble { text: line(&join.to_string()), panicked: true })
            } else {
                Failure::Passing
            };
        }
        DataFusionError::ArrowError(e, _) => match e.as_ref() {
            ArrowError::NotYetImplemented(_) | ArrowError::SchemaError(_) => true,
            // A decimal that does not fit is one of these as well.
            ArrowError::InvalidArgumentError(_) => without_values,
            _ => false,
        },
        DataFusionError::Execution(_) | DataFusionError::Configuration(_) => without_values,
        _ => false,
    };
    if for_good {
        Failure::Trouble(Trouble { text: line(&root.strip_backtrace()), panicked: false })
    } else {
        Failure::Passing
    }
}

/// Longer complaints are cut.
const LENGTH_MAX: usize = 200;

/// The first line, without what the engine asks its own developers to do.
fn line(text: &str) -> String {
    let text = ingot_semantics::sql_words(&ingot_semantics::sql_text(text), "");
    let text = text.lines().find(|l| !l.trim().is_empty()).unwrap_or_default().trim();
    let text = text.strip_prefix("Internal error: ").unwrap_or(text);
    let text = text.split(".\nThis ").next().unwrap_or(text).trim_end_matches('.');
    match text.char_indices().nth(LENGTH_MAX) {
        Some((at, _)) => format!("{} ...", &text[..at]),
        None => text.to_owned(),
    }
}
