//! A table's metadata file: read, and what is wrong with one that cannot be.
//!
//! ```text
//!   bytes ──▶ Iceberg's parser ──▶ TableMetadata
//!                  └─ refused: columns of unknown types, a spec over a column that is gone? ─▶ again without them
//!                              shorter than stored? ─▶ the store's error, which may pass
//!                              a version that core does not know? ─▶ Unsupported, by name
//!                              anything else ─▶ Damaged
//! ```
//!
//! Invariants
//! * A file that is stored whole and does not parse is damaged for good: reading it again cannot help.
//!
//! Not here: which file a table has now (`catalog`), caching (`lake`).

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use iceberg::spec::{FormatVersion, TableMetadata};
use serde_json::Value;

use crate::catalog::unread::{self, Unread};
use crate::error::{LakeError, Result};
use crate::store::Store;
use crate::table::refs;

/// The newest format version that the parser knows.
const VERSION_MAX: i64 = 3;
/// A metadata file, parsed.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    /// What the parser takes of it.
    pub(crate) metadata: Arc<TableMetadata>,
    /// What it does not.
    pub(crate) unread: Arc<Unread>,
}

impl Parsed {
    /// A file that was made by us.
    pub(crate) fn whole(metadata: &Arc<TableMetadata>) -> Self {
        Parsed { metadata: Arc::clone(metadata), unread: Arc::default() }
    }
}

/// Reads a metadata file, compressed or not.
///
/// # Errors
/// The store's; `Unsupported` for what no version of the parser reads yet; `Damaged`.
pub(crate) async fn read(store: &Store, location: &str) -> Result<Parsed> {
    let bytes = store.read(location).await?;
    let error = match parse(&bytes) {
        Ok(parsed) => return Ok(parsed),
        Err(error) => error,
    };
    // A proxy can shorten a body under a matching length.
    let stored = store.size(location).await?;
    if stored != bytes.len() as u64 {
        let source = format!("{} of {stored} bytes came", bytes.len()).into();
        return Err(LakeError::store(location, object_store::Error::Generic { store: "read", source }));
    }
    Err(error)
}

fn parse(bytes: &Bytes) -> Result<Parsed> {
    const GZIP: [u8; 2] = [0x1f, 0x8b];
    let mut text = Vec::new();
    let json = if bytes.starts_with(&GZIP) {
        let unpacked = flate2::read::GzDecoder::new(bytes.as_ref()).read_to_end(&mut text);
        unpacked.map_err(|e| LakeError::Damaged(format!("it does not unpack: {e}")))?;
        text.as_slice()
    } else {
        bytes.as_ref()
    };
    let mut parsed = parse_json(json)?;
    if parsed.metadata.format_version() == FormatVersion::V1 {
        let unread = Unread { refs: refs::in_file(json)?, ..Unread::clone(&parsed.unread) };
        parsed.unread = Arc::new(unread);
    }
    Ok(parsed)
}

fn parse_json(json: &[u8]) -> Result<Parsed> {
    match serde_json::from_slice::<TableMetadata>(json) {
        // Only a default can be lost in parsing, and few tables have one: the text is not read twice for nothing.
        Ok(metadata) if metadata.format_version() < FormatVersion::V3 || !has_defaults(json) => {
            Ok(Parsed::whole(&Arc::new(metadata)))
        }
        Ok(metadata) => {
            let partly = without_unread(json).filter(|parsed| !parsed.unread.columns.is_empty());
            Ok(partly.unwrap_or_else(|| Parsed::whole(&Arc::new(metadata))))
        }
        Err(error) => without_unread(json).ok_or_else(|| diagnose(json, &error)),
    }
}

/// Whether a column may have a default.
fn has_defaults(json: &[u8]) -> bool {
    std::str::from_utf8(json).is_ok_and(|text| text.contains("\"initial-default\""))
}

/// A file of which the parser takes all but some columns. None if that is not what it refuses.
fn without_unread(json: &[u8]) -> Option<Parsed> {
    let mut value: Value = serde_json::from_slice(json).ok()?;
    let unread = unread::of_metadata(&mut value);
    let metadata = serde_json::from_value(value).ok()?;
    Some(Parsed { metadata: Arc::new(metadata), unread: Arc::new(unread) })
}

/// Why the parser refuses a file. It does not tell an unknown version from damage.
fn diagnose(json: &[u8], error: &serde_json::Error) -> LakeError {
    let value: Value = match serde_json::from_slice(json) {
        Ok(value) => value,
        Err(e) if e.is_eof() => {
            return LakeError::Damaged(format!("it ends in the middle, after {} bytes", json.len()));
        }
        Err(e) => return LakeError::Damaged(format!("it is not JSON: {e}")),
    };
    let Some(version) = value.get("format-version").and_then(Value::as_i64) else {
        return LakeError::Damaged("it names no format version".into());
    };
    if version > VERSION_MAX {
        return LakeError::Unsupported(format!("format version {version}; 1 to {VERSION_MAX} are known"));
    }
    LakeError::Damaged(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refs_of_the_first_format_version() {
        let snapshot = |id: i64| {
            serde_json::json!({"snapshot-id": id, "timestamp-ms": id, "summary": {"operation": "append"}, "schema-id": 0,
                "manifest-list": "file:///l.avro"})
        };
        let file = |refs: Value| {
            let mut file = serde_json::json!({"format-version": 1, "table-uuid": "9c12d441-03fe-4693-9a96-a0705ddf69c1",
                "location": "file:///t", "last-updated-ms": 2, "last-column-id": 1, "current-schema-id": 0,
                "schemas": [{"type": "struct", "schema-id": 0, "fields": [
                    {"id": 1, "name": "n", "required": true, "type": "long"}]}],
                "partition-specs": [{"spec-id": 0, "fields": []}], "default-spec-id": 0, "last-partition-id": 999,
                "sort-orders": [{"order-id": 0, "fields": []}], "default-sort-order-id": 0, "properties": {},
                "current-snapshot-id": 2, "snapshots": [snapshot(1), snapshot(2)]});
            if !refs.is_null() {
                file["refs"] = refs;
            }
            let parsed = parse(&Bytes::from(file.to_string())).unwrap();
            let refs = refs::refs(&parsed.metadata, &parsed.unread.refs).unwrap();
            refs.into_iter().map(|(name, of)| (name, of.snapshot_id, of.kind())).collect::<Vec<_>>()
        };
        assert_eq!(file(Value::Null), [("main".to_owned(), 2, "BRANCH")]);
        let named = serde_json::json!({"main": {"snapshot-id": 2, "type": "branch"}, "t": {"snapshot-id": 1, "type": "tag"},
            "b": {"snapshot-id": 1, "type": "branch", "max-ref-age-ms": 5}});
        let wanted = [("b", 1, "BRANCH"), ("main", 2, "BRANCH"), ("t", 1, "TAG")];
        assert_eq!(file(named), wanted.map(|(name, id, kind)| (name.to_owned(), id, kind)));
    }
}
