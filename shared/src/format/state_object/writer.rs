//! Putting a state object together from encoded blocks, front to back.

use bytes::Bytes;

use crate::format::block::{BlockSummary, StreamSummary, merge_streams};
use crate::format::checksum;
use crate::format::digest::ContentDigest;
use crate::format::frame::Stream;
use crate::format::state_object::{BlockEntry, BlockSpan, HEAD_BYTES, Head, MadeWith, StateFooter};
use crate::offset::Offset;

/// An object that is being written. It holds no record bytes: the caller sends
/// [`Self::head_bytes`], each block it pushes, and at last [`FinishedObject::tail`].
#[derive(Debug)]
pub struct StateObjectWriter {
    head: Head,
    made_with: MadeWith,
    blocks: Vec<PushedBlock>,
    streams: Vec<StreamSummary>,
    object_bytes: u64,
    frames: u64,
    raw_bytes: u64,
    crc32c: u32,
}

/// A block whose streams have no index in the footer yet: stream, first and last offset.
#[derive(Debug)]
struct PushedBlock {
    entry: BlockEntry,
    spans: Vec<(Stream, Offset, Offset)>,
}

/// The end of an object.
#[derive(Debug, Clone)]
pub struct FinishedObject {
    /// Footer and trailer: the object's last bytes.
    pub tail: Bytes,
    /// What a flush manifest says of the object.
    pub summary: ObjectSummary,
}

/// What is in a whole state object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSummary {
    /// Its head.
    pub head: Head,
    /// Its length.
    pub object_bytes: u64,
    /// CRC32C of all its bytes.
    pub crc32c: u32,
    /// How many frames.
    pub frames: u64,
    /// Length of the frames before compression.
    pub raw_bytes: u64,
    /// Digest of the frames.
    pub digest: ContentDigest,
    /// What it holds of each stream, sorted by stream.
    pub streams: Vec<StreamSummary>,
}

impl StateObjectWriter {
    /// Begins an object.
    pub fn new(head: Head, made_with: MadeWith) -> Self {
        Self {
            head,
            made_with,
            blocks: Vec::new(),
            streams: Vec::new(),
            object_bytes: HEAD_BYTES as u64,
            frames: 0,
            raw_bytes: 0,
            crc32c: checksum::crc32c(&head.encode()),
        }
    }

    /// The object's first bytes.
    pub fn head_bytes(&self) -> Bytes {
        self.head.encode()
    }

    /// The head; its marker is what blocks are encoded with.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Length of head and blocks so far.
    pub fn object_bytes(&self) -> u64 {
        self.object_bytes
    }

    /// Frames so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Takes note of the next block, whose bytes follow the ones before.
    pub fn push(&mut self, block: &BlockSummary) {
        let spans = block.streams.iter();
        let spans = spans.map(|sum| (sum.stream.clone(), sum.first, sum.last.offset));
        let entry = BlockEntry {
            at: self.object_bytes,
            bytes: block.bytes,
            raw_bytes: block.raw_bytes,
            frames: block.frames,
            crc32c: block.crc32c,
            orgs: block.orgs,
            org_filter: block.org_filter.clone(),
            spans: Vec::new(),
        };
        let spans = spans.collect();
        self.blocks.push(PushedBlock { entry, spans });
        merge_streams(&mut self.streams, &block.streams);
        self.object_bytes += block.bytes;
        self.frames += block.frames;
        self.raw_bytes += block.raw_bytes;
        self.crc32c = checksum::combine(self.crc32c, block.bytes_crc32c, block.bytes);
    }

    /// Streams of all blocks so far.
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Ends the object.
    ///
    /// # Panics
    /// Never: every block's streams were merged in.
    pub fn finish(self) -> FinishedObject {
        let place = |stream: &Stream| {
            self.streams
                .binary_search_by(|sum| sum.stream.cmp(stream))
                .expect("every block's streams were merged in")
        };
        let blocks = self
            .blocks
            .into_iter()
            .map(|PushedBlock { mut entry, spans }| {
                let spans = spans.iter().map(|(stream, first, last)| BlockSpan {
                    stream: place(stream),
                    first: *first,
                    last: *last,
                });
                entry.spans = spans.collect();
                entry
            });
        let footer = StateFooter {
            write_id: self.head.write_id,
            shard: self.head.shard,
            flush: self.head.flush,
            number: self.head.number,
            blocks: blocks.collect(),
            streams: self.streams.clone(),
            made_with: self.made_with,
        };
        let tail = footer.encode(self.object_bytes);
        let summary = ObjectSummary {
            head: self.head,
            object_bytes: self.object_bytes + tail.len() as u64,
            crc32c: checksum::combine(self.crc32c, checksum::crc32c(&tail), tail.len() as u64),
            frames: self.frames,
            raw_bytes: self.raw_bytes,
            digest: footer.digest(),
            streams: self.streams,
        };
        FinishedObject { tail, summary }
    }
}
