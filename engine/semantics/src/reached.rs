//! What a subquery computes from the row around it, where the conditions around the subquery reach it.
//!
//!   CASE WHEN b <> 0 THEN (SELECT max(y) FROM u WHERE u.k = 10 / b) END
//!     ──▶ .. u.k = reached(CASE WHEN (b <> 0) IS NOT TRUE THEN NULL ELSE 10 / b END) ..
//!
//! DataFusion takes a subquery out of its expression and joins it to every row. For a row whose CASE, COALESCE, AND or OR
//! does not evaluate the subquery, NULL is computed instead, and the subquery's value is not used.
//!
//! What stands beside a subquery in AND and OR is guarded likewise.
//!
//! Invariants
//! * Idempotent: what is guarded is marked by `reached`.
//! * Conditions that hold subqueries or columns of another query around guard nothing.
//!
//! Not here: AND and OR without subqueries (`guard`), conditions within the subquery (`join_guards`).

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Case, Expr, ExprSchemable, LogicalPlan, Operator, Subquery, lit};

use crate::fallible::{can_fail, node_can_fail};
use crate::guard_exprs::{guard_expr, has_subquery};
use crate::lazily::{By, is_lazy, is_marked, lazily, mark};
use crate::rewrite::input_schema;

/// Guards the subqueries of a node's expressions and what stands beside them. A conjunct of a filter excludes rows for
/// which it is NULL as well.
pub(crate) fn guard_subqueries(node: LogicalPlan, schema: &DFSchema) -> Result<Transformed<LogicalPlan>> {
    let mut any = false;
    for expr in node.expressions() {
        any |= has_subquery(&expr)?;
    }
    if !any {
        return Ok(Transformed::no(node));
    }
    let is_filter = matches!(node, LogicalPlan::Filter(_));
    let names = NamePreserver::new(&node);
    let walk = Walk { outer: schema };
    node.map_expressions(|expr| {
        let name = names.save(&expr);
        let guarded = if is_filter { walk.conjunct(expr, &[])? } else { walk.expr(expr, &[], false)? };
        Ok(guarded.update_data(|e| name.restore(e)))
    })?
    .map_data(LogicalPlan::recompute_schema)
}

struct Walk<'a> {
    /// What the expressions see.
    outer: &'a DFSchema,
}

impl Walk<'_> {
    /// A condition of a filter: what stands beside it must be TRUE.
    fn conjunct(&self, expr: Expr, excluded: &[Expr]) -> Result<Transformed<Expr>> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                let not_true = |e: Expr| Expr::IsNotTrue(Box::new(e));
                let of_left = self.beside(excluded, &right, Operator::And, not_true, false)?;
                let of_right = self.beside(excluded, &left, Operator::And, not_true, false)?;
                let (left, right) = (self.conjunct(*left, &of_left)?, self.conjunct(*right, &of_right)?);
                Ok(both(left, Operator::And, right))
            }
            // `guard` does others.
            other if !has_subquery(&other)? => Ok(Transformed::no(other)),
            other => self.expr(other, excluded, true),
        }
    }

    /// An expression that is not asked for where one of `excluded` is TRUE; `computed` if it is computed all the same.
    fn expr(&self, expr: Expr, excluded: &[Expr], computed: bool) -> Result<Transformed<Expr>> {
        if !has_subquery(&expr)? {
            return match computed && !excluded.is_empty() {
                true => guard_row(expr, excluded, self.outer, |_| true),
                false => Ok(Transformed::no(expr)),
            };
        }
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                let decides = |e: Expr| match op {
                    Operator::And => Expr::IsFalse(Box::new(e)),
                    _ => Expr::IsTrue(Box::new(e)),
                };
                let of_left = self.beside(excluded, &right, op, decides, false)?;
                let of_right = self.beside(excluded, &left, op, decides, true)?;
                let (left, right) = (self.expr(*left, &of_left, true)?, self.expr(*right, &of_right, true)?);
                Ok(both(left, op, right))
            }
            Expr::Case(case) => self.case(case, excluded, computed),
            Expr::ScalarFunction(call) if matches!(call.func.name(), "coalesce" | "nvl" | "ifnull") => {
                self.coalesce(call, excluded, computed)
            }
            other => {
                let other = other.map_children(|e| self.expr(e, excluded, computed))?;
                match excluded.is_empty() {
                    true => Ok(other),
                    false => other.transform_data(|e| self.subquery(e, excluded)),
                }
            }
        }
    }

    fn case(&self, case: Case, excluded: &[Expr], computed: bool) -> Result<Transformed<Expr>> {
        let mut any = false;
        let mut walk = |e: Box<Expr>, excluded: &[Expr]| -> Result<Box<Expr>> {
            let walked = self.expr(*e, excluded, computed)?;
            any |= walked.transformed;
            Ok(Box::new(walked.data))
        };
        let operand = case.expr.clone();
        let mut before = excluded.to_vec();
        let mut when_then_expr = Vec::with_capacity(case.when_then_expr.len());
        for (when, then) in case.when_then_expr {
            let condition = match &operand {
                Some(operand) => operand.as_ref().clone().eq(when.as_ref().clone()),
                None => when.as_ref().clone(),
            };
            let condition = self.guard(&condition)?;
            let mut taken = before.clone();
            taken.extend(condition.clone().map(|c| Expr::IsNotTrue(Box::new(c))));
            when_then_expr.push((walk(when, &before)?, walk(then, &taken)?));
            before.extend(condition.map(|c| Expr::IsTrue(Box::new(c))));
        }
        let else_expr = case.else_expr.map(|e| walk(e, &before)).transpose()?;
        let expr = case.expr.map(|e| walk(e, excluded)).transpose()?;
        Ok(Transformed::new_transformed(Expr::Case(Case { expr, when_then_expr, else_expr }), any))
    }

    fn coalesce(&self, call: ScalarFunction, excluded: &[Expr], computed: bool) -> Result<Transformed<Expr>> {
        let (mut any, mut before, mut args) = (false, excluded.to_vec(), Vec::with_capacity(call.args.len()));
        for argument in call.args {
            let found = self.guard(&argument)?.map(Expr::is_not_null);
            let walked = self.expr(argument, &before, computed)?;
            any |= walked.transformed;
            args.push(walked.data);
            before.extend(found);
        }
        Ok(Transformed::new_transformed(Expr::ScalarFunction(ScalarFunction { args, ..call }), any))
    }

    /// What excludes a term: `excluded`, and what decides beside it; of terms that can fail those that come first.
    fn beside(
        &self,
        excluded: &[Expr],
        expr: &Expr,
        op: Operator,
        decides: impl Fn(Expr) -> Expr,
        comes_first: bool,
    ) -> Result<Vec<Expr>> {
        let (mut all, mut failing) = (excluded.to_vec(), Vec::new());
        let mut terms = vec![expr];
        while let Some(term) = terms.pop() {
            match term {
                Expr::BinaryExpr(BinaryExpr { left, op: found, right }) if *found == op => {
                    terms.push(right);
                    terms.push(left);
                }
                term if is_lazy(term) || !can_fail(term, self.outer)? => all.extend(self.guard(term)?.map(&decides)),
                term => failing.extend(self.guard(term)?.map(&decides)),
            }
        }
        if comes_first {
            all.extend(failing);
        }
        Ok(all)
    }

    /// The condition, guarded itself, if the subquery can compute it as well.
    fn guard(&self, condition: &Expr) -> Result<Option<Expr>> {
        let is_foreign = |e: &Expr| Ok(matches!(e, Expr::OuterReferenceColumn(..)));
        if has_subquery(condition)? || condition.exists(is_foreign)? || condition.is_volatile() {
            return Ok(None);
        }
        Ok(Some(guard_expr(condition.clone(), self.outer)?.data))
    }

    fn subquery(&self, expr: Expr, excluded: &[Expr]) -> Result<Transformed<Expr>> {
        let within = |mut subquery: Subquery| -> Result<Transformed<Subquery>> {
            if subquery.outer_ref_columns.is_empty() {
                return Ok(Transformed::no(subquery));
            }
            let excluded = excluded.iter().map(|e| self.referred(e.clone())).collect::<Result<Vec<_>>>()?;
            let plan = guard_plan(Arc::unwrap_or_clone(subquery.subquery), &excluded)?;
            subquery.subquery = Arc::new(plan.data);
            if plan.transformed {
                subquery.outer_ref_columns = subquery.subquery.all_out_ref_exprs();
            }
            Ok(Transformed::new_transformed(subquery, plan.transformed))
        };
        let operand = |e: Box<Expr>| -> Result<Transformed<Box<Expr>>> {
            let guarded = guard_row(*e, excluded, self.outer, |e| !has_subquery(e).unwrap_or(true))?;
            Ok(guarded.update_data(Box::new))
        };
        Ok(match expr {
            Expr::ScalarSubquery(subquery) => within(subquery)?.update_data(Expr::ScalarSubquery),
            Expr::Exists(mut exists) => {
                let guarded = within(exists.subquery)?;
                exists.subquery = guarded.data;
                Transformed::new_transformed(Expr::Exists(exists), guarded.transformed)
            }
            Expr::InSubquery(mut membership) => {
                let (guarded, left) = (within(membership.subquery)?, operand(membership.expr)?);
                (membership.subquery, membership.expr) = (guarded.data, left.data);
                Transformed::new_transformed(Expr::InSubquery(membership), guarded.transformed || left.transformed)
            }
            Expr::SetComparison(mut comparison) => {
                let (guarded, left) = (within(comparison.subquery)?, operand(comparison.expr)?);
                (comparison.subquery, comparison.expr) = (guarded.data, left.data);
                Transformed::new_transformed(Expr::SetComparison(comparison), guarded.transformed || left.transformed)
            }
            other => Transformed::no(other),
        })
    }

    /// The expression as a subquery sees it.
    fn referred(&self, expr: Expr) -> Result<Expr> {
        let referred = expr.transform_up(|e| match e {
            Expr::Column(column) => {
                let (_, field) = self.outer.qualified_field_from_column(&column)?;
                Ok(Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(field), column)))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(referred.data)
    }
}

fn both(left: Transformed<Expr>, op: Operator, right: Transformed<Expr>) -> Transformed<Expr> {
    let any = left.transformed || right.transformed;
    let expr = Expr::BinaryExpr(BinaryExpr::new(Box::new(left.data), op, Box::new(right.data)));
    Transformed::new_transformed(expr, any)
}

/// The plan of a subquery whose values of the row around are guarded.
fn guard_plan(plan: LogicalPlan, excluded: &[Expr]) -> Result<Transformed<LogicalPlan>> {
    plan.transform_up(|node| {
        if node.expressions().iter().all(|e| !e.contains_outer()) {
            return Ok(Transformed::no(node));
        }
        let schema = input_schema(&node)?;
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let is_of_row = |e: &Expr| e.contains_outer() && e.column_refs().is_empty();
            Ok(guard_row(expr, excluded, &schema, is_of_row)?.update_data(|e| name.restore(e)))
        })
    })
}

/// The largest parts that are values of the row and can fail, NULL where one of `excluded` is TRUE; of what else looks at
/// the row, the operations that can fail themselves.
fn guard_row(
    expr: Expr,
    excluded: &[Expr],
    schema: &DFSchema,
    is_of_row: impl Fn(&Expr) -> bool,
) -> Result<Transformed<Expr>> {
    expr.transform_down(|e| {
        let stays = is_marked(By::Around, &e) || !can_fail(&e, schema)? || !(is_of_row(&e) || e.contains_outer());
        if stays {
            return Ok(Transformed::new(e, false, TreeNodeRecursion::Jump));
        }
        // AND and OR guard their own terms.
        let is_logic = matches!(&e, Expr::BinaryExpr(b) if b.op.is_logic_operator());
        if is_logic || (!is_of_row(&e) && !node_can_fail(&e, schema)?) {
            return Ok(Transformed::no(e));
        }
        let null = ScalarValue::try_from(e.get_type(schema)?)?;
        let is_boolean = null.data_type() == DataType::Boolean;
        let branch = |when: &Expr| (Box::new(when.clone()), Box::new(lit(null.clone())));
        let when_then_expr = excluded.iter().map(branch).collect();
        let case = Case { expr: None, when_then_expr, else_expr: Some(Box::new(e)) };
        let guarded = mark(By::Around, if is_boolean { lazily(case) } else { Expr::Case(case) });
        Ok(Transformed::new(guarded, true, TreeNodeRecursion::Jump))
    })
}
