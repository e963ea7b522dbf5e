//! Reads the same rows of the new pipeline, or of the old one, whoever is visible.

use std::time::{Duration, Instant};

use futures::future::LocalBoxFuture;
use skein_config::cutover::timelines::Timelines;
use skein_shared::ids::{MetricId, OrgId, SeriesKey};
use skein_shared::stage_time::StageTime;
use skein_shared::timeline::{Phase, Pipeline, Timeline};
use skein_shared::window::{Resolution, TimeSpan, TimestampMs};

use super::series_reader::SeriesReader;
use super::tally::MirrorTally;
use crate::error::Result;
use crate::page_token::PageScope;
use crate::read_source::ReadSource;
use crate::reading::SeriesRows;
use crate::snapshot::{Selection, Snapshot};

/// What a reader was given of an org, to be compared.
#[derive(Debug, Clone)]
pub struct MirroredRead {
    /// By which it was read.
    pub timelines: Timelines,
    /// Points, or buckets of this length.
    pub resolution: Resolution,
    /// Whose.
    pub org: OrgId,
    /// The series that the share takes.
    pub series: Vec<MirroredSeries>,
    /// How long the visible read took, where it was of one series.
    pub visible_took: Option<Duration>,
}

/// What a reader was given of a series.
#[derive(Debug, Clone)]
pub struct MirroredSeries {
    /// Which.
    pub metric: MetricId,
    /// Everything visible in it was given.
    pub span: TimeSpan,
    /// All of that.
    pub rows: SeriesRows,
}

/// A read of one series that found nothing.
#[derive(Debug, Clone)]
pub struct EmptyRead {
    /// By which it was read.
    pub timelines: Timelines,
    /// What was read.
    pub scope: PageScope,
}

/// What reading both pipelines has found, and how long each series took.
#[derive(Debug, Clone, Default)]
pub struct BothRead {
    /// How they are alike.
    pub tally: MirrorTally,
    /// Of what is visible.
    pub visible: StageTime,
    /// Of the new pipeline.
    pub new: StageTime,
}

/// What came of a mirrored series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Compared {
    pub(super) tally: MirrorTally,
    pub(super) new_took: Duration,
    /// It differed, and no more when both were read again.
    pub(super) is_resolved: bool,
}

/// The parts of `span` in which the new pipeline writes and the old one is visible; of buckets those that lie in one of
/// them as a whole.
pub fn compared_spans(
    timeline: &Timeline,
    span: TimeSpan,
    resolution: Resolution,
) -> Vec<TimeSpan> {
    let is_compared =
        |phase: &Phase| phase.visible == Pipeline::Old && phase.writers.contain(Pipeline::New);
    spans_of(timeline, (span, resolution), is_compared)
}

fn spans_of(
    timeline: &Timeline,
    (span, resolution): (TimeSpan, Resolution),
    is_meant: impl Fn(&Phase) -> bool,
) -> Vec<TimeSpan> {
    let phases = timeline.phases_in(TimeSpan::ALL);
    let meant = phases.filter(|(_, phase)| is_meant(phase));
    let parts = meant.map(|(part, _)| TimeSpan {
        from: resolution.buckets_in(part).from.max(span.from),
        to: whole_buckets_end(part.to, resolution).min(span.to),
    });
    parts.filter(|part| !part.is_empty()).collect()
}

/// The end of the last bucket that does not go beyond an edge.
fn whole_buckets_end(edge: TimestampMs, resolution: Resolution) -> TimestampMs {
    if edge == TimeSpan::ALL.to {
        return edge;
    }
    resolution.bucket_start(edge)
}

/// Up to where the new pipeline has read everything that the snapshot is about.
fn complete_to(snapshot: &Snapshot) -> Option<TimestampMs> {
    let manifests = snapshot.manifests().values();
    let complete = manifests.map(|manifest| manifest.complete_to);
    complete.min().flatten()
}

fn hull(spans: &[TimeSpan]) -> Option<TimeSpan> {
    Some(TimeSpan {
        from: spans.first()?.from,
        to: spans.last()?.to,
    })
}

/// Reads all of a scope from both pipelines and compares it, series by series.
///
/// # Errors
/// The bucket's, or corrupt with the object's key and the place.
pub fn compare_all<'a>(
    source: &'a ReadSource,
    timelines: &'a Timelines,
    scope: PageScope,
) -> LocalBoxFuture<'a, Result<BothRead>> {
    Box::pin(async move {
        let mut found = BothRead::default();
        let (org, resolution) = (scope.org, scope.resolution);
        let spans = compared_spans(timelines.of(org), scope.span, resolution);
        let Some(hull) = hull(&spans) else {
            return Ok(found);
        };
        let selection = scope.selection();
        let new = timelines.showing(Pipeline::New);
        let new = source.load(new, selection).await?;
        let visible = source.load(timelines.clone(), selection).await?;
        let complete_to = complete_to(&new);
        let mut visible = SeriesReader::start(visible, (hull, resolution)).await?;
        let mut new = SeriesReader::start(new, (hull, resolution)).await?;
        while let Some(key) = visible.peek().into_iter().chain(new.peek()).min() {
            let mut left = timed(&mut visible, key, &mut found.visible).await?;
            let mut right = timed(&mut new, key, &mut found.new).await?;
            for rows in [&mut left, &mut right] {
                rows.keep_in(&spans);
            }
            let tally = MirrorTally::of_series(&left, &right, complete_to);
            found.tally.add(&tally);
        }
        Ok(found)
    })
}

/// The rows of `key`, none if the reader stands at another series.
async fn timed(
    reader: &mut SeriesReader,
    key: SeriesKey,
    time: &mut StageTime,
) -> Result<SeriesRows> {
    if reader.peek() != Some(key) {
        return Ok(reader.nothing());
    }
    let begun = Instant::now();
    let rows = reader.take().await?;
    time.record(begun.elapsed());
    Ok(rows)
}

impl MirroredRead {
    /// What of the org's series the new pipeline has, to be asked series by series.
    pub(super) async fn new_snapshot(&self, source: &ReadSource) -> Result<Snapshot> {
        let new = self.timelines.showing(Pipeline::New);
        source.load(new, Selection::Org(self.org)).await
    }

    /// Compares one series; one that differs is read again from both, so that what came in between does not count.
    pub(super) async fn compare(
        &self,
        source: &ReadSource,
        new: &Snapshot,
        series: &MirroredSeries,
    ) -> Result<Option<Compared>> {
        let (org, resolution) = (self.org, self.resolution);
        let spans = compared_spans(self.timelines.of(org), series.span, resolution);
        let Some(hull) = hull(&spans) else {
            return Ok(None);
        };
        let metric = series.metric;
        let key = SeriesKey { org, metric };
        let begun = Instant::now();
        let of_series = new.narrowed(Selection::Series(key));
        let mut reader = SeriesReader::start(of_series, (hull, resolution)).await?;
        let mut rows = reader.take().await?;
        let new_took = begun.elapsed();
        let mut visible = series.rows.clone();
        rows.keep_in(&spans);
        visible.keep_in(&spans);
        let tally = MirrorTally::of_series(&visible, &rows, complete_to(new));
        if !tally.is_differing() {
            return Ok(Some(Compared {
                tally,
                new_took,
                is_resolved: false,
            }));
        }
        let scope = PageScope {
            org,
            metric: Some(metric),
            span: series.span,
            resolution,
        };
        let again = compare_all(source, &self.timelines, scope).await?;
        Ok(Some(Compared {
            tally: again.tally,
            new_took,
            is_resolved: !again.tally.is_differing(),
        }))
    }
}

/// Whether the old pipeline has rows where the new one is visible and gave none.
///
/// # Errors
/// As [`compare_all`].
pub fn is_found_in_old<'a>(
    source: &'a ReadSource,
    read: &'a EmptyRead,
) -> LocalBoxFuture<'a, Result<bool>> {
    Box::pin(async move {
        let EmptyRead { timelines, scope } = read;
        let rows = (scope.span, scope.resolution);
        let is_new = |phase: &Phase| phase.visible == Pipeline::New;
        let spans = spans_of(timelines.of(scope.org), rows, is_new);
        let Some(hull) = hull(&spans) else {
            return Ok(false);
        };
        let old = timelines.showing(Pipeline::Old);
        let old = source.load(old, scope.selection()).await?;
        let mut reader = SeriesReader::start(old, (hull, scope.resolution)).await?;
        let mut rows = reader.take().await?;
        rows.keep_in(&spans);
        Ok(!rows.times_ms().is_empty())
    })
}

#[cfg(test)]
mod tests {
    use skein_shared::timeline::Writers;

    use super::*;

    const HOUR: i64 = 3_600_000;

    fn span(from: i64, to: i64) -> TimeSpan {
        TimeSpan {
            from: TimestampMs(from),
            to: TimestampMs(to),
        }
    }

    #[test]
    fn only_what_both_write_and_the_old_one_shows_is_compared() {
        let phase = |from, writers, visible| Phase {
            from: TimestampMs(from),
            writers,
            visible,
        };
        let timeline = Timeline::new([
            phase(i64::MIN, Writers::Only(Pipeline::Old), Pipeline::Old),
            phase(HOUR + 1, Writers::Both, Pipeline::Old),
            phase(4 * HOUR - 1, Writers::Both, Pipeline::New),
        ]);
        let timeline = timeline.unwrap();
        let of = |asked, resolution| compared_spans(&timeline, asked, resolution);
        let raw = span(HOUR + 1, 4 * HOUR - 1);
        assert_eq!(of(TimeSpan::ALL, Resolution::Raw), [raw]);
        assert_eq!(
            of(span(0, 2 * HOUR), Resolution::Raw),
            [span(HOUR + 1, 2 * HOUR)]
        );
        // Buckets that straddle an edge are made of less on one side.
        assert_eq!(
            of(TimeSpan::ALL, Resolution::OneHour),
            [span(2 * HOUR, 3 * HOUR)]
        );
        assert_eq!(of(span(0, HOUR), Resolution::Raw), []);
        assert_eq!(of(TimeSpan::ALL, Resolution::OneDay), []);
    }
}
