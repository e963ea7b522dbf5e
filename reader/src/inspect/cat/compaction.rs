//! What a compaction is to do, and what its tasks have made.

use serde_json::{Map, Value, json};
use skein_shared::Result;
use skein_shared::format::account::{Account, OrgAccounts};
use skein_shared::format::compact_plan::{CompactPlan, PlannedTask};
use skein_shared::format::compact_result::{CompactResult, TaskOutcome};
use skein_shared::format::seal::Seal;
use skein_shared::format::shard_manifest::{Expiry, SealRef};
use skein_shared::window::Window;

use crate::inspect::cat::{conservation, hex, quarantine, segment_entry, text};

pub(super) fn seal(bytes: &[u8]) -> Result<Value> {
    let (id, seal) = Seal::decode(bytes)?;
    let positions = seal.positions.iter();
    let fills = seal.fills.iter();
    Ok(json!({
        "kind": "seal",
        "write_id": text(&id),
        "shard": text(&seal.shard),
        "expected_generation": seal.expected_generation.0,
        "positions": positions.map(|(chain, to)| (text(chain), json!(to.0))).collect::<Map<_, _>>(),
        "fills": fills.map(|(hole, to)| (text(hole), json!(to.0))).collect::<Map<_, _>>(),
    }))
}

/// What of a shard has expired: the first windows that are kept; those whose raw segments are gone.
pub(super) fn expiry(expiry: &Expiry) -> Value {
    let first = |first: &Option<Window>| first.map(|window| text(&window));
    let cuts = expiry.first_kept().map(|(resolution, cut)| {
        let orgs = cut
            .orgs
            .iter()
            .map(|(org, own)| (text(org), json!(first(own))));
        let cut = json!({
            "everyone": first(&cut.everyone),
            "orgs": orgs.collect::<Map<_, _>>(),
        });
        (text(&resolution), cut)
    });
    json!({
        "first_kept": cuts.collect::<Map<_, _>>(),
        "emptied_windows": expiry.emptied().map(|window| text(&window)).collect::<Vec<_>>(),
        "as_of": expiry.as_of.map(|time| text(&time)),
        "changed_at": expiry.changed_at.0,
    })
}

/// The seals that a manifest names.
pub(super) fn seals(named: &[SealRef]) -> Vec<Value> {
    let seals = named.iter().map(|seal| {
        json!({
            "key": seal.key,
            "crc32c": hex(seal.crc32c),
            "windows": seal.windows.iter().map(text).collect::<Vec<_>>(),
        })
    });
    seals.collect()
}

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
                "damages": delta.damages.iter().map(quarantine::damage_ref).collect::<Vec<_>>(),
                "counts": conservation(&delta.counts),
                "orgs": delta.orgs.as_ref().map(org_counts),
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

pub(super) fn account(bytes: &[u8]) -> Result<Value> {
    let (id, account) = Account::decode(bytes)?;
    Ok(json!({
        "kind": "account",
        "write_id": text(&id),
        "shard": text(&account.shard),
        "expected_generation": account.expected_generation.0,
        "orgs": org_counts(&account.orgs),
        "unreadable_records": account.orgs.unreadable_records,
        "highest_not_owned": marks(&account.orgs),
    }))
}

fn marks(accounts: &OrgAccounts) -> Value {
    let marks = accounts.highest_not_owned.iter();
    let marks = marks.map(|(org, highest)| json!({ "org": org.0, "to": text(highest) }));
    marks.collect()
}

fn org_counts(accounts: &OrgAccounts) -> Value {
    let rows = accounts.orgs.iter().map(|(org, counts)| {
        json!({
            "org": org.0,
            "points_in": counts.points_in,
            "duplicates": counts.duplicates,
            "not_owned": counts.not_owned,
            "deleted": counts.deleted,
            "expired": counts.expired,
            "live_points": counts.live_points(),
            "quarantined_records": counts.quarantined_records,
        })
    });
    rows.collect()
}
