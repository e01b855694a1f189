//! AND, OR, CASE and coalesce within an expression, so that what may fail is computed only where it counts.
//!
//!   p OR f     p OR CASE WHEN p THEN TRUE ELSE f END, which `lazily` marks
//!
//! Not here: conditions of filters and joins (`guard`), which expressions can fail (`fallible`).

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Case, Expr, ExprSchemable, Operator, lit};

use crate::fallible::can_fail;
use crate::lazily::{is_lazy, lazily, lazy_case};

pub(crate) fn has_subquery(expr: &Expr) -> Result<bool> {
    expr.exists(|e| {
        Ok(matches!(e, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_)))
    })
}

/// Conditions that cannot fail, and those that can and are not guarded yet.
pub(crate) fn split(conditions: Vec<Expr>, schema: &DFSchema) -> Result<(Vec<Expr>, Vec<Expr>)> {
    let (mut safe, mut unsafe_) = (Vec::new(), Vec::new());
    for condition in conditions {
        let to = if !is_lazy(&condition) && can_fail(&condition, schema)? { &mut unsafe_ } else { &mut safe };
        to.push(condition);
    }
    Ok((safe, unsafe_))
}

/// AND, OR, CASE and coalesce within an expression.
pub(crate) fn guard_expr(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expr.transform_down(|e| {
        if is_lazy(&e) {
            return Ok(Transformed::new(e, false, TreeNodeRecursion::Jump));
        }
        match e {
            Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) => guard_terms(e, op, schema),
            Expr::Case(case) if case.expr.is_none() && is_boolean_case(&case, schema)? => {
                if !can_fail(&Expr::Case(case.clone()), schema)? {
                    return Ok(Transformed::no(Expr::Case(case)));
                }
                Ok(Transformed::new(lazily(guard_case(case, schema)?), true, TreeNodeRecursion::Jump))
            }
            Expr::ScalarFunction(call) if matches!(call.func.name(), "coalesce" | "nvl" | "ifnull") => {
                guard_coalesce(call, schema)
            }
            other => Ok(Transformed::no(other)),
        }
    })
}

fn is_boolean_case(case: &Case, schema: &DFSchema) -> Result<bool> {
    match case.when_then_expr.first() {
        Some((_, then)) => Ok(then.get_type(schema)? == DataType::Boolean),
        None => Ok(false),
    }
}

fn guard_case(case: Case, schema: &DFSchema) -> Result<Case> {
    let guard = |e: Box<Expr>| -> Result<Box<Expr>> { Ok(Box::new(guard_expr(*e, schema)?.data)) };
    let branches = case.when_then_expr.into_iter().map(|(when, then)| Ok((guard(when)?, guard(then)?)));
    Ok(Case {
        expr: case.expr.map(guard).transpose()?,
        when_then_expr: branches.collect::<Result<_>>()?,
        else_expr: case.else_expr.map(guard).transpose()?,
    })
}

/// `p OR f`, `p AND f`: f where p does not decide, and another f where that does not either.
fn guard_terms(expr: Expr, op: Operator, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if has_subquery(&expr)? || !can_fail(&expr, schema)? {
        return Ok(Transformed::no(expr));
    }
    let mut terms = Vec::new();
    let whole = expr.clone();
    flatten(expr, op, &mut terms);
    let terms = terms.into_iter().map(|t| Ok(guard_expr(t, schema)?.data)).collect::<Result<Vec<Expr>>>()?;
    let (safe, failing) = split(terms, schema)?;
    let join = |terms: Vec<Expr>| {
        terms.into_iter().reduce(|l, r| Expr::BinaryExpr(BinaryExpr::new(Box::new(l), op, Box::new(r))))
    };
    let decided = op == Operator::Or;
    if let [only] = failing.as_slice()
        && safe.iter().any(|term| comes_after(term, only))
    {
        return Ok(Transformed::new(whole, false, TreeNodeRecursion::Jump));
    }
    let rest_of = |term: Expr, rest: Expr| {
        let when = if decided { term.clone() } else { Expr::Not(Box::new(term.clone())) };
        let when_then_expr = vec![(Box::new(when), Box::new(lit(decided)))];
        let rest = lazily(Case { expr: None, when_then_expr, else_expr: Some(Box::new(rest)) });
        Expr::BinaryExpr(BinaryExpr::new(Box::new(term), op, Box::new(rest)))
    };
    let in_order = failing.into_iter().rev().reduce(|rest, term| rest_of(term, rest));
    let guarded = match (join(safe), in_order) {
        (Some(safe), Some(failing)) => rest_of(safe, failing),
        (safe, failing) => match safe.or(failing) {
            Some(all) => all,
            None => lit(op == Operator::And),
        },
    };
    Ok(Transformed::new(guarded, true, TreeNodeRecursion::Jump))
}

/// Whether a term is what is computed where the other does not decide.
fn comes_after(term: &Expr, first: &Expr) -> bool {
    let Some(case) = lazy_case(term) else { return false };
    let decides = |when: &Expr| match when {
        Expr::Not(when) => when.as_ref() == first,
        when => when == first,
    };
    case.when_then_expr.first().is_some_and(|(when, _)| decides(when))
}

fn flatten(expr: Expr, op: Operator, terms: &mut Vec<Expr>) {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: found, right }) if found == op => {
            flatten(*left, op, terms);
            flatten(*right, op, terms);
        }
        other => terms.push(other),
    }
}

/// A coalesce of booleans would become AND and OR; others stay lazy as they are.
fn guard_coalesce(call: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let expr = Expr::ScalarFunction(call);
    if expr.get_type(schema)? != DataType::Boolean || !can_fail(&expr, schema)? {
        return Ok(Transformed::no(expr));
    }
    let Expr::ScalarFunction(call) = expr else { return Ok(Transformed::no(expr)) };
    let mut args = call.args.into_iter().map(|a| Ok(guard_expr(a, schema)?.data)).collect::<Result<Vec<Expr>>>()?;
    let last = args.pop().map(Box::new);
    let when = |a: Expr| (Box::new(a.clone().is_not_null()), Box::new(a));
    let case = Case { expr: None, when_then_expr: args.into_iter().map(when).collect(), else_expr: last };
    if case.when_then_expr.is_empty() {
        return Ok(Transformed::no(case.else_expr.map_or_else(|| lit(false), |e| *e)));
    }
    Ok(Transformed::new(lazily(case), true, TreeNodeRecursion::Jump))
}
