//! Offsets go to Kafka last. They are a hint for people and tools: a worker starts at the ledger's end.

use skein_shared::offset::Offset;
use skein_shared::units::Millis;

use crate::core::Core;
use crate::core::action::Action;
use crate::core::event::{CommitOutcome, TopicPartition};
use crate::core::partition::{Partition, Phase};

/// How long the outcome of a commit is waited for.
const PATIENCE: Millis = Millis::seconds(10);
/// How long after a failed commit the next one is sent.
const PAUSE_AFTER_FAILURE: Millis = Millis::seconds(1);

/// The one commit that may be under way.
#[derive(Debug, Default)]
pub(super) struct OffsetCommits {
    under_way: Option<(Millis, Vec<(TopicPartition, Offset)>)>,
    not_before: Millis,
}

impl Core {
    /// Commits what the ledger covers, of partitions that are ours at this moment, once no entry is under
    /// way (SK-1: the committed offset never passes the ledger's end).
    pub(super) fn commit_due(&mut self, actions: &mut Vec<Action>) {
        if let Some((since, _)) = &self.commits.under_way {
            if self.now.0 < since.0 + PATIENCE.0 {
                return;
            }
            self.commits.under_way = None;
        }
        if self.now < self.commits.not_before || self.requests.appends_under_way() {
            return;
        }
        let due = |partition: &Partition| {
            let right = is_behind(partition).then_some(partition.ledger_end);
            Some((
                partition.name.clone(),
                self.mutated_commit(partition).or(right)?,
            ))
        };
        let offsets: Vec<_> = self.partitions.iter().filter_map(due).collect();
        if !offsets.is_empty() {
            self.commits.under_way = Some((self.now, offsets.clone()));
            actions.push(Action::Commit(offsets));
        }
    }

    pub(super) fn committed(&mut self, outcome: &CommitOutcome) {
        let Some((_, offsets)) = self.commits.under_way.take() else {
            return;
        };
        match outcome {
            CommitOutcome::Done => {
                self.progress_at = self.now;
                for (name, offset) in offsets {
                    let slot = self.partitions.slot_of(&name);
                    let partition = self.partitions.get_mut(slot);
                    partition.committed = partition.committed.max(offset);
                }
            }
            CommitOutcome::Failed(_) => {
                self.commits.not_before = Millis(self.now.0 + PAUSE_AFTER_FAILURE.0);
            }
        }
    }

    /// Whether Kafka has everything that the ledger covers.
    pub(super) fn commits_are_done(&self) -> bool {
        self.commits.under_way.is_none() && !self.partitions.iter().any(is_behind)
    }
}

/// Whether Kafka's offset of a partition of ours lies behind the ledger.
pub(super) fn is_behind(partition: &Partition) -> bool {
    let ours = match partition.phase {
        Phase::Reading(_) | Phase::Draining => true,
        // A commit for a partition that is not ours could move another worker's offset back.
        Phase::Away | Phase::LookingUp | Phase::Found(_) | Phase::Doubted(_) | Phase::Stopped => {
            false
        }
    };
    ours && partition.committed < partition.ledger_end
}
