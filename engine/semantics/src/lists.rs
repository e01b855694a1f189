//! IN over a list of values with NULLs among them.
//!
//!   x IN (1, NULL)       ──▶ CASE WHEN x IN (1) THEN TRUE ELSE NULL END
//!   x IN (1, f(2), y)    ──▶ x IN (1) OR x = f(2) OR x = y
//!
//!   x NOT IN (1) OR x NOT IN (2)  ──▶ each as a CASE that is NULL where x is
//!
//! DataFusion intersects the lists of `x IN (1, 4) AND x IN (3, NULL)` to none and says FALSE, and those of
//! `x NOT IN (1) OR x NOT IN (2)` and says TRUE, also where x is NULL. It takes for constant what gives one value for a batch
//! without rows, as CASE does, so that its list is a set of NULLs.
//!
//! Invariants
//! * What is left in a list is a literal that is not NULL, or a cast of one.
//! * As a condition of a filter a list with NULL stays a list, so that it skips files.
//!
//! Not here: subqueries (`membership`).

use std::collections::HashMap;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Case, Expr, Filter, LogicalPlan, Operator, lit};
use datafusion::optimizer::AnalyzerRule;

use crate::lazily::lazily;

/// Runs on plans whose types are coerced.
#[derive(Debug)]
pub(crate) struct Lists;

impl AnalyzerRule for Lists {
    fn name(&self) -> &str {
        "ingot_lists"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let ours = |e: &Expr| is_split(e) || is_merged(e);
            if !plan.expressions().iter().any(|e| e.exists(|e| Ok(ours(e))).unwrap_or(true)) {
                return Ok(Transformed::no(plan));
            }
            let plan = match plan {
                LogicalPlan::Filter(filter) => in_filter(filter)?,
                other => other,
            };
            let names = NamePreserver::new(&plan);
            let sorted = matches!(plan, LogicalPlan::Sort(_));
            plan.map_expressions(|e| {
                let name = names.save(&e);
                let e = e.transform_up(split)?.transform_data(|e| e.transform_up(keep_apart))?;
                Ok(if sorted { e } else { e.update_data(|e| name.restore(e)) })
            })
        })
        .data()
    }
}

/// What a member of a list can be.
#[derive(PartialEq)]
enum Member {
    Value,
    Null,
    /// NULL or not, as the row or its folding has it.
    Computed,
}

fn member(expr: &Expr) -> Member {
    match expr {
        Expr::Literal(value, _) if value.is_null() => Member::Null,
        Expr::Literal(..) => Member::Value,
        // A cast of a literal that is not NULL fails or gives a value.
        Expr::Cast(cast) => member(&cast.expr),
        _ => Member::Computed,
    }
}

fn is_split(expr: &Expr) -> bool {
    matches!(expr, Expr::InList(list) if !list.expr.is_volatile() && list.list.iter().any(|m| member(m) != Member::Value))
}

/// What one expression is compared with under AND or OR.
#[derive(Default)]
struct Terms {
    count: usize,
    /// Some is a list.
    lists: bool,
    /// Some is true where its value is found, some where it is not.
    positive: bool,
    negative: bool,
}

impl Terms {
    fn add(&mut self, positive: bool) {
        self.count += 1;
        self.positive |= positive;
        self.negative |= !positive;
    }
}

/// Lists, and comparisons with a value that the engine takes for lists, under AND or OR: of which expression, and whether
/// its being found makes the term true.
fn terms<'a>(expr: &'a Expr, op: Operator, positive: bool, found: &mut HashMap<&'a Expr, Terms>) {
    match expr {
        Expr::BinaryExpr(b) if b.op == op => {
            terms(&b.left, op, positive, found);
            terms(&b.right, op, positive, found);
        }
        Expr::Not(inner) => {
            terms(inner, if op == Operator::And { Operator::Or } else { Operator::And }, !positive, found);
        }
        Expr::InList(list) if !list.expr.is_volatile() => {
            let of = found.entry(&list.expr).or_default();
            of.lists = true;
            of.add(positive != list.negated);
        }
        Expr::BinaryExpr(b) if matches!(b.op, Operator::Eq | Operator::NotEq) => {
            let other = if matches!(b.left.as_ref(), Expr::Literal(..)) { &b.right } else { &b.left };
            found.entry(other).or_default().add(positive == (b.op == Operator::Eq));
        }
        _ => {}
    }
}

/// The expressions whose lists the engine would intersect: of IN under AND, and of NOT IN under OR.
fn merged(expr: &Expr) -> Vec<Expr> {
    let Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) = expr else { return Vec::new() };
    let mut found = HashMap::new();
    terms(expr, *op, true, &mut found);
    let intersects = |t: &Terms| t.count > 1 && t.lists && if *op == Operator::And { t.positive } else { t.negative };
    found.into_iter().filter(|(_, t)| intersects(t)).map(|(e, _)| e.clone()).collect()
}

fn is_merged(expr: &Expr) -> bool {
    !merged(expr).is_empty()
}

/// Makes lists of one expression under AND or OR what the engine does not merge.
fn keep_apart(expr: Expr) -> Result<Transformed<Expr>> {
    let merged = merged(&expr);
    if merged.is_empty() {
        return Ok(Transformed::no(expr));
    }
    expr.transform_down(|e| match e {
        Expr::InList(list) if merged.contains(&list.expr) => {
            let InList { expr, list, negated } = list;
            let is_null = Expr::IsNull(expr.clone());
            let found = Expr::InList(InList { expr, list, negated: false });
            let unknown = lit(ScalarValue::Boolean(None));
            let branches = vec![(Box::new(found), Box::new(lit(!negated))), (Box::new(is_null), Box::new(unknown))];
            let case = lazily(Case::new(None, branches, Some(Box::new(lit(negated)))));
            Ok(Transformed::new(case, true, TreeNodeRecursion::Jump))
        }
        e @ (Expr::BinaryExpr(BinaryExpr { op: Operator::And | Operator::Or, .. }) | Expr::Not(_)) => {
            Ok(Transformed::no(e))
        }
        other => Ok(Transformed::new(other, false, TreeNodeRecursion::Jump)),
    })
}

/// A condition is true for the same rows without the NULLs of its lists, and never where NOT IN has one.
fn in_filter(filter: Filter) -> Result<LogicalPlan> {
    let conjuncts = split_conjunction_owned(filter.predicate).into_iter().map(|conjunct| match conjunct {
        Expr::InList(mut list) if list.list.iter().any(|m| member(m) == Member::Null) => {
            list.list.retain(|m| member(m) != Member::Null);
            if list.negated || list.list.is_empty() { lit(false) } else { Expr::InList(list) }
        }
        other => other,
    });
    let predicate = conjunction(conjuncts).unwrap_or_else(|| lit(true));
    Ok(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?))
}

fn split(expr: Expr) -> Result<Transformed<Expr>> {
    if !is_split(&expr) {
        return Ok(Transformed::no(expr));
    }
    let Expr::InList(InList { expr, list, negated }) = expr else { return Ok(Transformed::no(expr)) };
    let (mut values, mut computed, mut null) = (Vec::new(), Vec::new(), false);
    for m in list {
        match member(&m) {
            Member::Value => values.push(m),
            Member::Null => null = true,
            Member::Computed => computed.push(m),
        }
    }
    let mut found: Vec<Expr> = computed.into_iter().map(|m| expr.as_ref().clone().eq(m)).collect();
    if !values.is_empty() {
        found.insert(0, Expr::InList(InList { expr, list: values, negated: false }));
    }
    let unknown = lit(ScalarValue::Boolean(None));
    Ok(Transformed::yes(match (found.into_iter().reduce(Expr::or), null) {
        (None, _) => unknown,
        (Some(found), false) if negated => Expr::Not(Box::new(found)),
        (Some(found), false) => found,
        (Some(found), true) => {
            Expr::Case(Case::new(None, vec![(Box::new(found), Box::new(lit(!negated)))], Some(Box::new(unknown))))
        }
    }))
}
