//! The checked project: SQL files and settings to models, or to diagnostics.
//!
//! ```text
//!   ingot.toml, environment, --set ──▶ config
//!   folder of SQL ──▶ check ──▶ Project (models, views, order) or diagnostics of every file
//! ```
//!
//! Not here: what a run does with a model (`ingot-pipeline`), clients' statements (`ingot-query`).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod check;
pub mod codes;
pub mod config;
pub mod graph;
pub mod project;
pub mod stored;
