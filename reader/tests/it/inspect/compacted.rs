//! The compactor's side of the small bucket: segments, quarantine lists and manifests.

use std::collections::BTreeMap;

use skein_shared::format::checksum::crc32c;
use skein_shared::format::object_key::{Attempt, ObjectKey};
use skein_shared::format::order_column::{ChainTable, Order, OrderRun};
use skein_shared::format::profile::Profile;
use skein_shared::format::quarantine::{QuarantineList, QuarantinedRecord};
use skein_shared::format::segment_footer::SegmentIdentity;
use skein_shared::format::segment_writer::{SegmentWriter, SeriesPoints};
use skein_shared::format::shard_manifest::{
    ConservationCounts, Layer, ManifestVersions, QuarantineRef, SegmentEntry,
};
use skein_shared::ids::{FlushId, Generation, MetricId, Position, SeriesKey, ShardId, WriteId};
use skein_shared::manifest_log;
use skein_shared::offset::Offset;
use skein_shared::timeline::OwnershipFilter;
use skein_shared::window::{Resolution, TimestampMs, Window};

use crate::inspect::world::{BASE_MS, POINTS, RECORDS, Sample, World, chain, times};

impl World {
    pub(super) async fn compact(
        &mut self,
        round: i64,
        shard: ShardId,
        (flush, own): (FlushId, &[&Sample]),
    ) {
        let mut manifest = manifest_log::newest(&self.bucket, shard).await.unwrap();
        let generation = Generation(manifest.generation.0 + 1);
        manifest.generation = generation;
        for partition in [0, 1] {
            let position = Offset((round + 1) * RECORDS);
            manifest.positions.insert(chain(partition), position);
        }
        let (good, bad): (Vec<&Sample>, Vec<&Sample>) = own
            .iter()
            .partition(|sample| sample.value.as_ref().unwrap()[0] != 0xff);
        manifest
            .segments
            .push(self.write_segment(shard, generation, &good).await);
        if !bad.is_empty() {
            manifest
                .quarantine
                .push(self.write_list(shard, generation, (flush, &bad)).await);
        }
        manifest.counts.add(ConservationCounts {
            records: own.len() as u64,
            quarantined_records: bad.len() as u64,
            points_in: (good.len() * POINTS) as u64,
            duplicates: 0,
            not_owned: 0,
            damaged_frames: 0,
            deleted: 0,
            expired: 0,
        });
        manifest.versions = ManifestVersions::default();
        manifest_log::commit(&self.bucket, &manifest, WriteId::random())
            .await
            .unwrap();
        self.manifests.insert(shard, manifest);
    }

    async fn write_segment(
        &self,
        shard: ShardId,
        generation: Generation,
        samples: &[&Sample],
    ) -> SegmentEntry {
        let chains = ChainTable::new(vec![chain(0), chain(1)]);
        let (window, resolution) = (Window::of(TimestampMs(BASE_MS)), Resolution::Raw);
        let identity = SegmentIdentity {
            shard,
            window,
            resolution,
        };
        let mut series: BTreeMap<SeriesKey, Vec<&Sample>> = BTreeMap::new();
        for sample in samples {
            let metric = MetricId(u64::from(sample.partition));
            let key = SeriesKey {
                org: sample.org,
                metric,
            };
            series.entry(key).or_default().push(sample);
        }
        let mut writer = SegmentWriter::new(identity, chains.clone(), Profile::default());
        for (key, samples) in series {
            let timestamps: Vec<i64> = samples.iter().flat_map(|s| times(s.offset)).collect();
            let orders = samples.iter().map(|sample| OrderRun {
                order: Order {
                    seals: 1,
                    record_timestamp: Some(TimestampMs(BASE_MS)),
                    chain: chains.index_of(&chain(sample.partition)).unwrap(),
                    offset: Offset(sample.offset),
                },
                points: u32::try_from(POINTS).unwrap(),
            });
            let points = SeriesPoints {
                timestamps_ms: &timestamps,
                values: &vec![1.5; timestamps.len()],
                orders: &orders.collect::<Vec<_>>(),
            };
            writer.push_series(key, &points, None);
        }
        let mut bytes = writer
            .take_bytes(0)
            .map_or(Vec::new(), |bytes| bytes.to_vec());
        let finished = writer.finish().unwrap();
        bytes.extend_from_slice(&finished.rest);
        let key = ObjectKey::Segment {
            shard,
            resolution,
            window,
            generation,
            attempt: Attempt(generation.0),
            number: 0,
        };
        self.put(&key, bytes.into()).await;
        SegmentEntry {
            key: key.to_string(),
            window,
            resolution,
            layer: Layer::Overlay { steps: 1 },
            rollup_of: None,
            generation,
            write_id: WriteId::random(),
            summary: finished.summary,
            deletes_applied: 0,
            filter: OwnershipFilter::Owned,
        }
    }

    async fn write_list(
        &self,
        shard: ShardId,
        generation: Generation,
        (flush, samples): (FlushId, &[&Sample]),
    ) -> QuarantineRef {
        let records = samples.iter().map(|sample| QuarantinedRecord {
            position: Position {
                chain: chain(sample.partition),
                offset: Offset(sample.offset),
            },
            flush,
            object_key: "see the flush".into(),
            reason_code: 1,
            reason: "not a payload".into(),
        });
        let list = QuarantineList {
            shard,
            expected_generation: generation,
            records: records.collect(),
            damages: Vec::new(),
        };
        let key = ObjectKey::Quarantine {
            shard,
            generation,
            attempt: Attempt(1),
        };
        let bytes = list.encode(WriteId::random());
        self.put(&key, bytes.clone()).await;
        QuarantineRef {
            key: key.to_string(),
            records: samples.len() as u64,
            crc32c: crc32c(&bytes),
        }
    }
}
