//! Tables that other engines write, as the declarations of a project read them.
//!
//! Invariants
//! * Nothing here is written: an external table belongs to whoever writes it, another project too.
//! * Snapshots of others are its normal life; a rewrite of files moves nothing that a view could see.
//! * One that is missing, or is not as declared, bars the tables that read it and no others.
//!
//! Not here: what fits a declaration (`ingot_lake`), the declaration (`ingot_project`).

use ingot_lake::{LakeError, Table};
use ingot_model::TableName;
use ingot_project::project::Model;

use crate::engine::{Engine, Stored};
use crate::error::{PipelineError, Result};
use crate::plan::{MISFIT, MISSING};
use crate::planner::TableFacts;
use crate::refresh::bases;

impl Engine {
    /// Whether another engine writes a table.
    pub(crate) fn is_external(&self, name: &TableName) -> bool {
        self.project().externals.contains_key(name)
    }

    /// The table in the columns that models read: of an external one those that are declared.
    ///
    /// # Errors
    /// L0136 where it does not have them.
    pub(crate) fn as_declared(&self, table: Table) -> Result<Table> {
        let Some(declared) = self.project().externals.get(table.name()) else { return Ok(table) };
        table.declared(&declared.schema).map_err(|misfits| {
            let all: Vec<String> = misfits.iter().map(ToString::to_string).collect();
            let (name, file) = (&declared.name, &declared.file);
            PipelineError::stopped(
                MISFIT,
                format!("external table \"{name}\" is not as declared in {file}: {}", all.join("; ")),
            )
            .with_hint(format!("declare what is stored: `ingot infer {name}` prints it"))
        })
    }

    /// What became of loading a table.
    pub(crate) fn take_in(&self, stored: &mut Stored, name: &TableName, loaded: Result<Option<Table>, LakeError>) {
        let table = match loaded {
            Ok(Some(table)) => self.as_declared(table),
            Ok(None) if self.is_external(name) => Err(self.missing(name)),
            Ok(None) => return,
            Err(error) => Err(error.into()),
        };
        match table {
            Ok(table) => drop(stored.tables.insert(name.clone(), table)),
            Err(error) => drop(stored.unreadable.insert(name.clone(), error)),
        }
    }

    /// Whether all that a table reads can be read: before what it holds is dropped to be read again.
    ///
    /// # Errors
    /// The first that cannot be.
    pub(crate) async fn check_inputs(&self, model: &Model) -> Result<()> {
        let mut stored = self.stored(&|name| *name == model.name).await?;
        for input in &model.inputs {
            match stored.unreadable.remove(input) {
                Some(error) => return Err(error),
                None if !stored.tables.contains_key(input) => return Err(self.absent_input(&model.name, input)),
                None => {}
            }
        }
        Ok(())
    }

    /// The error for an external table that does not exist.
    fn missing(&self, name: &TableName) -> PipelineError {
        let file = self.project().externals.get(name).map_or("", |e| e.file.as_str());
        PipelineError::Stopped {
            code: MISSING,
            message: format!("external table \"{name}\", declared in {file}, does not exist"),
            hint: Some("another engine makes it; check its name and catalog.uri".to_owned()),
            retryable: true,
        }
    }

    /// The error for an input that does not exist.
    pub(crate) fn absent_input(&self, reader: &TableName, input: &TableName) -> PipelineError {
        if self.is_external(input) {
            return self.missing(input);
        }
        let text = format!("\"{reader}\" reads \"{input}\", which does not exist yet");
        PipelineError::Stopped { code: "R0303", message: text, hint: None, retryable: true }
    }

    /// The newest snapshot at or below `to` that may have changed rows of a table that is based on no other.
    ///
    /// # Errors
    /// Counts of our own that do not parse. Those of others are not relied on.
    pub(crate) fn last_change(&self, table: &Table, to: i64) -> Result<i64> {
        if !self.is_external(table.name()) {
            return bases::last_with_rows(table, to);
        }
        let mut at = to;
        while let Some(snapshot) = table.snapshot(at).filter(|s| s.operation.is_rewrite()) {
            match snapshot.parent.filter(|parent| table.snapshot(*parent).is_some()) {
                Some(parent) => at = parent,
                None => break,
            }
        }
        Ok(at)
    }

    /// What planning needs to know of a table, if it is an external one.
    pub(crate) fn external_facts(&self, table: &Table) -> Option<TableFacts> {
        self.is_external(table.name()).then(|| TableFacts {
            uuid: table.uuid().to_string(),
            head: table.head(),
            snapshots: table.metadata().snapshots().map(|s| s.snapshot_id()).collect(),
            same_rows: table.same_rows().collect(),
            external: true,
            ..TableFacts::default()
        })
    }
}
