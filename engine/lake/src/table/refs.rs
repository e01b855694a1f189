//! The branches and tags of a table. Core offers no list of them: its JSON does, but for tables of the first format
//! version, of which it reads no refs: those are read from the file itself.

use std::collections::BTreeMap;

use iceberg::spec::{FormatVersion, MAIN_BRANCH, TableMetadata};
use serde::Deserialize;

use crate::error::{LakeError, Result};

/// A branch or a tag.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Ref {
    /// The snapshot that it names.
    pub(crate) snapshot_id: i64,
    #[serde(rename = "type")]
    of: Type,
    /// How long the ref itself is kept, in milliseconds.
    pub(crate) max_ref_age_ms: Option<i64>,
    /// How many snapshots of a branch are kept at least.
    pub(crate) min_snapshots_to_keep: Option<i32>,
    /// How long snapshots of a branch are kept, in milliseconds.
    pub(crate) max_snapshot_age_ms: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Type {
    Branch,
    Tag,
}

impl Ref {
    /// Whether commits move it.
    pub(crate) fn is_branch(&self) -> bool {
        self.of == Type::Branch
    }

    /// What it is.
    pub(crate) fn kind(&self) -> &'static str {
        if self.is_branch() { "BRANCH" } else { "TAG" }
    }
}

#[derive(Deserialize)]
struct Refs {
    #[serde(default)]
    refs: BTreeMap<String, Ref>,
}

/// The refs of a table by name; `of_first` are those that its file has in the first format version.
///
/// # Errors
/// Metadata that core does not print.
pub(crate) fn refs(metadata: &TableMetadata, of_first: &BTreeMap<String, Ref>) -> Result<BTreeMap<String, Ref>> {
    if metadata.format_version() == FormatVersion::V1 {
        let mut refs = of_first.clone();
        if let Some(snapshot_id) = metadata.current_snapshot_id() {
            let plain = Ref {
                snapshot_id,
                of: Type::Branch,
                max_ref_age_ms: None,
                min_snapshots_to_keep: None,
                max_snapshot_age_ms: None,
            };
            refs.entry(MAIN_BRANCH.to_owned()).or_insert(plain);
        }
        return Ok(refs);
    }
    let corrupt = |error| LakeError::Corrupt(format!("branches and tags: {error}"));
    let json = serde_json::to_vec(metadata).map_err(corrupt)?;
    in_file(&json)
}

/// The refs that a metadata file has, as JSON.
///
/// # Errors
/// `Corrupt` when they are none.
pub(crate) fn in_file(json: &[u8]) -> Result<BTreeMap<String, Ref>> {
    let corrupt = |error: serde_json::Error| LakeError::Corrupt(format!("branches and tags: {error}"));
    Ok(serde_json::from_slice::<Refs>(json).map_err(corrupt)?.refs)
}
