//! The lake itself: one catalog, one object store, and the tables they hold.
//!
//! Invariants
//! * `load_tables` gives versions that were current at the same moment; one table that cannot be read is its own error.
//! * Metadata files and manifests never change, so their parsed forms are cached by location.
//!
//! Not here: changing a table (`commit`), scanning one (`provider`).

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path as FsPath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use iceberg::io::FileIO;
use iceberg::spec::{Manifest, ManifestFile, TableMetadata};
use ingot_model::TableName;
use object_store::ObjectStore;
use object_store::path::Path;

use crate::catalog::metadata_file;
use crate::catalog::sql::Catalog;
use crate::commit;
use crate::commit::manifest::damaged;
use crate::crash;
use crate::error::{LakeError, Result};
use crate::store::Store;
use crate::table::Table;
use crate::table::avro_names;
use crate::table::definition::NewTable;
use crate::table::expired_ancestors;
use crate::table::owner;

/// How many parsed metadata files are kept of one table: the newest, and one that somebody may still plan with.
const METADATA_CACHED_MAX: usize = 2;
/// How many bytes of manifests, as stored, are kept parsed; in memory they take some times as much.
const MANIFEST_BYTES_CACHED_MAX: i64 = 8 << 20;
/// How many manifests are remembered to have sound names.
const SOUND_CACHED_MAX: usize = 10_000;
/// A metadata file can be deleted between the read of the catalog and its own: read the catalog again.
const LOAD_ATTEMPTS_MAX: usize = 5;

/// Where a lake is.
#[derive(Clone, Debug)]
pub struct LakeConfig {
    /// The catalog's name, which is also the first part of a full table name.
    pub catalog_name: String,
    /// The catalog's SQLite file, `sqlite:///path` or a path; by default `catalog.db` in the warehouse.
    pub catalog_uri: Option<String>,
    /// `file:///absolute/path` or `s3://bucket/prefix`.
    pub warehouse: String,
    /// How to reach S3, when the warehouse is there.
    pub s3: S3Config,
}

/// How to reach an S3-compatible store.
#[derive(Clone, Default)]
pub struct S3Config {
    /// The store's URL; none for AWS itself.
    pub endpoint: Option<String>,
    /// The region; `us-east-1` by default.
    pub region: Option<String>,
    /// The id of the access key.
    pub access_key_id: Option<String>,
    /// The secret key. Never printed.
    pub secret_access_key: Option<String>,
    /// A session's token. Never printed.
    pub session_token: Option<String>,
    /// Whether the bucket stands in the path rather than in the host's name.
    pub path_style_access: bool,
    /// How long one request may take, its body included; 30 s by default.
    pub timeout: Option<std::time::Duration>,
}

impl fmt::Debug for S3Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |value: &Option<String>| value.as_ref().map(|_| "***");
        f.debug_struct("S3Config")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key_id", &self.access_key_id)
            .field("secret_access_key", &hidden(&self.secret_access_key))
            .field("session_token", &hidden(&self.session_token))
            .field("path_style_access", &self.path_style_access)
            .field("timeout", &self.timeout)
            .finish()
    }
}

pub(crate) struct Inner {
    config: LakeConfig,
    /// The project whose tables are written, where one is named.
    pub(crate) owner: Option<String>,
    pub(crate) catalog: Catalog,
    pub(crate) store: Arc<Store>,
    file_io: FileIO,
    cache: Mutex<Cache>,
}

/// The parsed form of immutable files, each with when it was last used.
#[derive(Default)]
struct Cache {
    metadata: HashMap<String, (u64, Arc<TableMetadata>)>,
    manifests: HashMap<String, (u64, i64, Arc<Manifest>)>,
    manifest_bytes: i64,
    /// Manifests of specs with unusual names whose fields Avro takes.
    sound: HashSet<String>,
    clock: u64,
}

impl Cache {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}

/// A lake. Clones share everything.
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
    pub async fn open(mut config: LakeConfig) -> Result<Lake> {
        let store = store_of(&mut config)?;
        let catalog = Catalog::open(&catalog_file(&config)?, &config.catalog_name).await?;
        Ok(Self::over(config, store, catalog, None))
    }

    /// Opens a lake for a project: its name goes on every table it writes, and a table that has another's is refused.
    ///
    /// # Errors
    /// As `open`.
    pub async fn open_as(mut config: LakeConfig, project: &str) -> Result<Lake> {
        let store = store_of(&mut config)?;
        let catalog = Catalog::open(&catalog_file(&config)?, &config.catalog_name).await?;
        Ok(Self::over(config, store, catalog, Some(project.to_owned())))
    }

    /// Opens a lake to read it. Nothing is made: where there is no catalog, the lake is empty and not present.
    ///
    /// # Errors
    /// As `open`.
    pub async fn open_existing(mut config: LakeConfig) -> Result<Lake> {
        let store = store_of(&mut config)?;
        let catalog = Catalog::open_existing(&catalog_file(&config)?, &config.catalog_name).await?;
        Ok(Self::over(config, store, catalog, None))
    }

    fn over(config: LakeConfig, store: Arc<Store>, catalog: Catalog, owner: Option<String>) -> Lake {
        let file_io = store.file_io();
        Lake(Arc::new(Inner { config, owner, catalog, store, file_io, cache: Mutex::default() }))
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

    /// Where the lake is.
    pub fn config(&self) -> &LakeConfig {
        &self.0.config
    }

    /// The store that holds the warehouse.
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(self.0.store.object())
    }

    /// The URL under which DataFusion knows that store.
    pub fn object_store_url(&self) -> ObjectStoreUrl {
        self.0.store.url().clone()
    }

    /// The path within the store of a location that a manifest names.
    ///
    /// # Errors
    /// A location outside the store.
    pub fn object_path(&self, location: &str) -> Result<Path> {
        self.0.store.path(location)
    }

    /// Registers the store with DataFusion.
    pub fn register(&self, env: &RuntimeEnv) {
        env.register_object_store(self.object_store_url().as_ref(), self.object_store());
    }

    /// The same store, as Iceberg's own readers take it.
    pub fn file_io(&self) -> &FileIO {
        &self.0.file_io
    }

    /// The file the catalog is in.
    pub fn catalog_file(&self) -> &FsPath {
        self.0.catalog.file()
    }

    /// The names of all tables, sorted.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn list_tables(&self) -> Result<Vec<TableName>> {
        Ok(self.0.catalog.tables().await?.into_iter().map(|(name, _)| name).collect())
    }

    /// The names of all namespaces, sorted.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn list_namespaces(&self) -> Result<Vec<String>> {
        self.0.catalog.namespaces().await
    }

    /// The current version of a table.
    ///
    /// # Errors
    /// The catalog's; `UnreadableTable` with the table's name and what is wrong with its metadata.
    pub async fn load_table(&self, name: &TableName) -> Result<Option<Table>> {
        for attempt in 1.. {
            let Some(location) = self.0.catalog.location(name).await? else {
                return Ok(None);
            };
            match self.table_at(name, &location).await {
                Err(LakeError::NotFound(_)) if attempt < LOAD_ATTEMPTS_MAX => {}
                other => return other.map(Some).map_err(|e| e.of_table(name, &location)),
            }
        }
        Ok(None)
    }

    /// The versions of some tables that were current at one moment, in the order asked for. A table that cannot be read
    /// is an error in its own place and no other's.
    ///
    /// # Errors
    /// The catalog's. In a table's place: as `load_table`.
    pub async fn load_tables(&self, names: &[TableName]) -> Result<Vec<Result<Option<Table>>>> {
        let mut before: HashMap<TableName, String> = HashMap::new();
        for attempt in 1.. {
            let locations: HashMap<TableName, String> = self.0.catalog.tables().await?.into_iter().collect();
            let loads = names.iter().map(|name| async {
                match locations.get(name) {
                    Some(location) => self.table_at(name, location).await.map(Some),
                    None => Ok(None),
                }
            });
            let loaded = futures::future::join_all(loads).await;
            // A commit deletes old metadata: a file that went while its row moved on is no fault of the table.
            let gone = |(name, loaded): (&TableName, &Result<Option<Table>>)| {
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

    /// Creates a table.
    ///
    /// # Errors
    /// `TableExists`; a definition that Iceberg does not take; the store's and the catalog's.
    pub async fn create_table(&self, new: NewTable) -> Result<Table> {
        commit::create(self, new).await
    }

    /// Removes a table, whatever it now holds, from the catalog and its files from the store.
    ///
    /// # Errors
    /// `TableMissing`; `OtherOwner`; the catalog's and the store's.
    pub async fn drop_table(&self, name: &TableName) -> Result<()> {
        if let (Some(project), Ok(Some(table))) = (&self.0.owner, self.load_table(name).await) {
            owner::check(&table, project)?;
        }
        while let Some(location) = self.0.catalog.location(name).await? {
            if self.drop_version(name, &location).await? {
                return Ok(());
            }
        }
        Err(LakeError::TableMissing(name.clone()))
    }

    async fn drop_version(&self, name: &TableName, location: &str) -> Result<bool> {
        let folder = self.table_location(name)?;
        // Only what this lake made where it makes tables: a table registered from elsewhere keeps its files. They are
        // listed now: once the row is gone, another process may make the table anew in the same folder.
        let files = match location.starts_with(&format!("{folder}/metadata/")) {
            true => self.0.store.below(&folder).await?,
            false => Vec::new(),
        };
        crash::point("drop.before_catalog", name);
        if !self.0.catalog.drop_table(name, location).await? {
            return Ok(false);
        }
        crash::point("drop.after_catalog", name);
        self.0.store.delete_files(&folder, files).await?;
        Ok(true)
    }

    /// Where a table of this name is put.
    pub(crate) fn table_location(&self, name: &TableName) -> Result<String> {
        for part in name.namespace.levels().chain([name.name.as_str()]) {
            let plain = !part.is_empty()
                && part != "."
                && !part.contains(['/', '\\', '.', '"'])
                && !part.chars().any(char::is_control);
            if !plain {
                return Err(LakeError::Definition(format!(
                    "table \"{name}\": \"{part}\" cannot be part of a table's location"
                )));
            }
        }
        let folders: Vec<&str> = name.namespace.levels().collect();
        Ok(format!("{}/{}/{}", self.0.config.warehouse, folders.join("/"), name.name))
    }

    /// The table that a metadata file describes.
    async fn table_at(&self, name: &TableName, location: &str) -> Result<Table> {
        let metadata = self.metadata_at(location).await?;
        let expired = expired_ancestors::expired(self, name, &metadata).await?;
        Ok(Table::new(self.clone(), name.clone(), metadata, location.to_string())?.with_expired(expired))
    }

    /// What a metadata file holds.
    pub(crate) async fn metadata_at(&self, location: &str) -> Result<Arc<TableMetadata>> {
        if let Some(metadata) = self.cached(location) {
            return Ok(metadata);
        }
        let metadata = Arc::new(metadata_file::read(&self.0.store, location).await?);
        self.cache(location, &metadata);
        Ok(metadata)
    }

    fn cached(&self, location: &str) -> Option<Arc<TableMetadata>> {
        let mut cache = self.0.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let clock = cache.tick();
        let (used, metadata) = cache.metadata.get_mut(location)?;
        *used = clock;
        Some(Arc::clone(metadata))
    }

    pub(crate) fn cache(&self, location: &str, metadata: &Arc<TableMetadata>) {
        let mut cache = self.0.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let clock = cache.tick();
        cache.metadata.insert(location.to_string(), (clock, Arc::clone(metadata)));
        let same = |other: &TableMetadata| other.uuid() == metadata.uuid();
        let of_table = || cache.metadata.iter().filter(|(_, (_, other))| same(other));
        if of_table().count() > METADATA_CACHED_MAX {
            let oldest = of_table().min_by_key(|(_, (used, _))| *used).map(|(location, _)| location.clone());
            if let Some(location) = oldest {
                cache.metadata.remove(&location);
            }
        }
    }

    /// A manifest, parsed.
    ///
    /// # Errors
    /// The store's; a manifest that cannot be read.
    pub(crate) async fn manifest(&self, file: &ManifestFile) -> Result<Arc<Manifest>> {
        {
            let mut cache = self.0.cache.lock().unwrap_or_else(PoisonError::into_inner);
            let clock = cache.tick();
            if let Some((used, _, manifest)) = cache.manifests.get_mut(&file.manifest_path) {
                *used = clock;
                return Ok(Arc::clone(manifest));
            }
        }
        let manifest = Arc::new(match file.key_metadata {
            Some(_) => file.load_manifest(&self.0.file_io).await?,
            None => {
                let bytes = self.0.store.read(&file.manifest_path).await?;
                let size = bytes.len();
                match avro_names::parse(file, bytes).await {
                    Ok(manifest) => manifest,
                    Err(e) => {
                        return Err(damaged(self, &file.manifest_path, size, Some(file.manifest_length), &e).await);
                    }
                }
            }
        });
        let mut cache = self.0.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let clock = cache.tick();
        let size = file.manifest_length.max(0);
        if size <= MANIFEST_BYTES_CACHED_MAX
            && cache.manifests.insert(file.manifest_path.clone(), (clock, size, Arc::clone(&manifest))).is_none()
        {
            cache.manifest_bytes += size;
        }
        while cache.manifest_bytes > MANIFEST_BYTES_CACHED_MAX {
            let oldest = cache.manifests.iter().min_by_key(|(_, (used, ..))| *used).map(|(path, _)| path.clone());
            let Some((_, size, _)) = oldest.and_then(|path| cache.manifests.remove(&path)) else { break };
            cache.manifest_bytes -= size;
        }
        Ok(manifest)
    }

    /// Whether Avro takes the partition field names of a manifest. It never changes: it is looked up once.
    ///
    /// # Errors
    /// The store's; a file that is no manifest.
    pub(crate) async fn is_sound(&self, manifest: &str) -> Result<bool> {
        if self.0.cache.lock().unwrap_or_else(PoisonError::into_inner).sound.contains(manifest) {
            return Ok(true);
        }
        let sound = avro_names::is_sound(&self.0.store.read(manifest).await?)?;
        if sound {
            self.note_sound(manifest);
        }
        Ok(sound)
    }

    pub(crate) fn note_sound(&self, manifest: &str) {
        let mut cache = self.0.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.sound.len() >= SOUND_CACHED_MAX {
            cache.sound.clear();
        }
        cache.sound.insert(manifest.to_string());
    }

    pub(crate) fn uncache(&self, location: &str) {
        self.0.cache.lock().unwrap_or_else(PoisonError::into_inner).metadata.remove(location);
    }
}

/// The warehouse's store; its location loses the slash at its end.
fn store_of(config: &mut LakeConfig) -> Result<Arc<Store>> {
    while config.warehouse.ends_with('/') && !config.warehouse.ends_with("//") {
        config.warehouse.pop();
    }
    Ok(Arc::new(Store::open(config)?))
}

/// The file of `catalog.uri`, or the one in a local warehouse.
fn catalog_file(config: &LakeConfig) -> Result<PathBuf> {
    let Some(uri) = &config.catalog_uri else {
        return match config.warehouse.strip_prefix("file://") {
            Some(folder) => Ok(FsPath::new(folder).join("catalog.db")),
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
