//! Subqueries of a plan, and the columns of queries around that they look at.
//!
//! Not here: which of them a join answers (`correlated`), their rows for all rows around (`outer_rows`).

use std::sync::Arc;

use arrow::datatypes::FieldRef;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};

use crate::rewrite::input_schema;

/// The LATERAL subquery of a join.
pub(crate) fn lateral(node: &LogicalPlan) -> Option<&Subquery> {
    let LogicalPlan::Join(join) = node else { return None };
    let right = match join.right.as_ref() {
        LogicalPlan::SubqueryAlias(alias) => alias.input.as_ref(),
        other => other,
    };
    if let LogicalPlan::Subquery(subquery) = right { Some(subquery) } else { None }
}

/// The subquery that an expression holds itself.
pub(crate) fn subquery_of(expr: &Expr) -> Option<&Subquery> {
    match expr {
        Expr::ScalarSubquery(s) => Some(s),
        Expr::Exists(e) => Some(&e.subquery),
        Expr::InSubquery(i) => Some(&i.subquery),
        Expr::SetComparison(c) => Some(&c.subquery),
        _ => None,
    }
}

pub(crate) fn subquery_mut(expr: &mut Expr) -> Option<&mut Subquery> {
    match expr {
        Expr::ScalarSubquery(s) => Some(s),
        Expr::Exists(e) => Some(&mut e.subquery),
        Expr::InSubquery(i) => Some(&mut i.subquery),
        Expr::SetComparison(c) => Some(&mut c.subquery),
        _ => None,
    }
}

/// A column of a query around, and its field there.
type Outer = (FieldRef, Column);

/// What a plan looks at in queries around it, also from within its own subqueries.
pub(crate) fn outer_columns(plan: &LogicalPlan) -> Result<Vec<Outer>> {
    let mut found = Vec::new();
    collect(plan, &mut found)?;
    Ok(found)
}

fn collect(plan: &LogicalPlan, found: &mut Vec<Outer>) -> Result<()> {
    let add = |outer: Outer, found: &mut Vec<Outer>| {
        if !found.iter().any(|(_, c)| *c == outer.1) {
            found.push(outer);
        }
    };
    plan.apply_expressions(|expr| {
        expr.apply(|e| {
            if let Expr::OuterReferenceColumn(field, column) = e {
                add((Arc::clone(field), column.clone()), found);
            } else if let Some(subquery) = subquery_of(e) {
                let within = outer_columns(&subquery.subquery)?;
                if !within.is_empty() {
                    let schema = input_schema(plan)?;
                    within.into_iter().filter(|(_, c)| !schema.has_column(c)).for_each(|outer| add(outer, found));
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    if let (LogicalPlan::Join(join), Some(lateral)) = (plan, lateral(plan)) {
        collect(&join.left, found)?;
        let within = outer_columns(&lateral.subquery)?;
        within.into_iter().filter(|(_, c)| !join.left.schema().has_column(c)).for_each(|outer| add(outer, found));
        return Ok(());
    }
    plan.inputs().into_iter().try_for_each(|input| collect(input, found))
}

/// What a plan looks at, as expressions.
pub(crate) fn references(plan: &LogicalPlan) -> Result<Vec<Expr>> {
    Ok(outer_columns(plan)?.into_iter().map(|(field, column)| Expr::OuterReferenceColumn(field, column)).collect())
}
