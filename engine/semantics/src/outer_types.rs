//! A subquery sees the columns of the row around it in the types that they have once those of that row are coerced.
//!
//!   SELECT (SELECT q.w / 2) FROM (SELECT 1 AS w UNION ALL SELECT 2.5) AS q      1.25, not 1
//!
//! The planner gives a subquery the type that a column has when it is planned: that of the first branch of a union, of the
//! first THEN of a CASE. Coercion changes the column and not what the subquery knows of it.
//!
//! Invariants
//! * Outer queries come first: what a subquery sees is right before its own types are decided.
//!
//! Not here: which columns a subquery looks at (`outer_rows`).

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Expr, Join, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use crate::correlated::has_outer;
use crate::outer_references::{lateral, outer_columns, references, subquery_mut, subquery_of};
use crate::rewrite::input_schema;

/// Runs before types are decided, with the rules that decide them.
#[derive(Debug)]
pub(crate) struct OuterTypes {
    pub(crate) types: Vec<Arc<dyn AnalyzerRule + Send + Sync>>,
}

impl AnalyzerRule for OuterTypes {
    fn name(&self) -> &str {
        "ingot_outer_types"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        if has_outer(&plan)? { self.with_outer_types(plan, config) } else { Ok(plan) }
    }
}

impl OuterTypes {
    /// The plan with subqueries that know the types of the columns around them.
    fn with_outer_types(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        if let (LogicalPlan::Join(join), true) = (&plan, lateral(&plan).is_some()) {
            let left = self.typed(self.with_outer_types(join.left.as_ref().clone(), config)?, config)?;
            let right = tell(join.right.as_ref().clone(), left.schema(), &[])?;
            let right = self.with_outer_types(right, config)?;
            return with_sides(join, left, right);
        }
        let plan = plan.map_children(|input| self.with_outer_types(input, config).map(Transformed::yes)).data()?;
        if !looks_around(&plan)? {
            return plan
                .map_subqueries(|subquery| self.with_outer_types(subquery, config).map(Transformed::yes))
                .data();
        }
        let plan = plan.map_children(|input| self.typed(input, config).map(Transformed::yes)).data()?;
        let schema = input_schema(&plan)?;
        let plan = plan
            .map_expressions(|expr| {
                expr.transform_up(|mut e| {
                    let Some(subquery) = subquery_mut(&mut e) else { return Ok(Transformed::no(e)) };
                    let within = tell(subquery.subquery.as_ref().clone(), &schema, &[])?;
                    subquery.outer_ref_columns = references(&within)?;
                    subquery.subquery = Arc::new(within);
                    Ok(Transformed::yes(e))
                })
            })
            .data()?;
        let plan =
            plan.map_subqueries(|subquery| self.with_outer_types(subquery, config).map(Transformed::yes)).data()?;
        plan.recompute_schema()
    }

    fn typed(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        self.types.iter().try_fold(plan, |plan, rule| rule.analyze(plan, config))
    }
}

/// Whether a subquery of a node's expressions looks at a query around it.
fn looks_around(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    for expr in plan.expressions() {
        found |= expr.exists(|e| match subquery_of(e) {
            Some(subquery) => Ok(!outer_columns(&subquery.subquery)?.is_empty()),
            None => Ok(false),
        })?;
    }
    Ok(found)
}

/// A subquery's plan that knows the fields of a schema around it, where no query `between` has the column.
fn tell(plan: LogicalPlan, around: &DFSchema, between: &[&DFSchema]) -> Result<LogicalPlan> {
    let plan = match (&plan, lateral(&plan)) {
        (LogicalPlan::Join(join), Some(_)) => {
            let left = tell(join.left.as_ref().clone(), around, between)?;
            let schemas: Vec<&DFSchema> = between.iter().copied().chain([left.schema().as_ref()]).collect();
            let right = tell(join.right.as_ref().clone(), around, &schemas)?;
            with_sides(join, left, right)?
        }
        _ => plan.map_children(|input| tell(input, around, between).map(Transformed::yes)).data()?,
    };
    let own = input_schema(&plan)?;
    let plan = plan.map_expressions(|expr| {
        expr.transform_up(|mut e| {
            if let Expr::OuterReferenceColumn(field, column) = &mut e {
                if between.iter().any(|schema| schema.has_column(column)) {
                    return Ok(Transformed::no(e));
                }
                if let Ok((_, known)) = around.qualified_field_from_column(column) {
                    *field = Arc::clone(known);
                }
                return Ok(Transformed::yes(e));
            }
            let Some(subquery) = subquery_mut(&mut e) else { return Ok(Transformed::no(e)) };
            let schemas: Vec<&DFSchema> = between.iter().copied().chain([&own]).collect();
            let within = tell(subquery.subquery.as_ref().clone(), around, &schemas)?;
            subquery.outer_ref_columns = references(&within)?;
            subquery.subquery = Arc::new(within);
            Ok(Transformed::yes(e))
        })
    })?;
    plan.data.recompute_schema()
}

fn with_sides(join: &Join, left: LogicalPlan, right: LogicalPlan) -> Result<LogicalPlan> {
    let join = Join { left: Arc::new(left), right: Arc::new(right), ..join.clone() };
    LogicalPlan::Join(join).recompute_schema()
}
