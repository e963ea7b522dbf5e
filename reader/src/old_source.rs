//! The points of an old system, whichever it is.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::BoxFuture;
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::ids::{Chain, MetricId, OrgId, SeriesKey};
use skein_shared::offset::Offset;
use skein_shared::window::TimeSpan;

use crate::error::Result;
use crate::old_files::OldFiles;
use crate::old_series::OldSeries;
use crate::parquet_files::ParquetFiles;

/// What an old system keeps. Clones share what was read.
#[derive(Debug, Clone)]
pub enum OldSource {
    /// The files of the old pipeline in this bucket.
    Files(OldFiles),
    /// Files of Parquet, which somebody else writes.
    Parquet(ParquetFiles),
}

impl OldSource {
    /// Where it is, for messages.
    pub fn url(&self) -> String {
        match self {
            Self::Files(files) => files.url().to_owned(),
            Self::Parquet(files) => files.url(),
        }
    }

    /// The orgs that it has points of, ascending.
    ///
    /// # Errors
    /// What the place says, and what is wrong with something in it.
    pub fn orgs(&self) -> BoxFuture<'_, Result<BTreeSet<OrgId>>> {
        match self {
            Self::Files(files) => {
                Box::pin(async move { Ok(files.orgs().await?.into_iter().collect()) })
            }
            Self::Parquet(files) => Box::pin(files.orgs()),
        }
    }

    /// The series of `org`, ascending.
    ///
    /// # Errors
    /// As [`OldSource::orgs`].
    pub fn series(&self, org: OrgId) -> BoxFuture<'_, Result<Vec<OldSeries>>> {
        match self {
            Self::Files(files) => files.series(org),
            Self::Parquet(files) => Box::pin(files.series(all_of(org), TimeSpan::ALL)),
        }
    }

    /// The series from the first to the last of `keys` that may have points in `span`, ascending; the metadata of some may
    /// be left for [`OldSource::metadata`] to read.
    ///
    /// # Errors
    /// As [`OldSource::orgs`].
    pub fn series_within(
        &self,
        keys: (SeriesKey, SeriesKey),
        span: TimeSpan,
    ) -> BoxFuture<'_, Result<Vec<OldSeries>>> {
        match self {
            Self::Files(files) => files.series_within(keys, span),
            Self::Parquet(files) => Box::pin(files.series(keys, span)),
        }
    }

    /// What is known about one of [`OldSource::series_within`], by records with points in `span`.
    ///
    /// # Errors
    /// As [`OldSource::orgs`].
    pub fn metadata<'a>(
        &'a self,
        series: &'a OldSeries,
        span: TimeSpan,
    ) -> BoxFuture<'a, Result<BTreeMap<String, String>>> {
        match self {
            Self::Files(files) => files.metadata(series.key, span),
            Self::Parquet(_) => Box::pin(async move { Ok(series.metadata.clone()) }),
        }
    }

    /// Appends the points of `key` in `span` to `buffer`, in strictly ascending time and without orders: of equal times the
    /// last write.
    ///
    /// # Errors
    /// As [`OldSource::orgs`].
    pub fn read<'a>(
        &'a self,
        key: SeriesKey,
        span: TimeSpan,
        buffer: &'a mut SeriesBuffer,
    ) -> BoxFuture<'a, Result<()>> {
        match self {
            Self::Files(files) => Box::pin(async move {
                let mut own = SeriesBuffer::default();
                files.read(key, span, &mut own).await?;
                buffer.timestamps_ms.append(&mut own.timestamps_ms);
                buffer.values.append(&mut own.values);
                Ok(())
            }),
            Self::Parquet(files) => Box::pin(files.read(key, span, buffer)),
        }
    }

    /// Keys of the objects that points of the series from the first to the last of `keys` in `span` are read from.
    ///
    /// # Errors
    /// As [`OldSource::orgs`].
    pub fn objects(
        &self,
        keys: (SeriesKey, SeriesKey),
        span: TimeSpan,
    ) -> BoxFuture<'_, Result<Vec<String>>> {
        match self {
            Self::Files(files) => files.object_keys(keys, span),
            Self::Parquet(files) => Box::pin(async move { Ok(files.objects(keys, span)) }),
        }
    }

    /// Up to which position of each partition it has everything; `None` of a system that cannot say.
    ///
    /// # Errors
    /// As [`OldSource::orgs`].
    pub fn positions(&self) -> BoxFuture<'_, Result<Option<BTreeMap<Chain, Offset>>>> {
        match self {
            Self::Files(files) => Box::pin(async move { Ok(Some(files.positions().clone())) }),
            Self::Parquet(_) => Box::pin(async { Ok(None) }),
        }
    }
}

/// The first and the last series that `org` can have.
fn all_of(org: OrgId) -> (SeriesKey, SeriesKey) {
    let key = |metric| SeriesKey {
        org,
        metric: MetricId(metric),
    };
    (key(0), key(u64::MAX))
}
