//! How much memory parsed manifests and lists take.
//!
//! Invariants
//! * What is said is near what the allocator is asked for; the table's schema, which each manifest brings along, is a guess by
//!   its columns.
//!
//! Not here: what is kept (`manifests`).

use std::collections::HashMap;
use std::mem::{size_of, size_of_val};

use iceberg::spec::{DataFile, Datum, FieldSummary, Literal, Manifest, ManifestEntry, ManifestFile, PrimitiveLiteral};

/// What a column of a schema takes: its field, and its places in the indexes by id and by name.
const COLUMN_BYTES: usize = 800;
/// What the allocator and a shared pointer take beside a block.
const BLOCK_BYTES: usize = 32;

/// What a parsed manifest takes.
pub(crate) fn manifest_bytes(manifest: &Manifest) -> usize {
    let columns = manifest.metadata().schema().as_struct().fields().len();
    let entries = manifest
        .entries()
        .iter()
        .map(|entry| size_of::<ManifestEntry>() + size_of::<usize>() + BLOCK_BYTES + file_bytes(entry.data_file()));
    columns * COLUMN_BYTES + entries.sum::<usize>()
}

/// What a parsed list takes.
pub(crate) fn list_bytes(list: &[ManifestFile]) -> usize {
    let of = |file: &ManifestFile| {
        let summaries = file.partitions.as_deref().unwrap_or_default().iter().map(|summary| {
            let bound = |bound: Option<usize>| bound.map_or(0, |len| len + BLOCK_BYTES);
            size_of::<FieldSummary>()
                + bound(summary.lower_bound.as_ref().map(|bound| bound.len()))
                + bound(summary.upper_bound.as_ref().map(|bound| bound.len()))
        });
        size_of::<ManifestFile>() + file.manifest_path.len() + BLOCK_BYTES + summaries.sum::<usize>()
    };
    list.iter().map(of).sum()
}

/// What a data file takes beyond its own size.
fn file_bytes(file: &DataFile) -> usize {
    let counts = [file.column_sizes(), file.value_counts(), file.null_value_counts(), file.nan_value_counts()];
    let bounds = [file.lower_bounds(), file.upper_bounds()];
    let blobs = bounds.iter().flat_map(|bounds| bounds.values()).map(|bound| literal_bytes(bound.literal()));
    let partition = file.partition().fields().iter().flatten().map(|value| match value {
        Literal::Primitive(value) => literal_bytes(value),
        _ => 0,
    });
    let offsets = file.split_offsets().map_or(0, |offsets| size_of_val(offsets) + BLOCK_BYTES);
    file.file_path().len()
        + BLOCK_BYTES
        + counts.iter().map(|of| table_bytes(of, size_of::<(i32, u64)>())).sum::<usize>()
        + bounds.iter().map(|of| table_bytes(of, size_of::<(i32, Datum)>())).sum::<usize>()
        + blobs.sum::<usize>()
        + size_of_val(file.partition().fields())
        + partition.sum::<usize>()
        + offsets
}

fn literal_bytes(value: &PrimitiveLiteral) -> usize {
    match value {
        PrimitiveLiteral::String(text) => text.len() + BLOCK_BYTES,
        PrimitiveLiteral::Binary(bytes) => bytes.len() + BLOCK_BYTES,
        _ => 0,
    }
}

/// A hash table has a power of two of places, an eighth of them empty, and a byte beside each.
fn table_bytes<V>(of: &HashMap<i32, V>, place_bytes: usize) -> usize {
    match of.capacity() {
        0 => 0,
        entries => (entries * 8 / 7).next_power_of_two() * (place_bytes + 1) + BLOCK_BYTES,
    }
}
