//! Records of one step in the order of their partitions, although they lie in the objects of many shards.
//!
//! A block is fetched when a partition's next record may lie in it, and let go when its last record was handed
//! out; a few are fetched ahead. So what is held at once is about two blocks for each shard that the records are
//! spread over, whatever the size of the flush.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use skein_shared::Error as SharedError;
use skein_shared::bucket::Bucket;
use skein_shared::format::block::{BlockDecoder, Frame, SYNC_BYTES, SyncMarker};
use skein_shared::format::frame::{RecordRef, RecordTimestamp};
use skein_shared::format::replay_job::Only;
use skein_shared::offset::Offset;
use skein_shared::payload::{ORG_HEADER, org_of};

use crate::error::Result;
use crate::replay::block_index::IndexedBlock;
use crate::replay::passage::Passage;

/// Blocks that are fetched at the same time.
const CONCURRENT_BLOCKS: usize = 16;

/// Stored bytes that are fetched ahead of what is needed next.
const AHEAD_BYTES: u64 = 8 << 20;

/// A record out of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRecord {
    /// Index of its passage in the step.
    pub passage: usize,
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: RecordTimestamp,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Its headers.
    pub headers: Vec<(String, Option<Bytes>)>,
}

/// The blocks of a step, on their way to records.
#[derive(Debug)]
pub struct OrderedRecords {
    bucket: Bucket,
    passages: Arc<[Passage]>,
    only: Only,
    blocks: Vec<Slot>,
    /// Per passage the blocks that may hold its next record, each with the first offset that it may hold.
    queues: Vec<BinaryHeap<Reverse<(Offset, usize)>>>,
    /// The first block, in the order of the index, that may not have been fetched.
    next_ahead: usize,
}

#[derive(Debug)]
enum Slot {
    Waiting(IndexedBlock),
    /// Per passage its records that were not handed out, in order.
    Fetched(Vec<(usize, VecDeque<StateRecord>)>),
}

impl StateRecord {
    /// Bytes of key, value and headers.
    pub fn bytes(&self) -> u64 {
        let len = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + len(value));
        (len(&self.key) + len(&self.value) + headers.sum::<usize>()) as u64
    }
}

impl OrderedRecords {
    /// Nothing fetched yet.
    pub fn new(
        bucket: &Bucket,
        passages: Arc<[Passage]>,
        only: Only,
        blocks: Vec<IndexedBlock>,
    ) -> Self {
        let mut queues: Vec<BinaryHeap<_>> = passages.iter().map(|_| BinaryHeap::new()).collect();
        for (number, block) in blocks.iter().enumerate() {
            for (passage, first) in &block.firsts {
                queues[*passage].push(Reverse((*first, number)));
            }
        }
        Self {
            bucket: bucket.clone(),
            passages,
            only,
            blocks: blocks.into_iter().map(Slot::Waiting).collect(),
            queues,
            next_ahead: 0,
        }
    }

    /// The next records, each partition's in order; `None` at the end. May be empty.
    ///
    /// # Errors
    /// `Corrupt`, with object and place, when a block does not read back.
    pub async fn next_batch(&mut self) -> Result<Option<Vec<StateRecord>>> {
        let needed = self.needed();
        if needed.is_empty() {
            return Ok(None);
        }
        self.fetch(needed).await?;
        Ok(Some(self.take_ready()))
    }

    /// The blocks that some partition waits for, and some more.
    fn needed(&mut self) -> Vec<usize> {
        let heads = self.queues.iter().filter_map(BinaryHeap::peek);
        let mut needed: Vec<usize> = heads.map(|Reverse((_, number))| *number).collect();
        needed.sort_unstable();
        needed.dedup();
        if needed.is_empty() {
            return needed;
        }
        let mut ahead_bytes = 0;
        while self.next_ahead < self.blocks.len() && ahead_bytes < AHEAD_BYTES {
            if let Slot::Waiting(block) = &self.blocks[self.next_ahead] {
                ahead_bytes += block.entry.bytes;
                needed.push(self.next_ahead);
            }
            self.next_ahead += 1;
        }
        needed.sort_unstable();
        needed.dedup();
        needed
    }

    async fn fetch(&mut self, needed: Vec<usize>) -> Result<()> {
        let waiting = needed
            .into_iter()
            .filter_map(|number| match &self.blocks[number] {
                Slot::Waiting(block) => Some((number, block.clone())),
                Slot::Fetched(_) => None,
            });
        let waiting: Vec<(usize, IndexedBlock)> = waiting.collect();
        let (bucket, passages, only) = (&self.bucket, &self.passages, self.only);
        let fetched: Vec<_> = futures::stream::iter(waiting)
            .map(|(number, block)| async move {
                let range = block.entry.at..block.entry.at + block.entry.bytes;
                let bytes = bucket.get_range(&block.key, range).await?;
                let passages = Arc::clone(passages);
                let read =
                    tokio::task::spawn_blocking(move || read(&bytes, &block, &passages, only));
                let records = read.await.expect("reading a block does not panic")?;
                Ok::<_, crate::error::Error>((number, records))
            })
            .buffered(CONCURRENT_BLOCKS)
            .try_collect()
            .await?;
        for (number, records) in fetched {
            self.blocks[number] = Slot::Fetched(records);
        }
        Ok(())
    }

    /// Hands out what is next in its partition, as far as the blocks are there.
    fn take_ready(&mut self) -> Vec<StateRecord> {
        let mut ready = Vec::new();
        for (passage, queue) in self.queues.iter_mut().enumerate() {
            while hand_out(passage, queue, &mut self.blocks, &mut ready) {}
        }
        ready
    }
}

/// Hands out the records that are next in one passage and lie in one block; whether the next block may be there.
fn hand_out(
    passage: usize,
    queue: &mut BinaryHeap<Reverse<(Offset, usize)>>,
    blocks: &mut [Slot],
    ready: &mut Vec<StateRecord>,
) -> bool {
    let Some(Reverse((bound, number))) = queue.peek().copied() else {
        return false;
    };
    let Slot::Fetched(held) = &mut blocks[number] else {
        return false;
    };
    queue.pop();
    let Some((_, records)) = held.iter_mut().find(|(of, _)| *of == passage) else {
        return true;
    };
    // The bound came from the index: the record itself may lie further on.
    let others = queue.peek().map(|Reverse((bound, _))| *bound);
    let is_next = |record: &StateRecord| {
        record.offset == bound || others.is_none_or(|others| record.offset < others)
    };
    while records.front().is_some_and(is_next) {
        ready.extend(records.pop_front());
    }
    match records.front() {
        Some(next) => queue.push(Reverse((next.offset, number))),
        None => held.retain(|(of, _)| *of != passage),
    }
    true
}

/// Reads the wanted records of a block. CPU work.
fn read(
    bytes: &Bytes,
    block: &IndexedBlock,
    passages: &[Passage],
    only: Only,
) -> Result<Vec<(usize, VecDeque<StateRecord>)>> {
    let located = |error: SharedError| error.moved_by(block.entry.at).in_object(&block.key);
    let mut marker = [0; SYNC_BYTES];
    let mut crc = [0; 4];
    let is_whole = bytes.len() >= SYNC_BYTES + crc.len();
    if is_whole {
        marker.copy_from_slice(&bytes[..SYNC_BYTES]);
        crc.copy_from_slice(&bytes[SYNC_BYTES..SYNC_BYTES + 4]);
    }
    // The checksum in the footer says that it is the block that was written there; the block proves it.
    if !is_whole || u32::from_le_bytes(crc) != block.entry.crc32c {
        let reason = "is not the block that the footer speaks of";
        return Err(located(SharedError::decode("block", 0, reason)).into());
    }
    let mut decoder = BlockDecoder::new();
    let block_read = decoder
        .decode(&SyncMarker(marker), bytes)
        .map_err(located)?;
    let places: Vec<Option<usize>> = block_read
        .streams()
        .iter()
        .map(|stream| {
            passages
                .iter()
                .position(|passage| passage.stream == *stream)
        })
        .collect();
    let mut kept: Vec<(usize, VecDeque<StateRecord>)> = block
        .firsts
        .iter()
        .map(|(passage, _)| (*passage, VecDeque::new()))
        .collect();
    for frame in block_read.frames() {
        let frame = frame.map_err(located)?;
        let Some(passage) = places[frame.stream].filter(|p| is_wanted(&frame, &passages[*p], only))
        else {
            continue;
        };
        let record = owned(passage, &frame.record).map_err(located)?;
        if let Some((_, records)) = kept.iter_mut().find(|(of, _)| *of == passage) {
            records.push_back(record);
        }
    }
    kept.retain(|(_, records)| !records.is_empty());
    Ok(kept)
}

fn is_wanted(frame: &Frame<'_>, passage: &Passage, only: Only) -> bool {
    let record = &frame.record;
    if !passage.span.contains(record.offset) {
        return false;
    }
    let in_time = only.times.is_none_or(|times| {
        let time = record.timestamp.time();
        time.is_some_and(|time| times.from <= time && time < times.to)
    });
    in_time
        && only.org.is_none_or(|org| {
            let header = record.headers.last(ORG_HEADER.as_bytes());
            org_of(record.value, header.and_then(|header| header.value)) == Ok(org)
        })
}

fn owned(passage: usize, record: &RecordRef<'_>) -> skein_shared::Result<StateRecord> {
    let mut headers = Vec::new();
    for header in record.headers.iter() {
        let name = std::str::from_utf8(header.name);
        let name =
            name.map_err(|_| SharedError::decode("frame", 0, "a header's name is no text"))?;
        headers.push((name.to_owned(), header.value.map(Bytes::copy_from_slice)));
    }
    Ok(StateRecord {
        passage,
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key.map(Bytes::copy_from_slice),
        value: record.value.map(Bytes::copy_from_slice),
        headers,
    })
}
