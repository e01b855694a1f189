//! All integration tests of this crate in one binary; none needs a service.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod check;
mod erase;
mod execute;
mod flow;
mod ingest;
mod lost;
mod row_level;
mod running;
mod secrets;
mod upgraded;
mod upkeep;
mod verify;
mod world;
