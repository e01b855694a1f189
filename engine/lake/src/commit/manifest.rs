//! Manifests of a commit: those carried over, those rewritten, the new one.
//!
//! ```text
//!   base's manifests ──▶ untouched: carried    holding removed files: rewritten    no live file: dropped
//!                            └── more than 100 small ones: merged up to 8 MiB each
//!   added files ───────▶ one new manifest          added deletes ──▶ one for each partition spec of their data files
//! ```
//!
//! Invariants
//! * A rewritten entry keeps its snapshot id and both sequence numbers.
//! * A manifest is rewritten with the schema and spec it was written with, so columns that are gone
//!   from the current schema do not matter.
//! * All files to remove are found, or nothing is written.
//! * In format version 3 each entry that was there before has its first row id in it; new ones get theirs by the list.
//! * Partition field names are ones that Avro takes, in manifests carried over as well.
//!
//! Not here: the snapshot and the metadata (`commit`).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use iceberg::io::FileIO;
use iceberg::spec::{
    DataFile, DataFileFormat, FormatVersion, Manifest, ManifestContentType, ManifestEntryRef, ManifestFile,
    ManifestWriter, ManifestWriterBuilder, PartitionSpec, SchemaRef, TableMetadata,
};
use uuid::Uuid;

use crate::deletes::file::{Identity, canonical};
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::table::avro_names::{self, all_plain};

/// With more small manifests than this, a commit merges them.
pub(crate) const MANIFESTS_MAX: usize = 100;
/// A merged manifest is not made larger than this.
const MERGED_BYTES_MAX: i64 = 8 << 20;

/// A manifest as the list names it, and what is in it.
type Loaded = (ManifestFile, Arc<Manifest>);

/// Which files a commit takes away.
#[derive(Debug, Clone, Default)]
pub(crate) struct Removal {
    pub(crate) all: bool,
    /// Data files.
    pub(crate) paths: HashSet<String>,
    /// Delete files that others replace.
    pub(crate) deletes: HashSet<Identity>,
}

/// Builds the manifests of one attempt at a commit.
pub(crate) struct ManifestSet<'a> {
    lake: &'a Lake,
    metadata: &'a TableMetadata,
    /// Of the snapshot to come.
    version: FormatVersion,
    snapshot_id: i64,
    commit: Uuid,
    written: usize,
    /// Files to delete if the attempt certainly failed.
    paths: &'a mut Vec<String>,
    /// The result, in order.
    pub(crate) manifests: Vec<ManifestFile>,
    /// Data and delete files that were taken away.
    pub(crate) removed: Vec<DataFile>,
}

impl<'a> ManifestSet<'a> {
    pub(crate) fn new(
        lake: &'a Lake,
        metadata: &'a TableMetadata,
        version: FormatVersion,
        snapshot_id: i64,
        paths: &'a mut Vec<String>,
    ) -> Self {
        ManifestSet {
            lake,
            metadata,
            version,
            snapshot_id,
            commit: Uuid::now_v7(),
            written: 0,
            paths,
            manifests: Vec::new(),
            removed: Vec::new(),
        }
    }

    /// Takes over the base's manifests, without the files to remove. Gives the paths that were not found.
    pub(crate) async fn carry(&mut self, base: Vec<ManifestFile>, removal: &Removal) -> Result<Vec<String>> {
        let (mut missing, mut replaced) = (removal.paths.clone(), removal.deletes.clone());
        for file in base {
            if !file.has_added_files() && !file.has_existing_files() {
                continue;
            }
            let is_data = file.content == ManifestContentType::Data;
            // Delete files go with the data file they name; those that name none go with all of it.
            let concerned = removal.all
                || !removal.paths.is_empty() && (!is_data || !missing.is_empty())
                || !is_data && !replaced.is_empty();
            if !concerned {
                self.keep(file).await?;
                continue;
            }
            let manifest = self.load(&file).await?;
            let goes = |entry: &ManifestEntryRef| {
                let path = if is_data {
                    Some(entry.file_path().to_string())
                } else {
                    entry.data_file().referenced_data_file()
                };
                removal.all
                    || path.is_some_and(|path| removal.paths.contains(&path))
                    || !is_data && removal.deletes.contains(&identity(entry.data_file()))
            };
            if !manifest.entries().iter().any(|entry| entry.is_alive() && goes(entry)) {
                self.keep(file).await?;
                continue;
            }
            let mut open = self.open_like(&manifest, &file)?;
            for entry in manifest.entries().iter().filter(|entry| entry.is_alive()) {
                let (snapshot, sequence) = lineage(entry)?;
                let data_file = entry.data_file().clone();
                if goes(entry) {
                    if is_data {
                        missing.remove(entry.file_path());
                    } else {
                        replaced.remove(&identity(entry.data_file()));
                    }
                    self.removed.push(data_file.clone());
                    open.writer.add_delete_file(data_file, sequence, entry.file_sequence_number)?;
                } else {
                    open.writer.add_existing_file(data_file, snapshot, sequence, entry.file_sequence_number)?;
                }
            }
            self.manifests.push(open.finish(self.lake).await?);
        }
        Ok(missing.into_iter().chain(replaced.into_iter().map(|(path, _)| path)).collect())
    }

    /// Takes over a manifest as it is, but for partition field names that other readers would stumble over.
    async fn keep(&mut self, file: ManifestFile) -> Result<()> {
        let spec = self.metadata.partition_spec_by_id(file.partition_spec_id);
        let kept = match spec.is_none_or(|spec| all_plain(spec))
            || self.lake.0.manifests.is_sound(&file.manifest_path).await?
        {
            true => file,
            false => {
                let manifest = self.load(&file).await?;
                self.rewrite(&[(file, manifest)]).await?
            }
        };
        self.manifests.push(kept);
        Ok(())
    }

    /// Merges small manifests when there are too many, or in any case.
    pub(crate) async fn merge(&mut self, always: bool) -> Result<()> {
        let own = self.snapshot_id;
        // Entries of this commit stay where they are: their status is still "added" or "deleted". Full ones stay, too,
        // however many there are: merging them would give as many again.
        // Where it is asked for, entries of files that are gone go as well: they hold bounds of what was in them.
        let goes = |file: &ManifestFile| {
            (is_small(file) || always && file.has_deleted_files()) && file.added_snapshot_id != own
        };
        if !always && self.manifests.iter().filter(|file| goes(file)).count() <= MANIFESTS_MAX {
            return Ok(());
        }
        let (candidates, mut kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.manifests).into_iter().partition(goes);
        // One bin holds manifests of one content, one spec and one schema.
        let mut bins: BTreeMap<(bool, i32, i32), Vec<Loaded>> = BTreeMap::new();
        let mut merged = Vec::new();
        for file in candidates {
            let manifest = self.load(&file).await?;
            let is_data = file.content == ManifestContentType::Data;
            let key = (is_data, file.partition_spec_id, manifest.metadata().schema_id());
            let bin = bins.entry(key).or_default();
            let size: i64 = bin.iter().map(|(file, _)| file.manifest_length).sum();
            if !bin.is_empty() && size + file.manifest_length > MERGED_BYTES_MAX {
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
            && bin.iter().all(|(file, _)| !file.has_deleted_files())
            && let Some((file, _)) = bin.pop()
        {
            return Ok(file);
        }
        self.rewrite(&bin).await
    }

    /// Writes the live entries of some manifests, of one spec and content, into one.
    async fn rewrite(&mut self, bin: &[Loaded]) -> Result<ManifestFile> {
        let Some((first, model)) = bin.first() else {
            return Err(LakeError::Corrupt("no manifest to merge".into()));
        };
        let mut open = self.open_like(model, first)?;
        for (_, manifest) in bin {
            for entry in manifest.entries().iter().filter(|entry| entry.is_alive()) {
                let (snapshot, sequence) = lineage(entry)?;
                let file = entry.data_file().clone();
                open.writer.add_existing_file(file, snapshot, sequence, entry.file_sequence_number)?;
            }
        }
        open.finish(self.lake).await
    }

    /// Writes the manifest of the added files, all of one spec.
    pub(crate) async fn add(&mut self, files: &[DataFile], schema: &SchemaRef, spec: &PartitionSpec) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        let mut open = self.open(schema, spec, ManifestContentType::Data)?;
        for file in files {
            // Below zero: the sequence number is this commit's.
            open.writer.add_file(file.clone(), -1)?;
        }
        self.manifests.push(open.finish(self.lake).await?);
        Ok(())
    }

    /// Writes the manifests of the added deletes, one for each partition spec.
    pub(crate) async fn add_deletes(
        &mut self,
        files: &[(i32, DataFile)],
        schema: &SchemaRef,
        metadata: &TableMetadata,
    ) -> Result<()> {
        let mut specs: BTreeMap<i32, Vec<&DataFile>> = BTreeMap::new();
        for (spec_id, file) in files {
            specs.entry(*spec_id).or_default().push(file);
        }
        for (spec_id, files) in specs {
            let Some(spec) = metadata.partition_spec_by_id(spec_id) else {
                return Err(LakeError::Corrupt(format!("deletes of a partition spec {spec_id} that is not there")));
            };
            // A column of an older spec may be gone from the current schema.
            let has_columns = spec.fields().iter().all(|field| schema.field_by_id(field.source_id).is_some());
            let older = || {
                metadata
                    .schemas_iter()
                    .find(|schema| spec.fields().iter().all(|field| schema.field_by_id(field.source_id).is_some()))
            };
            let schema = if has_columns { Some(schema) } else { older() };
            let Some(schema) = schema else {
                return Err(LakeError::Corrupt(format!("no schema has the columns of partition spec {spec_id}")));
            };
            let mut open = self.open(schema, spec, ManifestContentType::Deletes)?;
            for file in files {
                open.writer.add_file(file.clone(), -1)?;
            }
            self.manifests.push(open.finish(self.lake).await?);
        }
        Ok(())
    }

    async fn load(&self, file: &ManifestFile) -> Result<Arc<Manifest>> {
        self.lake.manifest(file).await
    }

    fn open_like(&mut self, manifest: &Manifest, file: &ManifestFile) -> Result<OpenManifest> {
        let own = manifest.metadata();
        // The table's: names in the manifest may be the parser's.
        let spec = self.metadata.partition_spec_by_id(file.partition_spec_id);
        self.open(own.schema(), spec.map_or(own.partition_spec(), |spec| spec.as_ref()), file.content)
    }

    fn open(&mut self, schema: &SchemaRef, spec: &PartitionSpec, content: ManifestContentType) -> Result<OpenManifest> {
        let path = format!("{}/metadata/{}-m{}.avro", self.metadata.location(), self.commit, self.written);
        self.written += 1;
        self.paths.push(path.clone());
        let (output, core_spec, named) = if all_plain(spec) {
            (self.lake.file_io().new_output(path)?, spec.clone(), None)
        } else {
            let io = FileIO::new_with_memory();
            let output = io.new_output(&path)?;
            (output, avro_names::neutral(spec, schema)?, Some((io, spec.clone())))
        };
        let builder = ManifestWriterBuilder::new(output, Some(self.snapshot_id), SchemaRef::clone(schema), core_spec);
        let writer = match (self.version, content) {
            (FormatVersion::V3, ManifestContentType::Data) => builder.build_v3_data(),
            (FormatVersion::V3, ManifestContentType::Deletes) => builder.build_v3_deletes(),
            (_, ManifestContentType::Data) => builder.build_v2_data(),
            (_, ManifestContentType::Deletes) => builder.build_v2_deletes(),
        };
        Ok(OpenManifest { writer, named })
    }
}

/// Whether a manifest is worth merging with others.
pub(crate) fn is_small(file: &ManifestFile) -> bool {
    file.manifest_length < MERGED_BYTES_MAX / 2
}

/// What tells a file of deletes apart.
fn identity(file: &DataFile) -> Identity {
    let offset = match file.file_format() {
        DataFileFormat::Puffin => file.content_offset().and_then(|n| u64::try_from(n).ok()),
        _ => None,
    };
    (canonical(file.file_path()).to_owned(), offset)
}

/// A manifest that is being written.
struct OpenManifest {
    writer: ManifestWriter,
    /// Where it is written first, and the spec whose names it is to have, if Avro does not take them.
    named: Option<(FileIO, PartitionSpec)>,
}

impl OpenManifest {
    async fn finish(self, lake: &Lake) -> Result<ManifestFile> {
        let mut file = self.writer.write_manifest_file().await?;
        if let Some((io, spec)) = self.named {
            let bytes = io.new_input(&file.manifest_path)?.read().await?;
            let bytes = avro_names::written(&bytes, &spec)?;
            file.manifest_length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
            lake.0.store.write(&file.manifest_path, bytes).await?;
            lake.0.manifests.note_sound(&file.manifest_path);
        }
        Ok(file)
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
        FormatVersion::V2 | FormatVersion::V3 => Ok(()),
        FormatVersion::V1 => Err(LakeError::Unsupported(
            "writing to a table of Iceberg format version 1; versions 2 and 3 are written".into(),
        )),
    }
}
