//! A table and its first rows, made in one step.
//!
//! ```text
//!   draft() ──▶ Writer ──▶ create_with(): manifests ─▶ list ─▶ metadata file ─▶ one insert into the catalog
//! ```
//!
//! Invariants
//! * A table is in the catalog with its first snapshot or not at all: nobody reads it as an empty one.
//! * A draft is in memory alone. Files written for it are in no table until `create_with`.
//!
//! Not here: tables that begin empty (`commit::create`).

use std::sync::Arc;
use std::time::Instant;

use iceberg::spec::DataFile;
use ingot_model::{Definition, TableName};
use ingot_telemetry::outcome;
use uuid::Uuid;

use super::added::Added;
use super::{Attempt, Change};
use crate::commit::manifest::Removal;
use crate::crash;
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::table::Table;
use crate::table::definition::fresh;

impl Lake {
    /// A table that is nowhere yet: files are written for it as for any other.
    ///
    /// # Errors
    /// A definition that Iceberg does not take.
    pub fn draft(&self, name: &TableName, definition: &Definition) -> Result<Table> {
        let builder = fresh(definition, self.table_location(name)?)?.set_properties(self.owned())?;
        Table::new(self.clone(), name.clone(), Arc::new(builder.build()?.metadata), String::new())
    }

    /// Makes a draft a table, with a change as its first snapshot.
    ///
    /// # Errors
    /// `TableExists`: certainly not made, and the change's files are in no table. Any other error may hide that it was
    /// made, and its files must be kept.
    pub async fn create_with(&self, draft: &Table, change: Change) -> Result<Table> {
        let (began, added) = (Instant::now(), Added::by(&change));
        let made = self.make(draft, change).await;
        added.note(draft.name(), outcome(&made), began);
        made
    }

    async fn make(&self, draft: &Table, mut change: Change) -> Result<Table> {
        if change.commit_id.is_nil() {
            change.commit_id = Uuid::new_v4();
        }
        let name = draft.name();
        if self.0.catalog.location(name).await?.is_some() {
            return Err(LakeError::TableExists(name.clone()));
        }
        crash::point("create.before_metadata", name);
        let attempt = match Attempt::prepare(self, draft, &change, &Removal::default()).await {
            Ok(attempt) => attempt,
            Err(super::CommitError::Failed(error)) => return Err(error),
            // A draft has no files that could have gone.
            Err(other) => return Err(LakeError::Corrupt(other.to_string())),
        };
        crash::point("create.before_swap", name);
        if let Err(error) = self.0.catalog.create(name, &attempt.location).await {
            // The answer may be lost and the row there, or come back when SQLite recovers.
            match self.0.catalog.location(name).await {
                Ok(Some(found)) if found == attempt.location => {}
                _ => {
                    if matches!(error, LakeError::TableExists(_)) {
                        attempt.discard(self).await;
                    }
                    return Err(error);
                }
            }
        }
        crash::point("create.after_swap", name);
        Ok(attempt.done(self).await)
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
