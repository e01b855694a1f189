//! What a new definition would do to a table.
//!
//! Invariants
//! * Pure: reads metadata, changes nothing.
//!
//! Not here: the ids of a definition's columns (`definition`), making the change (`commit`).

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use iceberg::spec::{NestedFieldRef, TableMetadata};
use ingot_model::file_settings;
use ingot_model::{Definition, TableProperties};

use crate::error::Result;
use crate::table::definition::{known_columns, partitions, resolve, resolve_definition};
use crate::table::{Table, left_out_ids, schema};

impl Table {
    /// The columns that would be left out once a definition applies, rows kept.
    ///
    /// # Errors
    /// A definition that Iceberg does not take.
    pub fn left_out_by(&self, definition: &Definition) -> Result<Vec<String>> {
        let then = resolve(self, definition, false)?.metadata;
        let ids = left_out_ids(self.name(), &then)?;
        let fields = then.current_schema().as_struct().fields().iter();
        Ok(fields.filter(|f| ids.contains(&f.id)).map(|f| f.name.clone()).collect())
    }

    /// A partition of the table that some file may be in and that needs a column, by its name.
    pub fn partitioned_by(&self, column: &str) -> Option<String> {
        let id = self.metadata().current_schema().as_struct().field_by_name(column)?.id;
        partitions(self.metadata(), id)
    }

    /// A column that a definition would give another field id, so that stored rows would read NULL in it.
    ///
    /// # Errors
    /// A definition that Iceberg does not take.
    pub fn redefined_by(&self, definition: &Definition) -> Result<Option<String>> {
        let resolved = resolve_definition(self, definition)?;
        let known = known_columns(self.metadata());
        let moved = |f: &&NestedFieldRef| known.get(&f.name).is_some_and(|was| was.id != f.id);
        Ok(resolved.schema().as_struct().fields().iter().find(moved).map(|f| f.name.clone()))
    }

    /// The columns that keep their values under a definition with the same names, and their types.
    ///
    /// # Errors
    /// A type that Arrow does not hold.
    pub fn known_types(&self) -> Result<BTreeMap<String, DataType>> {
        let known = known_columns(self.metadata());
        known.into_iter().map(|(name, field)| Ok((name, schema::to_arrow(&field.field_type)?))).collect()
    }

    /// Whether a definition lays new files out differently: columns, partitions, sort order or properties.
    ///
    /// # Errors
    /// A definition that Iceberg does not take.
    pub fn layout_differs(&self, definition: &Definition) -> Result<bool> {
        let now = self.metadata();
        // With rows in it: a NOT NULL that only the writer enforces is no difference.
        let then = resolve(self, definition, false)?.metadata;
        let stored = definition.properties.iter().filter(|(k, _)| file_settings::is_stored(k));
        let set = stored.into_iter().any(|(k, v)| now.properties().get(k) != Some(v));
        let ours = |of| TableProperties::new(self.name(), TableMetadata::properties(of)).layout();
        Ok(set
            || ours(&then) != ours(now)
            || then.format_version() != now.format_version()
            || then.current_schema_id() != now.current_schema_id()
            || then.default_partition_spec_id() != now.default_partition_spec_id()
            || then.default_sort_order_id() != now.default_sort_order_id())
    }
}
