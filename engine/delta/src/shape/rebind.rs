//! Which scans a plan has, and the same plan over other sources.
//!
//! A table that is read twice has two occurrences, and each is bound by itself: the change of a self-join is that of one
//! occurrence beside the old or the new rows of the other. The plans of a refresh (over inserted rows, deleted rows, the
//! new snapshot) are one plan bound several times.
//!
//! Invariants
//! * Occurrences are numbered by one walk, from the root down, a node's subqueries before its inputs, inputs from left to
//!   right. Plans that differ in the sources of their scans alone number them alike.
//!
//! Not here: opening snapshots and reading changelogs (`lake`).

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::logical_plan::TableScanBuilder;
use datafusion::logical_expr::{LogicalPlan, TableScan, TableSource};

use crate::error::{DeltaError, Result};

/// Which scan of its plan a scan is. It means nothing in a plan of another shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Occurrence(usize);

/// One scan of a plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scan {
    /// Its place among the scans of the plan.
    pub occurrence: Occurrence,
    /// The table that it reads, as the plan names it.
    pub table: TableReference,
}

/// Every scan of the plan, subqueries included, in the order of their occurrences.
///
/// # Errors
/// When DataFusion cannot walk the plan.
pub fn scans(plan: &LogicalPlan) -> Result<Vec<Scan>> {
    let mut found = Vec::new();
    for_each_scan(
        plan,
        |node| Ok(Transformed::no(node)),
        |occurrence, scan| {
            found.push(Scan { occurrence, table: scan.table_name.clone() });
            Ok(Transformed::no(LogicalPlan::TableScan(scan)))
        },
    )?;
    Ok(found)
}

/// Every table that the plan reads, subqueries included, each once, sorted.
///
/// # Errors
/// As [`scans`].
pub fn tables(plan: &LogicalPlan) -> Result<Vec<TableReference>> {
    let tables: BTreeSet<TableReference> = scans(plan)?.into_iter().map(|scan| scan.table).collect();
    Ok(tables.into_iter().collect())
}

/// The plan with the source of each scan swapped by itself; a scan for which `source` gives None keeps its own.
///
/// # Errors
/// `SourceChanged` when a new source has another number of columns, or one of another name or type.
pub fn rebind(plan: &LogicalPlan, source: &dyn Fn(&Scan) -> Option<Arc<dyn TableSource>>) -> Result<LogicalPlan> {
    let mut mismatch = None;
    // Nullability may differ, so the schemas above are computed anew.
    let recomputed = |node: LogicalPlan| match node {
        LogicalPlan::TableScan(_) => Ok(Transformed::no(node)),
        node => Ok(Transformed::yes(node.recompute_schema()?)),
    };
    let rebound = for_each_scan(plan, recomputed, |occurrence, scan| {
        let Some(new) = source(&Scan { occurrence, table: scan.table_name.clone() }) else {
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
        None => Ok(rebound),
    }
}

/// The plan with the sources of its tables swapped, all occurrences of a table alike; a table for which `source` gives
/// None keeps its own.
///
/// # Errors
/// As [`rebind`].
pub fn rebind_tables(
    plan: &LogicalPlan,
    source: &dyn Fn(&TableReference) -> Option<Arc<dyn TableSource>>,
) -> Result<LogicalPlan> {
    rebind(plan, &|scan| source(&scan.table))
}

type Rewritten = datafusion::common::Result<Transformed<LogicalPlan>>;

/// The walk that numbers occurrences: `scan` rewrites scans on the way down, `other` all nodes on the way up.
fn for_each_scan(
    plan: &LogicalPlan,
    other: impl Fn(LogicalPlan) -> Rewritten,
    mut scan: impl FnMut(Occurrence, TableScan) -> Rewritten,
) -> Result<LogicalPlan> {
    let mut next = 0;
    let walked = plan.clone().transform_down_up_with_subqueries(
        |node| match node {
            LogicalPlan::TableScan(node) => {
                next += 1;
                scan(Occurrence(next - 1), node)
            }
            node => Ok(Transformed::no(node)),
        },
        other,
    )?;
    Ok(walked.data)
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
