//! CREATE EXTERNAL TABLE as a model: the columns that another engine's table must have.
//!
//! Invariants
//! * Nothing but the statement is asked: each column has its type there.
//! * What a reader's rows follow from is the columns that its query names; others may be declared without a rebuild.
//!
//! Not here: whether the stored table has them (`ingot_lake`), printing the statement for a table (`infer`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};
use ingot_dialect::ast::External;
use ingot_dialect::diagnostic::Diagnostic;
use ingot_dialect::identifier;
use ingot_model::TableName;

use super::names::Key;
use crate::project::ExternalModel;

/// The model of an external table, or None with complaints in `found`.
pub(crate) fn model(
    file: &str,
    name: TableName,
    table: &External,
    found: &mut Vec<Diagnostic>,
) -> Option<ExternalModel> {
    let before = found.len();
    let mut fields: Vec<Field> = Vec::with_capacity(table.columns.len());
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for column in &table.columns {
        let (written, span) = (&column.name.value, column.name.span);
        if let Some(first) = seen.insert(written.to_lowercase(), written.clone()) {
            let text = match first == *written {
                true => format!("column \"{written}\" is declared twice"),
                false => format!("columns \"{first}\" and \"{written}\" differ only in case"),
            };
            found.push(Diagnostic::error("N0311", text).at(file, span).help("leave one of them out"));
            continue;
        }
        if written.to_lowercase().starts_with("_ingot") {
            let text = format!("\"{written}\" cannot be the name of a column: it is reserved");
            found.push(Diagnostic::error("N0106", text).at(file, span).help("leave the column out"));
            continue;
        }
        let Some(of) = &column.ty else {
            found.push(
                Diagnostic::error("T0117", format!("column \"{written}\" of an external table has no type"))
                    .at(file, span)
                    .note("another engine writes the table, and `check` asks no catalog")
                    .help(format!(
                        "write its type, as in {} BIGINT, or print all: ingot infer {name}",
                        identifier(written)
                    )),
            );
            continue;
        };
        let data_type = ingot_source::column_type_to_arrow(&of.node);
        fields.push(Field::new(written, data_type, !column.not_null));
    }
    (found.len() == before).then(|| ExternalModel {
        name,
        schema: Arc::new(Schema::new(fields)),
        file: file.to_owned(),
    })
}

/// What of external tables a plan's rows follow from, for its fingerprint: by table, the columns that it names.
pub(crate) fn columns_read(
    plan: &LogicalPlan,
    externals: &BTreeMap<TableName, ExternalModel>,
) -> BTreeMap<Key, Vec<String>> {
    let mut scanned: BTreeSet<TableName> = BTreeSet::new();
    let mut named: BTreeSet<String> = BTreeSet::new();
    let visited = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            scanned.extend(TableName::of(&scan.table_name));
        }
        node.apply_expressions(|e| {
            e.apply(|e| {
                if let Expr::Column(c) | Expr::OuterReferenceColumn(_, c) = e {
                    named.insert(c.name.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    if visited.is_err() {
        return BTreeMap::new();
    }
    let text = |table: &ExternalModel| {
        let columns = table.schema.fields().iter().filter(|f| named.contains(f.name()));
        let columns = columns.map(|f| format!("column {} {}", f.name(), f.data_type()));
        let mut text: Vec<String> = columns.collect();
        text.sort();
        text.insert(0, format!("external {}", table.name));
        text
    };
    let read = scanned.iter().filter_map(|name| externals.get(name));
    read.map(|table| (format!("external {}", table.name), text(table))).collect()
}
