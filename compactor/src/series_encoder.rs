//! Series by series: merge, then encode.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use skein_shared::format::account::{OrgAccounts, OrgCounts};
use skein_shared::format::order_column::ChainTable;
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::format::segment_writer::FinishedSegment;
use skein_shared::format::shard_manifest::{Deleted, Layer};
use skein_shared::ids::{OrgId, SeriesKey};
use skein_shared::window::Window;

use crate::duplicate_rule::MergeCounts;
use crate::error::{Error, Result};
use crate::ownership_filter::NotOwned;
use crate::segment_input::SegmentInput;
use crate::segment_set::SegmentSet;
use crate::series_merger::{MergedSeries, SeriesCounts, SeriesMerger};
use crate::stage_timers::Stage;

/// Series are merged and then encoded in batches, so that a clock is asked once for many points: a batch is full with
/// so many points, or so many series, and behind a long one, which is read from the disk while it is encoded.
const BATCH_POINTS: usize = 2048;
const BATCH_SERIES: usize = 64;

/// Memory that is used again from one segment to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    merger: SeriesMerger,
    batch: Batch,
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

impl Batch {
    /// Forgets the series and keeps the memory: that of large ones once, however many places have held one.
    fn clear(&mut self) {
        for series in &mut self.series[..self.filled] {
            // Gives the disk back.
            series.long = None;
        }
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
        let next = &self.series[self.filled];
        self.points = match next.long {
            Some(_) => usize::MAX,
            None => self.points + next.points.values.len(),
        };
        self.filled += 1;
    }

    fn series(&self) -> &[MergedSeries] {
        &self.series[..self.filled]
    }
}

impl Scratch {
    /// What deletes have taken since it was asked last.
    pub fn take_deleted(&mut self) -> Deleted {
        self.merger.take_deleted()
    }

    /// The points of each org that were not ours to write since it was asked last.
    pub fn take_not_owned(&mut self) -> BTreeMap<OrgId, NotOwned> {
        self.merger.take_not_owned()
    }

    /// Where the points of each org went since it was asked last.
    pub fn take_orgs(&mut self) -> OrgAccounts {
        let (org, counts) = std::mem::take(&mut self.org);
        self.orgs.count(org, counts);
        std::mem::take(&mut self.orgs)
    }

    fn count(&mut self, org: OrgId, merged: SeriesCounts) {
        if self.org.0 != org {
            let (before, counted) = std::mem::replace(&mut self.org, (org, OrgCounts::default()));
            self.orgs.count(before, counted);
        }
        self.org.1.add(OrgCounts {
            points_in: merged.points_in,
            duplicates: merged.counts.duplicates,
            not_owned: merged.counts.not_owned,
            deleted: merged.counts.deleted,
            expired: merged.counts.expired,
            ..OrgCounts::default()
        });
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
            let merged = self.merger.merge(input, key, self.batch.next())?;
            self.batch.keep_next();
            self.count(key.org, merged);
            counts.add(merged.counts);
        }
        Ok(counts)
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
        // A long series ends its batch.
        if let Some(last) = batch.last() {
            encode_long(&mut segments, last, &input, |segments| {
                segments.take_parts(part_bytes, &mut emit);
            })?;
        }
    }
}

/// Encodes the points of a long series block by block.
fn encode_long(
    segments: &mut SegmentSet,
    series: &MergedSeries,
    input: &SegmentInput<'_>,
    mut emit_parts: impl FnMut(&mut SegmentSet),
) -> Result<()> {
    let Some(points) = &series.long else {
        return Ok(());
    };
    let mut long = segments.begin_long(series.key, points, series.metadata.as_ref())?;
    while input
        .timers
        .time(Stage::Encode, || segments.push_block(&mut long))?
    {
        emit_parts(segments);
        if input.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
