//! The metadata files of a lake: written once, read through a cache.
//!
//! Invariants
//! * A metadata file never changes, so its parsed form is cached by location.
//! * A file is durable when `write` returns.
//!
//! Not here: which file a table has now (`catalog::sql`), what is wrong with one that does not parse (`metadata_file`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use iceberg::MetadataLocation;
use iceberg::io::FileIO;
use iceberg::spec::TableMetadata;

use crate::catalog::metadata_file::{self, Parsed};
use crate::error::Result;
use crate::store::Store;

/// How many parsed metadata files are kept of one table: the newest, and one that somebody may still plan with.
const CACHED_MAX: usize = 2;

/// The metadata files of one store.
pub(crate) struct MetadataFiles {
    store: Arc<Store>,
    file_io: FileIO,
    cache: Mutex<Cache>,
}

/// Parsed files by location, each with when it was last used.
#[derive(Default)]
struct Cache {
    files: HashMap<String, (u64, Parsed)>,
    clock: u64,
}

impl MetadataFiles {
    pub(crate) fn of(store: &Arc<Store>) -> Self {
        MetadataFiles { store: Arc::clone(store), file_io: store.file_io(), cache: Mutex::default() }
    }

    /// What a metadata file holds.
    ///
    /// # Errors
    /// As `metadata_file::read`.
    pub(crate) async fn read(&self, location: &str) -> Result<Parsed> {
        if let Some(parsed) = self.cached(location) {
            return Ok(parsed);
        }
        let parsed = metadata_file::read(&self.store, location).await?;
        self.keep(location, parsed.clone());
        Ok(parsed)
    }

    /// Writes a metadata file. One that fails may be there in part, and is to be deleted.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn write(&self, location: &MetadataLocation, metadata: &TableMetadata) -> Result<()> {
        Ok(metadata.write_to(&self.file_io, location).await?)
    }

    /// Deletes a metadata file that certainly no table has; one that stays is only reported.
    pub(crate) async fn discard(&self, location: &str) {
        if let Err(error) = self.store.delete(location).await {
            tracing::debug!(location, %error, "metadata of a failed attempt not deleted");
        }
    }

    /// Deletes a metadata file that its table's log no longer names; one that stays is only reported.
    pub(crate) async fn delete_old(&self, location: &str) {
        if let Err(error) = self.store.delete(location).await {
            tracing::warn!(location, %error, "old table metadata not deleted");
        }
    }

    fn cached(&self, location: &str) -> Option<Parsed> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.clock += 1;
        let clock = cache.clock;
        let (used, parsed) = cache.files.get_mut(location)?;
        *used = clock;
        Some(parsed.clone())
    }

    /// Keeps the parsed form of a file of ours.
    pub(crate) fn note(&self, location: &str, metadata: &Arc<TableMetadata>) {
        self.keep(location, Parsed::whole(metadata));
    }

    fn keep(&self, location: &str, parsed: Parsed) {
        let uuid = parsed.metadata.uuid();
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.clock += 1;
        let clock = cache.clock;
        cache.files.insert(location.to_string(), (clock, parsed));
        let of_table = || cache.files.iter().filter(|(_, (_, other))| other.metadata.uuid() == uuid);
        if of_table().count() > CACHED_MAX {
            let oldest = of_table().min_by_key(|(_, (used, _))| *used).map(|(location, _)| location.clone());
            if let Some(location) = oldest {
                cache.files.remove(&location);
            }
        }
    }

    /// Forgets the parsed form of a file.
    pub(crate) fn forget(&self, location: &str) {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).files.remove(location);
    }
}
