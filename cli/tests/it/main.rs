//! All integration tests of the command line in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod apart;
mod command;
mod docs;
mod fuzz;
mod hostile;
mod house;
mod panics;
mod tidy;
#[path = "../../../engine/pipeline/tests/it/world.rs"]
#[allow(dead_code, reason = "shared with the tests of ingot-pipeline, which use all of it")]
mod world;
