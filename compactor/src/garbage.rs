//! `skein compact gc`: takes away segments that no read can need any more, manifests that came before, and results of plans
//! that are gone.
//!
//! A segment goes when no kept manifest names it and none can come to name it. The latter is made sure by a commit of
//! its own, the *fence*: a generation equal to the newest but for two numbers. `void_before` says that segments which
//! were written for an earlier generation and are not live must never be committed; a compactor that was stalled
//! finds it before it issues its commit again. `kept_from` says that earlier generations may be gone; a commit that was
//! created at such a number finds it afterwards, and is void. So any number of collectors and compactors may run, stall
//! and be killed at once.

use std::collections::{BTreeMap, HashSet};

use futures::future::BoxFuture;
use skein_shared::bucket::{Bucket, OpenUpload};
use skein_shared::format::object_key::{ObjectKey, Prefix};
use skein_shared::format::shard_manifest::ShardManifest;
use skein_shared::ids::{Generation, ShardId, WriteId};
use skein_shared::manifest_log::{self, Committed};
use skein_shared::units::Millis;
use skein_shared::window::TimestampMs;

use crate::error::Result;
use crate::metrics;

/// Keys of one listing.
const PAGE: u16 = 1000;

/// Pages of a listing between two words about how far it is.
const PAGES_PER_WORD: u64 = 100;

/// What a collection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Delete.
    Act,
    /// Say what would be deleted.
    DryRun,
}

/// What a collection did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GarbageReport {
    /// Shards that have something to take away.
    pub shards: u64,
    /// Segments, lists, seals and accounts that no read can need.
    pub objects: u64,
    /// Their bytes.
    pub object_bytes: u64,
    /// Uploads of segments that were never completed.
    pub uploads: u64,
    /// Manifests that no read can need.
    pub manifests: u64,
    /// Results of tasks whose plans are gone.
    pub results: u64,
}

/// What is to be taken away of one shard.
#[derive(Debug, Default)]
struct Garbage {
    /// Keys with what they were written for, and their sizes.
    objects: Vec<(String, Generation, u64)>,
    uploads: Vec<(OpenUpload, Generation)>,
    generations: Vec<Generation>,
}

/// One shard's manifests.
#[derive(Debug)]
struct Shard {
    newest: ShardManifest,
    /// The first generation that a read may still hold on to.
    kept_from: Generation,
    /// Generations before that, oldest last.
    passed: Vec<Generation>,
    /// What the kept generations name.
    named: HashSet<String>,
}

/// Takes away what no read can need: nothing that was live less than `reader_pin` ago. Safe beside compactors, readers and
/// other collectors, and after being killed.
///
/// # Errors
/// The bucket's; corrupt when a manifest does not read back: then nothing of any shard is deleted.
pub fn collect(
    bucket: &Bucket,
    reader_pin: Millis,
    mode: Mode,
) -> BoxFuture<'_, Result<GarbageReport>> {
    Box::pin(async move {
        let now = bucket.now().await?;
        collect_at(bucket, now, reader_pin, mode).await
    })
}

/// As [`collect`], at a time of the bucket's clock.
///
/// # Errors
/// As [`collect`].
pub fn collect_at(
    bucket: &Bucket,
    now: TimestampMs,
    reader_pin: Millis,
    mode: Mode,
) -> BoxFuture<'_, Result<GarbageReport>> {
    Box::pin(async move {
        let is_old = |written: Option<TimestampMs>| {
            let pin = reader_pin.0.cast_signed();
            written.is_some_and(|written| written.0.saturating_add(pin) < now.0)
        };
        let mut shards = BTreeMap::new();
        for shard in manifest_log::shards(bucket).await? {
            shards.insert(shard, Shard::load(bucket, shard, &is_old).await?);
        }
        let garbage = sweep(bucket, &shards, &is_old).await?;
        let orphans = orphaned_results(bucket, &is_old).await?;
        let mut report = GarbageReport {
            results: orphans.len() as u64,
            ..GarbageReport::default()
        };
        for key in orphans.iter().filter(|_| mode == Mode::Act) {
            bucket.delete(key).await?;
            metrics::garbage_deleted(key, 0);
        }
        for (shard, garbage) in garbage {
            report.add(match mode {
                Mode::DryRun => garbage.report(),
                Mode::Act => remove(bucket, &shards[&shard], garbage).await?,
            });
        }
        Ok(report)
    })
}

impl Shard {
    async fn load(
        bucket: &Bucket,
        shard: ShardId,
        is_old: &impl Fn(Option<TimestampMs>) -> bool,
    ) -> Result<Self> {
        let listed = bucket.list(&Prefix::manifests(shard), None).await?;
        let mut generations = Vec::with_capacity(listed.len());
        for object in &listed {
            if let ObjectKey::Manifest { generation, .. } = object.key.parse()? {
                generations.push((generation, object.last_modified));
            }
        }
        // Newest first. A generation is held on to until the one after it has been there for the life of a read.
        let superseded_long_ago = |index: &usize| is_old(generations[*index - 1].1);
        let kept = (1..generations.len()).find(superseded_long_ago);
        let kept = kept.unwrap_or(generations.len());
        let mut named = HashSet::new();
        let mut newest = None;
        for (generation, _) in &generations[..kept] {
            let manifest = manifest_log::load(bucket, shard, *generation).await?;
            named.extend(names_in(&manifest));
            newest.get_or_insert(manifest);
        }
        Ok(Self {
            newest: newest.unwrap_or_else(|| ShardManifest::empty(shard)),
            kept_from: generations[..kept]
                .last()
                .map(|(g, _)| *g)
                .unwrap_or_default(),
            passed: generations[kept..].iter().map(|(g, _)| *g).collect(),
            named,
        })
    }

    /// Whether an object of the shard that was written for `expected` may be named by nobody, ever.
    fn is_unnamed(&self, key: &str, expected: Generation) -> bool {
        expected <= self.newest.generation && !self.named.contains(key)
    }
}

/// Looks at every object and upload in the bucket once.
async fn sweep(
    bucket: &Bucket,
    shards: &BTreeMap<ShardId, Shard>,
    is_old: &impl Fn(Option<TimestampMs>) -> bool,
) -> Result<BTreeMap<ShardId, Garbage>> {
    let mut garbage: BTreeMap<ShardId, Garbage> = BTreeMap::new();
    for (shard, state) in shards {
        // One is left over by the fence before: for it alone there would be a fence at every collection.
        if state.passed.len() > 1 {
            let of_shard = garbage.entry(*shard).or_default();
            of_shard.generations.clone_from(&state.passed);
        }
    }
    for upload in bucket.open_uploads("").await? {
        let Some((shard, expected)) = written_for(&upload.key) else {
            continue;
        };
        let Some(state) = shards.get(&shard) else {
            continue;
        };
        if is_old(upload.started) && state.is_unnamed(&upload.key, expected) {
            let of_shard = garbage.entry(shard).or_default();
            of_shard.uploads.push((upload, expected));
        }
    }
    let mut after: Option<String> = None;
    for pages in 1_u64.. {
        let page = bucket.list_page("", after.as_deref(), PAGE).await?;
        for object in &page.objects {
            let Some((shard, expected)) = written_for(&object.key) else {
                continue;
            };
            let is_garbage = shards
                .get(&shard)
                .is_some_and(|state| state.is_unnamed(&object.key, expected));
            if is_garbage && is_old(object.last_modified) {
                let found = (object.key.clone(), expected, object.object_bytes);
                garbage.entry(shard).or_default().objects.push(found);
            }
        }
        if page.is_last {
            break;
        }
        after = page.objects.last().map(|last| last.key.clone());
        if pages.is_multiple_of(PAGES_PER_WORD) {
            tracing::info!(pages, after, "looking for garbage");
        }
    }
    Ok(garbage)
}

/// Results that were stored after their plan was removed, by a task that was stalled. If the same plan is made again
/// meanwhile, its task is done again.
async fn orphaned_results(
    bucket: &Bucket,
    is_old: &impl Fn(Option<TimestampMs>) -> bool,
) -> Result<Vec<String>> {
    let results = bucket.list(Prefix::RESULTS, None).await?;
    // Behind the results: a plan is there before the first of them.
    let plans = bucket.list(Prefix::PLANS, None).await?;
    let plans: HashSet<String> = plans.into_iter().map(|plan| plan.key).collect();
    let mut orphans = Vec::new();
    for result in results.into_iter().filter(|r| is_old(r.last_modified)) {
        let ObjectKey::Result { plan, .. } = result.key.parse()? else {
            continue;
        };
        if !plans.contains(&ObjectKey::Plan(plan).to_string()) {
            orphans.push(result.key);
        }
    }
    Ok(orphans)
}

/// The shard and generation that a segment, a quarantine list, a seal, a leaf or an account was written for; `None` of other
/// objects.
fn written_for(key: &str) -> Option<(ShardId, Generation)> {
    if let ObjectKey::Segment {
        shard, generation, ..
    }
    | ObjectKey::Quarantine {
        shard, generation, ..
    }
    | ObjectKey::Seal {
        shard, generation, ..
    }
    | ObjectKey::Leaf {
        shard, generation, ..
    }
    | ObjectKey::Account {
        shard, generation, ..
    } = key.parse().ok()?
    {
        return Some((shard, generation));
    }
    None
}

async fn remove(bucket: &Bucket, shard: &Shard, garbage: Garbage) -> Result<GarbageReport> {
    let mut removed = GarbageReport::default();
    let Some(live) = fence(bucket, shard, garbage.void_before()).await? else {
        return Ok(removed);
    };
    removed.shards = 1;
    for (key, expected, bytes) in garbage.objects {
        // What was committed between looking and fencing is live now.
        if expected < live.void_before && !live.names.contains(&key) {
            bucket.delete(&key).await?;
            metrics::garbage_deleted(&key, bytes);
            removed.objects += 1;
            removed.object_bytes += bytes;
        }
    }
    for (upload, expected) in garbage.uploads {
        if expected < live.void_before && !live.names.contains(&upload.key) {
            bucket.abort_upload(&upload).await?;
            metrics::garbage_deleted(&upload.key, 0);
            removed.uploads += 1;
        }
    }
    // The oldest first: what is left when this is cut short is still a chain.
    for generation in garbage.generations.into_iter().rev() {
        let shard = shard.newest.shard;
        let key = ObjectKey::Manifest { shard, generation }.to_string();
        bucket.delete(&key).await?;
        removed.manifests += 1;
    }
    Ok(removed)
}

/// What must not be deleted once the fence stands.
struct Fenced {
    void_before: Generation,
    names: HashSet<String>,
}

/// Commits the fence; `None` when another compactor was faster again and again: the next collection does it.
async fn fence(bucket: &Bucket, shard: &Shard, void_before: Generation) -> Result<Option<Fenced>> {
    const MOST_TRIES: u32 = 16;
    let mut newest = shard.newest.clone();
    for _ in 0..MOST_TRIES {
        let mut fence = newest.clone();
        fence.generation = Generation(newest.generation.0 + 1);
        fence.void_before = newest.void_before.max(void_before);
        fence.kept_from = newest.kept_from.max(shard.kept_from);
        match manifest_log::commit(bucket, &fence, WriteId::random()).await? {
            Committed::Ours => {
                // What was committed while the bucket was looked at may be pinned by a read, even if it is merged.
                let mut names: HashSet<String> = names_in(&fence).collect();
                for between in shard.newest.generation.0 + 1..fence.generation.0 {
                    let generation = Generation(between);
                    let manifest = manifest_log::load(bucket, fence.shard, generation).await?;
                    names.extend(names_in(&manifest));
                }
                return Ok(Some(Fenced {
                    void_before: fence.void_before,
                    names,
                }));
            }
            Committed::Lost => newest = manifest_log::newest(bucket, newest.shard).await?,
        }
    }
    Ok(None)
}

/// The keys that a manifest names.
fn names_in(manifest: &ShardManifest) -> impl Iterator<Item = String> {
    let segments = manifest.segments.iter().map(|segment| &segment.key);
    let lists = manifest.quarantine.iter().map(|list| &list.key);
    let seals = manifest.seals.iter().map(|seal| &seal.key);
    let leaves = manifest.leaves.iter().map(|leaf| &leaf.key);
    let account = manifest.account.iter().map(|account| &account.key);
    let beside = seals.chain(leaves).chain(account);
    segments.chain(lists).chain(beside).cloned()
}

impl Garbage {
    /// No further than what is deleted demands: a compactor that is under way goes on.
    fn void_before(&self) -> Generation {
        let objects = self.objects.iter().map(|(_, expected, _)| expected.0);
        let uploads = self.uploads.iter().map(|(_, expected)| expected.0);
        let newest = objects.chain(uploads).max();
        Generation(newest.map_or(0, |newest| newest + 1))
    }

    fn report(&self) -> GarbageReport {
        GarbageReport {
            shards: 1,
            objects: self.objects.len() as u64,
            object_bytes: self.objects.iter().map(|(_, _, bytes)| bytes).sum(),
            uploads: self.uploads.len() as u64,
            manifests: self.generations.len() as u64,
            results: 0,
        }
    }
}

impl GarbageReport {
    fn add(&mut self, other: Self) {
        self.shards += other.shards;
        self.objects += other.objects;
        self.object_bytes += other.object_bytes;
        self.uploads += other.uploads;
        self.manifests += other.manifests;
        self.results += other.results;
    }
}
