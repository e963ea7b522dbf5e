//! Reads a segment's runs, without I/O.

mod series_buffer;
mod buckets;
mod stored;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::format::checksum::crc32c;
use crate::format::order_column::{
    self, ChainIndex, ChainTable, Order, OrderCursor, OrderRun, OrderShape,
};
use crate::format::run_page::{PageBlock, PageOrders, RunPage};
use crate::format::segment_footer::{RunFence, SegmentFooter};
use crate::format::series_metadata::{self, RunMetadata};
use crate::format::timestamp_column;
use crate::format::value_column;
use crate::ids::SeriesKey;
use crate::window::{Resolution, TimeSpan, TimestampMs};

pub use self::series_buffer::SeriesBuffer;
pub use self::stored::{StoredBlock, StoredColumn};

const FORMAT: &str = "segment run";

/// What a run's reader has to know of the segment.
#[derive(Debug, Clone)]
pub struct RunContext {
    /// Whether the runs hold points, or which buckets.
    pub resolution: Resolution,
    /// Begin of the segment's window.
    pub window_start: TimestampMs,
    /// For each number of a chain in the segment the index that orders shall carry; a segment without chains has no
    /// orders.
    pub chains: Vec<ChainIndex>,
}

impl RunContext {
    /// For a segment with this footer, whose orders shall mean the chains of `target`.
    ///
    /// # Panics
    /// If `target` lacks a chain of the segment: orders of several segments could not be compared.
    pub fn new(footer: &SegmentFooter, target: &ChainTable) -> Self {
        let indexes = footer.chains.indexes_in(target);
        let indexes = indexes.expect("the target table is a union that holds the segment's chains");
        let numbers = footer.chain_numbers.iter();
        Self {
            resolution: footer.identity.resolution,
            window_start: footer.identity.window.start(),
            chains: numbers.map(|number| indexes[number.0 as usize]).collect(),
        }
    }
}

/// The bytes of one run, with its page and orders read.
#[derive(Debug)]
pub struct Run {
    fence: RunFence,
    resolution: Resolution,
    bytes: Bytes,
    page: RunPage,
    orders: Vec<OrderRun>,
    /// For each series, its first stretch in `orders`.
    first_orders: Vec<usize>,
}

impl Run {
    /// Reads page and orders of the run in `bytes`, which are those of [`RunFence::span`].
    ///
    /// # Errors
    /// Corrupt, with the place in the object.
    pub fn open(fence: RunFence, bytes: Bytes, context: &RunContext) -> Result<Self> {
        let span = fence.span();
        if bytes.len() as u64 != span.end - span.start {
            return refuse(fence.offset, "the run is cut off");
        }
        let orders_at = fence.block_bytes as usize;
        let page_at = orders_at + fence.order_bytes as usize;
        let place = |at: usize| fence.offset + at as u64;
        if crc32c(&bytes[page_at..]) != fence.page_crc32c {
            return refuse(place(page_at), "crc32c of the index page does not match");
        }
        let page = RunPage::decode(&bytes[page_at..], context.window_start.0)
            .map_err(|error| error.moved_by(place(page_at)))?;
        check_page(&page, &fence)?;
        let stored = &bytes[orders_at..page_at];
        if crc32c(stored) != page.orders.crc32c {
            return refuse(place(orders_at), "crc32c of the orders does not match");
        }
        let (orders, first_orders) = read_orders(&page, stored, context)
            .map_err(|error| error.moved_by(place(orders_at)))?;
        Ok(Self {
            fence,
            resolution: context.resolution,
            bytes,
            page,
            orders,
            first_orders,
        })
    }

    /// How many series the run holds.
    pub fn series_count(&self) -> usize {
        self.page.series.len()
    }

    /// The series at `index`.
    pub fn series(&self, index: usize) -> Option<SeriesKey> {
        Some(SeriesKey {
            org: self.page.org,
            metric: self.page.series.get(index)?.metric,
        })
    }

    /// The index of `key`.
    pub fn find(&self, key: SeriesKey) -> Option<usize> {
        (key.org == self.page.org)
            .then(|| self.page.find(key.metric))
            .flatten()
    }

    /// Appends the points of the series at `index` that lie in `span`, with their orders: the least there is for each
    /// point of a base.
    ///
    /// # Errors
    /// Corrupt, with the place in the object.
    ///
    /// # Panics
    /// If there is no such series.
    ///
    /// Buckets are no points, and refused.
    pub fn read(&self, index: usize, span: TimeSpan, buffer: &mut SeriesBuffer) -> Result<()> {
        if !self.resolution.is_raw() {
            return refuse(self.fence.offset, "the run holds buckets, not points");
        }
        let blocks = &self.page.blocks[self.page.series[index].blocks.clone()];
        let sealed = [OrderRun {
            order: Order::default(),
            points: u32::MAX,
        }];
        let rest = match self.first_orders.get(index) {
            Some(first) => &self.orders[*first..],
            None => &sealed,
        };
        let mut orders = OrderCursor::new(rest);
        for block in blocks {
            let start = buffer.timestamps_ms.len();
            if TimestampMs(block.last_ms) < span.from || span.to <= TimestampMs(block.first_ms) {
                orders.advance(block.points, |_| ());
                continue;
            }
            self.read_block(block, buffer)?;
            let decoded = &buffer.timestamps_ms[start..];
            let skipped = decoded.partition_point(|ts| TimestampMs(*ts) < span.from);
            let end = decoded.partition_point(|ts| TimestampMs(*ts) < span.to);
            buffer.timestamps_ms.truncate(start + end);
            buffer.timestamps_ms.drain(start..start + skipped);
            buffer.values.truncate(start + end);
            buffer.values.drain(start..start + skipped);
            let (skipped, end) = (narrow(skipped), narrow(end));
            orders.advance(skipped, |_| ());
            orders.advance(end - skipped, |stretch| buffer.push_order(stretch));
            orders.advance(block.points - end, |_| ());
        }
        Ok(())
    }

    fn read_block(&self, block: &PageBlock, buffer: &mut SeriesBuffer) -> Result<()> {
        let place = self.fence.offset + u64::from(block.offset);
        let (timestamps, values) = self.checked_columns(block)?;
        let count = block.points as usize;
        self.read_timestamps(block, timestamps, &mut buffer.timestamps_ms)?;
        value_column::decode(values, count, &mut buffer.values)
            .map_err(|error| error.moved_by(place + u64::from(block.timestamp_bytes)))
    }

    fn read_timestamps(&self, block: &PageBlock, bytes: &[u8], out: &mut Vec<i64>) -> Result<()> {
        let place = self.fence.offset + u64::from(block.offset);
        let located = |error: Error| error.moved_by(place);
        let bytes = match timestamp_column::shared_with(bytes).map_err(located)? {
            None => bytes,
            Some(distance) => self.shared_timestamps(block, distance)?,
        };
        timestamp_column::decode(bytes, block.points as usize, block.first_ms, out)
            .map_err(located)?;
        if out.last() != Some(&block.last_ms) {
            return refuse(place, "the last timestamp is not the one in the index page");
        }
        Ok(())
    }

    /// The timestamps of the block that stands so many blocks before `block`.
    fn shared_timestamps(&self, block: &PageBlock, distance: u64) -> Result<&[u8]> {
        let blocks = &self.page.blocks;
        let index = blocks.partition_point(|other| other.offset < block.offset);
        let distance = usize::try_from(distance).ok();
        let source = distance.and_then(|distance| index.checked_sub(distance));
        match source.map(|source| &blocks[source]) {
            Some(source) if (source.points, source.first_ms) == (block.points, block.first_ms) => {
                Ok(self.checked_columns(source)?.0)
            }
            Some(_) | None => {
                let place = self.fence.offset + u64::from(block.offset);
                refuse(place, "the block whose timestamps it shares is another")
            }
        }
    }

    /// A block's timestamps and values, as stored.
    fn checked_columns(&self, block: &PageBlock) -> Result<(&[u8], &[u8])> {
        let bytes = self.checked_bytes(block)?;
        Ok(bytes.split_at(block.timestamp_bytes as usize))
    }

    fn checked_bytes(&self, block: &PageBlock) -> Result<&[u8]> {
        let bytes = &self.bytes[block.offset as usize..block.end() as usize];
        if crc32c(bytes) == block.crc32c {
            return Ok(bytes);
        }
        let place = self.fence.offset + u64::from(block.offset);
        refuse(place, "crc32c of the block does not match")
    }
}

/// Reads a run's metadata; `bytes` are those of [`RunFence::metadata_span`].
///
/// # Errors
/// Corrupt, with the place in the object.
pub fn read_metadata(
    fence: &RunFence,
    bytes: &[u8],
    context: &RunContext,
) -> Result<Vec<RunMetadata>> {
    if fence.metadata_bytes == 0 {
        return Ok(Vec::new());
    }
    let at = fence.metadata_offset;
    if bytes.len() != fence.metadata_bytes as usize || crc32c(bytes) != fence.metadata_crc32c {
        return refuse(at, "crc32c of the series metadata does not match");
    }
    let raw_bytes = fence.metadata_raw_bytes as usize;
    // Without chains there is index 0 where one would stand.
    let chain_count = context.chains.len().max(1);
    let mut rows = series_metadata::decode(bytes, raw_bytes, chain_count)
        .map_err(|error| error.moved_by(at))?;
    if rows.last().is_some_and(|row| row.series >= fence.series) {
        return refuse(at, "metadata of a series that the run does not hold");
    }
    for row in &mut rows {
        let order = &mut row.metadata.order;
        match context.chains.get(order.chain.0 as usize) {
            Some(chain) => order.chain = *chain,
            None => order.seals = 0,
        }
    }
    Ok(rows)
}

/// The page says what the fence says.
fn check_page(page: &RunPage, fence: &RunFence) -> Result<()> {
    let first = page.series.first().map(|series| series.metric);
    let last = page.series.last().map(|series| series.metric);
    let same = page.org == fence.org
        && first == Some(fence.first_metric)
        && last == Some(fence.last_metric)
        && page.series.len() == fence.series as usize
        && page.points() == fence.points
        && page.block_bytes() == fence.block_bytes
        && u64::from(page.orders.stretches) <= fence.points;
    if same {
        return Ok(());
    }
    refuse(fence.offset, "index page and top index disagree")
}

/// The orders of a run, and for each series its first stretch in them.
fn read_orders(
    page: &RunPage,
    stored: &[u8],
    context: &RunContext,
) -> Result<(Vec<OrderRun>, Vec<usize>)> {
    if context.chains.is_empty() {
        if stored.is_empty() && page.orders == PageOrders::default() {
            return Ok((Vec::new(), Vec::new()));
        }
        return refuse(0, "orders without chains");
    }
    let shape = OrderShape {
        stretches: page.orders.stretches as usize,
        raw_bytes: page.orders.raw_bytes as usize,
        chain_count: context.chains.len(),
    };
    let mut orders = order_column::decode(stored, shape)?;
    for stretch in &mut orders {
        stretch.order.chain = context.chains[stretch.order.chain.0 as usize];
    }
    match first_orders(page, &orders) {
        Some(firsts) => Ok((orders, firsts)),
        None => refuse(0, "orders and points differ in count"),
    }
}

/// For each series its first stretch; `None` when the stretches do not fill the series exactly.
fn first_orders(page: &RunPage, orders: &[OrderRun]) -> Option<Vec<usize>> {
    let mut firsts = Vec::with_capacity(page.series.len());
    let mut next = 0;
    for series in &page.series {
        firsts.push(next);
        let blocks = &page.blocks[series.blocks.clone()];
        let mut left: u64 = blocks.iter().map(|block| u64::from(block.points)).sum();
        while left > 0 {
            left = left.checked_sub(u64::from(orders.get(next)?.points))?;
            next += 1;
        }
    }
    (next == orders.len()).then_some(firsts)
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).expect("a block has at most 8,192 points")
}

fn refuse<T>(at: u64, reason: &str) -> Result<T> {
    Err(Error::decode(FORMAT, at, reason))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod rollup_tests;
