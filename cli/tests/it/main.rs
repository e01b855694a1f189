//! All integration tests of the command line in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod docs;
mod flow;
mod fuzz;
mod hostile;
mod panics;
mod tidy;
