//! A plan's tasks, in whatever order and however often they run, give what one run gives.

use std::sync::Arc;

use skein_compactor::Error;
use skein_compactor::planned_task::{TaskReport, run_task};
use skein_compactor::planner::{self, Planned};
use skein_compactor::run::RunOptions;
use skein_compactor::task_results::ShardProgress;
use skein_config::compactor::CompactorSettings;
use skein_shared::format::compact_plan::CompactPlan;
use skein_shared::format::shard_manifest::Layer;
use skein_shared::ids::{PlanId, ShardId, WriteId};
use skein_shared::payload::Limits;
use skein_shared::units::ByteCount;
use tokio_util::sync::CancellationToken;

use crate::incremental::{records, summaries};
use crate::read_back::{assert_same, expected, live_points, manifests};
use crate::world::{DAY, NOON, World, flush_of, settings};

pub(crate) async fn plan(world: &World, settings: &CompactorSettings) -> Planned {
    let options = RunOptions {
        limits: Limits::default(),
        timelines: world.timelines(),
    };
    planner::plan(settings, &world.bucket, &options)
        .await
        .unwrap()
}

pub(crate) async fn task(
    world: &World,
    settings: &CompactorSettings,
    id: PlanId,
    index: usize,
) -> skein_compactor::Result<TaskReport> {
    let index = u32::try_from(index).unwrap();
    run_task(
        settings,
        &world.bucket,
        world.timelines(),
        (id, index),
        (CancellationToken::new(), Arc::new(|_| ())),
    )
    .await
}

pub(crate) async fn planned(world: &World, settings: &CompactorSettings) -> (PlanId, CompactPlan) {
    plan(world, settings).await.plan.unwrap()
}

/// Small enough that every shard with records is cut into parts.
pub(crate) fn split_settings() -> CompactorSettings {
    CompactorSettings {
        step_bytes: ByteCount(2_000),
        ..settings()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tasks_of_a_plan_give_the_segments_of_a_run() {
    let records = records(3, 200);
    let (one, other) = (World::new().await, World::new().await);
    let flush = flush_of(records.clone());
    for world in [&one, &other] {
        world.flush(&flush).await;
    }
    one.compact().await;
    let (id, plan) = planned(&other, &settings()).await;
    let shards: Vec<ShardId> = plan.tasks.iter().map(|task| task.shard).collect();
    assert_eq!(shards.len(), 4, "shards without records advance too");
    let bytes: Vec<u64> = plan
        .tasks
        .iter()
        .map(|task| task.step.raw_bytes())
        .collect();
    assert!(
        bytes.is_sorted_by(|a, b| a >= b),
        "the largest first: {bytes:?}"
    );
    for index in (0..plan.tasks.len()).rev() {
        let report = task(&other, &settings(), id, index).await.unwrap();
        assert!(matches!(report.shard, ShardProgress::Committed(_)));
    }
    assert_eq!(summaries(&one).await, summaries(&other).await);
    assert_same(&live_points(&other).await, &expected(&records));

    let again = self::plan(&other, &settings()).await;
    assert!(again.plan.is_none(), "nothing is left to do");
    let left = other.bucket.list("plans/", None).await.unwrap();
    assert!(left.is_empty(), "a plan that is done goes away");
    assert!(
        other
            .bucket
            .list("results/", None)
            .await
            .unwrap()
            .is_empty()
    );
    let gone = task(&other, &settings(), id, 0).await.unwrap_err();
    assert!(matches!(gone, Error::PlanGone { .. }), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bucket_and_settings_give_the_same_plan() {
    let world = World::new().await;
    world.flush(&flush_of(records(4, 60))).await;
    let (first, plan) = planned(&world, &split_settings()).await;
    let (again, _) = planned(&world, &split_settings()).await;
    assert_eq!(first, again);
    assert!(plan.tasks.iter().any(|task| task.part.of > 1));
    let (other, _) = planned(&world, &settings()).await;
    assert_ne!(first, other);
}

/// Plans, runs every task in order, and looks that each shard is committed by its last part and not before.
pub(crate) async fn run_plan(world: &World, settings: &CompactorSettings) -> CompactPlan {
    let (id, plan) = planned(world, settings).await;
    let before = manifests(&world.bucket).await;
    for (index, planned) in plan.tasks.iter().enumerate() {
        let report = task(world, settings, id, index).await.unwrap();
        let is_last = planned.part.number + 1 == planned.part.of;
        let is_committed = matches!(report.shard, ShardProgress::Committed(_));
        assert_eq!(is_committed, is_last, "{:?}", report.shard);
        if !is_last {
            let now = manifests(&world.bucket).await;
            assert_eq!(now.get(&planned.shard), before.get(&planned.shard));
        }
    }
    plan
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_shard_is_cut_into_parts_and_committed_once() {
    for (seed, max_overlays) in [(0, 1), (1, 2), (2, 1), (3, 8)] {
        let records = records(seed, 300);
        let world = World::new().await;
        let settings = CompactorSettings {
            max_overlays,
            ..split_settings()
        };
        let closes = seed % 2 == 0;
        // Twice: the second time live segments are there, and some are merged.
        world.flush(&flush_of(records[..150].to_vec())).await;
        let plan = run_plan(&world, &settings).await;
        assert!(plan.tasks.iter().any(|task| task.part.of > 1));
        world.flush(&flush_of(records[150..].to_vec())).await;
        if closes {
            world.tell_at_end(NOON + 3 * DAY).await;
        }
        run_plan(&world, &settings).await;
        assert_same(&live_points(&world).await, &expected(&records));
        let live = manifests(&world.bucket).await;
        let mut live = live.values().flat_map(|m| &m.segments);
        assert!(!closes || live.all(|segment| segment.layer == Layer::Base));
        // A merge of parts is no other than a merge of whole segments.
        world.tell_at_end(NOON + 4 * DAY).await;
        world.compact().await;
        assert_same(&live_points(&world).await, &expected(&records));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_run_twice_or_at_once_do_no_harm() {
    let records = records(7, 200);
    let world = World::new().await;
    world.flush(&flush_of(records.clone())).await;
    let (id, plan) = planned(&world, &split_settings()).await;
    let settings = split_settings();
    for index in 0..plan.tasks.len() {
        let (one, two) = at_once(&world, &settings, id, index).await;
        // Also the one that was not quick enough to commit has done what it was to do.
        assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
        // A third finds the result, or that the shard has moved on.
        let third = task(&world, &settings, id, index).await.unwrap();
        assert!(third.did.is_none());
    }
    assert_same(&live_points(&world).await, &expected(&records));
}

async fn at_once(
    world: &World,
    settings: &CompactorSettings,
    id: PlanId,
    index: usize,
) -> (
    skein_compactor::Result<TaskReport>,
    skein_compactor::Result<TaskReport>,
) {
    tokio::join!(
        task(world, settings, id, index),
        task(world, settings, id, index)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_a_run_has_overtaken_is_superseded_and_removed() {
    let records = records(8, 100);
    let world = World::new().await;
    world.flush(&flush_of(records.clone())).await;
    let (id, plan) = planned(&world, &split_settings()).await;
    task(&world, &split_settings(), id, 0).await.unwrap();
    world.compact().await;
    for index in 1..plan.tasks.len() {
        let error = task(&world, &split_settings(), id, index)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Superseded { .. }), "{error}");
    }
    assert!(self::plan(&world, &settings()).await.plan.is_none());
    assert!(world.bucket.list("plans/", None).await.unwrap().is_empty());
    assert_same(&live_points(&world).await, &expected(&records));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_plan_commits_what_the_last_task_did_not_live_to_commit() {
    let records = records(9, 100);
    let world = World::new().await;
    world.flush(&flush_of(records.clone())).await;
    let (id, plan) = planned(&world, &split_settings()).await;
    // The results of all parts, written as if by tasks that were killed before they could commit.
    let elsewhere = World::new().await;
    elsewhere.copy_from(&world).await;
    for index in 0..plan.tasks.len() {
        task(&elsewhere, &split_settings(), id, index)
            .await
            .unwrap();
    }
    world.copy_results_from(&elsewhere).await;
    assert!(manifests(&world.bucket).await.is_empty());
    let later = self::plan(&world, &split_settings()).await;
    assert_eq!(later.unfinished.committed.len(), 4);
    assert!(later.plan.is_none());
    assert_same(&live_points(&world).await, &expected(&records));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_over_budget_makes_the_next_plan_split_the_shard() {
    let records = records(10, 300);
    let world = World::new().await;
    world.flush(&flush_of(records.clone())).await;
    // What a plan says is an estimate: here it says far too little.
    let (_, mut plan) = planned(&world, &settings()).await;
    plan.tasks[0].most_bytes = Some(900);
    let id = world.put_plan(&plan).await;
    let error = task(&world, &settings(), id, 0).await.unwrap_err();
    assert!(matches!(error, Error::OverBudget { .. }), "{error}");
    let again = task(&world, &settings(), id, 0).await.unwrap_err();
    assert!(matches!(again, Error::OverBudget { .. }), "{again}");
    assert!(manifests(&world.bucket).await.is_empty());
    let next = self::plan(&world, &settings()).await;
    let shard = plan.tasks[0].shard;
    assert_eq!(next.unfinished.splits.get(&shard), Some(&2));
    let (id, next) = next.plan.unwrap();
    let of_shard = next.tasks.iter().filter(|task| task.shard == shard);
    assert_eq!(of_shard.count(), 2);
    for index in 0..next.tasks.len() {
        task(&world, &settings(), id, index).await.unwrap();
    }
    assert_same(&live_points(&world).await, &expected(&records));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_a_plan_lacks_is_named() {
    let world = World::new().await;
    world.flush(&flush_of(records(1, 10))).await;
    let (id, plan) = planned(&world, &settings()).await;
    let error = task(&world, &settings(), id, plan.tasks.len())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("has no task 4: it has 4"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_preempted_leaves_nothing_that_counts() {
    let records = records(2, 100);
    let world = World::new().await;
    world.flush(&flush_of(records.clone())).await;
    let (id, _) = planned(&world, &settings()).await;
    let settings = settings();
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let task = run_task(
        &settings,
        &world.bucket,
        world.timelines(),
        (id, 0),
        (cancelled, Arc::new(|_| ())),
    );
    let error = task.await.unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    assert!(
        world
            .bucket
            .list("results/", None)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(manifests(&world.bucket).await.is_empty());
    run_plan(&world, &settings).await;
    assert_same(&live_points(&world).await, &expected(&records));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_or_result_that_does_not_read_back_stops_nobody() {
    for prefix in ["plans/", "results/"] {
        let records = records(11, 200);
        let world = World::new().await;
        world.flush(&flush_of(records.clone())).await;
        let (id, plan) = planned(&world, &split_settings()).await;
        // Its shard waits for the other parts.
        let first = plan.tasks.iter().position(|task| task.part.of > 1).unwrap();
        task(&world, &split_settings(), id, first).await.unwrap();
        let listed = world.bucket.list(prefix, None).await.unwrap();
        let damaged = bytes::Bytes::from_static(b"damaged");
        let put = world.bucket.put(&listed[0].key, damaged, WriteId::random());
        put.await.unwrap();
        run_plan(&world, &split_settings()).await;
        assert_same(&live_points(&world).await, &expected(&records));
    }
}
