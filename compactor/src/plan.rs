//! What a shard reads next: a pure function of ledger, fills, flush manifests, the shard's manifest and the
//! shard map.
//!
//! # The rule of truth
//! A frame counts if and only if a ledger entry, or a fill of a lost span, names its flush, its tenure and a span
//! that holds its offset, and the shard's manifest has not passed that offset. Everything else in the bucket is
//! void. A hole's fills are followed as a chain is, with a position of their own.
//!
//! # Who reads what
//! Records are *routed* by their own timestamp, points are *owned* by the shard of their window. So a shard
//! reads the objects of every shard that some version of the map may have given an org of its own, and takes
//! of each payload the windows that it owns. With one version of the map it reads its own objects alone.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::slice::Iter;

use skein_shared::format::flush_manifest::{FlushContents, FlushedObject};
use skein_shared::format::frame::Stream;
use skein_shared::format::ledger_entry::{EntryKind, LedgerEntry};
use skein_shared::format::shard_manifest::ShardManifest;
use skein_shared::ids::{Chain, FlushId, Hole, ShardId};
use skein_shared::offset::{Offset, Span};
use skein_shared::shard_map::ShardMap;

use crate::error::{Error, Result};

/// Everything that plans are a function of, besides the manifest of the shard.
#[derive(Debug, Clone)]
pub struct PlanInput {
    /// Who owns which window of an org; at least as new as every flush below.
    pub shard_map: ShardMap,
    /// The ledger, as far as some shard has not read it.
    pub chains: BTreeMap<Chain, ChainInput>,
    /// The fills of every hole, as far as some shard has not read them.
    pub fills: BTreeMap<Hole, ChainInput>,
    /// Every flush that these entries name.
    pub flushes: BTreeMap<FlushId, FlushContents>,
}

/// One chain of the ledger, or the fills of one hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainInput {
    /// The offset at which the chain begins.
    pub start: Offset,
    /// Contiguous entries, up to the chain's end.
    pub entries: Vec<LedgerEntry>,
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

/// What `shard` does next; `None` when its manifest has reached the ledger's end.
///
/// A step takes whole flushes, in the order of every chain, until their frames would pass `step_bytes`; it
/// takes at least one. Flushes without records for the shard cost nothing and ride along.
///
/// # Errors
/// [`Error::LedgerGap`] when the manifest's position is not the beginning of an entry.
pub fn next_step(
    shard: ShardId,
    manifest: &ShardManifest,
    input: &PlanInput,
    step_bytes: u64,
) -> Result<Option<Step>> {
    let mut queues = Queues::new(shard, manifest, input)?;
    let mut step = Step::default();
    let mut raw_bytes = 0;
    while let Some(origin) = queues.next_origin() {
        let objects = match origin {
            Origin::Flush(flush) => queues.objects_of(flush),
            Origin::Lost => Vec::new(),
        };
        let cost: u64 = objects.iter().map(|object| object.raw_bytes).sum();
        if raw_bytes > 0 && cost > 0 && raw_bytes + cost > step_bytes {
            break;
        }
        raw_bytes += cost;
        for (track, entry) in queues.take(origin) {
            step.pass(track, entry.span.to, manifest);
            if cost > 0 {
                step.allow(entry);
            }
        }
        if let Origin::Flush(flush) = origin {
            step.read(flush, objects);
        }
    }
    let moves = !step.advances.is_empty() || !step.fill_advances.is_empty();
    Ok(moves.then_some(step))
}

impl Step {
    /// Stored bytes that the step reads.
    pub fn object_bytes(&self) -> u64 {
        self.objects.iter().map(|o| o.object.object_bytes).sum()
    }

    fn pass(&mut self, track: Track<'_>, to: Offset, manifest: &ShardManifest) {
        let from = track.position(manifest);
        let first = Advance { from, to };
        let advance = match track {
            Track::Ledger(chain) => self.advances.entry(chain.clone()).or_insert(first),
            Track::Fills(hole) => self.fill_advances.entry(hole.clone()).or_insert(first),
        };
        advance.to = to;
    }

    fn allow(&mut self, entry: &LedgerEntry) {
        match &entry.kind {
            EntryKind::Flushed { flush, tenure } => {
                let stream = Stream {
                    chain: entry.chain.clone(),
                    tenure: *tenure,
                };
                self.allowed.allow(*flush, stream, entry.span);
            }
            EntryKind::LostSpan { .. } => {}
        }
    }

    fn read(&mut self, flush: FlushId, objects: Vec<&FlushedObject>) {
        // A flush may come twice, when its chains became durable one by one.
        if self.objects.iter().any(|known| known.flush == flush) {
            return;
        }
        self.objects
            .extend(objects.into_iter().map(|object| PlannedObject {
                flush,
                object: object.clone(),
            }));
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

    /// Every chain that has a frame that counts, in order.
    pub fn chains(&self) -> Vec<Chain> {
        let streams = self.0.values().flat_map(BTreeMap::keys);
        streams.map(|stream| stream.chain.clone()).collect()
    }

    fn allow(&mut self, flush: FlushId, stream: Stream, span: Span) {
        let streams = self.0.entry(flush).or_default();
        streams.entry(stream).or_default().push(span);
    }
}

/// What became of an entry's offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    /// Kafka no longer had them.
    Lost,
    /// They are frames in the objects of this flush.
    Flush(FlushId),
}

/// What a position moves in.
#[derive(Debug, Clone, Copy)]
enum Track<'a> {
    Ledger(&'a Chain),
    Fills(&'a Hole),
}

impl Track<'_> {
    fn position(self, manifest: &ShardManifest) -> Option<Offset> {
        match self {
            Self::Ledger(chain) => manifest.positions.get(chain).copied(),
            Self::Fills(hole) => manifest.fills.get(hole).copied(),
        }
    }

    fn chain(&self) -> &Chain {
        match self {
            Self::Ledger(chain) => chain,
            Self::Fills(hole) => &hole.chain,
        }
    }
}

/// The entries of one track that the shard has not passed.
struct Queue<'a> {
    track: Track<'a>,
    entries: Peekable<Iter<'a, LedgerEntry>>,
}

/// The entries of every track that the shard has not passed.
struct Queues<'a> {
    shard: ShardId,
    input: &'a PlanInput,
    tracks: Vec<Queue<'a>>,
    /// How many entries of each origin are still in a queue.
    waiting: BTreeMap<Origin, usize>,
}

impl<'a> Queues<'a> {
    fn new(shard: ShardId, manifest: &ShardManifest, input: &'a PlanInput) -> Result<Self> {
        let ledger = input.chains.iter().map(|(c, i)| (Track::Ledger(c), i));
        let fills = input.fills.iter().map(|(h, i)| (Track::Fills(h), i));
        let mut tracks = Vec::with_capacity(input.chains.len() + input.fills.len());
        let mut waiting = BTreeMap::new();
        for (track, input) in ledger.chain(fills) {
            let position = track.position(manifest).unwrap_or(input.start);
            let passed = input.entries.partition_point(|e| e.span.to <= position);
            let entries = &input.entries[passed..];
            check_contiguous(shard, track.chain(), position, entries)?;
            for entry in entries {
                *waiting.entry(origin_of(entry)).or_default() += 1;
            }
            let entries = entries.iter().peekable();
            tracks.push(Queue { track, entries });
        }
        Ok(Self {
            shard,
            input,
            tracks,
            waiting,
        })
    }

    /// What to take next: the first whose entries are next in all of their chains, so that its objects are
    /// read once; else the first there is.
    fn next_origin(&mut self) -> Option<Origin> {
        let mut heads: BTreeMap<Origin, usize> = BTreeMap::new();
        for entry in self.tracks.iter_mut().filter_map(|q| q.entries.peek()) {
            *heads.entry(origin_of(entry)).or_default() += 1;
        }
        let mut whole = heads.iter().filter(|(o, n)| self.waiting.get(o) == Some(n));
        let next = whole.next().or(heads.first_key_value());
        next.map(|(origin, _)| *origin)
    }

    fn take(&mut self, origin: Origin) -> Vec<(Track<'a>, &'a LedgerEntry)> {
        let heads = self.tracks.iter_mut();
        let taken: Vec<_> = heads
            .filter_map(|queue| {
                let entry = queue.entries.next_if(|entry| origin_of(entry) == origin);
                entry.map(|entry| (queue.track, entry))
            })
            .collect();
        if let Some(count) = self.waiting.get_mut(&origin) {
            *count -= taken.len();
        }
        taken
    }

    fn objects_of(&self, flush: FlushId) -> Vec<&'a FlushedObject> {
        let contents = &self.input.flushes[&flush];
        let feeds =
            |object: &&FlushedObject| may_feed(&self.input.shard_map, object.shard, self.shard);
        contents.objects.iter().filter(feeds).collect()
    }
}

fn check_contiguous(
    shard: ShardId,
    chain: &Chain,
    position: Offset,
    entries: &[LedgerEntry],
) -> Result<()> {
    let mut expected = position;
    for entry in entries {
        if entry.span.from != expected {
            return Err(Error::LedgerGap {
                shard,
                chain: chain.clone(),
                expected,
                found: entry.span.from,
            });
        }
        expected = entry.span.to;
    }
    Ok(())
}

fn origin_of(entry: &LedgerEntry) -> Origin {
    match &entry.kind {
        EntryKind::Flushed { flush, .. } => Origin::Flush(*flush),
        EntryKind::LostSpan { .. } => Origin::Lost,
    }
}

/// Whether an object of shard `source` may hold points that shard `target` owns: whether some org can have
/// been given to both. Errs only towards reading too much.
fn may_feed(map: &ShardMap, source: ShardId, target: ShardId) -> bool {
    match (source, target) {
        (ShardId::Quarantine, _) | (_, ShardId::Quarantine) => false,
        (ShardId::Dedicated(org), other) | (other, ShardId::Dedicated(org)) => {
            source == target || map.shards_of(org).contains(&other)
        }
        (
            ShardId::Shared {
                modulus: m,
                remainder: a,
            },
            ShardId::Shared {
                modulus: n,
                remainder: b,
            },
        ) => {
            // Some org is a mod m and b mod n exactly when both agree mod their common divisor.
            let divisor = gcd(m, n);
            a % divisor == b % divisor
        }
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests;
