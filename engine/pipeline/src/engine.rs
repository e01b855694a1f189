//! A project joined to its lake: facts, plans, and carrying plans out.
//!
//!   load_tables ──▶ Facts ──▶ planner::plan ──▶ Plan ──▶ execute step by step ──▶ Report
//!
//! Invariants
//! * The plan that is printed is the value that is executed.
//! * One table's failure is reported and does not stop the others.
//! * Inputs of one step stand on the same snapshot of every streaming table below them, or the step waits.
//!
//! Not here: the loop that keeps going (`run_loop`), the oracle (`verify`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{SubsecRound, Utc};
use datafusion::prelude::SessionContext;
use futures::FutureExt;
use ingot_lake::crash;
use ingot_lake::{Lake, SnapshotInfo, Table, TableName, record, summary};
use ingot_source::BatchLimits;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::bases::{self, Bases};
use crate::changes::Input;
use crate::config::Config;
use crate::context;
use crate::error::{PipelineError, Result};
use crate::ingest::{self, Ingestor};
use crate::plan::{Action, Plan, Read, Reason, Step, Upto};
use crate::planner::{self, Facts, Recorded, TableFacts};
use crate::project::{Model, ModelKind, Project, StreamInput};
use crate::refresh::{Job, Outcome};
use crate::restart;
use crate::session::{QueryError, Session, SessionLimits};

/// How often a step is planned again because another writer was first.
const SUPERSEDED_MAX: usize = 3;
/// How long a plan waits for a broker.
pub(crate) const ANSWER: Duration = Duration::from_secs(15);

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

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepError {
    pub code: String,
    pub message: String,
    pub hint: Option<String>,
    pub retryable: bool,
    pub exit_code: u8,
}

impl From<&PipelineError> for StepError {
    fn from(e: &PipelineError) -> Self {
        Self {
            code: e.code().to_owned(),
            message: e.to_string(),
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
    pub fn failed(&self) -> bool {
        self.steps.iter().any(|s| s.error.is_some())
    }

    /// 0, or the exit code of the gravest failure: data and project before the outside.
    pub fn exit_code(&self) -> u8 {
        let codes: BTreeSet<u8> = self.steps.iter().filter_map(|s| s.error.as_ref()).map(|e| e.exit_code).collect();
        codes.first().copied().unwrap_or(0)
    }
}

/// The inputs of a view as it last looked at them without finding a change.
type Looked = HashMap<TableName, (Option<i64>, BTreeMap<TableName, Option<i64>>)>;

/// A project joined to its lake.
pub struct Engine {
    pub project: Arc<Project>,
    pub config: Arc<Config>,
    pub lake: Lake,
    pub(crate) ctx: SessionContext,
    looked: Mutex<Looked>,
}

impl Engine {
    /// Opens the catalog and the warehouse of a checked project.
    ///
    /// # Errors
    /// Lake errors.
    pub async fn open(project: Arc<Project>, config: Arc<Config>) -> Result<Self> {
        let lake = Lake::open(config.lake_config()).await?;
        crash::point("start.opened", "");
        let runtime = context::runtime(&lake, config.run.memory_bytes_max)?;
        let ctx = context::maintenance(runtime)?;
        Ok(Self { project, config, lake, ctx, looked: Mutex::new(HashMap::new()) })
    }

    /// The session that serves queries over this project.
    ///
    /// # Errors
    /// When its runtime cannot be made.
    pub fn session(&self) -> Result<Session, QueryError> {
        let views = self.project.views.values().cloned().collect();
        let limits = SessionLimits { memory_bytes_max: self.config.run.memory_bytes_max, ..SessionLimits::default() };
        Session::new(self.lake.clone(), views, &self.config.catalog.name, &limits)
    }

    pub fn limits(&self) -> BatchLimits {
        BatchLimits {
            bytes_max: self.config.run.batch_bytes_max,
            interval: Duration::from_millis(self.config.run.commit_interval_ms),
            ..BatchLimits::default()
        }
    }

    pub(crate) fn model(&self, name: &TableName) -> Result<&Model> {
        self.project
            .tables
            .get(name)
            .ok_or_else(|| PipelineError::stopped("N0101", format!("the project has no table \"{name}\"")))
    }

    /// Stored tables that exist, read in one catalog transaction.
    ///
    /// # Errors
    /// Lake errors.
    pub async fn tables(&self) -> Result<BTreeMap<TableName, Table>> {
        let names: Vec<TableName> = self.project.tables.keys().cloned().collect();
        let found = self.lake.load_tables(&names).await?;
        Ok(names.into_iter().zip(found).filter_map(|(n, t)| t.map(|t| (n, t))).collect())
    }

    /// Facts of stored tables; topics are asked only where `topics` says so.
    async fn facts(&self, tables: &BTreeMap<TableName, Table>, topics: &BTreeSet<TableName>) -> Facts {
        let mut facts = Facts::default();
        for (name, table) in tables {
            let told = self.table_facts(name, table);
            let mut told = told.unwrap_or_else(|e| TableFacts {
                uuid: table.uuid().to_string(),
                head: table.head(),
                unreadable: Some(Reason::from(&e)),
                ..TableFacts::default()
            });
            let recorded = told.recorded.iter().flat_map(|r| &r.sources);
            let redefined = recorded.filter_map(|(source, (_, from))| {
                Some((source.clone(), tables.get(source)?.redefined_since((*from)?)?))
            });
            told.redefined_inputs = redefined.collect();
            facts.tables.insert(name.clone(), told);
        }
        for name in topics {
            let Some(model) = self.project.tables.get(name) else { continue };
            let Some(source) = model.source().and_then(|s| self.project.sources.get(s)) else { continue };
            let asked = tokio::time::timeout(ANSWER, ingest::facts(model, source, tables.get(name))).await;
            let topic = match asked {
                Ok(told) => told.map_err(|e| Reason::from(&e)),
                Err(_) => {
                    let seconds = ANSWER.as_secs();
                    Err(Reason::new(
                        "S0105",
                        format!("the broker of topic {} did not answer in {seconds} s", source.topic),
                    ))
                }
            };
            facts.topics.insert(name.clone(), topic);
        }
        facts
    }

    fn table_facts(&self, name: &TableName, table: &Table) -> Result<TableFacts> {
        let history = table.history();
        let ours = |s: &SnapshotInfo| s.is_ours() && s.summary.contains_key(summary::FINGERPRINT);
        let mut recorded = history.iter().find(|s| ours(s)).map(|s| recorded_in(table, s)).transpose()?;
        let above: Vec<&SnapshotInfo> = history.iter().take_while(|s| !ours(s)).collect();
        let foreign = above.iter().find(|s| s.operation != "replace").map(|s| s.operation.clone());
        let state_missing = !table.state_columns().is_empty() && !above.is_empty();
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(recorded), Some((head, sources))) = (&mut recorded, looked.get(name))
            && *head == table.head()
        {
            for (source, snapshot) in sources {
                if let Some(entry) = recorded.sources.get_mut(source) {
                    entry.1 = *snapshot;
                }
            }
        }
        let streaming = self.project.tables.get(name).filter(|m| m.is_streaming());
        // A definition that Iceberg refuses is reported by the step itself.
        let redefines = streaming.and_then(|m| table.redefined_by(&m.definition).ok().flatten());
        let model = self.project.tables.get(name);
        let columns_differ = model.is_some_and(|m| !same_columns(&table.defined_schema(), &m.schema));
        let left_out = streaming.and_then(|m| table.left_out_by(&m.definition).ok()).unwrap_or_default();
        Ok(TableFacts {
            columns_differ,
            unreadable: None,
            left_out,
            redefines,
            uuid: table.uuid().to_string(),
            head: table.head(),
            snapshots: table.metadata().snapshots().map(|s| s.snapshot_id()).collect(),
            recorded,
            foreign,
            state_missing,
            state_columns: table.state_columns().iter().map(|c| (c.name.clone(), c.data_type.clone())).collect(),
            redefined_inputs: BTreeMap::new(),
        })
    }

    /// What a run would do now with the selected tables.
    ///
    /// # Errors
    /// Lake errors; a topic that cannot be read blocks its table alone.
    pub async fn plan(&self, selected: &(dyn Fn(&TableName) -> bool + Sync)) -> Result<Plan> {
        let tables = self.tables().await?;
        let streaming: BTreeSet<TableName> = self
            .project
            .tables
            .values()
            .filter(|m| m.source().is_some() && selected(&m.name))
            .map(|m| m.name.clone())
            .collect();
        let facts = self.facts(&tables, &streaming).await;
        crash::point("planned", "");
        Ok(planner::plan(&self.project, &facts, selected))
    }

    /// What views would do now, without asking any broker.
    ///
    /// # Errors
    /// Lake errors.
    pub(crate) async fn plan_views(&self, selected: &(dyn Fn(&TableName) -> bool + Sync)) -> Result<Plan> {
        let tables = self.tables().await?;
        let facts = self.facts(&tables, &BTreeSet::new()).await;
        let views =
            |name: &TableName| selected(name) && self.project.tables.get(name).is_some_and(|m| m.source().is_none());
        crash::point("planned", "");
        Ok(planner::plan(&self.project, &facts, &views))
    }

    /// Carries out a plan; failures are reported by table.
    pub async fn execute(
        &self,
        plan: &Plan,
        shutdown: &CancellationToken,
        progress: &(dyn Fn(&StepReport) + Send + Sync),
    ) -> Report {
        let mut report = Report::default();
        for step in &plan.steps {
            if shutdown.is_cancelled() {
                break;
            }
            let started = Instant::now();
            // A defect in one table must not take the others down.
            let result = AssertUnwindSafe(self.step_again(step, shutdown)).catch_unwind().await;
            let result = result.unwrap_or_else(|panic| Err(PipelineError::panicked(panic.as_ref())));
            let seconds = started.elapsed().as_secs_f64();
            let mut entry = StepReport {
                table: step.table.clone(),
                mode: step.action.mode().to_owned(),
                reason: step.action.reason().cloned(),
                rows_in: 0,
                rows_out: 0,
                seconds,
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
            progress(&entry);
            crash::point("step.done", &step.table);
            report.steps.push(entry);
        }
        report
    }

    /// A step; when another writer was first, the table is planned again and tried again.
    async fn step_again(&self, step: &Step, shutdown: &CancellationToken) -> Result<Outcome> {
        let mut step = step.clone();
        for _ in 0..SUPERSEDED_MAX {
            let reason = match self.step(&step, shutdown).await {
                Err(PipelineError::Superseded { reason, .. }) => reason,
                Err(e) if e.overtaken() && !shutdown.is_cancelled() => e.to_string(),
                result => return result,
            };
            info!(table = %step.table, reason, "planned again");
            let again = self.plan(&|n| *n == step.table).await?;
            match again.steps.into_iter().next() {
                Some(next) => step = next,
                None => return Ok(Outcome { mode: "nothing".into(), ..Outcome::default() }),
            }
        }
        self.step(&step, shutdown).await
    }

    async fn step(&self, step: &Step, shutdown: &CancellationToken) -> Result<Outcome> {
        let model = self.model(&step.table)?;
        match &step.action {
            Action::Nothing => Ok(Outcome { mode: "nothing".into(), ..Outcome::default() }),
            Action::Blocked { reason } => Err(PipelineError::Stopped {
                code: crate::codes::known(&reason.code),
                message: reason.text.clone(),
                hint: reason.hint.clone(),
                retryable: crate::codes::is_passing(&reason.code),
            }),
            Action::Ingest { to, .. } => {
                let mut ingestor = self.ingestor(model).await?;
                let done = ingestor.run(Some(to.clone()), self.limits(), shutdown, &|_, _| {}).await?;
                ingestor.report_open_transactions().await?;
                Ok(Outcome {
                    mode: "append".into(),
                    rows_in: done.rows_in,
                    rows_out: done.rows_out,
                    committed: ingestor.table().head(),
                    ..Outcome::default()
                })
            }
            action => self.refresh_step(model, action).await,
        }
    }

    /// A streaming table joined to its topic.
    ///
    /// # Errors
    /// As [`Ingestor::open`].
    pub async fn ingestor(&self, model: &Model) -> Result<Ingestor> {
        let missing = || PipelineError::stopped("N0102", format!("\"{}\" reads no source", model.name));
        let source = model.source().and_then(|s| self.project.sources.get(s)).ok_or_else(missing)?;
        let errors = self
            .project
            .tables
            .values()
            .find(|m| m.kind == ModelKind::DecodeErrors { of: model.name.clone() })
            .cloned()
            .map(Arc::new);
        let (model, source) = (Arc::new(model.clone()), Arc::new(source.clone()));
        Ingestor::open(self.ctx.clone(), self.lake.clone(), model, source, errors).await
    }

    async fn refresh_step(&self, model: &Model, action: &Action) -> Result<Outcome> {
        let mut names = model.inputs.clone();
        names.push(model.name.clone());
        let mut tables = self.lake.load_tables(&names).await?;
        let target = tables.pop().flatten();
        if let Some(target) = &target {
            self.still_planned(model, action, target)?;
        }
        let mut inputs = BTreeMap::new();
        let mut base = Bases::new();
        for (name, table) in names.iter().zip(tables) {
            let Some(table) = table else {
                let text = format!("\"{}\" reads \"{name}\", which does not exist yet", model.name);
                return Err(PipelineError::Stopped { code: "R0303", message: text, hint: None, retryable: true });
            };
            if table.head().is_none() {
                let text = format!("\"{}\" reads \"{name}\", whose first build has not succeeded yet", model.name);
                return Err(PipelineError::Stopped { code: "R0303", message: text, hint: None, retryable: true });
            }
            let read = action.reads().iter().find(|r| r.table == *name);
            let to = match read.map(|r| r.to) {
                Some(Upto::Snapshot(to)) => to,
                _ => table.head(),
            };
            self.input_ready(name, &table)?;
            self.add_base(&mut base, name, &table, to)?;
            inputs.insert(name.clone(), Input { table, from: read.and_then(|r| r.from), to });
        }
        crash::point("refresh.pinned", &model.name);
        let job = Job {
            ctx: &self.ctx,
            lake: &self.lake,
            model,
            inputs,
            base,
            now: Utc::now().trunc_subsecs(6),
            bytes_max: (self.config.run.memory_bytes_max / 8) as u64,
        };
        let head = target.as_ref().and_then(Table::head);
        let outcome = match action {
            Action::Append { .. } => job.append(target).await?,
            action => job.run(action, target).await?,
        };
        if outcome.committed.is_none() {
            let looked = job.inputs.iter().map(|(n, i)| (n.clone(), i.to)).collect();
            self.looked.lock().unwrap_or_else(PoisonError::into_inner).insert(model.name.clone(), (head, looked));
        }
        if outcome.mode != "nothing" {
            info!(table = %model.name, mode = outcome.mode, rows_in = outcome.rows_in, rows_out = outcome.rows_out, "refreshed");
        }
        Ok(outcome)
    }

    /// A delta is added to exactly the rows it was planned for: another commit in between would be counted twice, or
    /// forgotten.
    fn still_planned(&self, model: &Model, action: &Action, target: &Table) -> Result<()> {
        let stale = |facts: &TableFacts| {
            facts.recorded.as_ref().is_none_or(|r| {
                let stands_on = |read: &Read| r.sources.get(&read.table).and_then(|(_, id)| *id) == read.from;
                !action.reads().iter().all(stands_on)
            })
        };
        let moved = match action {
            Action::Refresh { .. } => {
                let facts = self.table_facts(&model.name, target)?;
                let redefined = facts.recorded.as_ref().is_none_or(|r| r.fingerprint != model.fingerprint);
                stale(&facts) || redefined || facts.foreign.is_some() || facts.columns_differ
            }
            Action::Append { .. } => {
                let facts = self.table_facts(&model.name, target)?;
                facts.recorded.is_some() && stale(&facts)
            }
            Action::Create { .. } => target.head().is_some(),
            _ => false,
        };
        if moved {
            let reason = "it was committed to since it was planned".to_owned();
            return Err(PipelineError::Superseded { table: model.name.to_string(), reason });
        }
        Ok(())
    }

    /// An input must have the columns its SQL file says, or its dependents would read another table's rows.
    fn input_ready(&self, name: &TableName, table: &Table) -> Result<()> {
        let Some(model) = self.project.tables.get(name) else { return Ok(()) };
        if same_columns(&table.defined_schema(), &model.schema) {
            return Ok(());
        }
        Err(PipelineError::Stopped {
            code: "R0304",
            message: format!("the stored columns of \"{name}\" are not those of its SQL file yet"),
            hint: Some(format!("refresh \"{name}\" first; its own failure is reported beside this one")),
            retryable: true,
        })
    }

    /// Adds what an input stands on; inputs that disagree make the step wait.
    fn add_base(&self, base: &mut Bases, name: &TableName, table: &Table, to: Option<i64>) -> Result<()> {
        let Some(to) = to else { return Ok(()) };
        let streaming = self.project.tables.get(name).is_some_and(Model::is_streaming);
        let stands_on = if streaming {
            Bases::from([(name.clone(), (table.uuid(), bases::last_with_rows(table, to)?))])
        } else {
            bases::of_view(name, table, to)?
        };
        bases::join(base, stands_on)
    }

    /// One table, now; `full` reads it again from its sources, `accept_loss` goes on past what a topic has lost.
    ///
    /// # Errors
    /// Lake and planning errors; the table's own failure is in the report.
    pub async fn refresh(
        &self,
        name: &TableName,
        full: bool,
        accept_loss: bool,
        shutdown: &CancellationToken,
    ) -> Result<Report> {
        let model = self.model(name)?;
        if full && model.is_streaming() {
            return self.refresh_stream_fully(model, accept_loss, shutdown).await;
        }
        if accept_loss
            && let Some(source) = model.source().and_then(|s| self.project.sources.get(s))
            && let Some(table) = self.lake.load_table(name).await?
        {
            restart::skip_lost(&self.lake, model, source, &table).await?;
        }
        let mut plan = self.plan(&|n| n == name).await?;
        if full {
            for step in &mut plan.steps {
                let reads =
                    model.inputs.iter().map(|t| Read { table: t.clone(), from: None, to: Upto::Step }).collect();
                let reason = Reason::new("R0539", "asked for with --full");
                step.action = match &step.action {
                    Action::Create { .. } | Action::Rebuild { .. } => step.action.clone(),
                    _ => Action::Recompute { reason, reads },
                };
            }
        }
        Ok(self.execute(&plan, shutdown, &|_| {}).await)
    }

    /// Reads a topic again from its start, if the log still reaches back to where the table began.
    async fn refresh_stream_fully(
        &self,
        model: &Model,
        accept_loss: bool,
        shutdown: &CancellationToken,
    ) -> Result<Report> {
        if let ModelKind::Streaming { input: StreamInput::Table(_) } = model.kind {
            self.lake.drop_table(&model.name).await?;
        } else if let Some(table) = self.lake.load_table(&model.name).await? {
            let missing = || PipelineError::stopped("N0102", format!("\"{}\" reads no source", model.name));
            let source = model.source().and_then(|s| self.project.sources.get(s)).ok_or_else(missing)?;
            restart::read_again(&self.lake, &self.project, model, source, &table, accept_loss).await?;
        }
        let name = model.name.clone();
        let plan = self.plan(&|n| *n == name).await?;
        Ok(self.execute(&plan, shutdown, &|_| {}).await)
    }
}

/// Whether two schemas have the same column names and types, in order.
fn same_columns(a: &arrow::datatypes::Schema, b: &arrow::datatypes::Schema) -> bool {
    let pairs = a.fields().iter().zip(b.fields());
    a.fields().len() == b.fields().len()
        && pairs.into_iter().all(|(a, b)| a.name() == b.name() && a.data_type().equals_datatype(b.data_type()))
}

fn recorded_in(table: &Table, snapshot: &SnapshotInfo) -> Result<Recorded> {
    let sources = record::sources(table, snapshot)?.unwrap_or_default();
    Ok(Recorded {
        fingerprint: snapshot.summary.get(summary::FINGERPRINT).cloned().unwrap_or_default(),
        sources: sources.into_iter().map(|(name, (uuid, id))| (name, (uuid.to_string(), id))).collect(),
    })
}
