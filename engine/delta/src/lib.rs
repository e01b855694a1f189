//! Incremental maintenance: the plan of a query's change, and how it merges into what is stored.
//!
//!   LogicalPlan ──▶ refuse, complete_order ──▶ classify ──▶ Strategy
//!   inserted rows, deleted rows ──▶ the strategy's plans ──▶ consolidate or merge ──▶ rows to remove and insert
//!
//! Invariants
//! * Pure: values and plans in, values and plans out; no clock, no I/O, no runtime.
//! * new(view) = old(view) + change, as multisets, bit by bit, for every strategy.
//! * Full, incremental and verifying evaluation run the same functions in the same completed order.
//!
//! Not here: snapshots and files (`lake`), running plans and committing (`pipeline`).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod above;
mod aggregate;
mod classify;
mod consolidate;
mod error;
mod exact;
mod exact_groups;
mod exact_udaf;
mod keep_first;
mod keyed;
mod keys;
mod moments;
mod obstacles;
mod order;
mod rebind;
mod refuse;
mod state;
mod statistics_udaf;

pub use classify::{FullReason, REASONS, Strategy, classify, row_by_row};
pub use consolidate::{Difference, MultisetDiff, consolidate, difference, locate, value_ranges};
pub use error::{DeltaError, Result};
pub use exact::{DamagedSum, ExactSum};
pub use exact_udaf::{exact_aggregates, register};
pub use keyed::{Keyed, Merge, Merged, Recomputed};
pub use keys::KeyFilter;
pub use order::complete_order;
pub use rebind::{Clock, clock, freeze_now, rebind, scans};
pub use refuse::{REFUSALS, Refusal, refuse, refuse_unequal};

/// Version of what the engine computes, part of every fingerprint. A change of results for equal input (grouping,
/// rounding, tie breaking, state layout) raises it, which announces a rebuild.
pub const ENGINE_SEMANTICS_VERSION: u32 = 4;
