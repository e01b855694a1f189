//! The stored types of streaming tables that an earlier version of SQL's meaning gave.
//!
//!   checked project ──▶ types of its streaming tables in the lake ──▶ checked once more over them, where they differ
//!
//! Invariants
//! * A streaming table keeps its rows, so where nothing but the rules changed since a column was stored its result is cast
//!   to the stored type: in its plan, in its schema, and so for everything that reads it.
//! * That only the rules changed is known, never guessed: what is checked, with the stored types and the rules of an
//!   earlier version, has the fingerprint that the table records. Once kept, a property of the table names the column and
//!   the type its query has; an edit that gives the column yet another type is an edit.
//!
//! Not here: the decision itself for one table (`check::kept`), what is recorded (`ingot_model::TableProperties`).

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use ingot_lake::schema::stored_alike;
use ingot_lake::{Lake, Table};
use ingot_model::TableName;

use crate::error::{PipelineError, Result};
use crate::ingest::facts;
use ingot_project::project::{Model, Project};
use ingot_project::stored::{Stored, StoredTypes};
use ingot_project::{check, config::Config};

/// The types of a stored table.
///
/// # Errors
/// What it records of them does not parse.
pub(crate) fn stored_types(table: &Table) -> Result<StoredTypes> {
    let fingerprint = facts::fingerprint(table);
    Ok(StoredTypes {
        columns: table.known_types()?,
        alike: stored_alike,
        fingerprint,
        kept: table.recorded().kept_types()?,
    })
}

/// Whether a model's query gives some column another type than the stored one.
fn differ(types: &StoredTypes, model: &Model) -> bool {
    let other = |name: &String, given: &DataType| types.columns.get(name).is_some_and(|t| !(types.alike)(t, given));
    model.schema.fields().iter().any(|f| other(f.name(), f.data_type()))
}

/// A project whose streaming tables have the types that they are stored with, where they keep them; `wanted` are the
/// tables that are asked.
///
/// # Errors
/// The catalog's; a project that cannot be checked with those types.
pub(crate) async fn settled(
    lake: &Lake,
    project: Arc<Project>,
    config: &Config,
    wanted: &(dyn Fn(&TableName) -> bool + Sync),
) -> Result<Arc<Project>> {
    let streaming: Vec<TableName> =
        project.tables.values().filter(|m| m.is_streaming() && wanted(&m.name)).map(|m| m.name.clone()).collect();
    if streaming.is_empty() || lake.present().is_err() {
        return Ok(project);
    }
    let mut stored = Stored::new();
    for (name, loaded) in streaming.iter().zip(lake.load_tables(&streaming).await?) {
        // What cannot be read is that table's failure, and said where it is worked on.
        if let Ok(Some(types)) = loaded.map(|t| t.map(|t| stored_types(&t)).transpose()).unwrap_or(Ok(None)) {
            stored.insert(name.clone(), types);
        }
    }
    let changed =
        |(name, types): (&TableName, &StoredTypes)| project.tables.get(name).is_some_and(|m| differ(types, m));
    if !stored.iter().any(changed) {
        return Ok(project);
    }
    let checked = check::check_over(&project, config, &stored);
    let error = checked.diagnostics.iter().find(|d| d.is_error());
    match (checked.project, error) {
        (Some(project), _) => Ok(Arc::new(project)),
        (None, Some(d)) => {
            let place = d.file.as_deref().map(|f| format!("{f}: ")).unwrap_or_default();
            let text = format!("{place}with the types that streaming tables are stored with: {}", d.message);
            let stopped = PipelineError::stopped(d.code, text);
            Err(match d.helps.first() {
                Some(help) => stopped.with_hint(help.clone()),
                None => stopped,
            })
        }
        (None, None) => Ok(project),
    }
}
