//! A statement to batches, whatever the protocol that carries it.
//!
//! ```text
//!   text ──▶ statement ──▶ names (one catalog read, pins) ──▶ attempts (plans) ──▶ running ──▶ output
//! ```
//!
//! Not here: protocols (`ingot-flight`), keeping tables fresh (`ingot-pipeline`).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod attempts;
mod caller;
mod changes;
mod changes_call;
pub mod context;
mod error;
mod headers;
mod levels;
#[cfg(test)]
mod levels_tests;
#[cfg(test)]
mod limits_tests;
mod listing;
mod names;
mod output;
mod parameters;
mod pins;
pub mod pool;
pub mod registry;
mod running;
pub mod seal;
mod session;
mod statement;
#[cfg(test)]
mod tests;
mod versions;
mod watch;

pub use caller::Caller;
pub use error::{ErrorKind, QueryError};
pub use ingot_model::TableName;
pub use parameters::Place;
pub use pins::{Pin, Pins};
pub use registry::Registry;
pub use running::STACK_BYTES;
pub use seal::Seal;
pub use session::{Planned, Session, SessionLimits, TableEntry};
