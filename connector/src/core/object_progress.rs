//! From encoded blocks to an object in the bucket.

use skein_shared::format::block::EncodedBlock;
use skein_shared::ids::ShardId;

use crate::core::Core;
use crate::core::action::{Action, ObjectNumber, Request};
use crate::core::byte_budget::Load;
use crate::core::open_object::NextStep;
use crate::core::purpose::Purpose;
use crate::core::roll_policy;

impl Core {
    /// Ends the open object of a shard; a record that comes after opens another.
    pub(super) fn seal_object(&mut self, shard: ShardId, actions: &mut Vec<Action>) {
        let open = self
            .open
            .remove(&shard)
            .expect("only open objects are sealed");
        let (before, number) = (open.load(), open.number());
        let (sealed, last_block) = open.seal();
        self.homes.remove(&number);
        if let Some(block) = last_block {
            actions.push(Action::Encode {
                object: number,
                block,
                marker: sealed.marker(),
            });
        }
        self.budget.change(before, sealed.load());
        self.sealed.insert(number, sealed);
        self.advance_sealed(number, actions);
    }

    /// Lets bytes of the largest open object leave: as a part where one holds enough for that, and the object stays
    /// open; else all of them, by sealing it. So objects are small only where memory is too small for parts.
    pub(super) fn free_largest(&mut self, actions: &mut Vec<Action>) {
        let part_bytes = self.options.floors.part_bytes;
        let largest = self.open.iter().max_by_key(|(_, open)| {
            let has_part = open.unsent_bytes() >= part_bytes;
            (has_part, open.load().held_bytes)
        });
        let shard = *largest.expect("only open objects hold bytes").0;
        let open = self.open.get_mut(&shard).expect("it was just found");
        let (before, object) = (open.load(), open.number());
        let Some(part) = open.take_part(part_bytes) else {
            self.seal_object(shard, actions);
            return;
        };
        self.budget.change(before, open.load());
        self.send_part(object, part, actions);
    }

    pub(super) fn block_encoded(
        &mut self,
        object: ObjectNumber,
        block: &EncodedBlock,
        actions: &mut Vec<Action>,
    ) {
        if let Some(sealed) = self.sealed.get_mut(&object) {
            let before = sealed.load();
            sealed.absorb(block);
            self.budget.change(before, sealed.load());
            self.advance_sealed(object, actions);
            return;
        }
        let Some(shard) = self.homes.get(&object) else {
            // It was lost meanwhile.
            return;
        };
        let open_objects = self.open.len();
        let open = self.open.get_mut(shard).expect("its home is known");
        let before = open.load();
        open.absorb(block);
        let settings = &self.options.settings;
        let part_bytes = roll_policy::part_bytes(
            settings,
            self.options.floors,
            &self.budget,
            open_objects,
            open.sent_bytes(),
        );
        let part = open.take_part(part_bytes);
        self.budget.change(before, open.load());
        if let Some(request) = part {
            self.send_part(object, request, actions);
        }
    }

    pub(super) fn part_stored(
        &mut self,
        object: ObjectNumber,
        part_bytes: u64,
        actions: &mut Vec<Action>,
    ) {
        if let Some(sealed) = self.sealed.get_mut(&object) {
            let before = sealed.load();
            sealed.part_stored(part_bytes);
            self.budget.change(before, sealed.load());
            self.advance_sealed(object, actions);
            return;
        }
        let shard = self
            .homes
            .get(&object)
            .expect("an object is open or sealed");
        let open = self.open.get_mut(shard).expect("its home is known");
        let before = open.load();
        open.part_stored(part_bytes);
        self.budget.change(before, open.load());
    }

    pub(super) fn object_stored(&mut self, object: ObjectNumber, actions: &mut Vec<Action>) {
        let sealed = self
            .sealed
            .remove(&object)
            .expect("only sealed objects are stored");
        self.budget.change(sealed.load(), Load::default());
        let (key, summary) = sealed.stored();
        self.stats.objects += 1;
        self.stats.object_bytes += summary.object_bytes;
        let flush = summary.head.flush;
        self.flushes.object_stored(object, key, &summary);
        self.write_manifest_if_complete(flush, actions);
    }

    /// An upload of ours was dropped, so its flush is void: nothing of it can count, and its spans are read
    /// again. What else is on its way of it comes to its end for nothing.
    pub(super) fn object_lost(&mut self, object: ObjectNumber, actions: &mut Vec<Action>) {
        let full = self.sealed.get(&object);
        let waits = full.is_some_and(|sealed| self.flushes.is_open(sealed.flush()));
        if waits || self.homes.contains_key(&object) {
            // Its flush still takes objects, and would wait for this one for ever.
            self.seal_flush(actions);
        }
        let Some(sealed) = self.sealed.remove(&object) else {
            return;
        };
        self.stats.lost_objects += 1;
        self.budget.change(sealed.load(), Load::default());
        self.requests.forget(|purpose| match purpose {
            Purpose::Put(other)
            | Purpose::Complete(other)
            | Purpose::Part { object: other, .. } => other == object,
            Purpose::LookUp(_)
            | Purpose::Recheck { .. }
            | Purpose::Genesis(_)
            | Purpose::Manifest(_)
            | Purpose::Ledger(_)
            | Purpose::LostSpan { .. }
            | Purpose::Status => false,
        });
        self.flush_voided(sealed.flush(), actions);
    }

    fn advance_sealed(&mut self, object: ObjectNumber, actions: &mut Vec<Action>) {
        let sealed = self.sealed.get_mut(&object).expect("it is sealed");
        let before = sealed.load();
        let next = sealed.advance();
        self.budget.change(before, sealed.load());
        match next {
            NextStep::Wait => {}
            NextStep::Put(request) => {
                self.requests.send(Purpose::Put(object), request, actions);
            }
            NextStep::LastPart(request) => self.send_part(object, request, actions),
            NextStep::Complete(request) => {
                self.requests
                    .send(Purpose::Complete(object), request, actions);
            }
        }
    }

    fn send_part(&mut self, object: ObjectNumber, part: Request, actions: &mut Vec<Action>) {
        let bytes = part.body_bytes();
        self.requests
            .send(Purpose::Part { object, bytes }, part, actions);
    }
}
