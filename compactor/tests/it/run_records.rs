//! What runs and tasks took is kept, and only of those that did something.

use std::time::Duration;

use skein_config::compactor::CompactorSettings;
use skein_shared::format::run_record::{RunEnd, RunKind, RunRecord, StagePlace};
use skein_shared::run_log;

use crate::incremental::records;
use crate::plans::{planned, task};
use crate::world::{DAY, NOON, World, flush_of, settings};

async fn kept(world: &World) -> Vec<RunRecord> {
    run_log::newest(&world.bucket, 100).await.unwrap()
}

fn pieces(record: &RunRecord, stage: &str) -> u64 {
    let mut stages = record.stages.iter();
    let stage = stages.find(|recorded| recorded.name == stage);
    stage.map_or(0, |stage| stage.time.pieces())
}

/// Stages of tasks never overlap: together they are no longer than the tasks.
#[track_caller]
fn assert_within_tasks(record: &RunRecord) {
    let in_tasks = record
        .stages
        .iter()
        .filter(|stage| stage.place == StagePlace::InTask);
    let timed: Duration = in_tasks.map(|stage| stage.time.total()).sum();
    assert!(!timed.is_zero(), "{record:?}");
    assert!(timed <= record.did.tasks, "{record:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_keeps_a_record_of_what_it_did_and_took() {
    let world = World::new().await;
    world.flush(&flush_of(records(5, 200))).await;
    let report = world.compact().await;
    world.tell_at_end(NOON + 3 * DAY).await;
    let closing = world.compact().await;
    assert!(closing.steps.points_merged > 0);
    let kept = kept(&world).await;
    assert_eq!(kept.len(), 2);
    for (record, report) in kept.iter().zip([&closing, &report]) {
        assert_eq!((record.of, record.ended), (RunKind::Run, RunEnd::Done));
        assert_eq!(record.did.points_in, report.steps.counts.points_in);
        assert_eq!(record.did.points_merged, report.steps.points_merged);
        assert_eq!(record.did.points_out, report.steps.points_out);
        assert_eq!(record.did.object_bytes, report.steps.object_bytes);
        assert_eq!(record.did.shards_advanced, report.shards_advanced as u64);
        assert_eq!(record.threads, 2);
        assert_eq!(pieces(record, "commit"), report.steps.generations);
        let segments = report.steps.segments + report.steps.rollups;
        assert_eq!(pieces(record, "upload"), segments);
        // Each batch that is merged is encoded; so is each window's end.
        assert!(pieces(record, "encode") > 0 && pieces(record, "merge") > 0);
        assert_within_tasks(record);
    }
    let [of_closing, of_first] = &kept[..] else {
        panic!("there are two");
    };
    assert!(pieces(of_first, "fetch") > 0 && pieces(of_first, "decode") > 0);
    assert_eq!(pieces(of_closing, "decode"), 0, "nothing came in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_did_nothing_keeps_none() {
    let world = World::new().await;
    world.compact().await;
    world.flush(&flush_of(records(5, 40))).await;
    world.compact().await;
    let before = world.bucket.requests().writes();
    world.compact().await;
    assert_eq!(world.bucket.requests().writes(), before);
    assert_eq!(kept(&world).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_keeps_a_record_of_its_own_once() {
    let world = World::new().await;
    world.flush(&flush_of(records(3, 100))).await;
    let (id, plan) = planned(&world, &settings()).await;
    for index in 0..plan.tasks.len() {
        task(&world, &settings(), id, index).await.unwrap();
        // Run again it finds its result.
        let again = task(&world, &settings(), id, index).await.unwrap();
        assert!(again.did.is_none());
    }
    let kept = kept(&world).await;
    let mut indexes: Vec<u32> = kept
        .iter()
        .map(|record| {
            let RunKind::Task { plan, index } = record.of else {
                panic!("{:?}", record.of);
            };
            assert_eq!(plan, id);
            index
        })
        .collect();
    indexes.sort_unstable();
    let tasks = u32::try_from(plan.tasks.len()).unwrap();
    assert_eq!(indexes, (0..tasks).collect::<Vec<_>>());
    for record in &kept {
        assert_eq!((record.did.shards, record.did.shards_advanced), (1, 1));
        assert_within_tasks(record);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_newest_records_are_kept() {
    let world = World::new().await;
    let two = CompactorSettings {
        run_records: 2,
        ..settings()
    };
    let all = records(7, 100);
    let mut runs = Vec::new();
    for part in all.chunks(20) {
        world.flush(&flush_of(part.to_vec())).await;
        world.compact_with(&two).await.unwrap();
        let kept: Vec<_> = kept(&world).await.iter().map(|it| it.run).collect();
        assert!(!runs.contains(&kept[0]), "the new one is the newest");
        runs.insert(0, kept[0]);
        assert_eq!(kept, runs[..2.min(runs.len())]);
    }
    let none = CompactorSettings {
        run_records: 0,
        ..settings()
    };
    let before = kept(&world).await;
    world.tell_at_end(NOON + 3 * DAY).await;
    let report = world.compact_with(&none).await.unwrap();
    assert!(report.steps.generations > 0);
    assert_eq!(kept(&world).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_found_by_the_name_of_its_run() {
    let world = World::new().await;
    world.flush(&flush_of(records(5, 40))).await;
    world.compact().await;
    let name = kept(&world).await[0].run;
    let found = run_log::find(&world.bucket, name).await.unwrap();
    assert_eq!(found.unwrap().run, name);
    let nobody = skein_shared::format::object_key::Attempt(!name.0);
    assert!(
        run_log::find(&world.bucket, nobody)
            .await
            .unwrap()
            .is_none()
    );
}
