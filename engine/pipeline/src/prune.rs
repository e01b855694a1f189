//! Drops the columns that streaming tables have left out, when asked to.
//!
//! Invariants
//! * Only columns that an applied definition has left out are dropped: an edit that no run has applied drops nothing.
//! * A column that files may be partitioned by stays: other engines could not read the table without it.

use ingot_lake::{Commit, Rebase, Table};
use ingot_model::{Operation, Record, TableName};

use crate::engine::Engine;
use crate::error::{PipelineError, Result};

/// A column that can be dropped, or why it cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prunable {
    pub table: TableName,
    pub column: String,
    /// What keeps it.
    pub kept: Option<String>,
}

impl Engine {
    /// The columns of the selected tables that their definitions have left out.
    ///
    /// # Errors
    /// Lake errors.
    pub async fn prunable(&self, selected: &(dyn Fn(&TableName) -> bool + Sync)) -> Result<Vec<Prunable>> {
        let tables = self.tables().await?;
        let mut found = vec![];
        for (name, table) in tables.iter().filter(|(name, _)| selected(name)) {
            let model = self.project().tables.get(name);
            for column in table.left_out() {
                let returns = model.is_some_and(|m| m.schema.field_with_name(&column).is_ok());
                let kept = if returns {
                    Some("its SELECT has it again; run applies it".to_owned())
                } else {
                    table.partitioned_by(&column).map(|field| format!("older files are partitioned by \"{field}\""))
                };
                found.push(Prunable { table: name.clone(), column, kept });
            }
        }
        Ok(found)
    }

    /// Drops left out columns of one table, in one commit without rows.
    ///
    /// # Errors
    /// Lake errors; `Superseded` when another writer was first.
    pub async fn prune(&self, name: &TableName, columns: &[String]) -> Result<()> {
        let table = self.lake().load_table(name).await?;
        let table = table.ok_or_else(|| PipelineError::Lake(ingot_lake::LakeError::TableMissing(name.clone())))?;
        let gone = format!("pruned: {}", columns.join(", "));
        let commit = Commit {
            commit_id: uuid::Uuid::now_v7(),
            operation: Operation::Append,
            summary: Record::because(gone),
            prune: columns.to_vec(),
            ..Commit::default()
        };
        let guard = |_: &Table| Rebase::Abandon("it is being written to".into());
        self.lake().commit(&table, commit, &guard).await.map_err(|e| PipelineError::commit(name, e))?;
        Ok(())
    }
}
