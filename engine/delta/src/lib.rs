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

mod change;
mod error;
mod exact;
mod reason;
mod shape;
mod strategy;
mod target;
mod values;

pub use error::{DeltaError, Result};
pub use exact::functions::{exact_aggregates, register};
pub use exact::sum::{DamagedSum, ExactSum};
pub use reason::{FullReason, REASONS};
pub use shape::classify::row_by_row;
pub use shape::clock::{Clock, clock, freeze_now};
pub use shape::order::complete_order;
pub use shape::rebind::{Occurrence, Scan, rebind, rebind_tables, scans, tables};
pub use shape::refuse::{REFUSALS, Refusal, refuse, refuse_unequal};
pub use strategy::{Incremental, Strategy, classify};
pub use target::keyed::{Merge, Merged};
pub use target::landing::{Landing, Wanted};
pub use values::multiset::{Difference, MultisetDiff, consolidate, difference};

/// Version of what the engine computes, part of every fingerprint. A change of results for equal input (grouping,
/// rounding, tie breaking, state layout) raises it, which announces a rebuild.
pub const ENGINE_SEMANTICS_VERSION: u32 = 5;
