//! Which snapshot of a table a statement reads: a pin's, a version's, the head; and the change between two.
//!
//! Invariants
//! * What was pinned is read, or the statement fails: another snapshot is never read in its place.
//!
//! Not here: which names a statement has (`names`), the rows of a change (`changes`).

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use ingot_lake::{LakeTableProvider, ScanOptions, Table};

use crate::changes::Changes;
use crate::error::{ErrorKind, QueryError, shortened};
use crate::pins::Pin;
use crate::statement::{Relation, Version};

/// The given pin if it still holds, else the head.
pub(crate) fn pin(table: &Table, given: Option<&Pin>) -> Result<Pin, QueryError> {
    let Some(given) = given else { return Ok(Pin { uuid: table.uuid(), snapshot: table.head() }) };
    let gone = |what: String| QueryError::new(ErrorKind::SnapshotGone, what).with_hint("run the statement again");
    if given.uuid != table.uuid() {
        return Err(gone(format!("table \"{}\" was recreated since the statement was planned", table.name())));
    }
    match given.snapshot {
        Some(id) if table.snapshot(id).is_none() => Err(gone(format!(
            "snapshot {id} of table \"{}\" has expired since the statement was planned",
            table.name()
        ))),
        _ => Ok(given.clone()),
    }
}

pub(crate) async fn scan(table: &Table, snapshot: Option<i64>) -> Result<Arc<dyn TableProvider>, QueryError> {
    // A table without snapshots has no rows now; a later head must not be read in its place.
    if snapshot.is_none() {
        return Ok(Arc::new(EmptyTable::new(table.schema())));
    }
    let options = ScanOptions { snapshot, ..ScanOptions::default() };
    let provider = LakeTableProvider::try_new(table, options).await.map_err(|e| QueryError::from_lake(&e))?;
    Ok(Arc::new(provider))
}

/// The rows of a version, or what changed between two.
pub(crate) async fn asked(
    table: &Table,
    relation: &Relation,
    head: Option<i64>,
) -> Result<Arc<dyn TableProvider>, QueryError> {
    if let Some(between) = &relation.changes {
        let from = between.from.as_ref().map(|version| at_version(table, version)).transpose()?;
        let (table, to) = match &between.to {
            Some(version) => at_version(table, version).map(|(table, to)| (table, Some(to)))?,
            None => (table.clone(), head),
        };
        return Ok(Arc::new(Changes::between(table, from.map(|(_, from)| from), to)?));
    }
    match &relation.version {
        Some(version) => {
            let (table, snapshot) = at_version(table, version)?;
            scan(&table, Some(snapshot)).await
        }
        None => scan(table, head).await,
    }
}

/// The snapshot that a version means, and the table with the columns in which it is read: those of then, but for a
/// branch, which goes on and has today's.
pub(crate) fn at_version(table: &Table, version: &Version) -> Result<(Table, i64), QueryError> {
    let name = table.name();
    let missing = |what: String| QueryError::new(ErrorKind::UnknownName, what);
    let then = |snapshot: i64| match table.as_of(snapshot) {
        Ok(table) => Ok((table, snapshot)),
        Err(e) => Err(QueryError::from_lake(&e)),
    };
    match version {
        Version::Id(id) => match table.snapshot(*id) {
            Some(s) => then(s.id),
            None => {
                let known: Vec<String> = table.history().iter().map(|s| s.id.to_string()).collect();
                Err(missing(format!("table \"{name}\" has no snapshot {id}")).with_hint(format!(
                    "there are: {}",
                    shortened(&known.iter().map(String::as_str).collect::<Vec<_>>())
                )))
            }
        },
        Version::Ref(r) => match table.reference(r) {
            Some((snapshot, true)) => then(snapshot),
            Some((snapshot, false)) => Ok((table.clone(), snapshot)),
            None => Err(missing(format!("table \"{name}\" has no branch or tag \"{r}\""))),
        },
        Version::Timestamp(text) => {
            let nanos =
                datafusion::arrow::compute::kernels::cast_utils::string_to_timestamp_nanos(text).map_err(|_| {
                    QueryError::new(ErrorKind::Syntax, format!("'{text}' is not a timestamp"))
                        .with_hint("write '2026-01-31 12:00:00', in UTC")
                })?;
            match table.snapshot_at(nanos.div_euclid(1_000_000)) {
                Some(id) if table.snapshot(id).is_some() => then(id),
                Some(id) => {
                    Err(missing(format!("snapshot {id} of table \"{name}\", which was current at {text}, has expired")))
                }
                None => {
                    let error = missing(format!("table \"{name}\" has no snapshot as old as {text}"));
                    Err(match table.log_begins() {
                        Some(begins) => error.with_hint(format!("its log begins at {begins}")),
                        None => error,
                    })
                }
            }
        }
    }
}
