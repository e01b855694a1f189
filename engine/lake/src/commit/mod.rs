//! Commits: one snapshot, one compare-and-set, and certainty about what became of it.
//!
//! ```text
//!   create │ attempts ─▶ prepare (manifests, updates) ─▶ catalog
//! ```
//!
//! Not here: which version a table has (`catalog`), what to write and when (`ingot-pipeline`).

mod added;
mod attempts;
pub(crate) mod basis;
mod create;
pub(crate) mod manifest;
mod prepare;
mod request;
mod totals;

pub use basis::Basis;
pub use request::{Commit, CommitError, Rebase};
