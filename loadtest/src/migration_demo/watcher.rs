//! A reader that reads everything again and again, as if nothing happened, and compares it with what was sent.

use std::future::Future;
use std::time::Duration;

use skein_config::Settings;
use skein_config::cutover::timelines::Timelines;
use skein_reader::old_places::OldPlaces;
use skein_reader::segment_scan::{Scan, ScanOptions};
use skein_reader::snapshot::{Selection, Snapshot};
use skein_shared::bucket::Bucket;
use skein_shared::segment_fetch::MetadataFetch;
use skein_shared::window::TimeSpan;

use crate::error::Result;
use crate::migration_demo::sent_points::{Comparison, ReadPoints, SentPoints};

/// Time between two reads.
const BETWEEN: Duration = Duration::from_millis(400);

pub(super) struct Watcher<'a> {
    settings: &'a Settings,
    bucket: &'a Bucket,
    sent: SentPoints,
    comparison: Comparison,
    reads: u64,
}

impl<'a> Watcher<'a> {
    pub(super) fn new(settings: &'a Settings, bucket: &'a Bucket, sent: SentPoints) -> Self {
        Self {
            settings,
            bucket,
            sent,
            comparison: Comparison::default(),
            reads: 0,
        }
    }

    pub(super) fn comparison(&self) -> &Comparison {
        &self.comparison
    }

    pub(super) fn reads(&self) -> u64 {
        self.reads
    }

    /// Reads until `going` is done.
    pub(super) async fn while_going<T>(
        &mut self,
        going: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut going = std::pin::pin!(going);
        let mut reads = tokio::time::interval(BETWEEN);
        loop {
            tokio::select! {
                done = &mut going => return done,
                _ = reads.tick() => {
                    let read = self.read().await?;
                    self.comparison.take(&self.sent, &read);
                }
            }
        }
    }

    /// The last look, when everything has arrived.
    pub(super) async fn look_last(&mut self) -> Result<()> {
        let read = self.read().await?;
        self.comparison.take_last(&self.sent, &read);
        Ok(())
    }

    async fn read(&mut self) -> Result<ReadPoints> {
        let unenrolled = self.settings.cutover.unenrolled.pipeline();
        let timelines = Timelines::load(self.bucket, unenrolled).await?;
        let places = OldPlaces::new(self.bucket, &self.settings.bucket, &self.settings.cutover);
        let snapshot = Snapshot::load(self.bucket, timelines, Selection::All).await?;
        let options = ScanOptions {
            span: TimeSpan::ALL,
            metadata: MetadataFetch::Skip,
        };
        let mut scan = Scan::start(snapshot.with_old(places), options).await?;
        let mut read = ReadPoints::default();
        while let Some(piece) = scan.next().await? {
            read.push(piece.key, piece.timestamps_ms, piece.values);
        }
        self.reads += 1;
        Ok(read)
    }
}
