//! A statement to batches, whatever the protocol that carries it.
//!
//! ```text
//!   text ──▶ statement ──▶ names (one catalog read, pins) ──▶ attempts (plans) ──▶ running ──▶ output
//! ```
//!
//! Not here: protocols (`ingot-flight`), keeping tables fresh (`ingot-pipeline`).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod attempts;
pub mod context;
mod error;
mod headers;
#[cfg(test)]
mod limits_tests;
mod listing;
mod names;
mod output;
mod parameters;
mod pins;
pub mod pool;
mod running;
mod session;
mod statement;
#[cfg(test)]
mod tests;
mod watch;

pub use error::{ErrorKind, QueryError};
pub use ingot_model::TableName;
pub use parameters::Place;
pub use pins::{Pin, Pins};
pub use running::STACK_BYTES;
pub use session::{Planned, Session, SessionLimits, TableEntry};
