//! Walks a plan's expressions from the leaves up, with the schema that they see.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, LogicalPlan};

/// The columns that a node's expressions see.
///
/// # Errors
/// When a scan's source has duplicate names.
pub(crate) fn input_schema(node: &LogicalPlan) -> Result<DFSchema> {
    let mut schema = merge_schema(&node.inputs());
    if let LogicalPlan::TableScan(scan) = node {
        schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
    }
    Ok(schema)
}

/// Rewrites each expression of a plan, subqueries included, after `node` rewrote the node that holds it. Output
/// columns keep their names.
///
/// # Errors
/// Those of the rewrites.
pub(crate) fn expressions(
    plan: LogicalPlan,
    node: impl Fn(LogicalPlan) -> Result<LogicalPlan>,
    expr: impl Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|plan| {
        let plan = node(plan)?;
        let schema = input_schema(&plan)?;
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|e| {
            let name = names.save(&e);
            Ok(e.transform_up(|e| expr(e, &schema))?.update_data(|e| name.restore(e)))
        })?
        .map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(rewritten.data)
}
