//! What several kinds of keys are made of, from text.

use crate::format::object_key::Attempt;
use crate::ids::{Chain, Incarnation, PartitionId, SourceName, TopicName};
use crate::offset::Offset;

pub(super) fn chain_from(parts: &[&str]) -> Option<Chain> {
    let [source, topic, incarnation, partition] = parts else {
        return None;
    };
    Some(Chain {
        source: SourceName::new(*source).ok()?,
        topic: TopicName::new(*topic).ok()?,
        incarnation: Incarnation(incarnation.parse().ok()?),
        partition: PartitionId(partition.parse().ok()?),
    })
}

/// Kafka's offsets are never negative.
pub(super) fn offset_from(text: &str) -> Option<Offset> {
    text.parse().ok().filter(|from| *from >= 0).map(Offset)
}

pub(super) fn attempt_from(text: &str) -> Option<Attempt> {
    u64::from_str_radix(text, 16).ok().map(Attempt)
}
