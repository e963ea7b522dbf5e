//! One state object's life: open, sealed, stored. A state is a type, so that nothing is added to what is sealed.

use std::mem;

use bytes::Bytes;
use skein_shared::format::block::{BlockBuffer, EncodedBlock, SyncMarker};
use skein_shared::format::frame::{RecordRef, Stream};
use skein_shared::format::state_object::{Head, MadeWith, ObjectSummary, StateObjectWriter};
use skein_shared::ids::{FlushId, OrgId};

use crate::core::action::{ObjectNumber, Request};
use crate::core::byte_budget::Load;
use crate::core::options::Floors;
use crate::core::roll_policy::ObjectFill;

/// An object that takes records.
#[derive(Debug)]
pub(super) struct OpenObject {
    bytes: ObjectBytes,
    block: BlockBuffer,
    records: u64,
}

/// An object that takes no more records; some of its bytes are still on their way.
#[derive(Debug)]
pub(super) struct SealedObject {
    bytes: ObjectBytes,
    summary: Option<ObjectSummary>,
}

/// What open and sealed objects have in common: encoded bytes and parts.
#[derive(Debug)]
struct ObjectBytes {
    number: ObjectNumber,
    key: String,
    writer: Option<StateObjectWriter>,
    head: Head,
    unsent: Unsent,
    sent_bytes: u64,
    parts_sent: u32,
    parts_stored: u32,
    blocks_out: u32,
    encoding_bytes: u64,
    sending_bytes: u64,
    floors: Floors,
    /// What its index takes until it is stored.
    index_bytes: u64,
}

/// What an object grew by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grown {
    /// Bytes of frames.
    pub(super) raw_bytes: u64,
    /// Bytes of memory.
    pub(super) held_bytes: u64,
}

/// Bytes that are in no part yet, as they came: a buffer that grows would take up to twice as much memory, and copy.
#[derive(Debug, Default)]
struct Unsent {
    chunks: Vec<Bytes>,
    bytes: u64,
}

/// What a sealed object needs next.
#[derive(Debug)]
pub(super) enum NextStep {
    /// Blocks or parts to come back.
    Wait,
    /// These bytes, to be sent as the whole object.
    Put(Request),
    /// These bytes, to be sent as its last part.
    LastPart(Request),
    /// All parts are stored: to be made one object.
    Complete(Request),
}

impl OpenObject {
    pub(super) fn new(
        (number, key): (ObjectNumber, String),
        head: Head,
        made_with: MadeWith,
        (block_bytes, floors): (u64, Floors),
    ) -> Self {
        let writer = StateObjectWriter::new(head, made_with);
        Self {
            bytes: ObjectBytes {
                number,
                key,
                unsent: Unsent::of(writer.head_bytes()),
                writer: Some(writer),
                head,
                sent_bytes: 0,
                parts_sent: 0,
                parts_stored: 0,
                blocks_out: 0,
                encoding_bytes: 0,
                sending_bytes: 0,
                floors,
                index_bytes: floors.entry_bytes,
            },
            block: new_block(block_bytes),
            records: 0,
        }
    }

    /// Copies a record in.
    pub(super) fn append(
        &mut self,
        stream: &Stream,
        org: Option<OrgId>,
        record: &RecordRef<'_>,
    ) -> Grown {
        let (raw_bytes, held_bytes) = (self.block_bytes(), self.block_weight());
        self.block.append(stream, org, record);
        self.records += 1;
        Grown {
            raw_bytes: self.block_bytes() - raw_bytes,
            held_bytes: self.block_weight() - held_bytes,
        }
    }

    /// What its block has, in bytes of frames.
    pub(super) fn block_bytes(&self) -> u64 {
        self.block.raw_bytes() as u64
    }

    /// Takes the block out; the next is to hold `next_bytes`.
    pub(super) fn take_block(&mut self, next_bytes: u64) -> BlockBuffer {
        self.bytes.block_leaves(&self.block);
        mem::replace(&mut self.block, new_block(next_bytes))
    }

    fn block_weight(&self) -> u64 {
        self.bytes
            .weight_of(self.block.raw_bytes(), self.block.stream_count())
    }

    /// Adds a compressed block.
    pub(super) fn absorb(&mut self, block: &EncodedBlock) {
        self.bytes.absorb(block);
    }

    /// Takes a part out once `part_bytes` are there.
    pub(super) fn take_part(&mut self, part_bytes: u64) -> Option<Request> {
        (self.bytes.unsent.bytes >= part_bytes).then(|| self.bytes.take_part())
    }

    /// What it holds; bytes that are still to be compressed count as they are.
    pub(super) fn fill(&self) -> ObjectFill {
        ObjectFill {
            records: self.records,
            bytes: self.bytes.stored_bytes() + self.block.raw_bytes() as u64,
        }
    }

    /// Its share of the budget.
    pub(super) fn load(&self) -> Load {
        Load {
            held_bytes: self.bytes.unsent_weight() + self.bytes.index_bytes + self.block_weight(),
            leaving_bytes: self.bytes.leaving_bytes(),
        }
    }

    /// Bytes that are in no part yet.
    pub(super) fn unsent_bytes(&self) -> u64 {
        self.bytes.unsent.bytes
    }

    /// Bytes of its parts so far.
    pub(super) fn sent_bytes(&self) -> u64 {
        self.bytes.sent_bytes
    }

    pub(super) fn number(&self) -> ObjectNumber {
        self.bytes.number
    }

    pub(super) fn marker(&self) -> SyncMarker {
        self.bytes.head.marker
    }

    pub(super) fn part_stored(&mut self, part_bytes: u64) {
        self.bytes.part_stored(part_bytes);
    }

    /// Ends it; gives its last block, if that has frames.
    pub(super) fn seal(mut self) -> (SealedObject, Option<BlockBuffer>) {
        let last = (!self.block.is_empty()).then_some(self.block);
        if let Some(block) = &last {
            self.bytes.block_leaves(block);
        }
        let sealed = SealedObject {
            bytes: self.bytes,
            summary: None,
        };
        (sealed, last)
    }
}

impl SealedObject {
    /// Adds a compressed block.
    pub(super) fn absorb(&mut self, block: &EncodedBlock) {
        self.bytes.absorb(block);
    }

    pub(super) fn part_stored(&mut self, part_bytes: u64) {
        self.bytes.part_stored(part_bytes);
    }

    /// What is to be done next. Each step is given once.
    pub(super) fn advance(&mut self) -> NextStep {
        if self.bytes.blocks_out > 0 {
            return NextStep::Wait;
        }
        if let Some(writer) = self.bytes.writer.take() {
            let finished = writer.finish();
            self.bytes.unsent.push(finished.tail);
            self.summary = Some(finished.summary);
            if self.bytes.parts_sent > 0 {
                return NextStep::LastPart(self.bytes.take_part());
            }
            let body = self.bytes.take_unsent();
            let request = Request::PutObject {
                key: self.bytes.key.clone(),
                write: self.bytes.head.write_id,
                body,
            };
            return NextStep::Put(request);
        }
        if self.bytes.parts_sent > 0 && self.bytes.parts_stored == self.bytes.parts_sent {
            return NextStep::Complete(Request::CompleteUpload(self.bytes.number));
        }
        NextStep::Wait
    }

    pub(super) fn marker(&self) -> SyncMarker {
        self.bytes.head.marker
    }

    /// Which flush it belongs to.
    pub(super) fn flush(&self) -> FlushId {
        self.bytes.head.flush
    }

    /// Its share of the budget: all of it leaves.
    pub(super) fn load(&self) -> Load {
        Load {
            held_bytes: 0,
            leaving_bytes: self.bytes.unsent_weight()
                + self.bytes.index_bytes
                + self.bytes.leaving_bytes(),
        }
    }

    /// Key and contents of the stored object.
    ///
    /// # Panics
    /// If it was not sent yet.
    pub(super) fn stored(self) -> (String, ObjectSummary) {
        let summary = self.summary.expect("only what was finished can be stored");
        (self.bytes.key, summary)
    }
}

impl Unsent {
    fn of(chunk: Bytes) -> Self {
        Self {
            bytes: chunk.len() as u64,
            chunks: vec![chunk],
        }
    }

    fn push(&mut self, chunk: Bytes) {
        self.bytes += chunk.len() as u64;
        self.chunks.push(chunk);
    }

    /// All of it as one, and nothing is left.
    fn take(&mut self) -> Bytes {
        let Self { chunks, bytes } = mem::take(self);
        let bytes = usize::try_from(bytes).expect("it is in memory");
        let mut whole = Vec::with_capacity(bytes);
        // Each goes as soon as it is copied.
        for chunk in chunks {
            whole.extend_from_slice(&chunk);
        }
        whole.into()
    }
}

impl ObjectBytes {
    fn absorb(&mut self, block: &EncodedBlock) {
        let writer = self.writer.as_mut();
        let writer = writer.expect("an object is finished after its last block");
        let known = writer.stream_count();
        writer.push(&block.summary);
        let new = writer.stream_count() - known;
        self.unsent.push(block.bytes.clone());
        self.blocks_out -= 1;
        let streams = block.summary.streams.len();
        self.encoding_bytes -= block.summary.raw_bytes + self.weight_of(0, streams);
        let index = self.floors.index;
        self.index_bytes +=
            index.block_bytes + streams as u64 * index.span_bytes + new as u64 * index.stream_bytes;
    }

    /// What waits to be sent takes in memory.
    fn unsent_weight(&self) -> u64 {
        self.unsent.bytes + self.unsent.chunks.len() as u64 * self.floors.entry_bytes
    }

    /// What frames and their streams take in memory.
    fn weight_of(&self, raw_bytes: usize, streams: usize) -> u64 {
        raw_bytes as u64 + streams as u64 * self.floors.stream_bytes
    }

    fn block_leaves(&mut self, block: &BlockBuffer) {
        self.blocks_out += 1;
        self.encoding_bytes += self.weight_of(block.raw_bytes(), block.stream_count());
    }

    fn take_part(&mut self) -> Request {
        let body = self.take_unsent();
        self.parts_sent += 1;
        Request::UploadPart {
            object: self.number,
            key: self.key.clone(),
            write: self.head.write_id,
            part: self.parts_sent,
            body,
        }
    }

    fn take_unsent(&mut self) -> Bytes {
        let body = self.unsent.take();
        self.sent_bytes += body.len() as u64;
        self.sending_bytes += body.len() as u64;
        body
    }

    fn part_stored(&mut self, part_bytes: u64) {
        self.parts_stored += 1;
        self.sending_bytes -= part_bytes;
    }

    fn leaving_bytes(&self) -> u64 {
        self.encoding_bytes + self.sending_bytes
    }

    fn stored_bytes(&self) -> u64 {
        self.sent_bytes + self.unsent.bytes
    }
}

/// A block with room for `full_bytes` and most of the records that may make it full.
fn new_block(full_bytes: u64) -> BlockBuffer {
    let capacity = usize::try_from(full_bytes + full_bytes / 16);
    BlockBuffer::with_capacity(capacity.expect("a block is smaller than memory"))
}
