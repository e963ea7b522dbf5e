//! The index page at the end of a run: which series it holds and where their blocks are.
//!
//! A run is `blocks | orders | page`. One GET of a run gives a series its points and their orders.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::format::varint;
use crate::ids::{MetricId, OrgId};

const FORMAT: &str = "run page";

/// Most bytes of a page.
pub const PAGE_BYTES: usize = 64 * 1024;

/// Most points of one block.
pub const BLOCK_POINTS: usize = 8192;

/// Most blocks of a run: as many as fit a page when each is a series of its own. A metric takes at most
/// 10 bytes, a count of blocks 1, points 2, two times of one day 4 each, two lengths 3 each, a CRC 4.
pub const RUN_BLOCKS: usize = 2048;

const _: () = assert!(
    RUN_BLOCKS * 31 + 64 <= PAGE_BYTES,
    "a page holds its blocks"
);

/// The series and blocks of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunPage {
    /// Whose series they are.
    pub org: OrgId,
    /// The orders of the points.
    pub orders: PageOrders,
    /// The series, ascending.
    pub series: Vec<PageSeries>,
    /// The blocks, series by series, in ascending time.
    pub blocks: Vec<PageBlock>,
}

/// How the orders of a run's points are stored, after its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageOrders {
    /// How many stretches.
    pub stretches: u32,
    /// Length before zstd.
    pub raw_bytes: u32,
    /// CRC32C as stored.
    pub crc32c: u32,
}

/// One series in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageSeries {
    /// Which of the org's.
    pub metric: MetricId,
    /// Its blocks.
    pub blocks: Range<usize>,
}

/// One block: timestamps, then values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageBlock {
    /// How many points.
    pub points: u32,
    /// First timestamp.
    pub first_ms: i64,
    /// Last timestamp.
    pub last_ms: i64,
    /// Where it begins, counted from the begin of the run.
    pub offset: u32,
    /// Length of the timestamps.
    pub timestamp_bytes: u32,
    /// Length of the values.
    pub value_bytes: u32,
    /// CRC32C of both.
    pub crc32c: u32,
}

impl PageBlock {
    /// First byte after the block, counted from the begin of the run.
    pub const fn end(&self) -> u32 {
        self.offset + self.timestamp_bytes + self.value_bytes
    }
}

impl RunPage {
    /// Points of all blocks.
    pub fn points(&self) -> u64 {
        self.blocks
            .iter()
            .map(|block| u64::from(block.points))
            .sum()
    }

    /// Length of all blocks.
    pub fn block_bytes(&self) -> u32 {
        self.blocks.last().map_or(0, PageBlock::end)
    }

    /// The index of a series in the run.
    pub fn find(&self, metric: MetricId) -> Option<usize> {
        self.series
            .binary_search_by_key(&metric, |series| series.metric)
            .ok()
    }

    /// Encodes the page; times are stored relative to `window_start_ms`.
    pub fn encode(&self, window_start_ms: i64) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + self.blocks.len() * 24);
        varint::put_u64(&mut out, self.org.0);
        varint::put_u64(&mut out, u64::from(self.orders.stretches));
        varint::put_u64(&mut out, u64::from(self.orders.raw_bytes));
        out.extend_from_slice(&self.orders.crc32c.to_le_bytes());
        varint::put_u64(&mut out, self.series.len() as u64);
        let mut last_metric = 0;
        for series in &self.series {
            varint::put_u64(&mut out, series.metric.0 - last_metric);
            last_metric = series.metric.0;
            varint::put_u64(&mut out, series.blocks.len() as u64);
            let mut last_ms = window_start_ms;
            for block in &self.blocks[series.blocks.clone()] {
                varint::put_u64(&mut out, u64::from(block.points));
                varint::put_i64(&mut out, block.first_ms.wrapping_sub(last_ms));
                let length = block.last_ms.wrapping_sub(block.first_ms).cast_unsigned();
                varint::put_u64(&mut out, length);
                last_ms = block.last_ms;
                varint::put_u64(&mut out, u64::from(block.timestamp_bytes));
                varint::put_u64(&mut out, u64::from(block.value_bytes));
                out.extend_from_slice(&block.crc32c.to_le_bytes());
            }
        }
        out
    }

    /// Reads [`RunPage::encode`] back; `bytes` carry a checksum that the caller has checked.
    ///
    /// # Errors
    /// Corrupt when the bytes are no page.
    pub fn decode(bytes: &[u8], window_start_ms: i64) -> Result<Self> {
        let mut rest = bytes;
        let page = read_page(&mut rest, window_start_ms).filter(|_| rest.is_empty());
        let at = (bytes.len() - rest.len()) as u64;
        page.ok_or_else(|| Error::decode(FORMAT, at, "series and blocks do not fit together"))
    }
}

fn read_page(rest: &mut &[u8], window_start_ms: i64) -> Option<RunPage> {
    let mut page = RunPage {
        org: OrgId(varint::take_u64(rest)?),
        orders: PageOrders {
            stretches: take_u32(rest)?,
            raw_bytes: take_u32(rest)?,
            crc32c: take_crc(rest)?,
        },
        ..RunPage::default()
    };
    let count = varint::take_u64(rest)?;
    for index in 0..count {
        let distance = varint::take_u64(rest)?;
        let metric = match page.series.last() {
            None => MetricId(distance),
            Some(_) if distance == 0 => return None,
            Some(last) => MetricId(last.metric.0.checked_add(distance)?),
        };
        debug_assert_eq!(index, page.series.len() as u64);
        let first = page.blocks.len();
        let blocks = varint::take_u64(rest)?;
        let mut last_ms = window_start_ms;
        for _ in 0..blocks {
            let block = read_block(rest, last_ms, page.block_bytes())?;
            last_ms = block.last_ms;
            page.blocks.push(block);
        }
        let blocks = first..page.blocks.len();
        if blocks.is_empty() || page.blocks.len() > RUN_BLOCKS {
            return None;
        }
        page.series.push(PageSeries { metric, blocks });
    }
    Some(page)
}

fn read_block(rest: &mut &[u8], last_ms: i64, offset: u32) -> Option<PageBlock> {
    let points = take_u32(rest)?;
    let first_ms = last_ms.checked_add(varint::take_i64(rest)?)?;
    let block = PageBlock {
        points,
        first_ms,
        last_ms: first_ms.checked_add_unsigned(varint::take_u64(rest)?)?,
        offset,
        timestamp_bytes: take_u32(rest)?,
        value_bytes: take_u32(rest)?,
        crc32c: take_crc(rest)?,
    };
    let end = offset.checked_add(block.timestamp_bytes)?;
    end.checked_add(block.value_bytes)?;
    (1..=BLOCK_POINTS)
        .contains(&(points as usize))
        .then_some(block)
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    varint::take_u64(rest)?.try_into().ok()
}

fn take_crc(rest: &mut &[u8]) -> Option<u32> {
    let bytes = varint::take_bytes(rest, 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(metrics: impl IntoIterator<Item = (u64, u8)>) -> RunPage {
        let mut page = RunPage {
            org: OrgId(u64::MAX),
            orders: PageOrders {
                stretches: 7,
                raw_bytes: 99,
                crc32c: 0xdead_beef,
            },
            ..RunPage::default()
        };
        for (metric, blocks) in metrics {
            let first = page.blocks.len();
            for number in 0..=u32::from(blocks) {
                let first_ms = 1_700_000_000_000 + i64::from(number) * 1000;
                page.blocks.push(PageBlock {
                    points: 1 + number,
                    first_ms,
                    last_ms: first_ms + 999,
                    offset: page.block_bytes(),
                    timestamp_bytes: 3,
                    value_bytes: number * 1000,
                    crc32c: number,
                });
            }
            let blocks = first..page.blocks.len();
            let metric = MetricId(metric);
            page.series.push(PageSeries { metric, blocks });
        }
        page
    }

    proptest! {
        #[test]
        fn every_page_reads_back(
            metrics in proptest::collection::btree_map(any::<u64>(), 0_u8..4, 1..100),
            start: i64,
        ) {
            let page = page(metrics);
            let bytes = page.encode(start / 2);
            prop_assert_eq!(RunPage::decode(&bytes, start / 2).unwrap(), page);
            for cut in 0..bytes.len() {
                prop_assert!(RunPage::decode(&bytes[..cut], start / 2).is_err());
            }
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>, start: i64) {
            let _ = RunPage::decode(&bytes, start);
        }
    }

    #[test]
    fn a_full_page_stays_within_its_limit() {
        let step = u64::MAX / RUN_BLOCKS as u64;
        let mut page = page((0..RUN_BLOCKS as u64).map(|i| (i * step, 0)));
        for block in &mut page.blocks {
            block.points = 8192;
            block.first_ms = 1_700_000_000_000 + 86_300_000;
            block.last_ms = block.first_ms + 86_300_000;
            block.value_bytes = 65_537;
        }
        assert!(page.encode(1_700_000_000_000).len() <= PAGE_BYTES);
        assert_eq!(page.find(MetricId(3 * step)), Some(3));
        assert_eq!(page.find(MetricId(1)), None);
    }
}
