//! All integration tests of the command line in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod apart;
mod command;
mod docs;
mod flow;
mod fuzz;
mod hostile;
mod lost;
mod panics;
mod tidy;
