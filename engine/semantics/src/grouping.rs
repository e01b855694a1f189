//! Keys of grouping sets are columns: what they compute is projected below the aggregate.
//!
//!   GROUP BY ROLLUP (f(a), b) ──▶ GROUP BY ROLLUP ("f(a)", b) over a projection with the column "f(a)"
//!
//! The keys' names are those that the query refers to, and a rule that rewrites a key within a set could not keep them.
//!
//!   GROUP BY CUBE (a, a) ──▶ GROUP BY CUBE (a, a), GROUPING SETS (())
//!
//! DataFusion takes a key once from sets that it writes out, which it does where there is more than one item.
//!
//! Not here: keys of a plain GROUP BY, which take an alias.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, Result, plan_err};
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
    let mut computed = Vec::new();
    let mut all =
        |exprs: Vec<Expr>| exprs.into_iter().map(|e| key(e, &schema, &mut computed)).collect::<Result<Vec<_>>>();
    let mut groups = Vec::new();
    for group in aggregate.group_expr {
        groups.push(match group {
            Expr::GroupingSet(GroupingSet::Rollup(exprs)) => Expr::GroupingSet(GroupingSet::Rollup(all(exprs)?)),
            Expr::GroupingSet(GroupingSet::Cube(exprs)) => Expr::GroupingSet(GroupingSet::Cube(all(exprs)?)),
            Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => {
                Expr::GroupingSet(GroupingSet::GroupingSets(sets.into_iter().map(&mut all).collect::<Result<_>>()?))
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
        let exprs: Vec<Expr> = columns.chain(computed).collect();
        input = Arc::new(LogicalPlanBuilder::from(input.as_ref().clone()).project(exprs)?.build()?);
    }
    Ok(LogicalPlan::Aggregate(Aggregate::try_new(input, groups, calls)?))
}

/// The column that computes an expression; the expression itself where none does.
fn column_of(expr: Expr, computed: &[Expr]) -> Expr {
    let plain = expr.clone().unalias();
    computed
        .iter()
        .find_map(|c| match c {
            Expr::Alias(alias) if alias.expr.as_ref().clone().unalias() == plain => {
                Some(Expr::Column(Column::new(alias.relation.clone(), alias.name.clone())))
            }
            _ => None,
        })
        .unwrap_or(expr)
}

fn key(expr: Expr, schema: &DFSchema, computed: &mut Vec<Expr>) -> Result<Expr> {
    if matches!(expr, Expr::Column(_)) {
        return Ok(expr);
    }
    let (qualifier, name) = expr.qualified_name();
    if schema.fields().iter().any(|f| *f.name() == name) {
        return plan_err!("compute \"{name}\" in a subquery, under another name, and group by that");
    }
    let column = expr.alias_qualified(qualifier.clone(), name.clone());
    if !computed.contains(&column) {
        computed.push(column);
    }
    Ok(Expr::Column(Column::new(qualifier, name)))
}
