//! Which definitions a streaming table over another table was made by: its snapshots tell it only as long as they are kept,
//! so a property of it does.
//!
//! Invariants
//! * What is recorded only grows: after a rollback it may be a definition too many, never one too few.
//! * A table whose history was cut before anything was recorded was made by who knows what.
//!
//! Not here: streaming tables over a source, whose beginnings record it (`ingot_lake::beginning`).

use std::collections::BTreeSet;

use ingot_lake::Table;
use ingot_model::table_properties;

use crate::error::Result;

/// Stands for definitions that nobody knows.
const UNKNOWN: &str = "";

/// The fingerprints of the definitions that a table was made by, that of the next commit not among them.
///
/// # Errors
/// A property that does not parse.
pub(crate) fn known(table: &Table) -> Result<BTreeSet<String>> {
    let history = table.past();
    let recorded = table.recorded().made_by()?;
    let is_cut = history.last().is_some_and(|oldest| !oldest.starts_over());
    let mut known = match recorded {
        Some(recorded) => recorded,
        None if is_cut => BTreeSet::from([UNKNOWN.to_owned()]),
        None => BTreeSet::new(),
    };
    known.extend(history.iter().filter_map(|snapshot| snapshot.fingerprint().map(str::to_owned)));
    Ok(known)
}

/// The property to set with a commit of a definition; none if it says that already.
///
/// # Errors
/// As [`known`].
pub(crate) fn recorded_with(table: &Table, fingerprint: &str) -> Result<Option<(String, String)>> {
    let mut known = known(table)?;
    known.insert(fingerprint.to_owned());
    match table.recorded().made_by()? == Some(known.clone()) {
        true => Ok(None),
        false => Ok(Some(table_properties::made_by(&known)?)),
    }
}

/// Why rows of a table may not be those of a definition; none if all were made by it.
///
/// # Errors
/// As [`known`].
pub(crate) fn others_than(table: &Table, fingerprint: &str) -> Result<Option<&'static str>> {
    let known = known(table)?;
    Ok(match known.iter().find(|other| *other != fingerprint).map(String::as_str) {
        None => None,
        Some(UNKNOWN) => Some("its history was cut before it was recorded which definitions made its rows"),
        Some(_) => Some("some of its rows were made by an earlier definition, whose snapshots are forgotten"),
    })
}
