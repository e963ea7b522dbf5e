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

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::slice::Iter;

use skein_shared::format::compact_plan::{Advance, PlannedObject, Step};
use skein_shared::format::flush_manifest::{FlushContents, FlushedObject};
use skein_shared::format::frame::Stream;
use skein_shared::format::ledger_entry::{EntryKind, LedgerEntry};
use skein_shared::format::shard_manifest::{SegmentEntry, ShardManifest};
use skein_shared::format::state_bound::StateBound;
use skein_shared::ids::{Chain, FlushId, Hole, ShardId};
use skein_shared::offset::Offset;
use skein_shared::shard_map::ShardMap;
use skein_shared::timeline::OwnershipFilter;
use skein_shared::window::{TimestampMs, Window};

use crate::delete_plan::DeleteInput;
use crate::error::{Error, Result};
use crate::merge_policy::{
    WindowState, choose_filtered, levels, must_close, must_filter, oldest_first,
};

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
    /// Below which positions state may be gone; at most as far as every manifest that has any.
    pub bound: StateBound,
    /// What was read before the ledger: everything before it is in the chains. `None` when nothing can be said.
    pub watermark: Option<TimestampMs>,
    /// What is deleted.
    pub deletes: DeleteInput,
    /// Which points are written. Who writes all of them leaves closing and deleting to others: both make bases.
    pub filter: OwnershipFilter,
}

/// One chain of the ledger, or the fills of one hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainInput {
    /// The offset at which the chain begins.
    pub start: Offset,
    /// Contiguous entries, up to the chain's end.
    pub entries: Vec<LedgerEntry>,
}

/// What `shard` does next; `None` when its manifest has reached the ledger's end, no window has to be closed and no delete
/// is due.
///
/// A step takes whole flushes, in the order of every chain, until their frames would pass `step_bytes`; it
/// takes at least one. Flushes without records for the shard cost nothing and ride along.
///
/// # Errors
/// [`Error::LedgerGap`] when the manifest's position is not the beginning of an entry; [`Error::BehindBound`].
pub fn next_step(
    shard: ShardId,
    manifest: &ShardManifest,
    input: &PlanInput,
    step_bytes: u64,
) -> Result<Option<Step>> {
    check_kept(shard, manifest, &input.bound)?;
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
            pass(&mut step, track, entry.span.to, manifest);
            if cost > 0 {
                allow(&mut step, entry);
            }
        }
        if let Origin::Flush(flush) = origin {
            read(&mut step, flush, objects);
        }
    }
    if queues.next_origin().is_none() {
        step.complete_to = input.watermark;
    }
    if queues.next_origin().is_none() && input.filter == OwnershipFilter::Owned {
        step.rewrites = to_rewrite(manifest, input.watermark);
        step.deletes_due = input.deletes.due_in(manifest, &input.shard_map);
        let clears = input.deletes.windows_to_clear(manifest, step.deletes_due);
        step.rewrites.extend(clears);
    }
    Ok((!step.is_empty()).then_some(step))
}

/// What the shard has still to read is there.
fn check_kept(shard: ShardId, manifest: &ShardManifest, bound: &StateBound) -> Result<()> {
    for (chain, kept_from) in &bound.chains {
        let position = manifest.positions.get(chain);
        if let Some(position) = position.filter(|position| *position < kept_from) {
            return Err(Error::BehindBound {
                shard,
                chain: chain.clone(),
                position: *position,
                kept_from: *kept_from,
            });
        }
    }
    Ok(())
}

/// The windows that the watermark has passed and that have not been made one base, and those that hold points which nobody
/// has filtered.
fn to_rewrite(manifest: &ShardManifest, watermark: Option<TimestampMs>) -> BTreeSet<Window> {
    let is_passed = |window: &Window| watermark.is_some_and(|time| window.span().to <= time);
    let closes = |window: &Window, live: &[&SegmentEntry]| {
        is_passed(window) && must_close(&levels(live.iter().copied()))
    };
    let windows = live_windows(manifest).into_iter();
    let due = windows.filter(|(window, live)| closes(window, live) || must_filter(live));
    due.map(|(window, _)| window).collect()
}

/// The windows that every part of a shard has to rewrite: what the step names, and those in which new points would have
/// live segments merged. A part cannot know what points the others have, so all of them do it, with points or without.
pub fn rewrite_with_parts(
    manifest: &ShardManifest,
    step: &Step,
    (filter, max_overlays): (OwnershipFilter, u32),
) -> BTreeSet<Window> {
    let windows = live_windows(manifest).into_iter();
    let merges = windows.filter(|(window, live)| {
        let state = state_of(step, *window);
        choose_filtered(live, (state, filter), max_overlays).newest > 0
    });
    let merges = merges.map(|(window, _)| window);
    step.rewrites.iter().copied().chain(merges).collect()
}

/// Every window that has live segments, with these in the order of their levels.
fn live_windows(manifest: &ShardManifest) -> BTreeMap<Window, Vec<&SegmentEntry>> {
    let mut windows: BTreeMap<Window, Vec<&SegmentEntry>> = BTreeMap::new();
    for segment in manifest.raw_segments() {
        windows.entry(segment.window).or_default().push(segment);
    }
    let windows = windows.into_iter();
    let ordered = windows.map(|(window, live)| (window, oldest_first(live.into_iter())));
    ordered.collect()
}

/// Whether all points of `window` have come once `step` is committed.
pub fn state_of(step: &Step, window: Window) -> WindowState {
    let complete_to = step.complete_to;
    if complete_to.is_some_and(|time| window.span().to <= time) {
        WindowState::Closed
    } else {
        WindowState::Open
    }
}

fn pass(step: &mut Step, track: Track<'_>, to: Offset, manifest: &ShardManifest) {
    let from = track.position(manifest);
    let first = Advance { from, to };
    let advance = match track {
        Track::Ledger(chain) => step.advances.entry(chain.clone()).or_insert(first),
        Track::Fills(hole) => step.fill_advances.entry(hole.clone()).or_insert(first),
    };
    advance.to = to;
}

fn allow(step: &mut Step, entry: &LedgerEntry) {
    match &entry.kind {
        EntryKind::Flushed { flush, tenure } => {
            let stream = Stream {
                chain: entry.chain.clone(),
                tenure: *tenure,
            };
            step.allowed.allow(*flush, stream, entry.span);
        }
        EntryKind::LostSpan { .. } => {}
    }
}

fn read(step: &mut Step, flush: FlushId, objects: Vec<&FlushedObject>) {
    // A flush may come twice, when its chains became durable one by one.
    if step.objects.iter().any(|known| known.flush == flush) {
        return;
    }
    let objects = objects.into_iter().cloned();
    step.objects
        .extend(objects.map(|object| PlannedObject { flush, object }));
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
