//! Fetches segments' points from the bucket with few large requests.

mod cursor;
mod lookup;

use bytes::Bytes;

use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::format::order_column::ChainTable;
use crate::format::segment_footer::{FooterRead, RunFence, SegmentFooter};
use crate::format::segment_reader::{self, Run, RunContext};
use crate::format::series_metadata::SeriesMetadata;
use crate::format::shard_manifest::SegmentEntry;
use crate::ids::{OrgId, SeriesKey};
use crate::units::MIB;

pub use self::cursor::{CursorRange, MetadataFetch, SegmentCursor};
pub use self::lookup::SeriesLookup;

/// Most bytes that one request fetches, unless a single run is longer.
pub const FETCH_BYTES: u64 = 8 * MIB;

/// An opened segment: its footer in memory.
#[derive(Debug)]
pub struct SegmentFile {
    bucket: Bucket,
    key: String,
    object_bytes: u64,
    footer: SegmentFooter,
}

/// Enough for the footer of a segment of about a thousand runs.
const FIRST_GUESS_BYTES: u64 = 128 * 1024;

impl SegmentFile {
    /// Opens a segment with one GET of its tail.
    ///
    /// # Errors
    /// The bucket's, or corrupt with the object's key: also when the object is not the one that its
    /// manifest describes.
    pub async fn open(bucket: &Bucket, entry: &SegmentEntry) -> Result<Self> {
        let tail_bytes = u64::from(entry.summary.tail_bytes);
        let file = Self::open_tail(bucket, &entry.key, tail_bytes).await?;
        let (footer, summary) = (&file.footer, &entry.summary);
        let same = footer.points == summary.points
            && footer.raw_points == summary.raw_points
            && footer.series == summary.series
            && footer.digest == summary.digest
            && footer.identity.window == entry.window
            && footer.identity.resolution == entry.resolution;
        if !same {
            let reason = "the object is not the one that its manifest describes";
            return Err(Error::decode("segment", 0, reason).in_object(&file.key));
        }
        Ok(file)
    }

    /// Opens a segment that no manifest needs to name.
    ///
    /// # Errors
    /// The bucket's, or corrupt with the object's key.
    pub async fn open_at(bucket: &Bucket, key: &str) -> Result<Self> {
        Self::open_tail(bucket, key, FIRST_GUESS_BYTES).await
    }

    async fn open_tail(bucket: &Bucket, key: &str, mut tail_bytes: u64) -> Result<Self> {
        loop {
            let tail = bucket.get_tail(key, tail_bytes).await?;
            let read = SegmentFooter::read(&tail.bytes, tail.object_bytes);
            match read.map_err(|error| error.in_object(key))? {
                FooterRead::Footer(footer) => {
                    return Ok(Self {
                        bucket: bucket.clone(),
                        key: key.to_owned(),
                        object_bytes: tail.object_bytes,
                        footer: *footer,
                    });
                }
                FooterRead::NeedsTail(bytes) => tail_bytes = bytes as u64,
            }
        }
    }

    /// Its size.
    pub fn object_bytes(&self) -> u64 {
        self.object_bytes
    }

    /// Shows every run to `visit`, in order, with few large requests.
    ///
    /// # Errors
    /// The bucket's, corrupt with the object's key and the place, or what `visit` gives.
    pub async fn each_run(&self, mut visit: impl FnMut(&Run) -> Result<()>) -> Result<()> {
        let context = self.context(&self.footer.chains);
        for group in groups(&self.footer.runs, FETCH_BYTES) {
            for (fence, bytes) in self.fetch_runs(group).await? {
                let run = Run::open(fence, bytes, &context);
                self.located(run.and_then(|run| visit(&run)))?;
            }
        }
        Ok(())
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

    /// Fetches the metadata of all series between `first` and `last`, both included, with few GETs. Rows
    /// of other series of the same runs come along. Each with its org; orders carry the indexes of the segment's chains.
    ///
    /// # Errors
    /// The bucket's, or corrupt with the object's key and the place.
    pub async fn metadata_of(
        &self,
        first: SeriesKey,
        last: SeriesKey,
    ) -> Result<Vec<(OrgId, SeriesMetadata)>> {
        let context = self.context(&self.footer.chains);
        let mut all = Vec::new();
        for group in groups(self.footer.runs_within(first, last), FETCH_BYTES * 8) {
            for (fence, bytes) in group.iter().zip(self.fetch_metadata(group).await?) {
                let rows = segment_reader::read_metadata(fence, &bytes, &context);
                let rows = self.located(rows)?.into_iter();
                all.extend(rows.map(|row| (fence.org, row.metadata)));
            }
        }
        Ok(all)
    }

    fn context(&self, chains: &ChainTable) -> RunContext {
        RunContext::new(&self.footer, chains)
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
