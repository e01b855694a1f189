//! Manifest lists and manifests: read, and what is wrong with one that cannot be.
//!
//! Invariants
//! * A manifest never changes, nor does a list, so their parsed forms are cached by path, within a bound of the bytes that they
//!   take in memory.
//! * An answer that was cut short is the store's fault; a file that came whole and does not parse is damaged.
//!
//! Not here: writing them (`commit::manifest`), which entries are live (`read::changelog`).

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use iceberg::io::FileIO;
use iceberg::spec::{DataFile, Manifest, ManifestEntry, ManifestFile, ManifestList, SnapshotRef, TableMetadata};

use crate::error::{LakeError, Result};
use crate::store::Store;
use crate::table::held::{list_bytes, manifest_bytes};
use crate::table::{avro_names, row_ids};

/// How many bytes in memory are kept of manifests and lists, unless a limit is set.
const BYTES_CACHED_MAX: usize = 64 << 20;
/// Of a cache that is full, this part (1/n) is emptied at once: looking for what is oldest takes time.
const EMPTIED: usize = 8;
/// How many manifests are remembered to have sound names, and lists to hold so many rows.
const REMEMBERED_MAX: usize = 10_000;

/// A file as its manifest lists it: all who read it share one entry.
#[derive(Clone, Debug)]
pub struct SharedFile(Arc<ManifestEntry>);

impl Deref for SharedFile {
    type Target = DataFile;

    fn deref(&self) -> &DataFile {
        self.0.data_file()
    }
}

impl From<Arc<ManifestEntry>> for SharedFile {
    fn from(entry: Arc<ManifestEntry>) -> Self {
        Self(entry)
    }
}

/// The manifests of one store.
pub(crate) struct Manifests {
    store: Arc<Store>,
    file_io: FileIO,
    cache: Mutex<Cache>,
}

#[derive(Clone)]
enum Parsed {
    Manifest(Arc<Manifest>),
    List(Arc<[ManifestFile]>),
}

/// Parsed files by path, each with when it was last used and the bytes that it takes.
struct Cache {
    parsed: HashMap<String, (u64, usize, Parsed)>,
    bytes: usize,
    bytes_max: usize,
    /// Manifests of specs with unusual names whose fields Avro takes.
    sound: HashSet<String>,
    /// Rows of snapshots without deletes all of whose files were looked at, by their list.
    rows: HashMap<String, u64>,
    clock: u64,
}

impl Cache {
    fn new() -> Self {
        Cache {
            parsed: HashMap::new(),
            bytes: 0,
            bytes_max: BYTES_CACHED_MAX,
            sound: HashSet::new(),
            rows: HashMap::new(),
            clock: 0,
        }
    }

    fn get(&mut self, path: &str) -> Option<Parsed> {
        self.clock += 1;
        let (used, _, parsed) = self.parsed.get_mut(path)?;
        *used = self.clock;
        Some(parsed.clone())
    }

    fn put(&mut self, path: &str, bytes: usize, parsed: Parsed) {
        if bytes > self.bytes_max {
            return;
        }
        self.clock += 1;
        if let Some((_, old, _)) = self.parsed.insert(path.to_owned(), (self.clock, bytes, parsed)) {
            self.bytes -= old;
        }
        self.bytes += bytes;
        self.shrink();
    }

    fn shrink(&mut self) {
        if self.bytes <= self.bytes_max {
            return;
        }
        let mut oldest: Vec<(u64, String)> =
            self.parsed.iter().map(|(path, (used, ..))| (*used, path.clone())).collect();
        oldest.sort_unstable();
        for (_, path) in oldest {
            if self.bytes <= self.bytes_max - self.bytes_max / EMPTIED {
                break;
            }
            if let Some((_, bytes, _)) = self.parsed.remove(&path) {
                self.bytes -= bytes;
            }
        }
    }
}

impl Manifests {
    pub(crate) fn of(store: &Arc<Store>) -> Self {
        Manifests { store: Arc::clone(store), file_io: store.file_io(), cache: Mutex::new(Cache::new()) }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps no more than so many bytes from now on.
    pub(crate) fn limit(&self, bytes_max: usize) {
        let mut cache = self.cache();
        cache.bytes_max = bytes_max;
        cache.shrink();
    }

    /// Bytes that are kept.
    pub(crate) fn bytes_held(&self) -> usize {
        self.cache().bytes
    }

    /// The manifests of a snapshot that is read, kept for the next one who reads it.
    ///
    /// # Errors
    /// As `list`.
    pub(crate) async fn listed(&self, metadata: &TableMetadata, snapshot: &SnapshotRef) -> Result<Arc<[ManifestFile]>> {
        let path = snapshot.manifest_list();
        if let Some(Parsed::List(list)) = self.cache().get(path) {
            return Ok(list);
        }
        let list: Arc<[ManifestFile]> = self.list(metadata, snapshot).await?.into();
        self.cache().put(path, list_bytes(&list), Parsed::List(Arc::clone(&list)));
        Ok(list)
    }

    /// As many rows as a snapshot without deletes is known to have, by its list.
    pub(crate) fn rows(&self, list: &str) -> Option<u64> {
        self.cache().rows.get(list).copied()
    }

    pub(crate) fn note_rows(&self, list: &str, rows: u64) {
        let mut cache = self.cache();
        if cache.rows.len() >= REMEMBERED_MAX {
            cache.rows.clear();
        }
        cache.rows.insert(list.to_owned(), rows);
    }

    /// A manifest, if it is kept.
    pub(crate) fn kept(&self, file: &ManifestFile) -> Option<Arc<Manifest>> {
        match self.cache().get(&key(file)) {
            Some(Parsed::Manifest(manifest)) => Some(manifest),
            _ => None,
        }
    }

    /// The manifests of a snapshot.
    ///
    /// # Errors
    /// The store's; a list that cannot be read.
    pub(crate) async fn list(&self, metadata: &TableMetadata, snapshot: &SnapshotRef) -> Result<Vec<ManifestFile>> {
        let bytes = self.store.read(snapshot.manifest_list()).await?;
        let list = ManifestList::parse_with_version(&bytes, metadata.format_version());
        match list {
            Ok(list) => Ok(list.consume_entries().into_iter().collect()),
            Err(error) => Err(damaged(&self.store, snapshot.manifest_list(), bytes.len(), None, &error).await),
        }
    }

    /// A manifest, parsed.
    ///
    /// # Errors
    /// The store's; a manifest that cannot be read.
    pub(crate) async fn read(&self, file: &ManifestFile) -> Result<Arc<Manifest>> {
        if let Some(manifest) = self.kept(file) {
            return Ok(manifest);
        }
        let manifest = match file.key_metadata {
            Some(_) => file.load_manifest(&self.file_io).await?,
            None => {
                let bytes = self.store.read(&file.manifest_path).await?;
                let size = bytes.len();
                match avro_names::parse(file, bytes).await {
                    Ok(manifest) => manifest,
                    Err(e) => {
                        return Err(
                            damaged(&self.store, &file.manifest_path, size, Some(file.manifest_length), &e).await
                        );
                    }
                }
            }
        };
        let manifest = Arc::new(row_ids::inherited(manifest, file.first_row_id)?);
        let parsed = Parsed::Manifest(Arc::clone(&manifest));
        self.cache().put(&key(file), manifest_bytes(&manifest), parsed);
        Ok(manifest)
    }

    /// Whether Avro takes the partition field names of a manifest. It never changes: it is looked up once.
    ///
    /// # Errors
    /// The store's; a file that is no manifest.
    pub(crate) async fn is_sound(&self, manifest: &str) -> Result<bool> {
        if self.cache().sound.contains(manifest) {
            return Ok(true);
        }
        let sound = avro_names::is_sound(&self.store.read(manifest).await?)?;
        if sound {
            self.note_sound(manifest);
        }
        Ok(sound)
    }

    pub(crate) fn note_sound(&self, manifest: &str) {
        let mut cache = self.cache();
        if cache.sound.len() >= REMEMBERED_MAX {
            cache.sound.clear();
        }
        cache.sound.insert(manifest.to_string());
    }
}

/// What a manifest is kept by: after an upgrade to format version 3 an older list has no row ids for it, and a newer one has.
fn key(file: &ManifestFile) -> Cow<'_, str> {
    match file.first_row_id {
        None => Cow::Borrowed(&file.manifest_path),
        Some(id) => Cow::Owned(format!("{}#{id}", file.manifest_path)),
    }
}

/// The error for a file that does not parse. If the store returned all of it, the file is damaged; if the answer was
/// cut short, the store failed.
async fn damaged(
    store: &Store,
    path: &str,
    bytes: usize,
    announced: Option<i64>,
    error: &(dyn std::error::Error + Sync),
) -> LakeError {
    match store.size(path).await {
        Ok(size) if size != bytes as u64 => {
            let source = format!("the answer has {bytes} of {size} bytes").into();
            return LakeError::store(path, object_store::Error::Generic { store: "warehouse", source });
        }
        Ok(_) => {}
        Err(away) => return away,
    }
    match announced.filter(|announced| i64::try_from(bytes).is_ok_and(|bytes| bytes != *announced)) {
        Some(announced) => LakeError::Damaged(format!("\"{path}\" has {bytes} bytes, and its list says {announced}")),
        None => LakeError::Damaged(format!("\"{path}\" does not parse: {error}")),
    }
}
