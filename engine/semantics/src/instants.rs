//! Timestamps have microseconds, so that all of 0001 to 9999 and far beyond can be computed with.
//!
//! DataFusion brings a timestamp beside text, a date or `now()` to nanoseconds, which end in 1677 and 2262: one row of
//! `9999-12-31` then fails the query. Here the other side takes the timestamp's own type before types are coerced.
//!
//! Invariants
//! * A column stays as it is stored: what it is compared with is cast, so that it still skips files.
//! * A column of nanoseconds keeps them.
//!
//! Not here: functions of time (`date_trunc`, `date_bin`, `date_part`, `to_timestamp`).

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, JoinConstraint, Result, ScalarValue};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Case, Cast, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, TryCast, Union, Values,
};
use datafusion::optimizer::AnalyzerRule;

use crate::nvl2::as_case;
use crate::set_operations::is_set_operation;
use crate::zones::refuse_zones;

/// Runs before types are coerced.
#[derive(Debug)]
pub(crate) struct Instants;

impl AnalyzerRule for Instants {
    fn name(&self) -> &str {
        "ingot_instants"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        // A new type changes the schemas of all that stands above.
        let mut changed = false;
        plan.transform_up_with_subqueries(|plan| {
            let plan = rewrite(plan)?;
            changed |= plan.transformed;
            if changed { plan.map_data(LogicalPlan::recompute_schema) } else { Ok(plan) }
        })
        .data()
    }
}

fn rewrite(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let scope = match &plan {
        LogicalPlan::TableScan(_) | LogicalPlan::EmptyRelation(_) => return Ok(Transformed::no(plan)),
        LogicalPlan::Union(union) => return in_union(union),
        _ => Scope { schema: merge_schema(&plan.inputs()) },
    };
    let names = NamePreserver::new(&plan);
    let sorted = matches!(plan, LogicalPlan::Sort(_));
    let plan = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let expr = expr.transform_up(|e| scope.aligned(e))?;
        Ok(if sorted { expr } else { expr.update_data(|e| name.restore(e)) })
    })?;
    plan.transform_data(|plan| match plan {
        // Both sides get one type (`set_operations`).
        LogicalPlan::Join(join) if is_set_operation(&join) => Ok(Transformed::no(LogicalPlan::Join(join))),
        LogicalPlan::Join(join) => Ok(in_join(join)),
        LogicalPlan::Values(values) => in_values(values),
        other => Ok(Transformed::no(other)),
    })
}

/// Functions that give one of their arguments, which get one type.
const CHOOSING: &[&str] = &["coalesce", "greatest", "ifnull", "least", "make_array", "nullif", "nvl"];

struct Scope {
    schema: DFSchema,
}

impl Scope {
    fn type_of(&self, expr: &Expr) -> DataType {
        expr.get_type(&self.schema).unwrap_or(DataType::Null)
    }

    fn aligned(&self, expr: Expr) -> Result<Transformed<Expr>> {
        refuse_zones(&expr, |e| self.type_of(e))?;
        Ok(match expr {
            Expr::Cast(cast) => match in_micros(cast.field.data_type()) {
                Some(micros) => Transformed::yes(Expr::Cast(Cast::new(cast.expr, micros))),
                None => Transformed::no(Expr::Cast(cast)),
            },
            Expr::TryCast(cast) => match in_micros(cast.field.data_type()) {
                Some(micros) => Transformed::yes(Expr::TryCast(TryCast::new(cast.expr, micros))),
                None => Transformed::no(Expr::TryCast(cast)),
            },
            Expr::BinaryExpr(mut binary) if is_comparison(binary.op) || binary.op == Operator::Minus => {
                let (left, right) = (self.type_of(&binary.left), self.type_of(&binary.right));
                let text = binary.op != Operator::Minus;
                if !text && self.has_hours(&binary.left, &binary.right) {
                    *binary.left = beside(*binary.left, &left, &MICROS, false);
                    return Ok(Transformed::yes(Expr::BinaryExpr(binary)));
                }
                if wanted(&binary.left, &left, &right, text).or(wanted(&binary.right, &right, &left, text)).is_none() {
                    return Ok(Transformed::no(Expr::BinaryExpr(binary)));
                }
                *binary.right = beside(*binary.right, &right, &left, text);
                *binary.left = beside(*binary.left, &left, &right, text);
                Transformed::yes(Expr::BinaryExpr(binary))
            }
            // Hours are no part of a DATE.
            Expr::BinaryExpr(mut binary)
                if matches!(binary.op, Operator::Plus) && self.has_hours(&binary.left, &binary.right) =>
            {
                *binary.left = beside(*binary.left, &DataType::Date32, &MICROS, false);
                Transformed::yes(Expr::BinaryExpr(binary))
            }
            Expr::BinaryExpr(mut binary)
                if matches!(binary.op, Operator::Plus) && self.has_hours(&binary.right, &binary.left) =>
            {
                *binary.right = beside(*binary.right, &DataType::Date32, &MICROS, false);
                Transformed::yes(Expr::BinaryExpr(binary))
            }
            Expr::Between(mut between) if self.differ([&*between.expr, &*between.low, &*between.high]) => {
                let mut all = [*between.expr, *between.low, *between.high];
                self.one_type(&mut all);
                let [expr, low, high] = all.map(Box::new);
                (between.expr, between.low, between.high) = (expr, low, high);
                Transformed::yes(Expr::Between(between))
            }
            Expr::InList(mut list) if self.differ(std::iter::once(&*list.expr).chain(&list.list)) => {
                list.list.insert(0, *list.expr);
                self.one_type(&mut list.list);
                list.expr = Box::new(list.list.remove(0));
                Transformed::yes(Expr::InList(list))
            }
            Expr::Case(case) => self.in_case(case),
            Expr::ScalarFunction(mut call) if CHOOSING.contains(&call.func.name()) && self.differ(&call.args) => {
                self.one_type(&mut call.args);
                Transformed::yes(Expr::ScalarFunction(call))
            }
            Expr::InSubquery(mut membership) => {
                let (left, right) = (self.type_of(&membership.expr), first_type(&membership.subquery));
                if is_micros(&left) == is_micros(&right) {
                    return Ok(Transformed::no(Expr::InSubquery(membership)));
                }
                *membership.expr = beside(*membership.expr, &left, &right, true);
                membership.subquery = rows_beside(membership.subquery, &right, &left)?;
                Transformed::yes(Expr::InSubquery(membership))
            }
            Expr::SetComparison(mut comparison) => {
                let (left, right) = (self.type_of(&comparison.expr), first_type(&comparison.subquery));
                if is_micros(&left) == is_micros(&right) {
                    return Ok(Transformed::no(Expr::SetComparison(comparison)));
                }
                *comparison.expr = beside(*comparison.expr, &left, &right, true);
                comparison.subquery = rows_beside(comparison.subquery, &right, &left)?;
                Transformed::yes(Expr::SetComparison(comparison))
            }
            Expr::ScalarFunction(call) => match as_case(call) {
                Ok(case) => Transformed::yes(self.in_case(case).data),
                Err(call) => Transformed::no(Expr::ScalarFunction(call)),
            },
            other => Transformed::no(other),
        })
    }

    /// Whether a date is moved by something that may have hours.
    fn has_hours(&self, date: &Expr, by: &Expr) -> bool {
        let by_time = match self.type_of(by) {
            DataType::Interval(_) => may_have_hours(by),
            _ => false,
        };
        by_time && matches!(self.type_of(date), DataType::Date32)
    }

    /// The results of a CASE have one type, and so have its operand and what that is compared with.
    fn in_case(&self, mut case: Case) -> Transformed<Expr> {
        let mut results: Vec<Expr> = case.when_then_expr.iter().map(|(_, t)| t.as_ref().clone()).collect();
        results.extend(case.else_expr.as_deref().cloned());
        let mut operands: Vec<Expr> = case.expr.as_deref().cloned().into_iter().collect();
        if !operands.is_empty() {
            operands.extend(case.when_then_expr.iter().map(|(w, _)| w.as_ref().clone()));
        }
        if !self.differ(&results) && !self.differ(&operands) {
            return Transformed::no(Expr::Case(case));
        }
        self.one_type(&mut results);
        self.one_type(&mut operands);
        let (mut results, mut operands) = (results.into_iter(), operands.into_iter());
        case.expr = operands.next().map(Box::new);
        for (when, then) in &mut case.when_then_expr {
            **then = results.next().unwrap_or_default();
            if let Some(operand) = operands.next() {
                **when = operand;
            }
        }
        case.else_expr = results.next().map(Box::new);
        Transformed::yes(Expr::Case(case))
    }

    /// Whether `one_type` changes anything.
    fn differ<'a>(&self, exprs: impl IntoIterator<Item = &'a Expr>) -> bool {
        let typed: Vec<(&Expr, DataType)> = exprs.into_iter().map(|e| (e, self.type_of(e))).collect();
        let Some((_, micros)) = typed.iter().find(|(_, t)| is_micros(t)) else { return false };
        typed.iter().any(|(e, from)| wanted(e, from, micros, true).is_some())
    }

    /// Text, dates and constants take the type of the timestamp among them.
    fn one_type(&self, exprs: &mut [Expr]) {
        let types: Vec<DataType> = exprs.iter().map(|e| self.type_of(e)).collect();
        let Some(wanted) = types.iter().find(|t| is_micros(t)) else { return };
        for (expr, from) in exprs.iter_mut().zip(&types) {
            let given = std::mem::take(expr);
            *expr = beside(given, from, wanted, true);
        }
    }
}

const MICROS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// Whether an interval has a part below days, or is not known.
fn may_have_hours(interval: &Expr) -> bool {
    match interval {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(v)), _) => v.nanoseconds != 0,
        Expr::Literal(ScalarValue::IntervalDayTime(Some(v)), _) => v.milliseconds != 0,
        Expr::Literal(..) => false,
        Expr::Negative(inner) => may_have_hours(inner),
        Expr::BinaryExpr(binary) => may_have_hours(&binary.left) || may_have_hours(&binary.right),
        _ => true,
    }
}

fn is_micros(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(TimeUnit::Microsecond, _))
}

/// The type with microseconds if it has nanoseconds.
fn in_micros(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            Some(DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))
        }
        _ => None,
    }
}

fn is_comparison(op: Operator) -> bool {
    use Operator as O;
    matches!(op, O::Eq | O::NotEq | O::Lt | O::LtEq | O::Gt | O::GtEq | O::IsDistinctFrom | O::IsNotDistinctFrom)
}

/// The type that the expression takes beside a value of type `other`, if it is another one.
fn wanted(expr: &Expr, from: &DataType, other: &DataType, text: bool) -> Option<DataType> {
    if !is_micros(other) {
        return None;
    }
    match from {
        DataType::Date32 | DataType::Date64 => Some(other.clone()),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => text.then(|| other.clone()),
        _ => in_micros(from).filter(|_| !expr.any_column_refs() && !expr.contains_outer()),
    }
}

/// The expression as it stands beside a value of type `other`.
fn beside(expr: Expr, from: &DataType, other: &DataType, text: bool) -> Expr {
    match wanted(&expr, from, other, text) {
        Some(to) => Expr::Cast(Cast::new(Box::new(expr), to)),
        None => expr,
    }
}

fn first_type(subquery: &Subquery) -> DataType {
    subquery.subquery.schema().fields().first().map_or(DataType::Null, |f| f.data_type().clone())
}

/// The subquery with its column as it stands beside a value of type `other`.
fn rows_beside(subquery: Subquery, from: &DataType, other: &DataType) -> Result<Subquery> {
    if !is_micros(other) || is_micros(from) {
        return Ok(subquery);
    }
    let plan = columns_beside(&subquery.subquery, std::slice::from_ref(other))?;
    Ok(subquery.with_plan(Arc::new(plan)))
}

/// The plan with its first columns as they stand beside values of types `others`, names kept.
fn columns_beside(plan: &LogicalPlan, others: &[DataType]) -> Result<LogicalPlan> {
    let exprs: Vec<Expr> = plan
        .schema()
        .iter()
        .zip(others.iter().map(Some).chain(std::iter::repeat(None)))
        .map(|((qualifier, field), other)| {
            let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            match other.map(|other| beside(column.clone(), field.data_type(), other, true)) {
                Some(cast @ Expr::Cast(_)) => cast.alias_qualified(qualifier.cloned(), field.name()),
                _ => column,
            }
        })
        .collect();
    LogicalPlanBuilder::from(plan.clone()).project(exprs)?.build()
}

/// The cells of a column were cast to nanoseconds when the query was planned.
fn in_values(mut values: Values) -> Result<Transformed<LogicalPlan>> {
    let micros: Vec<Option<DataType>> = values.schema.fields().iter().map(|f| in_micros(f.data_type())).collect();
    if micros.iter().all(Option::is_none) {
        return Ok(Transformed::no(LogicalPlan::Values(values)));
    }
    for row in &mut values.values {
        for (cell, to) in row.iter_mut().zip(&micros) {
            if let (Expr::Literal(value, _), Some(to)) = (&*cell, to) {
                *cell = Expr::Literal(value.cast_to(to)?, None);
            }
        }
    }
    Ok(Transformed::yes(LogicalPlanBuilder::values(values.values)?.build()?))
}

fn in_join(mut join: Join) -> Transformed<LogicalPlan> {
    let types = |expr: &Expr, plan: &LogicalPlan| expr.get_type(plan.schema()).unwrap_or(DataType::Null);
    let mut changed = false;
    for (left, right) in &mut join.on {
        let (l, r) = (types(left, &join.left), types(right, &join.right));
        if wanted(left, &l, &r, true).or(wanted(right, &r, &l, true)).is_some() {
            *left = beside(std::mem::take(left), &l, &r, true);
            *right = beside(std::mem::take(right), &r, &l, true);
            changed = true;
        }
    }
    if changed {
        // USING takes columns; what it means was settled when the query was planned.
        join.join_constraint = JoinConstraint::On;
    }
    Transformed::new_transformed(LogicalPlan::Join(join), changed)
}

/// Branches that give dates or text take the type of the branch that gives a timestamp.
fn in_union(union: &Union) -> Result<Transformed<LogicalPlan>> {
    let width = union.schema.fields().len();
    let type_at = |plan: &LogicalPlan, i: usize| plan.schema().fields().get(i).map(|f| f.data_type().clone());
    let wanted: Vec<DataType> = (0..width)
        .map(|i| union.inputs.iter().filter_map(|p| type_at(p, i)).find(is_micros).unwrap_or(DataType::Null))
        .collect();
    let differs = |plan: &LogicalPlan| {
        wanted.iter().enumerate().any(|(i, w)| is_micros(w) && type_at(plan, i).is_some_and(|t| !is_micros(&t)))
    };
    if !union.inputs.iter().any(|p| differs(p)) {
        return Ok(Transformed::no(LogicalPlan::Union(union.clone())));
    }
    let inputs = union
        .inputs
        .iter()
        .map(|p| Ok(if differs(p) { Arc::new(columns_beside(p, &wanted)?) } else { Arc::clone(p) }))
        .collect::<Result<Vec<_>>>()?;
    // The types that its schema has were found among the old ones.
    Ok(Transformed::yes(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?)))
}
