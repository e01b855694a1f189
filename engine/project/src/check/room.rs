//! Where plans run over sample rows, and what it means that one fails there.
//!
//! Not here: which plans run (`trial`), the rows (`sample`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use chrono::{DateTime, Utc};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, ScalarValue, TableReference};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};
use ingot_delta::DeltaError;
use ingot_semantics::{Wrong, complaint, find};

use super::sample::{Occasion, Stage};

/// How long one model may take before it is let go.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// The name of the thread, by which the panic hook knows that a panic is a finding.
pub(super) const THREAD: &str = "ingot-trial";

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
    /// None where no runtime can be made.
    pub fn new() -> Option<Self> {
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

    /// What the engine cannot do, if that is why it failed.
    pub fn trouble(&self, result: Result<(), Failure>) -> Option<Trouble> {
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
    let complaint = complaint(error);
    let for_good = match &complaint.wrong {
        Wrong::Engine(_)
        | Wrong::Unsupported(_)
        | Wrong::Plan(_)
        | Wrong::UnknownColumn { .. }
        | Wrong::AmbiguousColumn(_)
        | Wrong::DuplicateColumn(_)
        | Wrong::Syntax(_) => true,
        Wrong::Ended(true) => return Failure::Trouble(Trouble { text: complaint.detail(""), panicked: true }),
        Wrong::Arrow(e) => match e {
            ArrowError::NotYetImplemented(_) | ArrowError::SchemaError(_) => true,
            // A decimal that does not fit is one of these as well.
            ArrowError::InvalidArgumentError(_) => without_values,
            _ => false,
        },
        Wrong::Execution(_) | Wrong::Configuration(_) => without_values,
        _ => false,
    };
    if for_good { Failure::Trouble(Trouble { text: complaint.detail(""), panicked: false }) } else { Failure::Passing }
}
