//! Says, again and again, by which fleet the old pipeline goes.

use std::collections::BTreeSet;
use std::time::Duration;

use skein_shared::bucket::Bucket;
use skein_shared::cutover::NodeRole;
use skein_shared::format::cutover_ack::CutoverAck;
use skein_shared::ids::WorkerId;
use skein_shared::{ack_log, fleet_log};
use tokio_util::sync::CancellationToken;

/// A node of the old pipeline. Every flush reads the newest fleet before it begins, so what a node says here holds of all
/// that it begins from then on.
#[derive(Debug, Clone)]
pub(super) struct FleetAcks {
    pub(super) bucket: Bucket,
    pub(super) node: WorkerId,
    pub(super) poll: Duration,
}

impl FleetAcks {
    /// Says it once.
    ///
    /// # Errors
    /// What the bucket says.
    pub(super) async fn say(&self) -> skein_shared::Result<()> {
        let fleet = fleet_log::newest(&self.bucket).await?;
        let ack = CutoverAck {
            role: NodeRole::OldPipeline,
            node: self.node,
            fleet: fleet.map_or(0, |fleet| fleet.number),
            at: self.bucket.now().await?,
            build: env!("CARGO_PKG_VERSION").to_owned(),
            fenced: BTreeSet::new(),
        };
        ack_log::write(&self.bucket, &ack).await
    }

    /// Says it at every poll until `end` is cancelled, and then takes it back. A fleet that cannot be read is told of and
    /// asked for again: who says nothing holds cutovers up, and nothing else.
    pub(super) async fn go_on(self, end: CancellationToken) {
        while !end.is_cancelled() {
            tokio::select! {
                () = tokio::time::sleep(self.poll) => {}
                () = end.cancelled() => break,
            }
            if let Err(error) = self.say().await {
                tracing::warn!(%error, "the fleet could not be acknowledged, and is at the next poll");
            }
        }
        let removed = ack_log::remove(&self.bucket, NodeRole::OldPipeline, self.node).await;
        if let Err(error) = removed {
            tracing::warn!(%error, "the acknowledgement stays until it no longer counts as alive");
        }
    }
}
