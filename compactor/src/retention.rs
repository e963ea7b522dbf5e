//! `skein retention plan` and `apply`: what is older than it is to be kept is masked, and goes.
//!
//! Of each shard it is one commit, of metadata alone. Before it, windows in which raw points expire are made one base, so
//! that the rollups that outlive them say all that the points did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::LocalBoxFuture;
use futures::{StreamExt, TryStreamExt};
use skein_config::compactor::CompactorSettings;
use skein_config::retention::RetentionSettings;
use skein_shared::bucket::Bucket;
use skein_shared::format::compact_plan::{Part, Step};
use skein_shared::format::shard_manifest::{SegmentEntry, ShardManifest};
use skein_shared::ids::{OrgId, ShardId, WriteId};
use skein_shared::manifest_log::{self, Committed};
use skein_shared::segment_fetch::SegmentFile;
use skein_shared::window::{Resolution, TimestampMs, Window};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::expiry_plan::{
    Dropped, Expiring, Held, Survey, expire, expired_by_org, expiring, to_make_whole, to_survey,
    wanted,
};
use crate::manifest_commit;
use crate::metrics;
use crate::org_accounts::{Carried, OrgChange, carry_on};
use crate::plan::{PlanInput, next_step};
use crate::plan_input::{self, Reach};
use crate::report::{OnProgress, ProgressCounter};
use crate::run::{RunOptions, rules_of};
use crate::seal_history::SealHistory;
use crate::task;
use crate::task_context::{TaskContext, TaskMemory};

/// Requests in flight while segments are looked at.
const CONCURRENT_GETS: usize = 16;

/// Commits in a row that one shard may lose to others.
const MOST_SUPERSEDED: u32 = 16;

/// Whether anything is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Expire.
    Act,
    /// Say what would expire.
    DryRun,
}

/// What expires, or would, of one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardExpiry {
    /// Whose.
    pub shard: ShardId,
    /// The time that decides: up to it the shard has read everything.
    pub as_of: TimestampMs,
    /// By org and resolution.
    pub expiring: BTreeMap<(OrgId, Resolution), Expiring>,
    /// What is live no more.
    pub dropped: Dropped,
    /// Windows that are made one base before.
    pub merged: usize,
}

/// Expires of every shard what `retention` says, or says what that would be. A shard of which nothing expires is left as it
/// is and is not in the answer. Safe beside compactors, rebuilds and collectors, and after being killed.
///
/// # Errors
/// What reading and writing give; [`Error::Cancelled`]. Shards that are done stay done.
pub fn apply<'a>(
    (settings, retention): (&'a CompactorSettings, &'a RetentionSettings),
    bucket: &'a Bucket,
    options: RunOptions,
    mode: Mode,
    (cancel, progress): (CancellationToken, OnProgress),
) -> LocalBoxFuture<'a, Result<Vec<ShardExpiry>>> {
    Box::pin(async move {
        let loaded = plan_input::load(bucket, settings, Reach::Unread).await?;
        let Some((input, manifests)) = loaded else {
            return Ok(Vec::new());
        };
        let rules = rules_of(settings, &options, &input);
        let progress = ProgressCounter::new(progress, manifests.len(), 0);
        let context = TaskContext::new(
            (settings, TaskMemory::of_one(settings)),
            bucket,
            (&rules, options.timelines, input.deletes.entries.clone()),
            input.shard_map.clone(),
            (cancel, progress),
        )?;
        let context = Arc::new(context);
        let mut expired = Vec::new();
        for manifest in manifests.into_values() {
            if context.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            if let Some(now) = complete_to(&manifest, &input)? {
                expired.extend(expire_shard(&context, manifest, (retention, now), mode).await?);
            }
            context.progress.shard_done();
        }
        Ok(expired)
    })
}

/// The time up to which the shard has read everything: what it said last, or the watermark, when nothing is left to read.
fn complete_to(manifest: &ShardManifest, input: &PlanInput) -> Result<Option<TimestampMs>> {
    let step = next_step(manifest.shard, manifest, input, u64::MAX)?;
    let is_behind = step.is_some_and(|s| !s.advances.is_empty() || !s.fill_advances.is_empty());
    let now = if is_behind { None } else { input.watermark };
    Ok(now.max(manifest.complete_to))
}

async fn expire_shard(
    context: &Arc<TaskContext>,
    mut manifest: ShardManifest,
    (retention, now): (&RetentionSettings, TimestampMs),
    mode: Mode,
) -> Result<Option<ShardExpiry>> {
    let mut merged: BTreeSet<Window> = BTreeSet::new();
    let mut survey = Survey::new();
    for _ in 0..MOST_SUPERSEDED {
        let wanted = wanted(&manifest, retention, now);
        let is_same = wanted.same_cuts(&manifest.expiry);
        let segments = to_survey(&manifest, &wanted);
        if manifest.segments.is_empty() || is_same && segments.is_empty() {
            return Ok(None);
        }
        look_at(&context.bucket, segments, &mut survey).await?;
        let whole = to_make_whole(&manifest, (&wanted, &survey), &context.writer.deletes);
        merged.extend(&whole);
        if mode == Mode::Act && !whole.is_empty() {
            manifest = make_whole(context, manifest, (whole, now)).await?;
            continue;
        }
        let (mut next, dropped) = expire(&manifest, &wanted, &survey)?;
        if is_same && dropped == Dropped::default() {
            return Ok(None);
        }
        let report = ShardExpiry {
            shard: manifest.shard,
            as_of: now,
            expiring: expiring(&manifest, &wanted, &survey),
            dropped,
            merged: merged.len(),
        };
        if mode == Mode::DryRun {
            return Ok(Some(report));
        }
        let change = OrgChange::counted(Some(expired_by_org(&manifest, &next, &survey)));
        match carry_on(&context.bucket, (&manifest, &next), &change).await? {
            Carried::On(account) => next.account = account,
            Carried::Overtaken(newest) => {
                manifest = *newest;
                continue;
            }
        }
        match manifest_log::commit(&context.bucket, &next, WriteId::random()).await? {
            Committed::Ours => {
                let Dropped {
                    segments,
                    bytes,
                    points,
                } = dropped;
                let dropped = (segments, bytes, points);
                metrics::expired(next.shard, next.generation, dropped);
                return Ok(Some(report));
            }
            Committed::Lost => {
                manifest = manifest_log::newest(&context.bucket, next.shard).await?;
            }
        }
    }
    Err(Error::Superseded {
        shard: manifest.shard,
        generation: manifest.generation,
        reason: "others commit again and again: try again when they are done".into(),
    })
}

/// Finds out whose points are in `segments`, where that is not known yet: by one GET each.
async fn look_at(bucket: &Bucket, segments: Vec<&SegmentEntry>, survey: &mut Survey) -> Result<()> {
    let unknown = segments
        .into_iter()
        .filter(|s| !survey.contains_key(&s.key));
    let unknown: Vec<&SegmentEntry> = unknown.collect();
    let found: Vec<_> = futures::stream::iter(unknown)
        .map(|segment| holdings(bucket, segment))
        .buffered(CONCURRENT_GETS)
        .try_collect()
        .await?;
    survey.extend(found);
    Ok(())
}

async fn holdings(
    bucket: &Bucket,
    segment: &SegmentEntry,
) -> Result<(String, BTreeMap<OrgId, Held>)> {
    let file = SegmentFile::open(bucket, segment).await?;
    let mut orgs: BTreeMap<OrgId, Held> = BTreeMap::new();
    for run in &file.footer().runs {
        let held = orgs.entry(run.org).or_default();
        held.points += run.points;
        held.bytes += run.span().end - run.span().start;
    }
    Ok((segment.key.clone(), orgs))
}

/// Merges what windows have into one base each. When another commit was first nothing is done, and the answer is its
/// manifest.
async fn make_whole(
    context: &Arc<TaskContext>,
    manifest: ShardManifest,
    (windows, now): (BTreeSet<Window>, TimestampMs),
) -> Result<ShardManifest> {
    let step = Step {
        rewrites: windows.clone(),
        whole: windows,
        complete_to: Some(now),
        ..Step::default()
    };
    let made = task::make(
        context,
        &manifest,
        (Part::WHOLE, step),
        SealHistory::passed(),
    );
    let (delta, report) = Box::pin(made).await?;
    let shard = manifest.shard;
    match manifest_commit::commit(&context.bucket, manifest, &delta).await {
        Ok(next) => {
            metrics::generation_committed(shard, next.generation, &report);
            Ok(next)
        }
        Err(error @ Error::Superseded { .. }) => {
            metrics::commit_superseded(shard, &error);
            Ok(manifest_log::newest(&context.bucket, shard).await?)
        }
        Err(error) => Err(error),
    }
}
