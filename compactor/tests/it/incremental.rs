//! However the input is cut into flushes, runs and steps: the same points are live.

use std::collections::BTreeMap;

use skein_compactor::report::RunReport;
use skein_config::compactor::CompactorSettings;
use skein_shared::format::segment_writer::SegmentSummary;
use skein_shared::ids::{OrgId, ShardId};
use skein_shared::units::ByteCount;
use skein_shared::window::Window;

use crate::read_back::{assert_same, expected, live_points, manifests};
use crate::world::{DAY, NOON, Record, World, flush_of, record, settings};

/// The same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % below
    }
}

/// Records of few series over three windows, with late, equal and doubly written times.
fn records(seed: u64, count: usize) -> Vec<Record> {
    let mut dice = Dice(seed);
    let mut offsets = [0_i64; 3];
    let mut records = Vec::new();
    for step in 0..count as i64 {
        let partition = dice.roll(3);
        let offset = offsets[partition as usize];
        offsets[partition as usize] += 1 + dice.roll(2) as i64;
        let series = ([7, 8, 1000][dice.roll(3) as usize], dice.roll(4));
        let start = NOON - DAY + (dice.roll(20) as i64) * DAY / 10;
        let points: Vec<_> = (0..dice.roll(12) as i64 + 1)
            .map(|i| (start + i * DAY / 50, dice.roll(5) as f64))
            .collect();
        let place = (partition as u32, offset, NOON + DAY + step / 4);
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

#[tokio::test(flavor = "multi_thread")]
async fn incremental_runs_with_merges_give_what_one_run_gives() {
    for seed in 0..6 {
        let records = records(seed, 150);
        let expected = expected(&records);
        for (cuts, max_live_segments) in [(1, 4), (3, 4), (11, 4), (7, 1), (9, 2)] {
            let world = World::new().await;
            let settings = CompactorSettings {
                max_live_segments,
                ..settings()
            };
            compact_in(&world, &records, cuts, &settings).await;
            assert_same(&live_points(&world).await, &expected);
            for manifest in manifests(&world.bucket).await.values() {
                let mut live: BTreeMap<Window, u32> = BTreeMap::new();
                for segment in &manifest.segments {
                    *live.entry(segment.window).or_default() += 1;
                }
                assert!(live.values().all(|live| *live <= max_live_segments), "{live:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_smaller_than_the_input_gives_the_same_points_in_more_steps() {
    for (seed, max_live_segments) in [(1, 4), (2, 1), (3, 3)] {
        let records = records(seed, 400);
        let world = World::new().await;
        for part in records.chunks(100) {
            world.flush(&flush_of(part.to_vec())).await;
        }
        let tight = CompactorSettings {
            memory_budget: ByteCount(20_000),
            read_bytes: ByteCount(600),
            max_live_segments,
            ..settings()
        };
        let report = world.compact_with(&tight).await.unwrap();
        assert!(report.steps.generations > 3 * 4, "more than one step a shard");
        assert_same(&live_points(&world).await, &expected(&records));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_makes_no_write_request() {
    let world = World::new().await;
    let records = records(5, 60);
    world.flush(&flush_of(records.clone())).await;
    let report = world.compact().await;
    assert_eq!(report.shards_advanced, 4, "shards without records advance too");
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
    let mut seen: Option<BTreeMap<(ShardId, Window), SegmentSummary>> = None;
    for (threads, block_records) in [(1, 7), (2, 7), (2, 50)] {
        let world = World::new().await;
        let mut flush = flush_of(records.clone());
        flush.block_records = block_records;
        world.flush(&flush).await;
        let settings = CompactorSettings {
            threads,
            ..settings()
        };
        world.compact_with(&settings).await.unwrap();
        let mut segments = BTreeMap::new();
        for (shard, manifest) in manifests(&world.bucket).await {
            for segment in manifest.segments {
                segments.insert((shard, segment.window), segment.summary);
            }
        }
        assert!(segments.len() > 6);
        // The summary has size and CRC32C of the bytes.
        assert_eq!(*seen.get_or_insert_with(|| segments.clone()), segments);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_larger_than_a_part_goes_out_in_parts() {
    let world = World::new().await;
    let mut dice = Dice(3);
    let records: Vec<_> = (0..40)
        .map(|i| {
            let points: Vec<_> = (0..40_000)
                .map(|t| (NOON + t * 7 + dice.roll(7) as i64, f64::from_bits(dice.roll(1 << 31) << 31 | dice.roll(1 << 31))))
                .collect();
            record((0, i, NOON), (1000, i as u64), &points)
        })
        .collect();
    world.flush(&flush_of(records.clone())).await;
    let small_parts = CompactorSettings {
        part_bytes: ByteCount::mib(5),
        ..settings()
    };
    let report: RunReport = world.compact_with(&small_parts).await.unwrap();
    assert!(report.steps.segment_bytes > 10 << 20, "{}", report.steps.segment_bytes);
    let uploads = world.server.request_counts();
    assert_eq!(uploads.of("CompleteMultipartUpload"), 1);
    assert!(uploads.of("UploadPart") > 2);
    assert_same(&live_points(&world).await, &expected(&records));
    let shard = ShardId::Dedicated(OrgId(1000));
    assert_eq!(manifests(&world.bucket).await[&shard].segments.len(), 1);
}
