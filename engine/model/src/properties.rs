//! Properties by name, and the error for one that does not parse.
//!
//! Not here: the names (`property`), what they hold (`record`, `history`, `table_properties`).

use std::collections::HashMap;

use crate::name::TableName;
use crate::property;

/// Properties by name, wherever they are kept.
pub trait Properties: Send + Sync {
    /// The value of a property; none if it is not there.
    fn get(&self, name: &str) -> Option<&str>;
}

impl Properties for HashMap<String, String> {
    fn get(&self, name: &str) -> Option<&str> {
        HashMap::get(self, name).map(String::as_str)
    }
}

/// What a snapshot or a table property records, and that does not parse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("table \"{table}\", {place}: {property} is not readable: {reason}")]
pub struct Unreadable {
    /// The table.
    pub table: TableName,
    /// The snapshot, or the properties.
    pub place: String,
    /// The property's name.
    pub property: String,
    /// The parser's complaint.
    pub reason: String,
}

impl Unreadable {
    /// Kafka positions that do not parse.
    pub fn positions(table: TableName, place: String, reason: String) -> Self {
        Unreadable { table, place, property: property::POSITIONS.to_owned(), reason }
    }
}

/// A property as a value, or the error that names where it should have been.
pub(crate) fn read<T, E: ToString>(
    table: &TableName,
    place: impl Fn() -> String,
    properties: &dyn Properties,
    name: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<T>, Unreadable> {
    let parsed = properties.get(name).map(parse).transpose();
    parsed.map_err(|error| Unreadable {
        table: table.clone(),
        place: place(),
        property: name.to_owned(),
        reason: error.to_string(),
    })
}
