//! Keeps a streaming table equal to its source.
//!
//!   facts (lake, source) ──▶ decide (pure) ──▶ act (one commit each)
//!   run: the loop        evaluate: a batch through the statement        restart: read again, go past what is lost
//!   rewind: error rows past a position go
//!
//! Not here: kinds of sources (`ingot_source`), what a plan says of a streaming table (`planner`).

pub(crate) mod act;
pub(crate) mod decide;
mod evaluate;
pub(crate) mod facts;
pub mod restart;
pub(crate) mod rewind;
mod run;

pub use run::{Ingested, Ingestor};
