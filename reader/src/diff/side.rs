//! One side of a comparison: all that a pipeline has of a series in a window, and what is wrong with it.
//!
//! A side gives its own points, whoever is visible. What two segments or files say twice, what lies outside of the times
//! of its file and what does not read back is told apart here, because behind a read nothing is left of it.

mod rows;
mod table;
mod segments;
mod rollups;
mod old;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skein_config::cutover::timelines::Timelines;
use skein_shared::ErrorKind;
use skein_shared::bucket::Bucket;
use skein_shared::error::BucketCause;
use skein_shared::ids::{Chain, OrgId, SeriesKey, ShardId};
use skein_shared::offset::Offset;
use skein_shared::payload::Limits;
use skein_shared::timeline::Pipeline;
use skein_shared::window::{Resolution, TimeSpan, TimestampMs, Window};

use self::old::OldStream;
use self::rollups::RollupStream;
use self::segments::SegmentStream;
use self::table::TableStream;
use crate::diff::definition::Sample;
use crate::error::{Error, Result};
use crate::old_places::OldPlaces;
use crate::old_source::OldSource;
use crate::snapshot::{Selection, Snapshot};

pub use self::rows::{Fault, Gap, Rows, SideSeries};
pub use self::table::{Table, TablePoint, TableSeries};

/// Up to where a side has read each chain, without the offset itself.
pub type Positions = BTreeMap<Chain, Offset>;

/// Where the points of one side come from.
#[derive(Debug, Clone)]
pub enum Side {
    /// The segments of a bucket: the new pipeline's own points, also those that nobody is shown.
    Segments(Bucket),
    /// An old system, and where the settings say that it is.
    Old {
        /// Where each org's points are had from.
        places: OldPlaces,
        /// The settings' place, for reports.
        place: String,
    },
    /// A table of points: what an old pipeline was dumped to.
    Table(Arc<Table>),
}

/// A side, as it was at one moment, for one org.
#[derive(Debug, Clone)]
pub enum PinnedSide {
    /// Its manifests.
    Segments(Box<Snapshot>),
    /// What an old system had.
    Old {
        /// Where the org's points are.
        source: OldSource,
        /// Up to where it has read its input.
        positions: Option<Positions>,
        /// The windows that it may have points in.
        windows: BTreeSet<Window>,
    },
    /// All of it.
    Table(Arc<Table>),
}

/// What is read of a side at one time.
#[derive(Debug, Clone, Copy)]
pub struct UnitScope {
    /// Whose points.
    pub org: OrgId,
    /// Of which window.
    pub window: Window,
    /// Event times that are compared of it.
    pub span: TimeSpan,
    /// Points, or buckets of them.
    pub resolution: Resolution,
    /// Which series.
    pub sample: Sample,
    /// First and last series, both included.
    pub keys: (SeriesKey, SeriesKey),
}

/// The series of a side in ascending order.
#[derive(Debug)]
pub(super) enum SideStream {
    Segments(Box<SegmentStream>),
    Rollups(Box<RollupStream>),
    Old(Box<OldStream>),
    Table(TableStream),
}

impl Side {
    /// Which pipeline made it.
    pub fn pipeline(&self) -> Pipeline {
        match self {
            Self::Segments(_) => Pipeline::New,
            Self::Old { .. } | Self::Table(_) => Pipeline::Old,
        }
    }

    /// Where it is, for reports.
    pub fn place(&self) -> &str {
        match self {
            Self::Segments(bucket) => bucket.url(),
            Self::Old { place, .. } => place,
            Self::Table(table) => table.place(),
        }
    }

    /// What its points are kept in.
    pub fn format(&self) -> &'static str {
        match self {
            Self::Segments(_) => "skein segments",
            Self::Old { .. } => "the old system's files",
            Self::Table(_) => "points in a table",
        }
    }

    /// Requests to, and bytes received from, where it is.
    pub fn traffic(&self) -> (u64, u64) {
        match self {
            Self::Segments(bucket) => {
                let counts = bucket.requests();
                (counts.reads(), counts.received_bytes)
            }
            Self::Old { .. } | Self::Table(_) => (0, 0),
        }
    }

    /// Its newest state for one org.
    ///
    /// # Errors
    /// The bucket's, or corrupt where its manifests are damaged.
    pub async fn pin(&self, org: OrgId) -> Result<PinnedSide> {
        match self {
            Self::Segments(bucket) => {
                // By these timelines nothing is hidden: a comparison looks at what was written.
                let shown = Timelines::new_owns_everything();
                let snapshot = Snapshot::load(bucket, shown, Selection::Org(org)).await?;
                Ok(PinnedSide::Segments(Box::new(snapshot)))
            }
            Self::Old { places, .. } => {
                let source = places.fresh().source_of(None).await?;
                let series = source.series(org).await?;
                let times = series.iter().flat_map(|series| &series.times);
                let windows = times.flat_map(|span| windows_in(*span)).collect();
                Ok(PinnedSide::Old {
                    positions: source.positions().await?,
                    windows,
                    source,
                })
            }
            Self::Table(table) => Ok(PinnedSide::Table(Arc::clone(table))),
        }
    }
}

impl PinnedSide {
    /// Up to where the holders of the windows have read their input, one vector for each; `None` when nobody can say.
    pub fn positions(&self, org: OrgId, windows: &BTreeSet<Window>) -> Option<Vec<Positions>> {
        match self {
            Self::Segments(snapshot) => {
                let owners = windows.iter().map(|window| snapshot.owner_of(org, *window));
                let owners: BTreeSet<ShardId> = owners.collect::<Option<_>>()?;
                let manifests = snapshot.manifests();
                let of = |shard| manifests.get(&shard).map(|it| it.positions.clone());
                Some(
                    owners
                        .into_iter()
                        .map(|it| of(it).unwrap_or_default())
                        .collect(),
                )
            }
            Self::Old { positions, .. } => positions.clone().map(|positions| vec![positions]),
            Self::Table(table) => table.positions().map(|positions| vec![positions.clone()]),
        }
    }

    /// The windows that may hold points of `org`.
    pub fn windows(&self, org: OrgId) -> BTreeSet<Window> {
        match self {
            Self::Segments(snapshot) => segments::windows(snapshot, org),
            Self::Old { windows, .. } => windows.clone(),
            Self::Table(table) => table.windows(org),
        }
    }

    /// Which shard holds the window of an org; `None` where there are no shards.
    pub fn shard(&self, org: OrgId, window: Window) -> Option<ShardId> {
        match self {
            Self::Segments(snapshot) => snapshot.owner_of(org, window),
            Self::Old { .. } | Self::Table(_) => None,
        }
    }

    /// Every shard into which records of `org` may have gone.
    pub fn shards_of(&self, org: OrgId) -> BTreeSet<ShardId> {
        match self {
            Self::Segments(snapshot) => snapshot.shards_of(org),
            Self::Old { .. } | Self::Table(_) => BTreeSet::new(),
        }
    }

    /// What the payloads of `org` were held to, where that is known.
    pub fn limits(&self, org: OrgId) -> Option<Limits> {
        match self {
            Self::Segments(snapshot) => {
                let manifests = snapshot.manifests().iter();
                let shards = snapshot.shards_of(org);
                let mut of_org = manifests.filter(|(shard, _)| shards.contains(shard));
                of_org.next().map(|(_, manifest)| manifest.versions.limits)
            }
            Self::Old { .. } | Self::Table(_) => None,
        }
    }

    /// Whether what the org has in the window has expired by the side's own settings.
    pub fn is_expired(&self, resolution: Resolution, org: OrgId, window: Window) -> bool {
        match self {
            Self::Segments(snapshot) => snapshot
                .owner_of(org, window)
                .is_some_and(|shard| snapshot.is_expired(shard, resolution, (org, window))),
            Self::Old { .. } | Self::Table(_) => false,
        }
    }

    /// Whether its series have metadata at all.
    pub fn has_metadata(&self) -> bool {
        match self {
            Self::Segments(_) | Self::Old { .. } => true,
            Self::Table(table) => table.has_metadata(),
        }
    }

    /// The objects that hold what it has in the window.
    ///
    /// # Errors
    /// What the place says.
    pub async fn objects(&self, org: OrgId, window: Window) -> Result<Vec<String>> {
        match self {
            Self::Segments(snapshot) => {
                let entries = segments::entries(snapshot, org, window);
                Ok(entries.map(|(_, entry)| entry.key.clone()).collect())
            }
            Self::Old { source, .. } => source.objects(all_of(org), window.span()).await,
            Self::Table(table) => Ok(vec![table.place().to_owned()]),
        }
    }

    /// Begins before the first series of the scope.
    ///
    /// # Errors
    /// The bucket's. What is damaged is no error but a gap.
    pub(super) async fn stream(&self, scope: UnitScope) -> Result<SideStream> {
        Ok(match self {
            Self::Segments(snapshot) if scope.resolution.is_raw() => {
                let stream = SegmentStream::open(Snapshot::clone(snapshot), scope).await?;
                SideStream::Segments(Box::new(stream))
            }
            Self::Segments(snapshot) => {
                let stream = RollupStream::open(Snapshot::clone(snapshot), scope).await?;
                SideStream::Rollups(Box::new(stream))
            }
            Self::Old { source, .. } => {
                SideStream::Old(Box::new(OldStream::open(source.clone(), scope).await?))
            }
            Self::Table(table) => SideStream::Table(TableStream::new(Arc::clone(table), scope)),
        })
    }
}

impl SideStream {
    /// The next series; `None` at the end.
    ///
    /// # Errors
    /// The bucket's. What is damaged is no error but a gap.
    pub(super) async fn next(&mut self) -> Result<Option<SideSeries>> {
        match self {
            Self::Segments(stream) => stream.next().await,
            Self::Rollups(stream) => stream.next().await,
            Self::Old(stream) => stream.next().await,
            Self::Table(stream) => Ok(stream.next()),
        }
    }

    /// Series up to the one that came last that are not there, or not whole, because something does not read back.
    pub(super) fn gaps(&self) -> &[Gap] {
        match self {
            Self::Segments(stream) => stream.gaps(),
            Self::Rollups(stream) => stream.gaps(),
            Self::Old(stream) => stream.gaps(),
            Self::Table(stream) => stream.gaps(),
        }
    }
}

/// The windows that hold times of `span`.
fn windows_in(span: TimeSpan) -> impl Iterator<Item = Window> {
    let last = TimestampMs(span.to.0.saturating_sub(1));
    let numbers = Window::of(span.from).number()..=Window::of(last).number();
    numbers.map(Window::from_number)
}

/// The first and the last series that `org` can have.
fn all_of(org: OrgId) -> (SeriesKey, SeriesKey) {
    let selection = Selection::Org(org);
    (selection.first(), selection.last())
}

/// The object and the words of a damage; what is none comes back.
fn damage_of(error: Error) -> Result<(String, String)> {
    let Error::Shared(shared) = &error else {
        return Err(error);
    };
    let found = match shared {
        skein_shared::Error::Decode {
            object, at, reason, ..
        } => Some((object.clone(), format!("at byte {at}: {reason}"))),
        skein_shared::Error::Bucket {
            key,
            cause: BucketCause::NotFound,
            ..
        } => Some((key.clone(), "the object is not there".to_owned())),
        skein_shared::Error::Bucket { key, reason, .. } if error.kind() == ErrorKind::Corrupt => {
            Some((key.clone(), reason.clone()))
        }
        skein_shared::Error::Bucket { .. }
        | skein_shared::Error::Invalid { .. }
        | skein_shared::Error::Taken { .. }
        | skein_shared::Error::Unfit { .. } => None,
    };
    // What a newer build has written is sound: this one cannot compare it.
    match found {
        Some(found) if !shared.is_unread_version() => Ok(found),
        Some(_) | None => Err(error),
    }
}
