//! Series by series: decode, merge, filter by ownership, encode.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use skein_shared::delete_rule::DeleteMask;
use skein_shared::format::account::{OrgAccounts, OrgCounts};
use skein_shared::format::order_column::{ChainIndex, ChainTable, Order};
use skein_shared::format::profile::Profile;
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::format::segment_writer::{FinishedSegment, SegmentIdentity, SeriesMetadata};
use skein_shared::format::shard_manifest::{Deleted, Expiry, Layer};
use skein_shared::ids::{OrgId, SeriesKey};
use skein_shared::window::{Resolution, Window};
use tokio_util::sync::CancellationToken;

use crate::duplicate_rule::{MergeCounts, SeriesMerge};
use crate::error::{Error, Result};
use crate::live_segments::LiveSegments;
use crate::ownership_filter::{NotOwned, OwnershipRule, Word};
use crate::payload_arena::PayloadRef;
use crate::segment_set::SegmentSet;
use crate::series_grouper::{SeriesGroup, SeriesGrouper};
use crate::stage_timers::{Stage, StageTimers};

/// Series are merged and then encoded in batches, so that a clock is asked once for many points: a batch is full with
/// so many points, or so many series.
const BATCH_POINTS: usize = 2048;
const BATCH_SERIES: usize = 64;

/// Payloads of a series that are fetched from memory side by side.
const TOUCHED_AT_ONCE: usize = 32;

/// What one segment is made of.
#[derive(Debug)]
pub struct SegmentInput<'a> {
    /// What it is of.
    pub identity: SegmentIdentity,
    /// A base keeps no orders.
    pub layer: Layer,
    /// The payloads of the step; those of the window come next.
    pub fresh: &'a mut SeriesGrouper,
    /// What the orders of the payloads mean: index in the step's chains to index in `chains`.
    pub chain_indexes: &'a [ChainIndex],
    /// The chains of the payloads and of the live segments.
    pub chains: ChainTable,
    /// The window's segments that are merged in; none for an overlay.
    pub live: &'a mut LiveSegments,
    /// The resolutions of the rollups beside it.
    pub rollups: &'a [Resolution],
    /// What the encoder is after.
    pub profile: Profile,
    /// Which points are ours to write; of orders that mean `chains`.
    pub ownership: OwnershipRule<'a>,
    /// Of which orgs the payloads' points are dropped.
    pub expiry: &'a Expiry,
    /// Which points deletes take of the payloads; of orders that mean `chains`, as the next.
    pub mask: &'a DeleteMask,
    /// Which points deletes take of each of the live segments.
    pub live_masks: &'a [DeleteMask],
    /// Ends it between two batches of series.
    pub cancel: &'a CancellationToken,
    /// What merging and encoding take.
    pub timers: &'a StageTimers,
}

/// Memory that is used again from one segment to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    merge: SeriesMerge,
    batch: Batch,
    deleted: Deleted,
    not_owned: BTreeMap<OrgId, NotOwned>,
    orgs: OrgAccounts,
    /// The org that series are being merged of: counted apart, so that the map is asked once for many series.
    org: (OrgId, OrgCounts),
}

/// Series that are merged and not yet encoded, in order.
#[derive(Debug, Default)]
struct Batch {
    /// Those from `filled` on are memory that waits to be used again.
    series: Vec<MergedSeries>,
    filled: usize,
    points: usize,
}

#[derive(Debug, Default)]
struct MergedSeries {
    key: SeriesKey,
    points: SeriesBuffer,
    metadata: Option<SeriesMetadata>,
}

impl Batch {
    /// Forgets the series and keeps the memory: that of large ones once, however many places have held one.
    fn clear(&mut self) {
        let Some((first, others)) = self.series.split_first_mut() else {
            return;
        };
        for other in &mut others[..self.filled.saturating_sub(1)] {
            if first.points.values.capacity() < other.points.values.capacity() {
                std::mem::swap(&mut first.points, &mut other.points);
            }
            if other.points.values.capacity() > 2 * BATCH_POINTS {
                other.points = SeriesBuffer::default();
            }
        }
        (self.filled, self.points) = (0, 0);
    }

    fn is_full(&self) -> bool {
        self.points >= BATCH_POINTS || self.filled >= BATCH_SERIES
    }

    /// The place of the next series.
    fn next(&mut self) -> &mut MergedSeries {
        if self.filled == self.series.len() {
            self.series.push(MergedSeries::default());
        }
        &mut self.series[self.filled]
    }

    /// The next series is there.
    fn keep_next(&mut self) {
        self.points += self.series[self.filled].points.values.len();
        self.filled += 1;
    }

    fn series(&self) -> &[MergedSeries] {
        &self.series[..self.filled]
    }
}

impl Scratch {
    /// What deletes have taken since it was asked last.
    pub fn take_deleted(&mut self) -> Deleted {
        std::mem::take(&mut self.deleted)
    }

    /// The points of each org that were not ours to write since it was asked last.
    pub fn take_not_owned(&mut self) -> BTreeMap<OrgId, NotOwned> {
        std::mem::take(&mut self.not_owned)
    }

    /// Where the points of each org went since it was asked last.
    pub fn take_orgs(&mut self) -> OrgAccounts {
        let (org, counts) = std::mem::take(&mut self.org);
        self.orgs.count(org, counts);
        std::mem::take(&mut self.orgs)
    }

    fn count(&mut self, org: OrgId, counts: OrgCounts) {
        if self.org.0 != org {
            let (before, counted) = std::mem::replace(&mut self.org, (org, OrgCounts::default()));
            self.orgs.count(before, counted);
        }
        self.org.1.add(counts);
    }

    /// Merges series until the batch is full; leaves it empty at the window's end.
    fn merge_batch(&mut self, input: &mut SegmentInput<'_>) -> Result<MergeCounts> {
        let mut counts = MergeCounts::default();
        self.batch.clear();
        while !self.batch.is_full() {
            let window = input.identity.window;
            let of_window = |(next, _): &(Window, SeriesKey)| *next == window;
            let fresh = input.fresh.peek().filter(of_window).map(|(_, key)| key);
            let Some(key) = [fresh, input.live.least()?].into_iter().flatten().min() else {
                break;
            };
            let mut of_series = OrgCounts::default();
            let metadata = self.gather_series(input, key, &mut of_series)?;
            let next = self.batch.next();
            let merged = self.merge.merge_into(|_| true, &mut next.points);
            (next.key, next.metadata) = (key, metadata);
            self.batch.keep_next();
            of_series.duplicates = merged.duplicates;
            self.count(key.org, of_series);
            counts.add(MergeCounts {
                not_owned: of_series.not_owned,
                deleted: of_series.deleted,
                expired: of_series.expired,
                ..merged
            });
        }
        Ok(counts)
    }

    /// Gathers what payloads and live segments have of a series, which comes next, no delete takes and is ours to write;
    /// answers its last written metadata.
    fn gather_series(
        &mut self,
        input: &mut SegmentInput<'_>,
        key: SeriesKey,
        counts: &mut OrgCounts,
    ) -> Result<Option<SeriesMetadata>> {
        let (merge, deleted) = (&mut self.merge, &mut self.deleted);
        let window = input.identity.window;
        merge.clear();
        let mut metadata = None;
        if input.fresh.peek() == Some((window, key))
            && let Some(group) = input.fresh.take_series()?
        {
            let ownership = &mut input.ownership;
            let says = |order, times: &[i64]| {
                let is_left = !input.mask.takes_record(key, order, window);
                let word = ownership.word(key.org, order, times);
                word.filter(|_| is_left)
            };
            metadata = gather(group, input.chain_indexes, merge, says);
        }
        counts.points_in = merge.gathered_points();
        counts.deleted = merge.drop_deleted(input.mask, key, deleted);
        let mut not_owned = merge.drop_not_owned(&mut input.ownership, key.org);
        if input.expiry.drops(key.org, window) {
            counts.expired = merge.drop_all();
            metadata = None;
        }
        input.live.take(key, |file, points, theirs| {
            let mask = &input.live_masks[file];
            counts.deleted += mask.drop_of_segment(key, points, deleted);
            let others = input.ownership.drop_of_segment(key.org, points);
            not_owned.add(others);
            merge.gather_segment(points);
            // Where none of its points is ours, neither is what it says.
            let is_others = others.points > 0 && points.values.is_empty();
            let says = |theirs: &SeriesMetadata| {
                !is_others && !mask.takes_record(key, theirs.order, window)
            };
            keep_newest(&mut metadata, theirs.filter(says));
        })?;
        if not_owned.points > 0 {
            counts.not_owned = not_owned.points;
            self.not_owned.entry(key.org).or_default().add(not_owned);
        }
        Ok(metadata)
    }
}

/// Encodes one segment and its rollups; `emit` gets the bytes of each, by its place, in parts of at least `part_bytes`.
/// There are no segments when no point was left. CPU work: not for an async thread.
///
/// # Errors
/// [`Error::Cancelled`]; what reading the live segments or the spilled payloads gives.
pub fn encode_segment(
    mut input: SegmentInput<'_>,
    scratch: &mut Scratch,
    part_bytes: usize,
    mut emit: impl FnMut(usize, Bytes),
) -> Result<(Vec<FinishedSegment>, MergeCounts)> {
    let chains = match input.layer {
        Layer::Base => ChainTable::default(),
        Layer::Overlay { .. } => std::mem::take(&mut input.chains),
    };
    let mut segments = SegmentSet::new(input.identity, chains, input.profile, input.rollups);
    let mut counts = MergeCounts::default();
    loop {
        if input.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let started = Instant::now();
        counts.add(scratch.merge_batch(&mut input)?);
        let merged = Instant::now();
        let batch = scratch.batch.series();
        if batch.is_empty() {
            let finished = input.timers.time(Stage::Encode, || segments.finish());
            return Ok((finished, counts));
        }
        for series in batch {
            segments.push(series.key, &series.points, series.metadata.as_ref());
        }
        input.timers.record(Stage::Merge, merged - started);
        input.timers.record(Stage::Encode, merged.elapsed());
        segments.take_parts(part_bytes, &mut emit);
    }
}

/// Gathers a series' points, with orders of the segment's chains, and answers its last written metadata. A payload without
/// any says nothing, and neither does one for whose order and times `says` knows no word.
fn gather(
    group: SeriesGroup<'_>,
    chain_indexes: &[ChainIndex],
    merge: &mut SeriesMerge,
    mut says: impl FnMut(Order, &[i64]) -> Option<Word>,
) -> Option<SeriesMetadata> {
    let arena = group.arena();
    let mut newest: Option<((Word, Order), &PayloadRef)> = None;
    for batch in group.payloads().chunks(TOUCHED_AT_ONCE) {
        arena.touch(batch);
        for reference in batch {
            let points = arena.points_of(reference);
            let order = reference.key.order;
            let chain = chain_indexes[order.chain.0 as usize];
            let order = Order { chain, ..order };
            let before = merge.gathered_points();
            merge.gather_record(order, |timestamps, values| {
                points.decode_into(timestamps, values);
            });
            let times = merge.last_times_ms(merge.gathered_points() - before);
            let is_newer = newest.is_none_or(|(newest, _)| newest < (Word::Ours, order));
            if is_newer
                && points.has_metadata()
                && let Some(word) = says(order, times)
                && newest.is_none_or(|(newest, _)| newest < (word, order))
            {
                newest = Some(((word, order), reference));
            }
        }
    }
    let ((_, order), reference) = newest?;
    let text = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let points = arena.points_of(reference);
    let entries: BTreeMap<_, _> = points.metadata().map(text).collect();
    Some(SeriesMetadata { order, entries })
}

fn keep_newest(ours: &mut Option<SeriesMetadata>, theirs: Option<SeriesMetadata>) {
    let their_order = theirs.as_ref().map(|metadata| metadata.order);
    if ours.as_ref().map(|metadata| metadata.order) < their_order {
        *ours = theirs;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(batch: &mut Batch, points: usize) {
        let next = batch.next();
        next.points.values.resize(points, 0.5);
        batch.keep_next();
    }

    #[test]
    fn a_batch_is_full_with_points_or_with_series() {
        let mut batch = Batch::default();
        push(&mut batch, BATCH_POINTS - 1);
        assert!(!batch.is_full());
        push(&mut batch, 1);
        assert!(batch.is_full());
        batch.clear();
        for _ in 0..BATCH_SERIES {
            assert!(!batch.is_full());
            push(&mut batch, 1);
        }
        assert!(batch.is_full());
    }

    #[test]
    fn the_memory_of_large_series_is_kept_once() {
        let large = 50 * BATCH_POINTS;
        let mut batch = Batch::default();
        for place in 0..BATCH_SERIES {
            for _ in 0..place {
                push(&mut batch, 1);
            }
            push(&mut batch, large);
            batch.clear();
        }
        let held = batch
            .series
            .iter()
            .map(|kept| kept.points.values.capacity());
        let held = held.sum::<usize>();
        assert!(held < 2 * large, "{held} for {large}");
        assert!(held >= large, "memory is kept for the next batch");
    }
}
