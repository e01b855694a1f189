//! What a snapshot's summary counts.
//!
//! Invariants
//! * Live files and rows are counted from the manifests themselves, so they are right whoever made the
//!   parent; sizes and deletes run on from the parent's totals.
//!
//! Not here: our own properties (`ingot_model::Record`).

use std::collections::HashSet;

use iceberg::spec::{DataContentType, DataFile, ManifestContentType, ManifestFile};
use ingot_model::{Count, Record, SnapshotInfo};

/// What a snapshot's summary counts: this change, and running totals.
pub(crate) fn counts(
    added: &[DataFile],
    removed: &[DataFile],
    manifests: &[ManifestFile],
    parent: Option<&SnapshotInfo>,
) -> Record {
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
    let mut record = Record::default();
    for (of, value) in [
        (Count::AddedDataFiles, added.len() as u64),
        (Count::AddedRecords, rows(added)),
        (Count::AddedBytes, added_size),
        (Count::DeletedDataFiles, removed.iter().filter(is_data).count() as u64),
        (Count::DeletedRecords, rows(removed)),
        (Count::RemovedBytes, removed_size),
        (Count::RemovedDeleteFiles, position_files + equality_files),
        (Count::RemovedPositionDeletes, position_deletes),
        (Count::RemovedEqualityDeletes, equality_deletes),
        (Count::ChangedPartitions, partitions.len() as u64),
    ] {
        if value > 0 {
            record.set_count(of, value);
        }
    }
    // Files and rows are known from the manifests themselves; the rest runs on from the parent.
    let live = |content: ManifestContentType, of: fn(&ManifestFile) -> u64| {
        manifests.iter().filter(|m| m.content == content).map(of).sum::<u64>()
    };
    let files =
        |m: &ManifestFile| u64::from(m.added_files_count.unwrap_or(0)) + u64::from(m.existing_files_count.unwrap_or(0));
    let records = |m: &ManifestFile| m.added_rows_count.unwrap_or(0) + m.existing_rows_count.unwrap_or(0);
    let before = |of| parent.and_then(|p| p.count(of).ok().flatten()).unwrap_or(0);
    let running = |of, plus: u64, minus: u64| (before(of) + plus).saturating_sub(minus);
    for (of, value) in [
        (Count::TotalDataFiles, live(ManifestContentType::Data, files)),
        (Count::TotalRecords, live(ManifestContentType::Data, records)),
        (Count::TotalDeleteFiles, live(ManifestContentType::Deletes, files)),
        (Count::TotalBytes, running(Count::TotalBytes, added_size, removed_size)),
        (Count::TotalPositionDeletes, running(Count::TotalPositionDeletes, 0, position_deletes)),
        (Count::TotalEqualityDeletes, running(Count::TotalEqualityDeletes, 0, equality_deletes)),
    ] {
        record.set_count(of, value);
    }
    record.set_engine(env!("CARGO_PKG_VERSION"));
    record
}
