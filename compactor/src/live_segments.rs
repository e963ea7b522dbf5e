//! The live segments of a window that is merged, read side by side in the order of their series.

use std::sync::Arc;

use skein_shared::format::compact_plan::SeriesRange;
use skein_shared::format::order_column::ChainTable;
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::format::segment_writer::SeriesMetadata;
use skein_shared::ids::SeriesKey;
use skein_shared::segment_fetch::{CursorRange, SegmentCursor, SegmentFile};
use tokio::runtime::Handle;

use crate::error::Result;

/// Cursors over segments, driven from a thread of their own: decoding is CPU work. Of a series they hold what one run has.
#[derive(Debug)]
pub struct LiveSegments {
    runtime: Handle,
    cursors: Vec<SegmentCursor>,
    buffer: SeriesBuffer,
    points: u64,
}

impl LiveSegments {
    /// Begins before the first of `series` in `files`, which are read with `read_bytes` of memory together; orders carry
    /// the indexes of `chains`, which has every chain of the files.
    pub fn new(
        (runtime, read_bytes): (Handle, usize),
        files: &[Arc<SegmentFile>],
        chains: &ChainTable,
        series: SeriesRange,
    ) -> Self {
        // A cursor holds twice as much as it fetches at once.
        let each = (read_bytes / files.len().max(1) / 2) as u64;
        let range = CursorRange {
            first: series.first,
            last: series.last,
            fetch_bytes: CursorRange::ALL.fetch_bytes.min(each),
            ..CursorRange::ALL
        };
        let cursors = files
            .iter()
            .map(|file| SegmentCursor::within(Arc::clone(file), chains, range))
            .collect();
        Self {
            runtime,
            cursors,
            buffer: SeriesBuffer::default(),
            points: 0,
        }
    }

    /// Points that were taken so far.
    pub fn points(&self) -> u64 {
        self.points
    }

    /// The least series that any of them has next.
    ///
    /// # Errors
    /// The bucket's, or corrupt with the object and the place.
    pub fn least(&mut self) -> Result<Option<SeriesKey>> {
        let mut least: Option<SeriesKey> = None;
        for cursor in &mut self.cursors {
            if let Some(key) = self.runtime.block_on(cursor.peek())? {
                least = Some(least.map_or(key, |least| least.min(key)));
            }
        }
        Ok(least)
    }

    /// Gives `take` what every segment has of `key`, with the place of the segment's file, and moves on: run by run, each
    /// segment's in ascending time, the metadata beside its first points.
    ///
    /// # Errors
    /// As [`LiveSegments::least`]; what `take` gives.
    pub fn take(
        &mut self,
        key: SeriesKey,
        mut take: impl FnMut(usize, &mut SeriesBuffer, Option<SeriesMetadata>) -> Result<()>,
    ) -> Result<()> {
        let (runtime, buffer) = (&self.runtime, &mut self.buffer);
        for (file, cursor) in self.cursors.iter_mut().enumerate() {
            while runtime.block_on(cursor.peek())? == Some(key) {
                let piece = runtime.block_on(cursor.next_piece(buffer))?;
                self.points += buffer.values.len() as u64;
                take(file, buffer, piece.and_then(|(_, metadata)| metadata))?;
            }
        }
        Ok(())
    }
}
