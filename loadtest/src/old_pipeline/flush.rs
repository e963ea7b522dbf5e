//! What is in memory of a partition to files, a file for each metric, and then its progress.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use skein_config::cutover::owner::writers;
use skein_config::cutover::timelines::Timelines;
use skein_shared::bucket::{Bucket, Created};
use skein_shared::format::object_key::{Attempt, OldFileName};
use skein_shared::format::old_file::OldFile;
use skein_shared::format::old_progress::{OldCounts, OldProgress};
use skein_shared::ids::{OrgId, SeriesKey, WorkerId};
use skein_shared::offset::{Offset, Span};
use skein_shared::old_log;
use skein_shared::timeline::Pipeline;
use skein_shared::window::TimestampMs;

use crate::error::{Error, Result};
use crate::old_pipeline::metric_buffers::{MetricBuffer, MetricBuffers};

/// Files that are on their way at the same time.
const CONCURRENT_PUTS: usize = 32;

/// Where files are written, and by whom.
#[derive(Debug, Clone)]
pub(super) struct FileWriter {
    pub(super) bucket: Bucket,
    /// Who has the orgs that were never cut over, if no fleet says so.
    pub(super) unenrolled: Pipeline,
    pub(super) worker: WorkerId,
}

/// What one metric came to.
#[derive(Debug, Default)]
struct Written {
    counts: OldCounts,
    not_written_to: Option<(OrgId, TimestampMs)>,
}

impl FileWriter {
    /// Writes what `buffers` hold of the records from the end of `before` up to `to`, of which `records` were read and
    /// `refused` were no payloads. Only the last step makes it count: after an error it can be done again.
    ///
    /// The points are chosen by the newest cutovers: which are read here, so that they are never old ones.
    ///
    /// # Errors
    /// [`Error::OldPartitionTaken`] when another process has gone on with the partition; what the bucket says.
    pub(super) async fn flush(
        &self,
        buffers: &MetricBuffers,
        before: &OldProgress,
        to: Offset,
        (records, refused): (u64, u64),
    ) -> Result<OldProgress> {
        let timelines = Timelines::load(&self.bucket, self.unenrolled).await?;
        let mut progress = OldProgress {
            number: before.number + 1,
            from: before.to,
            to,
            attempt: Attempt(fastrand::u64(..)),
            writer: self.worker,
            fleet: timelines.version(),
            at: self.bucket.now().await?,
            counts: OldCounts {
                records,
                refused_records: refused,
                ..OldCounts::default()
            },
            chain: before.chain.clone(),
            not_written_to: before.not_written_to.clone(),
        };
        let flush = &progress;
        let written: Vec<Written> = stream::iter(buffers.iter())
            .map(|(key, metric)| self.write(key, metric, (flush, &timelines)))
            .buffer_unordered(CONCURRENT_PUTS)
            .try_collect()
            .await?;
        for metric in &written {
            progress.counts.add(&metric.counts);
            raise(&mut progress.not_written_to, metric.not_written_to);
        }
        self.append(&progress).await?;
        Ok(progress)
    }

    /// Makes a progress count.
    ///
    /// # Errors
    /// As [`FileWriter::flush`].
    pub(super) async fn append(&self, progress: &OldProgress) -> Result<()> {
        match old_log::append(&self.bucket, progress).await? {
            Created::Ours => Ok(()),
            Created::Taken => Err(Error::OldPartitionTaken {
                chain: progress.chain.clone(),
                number: progress.number,
            }),
        }
    }

    async fn write(
        &self,
        key: SeriesKey,
        metric: &MetricBuffer,
        (flush, timelines): (&OldProgress, &Timelines),
    ) -> Result<Written> {
        let is_owned = |at: TimestampMs| writers(timelines, key.org, at).contain(Pipeline::Old);
        let settled = metric.settle(is_owned);
        let points = settled.points.values.len() as u64;
        let mut written = Written {
            counts: OldCounts {
                points_in: points + settled.duplicates + settled.not_owned,
                duplicates: settled.duplicates,
                not_owned: settled.not_owned,
                points,
                ..OldCounts::default()
            },
            not_written_to: settled.not_owned_to.map(|to| (key.org, to)),
        };
        let times = &settled.points.timestamps_ms;
        let (Some(first), Some(last)) = (times.first(), times.last()) else {
            return Ok(written);
        };
        let file = OldFile {
            name: OldFileName {
                series: key,
                chain: flush.chain.clone(),
                span: Span::new(flush.from, flush.to),
                first: TimestampMs(*first),
                last: TimestampMs(*last),
                attempt: flush.attempt,
            },
            fleet: flush.fleet,
            points: settled.points,
            metadata: metric.metadata().cloned(),
        };
        written.counts.file_bytes = old_log::write_file(&self.bucket, &file).await?;
        written.counts.files = 1;
        Ok(written)
    }
}

fn raise(all: &mut BTreeMap<OrgId, TimestampMs>, one: Option<(OrgId, TimestampMs)>) {
    if let Some((org, to)) = one {
        let highest = all.entry(org).or_insert(to);
        *highest = to.max(*highest);
    }
}
