//! What the live segments hold, against what the records say without any code of the compactor.

use std::collections::BTreeMap;
use std::sync::Arc;

use skein_shared::bucket::Bucket;
use skein_shared::format::delete_entry::{DeleteEntry, DeleteSelector};
use skein_shared::format::digest::ContentDigest;
use skein_shared::format::order_column::ChainTable;
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::format::shard_manifest::ShardManifest;
use skein_shared::ids::{Chain, SeriesKey, ShardId};
use skein_shared::manifest_log;
use skein_shared::offset::Offset;
use skein_shared::payload::{Limits, PayloadView};
use skein_shared::segment_fetch::{SegmentCursor, SegmentFile};
use skein_shared::window::{TimestampMs, Window};

use crate::world::{Record, World, chain};

/// A point's series and time.
pub(crate) type Place = (SeriesKey, i64);
/// A record's timestamp and position, and the index in its payload.
pub(crate) type Written = (Option<i64>, Chain, Offset);
/// Every point's value, bit for bit, and where it came from; a base does not know.
pub(crate) type Points = BTreeMap<Place, (u64, Option<Written>)>;

/// Last write wins, one map insert for each point.
pub(crate) fn expected<'a>(records: impl IntoIterator<Item = &'a Record>) -> Points {
    expected_without(records, &[])
}

/// As [`expected`], of what is left of all points once those that the deletes take are struck out one by one.
pub(crate) fn expected_without<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    deletes: &[DeleteEntry],
) -> Points {
    let is_deleted = |(series, ms): Place, (_, chain, offset): &Written| {
        deletes.iter().any(|delete| {
            let DeleteSelector { org, metric, span } = delete.selector;
            series.org == org
                && metric.is_none_or(|metric| metric == series.metric)
                && span.contains(TimestampMs(ms))
                && *offset < delete.end_of(chain)
        })
    };
    let mut writes = Vec::new();
    for record in records {
        let Ok(view) = PayloadView::parse(&record.value, &Limits::default(), None) else {
            continue;
        };
        let written = (
            record.timestamp,
            chain(record.partition),
            Offset(record.offset),
        );
        let series = SeriesKey {
            org: view.org(),
            metric: view.series().metric,
        };
        let (mut timestamps, mut values) = (Vec::new(), Vec::new());
        view.points().decode_into(&mut timestamps, &mut values);
        for (index, (ms, value)) in timestamps.into_iter().zip(values).enumerate() {
            if !is_deleted((series, ms), &written) {
                writes.push((written.clone(), index, (series, ms), value.to_bits()));
            }
        }
    }
    writes.sort();
    let points = writes
        .into_iter()
        .map(|(written, _, place, bits)| (place, (bits, Some(written))));
    points.collect()
}

pub(crate) async fn manifests(bucket: &Bucket) -> BTreeMap<ShardId, ShardManifest> {
    let mut manifests = BTreeMap::new();
    for shard in manifest_log::shards(bucket).await.unwrap() {
        let manifest = manifest_log::newest(bucket, shard).await.unwrap();
        assert_eq!(
            manifest.counts.expected_points(),
            Some(manifest.live_points()),
            "SK-11: {shard}"
        );
        manifests.insert(shard, manifest);
    }
    manifests
}

/// Everything that is live, overlays merged by the highest order.
pub(crate) async fn live_points(world: &World) -> Points {
    let mut points = Points::new();
    for (shard, manifest) in manifests(&world.bucket).await {
        for segment in manifest.raw_segments() {
            let file = SegmentFile::open(&world.bucket, segment).await.unwrap();
            let chains = file.chains().clone();
            let in_window = |ms| Window::of(TimestampMs(ms)) == segment.window;
            let mut cursor = SegmentCursor::new(Arc::new(file), &chains);
            let mut series = SeriesBuffer::default();
            let mut digest = ContentDigest::EMPTY;
            while let Some((key, metadata)) = cursor.next(&mut series).await.unwrap() {
                assert_eq!(world.map.owner_of(key.org, segment.window), shard);
                assert!(metadata.is_some(), "every test record carries metadata");
                digest.add_points(key, &series.timestamps_ms, &series.values);
                assert!(series.timestamps_ms.iter().all(|ms| in_window(*ms)));
                take_series(&mut points, key, &series, &chains);
            }
            assert_eq!(digest, segment.summary.digest);
        }
    }
    points
}

/// Takes points in; of two at one place the one with the higher order stays.
fn take_series(points: &mut Points, key: SeriesKey, series: &SeriesBuffer, chains: &ChainTable) {
    let orders = series.orders.iter();
    let orders = orders.flat_map(|run| std::iter::repeat_n(run.order, run.points as usize));
    let columns = series.timestamps_ms.iter().zip(&series.values).zip(orders);
    for ((ms, value), order) in columns {
        let record_ms = order.record_timestamp.map(|t| t.0);
        let chain = chains.get(order.chain).cloned();
        let written = chain.map(|chain| (record_ms, chain, order.offset));
        assert_eq!(written.is_some(), order.seals > 0);
        let new = (value.to_bits(), written);
        let held = points.entry((key, *ms)).or_insert_with(|| new.clone());
        if held.1 < new.1 {
            *held = new;
        }
    }
}

/// Asserts that exactly the points of `records` are live.
#[track_caller]
pub(crate) fn assert_same(live: &Points, expected: &Points) {
    let is_live = |place: &Place, (bits, written): &(u64, Option<Written>)| {
        let point = live.get(place);
        point.is_some_and(|(live, from)| live == bits && (from.is_none() || from == written))
    };
    let missing = expected
        .iter()
        .find(|(place, point)| !is_live(place, point));
    let extra = live.keys().find(|place| !expected.contains_key(place));
    assert!(
        missing.is_none() && extra.is_none(),
        "{} live, {} expected; first wrong: {missing:?}, first too many: {extra:?}",
        live.len(),
        expected.len()
    );
}
