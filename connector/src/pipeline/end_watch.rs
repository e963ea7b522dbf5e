//! Asks Kafka now and then where the partitions end that are read, so that lag can be told without anybody waiting.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::chain_lookup::ChainLookup;
use crate::core::standing::PartitionStanding;
use crate::metrics;
use crate::operations::{Operations, Unanswered};

const EVERY: Duration = Duration::from_secs(10);
/// While there is nothing to ask for.
const SOON: Duration = Duration::from_secs(1);

/// Asks until `stop` is cancelled or the polling thread has ended.
pub(super) fn start(lookup: &ChainLookup, operations: &Operations, stop: &CancellationToken) {
    tokio::spawn(watch(lookup.clone(), operations.clone(), stop.clone()));
}

async fn watch(lookup: ChainLookup, operations: Operations, stop: CancellationToken) {
    let mut wait = SOON;
    let mut standing = Vec::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
        match operations.look().await {
            Ok(snapshot) => standing = snapshot.standing.partitions,
            Err(Unanswered::Busy) => {
                // What was told grows old also while the polling thread is the one that hangs.
                show(&operations, &standing);
                continue;
            }
            Err(Unanswered::Ended) => return,
        }
        wait = if standing.is_empty() { SOON } else { EVERY };
        let asked = hear(&lookup, &operations, &standing);
        tokio::pin!(asked);
        // Kafka may take long to answer, or to fail: what is told meanwhile grows old.
        while tokio::time::timeout(SOON, &mut asked).await.is_err() {
            show(&operations, &standing);
        }
        show(&operations, &standing);
    }
}

fn show(operations: &Operations, standing: &[PartitionStanding]) {
    let now = Instant::now();
    let ends = operations.ends();
    metrics::lagging(ends.worst(now, standing), ends.age(now));
}

async fn hear(lookup: &ChainLookup, operations: &Operations, standing: &[PartitionStanding]) {
    operations.ends().ask(Instant::now());
    let chains = standing.iter().map(|partition| partition.chain.clone());
    match lookup.ends(&chains.collect::<Vec<_>>()).await {
        Ok(ends) => {
            let heard = standing.iter().filter_map(|partition| {
                Some((partition.name.clone(), *ends.get(&partition.chain)?))
            });
            let heard = heard.collect();
            operations.ends().hear(Instant::now(), standing, &heard);
        }
        Err(error) => tracing::debug!(%error, "kafka did not tell its ends for now"),
    }
}
