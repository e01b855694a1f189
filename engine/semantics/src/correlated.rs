//! Subqueries that look at the row around them: which of them DataFusion makes joins of, with the answers of the row.
//!
//!   x IN (SELECT max(y) FROM s WHERE s.k = t.k)            ──▶ x = (SELECT max(y) ..): always one row
//!   EXISTS (SELECT max(y) .. HAVING c)                     ──▶ (SELECT c IS TRUE ..)
//!   (SELECT e .. HAVING c)                                 ──▶ CASE WHEN (SELECT c IS TRUE ..) THEN (SELECT e ..) END
//!
//! DataFusion moves the condition that looks outside (`s.k = t.k`) up into a join, past everything above it. Then a group
//! without rows has no row, a window counts the rows of all groups, and the other side of an outer join loses rows.
//!
//! Invariants
//! * `check_answerable` passes what DataFusion's rules keep right: above a condition that is moved stand projections, filters, joins
//!   that keep it right, and aggregates whose keys it may join; an aggregate without keys stands at the top of a value or of
//!   a LATERAL subquery alone.
//! * What the optimizer leaves as it is, is refused before it runs.
//!
//! Not here: what is joined in another way (`dependent`), three-valued logic (`membership`), UNNEST and LIMIT (`laterals`).

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, Result, Spans};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::{Distinct, Filter, Projection, Sort, SubqueryAlias};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Case, Cast, Expr, JoinType, LogicalPlan, Operator, Subquery, lit};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{AnalyzerRule, OptimizerConfig, OptimizerRule};

use crate::laterals::span_of;
use crate::outer_references::{lateral, outer_columns, subquery_of};
use crate::refusal::Refusal;

/// Runs on plans whose types are coerced, before memberships are answered.
#[derive(Debug)]
pub(crate) struct Correlated;

impl AnalyzerRule for Correlated {
    fn name(&self) -> &str {
        "ingot_correlated"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = plan
            .transform_up_with_subqueries(|plan| {
                let plan = match plan {
                    LogicalPlan::Sort(sort) => sorted(sort)?,
                    other => other,
                };
                let names = NamePreserver::new(&plan);
                plan.map_expressions(|expr| {
                    let name = names.save(&expr);
                    let expr = expr.transform_up(over_one_row)?;
                    Ok(if expr.transformed { expr.update_data(|e| name.restore(e)) } else { expr })
                })
            })
            .data()?;
        Ok(plan)
    }
}

/// ORDER BY (SELECT ..) of a column that the query does not select: the planner keeps what it sees of a key, and it does
/// not see what subqueries look at.
fn sorted(mut sort: Sort) -> Result<LogicalPlan> {
    let mut missing: Vec<Column> = Vec::new();
    for key in &sort.expr {
        key.expr.apply(|e| {
            let Some(subquery) = subquery_of(e) else { return Ok(TreeNodeRecursion::Continue) };
            let columns = outer_columns(&subquery.subquery)?.into_iter().map(|(_, c)| c);
            missing.extend(columns.filter(|c| !sort.input.schema().has_column(c)));
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    let mut seen = Vec::new();
    missing.retain(|c| {
        is_below(&sort.input, c) && !seen.contains(c) && {
            seen.push(c.clone());
            true
        }
    });
    let Some(first) = missing.first().cloned() else { return Ok(LogicalPlan::Sort(sort)) };
    let wanted = sort.input.schema().columns().into_iter().map(Expr::Column).collect();
    let with_keys = match sort.input.as_ref() {
        LogicalPlan::Projection(projection) => {
            let exprs = projection.expr.iter().cloned().chain(missing.into_iter().map(Expr::Column)).collect();
            Projection::try_new(exprs, Arc::clone(&projection.input)).ok()
        }
        _ => None,
    };
    let Some(with_keys) = with_keys else {
        let text = format!("a subquery in ORDER BY looks at {first}, which the query does not select");
        let help = "select the subquery's value under a name in a subquery in FROM, and ORDER BY that name";
        return Err(Refusal { code: "U0515", text, help, span: span_of(&first) }.into());
    };
    sort.input = Arc::new(LogicalPlan::Projection(with_keys));
    Ok(LogicalPlan::Projection(Projection::try_new(wanted, Arc::new(LogicalPlan::Sort(sort)))?))
}

/// Whether a column is lost on the way to a plan's output.
fn is_below(plan: &LogicalPlan, column: &Column) -> bool {
    match plan {
        LogicalPlan::Projection(_) | LogicalPlan::Distinct(_) | LogicalPlan::Sort(_) => {
            plan.inputs().into_iter().any(|input| input.schema().has_column(column) || is_below(input, column))
        }
        _ => false,
    }
}

/// The refusal of a subquery that refers to a query further out than the one around it.
pub(crate) fn two_queries_up(column: &Column) -> Refusal {
    let text = format!("the subquery looks at {column}, a column of a query that is not the next one around it");
    Refusal { code: "U0515", text, help: HELP, span: span_of(column) }
}

/// A subquery that has one row for every row around it, if its HAVING is true.
struct OneRow {
    /// Its value.
    value: Expr,
    /// `HAVING .. IS TRUE`, as a subquery of one row.
    has_row: Option<Expr>,
}

fn one_row(subquery: &Subquery) -> Result<Option<OneRow>> {
    let LogicalPlan::Projection(projection) = subquery.subquery.as_ref() else { return Ok(None) };
    let (aggregate, having) = match projection.input.as_ref() {
        LogicalPlan::Filter(filter) => (filter.input.as_ref(), Some(&filter.predicate)),
        other => (other, None),
    };
    if !matches!(aggregate, LogicalPlan::Aggregate(a) if a.group_expr.is_empty()) || !holds_outer(&subquery.subquery) {
        return Ok(None);
    }
    let has_row = match having {
        None => None,
        Some(having) => {
            let having = having.clone().is_true().alias("__ingot_having");
            Some(value_of(vec![having], aggregate)?)
        }
    };
    let value = match projection.expr.as_slice() {
        // EXISTS ignores them.
        [] | [_, _, ..] => lit(true),
        _ => value_of(projection.expr.clone(), aggregate)?,
    };
    Ok(Some(OneRow { value, has_row }))
}

/// An expression over an aggregate that has one row. The engine loses a constant where no rows come in.
fn value_of(exprs: Vec<Expr>, aggregate: &LogicalPlan) -> Result<Expr> {
    if let [expr] = exprs.as_slice()
        && is_constant(expr)
    {
        return Ok(expr.clone().unalias());
    }
    let rows = Projection::try_new(exprs, Arc::new(aggregate.clone()))?;
    Ok(Expr::ScalarSubquery(scalar(LogicalPlan::Projection(rows))))
}

fn is_constant(expr: &Expr) -> bool {
    let depends = |e: &Expr| {
        matches!(e, Expr::Column(_) | Expr::OuterReferenceColumn(..) | Expr::ScalarSubquery(_) | Expr::InSubquery(_))
            || matches!(e, Expr::Exists(_) | Expr::SetComparison(_))
    };
    !expr.exists(|e| Ok(depends(e))).unwrap_or(true)
}

fn scalar(plan: LogicalPlan) -> Subquery {
    Subquery { outer_ref_columns: plan.all_out_ref_exprs(), subquery: Arc::new(plan), spans: Spans::new() }
}

/// A question to a subquery of one row, as a comparison with that row.
fn over_one_row(expr: Expr) -> Result<Transformed<Expr>> {
    let subquery = match &expr {
        Expr::InSubquery(i) => &i.subquery,
        Expr::Exists(e) => &e.subquery,
        Expr::SetComparison(c) => &c.subquery,
        Expr::ScalarSubquery(s) => s,
        _ => return Ok(Transformed::no(expr)),
    };
    let Some(OneRow { value, has_row }) = one_row(subquery)? else { return without_items(expr) };
    let compared =
        |left: Box<Expr>, op: Operator, value: Expr| Expr::BinaryExpr(BinaryExpr::new(left, op, Box::new(value)));
    let not = |e: Expr, negated: bool| if negated { Expr::Not(Box::new(e)) } else { e };
    let (value, without) = match expr {
        Expr::InSubquery(InSubquery { expr, negated, .. }) => {
            (not(compared(expr, Operator::Eq, value), negated), Some(lit(negated)))
        }
        Expr::SetComparison(SetComparison { expr, op, quantifier, .. }) => {
            (compared(expr, op, value), Some(lit(quantifier == SetQuantifier::All)))
        }
        Expr::Exists(Exists { negated, .. }) => {
            return Ok(Transformed::yes(not(has_row.unwrap_or_else(|| lit(true)), negated)));
        }
        other if has_row.is_none() => return Ok(Transformed::no(other)),
        _ => (value, None),
    };
    Ok(Transformed::yes(match has_row {
        None => value,
        Some(has_row) => Expr::Case(Case::new(None, vec![(Box::new(has_row), Box::new(value))], without.map(Box::new))),
    }))
}

/// EXISTS ignores the select list, whose names could clash with those of the columns that are joined.
fn without_items(expr: Expr) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Exists(Exists { subquery, negated }) if holds_outer(&subquery.subquery) => {
            let LogicalPlan::Projection(projection) = subquery.subquery.as_ref() else {
                return Ok(Transformed::no(Expr::Exists(Exists { subquery, negated })));
            };
            if projection.expr.iter().any(Expr::contains_outer) || moved(&subquery.subquery).is_ok() {
                return Ok(Transformed::no(Expr::Exists(Exists { subquery, negated })));
            }
            let one = Projection::try_new(vec![lit(1).alias("__ingot_exists")], Arc::clone(&projection.input))?;
            let subquery = subquery.with_plan(Arc::new(LogicalPlan::Projection(one)));
            Ok(Transformed::yes(Expr::Exists(Exists { subquery, negated })))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Where a subquery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// One row, or NULL.
    Value,
    /// EXISTS, IN, ANY and ALL.
    Test,
    Lateral,
}

/// What stands between a subquery's top and a node of it.
#[derive(Debug, Clone, Copy)]
struct Context {
    at: Use,
    only_projections: bool,
    /// Copies of rows are taken together, for which a condition must be an equality.
    merges: bool,
}

/// Whether DataFusion's rules answer a subquery rightly.
///
/// # Errors
/// A [`Refusal`] if they do not.
pub(crate) fn check_answerable(plan: &LogicalPlan, at: Use) -> Result<()> {
    walk(plan, Context { at, only_projections: true, merges: false })?;
    // The join has all of them under one name of a table.
    let moved = moved(plan)?;
    let names: Vec<&str> = plan.schema().fields().iter().map(|f| f.name().as_str()).collect();
    for (at, column) in moved.iter().enumerate() {
        let twice = moved.iter().take(at).any(|other| other.name == column.name);
        let is_projected = matches!(plan, LogicalPlan::Projection(_));
        if twice || !is_projected && names.contains(&column.name.as_str()) && !plan.schema().has_column(column) {
            return Err(two_of_one_name(plan, column).into());
        }
    }
    Ok(())
}

fn two_of_one_name(plan: &LogicalPlan, column: &Column) -> Refusal {
    let name = &column.name;
    Refusal {
        text: format!("the subquery is joined by {column}, and has another column that is called {name}"),
        help: "give one of them another name in a subquery: FROM (SELECT k AS k2, .. FROM t) AS t2",
        ..refused(plan, "")
    }
}

/// The columns of a plan that the conditions within it, once they are moved above it, compare with the row around.
fn moved(plan: &LogicalPlan) -> Result<Vec<Column>> {
    if !holds_outer(plan) {
        return Ok(Vec::new());
    }
    let mut all: Vec<Column> = Vec::new();
    for input in plan.inputs() {
        for column in moved(input)? {
            if !all.contains(&column) {
                all.push(column);
            }
        }
    }
    // A column that is passed on keeps its name; another one of that name would be taken for it.
    let passes = |exprs: &[Expr]| -> Result<()> {
        for column in &all {
            let other = |e: &Expr| {
                let (_, name) = e.qualified_name();
                name == column.name && !matches!(e.clone().unalias(), Expr::Column(c) if c == *column)
            };
            if exprs.iter().any(other) {
                return Err(two_of_one_name(plan, column).into());
            }
        }
        Ok(())
    };
    match plan {
        LogicalPlan::Filter(filter) => {
            for condition in split_conjunction(&filter.predicate).into_iter().filter(|e| e.contains_outer()) {
                let columns = condition.column_refs().into_iter().filter(|c| !all.contains(*c)).cloned();
                let columns: Vec<Column> = columns.collect();
                all.extend(columns);
            }
        }
        // The top of EXISTS and IN is looked at by `check_answerable`.
        LogicalPlan::Projection(projection) => passes(&projection.expr)?,
        LogicalPlan::Aggregate(aggregate) => {
            passes(&aggregate.group_expr)?;
            passes(&aggregate.aggr_expr)?;
        }
        LogicalPlan::SubqueryAlias(alias) => {
            for (at, column) in all.iter().enumerate() {
                if all.iter().take(at).any(|other| other.name == column.name) {
                    return Err(two_of_one_name(plan, column).into());
                }
            }
            let under = |c: Column| Column::new(Some(alias.alias.clone()), c.name);
            all = all.into_iter().map(under).collect();
        }
        _ => {}
    }
    Ok(all)
}

fn walk(plan: &LogicalPlan, context: Context) -> Result<()> {
    if !holds_outer(plan) {
        return Ok(());
    }
    let below = Context { only_projections: false, ..context };
    match plan {
        LogicalPlan::Projection(projection) => walk(&projection.input, context),
        LogicalPlan::Filter(filter) => {
            if context.merges && !joins_groups(filter) {
                return Err(refused(plan, "DISTINCT or GROUP BY by another condition than an equality").into());
            }
            walk(&filter.input, below)
        }
        LogicalPlan::SubqueryAlias(alias) => walk(&alias.input, below),
        LogicalPlan::Aggregate(aggregate) => match aggregate.group_expr.as_slice() {
            [] if context.at != Use::Test && context.only_projections => walk(&aggregate.input, below),
            [] => Err(refused(plan, "an aggregate without GROUP BY").into()),
            keys if keys.iter().any(|k| matches!(k, Expr::GroupingSet(_))) => {
                Err(refused(plan, "ROLLUP, CUBE or GROUPING SETS").into())
            }
            _ => walk(&aggregate.input, Context { merges: context.merges || context.at == Use::Lateral, ..below }),
        },
        LogicalPlan::Distinct(Distinct::All(input)) => {
            walk(input, Context { merges: context.merges || context.at == Use::Lateral, ..below })
        }
        LogicalPlan::Join(join) => {
            let (left, right) = match join.join_type {
                JoinType::Inner => (true, true),
                JoinType::Left => (true, false),
                JoinType::Right => (false, true),
                _ => (false, false),
            };
            for (side, keeps) in [(&join.left, left), (&join.right, right)] {
                // A condition of its own that looks outside keeps or loses rows before it is moved.
                let outer = |e: &Expr| e.contains_outer();
                let own = join.filter.iter().any(outer) || join.on.iter().any(|(l, r)| outer(l) || outer(r));
                if join.join_type != JoinType::Inner && own {
                    return Err(refused(plan, "the condition of an outer join").into());
                }
                if !keeps && holds_outer(side) {
                    return Err(refused(side, "the other side of an outer join, of EXCEPT or INTERSECT").into());
                }
                walk(side, below)?;
            }
            Ok(())
        }
        LogicalPlan::Window(_) => Err(refused(plan, "a window function").into()),
        LogicalPlan::Distinct(Distinct::On(_)) => Err(refused(plan, "DISTINCT ON").into()),
        LogicalPlan::Limit(limit) if limit.skip.is_some() => Err(refused(plan, "OFFSET").into()),
        LogicalPlan::Limit(limit) => walk(&limit.input, below),
        // The optimizer leaves them as they are.
        LogicalPlan::Sort(_) | LogicalPlan::Union(_) => Ok(()),
        LogicalPlan::Subquery(_) | LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => Ok(()),
        _ => Err(refused(plan, "").into()),
    }
}

/// Whether a plan has subqueries that look at queries around them.
pub(crate) fn has_outer(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= node.contains_outer_reference();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Whether a plan refers to the query around it; LATERAL subqueries within it have a row of their own.
pub(crate) fn holds_outer(plan: &LogicalPlan) -> bool {
    outer_column(plan).is_some()
}

fn outer_column(plan: &LogicalPlan) -> Option<Column> {
    let mut found = None;
    let _ = plan.apply(|node| {
        if matches!(node, LogicalPlan::Subquery(_)) {
            return Ok(TreeNodeRecursion::Jump);
        }
        node.apply_expressions(|expr| {
            expr.apply(|e| match e {
                Expr::OuterReferenceColumn(_, column) => {
                    found = Some(column.clone());
                    Ok(TreeNodeRecursion::Stop)
                }
                _ => Ok(TreeNodeRecursion::Continue),
            })
        })
    });
    found
}

/// Whether each condition that looks outside holds a column equal to something outside, so that it may be a key.
fn joins_groups(filter: &Filter) -> bool {
    let is_column = |e: &Expr| match e {
        Expr::Column(_) => true,
        Expr::Cast(Cast { expr, .. }) => matches!(expr.as_ref(), Expr::Column(_)),
        _ => false,
    };
    let joins = |e: &Expr| match e {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            is_column(left) && !right.any_column_refs() || is_column(right) && !left.any_column_refs()
        }
        _ => false,
    };
    split_conjunction(&filter.predicate).into_iter().filter(|e| e.contains_outer()).all(joins)
}

/// The refusal of a subquery for what stands above a condition that looks outside.
pub(crate) fn refused(plan: &LogicalPlan, above: &str) -> Refusal {
    let text = match (outer_column(plan), above) {
        (Some(column), "") => {
            format!("the subquery looks at {column}, a column of the query around it, in a way that no join has")
        }
        (Some(column), _) => {
            format!("the subquery looks at {column}, a column of the query around it, below {above}")
        }
        (None, _) => "the subquery looks at the query around it in a way that no join has".to_owned(),
    };
    let span = outer_column(plan).map_or_else(sqlparser::tokenizer::Span::empty, |c| span_of(&c));
    Refusal { code: "U0515", text, help: HELP, span }
}

const HELP: &str = "write a join: LEFT JOIN (SELECT key, count(*) AS n FROM .. GROUP BY key) AS s ON s.key = t.key; or compute a part \
                    of it in a view below";

const LATERAL: &str = "decorrelate_lateral_join";

/// A LATERAL subquery that looks at nothing once its conditions are simplified, which DataFusion leaves as it is.
fn without_lateral(plan: LogicalPlan) -> Result<LogicalPlan> {
    let Some(subquery) = lateral(&plan).filter(|s| !holds_outer(&s.subquery)) else { return Ok(plan) };
    let rows = Arc::clone(&subquery.subquery);
    let LogicalPlan::Join(mut join) = plan else { return Ok(plan) };
    join.right = match join.right.as_ref() {
        LogicalPlan::SubqueryAlias(alias) => {
            Arc::new(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(rows, alias.alias.clone())?))
        }
        _ => rows,
    };
    Ok(LogicalPlan::Join(join))
}

/// DataFusion's rules that turn subqueries into joins; where they fail, the error is a refusal of ours.
pub(crate) fn optimizer_rules(
    mut rules: Vec<Arc<dyn OptimizerRule + Send + Sync>>,
) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    const JOINS: [&str; 3] = ["decorrelate_predicate_subquery", "scalar_subquery_to_join", LATERAL];
    for rule in &mut rules {
        if JOINS.contains(&rule.name()) {
            *rule = Arc::new(InOurWords { inner: Arc::clone(rule) });
        }
    }
    rules
}

#[derive(Debug)]
struct InOurWords {
    inner: Arc<dyn OptimizerRule + Send + Sync>,
}

impl OptimizerRule for InOurWords {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.inner.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let plan = if self.name() == LATERAL { without_lateral(plan)? } else { plan };
        let subqueries = left_over(&plan);
        self.inner.rewrite(plan, config).map_err(|e| match (e, subqueries) {
            (
                DataFusionError::SchemaError(..) | DataFusionError::Plan(_) | DataFusionError::Internal(_),
                Some(refusal),
            ) => refusal.into(),
            (other, _) => other,
        })
    }
}

/// Refuses what is left of subqueries that should have become joins.
///
/// # Errors
/// A [`Refusal`].
pub(crate) fn refuse_left_over(plan: &LogicalPlan) -> Result<()> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        found = left_over(node);
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    found.map_or(Ok(()), |refusal| Err(refusal.into()))
}

/// A subquery of a node that depends on the row around it.
fn left_over(node: &LogicalPlan) -> Option<Refusal> {
    let mut found = None;
    let mut look = |plan: &LogicalPlan, always: bool| {
        if found.is_none() && (always || holds_outer(plan)) {
            found = Some(refused(plan, ""));
        }
    };
    if let Some(lateral) = lateral(node) {
        look(&lateral.subquery, false);
    }
    let _ = node.apply_expressions(|expr| {
        expr.apply(|e| {
            match e {
                Expr::ScalarSubquery(s) => look(&s.subquery, !s.outer_ref_columns.is_empty()),
                Expr::Exists(e) => look(&e.subquery.subquery, !e.subquery.outer_ref_columns.is_empty()),
                Expr::InSubquery(i) => look(&i.subquery.subquery, !i.subquery.outer_ref_columns.is_empty()),
                Expr::SetComparison(c) => look(&c.subquery.subquery, !c.subquery.outer_ref_columns.is_empty()),
                Expr::OuterReferenceColumn(..) => look(node, true),
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        })
    });
    found
}
