//! Parquet files of a lake as DataFusion opens them.
//!
//! Invariants
//! * Files never change, so that their footers are cached by location.
//!
//! Not here: what their columns are called (`adapt`), which rows are read (`provider`).

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::ObjectMeta;

use crate::error::external;
use crate::lake::Lake;

/// Opens the Parquet files of a lake.
#[derive(Clone)]
pub(crate) struct ParquetFiles {
    lake: Lake,
    reader: Arc<dyn ParquetFileReaderFactory>,
}

impl fmt::Debug for ParquetFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParquetFiles({:?})", self.lake)
    }
}

impl ParquetFiles {
    /// Files whose footers are cached by `env`.
    pub(crate) fn of(lake: &Lake, env: &RuntimeEnv) -> Self {
        let cache = env.cache_manager.get_file_metadata_cache();
        let reader = Arc::new(CachedParquetFileReaderFactory::new(lake.object_store(), cache));
        Self { lake: lake.clone(), reader }
    }

    /// What opens them as they are.
    pub(crate) fn reader(&self) -> Arc<dyn ParquetFileReaderFactory> {
        Arc::clone(&self.reader)
    }

    /// The lake they lie in.
    pub(crate) fn lake(&self) -> &Lake {
        &self.lake
    }

    /// A file of so many bytes.
    ///
    /// # Errors
    /// A location outside the store.
    pub(crate) fn file(&self, path: &str, size: u64) -> Result<PartitionedFile> {
        let location = self.lake.object_path(path).map_err(external)?;
        // One time stamp does for the footer cache.
        Ok(PartitionedFile::new_from_meta(ObjectMeta {
            location,
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size,
            e_tag: None,
            version: None,
        }))
    }
}
