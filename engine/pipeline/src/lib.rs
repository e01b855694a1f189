//! Joins the dialect, the lake, the sources and the change rules into a running project.
//!
//!   folder of SQL ──▶ check (project) ──▶ plan (planner) ──▶ execute (engine, ingest, refresh) ──▶ snapshots
//!                                                   └──▶ queries (session), oracle (verify), status
//!
//! Not here: Flight SQL (`ingot_flight`), the command line.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod bases;
pub mod changes;
pub mod check;
pub mod codes;
pub mod config;
mod config_file;
pub mod context;
pub mod engine;
pub mod error;
pub mod expectations;
mod failing;
pub mod graph;
pub mod history;
pub mod ingest;
pub mod kept;
mod mend;
mod offsets;
pub mod plan;
pub mod planner;
mod pool;
pub mod project;
pub mod prune;
pub mod refresh;
pub mod restart;
pub mod rewrite;
pub mod run_loop;
pub mod session;
pub mod settings;
mod spill;
pub mod standing;
pub mod status;
pub mod verify;
