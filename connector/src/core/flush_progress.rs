//! From captured positions to the ledger.

use skein_shared::ids::{FlushId, ShardId};
use skein_shared::units::Millis;

use crate::core::Core;
use crate::core::action::{Action, Request, RequestId};
use crate::core::flush_cycle::{SealedSpan, Settled};
use crate::core::partition::{Phase, Slot};
use crate::core::purpose::Purpose;
use crate::core::roll_policy::{self, FlushPhase};

/// Flushes under way at which a flush by age waits: the bucket is slow, and more of them would not help.
const CROWD: usize = 4;

impl Core {
    pub(super) fn seal_flush_by_age(&mut self, actions: &mut Vec<Action>) {
        if self.flushes.under_way() < CROWD {
            self.seal_flush(actions);
        }
    }

    /// When the next flush by age is due.
    pub(super) fn next_on_phase(&self) -> Millis {
        let options = &self.options;
        roll_policy::next_flush_at(&options.settings, self.flush_phase, options.epoch, self.now)
    }

    /// Takes the phase of the partitions that are read now. What is due before stays due: never more than an
    /// interval lies between two flushes.
    pub(super) fn find_flush_phase(&mut self) {
        if let Some(lowest) = self.partitions.lowest_reading() {
            self.flush_phase = FlushPhase::of_lowest(lowest);
            self.next_flush_at = self.next_flush_at.min(self.next_on_phase());
        }
    }

    /// Captures every position, seals every open object and goes on: records that come after go into new
    /// objects of the next flush. Without anything new nothing happens.
    pub(super) fn seal_flush(&mut self, actions: &mut Vec<Action>) {
        let mut spans = Vec::new();
        for (slot, partition) in self.partitions.iter_mut() {
            let Some(tenure) = partition.tenure_mut() else {
                continue;
            };
            if let Some(span) = tenure.seal() {
                spans.push(SealedSpan {
                    slot,
                    stream: tenure.stream.clone(),
                    span,
                });
            }
        }
        if spans.is_empty() && !self.flushes.has_objects() {
            return;
        }
        self.sealed_at = Some(self.now);
        let shards: Vec<ShardId> = self.open.keys().copied().collect();
        let flush = self.flushes.seal(spans.clone());
        for sealed in spans {
            let ledger = &mut self.partitions.get_mut(sealed.slot).ledger;
            ledger.push(flush, sealed.span);
        }
        for shard in shards {
            self.seal_object(shard, actions);
        }
        self.write_manifest_if_complete(flush, actions);
    }

    pub(super) fn write_manifest_if_complete(&mut self, flush: FlushId, actions: &mut Vec<Action>) {
        let Some(manifest) = self.flushes.take_manifest(flush, self.made_with()) else {
            return;
        };
        let request = Request::CreateFlushManifest {
            manifest: Box::new(manifest),
            write: self.write_id(),
        };
        self.requests
            .send(Purpose::Manifest(flush), request, actions);
    }

    pub(super) fn manifest_written(&mut self, flush: FlushId, actions: &mut Vec<Action>) {
        for (slot, entry) in self.flushes.entries(flush) {
            self.partitions.get_mut(slot).ledger.ready(flush, entry);
            self.append_next(slot, actions);
        }
    }

    /// Somebody declared this flush void before its manifest was written: its spans are read again.
    pub(super) fn flush_voided(&mut self, flush: FlushId, actions: &mut Vec<Action>) {
        for slot in self.flushes.slots(flush) {
            if self.partitions.get(slot).ledger.holds(flush) {
                self.read_again(slot, actions);
            }
        }
    }

    pub(super) fn span_appended(
        &mut self,
        slot: Slot,
        request: RequestId,
        actions: &mut Vec<Action>,
    ) {
        let partition = self.partitions.get_mut(slot);
        let Some(appended) = partition.ledger.appended(request) else {
            return;
        };
        assert!(
            partition.ledger_end < appended.end,
            "a ledger's end moved back: {} -> {}",
            partition.ledger_end,
            appended.end
        );
        partition.ledger_end = appended.end;
        self.stats.ledger_entries += 1;
        self.stats.ledger_records += appended.records;
        if self.span_settled(appended.flush) == Settled::Wholly {
            self.stats.flushes += 1;
        }
        self.append_next(slot, actions);
    }

    /// Another worker covered our span's first offset: what we read from there on never counts, and the
    /// partition is read again from the chain's end, in a new tenure.
    pub(super) fn conflict(&mut self, slot: Slot, request: RequestId, actions: &mut Vec<Action>) {
        if self.partitions.get(slot).ledger.is_under_way(request) {
            self.stats.conflicts += 1;
            self.read_again(slot, actions);
        }
    }

    /// Gives up what is sealed of a partition but not in the ledger.
    pub(super) fn cut_ledger(&mut self, slot: Slot) {
        for flush in self.partitions.get_mut(slot).ledger.cut() {
            self.span_settled(flush);
        }
    }

    /// Drops what was read of a partition and is not in the ledger, and begins anew at the chain's end.
    pub(super) fn read_again(&mut self, slot: Slot, actions: &mut Vec<Action>) {
        self.cut_ledger(slot);
        let partition = self.partitions.get_mut(slot);
        match partition.phase {
            Phase::Reading(_) => self.look_up(slot, actions),
            Phase::Away
            | Phase::LookingUp
            | Phase::Found(_)
            | Phase::Draining
            | Phase::Doubted(_)
            | Phase::Stopped => {}
        }
    }

    fn append_next(&mut self, slot: Slot, actions: &mut Vec<Action>) {
        let write = self.write_id();
        let ledger = &mut self.partitions.get_mut(slot).ledger;
        let Some(entry) = ledger.next() else {
            return;
        };
        let entry = Box::new(entry.clone());
        let request = Request::AppendLedger { entry, write };
        let id = self.requests.send(Purpose::Ledger(slot), request, actions);
        ledger.sent(id);
    }

    fn span_settled(&mut self, flush: FlushId) -> Settled {
        let settled = self.flushes.span_settled(flush);
        match settled {
            Settled::Partly => {}
            Settled::Wholly => self.status.soon(self.now),
        }
        settled
    }
}
