//! The one object store of the warehouse, for Iceberg's metadata, for Parquet files and for DataFusion.
//!
//! ```text
//!   location "file:///w/t/f" ──path()──▶ object_store path ──▶ reads (DataFusion, metadata)
//!                            ──local()─▶ temporary file, fsync, rename, fsync of the folder
//!   location "s3://b/t/f"    ──path()──▶ one PUT under 32 MiB, else multipart; never conditional
//! ```
//!
//! Invariants
//! * A local file is durable, and so is its folder's entry, before `write` or `close` returns.
//! * A location is taken literally: nothing is percent-encoded or decoded.
//! * A file that was not closed is not there.
//!
//! Not here: which file is written in which order (`commit`).

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::execution::object_store::ObjectStoreUrl;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use iceberg::io::{
    FileIO, FileIOBuilder, FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig,
    StorageFactory,
};
use iceberg::{Error, ErrorKind};
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{LakeError, Result};
use ingot_model::LakeConfig;

mod blocking;
mod measured;
mod upload;

use blocking::blocking;
use measured::Measured;
pub(crate) use upload::Upload;
use upload::{Target, Temporary};

/// How long a request may take, unless told.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A request is tried again for so many times as long.
const RETRY_TIMEOUTS: u32 = 6;
/// Files that are deleted at a time.
const DELETES_IN_FLIGHT_MAX: usize = 16;

/// A file of the store.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) path: Path,
    pub(crate) bytes: u64,
    pub(crate) written: SystemTime,
}

/// The warehouse's object store.
pub(crate) struct Store {
    object: Arc<dyn ObjectStore>,
    url: ObjectStoreUrl,
    /// None for local disk.
    bucket: Option<String>,
    /// Folders known to exist durably.
    folders: Mutex<HashSet<PathBuf>>,
    /// Files that can be begun until the disk is full.
    #[cfg(test)]
    pub(crate) creates_left: std::sync::atomic::AtomicUsize,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.url)
    }
}

impl Store {
    /// The store that holds `config.warehouse`.
    ///
    /// # Errors
    /// A location that is neither `file:///...` nor `s3://bucket/...`, or S3 settings that do not fit.
    pub(crate) fn open(config: &LakeConfig) -> Result<Store> {
        let warehouse = config.warehouse.as_str();
        if let Some(path) = warehouse.strip_prefix("file://") {
            if !path.starts_with('/') {
                return Err(LakeError::Config(format!(
                    "warehouse \"{warehouse}\" is not absolute: write file:///path"
                )));
            }
            return Ok(Store {
                object: Arc::new(Measured(LocalFileSystem::new())),
                url: ObjectStoreUrl::local_filesystem(),
                bucket: None,
                folders: Mutex::default(),
                #[cfg(test)]
                creates_left: usize::MAX.into(),
            });
        }
        let Some(rest) = warehouse.strip_prefix("s3://") else {
            return Err(LakeError::Config(format!(
                "warehouse \"{warehouse}\" is neither file:///path nor s3://bucket/prefix"
            )));
        };
        let bucket = rest.split('/').next().unwrap_or_default().to_string();
        if bucket.is_empty() {
            return Err(LakeError::Config(format!("warehouse \"{warehouse}\" names no bucket")));
        }
        let s3 = &config.s3;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&bucket)
            .with_region(s3.region.as_deref().unwrap_or("us-east-1"))
            .with_virtual_hosted_style_request(!s3.path_style_access)
            // A repeated conditional PUT would report its own success as a conflict.
            .with_conditional_put(S3ConditionalPut::Disabled);
        if let Some(endpoint) = &s3.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let is_plain = s3.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let timeout = s3.timeout.unwrap_or(REQUEST_TIMEOUT);
        builder = builder
            .with_client_options(ClientOptions::new().with_allow_http(is_plain).with_timeout(timeout))
            .with_retry(RetryConfig { retry_timeout: timeout * RETRY_TIMEOUTS, ..RetryConfig::default() });
        if let Some(key) = &s3.access_key_id {
            builder = builder.with_access_key_id(key);
        }
        if let Some(secret) = &s3.secret_access_key {
            builder = builder.with_secret_access_key(secret);
        }
        if let Some(token) = &s3.session_token {
            builder = builder.with_token(token);
        }
        let object = builder.build().map_err(|source| LakeError::store(warehouse, source))?;
        let url = ObjectStoreUrl::parse(format!("s3://{bucket}"))?;
        Ok(Store {
            object: Arc::new(Measured(object)),
            url,
            bucket: Some(bucket),
            folders: Mutex::default(),
            #[cfg(test)]
            creates_left: usize::MAX.into(),
        })
    }

    pub(crate) fn object(&self) -> &Arc<dyn ObjectStore> {
        &self.object
    }

    pub(crate) fn url(&self) -> &ObjectStoreUrl {
        &self.url
    }

    /// Iceberg's view of this store.
    pub(crate) fn file_io(self: &Arc<Self>) -> FileIO {
        FileIOBuilder::new(Arc::new(LakeStorageFactory { store: Some(Arc::clone(self)) })).build()
    }

    /// The path of a location within the store.
    ///
    /// # Errors
    /// A location of another store.
    pub(crate) fn path(&self, location: &str) -> Result<Path> {
        let foreign = || LakeError::Config(format!("\"{location}\" is not in the warehouse's store {}", self.url));
        let inside = match &self.bucket {
            // Hadoop writes file:/path, others file:///path.
            None => location.strip_prefix("file://").or_else(|| location.strip_prefix("file:")).unwrap_or(location),
            Some(bucket) => location
                .split_once("://")
                .filter(|(scheme, _)| matches!(*scheme, "s3" | "s3a" | "s3n"))
                .and_then(|(_, rest)| rest.strip_prefix(bucket.as_str()))
                .filter(|rest| rest.starts_with('/'))
                .ok_or_else(foreign)?,
        };
        if !inside.starts_with('/') {
            return Err(foreign());
        }
        // Not Path::from, which would encode what is encoded already.
        Path::parse(inside).map_err(|error| LakeError::Config(format!("location \"{location}\": {error}")))
    }

    /// The file of a location, on local disk.
    fn local(&self, location: &str) -> Result<Option<PathBuf>> {
        match self.bucket {
            Some(_) => Ok(None),
            None => Ok(Some(PathBuf::from(format!("/{}", self.path(location)?)))),
        }
    }

    pub(crate) async fn exists(&self, location: &str) -> Result<bool> {
        match self.object.head(&self.path(location)?).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(LakeError::store(location, source)),
        }
    }

    /// How many bytes a file has, as the store knows it.
    pub(crate) async fn size(&self, location: &str) -> Result<u64> {
        let meta = self.object.head(&self.path(location)?).await;
        Ok(meta.map_err(|e| LakeError::store(location, e))?.size)
    }

    pub(crate) async fn read(&self, location: &str) -> Result<Bytes> {
        let path = self.path(location)?;
        let got = self.object.get(&path).await.map_err(|e| LakeError::store(location, e))?;
        got.bytes().await.map_err(|e| LakeError::store(location, e))
    }

    /// Some bytes of a file, as many as the range has.
    ///
    /// # Errors
    /// `Damaged` when the file ends before them; the store's.
    pub(crate) async fn read_range(&self, location: &str, range: Range<u64>) -> Result<Bytes> {
        let wanted = range.end.saturating_sub(range.start);
        let failure = match self.object.get_range(&self.path(location)?, range.clone()).await {
            Ok(bytes) if bytes.len() as u64 == wanted => return Ok(bytes),
            Ok(bytes) => {
                let source = format!("the answer has {} of {wanted} bytes", bytes.len()).into();
                object_store::Error::Generic { store: "warehouse", source }
            }
            Err(missing @ object_store::Error::NotFound { .. }) => return Err(LakeError::store(location, missing)),
            Err(failure) => failure,
        };
        // Stores have no error of their own for a range beyond the end.
        match self.size(location).await? {
            size if size < range.end => Err(LakeError::Damaged(format!(
                "\"{location}\" has {size} bytes, and those from {} to {} are part of it",
                range.start, range.end
            ))),
            _ => Err(LakeError::store(location, failure)),
        }
    }

    /// Writes a whole file.
    pub(crate) async fn write(&self, location: &str, bytes: Bytes) -> Result<()> {
        let mut upload = self.create(location).await?;
        upload.write(bytes).await?;
        upload.close().await
    }

    /// Begins a file. It is there once it is closed, and not before.
    pub(crate) async fn create(&self, location: &str) -> Result<Upload> {
        let Some(target) = self.local(location)? else {
            return Ok(Upload(Target::S3 {
                store: Arc::clone(&self.object),
                path: self.path(location)?,
                location: location.to_string(),
                buffer: Vec::new(),
                parts: None,
            }));
        };
        let (Some(folder), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(LakeError::Config(format!("\"{location}\" is not a file's location")));
        };
        self.ensure_folder(folder).await?;
        #[cfg(test)]
        if !crate::faults::Faults::one_of(&self.creates_left) {
            return Err(LakeError::io(&target, std::io::Error::from(std::io::ErrorKind::StorageFull)));
        }
        let path = folder.join(format!(".{}.{}.tmp", name.to_string_lossy(), Uuid::new_v4().simple()));
        let opened = match Temporary::open(&path).await {
            Err(LakeError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                // Somebody removed a folder that we had seen.
                self.folders.lock().unwrap_or_else(PoisonError::into_inner).clear();
                self.ensure_folder(folder).await?;
                Temporary::open(&path).await
            }
            other => other,
        };
        let (file, temporary) = opened?;
        Ok(Upload(Target::Local { open: Some((tokio::fs::File::from_std(file), temporary)), target }))
    }

    /// Creates a folder and those above it, each one's entry durable in the one above.
    async fn ensure_folder(&self, folder: &FsPath) -> Result<()> {
        let known = |path: &FsPath| self.folders.lock().unwrap_or_else(PoisonError::into_inner).contains(path);
        if known(folder) {
            return Ok(());
        }
        let owned = folder.to_path_buf();
        let created = blocking(folder, move || {
            let mut missing = Vec::new();
            let mut at = owned.as_path();
            while !at.exists() {
                missing.push(at.to_path_buf());
                match at.parent() {
                    Some(parent) => at = parent,
                    None => break,
                }
            }
            for path in missing.iter().rev() {
                match std::fs::create_dir(path) {
                    Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(e),
                    _ => {}
                }
                if let Some(parent) = path.parent() {
                    std::fs::File::open(parent)?.sync_all()?;
                }
            }
            // Another process may have made the rest just now and not have come to this yet. A folder
            // that we may not open was there before any of us.
            if let Some(opened) = at.parent().and_then(|parent| std::fs::File::open(parent).ok()) {
                opened.sync_all()?;
            }
            Ok(owned)
        })
        .await?;
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).insert(created);
        Ok(())
    }

    /// Deletes a file; one that is not there is deleted already.
    pub(crate) async fn delete(&self, location: &str) -> Result<()> {
        match self.object.delete(&self.path(location)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(LakeError::store(location, source)),
        }
    }

    /// Every file below a folder, those that are still being written too.
    pub(crate) async fn below(&self, location: &str) -> Result<Vec<Path>> {
        let Some(folder) = self.local(location)? else {
            let listed = self.object.list(Some(&self.path(location)?)).map_ok(|meta| meta.location);
            return listed.try_collect().await.map_err(|e| LakeError::store(location, e));
        };
        // Not object_store's listing, which hides staging files.
        let at = folder.clone();
        let found = blocking(&at, move || {
            let (mut folders, mut files) = (vec![folder], Vec::new());
            while let Some(folder) = folders.pop() {
                let entries = match std::fs::read_dir(&folder) {
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                    entries => entries?,
                };
                for entry in entries {
                    let entry = entry?;
                    match entry.file_type()?.is_dir() {
                        true => folders.push(entry.path()),
                        false => files.push(entry.path()),
                    }
                }
            }
            Ok(files)
        });
        // We write no file whose name is not a path of the store.
        Ok(found.await?.iter().filter_map(|file| Path::parse(file.to_str()?).ok()).collect())
    }

    /// Every file below a folder, those that are still being written too, with its size and when it was last written.
    pub(crate) async fn listed(&self, location: &str) -> Result<Vec<Listed>> {
        let Some(folder) = self.local(location)? else {
            let listed = self.object.list(Some(&self.path(location)?)).map_ok(|meta| Listed {
                path: meta.location,
                bytes: meta.size,
                written: meta.last_modified.into(),
            });
            return listed.try_collect().await.map_err(|e| LakeError::store(location, e));
        };
        let paths = self.below(location).await?;
        blocking(&folder, move || {
            let mut found = Vec::with_capacity(paths.len());
            for path in paths {
                match std::fs::metadata(FsPath::new("/").join(path.as_ref())) {
                    // A link to a folder is none of ours.
                    Ok(meta) if !meta.is_file() => {}
                    Ok(meta) => found.push(Listed { path, bytes: meta.len(), written: meta.modified()? }),
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                    Err(e) => return Err(e),
                }
            }
            Ok(found)
        })
        .await
    }

    /// Deletes files of the store; one that is not there is deleted already.
    pub(crate) async fn delete_paths(&self, files: Vec<Path>) -> Result<()> {
        let deletes = futures::stream::iter(files).map(|path| async move {
            match self.object.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(source) => Err(LakeError::store(path.as_ref(), source)),
            }
        });
        deletes.buffer_unordered(DELETES_IN_FLIGHT_MAX).try_collect().await
    }

    /// Deletes files that `below` gave, and the folders that are empty then.
    pub(crate) async fn delete_files(&self, location: &str, files: Vec<Path>) -> Result<()> {
        self.delete_paths(files).await?;
        if let Some(folder) = self.local(location)? {
            self.folders.lock().unwrap_or_else(PoisonError::into_inner).clear();
            let at = folder.clone();
            blocking(&at, move || {
                remove_empty(&folder);
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Deletes everything below a folder.
    pub(crate) async fn delete_prefix(&self, location: &str) -> Result<()> {
        if let Some(folder) = self.local(location)? {
            self.folders.lock().unwrap_or_else(PoisonError::into_inner).clear();
            // Not a listing: object_store hides staging files, which must go as well.
            return match tokio::fs::remove_dir_all(&folder).await {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(LakeError::io(&folder, e)),
                _ => Ok(()),
            };
        }
        let paths = self.object.list(Some(&self.path(location)?)).map_ok(|meta| meta.location).boxed();
        self.object
            .delete_stream(paths)
            .try_for_each(|_| futures::future::ready(Ok(())))
            .await
            .map_err(|e| LakeError::store(location, e))
    }
}

/// Removes a folder and those below that hold nothing; others stay.
fn remove_empty(folder: &FsPath) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    drop(std::fs::remove_dir(folder));
}

/// Iceberg's storage interface over [`Store`].
#[derive(Clone, Debug, Serialize, Deserialize)]
struct LakeStorage {
    #[serde(skip)]
    store: Option<Arc<Store>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct LakeStorageFactory {
    #[serde(skip)]
    store: Option<Arc<Store>>,
}

#[typetag::serde]
impl StorageFactory for LakeStorageFactory {
    fn build(&self, _config: &StorageConfig) -> iceberg::Result<Arc<dyn Storage>> {
        Ok(Arc::new(LakeStorage { store: self.store.clone() }))
    }
}

fn foreign(error: LakeError) -> Error {
    let kind = match &error {
        LakeError::NotFound(_) | LakeError::Config(_) => ErrorKind::DataInvalid,
        _ => ErrorKind::Unexpected,
    };
    let retryable = error.retryable();
    Error::new(kind, error.to_string()).with_retryable(retryable).with_source(error)
}

impl LakeStorage {
    fn store(&self) -> iceberg::Result<&Arc<Store>> {
        self.store
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Unexpected, "the lake's storage cannot travel between processes"))
    }
}

struct Reader {
    store: Arc<dyn ObjectStore>,
    path: Path,
    location: String,
}

#[async_trait]
impl FileRead for Reader {
    async fn read(&self, range: Range<u64>) -> iceberg::Result<Bytes> {
        let read = self.store.get_range(&self.path, range).await;
        read.map_err(|e| foreign(LakeError::store(&self.location, e)))
    }
}

#[async_trait]
impl FileWrite for Upload {
    async fn write(&mut self, bytes: Bytes) -> iceberg::Result<()> {
        Upload::write(self, bytes).await.map_err(foreign)
    }

    async fn close(&mut self) -> iceberg::Result<()> {
        self.finish().await.map_err(foreign)
    }
}

#[async_trait]
#[typetag::serde]
impl Storage for LakeStorage {
    async fn exists(&self, location: &str) -> iceberg::Result<bool> {
        self.store()?.exists(location).await.map_err(foreign)
    }

    async fn metadata(&self, location: &str) -> iceberg::Result<FileMetadata> {
        Ok(FileMetadata { size: self.store()?.size(location).await.map_err(foreign)? })
    }

    async fn read(&self, location: &str) -> iceberg::Result<Bytes> {
        self.store()?.read(location).await.map_err(foreign)
    }

    async fn reader(&self, location: &str) -> iceberg::Result<Box<dyn FileRead>> {
        let store = self.store()?;
        Ok(Box::new(Reader {
            store: Arc::clone(&store.object),
            path: store.path(location).map_err(foreign)?,
            location: location.to_string(),
        }))
    }

    async fn write(&self, location: &str, bytes: Bytes) -> iceberg::Result<()> {
        self.store()?.write(location, bytes).await.map_err(foreign)
    }

    async fn writer(&self, location: &str) -> iceberg::Result<Box<dyn FileWrite>> {
        Ok(Box::new(self.store()?.create(location).await.map_err(foreign)?))
    }

    async fn delete(&self, location: &str) -> iceberg::Result<()> {
        self.store()?.delete(location).await.map_err(foreign)
    }

    async fn delete_prefix(&self, location: &str) -> iceberg::Result<()> {
        self.store()?.delete_prefix(location).await.map_err(foreign)
    }

    async fn delete_stream(&self, mut paths: BoxStream<'static, String>) -> iceberg::Result<()> {
        while let Some(path) = paths.next().await {
            self.delete(&path).await?;
        }
        Ok(())
    }

    fn new_input(&self, location: &str) -> iceberg::Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), location.to_string()))
    }

    fn new_output(&self, location: &str) -> iceberg::Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), location.to_string()))
    }
}
