//! One plan that fills a table and its side tables: the table's query with its expectations judged as rows pass.
//!
//!   query over Filter(kept)(rows)                    ──▶ query over Judged(conditions)(rows)
//!   query of a side table over Filter(broken)(rows)  ──▶ the same over the rows that the judge gives it
//!
//! Invariants
//! * A judge is shown every row of its relation: between it and the root nothing stops before its input ends. Else, the
//!   reason is said, and each table reads for itself.
//! * What a side table makes of a row is its own query: the judge only tells it which rows to look at.
//!
//! Not here: judging (the pipeline), what an expectation means (`expectation`).

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, TableReference};
use datafusion::logical_expr::logical_plan::Distinct;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use ingot_delta::Strategy;
use ingot_model::TableName;
use ingot_semantics::{Fence, Judged};

use super::query::scan;
use crate::project::{CheckedRelation, Judging, Model, ModelKind, TakenRows, ViolationAction};

/// The name under which the query of a side table reads the rows that a judge gives it.
const TAKEN: &str = "$taken";

/// The plan of a table with its judges.
///
/// # Errors
/// Why its expectations are judged by a read of their own.
pub(crate) fn judging(
    name: &TableName,
    plan: &LogicalPlan,
    strategy: &Strategy,
    checked: &[CheckedRelation],
    sides: &[Model],
) -> Result<Judging, String> {
    // What a merge by key gives is judged when it is merged.
    let output = name.to_string();
    let merged = |relation: &CheckedRelation| strategy.merges_by_key() && relation.name == output;
    let mut judged = plan.clone();
    // The outermost first: those below stand in it.
    for (place, relation) in checked.iter().enumerate().rev().filter(|(_, r)| !merged(r)) {
        judged = with_judge(judged, place, relation)?;
    }
    let own = match reads_all(&judged)? && strategy.merges_by_key() {
        true => ingot_delta::classify(&judged),
        false => strategy.clone(),
    };
    if own.incremental().ok() != strategy.incremental().ok() || own.state_columns() != strategy.state_columns() {
        return Err("its query is refreshed in another way when its rows are judged on the way".into());
    }
    let taken = sides.iter().filter(|s| matches!(s.kind, ModelKind::Quarantine { .. }));
    let taken = taken.map(|side| (side.name.clone(), taken_rows(side, checked))).collect();
    Ok(Judging { plan: judged, strategy: own, taken })
}

/// A plan in its completed form, as those of models are.
fn completed(plan: &LogicalPlan) -> Result<LogicalPlan, String> {
    ingot_delta::complete_order(plan).map_err(|e| e.to_string())
}

fn occurrences(plan: &LogicalPlan, of: &LogicalPlan) -> usize {
    let mut count = 0;
    let walked = plan.apply_with_subqueries(|node| {
        count += usize::from(node == of);
        Ok(TreeNodeRecursion::Continue)
    });
    if walked.is_ok() { count } else { 0 }
}

fn with_judge(plan: LogicalPlan, place: usize, relation: &CheckedRelation) -> Result<LogicalPlan, String> {
    let (kept, rows) = (completed(&relation.kept)?, completed(&relation.rows)?);
    match occurrences(&plan, &kept) {
        1 => {}
        0 => return Err(format!("\"{}\" is not a part of its plan", relation.name)),
        n => return Err(format!("\"{}\" is read {n} times", relation.name)),
    }
    let replaced = plan.transform_down(|node| {
        Ok(match node == kept {
            true => {
                let judged = Judged::over(rows.clone(), place, relation.conditions.clone());
                Transformed::new(judged, true, TreeNodeRecursion::Jump)
            }
            false => Transformed::no(node),
        })
    });
    let replaced = replaced.map_err(|e| e.to_string())?;
    match replaced.transformed {
        true => Ok(replaced.data),
        false => Err(format!("\"{}\" is read in a subquery", relation.name)),
    }
}

/// Whether a judge stands in the plan; an error when something above one may stop before its rows have ended.
fn reads_all(plan: &LogicalPlan) -> Result<bool, String> {
    let mut judged = false;
    for input in plan.inputs() {
        judged |= reads_all(input)?;
    }
    if Judged::of(plan).is_some() {
        return Ok(true);
    }
    if judged && plan.expressions().iter().any(holds_subquery) {
        // As a join it may end early; without columns it goes below, where the judge would see no more than it leaves.
        return Err("a subquery above its expectations may leave rows that they do not judge".into());
    }
    let all = match plan {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::Distinct(Distinct::All(_)) => true,
        LogicalPlan::Sort(sort) => sort.fetch.is_none(),
        other => Fence::of(other).is_some(),
    };
    match plan {
        _ if all || !judged => Ok(judged),
        LogicalPlan::Join(_) => Err("a join above its expectations may not read all of their rows".into()),
        LogicalPlan::Limit(_) | LogicalPlan::Sort(_) => {
            Err("a LIMIT above its expectations may not read all of their rows".into())
        }
        _ => Err("its query may not read all rows that its expectations judge".into()),
    }
}

fn holds_subquery(expr: &Expr) -> bool {
    let is_one = |e: &Expr| {
        matches!(e, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_))
    };
    expr.exists(|e| Ok(is_one(e))).unwrap_or(true)
}

/// The query of a side table over the rows that a judge gives it.
///
/// # Errors
/// Why it reads for itself.
fn taken_rows(side: &Model, checked: &[CheckedRelation]) -> Result<TakenRows, String> {
    let goes_there = |r: &&CheckedRelation| {
        r.expectations.iter().any(|e| matches!(&e.violation, ViolationAction::Quarantine(to) if *to == side.name))
    };
    let (place, relation) =
        checked.iter().enumerate().find(|(_, r)| goes_there(r)).ok_or("none of its expectations fills it")?;
    let rows = completed(&relation.rows)?;
    if occurrences(&side.plan, &rows) != 1 {
        return Err(format!("\"{}\" is not once a part of its plan", relation.name));
    }
    let given = given(&rows, relation).map_err(|e| e.to_string())?;
    let plan = side.plan.clone().transform_up(|node| {
        Ok(match node == rows {
            true => Transformed::yes(given.clone()),
            false => Transformed::yes(node.recompute_schema()?),
        })
    });
    let plan = plan.map_err(|e| e.to_string())?.data;
    Ok(TakenRows { place, plan, source: TableReference::bare(TAKEN) })
}

/// A scan of the rows that a judge gives, under the names that they have in the relation.
fn given(rows: &LogicalPlan, relation: &CheckedRelation) -> datafusion::common::Result<LogicalPlan> {
    let named = |(i, f): (usize, &Arc<Field>)| f.as_ref().clone().with_name(format!("c{i}")).with_nullable(true);
    let fields: Vec<Field> = relation.types.fields().iter().enumerate().map(named).collect();
    let names: Vec<String> = fields.iter().map(|f| f.name().clone()).collect();
    let plan = scan(TableReference::bare(TAKEN), Arc::new(Schema::new(fields)))?;
    let columns = names.into_iter().zip(rows.schema().iter()).map(|(from, (qualifier, field))| {
        Expr::Column(Column::new(Some(TAKEN), from)).alias_qualified(qualifier.cloned(), field.name())
    });
    LogicalPlanBuilder::from(plan).project(columns.collect::<Vec<_>>())?.build()
}
