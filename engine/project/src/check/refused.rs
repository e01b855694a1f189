//! What the engine cannot run, as a diagnostic: where in the query it stands, and what to write instead.
//!
//! Not here: finding out that it cannot (`trial`).

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{Expr, LogicalPlan, WindowFrameBound};
use datafusion::sql::sqlparser::ast::Query as SqlQuery;
use datafusion::sql::sqlparser::tokenizer::Span;
use ingot_dialect::ast::Query;
use ingot_dialect::diagnostic::Diagnostic;

use super::planning_error::{Planned, head};
use super::resolve::{Reading, Resolver};
use super::room::Trouble;
use super::spans;
use crate::project::CheckedRelation;

impl Resolver<'_> {
    /// Runs a query over sample rows; complains where the engine cannot.
    pub fn tried(
        &mut self,
        path: &str,
        query: &Query,
        reading: &Reading,
        plan: &LogicalPlan,
        checked: &[CheckedRelation],
    ) -> bool {
        let Some(trouble) = self.trials.query(plan, checked) else { return true };
        let tree = self.qualified(query, reading);
        let replanned = |tree: &SqlQuery| {
            let plan = self.planner.plan(&reading.relations, tree).ok()?;
            ingot_delta::complete_order(&plan).ok()
        };
        // A trouble that the query alone does not have lies in an expectation.
        let of_query = |tree: &SqlQuery| replanned(tree).is_some_and(|plan| self.trials.query(&plan, &[]).is_some());
        let place = spans::failing_part(&tree, &query.tokens, &of_query);
        let planned = Planned { file: path, span: query.span, tokens: &query.tokens };
        let found = complaint(path, place.unwrap_or_else(|| head(&planned)), &trouble, plan);
        self.found.push(found);
        false
    }
}

fn complaint(path: &str, place: Span, trouble: &Trouble, plan: &LogicalPlan) -> Diagnostic {
    let text = match trouble.panicked {
        true => format!("the query engine breaks down on this: {}", trouble.text),
        false => format!("the query engine cannot run this: {}", trouble.text),
    };
    let d = Diagnostic::error("U0126", text).at(path, place);
    match remedy(plan) {
        Some(text) => d.help(text),
        None if trouble.panicked => d.help("write it another way; this is a defect, please report it with the query"),
        None => d.help("write it another way, or compute a part of it in a view below"),
    }
}

/// What to write instead, by the most particular construct of the plan.
fn remedy(plan: &LogicalPlan) -> Option<&'static str> {
    let (mut lateral, mut limited, mut subquery, mut frame, mut distinct) = (false, false, false, false, false);
    let walked = plan.apply_with_subqueries(|node| {
        lateral |= matches!(node, LogicalPlan::Join(j) if is_correlated(&j.right));
        limited |= matches!(node, LogicalPlan::Limit(_)) && is_correlated(node);
        node.apply_expressions(|expr| {
            expr.apply(|e| {
                match e {
                    Expr::InSubquery(_) | Expr::Exists(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_) => {
                        subquery = true;
                    }
                    Expr::WindowFunction(call) => frame |= slides(call),
                    Expr::AggregateFunction(call) => distinct |= call.params.distinct,
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    walked.ok()?;
    [
        (limited, "number the rows in a view below, row_number() OVER (PARTITION BY key ORDER BY ...) AS n, and LEFT JOIN those with n = 1"),
        (lateral, "unnest in the select list of a view below: SELECT id, unnest(tags) AS tag FROM t"),
        (subquery, "compute the subquery in a temporary view, one row for each key, and LEFT JOIN it"),
        (frame, "let the frame begin at UNBOUNDED PRECEDING, or compute it with a join and GROUP BY"),
        (distinct, "keep the distinct values in a view below, SELECT DISTINCT ..., and aggregate those"),
    ]
    .into_iter()
    .find_map(|(there, text)| there.then_some(text))
}

fn slides(call: &WindowFunction) -> bool {
    let bound = &call.params.window_frame.start_bound;
    !matches!(bound, WindowFrameBound::Preceding(value) if value.is_null())
}

/// Whether a plan reads a column of the query around it.
fn is_correlated(plan: &LogicalPlan) -> bool {
    let outer = |node: &LogicalPlan| {
        let mut found = false;
        node.apply_expressions(|e| {
            found |= e.exists(|e| Ok(matches!(e, Expr::OuterReferenceColumn(..))))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(found)
    };
    plan.exists(outer).unwrap_or(false)
}
