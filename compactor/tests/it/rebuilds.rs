//! Segments made anew from state: the same bytes where nothing has changed, and repaired where something has.

use std::collections::BTreeSet;
use std::sync::Arc;

use skein_compactor::rebuild::{Found, Mode, RebuildOptions, WindowRow, rebuild};
use skein_compactor::run::RunOptions;
use skein_config::cutover::timeline::Timelines;
use skein_shared::ids::WriteId;
use skein_shared::payload::Limits;
use skein_shared::window::{Resolution, TimeSpan, TimestampMs};
use tokio_util::sync::CancellationToken;

use crate::incremental::{records, summaries};
use crate::read_back::{assert_same, expected, live_points, manifests};
use crate::world::{DAY, NOON, Record, World, flush_of, settings};

async fn rebuilt(world: &World, span: TimeSpan, mode: Mode) -> Vec<WindowRow> {
    let options = RunOptions {
        limits: Limits::default(),
        timelines: Timelines::new_owns_everything(),
    };
    let what = RebuildOptions {
        shards: BTreeSet::new(),
        span,
        mode,
    };
    let controls = (CancellationToken::new(), Arc::new(|_| ()) as _);
    rebuild(&settings(), &world.bucket, options, &what, controls)
        .await
        .unwrap()
}

async fn keys(world: &World) -> Vec<String> {
    let listed = world.bucket.list("", None).await.unwrap();
    listed.into_iter().map(|object| object.key).collect()
}

/// Runs over `cuts` parts of the records, and the windows closed at the end.
async fn compacted(records: &[Record], cuts: usize) -> World {
    let world = World::new().await;
    for part in records.chunks(records.len().div_ceil(cuts)) {
        world.flush(&flush_of(part.to_vec())).await;
        world.compact().await;
    }
    world.tell_at_end(NOON + 3 * DAY).await;
    world.compact().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_gives_the_bytes_of_incremental_runs_and_writes_nothing() {
    for (seed, cuts) in [(1, 1), (2, 5), (3, 9)] {
        let world = compacted(&records(seed, 150), cuts).await;
        let before = manifests(&world.bucket).await;
        let there = keys(&world).await;
        for mode in [Mode::Compare, Mode::Replace] {
            let rows = rebuilt(&world, TimeSpan::ALL, mode).await;
            assert!(rows.len() > 3);
            assert!(rows.iter().all(|row| row.found == Found::Same), "{rows:?}");
            assert_eq!(manifests(&world.bucket).await, before);
        }
        assert_eq!(keys(&world).await, there, "nothing of the rebuild is left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_segment_is_repaired() {
    let records = records(4, 150);
    let world = compacted(&records, 3).await;
    let sound = summaries(&world).await;
    let (_, manifest) = manifests(&world.bucket).await.pop_last().unwrap();
    let damaged = manifest.raw_segments().next().unwrap().clone();
    let bytes = world.bucket.get_unchecked(&damaged.key).await.unwrap();
    let put = world
        .bucket
        .put(&damaged.key, bytes.slice(1..), WriteId::random());
    put.await.unwrap();
    // A manifest that says of its segment what is no longer so is what a compactor of another build could have left.
    let mut wrong = manifest.clone();
    wrong.generation.0 += 1;
    for segment in wrong.segments.iter_mut().filter(|s| s.key == damaged.key) {
        segment.summary.crc32c ^= 1;
    }
    skein_shared::manifest_log::commit(&world.bucket, &wrong, WriteId::random())
        .await
        .unwrap();

    let rows = rebuilt(&world, damaged.window.span(), Mode::Replace).await;
    let replaced: Vec<&WindowRow> = rows.iter().filter(|r| r.found != Found::Same).collect();
    assert_eq!(replaced.len(), 1);
    assert_eq!(
        (replaced[0].shard, replaced[0].window),
        (manifest.shard, damaged.window)
    );
    assert_eq!(summaries(&world).await, sound);
    assert_same(&live_points(&world).await, &expected(&records));
}

#[tokio::test(flavor = "multi_thread")]
async fn overlays_become_what_a_merge_gives_and_later_input_goes_on() {
    let records = records(5, 200);
    let world = World::new().await;
    for part in records[..150].chunks(50) {
        world.flush(&flush_of(part.to_vec())).await;
        world.compact().await;
    }
    // What has not been compacted is not touched.
    world.flush(&flush_of(records[150..].to_vec())).await;
    let rows = rebuilt(&world, TimeSpan::ALL, Mode::Replace).await;
    assert!(rows.iter().any(|row| row.found == Found::OtherBytes));
    assert!(rows.iter().all(|row| row.found != Found::OtherPoints));
    assert_same(&live_points(&world).await, &expected(&records[..150]));
    world.compact().await;
    assert_same(&live_points(&world).await, &expected(&records));
    let rolled = manifests(&world.bucket).await;
    let mut live = rolled.values().flat_map(|m| &m.segments);
    assert!(live.all(|segment| segment.resolution == Resolution::Raw));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_chosen_windows_are_rebuilt() {
    let world = compacted(&records(6, 150), 3).await;
    let span = TimeSpan {
        from: TimestampMs(NOON),
        to: TimestampMs(NOON + 1),
    };
    let rows = rebuilt(&world, span, Mode::Compare).await;
    assert!(!rows.is_empty());
    assert!(
        rows.iter()
            .all(|row| row.window.span().contains(TimestampMs(NOON)))
    );
}
