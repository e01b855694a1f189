//! A view made fresh: what moved, what is right, and doing it.
//!
//!   facts (changes, bases) ──▶ decide ──▶ act: read ──▶ merge ──▶ rewrite ──▶ one commit a table
//!                                               └─ judge: rows for side tables, counts
//!
//! Not here: which tables are due (`planner`), the merge rules (`ingot_delta`).

mod act;
mod append;
pub mod bases;
pub mod changes;
pub mod decide;
pub mod expectations;
mod facts;
mod judge;
pub(crate) mod made_by;
mod pin;
mod read;
pub mod rewrite;
pub(crate) mod spill;
mod together;
mod witness;

pub(crate) use act::Member;
pub use act::{Job, Outcome};
