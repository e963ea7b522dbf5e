//! Where rows are read from, for whoever loads snapshots again and again.

use futures::future::LocalBoxFuture;
use skein_config::cutover::timelines::Timelines;
use skein_shared::bucket::Bucket;

use crate::error::Result;
use crate::old_places::OldPlaces;
use crate::snapshot::{Selection, Snapshot};

/// The bucket, and where the old system's points are.
#[derive(Debug, Clone)]
pub struct ReadSource {
    bucket: Bucket,
    old: Option<OldPlaces>,
}

impl ReadSource {
    /// Reads from this bucket; what readers are to see of an old system is an error.
    pub fn new(bucket: Bucket) -> Self {
        Self { bucket, old: None }
    }

    /// The same with an old system.
    #[must_use]
    pub fn with_old(self, places: OldPlaces) -> Self {
        Self {
            old: Some(places),
            ..self
        }
    }

    /// The bucket.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// What is there now, by these timelines.
    ///
    /// # Errors
    /// As [`Snapshot::load`].
    pub fn load(
        &self,
        timelines: Timelines,
        selection: Selection,
    ) -> LocalBoxFuture<'_, Result<Snapshot>> {
        Box::pin(async move {
            let snapshot = Snapshot::load(&self.bucket, timelines, selection).await?;
            Ok(match &self.old {
                None => snapshot,
                Some(places) => snapshot.with_old(places.fresh()),
            })
        })
    }
}
