//! What waits to be compacted, shard by shard, from the newest manifests and the ledger that they have not read.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::LocalBoxFuture;
use skein_shared::bucket::Bucket;
use skein_shared::format::damage::DamageRef;
use skein_shared::format::ledger_entry::{EntryKind, LedgerEntry};
use skein_shared::format::shard_manifest::{Layer, SegmentEntry, ShardManifest};
use skein_shared::ids::{FlushId, ShardId};
use skein_shared::offset::Offset;
use skein_shared::window::{TimestampMs, Window};

use crate::error::Result;
use crate::plan::{ChainInput, PlanInput, next_step};
use crate::plan_input;

/// What waits in one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardBacklog {
    /// Which.
    pub shard: ShardId,
    /// Windows that have several segments of points, or no base yet.
    pub dirty_windows: usize,
    /// Stored bytes of state that it has not read.
    pub unread_bytes: u64,
    /// Kafka's timestamp of the oldest record in them; `None` when there is none, or none with a timestamp.
    pub oldest_unread: Option<TimestampMs>,
    /// Damages about which nobody has decided.
    pub undecided: Vec<DamageRef>,
}

/// The backlog of every shard; none when no connector has published a shard map. A shard that has read everything costs
/// two requests.
///
/// # Errors
/// What reading the ledger and the manifests gives; [`Error::LedgerGap`](crate::Error::LedgerGap).
pub fn backlog(bucket: &Bucket) -> LocalBoxFuture<'_, Result<Vec<ShardBacklog>>> {
    Box::pin(async move {
        let Some((input, manifests)) = Box::pin(plan_input::load_unread(bucket)).await? else {
            return Ok(Vec::new());
        };
        let shards = manifests.values();
        shards.map(|manifest| of_shard(manifest, &input)).collect()
    })
}

fn of_shard(manifest: &ShardManifest, input: &PlanInput) -> Result<ShardBacklog> {
    let step = next_step(manifest.shard, manifest, input, u64::MAX)?.unwrap_or_default();
    let flushes: BTreeSet<FlushId> = step.objects.iter().map(|object| object.flush).collect();
    let chains = input.chains.iter().map(|(chain, input)| {
        let position = manifest.positions.get(chain).copied();
        oldest(input, position, &flushes)
    });
    let fills = input.fills.iter().map(|(hole, input)| {
        let position = manifest.fills.get(hole).copied();
        oldest(input, position, &flushes)
    });
    Ok(ShardBacklog {
        shard: manifest.shard,
        dirty_windows: dirty_windows(manifest),
        unread_bytes: step.object_bytes(),
        oldest_unread: chains.chain(fills).flatten().min(),
        undecided: manifest.undecided().cloned().collect(),
    })
}

/// The oldest record behind `position` that lies in one of `flushes`.
fn oldest(
    input: &ChainInput,
    position: Option<Offset>,
    flushes: &BTreeSet<FlushId>,
) -> Option<TimestampMs> {
    let position = position.unwrap_or(input.start);
    let is_unread = |entry: &&LedgerEntry| match entry.kind {
        EntryKind::Flushed { flush, .. } => position < entry.span.to && flushes.contains(&flush),
        EntryKind::LostSpan { .. } => false,
    };
    let unread = input.entries.iter().filter(is_unread);
    unread
        .filter_map(|entry| entry.times)
        .map(|times| times.oldest)
        .min()
}

fn dirty_windows(manifest: &ShardManifest) -> usize {
    let mut windows: BTreeMap<Window, Vec<&SegmentEntry>> = BTreeMap::new();
    for segment in manifest.raw_segments() {
        windows.entry(segment.window).or_default().push(segment);
    }
    let is_one_base =
        |live: &&Vec<&SegmentEntry>| matches!(live[..], [one] if one.layer == Layer::Base);
    windows.len() - windows.values().filter(is_one_base).count()
}
