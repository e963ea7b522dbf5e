//! Shard manifests and their quarantine lists.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use skein_shared::bucket::Bucket;
use skein_shared::format::checksum;
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::quarantine::QuarantineList;
use skein_shared::format::seal::Seal;
use skein_shared::format::shard_manifest::{
    Layer, ManifestLeaf, ManifestRoot, QuarantineRef, ShardManifest,
};
use skein_shared::ids::{Generation, ShardId};
use skein_shared::promise::Promise;
use skein_shared::window::Window;
use skein_shared::{ErrorKind, Result, manifest_log};

use crate::inspect::finding::{CONSERVATION, Finding, LEDGER, SEGMENT};
use crate::inspect::verify::Check;
use crate::inspect::verify::chains::LedgerFacts;
use crate::inspect::verify::intake::{Histories, Intake};
use crate::inspect::verify::metadata::{CONCURRENT_READS, Read, read};

/// The newest manifest of each shard, where it reads back.
pub(super) type Manifests = BTreeMap<ShardId, ShardManifest>;

/// Reads every generation, and the quarantine lists that the newest ones name.
pub(super) async fn check_manifests(check: &mut Check<'_>) -> Result<(Manifests, Histories)> {
    let mut manifests = Manifests::new();
    let mut histories = Histories::new();
    for shard in manifest_log::shards(&check.bucket).await? {
        check.checked.shards += 1;
        let generations = manifest_log::generations(&check.bucket, shard).await?;
        let newest = generations.first().copied();
        let mut newest_root = None;
        let bucket = check.bucket.clone();
        let mut reads = read_all(check, shard, generations.clone());
        while let Some((generation, read)) = reads.next().await {
            match read? {
                Ok(root) if (root.shard(), root.generation()) != (shard, generation) => {
                    let (holds, of) = (root.generation(), root.shard());
                    let what = format!("holds generation {holds} of {of}");
                    check.find(atomic(manifest_key(shard, generation), what));
                }
                Ok(root) if Some(generation) == newest => newest_root = Some(root),
                Ok(_) => {}
                Err(_) if was_collected(&bucket, shard, generation).await? => {}
                Err(finding) => check.find(finding),
            }
        }
        drop(reads);
        if let Some(root) = newest_root
            && let Some(manifest) = join(check, root).await?
        {
            histories.insert(shard, Intake::of(&manifest));
            manifests.insert(shard, manifest);
        }
        check_gapless(check, shard, &generations, manifests.get(&shard));
    }
    for manifest in manifests.values() {
        check_quarantine(check, manifest).await?;
        check_seals(check, manifest).await?;
    }
    Ok((manifests, histories))
}

/// The whole manifest, if all of its leaves read back.
async fn join(check: &mut Check<'_>, root: ManifestRoot) -> Result<Option<ShardManifest>> {
    let mut leaves = Vec::new();
    for named in root.leaves() {
        match read(&check.bucket, &named.key, SEGMENT, ManifestLeaf::decode).await? {
            Ok(leaf) => leaves.push(leaf),
            Err(finding) => check.find(finding),
        }
    }
    if leaves.len() < root.leaves().len() {
        return Ok(None);
    }
    let key = manifest_key(root.shard(), root.generation());
    match root.join(leaves) {
        Ok(manifest) => Ok(Some(manifest)),
        Err(error) => {
            check.find(atomic(key, error.to_string()));
            Ok(None)
        }
    }
}

/// Whether a generation is gone because garbage collection has taken it since it was listed.
async fn was_collected(bucket: &Bucket, shard: ShardId, generation: Generation) -> Result<bool> {
    let key = manifest_key(shard, generation);
    if bucket.head(&key).await?.is_some() {
        return Ok(false);
    }
    let newest = newest_if_sound(bucket, shard).await?;
    Ok(newest.is_some_and(|newest| generation < newest.kept_from))
}

/// The shard's newest manifest, if the object `key` is gone and that manifest no longer names it: others have gone on, and
/// garbage collection has taken what they do not need.
pub(super) async fn successor_without(
    bucket: &Bucket,
    shard: ShardId,
    key: &str,
) -> Result<Option<ShardManifest>> {
    if bucket.head(key).await?.is_some() {
        return Ok(None);
    }
    let newest = newest_if_sound(bucket, shard).await?;
    Ok(newest.filter(|newest| {
        let mut segments = newest.segments.iter();
        let mut seals = newest.seals.iter();
        let mut account = newest.account.iter();
        !segments.any(|segment| segment.key == key)
            && !seals.any(|seal| seal.key == key)
            && !account.any(|account| account.key == key)
    }))
}

/// A newest manifest that does not read back says nothing: it is a finding of its own.
async fn newest_if_sound(bucket: &Bucket, shard: ShardId) -> Result<Option<ShardManifest>> {
    match manifest_log::newest(bucket, shard).await {
        Ok(newest) => Ok(Some(newest)),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
        Err(error) => Err(error),
    }
}

/// Each generation stands on the one before it, down to the first, or to the first that is kept.
fn check_gapless(
    check: &mut Check<'_>,
    shard: ShardId,
    generations: &[Generation],
    newest: Option<&ShardManifest>,
) {
    let kept_from = newest.map_or(Generation(0), |newest| newest.kept_from);
    for (index, generation) in generations.iter().enumerate() {
        let next = generations.get(index + 1).map_or(0, |next| next.0);
        if generation.0 != next + 1 && *generation > kept_from {
            let missing = Generation(generation.0 - 1);
            let what = format!("generation {missing} of {shard} is missing");
            check.find(atomic(manifest_key(shard, missing), what));
        }
    }
}

/// No shard has compacted what the ledger does not have.
pub(super) fn check_positions(
    check: &mut Check<'_>,
    manifests: &Manifests,
    ledger: &mut LedgerFacts,
) {
    // The same missing entry shows in every shard: it is reported once for each chain.
    let mut beyond = BTreeMap::new();
    for manifest in manifests.values() {
        for (chain, position) in &manifest.positions {
            let facts = ledger.chains.get(chain);
            if facts.is_some_and(|facts| !facts.is_sound) {
                continue;
            }
            let end = facts.and_then(|facts| facts.end);
            if end.is_some_and(|end| *position > end) || end.is_none() && position.0 > 0 {
                beyond
                    .entry(chain)
                    .or_insert((end, *position, manifest.shard));
            }
        }
    }
    for (chain, (end, position, shard)) in beyond {
        let from = end.unwrap_or_default();
        let key = ObjectKey::LedgerEntry {
            chain: chain.clone(),
            from,
        };
        let what = format!("the ledger ends at {from}, but {shard} has compacted up to {position}");
        check.find(LEDGER.broken(key.to_string(), None, what));
        if let Some(facts) = ledger.chains.get_mut(chain) {
            facts.is_sound = false;
        }
    }
    check_fill_positions(check, manifests, ledger);
}

/// No shard has compacted fills that are not there.
fn check_fill_positions(check: &mut Check<'_>, manifests: &Manifests, ledger: &LedgerFacts) {
    for manifest in manifests.values() {
        for (hole, position) in &manifest.fills {
            let facts = ledger.fills.get(hole);
            let end = facts.and_then(|facts| facts.end).unwrap_or(hole.from);
            if facts.is_some_and(|facts| !facts.is_sound) || *position <= end {
                continue;
            }
            let (shard, hole) = (manifest.shard, hole.clone());
            let what = format!("fills end at {end}, but {shard} has compacted up to {position}");
            let key = ObjectKey::Fill { hole, from: end };
            check.find(LEDGER.broken(key.to_string(), None, what));
        }
    }
}

fn read_all(
    check: &Check<'_>,
    shard: ShardId,
    generations: Vec<Generation>,
) -> impl futures::Stream<Item = (Generation, Result<Read<ManifestRoot>>)> + Unpin + use<> {
    let bucket = check.bucket.clone();
    Box::pin(
        futures::stream::iter(generations)
            .map(move |generation| {
                let bucket = bucket.clone();
                async move {
                    let key = manifest_key(shard, generation);
                    let read = read(&bucket, &key, SEGMENT, ManifestRoot::decode).await;
                    (generation, read)
                }
            })
            .buffered(CONCURRENT_READS),
    )
}

async fn check_quarantine(check: &mut Check<'_>, manifest: &ShardManifest) -> Result<()> {
    let mut records = 0;
    for list in &manifest.quarantine {
        check.checked.quarantine_lists += 1;
        records += list.records;
        let read = read(&check.bucket, &list.key, SEGMENT, QuarantineList::decode).await?;
        let finding = match read {
            Err(finding) => Some(finding),
            Ok(read) => misfit(check, list, &read).await?,
        };
        check.findings.extend(finding);
    }
    let counted = manifest.counts.quarantined_records;
    if records != counted {
        let key = manifest_key(manifest.shard, manifest.generation);
        let what = format!("counts {counted} quarantined records, its lists have {records}");
        check.find(CONSERVATION.broken(key, None, what));
    }
    Ok(())
}

/// Every base has a seal, and every seal reads back.
async fn check_seals(check: &mut Check<'_>, manifest: &ShardManifest) -> Result<()> {
    let mut sealed: BTreeSet<Window> = BTreeSet::new();
    for named in &manifest.seals {
        sealed.extend(&named.windows);
        let read = read(&check.bucket, &named.key, SEGMENT, Seal::decode).await?;
        let finding = if let Err(finding) = read {
            let next = successor_without(&check.bucket, manifest.shard, &named.key).await?;
            next.is_none().then_some(finding)
        } else {
            let bytes = check.bucket.get(&named.key).await?;
            let is_other = checksum::crc32c(&bytes) != named.crc32c;
            let what = "is another seal than the one that the shard's manifest names";
            is_other.then(|| SEGMENT.broken(&named.key, None, what))
        };
        check.findings.extend(finding);
    }
    let bases = manifest.raw_segments().filter(|s| s.layer == Layer::Base);
    let unsealed: BTreeSet<_> = bases
        .map(|base| base.window)
        .filter(|window| !sealed.contains(window))
        .collect();
    for window in unsealed {
        let key = manifest_key(manifest.shard, manifest.generation);
        check.find(atomic(key, format!("the base of {window} has no seal")));
    }
    Ok(())
}

async fn misfit(
    check: &Check<'_>,
    list: &QuarantineRef,
    read: &QuarantineList,
) -> Result<Option<Finding>> {
    let (has, said) = (read.records.len() as u64, list.records);
    if has != said {
        let what = format!("lists {has} records, the shard's manifest says {said}");
        return Ok(Some(SEGMENT.broken(&list.key, None, what)));
    }
    let bytes = check.bucket.get(&list.key).await?;
    let is_other = checksum::crc32c(&bytes) != list.crc32c;
    let what = "is another object than the one that the shard's manifest names";
    Ok(is_other.then(|| SEGMENT.broken(&list.key, None, what)))
}

pub(super) fn manifest_key(shard: ShardId, generation: Generation) -> String {
    ObjectKey::Manifest { shard, generation }.to_string()
}

fn atomic(key: String, what: String) -> Finding {
    Finding {
        promise: Promise::AtomicManifest,
        ..SEGMENT.broken(key, None, what)
    }
}
