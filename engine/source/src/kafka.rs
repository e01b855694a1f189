//! Kafka: a topic read by assignment, from positions that the tables hold.
//!
//!   topic ──▶ reader (poll thread) ──▶ batches          watch ──▶ client ──▶ ffi (librdkafka's C, the only unsafe code)
//!               └── facts, offsets: what the topic of now means for a position (pure)
//!
//! Not here: what a message means (`decode`), events for tests and demos (`demo`).

#[cfg(feature = "kafka")]
pub(crate) mod client;
pub mod config;
#[cfg(feature = "kafka")]
pub(crate) mod facts;
#[cfg(feature = "kafka")]
pub(crate) mod ffi;
pub mod offsets;
#[cfg(feature = "kafka")]
pub(crate) mod place;
#[cfg(feature = "kafka")]
pub mod property;
#[cfg(feature = "kafka")]
mod reader;
#[cfg(feature = "kafka")]
pub(crate) mod topic;
#[cfg(feature = "kafka")]
mod watch;

#[cfg(feature = "kafka")]
pub use client::TopicInfo;
pub use config::{CheckProperty, KafkaConfig, PropertyError, Start};
#[cfg(feature = "kafka")]
pub use facts::KafkaFacts;
pub use offsets::{Loss, LossKind, Position};
#[cfg(feature = "kafka")]
pub use property::check_property;
#[cfg(feature = "kafka")]
pub use topic::KafkaSource;
