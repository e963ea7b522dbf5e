//! Reads a segment as its users do: everything in it.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use skein_shared::format::order_column::ChainTable;
use skein_shared::format::run_page::RunPage;
use skein_shared::format::segment_footer::{FooterRead, SegmentFooter, check_head};
use skein_shared::format::segment_reader::{Run, RunContext, SeriesBuffer, read_metadata};
use skein_shared::format::segment_writer::SeriesMetadata;
use skein_shared::ids::SeriesKey;
use skein_shared::rollup::Rollup;
use skein_shared::window::TimeSpan;

use super::series::Series;

/// A segment whose head and footer were read.
pub(super) struct Object<'a> {
    bytes: &'a [u8],
    pub(super) footer: SegmentFooter,
}

/// A block's two stretches, as stored.
pub(super) struct Block<'a> {
    pub(super) timestamps: &'a [u8],
    pub(super) values: &'a [u8],
}

impl<'a> Object<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Self {
        check_head(bytes).unwrap();
        match SegmentFooter::read(bytes, bytes.len() as u64).unwrap() {
            FooterRead::Footer(footer) => Self {
                bytes,
                footer: *footer,
            },
            FooterRead::NeedsTail(_) => panic!("the whole object is there"),
        }
    }

    fn part(&self, range: Range<u64>) -> &'a [u8] {
        let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap());
        &self.bytes[start..end]
    }

    /// Every series' key and metadata, with what `read` makes of the run and its place there.
    fn each<T>(
        &self,
        chains: &ChainTable,
        read: impl Fn(&Run, usize) -> T,
    ) -> Vec<(SeriesKey, Option<SeriesMetadata>, T)> {
        let context = RunContext::new(&self.footer, chains);
        let mut all = Vec::new();
        for fence in &self.footer.runs {
            let rows = read_metadata(fence, self.part(fence.metadata_span()), &context).unwrap();
            let mut rows: BTreeMap<_, _> = rows
                .into_iter()
                .map(|row| (row.series, row.metadata))
                .collect();
            let bytes = Bytes::copy_from_slice(self.part(fence.span()));
            let run = Run::open(*fence, bytes, &context).unwrap();
            for (number, index) in (0..).zip(0..run.series_count()) {
                all.push((
                    run.series(index).unwrap(),
                    rows.remove(&number),
                    read(&run, index),
                ));
            }
        }
        all
    }

    pub(super) fn series(&self, chains: &ChainTable) -> Vec<Series> {
        let read = |run: &Run, index: usize| {
            let mut points = SeriesBuffer::default();
            run.read(index, TimeSpan::ALL, &mut points).unwrap();
            points
        };
        let all = self.each(chains, read).into_iter();
        all.map(|(key, metadata, points)| Series {
            key,
            points,
            metadata,
        })
        .collect()
    }

    pub(super) fn rollups(&self) -> Vec<(Rollup, Option<SeriesMetadata>)> {
        let read = |run: &Run, index: usize| {
            let mut rollup = Rollup::new(self.footer.identity.resolution);
            run.read_rollup(index, TimeSpan::ALL, &mut rollup).unwrap();
            rollup
        };
        let all = self.each(&ChainTable::default(), read).into_iter();
        all.map(|(_, metadata, rollup)| (rollup, metadata))
            .collect()
    }

    pub(super) fn blocks(&self) -> Vec<Block<'a>> {
        let mut all = Vec::new();
        for fence in &self.footer.runs {
            let bytes = self.part(fence.span());
            let page = (fence.block_bytes + fence.order_bytes) as usize;
            let window_start = self.footer.identity.window.start();
            let page = RunPage::decode(&bytes[page..], window_start.0).unwrap();
            all.extend(page.blocks.iter().map(|block| {
                let stored = &bytes[block.offset as usize..block.end() as usize];
                let (timestamps, values) = stored.split_at(block.timestamp_bytes as usize);
                Block { timestamps, values }
            }));
        }
        all
    }
}

/// Start and all eight numbers of each bucket, bit for bit.
pub(super) fn buckets(rollup: &Rollup) -> impl Iterator<Item = (i64, [u64; 8])> {
    rollup
        .buckets()
        .map(|bucket| (bucket.start_ms, bucket.columns().map(f64::to_bits)))
}
