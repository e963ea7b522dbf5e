//! What is done when Kafka does not have what follows the ledger's end: never a silent jump (SK-3).

use std::collections::BTreeSet;

use skein_config::connector::{OnLostOffsets, OnReplacedLog};
use skein_shared::format::ledger_entry::{EntryKind, LedgerEntry, StartPolicy};
use skein_shared::ids::{Chain, Incarnation};
use skein_shared::offset::{Offset, Span};
use skein_shared::units::Millis;

use crate::core::Core;
use crate::core::action::{Action, Notice, Request, StopReason};
use crate::core::event::{ChainView, TopicPartition};
use crate::core::mutant::Mutant;
use crate::core::partition::{Hole, Log, Phase, Slot};
use crate::core::purpose::Purpose;

impl Core {
    /// Kafka refused a position of ours and reads that partition no more. It does not say which: all of
    /// them are looked up, and flushed, so that what was read of the others is not read again.
    pub(super) fn look_for_lost_offsets(&mut self, actions: &mut Vec<Action>) {
        let reading = |phase: &Phase| matches!(phase, Phase::Reading(_));
        let slots = self.partitions.slots_where(reading);
        self.recheck_all(slots, actions);
    }

    /// The same for those that look as if Kafka had refused their position.
    pub(super) fn look_at_still(&mut self, names: &[TopicPartition], actions: &mut Vec<Action>) {
        let slots = names.iter().map(|name| self.partitions.slot_of(name));
        let mut slots: Vec<Slot> = slots.collect();
        let is_ignored = self.has(Mutant::IgnoresStill);
        slots.retain(|slot| !is_ignored && self.partitions.get(*slot).tenure().is_some());
        self.recheck_all(slots, actions);
    }

    fn recheck_all(&mut self, slots: Vec<Slot>, actions: &mut Vec<Action>) {
        let is_looked_at = |slot: &Slot| {
            let is_recheck = |purpose| matches!(purpose, Purpose::Recheck { .. });
            self.requests.waits_for(*slot, is_recheck)
        };
        // Many that are refused one after the other are one flush.
        if !slots.iter().all(is_looked_at) {
            self.seal_flush(actions);
        }
        for slot in slots {
            self.recheck(slot, actions);
        }
    }

    /// Asks where a partition stands that may not be read any more, though it should.
    fn recheck(&mut self, slot: Slot, actions: &mut Vec<Action>) {
        let partition = self.partitions.get(slot);
        let Some(position) = partition.tenure().map(|tenure| tenure.position) else {
            return;
        };
        let purpose = Purpose::Recheck { slot, position };
        // One look answers for all that were refused at this position.
        if !self.requests.waits_for(slot, |of| of == purpose) {
            let request = Request::LookUpChain(partition.chain.clone());
            self.requests.send(purpose, request, actions);
        }
    }

    /// Flushes what was read of a partition whose position Kafka does not have any more, and stops or doubts
    /// it. Any other may be the one that Kafka no longer reads, and its log may have been cut and have grown
    /// again: it begins anew at the chain's end, where the last record is compared, once the ledger has what was
    /// flushed of it.
    ///
    /// `asked_at` is the position when Kafka was asked. Records came since, so that a log that goes on may by now
    /// be read beyond the end that it had then.
    pub(super) fn rechecked(
        &mut self,
        (slot, asked_at): (Slot, Offset),
        view: ChainView,
        actions: &mut Vec<Action>,
    ) {
        let Some(tenure) = self.partitions.get(slot).tenure() else {
            return;
        };
        let position = tenure.position;
        if position < view.kafka_low {
            let policy = self.options.settings.on_lost_offsets;
            self.seal_flush(actions);
            let span = Span::new(position, view.kafka_low);
            match policy {
                OnLostOffsets::Stop => self.stop_partition(slot, lost(span), actions),
                OnLostOffsets::SkipAndRecord => self.wait_for_hole(slot, span, actions),
            }
        } else if view.kafka_high < asked_at {
            self.seal_flush(actions);
            self.doubt(slot, self.now, actions);
        } else if self.partitions.get(slot).ledger.is_settled() {
            self.read_again(slot, actions);
        } else {
            // What the consumer still gives of it is nobody's, as while it is looked up: taking thousands away, one
            // at a time, would take longer.
            self.partitions.get_mut(slot).phase = Phase::Doubted(self.now);
        }
    }

    /// Kafka no longer has `span`, which begins at the chain's end.
    ///
    /// Somebody may still hold those records: a worker that was slow, or is no member any more. It has a
    /// flush interval to bring them. What a fresh look then finds missing from the same offset on is lost.
    pub(super) fn kafka_lacks(&mut self, slot: Slot, span: Span, actions: &mut Vec<Action>) {
        match self.options.settings.on_lost_offsets {
            OnLostOffsets::Stop => self.stop_partition(slot, lost(span), actions),
            OnLostOffsets::SkipAndRecord => {
                let known = self.partitions.get(slot).hole;
                match known.filter(|hole| hole.from == span.from) {
                    Some(hole) if hole.until <= self.now => self.record_lost(slot, span, actions),
                    Some(hole) => self.doubt(slot, hole.until, actions),
                    None => self.wait_for_hole(slot, span, actions),
                }
            }
        }
    }

    /// The ledger has the lost span; reading goes on behind it.
    pub(super) fn lost_recorded(&mut self, slot: Slot, span: Span, actions: &mut Vec<Action>) {
        self.stats.lost_spans += 1;
        self.stats.lost_offsets += u64::try_from(span.to.0 - span.from.0).unwrap_or(0);
        let partition = self.partitions.get(slot).name.clone();
        actions.push(Action::Notify(Notice::HoleRecorded { partition, span }));
        self.look_up(slot, actions);
    }

    /// A record is not the one that the ledger ends with.
    pub(super) fn record_differs(
        &mut self,
        slot: Slot,
        reason: StopReason,
        actions: &mut Vec<Action>,
    ) {
        match self.options.settings.on_replaced_log {
            OnReplacedLog::Stop => self.stop_partition(slot, reason, actions),
            OnReplacedLog::NewIncarnation => {
                self.partitions.get_mut(slot).log = Log::Replaced;
                self.doubt(slot, self.now, actions);
            }
        }
    }

    /// Kafka's log ends below the chain's end, or is known to hold other records. Brokers may tell an end that
    /// is too low for a moment while they change leaders, so a short log is looked at twice.
    pub(super) fn log_is_another(
        &mut self,
        slot: Slot,
        view: ChainView,
        actions: &mut Vec<Action>,
    ) {
        let partition = self.partitions.get_mut(slot);
        match (self.options.settings.on_replaced_log, partition.log) {
            (_, Log::Same) => {
                partition.log = Log::Short;
                let again_at = Millis(self.now.0 + self.options.settings.lookup_timeout.0);
                self.doubt(slot, again_at, actions);
            }
            (OnReplacedLog::Stop, Log::Short | Log::Replaced) => {
                let (ledger, kafka) = (partition.ledger_end, view.kafka_high);
                let reason = StopReason::LogEndsBelowLedger { ledger, kafka };
                self.stop_partition(slot, reason, actions);
            }
            (OnReplacedLog::NewIncarnation, Log::Short | Log::Replaced) => {
                self.begin_incarnation(slot, view, actions);
            }
        }
    }

    /// Stops reading a partition until a person has acted.
    pub(super) fn stop_partition(
        &mut self,
        slot: Slot,
        reason: StopReason,
        actions: &mut Vec<Action>,
    ) {
        let stopped = self.partitions.get_mut(slot);
        stopped.stopped_because = reason.to_string();
        let partition = stopped.name.clone();
        actions.push(Action::Alert { partition, reason });
        self.status.soon(self.now);
        self.stop_reading(slot, Phase::Stopped, actions);
    }

    /// Looks again at what was doubted, once its time has come and everything that was read of it is in the
    /// ledger.
    pub(super) fn look_again(&mut self, actions: &mut Vec<Action>) {
        if !self.life.is_running() {
            return;
        }
        let now = self.now;
        let doubted = &self.partitions.census().doubted;
        if doubted.last().is_some_and(|(until, _)| now < *until) {
            // Waiting here is no stall: it has an end.
            self.progress_at = now;
        }
        let due = doubted.iter().take_while(|(until, _)| *until <= now);
        let due: BTreeSet<Slot> = due.map(|(_, slot)| *slot).collect();
        for slot in due {
            if self.partitions.get(slot).ledger.is_settled() {
                self.look_up(slot, actions);
            }
        }
    }

    fn wait_for_hole(&mut self, slot: Slot, span: Span, actions: &mut Vec<Action>) {
        let wait = self.options.settings.flush_interval;
        let until = Millis(self.now.0 + wait.0);
        let from = span.from;
        let known = self.partitions.get_mut(slot);
        known.hole = Some(Hole { from, until });
        let partition = known.name.clone();
        actions.push(Action::Notify(Notice::HoleFound {
            partition,
            span,
            wait,
        }));
        self.doubt(slot, until, actions);
    }

    fn record_lost(&mut self, slot: Slot, span: Span, actions: &mut Vec<Action>) {
        let entry = LedgerEntry {
            chain: self.partitions.get(slot).chain.clone(),
            span,
            kind: EntryKind::LostSpan {
                reason: format!("kafka's oldest record was {}", span.to),
            },
            frames: 0,
            times: None,
            last: None,
        };
        let request = Request::AppendLedger {
            entry: Box::new(entry),
            write: self.write_id(),
        };
        let purpose = Purpose::LostSpan { slot, span };
        self.requests.send(purpose, request, actions);
    }

    fn begin_incarnation(&mut self, slot: Slot, view: ChainView, actions: &mut Vec<Action>) {
        let partition = self.partitions.get(slot);
        let incarnation = Incarnation(view.incarnation.0 + 1);
        actions.push(Action::Notify(Notice::IncarnationBegun {
            partition: partition.name.clone(),
            incarnation,
        }));
        let request = Request::CreateGenesis {
            chain: Chain {
                incarnation,
                ..partition.chain.clone()
            },
            // Never later, whatever the first position was: nothing of the new log was read.
            start: view.kafka_low,
            policy: StartPolicy::Earliest,
        };
        self.requests.send(Purpose::Genesis(slot), request, actions);
    }

    fn doubt(&mut self, slot: Slot, until: Millis, actions: &mut Vec<Action>) {
        self.stop_reading(slot, Phase::Doubted(until), actions);
    }

    fn stop_reading(&mut self, slot: Slot, phase: Phase, actions: &mut Vec<Action>) {
        self.partitions.get_mut(slot).phase = phase;
        if !self.partitions.is_awaited(slot) {
            self.unassign_late(slot, actions);
        }
    }
}

fn lost(span: Span) -> StopReason {
    let (from, to) = (span.from, span.to);
    StopReason::RecordsLost { from, to }
}
