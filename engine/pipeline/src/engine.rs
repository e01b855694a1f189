//! A project joined to its lake: facts, plans, and carrying plans out.
//!
//!   load_tables ──▶ Facts ──▶ planner::plan ──▶ Plan ──▶ execute step by step ──▶ Report
//!
//! Invariants
//! * The plan that is printed is the value that is executed.
//! * One table's failure is reported and does not stop the others, also when it cannot even be read.
//! * Inputs of one step stand on the same snapshot of every streaming table below them, or the step waits.
//!
//! Not here: the loop that keeps going (`run_loop`), the oracle (`verify`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use datafusion::prelude::SessionContext;
use futures::FutureExt;
use ingot_lake::{Lake, Retention, Table, crash};
use ingot_model::{SnapshotInfo, TableName};
use ingot_source::BatchLimits;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug_span, info};

mod clock;
mod recorded;
mod report;

pub use report::{Report, StepError, StepReport};

use crate::error::{PipelineError, Result};
use crate::ingest::{self, Ingestor, act, restart};
use crate::kept;
use crate::plan::{AGED, Action, Plan, Read, Reason, Step, Upto};
use crate::planner::{self, Facts, StreamFacts, TableFacts};
use crate::readers::Readers;
use crate::refresh::{Member, Outcome};
use ingot_project::project::{Model, ModelKind, Project, SourceModel, StreamInput};
use ingot_project::{check, config::Config};
use ingot_query::{QueryError, Session, SessionLimits, context};
use recorded::recorded_in;
pub(crate) use recorded::same_columns;
use report::{count, reported};

/// How often a step is planned again because another writer was first.
const SUPERSEDED_MAX: usize = 3;
/// How long a snapshot is kept for a view that stands on it.
const READERS_MAX_AGE: Duration = Duration::from_secs(7 * 86_400);
/// How long a plan waits for a broker.
pub(crate) const ANSWER: Duration = Duration::from_secs(15);

/// The inputs of a view as it last looked at them without finding a change.
type Looked = HashMap<TableName, (Option<i64>, BTreeMap<TableName, Option<i64>>)>;

/// A project joined to its lake.
pub struct Engine {
    project: Arc<Project>,
    config: Arc<Config>,
    lake: Lake,
    ctx: SessionContext,
    /// How long one broker may take to answer.
    answer_within: Duration,
    looked: Mutex<Looked>,
    seen: Mutex<HashMap<TableName, Seen>>,
    pub(crate) readers: Arc<Readers>,
    /// How much history its commits keep; all where it does not write.
    retention: Option<Arc<Retention>>,
}

/// A view that reads a clock, as it was last found to be what is stored.
#[derive(Debug, Clone)]
struct Seen {
    head: i64,
    now: DateTime<Utc>,
    took: Duration,
}

/// What is stored of some tables of a project.
#[derive(Debug, Default)]
pub struct Stored {
    pub tables: BTreeMap<TableName, Table>,
    /// Tables that cannot be read, with what is wrong with each.
    pub unreadable: BTreeMap<TableName, PipelineError>,
}

impl Engine {
    /// Opens the catalog and the warehouse of a checked project to work on it; makes what is missing.
    ///
    /// # Errors
    /// Lake errors.
    pub async fn open(project: Arc<Project>, config: Arc<Config>) -> Result<Self> {
        let lake = Lake::open_as(config.lake_config(), &config.project.name).await?;
        let min_age = Duration::from_millis(config.upkeep.snapshots_min_age_ms);
        let retention = Arc::new(Retention::new(min_age, READERS_MAX_AGE));
        lake.retain(Arc::clone(&retention));
        Self::over(lake, project, config, Some(retention)).await
    }

    /// Opens them to read; makes nothing, also where there is nothing (`Lake::present`).
    ///
    /// # Errors
    /// Lake errors.
    pub async fn open_to_read(project: Arc<Project>, config: Arc<Config>) -> Result<Self> {
        let lake = Lake::open_existing(config.lake_config()).await?;
        Self::over(lake, project, config, None).await
    }

    async fn over(
        lake: Lake,
        project: Arc<Project>,
        config: Arc<Config>,
        retention: Option<Arc<Retention>>,
    ) -> Result<Self> {
        crash::point("start.opened", "");
        let project = kept::settled(&lake, project, &config, &|_| true).await?;
        let runtime = context::runtime(&lake, config.run.memory_bytes_max)?;
        let ctx = context::maintenance(runtime)?;
        let (looked, seen) = (Mutex::new(HashMap::new()), Mutex::new(HashMap::new()));
        let readers = Arc::default();
        Ok(Self { project, config, lake, ctx, answer_within: ANSWER, looked, seen, readers, retention })
    }

    /// The same lake and memory, of a project that was checked again.
    ///
    /// # Errors
    /// Lake errors.
    pub async fn with_project(&self, project: Arc<Project>) -> Result<Self> {
        let project = kept::settled(&self.lake, project, &self.config, &|_| true).await?;
        Ok(self.of(project))
    }

    /// The same, of a project in which one table has the types that its query gives, whatever is stored.
    async fn with_own_types(&self, table: &TableName) -> Result<Self> {
        let others = |name: &TableName| name != table;
        let checked = check::check_over(&self.project, &self.config, &BTreeMap::new()).project;
        let project = checked.map_or_else(|| Arc::clone(&self.project), Arc::new);
        let project = kept::settled(&self.lake, project, &self.config, &others).await?;
        Ok(self.of(project))
    }

    fn of(&self, project: Arc<Project>) -> Self {
        let (looked, seen) = (Mutex::new(HashMap::new()), Mutex::new(HashMap::new()));
        Self {
            project,
            config: Arc::clone(&self.config),
            lake: self.lake.clone(),
            ctx: self.ctx.clone(),
            answer_within: self.answer_within,
            looked,
            seen,
            readers: Arc::clone(&self.readers),
            retention: self.retention.clone(),
        }
    }

    /// The same, giving each broker so long to answer.
    pub fn answering_within(self, answer_within: Duration) -> Self {
        Self { answer_within, ..self }
    }

    /// The checked project, with the types that its streaming tables are stored with.
    pub fn project(&self) -> &Arc<Project> {
        &self.project
    }

    /// The settings of this process.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Where the tables are.
    pub fn lake(&self) -> &Lake {
        &self.lake
    }

    /// How much history its commits keep; none where it does not write.
    pub(crate) fn retention(&self) -> Option<&Retention> {
        self.retention.as_deref()
    }

    /// The snapshots that views looked at without a change to commit.
    pub(crate) fn looked_at(&self) -> Vec<(TableName, i64)> {
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let each = looked.values().flat_map(|(_, inputs)| inputs);
        each.filter_map(|(name, at)| Some((name.clone(), (*at)?))).collect()
    }

    /// What refreshes are planned and run with.
    pub(crate) fn context(&self) -> &SessionContext {
        &self.ctx
    }

    /// The session that serves queries over this project.
    ///
    /// # Errors
    /// When its runtime cannot be made.
    pub fn session(&self) -> Result<Session, QueryError> {
        let views = self.project.views.values().cloned().collect();
        let limits = SessionLimits { memory_bytes_max: self.config.run.memory_bytes_max, ..SessionLimits::default() };
        let runtime = self.ctx.runtime_env();
        let session = Session::sharing(self.lake.clone(), views, &self.config.catalog.name, &limits, runtime)?;
        Ok(session.with_declared(self.project.tables.keys().cloned().collect()))
    }

    /// How much of a source is one commit.
    pub(crate) fn limits(&self) -> BatchLimits {
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

    /// The project's stored tables that exist and can be read.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn tables(&self) -> Result<BTreeMap<TableName, Table>> {
        let mut tables = self.stored(&|_| true).await?.tables;
        tables.retain(|name, _| !self.is_external(name));
        Ok(tables)
    }

    /// The selected tables of the project and what they need, read in one catalog transaction.
    ///
    /// # Errors
    /// The catalog's. An error of a single table stands in that table's place.
    pub async fn stored(&self, selected: &(dyn Fn(&TableName) -> bool + Sync)) -> Result<Stored> {
        let mut names: BTreeSet<TableName> = BTreeSet::new();
        for model in self.project.tables.values().filter(|m| selected(&m.name)) {
            names.insert(model.name.clone());
            names.extend(model.inputs.iter().chain(&model.sides).cloned());
        }
        let names: Vec<TableName> = names.into_iter().collect();
        let mut stored = Stored::default();
        for (name, loaded) in names.iter().zip(self.lake.load_tables(&names).await?) {
            self.take_in(&mut stored, name, loaded);
        }
        Ok(stored)
    }

    /// Refuses to work on a table of another project. An external one is only read.
    pub(crate) fn check_owner(&self, table: &Table) -> Result<()> {
        if self.is_external(table.name()) && !self.project.tables.contains_key(table.name()) {
            return Ok(());
        }
        Ok(ingot_lake::owner::check(table, &self.config.project.name)?)
    }

    /// Facts of stored tables; sources are asked only for the tables in `asked_for`, all at once.
    async fn facts(&self, stored: &Stored, asked_for: &BTreeSet<TableName>) -> Facts {
        let mut facts = Facts::default();
        for (name, table) in &stored.tables {
            let told = self.table_facts(name, table);
            let mut told = told.unwrap_or_else(|e| TableFacts {
                uuid: table.uuid().to_string(),
                head: table.head(),
                unreadable: Some(Reason::from(&e)),
                ..TableFacts::default()
            });
            let recorded = told.recorded.iter().flat_map(|r| &r.sources);
            let redefined = recorded.filter_map(|(source, (_, from))| {
                Some((source.clone(), stored.tables.get(source)?.redefined_since((*from)?)?))
            });
            told.redefined_inputs = redefined.collect();
            facts.tables.insert(name.clone(), told);
            if let Err(e) = self.check_owner(table) {
                facts.barred.insert(name.clone(), Reason::from(&e));
            }
        }
        facts.barred.extend(stored.unreadable.iter().map(|(name, e)| (name.clone(), Reason::from(e))));
        let asked = asked_for.iter().filter(|name| !facts.barred.contains_key(*name)).filter_map(|name| {
            let model = self.project.tables.get(name)?;
            let source = model.source().and_then(|s| self.project.sources.get(s))?;
            Some(self.ask(model, source, stored.tables.get(name)))
        });
        facts.streams = futures::future::join_all(asked).await.into_iter().collect();
        facts
    }

    /// A source as it is now, or why it cannot be had.
    async fn ask(
        &self,
        model: &Model,
        source: &SourceModel,
        table: Option<&Table>,
    ) -> (TableName, Result<StreamFacts, Reason>) {
        let told = match tokio::time::timeout(self.answer_within, ingest::facts::of_plan(model, source, table)).await {
            Ok(told) => told.map_err(|e| Reason::from(&e)),
            Err(_) => {
                let seconds = self.answer_within.as_secs();
                let text = format!("the broker of {} did not answer in {seconds} s", source.connection);
                Err(Reason::new("S0105", text))
            }
        };
        (model.name.clone(), told)
    }

    pub(crate) fn table_facts(&self, name: &TableName, table: &Table) -> Result<TableFacts> {
        if let Some(facts) = self.external_facts(table) {
            return Ok(facts);
        }
        let streaming = self.project.tables.get(name).filter(|m| m.is_streaming());
        // A view that lost all of ours is computed anew; a streaming table goes on from what is known of them.
        let history = if streaming.is_some() { table.past() } else { table.history() };
        let mut recorded = history.newest_of_ours().map(recorded_in).transpose()?;
        let foreign = history.newer_than_ours().find(|s| !s.operation.is_rewrite()).map(|s| s.operation.to_string());
        let loses_state = |s: &SnapshotInfo| !s.keeps_hidden_columns();
        let state_missing = !table.state_columns().is_empty() && history.newer_than_ours().any(loses_state);
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
        // A definition that Iceberg refuses is reported by the step itself.
        let redefines = streaming.and_then(|m| {
            let error = act::redefined(m, table, &table.redefined_by(&m.definition).ok().flatten()?);
            let hint = error.hint().unwrap_or_default();
            Some(Reason::new(error.code(), format!("{error}; {hint}")))
        });
        let model = self.project.tables.get(name);
        let columns_differ = model.is_some_and(|m| !same_columns(&table.defined_schema(), &m.schema));
        table.recorded().kept_types()?;
        let left_out = streaming.and_then(|m| table.left_out_by(&m.definition).ok()).unwrap_or_default();
        Ok(TableFacts {
            columns_differ,
            left_out,
            redefines,
            uuid: table.uuid().to_string(),
            head: table.head(),
            snapshots: table.metadata().snapshots().map(|s| s.snapshot_id()).collect(),
            same_rows: table.same_rows().collect(),
            recorded,
            foreign,
            state_missing,
            aged: model.and_then(|m| self.aged(m, table)),
            state_columns: table.state_columns().iter().map(|c| (c.name.clone(), c.data_type.clone())).collect(),
            ..TableFacts::default()
        })
    }

    /// What a run would do now with the selected tables.
    ///
    /// # Errors
    /// Lake errors; a source that cannot be read blocks its table alone.
    pub async fn plan(&self, selected: &(dyn Fn(&TableName) -> bool + Sync)) -> Result<Plan> {
        let stored = self.stored(selected).await?;
        let streaming: BTreeSet<TableName> = self
            .project
            .tables
            .values()
            .filter(|m| m.source().is_some() && selected(&m.name))
            .map(|m| m.name.clone())
            .collect();
        let facts = self.facts(&stored, &streaming).await;
        crash::point("planned", "");
        Ok(planner::plan(&self.project, &facts, selected))
    }

    /// What views would do now, without asking any broker.
    ///
    /// # Errors
    /// Lake errors.
    pub(crate) async fn plan_views(&self, selected: &(dyn Fn(&TableName) -> bool + Sync)) -> Result<Plan> {
        let stored = self.stored(selected).await?;
        let facts = self.facts(&stored, &BTreeSet::new()).await;
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
        if self.config.upkeep.enabled {
            self.tell_readers().await;
        }
        let mut report = Report::default();
        for steps in plan.reads() {
            if shutdown.is_cancelled() {
                break;
            }
            let started = Instant::now();
            let results = match steps.as_slice() {
                [step] => vec![self.step_caught(step, shutdown).await],
                several => self.steps_together(several, shutdown).await,
            };
            let took = started.elapsed();
            for (step, result) in steps.into_iter().zip(results) {
                count(step, &result, took);
                let entry = reported(step, result, took);
                progress(&entry);
                crash::point("step.done", &step.table);
                report.steps.push(entry);
            }
        }
        report
    }

    /// A step; a defect in one table must not take the others down.
    pub(crate) async fn step_caught(&self, step: &Step, shutdown: &CancellationToken) -> Result<Outcome> {
        let span = debug_span!(ingot_telemetry::span::STEP, table = %step.table);
        let result = AssertUnwindSafe(self.step_again(step, shutdown)).catch_unwind().instrument(span).await;
        result.unwrap_or_else(|panic| Err(PipelineError::panicked(panic.as_ref())))
    }

    /// A step; when another writer was first, the table is planned again and tried again.
    async fn step_again(&self, step: &Step, shutdown: &CancellationToken) -> Result<Outcome> {
        let mut step = step.clone();
        let (mut tries, mut rows_in, mut rows_out, mut committed) = (0, 0, 0, None);
        loop {
            let reason = match self.step(&step, shutdown).await {
                Ok(outcome) => {
                    rows_in += outcome.rows_in;
                    rows_out += outcome.rows_out;
                    committed = outcome.committed.or(committed);
                    if !outcome.more || shutdown.is_cancelled() {
                        return Ok(Outcome { rows_in, rows_out, committed, ..outcome });
                    }
                    "more was appended than fits in memory, and a part of it is in".to_owned()
                }
                Err(PipelineError::Superseded { reason, .. }) if tries < SUPERSEDED_MAX => {
                    tries += 1;
                    reason
                }
                Err(e) if e.overtaken() && !shutdown.is_cancelled() && tries < SUPERSEDED_MAX => {
                    tries += 1;
                    e.to_string()
                }
                Err(e) => return Err(e),
            };
            info!(table = %step.table, reason, "planned again");
            let again = self.plan(&|n| *n == step.table).await?;
            match again.steps.into_iter().next() {
                Some(next) => step = next,
                None => {
                    return Ok(Outcome { mode: "nothing".into(), rows_in, rows_out, committed, ..Outcome::default() });
                }
            }
        }
    }

    async fn step(&self, step: &Step, shutdown: &CancellationToken) -> Result<Outcome> {
        let model = self.model(&step.table)?;
        match &step.action {
            Action::Nothing => Ok(Outcome { mode: "nothing".into(), ..Outcome::default() }),
            Action::Blocked { reason } => Err(PipelineError::blocked(reason)),
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

    /// A streaming table joined to its source.
    ///
    /// # Errors
    /// As [`Ingestor::open`].
    pub(crate) async fn ingestor(&self, model: &Model) -> Result<Ingestor> {
        let missing = || PipelineError::stopped("N0102", format!("\"{}\" reads no source", model.name));
        let source = model.source().and_then(|s| self.project.sources.get(s)).ok_or_else(missing)?;
        let errors = self
            .project
            .tables
            .values()
            .find(|m| m.kind == ModelKind::DecodeErrors { of: model.name.clone() })
            .cloned()
            .map(Arc::new);
        if let Some(table) = self.lake.load_table(&model.name).await? {
            self.check_owner(&table)?;
        }
        let (model, source) = (Arc::new(model.clone()), Arc::new(source.clone()));
        Ingestor::open(self.ctx.clone(), self.lake.clone(), model, source, errors).await
    }

    async fn refresh_step(&self, model: &Model, action: &Action) -> Result<Outcome> {
        let (member, more) = self.pinned(model, action).await?;
        let (job, target) = (&member.job, member.target.clone());
        if let (Action::Recompute { reason, .. }, Some(stored)) = (action, &target)
            && reason.code == AGED
            && self.unchanged_by_the_clock(job, stored).await?
        {
            return Ok(Outcome { mode: "nothing".into(), ..Outcome::default() });
        }
        let mut outcome = match action {
            Action::Append { .. } => job.append(target).await?,
            action => job.run(action, target).await?,
        };
        outcome.more = more;
        self.note_refreshed(&member, &outcome);
        Ok(outcome)
    }

    /// Remembers what a refresh looked at without a commit, and says what one did.
    pub(crate) fn note_refreshed(&self, member: &Member<'_>, outcome: &Outcome) {
        let Member { job, target, .. } = member;
        let mut all = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if outcome.committed.is_none() {
            let head = target.as_ref().and_then(Table::head);
            let looked = job.inputs.iter().map(|(n, i)| (n.clone(), i.to)).collect();
            all.insert(job.model.name.clone(), (head, looked));
        } else {
            // The commit says it: what was looked at before it need not be kept any more.
            all.remove(&job.model.name);
        }
        drop(all);
        if outcome.mode != "nothing" {
            info!(table = %job.model.name, mode = outcome.mode, rows_in = outcome.rows_in, rows_out = outcome.rows_out, "refreshed");
        }
    }

    /// One table, now; `full` reads it again from its sources, `accept_loss` goes on past what a source has lost.
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
            self.keep_erased(name, accept_loss).await?;
            if !model.kept.is_empty() {
                let own = self.with_own_types(name).await?;
                return own.refresh_stream_fully(own.model(name)?, accept_loss, shutdown).await;
            }
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

    /// Reads a source again from its start, if the log still reaches back to where the table began.
    async fn refresh_stream_fully(
        &self,
        model: &Model,
        accept_loss: bool,
        shutdown: &CancellationToken,
    ) -> Result<Report> {
        if let ModelKind::Streaming { input: StreamInput::Table(_) } = model.kind {
            self.check_inputs(model).await?;
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
