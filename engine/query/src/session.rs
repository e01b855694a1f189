//! Queries over the lake: a statement is planned against one snapshot of each of its tables, and runs against
//! those for its life.
//!
//!   text ──▶ statement ──▶ names (one catalog read, pins) ──▶ plan ──▶ Planned ──▶ execute ──▶ Arrow stream
//!
//! Invariants
//! * A `Planned` reads the snapshots in its `pins`, and nothing else ever.
//! * A `Planned` is run for the caller that it was planned for.
//! * Only reads are planned; everything else is refused with Q0104.
//! * Text is parsed and planned, and parameters are bound, on query threads alone, within bounds of size and time.
//! * Results stream; memory is bounded by the session's pool, which all its queries share.
//! * Aggregates are DataFusion's own: exact float sums are for maintained tables.
//!
//! Not here: Flight (`ingot-flight`), the maintenance context (`context`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{NullEquality, ParamValues, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::logical_expr::{ExprSchemable, LogicalPlan};
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as EngineStatement;
use ingot_lake::Lake;

use ingot_model::TableName;
use ingot_project::{check::DialectTypes, project::ViewModel};

use crate::attempts::{planned_apart, planned_with_intervals, planned_with_names};
use crate::caller::Caller;
use crate::error::{ErrorKind, QueryError};
use crate::headers::Headers;
use crate::names::{Loaded, Served, Tables};
use crate::parameters::Place;
use crate::pins::Pins;
use crate::running::{QueryThreads, YieldingJoins};
use crate::{context, headers, names, output, parameters, pool, running, statement, watch};

/// Bounds that all queries of a session share.
#[derive(Debug, Clone)]
pub struct SessionLimits {
    /// Memory of operators that keep rows; sorts and aggregates spill to disk beyond their share.
    pub memory_bytes_max: usize,
    /// Threads for queries, and tasks of one query. `None`: one for each core.
    pub parallelism: Option<usize>,
    /// Time for each part of planning: parsing, the logical plan, binding, the physical plan.
    pub planning_max: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { memory_bytes_max: 1 << 30, parallelism: None, planning_max: Duration::from_secs(20) }
    }
}

/// Plans and runs statements; cheap to clone.
///
/// ```
/// use std::sync::Arc;
///
/// use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// use datafusion::catalog::{MemTable, TableProvider};
/// use futures::TryStreamExt;
/// use ingot_query::{Caller, Session, SessionLimits, TableName};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let rows = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef)])?;
/// let table: Arc<dyn TableProvider> = Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?);
/// let tables = [(TableName::new("silver", "t"), table)];
/// let session = Session::over(tables, vec![], "ingot", &SessionLimits::default())?;
///
/// let caller = &Caller::ANONYMOUS;
/// let planned = session.plan(caller, "SELECT sum(n) AS total FROM silver.t", None).await?;
/// assert_eq!(planned.schema.field(0).name(), "total");
/// let batches: Vec<RecordBatch> = session.execute(caller, &planned, None).await?.try_collect().await?;
/// assert_eq!(batches[0].num_rows(), 1);
/// # Ok(())
/// # }
/// ```
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
    /// The place of each parameter.
    pub places: Vec<Place>,
    pub pins: Pins,
    caller: Caller,
    text: Text,
    /// Optimized unless it has parameters. Shared: plans are large, and a deep one is not copied on any thread.
    pub(crate) plan: Arc<LogicalPlan>,
    pub(crate) state: Arc<SessionState>,
}

/// What a plan was made of.
#[derive(Clone)]
struct Text {
    sql: Arc<str>,
    /// Of a statement with parameters: it is planned again with their values' types.
    tree: Option<Arc<EngineStatement>>,
    headers: Headers,
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
    /// A session over a lake and the project's served views, with a memory pool of its own.
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
        Self::sharing(lake, views, catalog_name, limits, env)
    }

    /// The same in a runtime that others use too: its pool is the bound, whatever the limits say of memory.
    ///
    /// # Errors
    /// When no threads can be had.
    pub fn sharing(
        lake: Lake,
        views: Vec<ViewModel>,
        catalog_name: &str,
        limits: &SessionLimits,
        env: Arc<RuntimeEnv>,
    ) -> Result<Self, QueryError> {
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
        pool::sort_options(options, env.memory_pool.as_ref());
        let mut base = ingot_semantics::state(config, env)
            .with_type_planner(Arc::new(DialectTypes))
            .with_physical_optimizer_rule(Arc::new(YieldingJoins))
            .build();
        // A sum of floats is that of a materialized view of the same text, to the last bit.
        let refused = |e: DataFusionError| QueryError::new(ErrorKind::Internal, e.to_string());
        ingot_delta::register(&mut base).map_err(refused)?;
        let base = watch::watchful(base);
        let threads = QueryThreads::new(cores, limits.planning_max)?;
        let views = views.into_iter().map(|v| (v.name.clone(), v)).collect();
        let served = Served { tables, views, declared: BTreeSet::new(), catalog: catalog.to_owned() };
        Ok(Self(Arc::new(Inner { served, base, threads })))
    }

    /// Tells the session which tables the project declares, so that one which is not built yet is named so.
    #[must_use]
    pub fn with_declared(mut self, tables: BTreeSet<TableName>) -> Self {
        // The session was just made, so no clone of it exists.
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.served.declared = tables;
        }
        self
    }

    /// The name of the catalog that holds every table.
    pub fn catalog_name(&self) -> &str {
        &self.0.served.catalog
    }

    /// Plans a caller's statement: SELECT, WITH, VALUES, SHOW, DESCRIBE or EXPLAIN. With `pins` it reads exactly those
    /// snapshots; without, the heads of one catalog read.
    ///
    /// # Errors
    /// Everything a client can get wrong, with its place; pins that no longer hold; an unreachable catalog.
    pub async fn plan(&self, caller: &Caller, sql: &str, pins: Option<&Pins>) -> Result<Planned, QueryError> {
        let (served, threads) = (&self.0.served, &self.0.threads);
        let sql: Arc<str> = sql.into();
        let (text, catalog) = (Arc::clone(&sql), served.catalog.clone());
        let statement = threads.plan(move || async move { statement::parse(&text, &catalog) }).await?;
        let bound = served.bind(&sql, &statement, pins).await?;
        let base = self.0.base.clone();
        let caller = caller.clone();
        threads.plan(move || plan_statement(caller, sql, statement.tree, bound, base)).await
    }

    /// The statement with its parameters' values, in the order of `Planned::parameters`.
    ///
    /// # Errors
    /// Another number of values, a value that its parameter's type does not hold; a statement of another caller.
    pub async fn bind(
        &self,
        caller: &Caller,
        planned: &Planned,
        values: Vec<ScalarValue>,
    ) -> Result<Planned, QueryError> {
        planned.of(caller)?;
        let planned = planned.clone();
        self.0.threads.plan(move || async move { planned.with(values).await }).await
    }

    /// Runs a planned statement. `params` are needed if and only if it has parameters.
    ///
    /// # Errors
    /// Those of binding and physical planning; a statement of another caller. Errors while rows are computed come in the stream
    /// (`QueryError::from_running` reads them).
    pub async fn execute(
        &self,
        caller: &Caller,
        planned: &Planned,
        params: Option<Vec<ScalarValue>>,
    ) -> Result<SendableRecordBatchStream, QueryError> {
        planned.of(caller)?;
        let planned = match params {
            Some(values) => self.bind(caller, planned, values).await?,
            None => planned.clone(),
        };
        if !planned.parameters.is_empty() {
            return Err(QueryError::new(
                ErrorKind::Parameter,
                format!("the statement has {} parameter(s) without values", planned.parameters.len()),
            )
            .with_hint("prepare the statement and bind them"));
        }
        let (sql, schema, state) =
            (Arc::clone(&planned.text.sql), Arc::clone(&planned.schema), Arc::clone(&planned.state));
        let (text, context) = (Arc::clone(&sql), state.task_ctx());
        let rows = self.0.threads.plan(move || async move {
            let physical = state.query_planner().create_physical_plan(&planned.plan, state.as_ref()).await;
            let physical = physical.map_err(|e| QueryError::from_engine(&text, &e))?;
            // Operators may start tasks at once: they belong to the query's threads too.
            running::open(physical, context).map_err(|e| QueryError::from_running(&text, &e))
        });
        let stream = self.0.threads.start(rows.await?).map_err(|e| QueryError::from_engine(&sql, &e))?;
        Ok(output::client_stream(stream, schema))
    }

    /// Every table and view, by name. Their schemas, comments and keys only with `with_schema`: that reads each
    /// table's metadata. A table whose metadata cannot be read is there without them.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn tables(&self, _caller: &Caller, with_schema: bool) -> Result<Vec<TableEntry>, QueryError> {
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
    pub async fn table(&self, _caller: &Caller, name: &TableName) -> Result<Option<TableEntry>, QueryError> {
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
    pub async fn namespaces(&self, _caller: &Caller) -> Result<Vec<String>, QueryError> {
        let served = &self.0.served;
        let mut all: BTreeSet<String> =
            served.all_names().await?.into_iter().map(|n| n.namespace.to_string()).collect();
        if let Tables::Lake(lake) = &served.tables {
            all.extend(lake.list_namespaces().await.map_err(|e| QueryError::from_lake(&e))?);
        }
        Ok(all.into_iter().collect())
    }
}

async fn plan_statement(
    caller: Caller,
    sql: Arc<str>,
    mut tree: EngineStatement,
    bound: names::Bound,
    base: SessionState,
) -> Result<Planned, QueryError> {
    let names::Bound { catalogs, pins, unread } = bound;
    let mut state = SessionStateBuilder::new_from_existing(base)
        .with_session_id(uuid::Uuid::new_v4().to_string())
        .with_catalog_list(catalogs)
        .build();
    state.mark_start_execution();
    let text = Arc::clone(&sql);
    let engine = |e: DataFusionError| QueryError::from_planning(&text, &e, || functions(&state));
    let explains = !matches!(tree, EngineStatement::Statement(_));
    let mut headers = statement::tree_of(&mut tree).map(headers::take).filter(|_| !explains).unwrap_or_default();
    if let Some(tree) = statement::tree_of(&mut tree) {
        ingot_semantics::lower(tree).map_err(engine)?;
    }
    let mut unbound = Arc::new(tree.clone());
    let guessed = statement::tree_of(&mut tree).map(parameters::guessed).unwrap_or_default();
    let first = planned_apart(&state, tree).await;
    let first = match first {
        Err(e) => planned_with_intervals(&state, &unbound, e).await,
        planned => planned,
    };
    let mut plan = match first {
        Ok(plan) => plan,
        Err(e) => match planned_with_names(&state, &unbound, &headers).await {
            Some((plan, tree, own)) => {
                (unbound, headers) = (Arc::new(tree), own);
                plan
            }
            None => return Err(names::not_read(&unread, &e).unwrap_or_else(|| engine(e))),
        },
    };
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(&plan)
        .map_err(|_| QueryError::new(ErrorKind::Refused, "the statement is refused: this endpoint only reads"))?;
    watch::bounded_plan(&plan).map_err(engine)?;
    if let Some(refusal) = ingot_delta::refuse_unequal(&plan) {
        let text = format!("{} ({})", refusal.text, refusal.code);
        return Err(QueryError::new(ErrorKind::Unsupported, text).with_hint(refusal.help));
    }
    if matches!(plan, LogicalPlan::DescribeTable(_)) {
        let frame = SessionContext::new_with_state(state.clone()).execute_logical_plan(plan).await.map_err(engine)?;
        plan = frame.into_unoptimized_plan();
    }
    let parameters = parameters::parameters(&plan).map_err(engine)?;
    let places = parameters::places(&plan, &parameters, &guessed).map_err(engine)?;
    let unbound = (!parameters.is_empty()).then_some(unbound);
    let text = Text { sql, tree: unbound, headers };
    let planned = Planned::new(caller, text, plan, parameters, pins, state)?;
    Ok(Planned { places, ..planned })
}

impl Planned {
    fn new(
        caller: Caller,
        text: Text,
        plan: LogicalPlan,
        parameters: Vec<(String, Option<DataType>)>,
        pins: Pins,
        mut state: SessionState,
    ) -> Result<Self, QueryError> {
        let engine = |e: DataFusionError| QueryError::from_engine(&text.sql, &e);
        let written = plan.clone();
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
        let schema = text.headers.over(schema, &written);
        let options = state.config_mut().options_mut();
        // It loses rows where a column's values so far are all NULL.
        options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
        if joins_lose_keys(&plan).map_err(engine)? {
            options.optimizer.enable_join_dynamic_filter_pushdown = false;
        }
        let (places, plan, state) = (Vec::new(), Arc::new(plan), Arc::new(state));
        Ok(Self { schema, parameters, places, pins, caller, text, plan, state })
    }

    /// The statement's text.
    pub fn sql(&self) -> &str {
        &self.text.sql
    }

    /// Refuses another caller than the one it was planned for.
    fn of(&self, caller: &Caller) -> Result<(), QueryError> {
        if self.caller == *caller {
            return Ok(());
        }
        Err(QueryError::new(ErrorKind::UnknownHandle, "the statement was planned for another caller")
            .with_hint("plan it again"))
    }

    /// Planned anew with the values' own types.
    async fn with(&self, values: Vec<ScalarValue>) -> Result<Self, QueryError> {
        let values = parameters::accepted(&self.parameters, values)?;
        let Some(tree) = &self.text.tree else { return Ok(self.clone()) };
        let engine = |e: DataFusionError| QueryError::from_engine(&self.text.sql, &e);
        let (tree, types) = parameters::typed(EngineStatement::clone(tree), &self.parameters, &values);
        let state = SessionStateBuilder::new_from_existing(self.state.as_ref().clone())
            .with_type_planner(Arc::new(types))
            .build();
        let plan = planned_apart(&state, tree).await.map_err(engine)?;
        let plan = parameters::prepared(plan).with_param_values(ParamValues::from(values)).map_err(engine)?;
        let text = Text { sql: Arc::clone(&self.text.sql), tree: None, headers: self.text.headers.clone() };
        Self::new(self.caller.clone(), text, plan, Vec::new(), self.pins.clone(), state)
    }
}

/// The names of the functions that a statement may call.
fn functions(state: &SessionState) -> Vec<String> {
    // Planned without being registered.
    let built_in = ["unnest", "map", "make_map"].map(str::to_owned);
    let higher = state.higher_order_functions().keys();
    let others = state.aggregate_functions().keys().chain(state.window_functions().keys()).chain(higher);
    let ours = |name: &&String| !name.starts_with("ingot_");
    let mut names: Vec<String> =
        state.scalar_functions().keys().chain(others).filter(ours).cloned().chain(built_in).collect();
    names.sort_unstable();
    names
}

fn runtime(limits: &SessionLimits) -> Result<Arc<RuntimeEnv>, QueryError> {
    context::bounded(limits.memory_bytes_max).map_err(|e| QueryError::from_engine("", &e))
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
    TableEntry {
        namespace: name.namespace.to_string(),
        name: name.name,
        kind,
        schema,
        comment: None,
        primary_key: Vec::new(),
    }
}

fn stored_entry(name: &TableName, table: &Loaded) -> TableEntry {
    let mut entry = bare_entry(name.clone(), "TABLE");
    entry.schema = output::client_schema(&table.schema());
    if let Loaded::Table(t) = table {
        let properties = t.properties();
        entry.comment = properties.get("comment").cloned();
        entry.primary_key = t.recorded().primary_key().unwrap_or_else(|error| {
            tracing::warn!(table = %name, %error, "the primary key is not shown");
            Vec::new()
        });
    }
    entry
}
