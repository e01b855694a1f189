//! Subqueries that look at the row around them and that DataFusion makes no join of, or a wrong one: joined here.
//!
//!   SELECT (SELECT count(*) FROM s WHERE s.k < t.k) FROM t
//!     ──▶ SELECT v FROM t LEFT JOIN (the counts, beside t.k) AS r ON t.k IS NOT DISTINCT FROM r.k
//!
//! Invariants
//! * What DataFusion's own rules answer rightly is left to them (`correlated` says what that is).
//! * The rows around are read twice, so they are the same each time, or the subquery is refused or left to DataFusion.
//! * A value of more than one row fails where it is asked for, and not before.
//!
//! Not here: the subquery's plan for all rows at once (`outer_rows`).

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, ExprSchema, Result, ScalarValue, Spans, exec_err, plan_err};
use datafusion::functions_aggregate::expr_fn::{count, max};
use datafusion::logical_expr::expr::{Exists, InSubquery, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::{
    Aggregate, Distinct, Filter, Projection, Subquery, SubqueryAlias, check_subquery_expr,
};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, Join, JoinType, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, WindowFrameUnits, lit,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::decorrelate::PullUpCorrelatedExpr;

use crate::correlated::{Use, check_answerable, has_outer, refused, two_queries_up};
use crate::laterals::span_of;
use crate::membership;
use crate::outer_references::{lateral, outer_columns, references, subquery_of};
use crate::outer_rows::{Beside, Fresh, OuterRows, join_values};
use crate::reached::guard_subqueries;
use crate::refusal::Refusal;
use crate::rewrite::input_schema;

/// Runs when memberships are answered, before values are compared canonically and conditions are guarded.
#[derive(Debug)]
pub(crate) struct Dependent;

impl AnalyzerRule for Dependent {
    fn name(&self) -> &str {
        "ingot_dependent"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        if !has_outer(&plan)? {
            return Ok(plan);
        }
        let fresh = Fresh::after(&plan)?;
        let joined = plan.transform_down_with_subqueries(|node| rewrite(node, &fresh))?;
        if !joined.transformed {
            return Ok(joined.data);
        }
        // What comes out of a LEFT JOIN can be NULL.
        joined.data.transform_up_with_subqueries(|node| Ok(Transformed::yes(node.recompute_schema()?))).data()
    }
}

fn rewrite(node: LogicalPlan, fresh: &Fresh) -> Result<Transformed<LogicalPlan>> {
    if let LogicalPlan::Join(join) = &node
        && let Some(subquery) = lateral(&node)
    {
        return match lateral_obstacle(&subquery.subquery, &join.left)? {
            Some(_) => in_lateral(join, &subquery.subquery, fresh).map(Transformed::yes),
            None => Ok(Transformed::no(node)),
        };
    }
    let mut first = None;
    node.apply_expressions(|expr| {
        expr.apply(|e| {
            first = obstacle(e, &node)?;
            Ok(if first.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    })?;
    let Some(first) = first else { return Ok(Transformed::no(node)) };
    let schema = input_schema(&node)?;
    match guard_subqueries(node, &schema)?.data {
        LogicalPlan::Filter(filter) => in_filter(filter, fresh).map(Transformed::yes),
        LogicalPlan::Projection(projection) => in_projection(projection, fresh).map(Transformed::yes),
        _ => Err(first),
    }
}

/// Why DataFusion's rules do not answer a subquery; None if they do.
fn obstacle(expr: &Expr, node: &LogicalPlan) -> Result<Option<DataFusionError>> {
    let Some(subquery) = subquery_of(expr) else { return Ok(None) };
    if outer_columns(&subquery.subquery)?.is_empty() {
        return Ok(None);
    }
    Ok(answered(expr, &subquery.subquery, node).err())
}

fn answered(expr: &Expr, plan: &LogicalPlan, node: &LogicalPlan) -> Result<()> {
    let schema = input_schema(node)?;
    if let Some((_, column)) = outer_columns(plan)?.iter().find(|(_, c)| !schema.has_column(c)) {
        return Err(two_queries_up(column).into());
    }
    let is_value = matches!(expr, Expr::ScalarSubquery(_));
    check_answerable(plan, if is_value { Use::Value } else { Use::Test })?;
    within(plan)?;
    if is_value
        && groups(plan)
        && node.inputs().into_iter().map(is_same_again).collect::<Result<Vec<_>>>()?.iter().all(|s| *s)
    {
        // DataFusion looks at it again when it has simplified the conditions that correlate it, and may refuse it then.
        return Err(refused(plan, "GROUP BY").into());
    }
    check_subquery_expr(node, plan, expr).map_err(|_| DataFusionError::from(refused(plan, "")))?;
    let pull_up = match expr {
        Expr::InSubquery(i) => {
            let Some(member) = plan.head_output_expr()? else { return plan_err!("a subquery without a column") };
            PullUpCorrelatedExpr::new().with_in_predicate_opt(Some(i.expr.as_ref().clone().eq(member)))
        }
        Expr::ScalarSubquery(_) => PullUpCorrelatedExpr::new().with_need_handle_count_bug(true),
        _ => PullUpCorrelatedExpr::new().with_exists_sub_query(true),
    };
    pulls_up(plan, pull_up)
}

fn pulls_up(plan: &LogicalPlan, mut pull_up: PullUpCorrelatedExpr) -> Result<()> {
    let pulled = plan.clone().rewrite(&mut pull_up)?.data;
    let is_one = |c: &Column| pulled.schema().fields().iter().filter(|f| *f.name() == c.name).count() == 1;
    match pull_up.can_pull_up && pull_up.correlated_subquery_cols_map.values().flatten().all(is_one) {
        true => Ok(()),
        false => Err(refused(plan, "").into()),
    }
}

/// Subqueries within a subquery that is left to DataFusion must be left to it as well.
fn within(plan: &LogicalPlan) -> Result<()> {
    plan.apply(|node| {
        if let (LogicalPlan::Join(join), Some(subquery)) = (node, lateral(node))
            && let Some(error) = lateral_obstacle(&subquery.subquery, &join.left)?
        {
            return Err(error);
        }
        node.apply_expressions(|expr| {
            expr.apply(|e| match obstacle(e, node)? {
                Some(error) => Err(error),
                None => Ok(TreeNodeRecursion::Continue),
            })
        })
    })?;
    Ok(())
}

fn lateral_obstacle(plan: &LogicalPlan, left: &LogicalPlan) -> Result<Option<DataFusionError>> {
    let columns = outer_columns(plan)?;
    let answered = || -> Result<()> {
        if let Some((_, column)) = columns.iter().find(|(_, c)| !left.schema().has_column(c)) {
            return Err(two_queries_up(column).into());
        }
        check_answerable(plan, Use::Lateral)?;
        within(plan)?;
        pulls_up(plan, PullUpCorrelatedExpr::new().with_need_handle_count_bug(true))
    };
    Ok(if columns.is_empty() { None } else { answered().err() })
}

fn groups(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(Projection { input, .. })
        | LogicalPlan::Filter(Filter { input, .. })
        | LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => groups(input),
        LogicalPlan::Aggregate(aggregate) => !aggregate.group_expr.is_empty(),
        _ => false,
    }
}

fn in_filter(filter: Filter, fresh: &Fresh) -> Result<LogicalPlan> {
    let node = LogicalPlan::Filter(filter.clone());
    let wanted = node.schema().columns().into_iter().map(Expr::Column).collect();
    let mut around = Around::new(filter.input, fresh);
    let predicate = around.answers(filter.predicate, &node)?;
    let filtered = LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(around.joined))?);
    Ok(LogicalPlan::Projection(Projection::try_new(wanted, Arc::new(filtered))?))
}

fn in_projection(projection: Projection, fresh: &Fresh) -> Result<LogicalPlan> {
    let node = LogicalPlan::Projection(projection.clone());
    let mut around = Around::new(projection.input, fresh);
    let names = NamePreserver::new(&node);
    let exprs = projection.expr.into_iter().map(|expr| {
        let name = names.save(&expr);
        Ok(name.restore(around.answers(expr, &node)?))
    });
    let exprs = exprs.collect::<Result<Vec<_>>>()?;
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(around.joined))?))
}

fn in_lateral(join: &Join, plan: &LogicalPlan, fresh: &Fresh) -> Result<LogicalPlan> {
    let wanted = join.schema.columns().into_iter().map(Expr::Column).collect();
    let around = Around::new(Arc::clone(&join.left), fresh);
    let outer = around.outer_rows(plan)?;
    let looked_at = outer.looked_at.clone();
    let Beside { plan: mut right, mut values } = outer.beside(without_order(plan.clone()))?;
    if let LogicalPlan::SubqueryAlias(alias) = join.right.as_ref() {
        values = values.into_iter().map(|v| Column::new(Some(alias.alias.clone()), v.name)).collect();
        right = LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(right), alias.alias.clone())?);
    }
    if !join.on.is_empty() || !matches!(join.join_type, JoinType::Inner | JoinType::Left) {
        return Err(refused(plan, "a join of this kind").into());
    }
    let left = join.left.as_ref().clone();
    let joined = join_values(left, right, &looked_at, &values, join.filter.clone(), join.join_type)?;
    Ok(LogicalPlan::Projection(Projection::try_new(wanted, Arc::new(joined))?))
}

/// The rows around a node's subqueries.
struct Around<'a> {
    rows: Arc<LogicalPlan>,
    /// With the subqueries' answers.
    joined: LogicalPlan,
    fresh: &'a Fresh,
}

impl<'a> Around<'a> {
    fn new(rows: Arc<LogicalPlan>, fresh: &'a Fresh) -> Self {
        Self { joined: rows.as_ref().clone(), rows, fresh }
    }

    /// The expression with columns in the place of what DataFusion does not answer.
    fn answers(&mut self, expr: Expr, node: &LogicalPlan) -> Result<Expr> {
        expr.transform_down(|e| {
            if obstacle(&e, node)?.is_none() {
                return Ok(Transformed::no(e));
            }
            let answer = match e {
                Expr::ScalarSubquery(subquery) => self.value(Arc::unwrap_or_clone(subquery.subquery))?,
                Expr::Exists(Exists { subquery, negated }) => {
                    let found = self.found(Arc::unwrap_or_clone(subquery.subquery))?;
                    if negated { Expr::Not(Box::new(found)) } else { found }
                }
                // A conjunct, of which FALSE and NULL are the same (`membership`).
                Expr::InSubquery(InSubquery { expr, subquery, negated: false }) => {
                    let plan = without_order(Arc::unwrap_or_clone(subquery.subquery));
                    let (qualifier, field) = plan.schema().qualified_field(0);
                    let member = Expr::Column(Column::new(qualifier.cloned(), field.name()));
                    let same = member.eq(membership::referred(*expr, self.rows.schema())?);
                    self.found(LogicalPlanBuilder::from(plan).filter(same)?.build()?)?
                }
                other @ Expr::SetComparison(_) => {
                    let questions = membership::as_value(other, self.rows.schema())?;
                    self.answers(questions, node)?
                }
                other => match subquery_of(&other) {
                    Some(subquery) => return Err(refused(&subquery.subquery, "NOT IN").into()),
                    None => other,
                },
            };
            Ok(Transformed::new(answer, true, TreeNodeRecursion::Jump))
        })
        .data()
    }

    fn outer_rows(&self, plan: &LogicalPlan) -> Result<OuterRows<'a>> {
        let looked_at: Vec<Column> = outer_columns(plan)?.into_iter().map(|(_, c)| c).collect();
        for column in &looked_at {
            let Ok(field) = self.rows.schema().field_from_column(column) else {
                return Err(two_queries_up(column).into());
            };
            if !is_compared(field.data_type()) {
                let text = format!("the subquery looks at {column}, whose type cannot be compared");
                return Err(Refusal { text, ..refused(plan, "") }.into());
            }
        }
        let rows = narrowed(&self.rows, &looked_at);
        if let (Some(column), false) = (looked_at.first(), is_same_again(rows)?) {
            return Err(Refusal {
                code: "U0515",
                text: format!(
                    "the subquery looks at {column} in a way that no single join has, and the rows around it are not the same \
                     when they are read twice"
                ),
                help: "keep those rows in a view below: they stand below a LIMIT, a function like random(), or an aggregate \
                       or a window function whose result depends on the order of rows",
                span: span_of(column),
            }
            .into());
        }
        if let (Some(column), false) = (looked_at.first(), self.fresh.reads_once_more()) {
            return Err(Refusal {
                code: "U0515",
                text: format!(
                    "the subquery looks at {column}, and the rows around it come from too many subqueries that look at one another"
                ),
                help: "keep the inner ones in a view below: each doubles the work of those after it",
                span: span_of(column),
            }
            .into());
        }
        Ok(OuterRows { rows: Arc::clone(rows), looked_at, fresh: self.fresh })
    }

    fn join(&mut self, answers: Beside, looked_at: &[Column]) -> Result<()> {
        let rows = std::mem::take(&mut self.joined);
        self.joined = join_values(rows, answers.plan, looked_at, &answers.values, None, JoinType::Left)?;
        Ok(())
    }

    /// The value of a subquery: NULL without a row.
    fn value(&mut self, plan: LogicalPlan) -> Result<Expr> {
        let plan = without_order(plan);
        let has_one_row = has_one_row(&plan);
        let outer = self.outer_rows(&plan)?;
        let refusal = refused(&plan, "no aggregate, which would give it one row");
        let Beside { plan, values } = outer.beside(plan)?;
        let columns = plan.schema().columns();
        let (Some(value), Some(field)) = (columns.first(), plan.schema().fields().first()) else {
            return plan_err!("a subquery without a column");
        };
        let value = Expr::Column(value.clone());
        let keys = || values.iter().cloned().map(Expr::Column);
        let name = self.fresh.name();
        let column = Expr::Column(Column::new_unqualified(name.clone()));
        if has_one_row {
            let exprs = std::iter::once(value.alias(name)).chain(keys()).collect();
            let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?);
            self.join(Beside { plan, values }, &outer.looked_at)?;
            return Ok(column);
        }
        if !is_ordered(field.data_type()) {
            return Err(refusal.into());
        }
        let rows = self.fresh.name();
        let aggregates = vec![max(value).alias(name), count(lit(1i64)).alias(rows.clone())];
        let plan = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(plan), keys().collect(), aggregates)?);
        self.join(Beside { plan, values }, &outer.looked_at)?;
        let func = Arc::new(ScalarUDF::from(OneRow { signature: Signature::any(2, Volatility::Immutable) }));
        let args = vec![column, Expr::Column(Column::new_unqualified(rows))];
        Ok(Expr::ScalarFunction(ScalarFunction { func, args }))
    }

    /// Whether a subquery has a row.
    fn found(&mut self, plan: LogicalPlan) -> Result<Expr> {
        let plan = of_rows(plan)?;
        if outer_columns(&plan)?.is_empty() {
            let subquery =
                Subquery { outer_ref_columns: references(&plan)?, subquery: Arc::new(plan), spans: Spans::new() };
            return Ok(Expr::Exists(Exists::new(subquery, false)));
        }
        let outer = self.outer_rows(&plan)?;
        let Beside { plan, values } = outer.beside(plan)?;
        let keys: Vec<Expr> = values.iter().cloned().map(Expr::Column).collect();
        let plan = LogicalPlan::Projection(Projection::try_new(keys.clone(), Arc::new(plan))?);
        let plan = Arc::new(LogicalPlan::Distinct(Distinct::All(Arc::new(plan))));
        let name = self.fresh.name();
        let exprs = keys.into_iter().chain([lit(true).alias(name.clone())]).collect();
        let plan = LogicalPlan::Projection(Projection::try_new(exprs, plan)?);
        self.join(Beside { plan, values }, &outer.looked_at)?;
        Ok(Expr::Column(Column::new_unqualified(name)).is_not_null())
    }
}

/// The plan without an ORDER BY that decides nothing.
fn without_order(plan: LogicalPlan) -> LogicalPlan {
    match plan {
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => without_order(Arc::unwrap_or_clone(sort.input)),
        LogicalPlan::Projection(mut projection) => {
            projection.input = Arc::new(without_order(Arc::unwrap_or_clone(projection.input)));
            LogicalPlan::Projection(projection)
        }
        LogicalPlan::SubqueryAlias(mut alias) => {
            alias.input = Arc::new(without_order(Arc::unwrap_or_clone(alias.input)));
            LogicalPlan::SubqueryAlias(alias)
        }
        other => other,
    }
}

/// A plan that has rows where this one has: EXISTS asks no more.
fn of_rows(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(match plan {
        LogicalPlan::Sort(sort) if sort.fetch != Some(0) => of_rows(Arc::unwrap_or_clone(sort.input))?,
        LogicalPlan::Projection(projection) => of_rows(Arc::unwrap_or_clone(projection.input))?,
        LogicalPlan::Distinct(Distinct::All(input)) => of_rows(Arc::unwrap_or_clone(input))?,
        LogicalPlan::SubqueryAlias(alias) => of_rows(Arc::unwrap_or_clone(alias.input))?,
        LogicalPlan::Limit(limit) if limit.skip.is_none() && is_positive(limit.fetch.as_deref()) => {
            of_rows(Arc::unwrap_or_clone(limit.input))?
        }
        other => other,
    })
}

fn is_positive(fetch: Option<&Expr>) -> bool {
    match fetch {
        None => true,
        Some(Expr::Literal(value, _)) => {
            matches!(value.cast_to(&DataType::Int64), Ok(ScalarValue::Int64(Some(n))) if n > 0)
        }
        Some(_) => false,
    }
}

fn has_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(Projection { input, .. })
        | LogicalPlan::Filter(Filter { input, .. })
        | LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => has_one_row(input),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(_) => true,
        _ => false,
    }
}

/// Whether values of a type can be keys of a join.
fn is_compared(data_type: &DataType) -> bool {
    !data_type.is_nested() && !matches!(data_type, DataType::Null)
}

/// Whether max() takes values of a type.
fn is_ordered(data_type: &DataType) -> bool {
    !data_type.is_nested() && !matches!(data_type, DataType::FixedSizeBinary(_) | DataType::Null)
}

/// Aggregates and windows whose results do not depend on the order in which rows come; float sums do, and frames of ROWS.
const ORDERLESS: &[&str] = &["bool_and", "bool_or", "count", "dense_rank", "max", "min", "rank", "sum", "avg"];

/// The rows without the windows and orders that the subquery does not look at.
fn narrowed<'a>(mut rows: &'a Arc<LogicalPlan>, looked_at: &[Column]) -> &'a Arc<LogicalPlan> {
    loop {
        let input = match rows.as_ref() {
            LogicalPlan::Window(window) => &window.input,
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => &sort.input,
            _ => return rows,
        };
        if !looked_at.iter().all(|column| input.schema().has_column(column)) {
            return rows;
        }
        rows = input;
    }
}

/// Whether a plan has the same rows when it is read again.
fn is_same_again(plan: &LogicalPlan) -> Result<bool> {
    let mut same = true;
    plan.apply_with_subqueries(|node| {
        same &= match node {
            LogicalPlan::Limit(_) | LogicalPlan::Distinct(Distinct::On(_)) | LogicalPlan::Extension(_) => false,
            LogicalPlan::Sort(sort) => sort.fetch.is_none(),
            _ => true,
        };
        node.apply_expressions(|expr| {
            same &= !expr.is_volatile();
            let schema = input_schema(node)?;
            expr.apply(|e| {
                let name = match e {
                    Expr::AggregateFunction(call) => call.func.name(),
                    Expr::WindowFunction(call) => {
                        let frame = &call.params.window_frame;
                        let whole = frame.start_bound.is_unbounded() && frame.end_bound.is_unbounded();
                        same &= whole || frame.units != WindowFrameUnits::Rows;
                        call.fun.name()
                    }
                    _ => return Ok(TreeNodeRecursion::Continue),
                };
                let is_float = e.get_type(&schema)?.is_floating() && !matches!(name, "max" | "min");
                same &= ORDERLESS.contains(&name.trim_start_matches("ingot_")) && !is_float;
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(same)
}

/// Its first argument, where the second does not count more than one row.
#[derive(Debug, PartialEq, Eq, Hash)]
struct OneRow {
    signature: Signature,
}

impl ScalarUDFImpl for OneRow {
    fn name(&self) -> &str {
        "ingot_one_row"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let [field, _] = args.arg_fields else { return plan_err!("ingot_one_row takes two values") };
        Ok(Arc::new(Field::clone(field).with_nullable(true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value, rows] =
            <[ColumnarValue; 2]>::try_from(args.args).or_else(|_| plan_err!("ingot_one_row takes two values"))?;
        let rows = rows.to_array(args.number_rows)?;
        let Some(rows) = rows.as_primitive_opt::<Int64Type>() else { return plan_err!("ingot_one_row counts rows") };
        if rows.iter().flatten().any(|n| n > 1) {
            return exec_err!("Scalar subquery returned more than one row");
        }
        Ok(value)
    }
}
