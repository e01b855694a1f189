//! Which tables a plan reads, and the same plan over other sources.
//!
//! The three plans of a refresh (over inserted rows, deleted rows, the new snapshot) are one plan bound thrice.
//!
//! Not here: opening snapshots and reading changelogs (`lake`).

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::logical_expr::logical_plan::TableScanBuilder;
use datafusion::logical_expr::{LogicalPlan, TableScan, TableSource};

use crate::error::{DeltaError, Result};

/// Every table that the plan reads, subqueries included, each once, sorted.
///
/// # Errors
/// What DataFusion's walk over a plan reports; this visitor returns no error of its own.
pub fn scans(plan: &LogicalPlan) -> Result<Vec<TableReference>> {
    let mut found = BTreeSet::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            found.insert(scan.table_name.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found.into_iter().collect())
}

/// The plan with the sources of its scans swapped; a scan for which `source` gives None keeps its own.
///
/// # Errors
/// `SourceChanged` when a new source lacks a column or has it with another type.
pub fn rebind(
    plan: &LogicalPlan,
    source: &dyn Fn(&TableReference) -> Option<Arc<dyn TableSource>>,
) -> Result<LogicalPlan> {
    let mut mismatch = None;
    let rebound = plan.clone().transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = node else {
            // Nullability may differ, so the schemas above are computed anew.
            return Ok(Transformed::yes(node.recompute_schema()?));
        };
        let Some(new) = source(&scan.table_name) else {
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        };
        if let Some(detail) = difference(&scan, new.as_ref()) {
            mismatch.get_or_insert(DeltaError::SourceChanged { table: scan.table_name.to_string(), detail });
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        }
        let scan = TableScanBuilder::new(scan.table_name, new)
            .with_projection(scan.projection)
            .with_filters(scan.filters)
            .with_fetch(scan.fetch)
            .build()?;
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    })?;
    match mismatch {
        Some(error) => Err(error),
        None => Ok(rebound.data),
    }
}

fn difference(scan: &TableScan, new: &dyn TableSource) -> Option<String> {
    let (old, new) = (scan.source.schema(), new.schema());
    if old.fields().len() != new.fields().len() {
        return Some(format!("{} columns instead of {}", new.fields().len(), old.fields().len()));
    }
    old.fields().iter().zip(new.fields()).find_map(|(o, n)| {
        if o.name() != n.name() {
            Some(format!("\"{}\" stands where \"{}\" stood", n.name(), o.name()))
        } else if !o.data_type().equals_datatype(n.data_type()) {
            Some(format!("\"{}\" is {} instead of {}", o.name(), n.data_type(), o.data_type()))
        } else {
            None
        }
    })
}
