//! Manifest lists and manifests: read, and what is wrong with one that cannot be.
//!
//! Invariants
//! * A manifest never changes, so its parsed form is cached by path, within a bound of bytes.
//! * An answer that was cut short is the store's fault; a file that came whole and does not parse is damaged.
//!
//! Not here: writing them (`commit::manifest`), which entries are live (`read::changelog`).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use iceberg::io::FileIO;
use iceberg::spec::{Manifest, ManifestFile, ManifestList, SnapshotRef, TableMetadata};

use crate::error::{LakeError, Result};
use crate::store::Store;
use crate::table::avro_names;

/// How many bytes of manifests, as stored, are kept parsed; in memory they take some times as much.
const BYTES_CACHED_MAX: i64 = 8 << 20;
/// How many manifests are remembered to have sound names.
const SOUND_CACHED_MAX: usize = 10_000;

/// The manifests of one store.
pub(crate) struct Manifests {
    store: Arc<Store>,
    file_io: FileIO,
    cache: Mutex<Cache>,
}

/// Parsed manifests by path, each with when it was last used and its bytes as stored.
#[derive(Default)]
struct Cache {
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

impl Manifests {
    pub(crate) fn of(store: &Arc<Store>) -> Self {
        Manifests { store: Arc::clone(store), file_io: store.file_io(), cache: Mutex::default() }
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
        {
            let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            let clock = cache.tick();
            if let Some((used, _, manifest)) = cache.manifests.get_mut(&file.manifest_path) {
                *used = clock;
                return Ok(Arc::clone(manifest));
            }
        }
        let manifest = Arc::new(match file.key_metadata {
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
        });
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let clock = cache.tick();
        let size = file.manifest_length.max(0);
        if size <= BYTES_CACHED_MAX
            && cache.manifests.insert(file.manifest_path.clone(), (clock, size, Arc::clone(&manifest))).is_none()
        {
            cache.manifest_bytes += size;
        }
        while cache.manifest_bytes > BYTES_CACHED_MAX {
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
        if self.cache.lock().unwrap_or_else(PoisonError::into_inner).sound.contains(manifest) {
            return Ok(true);
        }
        let sound = avro_names::is_sound(&self.store.read(manifest).await?)?;
        if sound {
            self.note_sound(manifest);
        }
        Ok(sound)
    }

    pub(crate) fn note_sound(&self, manifest: &str) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.sound.len() >= SOUND_CACHED_MAX {
            cache.sound.clear();
        }
        cache.sound.insert(manifest.to_string());
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
