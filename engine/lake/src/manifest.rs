//! Manifests of a commit: those carried over, those rewritten, the new one.
//!
//! ```text
//!   base's manifests ──▶ untouched: carried    holding removed files: rewritten    no live file: dropped
//!                            └── more than 100: merged up to 8 MiB each
//!   added files ───────▶ one new manifest
//! ```
//!
//! Invariants
//! * A rewritten entry keeps its snapshot id and both sequence numbers.
//! * A manifest is rewritten with the schema and spec it was written with, so columns that are gone
//!   from the current schema do not matter.
//! * All files to remove are found, or nothing is written.
//!
//! Not here: the snapshot and the metadata (`commit`).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use iceberg::spec::{
    DataFile, FormatVersion, Manifest, ManifestContentType, ManifestEntryRef, ManifestFile, ManifestList,
    ManifestWriter, ManifestWriterBuilder, PartitionSpec, SchemaRef, SnapshotRef, TableMetadata,
};
use uuid::Uuid;

use crate::error::{LakeError, Result};
use crate::lake::Lake;

/// With more manifests than this, a commit merges small ones.
pub(crate) const MANIFESTS_MAX: usize = 100;
/// A merged manifest is not made larger than this.
const MERGED_BYTES_MAX: i64 = 8 << 20;

/// A manifest as the list names it, and what is in it.
type Loaded = (ManifestFile, Arc<Manifest>);

/// The manifests of a snapshot.
pub(crate) async fn load_list(
    lake: &Lake,
    metadata: &TableMetadata,
    snapshot: &SnapshotRef,
) -> Result<Vec<ManifestFile>> {
    let bytes = lake.0.store.read(snapshot.manifest_list()).await?;
    let list = ManifestList::parse_with_version(&bytes, metadata.format_version())?;
    Ok(list.consume_entries().into_iter().collect())
}

/// Which files a commit takes away.
#[derive(Debug, Clone, Default)]
pub(crate) struct Removal {
    pub(crate) all: bool,
    pub(crate) paths: HashSet<String>,
}

/// Builds the manifests of one attempt at a commit.
pub(crate) struct ManifestSet<'a> {
    lake: &'a Lake,
    location: String,
    snapshot_id: i64,
    commit: Uuid,
    written: usize,
    /// Files to delete if the attempt certainly failed.
    pub(crate) paths: Vec<String>,
    /// The result, in order.
    pub(crate) manifests: Vec<ManifestFile>,
    /// Data and delete files that were taken away.
    pub(crate) removed: Vec<DataFile>,
}

impl<'a> ManifestSet<'a> {
    pub(crate) fn new(lake: &'a Lake, metadata: &TableMetadata, snapshot_id: i64) -> Self {
        ManifestSet {
            lake,
            location: metadata.location().to_string(),
            snapshot_id,
            commit: Uuid::now_v7(),
            written: 0,
            paths: Vec::new(),
            manifests: Vec::new(),
            removed: Vec::new(),
        }
    }

    /// Takes over the base's manifests, without the files to remove. Gives the paths that were not found.
    pub(crate) async fn carry(&mut self, base: Vec<ManifestFile>, removal: &Removal) -> Result<Vec<String>> {
        let mut missing = removal.paths.clone();
        for file in base {
            if !file.has_added_files() && !file.has_existing_files() {
                continue;
            }
            let is_data = file.content == ManifestContentType::Data;
            // Delete files go with the data file they name; those that name none go with all of it.
            let concerned = removal.all || !removal.paths.is_empty() && (!is_data || !missing.is_empty());
            if !concerned {
                self.manifests.push(file);
                continue;
            }
            let manifest = self.load(&file).await?;
            let goes = |entry: &ManifestEntryRef| {
                let path = if is_data {
                    Some(entry.file_path().to_string())
                } else {
                    entry.data_file().referenced_data_file()
                };
                removal.all || path.is_some_and(|path| removal.paths.contains(&path))
            };
            if !manifest.entries().iter().any(|entry| entry.is_alive() && goes(entry)) {
                self.manifests.push(file);
                continue;
            }
            let mut writer = self.writer_like(&manifest, file.content)?;
            for entry in manifest.entries().iter().filter(|entry| entry.is_alive()) {
                let (snapshot, sequence) = lineage(entry)?;
                let data_file = entry.data_file().clone();
                if goes(entry) {
                    missing.remove(entry.file_path());
                    self.removed.push(data_file.clone());
                    writer.add_delete_file(data_file, sequence, entry.file_sequence_number)?;
                } else {
                    writer.add_existing_file(data_file, snapshot, sequence, entry.file_sequence_number)?;
                }
            }
            self.manifests.push(writer.write_manifest_file().await?);
        }
        Ok(missing.into_iter().collect())
    }

    /// Merges small manifests of data files when there are too many.
    pub(crate) async fn merge(&mut self) -> Result<()> {
        let own = self.snapshot_id;
        let data = |file: &ManifestFile| file.content == ManifestContentType::Data;
        if self.manifests.iter().filter(|file| data(file)).count() <= MANIFESTS_MAX {
            return Ok(());
        }
        // Entries of this commit stay where they are: their status is still "added" or "deleted".
        let (candidates, mut kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.manifests).into_iter().partition(|file| {
                data(file) && file.added_snapshot_id != own && file.manifest_length < MERGED_BYTES_MAX / 2
            });
        // One bin holds manifests of one spec and one schema.
        let mut bins: BTreeMap<(i32, i32), Vec<Loaded>> = BTreeMap::new();
        let mut merged = Vec::new();
        for file in candidates {
            let manifest = self.load(&file).await?;
            let key = (file.partition_spec_id, manifest.metadata().schema_id());
            let bin = bins.entry(key).or_default();
            let size: i64 = bin.iter().map(|(file, _)| file.manifest_length).sum();
            if size + file.manifest_length > MERGED_BYTES_MAX {
                let full = std::mem::take(bin);
                merged.push(self.merge_bin(full).await?);
            }
            bins.entry(key).or_default().push((file, manifest));
        }
        for (_, bin) in bins {
            merged.push(self.merge_bin(bin).await?);
        }
        merged.append(&mut kept);
        self.manifests = merged;
        Ok(())
    }

    async fn merge_bin(&mut self, mut bin: Vec<Loaded>) -> Result<ManifestFile> {
        if bin.len() == 1
            && let Some((file, _)) = bin.pop()
        {
            return Ok(file);
        }
        let Some((first, model)) = bin.first() else {
            return Err(LakeError::Corrupt("no manifest to merge".into()));
        };
        let mut writer = self.writer_like(model, first.content)?;
        for (_, manifest) in &bin {
            for entry in manifest.entries().iter().filter(|entry| entry.is_alive()) {
                let (snapshot, sequence) = lineage(entry)?;
                let file = entry.data_file().clone();
                writer.add_existing_file(file, snapshot, sequence, entry.file_sequence_number)?;
            }
        }
        Ok(writer.write_manifest_file().await?)
    }

    /// Writes the manifest of the added files, all of one spec.
    pub(crate) async fn add(&mut self, files: &[DataFile], schema: &SchemaRef, spec: &PartitionSpec) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        let builder = self.builder(schema, spec)?;
        let mut writer = builder.build_v2_data();
        for file in files {
            // Below zero: the sequence number is this commit's.
            writer.add_file(file.clone(), -1)?;
        }
        self.manifests.push(writer.write_manifest_file().await?);
        Ok(())
    }

    async fn load(&self, file: &ManifestFile) -> Result<Arc<Manifest>> {
        self.lake.manifest(file).await
    }

    fn writer_like(&mut self, manifest: &Manifest, content: ManifestContentType) -> Result<ManifestWriter> {
        let metadata = manifest.metadata();
        let builder = self.builder(metadata.schema(), metadata.partition_spec())?;
        Ok(match content {
            ManifestContentType::Data => builder.build_v2_data(),
            ManifestContentType::Deletes => builder.build_v2_deletes(),
        })
    }

    fn builder(&mut self, schema: &SchemaRef, spec: &PartitionSpec) -> Result<ManifestWriterBuilder> {
        let path = format!("{}/metadata/{}-m{}.avro", self.location, self.commit, self.written);
        self.written += 1;
        self.paths.push(path.clone());
        let output = self.lake.file_io().new_output(path)?;
        Ok(ManifestWriterBuilder::new(output, Some(self.snapshot_id), SchemaRef::clone(schema), spec.clone()))
    }
}

/// The snapshot and sequence number that an entry was added with.
fn lineage(entry: &ManifestEntryRef) -> Result<(i64, i64)> {
    match (entry.snapshot_id(), entry.sequence_number()) {
        (Some(snapshot), Some(sequence)) => Ok((snapshot, sequence)),
        _ => Err(LakeError::Corrupt(format!(
            "manifest entry of \"{}\" has no snapshot or sequence number",
            entry.file_path()
        ))),
    }
}

/// Refuses tables that this version reads but does not write.
pub(crate) fn check_version(metadata: &TableMetadata) -> Result<()> {
    match metadata.format_version() {
        FormatVersion::V2 => Ok(()),
        other => Err(LakeError::Unsupported(format!(
            "writing to a table of Iceberg format version {}; version 2 is written",
            other as u8
        ))),
    }
}
