//! The branches and tags of a table. Core offers no list of them: its JSON does.

use std::collections::BTreeMap;

use iceberg::spec::TableMetadata;
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

/// The refs of a table by name.
///
/// # Errors
/// Metadata that core does not print.
pub(crate) fn refs(metadata: &TableMetadata) -> Result<BTreeMap<String, Ref>> {
    let corrupt = |error: serde_json::Error| LakeError::Corrupt(format!("branches and tags: {error}"));
    let json = serde_json::to_vec(metadata).map_err(corrupt)?;
    Ok(serde_json::from_slice::<Refs>(&json).map_err(corrupt)?.refs)
}
