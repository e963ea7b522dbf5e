//! Records into blocks of their shard's open object.

use skein_shared::format::block::SyncMarker;
use skein_shared::format::frame::RecordRef;
use skein_shared::format::object_key::{Hour, ObjectKey};
use skein_shared::format::state_object::{Head, MadeWith};
use skein_shared::ids::{ShardId, WriteId};
use skein_shared::offset::Offset;
use skein_shared::window::TimestampMs;
use uuid::Uuid;

use crate::core::Core;
use crate::core::action::{Action, ObjectNumber, StopReason};
use crate::core::byte_budget::{Intake, Load, Pressure};
use crate::core::event::TopicPartition;
use crate::core::open_object::OpenObject;
use crate::core::partition::{Seen, Slot};
use crate::core::roll_policy;
use crate::core::router::Route;

impl Core {
    pub(super) fn take_record(
        &mut self,
        (topic, partition): (&str, u32),
        record: &RecordRef<'_>,
        actions: &mut Vec<Action>,
    ) {
        let Some(slot) = self.partitions.of_record(topic, partition) else {
            self.stats.ignored_records += 1;
            return;
        };
        if !self.is_next(slot, record.offset) {
            self.pass_over(slot, record, actions);
            return;
        }
        let route = self.router.route(record);
        if let Some(refusal) = &route.refusal {
            self.stats.count_quarantined(refusal);
        }
        if !self.append(slot, &route, record, actions) {
            self.open_object(route.shard);
            let appended = self.append(slot, &route, record, actions);
            assert!(appended, "its shard has an open object");
        }
        self.relieve_pressure(actions);
        if roll_policy::flush_is_full(&self.options.settings, self.flushes.fill) {
            self.seal_flush(actions);
        }
    }

    /// Copies a record into the open object of its shard, if there is one; sends a full block away and seals a full
    /// object.
    fn append(
        &mut self,
        slot: Slot,
        route: &Route,
        record: &RecordRef<'_>,
        actions: &mut Vec<Action>,
    ) -> bool {
        // Looked up once: with small records this is what a record costs.
        let Some(object) = self.open.get_mut(&route.shard) else {
            return false;
        };
        let tenure = self.partitions.get_mut(slot).tenure_mut();
        let tenure = tenure.expect("only what is being read is next");
        let grown = object.append(&tenure.stream, route.org, record);
        tenure.pass(record.offset);
        self.budget.hold(grown.held_bytes);
        if object.block_bytes() >= self.block_bytes {
            let before = object.load();
            actions.push(Action::Encode {
                object: object.number(),
                block: object.take_block(self.block_bytes),
                marker: object.marker(),
            });
            self.budget.change(before, object.load());
        }
        let is_full = roll_policy::is_full(&self.options.settings, object.fill());

        self.progress_at = self.now;
        self.stats.records += 1;
        self.stats.first_record_at.get_or_insert(self.now);
        self.stats.raw_bytes += grown.raw_bytes;
        self.flushes.fill.records += 1;
        self.flushes.fill.bytes += grown.raw_bytes;
        if is_full {
            self.seal_object(route.shard, actions);
        }
        true
    }

    /// Takes note of how far the consumer has come.
    pub(super) fn take_positions(&mut self, positions: &[(TopicPartition, Offset)]) {
        if !self.life.is_running() {
            return;
        }
        for (name, position) in positions {
            let slot = self.partitions.slot_of(name);
            if let Some(tenure) = self.partitions.get_mut(slot).tenure_mut() {
                tenure.pass_to(*position);
            }
        }
    }

    /// Whether a record belongs to a tenure and was not read before. Records that were on their way when a
    /// tenure ended belong to whoever reads the partition next.
    fn is_next(&self, slot: Slot, offset: Offset) -> bool {
        let tenure = self.partitions.get(slot).tenure();
        self.life.is_running() && tenure.is_some_and(|tenure| tenure.position <= offset)
    }

    /// What is not taken may still prove that Kafka holds the records that the ledger speaks of.
    fn pass_over(&mut self, slot: Slot, record: &RecordRef<'_>, actions: &mut Vec<Action>) {
        let tenure = self.partitions.get_mut(slot).tenure_mut();
        match tenure.map_or(Seen::Again, |tenure| tenure.compare(record)) {
            Seen::Same => {}
            Seen::Again => self.stats.ignored_records += 1,
            Seen::Other => {
                let offset = record.offset;
                self.record_differs(slot, StopReason::RecordsReplaced { offset }, actions);
                self.settle(actions);
            }
        }
    }

    fn open_object(&mut self, shard: ShardId) {
        self.objects_made += 1;
        let object = ObjectNumber(self.objects_made);
        let (flush, number) = self.flushes.open_object(object);
        let opened = TimestampMs(self.options.epoch.0 + self.now.0.cast_signed());
        let key = ObjectKey::State {
            shard,
            hour: Hour::of(opened),
            flush,
            number,
        };
        let head = Head {
            marker: SyncMarker(self.rng.u128(..).to_le_bytes()),
            write_id: self.write_id(),
            shard,
            flush,
            number,
        };
        let settings = &self.options.settings;
        self.block_bytes = roll_policy::block_bytes(
            settings,
            self.options.floors,
            &self.budget,
            self.open.len() + 1,
        );
        let made_with = self.made_with();
        let sizes = (self.block_bytes, self.options.floors);
        let opened = OpenObject::new((object, key.to_string()), head, made_with, sizes);
        self.budget.change(Load::default(), opened.load());
        self.open.insert(shard, opened);
        self.homes.insert(object, shard);
    }

    /// Keeps the buffers within the budget (SK-6): lets bytes of the largest open objects leave, and no more in
    /// while too much is on its way.
    pub(super) fn relieve_pressure(&mut self, actions: &mut Vec<Action>) {
        while self.budget.pressure() == Pressure::FreeLargest {
            self.free_largest(actions);
        }
        let intake = if self.blockage.is_on() {
            Intake::Closed
        } else {
            self.budget.intake(self.intake)
        };
        if intake != self.intake {
            self.intake = intake;
            match intake {
                Intake::Closed => {
                    self.stats.pauses += 1;
                    actions.push(Action::Pause);
                }
                Intake::Open => actions.push(Action::Resume),
            }
        }
    }

    /// An id that no other write has.
    pub(super) fn write_id(&mut self) -> WriteId {
        WriteId(Uuid::from_u128(self.rng.u128(..)))
    }

    pub(super) fn made_with(&self) -> MadeWith {
        MadeWith::this_build(self.router.version_count() as u64 - 1)
    }
}
