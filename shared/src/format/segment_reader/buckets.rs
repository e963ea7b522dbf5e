//! The buckets of a rollup's run.

use super::{Run, refuse};
use crate::error::Result;
use crate::format::rollup_columns;
use crate::format::run_page::PageBlock;
use crate::rollup::Rollup;
use crate::window::{TimeSpan, TimestampMs};

impl Run {
    /// Appends the buckets of the series at `index` that begin in `span`.
    ///
    /// # Errors
    /// Corrupt, with the place in the object, also when the run holds points or buckets of another width. What was
    /// appended is then without meaning, and [`Rollup::begin`] makes the rollup fit for use again.
    ///
    /// # Panics
    /// If there is no such series.
    pub fn read_rollup(&self, index: usize, span: TimeSpan, rollup: &mut Rollup) -> Result<()> {
        if self.resolution != rollup.resolution() {
            return refuse(self.fence.offset, "the run is of another resolution");
        }
        for block in &self.page.blocks[self.page.series[index].blocks.clone()] {
            if TimestampMs(block.last_ms) < span.from || span.to <= TimestampMs(block.first_ms) {
                continue;
            }
            let start = rollup.len();
            self.read_buckets(block, rollup)?;
            let decoded = &rollup.starts_ms[start..];
            let skipped = decoded.partition_point(|ms| TimestampMs(*ms) < span.from);
            let end = decoded.partition_point(|ms| TimestampMs(*ms) < span.to);
            rollup.truncate(start + end);
            rollup.remove(start, start + skipped);
        }
        Ok(())
    }

    fn read_buckets(&self, block: &PageBlock, rollup: &mut Rollup) -> Result<()> {
        let place = self.fence.offset + u64::from(block.offset);
        let (timestamps, columns) = self.checked_columns(block)?;
        let start = rollup.len();
        self.read_timestamps(block, timestamps, &mut rollup.starts_ms)?;
        let begins = |ms: &i64| self.resolution.bucket_start(TimestampMs(*ms)).0 == *ms;
        if !rollup.starts_ms[start..].iter().all(begins) {
            return refuse(place, "no bucket begins there");
        }
        rollup_columns::decode(columns, block.points as usize, rollup)
            .map_err(|error| error.moved_by(place + u64::from(block.timestamp_bytes)))
    }
}
