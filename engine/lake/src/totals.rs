//! What a snapshot's summary counts.
//!
//! Invariants
//! * Live files and rows are counted from the manifests themselves, so they are right whoever made the
//!   parent; sizes and deletes run on from the parent's totals.
//!
//! Not here: our own summary properties (`summary`).

use std::collections::{HashMap, HashSet};

use iceberg::spec::{DataContentType, DataFile, ManifestContentType, ManifestFile};

use crate::summary;

/// What a snapshot's summary counts: this change, and running totals.
pub(crate) fn counts(
    added: &[DataFile],
    removed: &[DataFile],
    manifests: &[ManifestFile],
    parent: Option<&HashMap<String, String>>,
) -> HashMap<String, String> {
    let is_data = |file: &&DataFile| file.content_type() == DataContentType::Data;
    let sum = |files: &[DataFile], of: fn(&DataFile) -> u64| files.iter().map(of).sum::<u64>();
    let rows = |files: &[DataFile]| files.iter().filter(is_data).map(DataFile::record_count).sum::<u64>();
    let deletes = |content: DataContentType| {
        let of = removed.iter().filter(move |file| file.content_type() == content);
        (of.clone().count() as u64, of.map(DataFile::record_count).sum::<u64>())
    };
    let (position_files, position_deletes) = deletes(DataContentType::PositionDeletes);
    let (equality_files, equality_deletes) = deletes(DataContentType::EqualityDeletes);
    let added_size = sum(added, DataFile::file_size_in_bytes);
    let removed_size = sum(removed, DataFile::file_size_in_bytes);
    let partitions: HashSet<_> = added.iter().chain(removed).map(|file| file.partition().clone()).collect();
    let mut properties = HashMap::new();
    for (name, value) in [
        ("added-data-files", added.len() as u64),
        ("added-records", rows(added)),
        ("added-files-size", added_size),
        ("deleted-data-files", removed.iter().filter(is_data).count() as u64),
        ("deleted-records", rows(removed)),
        ("removed-files-size", removed_size),
        ("removed-delete-files", position_files + equality_files),
        ("removed-position-deletes", position_deletes),
        ("removed-equality-deletes", equality_deletes),
        ("changed-partition-count", partitions.len() as u64),
    ] {
        if value > 0 {
            properties.insert(name.to_string(), value.to_string());
        }
    }
    // Files and rows are known from the manifests themselves; the rest runs on from the parent.
    let live = |content: ManifestContentType, of: fn(&ManifestFile) -> u64| {
        manifests.iter().filter(|m| m.content == content).map(of).sum::<u64>()
    };
    let files =
        |m: &ManifestFile| u64::from(m.added_files_count.unwrap_or(0)) + u64::from(m.existing_files_count.unwrap_or(0));
    let records = |m: &ManifestFile| m.added_rows_count.unwrap_or(0) + m.existing_rows_count.unwrap_or(0);
    let before = |name: &str| parent.and_then(|p| p.get(name)).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
    let running = |name: &str, plus: u64, minus: u64| (before(name) + plus).saturating_sub(minus);
    for (name, value) in [
        ("total-data-files", live(ManifestContentType::Data, files)),
        ("total-records", live(ManifestContentType::Data, records)),
        ("total-delete-files", live(ManifestContentType::Deletes, files)),
        ("total-files-size", running("total-files-size", added_size, removed_size)),
        ("total-position-deletes", running("total-position-deletes", 0, position_deletes)),
        ("total-equality-deletes", running("total-equality-deletes", 0, equality_deletes)),
    ] {
        properties.insert(name.to_string(), value.to_string());
    }
    properties.insert(summary::ENGINE_NAME.into(), summary::ENGINE.into());
    properties.insert(summary::ENGINE_VERSION.into(), env!("CARGO_PKG_VERSION").into());
    properties
}
