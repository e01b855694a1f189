//! Sources to Arrow: messages become rows or errors, batches carry the positions they cover.
//!
//!   Connector::read ──▶ poll thread (kafka) ──▶ Decoder (JSON, bytes) ──▶ SourceBatch {partition: [from, to), rows, errors}
//!        ▲                    ▲
//!   positions (lake)     Watch (topic id, partitions, watermarks) ──▶ offsets::decide_loss
//!
//! Invariants
//! * Every message of a range is in `rows` or in `errors`, once, in offset order.
//! * Memory is bounded: by `BatchLimits::bytes_max` for decoded rows, by librdkafka's queue limit for raw ones.
//! * A loss is named and returned, never skipped.
//! * Values of secret properties appear in no message, log line or Debug text.
//!
//! What stands on librdkafka is behind the feature `kafka`; the rest is what a project is checked with.
//!
//! Not here: where positions are stored (`lake`), what happens to rows and errors (`pipeline`).
// An error ends a stream: how many bytes it moves does not matter.
#![allow(clippy::result_large_err)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod batch;
mod connection;
#[cfg(feature = "kafka")]
pub mod connector;
pub mod decode;
pub mod demo;
mod error;
pub mod kafka;

#[cfg(feature = "kafka")]
pub use batch::BatchStream;
pub use batch::{BatchLimits, PartitionBatch, SourceBatch};
pub use connection::{Connection, Words};
#[cfg(feature = "kafka")]
pub use connector::{Connector, SourceFacts};
pub use decode::options::{JsonOptions, TimestampFormat};
pub use decode::path::JsonPath;
pub use decode::schema::{ScalarLiteral, SourceField, SourceSchema};
pub use decode::types::column_type_to_arrow;
pub use decode::{Decoded, Decoder, MessageRef, SELECT_FAILS, error_schema};
pub use demo::fleet::{self, Fleet, FleetConfig};
#[cfg(feature = "kafka")]
pub use demo::mock::MockBroker;
#[cfg(feature = "kafka")]
pub use demo::produce::{self, ProduceReport, ensure_topic, produce};
pub use error::SourceError;
pub use ingot_dialect::ast::{Encoding, IncludeKind};
pub use kafka::config::is_secret;
#[cfg(feature = "kafka")]
pub use kafka::facts::{Restart, Short, Skipped};
pub use kafka::{CheckProperty, KafkaConfig, Loss, LossKind, Position, PropertyError, Start, offsets};
#[cfg(feature = "kafka")]
pub use kafka::{KafkaSource, TopicInfo, check_property, property};
