//! Names for what DataFusion would call like something beside it.
//!
//!   x IN (SELECT CAST(s.k AS BIGINT) FROM s WHERE s.k = ..)  ──▶ SELECT CAST(s.k AS BIGINT) AS "CAST(s.k AS Int64)"
//!   x IN (SELECT max(b) AS k FROM s WHERE s.k = ..)          ──▶ SELECT max(b) AS __ingot_k
//!   JOIN ON f(CAST(a.k AS BIGINT)) = b.n AND f(a.k) = b.k    ──▶ each f as a name of its own
//!
//! Its names leave casts out. It makes a projection of a subquery's column and the columns that correlate it, and of
//! an input's columns and the keys of a join, and refuses one that has two columns of one name.
//!
//! Invariants
//! * Only what nobody refers to by its name gets another: the column of a subquery within an expression, a join key.
//!
//! Not here: two such columns in what a user wrote (`namesakes`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::{Distinct, Projection};
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};
use datafusion::optimizer::{AnalyzerRule, OptimizerConfig, OptimizerRule};

use crate::canonical::uncanonical;
use crate::correlated::holds_outer;

/// Runs on plans whose types are coerced, before subqueries are taken apart.
#[derive(Debug)]
pub(crate) struct SubqueryNames;

impl AnalyzerRule for SubqueryNames {
    fn name(&self) -> &str {
        "ingot_subquery_names"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let expr = expr.transform_up(in_expr)?;
                Ok(if expr.transformed { expr.update_data(|e| name.restore(e)) } else { expr })
            })
        })
        .data()
    }
}

fn in_expr(expr: Expr) -> Result<Transformed<Expr>> {
    let named = |subquery: &mut Subquery| -> Result<bool> {
        let plan = named_columns(subquery.subquery.as_ref())?;
        let any = plan.is_some();
        if let Some(plan) = plan {
            subquery.subquery = Arc::new(plan);
        }
        Ok(any)
    };
    Ok(match expr {
        Expr::InSubquery(mut i) => {
            let any = named(&mut i.subquery)?;
            Transformed::new_transformed(Expr::InSubquery(i), any)
        }
        Expr::SetComparison(mut c) => {
            let any = named(&mut c.subquery)?;
            Transformed::new_transformed(Expr::SetComparison(c), any)
        }
        Expr::Exists(mut e) => {
            let any = named(&mut e.subquery)?;
            Transformed::new_transformed(Expr::Exists(e), any)
        }
        Expr::ScalarSubquery(mut s) => {
            let any = named(&mut s)?;
            Transformed::new_transformed(Expr::ScalarSubquery(s), any)
        }
        other => Transformed::no(other),
    })
}

/// The plan with names for the casts that are its columns; None if it has none.
fn named_columns(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let correlated = projection.expr.len() == 1 && holds_outer(plan);
            let mut any = false;
            let exprs = projection.expr.iter().map(|e| {
                let takes_name = correlated && takes_name(e, &projection.input);
                any |= takes_name || hides_cast(e);
                match e {
                    e if takes_name => apart(e.clone()),
                    e if hides_cast(e) => named(e.clone()),
                    e => e.clone(),
                }
            });
            let exprs = exprs.collect();
            let renamed = || Projection::try_new(exprs, Arc::clone(&projection.input)).map(LogicalPlan::Projection);
            any.then(renamed).transpose()
        }
        LogicalPlan::Distinct(Distinct::All(input)) => {
            Ok(named_columns(input)?.map(|input| LogicalPlan::Distinct(Distinct::All(Arc::new(input)))))
        }
        _ => Ok(None),
    }
}

/// Whether an expression is called like another column below it, which may be one that correlates the subquery.
fn takes_name(expr: &Expr, input: &LogicalPlan) -> bool {
    let (_, name) = expr.qualified_name();
    // What was analyzed may be analyzed again, with floats that are canonical by then.
    if let Expr::Column(own) = uncanonical(&expr.clone().unalias()) {
        return input.schema().columns().iter().any(|column| column.name == name && own != column);
    }
    input.exists(|node| Ok(node.schema().fields().iter().any(|f| *f.name() == name))).unwrap_or(true)
}

/// The expression by a name that no column has.
fn apart(expr: Expr) -> Expr {
    let (_, name) = expr.qualified_name();
    expr.unalias().alias(format!("__ingot_{name}"))
}

/// Whether it has its argument's name: a cast of the engine's or of ours (`narrow`).
fn hides_cast(expr: &Expr) -> bool {
    is_cast(expr) || matches!(expr, Expr::ScalarFunction(call) if call.func.name().ends_with("_cast"))
}

fn is_cast(expr: &Expr) -> bool {
    matches!(expr, Expr::Cast(_) | Expr::TryCast(_))
}

/// The expression by a name that shows its casts.
fn named(expr: Expr) -> Expr {
    let name = expr.to_string();
    expr.alias(name)
}

/// Runs when the keys of joins are what the physical plan will have.
#[derive(Debug)]
pub(crate) struct JoinKeys;

impl OptimizerRule for JoinKeys {
    fn name(&self) -> &str {
        "ingot_join_keys"
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::Join(mut join) => {
                let (left, right): (Vec<&Expr>, Vec<&Expr>) = join.on.iter().map(|(l, r)| (l, r)).unzip();
                let (left, right) = (taken(&left, join.left.schema()), taken(&right, join.right.schema()));
                let any = !left.is_empty() || !right.is_empty();
                if any {
                    let apart = |key: Expr, taken: &HashSet<Expr>| if taken.contains(&key) { named(key) } else { key };
                    join.on = join.on.into_iter().map(|(l, r)| (apart(l, &left), apart(r, &right))).collect();
                }
                Ok(Transformed::new_transformed(LogicalPlan::Join(join), any))
            }
            other => Ok(Transformed::no(other)),
        })
    }
}

/// The keys of one side whose names stand for something else as well.
fn taken(keys: &[&Expr], input: &DFSchema) -> HashSet<Expr> {
    // The planner names casts itself, and takes columns as they are.
    let computed = keys.iter().filter(|k| !matches!(k, Expr::Column(_) | Expr::Alias(_)) && !is_cast(k));
    let mut by_name: HashMap<String, HashSet<&Expr>> = HashMap::new();
    for key in computed {
        by_name.entry(key.schema_name().to_string()).or_default().insert(key);
    }
    let columns: HashSet<String> = input.columns().iter().map(|c| c.flat_name()).collect();
    let taken = by_name.into_iter().filter(|(name, keys)| keys.len() > 1 || columns.contains(name));
    taken.flat_map(|(_, keys)| keys).cloned().collect()
}
