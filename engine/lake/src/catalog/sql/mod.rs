//! The SQL catalog: a row names the metadata file that a table has now, and this module writes those files.
//!
//! ```text
//!   commit(requirements, updates):  hold? ─▶ apply ─▶ metadata file, durable ─▶ swap of the row ─▶ old files go
//!                                                          └── certainly not named: it goes again
//! ```
//!
//! Invariants
//! * Whatever a row names was durable before the row changed.
//! * A metadata file is deleted when no row names it and none can come to: an attempt whose outcome is unknown keeps its
//!   own until its caller is certain.
//! * The row must still name the version that the updates were made for: nothing is applied to another one.
//!
//! Not here: the rows themselves (`rows`), what to do about a conflict (`commit`).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use iceberg::spec::{FormatVersion, SortOrder, TableMetadataBuilder, UnboundPartitionSpec};
use iceberg::{MetadataLocation, TableRequirement, TableUpdate};
use ingot_model::TableName;

use crate::catalog::metadata_file::Parsed;
use crate::catalog::metadata_files::MetadataFiles;
use crate::catalog::version::{Attempted, Outcome, Version};
use crate::crash;
use crate::error::{LakeError, Result};
use ingot_model::LakeConfig;
use ingot_model::file_settings::deletes_old_metadata;

pub(crate) mod rows;

use rows::{Rows, Swap};

/// A metadata file can be deleted between the read of the rows and its own: read the rows again.
const LOAD_ATTEMPTS_MAX: usize = 5;

/// A catalog in SQL, and the metadata files that its rows name.
pub(crate) struct SqlCatalog {
    pub(crate) rows: Rows,
    files: Arc<MetadataFiles>,
}

impl SqlCatalog {
    /// Opens the catalog, creating it when it is missing.
    pub(crate) async fn open(config: &LakeConfig, files: Arc<MetadataFiles>) -> Result<Self> {
        Ok(SqlCatalog { rows: Rows::open(&catalog_file(config)?, &config.catalog_name).await?, files })
    }

    /// Opens the catalog for reading: nothing is made.
    pub(crate) async fn open_existing(config: &LakeConfig, files: Arc<MetadataFiles>) -> Result<Self> {
        Ok(SqlCatalog { rows: Rows::open_existing(&catalog_file(config)?, &config.catalog_name).await?, files })
    }

    /// Where the catalog is.
    pub(crate) fn file(&self) -> &Path {
        self.rows.file()
    }

    /// The current version of a table.
    pub(crate) async fn load(&self, name: &TableName) -> Result<Option<Version>> {
        for attempt in 1.. {
            let Some(location) = self.rows.location(name).await? else {
                return Ok(None);
            };
            match self.files.read(&location).await {
                Err(LakeError::NotFound(_)) if attempt < LOAD_ATTEMPTS_MAX => {}
                Err(error) => return Err(error.of_table(name, &location)),
                Ok(Parsed { metadata, unread }) => return Ok(Some(Version { metadata, location, unread })),
            }
        }
        Ok(None)
    }

    /// The versions of some tables that were current at one moment, in the order asked for.
    pub(crate) async fn load_many(&self, names: &[TableName]) -> Result<Vec<Result<Option<Version>>>> {
        let mut before: HashMap<TableName, String> = HashMap::new();
        for attempt in 1.. {
            let locations: HashMap<TableName, String> = self.rows.tables().await?.into_iter().collect();
            let loads = names.iter().map(|name| async {
                match locations.get(name) {
                    Some(location) => {
                        let Parsed { metadata, unread } = self.files.read(location).await?;
                        Ok(Some(Version { metadata, location: location.clone(), unread }))
                    }
                    None => Ok(None),
                }
            });
            let loaded = futures::future::join_all(loads).await;
            // A commit deletes old metadata: a file that was deleted after its row changed is not a fault of the table.
            let gone = |(name, loaded): (&TableName, &Result<Option<Version>>)| {
                matches!(loaded, Err(LakeError::NotFound(_))) && before.get(name) != locations.get(name)
            };
            if attempt < LOAD_ATTEMPTS_MAX && names.iter().zip(&loaded).any(gone) {
                before = locations;
                continue;
            }
            let named = names.iter().zip(loaded).map(|(name, loaded)| {
                loaded.map_err(|e| e.of_table(name, locations.get(name).map_or("", String::as_str)))
            });
            return Ok(named.collect());
        }
        Ok(Vec::new())
    }

    /// Makes a table that is not there by updates of nothing. `Conflict`: there is one of that name.
    ///
    /// # Errors
    /// Nothing was sent: updates that do not make a table, or the store's.
    pub(crate) async fn create(&self, table: &TableName, updates: Vec<TableUpdate>) -> Result<Outcome> {
        let metadata = Arc::new(from_nothing(updates)?.build()?.metadata);
        let at = MetadataLocation::new_with_metadata(metadata.location(), &metadata);
        let version = Version { metadata, location: at.to_string(), unread: Arc::default() };
        crash::point("create.before_metadata", table);
        self.write(&at, &version).await?;
        crash::point("create.before_swap", table);
        if let Err(error) = self.rows.create(table, &version.location).await {
            // The answer may be lost and the row there, or come back when SQLite recovers.
            match self.rows.location(table).await {
                Ok(Some(found)) if found == version.location => {}
                _ if matches!(error, LakeError::TableExists(_)) => {
                    self.files.discard(&version.location).await;
                    return Ok(Outcome::Conflict);
                }
                _ => return Ok(Outcome::Unknown { error, attempt: Attempted { location: version.location } }),
            }
        }
        crash::point("create.after_swap", table);
        self.files.note(&version.location, &version.metadata);
        Ok(Outcome::Done(version))
    }

    /// Makes the version after `on`: one attempt.
    ///
    /// # Errors
    /// Nothing was sent, and nothing of the attempt is left: updates that do not fit the version, the store's, or the
    /// catalog's before its COMMIT.
    pub(crate) async fn commit(
        &self,
        table: &TableName,
        on: &Version,
        requirements: &[TableRequirement],
        updates: Vec<TableUpdate>,
    ) -> Result<Outcome> {
        if requirements.iter().any(|requirement| requirement.check(Some(&on.metadata)).is_err()) {
            return Ok(Outcome::Conflict);
        }
        // What the parser did not take would be gone from the next version.
        if let Some(refusal) = on.unread.refusal() {
            return Err(LakeError::Unsupported(refusal));
        }
        let mut builder = on.metadata.as_ref().clone().into_builder(Some(on.location.clone()));
        for update in updates {
            builder = update.apply(builder)?;
        }
        let built = builder.build()?;
        let metadata = Arc::new(built.metadata);
        let at = match MetadataLocation::from_str(&on.location) {
            Ok(old) => old.with_next_version().with_new_metadata(&metadata),
            // Another writer's way of naming: ours starts again.
            Err(_) => MetadataLocation::new_with_metadata(metadata.location(), &metadata),
        };
        let version = Version { metadata, location: at.to_string(), unread: Arc::default() };
        crash::point("commit.before_metadata", table);
        self.write(&at, &version).await?;
        crash::point("commit.before_swap", table);
        match self.rows.swap(table, &on.location, &version.location).await {
            Ok(Swap::Done) => {}
            Ok(Swap::Conflict) => {
                self.files.discard(&version.location).await;
                return Ok(Outcome::Conflict);
            }
            Ok(Swap::Unknown(error)) => {
                return Ok(Outcome::Unknown { error, attempt: Attempted { location: version.location } });
            }
            Err(error) => {
                self.files.discard(&version.location).await;
                return Err(error);
            }
        }
        crash::point("commit.after_swap", table);
        self.files.note(&version.location, &version.metadata);
        let folder = format!("{}/metadata/", version.metadata.location());
        let deletes = deletes_old_metadata(version.metadata.properties());
        let logged = built.expired_metadata_logs.into_iter().map(|log| log.metadata_file);
        for old in logged.filter(|old| old.starts_with(&folder)) {
            self.files.forget(&old);
            if deletes {
                self.files.delete_old(&old).await;
            }
        }
        Ok(Outcome::Done(version))
    }

    /// Deletes what an attempt wrote, once it certainly failed and cannot come back.
    pub(crate) async fn discard(&self, attempt: &Attempted) {
        self.files.discard(&attempt.location).await;
    }

    /// Writes a metadata file, or leaves none.
    async fn write(&self, at: &MetadataLocation, version: &Version) -> Result<()> {
        let written = self.files.write(at, &version.metadata).await;
        if written.is_err() {
            self.files.discard(&version.location).await;
        }
        written
    }
}

/// A builder with the updates that make a new table. Their ids must be those that a new table has.
fn from_nothing(updates: Vec<TableUpdate>) -> Result<TableMetadataBuilder> {
    let (mut schema, mut location, mut format) = (None, None, FormatVersion::V2);
    let (mut spec, mut order) = (UnboundPartitionSpec::builder().build(), SortOrder::unsorted_order());
    for update in updates.iter().rev() {
        match update {
            TableUpdate::AddSchema { schema: first } => schema = Some(first.clone()),
            TableUpdate::AddSpec { spec: first } => spec = first.clone(),
            TableUpdate::AddSortOrder { sort_order: first } => order = first.clone(),
            TableUpdate::SetLocation { location: first } => location = Some(first.clone()),
            TableUpdate::UpgradeFormatVersion { format_version } => format = *format_version,
            _ => {}
        }
    }
    let (Some(schema), Some(location)) = (schema, location) else {
        return Err(LakeError::Definition("a new table needs a schema and a location".into()));
    };
    let mut builder = TableMetadataBuilder::new(schema, spec, order, location, format, HashMap::new())?;
    for update in updates {
        builder = update.apply(builder)?;
    }
    Ok(builder)
}

/// The file of `catalog.uri`, or the one in a local warehouse.
fn catalog_file(config: &LakeConfig) -> Result<PathBuf> {
    let Some(uri) = &config.catalog_uri else {
        return match config.warehouse.strip_prefix("file://") {
            Some(folder) => Ok(Path::new(folder).join("catalog.db")),
            None => Err(LakeError::Config("catalog.uri is required with a warehouse that is not on local disk".into())),
        };
    };
    let uri = uri.strip_prefix("jdbc:").unwrap_or(uri);
    let path = match uri.strip_prefix("sqlite:") {
        // SQLAlchemy has sqlite:////absolute, others sqlite:///absolute and sqlite:/absolute.
        Some(rest) => match rest.trim_start_matches('/') {
            "" => return Err(LakeError::Config(format!("catalog.uri \"{uri}\" names no file"))),
            path if rest.starts_with('/') && !rest.starts_with("//") || rest.starts_with("///") => {
                format!("/{path}")
            }
            path => path.to_string(),
        },
        None => match uri.split_once("://") {
            Some(("file", path)) => path.to_string(),
            Some((scheme, _)) => {
                return Err(LakeError::Config(format!(
                    "catalog.uri has the scheme \"{scheme}\": this version keeps catalogs in SQLite"
                )));
            }
            None => uri.to_string(),
        },
    };
    Ok(PathBuf::from(path.split('?').next().unwrap_or(&path)))
}
