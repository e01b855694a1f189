//! What the properties of a table record.
//!
//! Not here: properties that only set how files are written (`ingot-lake`).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::name::TableName;
use crate::position::{FlowPositions, RecordedPositions, parse_recorded, print_recorded};
use crate::properties::{Unreadable, read};
use crate::property;

/// The start of a streaming table: made, or emptied to be read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Beginning {
    /// The snapshot that began it. It may be expired.
    pub snapshot_id: i64,
    /// That snapshot's sequence number.
    pub sequence_number: i64,
    /// The definitions that made rows since.
    #[serde(default)]
    pub fingerprints: BTreeSet<String>,
    /// Where reading began: the ends of these ranges, which hold nothing.
    pub positions: FlowPositions,
}

/// A table's properties, read as what they record.
#[derive(Clone, Copy, Debug)]
pub struct TableProperties<'a> {
    table: &'a TableName,
    properties: &'a HashMap<String, String>,
}

impl<'a> TableProperties<'a> {
    /// The properties of a table.
    pub fn new(table: &'a TableName, properties: &'a HashMap<String, String>) -> Self {
        TableProperties { table, properties }
    }

    /// The project that writes the table; none if it has no owner.
    pub fn project(self) -> Option<&'a str> {
        self.properties.get(property::PROJECT).map(String::as_str)
    }

    /// Whether a project of ours has written to the table, as far as its properties tell.
    pub fn are_ours(self) -> bool {
        [property::PROJECT, property::POSITIONS].iter().any(|name| self.properties.contains_key(*name))
    }

    /// The columns of the primary key, which nothing enforces; empty if there is none.
    ///
    /// # Errors
    /// A property that does not parse.
    pub fn primary_key(self) -> Result<Vec<String>, Unreadable> {
        self.json(property::PRIMARY_KEY)
    }

    /// The columns that keep the type they are stored with, and the types that their query has by the rules of the version
    /// that kept them.
    ///
    /// # Errors
    /// A property that does not parse.
    pub fn kept_types(self) -> Result<BTreeMap<String, String>, Unreadable> {
        self.json(property::KEPT_TYPES)
    }

    /// The ids of the columns that the definition has no more and whose values are kept.
    ///
    /// # Errors
    /// A property that does not parse.
    pub fn left_out(self) -> Result<HashSet<i32>, Unreadable> {
        self.json(property::LEFT_OUT_COLUMNS)
    }

    /// The hidden columns, in the form in which the table format writes fields.
    ///
    /// # Errors
    /// A property that does not parse.
    pub fn state_columns<F: DeserializeOwned>(self) -> Result<Vec<F>, Unreadable> {
        self.json(property::STATE_COLUMNS)
    }

    /// The full position vectors of the flows that feed the table.
    ///
    /// # Errors
    /// A property that does not parse.
    pub fn positions(self) -> Result<Vec<RecordedPositions>, Unreadable> {
        Ok(self.read(property::POSITIONS, parse_recorded)?.unwrap_or_default())
    }

    /// Where the table began, oldest first.
    ///
    /// # Errors
    /// A property that does not parse.
    pub fn beginnings(self) -> Result<Vec<Beginning>, Unreadable> {
        self.json(property::BEGAN_AT)
    }

    /// The definitions that a streaming table over another table was made by; none if that is not recorded.
    ///
    /// # Errors
    /// A property that does not parse.
    pub fn made_by(self) -> Result<Option<BTreeSet<String>>, Unreadable> {
        self.read(property::MADE_BY, |text| serde_json::from_str(text))
    }

    /// How many rows were erased since the table began.
    ///
    /// # Errors
    /// A property that does not parse.
    pub fn erased(self) -> Result<u64, Unreadable> {
        self.json(property::ERASED)
    }

    /// Files that nothing names and that are to be deleted.
    ///
    /// # Errors
    /// A property that does not parse.
    pub fn to_delete(self) -> Result<HashSet<String>, Unreadable> {
        self.json(property::TO_DELETE)
    }

    /// What of ours decides how new files are laid out, as it is stored: the columns left out, and the kept types.
    pub fn layout(self) -> [Option<&'a str>; 2] {
        [property::LEFT_OUT_COLUMNS, property::KEPT_TYPES].map(|name| self.properties.get(name).map(String::as_str))
    }

    fn json<T: DeserializeOwned + Default>(self, name: &str) -> Result<T, Unreadable> {
        Ok(self.read(name, |text| serde_json::from_str(text))?.unwrap_or_default())
    }

    fn read<T>(
        self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, serde_json::Error>,
    ) -> Result<Option<T>, Unreadable> {
        read(self.table, || "its properties".to_owned(), self.properties, name, parse)
    }
}

/// Properties of a table to set, and the names of those to take out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PropertyChanges {
    /// Values by name.
    pub set: HashMap<String, String>,
    /// Names; none of them is set.
    pub remove: Vec<String>,
}

impl PropertyChanges {
    /// Records the hidden columns, in the form in which the table format writes fields.
    ///
    /// # Errors
    /// What serde_json cannot print.
    pub fn state_columns<F: Serialize>(&mut self, fields: &[F]) -> Result<(), serde_json::Error> {
        self.list(property::STATE_COLUMNS, fields)
    }

    /// Records the ids of the columns that the definition has no more and whose values are kept.
    ///
    /// # Errors
    /// What serde_json cannot print.
    pub fn left_out(&mut self, ids: &[i32]) -> Result<(), serde_json::Error> {
        self.list(property::LEFT_OUT_COLUMNS, ids)
    }

    /// Takes the kept types out, unless a definition's properties hold some.
    pub fn kept_types(&mut self, defined: &BTreeMap<String, String>) {
        if !defined.contains_key(property::KEPT_TYPES) {
            self.remove.push(property::KEPT_TYPES.to_owned());
        }
    }

    /// Sets a list; an empty one is taken out.
    fn list<T: Serialize>(&mut self, name: &str, values: &[T]) -> Result<(), serde_json::Error> {
        if values.is_empty() {
            self.remove.push(name.to_owned());
        } else {
            self.set.insert(name.to_owned(), serde_json::to_string(values)?);
        }
        Ok(())
    }
}

/// Names the project that writes the table.
pub fn set_project(properties: &mut HashMap<String, String>, project: &str) {
    properties.insert(property::PROJECT.to_owned(), project.to_owned());
}

/// Records the full position vectors of the flows that feed the table.
///
/// # Errors
/// What serde_json cannot print.
pub fn set_positions(
    properties: &mut HashMap<String, String>,
    vectors: &[RecordedPositions],
) -> Result<(), serde_json::Error> {
    properties.insert(property::POSITIONS.to_owned(), print_recorded(vectors)?);
    Ok(())
}

/// The property that records which definitions a table was made by.
///
/// # Errors
/// What serde_json cannot print.
pub fn made_by(fingerprints: &BTreeSet<String>) -> Result<(String, String), serde_json::Error> {
    Ok((property::MADE_BY.to_owned(), serde_json::to_string(fingerprints)?))
}

/// The property that says how many rows were erased since the table began.
pub fn erased(rows: u64) -> (String, String) {
    (property::ERASED.to_owned(), rows.to_string())
}

/// The property that names files which nothing names and which are to be deleted.
///
/// # Errors
/// What serde_json cannot print.
pub fn to_delete(files: &HashSet<String>) -> Result<(String, String), serde_json::Error> {
    let files: BTreeSet<&String> = files.iter().collect();
    Ok((property::TO_DELETE.to_owned(), serde_json::to_string(&files)?))
}

/// Records where the table began, oldest first.
///
/// # Errors
/// What serde_json cannot print.
pub fn set_beginnings(
    properties: &mut HashMap<String, String>,
    beginnings: &[Beginning],
) -> Result<(), serde_json::Error> {
    properties.insert(property::BEGAN_AT.to_owned(), serde_json::to_string(beginnings)?);
    Ok(())
}
