//! The buckets of one series in one window, out of all segments that hold any of its points there.

use futures::future::{try_join, try_join_all};
use skein_config::cutover::timelines::Timelines;
use skein_shared::format::series_metadata::SeriesMetadata;
use skein_shared::ids::{OrgId, SeriesKey};
use skein_shared::rollup::{Bucket, Rollup};
use skein_shared::segment_fetch::{SegmentCursor, SeriesLookup};
use skein_shared::window::{Resolution, TimeSpan, TimestampMs, Window};

use crate::error::Result;
use crate::masked_cursor::MaskedCursor;
use crate::old_side::OldSide;
use crate::stitch::Stitch;
use crate::visible::is_new_alone;

/// One window's segments; their series are read in ascending order.
#[derive(Debug, Default)]
pub(super) struct WindowSources {
    /// Segments that are read point by point.
    pub(super) points: Vec<MaskedCursor>,
    /// Segments with a rollup.
    pub(super) rollups: Vec<RollupSource>,
}

/// Whose points readers see in a window, and the old system that has its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides<'a> {
    pub(super) timelines: &'a Timelines,
    pub(super) window: Window,
    pub(super) old: Option<&'a OldSide>,
}

/// A segment with a rollup.
#[derive(Debug)]
pub(super) struct RollupSource {
    cursor: SegmentCursor,
    peeked: Option<SeriesKey>,
    /// The segment itself; absent where it is the only one of its window, or has expired.
    raw: Option<SeriesLookup>,
    /// Series and times of which no bucket is to be seen.
    struck: Vec<((SeriesKey, SeriesKey), TimeSpan)>,
    stored: Rollup,
    /// The buckets of the series that is read, in the resolution that was asked for.
    joined: Rollup,
}

/// Makes the buckets; memory is kept from one series to the next.
#[derive(Debug)]
pub(super) struct WindowBuckets {
    resolution: Resolution,
    stitch: Stitch,
    finest: Rollup,
    rolled: Rollup,
    buckets: Rollup,
    from_rollups: u64,
    from_old: u64,
}

impl WindowSources {
    /// The least series that any of them has next.
    pub(super) async fn least(&mut self) -> Result<Option<SeriesKey>> {
        let points = try_join_all(self.points.iter_mut().map(MaskedCursor::peek));
        let rollups = self.rollups.iter_mut();
        let rollups = try_join_all(rollups.map(RollupSource::peek));
        let (points, rollups) = try_join(points, rollups).await?;
        Ok(points.into_iter().chain(rollups).flatten().min())
    }

    /// The metadata of `key` in those that stand at it.
    pub(super) fn metadata_of(
        &self,
        key: Option<SeriesKey>,
    ) -> impl Iterator<Item = &SeriesMetadata> {
        let points = self
            .points
            .iter()
            .filter(move |source| source.peeked() == key);
        let rollups = self
            .rollups
            .iter()
            .filter(move |source| source.peeked == key);
        let rollups = rollups.filter_map(|source| source.cursor.peeked_metadata());
        points
            .filter_map(MaskedCursor::peeked_metadata)
            .chain(rollups)
    }
}

impl RollupSource {
    pub(super) fn new(cursor: SegmentCursor, raw: Option<SeriesLookup>) -> Self {
        Self {
            cursor,
            peeked: None,
            raw,
            struck: Vec::new(),
            stored: Rollup::default(),
            joined: Rollup::default(),
        }
    }

    /// A rollup whose points are no more, without the buckets that may hold some of what is `struck`.
    pub(super) fn alone(
        cursor: SegmentCursor,
        struck: Vec<((SeriesKey, SeriesKey), TimeSpan)>,
    ) -> Self {
        Self {
            struck,
            ..Self::new(cursor, None)
        }
    }

    async fn peek(&mut self) -> Result<Option<SeriesKey>> {
        self.peeked = self.cursor.peek().await?;
        Ok(self.peeked)
    }

    async fn read(&mut self, key: SeriesKey, resolution: Resolution) -> Result<()> {
        self.joined.begin(resolution);
        if self.cursor.peek().await? == Some(key) {
            self.cursor.next_rollup(&mut self.stored).await?;
            self.strike(key);
            self.stored.coarsen(resolution, &mut self.joined);
        }
        Ok(())
    }

    fn strike(&mut self, key: SeriesKey) {
        let names = |(first, last): (SeriesKey, SeriesKey)| first <= key && key <= last;
        let struck = self.struck.iter().filter(|(series, _)| names(*series));
        let spans: Vec<TimeSpan> = struck.map(|(_, span)| *span).collect();
        if spans.is_empty() {
            return;
        }
        let resolution = self.stored.resolution();
        let buckets: Vec<Bucket> = self.stored.buckets().collect();
        self.stored.begin(resolution);
        for bucket in buckets {
            let own = span_of(bucket.start_ms, resolution);
            if !spans.iter().any(|span| span.overlaps(own)) {
                self.stored.push(&bucket);
            }
        }
    }

    fn holds(&self, start_ms: i64) -> bool {
        self.joined.starts_ms.binary_search(&start_ms).is_ok()
    }
}

impl WindowBuckets {
    pub(super) fn new(resolution: Resolution) -> Self {
        Self {
            resolution,
            stitch: Stitch::default(),
            finest: Rollup::default(),
            rolled: Rollup::default(),
            buckets: Rollup::default(),
            from_rollups: 0,
            from_old: 0,
        }
    }

    /// What [`WindowBuckets::read`] made; none where there are no points.
    pub(super) fn buckets(&self) -> &Rollup {
        &self.buckets
    }

    /// How many of them come from rollups.
    pub(super) fn stored_buckets(&self) -> u64 {
        self.from_rollups
    }

    /// How many points of the old system they are made of.
    pub(super) fn old_points(&self) -> u64 {
        self.from_old
    }

    /// Makes the buckets of `key`. Where neither a segment nor the old side stands at it there are none.
    pub(super) async fn read(
        &mut self,
        key: SeriesKey,
        window: &mut WindowSources,
        sides: Sides<'_>,
    ) -> Result<()> {
        self.stitch.clear();
        for cursor in &mut window.points {
            if cursor.peek().await? == Some(key) {
                cursor.next(self.stitch.part()).await?;
            }
        }
        for source in &mut window.rollups {
            source.read(key, self.resolution).await?;
        }
        let mut shared = self.shared_starts(&window.rollups);
        self.add_mixed_starts(key.org, &window.rollups, sides, &mut shared);
        for source in &mut window.rollups {
            self.read_raw(key, source, &shared).await?;
        }
        if let Some(old) = sides.old {
            old.read(key, sides.window, self.stitch.old_part()).await?;
        }
        self.stitch.merge();
        (self.from_old, _) = self.stitch.settle(sides.timelines, key.org);
        let points = self.stitch.merged();
        self.finest.begin(Rollup::FINEST);
        self.finest.roll(&points.timestamps_ms, &points.values);
        self.finest.coarsen(self.resolution, &mut self.rolled);
        self.gather(&window.rollups, &shared);
        Ok(())
    }

    /// Begins of the buckets in which several segments hold points, ascending. All segments that are read point by
    /// point count as one: they are merged in any case.
    fn shared_starts(&mut self, rollups: &[RollupSource]) -> Vec<i64> {
        let parts = self.stitch.parts();
        if rollups.is_empty() || (rollups.len() == 1 && parts.is_empty()) {
            return Vec::new();
        }
        let start = |ms: &i64| self.resolution.bucket_start(TimestampMs(*ms)).0;
        let times = parts.iter().flat_map(|part| &part.timestamps_ms);
        let mut starts: Vec<i64> = times.map(start).collect();
        starts.sort_unstable();
        starts.dedup();
        for source in rollups {
            starts.extend(&source.joined.starts_ms);
        }
        starts.sort_unstable();
        let pairs = starts.windows(2).filter(|pair| pair[0] == pair[1]);
        let mut shared: Vec<i64> = pairs.map(|pair| pair[0]).collect();
        shared.dedup();
        shared
    }

    /// Adds the begins of stored buckets that hold an instant of which readers see the old system's points: whoever wrote
    /// them did not know of those.
    fn add_mixed_starts(
        &self,
        org: OrgId,
        rollups: &[RollupSource],
        sides: Sides<'_>,
        shared: &mut Vec<i64>,
    ) {
        if is_new_alone(sides.timelines, org, sides.window.span()) {
            return;
        }
        let is_mixed = |start: &i64| {
            let own = span_of(*start, self.resolution);
            !is_new_alone(sides.timelines, org, own)
        };
        for source in rollups {
            let starts = source.joined.starts_ms.iter().copied();
            shared.extend(starts.filter(is_mixed));
        }
        shared.sort_unstable();
        shared.dedup();
    }

    /// Reads the points of a segment's shared buckets.
    async fn read_raw(
        &mut self,
        key: SeriesKey,
        source: &mut RollupSource,
        shared: &[i64],
    ) -> Result<()> {
        let own = shared.iter().copied().filter(|start| source.holds(*start));
        let spans = spans_of(own, self.resolution);
        if spans.is_empty() {
            return Ok(());
        }
        let raw = source.raw.as_mut();
        let raw = raw.expect("the segments of a window that has several are open");
        let part = self.stitch.part();
        for span in spans {
            raw.read(key, span, part).await?;
        }
        Ok(())
    }

    /// Puts together what was rolled and what is served as it is stored.
    fn gather(&mut self, rollups: &[RollupSource], shared: &[i64]) {
        self.buckets.begin(self.resolution);
        let is_own = |bucket: &Bucket| shared.binary_search(&bucket.start_ms).is_err();
        let stored = rollups.iter().flat_map(|source| source.joined.buckets());
        let mut buckets: Vec<Bucket> = stored.filter(is_own).collect();
        self.from_rollups = buckets.len() as u64;
        buckets.extend(self.rolled.buckets());
        buckets.sort_unstable_by_key(|bucket| bucket.start_ms);
        for bucket in &buckets {
            self.buckets.push(bucket);
        }
    }
}

/// The times of buckets, neighbours as one.
fn spans_of(starts: impl Iterator<Item = i64>, resolution: Resolution) -> Vec<TimeSpan> {
    let mut spans: Vec<TimeSpan> = Vec::new();
    for start in starts {
        let span = span_of(start, resolution);
        match spans.last_mut() {
            Some(last) if last.to == span.from => last.to = span.to,
            Some(_) | None => spans.push(span),
        }
    }
    spans
}

/// The time of one bucket.
fn span_of(start_ms: i64, resolution: Resolution) -> TimeSpan {
    let width = resolution.bucket_width().expect("not raw").0.cast_signed();
    TimeSpan {
        from: TimestampMs(start_ms),
        to: TimestampMs(start_ms.saturating_add(width)),
    }
}
