//! Delete files as manifests list them.
//!
//! Invariants
//! * Files are told apart by their canonical location: writers spell one file as `s3://` and `s3a://`, `file:/` and `file:///`.
//!
//! Not here: which data files they apply to (`index`), what they hold (`position`, `vector`, `equality`).

use std::collections::HashMap;
use std::sync::Arc;

use iceberg::spec::{DataContentType, DataFileFormat, Datum, PrimitiveLiteral};
use ingot_model::TableName;

use crate::error::{LakeError, Result};
use crate::table::manifests::SharedFile;

/// Field id of the path column of position deletes (Iceberg, "Reserved field ids").
pub(crate) const DELETE_PATH_FIELD_ID: i32 = 2_147_483_546;
/// Field id of the position column of position deletes.
pub(crate) const DELETE_POS_FIELD_ID: i32 = 2_147_483_545;

/// A file of deletes, or a part of one, that is live in a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct DeleteFile {
    pub(crate) kind: DeleteKind,
    /// Data sequence number.
    pub(crate) sequence_number: i64,
    /// The partition spec of its partition values.
    pub(crate) spec_id: i32,
    /// Location, size, bounds, partition values.
    pub(crate) data_file: SharedFile,
}

/// How rows are named.
#[derive(Clone, Debug)]
pub(crate) enum DeleteKind {
    /// By data file and position, in Parquet.
    Positions {
        /// The one data file it is about, where the writer told.
        referenced: Option<String>,
        /// Least and greatest data file, where the writer told.
        paths: (Option<String>, Option<String>),
    },
    /// By position in one data file, as a bitmap within a Puffin file.
    Vector {
        /// The data file.
        referenced: String,
        /// Where the blob begins, in bytes.
        offset: u64,
        /// Its length, in bytes.
        length: u64,
    },
    /// By the values of some columns, in Parquet.
    Equality {
        /// The columns' field ids, sorted.
        ids: Vec<i32>,
    },
}

impl DeleteFile {
    /// A delete file of a table, as a manifest of partition spec `spec_id` lists it.
    ///
    /// # Errors
    /// `Damaged` when the entry lacks what its kind needs; `Unsupported` for formats without a reader.
    pub(crate) fn listed(table: &TableName, data_file: SharedFile, sequence_number: i64, spec_id: i32) -> Result<Self> {
        let path = data_file.file_path();
        let kind = match (data_file.content_type(), data_file.file_format()) {
            (DataContentType::PositionDeletes, DataFileFormat::Puffin) => {
                let offset = data_file.content_offset().and_then(|n| u64::try_from(n).ok());
                let length = data_file.content_size_in_bytes().and_then(|n| u64::try_from(n).ok());
                match (data_file.referenced_data_file(), offset, length) {
                    (Some(referenced), Some(offset), Some(length)) => DeleteKind::Vector { referenced, offset, length },
                    _ => {
                        return Err(LakeError::Damaged(format!(
                            "the manifest entry of the deletion vector in \"{path}\" lacks its data file, offset or length"
                        )));
                    }
                }
            }
            (DataContentType::PositionDeletes, DataFileFormat::Parquet) => {
                let bound = |bounds: &HashMap<i32, Datum>| match bounds.get(&DELETE_PATH_FIELD_ID).map(Datum::literal) {
                    Some(PrimitiveLiteral::String(path)) => Some(path.clone()),
                    _ => None,
                };
                let paths = (bound(data_file.lower_bounds()), bound(data_file.upper_bounds()));
                DeleteKind::Positions { referenced: data_file.referenced_data_file(), paths }
            }
            (DataContentType::EqualityDeletes, DataFileFormat::Parquet) => {
                let mut ids = data_file.equality_ids().unwrap_or_default();
                ids.sort_unstable();
                ids.dedup();
                if ids.is_empty() {
                    return Err(LakeError::Damaged(format!(
                        "the manifest entry of the equality deletes in \"{path}\" names no columns"
                    )));
                }
                DeleteKind::Equality { ids }
            }
            (DataContentType::Data, _) => {
                return Err(LakeError::Damaged(format!("the data file \"{path}\" is listed among the deletes")));
            }
            (_, format) => {
                return Err(LakeError::Unsupported(format!(
                    "the delete file \"{path}\", which is in {format}, in table \"{table}\" (help: compact the table with the \
                     engine that wrote it)"
                )));
            }
        };
        Ok(DeleteFile { kind, sequence_number, spec_id, data_file })
    }

    /// Its location.
    pub(crate) fn path(&self) -> &str {
        self.data_file.file_path()
    }

    /// What tells it apart from all others of its table.
    pub(crate) fn identity(&self) -> Identity {
        let offset = match self.kind {
            DeleteKind::Vector { offset, .. } => Some(offset),
            _ => None,
        };
        (canonical(self.path()).to_owned(), offset)
    }
}

/// The canonical location of a delete file, and where in it a vector begins.
pub(crate) type Identity = (String, Option<u64>);

/// Equality deletes over the same columns, of one partition or of all.
#[derive(Debug)]
pub(crate) struct EqualityGroup {
    /// The columns' field ids, sorted.
    pub(crate) ids: Vec<i32>,
    /// In the order of their sequence numbers.
    pub(crate) files: Vec<Arc<DeleteFile>>,
}

/// The deletes that may take rows out of one data file.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileDeletes {
    /// With a vector there are no position delete files: it holds what they did.
    pub(crate) vector: Option<Arc<DeleteFile>>,
    pub(crate) positions: Vec<Arc<DeleteFile>>,
    pub(crate) equality: Vec<Arc<EqualityGroup>>,
}

impl FileDeletes {
    pub(crate) fn is_empty(&self) -> bool {
        self.vector.is_none() && self.positions.is_empty() && self.equality.is_empty()
    }

    /// The files that name positions.
    pub(crate) fn positional(&self) -> impl Iterator<Item = &Arc<DeleteFile>> {
        self.vector.iter().chain(&self.positions)
    }

    /// How many rows those name that are about this data file alone.
    pub(crate) fn own_rows(&self) -> u64 {
        let is_own = |file: &&Arc<DeleteFile>| match &file.kind {
            DeleteKind::Vector { .. } => true,
            DeleteKind::Positions { referenced, paths: (low, high) } => {
                referenced.is_some() || low.is_some() && low == high
            }
            DeleteKind::Equality { .. } => false,
        };
        self.positional().filter(is_own).map(|file| file.data_file.record_count()).fold(0, u64::saturating_add)
    }

    /// How many rows they may name, those of other data files included.
    pub(crate) fn rows(&self) -> u64 {
        let equality = self.equality.iter().flat_map(|group| &group.files);
        self.positional().chain(equality).map(|file| file.data_file.record_count()).fold(0, u64::saturating_add)
    }
}

/// A location without what writers spell in more than one way. Equal texts are one file.
pub(crate) fn canonical(location: &str) -> &str {
    // Hadoop writes file:/path, others file:///path.
    let spellings = ["s3://", "s3a://", "s3n://", "file://", "file:"];
    spellings.iter().find_map(|scheme| location.strip_prefix(scheme)).unwrap_or(location)
}

/// Whether a location may lie between two bounds, which writers cut short.
pub(crate) fn may_lie_between(location: &str, low: Option<&str>, high: Option<&str>) -> bool {
    let outside = |location: &str, low: Option<&str>, high: Option<&str>| {
        low.is_some_and(|low| low > location) || high.is_some_and(|high| high < location)
    };
    if !outside(location, low, high) {
        return true;
    }
    let scheme = |text: &str| text.len() - canonical(text).len();
    match (low, high) {
        // Both bounds are spelt alike, so that what lies between them is too.
        (Some(from), Some(to)) if from.get(..scheme(from)) == to.get(..scheme(to)) => {
            from.get(..scheme(from)) != location.get(..scheme(location))
                && !outside(canonical(location), Some(canonical(from)), Some(canonical(to)))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_in_many_spellings() {
        for (a, b, same) in [
            ("s3://b/t/f", "s3a://b/t/f", true),
            ("s3n://b/t/f", "s3://b/t/f", true),
            ("file:/w/f", "file:///w/f", true),
            ("/w/f", "file:/w/f", true),
            ("s3://b/t/f", "s3://b/t/F", false),
            ("s3://b/t/f", "s3://c/t/f", false),
            ("file:///w/a%20b", "file:///w/a b", false),
        ] {
            assert_eq!(canonical(a) == canonical(b), same, "{a} {b}");
        }
    }

    #[test]
    fn bounds_of_another_spelling_hold_the_same_files() {
        let between = |path: &str, low: &str, high: &str| may_lie_between(path, Some(low), Some(high));
        assert!(between("s3://b/f2", "s3://b/f1", "s3://b/f3"));
        assert!(!between("s3://b/f4", "s3://b/f1", "s3://b/f3"));
        assert!(between("s3://b/f2", "s3a://b/f1", "s3a://b/f3"));
        assert!(!between("s3://b/f4", "s3a://b/f1", "s3a://b/f3"));
        assert!(between("file:///w/f", "file:/w/f", "file:/w/f"));
        assert!(between("s3://b/f2", "s3://b/f3", "s3a://b/f1"));
        assert!(may_lie_between("x", None, None));
    }
}
