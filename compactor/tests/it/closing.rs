//! A window that the watermark has passed becomes one base; what comes later lies over it.

use skein_config::compactor::CompactorSettings;
use skein_shared::format::shard_manifest::{Layer, SegmentEntry};
use skein_shared::ids::{OrgId, ShardId};
use skein_shared::window::{TimestampMs, Window};

use crate::read_back::{assert_same, expected, live_points, manifests};
use crate::world::{DAY, NOON, Record, World, flush_of, record, settings};

const MINUTE: i64 = 60_000;
const OVERLAY: Layer = Layer::Overlay { steps: 1 };

/// A record of `count` points from `start` on.
fn points_from(offset: i64, start: i64, count: u32) -> Record {
    let points: Vec<_> = (0..count)
        .map(|i| (start + i64::from(i) * 1000, f64::from(i) + 0.5))
        .collect();
    record((0, offset, start), (1000, 7), &points)
}

/// Live segments of org 1000 in the window that begins at `start`.
async fn live(world: &World, start: i64) -> Vec<SegmentEntry> {
    let window = Window::of(TimestampMs(start));
    let mut manifests = manifests(&world.bucket).await;
    let manifest = manifests.remove(&ShardId::Dedicated(OrgId(1000))).unwrap();
    let segments = manifest.segments.into_iter();
    let raw = segments.filter(|s| s.window == window && s.resolution.is_raw());
    raw.collect()
}

fn layers(live: &[SegmentEntry]) -> Vec<Layer> {
    live.iter().map(|segment| segment.layer).collect()
}

/// Each record in a flush and a run of its own.
async fn compact_one_by_one(world: &World, records: &[Record]) {
    for record in records {
        world.flush(&flush_of(vec![record.clone()])).await;
        world.compact().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_becomes_one_base_once_the_watermark_has_passed_it() {
    let world = World::new().await;
    let mut records: Vec<Record> = (0..3)
        .map(|i| points_from(i, NOON + i * MINUTE, 20))
        .collect();
    records.push(points_from(3, NOON + DAY, 20));
    compact_one_by_one(&world, &records).await;
    assert_eq!(layers(&live(&world, NOON).await), [OVERLAY; 3]);

    // The delay of five minutes counts: the window is not complete at its very end.
    world.tell_at_end(NOON + DAY + 4 * MINUTE).await;
    assert_eq!(world.compact().await.steps.generations, 0);
    world.tell_at_end(NOON + DAY + 6 * MINUTE).await;
    let report = world.compact().await;
    assert_eq!(report.steps.generations, 1);
    assert_eq!(report.steps.points_merged, 60);
    assert_eq!(layers(&live(&world, NOON).await), [Layer::Base]);
    assert_eq!(layers(&live(&world, NOON + DAY).await), [OVERLAY]);
    assert_same(&live_points(&world).await, &expected(&records));

    let before = world.bucket.requests().writes();
    assert_eq!(world.compact().await.steps.generations, 0);
    assert_eq!(world.bucket.requests().writes(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn late_points_lie_over_the_base_until_they_are_worth_rewriting_it() {
    let world = World::new().await;
    let mut records = vec![points_from(0, NOON, 100)];
    world.flush(&flush_of(records.clone())).await;
    world.tell_at_end(NOON + 2 * DAY).await;
    world.compact().await;
    let base = live(&world, NOON).await;
    assert_eq!(layers(&base), [Layer::Base], "written closed at once");

    for (offset, expected_layers) in [
        (1, vec![Layer::Base, OVERLAY]),
        (2, vec![Layer::Base, OVERLAY, OVERLAY]),
        (3, vec![Layer::Base, OVERLAY, OVERLAY, OVERLAY]),
        (4, vec![Layer::Base]),
    ] {
        // Half of it is of times that the base has: the later record wins.
        let late = points_from(offset, NOON + 96_000 + offset * 10_000, 9);
        compact_one_by_one(&world, std::slice::from_ref(&late)).await;
        records.push(late);
        world.tell_at_end(NOON + 2 * DAY + offset).await;
        let live = live(&world, NOON).await;
        assert_eq!(layers(&live), expected_layers);
        assert_eq!(live[0].key == base[0].key, offset < 4);
    }
    assert_same(&live_points(&world).await, &expected(&records));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_days_steps_are_merged_so_that_few_segments_are_open() {
    let world = World::new().await;
    let records: Vec<Record> = (0..20)
        .map(|i| points_from(i, NOON + i * MINUTE, 10))
        .collect();
    let settings = CompactorSettings {
        max_overlays: 3,
        ..settings()
    };
    let mut written = 0;
    for record in &records {
        world.flush(&flush_of(vec![record.clone()])).await;
        written += world
            .compact_with(&settings)
            .await
            .unwrap()
            .steps
            .points_out;
        assert!(live(&world, NOON).await.len() <= 3);
    }
    // 20 = C(6, 3)
    let steps = Layer::Overlay { steps: 20 };
    assert_eq!(layers(&live(&world, NOON).await), [steps]);
    assert_eq!(written, 650, "each point is written 3.25 times on average");
    assert_same(&live_points(&world).await, &expected(&records));
}
