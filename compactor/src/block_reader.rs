//! From stored blocks to the payloads that count, or to quarantine with the reason.

use std::borrow::Cow;

use skein_shared::format::block::{BlockDecoder, Frame};
use skein_shared::format::compact_plan::Part;
use skein_shared::format::frame::{RecordRef, Stream};
use skein_shared::format::order_column::{ChainIndex, ChainTable, Order};
use skein_shared::format::quarantine::QuarantinedRecord;
use skein_shared::format::state_object::BlockEntry;
use skein_shared::ids::{OrgId, Position, ShardId};
use skein_shared::offset::Span;
use skein_shared::payload::{Limits, ORG_HEADER, PayloadView, Refusal, org_of};
use skein_shared::shard_map::ShardMap;
use skein_shared::window::TimeSpan;

use crate::damage::CountingFrames;
use crate::error::{Error, Result};
use crate::object_fetch::OpenedObject;
use crate::payload_arena::PayloadArena;
use crate::seal_history::SealHistory;

/// Decides what becomes of each frame of a step.
#[derive(Debug)]
pub struct BlockReader<'a> {
    /// For which shard.
    pub shard: ShardId,
    /// Which of the shard's series.
    pub part: Part,
    /// Points of windows that do not touch it are left out.
    pub span: TimeSpan,
    /// Which frames count.
    pub counting: &'a CountingFrames,
    /// Every chain of them: what orders in the arena mean.
    pub chains: &'a ChainTable,
    /// Who owns which window of an org.
    pub shard_map: &'a ShardMap,
    /// What a payload may hold.
    pub limits: &'a Limits,
    /// Which seals a record lies beyond.
    pub seals: &'a SealHistory,
}

/// What the frames read so far became.
#[derive(Debug, Default)]
pub struct FrameCounts {
    /// Frames that count, of records routed to the shard.
    pub records: u64,
    /// Points taken into the arena.
    pub points: u64,
    /// Length of the payloads that they came from.
    pub payload_bytes: u64,
    /// Frames that no ledger entry names.
    pub void: u64,
    /// Records whose payload cannot become points.
    pub quarantined: Vec<QuarantinedRecord>,
    /// The orgs of these, in their order, where they can be read.
    pub quarantined_orgs: Vec<Option<OrgId>>,
}

/// Where counts stood before a block.
#[derive(Clone, Copy)]
struct Mark {
    records: u64,
    points: u64,
    payload_bytes: u64,
    void: u64,
    quarantined: usize,
}

/// What is the same for all frames of one stream in one block.
struct StreamRule<'a> {
    object: &'a OpenedObject,
    stream: &'a Stream,
    spans: Cow<'a, [Span]>,
    chain: ChainIndex,
}

impl FrameCounts {
    fn mark(&self) -> Mark {
        Mark {
            records: self.records,
            points: self.points,
            payload_bytes: self.payload_bytes,
            void: self.void,
            quarantined: self.quarantined.len(),
        }
    }

    fn go_back(&mut self, to: Mark) {
        self.records = to.records;
        self.points = to.points;
        self.payload_bytes = to.payload_bytes;
        self.void = to.void;
        self.quarantined.truncate(to.quarantined);
        self.quarantined_orgs.truncate(to.quarantined);
    }
}

impl BlockReader<'_> {
    /// Reads one block of an object into the arena: all of it, or after an error nothing. CPU work: not for an async
    /// thread.
    ///
    /// # Errors
    /// Corrupt, with the object and the place, when the block does not read back or does not hold what the
    /// object's footer says: it is never skipped.
    pub fn read(
        &self,
        decoder: &mut BlockDecoder,
        (object, entry, bytes): (&OpenedObject, &BlockEntry, &[u8]),
        arena: &mut PayloadArena,
        counts: &mut FrameCounts,
    ) -> Result<()> {
        let (held, before) = (arena.refs().len(), counts.mark());
        let read = self.read_frames(decoder, (object, entry, bytes), arena, counts);
        if read.is_err() {
            arena.forget_after(held);
            counts.go_back(before);
        }
        read
    }

    fn read_frames(
        &self,
        decoder: &mut BlockDecoder,
        (object, entry, bytes): (&OpenedObject, &BlockEntry, &[u8]),
        arena: &mut PayloadArena,
        counts: &mut FrameCounts,
    ) -> Result<()> {
        let located = |error: skein_shared::Error| error.moved_by(entry.at).in_object(&object.key);
        let block = decoder.decode(&object.marker, bytes).map_err(located)?;
        let rules: Vec<StreamRule<'_>> = block
            .streams()
            .iter()
            .map(|stream| self.rule(object, entry, stream))
            .collect();
        let mut frames = 0;
        for frame in block.frames() {
            let frame = frame.map_err(located)?;
            frames += 1;
            self.take(&rules[frame.stream], &frame, arena, counts);
        }
        if frames == entry.frames {
            return Ok(());
        }
        Err(Error::ObjectDiffers {
            object: object.key.clone(),
            reason: format!(
                "the block at {} has {frames} frames, the footer says {}",
                entry.at, entry.frames
            ),
        })
    }

    fn rule<'b>(
        &'b self,
        object: &'b OpenedObject,
        entry: &BlockEntry,
        stream: &'b Stream,
    ) -> StreamRule<'b> {
        let place = entry.at..entry.at + entry.bytes;
        let name = (object.flush, object.key.as_str());
        StreamRule {
            object,
            stream,
            spans: self.counting.spans(name, &place, stream),
            // A stream without spans is in no table; none of its frames counts.
            chain: self.chains.index_of(&stream.chain).unwrap_or_default(),
        }
    }

    fn take(
        &self,
        rule: &StreamRule<'_>,
        frame: &Frame<'_>,
        arena: &mut PayloadArena,
        counts: &mut FrameCounts,
    ) {
        let record = &frame.record;
        if !rule.spans.iter().any(|span| span.contains(record.offset)) {
            counts.void += 1;
            return;
        }
        let is_routed_here = rule.object.shard == self.shard;
        match self.parse(record) {
            Ok((payload, view)) => {
                if !self.part.series.contains(view.series()) {
                    return;
                }
                counts.records += u64::from(is_routed_here);
                let order = Order {
                    seals: 0,
                    record_timestamp: record.timestamp.time(),
                    chain: rule.chain,
                    offset: record.offset,
                };
                counts.payload_bytes += payload.len() as u64;
                counts.points += arena.push(&view, order, |window| {
                    let is_ours = window.span().overlaps(self.span)
                        && self.shard_map.owner_of(view.org(), window) == self.shard;
                    let place = (rule.object.key.as_str(), &rule.stream.chain, record.offset);
                    is_ours.then(|| self.seals.rank(window, place))
                });
            }
            // What has no series belongs to the first part.
            Err(refusal) if is_routed_here && self.part.number == 0 => {
                counts.records += 1;
                counts.quarantined.push(quarantined(rule, record, &refusal));
                let header = record.headers.last(ORG_HEADER.as_bytes());
                let header = header.and_then(|header| header.value);
                counts
                    .quarantined_orgs
                    .push(org_of(record.value, header).ok());
            }
            // The first part of the shard that it was routed to keeps it.
            Err(_) => {}
        }
    }

    fn parse<'r>(
        &self,
        record: &RecordRef<'r>,
    ) -> std::result::Result<(&'r [u8], PayloadView<'r>), Refusal> {
        let payload = record.value.ok_or(Refusal::NoValue)?;
        let view = PayloadView::parse(payload, self.limits, record.timestamp.time())?;
        let header = record.headers.last(ORG_HEADER.as_bytes());
        view.check_org(header.and_then(|header| header.value))?;
        Ok((payload, view))
    }
}

fn quarantined(
    rule: &StreamRule<'_>,
    record: &RecordRef<'_>,
    refusal: &Refusal,
) -> QuarantinedRecord {
    QuarantinedRecord {
        position: Position {
            chain: rule.stream.chain.clone(),
            offset: record.offset,
        },
        flush: rule.object.flush,
        object_key: rule.object.key.clone(),
        reason_code: u32::from(refusal.code()),
        reason: refusal.to_string(),
    }
}
