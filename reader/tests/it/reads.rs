//! What was written comes back: once, in order, bit by bit.

use skein_reader::snapshot::Selection;
use skein_shared::ErrorKind;
use skein_shared::ids::{OrgId, ShardId, WriteId};
use skein_shared::window::{TimeSpan, TimestampMs, Window};

use crate::world::{World, Written, digest_of, key};

const DAY_MS: i64 = 86_400_000;
const WINDOW: Window = Window::from_number(19_700);

fn record(org: u64, metric: u64, record_ms: i64, points: Vec<(i64, f64)>) -> Written {
    Written {
        key: key(org, metric),
        name: Some(format!("m{metric}")),
        record_ms,
        partition: u32::try_from(metric % 5).unwrap(),
        offset: record_ms / 7,
        points,
    }
}

/// `count` points of the window from its `first` second on.
fn points(window: Window, first: i64, count: i64, seed: u64) -> Vec<(i64, f64)> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let start = window.start().0 + first * 1000;
    (0..count)
        .map(|index| (start + index * 1000, f64::from_bits(rng.u64(..))))
        .collect()
}

/// Three shards, two windows, overlays in one of them.
pub(crate) async fn busy_world() -> World {
    let mut world = World::new().await;
    let next = Window::from_number(WINDOW.number() + 1);
    for (generation, window) in [(0, WINDOW), (1, WINDOW), (2, WINDOW), (3, next)] {
        for orgs in [&[1, 3][..], &[2, 4], &[1000]] {
            let pairs = orgs
                .iter()
                .flat_map(|org| (generation % 2..12).map(|m| (*org, m)));
            let records = pairs.map(|(org, metric)| {
                let seed = (generation * 100 + org) * 100 + metric;
                let record_ms = i64::try_from(9000 - seed % 3989).unwrap();
                let first = i64::try_from(generation * 50).unwrap();
                record(org, metric, record_ms, points(window, first, 200, seed))
            });
            world.add(window, &records.collect::<Vec<_>>()).await;
        }
    }
    world
}

async fn check(world: &World, selection: Selection, span: TimeSpan) {
    let (found, summary) = world.scan(selection, span).await.unwrap();
    let expected = world.expected(selection, span);
    assert_eq!(summary.points, expected.len() as u64);
    let mut pairs = found.points.iter().zip(&expected);
    assert_eq!(pairs.find(|(found, expected)| found != expected), None);
    assert_eq!(summary.digest, digest_of(&expected));
}

#[tokio::test]
async fn a_scan_gives_what_one_system_would_have_returned() {
    let world = busy_world().await;
    check(&world, Selection::All, TimeSpan::ALL).await;
    check(&world, Selection::Org(OrgId(3)), TimeSpan::ALL).await;
    check(&world, Selection::Series(key(1000, 7)), TimeSpan::ALL).await;
    let (found, summary) = world.scan(Selection::All, TimeSpan::ALL).await.unwrap();
    assert_eq!(summary.series, 5 * 12);
    assert_eq!(summary.segments, 12);
    assert!(summary.superseded > 0);
    assert_eq!(found.names[&key(2, 11)], "m11");
}

#[tokio::test]
async fn a_span_is_half_open_and_may_cut_windows_and_overlays() {
    let world = busy_world().await;
    let start = WINDOW.start().0;
    for (from, to) in [
        (60_000, 61_000),
        (149_000, 250_000),
        (0, DAY_MS),
        (199_000, DAY_MS + 160_000),
    ] {
        let span = TimeSpan {
            from: TimestampMs(start + from),
            to: TimestampMs(start + to),
        };
        check(&world, Selection::All, span).await;
        check(&world, Selection::Series(key(1, 0)), span).await;
    }
}

#[tokio::test]
async fn one_series_costs_two_requests_for_each_segment_and_a_third_for_its_name() {
    let mut world = World::new().await;
    let records: Vec<Written> = (0..3000)
        .map(|metric| record(1, metric, 5, points(WINDOW, 0, 300, metric)))
        .collect();
    world.add(WINDOW, &records).await;
    let selection = Selection::Series(key(1, 1234));
    let (_, summary) = world.scan(selection, TimeSpan::ALL).await.unwrap();
    assert_eq!((summary.points, summary.requests), (300, 3));
    let (_, all) = world.scan(Selection::All, TimeSpan::ALL).await.unwrap();
    assert_eq!(all.points, 900_000);
    assert!(
        summary.received_bytes * 2 < all.received_bytes,
        "{summary:?} {all:?}"
    );
}

#[tokio::test]
async fn a_series_longer_than_a_run_comes_back_whole() {
    let mut world = World::new().await;
    let long = (0..600_000).map(|i| {
        (
            WINDOW.start().0 + i * 100,
            f64::from(i32::try_from(i).unwrap()),
        )
    });
    let records = [
        record(1, 1, 5, points(WINDOW, 0, 10, 1)),
        record(1, 2, 5, long.collect()),
        record(1, 3, 5, points(WINDOW, 0, 10, 3)),
    ];
    world.add(WINDOW, &records).await;
    check(&world, Selection::All, TimeSpan::ALL).await;
    check(&world, Selection::Series(key(1, 2)), TimeSpan::ALL).await;
    let (found, _) = world.scan(Selection::All, TimeSpan::ALL).await.unwrap();
    assert_eq!(found.names[&key(1, 2)], "m2");
}

#[tokio::test]
async fn metadata_of_the_last_write_wins() {
    let mut world = World::new().await;
    for (record_ms, name) in [(500, "old"), (900, "new"), (700, "late")] {
        let mut record = record(1, 1, record_ms, points(WINDOW, record_ms / 100, 1, 1));
        record.name = Some(name.to_owned());
        world.add(WINDOW, &[record]).await;
    }
    let (found, summary) = world.scan(Selection::All, TimeSpan::ALL).await.unwrap();
    assert_eq!(found.names[&key(1, 1)], "new");
    assert_eq!(summary.points, 3);
}

#[tokio::test]
async fn a_bucket_without_anything_is_read_as_empty() {
    let world = World::new().await;
    let (found, summary) = world.scan(Selection::All, TimeSpan::ALL).await.unwrap();
    assert!(found.points.is_empty());
    assert_eq!(summary.segments, 0);
    let (found, _) = world
        .scan(Selection::Series(key(9, 9)), TimeSpan::ALL)
        .await
        .unwrap();
    assert!(found.points.is_empty());
}

#[tokio::test]
async fn points_in_a_shard_that_does_not_own_them_do_not_count() {
    let mut world = World::new().await;
    world
        .add(WINDOW, &[record(1, 1, 5, points(WINDOW, 0, 10, 1))])
        .await;
    let stray = [record(1, 1, 99, points(WINDOW, 0, 10, 2))];
    world
        .add_to(ShardId::Dedicated(OrgId(1000)), WINDOW, &stray)
        .await;
    check(&world, Selection::All, TimeSpan::ALL).await;
}

#[tokio::test]
async fn a_damaged_or_missing_segment_is_an_error_that_names_it() {
    let mut world = World::new().await;
    let entry = world
        .add(WINDOW, &[record(1, 1, 5, points(WINDOW, 0, 500, 1))])
        .await;
    let whole = world.bucket.get(&entry.key).await.unwrap();
    for at in [20, whole.len() / 2, whole.len() - 30, whole.len() - 1] {
        let mut damaged = whole.to_vec();
        damaged[at] ^= 0x10;
        world
            .bucket
            .put(&entry.key, damaged.into(), WriteId::random())
            .await
            .unwrap();
        let error = world.scan(Selection::All, TimeSpan::ALL).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains(&entry.key), "{error}");
    }
    let cut = whole.slice(..whole.len() - 1);
    world
        .bucket
        .put(&entry.key, cut, WriteId::random())
        .await
        .unwrap();
    let error = world.scan(Selection::All, TimeSpan::ALL).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    world.bucket.delete(&entry.key).await.unwrap();
    let error = world.scan(Selection::All, TimeSpan::ALL).await.unwrap_err();
    assert!(error.to_string().contains(&entry.key), "{error}");
}

#[tokio::test]
async fn a_segment_in_anothers_place_is_refused() {
    let mut world = World::new().await;
    let first = world
        .add(WINDOW, &[record(1, 1, 5, points(WINDOW, 0, 50, 1))])
        .await;
    let second = world
        .add(WINDOW, &[record(1, 1, 6, points(WINDOW, 0, 50, 2))])
        .await;
    let other = world.bucket.get(&second.key).await.unwrap();
    world
        .bucket
        .put(&first.key, other, WriteId::random())
        .await
        .unwrap();
    let error = world
        .scan(Selection::All, TimeSpan::ALL)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("its manifest describes"), "{error}");
}
