//! The law of maintenance: what increments leave in a table equals the query over all of its sources, bit by bit.
//!
//! Not here: files, snapshots and commits; the target is simulated in memory (`world`).

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod deterministic;
mod maintained;
mod occurrences;
mod shapes;
mod world;
