//! A table made in one step, with its first rows or without any.
//!
//! ```text
//!   draft() ──▶ Writer ──▶ create_with(): manifests ─▶ list ─▶ updates of nothing ─▶ catalog
//! ```
//!
//! Invariants
//! * A table is in the catalog with its first snapshot or not at all: no reader sees it empty.
//! * A draft is in memory alone. Files written for it are in no table until `create_with`.
//!
//! Not here: changing a table that is there (`attempts`).

use std::sync::Arc;
use std::time::Instant;

use iceberg::TableUpdate;
use iceberg::spec::{DataFile, Schema, TableMetadata};
use ingot_model::{Definition, TableName};
use ingot_telemetry::outcome;
use uuid::Uuid;

use crate::catalog::version::Outcome;
use crate::commit::added::Added;
use crate::commit::manifest::Removal;
use crate::commit::prepare::{Prepared, remove_quietly};
use crate::commit::request::{Commit, CommitError};
use crate::crash;
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::table::Table;
use crate::table::definition::{NewTable, fresh};

impl Lake {
    /// A table that is nowhere yet: files are written for it as for any other.
    ///
    /// # Errors
    /// A definition that Iceberg does not take.
    pub fn draft(&self, name: &TableName, definition: &Definition) -> Result<Table> {
        let builder = fresh(definition, self.table_location(name)?)?.set_properties(self.owned())?;
        Table::new(self.clone(), name.clone(), Arc::new(builder.build()?.metadata), String::new())
    }

    /// Creates a table without rows; with a first, empty snapshot if it is given a summary.
    ///
    /// # Errors
    /// `TableExists`; a definition that Iceberg does not take; the store's and the catalog's.
    pub async fn create_table(&self, new: NewTable) -> Result<Table> {
        let NewTable { name, definition, first_summary } = new;
        let draft = self.draft(&name, &definition)?;
        let Some(summary) = first_summary else {
            self.refuse_taken(&name).await?;
            let updates = updates_of(draft.metadata());
            return self.create_as(draft, updates, &[]).await;
        };
        let commit_id = summary.commit_id().and_then(|id| Uuid::parse_str(id).ok()).unwrap_or_default();
        self.make(&draft, Commit { commit_id, summary, begins: true, ..Commit::default() }).await
    }

    /// Makes a draft a table, with a commit as its first snapshot.
    ///
    /// # Errors
    /// `TableExists`: certainly not made, and the commit's files are in no table. Any other error may hide that it was
    /// made, and its files must be kept.
    pub async fn create_with(&self, draft: &Table, commit: Commit) -> Result<Table> {
        let (began, added) = (Instant::now(), Added::by(&commit));
        let made = self.make(draft, commit).await;
        added.note(draft.name(), outcome(&made), began);
        made
    }

    async fn make(&self, draft: &Table, mut commit: Commit) -> Result<Table> {
        if commit.commit_id.is_nil() {
            commit.commit_id = Uuid::new_v4();
        }
        self.refuse_taken(draft.name()).await?;
        let prepared = match Prepared::over(self, draft, &commit, &Removal::default()).await {
            Ok(prepared) => prepared,
            Err(CommitError::Failed(error)) => return Err(error),
            // A draft has no files that could have gone.
            Err(other) => return Err(LakeError::Corrupt(other.to_string())),
        };
        let updates = updates_of(draft.metadata()).into_iter().chain(prepared.updates).collect();
        let table = self.create_as(prepared.table, updates, &prepared.manifests).await?;
        crash::point("commit.done", table.name());
        Ok(table)
    }

    async fn refuse_taken(&self, name: &TableName) -> Result<()> {
        match self.0.catalog.location(name).await? {
            Some(_) => Err(LakeError::TableExists(name.clone())),
            None => Ok(()),
        }
    }

    /// Has the catalog make a table; `manifests` go when it certainly did not.
    async fn create_as(&self, table: Table, updates: Vec<TableUpdate>, manifests: &[String]) -> Result<Table> {
        match self.0.catalog.create(table.name(), updates).await {
            Ok(Outcome::Done(version)) => Ok(table.at(version)),
            Ok(Outcome::Conflict) => {
                remove_quietly(self, manifests).await;
                Err(LakeError::TableExists(table.name().clone()))
            }
            Ok(Outcome::Unknown { error, .. }) => Err(error),
            Err(error) => {
                remove_quietly(self, manifests).await;
                Err(error)
            }
        }
    }

    /// Deletes data files that no commit was ever asked to hold, or that certainly none holds.
    pub async fn delete_unused(&self, files: &[DataFile]) {
        for file in files {
            if let Err(error) = self.0.store.delete(file.file_path()).await {
                tracing::warn!(path = file.file_path(), %error, "unused data file not deleted");
            }
        }
    }
}

/// The updates that make a new table of nothing.
fn updates_of(metadata: &TableMetadata) -> Vec<TableUpdate> {
    let mut schemas: Vec<&Schema> = metadata.schemas_iter().map(|schema| schema.as_ref()).collect();
    schemas.sort_by_key(|schema| schema.schema_id());
    let mut updates = vec![
        TableUpdate::AssignUuid { uuid: metadata.uuid() },
        TableUpdate::UpgradeFormatVersion { format_version: metadata.format_version() },
        TableUpdate::SetLocation { location: metadata.location().to_owned() },
    ];
    updates.extend(schemas.into_iter().map(|schema| TableUpdate::AddSchema { schema: schema.clone() }));
    updates.extend([
        TableUpdate::SetCurrentSchema { schema_id: metadata.current_schema_id() },
        TableUpdate::AddSpec { spec: metadata.default_partition_spec().as_ref().clone().into_unbound() },
        TableUpdate::SetDefaultSpec { spec_id: metadata.default_partition_spec_id() },
        TableUpdate::AddSortOrder { sort_order: metadata.default_sort_order().as_ref().clone() },
        TableUpdate::SetDefaultSortOrder { sort_order_id: metadata.default_sort_order_id() },
        TableUpdate::SetProperties { updates: metadata.properties().clone() },
    ]);
    updates
}
