//! An old system that is a folder or bucket of Parquet files, which somebody else writes.
//!
//! A row is a point. Its org is a whole number; its metric an id, or a name that further columns of text, the tags, make a
//! series of; its time a timestamp or a whole number of milliseconds, unless the column's name says otherwise. Of rows with
//! the same series and time the one that stands last counts, in the order of the files' names. Row groups whose statistics
//! say that they hold nothing of what is asked for are not read.

mod place;
mod columns;
mod bounds;
mod row_group;
mod footer;
mod held;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use skein_shared::bucket::Bucket;
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::ids::{OrgId, SeriesKey};
use skein_shared::series::SERIES_METADATA_KEY;
use skein_shared::window::TimeSpan;

use self::footer::ParquetFile;
use self::held::{Decoded, GroupId, HeldSeries};
use self::place::Place;
use self::row_group::RowGroup;
use crate::error::{Error, Result};
use crate::old_series::OldSeries;

const CONCURRENT_GETS: usize = 16;

/// The files. Clones share what was read.
#[derive(Debug, Clone)]
pub struct ParquetFiles {
    place: Place,
    files: Arc<[ParquetFile]>,
    decoded: Arc<Mutex<Decoded>>,
}

impl ParquetFiles {
    /// The files in a folder of this machine and the folders in it.
    ///
    /// # Errors
    /// [`Error::OldPlace`] without a folder or a file in it; what is wrong with a file, and what to do.
    pub fn in_folder(folder: impl Into<PathBuf>) -> BoxFuture<'static, Result<Self>> {
        let place = Place::Folder(folder.into());
        Box::pin(Self::open(place))
    }

    /// The files in a bucket, or below its prefix.
    ///
    /// # Errors
    /// As [`ParquetFiles::in_folder`], and the bucket's.
    pub fn in_bucket(bucket: Bucket) -> BoxFuture<'static, Result<Self>> {
        Box::pin(Self::open(Place::Bucket(bucket)))
    }

    async fn open(place: Place) -> Result<Self> {
        let found = place.list().await?;
        if found.is_empty() {
            return Err(Error::OldPlace {
                place: place.url(),
                reason:
                    "no file there ends in `.parquet`; is it what cutover.old_place is to name?"
                        .to_owned(),
            });
        }
        let files: Vec<ParquetFile> = stream::iter(found)
            .map(|found| ParquetFile::open(&place, found))
            .buffered(CONCURRENT_GETS)
            .try_collect()
            .await?;
        Ok(Self {
            place,
            files: files.into(),
            decoded: Arc::default(),
        })
    }

    /// Where they are, for messages.
    pub fn url(&self) -> String {
        self.place.url()
    }

    /// The orgs that have rows, ascending.
    ///
    /// # Errors
    /// As [`ParquetFiles::series`].
    pub async fn orgs(&self) -> Result<BTreeSet<OrgId>> {
        let mut orgs = BTreeSet::new();
        let groups = self.groups((SeriesKey::MIN, SeriesKey::MAX), TimeSpan::ALL);
        for (file, group) in groups {
            let (metadata, columns) = (&self.files[file].metadata, &self.files[file].columns);
            let held = metadata.metadata().row_group(group);
            let only = bounds::org_bounds(held, columns).filter(|(low, high)| low == high);
            if let Some(org) = only.and_then(|(org, _)| u64::try_from(org).ok()) {
                orgs.insert(OrgId(org));
                continue;
            }
            let series = self.series_of((file, group)).await?;
            orgs.extend(series.iter().map(|series| series.key.org));
        }
        Ok(orgs)
    }

    /// The series from `first` to `last` that may have points in `span`, ascending.
    ///
    /// # Errors
    /// The place's; [`Error::ParquetFile`] and [`Error::ParquetColumn`] where a file cannot be read.
    pub async fn series(
        &self,
        (first, last): (SeriesKey, SeriesKey),
        span: TimeSpan,
    ) -> Result<Vec<OldSeries>> {
        let mut all: BTreeMap<SeriesKey, OldSeries> = BTreeMap::new();
        for id in self.groups((first, last), span) {
            let held = self.series_of(id).await?;
            let wanted = |series: &&HeldSeries| {
                first <= series.key && series.key <= last && series.overlaps(span)
            };
            for series in held.iter().filter(wanted) {
                let known = all.entry(series.key).or_insert_with(|| OldSeries {
                    key: series.key,
                    metadata: BTreeMap::new(),
                    times: Vec::new(),
                });
                known.times.extend(&series.times);
                let text = series.text.iter().map(ToString::to_string);
                let named = text.map(|text| (SERIES_METADATA_KEY.to_owned(), text));
                known.metadata.extend(named);
            }
        }
        Ok(all.into_values().collect())
    }

    /// Appends the points of `key` in `span` to `buffer`, without orders.
    ///
    /// # Errors
    /// As [`ParquetFiles::series`].
    pub async fn read(
        &self,
        key: SeriesKey,
        span: TimeSpan,
        buffer: &mut SeriesBuffer,
    ) -> Result<()> {
        let mut points: BTreeMap<i64, f64> = BTreeMap::new();
        let mut only: Option<(Arc<RowGroup>, Range<usize>)> = None;
        for id in self.groups((key, key), span) {
            let held = self.series_of(id).await?;
            let of_key = held.iter().find(|series| series.key == key);
            if !of_key.is_some_and(|series| series.overlaps(span)) {
                continue;
            }
            let group = self.group(id).await?;
            let Some(range) = group
                .find(key)
                .and_then(|series| group.points_in(series, span))
            else {
                continue;
            };
            // Most series of a span lie in one row group: its points are in order already.
            if let Some((earlier, range)) = only.take() {
                points.extend(earlier.points(range));
            }
            only = Some((group, range));
        }
        if let Some((group, range)) = only {
            if points.is_empty() {
                buffer
                    .timestamps_ms
                    .extend_from_slice(&group.timestamps_ms[range.clone()]);
                buffer.values.extend_from_slice(&group.values[range]);
                return Ok(());
            }
            points.extend(group.points(range));
        }
        buffer.timestamps_ms.extend(points.keys());
        buffer.values.extend(points.values());
        Ok(())
    }

    /// The files that hold points of the series from `first` to `last` in `span`, by what is known of them without reading
    /// more of them than was read already.
    pub fn objects(&self, keys: (SeriesKey, SeriesKey), span: TimeSpan) -> Vec<String> {
        let groups = self.groups(keys, span).into_iter();
        let files: BTreeSet<usize> = groups.map(|(file, _)| file).collect();
        let names = files
            .into_iter()
            .map(|file| self.files[file].found.name.clone());
        names.collect()
    }

    /// The row groups that may hold something, in the order in which the last one counts.
    fn groups(&self, keys: (SeriesKey, SeriesKey), span: TimeSpan) -> Vec<GroupId> {
        let mut ids = Vec::new();
        for (at, file) in self.files.iter().enumerate() {
            let groups = file.metadata.metadata().row_groups().iter().enumerate();
            let wanted =
                groups.filter(|(_, group)| bounds::may_hold(group, &file.columns, keys, span));
            ids.extend(wanted.map(|(group, _)| (at, group)));
        }
        ids
    }

    async fn series_of(&self, id: GroupId) -> Result<Arc<[HeldSeries]>> {
        if let Some(known) = self.locked(|decoded| decoded.series.get(&id).cloned()) {
            return Ok(known);
        }
        let group = self.group(id).await?;
        let series: Arc<[HeldSeries]> = group.held_series().collect();
        self.locked(|decoded| decoded.series.insert(id, Arc::clone(&series)));
        Ok(series)
    }

    async fn group(&self, id: GroupId) -> Result<Arc<RowGroup>> {
        if let Some(held) = self.locked(|decoded| decoded.take(id)) {
            return Ok(held);
        }
        let (file, number) = (&self.files[id.0], id.1);
        let stretches = file.fetch(&self.place, number).await?;
        let parsed = (&file.metadata, &file.columns);
        let group = RowGroup::decode(&file.found.name, parsed, number, stretches)?;
        let group = Arc::new(group);
        self.locked(|decoded| decoded.hold(id, Arc::clone(&group)));
        Ok(group)
    }

    fn locked<T>(&self, of: impl FnOnce(&mut Decoded) -> T) -> T {
        of(&mut self.decoded.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
