//! However the input is cut into flushes, runs and steps: the same points are live.

use std::collections::BTreeMap;

use skein_compactor::report::RunReport;
use skein_config::compactor::CompactorSettings;
use skein_shared::format::segment_writer::SegmentSummary;
use skein_shared::ids::{OrgId, ShardId};
use skein_shared::units::ByteCount;
use skein_shared::window::{Resolution, Window};

use crate::read_back::{assert_same, expected, live_points, manifests};
use crate::world::{DAY, NOON, Record, World, flush_of, record, settings};

/// The same numbers for the same seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, below: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        u32::try_from(self.0 >> 32).unwrap() % below
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(u32::try_from(from.len()).unwrap()) as usize]
    }
}

/// Records of few series over three windows, with late, equal and doubly written times.
pub(crate) fn records(seed: u64, count: i64) -> Vec<Record> {
    let mut dice = Dice(seed);
    let mut offsets = [0_i64; 3];
    let mut records = Vec::new();
    for step in 0..count {
        let partition = dice.pick(&[0_u8, 1, 2]);
        let offset = offsets[usize::from(partition)];
        offsets[usize::from(partition)] += dice.pick(&[1, 2]);
        let series = (dice.pick(&[7, 8, 1000]), dice.pick(&[0, 1, 2, 3]));
        let start = NOON - DAY + i64::from(dice.roll(20)) * DAY / 10;
        let points: Vec<_> = (0..=i64::from(dice.roll(12)))
            .map(|i| (start + i * DAY / 50, f64::from(dice.roll(5))))
            .collect();
        let place = (u32::from(partition), offset, NOON + DAY + step / 4);
        records.push(record(place, series, &points));
    }
    records
}

async fn compact_in(world: &World, records: &[Record], cuts: usize, settings: &CompactorSettings) {
    for part in records.chunks(records.len().div_ceil(cuts)) {
        world.flush(&flush_of(part.to_vec())).await;
        world.compact_with(settings).await.unwrap();
    }
}

async fn live_segments(world: &World) -> BTreeMap<(ShardId, Window), u32> {
    let mut live = BTreeMap::new();
    for manifest in manifests(&world.bucket).await.into_values() {
        for segment in manifest.raw_segments() {
            *live.entry((manifest.shard, segment.window)).or_default() += 1;
        }
    }
    live
}

pub(crate) async fn summaries(
    world: &World,
) -> BTreeMap<(ShardId, Window, Resolution), SegmentSummary> {
    let mut summaries = BTreeMap::new();
    for (shard, manifest) in manifests(&world.bucket).await {
        for segment in manifest.segments {
            let place = (shard, segment.window, segment.resolution);
            summaries.insert(place, segment.summary);
        }
    }
    summaries
}

#[tokio::test(flavor = "multi_thread")]
async fn incremental_runs_with_merges_give_what_one_run_gives() {
    for seed in 0..6 {
        let records = records(seed, 150);
        let expected = expected(&records);
        for (cuts, max_overlays) in [(1, 4), (3, 4), (11, 4), (7, 1), (9, 2)] {
            let world = World::new().await;
            let settings = CompactorSettings {
                max_overlays,
                ..settings()
            };
            compact_in(&world, &records, cuts, &settings).await;
            assert_same(&live_points(&world).await, &expected);
            let live = live_segments(&world).await;
            assert!(live.values().all(|live| *live <= max_overlays));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_smaller_than_the_input_give_the_same_points_in_more_generations() {
    for (seed, max_overlays) in [(1, 4), (2, 1), (3, 3)] {
        let records = records(seed, 400);
        let world = World::new().await;
        for part in records.chunks(100) {
            world.flush(&flush_of(part.to_vec())).await;
        }
        let tight = CompactorSettings {
            step_bytes: ByteCount(3_000),
            read_bytes: ByteCount(600),
            max_overlays,
            ..settings()
        };
        let report = world.compact_with(&tight).await.unwrap();
        assert!(report.steps.generations >= 3 * 4, "a step takes one flush");
        assert_same(&live_points(&world).await, &expected(&records));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_makes_no_write_request() {
    let world = World::new().await;
    let records = records(5, 60);
    world.flush(&flush_of(records.clone())).await;
    let report = world.compact().await;
    assert_eq!(
        report.shards_advanced, 4,
        "shards without records advance too"
    );
    let (ours, servers) = (world.bucket.requests(), world.server.request_counts());
    let again = world.compact().await;
    assert_eq!(again.steps.generations, 0);
    assert_eq!(world.bucket.requests().writes(), ours.writes());
    assert_eq!(world.server.request_counts().writes(), servers.writes());
    assert!(world.bucket.requests().reads() > ours.reads());
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_are_a_pure_function_of_the_records() {
    let records = records(9, 300);
    let mut seen: Option<BTreeMap<(ShardId, Window, Resolution), SegmentSummary>> = None;
    for (threads, block_records, budget) in [
        (1, 7, 1 << 28),
        (2, 7, 1 << 28),
        (2, 50, 1 << 28),
        (1, 7, 4_000),
        (2, 50, 9_000),
    ] {
        let world = World::new().await;
        let mut flush = flush_of(records.clone());
        flush.block_records = block_records;
        world.flush(&flush).await;
        world.tell_at_end(NOON + DAY + 300_000).await;
        let settings = CompactorSettings {
            threads,
            memory_budget: ByteCount(budget),
            ..settings()
        };
        let report = world.compact_with(&settings).await.unwrap();
        assert_eq!(report.steps.spilled_bytes > 0, budget < 10_000);
        let segments = summaries(&world).await;
        assert!(segments.len() > 6);
        // The summary has size and CRC32C of the bytes.
        assert_eq!(*seen.get_or_insert_with(|| segments.clone()), segments);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn merges_of_live_segments_are_the_same_with_little_memory() {
    let records = records(4, 300);
    let mut seen = None;
    for budget in [1 << 28, 4_000] {
        let world = World::new().await;
        let settings = CompactorSettings {
            max_overlays: 1,
            memory_budget: ByteCount(budget),
            ..settings()
        };
        compact_in(&world, &records, 5, &settings).await;
        assert_same(&live_points(&world).await, &expected(&records));
        let segments = summaries(&world).await;
        assert_eq!(*seen.get_or_insert_with(|| segments.clone()), segments);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_longer_than_memory_is_the_same_segment() {
    // More than one run of a segment has, which the second run of the compactor reads back piece by piece.
    const PAYLOADS: i64 = 300;
    let payload = |number: i64| {
        let first = number * 1000;
        let point = |index: i64| (NOON + index * 50, (index % 251) as f64);
        let points: Vec<_> = (first..first + 1010).map(point).collect();
        record((0, number, NOON + number), (7, 1), &points)
    };
    let records: Vec<_> = (0..PAYLOADS).map(payload).collect();
    let mut seen = None;
    for budget in [1 << 30, 8 << 20] {
        let world = World::new().await;
        let settings = CompactorSettings {
            max_overlays: 1,
            memory_budget: ByteCount(budget),
            ..settings()
        };
        compact_in(&world, &records, 2, &settings).await;
        world.tell_at_end(NOON + DAY + 300_000).await;
        let report = world.compact_with(&settings).await.unwrap();
        assert!(report.steps.rollups > 0, "the window is closed");
        let segments = summaries(&world).await;
        let points: u64 = segments.values().map(|summary| summary.raw_points).sum();
        assert_eq!(points, 3 * (PAYLOADS.unsigned_abs() * 1000 + 10));
        assert_eq!(*seen.get_or_insert_with(|| segments.clone()), segments);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_larger_than_a_part_goes_out_in_parts() {
    let world = World::new().await;
    let mut dice = Dice(3);
    let mut noise = |t: i64| {
        let bits = u64::from(dice.roll(1 << 30)) << 32 | u64::from(dice.roll(u32::MAX));
        let jitter = i64::from(dice.roll(7));
        (NOON + t * 7 + jitter, f64::from_bits(bits))
    };
    let mut series = |metric: u32| {
        let points: Vec<_> = (0..40_000).map(&mut noise).collect();
        let place = (0, i64::from(metric), NOON);
        record(place, (1000, u64::from(metric)), &points)
    };
    let records: Vec<_> = (0..40).map(&mut series).collect();
    world.flush(&flush_of(records.clone())).await;
    let small_parts = CompactorSettings {
        part_bytes: ByteCount::mib(5),
        ..settings()
    };
    let report: RunReport = world.compact_with(&small_parts).await.unwrap();
    assert!(
        report.steps.segment_bytes > 10 << 20,
        "{}",
        report.steps.segment_bytes
    );
    let uploads = world.server.request_counts();
    assert_eq!(uploads.of("CompleteMultipartUpload"), 1);
    assert!(uploads.of("UploadPart") > 2);
    assert_same(&live_points(&world).await, &expected(&records));
    let shard = ShardId::Dedicated(OrgId(1000));
    assert_eq!(manifests(&world.bucket).await[&shard].segments.len(), 1);
}
