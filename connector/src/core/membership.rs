//! Which partitions are ours, from where they are read, and when they are given back.

use std::collections::BTreeSet;
use std::mem;

use skein_shared::format::frame::Stream;
use skein_shared::format::ledger_entry::StartPolicy;
use skein_shared::ids;
use skein_shared::offset::{Offset, Span};
use skein_shared::units::Millis;

use crate::core::Core;
use crate::core::action::{Action, Request};
use crate::core::event::{ChainView, LedgerEnd, TopicPartition};
use crate::core::mutant::Mutant;
use crate::core::partition::{ConsumerPosition, Log, Phase, Slot, Tenure};
use crate::core::purpose::Purpose;

/// A revocation so soon after a flush is part of a storm.
const STORM: Millis = Millis::seconds(10);

/// Shortest time between two assignments that the group did not ask for, while more are to come.
const LATE_ASSIGNMENTS: Millis = Millis(250);

/// What the group waits for from us.
#[derive(Debug, Default)]
pub(super) struct Membership {
    answer: Option<Answer>,
    /// Whether an assignment was ever answered, and when the last one was.
    pub(super) assigned_at: Option<Millis>,
    /// Whether something was found that no answer to the group will assign.
    found_late: bool,
    found_late_until: Millis,
    /// What is to be taken from the consumer without the group's asking.
    stopped_late: BTreeSet<Slot>,
}

#[derive(Debug)]
struct Answer {
    kind: AnswerKind,
    deadline: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnswerKind {
    Assignment,
    Revocation,
}

impl Core {
    /// The group pauses everything until it is answered, so look-ups begin at once and are waited for only
    /// so long; what is found later is assigned later.
    pub(super) fn assigned(&mut self, names: &[TopicPartition], actions: &mut Vec<Action>) {
        self.answer_now(actions);
        let slots: BTreeSet<Slot> = names.iter().map(|n| self.partitions.slot_of(n)).collect();
        let is_new = |slot: &&Slot| match self.partitions.get(**slot).phase {
            Phase::Away | Phase::Draining | Phase::Stopped => true,
            Phase::LookingUp | Phase::Found(_) | Phase::Reading(_) | Phase::Doubted(_) => false,
        };
        if self.life.is_running() {
            let added: Vec<Slot> = slots.iter().filter(is_new).copied().collect();
            for slot in added {
                self.look_up(slot, actions);
            }
        }
        let patience = self.options.settings.lookup_timeout;
        self.expect_answer(AnswerKind::Assignment, slots, patience);
    }

    /// One whole flush for everything that is taken away; the answer waits for it, but only so long. In a storm
    /// of rebalances an earlier flush covers nearly all of it, see [`Core::may_leave`].
    pub(super) fn revoked(&mut self, names: &[TopicPartition], actions: &mut Vec<Action>) {
        self.answer_now(actions);
        let slots: BTreeSet<Slot> = names.iter().map(|n| self.partitions.slot_of(n)).collect();
        let tenures = slots
            .iter()
            .filter_map(|slot| self.partitions.get(*slot).tenure());
        let unsealed: u64 = tenures.map(Tenure::unsealed_offsets).sum();
        if self.may_leave(unsealed) {
            self.stats.left_offsets += unsealed;
        } else {
            self.mutated_revocation(&slots);
            self.seal_flush(actions);
        }
        for slot in &slots {
            self.forget_look_ups(*slot);
            let partition = self.partitions.get_mut(*slot);
            partition.phase = match partition.phase {
                Phase::Reading(_) | Phase::Draining => Phase::Draining,
                Phase::Stopped | Phase::Doubted(_) if !partition.ledger.is_settled() => {
                    Phase::Draining
                }
                Phase::Away
                | Phase::LookingUp
                | Phase::Found(_)
                | Phase::Doubted(_)
                | Phase::Stopped => Phase::Away,
            };
        }
        let patience = self.options.settings.drain_timeout;
        self.expect_answer(AnswerKind::Revocation, slots, patience);
    }

    /// Whether so little was read since a flush a moment ago that it may be left to the next owner: a flush
    /// writes an object for each shard and an entry for each partition, and in a storm there would be one for
    /// every rebalance. What is left so is never more than one in two hundred of what was read.
    fn may_leave(&self, unsealed_offsets: u64) -> bool {
        let sealed_lately = self.sealed_at.is_some_and(|at| self.now.0 < at.0 + STORM.0);
        let allowed = (self.stats.records / 200).saturating_sub(self.stats.left_offsets);
        unsealed_offsets == 0 || (sealed_lately && unsealed_offsets <= allowed)
    }

    /// Others may own them by now: what is not in the ledger is theirs to read, and nothing is committed.
    pub(super) fn lost(&mut self, names: &[TopicPartition], actions: &mut Vec<Action>) {
        for name in names {
            let slot = self.partitions.slot_of(name);
            self.give_up(slot);
        }
        self.answer_now(actions);
        let rest = self.partitions.reading();
        let removed = names.to_vec();
        actions.push(Action::Unassign { removed, rest });
    }

    pub(super) fn look_up(&mut self, slot: Slot, actions: &mut Vec<Action>) {
        // What was asked about an earlier tenure says nothing about the next.
        self.requests
            .forget_of(slot, |purpose| matches!(purpose, Purpose::Recheck { .. }));
        let partition = self.partitions.get_mut(slot);
        partition.phase = Phase::LookingUp;
        let request = Request::LookUpChain(partition.chain.clone());
        self.requests.send(Purpose::LookUp(slot), request, actions);
    }

    /// Begins at the chain's end, wherever Kafka's committed offset is. A chain without a genesis gets one
    /// before any record is taken.
    pub(super) fn chain_found(&mut self, slot: Slot, view: ChainView, actions: &mut Vec<Action>) {
        let mutated = self.mutated_end(view.kafka_low);
        let is_awaited = self.partitions.is_awaited(slot);
        let partition = self.partitions.get_mut(slot);
        partition.end_at_assignment = view.kafka_high;
        partition.take_incarnation(view.incarnation);
        let Some(end) = view.ledger.or(mutated) else {
            let start = match self.options.start {
                StartPolicy::Earliest | StartPolicy::Chosen => view.kafka_low,
                StartPolicy::Latest => view.kafka_high,
            };
            let request = Request::CreateGenesis {
                chain: partition.chain.clone(),
                start,
                policy: self.options.start,
            };
            self.requests.send(Purpose::Genesis(slot), request, actions);
            return;
        };
        let offset = end.offset;
        partition.ledger_end = offset;
        partition.committed = Offset::default();
        if partition.log == Log::Replaced || view.kafka_high < offset {
            self.log_is_another(slot, view, actions);
        } else if offset < view.kafka_low {
            self.kafka_lacks(slot, Span::new(offset, view.kafka_low), actions);
        } else {
            partition.log = Log::Same;
            partition.hole = None;
            // A record that Kafka no longer has cannot be compared.
            let last = end.last.filter(|last| view.kafka_low <= last.offset);
            partition.phase = Phase::Found(LedgerEnd { last, ..end });
            self.membership.found_late |= !is_awaited;
        }
    }

    /// Answers the group if everything it waits for is done, or has taken too long.
    pub(super) fn answer_group(&mut self, actions: &mut Vec<Action>) {
        let Some(answer) = &self.membership.answer else {
            return;
        };
        let nothing_to_find = self.life.is_ending() && answer.kind == AnswerKind::Assignment;
        let late = answer.deadline <= self.now || nothing_to_find;
        let kind = answer.kind;
        let census = self.partitions.census();
        if !census.missed.is_empty() && !late {
            return;
        }
        let (slots, missed) = (census.awaited.clone(), census.missed.len() as u64);
        self.membership.answer = None;
        self.partitions.wait_for(BTreeSet::new());
        match kind {
            AnswerKind::Assignment => self.answer_assignment(&slots, actions),
            AnswerKind::Revocation => self.answer_revocation(&slots, missed, actions),
        }
    }

    fn answer_assignment(&mut self, slots: &BTreeSet<Slot>, actions: &mut Vec<Action>) {
        let added = slots
            .iter()
            .filter_map(|slot| self.begin_tenure(*slot))
            .collect();
        let all = self.partitions.reading();
        self.find_flush_phase();
        self.membership.assigned_at = Some(self.now);
        self.status.soon(self.now);
        actions.push(Action::Assign { added, all });
    }

    fn answer_revocation(
        &mut self,
        slots: &BTreeSet<Slot>,
        missed: u64,
        actions: &mut Vec<Action>,
    ) {
        self.stats.missed_drains += missed;
        for slot in slots {
            self.give_up(*slot);
        }
        let rest = self.partitions.reading();
        let removed = self.names(slots);
        actions.push(Action::Unassign { removed, rest });
    }

    fn expect_answer(&mut self, kind: AnswerKind, slots: BTreeSet<Slot>, patience: Millis) {
        self.partitions.wait_for(slots);
        self.membership.answer = Some(Answer {
            kind,
            deadline: Millis(self.now.0 + patience.0),
        });
    }

    /// Kafka asks one thing at a time; if it ever did not, what it asked before is answered as it stands, before
    /// anything that the new question is about changes.
    fn answer_now(&mut self, actions: &mut Vec<Action>) {
        if let Some(before) = &mut self.membership.answer {
            before.deadline = self.now;
            self.answer_group(actions);
        }
    }

    fn give_up(&mut self, slot: Slot) {
        self.cut_ledger(slot);
        self.forget_look_ups(slot);
        let partition = self.partitions.get_mut(slot);
        partition.phase = Phase::Away;
        if partition.log == Log::Short {
            // The second look belongs to whoever has it next.
            partition.log = Log::Same;
        }
    }

    fn forget_look_ups(&mut self, slot: Slot) {
        self.requests.forget_of(slot, |purpose| match purpose {
            Purpose::LookUp(_)
            | Purpose::Genesis(_)
            | Purpose::Recheck { .. }
            | Purpose::LostSpan { .. } => true,
            Purpose::Put(_)
            | Purpose::Part { .. }
            | Purpose::Complete(_)
            | Purpose::Manifest(_)
            | Purpose::Ledger(_)
            | Purpose::Status => false,
        });
    }

    /// Assigns what was found after the group had its answer, or without its asking: all of it together, once
    /// nothing more is being looked up or time has passed, because an assignment interrupts all fetching. While
    /// the group waits for an answer it would be taken for that answer.
    pub(super) fn assign_found(&mut self, actions: &mut Vec<Action>) {
        if !self.membership.found_late || self.membership.answer.is_some() {
            return;
        }
        let patience_is_over = self.membership.found_late_until <= self.now;
        let census = self.partitions.census();
        if !patience_is_over && !census.looking_up.is_empty() {
            return;
        }
        let found: Vec<Slot> = census.found.iter().copied().collect();
        self.membership.found_late = false;
        self.membership.found_late_until = Millis(self.now.0 + LATE_ASSIGNMENTS.0);
        let mut added = Vec::new();
        for slot in found {
            if !self.partitions.is_awaited(slot) {
                added.extend(self.begin_tenure(slot));
            }
        }
        if added.is_empty() {
            return;
        }
        let all = self.partitions.reading();
        self.find_flush_phase();
        actions.push(Action::Assign { added, all });
    }

    /// Takes from the consumer what is not read any more, though the group did not ask. While the group waits for an
    /// answer that would be taken for it, and what it asked for would be given to others before it is given up.
    pub(super) fn unassign_late(&mut self, slot: Slot, actions: &mut Vec<Action>) {
        self.membership.stopped_late.insert(slot);
        self.unassign_stopped(actions);
    }

    /// The same for all that had to wait.
    pub(super) fn unassign_stopped(&mut self, actions: &mut Vec<Action>) {
        if self.membership.answer.is_some() || self.membership.stopped_late.is_empty() {
            return;
        }
        let mut late = mem::take(&mut self.membership.stopped_late);
        // The answer has meanwhile given back some, or assigned them anew.
        late.retain(|slot| match self.partitions.get(*slot).phase {
            Phase::LookingUp
            | Phase::Found(_)
            | Phase::Draining
            | Phase::Doubted(_)
            | Phase::Stopped => true,
            Phase::Away | Phase::Reading(_) => false,
        });
        let removed = self.names(&late);
        if !removed.is_empty() {
            let rest = self.partitions.reading();
            actions.push(Action::Unassign { removed, rest });
        }
    }

    fn names(&self, slots: &BTreeSet<Slot>) -> Vec<TopicPartition> {
        let names = slots.iter();
        names
            .map(|slot| self.partitions.get(*slot).name.clone())
            .collect()
    }

    fn begin_tenure(&mut self, slot: Slot) -> Option<(TopicPartition, Offset)> {
        let partition = self.partitions.get_mut(slot);
        let Phase::Found(LedgerEnd {
            offset: start,
            last,
        }) = partition.phase
        else {
            return None;
        };
        let mutant = self.options.mutant;
        self.tenures_made += 1;
        let number = match mutant {
            Some(Mutant::KeepsTenure) => slot.0 as u64 + 1,
            Some(_) | None => self.tenures_made,
        };
        partition.tenures += 1;
        let trusted = mutant == Some(Mutant::TrustsStalePosition);
        let consumer = if partition.tenures == 1 || trusted {
            ConsumerPosition::Current
        } else {
            ConsumerPosition::MayBeStale
        };
        let tenure = Tenure {
            stream: Stream {
                chain: partition.chain.clone(),
                tenure: ids::Tenure(number),
            },
            position: start,
            sealed_to: start,
            expected: last.filter(|_| mutant != Some(Mutant::TrustsReplacedLog)),
            consumer,
        };
        let from = tenure.fetch_from();
        partition.phase = Phase::Reading(tenure);
        Some((partition.name.clone(), from))
    }
}
