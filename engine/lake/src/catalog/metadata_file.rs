//! A table's metadata file: read, and what is wrong with one that cannot be.
//!
//! ```text
//!   bytes ──▶ Iceberg's parser ──▶ TableMetadata
//!                  └─ refused: shorter than stored? ─▶ the store's error, which may pass
//!                              a version, a type that core does not know? ─▶ Unsupported, by name
//!                              anything else ─▶ Damaged
//! ```
//!
//! Invariants
//! * A file that is stored whole and does not parse is damaged for good: reading it again cannot help.
//!
//! Not here: which file a table has now (`catalog`), caching (`lake`).

use std::io::Read;

use bytes::Bytes;
use iceberg::spec::TableMetadata;
use serde_json::Value;

use crate::error::{LakeError, Result};
use crate::store::Store;

/// The newest format version that the parser knows.
const VERSION_MAX: i64 = 3;
/// Types without parameters that the parser knows.
const PLAIN_TYPES: &[&str] = &[
    "boolean",
    "int",
    "long",
    "float",
    "double",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "timestamp_ns",
    "timestamptz_ns",
    "string",
    "uuid",
    "binary",
];
/// Types with parameters, as they begin.
const OPEN_TYPES: &[&str] = &["decimal(", "fixed["];

/// Reads a metadata file, compressed or not.
///
/// # Errors
/// The store's; `Unsupported` for what no version of the parser reads yet; `Damaged`.
pub(crate) async fn read(store: &Store, location: &str) -> Result<TableMetadata> {
    let bytes = store.read(location).await?;
    let error = match parse(&bytes) {
        Ok(metadata) => return Ok(metadata),
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

fn parse(bytes: &Bytes) -> Result<TableMetadata> {
    const GZIP: [u8; 2] = [0x1f, 0x8b];
    let mut text = Vec::new();
    let json = if bytes.starts_with(&GZIP) {
        let unpacked = flate2::read::GzDecoder::new(bytes.as_ref()).read_to_end(&mut text);
        unpacked.map_err(|e| LakeError::Damaged(format!("it does not unpack: {e}")))?;
        text.as_slice()
    } else {
        bytes.as_ref()
    };
    serde_json::from_slice(json).map_err(|error| diagnose(json, &error))
}

/// Why the parser refuses a file. It tells neither an unknown version nor an unknown type from damage.
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
    let schemas = value.get("schemas").and_then(Value::as_array).into_iter().flatten().chain(value.get("schema"));
    for schema in schemas {
        if let Some((column, of)) = unknown_type(schema, "") {
            return LakeError::Unsupported(format!("column \"{column}\" has the type \"{of}\""));
        }
    }
    LakeError::Damaged(error.to_string())
}

/// The first column whose type the parser does not know, and that type.
fn unknown_type(of: &Value, path: &str) -> Option<(String, String)> {
    let below = |key: &str| unknown_type(of.get(key)?, &format!("{path}.{key}"));
    match of {
        Value::String(name) => {
            let known = PLAIN_TYPES.contains(&name.as_str()) || OPEN_TYPES.iter().any(|t| name.starts_with(t));
            (!known).then(|| (path.to_owned(), name.clone()))
        }
        Value::Object(_) => match of.get("fields").and_then(Value::as_array) {
            Some(fields) => fields.iter().find_map(|field| {
                let name = field.get("name").and_then(Value::as_str).unwrap_or_default();
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                unknown_type(field.get("type")?, &path)
            }),
            None => below("element").or_else(|| below("key")).or_else(|| below("value")),
        },
        _ => None,
    }
}
