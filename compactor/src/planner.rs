//! `skein compact plan`: what is to be done, as tasks that any engine can start.

use std::cmp::Reverse;

use futures::future::LocalBoxFuture;
use skein_config::compactor::CompactorSettings;
use skein_shared::bucket::{Bucket, Created};
use skein_shared::format::compact_plan::{CompactPlan, Part, PlannedTask};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::shard_manifest::ShardManifest;
use skein_shared::ids::{PlanId, WriteId};

use crate::error::Result;
use crate::plan::{PlanInput, next_step, rewrite_with_parts};
use crate::plan_input::{self, Reach};
use crate::receipts;
use crate::run::{RunOptions, rules_of};
use crate::series_split::split;
use crate::task_results::{self, Unfinished};

/// Most parts that a shard is cut into; a larger backlog takes several plans.
const MOST_PARTS: u32 = 256;

/// How much larger than planned a task may be: sizes are known, but how evenly a shard was cut is an estimate.
const OVER_BUDGET: u64 = 3;

/// A plan in the bucket, or none when there is nothing to do.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The plan, and its id.
    pub plan: Option<(PlanId, CompactPlan)>,
    /// What earlier plans had left.
    pub unfinished: Unfinished,
}

/// Commits what earlier plans have finished, then plans all that the ledger has and the manifests do not, and writes
/// the plan to the bucket. With nothing to do it writes nothing. The same bucket and settings give the same plan.
///
/// # Errors
/// What reading the ledger and the manifests gives; [`Error::LedgerGap`](crate::Error::LedgerGap).
pub fn plan<'a>(
    settings: &'a CompactorSettings,
    bucket: &'a Bucket,
    options: &'a RunOptions,
) -> LocalBoxFuture<'a, Result<Planned>> {
    Box::pin(async move {
        let unfinished = task_results::finish_earlier_plans(bucket).await?;
        let input = plan_input::load(bucket, settings, Reach::Unread).await?;
        let Some((mut input, manifests)) = input else {
            let plan = None;
            return Ok(Planned { plan, unfinished });
        };
        input.filter = options.timelines.filter();
        if !input.deletes.entries.is_empty() {
            receipts::keep(bucket).await?;
        }
        let mut shards = Vec::new();
        for (shard, manifest) in &manifests {
            let least = unfinished.splits.get(shard).copied().unwrap_or(1);
            let tasks = tasks_of(bucket, (&input, manifest), settings, least).await?;
            shards.extend((!tasks.is_empty()).then_some(tasks));
        }
        shards.sort_by_key(|tasks| Reverse(weight(tasks)));
        let plan = CompactPlan {
            rules: rules_of(settings, options, &input),
            tasks: shards.into_iter().flatten().collect(),
        };
        if plan.tasks.is_empty() {
            let plan = None;
            return Ok(Planned { plan, unfinished });
        }
        let id = plan.id();
        let (key, write) = (ObjectKey::Plan(id).to_string(), WriteId::random());
        match bucket.create(&key, plan.encode(write), write).await? {
            // Equal content has an equal key: whoever wrote it, it is this plan.
            Created::Ours | Created::Taken => {}
        }
        Ok(Planned {
            plan: Some((id, plan)),
            unfinished,
        })
    })
}

/// The tasks of one shard; none when nothing is to be done.
async fn tasks_of(
    bucket: &Bucket,
    (input, manifest): (&PlanInput, &ShardManifest),
    settings: &CompactorSettings,
    least_parts: u32,
) -> Result<Vec<PlannedTask>> {
    let shard = manifest.shard;
    let task_bytes = settings.step_bytes.0;
    let most = task_bytes.saturating_mul(u64::from(MOST_PARTS));
    let Some(mut step) = next_step(shard, manifest, input, most)? else {
        return Ok(Vec::new());
    };
    let wanted = step
        .raw_bytes()
        .div_ceil(task_bytes)
        .min(u64::from(MOST_PARTS));
    let wanted = u32::try_from(wanted).unwrap_or(MOST_PARTS);
    let wanted = wanted.max(least_parts).clamp(1, MOST_PARTS);
    let parts = match wanted {
        1 => vec![Part::WHOLE],
        parts => split(bucket, &step, parts).await?,
    };
    // Where a sample has too few series to cut by, trying again would not help: what memory cannot hold is spilled.
    let can_be_cut = parts.len() == wanted as usize && wanted < MOST_PARTS;
    let most_bytes = can_be_cut.then(|| task_bytes.saturating_mul(OVER_BUDGET));
    if parts.len() > 1 {
        let rule = (input.filter, settings.max_overlays);
        step.rewrites = rewrite_with_parts(manifest, &step, rule);
    }
    let task = |part| PlannedTask {
        shard,
        part,
        most_bytes,
        step: step.clone(),
    };
    Ok(parts.into_iter().map(task).collect())
}

/// Bytes of one task of a shard.
fn weight(tasks: &[PlannedTask]) -> u64 {
    let step = tasks.first().map_or(0, |task| task.step.raw_bytes());
    step / tasks.len().max(1) as u64
}
