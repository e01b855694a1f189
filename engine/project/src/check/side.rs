//! Side tables as models: decode errors and quarantined rows.
//!
//! Invariants
//! * A side table has a definition, a query and a fingerprint of its own.
//! * Its schema is fixed: by the decoder, or by the relation whose rows it takes plus `_violations`.
//!
//! Not here: which rows go there (`expectation`, `ingot_source`).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::TableReference;
use datafusion::logical_expr::LogicalPlan;
use ingot_delta::Strategy;
use ingot_dialect::ast::Policy;
use ingot_model::{Column, Definition, TableName};

use super::query::scan;
use crate::project::{DecodeErrorPolicy, Model, ModelKind};

/// What a side table takes from the table that owns it.
pub(crate) struct Owner<'a> {
    pub name: &'a TableName,
    /// What the names of both stand on in comments.
    pub shown: &'a str,
    pub file: &'a str,
    pub sql: &'a str,
}

fn definition(schema: &Schema, comment: String) -> Definition {
    Definition {
        columns: schema
            .fields()
            .iter()
            .map(|f| Column {
                name: f.name().clone(),
                data_type: f.data_type().clone(),
                nullable: f.is_nullable(),
                comment: None,
            })
            .collect(),
        state_columns: Vec::new(),
        partition: Vec::new(),
        sort: Vec::new(),
        properties: BTreeMap::from([("comment".to_owned(), comment)]),
    }
}

/// How a side table's rows come about.
pub(crate) struct Rows {
    pub plan: LogicalPlan,
    pub strategy: Strategy,
    pub inputs: Vec<TableName>,
}

/// The model of a side table.
pub(crate) fn model(
    name: TableName,
    kind: ModelKind,
    schema: SchemaRef,
    rows: Rows,
    fingerprint: String,
    owner: &Owner<'_>,
) -> Model {
    let Rows { plan, strategy, inputs } = rows;
    let comment = match &kind {
        ModelKind::DecodeErrors { .. } => format!("messages of {} that do not decode", owner.shown),
        _ => format!("rows that break expectations of {}", owner.shown),
    };
    let mut definition = definition(&schema, comment.clone());
    definition.state_columns = strategy.state_columns();
    Model {
        name,
        kind,
        definition,
        schema,
        plan,
        checked: Vec::new(),
        strategy,
        policy: Policy::Auto,
        fingerprint,
        inputs,
        primary_key: Vec::new(),
        comment: Some(comment),
        tags: BTreeMap::new(),
        on_decode_error: DecodeErrorPolicy::Fail,
        kept: Vec::new(),
        sides: Vec::new(),
        judging: Err("it has no expectations".into()),
        file: owner.file.to_owned(),
        sql: owner.sql.to_owned(),
    }
}

/// The plan of a decode-error table: a scan of `<source>$errors`.
///
/// # Errors
/// DataFusion's, if it cannot build a scan of this fixed schema.
pub(crate) fn decode_errors(source: &str) -> datafusion::common::Result<LogicalPlan> {
    scan(TableReference::bare(format!("{source}$errors")), ingot_source::error_schema())
}

/// The schema of a quarantine table over a relation's stored columns.
pub(crate) fn quarantine_schema(columns: &[Field]) -> SchemaRef {
    let violations = Field::new(super::expectation::VIOLATIONS, super::conditions::violations_type(), true);
    Arc::new(Schema::new(columns.iter().cloned().chain([violations]).collect::<Vec<_>>()))
}
