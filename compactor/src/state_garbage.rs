//! `skein retention state`: takes away state objects that no manifest, quarantine, damage or replay needs any more.
//!
//! In two steps, a run each. First a *bound* is created: state below these positions may be gone. It stands where the
//! manifests of all shards have passed and what became durable is as old as state is to be kept. Plans of new shards,
//! rebuilds, replays and `verify` read it. Objects are deleted by a later run, once the bound has been there for as long
//! as a reader, a plan or a rebuild may hold on to what it read before. Ledger entries and flush manifests stay for ever,
//! and so does everything that is held: records in quarantine, undecided damages.
//!
//! Any number of collectors may run and be killed at once: bounds are numbered, each is at or above the one before, and
//! which of them is done stands in the next.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use skein_shared::bucket::{Bucket, Listed};
use skein_shared::fills::Fills;
use skein_shared::format::flush_manifest::{FlushBody, FlushContents, FlushManifest};
use skein_shared::format::ledger_entry::{EntryKind, LedgerEntry};
use skein_shared::format::object_key::{ObjectKey, Prefix};
use skein_shared::format::shard_manifest::ShardManifest;
use skein_shared::format::state_bound::StateBound;
use skein_shared::ids::{Chain, FlushId, Hole, ShardId};
use skein_shared::ledger::Ledger;
use skein_shared::offset::{Offset, Span};
use skein_shared::units::Millis;
use skein_shared::window::TimestampMs;
use skein_shared::{shard_map_log, state_bound_log};

use crate::error::Result;
use crate::metrics;
use crate::plan_input;
use crate::state_holds::{held_objects, replayed_from};

const REQUESTS_IN_FLIGHT: usize = 32;

/// For how long things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateRetention {
    /// State, after it became durable.
    pub state: Millis,
    /// What was true for readers, plans and rebuilds when they began.
    pub pin: Millis,
}

/// What a collection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Delete, and create the next bound.
    Act,
    /// Say what would be done.
    DryRun,
}

/// What a collection did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateReport {
    /// The bound below which objects were deleted; 0 when there is none that is old enough and not done.
    pub bound: u64,
    /// Flushes below it.
    pub flushes: u64,
    /// Their objects that were deleted.
    pub objects: u64,
    /// Bytes of these.
    pub object_bytes: u64,
    /// Objects that stay, since they hold records in quarantine or damages.
    pub held: u64,
    /// The bound that was created; 0 when it would say what the one before says.
    pub created: u64,
    /// Chains and holes of which it says more.
    pub moved: u64,
}

/// Deletes, and creates the next bound.
///
/// # Errors
/// The bucket's; corrupt when something does not read back: then nothing is deleted.
pub fn collect(
    bucket: &Bucket,
    keep: StateRetention,
    mode: Mode,
) -> BoxFuture<'_, Result<StateReport>> {
    Box::pin(async move {
        let now = bucket.now().await?;
        collect_at(bucket, now, keep, mode).await
    })
}

/// As [`collect`], at a time of the bucket's clock.
///
/// # Errors
/// As [`collect`].
pub fn collect_at(
    bucket: &Bucket,
    now: TimestampMs,
    keep: StateRetention,
    mode: Mode,
) -> BoxFuture<'_, Result<StateReport>> {
    Box::pin(async move {
        let Some(map) = shard_map_log::load(bucket).await? else {
            return Ok(StateReport::default());
        };
        let manifests = plan_input::manifests(bucket, &map).await?;
        let replayed = replayed_from(bucket).await?;
        let bounds = state_bound_log::all(bucket).await?;
        let newest = bounds.last().cloned().unwrap_or_default();
        let is_old = |at: TimestampMs, time: Millis| at.0.saturating_add_unsigned(time.0) <= now.0;
        let due = bounds.iter().rev().find(|bound| {
            bound.number > newest.done && is_old(bound.at, keep.pin) && !cuts(&replayed, bound)
        });
        let mut report = StateReport::default();
        if let Some(due) = due {
            let mut before = bounds.iter();
            let done = before.find(|bound| bound.number == newest.done).cloned();
            let held = held_objects(bucket, manifests.values()).await?;
            let below = (&done.unwrap_or_default(), due);
            sweep(bucket, below, &held, mode, &mut report).await?;
        }
        let is_kept =
            |written: Option<TimestampMs>| !written.is_some_and(|at| is_old(at, keep.state));
        let mut next = next_bound(bucket, &newest, &manifests, is_kept).await?;
        cap(&mut next, &newest, &replayed);
        next.number = newest.number + 1;
        next.at = now;
        next.done = newest.done.max(report.bound);
        report.moved = moved(&newest, &next);
        if report.moved > 0 || next.done > newest.done {
            report.created = next.number;
            // Lost to another collector: the next run goes on from its bound.
            if mode == Mode::Act && state_bound_log::append(bucket, &next).await? {
                metrics::state_bound_created(next.number, report.moved);
            }
        }
        Ok(report)
    })
}

/// Whether a replay that is not over reads state below the bound.
fn cuts(replayed: &BTreeMap<Chain, Offset>, bound: &StateBound) -> bool {
    let mut replayed = replayed.iter();
    replayed.any(|(chain, from)| bound.of_chain(chain) > Some(*from))
}

/// Deletes the objects of the flushes that the second bound has passed and the first had not.
async fn sweep(
    bucket: &Bucket,
    (done, due): (&StateBound, &StateBound),
    held: &BTreeSet<String>,
    mode: Mode,
    report: &mut StateReport,
) -> Result<()> {
    report.bound = due.number;
    let flushes = flushes_between(bucket, done, due).await?;
    let contents: Vec<Option<FlushContents>> = futures::stream::iter(flushes)
        .map(|flush| contents_of(bucket, flush))
        .buffered(REQUESTS_IN_FLIGHT)
        .try_collect()
        .await?;
    let passed = contents.into_iter().flatten();
    for contents in passed.filter(|contents| due.is_passed(contents)) {
        report.flushes += 1;
        for object in contents.objects {
            // What the connector could not route is nowhere else.
            if object.shard == ShardId::Quarantine || held.contains(&object.key) {
                report.held += 1;
                continue;
            }
            if mode == Mode::Act {
                bucket.delete(&object.key).await?;
                metrics::state_deleted(&object.key, object.object_bytes);
            }
            report.objects += 1;
            report.object_bytes += object.object_bytes;
        }
    }
    Ok(())
}

/// Flushes that an entry or a fill between the two bounds names.
async fn flushes_between(
    bucket: &Bucket,
    done: &StateBound,
    due: &StateBound,
) -> Result<BTreeSet<FlushId>> {
    let ledger = Ledger::new(bucket.clone());
    let mut flushes = BTreeSet::new();
    for (chain, to) in &due.chains {
        let from = match done.of_chain(chain) {
            Some(from) => from,
            None => ledger.known_genesis(chain).await?.start,
        };
        if from < *to {
            let entries = ledger.entries_within(chain, Span::new(from, *to)).await?;
            flushes.extend(entries.iter().filter_map(flush_of));
        }
    }
    let fills = Fills::new(bucket.clone());
    for hole in due.fills.keys() {
        let entries = fills.entries(hole).await?;
        flushes.extend(entries.iter().filter_map(|fill| flush_of(&fill.entry)));
    }
    Ok(flushes)
}

fn flush_of(entry: &LedgerEntry) -> Option<FlushId> {
    match &entry.kind {
        EntryKind::Flushed { flush, .. } => Some(*flush),
        EntryKind::LostSpan { .. } => None,
    }
}

async fn contents_of(bucket: &Bucket, flush: FlushId) -> Result<Option<FlushContents>> {
    let key = ObjectKey::Flush(flush).to_string();
    let bytes = bucket.get(&key).await?;
    let (_, manifest) = FlushManifest::decode(&bytes).map_err(|error| error.in_object(&key))?;
    Ok(match manifest.body {
        FlushBody::Written(contents) => Some(contents),
        FlushBody::Void { .. } => None,
    })
}

/// Where all manifests have passed and nothing is to be kept for its age; at or above `newest`.
async fn next_bound(
    bucket: &Bucket,
    newest: &StateBound,
    manifests: &BTreeMap<ShardId, ShardManifest>,
    is_kept: impl Fn(Option<TimestampMs>) -> bool,
) -> Result<StateBound> {
    let mut next = newest.clone();
    for chain in Ledger::new(bucket.clone()).chains().await? {
        let positions = manifests.values().map(|m| m.positions.get(&chain).copied());
        let Some(passed) = positions.min().flatten() else {
            continue;
        };
        let after = newest.of_chain(&chain).filter(|from| from.0 > 0);
        let after = after.map(|from| ObjectKey::LedgerEntry {
            chain: chain.clone(),
            from: Offset(from.0 - 1),
        });
        let after = after.map(|key| key.to_string());
        let listed = bucket
            .list(&Prefix::chain(&chain), after.as_deref())
            .await?;
        if let Some(end) = end_of_old(&listed, passed, &is_kept) {
            next.chains.insert(chain, end);
        }
    }
    let fills = Fills::new(bucket.clone());
    for hole in fills.holes().await? {
        let positions = manifests.values().map(|m| m.fills.get(&hole).copied());
        let Some(passed) = positions.min().flatten() else {
            continue;
        };
        if let Some(end) = end_of_old_fills(bucket, &hole, passed, &is_kept).await? {
            let kept_from = next.fills.entry(hole).or_insert(end);
            *kept_from = end.max(*kept_from);
        }
    }
    Ok(next)
}

/// The end of the entries, listed in order, that lie below `passed` and are too old to be kept. Where an entry ends says
/// the next one: so the last one of a chain always stays.
fn end_of_old(
    listed: &[Listed],
    passed: Offset,
    is_kept: impl Fn(Option<TimestampMs>) -> bool,
) -> Option<Offset> {
    let entries = listed.iter().filter_map(|object| match object.key.parse() {
        Ok(ObjectKey::LedgerEntry { from, .. }) => Some((from, object.last_modified)),
        Ok(_) | Err(_) => None,
    });
    let entries: Vec<_> = entries.collect();
    let ends = entries.windows(2).take_while(|pair| {
        let [(_, written), (end, _)] = pair else {
            return false;
        };
        *end <= passed && !is_kept(*written)
    });
    ends.last().map(|pair| pair[1].0)
}

async fn end_of_old_fills(
    bucket: &Bucket,
    hole: &Hole,
    passed: Offset,
    is_kept: impl Fn(Option<TimestampMs>) -> bool,
) -> Result<Option<Offset>> {
    let mut end = None;
    for fill in Fills::new(bucket.clone()).entries(hole).await? {
        let written = bucket.head(&skein_shared::fills::key_of(&fill)).await?;
        let written = written.and_then(|meta| meta.last_modified);
        if fill.entry.span.to > passed || is_kept(written) {
            break;
        }
        end = Some(fill.entry.span.to);
    }
    Ok(end)
}

/// Leaves to replays what they still read.
fn cap(next: &mut StateBound, newest: &StateBound, replayed: &BTreeMap<Chain, Offset>) {
    for (chain, from) in replayed {
        let before = newest.of_chain(chain);
        match next.of_chain(chain) {
            Some(at) if at > *from => match before {
                Some(before) => next.chains.insert(chain.clone(), before),
                None => next.chains.remove(chain),
            },
            Some(_) | None => None,
        };
    }
    let is_replayed = |hole: &Hole| replayed.contains_key(&hole.chain);
    for (hole, at) in &mut next.fills {
        if is_replayed(hole) {
            *at = newest.of_hole(hole).unwrap_or(hole.from);
        }
    }
}

fn moved(newest: &StateBound, next: &StateBound) -> u64 {
    let chains = next.chains.iter();
    let chains = chains.filter(|(chain, at)| newest.of_chain(chain) != Some(**at));
    let fills = next.fills.iter();
    let fills = fills.filter(|(hole, at)| newest.of_hole(hole).unwrap_or(hole.from) != **at);
    (chains.count() + fills.count()) as u64
}
