//! A commit in the metrics: how long it took, its outcome, and what it added.

use std::time::Instant;

use iceberg::spec::DataFile;
use ingot_model::TableName;
use ingot_telemetry::{OK, metrics};

use crate::commit::request::Commit;

/// What a commit adds, for the metrics.
pub(super) struct Added {
    rows: u64,
    bytes: u64,
}

impl Added {
    pub(super) fn by(commit: &Commit) -> Self {
        let rows = commit.add.iter().map(DataFile::record_count).sum();
        let deletes: u64 = commit.deletes.files.iter().map(|(_, file)| file.file_size_in_bytes()).sum();
        Self { rows, bytes: commit.add.iter().map(DataFile::file_size_in_bytes).sum::<u64>() + deletes }
    }

    /// Notes what became of it.
    pub(super) fn note(&self, table: &TableName, outcome: &str, began: Instant) {
        let (metrics, table) = (metrics(), table.to_string());
        metrics.commit_duration.observe([table.as_str(), outcome], began.elapsed());
        if outcome == OK {
            metrics.rows.add([table.as_str()], self.rows);
            metrics.written_bytes.add([table.as_str()], self.bytes);
        }
    }
}
