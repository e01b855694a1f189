//! Recursive queries have the types that a UNION of their two branches has.
//!
//!   SELECT CAST(1 AS INT) UNION ALL SELECT n + 1 FROM t     n is BIGINT in both branches
//!
//! DataFusion casts each step to the types of the first branch: values are cut in silence, so that `n + 0.5` of a whole
//! number never ends.
//!
//!   lower: the second branch ──▶ SELECT * FROM (second branch) AS __ingot_step: the casts come above that alias
//!   rule:  the step is typed over wider and wider columns, until one more step changes no type
//!
//! Invariants
//! * What grows with each step (decimals that are added, multiplied, divided ...) has no such types, and is an error that names the column.
//!
//! Not here: the common type of two columns (`set_operations`).

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Result, plan_err};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::logical_plan::RecursiveQuery;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::Analyzer;
use sqlparser::ast::{
    Cte, Ident, ObjectName, Query, SelectItem, SetExpr, SetOperator, TableAliasColumnDef, TableFactor, visit_relations,
};

use crate::fence::Fence;
use crate::set_operations::{common, with_types};
use crate::type_names::type_name;

const STEP: &str = "__ingot_step";
/// Types meet soon or, as those of growing decimals, never.
const ROUNDS_MAX: usize = 4;

/// Names the second branch of recursive queries.
pub(crate) fn in_query(query: &mut Query) {
    let Some(with) = query.with.as_mut().filter(|w| w.recursive) else { return };
    for cte in &mut with.cte_tables {
        let name = cte.alias.name.clone();
        let Cte { query, .. } = cte;
        if let SetExpr::SetOperation { op: SetOperator::Union, right, .. } = query.body.as_mut()
            && mentions(right, &name)
            && let Some(step) = named(right)
        {
            **right = step;
        }
    }
}

fn normal(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

fn mentions(body: &SetExpr, name: &Ident) -> bool {
    let same = |relation: &ObjectName| match relation.0.as_slice() {
        [part] => part.as_ident().is_some_and(|i| normal(i) == normal(name)),
        _ => false,
    };
    visit_relations(body, |relation| if same(relation) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        .is_break()
}

/// `SELECT * FROM (body) AS __ingot_step`, unless the body is that.
fn named(body: &SetExpr) -> Option<SetExpr> {
    let sql = format!("SELECT * FROM (SELECT 1) AS {STEP}");
    let mut outer = crate::written::query(&sql).ok()?;
    let SetExpr::Select(select) = outer.body.as_mut() else { return None };
    let Some(TableFactor::Derived { subquery, alias: Some(alias), .. }) =
        select.from.first_mut().map(|from| &mut from.relation)
    else {
        return None;
    };
    if let SetExpr::Select(given) = body
        && let [from] = given.from.as_slice()
        && matches!(&from.relation, TableFactor::Derived { alias: Some(a), .. } if a.name.value == STEP)
    {
        return None;
    }
    // Two columns of one name would clash within the alias.
    alias.columns = (0..width(body).unwrap_or(0))
        .map(|i| TableAliasColumnDef { name: Ident::new(format!("__ingot_{i}")), data_type: None })
        .collect();
    *subquery.body = body.clone();
    Some(SetExpr::Select(select.clone()))
}

/// How many columns a body has, where its text says so.
fn width(body: &SetExpr) -> Option<usize> {
    match body {
        SetExpr::Select(select) => {
            let plain = |i: &SelectItem| matches!(i, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
            select.projection.iter().all(plain).then_some(select.projection.len())
        }
        SetExpr::Query(query) => width(&query.body),
        SetExpr::SetOperation { left, .. } => width(left),
        _ => None,
    }
}

/// Runs before all other rules: what stands above a recursive query sees its types.
#[derive(Debug)]
pub(crate) struct Recursion;

impl AnalyzerRule for Recursion {
    fn name(&self) -> &str {
        "ingot_recursion"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let mut any = false;
        plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::RecursiveQuery(query) => {
                let settled = settle(query, config)?;
                any |= settled.transformed;
                Ok(settled)
            }
            other if any => Ok(Transformed::yes(other.recompute_schema()?)),
            other => Ok(Transformed::no(other)),
        })
        .data()
    }
}

/// The second branch below what casts it.
fn step(term: &Arc<LogicalPlan>) -> Option<Arc<LogicalPlan>> {
    match term.as_ref() {
        LogicalPlan::SubqueryAlias(alias) if alias.alias.table() == STEP => Some(Arc::clone(term)),
        LogicalPlan::Projection(projection) => step(&projection.input),
        other => step(&Arc::new(Fence::of(other)?.input().clone())),
    }
}

fn types_of(plan: &LogicalPlan) -> Vec<DataType> {
    plan.schema().fields().iter().map(|f| f.data_type().clone()).collect()
}

fn settle(query: RecursiveQuery, config: &ConfigOptions) -> Result<Transformed<LogicalPlan>> {
    let Some(step) = step(&query.recursive_term) else {
        return Ok(Transformed::no(LogicalPlan::RecursiveQuery(query)));
    };
    let analyzer = Analyzer::with_rules(crate::rules());
    let analyzed = |plan: LogicalPlan| analyzer.execute_and_check(plan, config, |_, _| {});
    let first = Arc::new(analyzed(query.static_term.as_ref().clone())?);
    let mut types = types_of(&first);
    let mut growing = 0;
    for _ in 0..ROUNDS_MAX {
        let next = Arc::new(analyzed(over(&step, &query.name, first.schema().as_arrow(), &types)?)?);
        let found = types_of(&next);
        let wider = types.iter().zip(&found).map(|(l, r)| common(l, r)).collect::<Result<Vec<_>>>()?;
        let Some(grows) = types.iter().zip(&wider).position(|(l, r)| l != r) else {
            let (first, next) = (with_types(&first, &types)?, with_types(&next, &types)?);
            let query = RecursiveQuery::try_new(query.name, first, next, query.is_distinct)?;
            return Ok(Transformed::yes(LogicalPlan::RecursiveQuery(query)));
        };
        (types, growing) = (wider, grows);
    }
    let (field, to) = (first.schema().field(growing), types.get(growing).map(type_name).unwrap_or_default());
    plan_err!(
        "column \"{}\" of the recursive query {} is {} in its first branch and grows with each step, to {to} and beyond: \
         CAST it to one type in both branches",
        field.name(),
        query.name,
        type_name(field.data_type())
    )
}

/// The step over rows of these types.
fn over(step: &Arc<LogicalPlan>, name: &str, schema: &Schema, types: &[DataType]) -> Result<LogicalPlan> {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .zip(types)
        .map(|(field, to)| field.as_ref().clone().with_data_type(to.clone()).with_nullable(true))
        .collect();
    let table = CteWorkTable::new(name, Arc::new(Schema::new(fields)));
    let source = provider_as_source(Arc::new(table));
    step.as_ref()
        .clone()
        .transform_up_with_subqueries(|plan| {
            let LogicalPlan::TableScan(scan) = &plan else { return Ok(Transformed::yes(plan.recompute_schema()?)) };
            let provider = source_as_provider(&scan.source).ok();
            let rows = provider.as_ref().and_then(|p| {
                let any: &dyn std::any::Any = p.as_ref();
                any.downcast_ref::<CteWorkTable>()
            });
            if rows.is_none_or(|table| table.name() != name) {
                return Ok(Transformed::no(plan));
            }
            let scan = LogicalPlanBuilder::scan(scan.table_name.clone(), Arc::clone(&source), scan.projection.clone())?;
            Ok(Transformed::yes(scan.build()?))
        })
        .data()
}
