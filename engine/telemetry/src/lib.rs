//! What Ingot tells about itself: every metric and every span has its name here and nowhere else.
//!
//!   source, lake, pipeline, flight-server ──▶ metrics() ──▶ text() ──▶ GET /metrics
//!
//! Invariants
//! * A metric is counted for a batch, a request or a commit, never for a row.
//! * Labels are names of tables, topics and operations, never a user's, a value's or a statement's text.
//! * One set of metrics for a process, as there is one log: no handle is passed down to the code that counts.
//!
//! Not here: when something is counted; serving (`ingot_flight::http`).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod kinds;
mod metrics;
pub mod span;

pub use kinds::{Counter, Gauge, Level, Timer};
pub use metrics::{LIST, Listed, Metrics, metrics, reference, text};

/// The value of the label `outcome` for what worked.
pub const OK: &str = "ok";
/// The value of the label `outcome` for what did not.
pub const FAILED: &str = "failed";

/// The label `outcome` of a result.
pub fn outcome<T, E>(result: &Result<T, E>) -> &'static str {
    if result.is_ok() { OK } else { FAILED }
}
