//! Segments that are gone when a step comes to merge them: late is not broken.

use std::sync::Arc;

use futures::FutureExt;
use skein_compactor::Error;
use skein_compactor::garbage::Mode;
use skein_compactor::planned_task::run_task;
use skein_compactor::run::OnProgress;
use skein_config::cutover::timelines::Timelines;
use skein_shared::ErrorKind;
use skein_shared::ids::ShardId;
use tokio_util::sync::CancellationToken;

use crate::delete_races::meanwhile;
use crate::garbage::collect_later;
use crate::incremental::records;
use crate::plans::{planned, task};
use crate::read_back::{assert_same, expected, live_points, manifests};
use crate::world::{DAY, NOON, Record, World, flush_of, settings};

/// Overlays, and later records with which their windows are to be closed.
async fn about_to_close(records: &[Record]) -> Arc<World> {
    let world = Arc::new(World::new().await);
    let (before, after) = records.split_at(records.len() / 2);
    world.flush(&flush_of(before.to_vec())).await;
    world.compact().await;
    world.flush(&flush_of(after.to_vec())).await;
    world.tell_at_end(NOON + 3 * DAY).await;
    world
}

/// Another does the work, and what it has merged is collected long after.
fn others_are_faster(world: &Arc<World>) -> OnProgress {
    let other = Arc::clone(world);
    meanwhile(move || {
        let done = async move {
            other.compact().await;
            let collected = collect_later(&other, Mode::Act).await;
            assert!(collected.objects > 0);
        };
        done.boxed_local()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_segments_were_merged_and_collected_is_superseded() {
    let world = about_to_close(&records(3, 200)).await;
    let (id, _) = planned(&world, &settings()).await;
    let settings = settings();
    let made = run_task(
        &settings,
        &world.bucket,
        Timelines::new_owns_everything(),
        (id, 0),
        (CancellationToken::new(), others_are_faster(&world)),
    );
    let error = made.await.unwrap_err();
    assert!(matches!(error, Error::Superseded { .. }), "{error}");
    assert!(error.to_string().contains("collected"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_segments_were_merged_and_collected_goes_on() {
    let records = records(4, 200);
    let world = about_to_close(&records).await;
    let settings = settings();
    let run = world.compact_telling(&settings, others_are_faster(&world));
    assert!(run.await.unwrap().superseded > 0);
    assert_same(&live_points(&world).await, &expected(&records));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_segment_that_is_missing_is_damage_and_named() {
    let world = about_to_close(&records(5, 200)).await;
    let (id, plan) = planned(&world, &settings()).await;
    let shard: ShardId = plan.tasks[0].shard;
    let manifest = &manifests(&world.bucket).await[&shard];
    let missing = &manifest.raw_segments().next().unwrap().key;
    world.bucket.delete(missing).await.unwrap();
    let error = task(&world, &settings(), id, 0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains(missing), "{error}");
}
