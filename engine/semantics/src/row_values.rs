//! Comparisons of rows, as comparisons of their columns.
//!
//!   (a, b) = (c, d)              ──▶ a = c AND b = d
//!   (a, b) < (c, d)              ──▶ a < c OR a = c AND b < d
//!   (a, b) IN ((1, 2), (3, 4))   ──▶ a = 1 AND b = 2 OR a = 3 AND b = 4
//!   (a, b) IN (SELECT x, y ..)   ──▶ EXISTS (SELECT 1 FROM (SELECT x, y ..) AS r WHERE a = r.x AND b = r.y)
//!
//! DataFusion compares rows as structs, in which NULL is a value, and has no subqueries of two columns.
//!
//! Invariants
//! * NULL is what it is for the columns: a row that may be the other one is neither in a list nor out of it.
//! * Only rows of the same length that are written as such are compared so: columns of type STRUCT are values.
//!
//! Not here: aggregates and windows beside a subquery, which another query cannot compute.

use datafusion::common::Result;
use sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Parens, Query, Select, SetExpr,
    Spanned, TableAlias, TableAliasColumnDef, TableFactor, UnaryOperator, Value, Values,
};

use crate::calls::{has_aggregate, window};
use crate::outputs::bare;
use crate::refusal::Refusal;

const ROW: &str = "__ingot_row";
/// Rows of more columns are refused: the comparison is as deep as the row is wide.
const WIDE: usize = 64;
/// A list of more constant rows than this is a query of VALUES: a join looks rows up.
const LONG: usize = 64;

/// Rewrites conditions of a select, where FALSE and NULL are the same.
///
/// # Errors
/// As `in_expr`.
pub(crate) fn in_select(select: &mut Select) -> Result<()> {
    for condition in [&mut select.selection, &mut select.having, &mut select.qualify].into_iter().flatten() {
        in_condition(condition)?;
    }
    Ok(())
}

fn in_condition(condition: &mut Expr) -> Result<()> {
    match condition {
        Expr::Nested(inner) => return in_condition(inner),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            in_condition(left)?;
            return in_condition(right);
        }
        _ => {}
    }
    let (expr, is_not) = match &*condition {
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => (bare(expr), true),
        other => (other, false),
    };
    refuse_wide(expr)?;
    if let Some((elements, query, negated)) = membership(expr) {
        *condition = match negated != is_not {
            false => exists(&query, &elements, same)?,
            true => not(exists(&query, &elements, may_be_same)?),
        };
    }
    Ok(())
}

/// Rewrites a comparison of rows, wherever it stands.
///
/// # Errors
/// Rows of very many columns.
pub(crate) fn in_expr(expr: &mut Expr) -> Result<()> {
    refuse_wide(expr)?;
    if let Some((elements, query, negated)) = membership(expr) {
        let found = exists(&query, &elements, same)?;
        let unknown = exists(&query, &elements, may_be_same)?;
        *expr = case(found, unknown, negated)?;
        return Ok(());
    }
    let lowered = match expr {
        Expr::BinaryOp { left, op, right } => pair(left, right).and_then(|(l, r)| compared(op, l, r)),
        Expr::IsDistinctFrom(left, right) => pair(left, right).and_then(|(l, r)| all(distinct, &l, &r)).map(not),
        Expr::IsNotDistinctFrom(left, right) => pair(left, right).and_then(|(l, r)| all(distinct, &l, &r)),
        Expr::InList { expr, list, negated } => {
            let rows: Option<Vec<Expr>> =
                list.iter().map(|row| pair(expr, row).and_then(|(l, r)| compared(&BinaryOperator::Eq, l, r))).collect();
            let found = rows.and_then(any);
            if *negated { found.map(not) } else { found }
        }
        Expr::Between { expr, negated, low, high } => {
            let low = pair(expr, low).and_then(|(l, r)| compared(&BinaryOperator::GtEq, l, r));
            let high = pair(expr, high).and_then(|(l, r)| compared(&BinaryOperator::LtEq, l, r));
            let within = low.zip(high).map(|(low, high)| nested(binary(low, BinaryOperator::And, high)));
            if *negated { within.map(not) } else { within }
        }
        _ => return Ok(()),
    };
    if let Some(lowered) = lowered {
        *expr = lowered;
    }
    Ok(())
}

fn refuse_wide(expr: &Expr) -> Result<()> {
    if let Expr::BinaryOp { left: row, .. }
    | Expr::IsDistinctFrom(row, _)
    | Expr::IsNotDistinctFrom(row, _)
    | Expr::InList { expr: row, .. }
    | Expr::InSubquery { expr: row, .. }
    | Expr::Between { expr: row, .. }
    | Expr::AnyOp { left: row, .. }
    | Expr::AllOp { left: row, .. } = expr
        && elements(row).is_some_and(|row| row.len() > WIDE)
    {
        let text = format!("a comparison of rows of more than {WIDE} columns is not supported");
        return Err(Refusal { code: "U0516", text, help: "compare fewer columns", span: row.span() }.into());
    }
    Ok(())
}

/// The columns of what is written as a row of two or more.
fn elements(expr: &Expr) -> Option<Vec<Expr>> {
    let columns = match bare(expr) {
        Expr::Tuple(columns) => columns.clone(),
        Expr::Function(call) if call.over.is_none() && call.name.to_string().eq_ignore_ascii_case("row") => {
            let FunctionArguments::List(list) = &call.args else { return None };
            let plain = |arg: &FunctionArg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
                _ => None,
            };
            list.args.iter().map(plain).collect::<Option<Vec<_>>>()?
        }
        _ => return None,
    };
    (columns.len() > 1).then_some(columns)
}

fn pair(left: &Expr, right: &Expr) -> Option<(Vec<Expr>, Vec<Expr>)> {
    elements(left).zip(elements(right)).filter(|(l, r)| l.len() == r.len())
}

/// A row that is looked for among those of a subquery, and whether it must not be there.
fn membership(expr: &Expr) -> Option<(Vec<Expr>, Query, bool)> {
    let (row, query, negated) = match expr {
        Expr::InSubquery { expr, subquery, negated } => (expr, subquery.as_ref().clone(), *negated),
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => (left, subquery(right)?.clone(), false),
        Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => (left, subquery(right)?.clone(), true),
        Expr::InList { expr, list, negated } if list.len() > LONG => {
            (expr, constants(elements(expr)?.len(), list)?, *negated)
        }
        _ => return None,
    };
    let row = elements(row)?;
    let is_of_row = row.iter().all(|e| !has_aggregate(e) && window(e).is_none());
    is_of_row.then_some((row, query, negated))
}

/// The rows of a list, if they are constants, as a query.
fn constants(width: usize, list: &[Expr]) -> Option<Query> {
    let rows = list.iter().map(|row| {
        let row = elements(row).filter(|row| row.len() == width && row.iter().all(is_constant))?;
        Some(Parens::with_empty_span(row))
    });
    let rows = rows.collect::<Option<Vec<_>>>()?;
    let Expr::Exists { mut subquery, .. } = crate::written::expr("EXISTS (SELECT 1)").ok()? else { return None };
    *subquery.body = SetExpr::Values(Values { explicit_row: false, value_keyword: false, rows });
    Some(*subquery)
}

fn is_constant(expr: &Expr) -> bool {
    match bare(expr) {
        Expr::Value(_) | Expr::TypedString(_) => true,
        Expr::UnaryOp { expr, .. } | Expr::Cast { expr, .. } => is_constant(expr),
        _ => false,
    }
}

fn subquery(expr: &Expr) -> Option<&Query> {
    match bare(expr) {
        Expr::Subquery(query) => Some(query),
        _ => None,
    }
}

fn compared(op: &BinaryOperator, left: Vec<Expr>, right: Vec<Expr>) -> Option<Expr> {
    use BinaryOperator as Op;
    let strict = match op {
        Op::Eq => return all(same, &left, &right),
        Op::NotEq => return all(same, &left, &right).map(not),
        Op::Spaceship => return all(distinct, &left, &right),
        Op::Lt | Op::LtEq => Op::Lt,
        Op::Gt | Op::GtEq => Op::Gt,
        _ => return None,
    };
    let mut pairs = left.into_iter().zip(right).rev();
    let (l, r) = pairs.next()?;
    let mut ordered = nested(binary(nested(l), op.clone(), nested(r)));
    for (l, r) in pairs {
        let less = binary(nested(l.clone()), strict.clone(), nested(r.clone()));
        let equal = binary(same(l, r), Op::And, ordered);
        ordered = nested(binary(less, Op::Or, equal));
    }
    Some(ordered)
}

fn same(left: Expr, right: Expr) -> Expr {
    binary(nested(left), BinaryOperator::Eq, nested(right))
}

fn may_be_same(left: Expr, right: Expr) -> Expr {
    Expr::IsNotFalse(Box::new(nested(same(left, right))))
}

fn distinct(left: Expr, right: Expr) -> Expr {
    Expr::IsNotDistinctFrom(Box::new(nested(left)), Box::new(nested(right)))
}

fn all(compare: fn(Expr, Expr) -> Expr, left: &[Expr], right: &[Expr]) -> Option<Expr> {
    let columns = left.iter().zip(right).map(|(l, r)| compare(l.clone(), r.clone()));
    columns.reduce(|all, next| binary(all, BinaryOperator::And, next)).map(nested)
}

/// As a balanced tree, whose depth a long list does not make a deep one.
fn any(mut rows: Vec<Expr>) -> Option<Expr> {
    if rows.len() < 2 {
        return rows.pop();
    }
    let right = rows.split_off(rows.len() / 2);
    Some(nested(binary(any(rows)?, BinaryOperator::Or, any(right)?)))
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn nested(expr: Expr) -> Expr {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) | Expr::Nested(_) => expr,
        other => Expr::Nested(Box::new(other)),
    }
}

fn not(expr: Expr) -> Expr {
    nested(Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(nested(expr)) })
}

/// Whether the query has a row whose columns compare so with these.
fn exists(query: &Query, row: &[Expr], compare: fn(Expr, Expr) -> Expr) -> Result<Expr> {
    let names: Vec<Ident> = (0..row.len()).map(|at| Ident::new(format!("{ROW}_{at}"))).collect();
    let members: Vec<Expr> =
        names.iter().map(|name| Expr::CompoundIdentifier(vec![Ident::new(ROW), name.clone()])).collect();
    let mut found = crate::written::expr("EXISTS (SELECT 1 FROM (SELECT 1))")?;
    if let Expr::Exists { subquery, .. } = &mut found
        && let SetExpr::Select(select) = subquery.body.as_mut()
        && let Some(item) = select.from.first_mut()
        && let TableFactor::Derived { subquery, alias, .. } = &mut item.relation
    {
        **subquery = query.clone();
        let columns = names.into_iter().map(|name| TableAliasColumnDef { name, data_type: None }).collect();
        *alias = Some(TableAlias { explicit: true, name: Ident::new(ROW), columns, at: None });
        // The member first: a join is made of `column = expression`.
        select.selection = all(compare, &members, row);
    }
    Ok(nested(found))
}

fn case(found: Expr, unknown: Expr, negated: bool) -> Result<Expr> {
    let mut case = crate::written::expr("CASE WHEN a THEN TRUE WHEN b THEN NULL ELSE FALSE END")?;
    if let Expr::Case { conditions, else_result, .. } = &mut case {
        for (when, condition) in conditions.iter_mut().zip([found, unknown]) {
            when.condition = condition;
        }
        if negated {
            if let Some(first) = conditions.first_mut() {
                first.result = Expr::value(Value::Boolean(false));
            }
            *else_result = Some(Box::new(Expr::value(Value::Boolean(true))));
        }
    }
    Ok(nested(case))
}
