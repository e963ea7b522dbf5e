//! A shard's list of live segments, and the input positions that they hold.

mod versions_body;
mod account_body;
mod deleted_body;
mod seal_body;
mod segment_body;
mod leaf;
mod leaf_split;
mod expiry;
mod rollup_check;
mod body;
mod root;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::error::Result;
use crate::format::damage::DamageRef;
use crate::format::digest::ContentDigest;
use crate::format::envelope::{self, Kind};
use crate::format::segment_writer::SegmentSummary;
use crate::ids::{Chain, Generation, Hole, OrgId, ShardId, WriteId};
use crate::offset::Offset;
use crate::payload::Limits;
use crate::timeline::OwnershipFilter;
use crate::window::{Resolution, TimeSpan, TimestampMs, Window};

pub use leaf::{LeafRef, LeafScope, ManifestLeaf};
pub use root::ManifestRoot;

pub(crate) use body::CountsBody;
pub(crate) use deleted_body::DeletedBody;
pub use expiry::{Expiry, FirstKept};
pub use rollup_check::{RawByKey, RollupMismatch};
pub(crate) use seal_body::SealRefBody;
pub(crate) use segment_body::{QuarantineBody, SegmentBody, SeriesBody};
pub(crate) use versions_body::{LimitsBody, VersionsBody};

/// What is true of a shard from one commit to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardManifest {
    /// Whose.
    pub shard: ShardId,
    /// Its number; one more than the one before it.
    pub generation: Generation,
    /// Per chain the first offset that is *not* yet in the segments (nor in quarantine, nor not owned).
    /// A chain that is absent has not been read at all.
    pub positions: BTreeMap<Chain, Offset>,
    /// Per hole the first offset of its fills that is not yet in the segments. A hole that is absent has no fill
    /// that was read.
    pub fills: BTreeMap<Hole, Offset>,
    /// The first generation that is kept: a commit that was created at a number before it is void.
    pub kept_from: Generation,
    /// Segments that were written for a generation before this one and are not live must never be committed.
    pub void_before: Generation,
    /// What payloads were held to before, the newest first; what they are held to now is in the versions.
    pub earlier_limits: Vec<LimitsEpoch>,
    /// The live segments, by window, then generation: those of raw points, and rollups of them.
    pub segments: Vec<SegmentEntry>,
    /// The decisions this generation was made with.
    pub versions: ManifestVersions,
    /// Lists of the records that could not become points.
    pub quarantine: Vec<QuarantineRef>,
    /// Where the points of all input went, from the first generation on.
    pub counts: ConservationCounts,
    /// The seals of the windows that have live segments, in the order in which they were made.
    pub seals: Vec<SealRef>,
    /// Places of state objects that did not read back, and what was decided about them.
    pub damages: Vec<DamageRef>,
    /// No live segment of raw points, and no rollup of one, holds any point of the deletes up to this number, and none that
    /// does is ever taken in.
    pub deletes_applied: u64,
    /// Points that each delete has taken, from the first generation on.
    pub deleted: Deleted,
    /// Where parts of this manifest are stored that did not change for a while; of no meaning besides.
    pub leaves: Vec<LeafRef>,
    /// What has expired.
    pub expiry: Expiry,
    /// Everything before this time was in the ledger when the shard had last read all of that; `None` before it ever had.
    pub complete_to: Option<TimestampMs>,
    /// Where the points of each org went; `None` before there are any, or when that is not known any more.
    pub account: Option<AccountRef>,
}

/// Generations in a row that were made with the same limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitsEpoch {
    /// What a payload was held to.
    pub limits: Limits,
    /// Where the last of them stood.
    pub positions: BTreeMap<Chain, Offset>,
    /// The same, in the fills of holes.
    pub fills: BTreeMap<Hole, Offset>,
}

/// The versions of decisions that a manifest was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ManifestVersions {
    /// Newest version of the shard map.
    pub shard_map: u64,
    /// Newest version of the cutover timelines.
    pub timeline: u64,
    /// Encoder of the segments this generation added.
    pub encoder: u32,
    /// What a payload was held to: which records of this generation became points. Settings may change later.
    pub limits: Limits,
}

/// One live segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentEntry {
    /// Its object key.
    pub key: String,
    /// Event times it holds.
    pub window: Window,
    /// How dense its points are.
    pub resolution: Resolution,
    /// What it is among the segments of its window.
    pub layer: Layer,
    /// The key of the raw segment that a rollup was computed from: that one and none besides, whatever overlays it. A rollup
    /// may outlive it, see [`ShardManifest::outlives_points`].
    pub rollup_of: Option<String>,
    /// The generation that added it.
    pub generation: Generation,
    /// Identity of the write that made it.
    pub write_id: WriteId,
    /// Sizes, counts, digest and bounds.
    pub summary: SegmentSummary,
    /// It was made with the deletes up to this number, and holds none of their points.
    pub deletes_applied: u64,
    /// Which points were written into it. One that holds all is an overlay, and is filtered when it is merged next.
    pub filter: OwnershipFilter,
}

/// What a segment is among those of its window. Readers merge them all; the compactor decides by it what to rewrite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Everything that had come when the window was closed, or rewritten after that.
    Base,
    /// What came in so many steps, at least one.
    Overlay {
        /// How many.
        steps: u64,
    },
}

/// One quarantine list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineRef {
    /// Its object key.
    pub key: String,
    /// How many records it lists.
    pub records: u64,
    /// CRC32C of the object.
    pub crc32c: u32,
}

/// The account of the shard's orgs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRef {
    /// Its object key.
    pub key: String,
    /// CRC32C of the object.
    pub crc32c: u32,
}

/// The seal of the bases that one generation added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealRef {
    /// Its object key.
    pub key: String,
    /// CRC32C of the object.
    pub crc32c: u32,
    /// The windows that it seals; never none.
    pub windows: BTreeSet<Window>,
    /// The generation that made it true; set by the commit.
    pub generation: Generation,
}

/// Points taken, by the number of the first delete that takes them.
pub type Deleted = BTreeMap<u64, u64>;

/// Where points went: `points_in = points in live segments + duplicates + not_owned + deleted + expired` (SK-11). Records
/// in quarantine never became points and are counted as records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConservationCounts {
    /// Records that counted, quarantined ones too.
    pub records: u64,
    /// Records in quarantine.
    pub quarantined_records: u64,
    /// Points of the records that decoded.
    pub points_in: u64,
    /// Points that lost to another of equal `(org, metric, timestamp)`.
    pub duplicates: u64,
    /// Points that the org's timeline gives to another pipeline.
    pub not_owned: u64,
    /// Frames in places of state objects that did not read back and were not released since: no fewer than the records
    /// that are missing, which are not in `records`.
    pub damaged_frames: u64,
    /// Points that deletes have taken.
    pub deleted: u64,
    /// Points that went with their segments because all of these was expired, or came after that.
    pub expired: u64,
}

impl SegmentEntry {
    /// Whether it holds points that no timeline gives to the new pipeline: readers have to filter them.
    pub fn is_unfiltered(&self) -> bool {
        self.filter == OwnershipFilter::Everything
    }
}

impl ShardManifest {
    /// The state before the first commit.
    pub fn empty(shard: ShardId) -> Self {
        Self {
            shard,
            generation: Generation(0),
            positions: BTreeMap::new(),
            fills: BTreeMap::new(),
            kept_from: Generation(0),
            void_before: Generation(0),
            earlier_limits: Vec::new(),
            segments: Vec::new(),
            versions: ManifestVersions::default(),
            quarantine: Vec::new(),
            counts: ConservationCounts::default(),
            seals: Vec::new(),
            damages: Vec::new(),
            deletes_applied: 0,
            deleted: Deleted::new(),
            leaves: Vec::new(),
            expiry: Expiry::default(),
            complete_to: None,
            account: None,
        }
    }

    /// The generation before this one; `None` for the first.
    pub fn previous(&self) -> Option<Generation> {
        match self.generation.0 {
            0 | 1 => None,
            n => Some(Generation(n - 1)),
        }
    }

    /// Where reading of `chain` goes on; the start of all offsets when it has not been read.
    pub fn position(&self, chain: &Chain) -> Offset {
        self.positions.get(chain).copied().unwrap_or_default()
    }

    /// The live segments of raw points.
    pub fn raw_segments(&self) -> impl Iterator<Item = &SegmentEntry> {
        let raw = |segment: &&SegmentEntry| segment.resolution.is_raw();
        self.segments.iter().filter(raw)
    }

    /// The live rollups.
    pub fn rollups(&self) -> impl Iterator<Item = &SegmentEntry> {
        let is_rollup = |segment: &&SegmentEntry| !segment.resolution.is_raw();
        self.segments.iter().filter(is_rollup)
    }

    /// The live rollup of `resolution` that was computed from `raw`.
    pub fn rollup_of(&self, raw: &SegmentEntry, resolution: Resolution) -> Option<&SegmentEntry> {
        self.rollups().find(|rollup| {
            rollup.resolution == resolution && rollup.rollup_of.as_ref() == Some(&raw.key)
        })
    }

    /// Whether the points that a rollup was computed from have expired, and only their buckets are left.
    pub fn outlives_points(&self, rollup: &SegmentEntry) -> bool {
        let is_its = |raw: &SegmentEntry| Some(&raw.key) == rollup.rollup_of.as_ref();
        let is_emptied = self.expiry.is_emptied(rollup.window);
        !rollup.resolution.is_raw() && is_emptied && !self.raw_segments().any(is_its)
    }

    /// The rollups that outlive their points.
    pub fn lone_rollups(&self) -> impl Iterator<Item = &SegmentEntry> {
        self.rollups().filter(|rollup| self.outlives_points(rollup))
    }

    /// Up to which delete a live segment is known to hold no point.
    pub fn applied_in(&self, segment: &SegmentEntry) -> u64 {
        if self.outlives_points(segment) {
            segment.deletes_applied
        } else {
            segment.deletes_applied.max(self.deletes_applied)
        }
    }

    /// Up to which delete no live segment, also no rollup that outlives its points, holds any point.
    pub fn all_applied(&self) -> u64 {
        let lone = self
            .lone_rollups()
            .map(|rollup| rollup.deletes_applied)
            .min();
        self.deletes_applied.min(lone.unwrap_or(u64::MAX))
    }

    /// The damages of which nobody has decided what becomes of them.
    pub fn undecided(&self) -> impl Iterator<Item = &DamageRef> {
        self.damages.iter().filter(|damage| damage.is_undecided())
    }

    /// Raw points in all live segments.
    pub fn live_points(&self) -> u64 {
        self.raw_segments().map(|s| s.summary.points).sum()
    }

    /// Sum of the digests of all live segments of raw points.
    pub fn live_digest(&self) -> ContentDigest {
        let mut digest = ContentDigest::EMPTY;
        for segment in self.raw_segments() {
            digest.add(segment.summary.digest);
        }
        digest
    }

    /// Encodes into the bytes of an object, without what is carried over in leaves.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        envelope::seal(
            Kind::ShardManifest,
            write_id,
            &body::ManifestBody::from(self),
        )
    }

    /// Reads [`ShardManifest::encode`] back, of a manifest that has no leaves.
    ///
    /// # Errors
    /// Corrupt when the bytes break the format, or name a leaf: read a [`ManifestRoot`] then, and join it.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (write_id, root) = ManifestRoot::decode(bytes)?;
        Ok((write_id, root.join(Vec::new())?))
    }
}

impl SegmentEntry {
    /// Whether the segment may hold points of `org` in `span`.
    pub fn may_hold(&self, org: OrgId, span: TimeSpan) -> bool {
        let summary = &self.summary;
        summary.first_series.org <= org
            && org <= summary.last_series.org
            && span.from <= summary.last_timestamp
            && summary.first_timestamp < span.to
    }
}

impl ConservationCounts {
    /// Takes another run's counts in.
    pub fn add(&mut self, other: Self) {
        self.records += other.records;
        self.quarantined_records += other.quarantined_records;
        self.points_in += other.points_in;
        self.duplicates += other.duplicates;
        self.not_owned += other.not_owned;
        self.damaged_frames += other.damaged_frames;
        self.deleted += other.deleted;
        self.expired += other.expired;
    }

    /// Points that must be in the live segments, if nothing was lost (SK-11).
    pub fn expected_points(&self) -> Option<u64> {
        self.points_in
            .checked_sub(self.duplicates)?
            .checked_sub(self.not_owned)?
            .checked_sub(self.deleted)?
            .checked_sub(self.expired)
    }
}

#[cfg(test)]
mod tests;
