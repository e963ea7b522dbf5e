//! Concurrent, repeated and crashed compactors (SK-9).

use skein_compactor::report::RunReport;
use skein_shared::format::object_key::Prefix;
use skein_shared::manifest_log;

use crate::read_back::{assert_same, expected, live_points, manifests};
use crate::world::{NOON, Record, World, flush_of, record};

fn flushes(count: i64) -> Vec<Vec<Record>> {
    let orgs = [7, 8, 9, 1000].into_iter().cycle();
    let records = (0..count * 20).zip(orgs).map(|(offset, org)| {
        let points: Vec<_> = (0..20)
            .map(|i| (NOON + offset % 7 + i * 10, offset as f64))
            .collect();
        record((0, offset, NOON + offset), (org, 1), &points)
    });
    let records: Vec<_> = records.collect();
    records.chunks(20).map(<[Record]>::to_vec).collect()
}

async fn assert_no_number_is_missing(world: &World) {
    for (shard, manifest) in manifests(&world.bucket).await {
        let generations = manifest_log::generations(&world.bucket, shard).await;
        assert_eq!(generations.unwrap().len() as u64, manifest.generation.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_runs_write_one_history() {
    for _ in 0..8 {
        let world = World::new().await;
        let mut points_in = 0;
        let flushes = flushes(4);
        for flush in &flushes {
            world.flush(&flush_of(flush.clone())).await;
            let runs = tokio::join!(world.compact(), world.compact(), world.compact());
            let points = |report: RunReport| report.steps.counts.points_in;
            points_in += points(runs.0) + points(runs.1) + points(runs.2);
        }
        let records: Vec<_> = flushes.concat();
        assert_same(&live_points(&world).await, &expected(&records));
        assert_eq!(points_in, 4 * 20 * 20, "every point is committed once");
        assert_no_number_is_missing(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_died_between_segments_and_commit_is_done_again() {
    let world = World::new().await;
    let records: Vec<_> = flushes(2).concat();
    world.flush(&flush_of(records.clone())).await;
    world.compact().await;
    // Without its manifests the bucket is as if the run had died before the commits.
    for object in world.bucket.list(Prefix::MANIFESTS, None).await.unwrap() {
        world.bucket.delete(&object.key).await.unwrap();
    }
    let report = world.compact().await;
    assert_eq!(report.steps.counts.points_in, 2 * 20 * 20);
    assert_same(&live_points(&world).await, &expected(&records));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_no_connector_has_used_is_nothing_to_do() {
    let world = World::new().await;
    for object in world.bucket.list(Prefix::SHARD_MAP, None).await.unwrap() {
        world.bucket.delete(&object.key).await.unwrap();
    }
    let writes = world.bucket.requests().writes();
    let report = world.compact().await;
    assert_eq!((report.shards, report.steps.generations), (0, 0));
    assert_eq!(world.bucket.requests().writes(), writes);
}
