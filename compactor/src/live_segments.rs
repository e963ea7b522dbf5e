//! The live segments of a window that is merged, read side by side in the order of their series.

use std::sync::Arc;

use skein_shared::format::order_column::ChainTable;
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::format::segment_writer::SeriesMetadata;
use skein_shared::ids::SeriesKey;
use skein_shared::segment_fetch::{SegmentCursor, SegmentFile};
use tokio::runtime::Handle;

use crate::error::Result;

/// Cursors over segments, driven from a thread of their own: decoding is CPU work.
#[derive(Debug)]
pub struct LiveSegments {
    runtime: Handle,
    cursors: Vec<SegmentCursor>,
    buffer: SeriesBuffer,
}

impl LiveSegments {
    /// Begins before the first series of `files`; orders carry the indexes of `chains`, which has every
    /// chain of the files.
    pub fn new(runtime: Handle, files: Vec<Arc<SegmentFile>>, chains: &ChainTable) -> Self {
        let cursors = files
            .into_iter()
            .map(|file| SegmentCursor::new(file, chains))
            .collect();
        Self {
            runtime,
            cursors,
            buffer: SeriesBuffer::default(),
        }
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

    /// Gives `take` what every segment has of `key`, and moves on.
    ///
    /// # Errors
    /// As [`LiveSegments::least`].
    pub fn take(
        &mut self,
        key: SeriesKey,
        mut take: impl FnMut(&SeriesBuffer, Option<SeriesMetadata>),
    ) -> Result<()> {
        for cursor in &mut self.cursors {
            if self.runtime.block_on(cursor.peek())? != Some(key) {
                continue;
            }
            let next = self.runtime.block_on(cursor.next(&mut self.buffer))?;
            if let Some((_, metadata)) = next {
                take(&self.buffer, metadata);
            }
        }
        Ok(())
    }
}
