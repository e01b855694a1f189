//! Joins the dialect, the lake, the sources and the change rules into a running project.
//!
//!   folder of SQL ──▶ check (project) ──▶ plan (planner) ──▶ execute (engine, ingest, refresh) ──▶ snapshots
//!                                                   └──▶ queries (session), oracle (verify), status
//!
//! Not here: Flight SQL (`ingot_flight`), the command line.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod engine;
pub mod erase;
pub mod error;
pub mod execute;
mod external;
mod failing;
mod freshness;
pub mod ingest;
pub mod kept;
pub mod maintain;
pub mod notes;
pub mod observe;
mod offsets;
pub mod plan;
pub mod planner;
pub mod prune;
mod readers;
pub mod refresh;
pub mod run_loop;
#[cfg(test)]
mod secrets_tests;
pub mod status;
mod upkeep;
pub mod verify;
