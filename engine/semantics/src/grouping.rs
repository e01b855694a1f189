//! Keys of grouping sets are columns: what they compute is projected below the aggregate.
//!
//!   GROUP BY ROLLUP (f(a), b) ──▶ GROUP BY ROLLUP ("f(a)", b) over a projection with the column "f(a)"
//!
//! The keys' names are those that the query refers to, and a rule that rewrites a key within a set could not keep them.
//! DataFusion leaves casts out of names: a key that is called like a column of the input (`CAST(a AS VARCHAR)`) has another
//! name below the aggregate, and its own above it.
//!
//!   GROUP BY CUBE (a, a) ──▶ GROUP BY CUBE (a, a), GROUPING SETS (())
//!
//! DataFusion takes a key once from sets that it writes out, which it does where there is more than one item.
//!
//! Not here: keys of a plain GROUP BY, which take an alias.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::FieldRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::expr::GroupingSet;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::Aggregate;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::AnalyzerRule;
use sqlparser::ast::{Expr as SqlExpr, GroupByExpr, Ident, Select, visit_expressions_mut};

/// Adds the empty set beside a lone CUBE or ROLLUP that may name a key twice: it changes no groups.
pub(crate) fn in_select(select: &mut Select) {
    let GroupByExpr::Expressions(items, _) = &mut select.group_by else { return };
    let [SqlExpr::Cube(sets) | SqlExpr::Rollup(sets)] = items.as_slice() else { return };
    let mut seen: Vec<SqlExpr> = Vec::new();
    let twice = sets.iter().flatten().map(unqualified).any(|key| {
        let found = seen.contains(&key);
        seen.push(key);
        found
    });
    if twice {
        items.push(SqlExpr::GroupingSets(vec![vec![]]));
    }
}

/// The key without the relations of its columns and the case of their names: what may be equal looks equal.
fn unqualified(key: &SqlExpr) -> SqlExpr {
    let mut key = key.clone();
    let _ = visit_expressions_mut(&mut key, |e| {
        let last = match e {
            SqlExpr::CompoundIdentifier(parts) => parts.last(),
            SqlExpr::Identifier(name) => Some(&*name),
            _ => None,
        };
        if let Some(name) = last {
            *e = SqlExpr::Identifier(Ident::new(name.value.to_lowercase()));
        }
        ControlFlow::<()>::Continue(())
    });
    key
}

/// Runs before all other rules.
#[derive(Debug)]
pub(crate) struct Grouping;

impl AnalyzerRule for Grouping {
    fn name(&self) -> &str {
        "ingot_grouping"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Aggregate(aggregate)
                if aggregate.group_expr.iter().any(|e| matches!(e, Expr::GroupingSet(_))) =>
            {
                keys_below(aggregate).map(Transformed::yes)
            }
            other => Ok(Transformed::no(other)),
        })
        .data()
    }
}

fn keys_below(aggregate: Aggregate) -> Result<LogicalPlan> {
    let schema = Arc::clone(aggregate.input.schema());
    let mut computed: Vec<Key> = Vec::new();
    let mut all =
        |exprs: Vec<Expr>| -> Vec<Expr> { exprs.into_iter().map(|e| key(e, &schema, &mut computed)).collect() };
    let mut groups = Vec::new();
    for group in aggregate.group_expr {
        groups.push(match group {
            Expr::GroupingSet(GroupingSet::Rollup(exprs)) => Expr::GroupingSet(GroupingSet::Rollup(all(exprs))),
            Expr::GroupingSet(GroupingSet::Cube(exprs)) => Expr::GroupingSet(GroupingSet::Cube(all(exprs))),
            Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => {
                Expr::GroupingSet(GroupingSet::GroupingSets(sets.into_iter().map(&mut all).collect()))
            }
            other => other,
        });
    }
    // grouping() names its keys by what they compute.
    let names = NamePreserver::new_for_projection();
    let calls = aggregate.aggr_expr.into_iter().map(|expr| {
        let name = names.save(&expr);
        let replaced = expr.transform_up(|e| match e {
            Expr::AggregateFunction(mut call) if call.func.name() == "grouping" => {
                call.params.args = call.params.args.into_iter().map(|a| column_of(a, &computed)).collect();
                Ok(Transformed::yes(Expr::AggregateFunction(call)))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(replaced.update_data(|e| name.restore(e)).data)
    });
    let calls = calls.collect::<Result<Vec<_>>>()?;
    let mut input = aggregate.input;
    if !computed.is_empty() {
        let columns = schema.iter().map(|(q, f)| Expr::Column(Column::new(q.cloned(), f.name())));
        let keys = computed.iter().map(|k| k.expr.clone().alias_qualified(k.column.relation.clone(), &k.column.name));
        let exprs: Vec<Expr> = columns.chain(keys).collect();
        input = Arc::new(LogicalPlanBuilder::from(input.as_ref().clone()).project(exprs)?.build()?);
    }
    let grouped = LogicalPlan::Aggregate(Aggregate::try_new(input, groups, calls)?);
    if computed.iter().all(|k| k.column == k.shown) {
        return Ok(grouped);
    }
    // grouping() alone looks at the sets' number, within the aggregate.
    let is_number = |f: &FieldRef| f.name() == Aggregate::INTERNAL_GROUPING_ID;
    let shown = grouped.schema().iter().filter(|(_, f)| !is_number(f)).map(|(q, f)| {
        let column = Column::new(q.cloned(), f.name());
        match computed.iter().find(|k| k.column == column && k.column != k.shown) {
            Some(k) => Expr::Column(column).alias_qualified(k.shown.relation.clone(), &k.shown.name),
            None => Expr::Column(column),
        }
    });
    let shown: Vec<Expr> = shown.collect();
    LogicalPlanBuilder::from(grouped).project(shown)?.build()
}

/// A key that is computed below the aggregate.
struct Key {
    expr: Expr,
    column: Column,
    /// What the query calls it.
    shown: Column,
}

/// The column that computes an expression; the expression itself where none does.
fn column_of(expr: Expr, computed: &[Key]) -> Expr {
    let plain = expr.clone().unalias();
    match computed.iter().find(|k| k.expr.clone().unalias() == plain) {
        Some(key) => Expr::Column(key.column.clone()),
        None => expr,
    }
}

fn key(expr: Expr, schema: &DFSchema, computed: &mut Vec<Key>) -> Expr {
    if matches!(expr, Expr::Column(_)) {
        return expr;
    }
    if let Some(key) = computed.iter().find(|k| k.expr == expr) {
        return Expr::Column(key.column.clone());
    }
    let (qualifier, name) = expr.qualified_name();
    let shown = Column::new(qualifier, name);
    let is_taken = |c: &Column| c.name == shown.name || c.flat_name() == shown.flat_name();
    let column = match schema.columns().iter().chain(computed.iter().map(|k| &k.column)).any(is_taken) {
        true => Column::new_unqualified(format!("__ingot_key{}", computed.len())),
        false => shown.clone(),
    };
    computed.push(Key { expr, column: column.clone(), shown });
    Expr::Column(column)
}
