//! Both pipelines at work: a connector and a compactor, and the old pipeline.

use std::sync::Arc;
use std::time::Duration;

use skein_compactor::run::RunOptions;
use skein_config::Settings;
use skein_config::cutover::acknowledger::Acknowledger;
use skein_connector::pipeline::{self, Controls, Setup};
use skein_shared::bucket::Bucket;
use skein_shared::cutover::NodeRole;
use skein_shared::old_log;
use skein_shared::units::Millis;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::old_pipeline::{self, OldControls, OldSetup};

/// Time between two rounds of the compactor.
const ROUND: Duration = Duration::from_millis(500);
/// Time between two looks whether the old pipeline has begun.
const BEGINS: Duration = Duration::from_millis(50);
/// Time between two flushes of the old pipeline.
const OLD_FLUSH: Millis = Millis(1_000);

/// The three of them.
pub(super) struct Nodes {
    stop: CancellationToken,
    stop_compactor: CancellationToken,
    connector: JoinHandle<Result<()>>,
    compactor: JoinHandle<Result<()>>,
    old: JoinHandle<Result<()>>,
}

impl Nodes {
    pub(super) async fn start(settings: &Arc<Settings>, bucket: &Bucket) -> Result<Self> {
        let stop = CancellationToken::new();
        let stop_compactor = CancellationToken::new();
        let setup = Setup::of(settings, bucket.clone(), pipeline::Until::Asked);
        let controls = Controls {
            stop: stop.clone(),
            ..Controls::silent()
        };
        let connector = tokio::spawn(async move {
            pipeline::run(setup, controls).await?;
            Ok(())
        });
        let acknowledger =
            Acknowledger::start(bucket, NodeRole::Compactor, &settings.cutover).await?;
        let work = CompactorWork {
            settings: Arc::clone(settings),
            bucket: bucket.clone(),
            acknowledger,
            stop: stop_compactor.clone(),
        };
        let setup = OldSetup {
            every: OLD_FLUSH,
            ..OldSetup::of(settings, bucket.clone(), old_pipeline::Until::Asked)
        };
        let controls = OldControls {
            stop: stop.clone(),
            ..OldControls::silent()
        };
        let old = tokio::spawn(async move {
            old_pipeline::run(setup, controls).await?;
            Ok(())
        });
        while old_log::positions(bucket).await?.is_empty() && !old.is_finished() {
            tokio::time::sleep(BEGINS).await;
        }
        // A compaction stays on one thread.
        let runtime = Handle::current();
        let compactor = tokio::task::spawn_blocking(move || runtime.block_on(work.go_on()));
        Ok(Self {
            stop,
            stop_compactor,
            connector,
            compactor,
            old,
        })
    }

    /// Ends them when they have read everything: the compactor last, with what the connector has flushed.
    pub(super) async fn end(self) -> Result<()> {
        self.stop.cancel();
        ended(self.connector).await?;
        ended(self.old).await?;
        self.stop_compactor.cancel();
        ended(self.compactor).await
    }
}

async fn ended(node: JoinHandle<Result<()>>) -> Result<()> {
    node.await
        .map_err(|error| Error::Ended(error.to_string()))?
}

struct CompactorWork {
    settings: Arc<Settings>,
    bucket: Bucket,
    acknowledger: Acknowledger,
    stop: CancellationToken,
}

impl CompactorWork {
    async fn go_on(self) -> Result<()> {
        let mut rounds = tokio::time::interval(ROUND);
        loop {
            let is_last = tokio::select! {
                () = self.stop.cancelled() => true,
                _ = rounds.tick() => false,
            };
            self.round().await?;
            if is_last {
                return Ok(self.acknowledger.end().await?);
            }
        }
    }

    async fn round(&self) -> Result<()> {
        let options = RunOptions {
            limits: self.settings.limits.limits(),
            timelines: self.acknowledger.timelines(),
        };
        let (compactor, cancel) = (&self.settings.compactor, CancellationToken::new());
        skein_compactor::run::run(compactor, &self.bucket, options, cancel, Arc::new(|_| {}))
            .await?;
        Ok(())
    }
}
