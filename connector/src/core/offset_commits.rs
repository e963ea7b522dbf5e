//! Offsets go to Kafka last. They are a hint for people and tools: a worker starts at the ledger's end.

use skein_shared::offset::Offset;
use skein_shared::units::Millis;

use crate::core::Core;
use crate::core::action::Action;
use crate::core::event::{CommitOutcome, TopicPartition};
use crate::core::partition::Slot;

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
        let slots = match self.options.mutant {
            None => self.partitions.census().behind.iter().copied().collect(),
            // A buggy core commits also what is not behind.
            Some(_) => self.partitions.slots_where(|_| true),
        };
        let due = |slot: Slot| {
            let partition = self.partitions.get(slot);
            let right = partition.is_behind().then_some(partition.ledger_end);
            Some((
                partition.name.clone(),
                self.mutated_commit(partition).or(right)?,
            ))
        };
        let offsets: Vec<_> = slots.into_iter().filter_map(due).collect();
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
    pub(super) fn commits_are_done(&mut self) -> bool {
        self.commits.under_way.is_none() && self.partitions.census().behind.is_empty()
    }
}
