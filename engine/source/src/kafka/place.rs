//! A place in a topic as tables record it: partition and offset, and the leader epoch beside them.
//!
//! Not here: what places mean (`offsets`, `facts`).

use crate::error::SourceError;
use crate::kafka::offsets::Position;
use ingot_model::{Partition, PartitionRange};
use serde_json::Value;
use std::collections::BTreeMap;

/// The name of the leader epoch among what is recorded of a place.
const EPOCH: &str = "epoch";

/// What is recorded of a place beside its offset.
pub(crate) fn facts(epoch: Option<i32>) -> BTreeMap<String, Value> {
    epoch.map(|epoch| (EPOCH.to_owned(), epoch.into())).into_iter().collect()
}

/// A recorded partition of a topic and where reading it goes on.
///
/// # Errors
/// A position that is not one of a topic.
pub(crate) fn recorded(
    topic: &str,
    (partition, range): (&Partition, &PartitionRange),
) -> Result<(i32, Position), SourceError> {
    let epoch = range.facts.get(EPOCH).and_then(|epoch| i32::try_from(epoch.as_i64()?).ok());
    let (partition, offset) = offset(topic, (partition, &range.to))?;
    Ok((partition, Position { offset, epoch }))
}

/// A partition of a topic and an offset in it.
///
/// # Errors
/// A place that is not one in a topic.
pub(crate) fn offset(
    topic: &str,
    (partition, place): (&Partition, &ingot_model::Position),
) -> Result<(i32, i64), SourceError> {
    match (partition.as_str().parse(), place) {
        (Ok(number), ingot_model::Position::Number(offset)) => Ok((number, *offset)),
        _ => Err(SourceError::NoPlace { topic: topic.to_owned(), place: format!("{partition} at {place}") }),
    }
}
