//! Filling a block and compressing it.

use std::cell::RefCell;
use std::collections::HashMap;

use bytes::Bytes;
use zstd::bulk::Compressor;
use zstd::zstd_safe::compress_bound;

use crate::format::block::org_filter::OrgBits;
use crate::format::block::{
    Block, BlockBuffer, BlockSummary, CODEC_RAW, CODEC_ZSTD, EncodedBlock, MAX_RAW_BYTES,
    OpenStream, OrgRange, PREFIX_BYTES, SYNC_BYTES, SyncMarker,
};
use crate::format::checksum;
use crate::format::frame::{RecordRef, Stream};
use crate::format::varint;
use crate::ids::OrgId;
use crate::offset::Offset;

const ZSTD_LEVEL: i32 = 1;

impl BlockBuffer {
    /// An empty block that is to hold about `raw_bytes` of frames. Memory is taken in steps, as they come: most
    /// shards of many never fill a block.
    pub fn with_capacity(raw_bytes: usize) -> Self {
        Self {
            raw: Vec::new(),
            room: raw_bytes,
            streams: Vec::new(),
            slots: HashMap::new(),
            last_slot: 0,
            last_time: 0,
            frame_count: 0,
            orgs: None,
            org_bits: OrgBits::default(),
        }
    }

    /// Copies a record in. `org` is `None` when it could not be read.
    ///
    /// # Panics
    /// If the record's offset does not rise within its tenure, if two chains share a tenure, or if the
    /// block would pass [`MAX_RAW_BYTES`]: each would make frames that do not read back.
    #[inline]
    pub fn append(&mut self, stream: &Stream, org: Option<OrgId>, record: &RecordRef<'_>) {
        let slot = self.slot_of(stream, record.offset);
        let next = self.streams[slot].next;
        assert!(
            next <= record.offset && record.offset.0 < i64::MAX,
            "offsets of a tenure must rise: {next} -> {}",
            record.offset
        );
        let body_bytes = record.body_bytes();
        assert!(
            body_bytes < MAX_RAW_BYTES / 2 && self.raw.len() < MAX_RAW_BYTES / 2 - 64,
            "a block holds less than 1 GiB of frames"
        );
        let delta = (record.offset.0 - next.0).cast_unsigned();
        // A record without a time repeats the one before, which costs one byte.
        let time = record
            .timestamp
            .time()
            .map_or(self.last_time, |time| time.0);
        let time_delta = time.wrapping_sub(self.last_time);
        let length = varint::len_u64(slot as u64)
            + varint::len_u64(delta)
            + varint::len_i64(time_delta)
            + body_bytes;
        self.make_room(length + varint::len_u64(length as u64));
        varint::put_u64(&mut self.raw, length as u64);
        varint::put_u64(&mut self.raw, slot as u64);
        varint::put_u64(&mut self.raw, delta);
        varint::put_i64(&mut self.raw, time_delta);
        record.put_body(&mut self.raw);
        self.streams[slot].next = record.offset.next();
        self.last_time = time;
        self.frame_count += 1;
        if let Some(org) = org {
            let range = OrgRange::of(org);
            self.orgs = Some(self.orgs.map_or(range, |orgs| orgs.union(range)));
            self.org_bits.add(org);
        }
    }

    /// Bytes of frames so far, before compression.
    pub fn raw_bytes(&self) -> usize {
        self.raw.len()
    }

    /// Bytes that are reserved for frames.
    #[cfg(test)]
    pub(super) fn reserved_bytes(&self) -> usize {
        self.raw.capacity()
    }

    /// Streams so far: each takes memory beside its frames.
    #[inline]
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Frames so far.
    pub fn frame_count(&self) -> u32 {
        self.frame_count
    }

    /// Whether there are no frames yet.
    pub fn is_empty(&self) -> bool {
        self.frame_count == 0
    }

    /// Compresses the block. CPU work: not for an async thread.
    ///
    /// # Panics
    /// If a frame does not read back as it was appended: stored so it would be lost (SK-3).
    pub fn encode(self, marker: &SyncMarker) -> EncodedBlock {
        let mut table = Vec::new();
        for open in &self.streams {
            put_stream(&mut table, &open.stream);
        }
        let mut bytes = with_compressed(&self.raw, |compressed| {
            let smaller = compressed.filter(|stored| stored.len() < self.raw.len());
            let (codec, stored) = match smaller {
                Some(stored) => (CODEC_ZSTD, stored),
                None => (CODEC_RAW, &self.raw[..]),
            };
            let mut bytes = Vec::with_capacity(PREFIX_BYTES + table.len() + stored.len());
            bytes.extend_from_slice(&marker.0);
            self.put_header(&mut bytes, [stored.len(), table.len()], codec);
            bytes.extend_from_slice(&table);
            bytes.extend_from_slice(stored);
            bytes
        });
        let crc32c = checksum::crc32c(&bytes[SYNC_BYTES + 4..]);
        bytes[SYNC_BYTES..SYNC_BYTES + 4].copy_from_slice(&crc32c.to_le_bytes());
        let block = Block {
            streams: self.streams.into_iter().map(|open| open.stream).collect(),
            orgs: self.orgs,
            frame_count: self.frame_count,
            raw: &self.raw,
        };
        let streams = block
            .stream_summaries()
            .expect("the frames were encoded a moment ago");
        let summary = BlockSummary {
            bytes: bytes.len() as u64,
            raw_bytes: self.raw.len() as u64,
            frames: u64::from(self.frame_count),
            crc32c,
            bytes_crc32c: checksum::crc32c(&bytes),
            orgs: self.orgs,
            org_filter: self
                .orgs
                .filter(|orgs| orgs.first < orgs.last)
                .and_then(|_| self.org_bits.finish()),
            streams,
        };
        let bytes = Bytes::from(bytes);
        EncodedBlock { bytes, summary }
    }

    #[inline]
    fn make_room(&mut self, bytes: usize) {
        if self.raw.capacity() - self.raw.len() < bytes {
            self.grow(bytes);
        }
    }

    /// By a quarter of the room at a time, and beyond it by little: what is not full is memory all the same.
    #[cold]
    fn grow(&mut self, bytes: usize) {
        let needed = self.raw.len() + bytes;
        let capacity = self.raw.capacity();
        let target = if needed <= self.room {
            (capacity + self.room / 4).clamp(needed, self.room)
        } else {
            needed + needed / 16
        };
        self.raw.reserve_exact(target - self.raw.len());
    }

    fn slot_of(&mut self, stream: &Stream, offset: Offset) -> usize {
        if let Some(last) = self.streams.get(self.last_slot)
            && last.stream == *stream
        {
            return self.last_slot;
        }
        let slot = *self.slots.entry(stream.tenure).or_insert_with(|| {
            self.streams.push(OpenStream {
                stream: stream.clone(),
                next: Offset(0),
            });
            self.streams.len() - 1
        });
        assert!(
            self.streams[slot].stream.chain == stream.chain,
            "a tenure belongs to one chain: tenure={} offset={offset}",
            stream.tenure
        );
        self.last_slot = slot;
        slot
    }

    fn put_header(&self, out: &mut Vec<u8>, [stored, table]: [usize; 2], codec: u8) {
        let narrow = |n: usize| u32::try_from(n).expect("a block stays below 4 GiB");
        let lengths = [stored, self.raw.len(), table].map(narrow);
        let counts = [self.frame_count, narrow(self.streams.len())];
        out.extend_from_slice(&[0; 4]);
        for word in lengths.into_iter().chain(counts) {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&[codec, 0, 0, 0]);
        // A range that runs backwards says that no org could be read.
        let orgs = self
            .orgs
            .map_or([u64::MAX, 0], |orgs| [orgs.first.0, orgs.last.0]);
        for org in orgs {
            out.extend_from_slice(&org.to_le_bytes());
        }
    }
}

/// What a thread compresses with.
struct Workshop {
    compressor: Compressor<'static>,
    compressed: Vec<u8>,
}

thread_local! {
    /// To make one takes longer than to compress a small block.
    static WORKSHOP: RefCell<Option<Workshop>> = const { RefCell::new(None) };
}

/// A larger output is not kept for the next block.
const KEPT_BYTES: usize = 2 << 20;

/// Gives `raw` compressed to `take`, or nothing where it cannot be.
fn with_compressed<T>(raw: &[u8], take: impl FnOnce(Option<&[u8]>) -> T) -> T {
    WORKSHOP.with_borrow_mut(|workshop| {
        if workshop.is_none() {
            *workshop = Compressor::new(ZSTD_LEVEL).ok().map(|compressor| Workshop {
                compressor,
                compressed: Vec::new(),
            });
        }
        let Some(shop) = workshop.as_mut() else {
            return take(None);
        };
        shop.compressed.clear();
        shop.compressed.reserve(compress_bound(raw.len()));
        let done = shop
            .compressor
            .compress_to_buffer(raw, &mut shop.compressed);
        let taken = take(done.ok().map(|_| &shop.compressed[..]));
        if shop.compressed.capacity() > KEPT_BYTES {
            shop.compressed = Vec::new();
        }
        taken
    })
}

fn put_stream(out: &mut Vec<u8>, stream: &Stream) {
    for name in [stream.chain.source.as_str(), stream.chain.topic.as_str()] {
        varint::put_u64(out, name.len() as u64);
        out.extend_from_slice(name.as_bytes());
    }
    varint::put_u64(out, u64::from(stream.chain.incarnation.0));
    varint::put_u64(out, u64::from(stream.chain.partition.0));
    varint::put_u64(out, stream.tenure.0);
}
