//! The lake itself: one catalog and one object store.
//!
//! Not here: its tables (`table::load`), changing one (`commit`), scanning one (`read`).

use std::fmt;
use std::path::Path as FsPath;
use std::sync::{Arc, OnceLock};

use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use iceberg::io::FileIO;
use iceberg::spec::{Manifest, ManifestFile};
use ingot_model::TableName;
use object_store::ObjectStore;
use object_store::path::Path;

use crate::catalog::Catalog;
use crate::catalog::metadata_files::MetadataFiles;
use crate::error::{LakeError, Result};
use crate::store::Store;
use crate::table::manifests::Manifests;
use crate::upkeep::garbage::Garbage;
use crate::upkeep::retention::Retention;
use ingot_model::LakeConfig;

pub(crate) struct Inner {
    config: LakeConfig,
    /// The project whose tables are written, where one is named.
    pub(crate) owner: Option<String>,
    pub(crate) catalog: Catalog,
    pub(crate) store: Arc<Store>,
    file_io: FileIO,
    pub(crate) metadata_files: Arc<MetadataFiles>,
    pub(crate) manifests: Manifests,
    /// How much history the tables keep that are written; all of it unless set.
    pub(crate) retention: OnceLock<Arc<Retention>>,
    /// What commits left behind.
    pub(crate) garbage: Garbage,
}

/// A lake. Clones share everything.
///
/// ```
/// use std::sync::Arc;
///
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// use arrow::datatypes::DataType;
/// use ingot_lake::{Commit, Lake, LakeConfig, NewTable, Rebase, S3Config, Writer};
/// use ingot_model::{Column, Definition, TableName};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let warehouse = format!("file://{}", folder.path().display());
/// let config = LakeConfig { catalog_name: "ingot".into(), catalog_uri: None, warehouse, s3: S3Config::default() };
/// let lake = Lake::open(config).await?;
///
/// let id = Column { name: "id".into(), data_type: DataType::Int64, nullable: true, comment: None };
/// let definition = Definition { columns: vec![id], ..Definition::default() };
/// let new = NewTable { name: TableName::new("bronze", "trips"), definition, first_summary: None };
/// let table = lake.create_table(new).await?;
///
/// let mut writer = Writer::new(&table, None)?;
/// let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
/// writer.write(&RecordBatch::try_from_iter_with_nullable([("id", ids, true)])?).await?;
/// let rows = Commit { add: writer.close().await?, ..Commit::default() };
/// let table = lake.commit(&table, rows, &|_| Rebase::Retry).await?;
/// assert_eq!(table.history().len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Lake(pub(crate) Arc<Inner>);

impl fmt::Debug for Lake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lake({} at {})", self.0.config.catalog_name, self.0.config.warehouse)
    }
}

impl Lake {
    /// Opens a lake, creating the catalog when it is missing.
    ///
    /// # Errors
    /// Settings that do not fit, a catalog that cannot be opened.
    pub async fn open(config: LakeConfig) -> Result<Lake> {
        Self::over(config, None, true).await
    }

    /// Opens a lake for a project: its name goes on every table it writes, and a table that has another's is refused.
    ///
    /// # Errors
    /// As `open`.
    pub async fn open_as(config: LakeConfig, project: &str) -> Result<Lake> {
        Self::over(config, Some(project.to_owned()), true).await
    }

    /// Opens a lake to read it. Nothing is made: where there is no catalog, the lake is empty and not present.
    ///
    /// # Errors
    /// As `open`.
    pub async fn open_existing(config: LakeConfig) -> Result<Lake> {
        Self::over(config, None, false).await
    }

    async fn over(mut config: LakeConfig, owner: Option<String>, creates: bool) -> Result<Lake> {
        let store = store_of(&mut config)?;
        let metadata_files = Arc::new(MetadataFiles::of(&store));
        let catalog = match creates {
            true => Catalog::open(&config, Arc::clone(&metadata_files)).await?,
            false => Catalog::open_existing(&config, Arc::clone(&metadata_files)).await?,
        };
        let (file_io, manifests) = (store.file_io(), Manifests::of(&store));
        Ok(Lake(Arc::new(Inner {
            config,
            owner,
            catalog,
            store,
            file_io,
            metadata_files,
            manifests,
            retention: OnceLock::new(),
            garbage: Garbage::default(),
        })))
    }

    /// An error, where there is no catalog.
    ///
    /// # Errors
    /// `NoLake`.
    pub fn present(&self) -> Result<()> {
        match self.0.catalog.is_present() {
            true => Ok(()),
            false => Err(LakeError::NoLake {
                warehouse: self.0.config.warehouse.clone(),
                catalog: self.catalog_file().display().to_string(),
            }),
        }
    }

    /// From now on, commits forget the snapshots that need not be kept. Once for a lake: a second one changes nothing.
    pub fn retain(&self, retention: Arc<Retention>) {
        let _ = self.0.retention.set(retention);
    }

    /// Where the lake is.
    pub fn config(&self) -> &LakeConfig {
        &self.0.config
    }

    /// The store that holds the warehouse.
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(self.0.store.object())
    }

    /// The URL under which DataFusion knows that store.
    pub(crate) fn object_store_url(&self) -> ObjectStoreUrl {
        self.0.store.url().clone()
    }

    /// The path within the store of a location that a manifest names.
    ///
    /// # Errors
    /// A location outside the store.
    pub(crate) fn object_path(&self, location: &str) -> Result<Path> {
        self.0.store.path(location)
    }

    /// Registers the store with DataFusion.
    pub fn register(&self, env: &RuntimeEnv) {
        env.register_object_store(self.object_store_url().as_ref(), self.object_store());
    }

    /// The same store, as Iceberg's own readers take it.
    pub(crate) fn file_io(&self) -> &FileIO {
        &self.0.file_io
    }

    /// The file the catalog is in.
    pub(crate) fn catalog_file(&self) -> &FsPath {
        self.0.catalog.file()
    }

    /// The names of all tables, sorted.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn list_tables(&self) -> Result<Vec<TableName>> {
        self.0.catalog.tables().await
    }

    /// The names of all namespaces, sorted.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn list_namespaces(&self) -> Result<Vec<String>> {
        self.0.catalog.namespaces().await
    }

    /// A manifest, parsed.
    ///
    /// # Errors
    /// The store's; a manifest that cannot be read.
    pub(crate) async fn manifest(&self, file: &ManifestFile) -> Result<Arc<Manifest>> {
        self.0.manifests.read(file).await
    }

    /// Keeps no more than so many bytes of parsed manifests and lists in memory.
    pub fn limit_caches(&self, bytes_max: usize) {
        self.0.manifests.limit(bytes_max);
    }

    /// Bytes of parsed manifests and lists that are kept in memory.
    pub fn cached_bytes(&self) -> usize {
        self.0.manifests.bytes_held()
    }

    /// The rows of the catalog, where tests put faults.
    #[cfg(test)]
    pub(crate) fn rows(&self) -> &crate::catalog::sql::rows::Rows {
        let Catalog::Sql(sql) = &self.0.catalog;
        &sql.rows
    }
}

/// The warehouse's store; its location loses the slash at its end.
fn store_of(config: &mut LakeConfig) -> Result<Arc<Store>> {
    while config.warehouse.ends_with('/') && !config.warehouse.ends_with("//") {
        config.warehouse.pop();
    }
    Ok(Arc::new(Store::open(config)?))
}
