//! All series of a segment in order, fetched ahead.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::{FETCH_BYTES, SegmentFile, groups};
use crate::error::{Error, Result};
use crate::format::order_column::ChainTable;
use crate::format::segment_footer::RunFence;
use crate::format::segment_reader::{self, Run, RunContext, SeriesBuffer};
use crate::format::series_metadata::{RunMetadata, SeriesMetadata};
use crate::ids::SeriesKey;
use crate::rollup::Rollup;
use crate::window::TimeSpan;

/// Which part of a segment a cursor reads, and in which steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorRange {
    /// First series.
    pub first: SeriesKey,
    /// Last series.
    pub last: SeriesKey,
    /// Points outside are left out.
    pub span: TimeSpan,
    /// Bytes of one request, unless a single run is longer. A cursor holds twice as much.
    pub fetch_bytes: u64,
    /// Whether the series' metadata is read too.
    pub metadata: MetadataFetch,
}

/// Whether metadata is fetched: it lies apart from the points and takes requests of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataFetch {
    /// With one more request for each step.
    Fetch,
    /// Every series comes without.
    Skip,
}

/// All series of a segment (or of a range of keys), one after the other, in order.
///
/// Fetches the next step while the caller works on this one. Decodes in the caller's task, so a caller
/// with many points drives it from a thread of its own. Holds one whole series at a time.
#[derive(Debug)]
pub struct SegmentCursor {
    file: Arc<SegmentFile>,
    context: RunContext,
    range: CursorRange,
    waiting: VecDeque<Vec<RunFence>>,
    fetching: JoinSet<Result<Vec<FetchedRun>>>,
    fetched: VecDeque<FetchedRun>,
    open: Option<OpenRun>,
}

#[derive(Debug)]
struct FetchedRun {
    fence: RunFence,
    bytes: Bytes,
    metadata: Bytes,
}

#[derive(Debug)]
struct OpenRun {
    run: Run,
    metadata: VecDeque<RunMetadata>,
    next: usize,
}

impl CursorRange {
    /// Everything in large steps.
    pub const ALL: Self = Self {
        first: SeriesKey::MIN,
        last: SeriesKey::MAX,
        span: TimeSpan::ALL,
        fetch_bytes: FETCH_BYTES,
        metadata: MetadataFetch::Fetch,
    };
}

impl SegmentCursor {
    /// Begins before the first series; orders carry the indexes of `chains`.
    ///
    /// # Panics
    /// If `chains` lacks a chain of the segment.
    pub fn new(file: Arc<SegmentFile>, chains: &ChainTable) -> Self {
        Self::within(file, chains, CursorRange::ALL)
    }

    /// Begins before the first series of `range`.
    ///
    /// # Panics
    /// As [`SegmentCursor::new`].
    pub fn within(file: Arc<SegmentFile>, chains: &ChainTable, range: CursorRange) -> Self {
        let runs = file.footer.runs_within(range.first, range.last);
        Self {
            context: file.context(chains),
            range,
            waiting: groups(runs, range.fetch_bytes)
                .map(<[RunFence]>::to_vec)
                .collect(),
            fetching: JoinSet::new(),
            fetched: VecDeque::new(),
            open: None,
            file,
        }
    }

    /// The series that [`SegmentCursor::next`] reads next; `None` at the end.
    ///
    /// # Errors
    /// The bucket's, or corrupt with the object's key and the place.
    ///
    /// # Cancel safety
    /// Safe: a fetch goes on and is awaited by the next call.
    pub async fn peek(&mut self) -> Result<Option<SeriesKey>> {
        loop {
            let open = self.open.as_ref();
            match open.and_then(|open| open.run.series(open.next)) {
                Some(key) if key < self.range.first => drop(self.skip()),
                Some(key) => return Ok((key <= self.range.last).then_some(key)),
                None if self.open_next().await? => {}
                None => return Ok(None),
            }
        }
    }

    /// The metadata of the series that the last [`SegmentCursor::peek`] named.
    pub fn peeked_metadata(&self) -> Option<&SeriesMetadata> {
        let open = self.open.as_ref()?;
        let row = open
            .metadata
            .front()
            .filter(|row| row.series as usize == open.next)?;
        Some(&row.metadata)
    }

    /// Reads the next series into `buffer` (cleared first) and moves on; `None` at the end. The buffer
    /// stays empty where the series has no points in the range's span.
    ///
    /// # Errors
    /// As [`SegmentCursor::peek`]; also when the segment is a rollup.
    pub async fn next(
        &mut self,
        buffer: &mut SeriesBuffer,
    ) -> Result<Option<(SeriesKey, Option<SeriesMetadata>)>> {
        buffer.clear();
        self.next_with(|run, index, span| run.read(index, span, buffer))
            .await
    }

    /// Reads what the next run has of the series that comes next, as [`SegmentCursor::next`] does all of it: in ascending
    /// time, with the metadata beside the first piece. The next call goes on where this one has ended.
    ///
    /// # Errors
    /// As [`SegmentCursor::next`].
    pub async fn next_piece(
        &mut self,
        buffer: &mut SeriesBuffer,
    ) -> Result<Option<(SeriesKey, Option<SeriesMetadata>)>> {
        buffer.clear();
        let Some(key) = self.peek().await? else {
            return Ok(None);
        };
        let metadata = self.read_piece(|run, index, span| run.read(index, span, buffer))?;
        Ok(Some((key, metadata)))
    }

    /// Reads the buckets of the next series into `rollup` (begun anew) and moves on; `None` at the end. Buckets count
    /// that begin in the range's span.
    ///
    /// # Errors
    /// As [`SegmentCursor::peek`]; also when the segment is one of raw points.
    pub async fn next_rollup(
        &mut self,
        rollup: &mut Rollup,
    ) -> Result<Option<(SeriesKey, Option<SeriesMetadata>)>> {
        let resolution = self.context.resolution;
        if resolution.is_raw() {
            let reason = "the segment holds points, not buckets";
            return self.file.located(Err(Error::decode("segment", 0, reason)));
        }
        rollup.begin(resolution);
        self.next_with(|run, index, span| run.read_rollup(index, span, rollup))
            .await
    }

    async fn next_with(
        &mut self,
        mut read: impl FnMut(&Run, usize, TimeSpan) -> Result<()>,
    ) -> Result<Option<(SeriesKey, Option<SeriesMetadata>)>> {
        let Some(key) = self.peek().await? else {
            return Ok(None);
        };
        let mut metadata = None;
        // A long series goes on in the next run.
        while self.peek().await? == Some(key) {
            metadata = metadata.or(self.read_piece(&mut read)?);
        }
        Ok(Some((key, metadata)))
    }

    /// Reads what the open run has of the series that was peeked, and moves on; answers its metadata.
    fn read_piece(
        &mut self,
        read: impl FnOnce(&Run, usize, TimeSpan) -> Result<()>,
    ) -> Result<Option<SeriesMetadata>> {
        let Some(open) = &self.open else {
            return Ok(None);
        };
        let read = read(&open.run, open.next, self.range.span);
        self.file.located(read)?;
        Ok(self.skip())
    }

    /// Moves over one series and gives its metadata.
    fn skip(&mut self) -> Option<SeriesMetadata> {
        let open = self.open.as_mut()?;
        let is_next = |row: &RunMetadata| row.series as usize == open.next;
        let row = open
            .metadata
            .front()
            .is_some_and(is_next)
            .then(|| open.metadata.pop_front());
        open.next += 1;
        Some(row??.metadata)
    }

    /// Opens the next run; answers whether there was one.
    async fn open_next(&mut self) -> Result<bool> {
        self.open = None;
        if self.fetched.is_empty() {
            self.fetch_ahead();
            let Some(group) = self.fetching.join_next().await else {
                return Ok(false);
            };
            self.fetched = group
                .expect("a fetch neither panics nor is aborted")?
                .into();
            self.fetch_ahead();
        }
        let Some(fetched) = self.fetched.pop_front() else {
            return Ok(false);
        };
        let fence = fetched.fence;
        let rows = match self.range.metadata {
            MetadataFetch::Fetch => {
                segment_reader::read_metadata(&fence, &fetched.metadata, &self.context)
            }
            MetadataFetch::Skip => Ok(Vec::new()),
        };
        let run = Run::open(fence, fetched.bytes, &self.context);
        self.open = Some(OpenRun {
            run: self.file.located(run)?,
            metadata: self.file.located(rows)?.into(),
            next: 0,
        });
        Ok(true)
    }

    fn fetch_ahead(&mut self) {
        if !self.fetching.is_empty() {
            return;
        }
        if let Some(group) = self.waiting.pop_front() {
            self.fetching.spawn(fetch_group(
                Arc::clone(&self.file),
                group,
                self.range.metadata,
            ));
        }
    }
}

async fn fetch_group(
    file: Arc<SegmentFile>,
    group: Vec<RunFence>,
    metadata: MetadataFetch,
) -> Result<Vec<FetchedRun>> {
    let metadata = async {
        match metadata {
            MetadataFetch::Fetch => file.fetch_metadata(&group).await,
            MetadataFetch::Skip => Ok(vec![Bytes::new(); group.len()]),
        }
    };
    let (runs, metadata) = futures::try_join!(file.fetch_runs(&group), metadata)?;
    let fetched = runs.into_iter().zip(metadata);
    let fetched = fetched.map(|((fence, bytes), metadata)| FetchedRun {
        fence,
        bytes,
        metadata,
    });
    Ok(fetched.collect())
}
