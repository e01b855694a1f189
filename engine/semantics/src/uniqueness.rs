//! What DataFusion takes for unique and is not.
//!
//!   SELECT DISTINCT k FROM (SELECT DISTINCT c.id, d.k FROM c JOIN (SELECT DISTINCT k FROM a) AS d ON ..)
//!
//! `k` is unique in `d`, not in the join, and DataFusion takes it for unique again when the join is grouped by `id, k`. It
//! then leaves the outer DISTINCT away, groups or sorts by `k` where `k, id` was asked for, and drops an outer join.
//!
//! Invariants
//! * Where that can happen its rules do not ask what is unique.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{DFSchemaRef, Dependency, FunctionalDependencies, Result};
use datafusion::logical_expr::logical_plan::{Aggregate, Distinct};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// Puts rules that do not ask in the place of those that do.
pub(crate) fn optimizer_rules(
    mut rules: Vec<Arc<dyn OptimizerRule + Send + Sync>>,
) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    for rule in &mut rules {
        let misled: fn(LogicalPlan) -> Result<Misled> = match rule.name() {
            "eliminate_join" => |plan| Ok(Misled::Stays(plan)),
            "eliminate_duplicated_expr" => |plan| match plan {
                LogicalPlan::Sort(_) => Ok(Misled::Stays(plan)),
                other => Ok(Misled::Goes(other)),
            },
            "replace_distinct_aggregate" => grouped,
            "optimize_projections" => |plan| Ok(Misled::Goes(forgetful(plan)?)),
            _ => continue,
        };
        *rule = Arc::new(NotMisled { inner: Arc::clone(rule), misled });
    }
    rules
}

/// What becomes of a plan that misleads a rule.
enum Misled {
    Stays(LogicalPlan),
    /// To the rule.
    Goes(LogicalPlan),
    Becomes(LogicalPlan),
}

#[derive(Debug)]
struct NotMisled {
    inner: Arc<dyn OptimizerRule + Send + Sync>,
    misled: fn(LogicalPlan) -> Result<Misled>,
}

impl OptimizerRule for NotMisled {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.inner.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if !misleads(&plan)? {
            return self.inner.rewrite(plan, config);
        }
        match (self.misled)(plan)? {
            Misled::Stays(plan) => Ok(Transformed::no(plan)),
            Misled::Goes(plan) => self.inner.rewrite(plan, config),
            Misled::Becomes(plan) => Ok(Transformed::yes(plan)),
        }
    }
}

/// Whether rows are grouped that a join made of unique ones, or several rows are made of each.
fn misleads(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        let input = match node {
            LogicalPlan::Aggregate(aggregate) => &aggregate.input,
            LogicalPlan::Distinct(Distinct::All(input)) => input,
            LogicalPlan::Unnest(unnest) if !unnest.input.schema().functional_dependencies().is_empty() => {
                found = true;
                return Ok(TreeNodeRecursion::Stop);
            }
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        found = input.schema().functional_dependencies().iter().any(|d| d.mode == Dependency::Multi);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// DISTINCT as GROUP BY all columns, whatever is said of the input.
fn grouped(plan: LogicalPlan) -> Result<Misled> {
    let LogicalPlan::Distinct(Distinct::All(input)) = plan else { return Ok(Misled::Goes(plan)) };
    let keys: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    if keys.is_empty() {
        return Ok(Misled::Goes(LogicalPlan::Distinct(Distinct::All(input))));
    }
    Ok(Misled::Becomes(LogicalPlan::Aggregate(Aggregate::try_new(input, keys, Vec::new())?)))
}

/// The plan without its claims about unique columns.
fn forgetful(plan: LogicalPlan) -> Result<LogicalPlan> {
    let forget = |schema: &mut DFSchemaRef| -> Result<()> {
        if !schema.functional_dependencies().is_empty() {
            let known = schema.as_ref().clone();
            *schema = Arc::new(known.with_functional_dependencies(FunctionalDependencies::empty())?);
        }
        Ok(())
    };
    let plan = plan.transform_up_with_subqueries(|mut node| {
        match &mut node {
            LogicalPlan::Aggregate(n) => forget(&mut n.schema)?,
            LogicalPlan::Join(n) => forget(&mut n.schema)?,
            LogicalPlan::Projection(n) => forget(&mut n.schema)?,
            LogicalPlan::SubqueryAlias(n) => forget(&mut n.schema)?,
            LogicalPlan::Union(n) => forget(&mut n.schema)?,
            LogicalPlan::Unnest(n) => forget(&mut n.schema)?,
            LogicalPlan::Window(n) => forget(&mut n.schema)?,
            _ => return Ok(Transformed::no(node)),
        }
        Ok(Transformed::yes(node))
    })?;
    Ok(plan.data)
}
