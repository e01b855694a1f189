//! What a commit does to a table's rows: Iceberg's four words.

use std::fmt;

/// The operation of a snapshot. Iceberg's specification, "Snapshots", `operation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Rows were added; none removed.
    #[default]
    Append,
    /// The same rows in other files.
    Replace,
    /// Rows were added and rows removed.
    Overwrite,
    /// Rows were removed; none added.
    Delete,
}

impl Operation {
    /// The word that a snapshot's summary has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Replace => "replace",
            Self::Overwrite => "overwrite",
            Self::Delete => "delete",
        }
    }

    /// Whether the table has the same rows as before: a compaction.
    pub fn is_rewrite(self) -> bool {
        self == Self::Replace
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
