//! IN and NOT IN over a subquery, in three-valued logic wherever they stand.
//!
//!   x [NOT] IN S ──▶ CASE WHEN S has x THEN TRUE WHEN x or a row of S is NULL THEN NULL ELSE FALSE END
//!
//! DataFusion makes joins of such predicates, whose mark is never NULL; outside of WHERE it refuses them, and EXISTS,
//! ANY, ALL and values that depend on the row as well.
//!
//! Invariants
//! * A conjunct of a filter that the engine's own joins answer rightly stays as it is: `x IN S`, and `x NOT IN S`
//!   over a column and a subquery without correlation.
//! * Elsewhere a membership stands in a filter or a projection; what other operators need is projected below them.
//! * Nothing is asked of the subquery that its types exclude: without NULLs there is one question.
//!
//! Not here: lists of values (`lists`), arrays (`arrays`), correlations that the optimizer makes no join of (`dependent`).

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result, ScalarValue, Spans, plan_err};
use datafusion::functions_aggregate::count::count;
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Case, Expr, ExprSchemable, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, Subquery,
    lit,
};
use datafusion::optimizer::AnalyzerRule;
use sqlparser::tokenizer::Span;

use crate::outer_references::{outer_columns, references};
use crate::reached::guard_subqueries;
use crate::refusal::Refusal;
use crate::rewrite::input_schema;

/// Runs on plans whose types are coerced.
#[derive(Debug)]
pub(crate) struct Membership;

impl AnalyzerRule for Membership {
    fn name(&self) -> &str {
        "ingot_membership"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(rewrite).data()
    }
}

fn rewrite(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let asks = match plan {
        LogicalPlan::Filter(_) => has_membership,
        LogicalPlan::Projection(_) => has_question,
        _ => is_out_of_place,
    };
    if !plan.expressions().iter().any(asks) {
        return Ok(Transformed::no(plan));
    }
    match plan {
        LogicalPlan::Filter(filter) => in_filter(filter).map(Transformed::yes),
        LogicalPlan::Projection(_) => in_projection(plan).map(Transformed::yes),
        LogicalPlan::TableScan(_) => Ok(Transformed::no(plan)),
        // What is computed below is out of its CASE.
        other => {
            let schema = input_schema(&other)?;
            match guard_subqueries(other, &schema)?.data {
                LogicalPlan::Join(join) => in_join(join).map(Transformed::yes),
                other => below(other).map(Transformed::yes),
            }
        }
    }
}

/// Whether a subquery's rows are compared with a value.
fn has_membership(expr: &Expr) -> bool {
    expr.exists(|e| Ok(matches!(e, Expr::InSubquery(_) | Expr::SetComparison(_)))).unwrap_or(true)
}

/// Whether a subquery is asked for TRUE or FALSE; in a filter the engine answers EXISTS.
fn has_question(expr: &Expr) -> bool {
    expr.exists(|e| Ok(is_question(e))).unwrap_or(true)
}

fn is_question(expr: &Expr) -> bool {
    matches!(expr, Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_))
}

/// Whether a subquery stands in it that only a filter or a projection can have.
fn is_out_of_place(expr: &Expr) -> bool {
    expr.exists(|e| Ok(goes_below(e))).unwrap_or(true)
}

/// Questions, and values that depend on the row.
fn goes_below(expr: &Expr) -> bool {
    is_question(expr) || matches!(expr, Expr::ScalarSubquery(s) if is_correlated(&s.subquery))
}

/// Whether the engine's semi join, or its anti join that knows of NULLs, answers this conjunct of a filter.
fn is_answered(conjunct: &Expr) -> bool {
    match conjunct {
        Expr::InSubquery(i) if has_subquery(&i.expr) => false,
        Expr::InSubquery(i) if !i.negated => true,
        Expr::InSubquery(i) => is_column(&i.expr) && !is_correlated(&i.subquery.subquery) && !i.expr.contains_outer(),
        other => !has_membership(other),
    }
}

/// Whether the expression is NULL only where its column is: the join looks at the column alone.
fn is_column(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) => true,
        Expr::Cast(cast) => is_column(&cast.expr),
        _ => false,
    }
}

fn has_subquery(expr: &Expr) -> bool {
    let is_subquery = |e: &Expr| {
        matches!(e, Expr::InSubquery(_) | Expr::Exists(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_))
    };
    expr.exists(|e| Ok(is_subquery(e))).unwrap_or(true)
}

fn is_correlated(plan: &LogicalPlan) -> bool {
    outer_columns(plan).map_or(true, |columns| !columns.is_empty())
}

fn in_filter(filter: Filter) -> Result<LogicalPlan> {
    let (input, predicate) = operands_below(Arc::unwrap_or_clone(filter.input), vec![filter.predicate])?;
    let schema = Arc::clone(input.schema());
    let mut conjuncts = Vec::new();
    for conjunct in predicate.into_iter().flat_map(split_conjunction_owned) {
        let conjunct = match conjunct {
            Expr::Not(inner) => match *inner {
                Expr::InSubquery(mut membership) => {
                    membership.negated = !membership.negated;
                    Expr::InSubquery(membership)
                }
                other => Expr::Not(Box::new(other)),
            },
            other => other,
        };
        conjuncts.push(match conjunct {
            // As a conjunct FALSE and NULL are the same.
            Expr::SetComparison(SetComparison { expr, subquery, op, quantifier: SetQuantifier::Any })
                if !has_subquery(&expr) =>
            {
                found(*expr, &subquery.subquery, op, &schema, Place::Filter)?
            }
            conjunct if is_answered(&conjunct) => conjunct,
            conjunct => conjunct.transform_up(|e| answer(e, &schema, Place::Filter)).data()?,
        });
    }
    let Some(predicate) = conjunction(conjuncts) else { return plan_err!("a filter without a predicate") };
    let plan = LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(input))?);
    Ok(plan)
}

fn in_projection(plan: LogicalPlan) -> Result<LogicalPlan> {
    let names = NamePreserver::new(&plan);
    let LogicalPlan::Projection(projection) = plan else { return Ok(plan) };
    let saved: Vec<_> = projection.expr.iter().map(|e| names.save(e)).collect();
    let (input, exprs) = operands_below(Arc::unwrap_or_clone(projection.input), projection.expr)?;
    let schema = Arc::clone(input.schema());
    let exprs = exprs
        .into_iter()
        .zip(saved)
        .map(|(e, name)| Ok(name.restore(e.transform_up(|e| answer(e, &schema, Place::Projection)).data()?)))
        .collect::<Result<Vec<_>>>()?;
    LogicalPlanBuilder::from(input).project(exprs)?.build()
}

/// The input with columns for the left sides that hold subqueries themselves, which a subquery cannot refer to.
fn operands_below(input: LogicalPlan, exprs: Vec<Expr>) -> Result<(LogicalPlan, Vec<Expr>)> {
    let mut operands = Computed::beside(input.schema(), "");
    let exprs = exprs
        .into_iter()
        .map(|expr| {
            expr.transform_down(|e| match e {
                Expr::InSubquery(mut membership) if has_subquery(&membership.expr) => {
                    *membership.expr = operands.column_for(*membership.expr);
                    Ok(Transformed::new(Expr::InSubquery(membership), true, TreeNodeRecursion::Jump))
                }
                Expr::SetComparison(mut comparison) if has_subquery(&comparison.expr) => {
                    *comparison.expr = operands.column_for(*comparison.expr);
                    Ok(Transformed::new(Expr::SetComparison(comparison), true, TreeNodeRecursion::Jump))
                }
                other => Ok(Transformed::no(other)),
            })
            .data()
        })
        .collect::<Result<Vec<_>>>()?;
    Ok((operands.over(input)?, exprs))
}

/// Expressions that a projection computes below a node.
struct Computed {
    exprs: Vec<Expr>,
    prefix: String,
    /// The number of the first.
    first: usize,
}

impl Computed {
    /// Expressions under names that a schema does not have.
    fn beside(schema: &DFSchema, side: &str) -> Self {
        let prefix = format!("__ingot_in{side}");
        let number = |name: &String| name.strip_prefix(&prefix)?.parse::<usize>().ok();
        let first = schema.fields().iter().filter_map(|f| number(f.name())).max().map_or(0, |last| last + 1);
        Self { exprs: Vec::new(), prefix, first }
    }

    fn column_for(&mut self, expr: Expr) -> Expr {
        let at = self.exprs.iter().position(|e| *e == expr).unwrap_or_else(|| {
            self.exprs.push(expr);
            self.exprs.len() - 1
        });
        Expr::Column(Column::new_unqualified(self.name(at)))
    }

    fn name(&self, at: usize) -> String {
        format!("{}{}", self.prefix, self.first + at)
    }

    /// The plan's columns and the computed ones, memberships among them answered.
    fn over(self, input: LogicalPlan) -> Result<LogicalPlan> {
        if self.exprs.is_empty() {
            return Ok(input);
        }
        let names: Vec<String> = (0..self.exprs.len()).map(|i| self.name(i)).collect();
        let computed = self.exprs.into_iter().zip(names).map(|(e, name)| e.alias(name));
        let exprs: Vec<Expr> = columns(input.schema()).into_iter().chain(computed).collect();
        in_projection(LogicalPlanBuilder::from(input).project(exprs)?.build()?)
    }
}

fn columns(schema: &DFSchema) -> Vec<Expr> {
    schema.iter().map(|(q, f)| Expr::Column(Column::new(q.cloned(), f.name()))).collect()
}

fn column_below(computed: &mut Computed, expr: Expr) -> Result<Expr> {
    expr.transform_down(|e| match goes_below(&e) {
        true => Ok(Transformed::new(computed.column_for(e), true, TreeNodeRecursion::Jump)),
        false => Ok(Transformed::no(e)),
    })
    .data()
}

/// Subqueries of an aggregate, a window, a sort and others become columns of their input.
fn below(plan: LogicalPlan) -> Result<LogicalPlan> {
    let wanted = columns(plan.schema());
    let inputs: Vec<LogicalPlan> = plan.inputs().into_iter().cloned().collect();
    let Ok([input]) = <[LogicalPlan; 1]>::try_from(inputs) else { return Ok(plan) };
    let names = NamePreserver::new(&plan);
    let sorted = matches!(plan, LogicalPlan::Sort(_));
    let mut computed = Computed::beside(input.schema(), "");
    // In place: DISTINCT ON, for one, takes no new list of expressions where it has an order.
    let rewritten = plan.map_expressions(|e| {
        let name = names.save(&e);
        let e = column_below(&mut computed, e)?;
        Ok(Transformed::yes(if sorted { e } else { name.restore(e) }))
    })?;
    let input = computed.over(input)?;
    let rewritten = rewritten.data.map_children(|_| Ok(Transformed::yes(input.clone())))?.data.recompute_schema()?;
    if rewritten.schema().fields().len() == wanted.len() {
        return Ok(rewritten);
    }
    LogicalPlanBuilder::from(rewritten).project(wanted)?.build()
}

/// An inner join's memberships filter its rows; an outer join's become columns of the side that they look at.
fn in_join(mut join: Join) -> Result<LogicalPlan> {
    let wanted = columns(&join.schema);
    let conjuncts: Vec<Expr> = join.filter.take().map(split_conjunction_owned).unwrap_or_default();
    if join.join_type == JoinType::Inner && !join.on.iter().any(|(l, r)| is_out_of_place(l) || is_out_of_place(r)) {
        let (above, kept): (Vec<_>, Vec<_>) = conjuncts.into_iter().partition(is_out_of_place);
        let joined =
            rejoin(&join, Arc::clone(&join.left), Arc::clone(&join.right), join.on.clone(), conjunction(kept))?;
        let Some(above) = conjunction(above) else { return Ok(joined) };
        return in_filter(Filter::try_new(above, Arc::new(joined))?);
    }
    let mut left = Computed::beside(join.left.schema(), "_left");
    let mut right = Computed::beside(join.right.schema(), "_right");
    let mut on = Vec::new();
    for (l, r) in std::mem::take(&mut join.on) {
        on.push((column_below(&mut left, l)?, column_below(&mut right, r)?));
    }
    let mut filters = Vec::new();
    for conjunct in conjuncts {
        filters.push(
            conjunct
                .transform_down(|e| {
                    let (operand, subquery) = match &e {
                        Expr::InSubquery(membership) => (Some(membership.expr.as_ref()), &membership.subquery),
                        Expr::SetComparison(comparison) => (Some(comparison.expr.as_ref()), &comparison.subquery),
                        Expr::Exists(exists) => (None, &exists.subquery),
                        Expr::ScalarSubquery(subquery) if goes_below(&e) => (None, subquery),
                        _ => return Ok(Transformed::no(e)),
                    };
                    let mut seen: Vec<Column> = operand.into_iter().flat_map(Expr::column_refs).cloned().collect();
                    seen.extend(outer_columns(&subquery.subquery)?.into_iter().map(|(_, column)| column));
                    let column = if seen.iter().all(|c| join.left.schema().has_column(c)) {
                        left.column_for(e)
                    } else if seen.iter().all(|c| join.right.schema().has_column(c)) {
                        right.column_for(e)
                    } else {
                        return Err(Refusal {
                            code: "U0510",
                            text: "a subquery in the ON of an outer join looks at both of its sides".to_owned(),
                            help: "compute it as a column of one side, in a subquery",
                            span: Span::empty(),
                        }
                        .into());
                    };
                    Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
                })
                .data()?,
        );
    }
    let left = Arc::new(left.over(join.left.as_ref().clone())?);
    let right = Arc::new(right.over(join.right.as_ref().clone())?);
    let joined = rejoin(&join, left, right, on, conjunction(filters))?;
    if joined.schema().fields().len() == wanted.len() {
        return Ok(joined);
    }
    LogicalPlanBuilder::from(joined).project(wanted)?.build()
}

fn rejoin(
    join: &Join,
    left: Arc<LogicalPlan>,
    right: Arc<LogicalPlan>,
    on: Vec<(Expr, Expr)>,
    filter: Option<Expr>,
) -> Result<LogicalPlan> {
    Ok(LogicalPlan::Join(Join::try_new(
        left,
        right,
        on,
        filter,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?))
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Filter,
    Projection,
}

/// A comparison with ANY or ALL as a value of questions.
pub(crate) fn as_value(expr: Expr, outer: &DFSchemaRef) -> Result<Expr> {
    Ok(answer(expr, outer, Place::Projection)?.data)
}

const MEMBER: &str = "__ingot_member";

/// Whether there is a row that an expression fits.
fn found(expr: Expr, rows: &LogicalPlan, op: Operator, outer: &DFSchemaRef, place: Place) -> Result<Expr> {
    let (qualifier, field) = rows.schema().qualified_field(0);
    let column = Column::new(qualifier.cloned(), field.name());
    let mut rows = LogicalPlanBuilder::from(rows.clone());
    let mut member = Expr::Column(column.clone());
    // A join would take an outer column of its name for the member.
    if outer.has_column(&column) {
        rows = rows.project(vec![member.alias(MEMBER)])?;
        member = Expr::Column(Column::new_unqualified(MEMBER));
    }
    // The member first: a join is made of `column = expression`.
    let op = op.swap().unwrap_or(op);
    let fits = Expr::BinaryExpr(BinaryExpr::new(Box::new(member), op, Box::new(referred(expr, outer)?)));
    has_rows(rows.filter(fits)?.build()?, place)
}

/// A membership as a CASE of questions that the engine answers with TRUE or FALSE; as a value also EXISTS, ANY and ALL.
fn answer(expr: Expr, outer: &DFSchemaRef, place: Place) -> Result<Transformed<Expr>> {
    let (expr, subquery, op, negated) = match expr {
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => (expr, subquery, Operator::Eq, negated),
        Expr::Exists(Exists { subquery, negated }) if place == Place::Projection => {
            let found = has_rows(subquery.subquery.as_ref().clone(), place)?;
            return Ok(Transformed::yes(if negated { Expr::Not(Box::new(found)) } else { found }));
        }
        Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
            match (quantifier, op.negate()) {
                (SetQuantifier::Any, _) => (expr, subquery, op, false),
                // All are if none is not.
                (SetQuantifier::All, Some(op)) => (expr, subquery, op, true),
                (SetQuantifier::All, None) => return plan_err!("{op} ALL is no comparison"),
            }
        }
        other => return Ok(Transformed::no(other)),
    };
    let rows = subquery.subquery.as_ref().clone();
    let (qualifier, field) = rows.schema().qualified_field(0);
    let member = Expr::Column(Column::new(qualifier.cloned(), field.name()));
    let mut unknown = Vec::new();
    if expr.nullable(outer.as_ref()).unwrap_or(true) {
        unknown.push(expr.clone().is_null().and(has_rows(rows.clone(), place)?));
    }
    if field.is_nullable() {
        let nulls = LogicalPlanBuilder::from(rows.clone()).filter(member.clone().is_null())?.build()?;
        unknown.push(has_rows(nulls, place)?);
    }
    let found = found(*expr, &rows, op, outer, place)?;
    let boolean = |value: bool| Box::new(lit(value != negated));
    let mut branches = vec![(Box::new(found), boolean(true))];
    if let Some(unknown) = unknown.into_iter().reduce(Expr::or) {
        branches.push((Box::new(unknown), Box::new(lit(ScalarValue::Boolean(None)))));
    }
    Ok(Transformed::yes(Expr::Case(Case::new(None, branches, Some(boolean(false))))))
}

/// The expression as a subquery sees it.
pub(crate) fn referred(expr: Expr, outer: &DFSchemaRef) -> Result<Expr> {
    expr.transform_up(|e| match e {
        Expr::Column(column) => {
            let (_, field) = outer.qualified_field_from_column(&column)?;
            Ok(Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(field), column)))
        }
        other => Ok(Transformed::no(other)),
    })
    .data()
}

/// Whether the subquery has a row, never NULL.
fn has_rows(plan: LogicalPlan, place: Place) -> Result<Expr> {
    let correlated = is_correlated(&plan);
    if correlated && place == Place::Filter {
        return Ok(Expr::Exists(Exists::new(subquery(plan)?, false)));
    }
    let rows = LogicalPlanBuilder::from(plan);
    let rows = if correlated { rows } else { rows.limit(0, Some(1))? };
    let counted = rows.aggregate(Vec::<Expr>::new(), vec![count(lit(1i64))])?.build()?;
    Ok(Expr::ScalarSubquery(subquery(counted)?).gt(lit(0i64)))
}

fn subquery(plan: LogicalPlan) -> Result<Subquery> {
    Ok(Subquery { outer_ref_columns: references(&plan)?, subquery: Arc::new(plan), spans: Spans::new() })
}
