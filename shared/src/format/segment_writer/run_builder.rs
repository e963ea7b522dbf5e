//! Collects the blocks of one run.

use std::ops::Range;

use super::EncodingBytes;
use super::chain_use::ChainUse;
use crate::format::checksum::crc32c;
use crate::format::order_column::{self, OrderCursor, OrderRun};
use crate::format::profile::Profile;
use crate::format::rollup_columns::{RollupColumn, RollupEncoder};
use crate::format::run_page::{PageBlock, PageOrders, PageSeries, RUN_BLOCKS, RunPage};
use crate::format::segment_footer::RunFence;
use crate::format::series_metadata::{self, RunMetadata, SeriesMetadata};
use crate::format::timestamp_column::TimestampEncoder;
use crate::format::value_column::ValueEncoder;
use crate::ids::{OrgId, SeriesKey};
use crate::rollup::Rollup;
use crate::window::TimestampMs;

/// Points of a run: about 512 KiB at two bytes a point. Cut by this count and not by the bytes, so that
/// blocks can be encoded in any order.
pub(super) const RUN_POINTS: u64 = 256 * 1024;

/// Buckets of a run: they take about eight times as much as points.
pub(super) const RUN_BUCKETS: u64 = 32 * 1024;

/// An open run.
#[derive(Debug, Default)]
pub(super) struct RunBuilder {
    bytes: Vec<u8>,
    page: RunPage,
    points: u64,
    stretches: Vec<OrderRun>,
    /// Where the stretches of the newest series begin.
    series_stretches: usize,
    metadata: Vec<RunMetadata>,
}

/// Encodes the blocks of one segment, run by run.
#[derive(Debug)]
pub(super) struct BlockEncoder {
    timestamps: TimestampEncoder,
    values: ValueEncoder,
    rollups: RollupEncoder,
    /// Bytes by encoding so far.
    pub(super) encodings: EncodingBytes,
}

impl BlockEncoder {
    pub(super) fn new(profile: Profile) -> Self {
        Self {
            timestamps: TimestampEncoder::new(profile),
            values: ValueEncoder::new(profile),
            rollups: RollupEncoder::default(),
            encodings: EncodingBytes::default(),
        }
    }

    /// What won in one run is not known in the next: runs can be encoded in any order.
    pub(super) fn begin_run(&mut self) {
        self.timestamps.begin_run();
        self.values.begin_run();
        self.rollups.begin_run();
    }

    fn encode_values(&mut self, values: &BlockValues<'_>, points: usize, out: &mut Vec<u8>) {
        match values {
            BlockValues::Points(values) => {
                let start = out.len();
                let encoding = self.values.encode(values, out);
                self.encodings
                    .count(encoding.name(), points, out.len() - start);
            }
            BlockValues::Buckets(rollup, range) => {
                let range = range.clone();
                let sizes = self.rollups.encode(rollup, range, &mut self.values, out);
                for (column, bytes) in RollupColumn::ALL.into_iter().zip(sizes) {
                    self.encodings.count(column.name(), points, bytes);
                }
            }
        }
    }
}

/// The points of one block.
#[derive(Debug, Clone)]
pub(super) struct BlockPoints<'a> {
    pub(super) timestamps_ms: &'a [i64],
    pub(super) values: BlockValues<'a>,
}

/// What there is for each timestamp.
#[derive(Debug, Clone)]
pub(super) enum BlockValues<'a> {
    /// A value.
    Points(&'a [f64]),
    /// Those of the buckets in this range.
    Buckets(&'a Rollup, Range<usize>),
}

/// A run that is complete.
#[derive(Debug)]
pub(super) struct EndedRun {
    /// `blocks | orders | page`
    pub(super) bytes: Vec<u8>,
    /// Its metadata, compressed; empty when there is none.
    pub(super) metadata: Vec<u8>,
    /// Without the offsets.
    pub(super) fence: RunFence,
}

impl RunBuilder {
    /// Whether a block of so many points of `org` may join the run, which shall have `most_points`.
    pub(super) fn has_room_for(&self, org: OrgId, points: usize, most_points: u64) -> bool {
        self.page.blocks.is_empty()
            || self.page.org == org
                && self.page.blocks.len() < RUN_BLOCKS
                && self.points + points as u64 <= most_points
    }

    /// Takes the orders of the block that is pushed next off `orders`.
    pub(super) fn push_orders(
        &mut self,
        key: SeriesKey,
        points: usize,
        orders: &mut OrderCursor<'_>,
    ) {
        if self.begins(key) {
            self.series_stretches = self.stretches.len();
        }
        // Equal neighbours become one stretch, so that how a caller cut them does not show in the bytes.
        let (from, stretches) = (self.series_stretches, &mut self.stretches);
        orders.advance(narrow(points), |next| match stretches[from..].last_mut() {
            Some(last) if last.order == next.order => last.points += next.points,
            Some(_) | None => stretches.push(next),
        });
    }

    fn begins(&self, key: SeriesKey) -> bool {
        let last = self.page.series.last();
        last.is_none_or(|last| last.metric != key.metric)
    }

    /// Takes one block.
    pub(super) fn push_block(
        &mut self,
        key: SeriesKey,
        block: &BlockPoints<'_>,
        encoder: &mut BlockEncoder,
    ) {
        let points = block.timestamps_ms.len();
        if self.begins(key) {
            self.page.org = key.org;
            let first = self.page.blocks.len();
            self.page.series.push(PageSeries {
                metric: key.metric,
                blocks: first..first,
            });
        }
        let start = self.bytes.len();
        let timestamps = encoder
            .timestamps
            .encode(block.timestamps_ms, &mut self.bytes);
        let middle = self.bytes.len();
        encoder
            .encodings
            .count(timestamps.name(), points, middle - start);
        encoder.encode_values(&block.values, points, &mut self.bytes);
        let end = self.bytes.len();
        self.page.blocks.push(PageBlock {
            points: narrow(points),
            first_ms: block.timestamps_ms[0],
            last_ms: block.timestamps_ms[points - 1],
            offset: narrow(start),
            timestamp_bytes: narrow(middle - start),
            value_bytes: narrow(end - middle),
            crc32c: crc32c(&self.bytes[start..end]),
        });
        let series = self.page.series.last_mut().expect("a series has begun");
        series.blocks.end = self.page.blocks.len();
        self.points += points as u64;
    }

    /// Takes the metadata of the series whose block was pushed last.
    pub(super) fn push_metadata(&mut self, metadata: SeriesMetadata) {
        self.metadata.push(RunMetadata {
            series: narrow(self.page.series.len() - 1),
            metadata,
        });
    }

    /// Ends the run; `None` when it is empty.
    pub(super) fn end(mut self, window_start_ms: i64, chains: &mut ChainUse) -> Option<EndedRun> {
        let first_metric = self.page.series.first()?.metric;
        let last_metric = self.page.series.last()?.metric;
        let block_bytes = self.bytes.len();
        let orders = self.stretches.iter_mut().map(|run| &mut run.order);
        let said = self.metadata.iter_mut();
        for order in orders.chain(said.map(|row| &mut row.metadata.order)) {
            order.chain = chains.number(order.chain);
        }
        // Buckets have no orders, and then there are no bytes of any.
        let (orders, raw_bytes) = if self.stretches.is_empty() {
            (Vec::new(), 0)
        } else {
            order_column::encode(&self.stretches, chains.count())
        };
        self.bytes.extend_from_slice(&orders);
        self.page.orders = PageOrders {
            stretches: narrow(self.stretches.len()),
            raw_bytes: narrow(raw_bytes),
            crc32c: crc32c(&orders),
        };
        let page = self.page.encode(window_start_ms);
        self.bytes.extend_from_slice(&page);
        let (metadata, metadata_raw_bytes) = if self.metadata.is_empty() {
            (Vec::new(), 0)
        } else {
            series_metadata::encode(&self.metadata)
        };
        let blocks = self.page.blocks.iter();
        let fence = RunFence {
            org: self.page.org,
            first_metric,
            last_metric,
            points: self.points,
            series: narrow(self.page.series.len()),
            first_timestamp: TimestampMs(blocks.clone().map(|block| block.first_ms).min()?),
            last_timestamp: TimestampMs(blocks.map(|block| block.last_ms).max()?),
            offset: 0,
            block_bytes: narrow(block_bytes),
            order_bytes: narrow(orders.len()),
            page_bytes: narrow(page.len()),
            page_crc32c: crc32c(&page),
            metadata_offset: 0,
            metadata_bytes: narrow(metadata.len()),
            metadata_raw_bytes: narrow(metadata_raw_bytes),
            metadata_crc32c: crc32c(&metadata),
        };
        Some(EndedRun {
            bytes: self.bytes,
            metadata,
            fence,
        })
    }
}

fn narrow(length: usize) -> u32 {
    u32::try_from(length).expect("a run stays far below 4 GiB")
}
