//! What a compaction is to do, and what its tasks made.

use std::collections::{BTreeMap, BTreeSet};

use skein_shared::format::compact_plan::{
    Advance, AllowedFrames, CompactPlan, Part, PlanRules, PlannedObject, PlannedTask, SeriesRange,
    Step,
};
use skein_shared::format::compact_result::{CompactResult, Delta, DeltaDeletes, TaskOutcome};
use skein_shared::format::profile::Profile;
use skein_shared::ids::{Chain, Generation, Hole, PlanId};
use skein_shared::offset::Offset;
use skein_shared::window::{Resolution, Window};

use super::Golden;
use super::compactions::org_accounts;
use super::fixed::{
    WINDOW, at, chain, flush, flushed_object, hole, key, limits, shared_shard, span, stream,
};
use super::manifests::{
    base, counts, damage_refs, deleted, overlay, quarantine_ref, seal_ref, versions,
};

pub(super) fn goldens() -> Vec<Golden> {
    let result = |name, outcome| {
        let sample = CompactResult {
            plan: PlanId(0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100),
            task: 3,
            shard: shared_shard(),
            outcome,
        };
        Golden::of_envelope(name, sample, CompactResult::encode, CompactResult::decode)
    };
    let over_budget = TaskOutcome::OverBudget { bytes: 5_000 };
    vec![
        Golden::of_envelope(
            "compact-plan-1",
            plan(),
            CompactPlan::encode,
            CompactPlan::decode,
        ),
        result("compact-result-1", TaskOutcome::Made(Box::new(delta()))),
        result("compact-result-over-budget-1", over_budget),
    ]
}

/// Two tasks of one input, and a third of another.
fn plan() -> CompactPlan {
    let part = |number, first, last| Part {
        number,
        of: 2,
        series: SeriesRange { first, last },
    };
    let task = |part, step| PlannedTask {
        shard: shared_shard(),
        part,
        most_bytes: Some(1 << 30),
        step,
    };
    let other = Step {
        advances: BTreeMap::from([(chain("points", 9), advance(None))]),
        ..step()
    };
    CompactPlan {
        rules: PlanRules {
            shard_map_versions: 4,
            timeline: 2,
            watermark: Some(at(-7)),
            profile: Profile::Archive,
            max_overlays: 9,
            rollups: vec![Resolution::FiveMinutes, Resolution::OneDay],
            limits: limits(),
            deletes: 4,
        },
        tasks: vec![
            task(part(0, key(1, 2), key(300, 4)), step()),
            task(part(1, key(300, 5), key(u64::MAX, 6)), step()),
            task(part(1, key(3, 5), key(4, 6)), other),
        ],
    }
}

fn step() -> Step {
    let mut allowed = AllowedFrames::default();
    allowed.allow(flush(12), stream(5), span(4_100, 4_150));
    allowed.allow(flush(12), stream(5), span(4_160, 4_200));
    allowed.allow(flush(13), stream(6), span(1, 2));
    let objects = [1, 2].map(|number| PlannedObject {
        flush: flush(12),
        object: flushed_object(number),
    });
    Step {
        objects: objects.to_vec(),
        allowed,
        advances: advances(),
        fill_advances: fill_advances(),
        complete_to: Some(at(-8)),
        rewrites: BTreeSet::from([Window::from_number(-3), WINDOW]),
        deletes_due: 4,
        whole: BTreeSet::from([Window::from_number(-2)]),
    }
}

fn advance(from: Option<i64>) -> Advance {
    Advance {
        from: from.map(Offset),
        to: Offset(4_200),
    }
}

fn advances() -> BTreeMap<Chain, Advance> {
    BTreeMap::from([
        (chain("more", 1), advance(None)),
        (chain("points", 5), advance(Some(4_100))),
    ])
}

fn fill_advances() -> BTreeMap<Hole, Advance> {
    BTreeMap::from([(hole(5), advance(Some(4_010)))])
}

fn delta() -> Delta {
    Delta {
        advances: advances(),
        fill_advances: fill_advances(),
        replaced: BTreeMap::from([(WINDOW, vec!["old-1".into(), "old-2".into()])]),
        added: vec![base(), overlay()],
        quarantine: vec![quarantine_ref(1)],
        seal: Some(seal_ref()),
        counts: counts(),
        versions: versions(),
        damages: damage_refs(),
        deletes: DeltaDeletes {
            in_force: 4,
            applied: 3,
            made_on: Generation(8),
            deleted: deleted(),
        },
        complete_to: Some(at(-5)),
        orgs: Some(org_accounts()),
    }
}
