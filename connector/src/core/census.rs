//! What the core asks of all its partitions together, after every event.
//!
//! A worker may have ten thousand partitions, and an event for each of them within a second. So nobody looks at all of
//! them: each partition has a share in the sums and sets here, and only those that may have changed are counted anew.

use std::collections::BTreeSet;

use skein_shared::units::Millis;

use crate::core::partition::{Partition, Phase, Slot};

/// Sums and sets over all partitions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Census {
    shares: Vec<Share>,
    /// How many are read.
    pub(super) reading: u64,
    /// How many are stopped.
    pub(super) stopped: u64,
    /// How many are read and have not come to the end that they had when they were assigned.
    pub(super) short_of_end: u64,
    /// Offsets between their positions and those ends.
    pub(super) records_behind: u64,
    /// Those of which is being found out where to begin.
    pub(super) looking_up: BTreeSet<Slot>,
    /// Those that wait for being assigned to the consumer.
    pub(super) found: BTreeSet<Slot>,
    /// Those that are to be given back.
    pub(super) draining: BTreeSet<Slot>,
    /// Those that are looked at again, and when.
    pub(super) doubted: BTreeSet<(Millis, Slot)>,
    /// Those of which Kafka has not all that the ledger covers.
    pub(super) behind: BTreeSet<Slot>,
    /// What the group waits for.
    pub(super) awaited: BTreeSet<Slot>,
    /// Those of them for which it has to wait longer.
    pub(super) missed: BTreeSet<Slot>,
}

/// What one partition adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Share {
    stage: Stage,
    is_behind: bool,
    /// Whether the group cannot be answered for it yet.
    is_unfinished: bool,
}

/// Where it is in its life, as far as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Away,
    LookingUp,
    Found,
    Reading {
        records_behind: u64,
    },
    Draining,
    Doubted(Millis),
    Stopped,
}

impl Share {
    fn of(partition: &Partition) -> Self {
        let is_behind = partition.is_behind();
        let stage = match &partition.phase {
            Phase::Away => Stage::Away,
            Phase::LookingUp => Stage::LookingUp,
            Phase::Found(_) => Stage::Found,
            Phase::Reading(tenure) => {
                let left = partition.end_at_assignment.0 - tenure.position.0;
                let records_behind = u64::try_from(left).unwrap_or(0);
                Stage::Reading { records_behind }
            }
            Phase::Draining => Stage::Draining,
            Phase::Doubted(until) => Stage::Doubted(*until),
            Phase::Stopped => Stage::Stopped,
        };
        let is_unfinished = match stage {
            Stage::LookingUp => true,
            Stage::Draining => is_behind || !partition.ledger.is_settled(),
            Stage::Away
            | Stage::Found
            | Stage::Reading { .. }
            | Stage::Doubted(_)
            | Stage::Stopped => false,
        };
        Self {
            stage,
            is_behind,
            is_unfinished,
        }
    }
}

impl Census {
    /// Counts a partition anew.
    pub(super) fn count(&mut self, slot: Slot, partition: &Partition) {
        if self.shares.len() <= slot.0 {
            self.shares.resize(slot.0 + 1, Share::default());
        }
        let share = Share::of(partition);
        let before = std::mem::replace(&mut self.shares[slot.0], share);
        if before == share {
            return;
        }
        self.leave(before.stage, slot);
        self.enter(share.stage, slot);
        if share.is_behind {
            self.behind.insert(slot);
        } else {
            self.behind.remove(&slot);
        }
        if share.is_unfinished && self.awaited.contains(&slot) {
            self.missed.insert(slot);
        } else {
            self.missed.remove(&slot);
        }
    }

    /// The group waits for these from now on, and for nothing else.
    pub(super) fn wait_for(&mut self, awaited: BTreeSet<Slot>) {
        let is_unfinished = |slot: &&Slot| {
            let share = self.shares.get(slot.0);
            share.is_some_and(|share| share.is_unfinished)
        };
        self.missed = awaited.iter().filter(is_unfinished).copied().collect();
        self.awaited = awaited;
    }

    fn leave(&mut self, stage: Stage, slot: Slot) {
        match stage {
            Stage::Away => {}
            Stage::LookingUp => drop(self.looking_up.remove(&slot)),
            Stage::Found => drop(self.found.remove(&slot)),
            Stage::Reading { records_behind } => {
                self.reading -= 1;
                self.short_of_end -= u64::from(records_behind > 0);
                self.records_behind -= records_behind;
            }
            Stage::Draining => drop(self.draining.remove(&slot)),
            Stage::Doubted(until) => drop(self.doubted.remove(&(until, slot))),
            Stage::Stopped => self.stopped -= 1,
        }
    }

    fn enter(&mut self, stage: Stage, slot: Slot) {
        match stage {
            Stage::Away => {}
            Stage::LookingUp => drop(self.looking_up.insert(slot)),
            Stage::Found => drop(self.found.insert(slot)),
            Stage::Reading { records_behind } => {
                self.reading += 1;
                self.short_of_end += u64::from(records_behind > 0);
                self.records_behind += records_behind;
            }
            Stage::Draining => drop(self.draining.insert(slot)),
            Stage::Doubted(until) => drop(self.doubted.insert((until, slot))),
            Stage::Stopped => self.stopped += 1,
        }
    }
}
