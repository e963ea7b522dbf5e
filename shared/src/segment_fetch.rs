//! Fetches segments' points from the bucket with few large requests.

use std::sync::Arc;

use crate::bucket::Bucket;
use crate::error::Result;
use crate::format::order_column::ChainTable;
use crate::format::segment_reader::SeriesBuffer;
use crate::format::segment_writer::SeriesMetadata;
use crate::format::shard_manifest::SegmentEntry;
use crate::ids::SeriesKey;
use crate::window::TimeSpan;

/// An opened segment: its footer in memory.
#[derive(Debug)]
pub struct SegmentFile {
    bucket: Bucket,
    key: String,
}

/// All series of a segment (or of a span of keys), one after the other, in order.
///
/// Fetches ahead in ranges of several MiB; decodes in the caller's task, so a caller with many points
/// drives it from a thread of its own.
#[derive(Debug)]
pub struct SegmentCursor {
    file: Arc<SegmentFile>,
}

impl SegmentFile {
    /// Opens a segment with one GET of its tail.
    ///
    /// # Errors
    /// The bucket's, or corrupt with the object's key.
    pub async fn open(bucket: &Bucket, entry: &SegmentEntry) -> Result<Self> {
        let _ = (bucket, entry);
        todo!()
    }

    /// The chains that its orders' indexes mean.
    pub fn chains(&self) -> &ChainTable {
        todo!()
    }

    /// Reads one series' points in `span` into `buffer` (cleared first) with one GET; orders carry the
    /// indexes of `chains`, which has all of [`SegmentFile::chains`]. Answers whether there were any.
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
        let _ = (key, span, chains, buffer, &self.bucket, &self.key);
        todo!()
    }

    /// Reads one series' metadata with one GET.
    ///
    /// # Errors
    /// As [`SegmentFile::read_series`].
    pub async fn read_metadata(
        &self,
        key: SeriesKey,
        chains: &ChainTable,
    ) -> Result<Option<SeriesMetadata>> {
        let _ = (key, chains);
        todo!()
    }
}

impl SegmentCursor {
    /// Begins before the first series; orders carry the indexes of `chains`.
    ///
    /// # Panics
    /// If `chains` lacks a chain of the segment.
    pub fn new(file: Arc<SegmentFile>, chains: &ChainTable) -> Self {
        let _ = chains;
        Self { file }
    }

    /// The series that [`SegmentCursor::next`] reads next; `None` at the end.
    ///
    /// # Errors
    /// As [`SegmentFile::read_series`].
    pub async fn peek(&mut self) -> Result<Option<SeriesKey>> {
        let _ = &self.file;
        todo!()
    }

    /// Reads the next series into `buffer` (cleared first) and moves on; `None` at the end.
    ///
    /// # Errors
    /// As [`SegmentFile::read_series`].
    pub async fn next(
        &mut self,
        buffer: &mut SeriesBuffer,
    ) -> Result<Option<(SeriesKey, Option<SeriesMetadata>)>> {
        let _ = buffer;
        todo!()
    }
}
