//! How the core stands at one moment, for whoever watches over it.

use skein_shared::ids::Chain;
use skein_shared::offset::Offset;

use crate::core::Core;
use crate::core::byte_budget::Intake;
use crate::core::event::TopicPartition;
use crate::core::partition::{Log, Partition, Phase};

/// What a core has and does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Every partition that is ours.
    pub partitions: Vec<PartitionStanding>,
    /// Objects that take records in.
    pub open_objects: u64,
    /// Objects that are sealed and not stored yet.
    pub sealed_objects: u64,
    /// Flushes that are not in the ledger yet.
    pub flushes_under_way: u64,
    /// Requests that have not come to their end.
    pub open_requests: u64,
    /// Bytes in buffers, being compressed and being uploaded.
    pub used_bytes: u64,
    /// How many there may be.
    pub limit_bytes: u64,
    /// Whether records may come in.
    pub intake: Intake,
}

/// How one partition stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionStanding {
    /// Which.
    pub name: TopicPartition,
    /// Its chain in the ledger.
    pub chain: Chain,
    /// Where it is in its life.
    pub state: PartitionState,
    /// The next offset to come; where it is not read any more, the end of what was sealed.
    pub position: Offset,
    /// End of the ledger: everything below is durable.
    pub ledger_end: Offset,
}

/// Where a partition is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionState {
    /// Where to begin is being found out.
    LookingUp,
    /// What Kafka has does not fit the ledger: it waits, and then is looked at again.
    Doubted,
    /// It is read.
    Reading,
    /// It is being given back; the last flush is on its way.
    Draining,
    /// It is not read any more: a person must act.
    Stopped,
    /// It was ours.
    Away,
}

/// Whether a core does what it is for; cheap enough for every few hundred milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wellbeing {
    /// Whether the group ever gave an assignment.
    pub was_assigned: bool,
    /// Whether the end has begun.
    pub is_ending: bool,
    /// Partitions whose beginning is being found out.
    pub looking_up: u64,
    /// Partitions that wait because what Kafka has does not fit the ledger.
    pub doubted: u64,
    /// Partitions that a person must look at.
    pub stopped: u64,
    /// Partitions with records that are not durable yet.
    pub undurable: u64,
    /// Whether the store, or Kafka, refuses something until a person has acted.
    pub is_refused: bool,
}

impl PartitionState {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LookingUp => "looking-up",
            Self::Doubted => "doubted",
            Self::Reading => "reading",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
            Self::Away => "away",
        }
    }
}

impl Core {
    /// How it stands.
    pub fn standing(&self) -> Standing {
        Standing {
            partitions: self
                .partition_standings()
                .filter(|partition| partition.state != PartitionState::Away)
                .collect(),
            open_objects: self.open.len() as u64,
            sealed_objects: self.sealed.len() as u64,
            flushes_under_way: self.flushes.under_way() as u64,
            open_requests: self.requests.len() as u64,
            used_bytes: self.budget.used_bytes(),
            limit_bytes: self.budget.limit_bytes(),
            intake: self.intake,
        }
    }

    /// How every partition stands that is or was ours.
    pub fn partition_standings(&self) -> impl Iterator<Item = PartitionStanding> {
        self.partitions.iter().map(standing_of)
    }

    /// Where a partition is in its life.
    pub fn state_of(&self, name: &TopicPartition) -> PartitionState {
        let known = self.partitions.known(name);
        known.map_or(PartitionState::Away, state_of)
    }

    /// How it is.
    pub fn wellbeing(&self) -> Wellbeing {
        let mut wellbeing = Wellbeing {
            was_assigned: self.membership.assigned_at.is_some(),
            is_ending: !self.life.is_running(),
            is_refused: self.requests.any_refused(),
            ..Wellbeing::default()
        };
        for partition in self.partitions.iter() {
            match state_of(partition) {
                PartitionState::Away => {}
                PartitionState::LookingUp => wellbeing.looking_up += 1,
                PartitionState::Doubted => wellbeing.doubted += 1,
                PartitionState::Stopped => wellbeing.stopped += 1,
                PartitionState::Draining => wellbeing.undurable += 1,
                PartitionState::Reading => {
                    let position = partition.tenure().map(|tenure| tenure.position);
                    let is_undurable = position.is_some_and(|at| partition.ledger_end < at);
                    wellbeing.undurable += u64::from(is_undurable);
                }
            }
        }
        wellbeing
    }
}

fn standing_of(partition: &Partition) -> PartitionStanding {
    let sealed_to = partition.ledger.end().unwrap_or(partition.ledger_end);
    let position = match &partition.phase {
        Phase::Away | Phase::LookingUp => partition.ledger_end,
        Phase::Found(end) => end.offset,
        Phase::Reading(tenure) => tenure.position,
        Phase::Doubted(_) | Phase::Draining | Phase::Stopped => sealed_to,
    };
    PartitionStanding {
        name: partition.name.clone(),
        chain: partition.chain.clone(),
        state: state_of(partition),
        position,
        ledger_end: partition.ledger_end,
    }
}

fn state_of(partition: &Partition) -> PartitionState {
    let does_not_fit = partition.hole.is_some() || partition.log != Log::Same;
    match &partition.phase {
        Phase::Away => PartitionState::Away,
        Phase::Doubted(_) if does_not_fit => PartitionState::Doubted,
        // One that is doubted and fits is looked up as soon as its flush is in the ledger.
        Phase::LookingUp | Phase::Found(_) | Phase::Doubted(_) => PartitionState::LookingUp,
        Phase::Reading(_) => PartitionState::Reading,
        Phase::Draining => PartitionState::Draining,
        Phase::Stopped => PartitionState::Stopped,
    }
}

/// A partition for unit tests.
#[cfg(test)]
pub(crate) fn test_standing(
    state: PartitionState,
    position: i64,
    ledger_end: i64,
) -> PartitionStanding {
    use skein_shared::ids::{Incarnation, PartitionId, SourceName, TopicName};

    let (topic, partition) = (TopicName::new("t").expect("a name"), PartitionId(3));
    PartitionStanding {
        name: TopicPartition {
            topic: topic.clone(),
            partition,
        },
        chain: Chain {
            source: SourceName::new("s").expect("a name"),
            topic,
            incarnation: Incarnation::default(),
            partition,
        },
        state,
        position: Offset(position),
        ledger_end: Offset(ledger_end),
    }
}
