//! Which frames count, and what they become.

use skein_shared::format::quarantine::QuarantineList;
use skein_shared::ids::{OrgId, ShardId, Tenure};

use crate::read_back::{assert_same, expected, live_points, manifests};
use crate::world::{DAY, NOON, World, flush_of, record, tenure_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_counts_only_if_the_ledger_names_its_flush_tenure_and_offset() {
    let world = World::new().await;
    let at = |offset| record((0, offset, NOON), (7, 1), &[(NOON + offset, offset as f64)]);
    let records: Vec<_> = (0..20).map(at).collect();
    // A flush that no entry names.
    world.seal(&flush_of(records.clone()), Tenure(1)).await;
    // A flush whose tenure is another than the entry's, and later one with the right tenure.
    let wrong_tenure = flush_of(records.clone());
    world.seal(&wrong_tenure, Tenure(2)).await;
    world
        .make_durable(wrong_tenure.id, tenure_of(Tenure(1), 0), 0, [0, 5])
        .await;
    // A flush of which the ledger holds a part.
    let partly = flush_of(records.clone());
    world.seal(&partly, Tenure(1)).await;
    world
        .make_durable(partly.id, tenure_of(Tenure(1), 0), 0, [5, 12])
        .await;
    let report = world.compact().await;
    assert_same(&live_points(&world).await, &expected(&records[5..12]));
    assert_eq!(report.steps.counts.records, 7);
    assert!(report.steps.void_frames > 0);
    // The rest becomes durable later, from the same objects.
    world
        .make_durable(partly.id, tenure_of(Tenure(1), 0), 0, [12, 20])
        .await;
    world.compact().await;
    assert_same(&live_points(&world).await, &expected(&records[5..20]));
}

#[tokio::test(flavor = "multi_thread")]
async fn late_points_and_payloads_over_window_edges_go_to_their_windows() {
    let world = World::new().await;
    let points: Vec<_> = (-30..30).map(|i| (NOON + i * DAY / 10, i as f64)).collect();
    let records = vec![
        record((0, 3, NOON + 3 * DAY), (7, 1), &points),
        record((1, 0, NOON + 3 * DAY), (1000, 1), &points[20..]),
        record(
            (0, 4, NOON + 4 * DAY),
            (7, 1),
            &[(NOON - 40 * DAY, 0.5), (NOON, -0.0)],
        ),
    ];
    world.flush(&flush_of(records.clone())).await;
    let report = world.compact().await;
    let expected = expected(&records);
    assert_same(&live_points(&world).await, &expected);
    assert_eq!(report.steps.counts.duplicates, 1);
    assert_eq!(report.steps.points_out, expected.len() as u64);
    let manifests = manifests(&world.bucket).await;
    assert_eq!(
        manifests[&ShardId::Dedicated(OrgId(1000))].segments.len(),
        4
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bit_of_a_value_and_times_at_the_ends_of_time_come_through() {
    let world = World::new().await;
    let values = [
        f64::from_bits(0x7ff8_0000_dead_beef),
        f64::from_bits(0xfff0_0000_0000_0001),
        f64::NEG_INFINITY,
        f64::MIN_POSITIVE / 2.0,
        -0.0,
    ];
    let points: Vec<_> = (0..)
        .zip(values)
        .map(|(i, value)| (NOON + i, value))
        .collect();
    let mut ends = record(
        (0, 1, NOON),
        (7, 2),
        &[(i64::MIN, 1.0), (-1, 2.0), (i64::MAX - 1, 3.0)],
    );
    // No record timestamp, no limit on times.
    ends.timestamp = None;
    let records = vec![record((0, 0, NOON), (7, 1), &points), ends];
    world.flush(&flush_of(records.clone())).await;
    world.compact().await;
    assert_same(&live_points(&world).await, &expected(&records));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_become_points_is_listed_with_its_place_and_reason() {
    let world = World::new().await;
    let good = record((0, 0, NOON), (7, 1), &[(NOON, 1.0)]);
    let mut garbage = record((0, 1, NOON), (7, 1), &[(NOON, 2.0)]);
    garbage.value.truncate(garbage.value.len() - 3);
    let mut other_org = record((0, 2, NOON), (7, 1), &[(NOON, 3.0)]);
    other_org.header = Some("4");
    let too_old = record((1, 9, NOON), (7, 1), &[(NOON - 20_000 * DAY, 4.0)]);
    let records = vec![good.clone(), garbage, other_org, too_old];
    world.flush(&flush_of(records)).await;
    let report = world.compact().await;
    assert_eq!(report.steps.counts.quarantined_records, 3);
    assert_eq!(report.steps.counts.records, 4);
    assert_same(&live_points(&world).await, &expected([&good]));
    let shard = world.map.newest().shard_of(OrgId(7));
    let manifest = &manifests(&world.bucket).await[&shard];
    let listed = &manifest.quarantine[0];
    let bytes = world.bucket.get(&listed.key).await.unwrap();
    let (_, list) = QuarantineList::decode(&bytes).unwrap();
    assert_eq!(listed.records, 3);
    let reasons: Vec<_> = list
        .records
        .iter()
        .map(|r| {
            (
                r.position.chain.partition.0,
                r.position.offset.0,
                r.reason_code,
            )
        })
        .collect();
    assert_eq!(reasons, [(0, 1, 5), (0, 2, 4), (1, 9, 10)]);
    assert!(
        world
            .bucket
            .find(&list.records[0].object_key)
            .await
            .unwrap()
            .is_some()
    );
}
