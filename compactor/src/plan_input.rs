//! Reads from the bucket what plans are a function of.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};
use skein_config::compactor::CompactorSettings;
use skein_shared::bucket::Bucket;
use skein_shared::fills::Fills;
use skein_shared::format::delete_entry::DeleteEntry;
use skein_shared::format::flush_manifest::{FlushBody, FlushContents, FlushManifest};
use skein_shared::format::ledger_entry::{EntryKind, LedgerEntry};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::shard_manifest::ShardManifest;
use skein_shared::format::state_bound::StateBound;
use skein_shared::ids::{Chain, FlushId, Hole, ShardId};
use skein_shared::ledger::Ledger;
use skein_shared::offset::Offset;
use skein_shared::shard_map::ShardMap;
use skein_shared::timeline::OwnershipFilter;
use skein_shared::window::TimestampMs;
use skein_shared::{delete_log, manifest_log, shard_map_log, state_bound_log, status_log};

use crate::delete_plan::DeleteInput;
use crate::error::{Error, Result};
use crate::plan::{ChainInput, PlanInput};

const REQUESTS_IN_FLIGHT: usize = 32;

/// How much of the ledger is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// What some shard has not read.
    Unread,
    /// All of it.
    Everything,
}

/// Reads the ledger and the newest manifest of every shard. `None` when no connector has ever published a shard map:
/// there is nothing to compact.
///
/// The order of reading matters: the watermark first, so that the ledger holds what lies before it; then manifests, so
/// that the ledger reaches at least as far as any of them; fills behind them; deletes behind all of these, so that none is
/// missed that was made before a record of theirs; the map once more at the end, so that it is at least as new as any
/// flush that was made with it.
///
/// # Errors
/// The bucket's; corrupt with the object's key; [`Error::VoidFlush`].
pub async fn load(
    bucket: &Bucket,
    settings: &CompactorSettings,
    reach: Reach,
) -> Result<Option<(PlanInput, BTreeMap<ShardId, ShardManifest>)>> {
    read(bucket, Some(settings), reach).await
}

/// As [`load`], of what some shard has not read, and without a watermark and deletes: to look, not to plan.
///
/// # Errors
/// As [`load`].
pub async fn load_unread(
    bucket: &Bucket,
) -> Result<Option<(PlanInput, BTreeMap<ShardId, ShardManifest>)>> {
    read(bucket, None, Reach::Unread).await
}

async fn read(
    bucket: &Bucket,
    settings: Option<&CompactorSettings>,
    reach: Reach,
) -> Result<Option<(PlanInput, BTreeMap<ShardId, ShardManifest>)>> {
    loop {
        let Some(shard_map) = shard_map_log::load(bucket).await? else {
            return Ok(None);
        };
        let watermark = match settings {
            Some(settings) => {
                let gathered = status_log::gather(bucket).await?;
                gathered.completeness(settings.watermark_delay).watermark()
            }
            None => None,
        };
        let manifests = manifests(bucket, &shard_map).await?;
        let nothing = BTreeMap::new();
        let read = match reach {
            Reach::Unread => &manifests,
            Reach::Everything => &nothing,
        };
        let bound = state_bound_log::newest(bucket).await?;
        // A shard that is new has nothing to find in what was deleted before it came.
        let begin = match reach {
            Reach::Unread => &bound,
            Reach::Everything => &StateBound::default(),
        };
        let chains = chains(bucket, read, begin).await?;
        let fills = fills(bucket, read, begin).await?;
        let flushes = flushes(bucket, chains.values().chain(fills.values())).await?;
        let deletes = match settings {
            Some(settings) => deletes(bucket, settings).await?,
            None => DeleteInput::default(),
        };
        if shard_map_log::load(bucket).await?.as_ref() != Some(&shard_map) {
            continue;
        }
        let input = PlanInput {
            shard_map,
            chains,
            fills,
            flushes,
            bound,
            watermark,
            deletes,
            filter: OwnershipFilter::Owned,
        };
        return Ok(Some((input, manifests)));
    }
}

/// Every delete, with its positions. How old one is, is asked of the bucket's clock, and only where there are any.
async fn deletes(bucket: &Bucket, settings: &CompactorSettings) -> Result<DeleteInput> {
    let entries = delete_log::load_complete(bucket).await?.entries;
    let mut due = 0;
    if !entries.is_empty() {
        let now = bucket.now().await?;
        let waits_until = |at: TimestampMs| at.0.saturating_add_unsigned(settings.delete_after.0);
        let has_waited = |entry: &&DeleteEntry| waits_until(entry.at) <= now.0;
        due = entries
            .iter()
            .rfind(has_waited)
            .map_or(0, |entry| entry.number);
    }
    Ok(DeleteInput {
        entries: entries.into(),
        due,
    })
}

/// The newest manifest of every shard of the map, and of every other shard that has one. Quarantined records
/// stay as the connector wrote them: that shard has none.
///
/// # Errors
/// The bucket's; corrupt when one does not read back.
pub async fn manifests(
    bucket: &Bucket,
    map: &ShardMap,
) -> Result<BTreeMap<ShardId, ShardManifest>> {
    let committed: BTreeSet<_> = manifest_log::shards(bucket).await?.into_iter().collect();
    let newest: Vec<ShardManifest> = futures::stream::iter(committed)
        .map(|shard| manifest_log::newest(bucket, shard))
        .buffered(REQUESTS_IN_FLIGHT)
        .try_collect()
        .await?;
    let empty = map.shards().into_iter().map(ShardManifest::empty);
    let manifests = empty.chain(newest).map(|m| (m.shard, m));
    Ok(manifests
        .filter(|(shard, _)| *shard != ShardId::Quarantine)
        .collect())
}

async fn chains(
    bucket: &Bucket,
    manifests: &BTreeMap<ShardId, ShardManifest>,
    bound: &StateBound,
) -> Result<BTreeMap<Chain, ChainInput>> {
    let ledger = Ledger::new(bucket.clone());
    futures::stream::iter(ledger.chains().await?)
        .map(|chain| chain_input(&ledger, (manifests, bound), chain))
        .buffered(REQUESTS_IN_FLIGHT)
        .try_collect()
        .await
}

/// The chain's entries beyond what every shard has read.
async fn chain_input(
    ledger: &Ledger,
    (manifests, bound): (&BTreeMap<ShardId, ShardManifest>, &StateBound),
    chain: Chain,
) -> Result<(Chain, ChainInput)> {
    let start = ledger.known_genesis(&chain).await?.start;
    let start = start.max(bound.of_chain(&chain).unwrap_or(start));
    let position = |manifest: &ShardManifest| manifest.positions.get(&chain).copied();
    let from: Option<Offset> = manifests
        .values()
        .map(|manifest| position(manifest).unwrap_or(start))
        .min();
    let entries = ledger.entries(&chain, from.unwrap_or(start)).await?;
    Ok((chain, ChainInput { start, entries }))
}

async fn fills(
    bucket: &Bucket,
    manifests: &BTreeMap<ShardId, ShardManifest>,
    bound: &StateBound,
) -> Result<BTreeMap<Hole, ChainInput>> {
    let fills = Fills::new(bucket.clone());
    let inputs = futures::stream::iter(fills.holes().await?)
        .map(|hole| hole_input(&fills, (manifests, bound), hole))
        .buffered(REQUESTS_IN_FLIGHT)
        .try_collect::<Vec<_>>()
        .await?;
    Ok(inputs.into_iter().collect())
}

/// The hole's fills beyond what every shard has read.
async fn hole_input(
    fills: &Fills,
    (manifests, bound): (&BTreeMap<ShardId, ShardManifest>, &StateBound),
    hole: Hole,
) -> Result<(Hole, ChainInput)> {
    let start = hole.from.max(bound.of_hole(&hole).unwrap_or(hole.from));
    let position = |manifest: &ShardManifest| manifest.fills.get(&hole).copied();
    let positions = manifests.values().map(|m| position(m).unwrap_or(start));
    let read = positions.min().unwrap_or(start);
    let fills = fills.entries(&hole).await?.into_iter();
    let entries = fills
        .map(|fill| fill.entry)
        .filter(|entry| entry.span.from >= read)
        .collect();
    Ok((hole, ChainInput { start, entries }))
}

async fn flushes(
    bucket: &Bucket,
    inputs: impl Iterator<Item = &ChainInput>,
) -> Result<BTreeMap<FlushId, FlushContents>> {
    let entries = inputs.flat_map(|input| &input.entries);
    let named: BTreeMap<FlushId, &LedgerEntry> = entries
        .filter_map(|entry| match &entry.kind {
            EntryKind::Flushed { flush, .. } => Some((*flush, entry)),
            EntryKind::LostSpan { .. } => None,
        })
        .collect();
    futures::stream::iter(named)
        .map(|(flush, entry)| contents(bucket, flush, entry))
        .buffered(REQUESTS_IN_FLIGHT)
        .try_collect()
        .await
}

async fn contents(
    bucket: &Bucket,
    flush: FlushId,
    named_by: &LedgerEntry,
) -> Result<(FlushId, FlushContents)> {
    let key = ObjectKey::Flush(flush).to_string();
    let bytes = bucket.get(&key).await?;
    let (_, manifest) = FlushManifest::decode(&bytes).map_err(|error| error.in_object(&key))?;
    if manifest.flush != flush {
        return Err(Error::ObjectDiffers {
            object: key,
            reason: format!("it is the manifest of flush {}", manifest.flush),
        });
    }
    match manifest.body {
        FlushBody::Written(contents) => Ok((flush, contents)),
        FlushBody::Void { .. } => Err(Error::VoidFlush {
            chain: named_by.chain.clone(),
            offset: named_by.span.from,
            flush,
        }),
    }
}
