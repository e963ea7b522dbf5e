//! A bucket with segments in it, and what a read must give.

mod rollups;

use std::collections::BTreeMap;

use skein_config::cutover::timelines::Timelines;
use skein_local::embedded_bucket::{BucketOptions, EmbeddedBucket, Mood, Storage};
use skein_reader::segment_scan::{Scan, ScanOptions, ScanSummary};
use skein_reader::snapshot::{Selection, Snapshot};
use skein_shared::bucket::{Bucket, BucketSettings, Credentials, Encryption};
use skein_shared::format::digest::ContentDigest;
use skein_shared::format::object_key::{Attempt, ObjectKey};
use skein_shared::format::order_column::{ChainTable, Order, OrderRun};
use skein_shared::format::profile::Profile;
use skein_shared::format::segment_writer::{
    SegmentIdentity, SegmentWriter, SeriesMetadata, SeriesPoints,
};
use skein_shared::format::shard_manifest::{Layer, SegmentEntry, ShardManifest};
use skein_shared::ids::{
    Chain, Generation, Incarnation, MetricId, OrgId, PartitionId, SeriesKey, ShardId, SourceName,
    TopicName, WriteId,
};
use skein_shared::manifest_log::{self, Committed};
use skein_shared::offset::Offset;
use skein_shared::retry::RetryPolicy;
use skein_shared::segment_fetch::MetadataFetch;
use skein_shared::series::SERIES_METADATA_KEY;
use skein_shared::shard_map::{Routing, ShardMap};
use skein_shared::shard_map_log;
use skein_shared::timeline::OwnershipFilter;
use skein_shared::window::{Resolution, TimeSpan, TimestampMs, Window};

pub(crate) use rollups::rolled;
use rollups::rollup_segment;

const BUCKET: &str = "skein-test";

/// One record's points of one series.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) key: SeriesKey,
    pub(crate) name: Option<String>,
    pub(crate) record_ms: i64,
    pub(crate) partition: u32,
    pub(crate) offset: i64,
    pub(crate) points: Vec<(i64, f64)>,
}

/// Place of a record in the order of writes.
pub(crate) type Place = (i64, u32, i64);

/// An embedded bucket and everything that was put into it.
pub(crate) struct World {
    server: EmbeddedBucket,
    pub(crate) bucket: Bucket,
    pub(crate) shard_map: ShardMap,
    pub(crate) manifests: BTreeMap<ShardId, ShardManifest>,
    expected: BTreeMap<(SeriesKey, i64), (Place, u64)>,
    /// Every point of every record.
    pub(crate) written: Vec<(SeriesKey, i64, Place, u64)>,
}

/// What a scan gave.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Found {
    pub(crate) points: Vec<(SeriesKey, i64, u64)>,
    pub(crate) names: BTreeMap<SeriesKey, String>,
}

pub(crate) fn key(org: u64, metric: u64) -> SeriesKey {
    SeriesKey {
        org: OrgId(org),
        metric: MetricId(metric),
    }
}

pub(crate) fn chain(partition: u32) -> Chain {
    Chain {
        source: SourceName::new("kafka").unwrap(),
        topic: TopicName::new("points").unwrap(),
        incarnation: Incarnation(0),
        partition: PartitionId(partition),
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let server = EmbeddedBucket::start(BucketOptions::new(Storage::Memory)).unwrap();
        server.create_bucket(BUCKET).unwrap();
        let settings = BucketSettings {
            bucket: BUCKET.into(),
            prefix: String::new(),
            endpoint: Some(server.endpoint()),
            region: "us-east-1".into(),
            path_style: true,
            credentials: Credentials::Static {
                access_key: server.access_key().into(),
                secret_key: server.secret_key().into(),
            },
            encryption: Encryption::BucketDefault,
            authorities: None,
            retry: RetryPolicy::default(),
        };
        let bucket = Bucket::open(&settings).await.unwrap();
        let routing = Routing {
            modulus: 2,
            dedicated: [OrgId(1000)].into(),
        };
        let now = TimestampMs(1_700_000_000_000);
        let shard_map = shard_map_log::load_or_publish(&bucket, &routing, now)
            .await
            .unwrap();
        Self {
            server,
            bucket,
            shard_map,
            manifests: BTreeMap::new(),
            expected: BTreeMap::new(),
            written: Vec::new(),
        }
    }

    /// How the bucket answers from now on.
    pub(crate) fn set_mood(&self, mood: Mood) {
        self.server.set_mood(mood);
    }

    /// Writes one segment of the window into the shard that owns the series' orgs, and commits it.
    pub(crate) async fn add(&mut self, window: Window, records: &[Written]) -> SegmentEntry {
        let shard = self.shard_map.owner_of(records[0].key.org, window);
        for record in records {
            assert_eq!(self.shard_map.owner_of(record.key.org, window), shard);
            for (ts, value) in &record.points {
                let place = (record.record_ms, record.partition, record.offset);
                let point = (place, value.to_bits());
                self.written.push((record.key, *ts, place, value.to_bits()));
                let best = self.expected.entry((record.key, *ts)).or_insert(point);
                *best = (*best).max(point);
            }
        }
        self.add_to(shard, window, records).await
    }

    /// As [`World::add`], a base with rollups of these resolutions beside it.
    pub(crate) async fn add_base(
        &mut self,
        window: Window,
        records: &[Written],
        rollups: &[Resolution],
    ) -> SegmentEntry {
        self.add_base_of(window, records, (rollups, records)).await
    }

    /// As [`World::add_base`], with rollups made of other records.
    pub(crate) async fn add_base_of(
        &mut self,
        window: Window,
        records: &[Written],
        (rollups, of): (&[Resolution], &[Written]),
    ) -> SegmentEntry {
        let raw = self.add(window, records).await;
        let shard = self.shard_map.owner_of(records[0].key.org, window);
        for resolution in rollups {
            let (bytes, entry) = rollup_segment(shard, window, of, *resolution);
            let entry = SegmentEntry {
                rollup_of: Some(raw.key.clone()),
                ..entry
            };
            self.commit(shard, bytes, entry).await;
        }
        let manifest = self.manifests.get_mut(&shard).unwrap();
        let base = manifest.segments.iter_mut().find(|it| it.key == raw.key);
        base.unwrap().layer = Layer::Base;
        raw
    }

    /// As [`World::add`], an overlay by a compactor that knew of no timeline.
    pub(crate) async fn add_unfiltered(&mut self, window: Window, records: &[Written]) {
        let shard = self.shard_map.owner_of(records[0].key.org, window);
        let (bytes, mut entry) = segment(shard, window, records);
        entry.filter = OwnershipFilter::Everything;
        self.commit(shard, bytes, entry).await;
    }

    /// Writes one segment into `shard`, whoever owns the orgs; what is read does not change by it.
    pub(crate) async fn add_to(
        &mut self,
        shard: ShardId,
        window: Window,
        records: &[Written],
    ) -> SegmentEntry {
        let (bytes, entry) = segment(shard, window, records);
        self.commit(shard, bytes, entry).await
    }

    /// Puts a segment at the key of the next generation, and commits that.
    async fn commit(
        &mut self,
        shard: ShardId,
        bytes: Vec<u8>,
        mut entry: SegmentEntry,
    ) -> SegmentEntry {
        let manifest = self
            .manifests
            .entry(shard)
            .or_insert_with(|| ShardManifest::empty(shard));
        manifest.generation = Generation(manifest.generation.0 + 1);
        let object = ObjectKey::Segment {
            shard,
            resolution: entry.resolution,
            window: entry.window,
            generation: manifest.generation,
            attempt: Attempt(7),
            number: 0,
        };
        entry.key = object.to_string();
        entry.generation = manifest.generation;
        self.bucket
            .put(&entry.key, bytes.into(), entry.write_id)
            .await
            .unwrap();
        manifest.segments.push(entry.clone());
        let id = WriteId::random();
        let committed = manifest_log::commit(&self.bucket, manifest, id)
            .await
            .unwrap();
        assert_eq!(committed, Committed::Ours);
        entry
    }

    pub(crate) async fn snapshot(&self, selection: Selection) -> Snapshot {
        let timelines = Timelines::new_owns_everything();
        Snapshot::load(&self.bucket, timelines, selection)
            .await
            .unwrap()
    }

    pub(crate) async fn scan(
        &self,
        selection: Selection,
        span: TimeSpan,
    ) -> skein_reader::Result<(Found, ScanSummary)> {
        scan(self.snapshot(selection).await, span).await
    }

    /// What a single system would have returned: of equal times the last write.
    pub(crate) fn expected(
        &self,
        selection: Selection,
        span: TimeSpan,
    ) -> Vec<(SeriesKey, i64, u64)> {
        let meant = |key: SeriesKey| selection.first() <= key && key <= selection.last();
        let points = self.expected.iter();
        let points = points.filter(|((key, ts), _)| meant(*key) && span.contains(TimestampMs(*ts)));
        points
            .map(|((key, ts), (_, bits))| (*key, *ts, *bits))
            .collect()
    }
}

/// What a snapshot gives.
pub(crate) async fn scan(
    snapshot: Snapshot,
    span: TimeSpan,
) -> skein_reader::Result<(Found, ScanSummary)> {
    let options = ScanOptions {
        span,
        metadata: MetadataFetch::Fetch,
    };
    let mut reading = Scan::start(snapshot, options).await?;
    let mut found = Found::default();
    while let Some(piece) = reading.next().await? {
        let values = piece.values.iter().map(|value| value.to_bits());
        let points = piece.timestamps_ms.iter().zip(values);
        found
            .points
            .extend(points.map(|(ts, bits)| (piece.key, *ts, bits)));
        if let Some(metadata) = piece.metadata {
            let name = metadata.entries[SERIES_METADATA_KEY].clone();
            found.names.insert(piece.key, name);
        }
    }
    Ok((found, reading.summary()))
}

pub(crate) fn digest_of(points: &[(SeriesKey, i64, u64)]) -> ContentDigest {
    let mut digest = ContentDigest::EMPTY;
    for (key, ts, bits) in points {
        digest.add_point(*key, *ts, f64::from_bits(*bits));
    }
    digest
}

/// The bytes of a segment. Records of one series must not overlap in time here.
fn segment(shard: ShardId, window: Window, records: &[Written]) -> (Vec<u8>, SegmentEntry) {
    let chains = records
        .iter()
        .map(|record| chain(record.partition))
        .collect();
    let chains = ChainTable::new(chains);
    let order = |record: &Written| Order {
        seals: 1,
        record_timestamp: Some(TimestampMs(record.record_ms)),
        chain: chains.index_of(&chain(record.partition)).unwrap(),
        offset: Offset(record.offset),
    };
    let mut series: BTreeMap<SeriesKey, Vec<&Written>> = BTreeMap::new();
    for record in records {
        series.entry(record.key).or_default().push(record);
    }
    let identity = SegmentIdentity {
        shard,
        window,
        resolution: Resolution::Raw,
    };
    let mut writer = SegmentWriter::new(identity, chains.clone(), Profile::default());
    for (key, mut records) in series {
        records.sort_by_key(|record| record.points[0].0);
        let points = || records.iter().flat_map(|record| &record.points);
        let timestamps_ms: Vec<i64> = points().map(|(ts, _)| *ts).collect();
        let values: Vec<f64> = points().map(|(_, value)| *value).collect();
        let orders = records.iter().map(|record| OrderRun {
            order: order(record),
            points: u32::try_from(record.points.len()).unwrap(),
        });
        let orders: Vec<OrderRun> = orders.collect();
        let newest = records.iter().max_by_key(|record| order(record)).unwrap();
        let metadata = newest.name.as_ref().map(|name| SeriesMetadata {
            order: order(newest),
            entries: BTreeMap::from([(SERIES_METADATA_KEY.to_owned(), name.clone())]),
        });
        let points = SeriesPoints {
            timestamps_ms: &timestamps_ms,
            values: &values,
            orders: &orders,
        };
        writer.push_series(key, &points, metadata.as_ref());
    }
    let finished = writer.finish().unwrap();
    let entry = SegmentEntry {
        key: String::new(),
        window,
        resolution: Resolution::Raw,
        layer: Layer::Overlay { steps: 1 },
        rollup_of: None,
        generation: Generation(0),
        write_id: WriteId::random(),
        summary: finished.summary,
        deletes_applied: 0,
        filter: OwnershipFilter::Owned,
    };
    (finished.rest.to_vec(), entry)
}
