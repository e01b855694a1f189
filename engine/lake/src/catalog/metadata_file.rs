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
