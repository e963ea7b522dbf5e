//! Scans the segments of a snapshot in `(org, metric, timestamp)` order, and what readers see of an old system beside them.

mod org_scan;

use std::collections::{BTreeSet, VecDeque};

use skein_shared::bucket::RequestCounts;
use skein_shared::format::digest::ContentDigest;
use skein_shared::format::series_metadata::SeriesMetadata;
use skein_shared::ids::{OrgId, SeriesKey};
use skein_shared::segment_fetch::{MetadataFetch, SegmentFile};
use skein_shared::units::MIB;
use skein_shared::window::{TimeSpan, TimestampMs};

use self::org_scan::OrgScan;
use crate::error::Result;
use crate::metrics;
use crate::old_side::OldSide;
use crate::snapshot::{OpenSegment, Snapshot};
use crate::stitch::Stitch;

/// Bytes that all cursors of an org may hold together, so that many windows do not mean much memory.
pub(crate) const CURSOR_BYTES: u64 = 128 * MIB;

/// Which points are read, and whether metadata comes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanOptions {
    /// Points outside are left out.
    pub span: TimeSpan,
    /// Whether pieces carry the series' metadata.
    pub metadata: MetadataFetch,
}

/// Points of one series in one window, in strictly ascending time.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// Which series.
    pub key: SeriesKey,
    /// What is known about it, by the record that said it last.
    pub metadata: Option<&'a SeriesMetadata>,
    /// Milliseconds since the epoch; not empty.
    pub timestamps_ms: &'a [i64],
    /// As many values.
    pub values: &'a [f64],
}

/// What a scan has read so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScanSummary {
    /// Points given out.
    pub points: u64,
    /// Series given out.
    pub series: u64,
    /// Digest of the points given out.
    pub digest: ContentDigest,
    /// Smallest and greatest timestamp given out.
    pub time_bounds: Option<(TimestampMs, TimestampMs)>,
    /// Points that lost to another segment's of equal time.
    pub superseded: u64,
    /// Points given out that the old system has.
    pub from_old: u64,
    /// Segments opened.
    pub segments: u64,
    /// Requests to the bucket, those of others on the same handle included.
    pub requests: u64,
    /// Bytes received from the bucket, those of others on the same handle included.
    pub received_bytes: u64,
}

/// A scan in progress. Decodes in the caller's task: drive it from a thread that may compute. Holds one
/// series of one window at a time, and two steps of each segment of one org.
#[derive(Debug)]
pub struct Scan {
    snapshot: Snapshot,
    options: ScanOptions,
    segments: Vec<OpenSegment>,
    orgs: VecDeque<OrgId>,
    org: Option<OrgScan>,
    stitch: Stitch,
    last_series: Option<SeriesKey>,
    before: RequestCounts,
    summary: ScanSummary,
}

/// What one step of a scan gave.
enum Step {
    /// The stitch holds points of this series.
    Points(SeriesKey),
    /// All points lay outside the span or are not visible, or the org is at its end.
    NoPoints,
    /// Everything has been read.
    End,
}

impl Scan {
    /// Opens the segments that hold the snapshot's selection.
    ///
    /// # Errors
    /// The bucket's, or corrupt with the object's key.
    pub async fn start(snapshot: Snapshot, options: ScanOptions) -> Result<Self> {
        let before = snapshot.bucket().requests();
        let segments = snapshot.open_segments(options.span).await?;
        let mut orgs = BTreeSet::new();
        for segment in &segments {
            orgs.extend(snapshot.counting_runs(segment).map(|run| run.org));
        }
        orgs.extend(snapshot.old_orgs(options.span).await?);
        let summary = ScanSummary {
            segments: segments.len() as u64,
            ..ScanSummary::default()
        };
        Ok(Self {
            snapshot,
            options,
            segments,
            orgs: orgs.into_iter().collect(),
            org: None,
            stitch: Stitch::default(),
            last_series: None,
            before,
            summary,
        })
    }

    /// The next piece: by series, then by window; `None` at the end.
    ///
    /// # Errors
    /// The bucket's, or corrupt with the object's key and the place.
    pub async fn next(&mut self) -> Result<Option<Piece<'_>>> {
        let key = loop {
            match self.step().await? {
                Step::Points(key) => break key,
                Step::NoPoints => {}
                Step::End => {
                    self.count_requests();
                    let found = &self.summary;
                    metrics::scan_finished(
                        found.points,
                        found.series,
                        found.superseded,
                        found.requests,
                        found.received_bytes,
                    );
                    return Ok(None);
                }
            }
        };
        self.count_piece(key);
        let metadata = self.org.as_ref().and_then(OrgScan::metadata);
        let points = self.stitch.merged();
        Ok(Some(Piece {
            key,
            metadata,
            timestamps_ms: &points.timestamps_ms,
            values: &points.values,
        }))
    }

    /// The segments that points are read from.
    pub fn files(&self) -> impl Iterator<Item = &SegmentFile> {
        self.segments.iter().map(|segment| &*segment.file)
    }

    /// What has been read so far.
    pub fn summary(&mut self) -> ScanSummary {
        self.count_requests();
        self.summary.clone()
    }

    /// Reads one series of one window into the stitch.
    async fn step(&mut self) -> Result<Step> {
        if self.org.is_none() {
            self.org = match self.orgs.pop_front() {
                Some(org) => Some(self.open(org).await?),
                None => None,
            };
        }
        let Some(org) = &mut self.org else {
            return Ok(Step::End);
        };
        self.stitch.clear();
        let Some(key) = org.read_next(&mut self.stitch).await? else {
            self.org = None;
            return Ok(Step::NoPoints);
        };
        self.summary.superseded += self.stitch.merge();
        let (old, lost) = self.stitch.settle(self.snapshot.timelines(), key.org);
        self.summary.superseded += lost;
        self.summary.from_old += old;
        if self.stitch.merged().timestamps_ms.is_empty() {
            return Ok(Step::NoPoints);
        }
        Ok(Step::Points(key))
    }

    async fn open(&self, org: OrgId) -> Result<OrgScan> {
        let wanted = (self.options.span, self.options.metadata);
        let old = OldSide::open(&self.snapshot, org, wanted).await?;
        Ok(OrgScan::open(
            (&self.snapshot, old),
            &self.segments,
            org,
            self.options,
        ))
    }

    fn count_piece(&mut self, key: SeriesKey) {
        let points = self.stitch.merged();
        let summary = &mut self.summary;
        summary.points += points.values.len() as u64;
        summary
            .digest
            .add_points(key, &points.timestamps_ms, &points.values);
        if self.last_series.replace(key) != Some(key) {
            summary.series += 1;
        }
        let times = &points.timestamps_ms;
        let (first, last) = (TimestampMs(times[0]), TimestampMs(times[times.len() - 1]));
        let (low, high) = summary.time_bounds.unwrap_or((first, last));
        summary.time_bounds = Some((low.min(first), high.max(last)));
    }

    fn count_requests(&mut self) {
        let (before, now) = (&self.before, self.snapshot.bucket().requests());
        self.summary.requests = now.reads() - before.reads();
        self.summary.received_bytes = now.received_bytes - before.received_bytes;
    }
}
