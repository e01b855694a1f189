//! Joins the dialect, the lake, the sources and the change rules into a running project.
//!
//!   folder of SQL ──▶ check (project) ──▶ plan (planner) ──▶ execute (engine, ingest, refresh) ──▶ snapshots
//!                                                   └──▶ queries (session), oracle (verify), status
//!
//! Not here: Flight SQL (`ingot_flight`), the command line.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod bases;
pub mod changes;
pub mod engine;
pub mod error;
pub mod expectations;
mod failing;
mod freshness;
pub mod history;
pub mod ingest;
pub mod kept;
mod mend;
pub mod observe;
mod offsets;
pub mod plan;
pub mod planner;
pub mod prune;
pub mod refresh;
pub mod restart;
pub mod rewrite;
pub mod run_loop;
#[cfg(test)]
mod secrets_tests;
mod spill;
pub mod standing;
pub mod status;
pub mod verify;
