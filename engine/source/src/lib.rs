//! Kafka to Arrow: messages become rows or errors, batches carry the positions they cover.
//!
//!   KafkaSource::read ──▶ poll thread ──▶ Decoder (JSON, bytes) ──▶ SourceBatch {partition: [from, to), rows, errors}
//!        ▲                    ▲
//!   positions (lake)     Watch (topic id, partitions, watermarks) ──▶ offsets::decide_loss
//!
//! Invariants
//! * Every message of a range is in `rows` or in `errors`, once, in offset order.
//! * Memory is bounded: by `BatchLimits::bytes_max` for decoded rows, by librdkafka's queue limit for raw ones.
//! * A loss is named and returned, never skipped.
//! * Values of secret properties appear in no message, log line or Debug text.
//!
//! Not here: where positions are stored (`lake`), what happens to rows and errors (`pipeline`).
// An error ends a stream: how many bytes it moves does not matter.
#![allow(clippy::result_large_err)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod batch;
mod cell;
mod client;
mod column;
mod convert;
pub mod decode;
mod error;
mod ffi;
pub mod fleet;
mod json;
pub mod kafka;
pub mod mock;
pub mod offsets;
pub mod path;
pub mod produce;
pub mod property;
mod reader;
pub mod schema;
mod time;
pub mod types;
mod watch;

pub use batch::{BatchLimits, PartitionBatch, SourceBatch};
pub use decode::{Decoded, Decoder, MessageRef, SELECT_FAILS, error_schema};
pub use error::SourceError;
pub use fleet::{Fleet, FleetConfig};
pub use ingot_dialect::ast::{Encoding, IncludeKind};
pub use kafka::{BatchStream, KafkaSource, Start, TopicInfo};
pub use mock::MockBroker;
pub use offsets::{Loss, LossKind, Position};
pub use path::JsonPath;
pub use produce::{ProduceReport, ensure_topic, produce};
pub use property::{KafkaConfig, PropertyError, check_property};
pub use schema::{JsonOptions, ScalarLiteral, SourceField, SourceSchema, TimestampFormat};
pub use types::column_type_to_arrow;
