//! The rows of the SQL catalog: which metadata file each table has now. SQLite, in the schema of Java's JdbcCatalog V1.
//!
//! ```text
//!   swap(old, new):  BEGIN IMMEDIATE ─▶ UPDATE .. WHERE metadata_location = old ─▶ COMMIT
//!                       error: nothing happened   0 rows: conflict     error: unknown
//! ```
//!
//! Invariants
//! * A swap is tried once. It reports a conflict only when the row certainly did not change, and an
//!   unknown outcome whenever COMMIT did not answer with success.
//! * One statement reads all tables, so what it gives is one version of the catalog.
//! * A catalog that is opened to be read makes no file, no folder and no table, and changes none that is there.
//!
//! Not here: metadata files (`catalog::sql`), what to do about a conflict (`commit`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use ingot_model::TableName;
use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{Connection, Row, Sqlite};

use crate::catalog::error::{CatalogError, CatalogErrorKind};
use crate::crash;
use crate::error::{LakeError, Result};
#[cfg(test)]
use crate::faults::Faults;

/// How long a writer waits for another one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an idle connection is kept, and how long any connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
const LIFETIME_MAX: Duration = Duration::from_secs(1_800);

/// What became of a compare-and-set.
#[derive(Debug)]
pub(crate) enum Swap {
    /// The row names the new metadata.
    Done,
    /// The row named something else, or is gone. Nothing changed.
    Conflict,
    /// The row may or may not name the new metadata.
    Unknown(LakeError),
}

/// The catalog's rows in one SQLite file.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) pool: SqlitePool,
    name: String,
    file: PathBuf,
    /// Whether rows have a type; a file that an older writer made has none.
    typed: bool,
    /// Whether there is anything: a reader finds a missing catalog empty.
    present: bool,
    #[cfg(test)]
    pub(crate) faults: Faults,
}

impl Rows {
    /// Opens the file, creating it and its tables when they are missing.
    pub(crate) async fn open(file: &Path, name: &str) -> Result<Rows> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).map_err(|e| LakeError::io(folder, e))?;
        }
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let mut catalog = Self::connect(file, name, options, 4).await?;
        let failed = |e| failure(format!("opening {}", file.display()), e);
        catalog.create_tables().await.map_err(failed)?;
        catalog.typed = true;
        Ok(catalog)
    }

    /// Opens the file for reading. One that is missing, or holds no catalog, is an empty catalog that is not present.
    pub(crate) async fn open_existing(file: &Path, name: &str) -> Result<Rows> {
        let failed = |e| failure(format!("opening {}", file.display()), e);
        if file.is_file() {
            let mut catalog = Self::connect(file, name, SqliteConnectOptions::new().filename(file), 4).await?;
            let columns = sqlx::query("PRAGMA table_info(iceberg_tables)").fetch_all(&catalog.pool).await;
            let columns = columns.map_err(failed)?;
            if !columns.is_empty() {
                catalog.typed = columns.iter().any(is_type);
                return Ok(catalog);
            }
        }
        // One connection: each would have a memory of its own.
        let mut catalog = Self::connect(file, name, SqliteConnectOptions::new().in_memory(true), 1).await?;
        catalog.create_tables().await.map_err(failed)?;
        (catalog.typed, catalog.present) = (true, false);
        Ok(catalog)
    }

    async fn connect(file: &Path, name: &str, options: SqliteConnectOptions, connections: u32) -> Result<Rows> {
        let failed = |e| failure(format!("opening {}", file.display()), e);
        let options = options.busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new()
            .max_connections(connections)
            // A database in memory ends with its connection.
            .min_connections(u32::from(connections == 1))
            .idle_timeout((connections > 1).then_some(IDLE_TIMEOUT))
            .max_lifetime((connections > 1).then_some(LIFETIME_MAX))
            .acquire_timeout(BUSY_TIMEOUT)
            // SQLite ends a transaction by itself when the disk is full or fails. sqlx does not notice, and would
            // refuse to begin another one for as long as the pool keeps that connection.
            .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
            .connect_with(options)
            .await
            .map_err(failed)?;
        Ok(Rows {
            pool,
            name: name.to_string(),
            file: file.to_path_buf(),
            typed: false,
            present: true,
            #[cfg(test)]
            faults: Faults::default(),
        })
    }

    async fn create_tables(&self) -> sqlx::Result<()> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for statement in [
            "CREATE TABLE IF NOT EXISTS iceberg_tables (
               catalog_name VARCHAR(255) NOT NULL,
               table_namespace VARCHAR(255) NOT NULL,
               table_name VARCHAR(255) NOT NULL,
               metadata_location VARCHAR(1000),
               previous_metadata_location VARCHAR(1000),
               iceberg_type VARCHAR(5),
               PRIMARY KEY (catalog_name, table_namespace, table_name))",
            "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
               catalog_name VARCHAR(255) NOT NULL,
               namespace VARCHAR(255) NOT NULL,
               property_key VARCHAR(255),
               property_value VARCHAR(1000),
               PRIMARY KEY (catalog_name, namespace, property_key))",
        ] {
            sqlx::query(statement).execute(&mut *transaction).await?;
        }
        // A file that an older writer made has the V0 schema, without the type of a row.
        let columns = sqlx::query("PRAGMA table_info(iceberg_tables)").fetch_all(&mut *transaction).await?;
        if !columns.iter().any(is_type) {
            sqlx::query("ALTER TABLE iceberg_tables ADD COLUMN iceberg_type VARCHAR(5)")
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await
    }

    /// Where the catalog is.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Whether there is a catalog at all.
    pub(crate) fn is_present(&self) -> bool {
        self.present
    }

    /// The condition that selects tables and no views.
    fn tables_alone(&self) -> &'static str {
        if self.typed { "(iceberg_type = 'TABLE' OR iceberg_type IS NULL)" } else { "TRUE" }
    }

    /// A statement about one row: `?1` to `?3` are its key, the catalog's name, the namespace and the table.
    fn of_table<'q>(&'q self, sql: &'q str, table: &'q TableName) -> Query<'q, Sqlite, SqliteArguments<'q>> {
        sqlx::query(sql).bind(&self.name).bind(table.namespace.as_str()).bind(&table.name)
    }

    /// Every table and its metadata location, in one read.
    pub(crate) async fn tables(&self) -> Result<Vec<(TableName, String)>> {
        let failed = |e| failure("listing tables", e);
        #[cfg(test)]
        if Faults::one_of(&self.faults.fail_reads) {
            return Err(failed(sqlx::Error::PoolTimedOut));
        }
        let rows = sqlx::query(&format!(
            "SELECT table_namespace, table_name, metadata_location FROM iceberg_tables
             WHERE catalog_name = ? AND {} AND metadata_location IS NOT NULL
             ORDER BY table_namespace, table_name",
            self.tables_alone()
        ))
        .bind(&self.name)
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row| {
                Ok((TableName::new(row.try_get::<String, _>(0)?, row.try_get::<String, _>(1)?), row.try_get(2)?))
            })
            .collect::<sqlx::Result<_>>()
            .map_err(failed)
    }

    /// The metadata location of one table.
    pub(crate) async fn location(&self, table: &TableName) -> Result<Option<String>> {
        let failed = |e| failure(format!("reading {table}"), e);
        #[cfg(test)]
        if Faults::one_of(&self.faults.fail_reads) {
            return Err(failed(sqlx::Error::PoolTimedOut));
        }
        let sql = format!(
            "SELECT metadata_location FROM iceberg_tables
             WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3 AND {}",
            self.tables_alone()
        );
        let row = self.of_table(&sql, table).fetch_optional(&self.pool).await.map_err(failed)?;
        row.map_or(Ok(None), |row| row.try_get(0)).map_err(failed)
    }

    /// Every namespace, with tables or without.
    pub(crate) async fn namespaces(&self) -> Result<Vec<String>> {
        sqlx::query_scalar(
            "SELECT namespace FROM iceberg_namespace_properties WHERE catalog_name = ?1
             UNION SELECT table_namespace FROM iceberg_tables WHERE catalog_name = ?1 ORDER BY 1",
        )
        .bind(&self.name)
        .fetch_all(&self.pool)
        .await
        .map_err(|e| failure("listing namespaces", e))
    }

    /// Adds a table, and its namespace when that is new.
    ///
    /// # Errors
    /// `TableExists`; and any failure, after which the table may or may not be there.
    pub(crate) async fn create(&self, table: &TableName, location: &str) -> Result<()> {
        let failed = |e: sqlx::Error| match &e {
            sqlx::Error::Database(db) if db.is_unique_violation() => LakeError::TableExists(table.clone()),
            _ => failure(format!("creating {table}"), e),
        };
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        self.of_table(
            "INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name,
               metadata_location, previous_metadata_location, iceberg_type)
             VALUES (?1, ?2, ?3, ?4, NULL, 'TABLE')",
            table,
        )
        .bind(location)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        sqlx::query(
            "INSERT OR IGNORE INTO iceberg_namespace_properties
               (catalog_name, namespace, property_key, property_value)
             VALUES (?, ?, 'exists', 'true')",
        )
        .bind(&self.name)
        .bind(table.namespace.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        crash::point("create.in_swap", table);
        transaction.commit().await.map_err(failed)
    }

    /// Removes a table, only if its metadata is still at `location`. Gives whether it was.
    pub(crate) async fn drop_table(&self, table: &TableName, location: &str) -> Result<bool> {
        let failed = |e| failure(format!("dropping {table}"), e);
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let done = self
            .of_table(
                "DELETE FROM iceberg_tables
                 WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3 AND metadata_location = ?4",
                table,
            )
            .bind(location)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    /// The compare-and-set: one attempt.
    ///
    /// # Errors
    /// A failure before anything was sent to commit: the row is unchanged.
    pub(crate) async fn swap(&self, table: &TableName, old: &str, new: &str) -> Result<Swap> {
        let failed = |e| failure(format!("committing to {table}"), e);
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let done = self
            .of_table(
                "UPDATE iceberg_tables SET metadata_location = ?5, previous_metadata_location = ?4
                 WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3
                   AND metadata_location = ?4
                   AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL)",
                table,
            )
            .bind(old)
            .bind(new)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        if done.rows_affected() != 1 {
            transaction.rollback().await.map_err(failed)?;
            return Ok(Swap::Conflict);
        }
        #[cfg(test)]
        if Faults::one_of(&self.faults.lose_commit) {
            transaction.rollback().await.map_err(failed)?;
            return Ok(Swap::Unknown(failed(sqlx::Error::WorkerCrashed)));
        }
        #[cfg(test)]
        if Faults::take(&self.faults.conflict_then_silence) {
            self.faults.fail_reads.store(1000, std::sync::atomic::Ordering::SeqCst);
            transaction.rollback().await.map_err(failed)?;
            return Ok(Swap::Conflict);
        }
        crash::point("commit.in_swap", table);
        let committed = transaction.commit().await;
        #[cfg(test)]
        let committed = if Faults::take(&self.faults.lose_answer) {
            committed.and(Err(sqlx::Error::WorkerCrashed))
        } else {
            committed
        };
        Ok(match committed {
            Ok(()) => Swap::Done,
            Err(error) => Swap::Unknown(failed(error)),
        })
    }
}

/// Whether a row of `table_info` is the column that tells tables from views.
fn is_type(column: &SqliteRow) -> bool {
    column.try_get::<String, _>("name").is_ok_and(|name| name == "iceberg_type")
}

/// A driver's error as the catalog's, by SQLite's own code.
fn failure(context: impl Into<String>, error: sqlx::Error) -> LakeError {
    LakeError::Catalog { context: context.into(), source: CatalogError::new(kind(&error), error) }
}

/// What a code of SQLite says. The low byte is the kind; the bytes above it are finer kinds.
fn kind(error: &sqlx::Error) -> CatalogErrorKind {
    const BUSY: u32 = 5;
    const READ_ONLY: u32 = 8;
    const DAMAGED: u32 = 11;
    const FULL: u32 = 13;
    const NOT_A_DATABASE: u32 = 26;
    const WRITE_FAILED: u32 = 778;
    let code = match error {
        sqlx::Error::Database(db) => db.code().and_then(|code| code.parse::<u32>().ok()),
        _ => None,
    };
    match code.map(|code| (code, code & 0xff)) {
        Some((WRITE_FAILED, _)) => CatalogErrorKind::WriteFailed,
        Some((_, BUSY)) => CatalogErrorKind::Busy,
        Some((_, READ_ONLY)) => CatalogErrorKind::ReadOnly,
        Some((_, FULL)) => CatalogErrorKind::Full,
        Some((_, DAMAGED | NOT_A_DATABASE)) => CatalogErrorKind::Damaged,
        _ => CatalogErrorKind::Other,
    }
}
