//! Plans query bodies over placeholder tables.
//!
//! Invariants
//! * Plans are not optimized, and their scans hold no data: the code that runs one binds its own tables.
//! * Spans of the syntax tree survive, so that DataFusion's complaints point into the file.
//!
//! Not here: which tables a query may read (`references`), what its output must be (`output`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DFSchema, Result, TableReference, plan_err};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, ScalarUDF, TableSource, WindowUDF,
};
use datafusion::prelude::SessionConfig;
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, Query, Statement};

use ingot_semantics::{Casts, has_namesakes, look_outside, name_twins, own_name, put_back_casts, take_out_casts};

use super::types::DialectTypes;

/// A table without data: its columns, or the plan that stands for it.
pub(crate) struct Placeholder {
    schema: SchemaRef,
    plan: Option<LogicalPlan>,
}

impl Placeholder {
    /// A table of these columns that holds no rows.
    pub fn table(schema: SchemaRef) -> Arc<dyn TableSource> {
        Arc::new(Self { schema, plan: None })
    }

    /// A view: its plan stands under its name in the plans of its readers.
    pub fn view(plan: LogicalPlan) -> Arc<dyn TableSource> {
        Arc::new(Self { schema: Arc::clone(plan.schema().inner()), plan: Some(plan) })
    }
}

impl TableSource for Placeholder {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        self.plan.as_ref().map(Cow::Borrowed)
    }
}

/// What names of a query stand for: one or two parts, folded.
pub(crate) type Relations = BTreeMap<(Option<String>, String), Arc<dyn TableSource>>;

/// Plans queries and expressions; the functions are DataFusion's.
pub(crate) struct Planner {
    state: SessionState,
    types: Arc<dyn TypePlanner>,
}

impl Planner {
    /// Over the functions that models have.
    pub fn new() -> Self {
        let mut config = SessionConfig::new().with_information_schema(false);
        config.options_mut().sql_parser.collect_spans = true;
        let state = ingot_semantics::state(config, Arc::default()).build();
        Self { state, types: Arc::new(DialectTypes) }
    }

    /// Plans a query; nothing is optimized or coerced.
    ///
    /// # Errors
    /// DataFusion's, with spans where it knows them.
    pub fn plan(&self, relations: &Relations, tree: &Query) -> Result<LogicalPlan> {
        let mut statement = Statement::Query(Box::new(tree.clone()));
        ingot_semantics::lower(&mut statement)?;
        let none = Casts::new();
        let scope = Scope { planner: self, relations, casts: &none };
        let plan =
            |tree: &Statement| SqlToRel::new_with_options(&scope, self.options()).sql_statement_to_plan(tree.clone());
        let planned = plan(&statement).or_else(|first| {
            let mut outside = statement.clone();
            let mut last = None;
            while look_outside(&mut outside, last.as_ref().unwrap_or(&first)) {
                match plan(&outside) {
                    Ok(plan) => {
                        statement = outside;
                        return Ok(plan);
                    }
                    Err(error) => last = Some(error),
                }
            }
            // An output's own columns are called as the text says.
            if name_twins(&mut outside)
                && let Ok(plan) = plan(&outside)
                && plan.schema().fields().iter().all(|f| own_name(f.name()).is_none())
            {
                statement = outside;
                return Ok(plan);
            }
            Err(first)
        });
        match planned {
            Ok(plan) if !has_namesakes(&plan) => Ok(plan),
            // Two columns may differ in a cast alone.
            other => self.plan_apart(relations, statement).map_or(other, Ok),
        }
    }

    fn plan_apart(&self, relations: &Relations, mut statement: Statement) -> Option<LogicalPlan> {
        let casts = take_out_casts(&mut statement, &|e| self.expr(e, &DFSchema::empty()).ok());
        if casts.is_empty() {
            return None;
        }
        let scope = Scope { planner: self, relations, casts: &casts };
        let plan = SqlToRel::new_with_options(&scope, self.options()).sql_statement_to_plan(statement).ok()?;
        put_back_casts(plan).ok()
    }

    /// Plans an expression over the columns of a relation.
    ///
    /// # Errors
    /// As `plan`.
    pub fn expr(&self, tree: &SqlExpr, schema: &DFSchema) -> Result<Expr> {
        let (relations, casts) = (Relations::new(), Casts::new());
        let scope = Scope { planner: self, relations: &relations, casts: &casts };
        let mut tree = tree.clone();
        ingot_semantics::lower_expr(&mut tree)?;
        SqlToRel::new_with_options(&scope, self.options()).sql_to_expr(tree, schema, &mut PlannerContext::new())
    }

    /// The plan with its types coerced, as it will run.
    ///
    /// # Errors
    /// Types that do not fit.
    pub fn analyze(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        self.state.analyzer().execute_and_check(plan.clone(), self.state.config_options(), |_, _| {})
    }

    /// Whether a function of this folded name exists.
    pub(crate) fn has_function(&self, name: &str) -> bool {
        // Planned without being registered.
        const BUILT_IN: [&str; 3] = ["unnest", "map", "make_map"];
        self.state.scalar_functions().contains_key(name)
            || self.state.aggregate_functions().contains_key(name)
            || self.state.window_functions().contains_key(name)
            || self.state.higher_order_functions().contains_key(name)
            || BUILT_IN.contains(&name)
    }

    /// Names of all functions, for suggestions.
    pub(crate) fn function_names(&self) -> Vec<&str> {
        let state = &self.state;
        let scalars = state.scalar_functions().keys();
        let others = state.aggregate_functions().keys().chain(state.window_functions().keys());
        let mut names: Vec<&str> =
            scalars.chain(others).map(String::as_str).filter(|n| !n.starts_with("ingot_")).collect();
        names.sort_unstable();
        names
    }

    fn options(&self) -> ParserOptions {
        ParserOptions::from(&self.state.config_options().sql_parser)
    }
}

/// The condition that an expression is over the columns of a table, with its types coerced as it will run. Columns may be
/// written with the table's name.
///
/// # Errors
/// What does not exist, does not fit, or is no condition.
pub fn condition(tree: &SqlExpr, table: &str, columns: &SchemaRef) -> Result<Expr> {
    let planner = Planner::new();
    let scan = scan(TableReference::bare(table), Arc::clone(columns))?;
    let expr = planner.expr(tree, scan.schema())?;
    let plan = planner.analyze(&LogicalPlanBuilder::from(scan).filter(expr)?.build()?)?;
    match plan {
        LogicalPlan::Filter(filter) => Ok(filter.predicate),
        _ => plan_err!("the condition is none"),
    }
}

/// A scan of a placeholder under a name.
///
/// # Errors
/// When the schema has duplicate names.
pub(crate) fn scan(name: TableReference, schema: SchemaRef) -> Result<LogicalPlan> {
    LogicalPlanBuilder::scan(name, Placeholder::table(schema), None)?.build()
}

struct Scope<'a> {
    planner: &'a Planner,
    relations: &'a Relations,
    /// Functions that stand for casts.
    casts: &'a Casts,
}

impl ContextProvider for Scope<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let key = (name.schema().map(str::to_owned), name.table().to_owned());
        match self.relations.get(&key) {
            Some(source) => Ok(Arc::clone(source)),
            None => plan_err!("table '{name}' not found"),
        }
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.planner.state.expr_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::clone(&self.planner.types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.casts.get(name).or_else(|| self.planner.state.scalar_functions().get(name)).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.planner.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.planner.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.planner.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.planner.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.planner.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.planner.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.planner.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.planner.state.window_functions().keys().cloned().collect()
    }
}
