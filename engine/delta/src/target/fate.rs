//! What a merge decides for each touched key.
//!
//! Not here: how it is decided (`aggregate`, `keep_first`), what follows (`keyed`).

use arrow::array::RecordBatch;

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Gone,
    Row,
    Recompute,
}

/// The fates of all touched keys, and the records of those that have a row, in the same order.
pub(crate) struct Combined {
    pub(crate) fates: Vec<Fate>,
    pub(crate) record: RecordBatch,
}
