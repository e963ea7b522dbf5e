//! Segments made anew from state: the same bytes where nothing has changed, and repaired where something has.

use std::collections::BTreeSet;
use std::sync::Arc;

use skein_compactor::Error;
use skein_compactor::rebuild::{Found, Mode, RebuildOptions, WindowRow, rebuild};
use skein_compactor::run::RunOptions;
use skein_shared::ids::WriteId;
use skein_shared::payload::Limits;
use skein_shared::window::{TimeSpan, TimestampMs};
use tokio_util::sync::CancellationToken;

use crate::incremental::{records, summaries};
use crate::read_back::{assert_same, expected, live_points, manifests};
use crate::world::{DAY, NOON, Record, World, flush_of, settings};

pub(crate) async fn rebuilt(world: &World, span: TimeSpan, mode: Mode) -> Vec<WindowRow> {
    try_rebuild(world, Limits::default(), span, mode)
        .await
        .unwrap()
}

async fn try_rebuild(
    world: &World,
    limits: Limits,
    span: TimeSpan,
    mode: Mode,
) -> skein_compactor::Result<Vec<WindowRow>> {
    let options = RunOptions {
        limits,
        timelines: world.timelines().filtered(),
    };
    let what = RebuildOptions {
        shards: BTreeSet::new(),
        span,
        mode,
    };
    let controls = (CancellationToken::new(), Arc::new(|_| ()) as _);
    rebuild(&settings(), &world.bucket, options, &what, controls).await
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
async fn a_segment_or_rollup_that_is_damaged_or_missing_is_replaced() {
    let records = records(4, 150);
    let world = compacted(&records, 3).await;
    let sound = summaries(&world).await;
    let (_, manifest) = manifests(&world.bucket).await.pop_last().unwrap();
    let damaged = manifest.raw_segments().next().unwrap().clone();
    let missing = manifest
        .rollups()
        .find(|s| s.window != damaged.window)
        .unwrap();
    let mut bytes = world
        .bucket
        .get_unchecked(&damaged.key)
        .await
        .unwrap()
        .to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let put = world
        .bucket
        .put(&damaged.key, bytes.into(), WriteId::random());
    put.await.unwrap();
    world.bucket.delete(&missing.key).await.unwrap();

    for (mode, is_replaced) in [(Mode::Compare, false), (Mode::Replace, true)] {
        let rows = rebuilt(&world, TimeSpan::ALL, mode).await;
        let wrong: Vec<&WindowRow> = rows.iter().filter(|r| r.found != Found::Same).collect();
        assert_eq!(wrong.len(), 2);
        for row in wrong {
            assert_eq!((row.shard, row.found), (manifest.shard, Found::Damaged));
            assert_eq!(row.is_replaced, is_replaced);
            assert!([damaged.window, missing.window].contains(&row.window));
        }
    }
    assert_eq!(summaries(&world).await, sound);
    assert_same(&live_points(&world).await, &expected(&records));
    let again = rebuilt(&world, TimeSpan::ALL, Mode::Compare).await;
    assert!(
        again.iter().all(|row| row.found == Found::Same),
        "{again:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_with_other_points_is_left_alone_unless_told_otherwise() {
    let records = records(5, 200);
    let world = compacted(&records[..190], 3).await;
    // A few late points lie over their bases; some of them the bases have already.
    world.flush(&flush_of(records[190..].to_vec())).await;
    world.tell_at_end(NOON + 3 * DAY).await;
    world.compact().await;
    let before = manifests(&world.bucket).await;
    let rows = rebuilt(&world, TimeSpan::ALL, Mode::Replace).await;
    let left = |row: &&WindowRow| row.found == Found::OtherPoints;
    assert!(rows.iter().filter(left).count() > 0);
    assert!(rows.iter().filter(left).all(|row| !row.is_replaced));
    assert_same(&live_points(&world).await, &expected(&records));

    let rows = rebuilt(&world, TimeSpan::ALL, Mode::ReplaceOtherPoints).await;
    assert!(rows.iter().filter(left).all(|row| row.is_replaced));
    assert_ne!(manifests(&world.bucket).await, before);
    assert_same(&live_points(&world).await, &expected(&records));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_would_give_less_is_refused() {
    let world = compacted(&records(7, 100), 2).await;
    let before = manifests(&world.bucket).await;
    let stricter = Limits {
        points: 3,
        ..Limits::default()
    };
    let refused = try_rebuild(&world, stricter, TimeSpan::ALL, Mode::Replace).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, Error::NotRebuildable { .. }), "{error}");
    assert!(error.to_string().contains("[limits]"), "{error}");

    let ledger = world.bucket.list("ledger/", None).await.unwrap();
    let last = ledger
        .iter()
        .rfind(|object| !object.key.ends_with("genesis"))
        .unwrap();
    world.bucket.delete(&last.key).await.unwrap();
    let refused = try_rebuild(&world, Limits::default(), TimeSpan::ALL, Mode::Replace).await;
    let error = refused.unwrap_err();
    assert!(
        error.to_string().contains("the ledger no longer holds"),
        "{error}"
    );
    assert_eq!(manifests(&world.bucket).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn open_windows_are_left_alone_and_later_input_goes_on() {
    let records = records(6, 200);
    let world = World::new().await;
    for part in records[..150].chunks(50) {
        world.flush(&flush_of(part.to_vec())).await;
        world.compact().await;
    }
    // What has not been compacted is not touched either.
    world.flush(&flush_of(records[150..].to_vec())).await;
    let before = manifests(&world.bucket).await;
    assert!(
        rebuilt(&world, TimeSpan::ALL, Mode::Replace)
            .await
            .is_empty()
    );
    assert_eq!(manifests(&world.bucket).await, before);
    world.compact().await;
    assert_same(&live_points(&world).await, &expected(&records));
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
