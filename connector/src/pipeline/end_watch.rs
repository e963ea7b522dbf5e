//! Asks Kafka now and then where the partitions end that are read, so that lag can be told without anybody waiting, and
//! those are found that stand still below their end.

use std::time::{Duration, Instant};

use skein_shared::units::Millis;
use tokio_util::sync::CancellationToken;

use crate::chain_lookup::ChainLookup;
use crate::core::standing::{PartitionStanding, Standing};
use crate::metrics;
use crate::operations::{Operations, StillWatch, Unanswered};

const EVERY: Duration = Duration::from_secs(10);
/// While there is nothing to ask for.
const SOON: Duration = Duration::from_secs(1);

/// Asks until `stop` is cancelled or the polling thread has ended.
pub(super) fn start(lookup: &ChainLookup, operations: &Operations, stop: &CancellationToken) {
    tokio::spawn(watch(lookup.clone(), operations.clone(), stop.clone()));
}

async fn watch(lookup: ChainLookup, operations: Operations, stop: CancellationToken) {
    let mut wait = SOON;
    let start = Instant::now();
    let mut still = StillWatch::default();
    let mut standing = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
        match operations.look().await {
            Ok(snapshot) => standing = Some(snapshot.standing),
            Err(Unanswered::Busy) => {
                // What was told grows old also while the polling thread is the one that hangs.
                show(&operations, partitions_of(standing.as_ref()));
                continue;
            }
            Err(Unanswered::Ended) => return,
        }
        let partitions = partitions_of(standing.as_ref());
        wait = if partitions.is_empty() { SOON } else { EVERY };
        let asked = hear(&lookup, &operations, partitions);
        tokio::pin!(asked);
        // Kafka may take long to answer, or to fail: what is told meanwhile grows old.
        while tokio::time::timeout(SOON, &mut asked).await.is_err() {
            show(&operations, partitions);
        }
        show(&operations, partitions);
        if let Some(standing) = &standing {
            watch_still((&mut still, start), &operations, standing);
        }
    }
}

fn partitions_of(standing: Option<&Standing>) -> &[PartitionStanding] {
    standing.map_or(&[], |standing| &standing.partitions)
}

fn watch_still(
    (still, start): (&mut StillWatch, Instant),
    operations: &Operations,
    standing: &Standing,
) {
    let now = Instant::now();
    let elapsed = now.saturating_duration_since(start).as_millis();
    let found = still.look(
        Millis(u64::try_from(elapsed).unwrap_or(u64::MAX)),
        standing.intake,
        &standing.partitions,
        |partition| Some(operations.ends().lag(now, partition)?.records),
    );
    if !found.is_empty() && operations.look_at_still(found).is_err() {
        tracing::debug!("partitions that stand still are looked at later");
    }
}

fn show(operations: &Operations, partitions: &[PartitionStanding]) {
    let now = Instant::now();
    let ends = operations.ends();
    metrics::lagging(ends.worst(now, partitions), ends.age(now));
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
