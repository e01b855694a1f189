//! What stored streaming tables say of their columns' types.
//!
//! Not here: reading them (`ingot-pipeline`), what is made of them (`check::kept`).

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use ingot_model::TableName;

/// What a stored streaming table says of its columns.
#[derive(Debug, Clone)]
pub struct StoredTypes {
    pub columns: BTreeMap<String, DataType>,
    /// Whether two types are stored as the same one.
    pub alike: fn(&DataType, &DataType) -> bool,
    /// The definition that it was last written by.
    pub fingerprint: Option<String>,
    /// Columns that are kept, and the types that their query had when they were.
    pub kept: BTreeMap<String, String>,
}

/// Those of the streaming tables that exist.
pub type Stored = BTreeMap<TableName, StoredTypes>;
