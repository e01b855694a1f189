//! Nothing that can fail is evaluated for rows that a WHERE, a join, a CASE, COALESCE, AND or OR excludes.
//!
//! DataFusion evaluates all operands of AND and OR, merges filters and moves conditions below projections and joins.
//! So, after types are settled:
//!
//!   p AND f, in a filter over a table      p AND lazily(CASE WHEN p IS NOT TRUE THEN FALSE ELSE f END)
//!   p AND f, in a filter over anything     Fence(f) over Filter(p)
//!   p AND f, in the ON of a join           p AND lazily(..), where p includes the join's equalities
//!   p OR f, p AND f elsewhere              lazily(CASE WHEN p THEN TRUE ELSE f END) OR p, and likewise
//!   CASE and coalesce of booleans          lazily(CASE ..)
//!   aggregate(f) FILTER (WHERE p)          aggregate(CASE WHEN p THEN f END) FILTER (WHERE p), over windows too
//!   a projection or grouping that can fail a fence above, so that no condition on its results goes below it
//!   f of the row, in a subquery            f where the conditions around the subquery leave the row (`reached`)
//!
//! where f can fail and p cannot. Several f are evaluated in the order of the text.
//!
//! Invariants
//! * Idempotent: what is guarded is marked by `lazily`, or is in a fence.
//! * The root of a plan is no fence.
//! * Plans that refer to a query around them hold no fences: DataFusion could not decorrelate them.
//!
//! Not here: which expressions can fail (`fallible`), what a fence is (`fence`), what holds when subqueries have become
//! joins (`join_guards`), what the engine computes below a join (`postponed`).

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, NullEquality, Result, TableReference};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Case, Expr, Filter, Join, LogicalPlan, LogicalPlanBuilder, Operator, Projection, Window, lit,
};
use datafusion::optimizer::AnalyzerRule;

use crate::fallible::{can_fail, node_can_fail};
use crate::fence::Fence;
use crate::guard_exprs::{guard_expr, has_subquery, split};
use crate::lazily::{is_lazy, lazily};
use crate::reached::guard_subqueries;
use crate::rewrite::input_schema;

#[derive(Debug)]
pub(crate) struct Guard;

impl AnalyzerRule for Guard {
    fn name(&self) -> &str {
        "ingot_guard"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let guarded = plan.transform_up_with_subqueries(guard_node)?;
        unfence_root(guarded.data)
    }
}

fn guard_node(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    // Two fences of projections are one.
    if let Some(fence) = Fence::of(&node) {
        return Ok(match Fence::of(fence.input()) {
            Some(below) if fence.condition().is_none() && below.condition().is_none() => {
                Transformed::yes(fence.input().clone())
            }
            _ => Transformed::no(node),
        });
    }
    let node = fence_subqueries(node)?;
    let schema = input_schema(&node)?;
    let guarded = guard_subqueries(node, &schema)?;
    let (node, any) = (guarded.data, guarded.transformed);
    let mut fails = false;
    node.apply_expressions(|e| {
        fails = fails || can_fail(e, &schema)?;
        Ok(if fails { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if !fails {
        return Ok(Transformed::new_transformed(node, any));
    }
    let correlated = !node.all_out_ref_exprs().is_empty();
    let guarded = match node {
        LogicalPlan::Filter(filter) => guard_filter(filter, &schema, correlated)?,
        LogicalPlan::Join(join) => guard_join(join, &schema)?,
        LogicalPlan::Aggregate(aggregate) => guard_aggregate(aggregate, &schema, correlated)?,
        LogicalPlan::Projection(projection) => guard_projection(projection, &schema, correlated)?,
        LogicalPlan::Window(window) => guard_window(window, &schema)?,
        other => guard_expressions(other, &schema)?,
    };
    Ok(Transformed::yes(guarded))
}

/// The plan without fences that nothing above needs.
fn unfence_root(plan: LogicalPlan) -> Result<LogicalPlan> {
    let without = |plan: LogicalPlan| match Fence::of(&plan) {
        Some(fence) if fence.condition().is_none() => Transformed::yes(fence.input().clone()),
        _ => Transformed::no(plan),
    };
    let unfenced = plan.transform_down(|node| {
        let node = without(node);
        let on = match &node.data {
            LogicalPlan::Projection(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Explain(_)
            | LogicalPlan::Analyze(_) => TreeNodeRecursion::Continue,
            _ => TreeNodeRecursion::Stop,
        };
        Ok(Transformed::new(node.data, node.transformed, on))
    })?;
    Ok(unfenced.data)
}

/// A subquery begins with columns, which is what DataFusion expects of it.
fn fence_subqueries(node: LogicalPlan) -> Result<LogicalPlan> {
    let names = NamePreserver::new(&node);
    let projected = node.map_expressions(|expr| {
        let name = names.save(&expr);
        let found = expr.transform_up(|e| {
            let with_columns = |plan: &Arc<LogicalPlan>| -> Result<Option<Arc<LogicalPlan>>> {
                if Fence::of(plan).is_none() {
                    return Ok(None);
                }
                let columns = plan.schema().iter().map(|(q, f)| Expr::Column(Column::new(q.cloned(), f.name())));
                let columns: Vec<Expr> = columns.collect();
                let projection = LogicalPlanBuilder::from(plan.as_ref().clone()).project(columns)?.build()?;
                Ok(Some(Arc::new(projection)))
            };
            Ok(match e {
                Expr::InSubquery(mut q) => match with_columns(&q.subquery.subquery)? {
                    Some(plan) => {
                        q.subquery.subquery = plan;
                        Transformed::yes(Expr::InSubquery(q))
                    }
                    None => Transformed::no(Expr::InSubquery(q)),
                },
                Expr::SetComparison(mut q) => match with_columns(&q.subquery.subquery)? {
                    Some(plan) => {
                        q.subquery.subquery = plan;
                        Transformed::yes(Expr::SetComparison(q))
                    }
                    None => Transformed::no(Expr::SetComparison(q)),
                },
                Expr::Exists(mut q) => match with_columns(&q.subquery.subquery)? {
                    Some(plan) => {
                        q.subquery.subquery = plan;
                        Transformed::yes(Expr::Exists(q))
                    }
                    None => Transformed::no(Expr::Exists(q)),
                },
                Expr::ScalarSubquery(mut q) => match with_columns(&q.subquery)? {
                    Some(plan) => {
                        q.subquery = plan;
                        Transformed::yes(Expr::ScalarSubquery(q))
                    }
                    None => Transformed::no(Expr::ScalarSubquery(q)),
                },
                other => Transformed::no(other),
            })
        })?;
        Ok(found.update_data(|e| name.restore(e)))
    })?;
    Ok(projected.data)
}

fn guard_expressions(node: LogicalPlan, schema: &DFSchema) -> Result<LogicalPlan> {
    let names = NamePreserver::new(&node);
    let guarded = node.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(guard_expr(expr, schema)?.update_data(|e| name.restore(e)))
    })?;
    guarded.data.recompute_schema()
}

fn guard_projection(projection: Projection, schema: &DFSchema, correlated: bool) -> Result<LogicalPlan> {
    let mut kept = BTreeSet::new();
    for (expr, field) in projection.expr.iter().zip(projection.schema.fields()) {
        if can_fail(expr, schema)? {
            kept.insert(field.name().clone());
        }
    }
    let guarded = guard_expressions(LogicalPlan::Projection(projection), schema)?;
    Ok(if correlated { guarded } else { Fence::keep(kept, guarded) })
}

fn guard_aggregate(aggregate: Aggregate, schema: &DFSchema, correlated: bool) -> Result<LogicalPlan> {
    let mut kept = BTreeSet::new();
    for (expr, field) in aggregate.group_expr.iter().zip(aggregate.schema.fields()) {
        if can_fail(expr, schema)? {
            kept.insert(field.name().clone());
        }
    }
    let LogicalPlan::Aggregate(aggregate) = guard_expressions(LogicalPlan::Aggregate(aggregate), schema)? else {
        return datafusion::common::internal_err!("an aggregate became another node");
    };
    let names = NamePreserver::new_for_projection();
    let filtered = |expr: Expr| {
        let name = names.save(&expr);
        let filtered = expr.transform_up(|e| match e {
            Expr::AggregateFunction(call) => only_where_it_counts(call, schema),
            other => Ok(Transformed::no(other)),
        })?;
        Ok(name.restore(filtered.data))
    };
    let aggr_expr = aggregate.aggr_expr.into_iter().map(filtered).collect::<Result<Vec<_>>>()?;
    let node = LogicalPlan::Aggregate(Aggregate::try_new(aggregate.input, aggregate.group_expr, aggr_expr)?);
    Ok(if correlated || kept.is_empty() { node } else { Fence::keep(kept, node) })
}

fn guard_window(window: Window, schema: &DFSchema) -> Result<LogicalPlan> {
    let guarded = guard_expressions(LogicalPlan::Window(window), schema)?;
    let names = NamePreserver::new_for_projection();
    let guarded = guarded.map_expressions(|expr| {
        let name = names.save(&expr);
        let filtered = expr.transform_up(|e| match e {
            Expr::WindowFunction(mut call) => {
                let any = where_it_counts(call.params.filter.as_deref(), &mut call.params.args, schema)?;
                Ok(Transformed::new_transformed(Expr::WindowFunction(call), any))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(filtered.update_data(|e| name.restore(e)))
    })?;
    guarded.data.recompute_schema()
}

fn only_where_it_counts(mut call: AggregateFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let any = where_it_counts(call.params.filter.as_deref(), &mut call.params.args, schema)?;
    Ok(Transformed::new_transformed(Expr::AggregateFunction(call), any))
}

/// Arguments are evaluated where the FILTER is TRUE.
fn where_it_counts(filter: Option<&Expr>, args: &mut [Expr], schema: &DFSchema) -> Result<bool> {
    let Some(filter) = filter else { return Ok(false) };
    let mut any = false;
    for argument in args {
        let done = matches!(argument, Expr::Case(case) if case.expr.is_none() && case.when_then_expr.iter().any(|(w, _)| w.as_ref() == filter));
        if !done && can_fail(argument, schema)? {
            any = true;
            *argument = Expr::Case(Case::new(None, vec![(Box::new(filter.clone()), Box::new(argument.clone()))], None));
        }
    }
    Ok(any)
}

/// `f1 AND f2 AND ..` where all of `before` is TRUE, each evaluated where those before it are TRUE; FALSE elsewhere.
fn in_order(before: Option<Expr>, conditions: Vec<Expr>) -> Option<Expr> {
    if conditions.is_empty() {
        return None;
    }
    let mut all: Vec<Expr> = before.into_iter().chain(conditions).collect();
    let last = all.pop()?;
    if all.is_empty() {
        return Some(last);
    }
    let not_true = |e: Expr| (Box::new(Expr::IsNotTrue(Box::new(e))), Box::new(lit(false)));
    let when_then_expr = all.into_iter().map(not_true).collect();
    Some(lazily(Case { expr: None, when_then_expr, else_expr: Some(Box::new(last)) }))
}

fn guard_filter(filter: Filter, schema: &DFSchema, correlated: bool) -> Result<LogicalPlan> {
    let conditions = split_conjunction_owned(filter.predicate);
    let conditions = conditions.into_iter().map(|c| Ok(guard_expr(c, schema)?.data)).collect::<Result<Vec<Expr>>>()?;
    let (mut safe, failing) = split(conditions, schema)?;
    let (mut joining, mut fenced, mut of_both, mut with_subqueries) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for condition in failing {
        if has_subquery(&condition)? {
            // DataFusion takes the subquery out of it (`reached`).
            with_subqueries.push(condition);
        } else if joins_alone(&condition, &safe) || fails_for_outer(&condition, schema)? {
            joining.push(condition);
        } else if condition.contains_outer() {
            of_both.push(condition);
        } else {
            fenced.push(condition);
        }
    }
    let input = Arc::unwrap_or_clone(filter.input);
    if correlated || is_table(&input) {
        // One condition that nothing restricts stays as it is.
        let before = conjunction(without_outer(&safe)?);
        let before_both = conjunction(without_subqueries(&safe)?);
        let lazy = take_lazy(&mut safe);
        safe.extend(with_subqueries);
        safe.extend(joining);
        safe.extend(lazy);
        safe.extend(in_order(before, fenced));
        safe.extend(in_order(before_both, of_both));
        return match conjunction(safe) {
            Some(predicate) => Ok(LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(input))?)),
            None => Ok(input),
        };
    }
    safe.extend(with_subqueries);
    safe.extend(joining);
    let below = match conjunction(safe) {
        Some(predicate) => LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(input))?),
        None => input,
    };
    Ok(match in_order(None, fenced) {
        Some(condition) => Fence::filter(condition, below),
        None => below,
    })
}

/// What is guarded already comes after what is not, however often a plan is analyzed.
fn take_lazy(conditions: &mut Vec<Expr>) -> Vec<Expr> {
    let (lazy, others) = std::mem::take(conditions).into_iter().partition(is_lazy);
    *conditions = others;
    lazy
}

/// Whether all that can fail in it are values of the row of a query around: its conditions guard them (`join_guards`).
fn fails_for_outer(condition: &Expr, schema: &DFSchema) -> Result<bool> {
    if !condition.contains_outer() {
        return Ok(false);
    }
    let mut only_outer = true;
    condition.apply(|e| {
        if e.column_refs().is_empty() {
            return Ok(TreeNodeRecursion::Jump);
        }
        only_outer &= !node_can_fail(e, schema)?;
        Ok(if only_outer { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(only_outer)
}

fn without_subqueries(conditions: &[Expr]) -> Result<Vec<Expr>> {
    let mut found = Vec::new();
    for condition in conditions {
        if !has_subquery(condition)? {
            found.push(condition.clone());
        }
    }
    Ok(found)
}

/// Conditions without columns of a query around: DataFusion can take apart only comparisons that hold those.
fn without_outer(conditions: &[Expr]) -> Result<Vec<Expr>> {
    let mut inner = Vec::new();
    for condition in conditions {
        if !condition.exists(|e| Ok(matches!(e, Expr::OuterReferenceColumn(..))))? && !has_subquery(condition)? {
            inner.push(condition.clone());
        }
    }
    Ok(inner)
}

/// A scan, below nothing that excludes rows.
fn is_table(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => scan.filters.is_empty() && scan.fetch.is_none(),
        LogicalPlan::SubqueryAlias(alias) => is_table(&alias.input),
        _ => false,
    }
}

fn relations(expr: &Expr) -> Option<HashSet<&TableReference>> {
    let columns = expr.column_refs();
    let found: HashSet<_> = columns.iter().map(|c| c.relation.as_ref()).collect::<Option<_>>()?;
    (!found.is_empty()).then_some(found)
}

/// An equality of two relations that no other one joins: without it they would be multiplied.
fn joins_alone(condition: &Expr, safe: &[Expr]) -> bool {
    let sides = |e: &Expr| match e {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let (l, r) = (relations(left)?, relations(right)?);
            let owned = |s: HashSet<&TableReference>| s.into_iter().cloned().collect::<HashSet<_>>();
            l.is_disjoint(&r).then(|| (owned(l), owned(r)))
        }
        _ => None,
    };
    let Some((left, right)) = sides(condition) else { return false };
    let joined = |e: &Expr| {
        sides(e).is_some_and(|(l, r)| {
            (!l.is_disjoint(&left) && !r.is_disjoint(&right)) || (!l.is_disjoint(&right) && !r.is_disjoint(&left))
        })
    };
    !safe.iter().any(joined)
}

pub(crate) fn guard_join(mut join: Join, schema: &DFSchema) -> Result<LogicalPlan> {
    let conditions = join.filter.take().map(split_conjunction_owned).unwrap_or_default();
    let conditions = conditions.into_iter().map(|c| Ok(guard_expr(c, schema)?.data)).collect::<Result<Vec<Expr>>>()?;
    let (mut safe, failing) = split(conditions, schema)?;
    let op = match join.null_equality {
        NullEquality::NullEqualsNothing => Operator::Eq,
        NullEquality::NullEqualsNull => Operator::IsNotDistinctFrom,
    };
    let equal = |(l, r): &(Expr, Expr)| Expr::BinaryExpr(BinaryExpr::new(Box::new(l.clone()), op, Box::new(r.clone())));
    let equalities = join.on.iter().map(equal);
    let mut before: Vec<Expr> = equalities.chain(safe.iter().cloned()).collect();
    let (joining, failing): (Vec<_>, Vec<_>) = failing.into_iter().partition(|c| joins_alone(c, &before));
    before = without_outer(&before)?;
    let lazy = take_lazy(&mut safe);
    safe.extend(joining);
    let mut with_subqueries = Vec::new();
    let mut guarded = Vec::new();
    for condition in failing {
        if has_subquery(&condition)? { with_subqueries.push(condition) } else { guarded.push(condition) }
    }
    safe.extend(with_subqueries);
    safe.extend(lazy);
    safe.extend(in_order(conjunction(before), guarded));
    join.filter = conjunction(safe);
    Ok(LogicalPlan::Join(join))
}
