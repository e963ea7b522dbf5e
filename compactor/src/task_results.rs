//! What the tasks of a plan have made, and the commit of a shard once all of its parts are there.
//!
//! A result is create-if-absent: of two tries of one task the first counts, and the segments of the other are named by
//! nothing. Whoever sees the last missing result commits: every task after its own, and every later plan.

use std::collections::BTreeMap;
use std::ops::Range;

use futures::future::BoxFuture;
use skein_shared::bucket::{Bucket, Created};
use skein_shared::format::compact_plan::{Advance, CompactPlan, PlannedTask, Step};
use skein_shared::format::compact_result::{CompactResult, Delta, TaskOutcome};
use skein_shared::format::damage::DamageId;
use skein_shared::format::object_key::{ObjectKey, Prefix};
use skein_shared::format::shard_manifest::{SegmentEntry, ShardManifest};
use skein_shared::ids::{Generation, PlanId, ShardId, WriteId};
use skein_shared::offset::Offset;
use skein_shared::{ErrorKind, manifest_log};

use crate::error::{Error, Result};
use crate::manifest_commit;
use crate::merge_policy::{levels, must_close, must_filter};
use crate::metrics;

/// How far a shard of a plan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardProgress {
    /// This generation has committed it.
    Committed(Generation),
    /// The manifest has moved on, with this plan's input or without: nothing of it is left to do.
    Passed,
    /// So many parts have no result yet.
    Waiting {
        /// How many.
        parts: u32,
    },
    /// A part was larger than a task may be: the shard needs so many parts.
    Split {
        /// How many.
        parts: u32,
    },
}

/// What earlier plans have left.
#[derive(Debug, Clone, Default)]
pub struct Unfinished {
    /// Shards that were committed just now, since their last result was there.
    pub committed: Vec<(ShardId, Generation)>,
    /// Shards that were too large, and how many parts they need.
    pub splits: BTreeMap<ShardId, u32>,
}

/// The plan with this id.
///
/// # Errors
/// [`Error::PlanGone`] when it has been done or superseded; corrupt when it is not what its key says.
pub fn load_plan(bucket: &Bucket, id: PlanId) -> BoxFuture<'_, Result<CompactPlan>> {
    Box::pin(async move {
        let key = ObjectKey::Plan(id).to_string();
        let Some(bytes) = bucket.find(&key).await? else {
            return Err(Error::PlanGone { plan: id });
        };
        let (_, plan) = CompactPlan::decode(&bytes).map_err(|error| error.in_object(&key))?;
        if plan.id() == id {
            return Ok(plan);
        }
        Err(Error::ObjectDiffers {
            object: key,
            reason: format!("it is plan {}", plan.id()),
        })
    })
}

/// What the task has made, if it is done.
///
/// # Errors
/// The bucket's; corrupt when it does not read back.
pub async fn find(bucket: &Bucket, plan: PlanId, task: u32) -> Result<Option<CompactResult>> {
    let key = ObjectKey::Result { plan, task }.to_string();
    let Some(bytes) = bucket.find(&key).await? else {
        return Ok(None);
    };
    let (_, result) = CompactResult::decode(&bytes).map_err(|error| error.in_object(&key))?;
    if result.plan == plan && result.task == task {
        return Ok(Some(result));
    }
    Err(Error::ObjectDiffers {
        object: key,
        reason: format!("it is of task {} of plan {}", result.task, result.plan),
    })
}

/// Keeps a result, unless the task has one: the answer is the one that counts.
///
/// # Errors
/// As [`find`].
pub async fn store(bucket: &Bucket, result: CompactResult) -> Result<CompactResult> {
    let (plan, task) = (result.plan, result.task);
    let key = ObjectKey::Result { plan, task }.to_string();
    let id = WriteId::random();
    match bucket.create(&key, result.encode(id), id).await? {
        Created::Ours => Ok(result),
        Created::Taken => find(bucket, plan, task)
            .await?
            .ok_or(Error::PlanGone { plan }),
    }
}

/// Commits the shard of `task` if all of its parts have results.
///
/// # Errors
/// [`Error::Superseded`] when another compactor has committed the same input; as [`find`] and
/// [`manifest_commit::commit`].
pub fn try_commit<'a>(
    bucket: &'a Bucket,
    (id, plan): (PlanId, &'a CompactPlan),
    task: u32,
) -> BoxFuture<'a, Result<ShardProgress>> {
    Box::pin(async move {
        let planned = &plan.tasks[task as usize];
        let manifest = manifest_log::newest(bucket, planned.shard).await?;
        if has_passed(&manifest, &planned.step) {
            return Ok(ShardProgress::Passed);
        }
        let mut whole: Option<Delta> = None;
        let mut waiting = 0;
        for part in parts_of(plan, task) {
            match find(bucket, id, part).await?.map(|result| result.outcome) {
                None => waiting += 1,
                Some(TaskOutcome::OverBudget { .. }) => {
                    let parts = planned.part.of * 2;
                    return Ok(ShardProgress::Split { parts });
                }
                Some(TaskOutcome::Made(delta)) => match &mut whole {
                    None => whole = Some(*delta),
                    Some(whole) => join(whole, *delta, &manifest)?,
                },
            }
        }
        match whole {
            Some(delta) if waiting == 0 => commit(bucket, manifest, &delta).await,
            Some(_) | None => Ok(ShardProgress::Waiting { parts: waiting }),
        }
    })
}

/// Commits, unless another task of the same plan was quicker.
async fn commit(bucket: &Bucket, manifest: ShardManifest, delta: &Delta) -> Result<ShardProgress> {
    let shard = manifest.shard;
    match manifest_commit::commit(bucket, manifest, delta).await {
        Ok(manifest) => {
            metrics::plan_committed(manifest.shard, manifest.generation, delta);
            Ok(ShardProgress::Committed(manifest.generation))
        }
        Err(error @ Error::Superseded { .. }) => {
            let newest = manifest_log::newest(bucket, shard).await?;
            let is_live = |key: &String| newest.segments.iter().any(|live| live.key == *key);
            let mut keys = delta.added.iter().map(|segment| &segment.key);
            match keys.next() {
                Some(first) if is_live(first) => Ok(ShardProgress::Passed),
                // Without segments it does not matter whose commit it was.
                None if stands_behind(&newest, delta) => Ok(ShardProgress::Passed),
                Some(_) | None => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

/// Whether the manifest stands where the delta would have moved it: of one without segments nothing else tells.
fn stands_behind(manifest: &ShardManifest, delta: &Delta) -> bool {
    let mut chains = delta.advances.iter();
    let mut fills = delta.fill_advances.iter();
    chains.all(|(chain, advance)| manifest.positions.get(chain) == Some(&advance.to))
        && fills.all(|(hole, advance)| manifest.fills.get(hole) == Some(&advance.to))
}

/// Commits what earlier plans have all results for, removes the plans of which nothing is left to do, and tells which
/// shards have to be split.
///
/// # Errors
/// As [`try_commit`].
pub fn finish_earlier_plans(bucket: &Bucket) -> BoxFuture<'_, Result<Unfinished>> {
    Box::pin(async move {
        let mut unfinished = Unfinished::default();
        for listed in bucket.list(Prefix::PLANS, None).await? {
            let ObjectKey::Plan(id) = listed.key.parse()? else {
                continue;
            };
            let plan = match load_plan(bucket, id).await {
                Ok(plan) => plan,
                Err(Error::PlanGone { .. }) => continue,
                // Made from what is there, and made anew: a damaged one, or one of another build, must stop nobody.
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    metrics::plan_unreadable(id, &error);
                    bucket.delete(&listed.key).await?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if finish_plan(bucket, (id, &plan), &mut unfinished).await? {
                remove(bucket, (id, &plan)).await?;
            }
        }
        Ok(unfinished)
    })
}

/// Whether nothing of the plan is left to do.
async fn finish_plan(
    bucket: &Bucket,
    (id, plan): (PlanId, &CompactPlan),
    unfinished: &mut Unfinished,
) -> Result<bool> {
    let mut is_done = true;
    let firsts = (0_u32..).zip(&plan.tasks);
    for (task, planned) in firsts.filter(|(_, planned)| planned.part.number == 0) {
        match try_commit(bucket, (id, plan), task).await {
            Ok(ShardProgress::Committed(generation)) => {
                unfinished.committed.push((planned.shard, generation));
            }
            Ok(ShardProgress::Passed) => {}
            // Results that can no longer be committed would stand in the way of the same plan, made anew; so would
            // damaged ones.
            Err(error) if matches!(error.kind(), ErrorKind::Fenced | ErrorKind::Corrupt) => {
                metrics::results_removed(planned.shard, &error);
                remove_results(bucket, id, parts_of(plan, task)).await?;
            }
            Ok(ShardProgress::Waiting { .. }) => is_done = false,
            Ok(ShardProgress::Split { parts }) => {
                is_done = false;
                let most = unfinished.splits.entry(planned.shard).or_default();
                *most = parts.max(*most);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(is_done)
}

/// Results first: a plan without them would be done again, results without a plan would be found by nobody.
async fn remove(bucket: &Bucket, (id, plan): (PlanId, &CompactPlan)) -> Result<()> {
    let tasks = u32::try_from(plan.tasks.len()).unwrap_or(u32::MAX);
    remove_results(bucket, id, 0..tasks).await?;
    bucket.delete(&ObjectKey::Plan(id).to_string()).await?;
    Ok(())
}

async fn remove_results(bucket: &Bucket, plan: PlanId, tasks: Range<u32>) -> Result<()> {
    for task in tasks {
        let key = ObjectKey::Result { plan, task }.to_string();
        bucket.delete(&key).await?;
    }
    Ok(())
}

/// The tasks that are parts of the same shard as `task`.
fn parts_of(plan: &CompactPlan, task: u32) -> Range<u32> {
    let part = plan.tasks[task as usize].part;
    let first = task - part.number;
    first..first + part.of
}

/// Parts that began on different manifests may have merged different segments, and state may have been damaged or mended
/// between two of them.
fn join(whole: &mut Delta, part: Delta, manifest: &ShardManifest) -> Result<()> {
    let differ = if whole.replaced != part.replaced {
        Some("merged different segments")
    } else if whole.seal.is_some()
        && part.seal.is_some()
        && whole.deletes.made_on != part.deletes.made_on
    {
        Some("sealed windows on different manifests")
    } else if damages_in(whole).ne(damages_in(&part)) {
        Some("met different damages")
    } else if is_unfiltered(whole) != is_unfiltered(&part)
        && !whole.added.is_empty()
        && !part.added.is_empty()
    {
        Some("filtered by different timelines")
    } else {
        None
    };
    if let Some(differ) = differ {
        return Err(Error::Superseded {
            shard: manifest.shard,
            generation: manifest.generation,
            reason: format!("parts of it have {differ}"),
        });
    }
    whole.join(part);
    Ok(())
}

fn is_unfiltered(delta: &Delta) -> bool {
    delta.added.iter().any(SegmentEntry::is_unfiltered)
}

fn damages_in(delta: &Delta) -> impl Iterator<Item = DamageId> {
    delta.damages.iter().map(|damage| damage.id)
}

/// Whether the manifest no longer stands where `step` was planned from.
pub fn has_passed(manifest: &ShardManifest, step: &Step) -> bool {
    let moved = |now: Option<&Offset>, advance: &Advance| now.copied() != advance.from;
    let mut chains = step.advances.iter();
    let mut fills = step.fill_advances.iter();
    chains.any(|(chain, advance)| moved(manifest.positions.get(chain), advance))
        || fills.any(|(hole, advance)| moved(manifest.fills.get(hole), advance))
        || only_rewrites(step) && is_rewritten(manifest, step)
}

fn only_rewrites(step: &Step) -> bool {
    step.advances.is_empty() && step.fill_advances.is_empty()
}

/// Whether another commit has done what the step is for: its deletes, or, where it has none, closing a window.
fn is_rewritten(manifest: &ShardManifest, step: &Step) -> bool {
    if step.deletes_due > 0 {
        return manifest.deletes_applied >= step.deletes_due;
    }
    let mut windows = step.rewrites.iter();
    windows.any(|window| {
        let live = manifest.raw_segments().filter(|s| s.window == *window);
        let live: Vec<&SegmentEntry> = live.collect();
        !must_close(&levels(live.iter().copied())) && !must_filter(&live)
    })
}

/// The task at `index`.
///
/// # Errors
/// [`Error::NoSuchTask`].
pub fn task_at(plan: &CompactPlan, id: PlanId, index: u32) -> Result<&PlannedTask> {
    plan.tasks.get(index as usize).ok_or(Error::NoSuchTask {
        plan: id,
        index,
        tasks: plan.tasks.len(),
    })
}
