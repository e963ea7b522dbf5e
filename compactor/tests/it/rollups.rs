//! The rollups beside a base hold what its points say, and go with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use skein_config::compactor::CompactorSettings;
use skein_shared::format::order_column::ChainTable;
use skein_shared::format::shard_manifest::{Layer, SegmentEntry};
use skein_shared::ids::SeriesKey;
use skein_shared::rollup::{Bucket, Rollup};
use skein_shared::segment_fetch::{SegmentCursor, SegmentFile};
use skein_shared::units::ByteCount;
use skein_shared::window::{Resolution, Window};

use crate::incremental::records;
use crate::read_back::{Points, expected, manifests};
use crate::world::{DAY, NOON, World, flush_of, settings};

/// A bucket with floats as bits, so that NaNs compare.
pub(crate) type Bits = (i64, u64, u64, [u64; 6]);

fn bits(bucket: &Bucket) -> Bits {
    let floats = [
        bucket.sum,
        bucket.min,
        bucket.max,
        bucket.first,
        bucket.last,
        bucket.increase,
    ];
    let floats = floats.map(f64::to_bits);
    (bucket.start_ms, bucket.count, bucket.nans, floats)
}

/// What each series' buckets of `resolution` must be.
pub(crate) fn rolled(points: &Points, resolution: Resolution) -> BTreeMap<SeriesKey, Vec<Bits>> {
    let mut series: BTreeMap<SeriesKey, (Vec<i64>, Vec<f64>)> = BTreeMap::new();
    for ((key, ms), (value, _)) in points {
        let (timestamps, values) = series.entry(*key).or_default();
        timestamps.push(*ms);
        values.push(f64::from_bits(*value));
    }
    let mut rolled = BTreeMap::new();
    for (key, (timestamps, values)) in series {
        let (mut finest, mut out) = (Rollup::default(), Rollup::default());
        finest.roll(&timestamps, &values);
        finest.coarsen(resolution, &mut out);
        rolled.insert(key, out.buckets().map(|bucket| bits(&bucket)).collect());
    }
    rolled
}

/// What the live rollups hold.
pub(crate) async fn stored(
    world: &World,
    resolution: Resolution,
) -> BTreeMap<SeriesKey, Vec<Bits>> {
    let mut rolled: BTreeMap<SeriesKey, Vec<Bits>> = BTreeMap::new();
    for manifest in manifests(&world.bucket).await.into_values() {
        let of_resolution = |segment: &&SegmentEntry| segment.resolution == resolution;
        for segment in manifest.rollups().filter(of_resolution) {
            manifest.raw_by_key().check_rollup(segment).unwrap();
            let file = Arc::new(SegmentFile::open(&world.bucket, segment).await.unwrap());
            let mut cursor = SegmentCursor::new(file, &ChainTable::default());
            let mut rollup = Rollup::new(resolution);
            while let Some((key, metadata)) = cursor.next_rollup(&mut rollup).await.unwrap() {
                assert!(
                    metadata.is_some(),
                    "a rollup can be read without its segment"
                );
                let buckets = rollup.buckets().map(|bucket| bits(&bucket));
                rolled.entry(key).or_default().extend(buckets);
            }
        }
    }
    for buckets in rolled.values_mut() {
        buckets.sort_unstable();
    }
    rolled
}

async fn live(world: &World) -> Vec<SegmentEntry> {
    let manifests = manifests(&world.bucket).await;
    manifests.into_values().flat_map(|m| m.segments).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_has_rollups_of_exactly_its_points() {
    for (seed, rollups) in [
        (1, vec![Resolution::FiveMinutes, Resolution::OneHour]),
        (2, vec![Resolution::OneHour, Resolution::OneDay]),
    ] {
        let world = World::new().await;
        let settings = CompactorSettings {
            rollups: rollups.clone(),
            memory_budget: ByteCount(20_000),
            ..settings()
        };
        let records = records(seed, 200);
        for half in records.chunks(100) {
            world.flush(&flush_of(half.to_vec())).await;
            world.compact_with(&settings).await.unwrap();
        }
        let mut open = live(&world).await.into_iter();
        assert!(
            open.all(|segment| segment.resolution.is_raw()),
            "open windows have none"
        );
        world.tell_at_end(NOON + 3 * DAY).await;
        let report = world.compact_with(&settings).await.unwrap();
        assert_eq!(report.steps.rollups, report.steps.segments * 2);
        for resolution in rollups {
            let expected = rolled(&expected(&records), resolution);
            assert_eq!(stored(&world, resolution).await, expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollup_goes_with_the_base_that_it_was_computed_from() {
    let world = World::new().await;
    let records = records(3, 200);
    world.flush(&flush_of(records[..100].to_vec())).await;
    world.tell_at_end(NOON + 3 * DAY).await;
    world.compact().await;
    let first = live(&world).await;
    let windows = |live: &[SegmentEntry]| -> Vec<Window> {
        let raw = live
            .iter()
            .filter(|s| s.layer == Layer::Base && s.resolution.is_raw());
        raw.map(|segment| segment.window).collect()
    };
    let count = |live: &[SegmentEntry]| live.iter().filter(|s| !s.resolution.is_raw()).count();
    assert_eq!(count(&first), 2 * windows(&first).len());

    // As much again: every base that gets new points is rewritten, sooner or later.
    for part in records[100..].chunks(25) {
        world.flush(&flush_of(part.to_vec())).await;
        world.tell_at_end(NOON + 3 * DAY).await;
        world.compact().await;
        let live = live(&world).await;
        assert_eq!(count(&live), 2 * windows(&live).len());
    }
    let last = live(&world).await;
    let kept = last.iter().filter(|segment| first.contains(segment));
    let kept: Vec<SegmentEntry> = kept.cloned().collect();
    assert!(count(&kept) < count(&first), "some bases were rewritten");
}
