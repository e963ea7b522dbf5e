//! `skein compact run`: every shard, until its manifest has reached the ledger's end.

mod outcome;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use futures::future::LocalBoxFuture;
use skein_config::compactor::CompactorSettings;
use skein_config::cutover::timelines::Timelines;
use skein_shared::bucket::Bucket;
use skein_shared::format::compact_plan::{Part, PlanRules, Step};
use skein_shared::format::run_record::{RunEnd, RunKind};
use skein_shared::format::shard_manifest::ShardManifest;
use skein_shared::ids::ShardId;
use skein_shared::manifest_log;
use skein_shared::payload::Limits;
use skein_shared::process_use;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::collected::explained;
use crate::error::{Error, Result};
use crate::manifest_commit;
use crate::metrics;
use crate::plan::{PlanInput, next_step};
use crate::plan_input::{self, Reach};
use crate::receipts;
use crate::report::{ProgressCounter, RunReport, StepReport};
use crate::run_recording::{RunClock, RunFacts};
use crate::seal_history::SealHistory;
use crate::stage_timers::{Stage, StageTimers};
use crate::task;
use crate::task_context::{TaskContext, TaskMemory};
use crate::window_writer::WriterContext;

use outcome::{ShardEnd, ShardOutcome, summarize};

pub use crate::report::OnProgress;

/// Commits in a row that one shard may lose to others before its task gives up.
const MOST_SUPERSEDED: u64 = 16;

/// How often one run plans a shard anew in which others are ahead with deletes.
const MOST_PLANS: usize = 4;

/// The decisions that a run is made with.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// What a payload may hold.
    pub limits: Limits,
    /// Who writes which point.
    pub timelines: Timelines,
}

/// What every plan of a run begins with.
struct RunStart<'a> {
    settings: &'a CompactorSettings,
    bucket: &'a Bucket,
    options: RunOptions,
    cancel: CancellationToken,
    progress: OnProgress,
    timers: StageTimers,
}

/// Compacts everything that the ledger has and the manifests do not, and keeps a record of what that took. With nothing
/// new it makes no write request.
///
/// # Errors
/// [`Error::Cancelled`]; [`Error::Shards`] when some shards failed, after the others are done; what reading
/// ledger and manifests gives. If points were lost on the way (SK-11) the task of that shard panics, nothing of
/// it is committed, and the shard has failed with [`Error::Panicked`].
///
/// # Panics
/// On a target whose addresses do not span the memory budget.
pub fn run<'a>(
    settings: &'a CompactorSettings,
    bucket: &'a Bucket,
    options: RunOptions,
    cancel: CancellationToken,
    progress: OnProgress,
) -> LocalBoxFuture<'a, Result<RunReport>> {
    Box::pin(async move {
        let (started, clock) = (Instant::now(), RunClock::start());
        let start = RunStart {
            settings,
            bucket,
            options,
            cancel,
            progress,
            timers: StageTimers::default(),
        };
        let mut outcomes: BTreeMap<ShardId, ShardOutcome> = BTreeMap::new();
        let mut has_deletes = false;
        for plan in 1..=MOST_PLANS {
            let is_outdated = |(_, o): (&ShardId, &ShardOutcome)| o.is_outdated();
            if plan > 1 && !outcomes.iter().any(is_outdated) {
                break;
            }
            let Some(input) = Box::pin(start.plan()).await? else {
                break;
            };
            has_deletes |= !input.0.deletes.entries.is_empty();
            for outcome in start.run_plan(input, &outcomes).await? {
                let shard = outcome.shard;
                let so_far = outcomes.remove(&shard);
                outcomes.insert(shard, ShardOutcome::after(so_far, outcome));
            }
        }
        // A shard that fails keeps nobody's receipt back.
        let kept = if has_deletes {
            receipts::keep(bucket).await
        } else {
            Ok(0)
        };
        let (report, failure) = summarize(outcomes.into_values(), &start.cancel);
        let facts = RunFacts {
            of: RunKind::Run,
            ended: failure.as_ref().map_or(RunEnd::Done, |_| RunEnd::Short),
            threads: TaskMemory::of(settings).tasks,
            shards: (report.shards, report.shards_advanced),
            steps: &report.steps,
            timers: &start.timers,
        };
        if report.steps.generations > 0 {
            clock.keep(bucket, settings, facts).await;
        }
        failure.map_or(Ok(()), Err)?;
        kept?;
        Ok(RunReport {
            elapsed: started.elapsed(),
            requests: bucket.requests(),
            peak_memory_bytes: process_use::peak_memory_bytes(),
            ..report
        })
    })
}

impl RunStart<'_> {
    async fn plan(&self) -> Result<Option<(PlanInput, BTreeMap<ShardId, ShardManifest>)>> {
        let loaded = plan_input::load(self.bucket, self.settings, Reach::Unread).await?;
        let filter = self.options.timelines.filter();
        Ok(loaded.map(|(input, manifests)| (PlanInput { filter, ..input }, manifests)))
    }

    /// Runs every shard, or those that are outdated, if any shard has been run before.
    async fn run_plan(
        &self,
        (input, manifests): (PlanInput, BTreeMap<ShardId, ShardManifest>),
        before: &BTreeMap<ShardId, ShardOutcome>,
    ) -> Result<Vec<ShardOutcome>> {
        let settings = self.settings;
        let memory = TaskMemory::of(settings);
        let is_due = |shard: &ShardId| {
            let outcome = before.get(shard);
            before.is_empty() || outcome.is_some_and(ShardOutcome::is_outdated)
        };
        let due = manifests.into_iter().filter(|(shard, _)| is_due(shard));
        let backlog = backlog(&input, due.map(|(_, manifest)| manifest))?;
        let bytes_total = backlog.iter().map(|(bytes, _)| bytes).sum();
        metrics::run_started(backlog.len(), bytes_total);
        let rules = rules_of(settings, &self.options, &input);
        let listener = Arc::clone(&self.progress);
        let progress = ProgressCounter::new(listener, backlog.len(), bytes_total);
        let timelines = self.options.timelines.clone();
        let context = TaskContext::new(
            (settings, memory),
            self.bucket,
            (&rules, timelines, input.deletes.entries.clone()),
            input.shard_map.clone(),
            (self.cancel.clone(), progress),
        )?;
        let context = Arc::new(context.timed_by(&self.timers));
        let outcomes = run_shards(
            &context,
            Arc::new(input),
            backlog.into_iter().map(|(_, manifest)| manifest),
            (memory.tasks, settings.step_bytes.0),
        );
        Ok(outcomes.await)
    }
}

async fn run_shards(
    context: &Arc<TaskContext>,
    input: Arc<PlanInput>,
    manifests: impl Iterator<Item = ShardManifest>,
    (tasks, step_bytes): (usize, u64),
) -> Vec<ShardOutcome> {
    let slots = Arc::new(Semaphore::new(tasks));
    let mut tasks = JoinSet::new();
    let mut shards = HashMap::new();
    for manifest in manifests {
        // Before it is spawned, so that they begin in this order.
        let slot = Arc::clone(&slots).acquire_owned().await;
        let slot = slot.expect("the slots are never closed");
        let (context, input) = (Arc::clone(context), Arc::clone(&input));
        let shard = manifest.shard;
        let span = tracing::debug_span!("shard", %shard);
        let task = async move {
            let _slot = slot;
            let outcome = Box::pin(compact_shard(&context, &input, step_bytes, manifest)).await;
            context.progress.shard_done();
            outcome
        };
        let task = tasks.spawn(task.instrument(span));
        shards.insert(task.id(), shard);
    }
    let mut outcomes = Vec::new();
    while let Some(joined) = tasks.join_next_with_id().await {
        // A task that panics takes its own shard with it and no other.
        outcomes.push(match joined {
            Ok((_, outcome)) => outcome,
            Err(panic) => ShardOutcome::panicked(shards[&panic.id()], panic),
        });
    }
    outcomes.sort_by_key(|outcome| outcome.shard);
    outcomes
}

async fn compact_shard(
    context: &Arc<TaskContext>,
    input: &PlanInput,
    step_bytes: u64,
    manifest: ShardManifest,
) -> ShardOutcome {
    let mut outcome = ShardOutcome::new(manifest.shard);
    let end = advance(context, input, step_bytes, manifest, &mut outcome).await;
    outcome.end = end.unwrap_or_else(ShardEnd::Failed);
    if let ShardEnd::Failed(error) = &outcome.end
        && !matches!(error, Error::Cancelled)
    {
        metrics::shard_failed(outcome.shard, error);
    }
    outcome
}

/// Takes step after step until the manifest has reached the ledger's end.
async fn advance(
    context: &Arc<TaskContext>,
    input: &PlanInput,
    step_bytes: u64,
    mut manifest: ShardManifest,
    outcome: &mut ShardOutcome,
) -> Result<ShardEnd> {
    let shard = manifest.shard;
    let mut lost_in_a_row = 0;
    outcome.undecided_damages = manifest.undecided().count();
    while let Some(step) = next_step(shard, &manifest, input, step_bytes)? {
        if context.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        // Boxed: the futures of the bucket's client are deep, and the compiler has to lay them out.
        match Box::pin(run_step(context, &manifest, step)).await {
            Ok((next, report)) => {
                outcome.steps.add(&report);
                manifest = next;
                outcome.undecided_damages = manifest.undecided().count();
                lost_in_a_row = 0;
            }
            Err(error @ Error::Superseded { .. }) => {
                outcome.superseded += 1;
                lost_in_a_row += 1;
                if lost_in_a_row > MOST_SUPERSEDED {
                    return Err(error);
                }
                metrics::commit_superseded(shard, &error);
                manifest = manifest_log::newest(&context.bucket, shard).await?;
                if knows_more(&manifest, &context.writer) {
                    return Ok(ShardEnd::Outdated(error));
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(ShardEnd::Done)
}

/// Whether another compactor has carried out deletes, or filtered by timelines, that this plan was made without: it has to
/// be made again.
fn knows_more(manifest: &ShardManifest, ours: &WriterContext) -> bool {
    let deletes = ours.deletes.len() as u64;
    let mut segments = manifest.raw_segments();
    manifest.deletes_applied > deletes
        || segments.any(|segment| segment.deletes_applied > deletes)
        || manifest.versions.timeline > ours.timelines.version()
}

async fn run_step(
    context: &Arc<TaskContext>,
    base: &ShardManifest,
    step: Step,
) -> Result<(ShardManifest, StepReport)> {
    let started = Instant::now();
    let done = make_and_commit(context, base, step).await;
    context.timers.task_over(started.elapsed());
    done
}

async fn make_and_commit(
    context: &Arc<TaskContext>,
    base: &ShardManifest,
    step: Step,
) -> Result<(ShardManifest, StepReport)> {
    let made = task::make(context, base, (Part::WHOLE, step), SealHistory::passed()).await;
    let (delta, report) = explained(&context.bucket, base, made).await?;
    let commit = manifest_commit::commit(&context.bucket, base.clone(), &delta);
    let manifest = context.timers.time_async(Stage::Commit, commit).await?;
    let report = StepReport {
        generations: 1,
        ..report
    };
    metrics::generation_committed(manifest.shard, manifest.generation, &report);
    metrics::quarantined(manifest.shard, &delta);
    Ok((manifest, report))
}

/// What `settings` and `options` say, as far as tasks have to take it alike.
pub fn rules_of(
    settings: &CompactorSettings,
    options: &RunOptions,
    input: &PlanInput,
) -> PlanRules {
    PlanRules {
        shard_map_versions: input.shard_map.version_count() as u64,
        timeline: options.timelines.version(),
        watermark: input.watermark,
        profile: settings.profile,
        max_overlays: settings.max_overlays,
        rollups: settings.rollups.clone(),
        limits: options.limits,
        deletes: input.deletes.entries.len() as u64,
    }
}

/// The shards with the stored bytes of state that each has to read, the most first: a large shard that begins last is
/// waited for by all cores but one.
fn backlog(
    input: &PlanInput,
    manifests: impl Iterator<Item = ShardManifest>,
) -> Result<Vec<(u64, ShardManifest)>> {
    let mut backlog = Vec::new();
    for manifest in manifests {
        let everything = next_step(manifest.shard, &manifest, input, u64::MAX)?;
        let bytes = everything.map_or(0, |step| step.object_bytes());
        backlog.push((bytes, manifest));
    }
    backlog.sort_by_key(|(bytes, _)| Reverse(*bytes));
    Ok(backlog)
}
