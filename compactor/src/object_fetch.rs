//! Fetches state objects in few large requests, several at a time, and hands whole blocks on in order.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use skein_shared::bucket::Bucket;
use skein_shared::format::block::{StreamSummary, SyncMarker};
use skein_shared::format::compact_plan::PlannedObject;
use skein_shared::format::damage::{Damage, LostOffsets};
use skein_shared::format::frame::RecordTimes;
use skein_shared::format::state_object::{
    BlockEntry, BlockSpan, HEAD_BYTES, Head, StateFooter, TailRead, read_tail,
};
use skein_shared::ids::{FlushId, ShardId};
use skein_shared::offset::Span;
use skein_shared::window::TimeSpan;

use crate::damage::{CountingFrames, FoundDamage, is_damage};
use crate::error::{Error, Result};
use crate::metrics;
use crate::stage_timers::{Stage, StageTimers};

/// What the first look at the end of a large object fetches: the footer of some hundred blocks.
const TAIL_BYTES: u64 = 256 * 1024;

/// How objects are fetched.
#[derive(Debug, Clone)]
pub struct FetchSettings {
    /// Size of one request; smaller objects are fetched whole.
    pub read_bytes: u64,
    /// Requests at the same time.
    pub read_concurrency: usize,
    /// What requests take.
    pub timers: StageTimers,
}

/// An object whose head and footer agree with its flush manifest.
#[derive(Debug)]
pub struct OpenedObject {
    /// Its key.
    pub key: String,
    /// The flush that sealed it.
    pub flush: FlushId,
    /// Whose records it holds.
    pub shard: ShardId,
    /// Begins each of its blocks.
    pub marker: SyncMarker,
    /// What it holds of each stream.
    pub streams: Vec<StreamSummary>,
}

/// What comes of an object.
#[derive(Debug)]
pub enum Fetched {
    /// Blocks of it.
    Blocks(BlockRange),
    /// Nothing: it is not there, or not what its flush manifest says.
    Damaged(FoundDamage),
}

/// Neighbouring blocks of one object, as they are stored.
#[derive(Debug, Clone)]
pub struct BlockRange {
    /// Of which object.
    pub object: Arc<OpenedObject>,
    /// Where they lie; some may be skipped.
    pub blocks: Vec<BlockEntry>,
    /// Where `bytes` begins in the object.
    pub at: u64,
    /// From the first block to the end of the last; none when they could not be had, which is found out block by block.
    pub bytes: Bytes,
}

/// What the first look at an object gives.
#[derive(Debug)]
enum Looked {
    /// Its blocks are where its footer says.
    Opened(Opened),
    /// No block of it can be trusted.
    Damaged(FoundDamage),
    /// All that it holds was lost before.
    LeftOut,
}

/// An opened object, its blocks that hold frames that count, and its bytes if it was fetched whole.
#[derive(Debug)]
struct Opened {
    object: Arc<OpenedObject>,
    blocks: Vec<BlockEntry>,
    whole: Option<Bytes>,
}

/// The middle block of an object, to see what kind of records it has: its marker, place and bytes; `None` when it has no
/// block.
///
/// # Errors
/// As reading it for good.
pub async fn sample_block(
    bucket: &Bucket,
    planned: &PlannedObject,
) -> Result<Option<(SyncMarker, u64, Bytes)>> {
    let object = &planned.object;
    let key = object.key.as_str();
    let (head, tail) = futures::try_join!(
        bucket.get_range(key, 0..HEAD_BYTES as u64),
        bucket.get_tail(key, TAIL_BYTES),
    )?;
    let head = Head::decode(&head).map_err(|error| error.in_object(key))?;
    let footer = footer_of(bucket, key, tail.bytes, object.object_bytes).await?;
    let Some(block) = footer.blocks.get(footer.blocks.len() / 2) else {
        return Ok(None);
    };
    let bytes = bucket.get_range(key, block.at..block.at + block.bytes);
    Ok(Some((head.marker, block.at, bytes.await?)))
}

/// The blocks of `objects` that hold a frame that counts, in order. At most twice the settings' requests are
/// under way or waiting to be taken. What is damaged is fetched once more before it is called so.
pub fn fetch(
    bucket: Bucket,
    settings: FetchSettings,
    objects: Vec<PlannedObject>,
    counting: Arc<CountingFrames>,
) -> BoxStream<'static, Result<Fetched>> {
    let (for_ranges, timers) = (bucket.clone(), settings.timers.clone());
    let (read_bytes, concurrency) = (settings.read_bytes, settings.read_concurrency);
    futures::stream::iter(objects)
        .map(move |object| {
            let (settings, counting) = (settings.clone(), Arc::clone(&counting));
            open(bucket.clone(), settings, object, counting)
        })
        .buffered(concurrency)
        .map_ok(move |opened| futures::stream::iter(opened.fetched(read_bytes)).map(Ok))
        .try_flatten()
        .map_ok(move |fetched| fill((for_ranges.clone(), timers.clone()), fetched))
        .try_buffered(concurrency)
        .boxed()
}

async fn open(
    bucket: Bucket,
    settings: FetchSettings,
    planned: PlannedObject,
    counting: Arc<CountingFrames>,
) -> Result<Looked> {
    if !counting.left_out.is_empty() && counting.lost_with(&planned).is_empty() {
        return Ok(Looked::LeftOut);
    }
    let opened = match open_once(&bucket, &settings, &planned, &counting).await {
        Err(error) if is_damage(&error) => {
            metrics::damage_read_again(&planned.object.key, &error);
            open_once(&bucket, &settings, &planned, &counting).await
        }
        opened => opened,
    };
    match opened {
        Ok(opened) => Ok(Looked::Opened(opened)),
        Err(error) if is_damage(&error) => {
            let lost = counting.lost_with(&planned);
            let found = FoundDamage::of_object(&planned, lost, &error);
            Ok(Looked::Damaged(found))
        }
        Err(error) => Err(error),
    }
}

async fn open_once(
    bucket: &Bucket,
    settings: &FetchSettings,
    planned: &PlannedObject,
    counting: &CountingFrames,
) -> Result<Opened> {
    let started = Instant::now();
    let (flush, object) = (planned.flush, &planned.object);
    let key = object.key.as_str();
    let (head, footer, whole);
    if object.object_bytes <= settings.read_bytes {
        let bytes = bucket.get_range(key, 0..object.object_bytes).await?;
        head = Head::decode(&bytes).map_err(|error| error.in_object(key))?;
        footer = footer_of(bucket, key, bytes.clone(), object.object_bytes).await?;
        whole = Some(bytes);
    } else {
        let (bytes, tail) = futures::try_join!(
            bucket.get_range(key, 0..HEAD_BYTES as u64),
            bucket.get_tail(key, TAIL_BYTES),
        )?;
        head = Head::decode(&bytes).map_err(|error| error.in_object(key))?;
        footer = footer_of(bucket, key, tail.bytes, object.object_bytes).await?;
        whole = None;
    }
    settings.timers.record(Stage::Fetch, started.elapsed());
    let same = head.shard == object.shard
        && head.flush == flush
        && footer.flush == flush
        && footer.write_id == head.write_id
        && footer.frames() == object.frames
        && footer.digest() == object.digest;
    if !same {
        return Err(Error::ObjectDiffers {
            object: key.to_owned(),
            reason: format!("it is not the object that flush {flush} sealed: run `skein verify`"),
        });
    }
    let mut blocks = footer.blocks;
    let object = OpenedObject {
        key: key.to_owned(),
        flush,
        shard: object.shard,
        marker: head.marker,
        streams: footer.streams,
    };
    blocks.retain(|block| object.is_wanted(block, counting));
    Ok(Opened {
        object: Arc::new(object),
        blocks,
        whole,
    })
}

impl OpenedObject {
    /// Whether a block may hold a frame that counts.
    fn is_wanted(&self, block: &BlockEntry, counting: &CountingFrames) -> bool {
        block.spans.iter().any(|held| {
            let (spans, extent) = self.counting(block, held, counting);
            spans.iter().any(|span| span.overlap(extent).is_some())
        })
    }

    /// What counts of a stream in a block, and between which offsets the block has it.
    fn counting<'a>(
        &'a self,
        block: &BlockEntry,
        held: &BlockSpan,
        counting: &'a CountingFrames,
    ) -> (Cow<'a, [Span]>, Span) {
        let place = block.at..block.at + block.bytes;
        let stream = &self.streams[held.stream].stream;
        let spans = counting.spans((self.flush, &self.key), &place, stream);
        (spans, Span::new(held.first, held.last.next()))
    }

    /// The offsets that count and may lie in a block.
    fn lost_with(&self, block: &BlockEntry, counting: &CountingFrames) -> Vec<LostOffsets> {
        let mut lost = Vec::new();
        for held in &block.spans {
            let (spans, extent) = self.counting(block, held, counting);
            let spans = spans.iter().filter_map(|span| span.overlap(extent));
            lost.extend(spans.map(|span| LostOffsets {
                stream: self.streams[held.stream].stream.clone(),
                span,
            }));
        }
        lost
    }

    /// A block that does not read back.
    pub fn damaged_block(
        &self,
        block: &BlockEntry,
        counting: &CountingFrames,
        error: &Error,
    ) -> FoundDamage {
        let times = block
            .spans
            .iter()
            .map(|held| self.streams[held.stream].times);
        let times: Option<Vec<RecordTimes>> = times.collect();
        FoundDamage {
            damage: Damage {
                flush: self.flush,
                object_key: self.key.clone(),
                at: block.at,
                bytes: block.bytes,
                frames: block.frames,
                times: TimeSpan::ALL,
                lost: self.lost_with(block, counting),
                error: error.to_string(),
            },
            record_times: times.and_then(|times| times.into_iter().reduce(RecordTimes::union)),
        }
    }
}

async fn footer_of(
    bucket: &Bucket,
    key: &str,
    tail: Bytes,
    object_bytes: u64,
) -> Result<StateFooter> {
    let mut tail = tail;
    loop {
        let read = read_tail(&tail, object_bytes).map_err(|error| error.in_object(key))?;
        match read {
            TailRead::Footer(footer) => return Ok(footer),
            TailRead::Longer(bytes) => {
                let from = object_bytes.saturating_sub(bytes);
                tail = bucket.get_range(key, from..object_bytes).await?;
            }
        }
    }
}

/// Cuts an object's blocks into requests: neighbours go together while they fit.
fn ranges(opened: Opened, read_bytes: u64) -> Vec<BlockRange> {
    let mut ranges: Vec<BlockRange> = Vec::new();
    for block in opened.blocks {
        let end = block.at + block.bytes;
        match ranges.last_mut() {
            Some(range) if opened.whole.is_some() || fits(range, &block, read_bytes) => {
                range.blocks.push(block);
            }
            Some(_) | None => ranges.push(BlockRange {
                object: Arc::clone(&opened.object),
                at: block.at,
                blocks: vec![block],
                bytes: Bytes::new(),
            }),
        }
        if let (Some(whole), Some(range)) = (&opened.whole, ranges.last_mut()) {
            range.bytes = whole.slice(index(range.at)..index(end));
        }
    }
    ranges
}

fn fits(range: &BlockRange, next: &BlockEntry, read_bytes: u64) -> bool {
    let adjoins = range
        .blocks
        .last()
        .is_some_and(|last| last.at + last.bytes == next.at);
    adjoins && next.at + next.bytes - range.at <= read_bytes
}

impl Looked {
    fn fetched(self, read_bytes: u64) -> Vec<Fetched> {
        match self {
            Self::Opened(opened) => {
                let ranges = ranges(opened, read_bytes).into_iter();
                ranges.map(Fetched::Blocks).collect()
            }
            Self::Damaged(damage) => vec![Fetched::Damaged(damage)],
            Self::LeftOut => Vec::new(),
        }
    }
}

async fn fill((bucket, timers): (Bucket, StageTimers), fetched: Fetched) -> Result<Fetched> {
    let mut range = match fetched {
        Fetched::Blocks(range) if range.bytes.is_empty() => range,
        Fetched::Blocks(_) | Fetched::Damaged(_) => return Ok(fetched),
    };
    let read = bucket.get_range(&range.object.key, range.span());
    let read = timers.time_async(Stage::Fetch, read).await;
    match read.map_err(Error::from) {
        Ok(bytes) => range.bytes = bytes,
        // Each block is then asked for by itself, and what can be had is read.
        Err(error) if is_damage(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(Fetched::Blocks(range))
}

impl BlockRange {
    /// One block's bytes; none when they could not be had.
    pub fn block(&self, entry: &BlockEntry) -> &[u8] {
        let start = index(entry.at - self.at);
        let bytes = self.bytes.get(start..start + index(entry.bytes));
        bytes.unwrap_or_default()
    }

    fn span(&self) -> Range<u64> {
        let end = self
            .blocks
            .last()
            .map_or(self.at, |last| last.at + last.bytes);
        self.at..end
    }
}

fn index(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a 64-bit target holds every length")
}
