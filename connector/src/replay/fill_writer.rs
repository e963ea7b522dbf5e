//! Records of one hole into state objects, and what the bucket has to know of them: the same objects that a
//! connector writes, of one flush for each piece of a hole.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use skein_shared::bucket::{Bucket, Created};
use skein_shared::fills::{Filled, Fills};
use skein_shared::format::block::{BlockBuffer, StreamSummary, SyncMarker, merge_streams};
use skein_shared::format::digest::ContentDigest;
use skein_shared::format::fill_entry::FillEntry;
use skein_shared::format::flush_manifest::{
    FlushBody, FlushContents, FlushManifest, FlushedObject, FlushedSpan,
};
use skein_shared::format::frame::{RecordRef, Stream};
use skein_shared::format::ledger_entry::{EntryKind, LedgerEntry};
use skein_shared::format::object_key::{Hour, ObjectKey};
use skein_shared::format::state_object::{Head, MadeWith, StateObjectWriter};
use skein_shared::ids::{FlushId, Hole, ShardId, Tenure, WorkerId, WriteId};
use skein_shared::offset::Span;
use skein_shared::shard_map::ShardMap;
use skein_shared::window::TimestampMs;

use crate::core::router::Router;
use crate::error::Result;

/// Raw size of a block.
const BLOCK_BYTES: usize = 1 << 20;

/// Objects of one flush that are written at the same time.
const CONCURRENT_PUTS: usize = 16;

/// One flush of records of one hole, in memory.
#[derive(Debug)]
pub struct FillWriter {
    flush: FlushId,
    stream: Stream,
    hole: Hole,
    opened: TimestampMs,
    made_with: MadeWith,
    router: Router,
    objects: BTreeMap<ShardId, OpenObject>,
    raw_bytes: u64,
}

#[derive(Debug)]
struct OpenObject {
    writer: StateObjectWriter,
    block: BlockBuffer,
    bytes: Vec<u8>,
}

/// A flush that is ready to be written: in this order.
#[derive(Debug)]
pub struct ReadyFill {
    /// Its objects, each under a key that nobody else ever writes.
    pub objects: Vec<ReadyObject>,
    /// Then its manifest, created if absent.
    pub manifest: FlushManifest,
    /// Then the fill, created if absent: it makes the records count.
    pub fill: FillEntry,
}

/// A state object's key, identity and bytes.
#[derive(Debug)]
pub struct ReadyObject {
    /// Where to.
    pub key: String,
    /// Identity of the write.
    pub write: WriteId,
    /// The object.
    pub body: Bytes,
}

impl FillWriter {
    /// An empty flush for `hole`, by a worker that has made `counter` before.
    pub fn new(
        hole: &Hole,
        (worker, counter): (WorkerId, u64),
        (map, payload_limit_bytes): (&ShardMap, u64),
        opened: TimestampMs,
    ) -> Self {
        Self {
            flush: FlushId { worker, counter },
            stream: Stream {
                chain: hole.chain.clone(),
                // Each flush is read by itself, and so is its tenure.
                tenure: Tenure(counter + 1),
            },
            hole: hole.clone(),
            opened,
            made_with: MadeWith::this_build(map.version_count() as u64 - 1),
            router: Router::new(map.clone(), payload_limit_bytes),
            objects: BTreeMap::new(),
            raw_bytes: 0,
        }
    }

    /// Takes a record in. Compresses a block when one is full: CPU work.
    pub fn append(&mut self, record: &RecordRef<'_>) {
        let route = self.router.route(record);
        let (flush, made_with) = (self.flush, &self.made_with);
        let object = self
            .objects
            .entry(route.shard)
            .or_insert_with(|| OpenObject::new(route.shard, flush, made_with.clone()));
        let before = object.block.raw_bytes();
        object.block.append(&self.stream, route.org, record);
        self.raw_bytes += (object.block.raw_bytes() - before) as u64;
        if object.block.raw_bytes() >= BLOCK_BYTES {
            object.end_block();
        }
    }

    /// Bytes of frames so far, before compression.
    pub fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    /// Ends the flush: it accounts for all of `span`.
    pub fn finish(self, span: Span) -> ReadyFill {
        let (mut ready, mut flushed, mut streams) = (Vec::new(), Vec::new(), Vec::new());
        for (shard, object) in self.objects {
            let key = ObjectKey::State {
                shard,
                hour: Hour::of(self.opened),
                flush: self.flush,
                number: 0,
            };
            let (object, about) = object.finish(key.to_string(), shard, &mut streams);
            ready.push(object);
            flushed.push(about);
        }
        // One stream: one summary, or none when the span has no record.
        let sum: Option<&StreamSummary> = streams.first();
        let spans = vec![FlushedSpan {
            stream: self.stream.clone(),
            span,
            hole: Some(self.hole.from),
            frames: sum.map_or(0, |sum| sum.frames),
            digest: sum.map_or(ContentDigest::EMPTY, |sum| sum.digest),
        }];
        let entry = LedgerEntry {
            chain: self.hole.chain,
            span,
            kind: EntryKind::Flushed {
                flush: self.flush,
                tenure: self.stream.tenure,
            },
            frames: sum.map_or(0, |sum| sum.frames),
            times: sum.and_then(|sum| sum.times),
            last: sum.map(|sum| sum.last),
        };
        ReadyFill {
            objects: ready,
            manifest: FlushManifest {
                flush: self.flush,
                body: FlushBody::Written(FlushContents {
                    objects: flushed,
                    spans,
                    made_with: self.made_with,
                }),
            },
            fill: FillEntry {
                hole: self.hole.from,
                entry,
            },
        }
    }
}

impl OpenObject {
    fn new(shard: ShardId, flush: FlushId, made_with: MadeWith) -> Self {
        let head = Head {
            marker: SyncMarker::random(),
            write_id: WriteId::random(),
            shard,
            flush,
            number: 0,
        };
        let writer = StateObjectWriter::new(head, made_with);
        Self {
            bytes: writer.head_bytes().to_vec(),
            writer,
            block: BlockBuffer::with_capacity(0),
        }
    }

    fn end_block(&mut self) {
        let block = std::mem::replace(&mut self.block, BlockBuffer::with_capacity(BLOCK_BYTES));
        let encoded = block.encode(&self.writer.head().marker);
        self.writer.push(&encoded.summary);
        self.bytes.extend_from_slice(&encoded.bytes);
    }

    fn finish(
        mut self,
        key: String,
        shard: ShardId,
        streams: &mut Vec<StreamSummary>,
    ) -> (ReadyObject, FlushedObject) {
        if !self.block.is_empty() {
            self.end_block();
        }
        let write = self.writer.head().write_id;
        let finished = self.writer.finish();
        let mut bytes = self.bytes;
        bytes.extend_from_slice(&finished.tail);
        let summary = finished.summary;
        merge_streams(streams, &summary.streams);
        let about = FlushedObject {
            key: key.clone(),
            shard,
            object_bytes: summary.object_bytes,
            crc32c: summary.crc32c,
            frames: summary.frames,
            raw_bytes: summary.raw_bytes,
            digest: summary.digest,
        };
        let body = bytes.into();
        (ReadyObject { key, write, body }, about)
    }
}

/// Writes objects, manifest, fill: each after the one before is durable.
///
/// # Errors
/// What the bucket says.
pub async fn write(bucket: &Bucket, fills: &Fills, ready: &ReadyFill) -> Result<Filled> {
    futures::stream::iter(&ready.objects)
        .map(|object| bucket.put(&object.key, object.body.clone(), object.write))
        .buffer_unordered(CONCURRENT_PUTS)
        .try_collect::<()>()
        .await?;
    let (key, id) = (
        ObjectKey::Flush(ready.manifest.flush).to_string(),
        WriteId::random(),
    );
    match bucket.create(&key, ready.manifest.encode(id), id).await? {
        Created::Ours => {}
        Created::Taken => {
            let what = "flush manifest";
            return Err(skein_shared::Error::Taken { what, key }.into());
        }
    }
    Ok(fills.append(&ready.fill, WriteId::random()).await?)
}
