//! Plans a statement as it is, and in other ways where that fails.
//!
//! Not here: what each way rewrites (`ingot_semantics`, `headers`, `parameters`).

use datafusion::common::DFSchema;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::logical_plan::{Filter, Projection, SubqueryAlias};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, SelectItem, SetExpr, Statement, TableFactor, Value};
use ingot_semantics::{has_namesakes, look_outside, name_twins, name_used_twins, put_back_casts, take_out_casts};

use crate::headers::Headers;
use crate::{listing, parameters, statement};

/// The plan of a statement with its parameters taken for intervals where they may be, if it needs that.
pub(crate) async fn planned_with_intervals(
    state: &SessionState,
    unbound: &EngineStatement,
    without: DataFusionError,
) -> Result<LogicalPlan, DataFusionError> {
    let mut tree = unbound.clone();
    if let Some(tree) = statement::tree_of(&mut tree) {
        parameters::guessed(tree);
        parameters::intervals(tree);
    }
    if tree == *unbound {
        return Err(without);
    }
    planned_apart(state, tree).await.map_err(|_| without)
}

/// The plan of a statement in which the items beside a `*` have names of their own, if that makes it one.
pub(crate) async fn planned_with_names(
    state: &SessionState,
    unbound: &EngineStatement,
    headers: &Headers,
) -> Option<(LogicalPlan, EngineStatement, Headers)> {
    let EngineStatement::Statement(tree) = unbound else { return None };
    let (tree, headers) = headers.apart(tree)?;
    let unbound = EngineStatement::Statement(Box::new(tree));
    let mut tree = unbound.clone();
    statement::tree_of(&mut tree).map(parameters::guessed);
    let plan = planned_apart(state, tree).await.ok()?;
    Some((plan, unbound, headers))
}

/// The plan of a statement, in which expressions that differ in a cast alone have names of their own.
pub(crate) async fn planned_apart(state: &SessionState, tree: EngineStatement) -> Result<LogicalPlan, DataFusionError> {
    listing::in_sql_words(planned_once_or_apart(state, tree).await?)
}

/// The plan of a statement that cannot be planned as written: names are also looked up in the queries around, and items
/// of one name get names of their own.
async fn planned_otherwise(
    state: &SessionState,
    tree: &mut EngineStatement,
    without: DataFusionError,
) -> Result<LogicalPlan, DataFusionError> {
    let mut outside = tree.clone();
    let mut last = None;
    while statement::tree_of(&mut outside).is_some_and(|t| look_outside(t, last.as_ref().unwrap_or(&without))) {
        match state.statement_to_plan(outside.clone()).await {
            Ok(plan) => {
                *tree = outside;
                return Ok(plan);
            }
            Err(error) => last = Some(error),
        }
    }
    if statement::tree_of(&mut outside).is_some_and(name_twins)
        && let Ok(plan) = state.statement_to_plan(outside.clone()).await
    {
        *tree = outside;
        return Ok(plan);
    }
    if let Some(why) = statement::tree_of(&mut outside).and_then(name_used_twins)
        && state.statement_to_plan(outside).await.is_ok()
    {
        return Err(why);
    }
    Err(without)
}

/// A `*` of more columns than this is not planned column by column: the planner compares the name of each with all others.
const WIDE: usize = 500;

/// The plan of `SELECT * FROM t [WHERE ..]` over a table of very many columns.
async fn planned_wide(state: &SessionState, tree: &EngineStatement) -> Option<LogicalPlan> {
    let EngineStatement::Statement(statement) = tree else { return None };
    let Statement::Query(query) = statement.as_ref() else { return None };
    let mut query = query.clone();
    let written = query.to_string();
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let [from] = select.from.as_slice() else { return None };
    let condition = select.selection.as_ref().map_or(String::new(), |condition| format!(" WHERE {condition}"));
    if !matches!(from.relation, TableFactor::Table { .. }) || written != format!("SELECT * FROM {from}{condition}") {
        return None;
    }
    select.projection = vec![SelectItem::UnnamedExpr(SqlExpr::value(Value::Null))];
    let rows = EngineStatement::Statement(Box::new(Statement::Query(query)));
    let LogicalPlan::Projection(rows) = state.statement_to_plan(rows).await.ok()? else { return None };
    let columns: Vec<Expr> = rows.input.schema().columns().into_iter().map(Expr::Column).collect();
    if !from_one_table(&rows.input) || columns.len() <= WIDE {
        return None;
    }
    Projection::try_new(columns, rows.input).ok().map(LogicalPlan::Projection)
}

/// Whether all columns of a plan are those of one table, so that `*` is all of them.
fn from_one_table(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Filter(Filter { input, .. }) | LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => {
            from_one_table(input)
        }
        LogicalPlan::TableScan(_) => true,
        _ => false,
    }
}

async fn planned_once_or_apart(
    state: &SessionState,
    mut tree: EngineStatement,
) -> Result<LogicalPlan, DataFusionError> {
    if let Some(plan) = planned_wide(state, &tree).await {
        return Ok(plan);
    }
    let planned = match state.statement_to_plan(tree.clone()).await {
        Err(error) => planned_otherwise(state, &mut tree, error).await,
        planned => planned,
    };
    if planned.as_ref().is_ok_and(|plan| !has_namesakes(plan)) {
        return planned;
    }
    let Some(inner) = statement::tree_of(&mut tree) else { return planned };
    let value = |e: &SqlExpr| state.create_logical_expr(&e.to_string(), &DFSchema::empty()).ok();
    let casts = take_out_casts(inner, &value);
    if casts.is_empty() {
        return planned;
    }
    let mut apart = state.clone();
    for cast in casts.into_values() {
        apart.register_udf(cast)?;
    }
    match apart.statement_to_plan(tree).await.and_then(put_back_casts) {
        Ok(plan) => Ok(plan),
        Err(_) => planned,
    }
}
