//! Records are routed by their own time, points are owned by their window's shard: also when the map
//! changes between the two.

use skein_shared::ids::{OrgId, ShardId};
use skein_shared::shard_map::Routing;
use skein_shared::shard_map_log;
use skein_shared::window::TimestampMs;

use crate::read_back::{assert_same, expected, live_points, manifests};
use crate::world::{DAY, NOON, World, flush_of, record};

#[tokio::test(flavor = "multi_thread")]
async fn an_org_that_moves_to_its_own_shard_keeps_every_point_in_one_place() {
    let mut world = World::new().await;
    let points = |start: i64, count: i64| -> Vec<_> {
        (0..count)
            .map(|i| (start + i * DAY / 20, i as f64))
            .collect()
    };
    let before = record((0, 0, NOON + DAY / 2), (7, 1), &points(NOON, 20));
    world.flush(&flush_of(vec![before.clone()])).await;
    world.compact().await;
    let routing = Routing {
        modulus: 3,
        dedicated: [OrgId(7), OrgId(1000)].into(),
    };
    world.map = shard_map_log::load_or_publish(&world.bucket, &routing, TimestampMs(NOON))
        .await
        .unwrap();
    let edge = NOON + 2 * DAY;
    let ahead = record((0, 1, edge - 1), (7, 1), &points(edge - DAY / 2, 30));
    let late = record((0, 2, edge), (7, 1), &points(edge - DAY / 2, 10));
    let poison = {
        let mut record = record((0, 3, edge), (7, 1), &points(edge, 1));
        record.value.push(7);
        record
    };
    let own = ShardId::Dedicated(OrgId(7));
    let shared = ShardId::Shared {
        modulus: 3,
        remainder: 1,
    };
    assert_eq!(
        world
            .map
            .shard_of(OrgId(7), ahead.timestamp.map(TimestampMs)),
        shared
    );
    assert_eq!(
        world
            .map
            .shard_of(OrgId(7), late.timestamp.map(TimestampMs)),
        own
    );
    let flushed = vec![ahead.clone(), late.clone(), poison];
    world.flush(&flush_of(flushed)).await;
    let report = world.compact().await;
    // Reading back asserts that each window lies in the shard that owns it.
    assert_same(
        &live_points(&world).await,
        &expected([&before, &ahead, &late]),
    );
    assert_eq!(report.steps.counts.points_in, 30 + 10);
    assert_eq!(report.steps.counts.quarantined_records, 1);
    let manifests = manifests(&world.bucket).await;
    assert_eq!(manifests[&own].counts.quarantined_records, 1);
    assert!(manifests[&own].live_points() == 20 && manifests[&shared].live_points() == 20 + 10);
}
