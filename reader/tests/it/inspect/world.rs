//! A small bucket, written by the shared formats alone: two flushes of two partitions, three shards, a
//! quarantine of either kind, and two generations of manifests.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use skein_local::embedded_bucket::{BucketOptions, EmbeddedBucket, Storage};
use skein_shared::bucket::{Bucket, BucketSettings, Credentials, Encryption};
use skein_shared::format::block::{BlockBuffer, StreamSummary, SyncMarker, merge_streams};
use skein_shared::format::flush_manifest::{
    FlushBody, FlushContents, FlushManifest, FlushedObject, FlushedSpan,
};
use skein_shared::format::frame::{HeaderBuffer, RecordRef, RecordTimestamp, Stream};
use skein_shared::format::ledger_entry::{EntryKind, Genesis, LedgerEntry, StartPolicy};
use skein_shared::format::object_key::{Attempt, Hour, ObjectKey};
use skein_shared::format::retirement::Retirement;
use skein_shared::format::run_record::{
    RecordedStage, RunEnd, RunKind, RunRecord, RunTotals, StagePlace,
};
use skein_shared::format::shard_manifest::ShardManifest;
use skein_shared::format::state_object::{Head, MadeWith, StateObjectWriter};
use skein_shared::format::worker_status::WorkerStatus;
use skein_shared::ids::{
    Chain, FlushId, Incarnation, MetricId, OrgId, PartitionId, ShardId, SourceName, Tenure,
    TopicName, WorkerId, WriteId,
};
use skein_shared::ledger::Ledger;
use skein_shared::offset::{Offset, Span};
use skein_shared::payload::{ORG_HEADER, Payload};
use skein_shared::retry::RetryPolicy;
use skein_shared::run_log;
use skein_shared::shard_map::Routing;
use skein_shared::stage_time::StageTime;
use skein_shared::units::Millis;
use skein_shared::window::TimestampMs;
use skein_shared::{shard_map_log, source_binding};

pub(super) const BASE_MS: i64 = 1_700_000_000_000;
pub(super) const POINTS: usize = 10;
pub(super) const RECORDS: i64 = 10;

/// The bucket and what its tests need to know.
pub(super) struct World {
    server: EmbeddedBucket,
    pub(super) bucket: Bucket,
    pub(super) flushes: Vec<FlushManifest>,
    pub(super) manifests: BTreeMap<ShardId, ShardManifest>,
}

/// One record on its way into the world.
pub(super) struct Sample {
    pub(super) partition: u32,
    pub(super) offset: i64,
    pub(super) org: OrgId,
    pub(super) shard: ShardId,
    pub(super) value: Option<Vec<u8>>,
}

pub(super) fn chain(partition: u32) -> Chain {
    Chain {
        source: SourceName::new("src").unwrap(),
        topic: TopicName::new("points").unwrap(),
        incarnation: Incarnation(0),
        partition: PartitionId(partition),
    }
}

fn stream(partition: u32) -> Stream {
    Stream {
        chain: chain(partition),
        tenure: Tenure(u64::from(partition) + 1),
    }
}

fn routing() -> Routing {
    Routing {
        modulus: 2,
        dedicated: [OrgId(9)].into(),
    }
}

/// Timestamps of the points of a record.
pub(super) fn times(offset: i64) -> Vec<i64> {
    (0..1000 * RECORDS)
        .step_by(1000)
        .take(POINTS)
        .map(|ms| BASE_MS + offset * 100_000 + ms)
        .collect()
}

/// Ten records of each partition; the last one of each cannot become points.
fn samples(round: i64) -> Vec<Sample> {
    let mut samples = Vec::new();
    for partition in [0, 1] {
        for n in 0..RECORDS {
            let offset = round * RECORDS + n;
            let org = [OrgId(4), OrgId(5), OrgId(9)][usize::try_from(n % 3).unwrap()];
            let mut value = Vec::new();
            let payload = Payload {
                org,
                metric: MetricId(u64::from(partition)),
                timestamps: times(offset).into_iter().map(TimestampMs).collect(),
                values: vec![1.5; POINTS],
                metadata: Vec::new(),
            };
            payload.encode(&mut value);
            let (org, shard, value) = match (n == RECORDS - 1, partition) {
                (true, 0) => (OrgId(4), routing().shard_of(OrgId(4)), Some(vec![0xff; 30])),
                (true, _) => (org, ShardId::Quarantine, None),
                (false, _) => (org, routing().shard_of(org), Some(value)),
            };
            samples.push(Sample {
                partition,
                offset,
                org,
                shard,
                value,
            });
        }
    }
    samples
}

impl World {
    pub(super) async fn build() -> Self {
        let server = EmbeddedBucket::start(BucketOptions::new(Storage::Memory)).unwrap();
        server.create_bucket("world").unwrap();
        let settings = settings(&server, server.endpoint());
        let mut world = Self {
            server,
            bucket: Bucket::open(&settings).await.unwrap(),
            flushes: Vec::new(),
            manifests: BTreeMap::new(),
        };
        world.write().await;
        world
    }

    async fn write(&mut self) {
        let source = SourceName::new("src").unwrap();
        source_binding::bind(&self.bucket, &source, "cluster")
            .await
            .unwrap();
        let now = TimestampMs(BASE_MS);
        shard_map_log::load_or_publish(&self.bucket, &routing(), now)
            .await
            .unwrap();
        let ledger = Ledger::new(self.bucket.clone());
        for partition in [0, 1] {
            let genesis = Genesis {
                chain: chain(partition),
                start: Offset(0),
                policy: StartPolicy::Earliest,
            };
            ledger.create_genesis(&genesis).await.unwrap();
        }
        for round in [0, 1] {
            self.write_round(round).await;
        }
        self.write_words().await;
        let void = FlushManifest {
            flush: FlushId {
                worker: WorkerId::random(),
                counter: 7,
            },
            body: FlushBody::Void {
                reason: "the worker died".into(),
            },
        };
        self.put(
            &ObjectKey::Flush(void.flush),
            void.encode(WriteId::random()),
        )
        .await;
    }

    /// Writes ten more records of each partition, and compacts them.
    pub(super) async fn write_round(&mut self, round: i64) {
        let samples = samples(round);
        let flush = self.write_flush(round, &samples).await;
        for shard in routing().shards() {
            let own: Vec<&Sample> = samples.iter().filter(|s| s.shard == shard).collect();
            self.compact(round, shard, (flush, &own)).await;
        }
    }

    /// The same bucket, asked at another address.
    pub(super) async fn bucket_at(&self, endpoint: String) -> Bucket {
        Bucket::open(&settings(&self.server, endpoint))
            .await
            .unwrap()
    }

    pub(super) fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// What workers and people said about partitions, and a compactor about a run.
    async fn write_words(&self) {
        let record = run_record();
        let key = run_log::key_of(&record);
        self.put(&key, record.encode(WriteId::random())).await;
        let retirement = Retirement {
            chain: chain(7),
            end: Offset(0),
            reason: "never used".into(),
        };
        let key = ObjectKey::Retirement {
            chain: chain(7),
            end: Offset(0),
        };
        self.put(&key, retirement.encode(WriteId::random())).await;
        let status = WorkerStatus {
            worker: WorkerId::random(),
            as_of: TimestampMs(BASE_MS),
            claims: Vec::new(),
        };
        let key = ObjectKey::Status(status.worker);
        self.put(&key, status.encode(WriteId::random())).await;
    }

    async fn write_flush(&mut self, round: i64, samples: &[Sample]) -> FlushId {
        let flush = FlushId {
            worker: WorkerId::random(),
            counter: u64::try_from(round).unwrap(),
        };
        let mut shards: Vec<ShardId> = samples.iter().map(|sample| sample.shard).collect();
        shards.sort();
        shards.dedup();
        let mut objects = Vec::new();
        let mut streams = Vec::new();
        for shard in shards {
            let own: Vec<&Sample> = samples.iter().filter(|s| s.shard == shard).collect();
            objects.push(self.write_object(flush, shard, (&own, &mut streams)).await);
        }
        let span = Span::new(Offset(round * RECORDS), Offset((round + 1) * RECORDS));
        let spans = streams.iter().map(|sum| FlushedSpan {
            stream: sum.stream.clone(),
            span,
            hole: None,
            frames: sum.frames,
            digest: sum.digest,
        });
        let manifest = FlushManifest {
            flush,
            body: FlushBody::Written(FlushContents {
                objects,
                spans: spans.collect(),
                made_with: MadeWith::this_build(0),
            }),
        };
        self.put(&ObjectKey::Flush(flush), manifest.encode(WriteId::random()))
            .await;
        self.flushes.push(manifest);
        let ledger = Ledger::new(self.bucket.clone());
        for sum in &streams {
            let entry = entry(sum, span, flush);
            ledger.append(&entry, WriteId::random()).await.unwrap();
        }
        flush
    }

    async fn write_object(
        &self,
        flush: FlushId,
        shard: ShardId,
        (samples, streams): (&[&Sample], &mut Vec<StreamSummary>),
    ) -> FlushedObject {
        let head = Head {
            marker: SyncMarker::random(),
            write_id: WriteId::random(),
            shard,
            flush,
            number: 0,
        };
        let mut writer = StateObjectWriter::new(head, MadeWith::this_build(0));
        let mut bytes = writer.head_bytes().to_vec();
        for half in samples.chunks(samples.len().div_ceil(2)) {
            let mut block = BlockBuffer::with_capacity(1024);
            for sample in half {
                append(&mut block, sample);
            }
            let block = block.encode(&head.marker);
            writer.push(&block.summary);
            bytes.extend_from_slice(&block.bytes);
        }
        let finished = writer.finish();
        bytes.extend_from_slice(&finished.tail);
        let summary = finished.summary;
        merge_streams(streams, &summary.streams);
        let key = ObjectKey::State {
            shard,
            hour: Hour::of(TimestampMs(BASE_MS)),
            flush,
            number: 0,
        };
        self.put(&key, bytes.into()).await;
        FlushedObject {
            key: key.to_string(),
            shard,
            object_bytes: summary.object_bytes,
            crc32c: summary.crc32c,
            frames: summary.frames,
            raw_bytes: summary.raw_bytes,
            digest: summary.digest,
        }
    }

    pub(super) async fn put(&self, key: &ObjectKey, bytes: Bytes) {
        self.bucket
            .put(&key.to_string(), bytes, WriteId::random())
            .await
            .unwrap();
    }
}

fn settings(server: &EmbeddedBucket, endpoint: String) -> BucketSettings {
    BucketSettings {
        bucket: "world".into(),
        prefix: String::new(),
        endpoint: Some(endpoint),
        region: "us-east-1".into(),
        path_style: true,
        credentials: Credentials::Static {
            access_key: server.access_key().to_owned(),
            secret_key: server.secret_key().to_owned(),
        },
        encryption: Encryption::BucketDefault,
        authorities: None,
        retry: RetryPolicy {
            attempts: 3,
            base: Millis(1),
            cap: Millis(5),
            ..RetryPolicy::default()
        },
    }
}

fn append(block: &mut BlockBuffer, sample: &Sample) {
    let mut headers = HeaderBuffer::default();
    if sample.partition == 0 {
        let org = sample.org.to_string();
        headers.push(ORG_HEADER.as_bytes(), Some(org.as_bytes()));
    }
    let record = RecordRef {
        offset: Offset(sample.offset),
        timestamp: RecordTimestamp::Created(TimestampMs(BASE_MS)),
        key: Some(b"key"),
        value: sample.value.as_deref(),
        headers: headers.headers(),
    };
    block.append(&stream(sample.partition), Some(sample.org), &record);
}

fn entry(sum: &StreamSummary, span: Span, flush: FlushId) -> LedgerEntry {
    LedgerEntry {
        chain: sum.stream.chain.clone(),
        span,
        kind: EntryKind::Flushed {
            flush,
            tenure: sum.stream.tenure,
        },
        frames: sum.frames,
        times: sum.times,
        last: Some(sum.last),
    }
}

fn run_record() -> RunRecord {
    let mut time = StageTime::default();
    time.record(Duration::from_millis(3));
    let stage = RecordedStage {
        name: "merge".to_owned(),
        place: StagePlace::InTask,
        time,
    };
    RunRecord {
        run: Attempt(7),
        at: TimestampMs(BASE_MS),
        of: RunKind::Run,
        ended: RunEnd::Done,
        software: "skein".to_owned(),
        encoder: 1,
        threads: 1,
        did: RunTotals::default(),
        stages: vec![stage],
    }
}
