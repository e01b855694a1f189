//! Keeps a streaming table equal to its source.
//!
//!   run (the loop)     act (commits)     rewind (error rows past a position)     restart (read again, skip what is lost)

pub(crate) mod act;
pub mod restart;
pub(crate) mod rewind;
pub(crate) mod run;

pub use run::{Ingested, Ingestor};
