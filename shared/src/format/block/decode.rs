//! Reading a block back.

use std::fmt;

use zstd::bulk::Decompressor;

use crate::error::{Error, Result};
use crate::format::block::{
    CODEC_RAW, CODEC_ZSTD, MAX_RAW_BYTES, OrgRange, PREFIX_BYTES, SYNC_BYTES, StreamSummary,
    SyncMarker,
};
use crate::format::checksum;
use crate::format::digest::ContentDigest;
use crate::format::frame::{
    LastRecord, RecordRef, RecordTimes, Stream, body_crc32c, chain_seed, frame_hash, parse_body,
};
use crate::format::varint;
use crate::ids::{Chain, Incarnation, OrgId, PartitionId, SourceName, Tenure, TopicName};
use crate::offset::Offset;
use crate::window::TimestampMs;

const FORMAT: &str = "block";

/// Decodes blocks one after the other into one reused buffer.
pub struct BlockDecoder {
    decompressor: Decompressor<'static>,
    raw: Vec<u8>,
}

/// A decoded block.
#[derive(Debug)]
pub struct Block<'a> {
    pub(super) streams: Vec<Stream>,
    pub(super) orgs: Option<OrgRange>,
    pub(super) frame_count: u32,
    pub(super) raw: &'a [u8],
}

/// One frame of a block.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Index of its stream in [`Block::streams`].
    pub stream: usize,
    /// The record.
    pub record: RecordRef<'a>,
    body: &'a [u8],
}

/// The frames of a block, in order. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Frames<'a> {
    rest: &'a [u8],
    raw_bytes: usize,
    next: Vec<Offset>,
    time: i64,
    left: u32,
}

struct Header {
    crc32c: u32,
    stored_bytes: usize,
    raw_bytes: usize,
    table_bytes: usize,
    frame_count: u32,
    stream_count: u32,
    codec: u8,
    orgs: Option<OrgRange>,
}

/// Length of the block that begins with `prefix`, of which [`PREFIX_BYTES`] are enough. Nothing is proven
/// yet: only [`BlockDecoder::decode`] checks the CRC.
///
/// # Errors
/// `Corrupt` when the marker is not there or the lengths are beyond what a block may have.
pub fn block_length(marker: &SyncMarker, prefix: &[u8]) -> Result<u64> {
    Header::parse(marker, prefix).map(|header| header.block_bytes() as u64)
}

impl BlockDecoder {
    /// A decoder with an empty buffer.
    ///
    /// # Panics
    /// If there is no memory for zstd's context.
    pub fn new() -> Self {
        Self {
            decompressor: Decompressor::new().expect("zstd gets memory for its context"),
            raw: Vec::new(),
        }
    }

    /// Decodes the one block that `bytes` are, from marker to end. CPU work: not for an async thread.
    ///
    /// # Errors
    /// `Corrupt` when anything is not as it was written; `at` counts from the block's first byte.
    pub fn decode<'a>(&'a mut self, marker: &SyncMarker, bytes: &'a [u8]) -> Result<Block<'a>> {
        let header = Header::parse(marker, bytes)?;
        if header.block_bytes() != bytes.len() {
            let reason = format!(
                "the header says {} bytes, there are {}",
                header.block_bytes(),
                bytes.len()
            );
            return Err(Error::decode(FORMAT, SYNC_BYTES as u64, reason));
        }
        let computed = checksum::crc32c(&bytes[SYNC_BYTES + 4..]);
        if computed != header.crc32c {
            let reason = format!("crc32c is {computed:08x}, it was {:08x}", header.crc32c);
            return Err(Error::decode(FORMAT, SYNC_BYTES as u64, reason));
        }
        let (table, stored) = bytes[PREFIX_BYTES..].split_at(header.table_bytes);
        let streams = parse_table(table, header.stream_count)
            .ok_or_else(|| Error::decode(FORMAT, PREFIX_BYTES as u64, "broken stream table"))?;
        let raw = match header.codec {
            CODEC_RAW => stored,
            CODEC_ZSTD => self.inflate(stored, header.raw_bytes)?,
            other => {
                let reason = format!("codec {other} is unknown: a newer version wrote it");
                return Err(Error::decode(FORMAT, SYNC_BYTES as u64 + 24, reason));
            }
        };
        if raw.len() != header.raw_bytes {
            let reason = format!("{} bytes of frames, not {}", raw.len(), header.raw_bytes);
            return Err(Error::decode(FORMAT, PREFIX_BYTES as u64, reason));
        }
        Ok(Block {
            streams,
            orgs: header.orgs,
            frame_count: header.frame_count,
            raw,
        })
    }

    fn inflate(&mut self, stored: &[u8], raw_bytes: usize) -> Result<&[u8]> {
        self.raw.clear();
        self.raw.reserve(raw_bytes);
        self.decompressor
            .decompress_to_buffer(stored, &mut self.raw)
            .map_err(|error| {
                Error::decode(FORMAT, PREFIX_BYTES as u64, format!("zstd: {error}"))
            })?;
        Ok(&self.raw)
    }
}

impl Default for BlockDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for BlockDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockDecoder").finish_non_exhaustive()
    }
}

impl<'a> Block<'a> {
    /// The streams that its frames belong to.
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// Orgs of its records; `None` when none could be read.
    pub fn orgs(&self) -> Option<OrgRange> {
        self.orgs
    }

    /// How many frames it says it has; [`Block::frames`] proves it.
    pub fn frame_count(&self) -> u32 {
        self.frame_count
    }

    /// Length of the frames before compression.
    pub fn raw_bytes(&self) -> usize {
        self.raw.len()
    }

    /// The frames, in order.
    pub fn frames(&self) -> Frames<'a> {
        Frames {
            rest: self.raw,
            raw_bytes: self.raw.len(),
            next: vec![Offset(0); self.streams.len()],
            time: 0,
            left: self.frame_count,
        }
    }

    /// What the block holds of each stream, from its frames.
    ///
    /// # Errors
    /// `Corrupt` when a frame does not read back or a stream has none.
    pub fn stream_summaries(&self) -> Result<Vec<StreamSummary>> {
        let seeds: Vec<u64> = self.streams.iter().map(|s| chain_seed(&s.chain)).collect();
        let mut sums: Vec<Option<(StreamSummary, &[u8])>> = vec![None; self.streams.len()];
        for frame in self.frames() {
            let frame = frame?;
            let hash = frame_hash(seeds[frame.stream], &frame.record, frame.body);
            let (sum, last_body) =
                sums[frame.stream].get_or_insert_with(|| (self.empty_summary(&frame), frame.body));
            sum.last.offset = frame.record.offset;
            sum.last.timestamp = frame.record.timestamp;
            sum.digest.add_hash(hash);
            let time = frame.record.timestamp.time().map(RecordTimes::of);
            sum.times = RecordTimes::joined((sum.times, sum.frames), (time, 1));
            sum.frames += 1;
            *last_body = frame.body;
        }
        let mut summaries = Vec::with_capacity(sums.len());
        for sum in sums {
            let (mut sum, last_body) =
                sum.ok_or_else(|| frame_error(0, "a stream without frames"))?;
            // Of the last record alone: a CRC of every record would cost time for nothing.
            sum.last.crc32c = body_crc32c(sum.last.timestamp, last_body);
            summaries.push(sum);
        }
        Ok(summaries)
    }

    fn empty_summary(&self, frame: &Frame<'_>) -> StreamSummary {
        StreamSummary {
            stream: self.streams[frame.stream].clone(),
            first: frame.record.offset,
            last: LastRecord {
                offset: frame.record.offset,
                timestamp: frame.record.timestamp,
                crc32c: 0,
            },
            frames: 0,
            times: None,
            digest: ContentDigest::EMPTY,
        }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            if self.rest.is_empty() {
                return None;
            }
            let error = frame_error(self.at(), "bytes after the last frame");
            self.rest = &[];
            return Some(Err(error));
        }
        let at = self.at();
        self.left -= 1;
        let frame = self.take_frame();
        if frame.is_err() {
            self.left = 0;
            self.rest = &[];
        }
        Some(frame.map_err(|reason| frame_error(at, reason)))
    }
}

impl<'a> Frames<'a> {
    fn at(&self) -> u64 {
        (self.raw_bytes - self.rest.len()) as u64
    }

    fn take_frame(&mut self) -> std::result::Result<Frame<'a>, &'static str> {
        const CUT: &str = "block ends inside a frame";
        let length = varint::take_u64(&mut self.rest).ok_or(CUT)?;
        let mut frame = varint::take_bytes(&mut self.rest, length).ok_or(CUT)?;
        let stream = varint::take_u64(&mut frame).ok_or(CUT)?;
        let delta = varint::take_u64(&mut frame).ok_or(CUT)?;
        let time_delta = varint::take_i64(&mut frame).ok_or(CUT)?;
        let stream = usize::try_from(stream)
            .ok()
            .filter(|stream| *stream < self.next.len())
            .ok_or("frame names a stream that is not in the table")?;
        let offset = i64::try_from(delta)
            .ok()
            .and_then(|delta| self.next[stream].0.checked_add(delta))
            .filter(|offset| *offset < i64::MAX)
            .map(Offset)
            .ok_or("frame has an offset beyond what Kafka has")?;
        let time = self.time.wrapping_add(time_delta);
        let record = parse_body(frame, offset, TimestampMs(time))?;
        self.next[stream] = offset.next();
        self.time = time;
        Ok(Frame {
            stream,
            record,
            body: frame,
        })
    }
}

impl Header {
    fn parse(marker: &SyncMarker, bytes: &[u8]) -> Result<Self> {
        let Some(prefix) = bytes.get(..PREFIX_BYTES) else {
            return Err(Error::decode(
                FORMAT,
                bytes.len() as u64,
                "ends inside the header",
            ));
        };
        if prefix[..SYNC_BYTES] != marker.0 {
            return Err(Error::decode(
                FORMAT,
                0,
                "the object's sync marker is not there",
            ));
        }
        let header = &prefix[SYNC_BYTES..];
        let orgs = OrgRange {
            first: OrgId(u64_at(header, 28)),
            last: OrgId(u64_at(header, 36)),
        };
        let parsed = Self {
            crc32c: u32_at(header, 0),
            stored_bytes: u32_at(header, 4) as usize,
            raw_bytes: u32_at(header, 8) as usize,
            table_bytes: u32_at(header, 12) as usize,
            frame_count: u32_at(header, 16),
            stream_count: u32_at(header, 20),
            codec: header[24],
            orgs: (orgs.first <= orgs.last).then_some(orgs),
        };
        // The encoder never stores more bytes than the frames had, so this bounds every allocation.
        if parsed.raw_bytes > MAX_RAW_BYTES || parsed.stored_bytes > parsed.raw_bytes {
            let reason = "lengths are beyond what a block may have";
            return Err(Error::decode(FORMAT, SYNC_BYTES as u64 + 4, reason));
        }
        Ok(parsed)
    }

    fn block_bytes(&self) -> usize {
        PREFIX_BYTES + self.table_bytes + self.stored_bytes
    }
}

fn parse_table(mut table: &[u8], stream_count: u32) -> Option<Vec<Stream>> {
    let mut streams = Vec::new();
    for _ in 0..stream_count {
        streams.push(take_stream(&mut table)?);
    }
    table.is_empty().then_some(streams)
}

fn take_stream(table: &mut &[u8]) -> Option<Stream> {
    let source = SourceName::new(take_text(table)?).ok()?;
    let topic = TopicName::new(take_text(table)?).ok()?;
    let incarnation = u32::try_from(varint::take_u64(table)?).ok()?;
    let partition = u32::try_from(varint::take_u64(table)?).ok()?;
    let tenure = Tenure(varint::take_u64(table)?);
    let chain = Chain {
        source,
        topic,
        incarnation: Incarnation(incarnation),
        partition: PartitionId(partition),
    };
    Some(Stream { chain, tenure })
}

fn take_text<'a>(table: &mut &'a [u8]) -> Option<&'a str> {
    let length = varint::take_u64(table)?;
    std::str::from_utf8(varint::take_bytes(table, length)?).ok()
}

fn frame_error(at: u64, reason: &str) -> Error {
    Error::decode("frame", at, reason)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
