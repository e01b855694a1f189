//! Floats are compared and merged by their canonical value: -0.0 equals 0.0, NaN equals NaN and is the largest.
//!
//!   f < g                       ──▶ canonical(f) < canonical(g), likewise IN, BETWEEN, CASE f WHEN, join keys
//!   GROUP BY f, DISTINCT f, set operations ──▶ the canonical value is also the result
//!   PARTITION BY f, ORDER BY f  ──▶ by the canonical value; the column keeps its bits
//!
//! Intervals, of which 30 days equal 1 month, go the same way; `min` and `max` of them keep the form (`extremes`).
//!
//! Arrow compares bits in the IEEE total order, in which the NaN that 0.0 / 0.0 gives is the least value of all. The
//! statistics of Parquet files leave NaN out, so that DataFusion's own pruning by `f > 5` would skip it; it does not
//! look through a function.
//!
//! Invariants
//! * Only expressions that hold floats change; casts of whole numbers and decimals, which have neither odd value, do not.
//! * `exactly` sorts by bits.
//!
//! Not here: the value itself (`canonical`), keys of merges (`ingot_delta`), pruning of files (`ingot_lake`).

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, JoinConstraint, Result};
use datafusion::logical_expr::expr::{AggregateFunction, Sort, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::{Aggregate, Distinct, DistinctOn, Window};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Filter, Join, LogicalPlan, LogicalPlanBuilder, Operator, Subquery,
    WindowFunctionDefinition,
};
use datafusion::optimizer::AnalyzerRule;

use crate::canonical::{canonical, has_equals, is_canonical, is_exactly};
use crate::extremes::{INTERVAL, for_floats};

/// Runs on plans whose types are coerced, after the rules that make comparisons.
#[derive(Debug)]
pub(crate) struct Zero;

impl AnalyzerRule for Zero {
    fn name(&self) -> &str {
        "ingot_zero"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(rewrite).data()
    }
}

/// Functions that compare their arguments, or elements of them.
const COMPARING: &[&str] = &[
    "array_distinct",
    "array_except",
    "array_has",
    "array_has_all",
    "array_has_any",
    "array_intersect",
    "array_max",
    "array_min",
    "array_position",
    "array_positions",
    "array_remove",
    "array_remove_all",
    "array_remove_n",
    "array_replace",
    "array_replace_all",
    "array_replace_n",
    "array_sort",
    "array_union",
    "greatest",
    "least",
    "nullif",
];

/// Aggregates whose result is one of their values, found by comparing them.
const CHOOSING: &[&str] = &[
    "approx_distinct",
    "approx_median",
    "approx_percentile_cont",
    "approx_percentile_cont_with_weight",
    "max",
    "median",
    "min",
    "percentile_cont",
];

fn rewrite(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        // Nothing here compares.
        LogicalPlan::TableScan(_) | LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => Ok(Transformed::no(plan)),
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let columns = float_columns(input.schema());
            let input = below(input, columns)?;
            Ok(Transformed::yes(LogicalPlan::Distinct(Distinct::All(Arc::new(input)))))
        }
        LogicalPlan::RecursiveQuery(mut query) if query.is_distinct => {
            // Rows are told apart by their bits.
            for term in [&mut query.static_term, &mut query.recursive_term] {
                *term = Arc::new(below(Arc::clone(term), float_columns(term.schema()))?);
            }
            Ok(Transformed::yes(LogicalPlan::RecursiveQuery(query)))
        }
        LogicalPlan::Distinct(Distinct::On(on)) => distinct_on(on).map(Transformed::yes),
        LogicalPlan::Filter(filter) if filter.predicate.contains_outer() => correlated(filter).map(Transformed::yes),
        LogicalPlan::Join(join) => in_join(join).map(Transformed::yes),
        LogicalPlan::Aggregate(aggregate) => in_aggregate(aggregate).map(Transformed::yes),
        LogicalPlan::Window(window) => in_window(window).map(Transformed::yes),
        LogicalPlan::Sort(mut sort) => {
            let scope = Scope::new(sort.input.schema());
            sort.expr = scope.sorts(sort.expr)?;
            Ok(Transformed::yes(LogicalPlan::Sort(sort)))
        }
        other => {
            let schema = merge_schema(&other.inputs());
            Scope::new(&schema).comparisons(other)
        }
    }
}

/// The columns that expressions see.
struct Scope<'a> {
    schema: &'a DFSchema,
    /// Those that are canonical already.
    known: HashSet<Column>,
}

impl<'a> Scope<'a> {
    fn new(schema: &'a DFSchema) -> Self {
        Self { schema, known: HashSet::new() }
    }

    fn is_odd(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Column(column) if self.known.contains(column) => false,
            Expr::Alias(alias) => self.is_odd(&alias.expr),
            Expr::Cast(cast) => {
                let from = cast.expr.get_type(self.schema).ok();
                let whole = from.is_some_and(|t| t.is_integer() || t.is_decimal() || t == DataType::Boolean);
                !whole && has_equals(cast.field.data_type())
            }
            other if is_canonical(other) || is_exactly(other) => false,
            other => other.get_type(self.schema).is_ok_and(|t| has_equals(&t)),
        }
    }

    fn canonical(&self, expr: Expr) -> Expr {
        if self.is_odd(&expr) { canonical(expr) } else { expr }
    }

    fn boxed(&self, mut expr: Box<Expr>) -> Box<Expr> {
        *expr = self.canonical(std::mem::take(expr.as_mut()));
        expr
    }

    fn all(&self, exprs: Vec<Expr>) -> Vec<Expr> {
        exprs.into_iter().map(|e| self.canonical(e)).collect()
    }

    fn sorts(&self, sorts: Vec<Sort>) -> Result<Vec<Sort>> {
        let sorts = sorts.into_iter().map(|sort| {
            let expr = self.compare(sort.expr)?;
            Ok(Sort { expr: self.canonical(expr), ..sort })
        });
        sorts.collect()
    }

    fn comparisons(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = expr.transform_up(|e| self.comparison(e))?;
            Ok(expr.update_data(|e| name.restore(e)))
        })
    }

    fn compare(&self, expr: Expr) -> Result<Expr> {
        expr.transform_up(|e| self.comparison(e)).data()
    }

    /// One comparison, its operands done.
    fn comparison(&self, expr: Expr) -> Result<Transformed<Expr>> {
        Ok(match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right })
                if compares(op) && (self.is_odd(&left) || self.is_odd(&right)) =>
            {
                Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(self.boxed(left), op, self.boxed(right))))
            }
            Expr::Between(mut between) => {
                between.expr = self.boxed(between.expr);
                between.low = self.boxed(between.low);
                between.high = self.boxed(between.high);
                Transformed::yes(Expr::Between(between))
            }
            Expr::InList(mut list) => {
                list.expr = self.boxed(list.expr);
                list.list = self.all(list.list);
                Transformed::yes(Expr::InList(list))
            }
            Expr::Case(mut case) if case.expr.is_some() => {
                case.expr = case.expr.map(|e| self.boxed(e));
                case.when_then_expr = case.when_then_expr.into_iter().map(|(w, t)| (self.boxed(w), t)).collect();
                Transformed::yes(Expr::Case(case))
            }
            Expr::InSubquery(mut membership) if self.is_odd(&membership.expr) => {
                membership.expr = self.boxed(membership.expr);
                membership.subquery = canonical_rows(membership.subquery)?;
                Transformed::yes(Expr::InSubquery(membership))
            }
            Expr::SetComparison(mut comparison) if self.is_odd(&comparison.expr) => {
                comparison.expr = self.boxed(comparison.expr);
                comparison.subquery = canonical_rows(comparison.subquery)?;
                Transformed::yes(Expr::SetComparison(comparison))
            }
            Expr::ScalarFunction(mut call) if COMPARING.contains(&call.func.name()) => {
                call.args = self.all(call.args);
                Transformed::yes(Expr::ScalarFunction(call))
            }
            Expr::AggregateFunction(call) => Transformed::yes(Expr::AggregateFunction(self.aggregate(call))),
            Expr::WindowFunction(call) => Transformed::yes(Expr::WindowFunction(Box::new(self.window(*call)))),
            other => Transformed::no(other),
        })
    }

    fn aggregate(&self, mut call: AggregateFunction) -> AggregateFunction {
        if call.params.distinct || CHOOSING.contains(&call.func.name()) {
            let argument = call.params.args.first().and_then(|a| a.get_type(self.schema).ok());
            if argument != Some(INTERVAL) || !matches!(call.func.name(), "min" | "max") {
                call.params.args = self.all(call.params.args);
            }
            if let Some(func) = argument.and_then(|t| for_floats(&call.func, &t)) {
                call.func = func;
            }
        }
        for sort in &mut call.params.order_by {
            sort.expr = self.canonical(sort.expr.clone());
        }
        call
    }

    fn window(&self, mut call: WindowFunction) -> WindowFunction {
        let argument = call.params.args.first().and_then(|a| a.get_type(self.schema).ok());
        let interval = argument == Some(INTERVAL);
        let chooses = match &call.fun {
            WindowFunctionDefinition::AggregateUDF(f) => call.params.distinct || CHOOSING.contains(&f.name()),
            WindowFunctionDefinition::WindowUDF(_) => false,
        };
        // Extrema of intervals keep their form.
        if interval && chooses && matches!(call.fun.name(), "min" | "max") {
            if let WindowFunctionDefinition::AggregateUDF(f) = &call.fun
                && let Some(func) = for_floats(f, &INTERVAL)
            {
                call.fun = WindowFunctionDefinition::AggregateUDF(func);
            }
        } else if chooses {
            call.params.args = self.all(call.params.args);
        }
        call.params.partition_by = self.all(call.params.partition_by);
        for sort in &mut call.params.order_by {
            sort.expr = self.canonical(sort.expr.clone());
        }
        call
    }
}

fn compares(op: Operator) -> bool {
    use Operator as O;
    matches!(op, O::Eq | O::NotEq | O::Lt | O::LtEq | O::Gt | O::GtEq | O::IsDistinctFrom | O::IsNotDistinctFrom)
}

fn float_columns(schema: &DFSchema) -> HashSet<Column> {
    schema.iter().filter(|(_, f)| has_equals(f.data_type())).map(|(q, f)| Column::new(q.cloned(), f.name())).collect()
}

/// A projection that makes these columns of its input canonical; the input itself where they are.
fn below(input: Arc<LogicalPlan>, mut columns: HashSet<Column>) -> Result<LogicalPlan> {
    if let LogicalPlan::Projection(projection) = input.as_ref() {
        for (expr, (qualifier, field)) in projection.expr.iter().zip(projection.schema.iter()) {
            if matches!(expr, Expr::Alias(alias) if is_canonical(&alias.expr)) {
                columns.remove(&Column::new(qualifier.cloned(), field.name()));
            }
        }
    }
    if columns.is_empty() {
        return Ok(Arc::unwrap_or_clone(input));
    }
    let exprs: Vec<Expr> = input
        .schema()
        .iter()
        .map(|(qualifier, field)| {
            let column = Column::new(qualifier.cloned(), field.name());
            let wanted = columns.contains(&column);
            let expr = Expr::Column(column);
            if wanted { canonical(expr).alias_qualified(qualifier.cloned(), field.name()) } else { expr }
        })
        .collect();
    LogicalPlanBuilder::from(input.as_ref().clone()).project(exprs)?.build()
}

/// The subquery with canonical values in its first column, which is compared.
fn canonical_rows(subquery: Subquery) -> Result<Subquery> {
    let plan = below(Arc::clone(&subquery.subquery), float_columns(subquery.subquery.schema()))?;
    Ok(subquery.with_plan(Arc::new(plan)))
}

/// Decorrelation looks for plain columns that equal the outer query's, so these become canonical below the filter.
fn correlated(filter: Filter) -> Result<LogicalPlan> {
    let floats = float_columns(filter.input.schema());
    let known: HashSet<Column> =
        filter.predicate.column_refs().into_iter().filter(|c| floats.contains(*c)).cloned().collect();
    let input = Arc::new(below(filter.input, known.clone())?);
    let predicate = Scope { schema: input.schema(), known }.compare(filter.predicate)?;
    Ok(LogicalPlan::Filter(Filter::try_new(predicate, input)?))
}

fn distinct_on(on: DistinctOn) -> Result<LogicalPlan> {
    let scope = Scope::new(on.input.schema());
    let keys = on.on_expr.into_iter().map(|e| Ok(scope.canonical(scope.compare(e)?))).collect::<Result<Vec<_>>>()?;
    let sorts = on.sort_expr.map(|s| scope.sorts(s)).transpose()?;
    let names = NamePreserver::new_for_projection();
    let selected = on
        .select_expr
        .into_iter()
        .map(|e| {
            let name = names.save(&e);
            Ok(name.restore(scope.compare(e)?))
        })
        .collect::<Result<Vec<_>>>()?;
    let on = DistinctOn {
        on_expr: keys,
        select_expr: selected,
        sort_expr: sorts,
        input: Arc::clone(&on.input),
        schema: on.schema,
    };
    Ok(LogicalPlan::Distinct(Distinct::On(on)))
}

fn in_join(join: Join) -> Result<LogicalPlan> {
    let (left, right) = (Scope::new(join.left.schema()), Scope::new(join.right.schema()));
    let mut constraint = join.join_constraint;
    let mut on = Vec::with_capacity(join.on.len());
    for (l, r) in join.on {
        let (l, r) = (left.compare(l)?, right.compare(r)?);
        if left.is_odd(&l) || right.is_odd(&r) {
            // USING takes columns; what it means was settled when the query was planned.
            constraint = JoinConstraint::On;
        }
        on.push((left.canonical(l), right.canonical(r)));
    }
    let both = left.schema.join(right.schema).unwrap_or_else(|_| join.schema.as_ref().clone());
    let filter = join.filter.map(|f| Scope::new(&both).compare(f)).transpose()?;
    Ok(LogicalPlan::Join(Join { on, filter, join_constraint: constraint, ..join }))
}

fn in_window(window: Window) -> Result<LogicalPlan> {
    let schema = Arc::clone(window.input.schema());
    Ok(Scope::new(&schema).comparisons(LogicalPlan::Window(window))?.data)
}

/// Keys are made canonical below the aggregate where they are columns, in place where they are not.
fn in_aggregate(aggregate: Aggregate) -> Result<LogicalPlan> {
    let schema = Arc::clone(aggregate.input.schema());
    let scope = Scope::new(&schema);
    let mut columns = HashSet::new();
    let mut groups = Vec::with_capacity(aggregate.group_expr.len());
    for group in aggregate.group_expr {
        if let Expr::GroupingSet(set) = &group {
            // Their keys are columns (`grouping`).
            columns.extend(
                set.distinct_expr().into_iter().filter(|e| scope.is_odd(e)).filter_map(Expr::try_as_col).cloned(),
            );
            groups.push(group);
            continue;
        }
        if let Expr::Column(column) = &group {
            if scope.is_odd(&group) {
                columns.insert(column.clone());
            }
            groups.push(group);
            continue;
        }
        let name = NamePreserver::new_for_projection().save(&group);
        let key = match scope.compare(group)? {
            Expr::Alias(alias) => *alias.expr,
            other => other,
        };
        groups.push(name.restore(scope.canonical(key)));
    }
    let input = below(Arc::clone(&aggregate.input), columns.clone())?;
    let input = Arc::new(input);
    let schema = Arc::clone(input.schema());
    let scope = Scope { schema: &schema, known: columns };
    let names = NamePreserver::new_for_projection();
    let calls = aggregate
        .aggr_expr
        .into_iter()
        .map(|e| {
            let name = names.save(&e);
            Ok(name.restore(scope.compare(e)?))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(LogicalPlan::Aggregate(Aggregate::try_new(input, groups, calls)?))
}
