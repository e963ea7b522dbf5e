//! What a compaction is to do, and what its tasks have made.

use serde_json::{Map, Value, json};
use skein_shared::Result;
use skein_shared::format::compact_plan::{CompactPlan, PlannedTask};
use skein_shared::format::compact_result::{CompactResult, TaskOutcome};

use crate::inspect::cat::{conservation, segment_entry, text};

pub(super) fn plan(bytes: &[u8]) -> Result<Value> {
    let (id, plan) = CompactPlan::decode(bytes)?;
    let tasks = (0_u32..).zip(&plan.tasks);
    Ok(json!({
        "kind": "compaction plan",
        "write_id": text(&id),
        "plan": text(&plan.id()),
        "watermark": plan.rules.watermark.map(|time| text(&time)),
        "profile": text(&plan.rules.profile),
        "max_overlays": plan.rules.max_overlays,
        "rollups": plan.rules.rollups.iter().map(text).collect::<Vec<_>>(),
        "shard_map_versions": plan.rules.shard_map_versions,
        "timeline": plan.rules.timeline,
        "deletes": plan.rules.deletes,
        "tasks": tasks.map(task).collect::<Vec<_>>(),
    }))
}

fn task((index, task): (u32, &PlannedTask)) -> Value {
    let step = &task.step;
    let advances = step.advances.iter().map(|(chain, advance)| {
        let from = advance.from.map(|from| from.0);
        (text(chain), json!([from, advance.to.0]))
    });
    let series = task.part.series;
    json!({
        "task": index,
        "shard": text(&task.shard),
        "part": task.part.number,
        "parts": task.part.of,
        "first_series": text(&series.first),
        "last_series": text(&series.last),
        "objects": step.objects.len(),
        "object_bytes": step.object_bytes(),
        "payload_bytes": step.raw_bytes(),
        "most_bytes": task.most_bytes,
        "advances": advances.collect::<Map<_, _>>(),
        "complete_to": step.complete_to.map(|time| text(&time)),
        "deletes_due": step.deletes_due,
        "rewrites": step.rewrites.iter().map(text).collect::<Vec<_>>(),
    })
}

pub(super) fn result(bytes: &[u8]) -> Result<Value> {
    let (id, result) = CompactResult::decode(bytes)?;
    let outcome = match &result.outcome {
        TaskOutcome::OverBudget { bytes } => json!({ "over_budget_bytes": bytes }),
        TaskOutcome::Made(delta) => {
            let replaced = delta.replaced.iter();
            let replaced = replaced.map(|(window, keys)| (text(window), json!(keys)));
            json!({
                "added": delta.added.iter().map(segment_entry).collect::<Vec<_>>(),
                "replaced": replaced.collect::<Map<_, _>>(),
                "counts": conservation(&delta.counts),
                "deletes_in_force": delta.deletes.in_force,
                "deletes_applied": delta.deletes.applied,
                "deleted": delta.deletes.deleted,
            })
        }
    };
    Ok(json!({
        "kind": "compaction result",
        "write_id": text(&id),
        "plan": text(&result.plan),
        "task": result.task,
        "shard": text(&result.shard),
        "outcome": outcome,
    }))
}
