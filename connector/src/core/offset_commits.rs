//! Offsets go to Kafka last. They are a hint for people and tools: a worker starts at the ledger's end.

use skein_shared::ids::Incarnation;
use skein_shared::offset::Offset;
use skein_shared::units::Millis;

use crate::core::Core;
use crate::core::action::{Action, CommitNumber};
use crate::core::event::CommitOutcome;
use crate::core::partition::Slot;

/// How long the outcome of a commit is waited for.
const PATIENCE: Millis = Millis::seconds(10);
/// How long after a failed commit the next one is sent.
const PAUSE_AFTER_FAILURE: Millis = Millis::seconds(1);

/// The one commit whose outcome is waited for.
#[derive(Debug, Default)]
pub(super) struct OffsetCommits {
    under_way: Option<UnderWay>,
    sent: u64,
    not_before: Millis,
}

#[derive(Debug)]
struct UnderWay {
    number: CommitNumber,
    since: Millis,
    offsets: Vec<(Slot, Incarnation, Offset)>,
}

impl Core {
    /// Commits what the ledger covers, of partitions that are ours at this moment, once no entry is under
    /// way (SK-1: the committed offset never passes the ledger's end).
    pub(super) fn commit_due(&mut self, actions: &mut Vec<Action>) {
        if let Some(before) = &self.commits.under_way {
            if self.now.0 < before.since.0 + PATIENCE.0 {
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
            let offset = self.mutated_commit(partition).or(right)?;
            Some((slot, partition.chain.incarnation, offset))
        };
        let offsets: Vec<_> = slots.into_iter().filter_map(due).collect();
        if offsets.is_empty() {
            return;
        }
        let named = offsets
            .iter()
            .map(|(slot, _, offset)| (self.partitions.get(*slot).name.clone(), *offset));
        let named = named.collect();
        self.commits.sent += 1;
        let number = CommitNumber(self.commits.sent);
        self.commits.under_way = Some(UnderWay {
            number,
            since: self.now,
            offsets,
        });
        actions.push(Action::Commit(number, named));
    }

    /// How a commit ended. One that was given up says nothing about the one that was sent after it.
    pub(super) fn committed(&mut self, number: CommitNumber, outcome: &CommitOutcome) {
        let is_it = |under_way: &mut UnderWay| under_way.number == number;
        let Some(commit) = self.commits.under_way.take_if(is_it) else {
            self.stats.late_commits += 1;
            return;
        };
        match outcome {
            CommitOutcome::Done => {
                self.progress_at = self.now;
                for (slot, incarnation, offset) in commit.offsets {
                    self.partitions.get_mut(slot).commit(incarnation, offset);
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
