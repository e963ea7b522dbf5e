//! `skein compact task`: one task of a plan, on whatever machine an engine starts it.

use std::sync::Arc;
use std::time::Instant;

use futures::future::LocalBoxFuture;
use skein_config::compactor::CompactorSettings;
use skein_config::cutover::timelines::Timelines;
use skein_shared::bucket::Bucket;
use skein_shared::format::compact_plan::{CompactPlan, PlannedTask};
use skein_shared::format::compact_result::{CompactResult, TaskOutcome};
use skein_shared::format::delete_entry::DeleteEntry;
use skein_shared::format::object_key::Prefix;
use skein_shared::format::run_record::{RunEnd, RunKind};
use skein_shared::ids::{Generation, PlanId};
use skein_shared::shard_map::ShardMap;
use skein_shared::{delete_log, manifest_log, shard_map_log};
use tokio_util::sync::CancellationToken;

use crate::collected::explained;
use crate::error::{Error, Result};
use crate::report::{OnProgress, ProgressCounter, StepReport};
use crate::run_recording::{RunClock, RunFacts};
use crate::seal_history::SealHistory;
use crate::stage_timers::{Stage, StageTimers};
use crate::task;
use crate::task_context::{TaskContext, TaskMemory};
use crate::task_results::{self, ShardProgress};

/// What became of a task.
#[derive(Debug, Clone)]
pub struct TaskReport {
    /// Which.
    pub task: PlannedTask,
    /// What it did; `None` when it had been done before.
    pub did: Option<StepReport>,
    /// How far its shard is.
    pub shard: ShardProgress,
}

/// Runs the task at `index` of a plan, keeps its result, and commits its shard when it was the last. Run again, or by two
/// at once, it does no harm; a task that has a result is not run again.
///
/// # Errors
/// [`Error::NoSuchTask`]; [`Error::PlanGone`] and [`Error::Superseded`] when others were first; [`Error::OverBudget`]
/// when the next plan has to split the shard; [`Error::Cancelled`], and what reading and writing give: nothing partial
/// is visible then.
pub fn run_task<'a>(
    settings: &'a CompactorSettings,
    bucket: &'a Bucket,
    timelines: Timelines,
    (id, index): (PlanId, u32),
    (cancel, progress): (CancellationToken, OnProgress),
) -> LocalBoxFuture<'a, Result<TaskReport>> {
    Box::pin(async move {
        let (started, clock) = (Instant::now(), RunClock::start());
        let mut timers = StageTimers::default();
        let plan = task_results::load_plan(bucket, id).await?;
        let task = task_results::task_at(&plan, id, index)?.clone();
        let result = task_results::find(bucket, id, index).await?;
        let (result, did) = if let Some(result) = result {
            (result, None)
        } else {
            let progress = ProgressCounter::new(progress, 1, task.step.object_bytes());
            let shard_map = shard_map_of(bucket, &plan, &task).await?;
            let deletes = deletes_of(bucket, &plan).await?;
            let mut context = TaskContext::new(
                (settings, TaskMemory::of_one(settings)),
                bucket,
                (&plan.rules, timelines, deletes),
                shard_map,
                (cancel, progress),
            )?;
            timers = context.timers.clone();
            context.most_task_bytes = task.most_bytes.unwrap_or(u64::MAX);
            let place = (id, index);
            match make(&Arc::new(context), &plan, place, &task).await {
                Ok((result, report)) => (task_results::store(bucket, result).await?, Some(report)),
                // Another try of the same task may have been quicker, and its shard been committed.
                Err(error @ Error::Superseded { .. }) => {
                    let result = task_results::find(bucket, id, index).await?;
                    (result.ok_or(error)?, None)
                }
                Err(error) => return Err(error),
            }
        };
        if let TaskOutcome::OverBudget { bytes } = result.outcome {
            let most = task.most_bytes.unwrap_or(bytes);
            return Err(Error::OverBudget { bytes, most });
        }
        let commit = task_results::try_commit(bucket, (id, &plan), index);
        let shard = timers.time_async(Stage::Commit, commit).await;
        timers.task_over(started.elapsed());
        if let Some(steps) = &did {
            let is_forward = matches!(shard, Ok(ShardProgress::Committed(_)));
            let facts = RunFacts {
                of: RunKind::Task { plan: id, index },
                ended: shard.as_ref().map_or(RunEnd::Short, |_| RunEnd::Done),
                threads: 1,
                shards: (1, usize::from(is_forward)),
                steps,
                timers: &timers,
            };
            clock.keep(bucket, settings, facts).await;
        }
        let shard = shard?;
        Ok(TaskReport { task, did, shard })
    })
}

async fn make(
    context: &Arc<TaskContext>,
    plan: &CompactPlan,
    (id, index): (PlanId, u32),
    task: &PlannedTask,
) -> Result<(CompactResult, StepReport)> {
    let base = manifest_log::newest(&context.bucket, task.shard).await?;
    if task_results::has_passed(&base, &task.step) {
        return Err(Error::Superseded {
            shard: task.shard,
            generation: base.generation,
            reason: "the manifest has passed what the task was to do".into(),
        });
    }
    if context.writer.timelines.version() != plan.rules.timeline {
        return Err(Error::Superseded {
            shard: task.shard,
            generation: base.generation,
            reason: "the cutover timelines have changed since the plan".into(),
        });
    }
    let made = task::make(
        context,
        &base,
        (task.part, task.step.clone()),
        SealHistory::passed(),
    )
    .await;
    let made = explained(&context.bucket, &base, made).await;
    let (outcome, report) = match made {
        Ok((delta, report)) => (TaskOutcome::Made(Box::new(delta)), report),
        Err(Error::OverBudget { bytes, .. }) => {
            (TaskOutcome::OverBudget { bytes }, StepReport::default())
        }
        Err(error) => return Err(error),
    };
    let result = CompactResult {
        plan: id,
        task: index,
        shard: task.shard,
        outcome,
    };
    Ok((result, report))
}

/// The deletes that the plan was made with: what has come since waits for the next plan.
async fn deletes_of(bucket: &Bucket, plan: &CompactPlan) -> Result<Arc<[DeleteEntry]>> {
    let log = delete_log::load_complete(bucket).await?;
    let known = log.entries.into_iter();
    let in_force = known.filter(|delete| delete.number <= plan.rules.deletes);
    let in_force: Arc<[DeleteEntry]> = in_force.collect();
    if in_force.len() as u64 == plan.rules.deletes {
        return Ok(in_force);
    }
    let planned = plan.rules.deletes;
    Err(Error::ObjectDiffers {
        object: Prefix::DELETES.to_owned(),
        reason: format!(
            "it has {} deletes, the plan was made with {planned}",
            in_force.len()
        ),
    })
}

/// The map that the plan was made with.
async fn shard_map_of(bucket: &Bucket, plan: &CompactPlan, task: &PlannedTask) -> Result<ShardMap> {
    let map = shard_map_log::load(bucket).await?;
    let versions = |map: &ShardMap| map.version_count() as u64;
    map.filter(|map| versions(map) == plan.rules.shard_map_versions)
        .ok_or_else(|| Error::Superseded {
            shard: task.shard,
            generation: Generation(0),
            reason: "the shard map has changed since the plan".into(),
        })
}
