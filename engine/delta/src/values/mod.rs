//! Values of rows without a plan: their bytes, their multisets, their ranges, and how hidden columns hold them.
//!
//! Not here: which rows are compared (`change`, `target`).

pub(crate) mod format;
pub(crate) mod hidden;
pub(crate) mod multiset;
pub(crate) mod ranges;
