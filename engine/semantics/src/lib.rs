//! What SQL means here: DataFusion's grammar with the answers of the SQL standard.
//!
//!   syntax tree ──▶ lower ──▶ DataFusion's planner ──▶ analyzer rules ──▶ DataFusion's optimizer and execution
//!
//! Models, `verify` and clients' queries are planned by states that `state` makes, so one text has one answer.
//!
//! Invariants
//! * Every rule is idempotent: a plan that was analyzed may be analyzed again.
//! * A rule keeps the names of a plan's output.
//!
//! Not here: what may not be maintained (`ingot_delta::refuse`), exact sums of floats (`ingot_delta`).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod attempt;
mod checked;
mod decimal;
mod distinct;
mod failure;
mod fallible;
mod fence;
mod guard;
mod lazily;
mod literal;
mod narrow;
mod rewrite;
mod round;
mod settle;
mod state;
mod sum;
mod widen;

pub use failure::{Failure, FailureKind};
pub use fence::Fence;
pub use state::{lower, lower_expr, rules, state};
pub use sum::{avg_udaf, fit, sum_udaf};
