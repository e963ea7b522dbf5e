//! A segment of raw points and its rollups, written side by side out of one pass over the points.

use bytes::Bytes;
use skein_shared::format::order_column::ChainTable;
use skein_shared::format::profile::Profile;
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::format::segment_writer::{
    FinishedSegment, SegmentIdentity, SegmentWriter, SeriesMetadata, SeriesPoints,
};
use skein_shared::ids::SeriesKey;
use skein_shared::rollup::Rollup;
use skein_shared::window::Resolution;

use crate::error::Result;
use crate::spill::{PointReader, PointRuns};

/// Writers of one window, the raw one first.
#[derive(Debug)]
pub struct SegmentSet {
    raw: SegmentWriter,
    rollups: Vec<RollupWriter>,
    /// The series' finest buckets, from which all others are joined.
    finest: Rollup,
}

/// A series whose points are read from the disk, block by block.
#[derive(Debug)]
pub struct LongSeries<'a> {
    key: SeriesKey,
    metadata: Option<&'a SeriesMetadata>,
    /// None once all were pushed.
    points: Option<PointReader>,
    /// What was read of the next block.
    read: SeriesBuffer,
    block: SeriesBuffer,
}

#[derive(Debug)]
struct RollupWriter {
    resolution: Resolution,
    writer: SegmentWriter,
    buckets: Rollup,
}

impl SegmentSet {
    /// Begins a segment and a rollup of each of `resolutions`, which are of buckets.
    pub fn new(
        identity: SegmentIdentity,
        chains: ChainTable,
        profile: Profile,
        resolutions: &[Resolution],
    ) -> Self {
        let rollup = |resolution: &Resolution| RollupWriter {
            resolution: *resolution,
            writer: SegmentWriter::new(
                SegmentIdentity {
                    resolution: *resolution,
                    ..identity
                },
                ChainTable::default(),
                profile,
            ),
            buckets: Rollup::new(*resolution),
        };
        Self {
            raw: SegmentWriter::new(identity, chains, profile),
            rollups: resolutions.iter().map(rollup).collect(),
            finest: Rollup::default(),
        }
    }

    /// Takes one series in memory; nothing when no point of it is left.
    pub fn push(
        &mut self,
        key: SeriesKey,
        merged: &SeriesBuffer,
        metadata: Option<&SeriesMetadata>,
    ) {
        if merged.timestamps_ms.is_empty() {
            return;
        }
        self.raw.push_series(key, &columns(merged), metadata);
        if self.rollups.is_empty() {
            return;
        }
        self.finest.begin(Rollup::FINEST);
        self.finest.roll(&merged.timestamps_ms, &merged.values);
        self.push_rollups(key, metadata);
    }

    /// Begins a series whose points are the only run of `points`; [`SegmentSet::push_block`] takes them, until there are no
    /// more.
    ///
    /// # Errors
    /// What reading them back gives.
    ///
    /// # Panics
    /// On a target whose addresses have fewer than 64 bits, with more points than they span.
    pub fn begin_long<'a>(
        &mut self,
        key: SeriesKey,
        points: &PointRuns,
        metadata: Option<&'a SeriesMetadata>,
    ) -> Result<LongSeries<'a>> {
        if points.points() > 0 {
            let count = usize::try_from(points.points()).expect("an address has 64 bits");
            self.raw.begin_series(key, count, metadata);
            self.finest.begin(Rollup::FINEST);
        }
        Ok(LongSeries {
            key,
            metadata,
            points: points.readers()?.pop(),
            read: SeriesBuffer::default(),
            block: SeriesBuffer::default(),
        })
    }

    /// Takes the next block of a series that has begun; answers whether there may be more.
    ///
    /// # Errors
    /// What reading its points back gives.
    pub fn push_block(&mut self, series: &mut LongSeries<'_>) -> Result<bool> {
        let (Some(points), Some(wanted)) = (&mut series.points, self.raw.next_block()) else {
            if series.points.take().is_some() && !self.rollups.is_empty() {
                self.push_rollups(series.key, series.metadata);
            }
            return Ok(false);
        };
        while series.read.values.len() < wanted && points.take_into(&mut series.read)? {}
        series.block.clear();
        series.read.move_first(wanted, &mut series.block);
        self.raw.push_points(&columns(&series.block));
        if !self.rollups.is_empty() {
            let block = &series.block;
            self.finest.roll(&block.timestamps_ms, &block.values);
        }
        Ok(true)
    }

    /// Pushes the finest buckets, and what is joined from them.
    fn push_rollups(&mut self, key: SeriesKey, metadata: Option<&SeriesMetadata>) {
        for rollup in &mut self.rollups {
            if rollup.resolution == Rollup::FINEST {
                rollup.writer.push_rollup(key, &self.finest, metadata);
            } else {
                self.finest.coarsen(rollup.resolution, &mut rollup.buckets);
                rollup.writer.push_rollup(key, &rollup.buckets, metadata);
            }
        }
    }

    /// Hands out what is written so far, of each segment that has at least `part_bytes`, with its place.
    pub fn take_parts(&mut self, part_bytes: usize, emit: &mut impl FnMut(usize, Bytes)) {
        let rollups = self.rollups.iter_mut().map(|rollup| &mut rollup.writer);
        for (place, writer) in std::iter::once(&mut self.raw).chain(rollups).enumerate() {
            while let Some(part) = writer.take_bytes(part_bytes) {
                emit(place, part);
            }
        }
    }

    /// Ends all of them, in their places; none when no series was pushed.
    pub fn finish(self) -> Vec<FinishedSegment> {
        let rollups = self.rollups.into_iter().map(|rollup| rollup.writer);
        let writers = std::iter::once(self.raw).chain(rollups);
        writers.filter_map(SegmentWriter::finish).collect()
    }
}

fn columns(points: &SeriesBuffer) -> SeriesPoints<'_> {
    SeriesPoints {
        timestamps_ms: &points.timestamps_ms,
        values: &points.values,
        orders: &points.orders,
    }
}
