//! The buckets of a window, as a reader gets them.

use skein_shared::ids::SeriesKey;
use skein_shared::segment_fetch::MetadataFetch;
use skein_shared::window::TimestampMs;

use super::rows::{Gap, Rows, SideSeries, after};
use super::{UnitScope, damage_of};
use crate::bucket_scan::{BucketOptions, BucketScan};
use crate::error::Result;
use crate::snapshot::{Selection, Snapshot};

/// The series of a window, in buckets.
#[derive(Debug)]
pub(crate) struct RollupStream {
    /// `None` behind a damage: a scan does not go on there.
    scan: Option<BucketScan>,
    scope: UnitScope,
    gaps: Vec<Gap>,
    passed: Option<SeriesKey>,
}

impl RollupStream {
    pub(super) async fn open(snapshot: Snapshot, scope: UnitScope) -> Result<Self> {
        let options = BucketOptions {
            resolution: scope.resolution,
            span: scope.span,
            metadata: MetadataFetch::Fetch,
        };
        let snapshot = snapshot.narrowed(Selection::Org(scope.org));
        let mut stream = Self {
            scan: None,
            scope,
            gaps: Vec::new(),
            passed: None,
        };
        match BucketScan::start(snapshot, options).await {
            Ok(scan) => stream.scan = Some(scan),
            Err(error) => stream.end_at(scope.keys.0, damage_of(error)?),
        }
        Ok(stream)
    }

    fn end_at(&mut self, first: SeriesKey, (object, reason): (String, String)) {
        self.scan = None;
        self.gaps.push(Gap {
            first,
            last: self.scope.keys.1,
            object,
            reason,
        });
    }

    pub(super) fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    pub(super) async fn next(&mut self) -> Result<Option<SideSeries>> {
        let (first, last) = self.scope.keys;
        let Some(scan) = &mut self.scan else {
            return Ok(None);
        };
        let damage = loop {
            let piece = match scan.next().await {
                Ok(Some(piece)) => piece,
                Ok(None) => return Ok(None),
                Err(error) => break damage_of(error)?,
            };
            let key = piece.key;
            if key > last {
                return Ok(None);
            }
            if key < first || !self.scope.sample.takes(key) {
                continue;
            }
            let mut rows = Rows::of_buckets();
            rows.push_buckets(piece.rollup);
            rows.retain(|at_ms| self.scope.span.contains(TimestampMs(at_ms)));
            if rows.is_empty() {
                continue;
            }
            self.passed = Some(key);
            let entries = piece.metadata.map(|it| it.entries.clone());
            return Ok(Some(SideSeries {
                metadata: entries.filter(|entries| !entries.is_empty()),
                ..SideSeries::empty(key, rows)
            }));
        };
        self.end_at(self.passed.and_then(after).unwrap_or(first), damage);
        Ok(None)
    }
}
