//! The files of the old pipeline in this bucket, read as one system would have returned them.
//!
//! A file counts once the old pipeline's progress has passed all of its records. What several files say about the same
//! instant is decided by the same order as in segments: record timestamp, position, index in the payload.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use skein_shared::bucket::Bucket;
use skein_shared::format::object_key::{OldFileName, OldKey, Prefix};
use skein_shared::format::old_file::OldFile;
use skein_shared::format::order_column::{ChainTable, Order, OrderRun};
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::format::series_metadata::SeriesMetadata;
use skein_shared::ids::{Chain, MetricId, OrgId, SeriesKey};
use skein_shared::offset::Offset;
use skein_shared::old_log::{self, ListedOldFile};
use skein_shared::window::{TimeSpan, Window};

use crate::error::Result;
use crate::old_series::{OldSeries, windows_of};
use crate::stitch::Stitch;

/// Files that are fetched at the same time, and so stand in memory beside the points that were asked for.
const CONCURRENT_GETS: usize = 8;

/// Points of files that are kept, so that windows of a file do not fetch it anew.
const KEPT_POINTS: usize = 8 << 20;

/// Windows that are walked through whether there is a point in each or not.
const FEW_WINDOWS: i64 = 400;

/// What the old pipeline had written when it was looked at.
#[derive(Debug, Clone)]
pub struct OldFiles {
    bucket: Bucket,
    positions: BTreeMap<Chain, Offset>,
    chains: ChainTable,
    kept: Arc<Mutex<Kept>>,
}

/// What was read once, of a pipeline whose position was looked at once: no file that counts comes later.
#[derive(Debug, Default)]
struct Kept {
    listed: BTreeMap<String, Arc<[ListedOldFile]>>,
    /// The file that was used last stands last.
    files: VecDeque<Arc<OldFile>>,
    points: usize,
}

impl OldFiles {
    /// Looks how far the old pipeline has come. Files beyond that do not count until it is looked again.
    ///
    /// # Errors
    /// `Corrupt` when its progress is damaged, and what the bucket says.
    pub fn open(bucket: &Bucket) -> BoxFuture<'_, Result<Self>> {
        Box::pin(async move {
            let positions = old_log::positions(bucket).await?;
            let chains = positions.keys().cloned().collect();
            Ok(Self {
                bucket: bucket.clone(),
                positions,
                chains: ChainTable::new(chains),
                kept: Arc::default(),
            })
        })
    }

    /// Where they are, for messages.
    pub fn url(&self) -> &str {
        self.bucket.url()
    }

    /// Up to which offset of every partition all that the old pipeline writes is here.
    pub fn positions(&self) -> &BTreeMap<Chain, Offset> {
        &self.positions
    }

    /// What the chain indexes of orders mean.
    pub fn chains(&self) -> &ChainTable {
        &self.chains
    }

    /// The orgs that have files, ascending.
    ///
    /// # Errors
    /// What the bucket says.
    pub fn orgs(&self) -> BoxFuture<'_, Result<Vec<OrgId>>> {
        Box::pin(async move { Ok(old_log::orgs(&self.bucket).await?) })
    }

    /// The series of `org`, ascending. Only the files know what they are called: all of the org's are read.
    ///
    /// # Errors
    /// `Corrupt` when a file is damaged, and what the bucket says.
    pub fn series(&self, org: OrgId) -> BoxFuture<'_, Result<Vec<OldSeries>>> {
        Box::pin(async move {
            let files = self.files_under(&Prefix::old_org(org)).await?;
            let mut named: BTreeMap<SeriesKey, Option<SeriesMetadata>> = BTreeMap::new();
            let all: Vec<OldFileName> = files.iter().map(|file| file.name.clone()).collect();
            let mut read = stream::iter(all)
                .map(|name| self.load(name))
                .buffered(CONCURRENT_GETS);
            while let Some(file) = read.try_next().await? {
                let newest = named.entry(file.name.series).or_default();
                let theirs = file.metadata.as_ref().map(|metadata| SeriesMetadata {
                    order: self.order_of(&file.name, metadata.order),
                    ..metadata.clone()
                });
                *newest = newer(newest.take(), theirs);
            }
            let mut series = self.series_within(all_of(org), TimeSpan::ALL).await?;
            for one in &mut series {
                let metadata = named.remove(&one.key).flatten();
                one.metadata = metadata.unwrap_or_default().entries;
            }
            Ok(series)
        })
    }

    /// The series from the first to the last of `keys`, which are one org's, that have files with points in `span`: ascending,
    /// and without metadata, so that nothing but a listing is read.
    ///
    /// # Errors
    /// As [`OldFiles::series`].
    pub fn series_within(
        &self,
        (first, last): (SeriesKey, SeriesKey),
        span: TimeSpan,
    ) -> BoxFuture<'_, Result<Vec<OldSeries>>> {
        Box::pin(async move {
            let prefix = prefix_of(first, last);
            let mut series: BTreeMap<SeriesKey, OldSeries> = BTreeMap::new();
            let files = self.files_under(&prefix).await?;
            let names = files.iter().map(|file| &file.name);
            let meant = names
                .filter(|name| first <= name.series && name.series <= last && may_hold(name, span));
            let meant: Vec<OldFileName> = meant.cloned().collect();
            for name in meant {
                let key = name.series;
                let times = self.times_of(&name).await?;
                let known = series.entry(key).or_insert_with(|| OldSeries {
                    key,
                    metadata: BTreeMap::new(),
                    times: Vec::new(),
                });
                known.times.extend(times);
            }
            Ok(series.into_values().collect())
        })
    }

    /// What the record said of a series that was written last, of those with points in `span`.
    ///
    /// # Errors
    /// As [`OldFiles::series`].
    pub fn metadata(
        &self,
        key: SeriesKey,
        span: TimeSpan,
    ) -> BoxFuture<'_, Result<BTreeMap<String, String>>> {
        Box::pin(async move {
            let mut newest: Option<SeriesMetadata> = None;
            for file in self.files(key, span).await? {
                let file = self.load(file.name).await?;
                let theirs = file.metadata.as_ref().map(|metadata| SeriesMetadata {
                    order: self.order_of(&file.name, metadata.order),
                    ..metadata.clone()
                });
                newest = newer(newest, theirs);
            }
            Ok(newest.unwrap_or_default().entries)
        })
    }

    /// The times between which a file has points: those that its key says, unless a point from far away would make of them
    /// more windows than there are points.
    async fn times_of(&self, name: &OldFileName) -> Result<Vec<TimeSpan>> {
        let (first, last) = (Window::of(name.first), Window::of(name.last));
        if last.number() - first.number() < FEW_WINDOWS {
            return Ok(vec![TimeSpan {
                from: first.start(),
                to: last.span().to,
            }]);
        }
        let file = self.load(name.clone()).await?;
        Ok(windows_of(&file.points.timestamps_ms))
    }

    /// The files that may hold points of a series in `span`; nothing but a listing is read.
    ///
    /// # Errors
    /// What the bucket says.
    pub fn files(
        &self,
        key: SeriesKey,
        span: TimeSpan,
    ) -> BoxFuture<'_, Result<Vec<ListedOldFile>>> {
        Box::pin(async move {
            let of_org = Prefix::old_org(key.org);
            let files = match self.kept(|kept| kept.listed.get(&of_org).cloned()) {
                Some(files) => files,
                None => self.files_under(&Prefix::old_series(key)).await?,
            };
            let begin = files.partition_point(|file| file.name.series < key);
            let own = files[begin..]
                .iter()
                .take_while(|file| file.name.series == key);
            let held = own.filter(|file| may_hold(&file.name, span));
            Ok(held.cloned().collect())
        })
    }

    /// The keys of the objects that [`OldFiles::read`] reads of the series from the first to the last of `keys`, which are one
    /// org's.
    ///
    /// # Errors
    /// As [`OldFiles::files`].
    pub fn object_keys(
        &self,
        (first, last): (SeriesKey, SeriesKey),
        span: TimeSpan,
    ) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async move {
            let files = self.files_under(&prefix_of(first, last)).await?;
            let is_meant = |file: &&ListedOldFile| {
                let key = file.name.series;
                first <= key && key <= last && may_hold(&file.name, span)
            };
            let keys = files.iter().filter(is_meant).map(|file| key_of(&file.name));
            Ok(keys.collect())
        })
    }

    /// Reads the points of a series in `span` into `points`, in strictly ascending time: of equal times the one that was
    /// written last.
    ///
    /// # Errors
    /// `Corrupt` when a file is damaged, and what the bucket says.
    pub fn read<'a>(
        &'a self,
        key: SeriesKey,
        span: TimeSpan,
        points: &'a mut SeriesBuffer,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            points.clear();
            let files = self.files(key, span).await?;
            let mut read = stream::iter(files)
                .map(|file| self.load(file.name))
                .buffered(CONCURRENT_GETS);
            let mut stitch = Stitch::default();
            while let Some(file) = read.try_next().await? {
                self.copy(&file, span, stitch.part());
            }
            stitch.merge();
            std::mem::swap(points, stitch.merged_mut());
            Ok(())
        })
    }

    async fn files_under(&self, prefix: &str) -> Result<Arc<[ListedOldFile]>> {
        if let Some(listed) = self.kept(|kept| kept.listed.get(prefix).cloned()) {
            return Ok(listed);
        }
        let mut files = old_log::files(&self.bucket, prefix).await?;
        let counts = |name: &OldFileName| {
            let position = self.positions.get(&name.chain);
            position.is_some_and(|position| name.span.to <= *position)
        };
        files.retain(|file| counts(&file.name));
        files.sort_by_key(|file| file.name.series);
        let files: Arc<[ListedOldFile]> = files.into();
        self.kept(|kept| kept.listed.insert(prefix.to_owned(), Arc::clone(&files)));
        Ok(files)
    }

    async fn load(&self, name: OldFileName) -> Result<Arc<OldFile>> {
        if let Some(file) = self.kept(|kept| kept.take(&name)) {
            return Ok(file);
        }
        let file = Arc::new(old_log::load(&self.bucket, &name).await?);
        self.kept(|kept| kept.hold(Arc::clone(&file)));
        Ok(file)
    }

    fn kept<T>(&self, of: impl FnOnce(&mut Kept) -> T) -> T {
        of(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The points of the file in `span`, with orders that can be compared with those of other files.
    fn copy(&self, file: &OldFile, span: TimeSpan, part: &mut SeriesBuffer) {
        let times = &file.points.timestamps_ms;
        let from = times.partition_point(|ms| *ms < span.from.0);
        let to = times.partition_point(|ms| *ms < span.to.0).max(from);
        part.timestamps_ms.extend_from_slice(&times[from..to]);
        part.values.extend_from_slice(&file.points.values[from..to]);
        let mut begin = 0;
        for run in &file.points.orders {
            let end = begin + run.points as usize;
            let inside = end.min(to).saturating_sub(begin.max(from));
            if let Some(points) = u32::try_from(inside).ok().filter(|points| *points > 0) {
                let order = self.order_of(&file.name, run.order);
                part.push_order(OrderRun { order, points });
            }
            begin = end;
        }
    }

    fn order_of(&self, name: &OldFileName, order: Order) -> Order {
        let chain = self.chains.index_of(&name.chain);
        let chain = chain.expect("a file counts only if its partition has progress");
        Order { chain, ..order }
    }
}

impl Kept {
    fn take(&mut self, name: &OldFileName) -> Option<Arc<OldFile>> {
        let at = self.files.iter().position(|file| file.name == *name)?;
        let file = self.files.remove(at)?;
        self.files.push_back(Arc::clone(&file));
        Some(file)
    }

    fn hold(&mut self, file: Arc<OldFile>) {
        self.points += file.points.values.len();
        self.files.push_back(file);
        while self.points > KEPT_POINTS && self.files.len() > 1 {
            let oldest = self.files.pop_front();
            self.points -= oldest.map_or(0, |file| file.points.values.len());
        }
    }
}

/// What was said later.
fn newer(a: Option<SeriesMetadata>, b: Option<SeriesMetadata>) -> Option<SeriesMetadata> {
    let order = |it: &Option<SeriesMetadata>| it.as_ref().map(|it| it.order);
    if order(&a) < order(&b) { b } else { a }
}

/// Where the files of one org's series lie.
fn prefix_of(first: SeriesKey, last: SeriesKey) -> String {
    if first == last {
        Prefix::old_series(first)
    } else {
        Prefix::old_org(first.org)
    }
}

fn key_of(name: &OldFileName) -> String {
    OldKey::File(name.clone()).to_string()
}

fn may_hold(name: &OldFileName, span: TimeSpan) -> bool {
    name.first < span.to && span.from <= name.last
}

/// The first and the last series that `org` can have.
fn all_of(org: OrgId) -> (SeriesKey, SeriesKey) {
    let key = |metric| SeriesKey {
        org,
        metric: MetricId(metric),
    };
    (key(0), key(u64::MAX))
}
