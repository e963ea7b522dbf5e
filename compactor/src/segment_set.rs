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

/// Writers of one window, the raw one first.
#[derive(Debug)]
pub struct SegmentSet {
    raw: SegmentWriter,
    rollups: Vec<RollupWriter>,
    /// The series' finest buckets, from which all others are joined.
    finest: Rollup,
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

    /// Takes one series; nothing when no point of it is left.
    pub fn push(
        &mut self,
        key: SeriesKey,
        merged: &SeriesBuffer,
        metadata: Option<&SeriesMetadata>,
    ) {
        if merged.timestamps_ms.is_empty() {
            return;
        }
        let points = SeriesPoints {
            timestamps_ms: &merged.timestamps_ms,
            values: &merged.values,
            orders: &merged.orders,
        };
        self.raw.push_series(key, &points, metadata);
        if self.rollups.is_empty() {
            return;
        }
        self.finest.begin(Rollup::FINEST);
        self.finest.roll(points.timestamps_ms, points.values);
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
