//! A bucket with a connector's output in it, and what must come out.

#[path = "world_settings.rs"]
mod settings;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use skein_compactor::report::RunReport;
use skein_compactor::run::{OnProgress, RunOptions, run};
use skein_config::compactor::CompactorSettings;
use skein_config::cutover::timelines::Timelines;
use skein_local::embedded_bucket::{BucketOptions, EmbeddedBucket, Storage};
use skein_shared::bucket::{Bucket, BucketSettings, Created, Credentials, Encryption};
use skein_shared::delete_log::NewDelete;
use skein_shared::format::block::{BlockBuffer, StreamSummary, SyncMarker, merge_streams};
use skein_shared::format::delete_entry::{DeleteEntry, DeleteSelector, Statement};
use skein_shared::format::flush_manifest::{
    FlushBody, FlushContents, FlushManifest, FlushedObject, FlushedSpan,
};
use skein_shared::format::frame::{HeaderBuffer, RecordRef, RecordTimes, RecordTimestamp, Stream};
use skein_shared::format::ledger_entry::{EntryKind, Genesis, LedgerEntry, StartPolicy};
use skein_shared::format::object_key::{Hour, ObjectKey};
use skein_shared::format::state_object::{Head, MadeWith, StateObjectWriter};
use skein_shared::format::worker_status::{Claim, WorkerStatus};
use skein_shared::ids::{
    Chain, FlushId, Incarnation, MetricId, OrgId, PartitionId, ShardId, SourceName, Tenure,
    TopicName, WorkerId, WriteId,
};
use skein_shared::ledger::{Appended, Ledger};
use skein_shared::offset::{Offset, Span};
use skein_shared::payload::{Limits, Payload, org_of};
use skein_shared::retry::RetryPolicy;
use skein_shared::shard_map::{Routing, ShardMap};
use skein_shared::units::Millis;
use skein_shared::window::TimestampMs;
use skein_shared::{delete_log, shard_map_log, status_log};
use tokio_util::sync::CancellationToken;

pub(crate) use settings::settings;

pub(crate) const DAY: i64 = 86_400_000;
/// The start of a window; all tests happen around it.
pub(crate) const NOON: i64 = 19_700 * DAY;

/// A bucket, and the ledger in it.
pub(crate) struct World {
    pub(crate) server: EmbeddedBucket,
    pub(crate) bucket: Bucket,
    pub(crate) map: ShardMap,
    /// Where each partition's ledger ends.
    ends: Mutex<BTreeMap<u32, i64>>,
    times: Mutex<BTreeMap<FlushId, Option<RecordTimes>>>,
    /// What compactors go by.
    timelines: Mutex<Timelines>,
}

/// A record as a producer sent it.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) partition: u32,
    pub(crate) offset: i64,
    pub(crate) timestamp: Option<i64>,
    pub(crate) header: Option<&'static str>,
    pub(crate) value: Vec<u8>,
}

/// What one worker seals together.
#[derive(Debug, Clone)]
pub(crate) struct Flush {
    pub(crate) id: FlushId,
    pub(crate) records: Vec<Record>,
    /// Records with which a block ends.
    pub(crate) block_records: usize,
    /// A block of which the footers say that it has a frame more than it has.
    pub(crate) miscounted_block: Option<usize>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let server = EmbeddedBucket::start(BucketOptions::new(Storage::Memory)).unwrap();
        server.create_bucket("skein-test").unwrap();
        let settings = BucketSettings {
            bucket: "skein-test".into(),
            prefix: "p".into(),
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
            modulus: 3,
            dedicated: [OrgId(1000)].into(),
        };
        let map = shard_map_log::load_or_publish(&bucket, &routing, TimestampMs(NOON))
            .await
            .unwrap();
        Self {
            server,
            bucket,
            map,
            ends: Mutex::default(),
            times: Mutex::default(),
            timelines: Mutex::new(Timelines::new_owns_everything()),
        }
    }

    /// Whoever compacts from now on goes by these.
    pub(crate) fn go_by(&self, timelines: Timelines) {
        *self.timelines.lock().unwrap() = timelines;
    }

    pub(crate) fn timelines(&self) -> Timelines {
        self.timelines.lock().unwrap().clone()
    }

    /// Writes the flush's objects and its manifest. Without ledger entries all of it is void.
    pub(crate) async fn seal(&self, flush: &Flush, tenure: Tenure) {
        let times = || flush.records.iter().filter_map(|record| record.timestamp);
        let bounds = times().min().zip(times().max());
        let times = bounds.map(|(oldest, newest)| RecordTimes {
            oldest: TimestampMs(oldest),
            newest: TimestampMs(newest),
            is_partial: false,
        });
        self.times.lock().unwrap().insert(flush.id, times);
        let mut by_shard: BTreeMap<ShardId, Vec<&Record>> = BTreeMap::new();
        for record in &flush.records {
            let header = record.header.map(str::as_bytes);
            let shard = match org_of(Some(&record.value), header) {
                Ok(org) => self.map.shard_of(org, record.timestamp.map(TimestampMs)),
                Err(_) => ShardId::Quarantine,
            };
            by_shard.entry(shard).or_default().push(record);
        }
        let (mut objects, mut streams) = (Vec::new(), Vec::new());
        for (shard, records) in by_shard {
            let (bytes, object, sums) = state_object(flush, shard, &records, tenure);
            self.bucket
                .put(&object.key, bytes, WriteId::random())
                .await
                .unwrap();
            objects.push(object);
            merge_streams(&mut streams, &sums);
        }
        let spans = streams.iter().map(|sum| FlushedSpan {
            stream: sum.stream.clone(),
            span: Span::new(sum.first, sum.last.offset.next()),
            hole: None,
            frames: sum.frames,
            digest: sum.digest,
        });
        let manifest = FlushManifest {
            flush: flush.id,
            body: FlushBody::Written(FlushContents {
                objects,
                spans: spans.collect(),
                made_with: MadeWith::this_build(0),
            }),
        };
        let (key, id) = (ObjectKey::Flush(flush.id).to_string(), WriteId::random());
        let created = self.bucket.create(&key, manifest.encode(id), id);
        assert_eq!(created.await.unwrap(), Created::Ours);
    }

    /// Says that `[from, to)` of a partition is held by `flush`, in `tenure`.
    pub(crate) async fn make_durable(
        &self,
        flush: FlushId,
        tenure: Tenure,
        partition: u32,
        [from, to]: [i64; 2],
    ) {
        let ledger = Ledger::new(self.bucket.clone());
        let genesis = Genesis {
            chain: chain(partition),
            start: Offset(from),
            policy: StartPolicy::Earliest,
        };
        ledger.create_genesis(&genesis).await.unwrap();
        let entry = LedgerEntry {
            chain: chain(partition),
            span: Span::new(Offset(from), Offset(to)),
            kind: EntryKind::Flushed { flush, tenure },
            frames: 0,
            times: self.times.lock().unwrap().get(&flush).copied().flatten(),
            last: None,
        };
        let appended = ledger.append(&entry, WriteId::random()).await.unwrap();
        assert_eq!(appended, Appended::Ours);
    }

    /// Seals a flush and makes all of it durable.
    pub(crate) async fn flush(&self, flush: &Flush) {
        self.seal(flush, Tenure(1)).await;
        let mut spans: BTreeMap<u32, [i64; 2]> = BTreeMap::new();
        for record in &flush.records {
            let mut ends = self.ends.lock().unwrap();
            let end = ends.entry(record.partition).or_insert(record.offset);
            let span = spans.entry(record.partition).or_insert([*end, *end]);
            *end = record.offset + 1;
            span[1] = *end;
        }
        for (partition, span) in spans {
            self.make_durable(flush.id, tenure_of(Tenure(1), partition), partition, span)
                .await;
        }
    }

    /// A worker tells at `as_of` that everything Kafka has is durable.
    pub(crate) async fn tell_at_end(&self, as_of: i64) {
        let ends = self.ends.lock().unwrap().clone();
        let claims = ends.into_iter().map(|(partition, end)| Claim {
            chain: chain(partition),
            position: Offset(end),
            log_end: Some(Offset(end)),
            stopped: None,
        });
        let status = WorkerStatus {
            worker: WorkerId::random(),
            as_of: TimestampMs(as_of),
            claims: claims.collect(),
        };
        status_log::write(&self.bucket, &status, WriteId::random())
            .await
            .unwrap();
    }

    /// Deletes what the selector names in all that is durable.
    pub(crate) async fn delete(&self, selector: DeleteSelector) -> DeleteEntry {
        let new = NewDelete {
            selector,
            stated: Statement::default(),
            deadline_after: Millis(0),
        };
        delete_log::append(&self.bucket, new).await.unwrap()
    }

    pub(crate) async fn compact(&self) -> RunReport {
        self.compact_with(&settings()).await.unwrap()
    }

    pub(crate) async fn compact_with(
        &self,
        settings: &CompactorSettings,
    ) -> skein_compactor::Result<RunReport> {
        self.compact_telling(settings, Arc::new(|_| ())).await
    }

    pub(crate) async fn compact_telling(
        &self,
        settings: &CompactorSettings,
        progress: OnProgress,
    ) -> skein_compactor::Result<RunReport> {
        let options = RunOptions {
            limits: Limits::default(),
            timelines: self.timelines(),
        };
        run(
            settings,
            &self.bucket,
            options,
            CancellationToken::new(),
            progress,
        )
        .await
    }
}

pub(crate) fn chain(partition: u32) -> Chain {
    Chain {
        source: SourceName::new("src").unwrap(),
        topic: TopicName::new("points").unwrap(),
        incarnation: Incarnation(0),
        partition: PartitionId(partition),
    }
}

/// A worker numbers its tenures over all of its partitions.
pub(crate) fn tenure_of(tenure: Tenure, partition: u32) -> Tenure {
    Tenure(tenure.0 * 1000 + u64::from(partition))
}

pub(crate) fn flush_of(records: Vec<Record>) -> Flush {
    Flush {
        id: FlushId {
            worker: WorkerId::random(),
            counter: 1,
        },
        records,
        block_records: 7,
        miscounted_block: None,
    }
}

/// A record of a payload at `[partition, offset, record timestamp]`.
pub(crate) fn record(place: (u32, i64, i64), series: (u64, u64), points: &[(i64, f64)]) -> Record {
    let (partition, offset, timestamp) = place;
    let mut value = Vec::new();
    Payload {
        org: OrgId(series.0),
        metric: MetricId(series.1),
        timestamps: points.iter().map(|(ms, _)| TimestampMs(*ms)).collect(),
        values: points.iter().map(|(_, value)| *value).collect(),
        metadata: vec![("offset".into(), offset.to_string())],
    }
    .encode(&mut value);
    Record {
        partition,
        offset,
        timestamp: Some(timestamp),
        header: None,
        value,
    }
}

fn state_object(
    flush: &Flush,
    shard: ShardId,
    records: &[&Record],
    tenure: Tenure,
) -> (Bytes, FlushedObject, Vec<StreamSummary>) {
    let head = Head {
        marker: SyncMarker::random(),
        write_id: WriteId::random(),
        shard,
        flush: flush.id,
        number: 0,
    };
    let mut writer = StateObjectWriter::new(head, MadeWith::this_build(0));
    let mut bytes = BytesMut::from(&writer.head_bytes()[..]);
    for (number, records) in records.chunks(flush.block_records).enumerate() {
        let mut block = BlockBuffer::with_capacity(1024);
        for record in records {
            append(&mut block, record, tenure);
        }
        let mut encoded = block.encode(&head.marker);
        if flush.miscounted_block == Some(number) {
            encoded.summary.frames += 1;
            encoded.summary.streams[0].frames += 1;
        }
        writer.push(&encoded.summary);
        bytes.extend_from_slice(&encoded.bytes);
    }
    let finished = writer.finish();
    bytes.extend_from_slice(&finished.tail);
    let summary = finished.summary;
    let object = FlushedObject {
        key: ObjectKey::State {
            shard,
            hour: Hour::of(TimestampMs(NOON)),
            flush: flush.id,
            number: 0,
        }
        .to_string(),
        shard,
        object_bytes: summary.object_bytes,
        crc32c: summary.crc32c,
        frames: summary.frames,
        raw_bytes: summary.raw_bytes,
        digest: summary.digest,
    };
    (bytes.freeze(), object, summary.streams)
}

fn append(block: &mut BlockBuffer, record: &Record, tenure: Tenure) {
    let mut headers = HeaderBuffer::default();
    if let Some(header) = record.header {
        headers.push(b"skein-org", Some(header.as_bytes()));
    }
    let stream = Stream {
        chain: chain(record.partition),
        tenure: tenure_of(tenure, record.partition),
    };
    let timestamp = record.timestamp.map(TimestampMs);
    block.append(
        &stream,
        None,
        &RecordRef {
            offset: Offset(record.offset),
            timestamp: timestamp.map_or(RecordTimestamp::Missing, RecordTimestamp::Created),
            key: None,
            value: Some(&record.value),
            headers: headers.headers(),
        },
    );
}
