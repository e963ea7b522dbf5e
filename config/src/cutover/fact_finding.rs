//! Collects what a decision about a cutover rests on, from the bucket alone.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use skein_shared::bucket::Bucket;
use skein_shared::completeness::Standing;
use skein_shared::cutover_log::{self, Hashed};
use skein_shared::error::BucketCause;
use skein_shared::format::cutover_ack::CutoverAck;
use skein_shared::format::cutover_fleet::CutoverFleet;
use skein_shared::format::cutover_version::CutoverVersion;
use skein_shared::format::delete_entry::EntryHash;
use skein_shared::format::diff_verdict::DiffVerdict;
use skein_shared::format::object_key::Prefix;
use skein_shared::format::old_progress;
use skein_shared::format::shard_manifest::ShardManifest;
use skein_shared::ids::{Chain, OrgId, ShardId};
use skein_shared::ledger::Ledger;
use skein_shared::offset::{Offset, Span};
use skein_shared::units::Millis;
use skein_shared::window::{Resolution, TimestampMs, Window};
use skein_shared::{
    Error, Result, account_log, ack_log, fleet_log, manifest_log, old_log, shard_map_log,
    status_log,
};

use crate::cutover::facts::{
    Facts, NewFacts, NodeFact, NodeFence, OldFacts, OldProgress, VerdictFact,
};
use crate::cutover::settings::CutoverSettings;

const CONCURRENT_GETS: usize = 16;

/// Where cutovers are kept, and by which settings they go.
#[derive(Debug, Clone)]
pub struct Plane {
    /// The bucket.
    pub bucket: Bucket,
    /// How careful a cutover is.
    pub settings: CutoverSettings,
    /// How late records may come into Kafka: `compactor.watermark_delay`.
    pub watermark_delay: Millis,
}

/// All that is known of one org's cutover.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its versions, the first one first.
    pub history: Vec<Hashed>,
    /// What is known besides.
    pub facts: Facts,
}

/// How far an old pipeline says that it is with one chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldReach {
    /// All before it is in files.
    pub to: Offset,
    /// The highest event time of a point of the org that it left to the new pipeline.
    pub not_written_to: Option<TimestampMs>,
}

/// Looks at the cutover of `org`.
///
/// # Errors
/// `Corrupt` when something stored is damaged, and what the bucket says.
pub fn look(plane: &Plane, org: OrgId) -> BoxFuture<'_, Result<Seen>> {
    Box::pin(async move {
        let bucket = &plane.bucket;
        let now = bucket.now().await?;
        let history = cutover_log::history(bucket, org).await?;
        let fleet = fleet_log::newest(bucket).await?;
        let newest = history.last().map(|(version, _)| version);
        let seal = match newest.and_then(|newest| newest.seal) {
            Some(version) => Some(cutover_log::load_seal(bucket, org, version).await?.vector),
            None => None,
        };
        let manifests = manifests_of(bucket, org).await?;
        let configured = plane.settings.unenrolled.pipeline();
        let facts = Facts {
            now,
            build: env!("CARGO_PKG_VERSION").to_owned(),
            unenrolled: fleet.as_ref().map_or(configured, |fleet| fleet.unenrolled),
            same_timeline_since: same_timeline_since(&history),
            nodes: nodes(bucket, org, fleet.as_ref()).await?,
            verdicts: verdicts(bucket, org).await?,
            new: NewFacts {
                not_owned_to: not_owned_to(bucket, org, &manifests).await?,
                ..new_facts(&manifests)
            },
            old: old_facts(plane, org, &manifests).await?,
            seal,
            old_place: plane.settings.old_place.clone(),
            kept_from: kept_from(&manifests, org),
        };
        Ok(Seen { history, facts })
    })
}

/// The newest version of every org that has one, by org.
///
/// # Errors
/// As [`look`].
pub fn newest_versions(plane: &Plane) -> BoxFuture<'_, Result<Vec<CutoverVersion>>> {
    Box::pin(async move {
        let orgs = cutover_log::orgs(&plane.bucket).await?;
        let newest: Vec<Option<Hashed>> = stream::iter(orgs)
            .map(|org| cutover_log::newest(&plane.bucket, org))
            .buffered(CONCURRENT_GETS)
            .try_collect()
            .await?;
        Ok(newest
            .into_iter()
            .flatten()
            .map(|(version, _)| version)
            .collect())
    })
}

/// The first of the newest versions that have the same timeline; 0 without a version.
pub fn same_timeline_since(history: &[Hashed]) -> u64 {
    let newest = history.last().map(|(version, _)| &version.timeline);
    let same = history.iter().rev().map(|(version, _)| version);
    let same = same.take_while(|version| Some(&version.timeline) == newest);
    same.last().map_or(0, |version| version.version)
}

/// The newest manifests of the shards that have, or had, the org.
pub(crate) async fn manifests_of(bucket: &Bucket, org: OrgId) -> Result<Vec<ShardManifest>> {
    let map = shard_map_log::load(bucket).await?;
    let shards: BTreeSet<ShardId> = map.map(|map| map.shards_of(org)).unwrap_or_default();
    let manifests = stream::iter(shards)
        .map(|shard| manifest_log::newest(bucket, shard))
        .buffered(CONCURRENT_GETS);
    manifests.try_collect().await
}

fn new_facts(manifests: &[ShardManifest]) -> NewFacts {
    let complete_to = manifests.iter().map(|manifest| manifest.complete_to);
    NewFacts {
        complete_to: complete_to.min().flatten(),
        not_owned_to: None,
        unaccounted: manifests.iter().map(|it| it.counts.damaged_frames).sum(),
    }
}

/// The highest event time of the org's points that the new pipeline has passed over.
async fn not_owned_to(
    bucket: &Bucket,
    org: OrgId,
    manifests: &[ShardManifest],
) -> Result<Option<TimestampMs>> {
    let mut highest = None;
    for manifest in manifests {
        if let Some(named) = &manifest.account {
            let account = account_log::load(bucket, manifest.shard, named).await?;
            let of_org = account.orgs.highest_not_owned.get(&org).copied();
            highest = highest.max(of_org);
        }
    }
    Ok(highest)
}

fn kept_from(manifests: &[ShardManifest], org: OrgId) -> Option<TimestampMs> {
    let first = |manifest: &ShardManifest| {
        let mut kept = manifest.expiry.first_kept();
        let raw = kept.find(|(resolution, _)| *resolution == Resolution::Raw);
        raw.and_then(|(_, kept)| kept.of(org)).map(Window::start)
    };
    manifests.iter().map(first).min().flatten()
}

/// What every node said last, in the versions of one org.
async fn nodes(
    bucket: &Bucket,
    org: OrgId,
    newest: Option<&CutoverFleet>,
) -> Result<Vec<NodeFact>> {
    let mut acks = ack_log::all(bucket).await?;
    acks.sort_by_key(|ack| (ack.role, ack.node.to_string()));
    let mut versions: BTreeMap<u64, u64> = BTreeMap::new();
    let of_org = |fleet: &CutoverFleet| fleet.heads.get(&org).map_or(0, |head| head.version);
    if let Some(newest) = newest {
        versions.insert(newest.number, of_org(newest));
    }
    versions.insert(0, 0);
    for ack in &acks {
        if versions.contains_key(&ack.fleet) {
            continue;
        }
        let version = match fleet_log::load(bucket, ack.fleet).await {
            Ok(fleet) => of_org(&fleet),
            Err(Error::Bucket {
                cause: BucketCause::NotFound,
                ..
            }) => 0,
            Err(error) => return Err(error),
        };
        versions.insert(ack.fleet, version);
    }
    let fact = |ack: CutoverAck| NodeFact {
        role: ack.role,
        name: format!("{}-{}", ack.role.name(), ack.node),
        version: versions[&ack.fleet],
        at: ack.at,
        fence: if ack.fenced.contains(&org) {
            NodeFence::Fenced
        } else {
            NodeFence::Open
        },
    };
    Ok(acks.into_iter().map(fact).collect())
}

async fn verdicts(bucket: &Bucket, org: OrgId) -> Result<Vec<VerdictFact>> {
    let listed = bucket.list(&Prefix::diffs(org), None).await?.into_iter();
    let keys = listed.map(|object| object.key);
    let read = |key: String| async move {
        let bytes = bucket.get(&key).await?;
        let (_, verdict) = DiffVerdict::decode(&bytes).map_err(|error| error.in_object(&key))?;
        let digest = EntryHash::of(&bytes).0;
        Ok::<_, Error>(VerdictFact {
            verdict,
            key,
            digest,
        })
    };
    let verdicts = stream::iter(keys.filter(|key| key.ends_with("/verdict")))
        .map(read)
        .buffered(CONCURRENT_GETS);
    verdicts.try_collect().await
}

async fn old_facts(plane: &Plane, org: OrgId, manifests: &[ShardManifest]) -> Result<OldFacts> {
    if !plane.settings.old_place.is_empty() {
        return Ok(OldFacts::Passive);
    }
    let reached = old_reach(&plane.bucket, org).await?;
    if reached.is_empty() {
        return Ok(OldFacts::Active(OldProgress::default()));
    }
    let left = reached.values().filter_map(|reach| reach.not_written_to);
    Ok(OldFacts::Active(OldProgress {
        complete_to: old_complete_to(plane, &reached, manifests).await?,
        not_written_to: left.max(),
        positions: Some(
            reached
                .into_iter()
                .map(|(chain, it)| (chain, it.to))
                .collect(),
        ),
    }))
}

/// Up to which record time an old pipeline that is so far has everything: in a chain in which it is not behind the new one,
/// as far as that; else up to the oldest record that it may not have.
async fn old_complete_to(
    plane: &Plane,
    reached: &BTreeMap<Chain, OldReach>,
    manifests: &[ShardManifest],
) -> Result<Option<TimestampMs>> {
    let gathered = status_log::gather(&plane.bucket).await?;
    let completeness = gathered.completeness(plane.watermark_delay);
    let ledger = Ledger::new(plane.bucket.clone());
    let new_complete_to = new_facts(manifests).complete_to;
    let mut complete_to: Option<TimestampMs> = None;
    for (chain, end) in &gathered.chains {
        let Some(OldReach { to, .. }) = reached.get(chain).copied() else {
            return Ok(None);
        };
        let is_with_new = manifests.iter().all(|it| it.position(chain) <= to);
        let at = if to >= end.offset {
            match completeness.chains.get(chain) {
                Some(Standing::UpTo(reached)) => Some(reached.watermark),
                Some(Standing::Retired | Standing::Replaced) => Some(completeness.of_ended),
                Some(Standing::NoClaim | Standing::NoTimestamp) | None => None,
            }
        } else {
            let span = Span {
                from: to,
                to: Offset(to.0 + 1),
            };
            let entries = ledger.entries_within(chain, span).await?;
            let times = entries.first().and_then(|entry| entry.times);
            times.map(|times| times.oldest)
        };
        let at = if is_with_new {
            at.max(new_complete_to)
        } else {
            at
        };
        let Some(at) = at else { return Ok(None) };
        complete_to = Some(complete_to.map_or(at, |least| least.min(at)));
    }
    Ok(complete_to)
}

/// How far the old pipeline says that it is, by chain; nothing where it said nothing.
async fn old_reach(bucket: &Bucket, org: OrgId) -> Result<BTreeMap<Chain, OldReach>> {
    let progress = old_log::progress(bucket).await?.into_iter();
    let reach = |(chain, newest): (Chain, old_progress::OldProgress)| {
        let not_written_to = newest.not_written_to.get(&org).copied();
        let to = newest.to;
        (chain, OldReach { to, not_written_to })
    };
    Ok(progress.map(reach).collect())
}
