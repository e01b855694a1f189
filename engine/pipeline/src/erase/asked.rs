//! What an erasure is asked for, what it would take out, and what it did.
//!
//! Not here: finding rows (`find`), taking them out (`act`).

use ingot_dialect::ast::Expr;
use ingot_model::TableName;
use serde::Serialize;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The streaming table.
    pub table: TableName,
    /// What is TRUE for the rows that go.
    pub condition: Expr,
    /// What is looked for in the table's error rows, whose bytes have no columns.
    pub raw: Raw,
    /// Streaming tables that read it and keep what they have taken.
    pub excluded: Vec<TableName>,
}

/// Which error rows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw {
    /// Those that hold a text which the condition compares a column with.
    Compared,
    /// Those that hold one of these.
    Texts(Vec<String>),
    /// None.
    Kept,
}

/// What would be taken out.
#[derive(Debug, Clone, Serialize)]
pub struct Erasure {
    /// The streaming table.
    pub table: TableName,
    /// Rows of it that go.
    pub rows: u64,
    /// Files that hold them.
    pub files: usize,
    /// Its error tables.
    pub errors: Vec<Errors>,
    /// What is refreshed, in order.
    pub readers: Vec<TableName>,
    /// Streaming tables that keep what they have taken.
    pub kept: Vec<TableName>,
}

/// What is found in an error table.
#[derive(Debug, Clone, Serialize)]
pub struct Errors {
    /// The error table.
    pub table: TableName,
    /// Rows that it holds.
    pub stored: u64,
    /// Rows of it that go.
    pub rows: u64,
    /// What was looked for: in the key, the payload and the reason, as the bytes of the text, between bytes that are no
    /// letters or digits.
    pub texts: Vec<String>,
}

/// What was done.
#[derive(Debug, Clone, Serialize)]
pub struct Done {
    /// What was taken out.
    #[serde(flatten)]
    pub erasure: Erasure,
    /// Snapshots that were forgotten.
    pub snapshots: usize,
    /// Files that were deleted.
    pub files_deleted: usize,
}
