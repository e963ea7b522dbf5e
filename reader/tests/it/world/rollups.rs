//! The rollups beside a world's bases.

use std::collections::BTreeMap;

use skein_shared::format::order_column::{ChainTable, Order};
use skein_shared::format::profile::Profile;
use skein_shared::format::segment_writer::{SegmentIdentity, SegmentWriter, SeriesMetadata};
use skein_shared::format::shard_manifest::{Layer, SegmentEntry};
use skein_shared::ids::{Generation, SeriesKey, ShardId, WriteId};
use skein_shared::rollup::Rollup;
use skein_shared::series::SERIES_METADATA_KEY;
use skein_shared::timeline::OwnershipFilter;
use skein_shared::window::{Resolution, TimestampMs, Window};

use super::Written;

/// The bytes of the rollup of a segment of these records.
pub(super) fn rollup_segment(
    shard: ShardId,
    window: Window,
    records: &[Written],
    resolution: Resolution,
) -> (Vec<u8>, SegmentEntry) {
    let mut series: BTreeMap<SeriesKey, BTreeMap<i64, f64>> = BTreeMap::new();
    for record in records {
        let points = series.entry(record.key).or_default();
        points.extend(record.points.iter().copied());
    }
    let identity = SegmentIdentity {
        shard,
        window,
        resolution,
    };
    let mut writer = SegmentWriter::new(identity, ChainTable::default(), Profile::default());
    for (key, points) in series {
        let own = records.iter().filter(|record| record.key == key);
        let newest = own.max_by_key(|record| record.record_ms).unwrap();
        let metadata = newest.name.as_ref().map(|name| SeriesMetadata {
            order: Order {
                seals: 1,
                record_timestamp: Some(TimestampMs(newest.record_ms)),
                ..Order::default()
            },
            entries: BTreeMap::from([(SERIES_METADATA_KEY.to_owned(), name.clone())]),
        });
        let rollup = rolled(&points, resolution);
        writer.push_rollup(key, &rollup, metadata.as_ref());
    }
    let finished = writer.finish().unwrap();
    let entry = SegmentEntry {
        key: String::new(),
        window,
        resolution,
        layer: Layer::Base,
        rollup_of: None,
        generation: Generation(0),
        write_id: WriteId::random(),
        summary: finished.summary,
        deletes_applied: 0,
        filter: OwnershipFilter::Owned,
    };
    (finished.rest.to_vec(), entry)
}

/// The buckets that these points make.
pub(crate) fn rolled(points: &BTreeMap<i64, f64>, resolution: Resolution) -> Rollup {
    let times: Vec<i64> = points.keys().copied().collect();
    let values: Vec<f64> = points.values().copied().collect();
    let (mut finest, mut rollup) = (Rollup::default(), Rollup::default());
    finest.roll(&times, &values);
    finest.coarsen(resolution, &mut rollup);
    rollup
}
