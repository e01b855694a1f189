//! Refuses what refers to the row beside it and cannot be a join; each refusal shows another way to write it.
//!
//!   LEFT JOIN UNNEST(t.l) AS x(v) ON v > 1          (SELECT sum(v) FROM UNNEST(t.l) AS x(v))
//!   EXISTS (SELECT 1 FROM UNNEST(t.l) AS x(v) ...)  (SELECT o.v FROM o WHERE o.k = t.k ORDER BY o.n LIMIT 1)
//!
//! Not here: what `flatten` carries through; correlated subqueries that become joins (`membership`).

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;
use sqlparser::tokenizer::{Location, Span};

use crate::refusal::Refusal;
use crate::shown::shown;

/// Runs on plans that `flatten` made.
#[derive(Debug)]
pub(crate) struct Laterals;

impl AnalyzerRule for Laterals {
    fn name(&self) -> &str {
        "ingot_laterals"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::Join(join) = node {
                let place = match join.join_type {
                    JoinType::Left => Place::LeftJoin,
                    _ => Place::Join,
                };
                refuse(&join.right, place)?;
            }
            node.apply_expressions(|expr| {
                expr.apply(|e| {
                    match e {
                        Expr::ScalarSubquery(s) => refuse(&s.subquery, Place::Value)?,
                        Expr::Exists(e) => refuse(&e.subquery.subquery, Place::Exists)?,
                        Expr::InSubquery(i) => refuse(&i.subquery.subquery, Place::In)?,
                        Expr::SetComparison(c) => refuse(&c.subquery.subquery, Place::In)?,
                        _ => {}
                    }
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        })?;
        Ok(plan)
    }
}

/// Where a subquery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Join,
    LeftJoin,
    Value,
    Exists,
    In,
}

impl Place {
    fn what(self) -> &'static str {
        match self {
            Self::Join => "a LATERAL subquery",
            Self::LeftJoin => "the condition or the subquery of a LEFT JOIN",
            Self::Value => "a subquery that stands for a value",
            Self::Exists => "EXISTS",
            Self::In => "IN, ANY or ALL",
        }
    }

    fn help(self) -> &'static str {
        match self {
            Self::Join => "write CROSS JOIN UNNEST(t.list) AS x(v) beside the table, and WHERE, GROUP BY above it",
            Self::LeftJoin => {
                "keep the items in a view or subquery, SELECT t.id, x.v FROM t CROSS JOIN UNNEST(t.list) AS x(v) \
                 WHERE ..., and LEFT JOIN that by t's key; ON TRUE takes all items"
            }
            Self::Value => {
                "write array_sum, array_avg, array_min, array_max or array_length of the list, or CROSS JOIN \
                 UNNEST(t.list) AS x(v) and GROUP BY the table's key"
            }
            Self::Exists => {
                "write array_has(t.list, value), or SELECT DISTINCT the table's columns over CROSS JOIN \
                 UNNEST(t.list) AS x(v) WHERE ..."
            }
            Self::In => "write array_has(t.list, value), value = ANY(t.list) or value < ALL(t.list)",
        }
    }
}

fn refuse(plan: &LogicalPlan, place: Place) -> Result<()> {
    let mut list = None;
    let mut limited = false;
    plan.apply(|node| {
        match node {
            LogicalPlan::Unnest(unnest) => {
                let is_list = |node: &LogicalPlan| matches!(node, LogicalPlan::Projection(_));
                let found = outer_column(&unnest.input, &is_list)?.map(|c| (c, "of"));
                let condition =
                    outer_column(&unnest.input, &|node| !is_list(node))?.map(|c| (c, "below a condition on"));
                list = list.take().or(found).or(condition);
            }
            // EXISTS ignores it.
            LogicalPlan::Limit(_) if place != Place::Exists => limited |= outer_column(node, &|_| true)?.is_some(),
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    if let Some((column, how)) = list {
        let text = format!(
            "UNNEST {how} {}, a column of the query around it, is not supported in {}",
            shown(&Expr::Column(column.clone())),
            place.what()
        );
        return Err(Refusal { code: "U0512", text, help: place.help(), span: span_of(&column) }.into());
    }
    if limited {
        return Err(Refusal {
            code: "U0513",
            text: "LIMIT is not supported in a subquery that looks at the query around it".into(),
            help: "number the rows in a view below, row_number() OVER (PARTITION BY key ORDER BY ...) AS n, and LEFT \
                   JOIN those with n = 1; or LEFT JOIN the min or max by key",
            span: Span::empty(),
        }
        .into());
    }
    Ok(())
}

/// A column of the query around that a node of some kind reads in a plan, subqueries within it apart.
fn outer_column(plan: &LogicalPlan, kind: &dyn Fn(&LogicalPlan) -> bool) -> Result<Option<Column>> {
    let mut found = None;
    plan.apply(|node| {
        if !kind(node) {
            return Ok(TreeNodeRecursion::Continue);
        }
        node.apply_expressions(|expr| {
            expr.apply(|e| match e {
                Expr::OuterReferenceColumn(_, column) => {
                    found = Some(column.clone());
                    Ok(TreeNodeRecursion::Stop)
                }
                _ => Ok(TreeNodeRecursion::Continue),
            })
        })?;
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

pub(crate) fn span_of(column: &Column) -> Span {
    let location = |l: datafusion::common::Location| Location { line: l.line, column: l.column };
    column.spans.first().map_or_else(Span::empty, |s| Span { start: location(s.start), end: location(s.end) })
}
