//! Names of tables: a catalog, levels of a namespace, a table.
//!
//! Invariants
//! * The project's own catalog is not part of a name, so that one table has one name.
//! * The first part of a written name is a catalog if a catalog has that name. Where it could be a level of a namespace
//!   as well, the name is refused.
//!
//! Not here: how SQL writes names (`ingot-dialect`), which tables exist (`ingot-lake`).

use std::fmt;
use std::str::FromStr;

use datafusion::common::TableReference;
use serde::{Deserialize, Serialize};

/// A text or list of parts that names no table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotATableName {
    /// No namespace, or a part that is empty.
    #[error("\"{0}\" is not a table name: write namespace.table")]
    Malformed(String),
    /// The first part is the name of a catalog and of a namespace.
    #[error("\"{name}\" has two readings: \"{first}\" is a catalog and a namespace; write the catalog in front of it")]
    Ambiguous {
        /// The name as written.
        name: String,
        /// Its first part.
        first: String,
    },
}

/// The levels of a namespace, outermost first; at least one, none of them empty.
///
/// Its text joins them with dots, as Iceberg's JDBC catalogs store them: a level with a dot in it is two levels.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(String);

impl Namespace {
    /// The levels, outermost first.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// All levels, joined with dots.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq<&str> for Namespace {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl From<String> for Namespace {
    fn from(text: String) -> Self {
        Namespace(text)
    }
}

impl From<&str> for Namespace {
    fn from(text: &str) -> Self {
        Namespace(text.to_owned())
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a table.
///
/// ```
/// use ingot_model::TableName;
///
/// let name = TableName::new("silver", "trips");
/// assert_eq!(name.to_string(), "silver.trips");
/// assert_eq!("silver.trips".parse(), Ok(name));
/// assert!("trips".parse::<TableName>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TableName {
    /// A catalog other than the project's own.
    pub catalog: Option<String>,
    /// The namespace, `bronze` for example.
    pub namespace: Namespace,
    /// The name within the namespace.
    pub name: String,
}

impl TableName {
    /// A table of the project's own catalog.
    pub fn new(namespace: impl Into<Namespace>, name: impl Into<String>) -> Self {
        TableName { catalog: None, namespace: namespace.into(), name: name.into() }
    }

    /// The table that a plan scans under a reference with a schema; none without one.
    pub fn of(reference: &TableReference) -> Option<Self> {
        Some(TableName::new(reference.schema()?, reference.table()))
    }

    /// The reference under which plans scan the table.
    pub fn reference(&self) -> TableReference {
        TableReference::partial(self.namespace.as_str(), self.name.as_str())
    }

    /// What a written name may mean: a table of the catalog that its first part names, if one has that name, and where
    /// levels are left, a table of the project's own catalog whose namespace begins with that part. `own` is the name of
    /// the project's own catalog, `is_catalog` knows the others.
    ///
    /// # Errors
    /// `Malformed` without a namespace or with an empty part.
    pub fn readings(parts: &[String], own: &str, is_catalog: &dyn Fn(&str) -> bool) -> Result<Readings, NotATableName> {
        let malformed = || NotATableName::Malformed(parts.join("."));
        let [levels @ .., name] = parts else { return Err(malformed()) };
        if levels.is_empty() || parts.iter().any(String::is_empty) {
            return Err(malformed());
        }
        let plain = TableName::new(levels.join("."), name.clone());
        match levels {
            [first, rest @ ..] if !rest.is_empty() && (first == own || is_catalog(first)) => {
                let catalog = (first != own).then(|| first.clone());
                let of_catalog = TableName { catalog, namespace: Namespace(rest.join(".")), name: name.clone() };
                Ok(Readings { likely: of_catalog, other: Some(plain) })
            }
            _ => Ok(Readings { likely: plain, other: None }),
        }
    }
}

/// The one or two tables that a written name may mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readings {
    /// Of the catalog that the first part names; if there is none, the only reading.
    pub likely: TableName,
    /// Of the project's own catalog, the first part being a level of the namespace.
    pub other: Option<TableName>,
}

impl Readings {
    /// The reading that there is; the likely one if there is neither.
    ///
    /// # Errors
    /// `Ambiguous` if both exist.
    pub fn resolve(self, exists: impl Fn(&TableName) -> bool) -> Result<TableName, NotATableName> {
        match self.other.filter(|other| exists(other)) {
            Some(other) if exists(&self.likely) => {
                let first = other.namespace.levels().next().unwrap_or_default().to_owned();
                Err(NotATableName::Ambiguous { name: other.to_string(), first })
            }
            Some(other) => Ok(other),
            None => Ok(self.likely),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(catalog) = &self.catalog {
            write!(f, "{catalog}.")?;
        }
        write!(f, "{}.{}", self.namespace, self.name)
    }
}

impl From<TableName> for String {
    fn from(name: TableName) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for TableName {
    type Error = NotATableName;

    fn try_from(text: String) -> Result<Self, NotATableName> {
        text.parse()
    }
}

/// A name of the project's own catalog, `namespace.table`; the namespace may have levels.
impl FromStr for TableName {
    type Err = NotATableName;

    fn from_str(text: &str) -> Result<Self, NotATableName> {
        match text.rsplit_once('.') {
            Some((namespace, name)) if !name.is_empty() && namespace.split('.').all(|level| !level.is_empty()) => {
                Ok(TableName::new(namespace, name))
            }
            _ => Err(NotATableName::Malformed(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(text: &str) -> Result<Readings, NotATableName> {
        let parts: Vec<String> = text.split('.').map(str::to_owned).collect();
        TableName::readings(&parts, "ingot", &|name| name == "crm")
    }

    #[test]
    fn the_first_part_is_a_catalog_if_one_has_that_name() {
        let stats = TableName::new("gold", "stats");
        for text in ["gold.stats", "ingot.gold.stats"] {
            assert_eq!(readings(text).unwrap().resolve(|_| false).unwrap(), stats);
        }
        let people = TableName { catalog: Some("crm".into()), ..TableName::new("public", "people") };
        assert_eq!(readings("crm.public.people").unwrap().resolve(|_| false).unwrap(), people);
        assert_eq!(people.to_string(), "crm.public.people");
        // A namespace of the own catalog may be called as another catalog.
        assert_eq!(readings("crm.people").unwrap().resolve(|_| false).unwrap(), TableName::new("crm", "people"));
        assert_eq!(
            readings("a.b.t").unwrap().resolve(|_| false).unwrap().namespace.levels().collect::<Vec<_>>(),
            ["a", "b"]
        );
    }

    #[test]
    fn two_readings_are_an_error() {
        let nested = TableName::new("crm.public", "people");
        let both = readings("crm.public.people").unwrap();
        assert_eq!(both.clone().resolve(|name| *name == nested).unwrap(), nested);
        let refused = both.resolve(|_| true).unwrap_err();
        assert_eq!(refused, NotATableName::Ambiguous { name: "crm.public.people".into(), first: "crm".into() });
        // With the own catalog in front it has one.
        let full = readings("ingot.crm.public.people").unwrap();
        assert_eq!(full.resolve(|name| name.catalog.is_none() && *name == nested).unwrap(), nested);
    }

    #[test]
    fn a_name_needs_a_namespace_and_no_part_is_empty() {
        for text in ["stats", "", ".", "gold.", ".stats", "gold..stats"] {
            assert_eq!(text.parse::<TableName>(), Err(NotATableName::Malformed(text.into())));
            assert_eq!(readings(text), Err(NotATableName::Malformed(text.into())));
        }
        assert_eq!("a.b.t".parse::<TableName>().unwrap(), TableName::new("a.b", "t"));
    }
}
