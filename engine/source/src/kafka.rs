//! Kafka: a topic read by assignment, from positions that the tables hold.
//!
//!   topic ──▶ reader (poll thread) ──▶ batches          watch ──▶ client ──▶ ffi (librdkafka's C, the only unsafe code)
//!               └── offsets: what the facts about a topic mean for a position (pure)
//!
//! Not here: what a message means (`decode`), events for tests and demos (`demo`).

pub(crate) mod client;
pub(crate) mod ffi;
pub mod offsets;
pub mod property;
mod reader;
pub(crate) mod topic;
mod watch;

pub use client::TopicInfo;
pub use offsets::{Loss, LossKind, Position};
pub use property::{KafkaConfig, PropertyError, check_property};
pub use topic::{BatchStream, KafkaSource, Start};
