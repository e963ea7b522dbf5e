//! A side that is an old system, read as it is.

use std::collections::VecDeque;

use skein_shared::format::segment_reader::SeriesBuffer;

use super::rows::{Gap, Rows, SideSeries, rolled};
use super::{UnitScope, damage_of};
use crate::error::Result;
use crate::old_series::OldSeries;
use crate::old_source::OldSource;

/// The series of an old system in a scope.
#[derive(Debug)]
pub(crate) struct OldStream {
    source: OldSource,
    scope: UnitScope,
    left: VecDeque<OldSeries>,
    gaps: Vec<Gap>,
}

impl OldStream {
    /// Begins before the first series.
    pub(super) async fn open(source: OldSource, scope: UnitScope) -> Result<Self> {
        let series = source.series_within(scope.keys, scope.span).await?;
        Ok(Self {
            source,
            scope,
            left: series.into(),
            gaps: Vec::new(),
        })
    }

    pub(super) fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    pub(super) async fn next(&mut self) -> Result<Option<SideSeries>> {
        while let Some(series) = self.left.pop_front() {
            if !self.scope.sample.takes(series.key) {
                continue;
            }
            match self.read(&series).await {
                Ok(read) if read.is_empty() => {}
                Ok(read) => return Ok(Some(read)),
                Err(error) => {
                    let (object, reason) = damage_of(error)?;
                    self.gaps.push(Gap {
                        first: series.key,
                        last: series.key,
                        object,
                        reason,
                    });
                }
            }
        }
        Ok(None)
    }

    async fn read(&self, series: &OldSeries) -> Result<SideSeries> {
        let mut points = SeriesBuffer::default();
        let span = self.scope.span;
        self.source.read(series.key, span, &mut points).await?;
        let mut rows = Rows::of_points();
        rows.push_points(&points.timestamps_ms, &points.values);
        if !self.scope.resolution.is_raw() {
            rows = rolled(&rows, self.scope.resolution);
        }
        let mut read = SideSeries::empty(series.key, rows);
        if !read.is_empty() {
            let metadata = self.source.metadata(series, span).await?;
            read.metadata = (!metadata.is_empty()).then_some(metadata);
        }
        Ok(read)
    }
}
