//! Whose a table is: the project that writes it, in the table property `ingot.project`.
//!
//! Invariants
//! * A table has one owner, decided by the compare-and-set that sets the property; another project's commit is refused.
//! * A table without an owner, of an older version or of another engine, belongs to the first project that commits to it.
//!
//! Not here: who works at the moment (`lease`).

use std::collections::HashMap;

use ingot_model::table_properties;

use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::table::Table;

/// Refuses a table that belongs to another project than `project`.
///
/// # Errors
/// `OtherOwner`, if it does.
pub fn check(table: &Table, project: &str) -> Result<()> {
    match table.recorded().project() {
        Some(owner) if owner != project => Err(LakeError::OtherOwner {
            table: table.name().clone(),
            owner: owner.to_owned(),
            project: project.to_owned(),
        }),
        _ => Ok(()),
    }
}

impl Lake {
    /// The properties with which a commit makes a table its project's.
    ///
    /// # Errors
    /// `OtherOwner` when it is another project's.
    pub(crate) fn own(&self, table: &Table, set: &mut HashMap<String, String>) -> Result<()> {
        let Some(project) = &self.0.owner else { return Ok(()) };
        check(table, project)?;
        if table.recorded().project().is_none() {
            table_properties::set_project(set, project);
        }
        Ok(())
    }

    /// The properties of a new table that name its project.
    pub(crate) fn owned(&self) -> HashMap<String, String> {
        let mut properties = HashMap::new();
        if let Some(project) = &self.0.owner {
            table_properties::set_project(&mut properties, project);
        }
        properties
    }
}
