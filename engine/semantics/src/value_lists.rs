//! VALUES where the planner takes only a SELECT, and subqueries among its values.
//!
//!   x IN (VALUES (1), (2))             ──▶ x IN (SELECT * FROM (VALUES (1), (2)))
//!   VALUES (1), ((SELECT max(k) ..))   ──▶ SELECT * FROM (VALUES (1)) UNION ALL SELECT (SELECT max(k) ..) AS column1
//!
//! Invariants
//! * Columns are called column1, column2, .. as those of VALUES, and rows stay in their order.
//!
//! Not here: types of the values (`widen`).

use datafusion::common::Result;
use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Parens, Query, SelectItem, SetExpr, SetOperator,
    SetQuantifier, TableFactor, Values,
};

use crate::subqueries::has_subquery;

/// Rewrites a subquery in an expression.
///
/// # Errors
/// Only if a query of our own text does not parse, which is a defect.
pub(crate) fn in_expr(expr: &mut Expr) -> Result<()> {
    // The grammar takes VALUES between parentheses for a function, where it stands for a value.
    if let Expr::Nested(inner) = &*expr
        && let Some(row) = row_of_call(inner)
    {
        let mut query = crate::written::query("SELECT 1")?;
        *query.body =
            rows(Values { explicit_row: false, value_keyword: false, rows: vec![Parens::with_empty_span(row)] })?;
        *expr = Expr::Subquery(Box::new(query));
        return Ok(());
    }
    let query = match expr {
        Expr::InSubquery { subquery, .. } | Expr::Exists { subquery, .. } | Expr::Subquery(subquery) => subquery,
        _ => return Ok(()),
    };
    if let SetExpr::Values(values) = query.body.as_mut() {
        let values = std::mem::replace(values, Values { explicit_row: false, value_keyword: false, rows: Vec::new() });
        *query.body = rows(values)?;
    }
    Ok(())
}

/// The arguments of what is called VALUES.
fn row_of_call(expr: &Expr) -> Option<Vec<Expr>> {
    let Expr::Function(call) = expr else { return None };
    let [part] = call.name.0.as_slice() else { return None };
    let is_keyword = part.as_ident().is_some_and(|i| i.quote_style.is_none() && i.value.eq_ignore_ascii_case("values"));
    let FunctionArguments::List(list) = &call.args else { return None };
    let plain = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    let row: Vec<Expr> = list.args.iter().map(plain).collect::<Option<_>>()?;
    (is_keyword && call.over.is_none() && !row.is_empty()).then_some(row)
}

/// Rewrites a query of values with subqueries among them.
///
/// # Errors
/// Only if a query of our own text does not parse, which is a defect.
pub(crate) fn in_query(query: &mut Query) -> Result<()> {
    let SetExpr::Values(values) = query.body.as_mut() else { return Ok(()) };
    if !values.rows.iter().any(|row| has_subquery(&row.content)) {
        return Ok(());
    }
    let values = std::mem::replace(values, Values { explicit_row: false, value_keyword: false, rows: Vec::new() });
    let (explicit_row, value_keyword) = (values.explicit_row, values.value_keyword);
    let mut branches = Vec::new();
    let mut plain = Vec::new();
    for row in values.rows {
        if !has_subquery(&row.content) {
            plain.push(row);
            continue;
        }
        if !plain.is_empty() {
            branches.push(rows(Values { explicit_row, value_keyword, rows: std::mem::take(&mut plain) })?);
        }
        branches.push(row_of(row.content)?);
    }
    if !plain.is_empty() {
        branches.push(rows(Values { explicit_row, value_keyword, rows: plain })?);
    }
    if let Some(body) = union(branches) {
        *query.body = body;
    }
    Ok(())
}

fn parsed(text: &str) -> Result<SetExpr> {
    crate::written::query(text).map(|query| *query.body)
}

fn rows(values: Values) -> Result<SetExpr> {
    let mut body = parsed("SELECT * FROM (SELECT 1)")?;
    if let SetExpr::Select(select) = &mut body
        && let Some(item) = select.from.first_mut()
        && let TableFactor::Derived { subquery, .. } = &mut item.relation
    {
        *subquery.body = SetExpr::Values(values);
    }
    Ok(body)
}

fn row_of(values: Vec<Expr>) -> Result<SetExpr> {
    let mut body = parsed("SELECT 1")?;
    if let SetExpr::Select(select) = &mut body {
        let item = |(at, expr)| SelectItem::ExprWithAlias { expr, alias: Ident::new(format!("column{}", at + 1)) };
        select.projection = values.into_iter().enumerate().map(item).collect();
    }
    Ok(body)
}

/// A balanced tree, whose depth many rows do not make a deep one.
fn union(mut branches: Vec<SetExpr>) -> Option<SetExpr> {
    if branches.len() < 2 {
        return branches.pop();
    }
    let right = branches.split_off(branches.len() / 2);
    Some(SetExpr::SetOperation {
        op: SetOperator::Union,
        set_quantifier: SetQuantifier::All,
        left: Box::new(union(branches)?),
        right: Box::new(union(right)?),
    })
}
