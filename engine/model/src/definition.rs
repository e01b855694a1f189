//! What a table is declared to be.
//!
//! Not here: field ids and Iceberg's forms of it (`ingot-lake`).

use std::collections::BTreeMap;

use arrow::datatypes::DataType;

use crate::property;

/// How a column's value becomes a partition value. Iceberg's transforms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transform {
    /// The value itself.
    Identity,
    /// Years since 1970.
    Year,
    /// Months since 1970.
    Month,
    /// Days since 1970.
    Day,
    /// Hours since 1970.
    Hour,
    /// A hash of the value, modulo.
    Bucket(u32),
    /// The value cut to a width.
    Truncate(u32),
}

/// A public column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its Arrow type.
    pub data_type: DataType,
    /// Whether it may hold NULL.
    pub nullable: bool,
    /// What it means, for people.
    pub comment: Option<String>,
}

/// One partition field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionBy {
    /// The column's name.
    pub column: String,
    /// What is done to its value.
    pub transform: Transform,
}

/// One sort key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortBy {
    /// The column's name.
    pub column: String,
    /// Largest first.
    pub descending: bool,
    /// NULLs before the others.
    pub nulls_first: bool,
}

/// A table's definition.
///
/// ```
/// use arrow::datatypes::DataType;
/// use ingot_model::{Column, Definition};
///
/// let id = Column { name: "id".into(), data_type: DataType::Int64, nullable: false, comment: None };
/// let mut definition = Definition { columns: vec![id], ..Definition::default() };
/// definition.set_primary_key(&["id".into()]);
/// assert_eq!(definition.properties["ingot.primary-key"], r#"["id"]"#);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definition {
    /// The public columns, in order.
    pub columns: Vec<Column>,
    /// The hidden columns, in order: name and type.
    pub state_columns: Vec<(String, DataType)>,
    /// How rows are spread over files.
    pub partition: Vec<PartitionBy>,
    /// How rows are sorted within a file.
    pub sort: Vec<SortBy>,
    /// Table properties.
    pub properties: BTreeMap<String, String>,
}

impl Definition {
    /// Declares the columns of the primary key, which nothing enforces; none takes nothing back.
    pub fn set_primary_key(&mut self, columns: &[String]) {
        if !columns.is_empty() {
            self.properties.insert(property::PRIMARY_KEY.to_owned(), serde_json::Value::from(columns).to_string());
        }
    }

    /// Says which columns keep the type they are stored with, and the types that their query has.
    pub fn set_kept_types(&mut self, columns: &BTreeMap<String, String>) {
        if !columns.is_empty() {
            let object: serde_json::Map<_, _> = columns.iter().map(|(c, t)| (c.clone(), t.as_str().into())).collect();
            self.properties.insert(property::KEPT_TYPES.to_owned(), serde_json::Value::Object(object).to_string());
        }
    }
}
