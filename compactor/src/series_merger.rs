//! One series of a window: gathered from payloads and live segments, freed of what deletes take and of what another pipeline
//! writes, and merged.
//!
//! ```text
//! payloads, by first timestamp ──┐             full?              runs > 1?
//!                                ├─► gathered ───────► slices ───────────► one run ─► segment, block by block
//! live segments, run by run ─────┘      │             on the disk
//!                                       └─► merged in memory ─► segment
//! ```
//!
//! Payloads and live segments hand a series out piece by piece. Where what is gathered of it takes the memory that there is
//! for it, it is merged and goes to the local disk as a slice; slices that follow one another are one sorted run, and at the
//! end the runs are merged into one. Only then is it known how many points there are, which says where blocks are cut, and
//! which metadata was written last, which goes with the first block. Of points with equal times the last write wins, however
//! they are brought together, and what deletes take or is not ours is struck out of each piece before: so memory never shows in
//! a segment's bytes (SK-10), and however long a series is, it takes no more of it.

use std::collections::BTreeMap;

use skein_shared::format::order_column::{ChainIndex, Order};
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::format::segment_writer::SeriesMetadata;
use skein_shared::format::shard_manifest::Deleted;
use skein_shared::ids::{OrgId, SeriesKey};

use crate::duplicate_rule::{MergeCounts, SeriesMerge};
use crate::error::Result;
use crate::ownership_filter::{NotOwned, Word};
use crate::payload_arena::PayloadRef;
use crate::segment_input::{MergeMemory, SegmentInput};
use crate::series_grouper::SeriesGroup;
use crate::spill::{PointReader, PointRuns};

/// Runs that are merged at once. Of each a chunk may wait in memory.
const MOST_RUNS: usize = 32;

/// What is left of a series.
#[derive(Debug, Default)]
pub struct MergedSeries {
    /// Which.
    pub key: SeriesKey,
    /// Its points; none when they are in `long`.
    pub points: SeriesBuffer,
    /// All of its points as one run, where memory has no room for them.
    pub long: Option<PointRuns>,
    /// What was last said of it.
    pub metadata: Option<SeriesMetadata>,
}

impl MergedSeries {
    /// How many points are left.
    fn point_count(&self) -> u64 {
        let long = self.long.as_ref().map_or(0, PointRuns::points);
        self.points.values.len() as u64 + long
    }
}

/// What became of the points of a series.
#[derive(Debug, Clone, Copy, Default)]
pub struct SeriesCounts {
    /// Points of payloads; those of live segments were counted when they came.
    pub points_in: u64,
    /// Where they and those of live segments went.
    pub counts: MergeCounts,
}

/// Merges one series after the other; memory is kept from one to the next.
#[derive(Debug, Default)]
pub struct SeriesMerger {
    merge: SeriesMerge,
    deleted: Deleted,
    not_owned: BTreeMap<OrgId, NotOwned>,
    counted: SeriesCounts,
    /// The slices of the series, when there are any.
    runs: Option<PointRuns>,
    /// A slice on its way, and the first of it.
    slice: SeriesBuffer,
    first: SeriesBuffer,
}

impl SeriesMerger {
    /// What deletes have taken since it was asked last.
    pub fn take_deleted(&mut self) -> Deleted {
        std::mem::take(&mut self.deleted)
    }

    /// The points of each org that were not ours to write since it was asked last.
    pub fn take_not_owned(&mut self) -> BTreeMap<OrgId, NotOwned> {
        std::mem::take(&mut self.not_owned)
    }

    /// Merges what payloads and live segments have of `key`, which comes next, into `out`.
    ///
    /// # Errors
    /// What reading the live segments, or spilling and reading back gives.
    pub fn merge(
        &mut self,
        input: &mut SegmentInput<'_>,
        key: SeriesKey,
        out: &mut MergedSeries,
    ) -> Result<SeriesCounts> {
        self.merge.clear();
        self.runs = None;
        self.counted = SeriesCounts::default();
        let memory = input.merge_memory;
        out.key = key;
        out.metadata = self.gather_fresh(input, key, memory)?;
        self.gather_live(input, key, (memory, &mut out.metadata))?;
        if self.runs.is_some() {
            out.points.clear();
            self.spill(memory, None)?;
        } else {
            let merged = self.merge.merge_into(&mut out.points);
            self.counted.counts.add(merged);
        }
        out.long = match self.runs.take() {
            Some(runs) => Some(self.join(runs, memory)?),
            None => None,
        };
        self.counted.counts.kept = out.point_count();
        Ok(self.counted)
    }

    /// Gathers what payloads have; answers its last written metadata.
    fn gather_fresh(
        &mut self,
        input: &mut SegmentInput<'_>,
        key: SeriesKey,
        memory: &MergeMemory,
    ) -> Result<Option<SeriesMetadata>> {
        let (window, mut newest) = (input.identity.window, None);
        while input.fresh.peek() == Some((window, key))
            && let Some(group) = input.fresh.take_payloads()?
        {
            let (mask, ownership) = (input.mask, &mut input.ownership);
            let says = |order, times: &[i64]| {
                let is_left = !mask.takes_record(key, order, window);
                let word = ownership.word(key.org, order, times);
                word.filter(|_| is_left)
            };
            let before = self.merge.gathered_points();
            let said = gather(group, input.chain_indexes, &mut self.merge, says);
            self.counted.points_in += self.merge.gathered_points() - before;
            keep_weightiest(&mut newest, said);
            if self.merge.held_bytes() >= memory.bytes {
                self.strike_out(input, key);
                let next_ms = input.fresh.next_ms((window, key));
                self.spill(memory, next_ms)?;
            }
        }
        self.strike_out(input, key);
        let newest = newest.filter(|_| !input.expiry.drops(key.org, window));
        Ok(newest.map(|(_, metadata)| metadata))
    }

    /// Drops of the payloads' points those that are deleted, not ours or expired. Points that were kept are kept again.
    fn strike_out(&mut self, input: &mut SegmentInput<'_>, key: SeriesKey) {
        let deleted = self.merge.drop_deleted(input.mask, key, &mut self.deleted);
        let not_owned = self.merge.drop_not_owned(&mut input.ownership, key.org);
        self.count_not_owned(key.org, not_owned);
        let counts = &mut self.counted.counts;
        counts.deleted += deleted;
        if input.expiry.drops(key.org, input.identity.window) {
            counts.expired += self.merge.drop_all();
        }
    }

    fn count_not_owned(&mut self, org: OrgId, not_owned: NotOwned) {
        if not_owned.points > 0 {
            self.counted.counts.not_owned += not_owned.points;
            self.not_owned.entry(org).or_default().add(not_owned);
        }
    }

    /// Gathers what live segments have, without what is deleted or not ours of it.
    fn gather_live(
        &mut self,
        input: &mut SegmentInput<'_>,
        key: SeriesKey,
        (memory, metadata): (&MergeMemory, &mut Option<SeriesMetadata>),
    ) -> Result<()> {
        let (window, masks) = (input.identity.window, input.live_masks);
        let mut said = Said::default();
        input.live.take(key, |file, points, theirs| {
            let mask = &masks[file];
            let deleted = mask.drop_of_segment(key, points, &mut self.deleted);
            self.counted.counts.deleted += deleted;
            let others = input.ownership.drop_of_segment(key.org, points);
            self.count_not_owned(key.org, others);
            self.merge.gather_segment(points);
            let says = |theirs: &SeriesMetadata| !mask.takes_record(key, theirs.order, window);
            if said.file != file {
                let before = std::mem::replace(&mut said, Said::of(file));
                keep_newest(metadata, before.word());
            }
            said.add(theirs.filter(says), others, points);
            if self.merge.held_bytes() >= memory.bytes {
                self.spill(memory, None)?;
            }
            Ok(())
        })?;
        keep_newest(metadata, said.word());
        Ok(())
    }

    /// Merges what is gathered, and brings it to the disk. Points from `next_ms` on are gathered again where they are few:
    /// those that come next compete with them, and slices that follow one another are one run.
    fn spill(&mut self, memory: &MergeMemory, next_ms: Option<i64>) -> Result<()> {
        let merged = self.merge.merge_into(&mut self.slice);
        self.merge.clear();
        // What is kept is counted at the end: some of it is gathered again.
        self.counted.counts.add(MergeCounts { kept: 0, ..merged });
        let mut runs = match self.runs.take() {
            Some(runs) => runs,
            None => PointRuns::create(&memory.place)?,
        };
        let points = self.slice.values.len();
        let before = count_before(&self.slice, next_ms);
        if before < points && before > points / 2 {
            self.first.clear();
            self.slice.move_first(before, &mut self.first);
            runs.append(&self.first)?;
            self.merge.gather_segment(&self.slice);
        } else {
            runs.append(&self.slice)?;
        }
        if runs.runs() >= MOST_RUNS {
            runs = self.join(runs, memory)?;
        }
        self.runs = Some(runs);
        Ok(())
    }

    /// Merges all runs into one.
    fn join(&mut self, runs: PointRuns, memory: &MergeMemory) -> Result<PointRuns> {
        if runs.runs() <= 1 {
            return Ok(runs);
        }
        let mut joining = Joining {
            readers: runs.readers()?,
            joined: PointRuns::create(&memory.place)?,
            merge: SeriesMerge::default(),
            merged: SeriesBuffer::default(),
            piece: SeriesBuffer::default(),
        };
        while joining.step(memory.bytes, &mut self.counted.counts)? {}
        Ok(joining.joined)
    }
}

/// What one live segment says of a series, which it hands out piece by piece.
#[derive(Debug, Default)]
struct Said {
    file: usize,
    metadata: Option<SeriesMetadata>,
    has_others: bool,
    has_ours: bool,
}

impl Said {
    fn of(file: usize) -> Self {
        Self {
            file,
            ..Self::default()
        }
    }

    /// Takes in what was said beside a piece, of which `others` were dropped and `ours` are left.
    fn add(&mut self, theirs: Option<SeriesMetadata>, others: NotOwned, ours: &SeriesBuffer) {
        self.has_others |= others.points > 0;
        self.has_ours |= !ours.values.is_empty();
        keep_newest(&mut self.metadata, theirs);
    }

    /// Where points were others' and none is ours, neither is what it says.
    fn word(self) -> Option<SeriesMetadata> {
        let is_others = self.has_others && !self.has_ours;
        self.metadata.filter(|_| !is_others)
    }
}

/// Runs on their way into one.
#[derive(Debug)]
struct Joining {
    readers: Vec<PointReader>,
    joined: PointRuns,
    merge: SeriesMerge,
    /// What was merged and competes with points that have not been read.
    merged: SeriesBuffer,
    piece: SeriesBuffer,
}

impl Joining {
    /// Merges about `bytes` of what comes next; answers whether there is more.
    fn step(&mut self, bytes: usize, counts: &mut MergeCounts) -> Result<bool> {
        self.merge.clear();
        self.merge.gather_segment(&self.merged);
        // A chunk at the least, or it would never end.
        let full = self.merge.held_bytes() + bytes.max(1);
        while self.merge.held_bytes() < full
            && let Some(reader) = self.earliest()
        {
            let mut piece = std::mem::take(&mut self.piece);
            piece.clear();
            self.readers[reader].take_into(&mut piece)?;
            self.merge.gather_segment(&piece);
            self.piece = piece;
        }
        let merged = self.merge.merge_into(&mut self.merged);
        counts.duplicates += merged.duplicates;
        let next_ms = self.earliest().and_then(|at| self.readers[at].next_ms());
        let before = count_before(&self.merged, next_ms);
        self.piece.clear();
        self.merged.move_first(before, &mut self.piece);
        self.joined.append(&self.piece)?;
        Ok(next_ms.is_some())
    }

    /// The reader whose next point is the earliest.
    fn earliest(&self) -> Option<usize> {
        let next = |(at, reader): (usize, &PointReader)| Some((reader.next_ms()?, at));
        let earliest = self.readers.iter().enumerate().filter_map(next).min()?;
        Some(earliest.1)
    }
}

/// How many points lie before `next_ms`; all of them where nothing comes next.
fn count_before(points: &SeriesBuffer, next_ms: Option<i64>) -> usize {
    let times = &points.timestamps_ms;
    next_ms.map_or(times.len(), |next_ms| {
        times.partition_point(|ms| *ms < next_ms)
    })
}

/// Gathers points, with orders of the segment's chains, and answers their last written metadata and how much it counts. A
/// payload without any says nothing, and neither does one for whose order and times `says` knows no word.
fn gather(
    group: SeriesGroup<'_>,
    chain_indexes: &[ChainIndex],
    merge: &mut SeriesMerge,
    mut says: impl FnMut(Order, &[i64]) -> Option<Word>,
) -> Option<(Word, SeriesMetadata)> {
    let arena = group.arena();
    let mut newest: Option<((Word, Order), &PayloadRef)> = None;
    arena.touch(group.payloads());
    for reference in group.payloads() {
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
    let ((word, order), reference) = newest?;
    let text = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let points = arena.points_of(reference);
    let entries: BTreeMap<_, _> = points.metadata().map(text).collect();
    Some((word, SeriesMetadata { order, entries }))
}

fn keep_weightiest(
    ours: &mut Option<(Word, SeriesMetadata)>,
    theirs: Option<(Word, SeriesMetadata)>,
) {
    let weight = |(word, metadata): &(Word, SeriesMetadata)| (*word, metadata.order);
    if ours.as_ref().map(weight) < theirs.as_ref().map(weight) {
        *ours = theirs;
    }
}

fn keep_newest(ours: &mut Option<SeriesMetadata>, theirs: Option<SeriesMetadata>) {
    let their_order = theirs.as_ref().map(|metadata| metadata.order);
    if ours.as_ref().map(|metadata| metadata.order) < their_order {
        *ours = theirs;
    }
}

#[cfg(test)]
mod tests;
