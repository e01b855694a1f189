//! IN over a list of values with NULLs among them.
//!
//!   x IN (1, NULL)       ──▶ CASE WHEN x IN (1) THEN TRUE ELSE NULL END
//!   x IN (1, f(2), y)    ──▶ x IN (1, y) OR x = f(2), since f(2) may fold to NULL
//!
//! DataFusion intersects the lists of `x IN (1, 4) AND x IN (3, NULL)` to none and says FALSE.
//!
//! Invariants
//! * What is left in a list is a literal that is not NULL, or depends on the row.
//! * As a condition of a filter a list with NULL stays a list, so that it skips files.
//!
//! Not here: subqueries (`membership`).

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Case, Expr, Filter, LogicalPlan, lit};
use datafusion::optimizer::AnalyzerRule;

/// Runs on plans whose types are coerced.
#[derive(Debug)]
pub(crate) struct Lists;

impl AnalyzerRule for Lists {
    fn name(&self) -> &str {
        "ingot_lists"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            if !plan.expressions().iter().any(|e| e.exists(|e| Ok(is_split(e))).unwrap_or(true)) {
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
                let e = e.transform_up(split)?;
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
    /// Constant, so that it may fold to NULL.
    Folds,
}

fn member(expr: &Expr) -> Member {
    match expr {
        Expr::Literal(value, _) if value.is_null() => Member::Null,
        Expr::Literal(..) => Member::Value,
        // A cast of a literal that is not NULL fails or gives a value.
        Expr::Cast(cast) => member(&cast.expr),
        other if other.any_column_refs() || other.contains_outer() => Member::Value,
        other if other.exists(|e| Ok(matches!(e, Expr::ScalarSubquery(_) | Expr::Placeholder(_)))).unwrap_or(true) => {
            Member::Value
        }
        _ => Member::Folds,
    }
}

fn is_split(expr: &Expr) -> bool {
    matches!(expr, Expr::InList(list) if !list.expr.is_volatile() && list.list.iter().any(|m| member(m) != Member::Value))
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
    let (mut values, mut folding, mut null) = (Vec::new(), Vec::new(), false);
    for m in list {
        match member(&m) {
            Member::Value => values.push(m),
            Member::Null => null = true,
            Member::Folds => folding.push(m),
        }
    }
    let mut found: Vec<Expr> = folding.into_iter().map(|m| expr.as_ref().clone().eq(m)).collect();
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
