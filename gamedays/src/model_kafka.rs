//! A model of Kafka: logs that lose and change records, and a group that rebalances.

pub mod log;
pub mod group;

use std::collections::BTreeMap;

use skein_connector::core::action::CommitNumber;
use skein_connector::core::event::TopicPartition;
use skein_shared::ids::{Chain, PartitionId, TopicName};
use skein_shared::offset::Offset;

use crate::model_kafka::group::{Group, MemberId};
use crate::model_kafka::log::Log;

/// Number of a partition in a world, whatever its topic.
pub type Place = usize;

/// The cluster.
#[derive(Debug)]
pub struct ModelKafka {
    /// Each partition's name and log.
    pub partitions: Vec<(TopicPartition, Log)>,
    /// The consumer group.
    pub group: Group,
    /// Committed offsets.
    pub committed: BTreeMap<Place, Offset>,
}

/// A commit on its way.
#[derive(Debug, Clone)]
pub struct Commit {
    /// What its sender calls it.
    pub number: CommitNumber,
    /// Who sent it.
    pub member: MemberId,
    /// In which generation.
    pub generation: u64,
    /// What.
    pub offsets: Vec<(Place, Offset)>,
}

impl ModelKafka {
    /// Empty partitions, two to a topic.
    ///
    /// # Panics
    /// Never: the names are valid.
    pub fn new(partitions: usize, session_ms: u64) -> Self {
        let name = |place: usize| TopicPartition {
            topic: TopicName::new(format!("t{}", place / 2)).expect("the name is valid"),
            partition: PartitionId(u32::from(place % 2 == 1)),
        };
        Self {
            partitions: (0..partitions)
                .map(|place| (name(place), Log::default()))
                .collect(),
            group: Group::new(partitions, session_ms),
            committed: BTreeMap::new(),
        }
    }

    /// Place of a partition.
    ///
    /// # Panics
    /// If there is none of that name: only names that were given are ever asked for.
    pub fn place_of(&self, name: &TopicPartition) -> Place {
        let place = self.partitions.iter().position(|(known, _)| known == name);
        place.expect("only partitions of this cluster are named")
    }

    /// Place of a chain's partition.
    ///
    /// # Panics
    /// If there is none of that name: chains are those of this cluster's partitions.
    pub fn place_of_chain(&self, chain: &Chain) -> Place {
        let is_it = |(name, _): &(TopicPartition, Log)| {
            name.topic == chain.topic && name.partition == chain.partition
        };
        let place = self.partitions.iter().position(is_it);
        place.expect("chains are those of this cluster's partitions")
    }

    /// A partition's log.
    pub fn log(&self, place: Place) -> &Log {
        &self.partitions[place].1
    }

    /// A partition's name.
    pub fn name(&self, place: Place) -> TopicPartition {
        self.partitions[place].0.clone()
    }
}
