//! The files of the old pipeline in this bucket, read as one system would have returned them.
//!
//! A file counts once the old pipeline's progress has passed all of its records. What several files say about the same
//! instant is decided by the same order as in segments: record timestamp, position, index in the payload.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use skein_shared::bucket::Bucket;
use skein_shared::format::object_key::{OldFileName, OldKey, Prefix};
use skein_shared::format::old_file::OldFile;
use skein_shared::format::order_column::{ChainTable, Order, OrderRun};
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::format::series_metadata::SeriesMetadata;
use skein_shared::ids::{Chain, OrgId, SeriesKey};
use skein_shared::offset::Offset;
use skein_shared::old_log::{self, ListedOldFile};
use skein_shared::window::TimeSpan;

use crate::error::Result;
use crate::stitch::Stitch;

/// Files that are fetched at the same time, and so stand in memory beside the points that were asked for.
const CONCURRENT_GETS: usize = 8;

/// What the old pipeline had written when it was looked at.
#[derive(Debug, Clone)]
pub struct OldFiles {
    bucket: Bucket,
    positions: BTreeMap<Chain, Offset>,
    chains: ChainTable,
}

/// A series of the old pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldSeries {
    /// Which.
    pub key: SeriesKey,
    /// What the record said of it that was written last; empty where none did.
    pub metadata: BTreeMap<String, String>,
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
            })
        })
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
            let mut read = stream::iter(files)
                .map(|file| self.load(file.name))
                .buffered(CONCURRENT_GETS);
            while let Some(file) = read.try_next().await? {
                let newest = named.entry(file.name.series).or_default();
                let theirs = file.metadata.map(|metadata| SeriesMetadata {
                    order: self.order_of(&file.name, metadata.order),
                    ..metadata
                });
                let order =
                    |metadata: &Option<SeriesMetadata>| metadata.as_ref().map(|it| it.order);
                if order(newest) < order(&theirs) {
                    *newest = theirs;
                }
            }
            let series = |(key, metadata): (_, Option<SeriesMetadata>)| OldSeries {
                key,
                metadata: metadata.unwrap_or_default().entries,
            };
            Ok(named.into_iter().map(series).collect())
        })
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
            let mut files = self.files_under(&Prefix::old_series(key)).await?;
            files.retain(|file| file.name.first < span.to && span.from <= file.name.last);
            Ok(files)
        })
    }

    /// The keys of the objects that [`OldFiles::read`] reads.
    ///
    /// # Errors
    /// As [`OldFiles::files`].
    pub fn object_keys(
        &self,
        key: SeriesKey,
        span: TimeSpan,
    ) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async move {
            let files = self.files(key, span).await?.into_iter();
            Ok(files
                .map(|file| OldKey::File(file.name).to_string())
                .collect())
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

    async fn files_under(&self, prefix: &str) -> Result<Vec<ListedOldFile>> {
        let mut files = old_log::files(&self.bucket, prefix).await?;
        let counts = |name: &OldFileName| {
            let position = self.positions.get(&name.chain);
            position.is_some_and(|position| name.span.to <= *position)
        };
        files.retain(|file| counts(&file.name));
        Ok(files)
    }

    async fn load(&self, name: OldFileName) -> Result<OldFile> {
        Ok(old_log::load(&self.bucket, &name).await?)
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
