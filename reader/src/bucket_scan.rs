//! Scans buckets of points, out of stored rollups wherever these say what the points would.
//!
//! A stored bucket is made of the points of one raw segment. It is what a reader is to see unless another segment of
//! the window holds points of the series in that bucket; such buckets, and those of segments without a rollup, are made
//! of merged raw points. Either way the bits are the same. Of an org whose raw points of a window have expired only what
//! is stored is left. A bucket that holds an instant of which readers see an old system's points is made of points.

mod window_buckets;
mod org_buckets;

use std::collections::{BTreeSet, VecDeque};

use skein_shared::bucket::RequestCounts;
use skein_shared::format::digest::ContentDigest;
use skein_shared::format::series_metadata::SeriesMetadata;
use skein_shared::format::shard_manifest::SegmentEntry;
use skein_shared::ids::{OrgId, SeriesKey};
use skein_shared::rollup::Rollup;
use skein_shared::segment_fetch::{MetadataFetch, SegmentFile};
use skein_shared::window::{Resolution, TimeSpan, TimestampMs, Window};

use self::org_buckets::OrgBuckets;
use self::window_buckets::WindowBuckets;
use crate::error::Result;
use crate::metrics;
use crate::snapshot::{OpenSegment, Snapshot};

/// Which buckets are read, and whether metadata comes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketOptions {
    /// How long a bucket is; not raw.
    pub resolution: Resolution,
    /// Buckets that begin outside are left out; those that begin inside are whole.
    pub span: TimeSpan,
    /// Whether pieces carry the series' metadata.
    pub metadata: MetadataFetch,
}

/// Buckets of one series in one window, in strictly ascending time.
#[derive(Debug, Clone, Copy)]
pub struct BucketPiece<'a> {
    /// Which series.
    pub key: SeriesKey,
    /// What is known about it, by the record that said it last. Where an overlay's and a rollup's record have the same
    /// timestamp, the overlay's.
    pub metadata: Option<&'a SeriesMetadata>,
    /// Not empty.
    pub rollup: &'a Rollup,
}

/// What a scan has read so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BucketSummary {
    /// Buckets given out that were stored, or joined from stored ones.
    pub from_rollups: u64,
    /// Buckets given out that were made of raw points.
    pub from_raw: u64,
    /// Points of the old system that they were made of.
    pub from_old: u64,
    /// Series given out.
    pub series: u64,
    /// Digest of the buckets given out.
    pub digest: ContentDigest,
    /// Begin of the first and the last bucket given out.
    pub time_bounds: Option<(TimestampMs, TimestampMs)>,
    /// Rollups that were opened at the start.
    pub rollups: u64,
    /// Segments of raw points that were opened at the start.
    pub segments: u64,
    /// Requests to the bucket, those of others on the same handle included.
    pub requests: u64,
    /// Bytes received from the bucket, those of others on the same handle included.
    pub received_bytes: u64,
}

/// A scan in progress; as a [`Scan`](crate::segment_scan::Scan) it holds one series of one window at a time, and two
/// steps of each segment of one org.
#[derive(Debug)]
pub struct BucketScan {
    snapshot: Snapshot,
    options: BucketOptions,
    sources: Vec<OpenSource>,
    orgs: VecDeque<OrgId>,
    org: Option<OrgBuckets>,
    window: WindowBuckets,
    last_series: Option<SeriesKey>,
    before: RequestCounts,
    summary: BucketSummary,
}

/// A segment that may hold points of the selection, opened where its buckets are had.
#[derive(Debug)]
struct OpenSource {
    window: Window,
    /// Absent of a rollup that outlives its points.
    raw: Option<SegmentEntry>,
    /// The rollup, or the raw segment itself.
    opened: OpenSegment,
}

impl OpenSource {
    fn is_rollup(&self) -> bool {
        !self.opened.file.footer().identity.resolution.is_raw()
    }
}

impl BucketSummary {
    /// Buckets given out.
    pub fn buckets(&self) -> u64 {
        self.from_rollups + self.from_raw
    }
}

impl BucketScan {
    /// Opens the segments that hold the snapshot's selection: rollups where there are any.
    ///
    /// # Errors
    /// The bucket's, or corrupt with the object's key.
    ///
    /// # Panics
    /// If the resolution is raw.
    pub async fn start(snapshot: Snapshot, mut options: BucketOptions) -> Result<Self> {
        assert!(!options.resolution.is_raw(), "raw points have no buckets");
        let before = snapshot.bucket().requests();
        options.span = options.resolution.buckets_in(options.span);
        let sources = open_sources(&snapshot, options).await?;
        let mut orgs = BTreeSet::new();
        for source in &sources {
            orgs.extend(snapshot.counting_runs(&source.opened).map(|run| run.org));
        }
        orgs.extend(snapshot.old_orgs(options.span).await?);
        let rollups = sources.iter().filter(|source| source.is_rollup()).count();
        let summary = BucketSummary {
            rollups: rollups as u64,
            segments: (sources.len() - rollups) as u64,
            ..BucketSummary::default()
        };
        Ok(Self {
            snapshot,
            options,
            sources,
            orgs: orgs.into_iter().collect(),
            org: None,
            window: WindowBuckets::new(options.resolution),
            last_series: None,
            before,
            summary,
        })
    }

    /// The next piece: by series, then by window; `None` at the end.
    ///
    /// # Errors
    /// The bucket's, or corrupt with the object's key and the place.
    pub async fn next(&mut self) -> Result<Option<BucketPiece<'_>>> {
        let key = loop {
            if self.org.is_none() {
                self.org = self.next_org().await?;
            }
            let Some(org) = &mut self.org else {
                self.count_end();
                return Ok(None);
            };
            let timelines = self.snapshot.timelines();
            match org.read_next(&mut self.window, timelines).await? {
                Some(_) if self.window.buckets().is_empty() => {}
                Some(key) => break key,
                None => self.org = None,
            }
        };
        self.count_piece(key);
        Ok(Some(BucketPiece {
            key,
            metadata: self.org.as_ref().and_then(OrgBuckets::metadata),
            rollup: self.window.buckets(),
        }))
    }

    /// The rollups, and the segments without one, that buckets are read from.
    pub fn files(&self) -> impl Iterator<Item = &SegmentFile> {
        self.sources.iter().map(|source| &*source.opened.file)
    }

    /// What has been read so far.
    pub fn summary(&mut self) -> BucketSummary {
        self.count_requests();
        self.summary.clone()
    }

    fn count_end(&mut self) {
        self.count_requests();
        let found = &self.summary;
        metrics::bucket_scan_finished(
            found.from_rollups,
            found.from_raw,
            found.requests,
            found.received_bytes,
        );
    }

    async fn next_org(&mut self) -> Result<Option<OrgBuckets>> {
        let Some(org) = self.orgs.pop_front() else {
            return Ok(None);
        };
        let opened = OrgBuckets::open(&self.snapshot, &self.sources, org, self.options).await?;
        Ok(Some(opened))
    }

    fn count_piece(&mut self, key: SeriesKey) {
        let (buckets, summary) = (self.window.buckets(), &mut self.summary);
        let from_rollups = self.window.stored_buckets();
        summary.from_rollups += from_rollups;
        summary.from_raw += buckets.len() as u64 - from_rollups;
        summary.from_old += self.window.old_points();
        summary.digest.add_rollup(key, buckets);
        if self.last_series.replace(key) != Some(key) {
            summary.series += 1;
        }
        let starts = &buckets.starts_ms;
        let (first, last) = (starts[0], starts[starts.len() - 1]);
        let (first, last) = (TimestampMs(first), TimestampMs(last));
        let (low, high) = summary.time_bounds.unwrap_or((first, last));
        summary.time_bounds = Some((low.min(first), high.max(last)));
    }

    fn count_requests(&mut self) {
        let (before, now) = (&self.before, self.snapshot.bucket().requests());
        self.summary.requests = now.reads() - before.reads();
        self.summary.received_bytes = now.received_bytes - before.received_bytes;
    }
}

async fn open_sources(snapshot: &Snapshot, options: BucketOptions) -> Result<Vec<OpenSource>> {
    let sources = snapshot.bucket_sources(options.span, options.resolution);
    let entries = sources.iter().filter_map(|source| {
        let entry = source.rollup.or(source.raw)?;
        Some((source.shard, entry))
    });
    let opened = snapshot.open_all(entries.collect()).await?;
    let sources = sources.iter().zip(opened);
    let open = |(source, opened): (&crate::snapshot::BucketSource<'_>, OpenSegment)| OpenSource {
        window: opened.file.footer().identity.window,
        raw: source.raw.cloned(),
        opened,
    };
    Ok(sources.map(open).collect())
}
