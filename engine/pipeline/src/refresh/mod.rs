//! A view made fresh: what moved, what is right, and doing it.
//!
//!   pinned inputs ──▶ changes, bases (facts) ──▶ act ──▶ rewrite ──▶ one commit
//!
//! Not here: which tables are due (`planner`), the merge rules (`ingot_delta`).

mod act;
pub mod bases;
pub mod changes;
pub mod expectations;
pub mod rewrite;
pub(crate) mod spill;

pub use act::{Job, Outcome};
