//! Buckets that are read are those of the merged points, bit by bit, wherever they come from.

use std::collections::{BTreeMap, BTreeSet};

use skein_reader::bucket_scan::{BucketOptions, BucketScan, BucketSummary};
use skein_reader::segment_scan::{Scan, ScanOptions};
use skein_reader::snapshot::{Selection, Snapshot};
use skein_shared::format::shard_manifest::SegmentEntry;
use skein_shared::ids::{OrgId, SeriesKey, WriteId};
use skein_shared::rollup::Bucket;
use skein_shared::segment_fetch::MetadataFetch;
use skein_shared::window::{Resolution, TimeSpan, TimestampMs, Window};

use crate::world::{World, Written, key, rolled};

const WINDOW: Window = Window::from_number(19_700);
const DAY_MS: i64 = 86_400_000;
pub(crate) const BUCKETS: [Resolution; 3] = [
    Resolution::FiveMinutes,
    Resolution::OneHour,
    Resolution::OneDay,
];

/// A bucket with floats as bits, so that NaNs compare.
pub(crate) type Bits = (SeriesKey, i64, u64, u64, [u64; 6]);

/// A segment of a random history: which buckets it touches, and which rollups it has.
pub(crate) struct Layered {
    rollups: Vec<Resolution>,
    times: BTreeSet<(SeriesKey, i64)>,
}

pub(crate) fn bits(key: SeriesKey, bucket: &Bucket) -> Bits {
    let Bucket {
        sum,
        min,
        max,
        first,
        last,
        increase,
        ..
    } = *bucket;
    let floats = [sum, min, max, first, last, increase].map(f64::to_bits);
    (key, bucket.start_ms, bucket.count, bucket.nans, floats)
}

pub(crate) async fn scan(
    snapshot: Snapshot,
    span: TimeSpan,
    resolution: Resolution,
) -> (Vec<Bits>, BucketSummary) {
    let options = BucketOptions {
        resolution,
        span,
        metadata: MetadataFetch::Skip,
    };
    let mut reading = BucketScan::start(snapshot, options).await.unwrap();
    let mut found = Vec::new();
    while let Some(piece) = reading.next().await.unwrap() {
        found.extend(
            piece
                .rollup
                .buckets()
                .map(|bucket| bits(piece.key, &bucket)),
        );
    }
    (found, reading.summary())
}

/// What the raw points, as they are read, roll into.
pub(crate) async fn expected(
    world: &World,
    selection: Selection,
    span: TimeSpan,
    resolution: Resolution,
) -> Vec<Bits> {
    let (raw, _) = world.scan(selection, TimeSpan::ALL).await.unwrap();
    let mut series: BTreeMap<SeriesKey, BTreeMap<i64, f64>> = BTreeMap::new();
    for (key, ms, value) in raw.points {
        let points = series.entry(key).or_default();
        points.insert(ms, f64::from_bits(value));
    }
    let mut expected = Vec::new();
    for (key, points) in series {
        let rollup = rolled(&points, resolution);
        let begins = |bucket: &Bucket| span.contains(TimestampMs(bucket.start_ms));
        let buckets = rollup.buckets().filter(begins);
        expected.extend(buckets.map(|bucket| bits(key, &bucket)));
    }
    expected
}

/// How many of the expected buckets lie in one segment alone, which has a rollup that they can be joined from.
fn servable(history: &[Layered], expected: &[Bits], resolution: Resolution) -> u64 {
    let has_rollup =
        |segment: &&Layered| segment.rollups.iter().any(|stored| *stored <= resolution);
    let width = resolution.bucket_width().unwrap().0.cast_signed();
    let is_servable = |bits: &&Bits| {
        let (from, to) = ((bits.0, bits.1), (bits.0, bits.1 + width));
        let holders = history.iter();
        let mut holders = holders.filter(|segment| segment.times.range(from..to).next().is_some());
        holders.next().is_some_and(|first| has_rollup(&first)) && holders.next().is_none()
    };
    expected.iter().filter(is_servable).count() as u64
}

/// Times on a grid of 50 s in a few hours, so that segments often meet in a bucket and sometimes at an instant.
fn points(rng: &mut fastrand::Rng, window: Window) -> Vec<(i64, f64)> {
    let hour = rng.i64(0..6) * 4;
    let mut points = BTreeMap::new();
    for _ in 0..rng.usize(1..60) {
        let ms = window.start().0 + hour * 3_600_000 + rng.i64(0..200) * 50_000;
        let value = match rng.u32(0..8) {
            0 => f64::from_bits(rng.u64(..)),
            1 => f64::from_bits(0x7ff8_0000_0000_0000 | rng.u64(0..9)),
            2 => -0.0,
            3 => f64::INFINITY,
            4 => 0.1,
            _ => f64::from(rng.i32(-9..99)) / 10.0,
        };
        points.insert(ms.min(window.span().to.0 - 1), value);
    }
    points.into_iter().collect()
}

async fn add_random(
    world: &mut World,
    rng: &mut fastrand::Rng,
    (window, rollups): (Window, Option<Vec<Resolution>>),
    history: &mut Vec<Layered>,
) {
    let mut records = Vec::new();
    for (org, metric) in [(1, 0), (1, 1), (1, 2), (3, 0), (3, 7)] {
        // The first series is in every segment: none is empty.
        if metric == 0 || rng.bool() {
            let number = i64::try_from(history.len()).unwrap();
            records.push(Written {
                key: key(org, metric),
                name: None,
                record_ms: rng.i64(0..4),
                partition: rng.u32(0..3),
                offset: number * 100 + i64::try_from(metric).unwrap(),
                points: points(rng, window),
            });
        }
    }
    let times = records.iter().flat_map(|record| {
        let own = record.points.iter();
        own.map(|(ms, _)| (record.key, *ms))
    });
    history.push(Layered {
        times: times.collect(),
        rollups: rollups.clone().unwrap_or_default(),
    });
    match rollups {
        Some(rollups) => world.add_base(window, &records, &rollups).await,
        None => world.add(window, &records).await,
    };
}

pub(crate) async fn random_world(rng: &mut fastrand::Rng) -> (World, Vec<Layered>) {
    let (mut world, mut history) = (World::new().await, Vec::new());
    for number in [0, 1, 2] {
        let window = Window::from_number(WINDOW.number() + number);
        for _ in 0..rng.usize(0..3).min(1 + rng.usize(0..2)) {
            let rollups = BUCKETS.into_iter().filter(|_| rng.bool()).collect();
            let layer = (window, Some(rollups));
            add_random(&mut world, rng, layer, &mut history).await;
        }
        for _ in 0..rng.usize(0..3) {
            add_random(&mut world, rng, (window, None), &mut history).await;
        }
    }
    (world, history)
}

pub(crate) fn random_span(rng: &mut fastrand::Rng) -> TimeSpan {
    let mut at =
        || TimestampMs(WINDOW.start().0 + rng.i64(-DAY_MS / 50_000..4 * DAY_MS / 50_000) * 50_000);
    let (a, b) = (at(), at());
    TimeSpan {
        from: a.min(b),
        to: a.max(b),
    }
}

/// Compares one read with the raw points; answers how many buckets came from rollups and from raw points.
async fn check(
    (world, history): (&World, &[Layered]),
    whole: &Snapshot,
    (selection, span, resolution): (Selection, TimeSpan, Resolution),
    case: &str,
) -> (u64, u64) {
    let (found, summary) = scan(whole.narrowed(selection), span, resolution).await;
    let expected = expected(world, selection, span, resolution).await;
    assert_eq!(found.len(), expected.len(), "{case}");
    let mut pairs = found.iter().zip(&expected);
    assert_eq!(pairs.find(|(a, b)| a != b), None, "{case}");
    let servable = servable(history, &expected, resolution);
    assert_eq!(summary.from_rollups, servable, "{case}");
    assert_eq!(summary.buckets(), expected.len() as u64, "{case}");
    (summary.from_rollups, summary.from_raw)
}

#[tokio::test]
async fn buckets_are_those_of_the_merged_points_and_come_from_rollups_where_they_can() {
    let selections = [
        Selection::All,
        Selection::Org(OrgId(3)),
        Selection::Series(key(1, 0)),
    ];
    let pairs = BUCKETS.map(|resolution| selections.map(|selection| (resolution, selection)));
    let mut found = (0, 0);
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (world, history) = random_world(&mut rng).await;
        let whole = world.snapshot(Selection::All).await;
        for (resolution, selection) in pairs.into_iter().flatten() {
            let all = rng.bool().then_some(TimeSpan::ALL);
            let span = all.unwrap_or_else(|| random_span(&mut rng));
            let case = format!("seed {seed} {resolution} {selection:?} {span:?}");
            let asked = (selection, span, resolution);
            let (stored, raw) = check((&world, &history), &whole, asked, &case).await;
            found = (found.0 + stored, found.1 + raw);
        }
    }
    assert!(found.0 > 1000 && found.1 > 1000, "{found:?}");
}

/// `series` series with a point every 10 s of the window.
fn dense(window: Window, series: u64) -> Vec<Written> {
    let record = |metric: u64| Written {
        key: key(1, metric),
        name: None,
        record_ms: 5,
        partition: 0,
        offset: i64::try_from(metric).unwrap(),
        points: (0..8640)
            .map(|n| {
                let phase = f64::from(i32::try_from(n).unwrap() % 977);
                (window.start().0 + n * 10_000, phase.sin())
            })
            .collect(),
    };
    (0..series).map(record).collect()
}

fn late(window: Window, metric: u64, at_ms: i64) -> Written {
    Written {
        key: key(1, metric),
        name: None,
        record_ms: 9,
        partition: 1,
        offset: 1,
        points: vec![(window.start().0 + at_ms, 7.5)],
    }
}

#[tokio::test]
async fn a_look_up_of_points_takes_two_requests_a_segment_and_one_where_the_footer_is_at_hand() {
    let mut world = World::new().await;
    let next = Window::from_number(WINDOW.number() + 1);
    world.add(WINDOW, &dense(WINDOW, 20)).await;
    world.add(WINDOW, &[late(WINDOW, 7, 3)]).await;
    world.add(next, &dense(next, 20)).await;
    let whole = world.snapshot(Selection::Org(OrgId(1))).await;
    for requests in [6, 3] {
        let options = ScanOptions {
            span: TimeSpan::ALL,
            metadata: MetadataFetch::Skip,
        };
        let one = whole.narrowed(Selection::Series(key(1, 7)));
        let mut scan = Scan::start(one, options).await.unwrap();
        while scan.next().await.unwrap().is_some() {}
        let summary = scan.summary();
        assert_eq!((summary.points, summary.requests), (17_281, requests));
    }
}

#[tokio::test]
async fn a_late_point_costs_the_raw_run_of_its_window_alone() {
    let mut world = World::new().await;
    let next = Window::from_number(WINDOW.number() + 1);
    let stored = [Resolution::FiveMinutes, Resolution::OneHour];
    for window in [WINDOW, next] {
        world.add_base(window, &dense(window, 20), &stored).await;
    }
    let series = Selection::Series(key(1, 7));
    let hours = async |world: &World| {
        let snapshot = world.snapshot(series).await;
        let (found, summary) = scan(snapshot, TimeSpan::ALL, Resolution::OneHour).await;
        let expected = expected(world, series, TimeSpan::ALL, Resolution::OneHour).await;
        assert!(found == expected);
        summary
    };
    let points = async |world: &World| {
        let options = ScanOptions {
            span: TimeSpan::ALL,
            metadata: MetadataFetch::Skip,
        };
        let snapshot = world.snapshot(series).await;
        let mut reading = Scan::start(snapshot, options).await.unwrap();
        while reading.next().await.unwrap().is_some() {}
        reading.summary()
    };
    let raw = points(&world).await;
    assert_eq!(raw.requests, 4);
    let before = hours(&world).await;
    assert_eq!((before.from_rollups, before.from_raw), (48, 0));
    // The tail and the run of each rollup.
    assert_eq!(before.requests, 4);
    world.add(WINDOW, &[late(WINDOW, 7, 3_600_000)]).await;
    let after = hours(&world).await;
    assert_eq!((after.from_rollups, after.from_raw), (47, 1));
    // Of the overlay as well, and of the base below it.
    assert_eq!(after.requests, 8);
    assert!(before.received_bytes * 10 < raw.received_bytes);
    assert!(after.received_bytes < raw.received_bytes);
}

#[tokio::test]
async fn a_rollup_that_does_not_fit_its_segment_is_passed_over() {
    let mut world = World::new().await;
    let stored = [Resolution::OneHour];
    world.add_base(WINDOW, &dense(WINDOW, 2), &stored).await;
    let shard = *world.manifests.keys().next().unwrap();
    let manifest = world.manifests.get_mut(&shard).unwrap();
    let is_rollup = |entry: &&mut SegmentEntry| !entry.resolution.is_raw();
    let rollup = manifest.segments.iter_mut().find(is_rollup).unwrap();
    rollup.summary.raw_points += 1;
    manifest.generation.0 += 1;
    skein_shared::manifest_log::commit(&world.bucket, manifest, WriteId::random())
        .await
        .unwrap();
    let snapshot = world.snapshot(Selection::All).await;
    let (found, summary) = scan(snapshot, TimeSpan::ALL, Resolution::OneDay).await;
    assert_eq!((summary.rollups, summary.from_raw), (0, 2));
    let span = TimeSpan::ALL;
    assert!(found == expected(&world, Selection::All, span, Resolution::OneDay).await);
}
