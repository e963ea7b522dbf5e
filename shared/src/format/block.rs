//! A block: a compressed run of frames of one shard, readable without anything outside it.
//!
//! Layout: the object's sync marker, a header, the table of streams, the stored frames. The CRC32C in the
//! header covers everything after itself; the marker is compared with the one in the object's head.

mod org_filter;
mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::{Block, BlockDecoder, Frame, Frames, block_length};
pub use org_filter::OrgFilter;

use bytes::Bytes;

use crate::format::block::org_filter::OrgBits;
use crate::format::digest::ContentDigest;
use crate::format::frame::{LastRecord, RecordTimes, Stream};
use crate::ids::{OrgId, Tenure};
use crate::offset::Offset;

use std::collections::HashMap;
use std::mem;

/// Bytes of a sync marker.
pub const SYNC_BYTES: usize = 16;

/// Bytes of marker and header: what has to be there before a block's length is known.
pub const PREFIX_BYTES: usize = SYNC_BYTES + 44;

/// Most bytes of frames in one block, before compression; one record is at most half of it.
pub const MAX_RAW_BYTES: usize = 1 << 30;

/// How a block's frames are stored.
const CODEC_RAW: u8 = 0;
const CODEC_ZSTD: u8 = 1;

/// Sixteen random bytes, drawn per object, at the beginning of each of its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SyncMarker(pub [u8; SYNC_BYTES]);

/// Least and greatest org of some records, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OrgRange {
    /// The least.
    pub first: OrgId,
    /// The greatest.
    pub last: OrgId,
}

/// Frames on their way into one block.
#[derive(Debug)]
pub struct BlockBuffer {
    raw: Vec<u8>,
    /// What `raw` is to hold; it grows there in steps.
    room: usize,
    streams: Vec<OpenStream>,
    slots: HashMap<Tenure, usize>,
    last_slot: usize,
    last_time: i64,
    frame_count: u32,
    orgs: Option<OrgRange>,
    org_bits: OrgBits,
}

#[derive(Debug)]
struct OpenStream {
    stream: Stream,
    next: Offset,
}

/// A finished block and what its object's footer has to know of it.
#[derive(Debug, Clone)]
pub struct EncodedBlock {
    /// The block, from its marker on.
    pub bytes: Bytes,
    /// What is in it.
    pub summary: BlockSummary,
}

/// What is in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockSummary {
    /// Length of the block, marker and header included.
    pub bytes: u64,
    /// Length of its frames before compression.
    pub raw_bytes: u64,
    /// How many frames it has.
    pub frames: u64,
    /// The CRC32C that stands in its header.
    pub crc32c: u32,
    /// CRC32C of all its bytes.
    pub bytes_crc32c: u32,
    /// Orgs of its records; `None` when none could be read.
    pub orgs: Option<OrgRange>,
    /// Which of them; `None` when the range says as much.
    pub org_filter: Option<OrgFilter>,
    /// What it holds of each stream, in order of first appearance.
    pub streams: Vec<StreamSummary>,
}

/// What a block, an object or a flush holds of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSummary {
    /// Which stream.
    pub stream: Stream,
    /// Offset of its first frame.
    pub first: Offset,
    /// Its last frame.
    pub last: LastRecord,
    /// How many frames.
    pub frames: u64,
    /// Timestamps of the records that have one.
    pub times: Option<RecordTimes>,
    /// Digest of the frames.
    pub digest: ContentDigest,
}

impl SyncMarker {
    /// A fresh random marker.
    pub fn random() -> Self {
        Self(*uuid::Uuid::new_v4().as_bytes())
    }
}

impl OrgRange {
    /// Of one org.
    pub const fn of(org: OrgId) -> Self {
        Self {
            first: org,
            last: org,
        }
    }

    /// The least range that holds both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }
}

impl StreamSummary {
    /// Takes in what `other`, of the same stream, holds.
    pub fn merge(&mut self, other: &Self) {
        debug_assert_eq!(self.stream, other.stream);
        self.first = self.first.min(other.first);
        if self.last.offset < other.last.offset {
            self.last = other.last;
        }
        self.times = RecordTimes::joined((self.times, self.frames), (other.times, other.frames));
        self.frames += other.frames;
        self.digest.add(other.digest);
    }
}

/// Adds the streams of `more` to `sums`, which is sorted by stream and stays so.
pub fn merge_streams(sums: &mut Vec<StreamSummary>, more: &[StreamSummary]) {
    let mut added = Vec::new();
    for summary in more {
        match sums.binary_search_by(|sum| sum.stream.cmp(&summary.stream)) {
            Ok(place) => sums[place].merge(summary),
            Err(place) => added.push((place, summary.clone())),
        }
    }
    if added.is_empty() {
        return;
    }
    // Each sum moves once: a flush of ten thousand partitions has as many, and each is new once.
    added.sort_unstable_by(|(_, one), (_, other)| one.stream.cmp(&other.stream));
    let mut merged: Vec<StreamSummary> = Vec::with_capacity(sums.len() + added.len());
    let (mut known, mut moved) = (mem::take(sums).into_iter(), 0);
    for (place, summary) in added {
        merged.extend(known.by_ref().take(place - moved));
        moved = place;
        match merged.last_mut() {
            Some(last) if last.stream == summary.stream => last.merge(&summary),
            Some(_) | None => merged.push(summary),
        }
    }
    merged.extend(known);
    *sums = merged;
}
