//! Events of the demo and of tests: a fleet that makes them, a producer that sends them, a broker within the process.
//!
//! Not here: reading them (`kafka`).

pub mod fleet;
#[cfg(feature = "kafka")]
pub mod mock;
#[cfg(feature = "kafka")]
pub mod produce;
