//! Runs a janitor beside the connector, at long intervals.

use skein_config::connector::ConnectorSettings;
use skein_shared::bucket::Bucket;
use tokio_util::sync::CancellationToken;

use crate::janitor::{self, JanitorOptions, Mode, Scope};
use crate::metrics;

/// Looks after each interval until `stop` is cancelled. The first time comes at random within it, so that
/// the workers of a fleet take turns.
pub(super) fn start(bucket: &Bucket, settings: &ConnectorSettings, stop: &CancellationToken) {
    let interval = settings.janitor_interval.duration();
    if interval.is_zero() {
        return;
    }
    let options = JanitorOptions {
        patience: settings.janitor_patience,
        mode: Mode::Act,
        scope: Scope::Uploads,
        start_after: None,
    };
    let (bucket, stop) = (bucket.clone(), stop.clone());
    tokio::spawn(async move {
        let mut wait = interval.mul_f64(fastrand::f64());
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
            wait = interval;
            if let Err(error) = janitor::run(&bucket, &options, &stop).await {
                metrics::janitor_failed(&error);
            }
        }
    });
}
