//! Numbers of different kinds beside each other, before DataFusion coerces types.
//!
//!   DECIMAL beside DOUBLE   both are DOUBLE (DataFusion takes both through decimal(30, 15), which loses 1e-17)
//!   DECIMAL beside DECIMAL  compared in 76 digits where 38 do not hold both
//!   exact arithmetic        checked functions (`checked`), whatever the plan held before
//!
//! Not here: what coercion leaves (`settle`).

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, Result, plan_err};
use datafusion::logical_expr::expr::{
    AggregateFunction, InList, InSubquery, ScalarFunction, SetComparison, WindowFunction,
};
use datafusion::logical_expr::{
    AggregateUDF, Between, BinaryExpr, Case, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, Subquery,
    Union, Values, WindowFunctionDefinition, cast,
};
use datafusion::optimizer::AnalyzerRule;

use crate::beside_text::beside_uuid;
use crate::canonical::is_canonical;
use crate::ceil_floor::truncated;
use crate::checked::{ArithmeticKind, absolute, checked, is_exact, negate, of_operator};
use crate::decimal::{Shape, to_double};
use crate::rewrite::expressions;
use crate::set_operations::{common, is_set_operation, one_type, refuse_unlike, with_types};
use crate::shown::shown;
use crate::spans::{are_spans, span};
use crate::sum::{avg_udaf, sum_udaf};
use crate::text_casts::{UUID, is_text};
use crate::try_forms::spell_out;
use crate::type_names::type_name;

#[derive(Debug)]
pub(crate) struct Widen;

impl AnalyzerRule for Widen {
    fn name(&self) -> &str {
        "ingot_widen"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        expressions(plan, widen_node, widen_expr)
    }
}

fn mixed<'a>(types: impl IntoIterator<Item = &'a DataType>) -> bool {
    let (mut decimal, mut float) = (false, false);
    for data_type in types {
        decimal |= data_type.is_decimal();
        float |= data_type.is_floating();
    }
    decimal && float
}

/// The type in which these decimals compare, if 38 digits do not hold all of them.
fn wide<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Option<DataType> {
    let (mut whole, mut scale, mut decimal) = (0, 0, false);
    for data_type in types {
        let shape = Shape::of(data_type)?;
        decimal |= data_type.is_decimal();
        whole = whole.max(i16::from(shape.precision) - i16::from(shape.scale));
        scale = scale.max(shape.scale);
    }
    (decimal && whole + i16::from(scale) > 38).then_some(DataType::Decimal256(76, scale))
}

/// What compared values are to be cast to.
///
/// # Errors
/// A text beside a UUID that does not denote one.
fn comparable(exprs: Vec<Expr>, types: &[DataType]) -> Result<Transformed<Vec<Expr>>> {
    if are_spans(types) {
        return Ok(Transformed::yes(exprs.into_iter().zip(types).map(|(e, t)| span(e, t)).collect()));
    }
    if types.contains(&UUID) && types.iter().any(is_text) {
        let uuids = exprs.into_iter().zip(types).map(|(e, t)| if is_text(t) { beside_uuid(e, t) } else { Ok(e) });
        return Ok(Transformed::yes(uuids.collect::<Result<_>>()?));
    }
    if mixed(types) {
        return Ok(Transformed::yes(exprs.into_iter().zip(types).map(|(e, t)| to_double(e, t)).collect()));
    }
    Ok(match wide(types) {
        Some(wide) => Transformed::yes(exprs.into_iter().map(|e| cast(e, wide.clone())).collect()),
        None => Transformed::no(exprs),
    })
}

/// Functions whose arguments have one type.
const ONE_TYPE: &[&str] = &["coalesce", "nullif", "greatest", "least", "nvl", "ifnull", "make_array"];
fn widen_expr(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if let Some((ArithmeticKind::Binary(operation), [l, r])) = checked(&expr) {
        let (tl, tr) = (l.get_type(schema)?, r.get_type(schema)?);
        if is_exact(&tl, &tr) {
            // What stands beside a constant became a decimal since.
            let constant = |e: &Expr, t: &DataType| t.is_integer() && matches!(e, Expr::Literal(..));
            if constant(l, &tl) && tr.is_decimal() || constant(r, &tr) && tl.is_decimal() {
                return Ok(Transformed::yes(of_operator(operation.operator(), l.clone(), r.clone(), &tl, &tr)));
            }
            return Ok(Transformed::no(expr));
        }
        // An operand turned out to be no exact number.
        let (l, r) = (l.clone(), r.clone());
        let (l, r) = if mixed([&tl, &tr]) { (to_double(l, &tl), to_double(r, &tr)) } else { (l, r) };
        let operator = BinaryExpr::new(Box::new(l), operation.operator(), Box::new(r));
        return Ok(Transformed::yes(Expr::BinaryExpr(operator)));
    }
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => binary(*left, op, *right, schema),
        Expr::Negative(x) if x.get_type(schema)?.is_integer() => Ok(Transformed::yes(negate(*x))),
        Expr::Negative(x) if matches!(x.get_type(schema)?, DataType::Timestamp(..) | DataType::Date32) => {
            plan_err!("-{} has no meaning: it is {}", shown(&x), type_name(&x.get_type(schema)?))
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let types = [expr.get_type(schema)?, low.get_type(schema)?, high.get_type(schema)?];
            let parts = comparable(vec![*expr, *low, *high], &types)?;
            parts.map_data(|parts| {
                let [expr, low, high] = <[Expr; 3]>::try_from(parts).map_err(|_| lost("BETWEEN"))?;
                Ok(Expr::Between(Between::new(Box::new(expr), negated, Box::new(low), Box::new(high))))
            })
        }
        Expr::InList(InList { expr, list, negated }) => {
            let parts: Vec<Expr> = std::iter::once(*expr).chain(list).collect();
            let types = types_of(&parts, schema)?;
            comparable(parts, &types)?.map_data(|parts| {
                let mut parts = parts.into_iter();
                let expr = parts.next().ok_or_else(|| lost("IN"))?;
                Ok(Expr::InList(InList::new(Box::new(expr), parts.collect(), negated)))
            })
        }
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            let sides = beside_subquery(*expr, subquery, schema)?;
            Ok(sides.update_data(|(e, subquery)| Expr::InSubquery(InSubquery::new(Box::new(e), subquery, negated))))
        }
        Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
            let sides = beside_subquery(*expr, subquery, schema)?;
            Ok(sides.update_data(|(e, subquery)| {
                Expr::SetComparison(SetComparison::new(Box::new(e), subquery, op, quantifier))
            }))
        }
        Expr::Case(case) => widen_case(case, schema),
        Expr::ScalarFunction(call) => function(call, schema),
        Expr::AggregateFunction(mut call) => {
            let typed = type_null(&call.func, &mut call.params.args, schema)?;
            Ok(match of_doubles(&call.func, &call.params.args, schema)? {
                Some(func) => Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, ..call })),
                None => Transformed::new_transformed(Expr::AggregateFunction(call), typed),
            })
        }
        Expr::WindowFunction(mut call) => {
            let typed = match &call.fun {
                WindowFunctionDefinition::AggregateUDF(func) => type_null(func, &mut call.params.args, schema)?,
                WindowFunctionDefinition::WindowUDF(_) => false,
            };
            let func = match &call.fun {
                WindowFunctionDefinition::AggregateUDF(func) => of_doubles(func, &call.params.args, schema)?,
                WindowFunctionDefinition::WindowUDF(func) => {
                    if matches!(func.name(), "lag" | "lead") {
                        refuse_cut(func.name(), &call.params.args, schema)?;
                    }
                    None
                }
            };
            Ok(match func {
                Some(func) => {
                    let fun = WindowFunctionDefinition::AggregateUDF(func);
                    Transformed::yes(Expr::WindowFunction(Box::new(WindowFunction { fun, params: call.params })))
                }
                None => Transformed::new_transformed(Expr::WindowFunction(call), typed),
            })
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Gives a NULL without a type the one that an aggregate over numbers has for it; whether there was one.
fn type_null(func: &AggregateUDF, args: &mut [Expr], schema: &DFSchema) -> Result<bool> {
    let to = match func.name() {
        "sum" | "try_sum" | "bit_and" | "bit_or" | "bit_xor" => DataType::Int64,
        "avg" | "try_avg" | "median" | "percentile_cont" => DataType::Float64,
        _ => return Ok(false),
    };
    let Some(first) = args.first_mut() else { return Ok(false) };
    let untyped = first.get_type(schema)?.is_null();
    if untyped {
        *first = cast(first.clone(), to);
    }
    Ok(untyped)
}

fn lost(what: &str) -> datafusion::common::DataFusionError {
    datafusion::common::internal_datafusion_err!("{what} lost an operand")
}

fn types_of(exprs: &[Expr], schema: &DFSchema) -> Result<Vec<DataType>> {
    exprs.iter().map(|e| e.get_type(schema)).collect()
}

fn compares(op: Operator) -> bool {
    use Operator::*;
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn is_bitwise(op: Operator) -> bool {
    use Operator::*;
    matches!(op, BitwiseAnd | BitwiseOr | BitwiseXor | BitwiseShiftLeft | BitwiseShiftRight)
}

fn binary(left: Expr, op: Operator, right: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let again = |l: Expr, r: Expr| Expr::BinaryExpr(BinaryExpr::new(Box::new(l), op, Box::new(r)));
    let compares = compares(op);
    if is_bitwise(op) {
        for side in [&left, &right] {
            let found = side.get_type(schema)?;
            if found.is_decimal() || found.is_floating() {
                return plan_err!("{op} takes whole numbers, and {} is {}: CAST it", shown(side), type_name(&found));
            }
        }
    }
    if !compares && !op.is_numerical_operators() {
        return Ok(Transformed::no(again(left, right)));
    }
    let types = [left.get_type(schema)?, right.get_type(schema)?];
    let [l, r] = &types;
    if compares {
        return comparable(vec![left, right], &types)?.map_data(|parts| {
            let [left, right] = <[Expr; 2]>::try_from(parts).map_err(|_| lost("a comparison"))?;
            Ok(again(left, right))
        });
    }
    if mixed(&types) {
        return Ok(Transformed::yes(again(to_double(left, l), to_double(right, r))));
    }
    if is_exact(l, r) {
        return Ok(Transformed::yes(of_operator(op, left, right, l, r)));
    }
    Ok(Transformed::no(again(left, right)))
}

/// A value and the one column of a subquery that it is compared with.
fn beside_subquery(expr: Expr, mut subquery: Subquery, schema: &DFSchema) -> Result<Transformed<(Expr, Subquery)>> {
    let left = expr.get_type(schema)?;
    let plan = &subquery.subquery;
    let Some((qualifier, field)) = plan.schema().iter().next() else {
        return Ok(Transformed::no((expr, subquery)));
    };
    let right = field.data_type().clone();
    let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
    let name = field.name().clone();
    let parts = comparable(vec![expr, column], &[left, right])?;
    let changed = parts.transformed;
    let [expr, column] = <[Expr; 2]>::try_from(parts.data).map_err(|_| lost("IN"))?;
    if changed && !matches!(column, Expr::Column(_)) {
        let plan = LogicalPlanBuilder::from(plan.as_ref().clone()).project(vec![column.alias(name)])?.build()?;
        subquery.subquery = Arc::new(plan);
    }
    Ok(Transformed::new_transformed((expr, subquery), changed))
}

fn widen_case(case: Case, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Case { expr, when_then_expr, else_expr } = case;
    let has_operand = expr.is_some();
    let (whens, thens): (Vec<_>, Vec<_>) = when_then_expr.into_iter().map(|(w, t)| (*w, *t)).unzip();
    let count = thens.len();
    // The operand is compared with each WHEN.
    let operands: Vec<Expr> = expr.map(|e| *e).into_iter().chain(whens).collect();
    let operands = if has_operand {
        let types = types_of(&operands, schema)?;
        comparable(operands, &types)?
    } else {
        Transformed::no(operands)
    };
    let results: Vec<Expr> = thens.into_iter().chain(else_expr.map(|e| *e)).collect();
    let types = types_of(&results, schema)?;
    let is_mixed = mixed(&types);
    let results: Vec<Expr> =
        if is_mixed { results.into_iter().zip(&types).map(|(e, t)| to_double(e, t)).collect() } else { results };
    let (changed, mut operands, mut results) =
        (operands.transformed || is_mixed, operands.data.into_iter(), results.into_iter());
    let expr = if has_operand { operands.next().map(Box::new) } else { None };
    let when_then_expr = operands.zip(results.by_ref().take(count)).map(|(w, t)| (Box::new(w), Box::new(t))).collect();
    let else_expr = results.next().map(Box::new);
    Ok(Transformed::new_transformed(Expr::Case(Case { expr, when_then_expr, else_expr }), changed))
}

fn function(mut call: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let name = call.func.name();
    if name == "abs" && call.args.len() == 1 {
        return match call.args.pop() {
            Some(x) if x.get_type(schema)?.is_integer() => Ok(Transformed::yes(absolute(x))),
            Some(x) => {
                call.args.push(x);
                Ok(Transformed::no(Expr::ScalarFunction(call)))
            }
            None => Err(lost("abs")),
        };
    }
    if name == "trunc" {
        return truncated(call, schema);
    }
    if name.starts_with("try_") {
        return spell_out(call, schema);
    }
    if name == "log" {
        // Its own decimals are cut to whole numbers.
        let types = types_of(&call.args, schema)?;
        let any = types.iter().any(DataType::is_decimal);
        call.args = call.args.into_iter().zip(&types).map(|(e, t)| to_double(e, t)).collect();
        return Ok(Transformed::new_transformed(Expr::ScalarFunction(call), any));
    }
    if ONE_TYPE.contains(&name) {
        let types = types_of(&call.args, schema)?;
        if mixed(&types) {
            call.args = call.args.into_iter().zip(&types).map(|(e, t)| to_double(e, t)).collect();
            return Ok(Transformed::yes(Expr::ScalarFunction(call)));
        }
    }
    Ok(Transformed::no(Expr::ScalarFunction(call)))
}

/// DataFusion would cut a default to the type of the column, and take an offset of NULL for 1.
fn refuse_cut(name: &str, args: &[Expr], schema: &DFSchema) -> Result<()> {
    if let Some(Expr::Literal(offset, _)) = args.get(1)
        && offset.is_null()
    {
        return plan_err!("{name} takes an offset that is not NULL");
    }
    let (Some(value), Some(default)) = (args.first(), args.get(2)) else { return Ok(()) };
    let (to, from) = (value.get_type(schema)?, default.get_type(schema)?);
    let cut = match (&from, &to) {
        (from, to) if from.is_floating() => Shape::of(to).is_some(),
        (DataType::Decimal128(_, scale), to) => Shape::of(to).is_some_and(|s| s.scale < *scale),
        _ => false,
    };
    if cut {
        return plan_err!(
            "the default of {name} is {}, which {} does not hold: CAST one of them",
            type_name(&from),
            type_name(&to)
        );
    }
    Ok(())
}

/// `try_sum` and `try_avg` of what cannot fail are `sum` and `avg`, which maintenance knows.
fn of_doubles(func: &AggregateUDF, args: &[Expr], schema: &DFSchema) -> Result<Option<Arc<AggregateUDF>>> {
    let plain = match func.name() {
        "try_sum" => sum_udaf(),
        "try_avg" => avg_udaf(),
        _ => return Ok(None),
    };
    let exact = |t: &DataType| t.is_decimal() || (t.is_integer() && func.name() == "try_sum");
    let types = types_of(args, schema)?;
    Ok(types.first().is_some_and(|t| !exact(t)).then_some(plain))
}

fn widen_node(node: LogicalPlan) -> Result<LogicalPlan> {
    match node {
        LogicalPlan::Union(union) => widen_union(union),
        LogicalPlan::Values(values) => widen_values(values),
        LogicalPlan::Join(join) if is_set_operation(&join) => Ok(LogicalPlan::Join(one_type(join)?)),
        LogicalPlan::Join(mut join) => {
            for (left, right) in &mut join.on {
                // Keys of a set operation that was analyzed before.
                if is_canonical(left) && is_canonical(right) {
                    continue;
                }
                let types = [left.get_type(join.left.schema())?, right.get_type(join.right.schema())?];
                let pair = comparable(vec![left.clone(), right.clone()], &types)?.data;
                if let Ok([l, r]) = <[Expr; 2]>::try_from(pair) {
                    (*left, *right) = (l, r);
                }
            }
            Ok(LogicalPlan::Join(join))
        }
        other => Ok(other),
    }
}

/// Inputs of one type each column. DataFusion's own coercion comes later, and what stands above a union would be typed by
/// its first input until then.
fn widen_union(union: Union) -> Result<LogicalPlan> {
    let type_at = |input: &LogicalPlan, i: usize| input.schema().field(i).data_type().clone();
    let count = union.schema.fields().len();
    if union.inputs.iter().any(|input| input.schema().fields().len() != count) {
        return Ok(LogicalPlan::Union(union));
    }
    let mut types = Vec::with_capacity(count);
    for i in 0..count {
        let found: Vec<DataType> = union.inputs.iter().map(|input| type_at(input, i)).collect();
        refuse_unlike(&found)?;
        // Whether a decimal or a float comes first must not matter.
        let one = if mixed(&found) { Some(DataType::Float64) } else { None };
        let mut all = found.iter().cloned();
        let Some(first) = all.next() else { return Ok(LogicalPlan::Union(union)) };
        let one = match one {
            Some(one) => one,
            None => match all.try_fold(first, |l, r| common(&l, &r)) {
                Ok(one) => one,
                // The planner says which.
                Err(_) => return Ok(LogicalPlan::Union(union)),
            },
        };
        types.push(one);
    }
    let inputs = union.inputs.iter().map(|input| with_types(input, &types));
    Ok(LogicalPlan::Union(Union::try_new_with_loose_types(inputs.collect::<Result<_>>()?)?))
}

/// The builder already cast the cells to their column's type: what was written is below those casts.
fn widen_values(values: Values) -> Result<LogicalPlan> {
    let none = DFSchema::empty();
    let mut rows = values.values.clone();
    let mut any = false;
    for (i, field) in values.schema.fields().iter().enumerate() {
        if !field.data_type().is_decimal() {
            continue;
        }
        let written = |cell: &Expr| match cell {
            Expr::Cast(c) if c.field.data_type() == field.data_type() => c.expr.as_ref().clone(),
            other => other.clone(),
        };
        let cells: Vec<Expr> = values.values.iter().filter_map(|row| row.get(i)).map(written).collect();
        let types = types_of(&cells, &none)?;
        if !types.iter().any(DataType::is_floating) {
            continue;
        }
        any = true;
        for ((row, cell), data_type) in rows.iter_mut().zip(cells).zip(&types) {
            if let Some(place) = row.get_mut(i) {
                *place =
                    if data_type.is_decimal() { to_double(cell, data_type) } else { cast(cell, DataType::Float64) };
            }
        }
    }
    if any { LogicalPlanBuilder::values(rows)?.build() } else { Ok(LogicalPlan::Values(values)) }
}
