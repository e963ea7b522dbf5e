//! What a read pins at its start: the shard map, the timelines, the newest manifests and the deletes that they have not
//! carried out.

mod bucket_sources;
mod old_points;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::LocalBoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use skein_config::cutover::timelines::{OwnershipFilter, Timelines};
use skein_shared::bucket::Bucket;
use skein_shared::delete_rule::DeleteMask;
use skein_shared::format::damage::DamageRef;
use skein_shared::format::delete_entry::DeleteEntry;
use skein_shared::format::order_column::ChainTable;
use skein_shared::format::segment_footer::RunFence;
use skein_shared::format::shard_manifest::{SegmentEntry, ShardManifest};
use skein_shared::ids::{MetricId, OrgId, SeriesKey, ShardId};
use skein_shared::segment_fetch::SegmentFile;
use skein_shared::shard_map::ShardMap;
use skein_shared::window::{Resolution, TimeSpan, Window};
use skein_shared::{delete_log, manifest_log, shard_map_log};
use tokio::sync::OnceCell;

use crate::error::Result;
use crate::metrics;
use crate::old_places::OldPlaces;

pub use bucket_sources::BucketSource;

/// Requests in flight while manifests and footers are fetched.
const CONCURRENT_GETS: usize = 16;

/// Which series a read is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// All series of all orgs.
    All,
    /// All series of one org.
    Org(OrgId),
    /// The series of one org from this one on.
    OrgFrom(SeriesKey),
    /// One series.
    Series(SeriesKey),
}

/// The state of the bucket that a read is made on. A segment that was opened once stays open.
#[derive(Debug, Clone)]
pub struct Snapshot {
    bucket: Bucket,
    selection: Selection,
    timelines: Timelines,
    shard_map: Option<Arc<ShardMap>>,
    manifests: Arc<BTreeMap<ShardId, ShardManifest>>,
    deletes: Arc<[DeleteEntry]>,
    opened: Arc<Mutex<BTreeMap<String, Arc<SegmentFile>>>>,
    places: Option<OldPlaces>,
    all_deletes: Arc<OnceCell<Arc<[DeleteEntry]>>>,
}

/// A segment that holds points of the selection.
#[derive(Debug, Clone)]
pub struct OpenSegment {
    /// Whose manifest names it.
    pub shard: ShardId,
    /// The segment.
    pub file: Arc<SegmentFile>,
    /// It holds no point of the deletes up to this number.
    pub deletes_applied: u64,
    /// Which points were written into it.
    pub filter: OwnershipFilter,
}

impl Selection {
    /// First series that can be meant.
    pub const fn first(self) -> SeriesKey {
        match self {
            Self::All => series(0, 0),
            Self::Org(org) => series(org.0, 0),
            Self::OrgFrom(key) | Self::Series(key) => key,
        }
    }

    /// Last series that can be meant.
    pub const fn last(self) -> SeriesKey {
        match self {
            Self::All => series(u64::MAX, u64::MAX),
            Self::Org(org) | Self::OrgFrom(SeriesKey { org, .. }) => series(org.0, u64::MAX),
            Self::Series(key) => key,
        }
    }

    /// The one org that is meant.
    pub const fn org(self) -> Option<OrgId> {
        match self {
            Self::All => None,
            Self::Org(org)
            | Self::OrgFrom(SeriesKey { org, .. })
            | Self::Series(SeriesKey { org, .. }) => Some(org),
        }
    }
}

impl Snapshot {
    /// Reads the shard map, the manifests of every shard that may hold points of the selection, and then the deletes: those
    /// that were made by now are masked.
    ///
    /// # Errors
    /// The bucket's, or corrupt where something stored is damaged.
    pub fn load(
        bucket: &Bucket,
        timelines: Timelines,
        selection: Selection,
    ) -> LocalBoxFuture<'_, Result<Self>> {
        Box::pin(async move {
            let shard_map = shard_map_log::load(bucket).await?;
            let shards = match (&shard_map, selection.org()) {
                (None, _) => Vec::new(),
                (Some(map), Some(org)) => map.shards_of(org).into_iter().collect(),
                (Some(_), None) => manifest_log::shards(bucket).await?,
            };
            let manifests: BTreeMap<ShardId, ShardManifest> = stream::iter(shards)
                .map(async |shard| {
                    let manifest = manifest_log::newest(bucket, shard).await?;
                    Ok::<_, crate::Error>((shard, manifest))
                })
                .buffer_unordered(CONCURRENT_GETS)
                .try_collect()
                .await?;
            let applied = manifests.values().map(ShardManifest::all_applied).min();
            let deletes = match applied {
                Some(applied) => delete_log::load_after(bucket, applied).await?.entries,
                None => Vec::new(),
            };
            Ok(Self {
                bucket: bucket.clone(),
                selection,
                timelines,
                shard_map: shard_map.map(Arc::new),
                manifests: Arc::new(manifests),
                deletes: deletes.into(),
                opened: Arc::default(),
                places: None,
                all_deletes: Arc::default(),
            })
        })
    }

    /// The same state for a part of what was selected, with the same segments open.
    ///
    /// # Panics
    /// If `selection` goes beyond: manifests of other shards were not read.
    #[must_use]
    pub fn narrowed(&self, selection: Selection) -> Self {
        let all = self.selection.first()..=self.selection.last();
        let is_part = all.contains(&selection.first()) && all.contains(&selection.last());
        assert!(is_part, "{selection:?} is no part of {:?}", self.selection);
        Self {
            selection,
            ..self.clone()
        }
    }

    /// The same state with those segments open that another read has open: a segment never changes.
    #[must_use]
    pub fn with_opened_of(self, other: &Self) -> Self {
        Self {
            opened: Arc::clone(&other.opened),
            ..self
        }
    }

    /// The newest manifests.
    pub fn manifests(&self) -> &BTreeMap<ShardId, ShardManifest> {
        &self.manifests
    }

    /// How many versions the shard map has; 0 of a bucket without one.
    pub fn shard_map_versions(&self) -> usize {
        self.shard_map.as_ref().map_or(0, |map| map.version_count())
    }

    /// Which shard owns what `org` has in `window`; `None` of a bucket without a shard map.
    pub fn owner_of(&self, org: OrgId, window: Window) -> Option<ShardId> {
        let map = self.shard_map.as_ref();
        map.map(|map| map.owner_of(org, window))
    }

    /// Every shard into which records of `org` may have gone.
    pub fn shards_of(&self, org: OrgId) -> BTreeSet<ShardId> {
        let map = self.shard_map.as_ref();
        map.map(|map| map.shards_of(org)).unwrap_or_default()
    }

    /// The bucket.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// What is read.
    pub fn selection(&self) -> Selection {
        self.selection
    }

    /// What is read of `org`.
    pub fn selection_of(&self, org: OrgId) -> Selection {
        match self.selection {
            Selection::All => Selection::Org(org),
            selection @ (Selection::Org(_) | Selection::OrgFrom(_) | Selection::Series(_)) => {
                selection
            }
        }
    }

    /// Who owns which points.
    pub fn timelines(&self) -> &Timelines {
        &self.timelines
    }

    /// The live segments of raw points that may hold points of the selection in `span`.
    pub fn segments(&self, span: TimeSpan) -> Vec<(ShardId, &SegmentEntry)> {
        let segments = self
            .manifests
            .iter()
            .flat_map(|(shard, manifest)| manifest.raw_segments().map(|entry| (*shard, entry)));
        let wanted = segments.filter(|(_, entry)| self.is_wanted(entry, span));
        wanted.collect()
    }

    /// Whether a segment may hold points, or buckets that begin, in `span`.
    fn is_wanted(&self, entry: &SegmentEntry, span: TimeSpan) -> bool {
        let (first, last) = (self.selection.first(), self.selection.last());
        let summary = &entry.summary;
        let held = TimeSpan {
            from: summary.first_timestamp,
            to: skein_shared::window::TimestampMs(summary.last_timestamp.0.saturating_add(1)),
        };
        summary.first_series <= last && first <= summary.last_series && held.overlaps(span)
    }

    /// The damages of state about which nobody has decided, and for which points of the selection in `span` may be missing.
    pub fn incomplete(&self, span: TimeSpan) -> Vec<(ShardId, &DamageRef)> {
        let damages = self.manifests.iter().flat_map(|(shard, manifest)| {
            let undecided = manifest.undecided();
            undecided.map(|damage| (*shard, damage))
        });
        damages
            .filter(|(_, damage)| damage.times.overlaps(span))
            .collect()
    }

    /// Opens a segment, with one request unless it is open.
    ///
    /// # Errors
    /// The bucket's, or corrupt with the object's key.
    pub async fn open(&self, entry: &SegmentEntry) -> Result<Arc<SegmentFile>> {
        let opened = || self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = opened().get(&entry.key) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(SegmentFile::open(&self.bucket, entry).await?);
        metrics::segment_opened(file.key(), entry.summary.points);
        opened().insert(entry.key.clone(), Arc::clone(&file));
        Ok(file)
    }

    /// Opens segments, many at a time.
    ///
    /// # Errors
    /// As [`Snapshot::open`].
    pub fn open_all<'a>(
        &'a self,
        entries: Vec<(ShardId, &'a SegmentEntry)>,
    ) -> LocalBoxFuture<'a, Result<Vec<OpenSegment>>> {
        Box::pin(async move {
            stream::iter(entries)
                .map(async |(shard, entry)| {
                    let file = self.open(entry).await?;
                    let manifest = self.manifests.get(&shard);
                    let applied = manifest.map(|manifest| manifest.applied_in(entry));
                    Ok(OpenSegment {
                        shard,
                        file,
                        deletes_applied: applied.unwrap_or(entry.deletes_applied),
                        filter: entry.filter,
                    })
                })
                .buffered(CONCURRENT_GETS)
                .try_collect()
                .await
        })
    }

    /// Opens [`Snapshot::segments`], with one request for each that is not open.
    ///
    /// # Errors
    /// The bucket's, or corrupt with the object's key.
    pub fn open_segments(&self, span: TimeSpan) -> LocalBoxFuture<'_, Result<Vec<OpenSegment>>> {
        self.open_all(self.segments(span))
    }

    /// The deletes that may have points of `selection` in the segment, for orders that mean `chains`.
    pub fn mask(
        &self,
        segment: &OpenSegment,
        selection: Selection,
        chains: &ChainTable,
    ) -> DeleteMask {
        DeleteMask::new(self.pending(segment, selection), chains)
    }

    /// Whether [`Snapshot::mask`] may take anything.
    pub fn is_masked(&self, segment: &OpenSegment, selection: Selection) -> bool {
        self.pending(segment, selection).next().is_some()
    }

    /// The series and times that deletes take of a rollup's buckets: whatever a bucket is made of had come by then.
    pub fn struck(
        &self,
        segment: &OpenSegment,
        selection: Selection,
    ) -> Vec<((SeriesKey, SeriesKey), TimeSpan)> {
        let pending = self.pending(segment, selection);
        let struck = pending.map(|delete| (delete.selector.series(), delete.selector.span));
        struck.collect()
    }

    fn pending(
        &self,
        segment: &OpenSegment,
        selection: Selection,
    ) -> impl Iterator<Item = &DeleteEntry> {
        let (applied, window) = (
            segment.deletes_applied,
            segment.file.footer().identity.window,
        );
        self.deletes.iter().filter(move |delete| {
            let (first, last) = delete.selector.series();
            delete.number > applied
                && first <= selection.last()
                && selection.first() <= last
                && delete.selector.span.overlaps(window.span())
        })
    }

    /// Whether what `org` has in `window` of a shard has expired in a resolution.
    pub fn is_expired(
        &self,
        shard: ShardId,
        resolution: Resolution,
        (org, window): (OrgId, Window),
    ) -> bool {
        let manifest = self.manifests.get(&shard);
        manifest.is_some_and(|manifest| manifest.expiry.is_expired(resolution, org, window))
    }

    /// The runs of a segment that count for the selection: those of orgs whose segments of that window
    /// the segment's shard owns, and that have not expired.
    pub fn counting_runs<'a>(
        &'a self,
        segment: &'a OpenSegment,
    ) -> impl Iterator<Item = &'a RunFence> {
        let footer = segment.file.footer();
        let (window, resolution) = (footer.identity.window, footer.identity.resolution);
        let runs = footer.runs_within(self.selection.first(), self.selection.last());
        runs.iter().filter(move |run| {
            let map = self.shard_map.as_ref();
            map.is_some_and(|map| map.owner_of(run.org, window) == segment.shard)
                && !self.is_expired(segment.shard, resolution, (run.org, window))
        })
    }
}

const fn series(org: u64, metric: u64) -> SeriesKey {
    SeriesKey {
        org: OrgId(org),
        metric: MetricId(metric),
    }
}
