//! The catalog: which version each table has now, and the one way to make the next.
//!
//! ```text
//!   load ─▶ Version ─▶ requirements, updates ─▶ commit ─▶ Done(Version) │ Conflict │ Unknown
//! ```
//!
//! Invariants
//! * A commit is tried once. `Conflict` is said only when certainly nothing changed, `Unknown` whenever the answer was not
//!   success.
//! * Whatever the catalog names is durable before it is named.
//! * Each kind of catalog stores versions in its own way: no code above it writes a metadata file.
//! * Every call is in the metrics once, whatever the kind.
//!
//! Not here: what is in a version (`table`), what to do about a conflict (`commit`).

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use iceberg::{TableRequirement, TableUpdate};
use ingot_model::TableName;
use ingot_telemetry::{FAILED, OK, metrics, outcome};

use crate::error::Result;
use ingot_model::LakeConfig;

pub mod error;
pub mod lease;
pub(crate) mod metadata_file;
pub(crate) mod metadata_files;
pub(crate) mod sql;
pub mod unread;
pub(crate) mod version;

use metadata_files::MetadataFiles;
use sql::SqlCatalog;
use version::{Attempted, Outcome, Version};

/// A catalog, by its kind.
pub(crate) enum Catalog {
    /// Rows in SQLite, metadata files of our own.
    Sql(SqlCatalog),
}

impl Catalog {
    /// Opens the catalog, creating it when it is missing.
    pub(crate) async fn open(config: &LakeConfig, files: Arc<MetadataFiles>) -> Result<Self> {
        Ok(Catalog::Sql(SqlCatalog::open(config, files).await?))
    }

    /// Opens the catalog for reading. One that is missing is empty and not present, and nothing is made.
    pub(crate) async fn open_existing(config: &LakeConfig, files: Arc<MetadataFiles>) -> Result<Self> {
        Ok(Catalog::Sql(SqlCatalog::open_existing(config, files).await?))
    }

    /// Whether there is a catalog at all.
    pub(crate) fn is_present(&self) -> bool {
        let Catalog::Sql(sql) = self;
        sql.rows.is_present()
    }

    /// The file that it is in.
    pub(crate) fn file(&self) -> &Path {
        let Catalog::Sql(sql) = self;
        sql.file()
    }

    /// The names of all tables, sorted.
    pub(crate) async fn tables(&self) -> Result<Vec<TableName>> {
        Ok(self.located().await?.into_iter().map(|(name, _)| name).collect())
    }

    /// All tables, sorted by name, each with where its current version is stored.
    pub(crate) async fn located(&self) -> Result<Vec<(TableName, String)>> {
        let Catalog::Sql(sql) = self;
        timed("list", sql.rows.tables(), outcome).await
    }

    /// Every namespace, with tables or without, sorted.
    pub(crate) async fn namespaces(&self) -> Result<Vec<String>> {
        let Catalog::Sql(sql) = self;
        timed("list", sql.rows.namespaces(), outcome).await
    }

    /// Where the current version of a table is stored, readable or not; none if there is no such table.
    pub(crate) async fn location(&self, table: &TableName) -> Result<Option<String>> {
        let Catalog::Sql(sql) = self;
        timed("load", sql.rows.location(table), outcome).await
    }

    /// The current version of a table.
    ///
    /// # Errors
    /// The catalog's; `UnreadableTable`.
    pub(crate) async fn load(&self, table: &TableName) -> Result<Option<Version>> {
        let Catalog::Sql(sql) = self;
        timed("load", sql.load(table), outcome).await
    }

    /// The versions of some tables at one moment, in the order asked for: one result a name.
    ///
    /// # Errors
    /// The catalog's; in a table's own place as `load`.
    pub(crate) async fn load_many(&self, tables: &[TableName]) -> Result<Vec<Result<Option<Version>>>> {
        let Catalog::Sql(sql) = self;
        timed("load", sql.load_many(tables), outcome).await
    }

    /// Makes a table by updates of nothing: it has its first version from the beginning. `Conflict`: the name is taken.
    ///
    /// # Errors
    /// Nothing was sent, and nothing of the attempt is left.
    pub(crate) async fn create(&self, table: &TableName, updates: Vec<TableUpdate>) -> Result<Outcome> {
        let Catalog::Sql(sql) = self;
        timed("create", sql.create(table, updates), outcome_of).await
    }

    /// Makes the next version of a table, if the requirements hold. `on` is the version that the updates were made for:
    /// a kind that compares whole versions refuses any other.
    ///
    /// # Errors
    /// Nothing was sent, and nothing of the attempt is left.
    pub(crate) async fn commit(
        &self,
        table: &TableName,
        on: &Version,
        requirements: &[TableRequirement],
        updates: Vec<TableUpdate>,
    ) -> Result<Outcome> {
        let Catalog::Sql(sql) = self;
        timed("commit", sql.commit(table, on, requirements, updates), outcome_of).await
    }

    /// Removes what an attempt of unknown outcome left, once it certainly failed and cannot come back.
    pub(crate) async fn discard(&self, attempt: &Attempted) {
        let Catalog::Sql(sql) = self;
        sql.discard(attempt).await;
    }

    /// Removes a table, only if its version is still the one at `location`. Gives whether it was.
    pub(crate) async fn drop_table(&self, table: &TableName, location: &str) -> Result<bool> {
        let Catalog::Sql(sql) = self;
        timed("drop", sql.rows.drop_table(table, location), outcome).await
    }
}

/// What is noted of a change that was sent.
fn outcome_of(sent: &Result<Outcome>) -> &'static str {
    match sent {
        Ok(Outcome::Done(_)) => OK,
        Ok(Outcome::Conflict) => "conflict",
        Ok(Outcome::Unknown { .. }) | Err(_) => FAILED,
    }
}

/// A call with its time and outcome noted.
async fn timed<T>(
    operation: &str,
    call: impl Future<Output = Result<T>>,
    outcome: impl FnOnce(&Result<T>) -> &'static str,
) -> Result<T> {
    let began = Instant::now();
    let answer = call.await;
    metrics().catalog_duration.observe([operation, outcome(&answer)], began.elapsed());
    answer
}
