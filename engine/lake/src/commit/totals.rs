//! What a snapshot's summary counts.
//!
//! Invariants
//! * Live files and rows are counted from the manifests themselves, so they are right whoever made the
//!   parent; sizes and deletes run on from the parent's totals.
//!
//! Not here: our own properties (`ingot_model::Record`).

use std::collections::HashSet;

use iceberg::spec::{DataContentType, DataFile, DataFileFormat, ManifestContentType, ManifestFile};
use ingot_model::{Count, Record, SnapshotInfo};

/// What a snapshot's summary counts: this change, and running totals. `added` and `removed` hold files of rows and of deletes.
pub(crate) fn counts(
    added: &[DataFile],
    removed: &[DataFile],
    manifests: &[ManifestFile],
    parent: Option<&SnapshotInfo>,
) -> Record {
    let came = Files::of(added);
    let went = Files::of(removed);
    let partitions: HashSet<_> = added.iter().chain(removed).map(|file| file.partition().clone()).collect();
    let mut record = Record::default();
    for (of, value) in [
        (Count::AddedDataFiles, came.data),
        (Count::AddedRecords, came.rows),
        (Count::AddedBytes, came.bytes),
        (Count::AddedDeleteFiles, came.positions + came.vectors + came.equality),
        (Count::AddedPositionDeleteFiles, came.positions),
        (Count::AddedVectors, came.vectors),
        (Count::AddedPositionDeletes, came.positions_in),
        (Count::DeletedDataFiles, went.data),
        (Count::DeletedRecords, went.rows),
        (Count::RemovedBytes, went.bytes),
        (Count::RemovedDeleteFiles, went.positions + went.vectors + went.equality),
        (Count::RemovedPositionDeleteFiles, went.positions),
        (Count::RemovedVectors, went.vectors),
        (Count::RemovedPositionDeletes, went.positions_in),
        (Count::RemovedEqualityDeleteFiles, went.equality),
        (Count::RemovedEqualityDeletes, went.equality_in),
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
        (Count::TotalBytes, running(Count::TotalBytes, came.bytes, went.bytes)),
        (Count::TotalPositionDeletes, running(Count::TotalPositionDeletes, came.positions_in, went.positions_in)),
        (Count::TotalEqualityDeletes, running(Count::TotalEqualityDeletes, came.equality_in, went.equality_in)),
    ] {
        record.set_count(of, value);
    }
    record.set_engine(env!("CARGO_PKG_VERSION"));
    record
}

/// Some files, counted by what they hold.
#[derive(Default)]
struct Files {
    bytes: u64,
    data: u64,
    rows: u64,
    /// Position delete files, without vectors.
    positions: u64,
    vectors: u64,
    /// Positions in both.
    positions_in: u64,
    equality: u64,
    /// Rows in those.
    equality_in: u64,
}

impl Files {
    fn of(files: &[DataFile]) -> Self {
        let mut all = Files::default();
        // A file of several vectors is listed once for each.
        let mut seen = HashSet::new();
        for file in files {
            let records = file.record_count();
            let is_vector = file.file_format() == DataFileFormat::Puffin;
            match file.content_type() {
                DataContentType::Data => (all.data, all.rows) = (all.data + 1, all.rows + records),
                DataContentType::PositionDeletes => {
                    *(if is_vector { &mut all.vectors } else { &mut all.positions }) += 1;
                    all.positions_in += records;
                }
                DataContentType::EqualityDeletes => {
                    (all.equality, all.equality_in) = (all.equality + 1, all.equality_in + records);
                }
            }
            all.bytes += match file.content_size_in_bytes().and_then(|n| u64::try_from(n).ok()) {
                Some(vector) if is_vector => vector,
                _ if seen.insert(file.file_path()) => file.file_size_in_bytes(),
                _ => 0,
            };
        }
        all
    }
}
