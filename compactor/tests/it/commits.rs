//! Concurrent, repeated and crashed compactors (SK-9).

use skein_shared::format::object_key::Prefix;
use skein_shared::manifest_log;

use crate::read_back::{assert_same, expected, live_points, manifests};
use crate::world::{NOON, Record, World, flush_of, record};

fn flushes(count: i64) -> Vec<Vec<Record>> {
    let at = |offset: i64| {
        let points: Vec<_> = (0..20).map(|i| (NOON + offset % 7 + i * 10, offset as f64)).collect();
        record((0, offset, NOON + offset), ([7, 8, 9, 1000][offset as usize % 4], 1), &points)
    };
    (0..count).map(|f| (f * 20..f * 20 + 20).map(at).collect()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_runs_write_one_history() {
    for _ in 0..8 {
        let world = World::new().await;
        let mut points_in = 0;
        let mut superseded = 0;
        let flushes = flushes(4);
        for flush in &flushes {
            world.flush(&flush_of(flush.clone())).await;
            let runs = tokio::join!(world.compact(), world.compact(), world.compact());
            for report in [runs.0, runs.1, runs.2] {
                points_in += report.steps.counts.points_in;
                superseded += report.superseded;
            }
        }
        let records: Vec<_> = flushes.concat();
        assert_same(&live_points(&world).await, &expected(&records));
        assert_eq!(points_in, 4 * 20 * 20, "every point is committed once; superseded={superseded}");
        for (shard, manifest) in manifests(&world.bucket).await {
            let generations = manifest_log::generations(&world.bucket, shard).await.unwrap();
            assert_eq!(generations.len() as u64, manifest.generation.0, "no number is missing");
        }
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
