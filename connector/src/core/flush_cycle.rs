//! Flushes from the first object to the last ledger entry.

use std::collections::{BTreeMap, BTreeSet};

use skein_shared::format::block::{StreamSummary, merge_streams};
use skein_shared::format::digest::ContentDigest;
use skein_shared::format::flush_manifest::{
    FlushBody, FlushContents, FlushManifest, FlushedObject, FlushedSpan,
};
use skein_shared::format::frame::Stream;
use skein_shared::format::ledger_entry::{EntryKind, LedgerEntry};
use skein_shared::format::state_object::{MadeWith, ObjectSummary};
use skein_shared::ids::{FlushId, WorkerId};
use skein_shared::offset::Span;

use crate::core::action::ObjectNumber;
use crate::core::partition::Slot;
use crate::core::roll_policy::ObjectFill;

/// One flush takes objects; those sealed before it are on their way into the ledger.
#[derive(Debug)]
pub(super) struct FlushCycle {
    open: Flush,
    sealed: BTreeMap<FlushId, Flush>,
    objects_opened: u32,
    /// What all objects of the open flush hold.
    pub(super) fill: ObjectFill,
}

#[derive(Debug)]
struct Flush {
    id: FlushId,
    waiting_for: BTreeSet<ObjectNumber>,
    objects: Vec<FlushedObject>,
    streams: Vec<StreamSummary>,
    spans: Vec<SealedSpan>,
    unsettled: usize,
    manifest: Manifest,
}

#[derive(Debug, PartialEq, Eq)]
enum Manifest {
    Wanted,
    Taken,
}

/// What a flush covers of one partition.
#[derive(Debug, Clone)]
pub(super) struct SealedSpan {
    pub(super) slot: Slot,
    pub(super) stream: Stream,
    pub(super) span: Span,
}

impl FlushCycle {
    pub(super) fn new(worker: WorkerId) -> Self {
        Self {
            open: Flush::new(FlushId { worker, counter: 1 }),
            sealed: BTreeMap::new(),
            objects_opened: 0,
            fill: ObjectFill::default(),
        }
    }

    /// Takes an object into the open flush: gives the flush and the object's number in it.
    pub(super) fn open_object(&mut self, object: ObjectNumber) -> (FlushId, u32) {
        let number = self.objects_opened;
        self.objects_opened += 1;
        self.open.waiting_for.insert(object);
        (self.open.id, number)
    }

    /// Ends the open flush with what it covers, and opens the next one. A flush that covers nothing is
    /// void: its objects, if any, will never count.
    pub(super) fn seal(&mut self, spans: Vec<SealedSpan>) -> FlushId {
        let id = self.open.id;
        let next = FlushId {
            counter: id.counter + 1,
            ..id
        };
        let mut sealed = std::mem::replace(&mut self.open, Flush::new(next));
        self.objects_opened = 0;
        self.fill = ObjectFill::default();
        if !spans.is_empty() {
            sealed.unsettled = spans.len();
            sealed.spans = spans;
            self.sealed.insert(id, sealed);
        }
        id
    }

    /// An object is in the bucket.
    pub(super) fn object_stored(
        &mut self,
        object: ObjectNumber,
        key: String,
        summary: &ObjectSummary,
    ) {
        let id = summary.head.flush;
        let flush = if self.open.id == id {
            &mut self.open
        } else if let Some(sealed) = self.sealed.get_mut(&id) {
            sealed
        } else {
            return;
        };
        flush.waiting_for.remove(&object);
        merge_streams(&mut flush.streams, &summary.streams);
        flush.objects.push(FlushedObject {
            key,
            shard: summary.head.shard,
            object_bytes: summary.object_bytes,
            crc32c: summary.crc32c,
            frames: summary.frames,
            raw_bytes: summary.raw_bytes,
            digest: summary.digest,
        });
    }

    /// The manifest of a sealed flush, once all its objects are stored. Given once.
    pub(super) fn take_manifest(
        &mut self,
        id: FlushId,
        made_with: MadeWith,
    ) -> Option<FlushManifest> {
        let flush = self.sealed.get_mut(&id)?;
        if !flush.waiting_for.is_empty() || flush.manifest == Manifest::Taken {
            return None;
        }
        flush.manifest = Manifest::Taken;
        let mut objects = std::mem::take(&mut flush.objects);
        objects.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        let spans = flush.spans.iter().map(|sealed| {
            let sum = flush.sum_of(sealed);
            FlushedSpan {
                stream: sealed.stream.clone(),
                span: sealed.span,
                hole: None,
                frames: sum.map_or(0, |sum| sum.frames),
                digest: sum.map_or(ContentDigest::EMPTY, |sum| sum.digest),
            }
        });
        let contents = FlushContents {
            objects,
            spans: spans.collect(),
            made_with,
        };
        Some(FlushManifest {
            flush: id,
            body: FlushBody::Written(contents),
        })
    }

    /// The ledger entries of a flush whose manifest is durable.
    pub(super) fn entries(&self, id: FlushId) -> Vec<(Slot, LedgerEntry)> {
        let Some(flush) = self.sealed.get(&id) else {
            return Vec::new();
        };
        let entry = |sealed: &SealedSpan| {
            let sum = flush.sum_of(sealed);
            let entry = LedgerEntry {
                chain: sealed.stream.chain.clone(),
                span: sealed.span,
                kind: EntryKind::Flushed {
                    flush: id,
                    tenure: sealed.stream.tenure,
                },
                frames: sum.map_or(0, |sum| sum.frames),
                times: sum.and_then(|sum| sum.times),
                last: sum.map(|sum| sum.last),
            };
            (sealed.slot, entry)
        };
        flush.spans.iter().map(entry).collect()
    }

    /// The partitions that a flush covers.
    pub(super) fn slots(&self, id: FlushId) -> Vec<Slot> {
        let spans = self.sealed.get(&id).map(|flush| flush.spans.iter());
        spans.into_iter().flatten().map(|span| span.slot).collect()
    }

    /// One span of a flush is in the ledger, or never will be.
    pub(super) fn span_settled(&mut self, id: FlushId) -> Settled {
        let Some(flush) = self.sealed.get_mut(&id) else {
            return Settled::Partly;
        };
        flush.unsettled -= 1;
        if flush.unsettled > 0 {
            return Settled::Partly;
        }
        self.sealed.remove(&id);
        Settled::Wholly
    }

    /// Whether a flush still takes objects.
    pub(super) fn is_open(&self, id: FlushId) -> bool {
        self.open.id == id
    }

    /// How many flushes are on their way.
    pub(super) fn under_way(&self) -> usize {
        self.sealed.len()
    }

    /// Whether objects were opened since the last seal.
    pub(super) fn has_objects(&self) -> bool {
        self.objects_opened > 0
    }
}

/// How much of a flush has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// Some spans are on their way.
    Partly,
    /// All of it.
    Wholly,
}

impl Flush {
    fn new(id: FlushId) -> Self {
        Self {
            id,
            waiting_for: BTreeSet::new(),
            objects: Vec::new(),
            streams: Vec::new(),
            spans: Vec::new(),
            unsettled: 0,
            manifest: Manifest::Wanted,
        }
    }

    /// What the flush's objects hold of a span. Every frame of its tenure must lie inside (SK-3).
    fn sum_of(&self, sealed: &SealedSpan) -> Option<&StreamSummary> {
        let place = self
            .streams
            .binary_search_by(|sum| sum.stream.cmp(&sealed.stream))
            .ok()?;
        let sum = &self.streams[place];
        assert!(
            sealed.span.contains(sum.first) && sealed.span.contains(sum.last.offset),
            "a flush's frames lie in its span: {} holds {} to {}",
            sealed.span,
            sum.first,
            sum.last.offset
        );
        Some(sum)
    }
}
