//! The ancestors of a table's head that other engines have expired, as older metadata files still tell of them.
//!
//! ```text
//!   head (others') ─▶ parent (others') ─▶ gone     the metadata log, newest first:
//!                                          └─▶ older file: its parent, and that one's ─▶ ... until one of ours
//! ```
//!
//! Invariants
//! * Looked for only where no snapshot of ours is left, but for those of upkeep: the others say all that is needed.
//! * They say what the snapshots were; the files of those may not exist any more.
//! * Bounded in files read. Files of the log that are gone, or do not parse, are passed over.
//!
//! Not here: what is read from them (`position`, `beginning`, and the recorded sources of a streaming table).

use std::sync::Arc;

use iceberg::spec::{SnapshotRef, TableMetadata};
use ingot_model::{TableName, TableProperties};

use crate::error::Result;
use crate::lake::Lake;
use crate::table::{ancestry, is_ours};

/// Metadata files that are read at most.
const FILES_MAX: usize = 32;

/// The ancestors past the end of the retained history, newest first, up to the first of ours.
///
/// # Errors
/// The store's, where it may pass.
pub(crate) async fn expired(lake: &Lake, table: &TableName, metadata: &TableMetadata) -> Result<Vec<SnapshotRef>> {
    let mut found = Vec::new();
    let Some(mut oldest) = ancestry(metadata).last().cloned() else { return Ok(found) };
    if !TableProperties::new(table, metadata.properties()).are_ours() || ancestry(metadata).any(is_ours) {
        return Ok(found);
    }
    for log in metadata.metadata_log().iter().rev().take(FILES_MAX) {
        let older = match lake.0.metadata_files.read(&log.metadata_file).await {
            Ok(older) if older.metadata.uuid() == metadata.uuid() => older.metadata,
            Err(error) if error.retryable() => return Err(error),
            _ => continue,
        };
        if older.snapshot_by_id(oldest.snapshot_id()).is_none() {
            break;
        }
        while let Some(parent) = parent(&older, &oldest) {
            found.push(Arc::clone(parent));
            if is_ours(parent) {
                return Ok(found);
            }
            oldest = Arc::clone(parent);
        }
    }
    Ok(found)
}

/// The parent that a file knows of a snapshot.
fn parent<'a>(metadata: &'a TableMetadata, of: &SnapshotRef) -> Option<&'a SnapshotRef> {
    let known = metadata.snapshot_by_id(of.snapshot_id())?;
    metadata.snapshot_by_id(known.parent_snapshot_id()?).filter(|p| p.sequence_number() < of.sequence_number())
}
