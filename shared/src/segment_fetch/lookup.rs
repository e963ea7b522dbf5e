//! Single series of a segment, in whatever order they are asked for.

use std::sync::Arc;

use super::SegmentFile;
use crate::error::Result;
use crate::format::order_column::ChainTable;
use crate::format::segment_footer::RunFence;
use crate::format::segment_reader::{Run, RunContext, SeriesBuffer};
use crate::ids::SeriesKey;
use crate::window::TimeSpan;

/// Reads points of single series with one GET for each run that holds some of them.
///
/// Keeps the run that was read last: whoever asks in ascending order fetches no run twice.
#[derive(Debug)]
pub struct SeriesLookup {
    file: Arc<SegmentFile>,
    context: RunContext,
    last: Option<(u64, Run)>,
}

impl SeriesLookup {
    /// Orders will carry the indexes of `chains`.
    ///
    /// # Panics
    /// If `chains` lacks a chain of the segment.
    pub fn new(file: Arc<SegmentFile>, chains: &ChainTable) -> Self {
        Self {
            context: file.context(chains),
            file,
            last: None,
        }
    }

    /// Appends the points of `key` that lie in `span`; none where the segment has none.
    ///
    /// # Errors
    /// The bucket's, or corrupt with the object's key and the place; also when the segment is a rollup.
    pub async fn read(
        &mut self,
        key: SeriesKey,
        span: TimeSpan,
        buffer: &mut SeriesBuffer,
    ) -> Result<()> {
        let file = Arc::clone(&self.file);
        for fence in file.footer.runs_within(key, key) {
            if fence.last_timestamp < span.from || span.to <= fence.first_timestamp {
                continue;
            }
            let run = self.run(fence).await?;
            if let Some(index) = run.find(key) {
                file.located(run.read(index, span, buffer))?;
            }
        }
        Ok(())
    }

    async fn run(&mut self, fence: &RunFence) -> Result<&Run> {
        let run = match self.last.take() {
            Some((at, run)) if at == fence.offset => run,
            Some(_) | None => {
                let bytes = self.file.fetch(fence.span()).await?;
                let run = Run::open(*fence, bytes, &self.context);
                self.file.located(run)?
            }
        };
        Ok(&self.last.insert((fence.offset, run)).1)
    }
}
