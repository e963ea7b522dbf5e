//! Fetches segments' points from the bucket with few large requests.

mod cursor;

use bytes::Bytes;

use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::format::order_column::ChainTable;
use crate::format::segment_footer::{FooterRead, RunFence, SegmentFooter};
use crate::format::segment_reader::{self, Run, RunContext, SeriesBuffer};
use crate::format::series_metadata::SeriesMetadata;
use crate::format::shard_manifest::SegmentEntry;
use crate::ids::SeriesKey;
use crate::units::MIB;
use crate::window::TimeSpan;

pub use self::cursor::{CursorRange, SegmentCursor};

/// Most bytes that one request fetches, unless a single run is longer.
pub const FETCH_BYTES: u64 = 8 * MIB;

/// An opened segment: its footer in memory.
#[derive(Debug)]
pub struct SegmentFile {
    bucket: Bucket,
    key: String,
    footer: SegmentFooter,
}

impl SegmentFile {
    /// Opens a segment with one GET of its tail.
    ///
    /// # Errors
    /// The bucket's, or corrupt with the object's key: also when the object is not the one that its
    /// manifest describes.
    pub async fn open(bucket: &Bucket, entry: &SegmentEntry) -> Result<Self> {
        let key = entry.key.clone();
        let mut tail_bytes = u64::from(entry.summary.tail_bytes);
        let footer = loop {
            let tail = bucket.get_tail(&key, tail_bytes).await?;
            let read = SegmentFooter::read(&tail.bytes, tail.object_bytes);
            match read.map_err(|error| error.in_object(&key))? {
                FooterRead::Footer(footer) => break *footer,
                FooterRead::NeedsTail(bytes) => tail_bytes = bytes as u64,
            }
        };
        let summary = &entry.summary;
        let same = footer.points == summary.points
            && footer.series == summary.series
            && footer.digest == summary.digest
            && footer.identity.window == entry.window
            && footer.identity.resolution == entry.resolution;
        if !same {
            let reason = "the object is not the one that its manifest describes";
            return Err(Error::decode("segment", 0, reason).in_object(&key));
        }
        Ok(Self {
            bucket: bucket.clone(),
            key,
            footer,
        })
    }

    /// Its object key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its footer.
    pub fn footer(&self) -> &SegmentFooter {
        &self.footer
    }

    /// The chains that its orders' indexes mean.
    pub fn chains(&self) -> &ChainTable {
        &self.footer.chains
    }

    /// Reads one series' points in `span` into `buffer` (cleared first), with one GET unless the series
    /// is larger than [`FETCH_BYTES`]; orders carry the indexes of `chains`, which has all of
    /// [`SegmentFile::chains`]. Answers whether there were any points.
    ///
    /// # Errors
    /// The bucket's, or corrupt with the object's key and the place.
    pub async fn read_series(
        &self,
        key: SeriesKey,
        span: TimeSpan,
        chains: &ChainTable,
        buffer: &mut SeriesBuffer,
    ) -> Result<bool> {
        buffer.clear();
        let context = self.context(chains);
        let runs: Vec<RunFence> = self.footer.runs_of(key).iter().copied().collect();
        for group in groups(&runs, FETCH_BYTES) {
            for (fence, bytes) in self.fetch_runs(group).await? {
                let run = self.located(Run::open(fence, bytes, &context))?;
                if let Some(index) = run.find(key) {
                    self.located(run.read(index, span, buffer))?;
                }
            }
        }
        Ok(!buffer.timestamps_ms.is_empty())
    }

    /// Reads the metadata of one series with two GETs.
    ///
    /// # Errors
    /// As [`SegmentFile::read_series`].
    pub async fn read_metadata(
        &self,
        key: SeriesKey,
        chains: &ChainTable,
    ) -> Result<Option<SeriesMetadata>> {
        let Some(fence) = self.footer.runs_of(key).first().copied() else {
            return Ok(None);
        };
        if fence.metadata_bytes == 0 {
            return Ok(None);
        }
        let context = self.context(chains);
        let (runs, rows) = futures::try_join!(
            self.fetch_runs(std::slice::from_ref(&fence)),
            self.bucket.get_range(&self.key, fence.metadata_span()),
        )?;
        let rows = self.located(segment_reader::read_metadata(&fence, &rows, &context))?;
        for (fence, bytes) in runs {
            let run = self.located(Run::open(fence, bytes, &context))?;
            let row = run.find(key).and_then(|index| {
                let row = rows.iter().find(|row| row.series as usize == index);
                row.map(|row| row.metadata.clone())
            });
            if row.is_some() {
                return Ok(row);
            }
        }
        Ok(None)
    }

    fn context(&self, chains: &ChainTable) -> RunContext {
        RunContext::new(&self.footer.identity, &self.footer.chains, chains)
    }

    /// Fetches neighbouring runs with one GET.
    async fn fetch_runs(&self, runs: &[RunFence]) -> Result<Vec<(RunFence, Bytes)>> {
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else {
            return Ok(Vec::new());
        };
        let start = first.span().start;
        let bytes = self.fetch(start..last.span().end).await?;
        let cut = |run: &RunFence| {
            let span = run.span();
            (*run, slice(&bytes, span.start - start, span.end - start))
        };
        Ok(runs.iter().map(cut).collect())
    }

    /// Fetches the metadata of neighbouring runs with one GET; with none when there is no metadata.
    async fn fetch_metadata(&self, runs: &[RunFence]) -> Result<Vec<Bytes>> {
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else {
            return Ok(Vec::new());
        };
        let start = first.metadata_span().start;
        let bytes = self.fetch(start..last.metadata_span().end).await?;
        let cut = |run: &RunFence| {
            let span = run.metadata_span();
            slice(&bytes, span.start - start, span.end - start)
        };
        Ok(runs.iter().map(cut).collect())
    }

    async fn fetch(&self, span: std::ops::Range<u64>) -> Result<Bytes> {
        if span.is_empty() {
            return Ok(Bytes::new());
        }
        let expected = span.end - span.start;
        let at = span.start;
        let bytes = self.bucket.get_range(&self.key, span).await?;
        if bytes.len() as u64 == expected {
            return Ok(bytes);
        }
        let reason = format!("{} bytes came, not {expected}", bytes.len());
        self.located(Err(Error::decode("segment", at, reason)))
    }

    fn located<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| error.in_object(&self.key))
    }
}

/// Cuts runs into groups of neighbours of at most `most_bytes`, or of one run.
fn groups(runs: &[RunFence], most_bytes: u64) -> impl Iterator<Item = &[RunFence]> {
    let mut rest = runs;
    std::iter::from_fn(move || {
        let start = rest.first()?.span().start;
        let fitting = rest
            .iter()
            .take_while(|run| run.span().end - start <= most_bytes);
        let (group, others) = rest.split_at(fitting.count().max(1));
        rest = others;
        Some(group)
    })
}

fn slice(bytes: &Bytes, from: u64, to: u64) -> Bytes {
    let narrow = |n| usize::try_from(n).expect("a fetched range fits memory");
    bytes.slice(narrow(from)..narrow(to))
}
