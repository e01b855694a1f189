//! Queries over the lake: a statement is planned against one snapshot of each of its tables, and runs against
//! those for its life.
//!
//!   text ──▶ statement ──▶ names (one catalog read, pins) ──▶ plan ──▶ Planned ──▶ execute ──▶ Arrow stream
//!
//! Invariants
//! * A `Planned` reads the snapshots in its `pins`, and nothing else ever.
//! * Only reads are planned; everything else is refused with Q0104.
//! * Results stream; memory is bounded by the session's pool, which all its queries share.
//! * Aggregates are DataFusion's own: exact float sums are for maintained tables.
//!
//! Not here: Flight (`ingot-flight`), the maintenance context (`context`).

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{NullEquality, ParamValues, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::logical_expr::{ExprSchemable, LogicalPlan};
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use futures::FutureExt;
use ingot_lake::Lake;

mod error;
mod names;
mod output;
mod pins;
mod running;
mod statement;
#[cfg(test)]
mod tests;

pub(crate) use error::find;
pub use error::{ErrorKind, QueryError};
pub use ingot_lake::TableName;
pub use pins::{Pin, Pins};

use crate::check::DialectTypes;
use crate::project::ViewModel;
use names::{Loaded, Served, Tables};
use running::{QueryThreads, YieldingJoins};

/// Bounds that all queries of a session share.
#[derive(Debug, Clone)]
pub struct SessionLimits {
    /// Memory of operators that keep rows; sorts and aggregates spill to disk beyond their share.
    pub memory_bytes_max: usize,
    /// Threads for queries, and tasks of one query. `None`: one for each core.
    pub parallelism: Option<usize>,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { memory_bytes_max: 1 << 30, parallelism: None }
    }
}

/// Plans and runs statements; cheap to clone.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    served: Served,
    /// Functions, rules and options, without a catalog.
    base: SessionState,
    threads: QueryThreads,
}

/// A statement, planned.
#[derive(Clone)]
pub struct Planned {
    /// The columns a client gets. With untyped parameters they are a guess until `bind`.
    pub schema: SchemaRef,
    /// In order: `$1`, `$2`, ..., then named ones. `None`: any type will do.
    pub parameters: Vec<(String, Option<DataType>)>,
    pub pins: Pins,
    sql: Arc<str>,
    /// Optimized unless it has parameters.
    plan: LogicalPlan,
    state: Arc<SessionState>,
}

/// A table or a view, as clients list it.
#[derive(Debug, Clone)]
pub struct TableEntry {
    pub namespace: String,
    pub name: String,
    /// `TABLE` or `VIEW`.
    pub kind: &'static str,
    /// Empty if schemas were not asked for.
    pub schema: SchemaRef,
    pub comment: Option<String>,
    pub primary_key: Vec<String>,
}

impl Session {
    /// A session over a lake and the project's served views.
    ///
    /// # Errors
    /// When the runtime cannot be made.
    pub fn new(
        lake: Lake,
        views: Vec<ViewModel>,
        catalog_name: &str,
        limits: &SessionLimits,
    ) -> Result<Self, QueryError> {
        let env = runtime(limits)?;
        lake.register(&env);
        Self::make(Tables::Lake(lake), views, catalog_name, limits, env)
    }

    /// A session over given tables, which have no snapshots to pin.
    ///
    /// # Errors
    /// When the runtime cannot be made.
    pub fn over(
        tables: impl IntoIterator<Item = (TableName, Arc<dyn TableProvider>)>,
        views: Vec<ViewModel>,
        catalog_name: &str,
        limits: &SessionLimits,
    ) -> Result<Self, QueryError> {
        let env = runtime(limits)?;
        Self::make(Tables::Given(tables.into_iter().collect()), views, catalog_name, limits, env)
    }

    fn make(
        tables: Tables,
        views: Vec<ViewModel>,
        catalog: &str,
        limits: &SessionLimits,
        env: Arc<RuntimeEnv>,
    ) -> Result<Self, QueryError> {
        let cores =
            limits.parallelism.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from)).max(1);
        let mut config = SessionConfig::new()
            .with_target_partitions(cores)
            .with_information_schema(true)
            .with_create_default_catalog_and_schema(false)
            // No namespace is the default one: bare names are refused before they get here.
            .with_default_catalog_and_schema(catalog, "");
        let options = config.options_mut();
        options.sql_parser.collect_spans = true;
        let base = ingot_semantics::state(config, env)
            .with_type_planner(Arc::new(DialectTypes))
            .with_physical_optimizer_rule(Arc::new(YieldingJoins))
            .build();
        let threads = QueryThreads::new(cores)?;
        let views = views.into_iter().map(|v| (v.name.clone(), v)).collect();
        let served = Served { tables, views, declared: BTreeSet::new(), catalog: catalog.to_owned() };
        Ok(Self(Arc::new(Inner { served, base, threads })))
    }

    /// Tells the session which tables the project declares, so that one which is not built yet is named so.
    #[must_use]
    pub fn with_declared(mut self, tables: BTreeSet<TableName>) -> Self {
        // Nobody else has it yet.
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.served.declared = tables;
        }
        self
    }

    /// The name of the catalog that holds every table.
    pub fn catalog_name(&self) -> &str {
        &self.0.served.catalog
    }

    /// Plans a statement: SELECT, WITH, VALUES, SHOW, DESCRIBE or EXPLAIN. With `pins` it reads exactly those
    /// snapshots; without, the heads of one catalog read.
    ///
    /// # Errors
    /// Everything a client can get wrong, with its place; pins that no longer hold; an unreachable catalog.
    pub async fn plan(&self, sql: &str, pins: Option<&Pins>) -> Result<Planned, QueryError> {
        let work = AssertUnwindSafe(self.plan_statement(sql, pins)).catch_unwind();
        work.await.unwrap_or_else(|_| {
            Err(QueryError::new(ErrorKind::Internal, "the engine panicked while planning the statement"))
        })
    }

    async fn plan_statement(&self, sql: &str, pins: Option<&Pins>) -> Result<Planned, QueryError> {
        let served = &self.0.served;
        let statement = statement::parse(sql, &served.catalog)?;
        let bound = served.bind(sql, &statement, pins).await?;
        let mut state = SessionStateBuilder::new_from_existing(self.0.base.clone())
            .with_session_id(uuid::Uuid::new_v4().to_string())
            .with_catalog_list(bound.catalogs)
            .build();
        state.mark_start_execution();
        let engine = |e: DataFusionError| QueryError::from_engine(sql, &e);
        let mut tree = statement.tree;
        if let Some(tree) = statement::tree_of(&mut tree) {
            ingot_semantics::lower(tree).map_err(engine)?;
        }
        let mut plan = state.statement_to_plan(tree).await.map_err(engine)?;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)
            .map_err(|_| QueryError::new(ErrorKind::Refused, "the statement is refused: this endpoint only reads"))?;
        if matches!(plan, LogicalPlan::DescribeTable(_)) {
            let frame =
                SessionContext::new_with_state(state.clone()).execute_logical_plan(plan).await.map_err(engine)?;
            plan = frame.into_unoptimized_plan();
        }
        let parameters = parameters(&plan).map_err(engine)?;
        Planned::new(sql.into(), plan, parameters, bound.pins, state)
    }

    /// Runs a planned statement. `params` are needed if and only if it has parameters.
    ///
    /// # Errors
    /// Of binding and physical planning; those of running come in the stream (`QueryError::from_engine` reads them).
    pub async fn execute(
        &self,
        planned: &Planned,
        params: Option<Vec<ScalarValue>>,
    ) -> Result<SendableRecordBatchStream, QueryError> {
        match params {
            Some(values) => planned.bind(values)?.run(&self.0.threads).await,
            None => planned.run(&self.0.threads).await,
        }
    }

    /// Every table and view, by name. Their schemas, comments and keys only with `with_schema`: that reads each
    /// table's metadata. A table whose metadata cannot be read is there without them.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn tables(&self, with_schema: bool) -> Result<Vec<TableEntry>, QueryError> {
        let served = &self.0.served;
        let stored = served.stored().await?;
        let mut entries = BTreeMap::new();
        if with_schema {
            for (name, table) in stored.iter().zip(served.load(&stored).await?) {
                let entry = match table {
                    Ok(Some(table)) => stored_entry(name, &table),
                    // Dropped between the two reads.
                    Ok(None) => continue,
                    Err(_) => bare_entry(name.clone(), "TABLE"),
                };
                entries.insert(name.clone(), entry);
            }
        } else {
            entries.extend(stored.into_iter().map(|name| (name.clone(), bare_entry(name, "TABLE"))));
        }
        for (name, view) in &served.views {
            let mut entry = bare_entry(name.clone(), "VIEW");
            if with_schema {
                entry.schema = output::client_schema(&view.schema);
            }
            entries.insert(name.clone(), entry);
        }
        Ok(entries.into_values().collect())
    }

    /// One table or view with its schema, comment and key.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn table(&self, name: &TableName) -> Result<Option<TableEntry>, QueryError> {
        let served = &self.0.served;
        if let Some(view) = served.views.get(name) {
            return Ok(Some(TableEntry {
                schema: output::client_schema(&view.schema),
                ..bare_entry(name.clone(), "VIEW")
            }));
        }
        Ok(match served.load(std::slice::from_ref(name)).await?.into_iter().next() {
            Some(Ok(Some(table))) => Some(stored_entry(name, &table)),
            Some(Ok(None)) | None => None,
            Some(Err(_)) => Some(bare_entry(name.clone(), "TABLE")),
        })
    }

    /// Every namespace that holds something, and every one the catalog has.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn namespaces(&self) -> Result<Vec<String>, QueryError> {
        let served = &self.0.served;
        let mut all: BTreeSet<String> = served.all_names().await?.into_iter().map(|n| n.namespace).collect();
        if let Tables::Lake(lake) = &served.tables {
            all.extend(lake.list_namespaces().await.map_err(|e| QueryError::from_lake(&e))?);
        }
        Ok(all.into_iter().collect())
    }
}

impl Planned {
    fn new(
        sql: Arc<str>,
        plan: LogicalPlan,
        parameters: Vec<(String, Option<DataType>)>,
        pins: Pins,
        mut state: SessionState,
    ) -> Result<Self, QueryError> {
        let engine = |e: DataFusionError| QueryError::from_engine(&sql, &e);
        let (plan, schema) = if parameters.is_empty() {
            // Optimizing now gives type errors their place in time: before a client asks for rows.
            let plan = state.optimize(&plan).map_err(engine)?;
            let schema = output::client_schema(plan.schema().as_arrow());
            (plan, schema)
        } else {
            // Types with every unknown parameter as text; a client that binds another type gets that.
            let guesses: Vec<(String, ScalarValue)> = parameters
                .iter()
                .map(|(name, t)| {
                    (
                        name.trim_start_matches('$').to_owned(),
                        ScalarValue::try_from(t.as_ref().unwrap_or(&DataType::Utf8)).unwrap_or(ScalarValue::Utf8(None)),
                    )
                })
                .collect();
            let guessed = plan.clone().with_param_values(ParamValues::from(guesses));
            let schema = output::client_schema(guessed.as_ref().map_or(plan.schema(), LogicalPlan::schema).as_arrow());
            (plan, schema)
        };
        let options = state.config_mut().options_mut();
        // It loses rows where a column's values so far are all NULL.
        options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
        if joins_lose_keys(&plan).map_err(engine)? {
            options.optimizer.enable_join_dynamic_filter_pushdown = false;
        }
        Ok(Self { schema, parameters, pins, plan, state: Arc::new(state), sql })
    }

    /// The statement's text.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The statement with its parameters' values, in the order of `parameters`.
    ///
    /// # Errors
    /// Another number of values, or a value that its parameter's type does not hold.
    pub fn bind(&self, values: Vec<ScalarValue>) -> Result<Self, QueryError> {
        if values.len() != self.parameters.len() {
            return Err(QueryError::new(
                ErrorKind::Parameter,
                format!("the statement has {} parameter(s), and {} value(s) came", self.parameters.len(), values.len()),
            ));
        }
        if values.is_empty() {
            return Ok(self.clone());
        }
        let mut named = Vec::with_capacity(values.len());
        for ((name, wanted), value) in self.parameters.iter().zip(values) {
            let value = match wanted {
                Some(t) if *t != value.data_type() => value.cast_to(t).map_err(|e| {
                    QueryError::new(
                        ErrorKind::Parameter,
                        format!(
                            "parameter {name} is {t}, and {} does not fit: {}",
                            value.data_type(),
                            e.strip_backtrace()
                        ),
                    )
                })?,
                _ => value,
            };
            named.push((name.trim_start_matches('$').to_owned(), value));
        }
        let plan = self
            .plan
            .clone()
            .with_param_values(ParamValues::from(named))
            .map_err(|e| QueryError::from_engine(&self.sql, &e))?;
        Self::new(Arc::clone(&self.sql), plan, Vec::new(), self.pins.clone(), self.state.as_ref().clone())
    }

    async fn run(&self, threads: &QueryThreads) -> Result<SendableRecordBatchStream, QueryError> {
        if !self.parameters.is_empty() {
            return Err(QueryError::new(
                ErrorKind::Parameter,
                format!("the statement has {} parameter(s) without values", self.parameters.len()),
            )
            .with_hint("prepare the statement and bind them"));
        }
        let engine = |e: DataFusionError| QueryError::from_engine(&self.sql, &e);
        let planning =
            AssertUnwindSafe(self.state.query_planner().create_physical_plan(&self.plan, self.state.as_ref()))
                .catch_unwind();
        let physical = match planning.await {
            Ok(plan) => plan.map_err(engine)?,
            Err(_) => return Err(QueryError::new(ErrorKind::Internal, "the engine panicked while planning the query")),
        };
        let stream = threads.start(physical, self.state.task_ctx()).map_err(engine)?;
        Ok(output::client_stream(stream, Arc::clone(&self.schema)))
    }
}

fn runtime(limits: &SessionLimits) -> Result<Arc<RuntimeEnv>, QueryError> {
    const NAMED_CONSUMERS: std::num::NonZeroUsize = std::num::NonZeroUsize::MIN.saturating_add(2);
    let pool = TrackConsumersPool::new(FairSpillPool::new(limits.memory_bytes_max), NAMED_CONSUMERS);
    RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).build_arc().map_err(|e| QueryError::from_engine("", &e))
}

const PARAMETERS_MAX: usize = 10_000;

/// Numbered parameters without gaps, then named ones by name.
fn parameters(plan: &LogicalPlan) -> Result<Vec<(String, Option<DataType>)>, DataFusionError> {
    let found = plan.get_parameter_fields()?;
    let number = |name: &str| name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok());
    let count = found.keys().filter_map(|n| number(n)).max().unwrap_or(0);
    let type_of = |name: &str| found.get(name).and_then(|f| f.as_ref()).map(|f| f.data_type().clone());
    if count > PARAMETERS_MAX {
        return Err(DataFusionError::Plan(format!("parameter ${count}: there may be {PARAMETERS_MAX} at most")));
    }
    let mut out: Vec<_> = (1..=count)
        .map(|n| {
            let name = format!("${n}");
            let data_type = type_of(&name);
            (name, data_type)
        })
        .collect();
    let named: BTreeSet<&String> = found.keys().filter(|n| number(n).is_none()).collect();
    out.extend(named.into_iter().map(|n| (n.clone(), type_of(n))));
    Ok(out)
}

/// Whether a join compares keys that the engine's dynamic join filters lose: NULLs that equal each other, and NaN.
fn joins_lose_keys(plan: &LogicalPlan) -> Result<bool, DataFusionError> {
    let mut lost = false;
    plan.apply_with_subqueries(|node| {
        let LogicalPlan::Join(join) = node else { return Ok(TreeNodeRecursion::Continue) };
        let mut float = false;
        for (left, _) in &join.on {
            float |= left.get_type(join.left.schema())?.is_floating();
        }
        if float || join.null_equality == NullEquality::NullEqualsNull {
            lost = true;
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(lost)
}

fn bare_entry(name: TableName, kind: &'static str) -> TableEntry {
    let schema = Arc::new(datafusion::arrow::datatypes::Schema::empty());
    TableEntry { namespace: name.namespace, name: name.name, kind, schema, comment: None, primary_key: Vec::new() }
}

fn stored_entry(name: &TableName, table: &Loaded) -> TableEntry {
    let mut entry = bare_entry(name.clone(), "TABLE");
    entry.schema = output::client_schema(&table.schema());
    if let Loaded::Table(t) = table {
        let properties = t.properties();
        entry.comment = properties.get("comment").cloned();
        entry.primary_key = ingot_lake::record::primary_key(t).unwrap_or_else(|error| {
            tracing::warn!(table = %name, %error, "the primary key is not shown");
            Vec::new()
        });
    }
    entry
}
