//! Writes a segment front to back, as bytes for a multipart upload, without I/O.
//!
//! `head | runs | metadata | footer | trailer`; see `docs/formats.md`. The bytes are a pure function of
//! the input (SK-10): no write id, time or attempt is inside.

mod encoding_bytes;
mod chain_use;
mod block_cut;
mod written_bytes;
mod run_builder;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::format::digest::ContentDigest;
use crate::format::order_column::{ChainTable, Order, OrderCursor, OrderRun};
use crate::format::profile::Profile;
use crate::format::segment_footer::{self, METADATA, RUNS, RunFence, Section, SegmentFooter};
use crate::ids::SeriesKey;
use crate::rollup::Rollup;
use crate::window::TimestampMs;

pub use crate::format::run_page::BLOCK_POINTS;
pub use crate::format::segment_footer::SegmentIdentity;
pub use crate::format::series_metadata::SeriesMetadata;

pub use self::encoding_bytes::{EncodingBytes, EncodingCount};

use self::block_cut::{BlockCut, OpenSeries};
use self::chain_use::ChainUse;
use self::run_builder::{
    BlockEncoder, BlockPoints, BlockValues, RUN_BUCKETS, RUN_POINTS, RunBuilder,
};
use self::written_bytes::{SectionHash, WrittenBytes};

/// Version of the choices that the encoder takes; the same input and version give the same bytes.
pub const ENCODER_VERSION: u32 = 3;

/// The points of one series, or a piece of them, in strictly ascending time.
#[derive(Debug, Clone, Copy)]
pub struct SeriesPoints<'a> {
    /// Milliseconds since the epoch, strictly ascending, inside the segment's window; not empty.
    pub timestamps_ms: &'a [i64],
    /// As many values.
    pub values: &'a [f64],
    /// Where they came from; the stretches' points add up to as many. Of a base they are not asked for.
    pub orders: &'a [OrderRun],
}

/// What a segment holds, as its manifest says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentSummary {
    /// Size of the object.
    pub size_bytes: u64,
    /// Size of footer and trailer: what one GET has to fetch to open it.
    pub tail_bytes: u32,
    /// CRC32C of the object.
    pub crc32c: u32,
    /// Digest of its points, or buckets.
    pub digest: ContentDigest,
    /// How many points, or buckets.
    pub points: u64,
    /// How many raw points its buckets are made of; its own points, when they are raw.
    pub raw_points: u64,
    /// How many series.
    pub series: u64,
    /// Smallest timestamp.
    pub first_timestamp: TimestampMs,
    /// Greatest timestamp.
    pub last_timestamp: TimestampMs,
    /// Smallest series.
    pub first_series: SeriesKey,
    /// Greatest series.
    pub last_series: SeriesKey,
}

/// A finished segment.
#[derive(Debug)]
pub struct FinishedSegment {
    /// The bytes that [`SegmentWriter::take_bytes`] has not handed out.
    pub rest: Bytes,
    /// What its manifest says.
    pub summary: SegmentSummary,
    /// Bytes by encoding.
    pub encodings: EncodingBytes,
}

/// Takes series in `(org, metric)` order and gives the segment's bytes.
///
/// Holds at most one run, the metadata (compressed) and one fence for each run, beside the bytes that
/// have not been taken.
#[derive(Debug)]
pub struct SegmentWriter {
    footer: SegmentFooter,
    chains: ChainUse,
    run: RunBuilder,
    metadata: Vec<u8>,
    runs_hash: SectionHash,
    written: WrittenBytes,
    last_series: Option<SeriesKey>,
    open_series: Option<OpenSeries>,
    encoder: BlockEncoder,
}

impl SegmentWriter {
    /// Begins a segment. `chains` are the chains that the orders' indexes mean; those that are not used do not show. Of a
    /// base there are none, and no orders.
    pub fn new(identity: SegmentIdentity, chains: ChainTable, profile: Profile) -> Self {
        let mut writer = Self {
            footer: SegmentFooter {
                identity,
                encoder_version: ENCODER_VERSION,
                profile: profile.to_string(),
                points: 0,
                raw_points: 0,
                series: 0,
                digest: ContentDigest::EMPTY,
                chains: ChainTable::default(),
                chain_numbers: Vec::new(),
                sections: Vec::new(),
                runs: Vec::new(),
            },
            chains: ChainUse::new(chains),
            run: RunBuilder::default(),
            metadata: Vec::new(),
            runs_hash: SectionHash::default(),
            written: WrittenBytes::default(),
            last_series: None,
            open_series: None,
            encoder: BlockEncoder::new(profile),
        };
        writer.written.append(&segment_footer::head());
        writer
    }

    /// Takes one series.
    ///
    /// # Panics
    /// If `key` is not greater than the one before, or `points` break what [`SeriesPoints`] says: a
    /// segment out of order would lose points for its readers.
    pub fn push_series(
        &mut self,
        key: SeriesKey,
        points: &SeriesPoints<'_>,
        metadata: Option<&SeriesMetadata>,
    ) {
        self.begin_series(key, points.values.len(), metadata);
        self.push_points(points);
    }

    /// Begins a series of so many points, which come in pieces of whole blocks ([`SegmentWriter::push_points`]). The bytes
    /// are those of a series that is pushed at once.
    ///
    /// # Panics
    /// If `key` is not greater than the one before, which has to be complete.
    pub fn begin_series(
        &mut self,
        key: SeriesKey,
        points: usize,
        metadata: Option<&SeriesMetadata>,
    ) {
        assert!(self.footer.identity.resolution.is_raw(), "points are raw");
        assert!(points > 0, "a series has points");
        self.count_series(key);
        self.open_series = Some(OpenSeries {
            key,
            blocks: BlockCut::new(points),
            last_ms: None,
            metadata: self.metadata_to_keep(metadata),
        });
    }

    /// How many points the next block of the series has that was begun last; `None` when it is complete.
    pub fn next_block(&self) -> Option<usize> {
        let open = self.open_series.as_ref()?;
        open.blocks.peek().map(|block| block.len())
    }

    /// Takes the next blocks of the series that was begun.
    ///
    /// # Panics
    /// If `points` are no whole number of blocks, are no later than those before, or break what [`SeriesPoints`] says.
    pub fn push_points(&mut self, points: &SeriesPoints<'_>) {
        let count = points.values.len();
        let times = points.timestamps_ms;
        assert_eq!(count, times.len(), "a value for each timestamp");
        let has_orders = self.has_orders();
        if has_orders {
            let ordered: u64 = points.orders.iter().map(|run| u64::from(run.points)).sum();
            assert_eq!(count as u64, ordered, "an order for each point");
        }
        let mut open = self.open_series.take().expect("a series was begun");
        assert!(open.last_ms < times.first().copied(), "points ascend");
        self.count_points(times);
        self.footer.raw_points += count as u64;
        self.footer
            .digest
            .add_points(open.key, times, points.values);
        open.last_ms = times.last().copied();
        let mut orders = OrderCursor::new(points.orders);
        let mut at = 0;
        while at < count {
            let block = open.blocks.next().expect("no more points than were said");
            let range = at..at + block.len();
            at = range.end;
            self.make_room(open.key, range.len(), RUN_POINTS);
            if has_orders {
                self.run.push_orders(open.key, range.len(), &mut orders);
            }
            let block = BlockPoints {
                timestamps_ms: &times[range.clone()],
                values: BlockValues::Points(&points.values[range]),
            };
            self.push_block(open.key, &block, &mut open.metadata);
        }
        self.open_series = Some(open);
    }

    /// Takes the buckets of one series, into a segment of their resolution, which has no chains.
    ///
    /// # Panics
    /// If `key` is not greater than the one before, there are no buckets, or they lie outside the segment's window.
    pub fn push_rollup(
        &mut self,
        key: SeriesKey,
        rollup: &Rollup,
        metadata: Option<&SeriesMetadata>,
    ) {
        let resolution = self.footer.identity.resolution;
        assert_eq!(rollup.resolution(), resolution, "buckets of the segment's");
        assert!(!self.has_orders(), "a rollup has no chains");
        self.count_series(key);
        self.count_points(&rollup.starts_ms);
        self.footer.raw_points += rollup.raw_points();
        self.footer.digest.add_rollup(key, rollup);
        let mut metadata = self.metadata_to_keep(metadata);
        for range in BlockCut::new(rollup.len()) {
            self.make_room(key, range.len(), RUN_BUCKETS);
            let block = BlockPoints {
                timestamps_ms: &rollup.starts_ms[range.clone()],
                values: BlockValues::Buckets(rollup, range),
            };
            self.push_block(key, &block, &mut metadata);
        }
    }

    fn has_orders(&self) -> bool {
        !self.chains.is_empty()
    }

    /// Without chains an order's position would mean nothing.
    fn metadata_to_keep(&self, metadata: Option<&SeriesMetadata>) -> Option<SeriesMetadata> {
        let mut metadata = metadata.cloned()?;
        if !self.has_orders() {
            metadata.order = Order {
                record_timestamp: metadata.order.record_timestamp,
                ..Order::default()
            };
        }
        Some(metadata)
    }

    fn make_room(&mut self, key: SeriesKey, points: usize, most_points: u64) {
        if !self.run.has_room_for(key.org, points, most_points) {
            self.end_run();
        }
    }

    fn push_block(
        &mut self,
        key: SeriesKey,
        block: &BlockPoints<'_>,
        metadata: &mut Option<SeriesMetadata>,
    ) {
        self.run.push_block(key, block, &mut self.encoder);
        if let Some(metadata) = metadata.take() {
            self.run.push_metadata(metadata);
        }
    }

    /// Hands out what is written so far once there are `at_least_bytes` of it.
    pub fn take_bytes(&mut self, at_least_bytes: usize) -> Option<Bytes> {
        self.written.take(at_least_bytes)
    }

    /// Bytes written so far, handed out or not.
    pub fn written_bytes(&self) -> u64 {
        self.written.len()
    }

    /// Points taken so far.
    pub fn points(&self) -> u64 {
        self.footer.points
    }

    /// Ends the segment; `None` when no series was pushed: there are no empty segments.
    ///
    /// # Panics
    /// As [`SegmentFooter::encode`].
    pub fn finish(mut self) -> Option<FinishedSegment> {
        let last_series = self.last_series?;
        assert_eq!(self.next_block(), None, "the last series is complete");
        self.end_run();
        let runs_end = self.written.len();
        let metadata = std::mem::take(&mut self.metadata);
        self.written.append(&metadata);
        self.footer.sections = vec![
            Section {
                name: RUNS.to_owned(),
                bytes: segment_footer::HEAD_BYTES as u64..runs_end,
                xxh3: self.runs_hash.digest(),
                required: true,
            },
            Section {
                name: METADATA.to_owned(),
                bytes: runs_end..self.written.len(),
                xxh3: xxh3_64(&metadata),
                required: false,
            },
        ];
        for run in &mut self.footer.runs {
            run.metadata_offset += runs_end;
        }
        (self.footer.chains, self.footer.chain_numbers) = self.chains.table();
        let tail = self.footer.encode();
        self.written.append(&tail);
        self.encoder.encodings.count("footer", 0, tail.len());
        let (first_timestamp, last_timestamp) = self.footer.time_bounds();
        let summary = SegmentSummary {
            size_bytes: self.written.len(),
            tail_bytes: u32::try_from(tail.len()).expect("an envelope stays below 4 GiB"),
            crc32c: self.written.crc32c(),
            digest: self.footer.digest,
            points: self.footer.points,
            raw_points: self.footer.raw_points,
            series: self.footer.series,
            first_timestamp,
            last_timestamp,
            first_series: self.footer.runs.first().map(RunFence::first_series)?,
            last_series,
        };
        Some(FinishedSegment {
            rest: self.written.rest(),
            summary,
            encodings: self.encoder.encodings,
        })
    }

    fn count_series(&mut self, key: SeriesKey) {
        assert_eq!(self.next_block(), None, "the series before is complete");
        assert!(
            self.last_series.is_none_or(|last| last < key),
            "series are pushed in order"
        );
        self.last_series = Some(key);
        self.footer.series += 1;
    }

    fn count_points(&mut self, timestamps_ms: &[i64]) {
        let (Some(first), Some(last)) = (timestamps_ms.first(), timestamps_ms.last()) else {
            panic!("a series has points");
        };
        let span = self.footer.identity.window.span();
        for timestamp in [*first, *last] {
            let inside = span.contains(TimestampMs(timestamp));
            assert!(inside, "points lie in the segment's window: {timestamp}");
        }
        self.footer.points += timestamps_ms.len() as u64;
    }

    fn end_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        self.encoder.begin_run();
        let window_start = self.footer.identity.window.start();
        let Some(ended) = run.end(window_start.0, &mut self.chains) else {
            return;
        };
        self.footer.runs.push(RunFence {
            offset: self.written.len(),
            metadata_offset: self.metadata.len() as u64,
            ..ended.fence
        });
        self.encoder
            .encodings
            .count("orders", 0, ended.fence.order_bytes as usize);
        self.encoder
            .encodings
            .count("index pages", 0, ended.fence.page_bytes as usize);
        self.encoder
            .encodings
            .count("series metadata", 0, ended.metadata.len());
        self.metadata.extend_from_slice(&ended.metadata);
        self.runs_hash.update(&ended.bytes);
        self.written.append(&ended.bytes);
    }
}
