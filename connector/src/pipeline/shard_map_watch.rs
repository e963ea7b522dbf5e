//! Looks for new versions of the shard map while the connector runs.
//!
//! A version is in force from the second window after its publication, so that looking now and then is enough.

use std::time::Duration;

use skein_shared::bucket::Bucket;
use skein_shared::shard_map::ShardMap;
use skein_shared::shard_map_log;
use tokio::sync::mpsc::{Receiver, channel};
use tokio_util::sync::CancellationToken;

/// Newer maps, as they are found.
pub(super) type MapChanges = Receiver<ShardMap>;

const EVERY: Duration = Duration::from_mins(10);

/// Looks until `stop` is cancelled or nobody listens any more.
pub(super) fn start(bucket: &Bucket, mut versions: usize, stop: &CancellationToken) -> MapChanges {
    let (outbox, changes) = channel(1);
    let (bucket, stop) = (bucket.clone(), stop.clone());
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => return,
                () = outbox.closed() => return,
            }
            let Some(map) = newer(&bucket, versions).await else {
                continue;
            };
            versions = map.version_count();
            tracing::info!(versions, "the shard map has a new version");
            if outbox.send(map).await.is_err() {
                return;
            }
        }
    });
    changes
}

async fn newer(bucket: &Bucket, versions: usize) -> Option<ShardMap> {
    match shard_map_log::load(bucket).await {
        Ok(map) => map.filter(|map| map.version_count() > versions),
        Err(error) => {
            tracing::warn!(%error, "the shard map could not be read for now");
            None
        }
    }
}
