//! What a compaction is to do, cut into tasks that any engine can start: the object at `plans/<plan>`.

mod body;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::flush_manifest::FlushedObject;
use crate::format::frame::Stream;
use crate::format::profile::Profile;
use crate::ids::{Chain, FlushId, Hole, PlanId, SeriesKey, ShardId, WriteId};
use crate::offset::{Offset, Span};
use crate::payload::Limits;
use crate::window::{Resolution, TimestampMs, Window};

pub(crate) use body::InputMessage;

/// The tasks of one compaction, the largest first. The tasks of one shard have neighbouring indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactPlan {
    /// The decisions that every task has to take alike.
    pub rules: PlanRules,
    /// The tasks; a task's index is its place.
    pub tasks: Vec<PlannedTask>,
}

/// What a plan was made with. A task takes these and not its own settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRules {
    /// Versions of the shard map that there were.
    pub shard_map_versions: u64,
    /// Newest version of the cutover timelines.
    pub timeline: u64,
    /// Everything before this time was in the ledger; `None` when nothing could be said.
    pub watermark: Option<TimestampMs>,
    /// What segments are encoded for.
    pub profile: Profile,
    /// Overlays that a window may have.
    pub max_overlays: u32,
    /// The rollups beside each base.
    pub rollups: Vec<Resolution>,
    /// What a payload may hold.
    pub limits: Limits,
    /// The deletes up to this number are in force.
    pub deletes: u64,
}

/// One task: a shard, or the part of it that lies in a range of series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTask {
    /// Whose.
    pub shard: ShardId,
    /// Which part of the shard.
    pub part: Part,
    /// Payload bytes after which it is given up so that the next plan cuts the shard into more parts; `None` where that
    /// would not help.
    pub most_bytes: Option<u64>,
    /// What it reads and how far the shard's positions move. The same in every part.
    pub step: Step,
}

/// Which of a shard's parts a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its number, from 0.
    pub number: u32,
    /// How many there are.
    pub of: u32,
    /// Its series.
    pub series: SeriesRange,
}

/// Series from the first to the last, which is included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesRange {
    /// The first.
    pub first: SeriesKey,
    /// The last.
    pub last: SeriesKey,
}

/// What one generation of a shard adds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// The objects that hold the records.
    pub objects: Vec<PlannedObject>,
    /// Which of their frames count.
    pub allowed: AllowedFrames,
    /// Per chain from where to where the shard's position moves.
    pub advances: BTreeMap<Chain, Advance>,
    /// The same per hole.
    pub fill_advances: BTreeMap<Hole, Advance>,
    /// Every window before this time is complete after the step; `None` while there is more to read.
    pub complete_to: Option<TimestampMs>,
    /// Windows whose live segments are merged although nothing new may have come for them.
    pub rewrites: BTreeSet<Window>,
    /// Windows that are to be one base after the step, with all deletes carried out: the points of orgs in them expire next.
    pub whole: BTreeSet<Window>,
    /// The points of all deletes up to this number are to be gone after the step, from whichever segment holds them; 0 of
    /// a step that rewrites nothing for their sake.
    pub deletes_due: u64,
}

/// How far a step moves a shard's position in one chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// The position that the step was planned from; `None` when the chain had not been read.
    pub from: Option<Offset>,
    /// The position after it.
    pub to: Offset,
}

/// An object that a step reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedObject {
    /// The flush that sealed it.
    pub flush: FlushId,
    /// Its key, size and counts.
    pub object: FlushedObject,
}

/// The rule of truth for one step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedFrames(BTreeMap<FlushId, BTreeMap<Stream, Vec<Span>>>);

impl CompactPlan {
    /// Its identity: a hash of all that it says.
    pub fn id(&self) -> PlanId {
        PlanId(body::content_hash(self))
    }

    /// Encodes into the bytes of an object.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        envelope::seal(Kind::CompactPlan, write_id, &body::PlanMessage::of(self))
    }

    /// Reads [`CompactPlan::encode`] back.
    ///
    /// # Errors
    /// Corrupt when the bytes break the format.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<body::PlanMessage>(Kind::CompactPlan, bytes)?;
        let refuse = |reason| Error::decode(Kind::CompactPlan.name(), HEADER_BYTES as u64, reason);
        Ok((id, message.read().map_err(refuse)?))
    }
}

impl Part {
    /// All of a shard.
    pub const WHOLE: Self = Self {
        number: 0,
        of: 1,
        series: SeriesRange::ALL,
    };
}

impl SeriesRange {
    /// Every series.
    pub const ALL: Self = Self {
        first: SeriesKey::MIN,
        last: SeriesKey::MAX,
    };

    /// Whether `key` lies in it.
    pub fn contains(&self, key: SeriesKey) -> bool {
        self.first <= key && key <= self.last
    }
}

impl Step {
    /// Stored bytes that the step reads.
    pub fn object_bytes(&self) -> u64 {
        self.objects.iter().map(|o| o.object.object_bytes).sum()
    }

    /// Bytes of the frames in them.
    pub fn raw_bytes(&self) -> u64 {
        self.objects.iter().map(|o| o.object.raw_bytes).sum()
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.advances.is_empty()
            && self.fill_advances.is_empty()
            && self.rewrites.is_empty()
            && self.deletes_due == 0
    }
}

impl AllowedFrames {
    /// The spans of offsets that count in a stream of a flush.
    pub fn spans(&self, flush: FlushId, stream: &Stream) -> &[Span] {
        self.0
            .get(&flush)
            .and_then(|streams| streams.get(stream))
            .map_or(&[], Vec::as_slice)
    }

    /// The streams of a flush that have frames that count, in order, with their spans.
    pub fn streams(&self, flush: FlushId) -> impl Iterator<Item = (&Stream, &[Span])> {
        let streams = self.0.get(&flush).into_iter().flatten();
        streams.map(|(stream, spans)| (stream, spans.as_slice()))
    }

    /// Every chain that has a frame that counts, in order.
    pub fn chains(&self) -> Vec<Chain> {
        let streams = self.0.values().flat_map(BTreeMap::keys);
        streams.map(|stream| stream.chain.clone()).collect()
    }

    /// From now on the frames of `span` count in a stream of a flush.
    pub fn allow(&mut self, flush: FlushId, stream: Stream, span: Span) {
        let streams = self.0.entry(flush).or_default();
        streams.entry(stream).or_default().push(span);
    }
}

#[cfg(test)]
mod tests;
