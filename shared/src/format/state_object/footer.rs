//! The index at the end of a state object.

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Result};
use crate::format::block::{OrgFilter, OrgRange, StreamSummary};
use crate::format::checksum;
use crate::format::digest::ContentDigest;
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::state_object::{HEAD_BYTES, MadeWith};
use crate::format::wire::{self, Reading};
use crate::ids::{FlushId, OrgId, ShardId, WriteId};
use crate::offset::Offset;

/// Length of the trailer.
pub(super) const TRAILER_BYTES: usize = 24;

const TRAILER_MAGIC: [u8; 8] = *b"SKST-END";

/// Where a state object's blocks lie and what is in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateFooter {
    /// Which attempt wrote the object.
    pub write_id: WriteId,
    /// Whose records.
    pub shard: ShardId,
    /// With which objects it was sealed.
    pub flush: FlushId,
    /// Its number within the flush.
    pub number: u32,
    /// Every block, front to back, without a gap.
    pub blocks: Vec<BlockEntry>,
    /// What the object holds of each stream, sorted by stream.
    pub streams: Vec<StreamSummary>,
    /// With what it was made.
    pub made_with: MadeWith,
}

/// One block in the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockEntry {
    /// Where it begins.
    pub at: u64,
    /// Its length.
    pub bytes: u64,
    /// Length of its frames before compression.
    pub raw_bytes: u64,
    /// How many frames.
    pub frames: u64,
    /// The CRC32C in its header.
    pub crc32c: u32,
    /// Orgs of its records; `None` when none could be read.
    pub orgs: Option<OrgRange>,
    /// Which of them; `None` when the range says as much.
    pub org_filter: Option<OrgFilter>,
    /// What it holds of each stream.
    pub spans: Vec<BlockSpan>,
}

impl BlockEntry {
    /// Whether it may hold a record of `org`. Errs only towards saying so.
    pub fn may_hold(&self, org: OrgId) -> bool {
        let in_range = |orgs: OrgRange| orgs.first <= org && org <= orgs.last;
        let in_filter = |filter: &OrgFilter| filter.may_hold(org);
        self.orgs.is_some_and(in_range) && self.org_filter.as_ref().is_none_or(in_filter)
    }
}

/// First and last offset, both included, that a block holds of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockSpan {
    /// Index in [`StateFooter::streams`].
    pub stream: usize,
    /// First offset.
    pub first: Offset,
    /// Last offset.
    pub last: Offset,
}

/// What the end of an object gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TailRead {
    /// The footer.
    Footer(StateFooter),
    /// The footer is longer: read this many bytes from the object's end and try again.
    Longer(u64),
}

/// Reads the footer from `tail`, the last bytes of an object of `object_bytes`.
///
/// # Errors
/// `Corrupt` when the end is not an intact trailer and footer of a state object; `at` counts from the
/// object's first byte.
pub fn read_tail(tail: &[u8], object_bytes: u64) -> Result<TailRead> {
    let footer_name = Kind::StateFooter.name();
    let refuse = |at: u64, reason: &str| Err(Error::decode(footer_name, at, reason));
    let Some((before, trailer)) = tail.split_last_chunk::<TRAILER_BYTES>() else {
        return refuse(object_bytes, "the object ends before its trailer");
    };
    let trailer_at = object_bytes.saturating_sub(TRAILER_BYTES as u64);
    let crc = u32::from_le_bytes([trailer[12], trailer[13], trailer[14], trailer[15]]);
    if trailer[16..] != TRAILER_MAGIC || crc != checksum::crc32c(&trailer[..12]) {
        return refuse(trailer_at, "the trailer is cut off or damaged");
    }
    let mut word = [0; 8];
    word.copy_from_slice(&trailer[..8]);
    let footer_at = u64::from_le_bytes(word);
    let footer_bytes = u32::from_le_bytes([trailer[8], trailer[9], trailer[10], trailer[11]]);
    let end = footer_at.checked_add(u64::from(footer_bytes));
    if end != Some(trailer_at) || footer_at < HEAD_BYTES as u64 {
        let reason = "the trailer points elsewhere: bytes are missing or were added";
        return refuse(trailer_at, reason);
    }
    let Some(start) = before.len().checked_sub(footer_bytes as usize) else {
        let bytes = u64::from(footer_bytes) + TRAILER_BYTES as u64;
        return Ok(TailRead::Longer(bytes));
    };
    let (write_id, message) = envelope::open::<FooterMessage>(Kind::StateFooter, &before[start..])?;
    let body_at = footer_at + HEADER_BYTES as u64;
    let footer = message
        .read(write_id, footer_at)
        .map_err(|reason| Error::decode(footer_name, body_at, reason))?;
    Ok(TailRead::Footer(footer))
}

impl StateFooter {
    /// How many frames the object has.
    pub fn frames(&self) -> u64 {
        self.blocks.iter().map(|block| block.frames).sum()
    }

    /// Length of the frames before compression.
    pub fn raw_bytes(&self) -> u64 {
        self.blocks.iter().map(|block| block.raw_bytes).sum()
    }

    /// Digest of all frames.
    pub fn digest(&self) -> ContentDigest {
        let mut digest = ContentDigest::EMPTY;
        for summary in &self.streams {
            digest.add(summary.digest);
        }
        digest
    }

    /// Footer and trailer of an object whose blocks end at `footer_at`.
    pub(super) fn encode(&self, footer_at: u64) -> Bytes {
        let message = FooterMessage::of(self);
        let mut bytes = envelope::seal(Kind::StateFooter, self.write_id, &message).to_vec();
        let footer_bytes = u32::try_from(bytes.len()).expect("a footer stays below 4 GiB");
        let mut trailer = Vec::with_capacity(TRAILER_BYTES);
        trailer.extend_from_slice(&footer_at.to_le_bytes());
        trailer.extend_from_slice(&footer_bytes.to_le_bytes());
        let crc = checksum::crc32c(&trailer);
        trailer.extend_from_slice(&crc.to_le_bytes());
        trailer.extend_from_slice(&TRAILER_MAGIC);
        bytes.extend_from_slice(&trailer);
        bytes.into()
    }
}

#[derive(Clone, PartialEq, Message)]
struct FooterMessage {
    #[prost(string, tag = "1")]
    shard: String,
    #[prost(string, tag = "2")]
    flush: String,
    #[prost(uint32, tag = "3")]
    number: u32,
    #[prost(message, repeated, tag = "4")]
    blocks: Vec<BlockMessage>,
    #[prost(message, repeated, tag = "5")]
    streams: Vec<wire::Summary>,
    #[prost(uint64, tag = "6")]
    shard_map_version: u64,
    #[prost(string, tag = "7")]
    software: String,
    #[prost(uint64, tag = "8")]
    frames: u64,
    #[prost(uint64, tag = "9")]
    raw_bytes: u64,
}

#[derive(Clone, PartialEq, Message)]
struct BlockMessage {
    #[prost(uint64, tag = "1")]
    at: u64,
    #[prost(uint64, tag = "2")]
    bytes: u64,
    #[prost(uint64, tag = "3")]
    raw_bytes: u64,
    #[prost(uint64, tag = "4")]
    frames: u64,
    #[prost(fixed32, tag = "5")]
    crc32c: u32,
    #[prost(message, optional, tag = "6")]
    orgs: Option<wire::Orgs>,
    /// Per stream in the block: its index in the footer's list,
    #[prost(uint32, repeated, tag = "7")]
    streams: Vec<u32>,
    /// its first offset,
    #[prost(uint64, repeated, tag = "8")]
    firsts: Vec<u64>,
    /// and how far its last lies beyond the first.
    #[prost(uint64, repeated, tag = "9")]
    reaches: Vec<u64>,
    #[prost(bytes = "vec", tag = "10")]
    org_filter: Vec<u8>,
}

impl FooterMessage {
    fn of(footer: &StateFooter) -> Self {
        Self {
            shard: footer.shard.to_string(),
            flush: footer.flush.to_string(),
            number: footer.number,
            blocks: footer.blocks.iter().map(BlockMessage::of).collect(),
            streams: footer.streams.iter().map(wire::Summary::of).collect(),
            shard_map_version: footer.made_with.shard_map_version,
            software: footer.made_with.software.clone(),
            frames: footer.frames(),
            raw_bytes: footer.raw_bytes(),
        }
    }

    fn read(self, write_id: WriteId, footer_at: u64) -> Reading<StateFooter> {
        let mut next_at = HEAD_BYTES as u64;
        let mut blocks = Vec::with_capacity(self.blocks.len());
        let (mut frames, mut raw_bytes) = (0_u64, 0_u64);
        for block in self.blocks {
            let block = block.read(self.streams.len())?;
            if block.at != next_at {
                return Err(format!("block at {} should begin at {next_at}", block.at));
            }
            next_at = next_at
                .checked_add(block.bytes)
                .ok_or("block is too long")?;
            frames = frames.checked_add(block.frames).ok_or("too many frames")?;
            raw_bytes = raw_bytes
                .checked_add(block.raw_bytes)
                .ok_or("too many bytes")?;
            blocks.push(block);
        }
        if next_at != footer_at {
            return Err(format!(
                "blocks end at {next_at}, the footer begins at {footer_at}"
            ));
        }
        let streams = read_all(self.streams, wire::Summary::read)?;
        let mut stream_frames = 0_u64;
        for summary in &streams {
            stream_frames = stream_frames
                .checked_add(summary.frames)
                .ok_or("too many frames")?;
        }
        if frames != self.frames || stream_frames != self.frames || raw_bytes != self.raw_bytes {
            let total = self.frames;
            return Err(format!(
                "counts differ: {total} frames in all, {frames} in blocks, {stream_frames} in streams"
            ));
        }
        Ok(StateFooter {
            write_id,
            shard: self.shard.parse()?,
            flush: self.flush.parse()?,
            number: self.number,
            blocks,
            streams,
            made_with: MadeWith {
                shard_map_version: self.shard_map_version,
                software: self.software,
            },
        })
    }
}

impl BlockMessage {
    fn of(block: &BlockEntry) -> Self {
        let narrow = |n: usize| u32::try_from(n).expect("an object has less than 2^32 streams");
        let first = |span: &BlockSpan| wire::offset_number(span.first);
        let reach = |span: &BlockSpan| wire::offset_number(span.last) - first(span);
        Self {
            at: block.at,
            bytes: block.bytes,
            raw_bytes: block.raw_bytes,
            frames: block.frames,
            crc32c: block.crc32c,
            orgs: block.orgs.map(wire::Orgs::of),
            streams: block.spans.iter().map(|span| narrow(span.stream)).collect(),
            firsts: block.spans.iter().map(first).collect(),
            reaches: block.spans.iter().map(reach).collect(),
            org_filter: block
                .org_filter
                .iter()
                .flat_map(OrgFilter::bytes)
                .copied()
                .collect(),
        }
    }

    fn read(self, stream_count: usize) -> Reading<BlockEntry> {
        if self.firsts.len() != self.streams.len() || self.reaches.len() != self.streams.len() {
            return Err(format!("block at {} has uneven lists of streams", self.at));
        }
        let lists = self.streams.iter().zip(&self.firsts).zip(&self.reaches);
        let mut spans = Vec::with_capacity(self.streams.len());
        for ((stream, first), reach) in lists {
            let stream = *stream as usize;
            if stream >= stream_count {
                return Err(format!(
                    "block at {} names a stream that is not there",
                    self.at
                ));
            }
            let last = first.checked_add(*reach).ok_or("offset is too great")?;
            spans.push(BlockSpan {
                stream,
                first: wire::offset(*first)?,
                last: wire::offset(last)?,
            });
        }
        Ok(BlockEntry {
            at: self.at,
            bytes: self.bytes,
            raw_bytes: self.raw_bytes,
            frames: self.frames,
            crc32c: self.crc32c,
            orgs: self.orgs.map(|orgs| orgs.read()),
            org_filter: OrgFilter::read(self.org_filter)?,
            spans,
        })
    }
}

fn read_all<M, T>(messages: Vec<M>, read: impl Fn(M) -> Reading<T>) -> Reading<Vec<T>> {
    messages.into_iter().map(read).collect()
}
