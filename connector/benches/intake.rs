//! Records through the core: routed, appended to the blocks of 70 shards, with compression and uploads answered
//! at once.

#![expect(clippy::unwrap_used, reason = "a benchmark fails like a test")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use skein_config::load::{Layers, load};
use skein_connector::core::action::{Action, Request};
use skein_connector::core::event::{Answer, ChainView, Event, LedgerEnd, TopicPartition};
use skein_connector::core::{Core, CoreOptions, Floors, Until};
use skein_shared::format::frame::{HeadersRef, RecordRef, RecordTimestamp};
use skein_shared::format::ledger_entry::StartPolicy;
use skein_shared::ids::{
    Incarnation, MetricId, OrgId, PartitionId, SourceName, TopicName, WorkerId,
};
use skein_shared::offset::Offset;
use skein_shared::payload::Payload;
use skein_shared::retry::RetryPolicy;
use skein_shared::shard_map::{Routing, ShardMap};
use skein_shared::units::Millis;
use skein_shared::window::TimestampMs;

const TOPIC: &str = "points";
const RECORDS: usize = 100_000;

struct Driven {
    core: Core,
    actions: Vec<Action>,
    offset: i64,
}

impl Driven {
    fn start() -> Self {
        let settings = load(&Layers::default()).unwrap();
        let options = CoreOptions {
            settings: settings.connector,
            source: SourceName::new("main").unwrap(),
            worker: WorkerId(uuid::Uuid::from_u128(1)),
            seed: 1,
            epoch: TimestampMs(1_700_000_000_000),
            shard_map: ShardMap::new(Routing {
                modulus: 64,
                dedicated: (0..6).map(OrgId).collect(),
            }),
            payload_limit_bytes: 8 << 20,
            start: StartPolicy::Earliest,
            until: Until::Asked,
            floors: Floors::S3,
            compressors: 0,
            retry: RetryPolicy::default(),
            mutant: None,
        };
        let mut driven = Self {
            core: Core::new(options, Millis(0)),
            actions: Vec::new(),
            offset: 0,
        };
        let partition = TopicPartition {
            topic: TopicName::new(TOPIC).unwrap(),
            partition: PartitionId(0),
        };
        driven.step(Event::Assigned(vec![partition]));
        driven
    }

    fn step(&mut self, event: Event<'_>) {
        self.core.step(Millis(0), event, &mut self.actions);
        while let Some(action) = self.actions.pop() {
            self.obey(action);
        }
    }

    fn obey(&mut self, action: Action) {
        match action {
            Action::Encode {
                object,
                block,
                marker,
            } => {
                let block = block.encode(&marker);
                self.step(Event::BlockEncoded { object, block });
            }
            Action::Send(id, request) => {
                let answer = match request {
                    Request::LookUpChain(_) => Answer::Chain(ChainView {
                        incarnation: Incarnation::default(),
                        ledger: Some(LedgerEnd {
                            offset: Offset(0),
                            last: None,
                        }),
                        kafka_low: Offset(0),
                        kafka_high: Offset(i64::MAX),
                    }),
                    Request::CreateGenesis { .. } | Request::CreateFlushManifest { .. } => {
                        Answer::Ours
                    }
                    Request::AppendLedger { .. } => Answer::Appended,
                    Request::PutObject { .. }
                    | Request::UploadPart { .. }
                    | Request::CompleteUpload(_)
                    | Request::WriteStatus { .. } => Answer::Stored,
                };
                self.step(Event::Answered(id, answer));
            }
            Action::Assign { .. }
            | Action::Unassign { .. }
            | Action::Pause
            | Action::Resume
            | Action::Commit(..)
            | Action::Alert { .. }
            | Action::Hedge(..)
            | Action::Notify(_)
            | Action::Exit(_) => {}
        }
    }

    fn take_all(&mut self, values: &[Vec<u8>]) {
        for value in values.iter().cycle().take(RECORDS) {
            self.take(value);
        }
    }

    fn take(&mut self, value: &[u8]) {
        let record = RecordRef {
            offset: Offset(self.offset),
            timestamp: RecordTimestamp::Created(TimestampMs(1_700_000_000_000 + self.offset)),
            key: Some(b"0123456789abcdef"),
            value: Some(value),
            headers: HeadersRef::EMPTY,
        };
        self.offset += 1;
        self.step(Event::Record {
            topic: TOPIC,
            partition: 0,
            record: &record,
        });
    }
}

fn payload(rng: &mut fastrand::Rng, org: u64, points: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    Payload {
        org: OrgId(org),
        metric: MetricId(org),
        timestamps: (0..points)
            .map(|i| TimestampMs(1_700_000_000_000 + 15_000 * i))
            .collect(),
        values: (0..points)
            .map(|_| f64::from(rng.i32(0..10_000)) / 100.0)
            .collect(),
        metadata: Vec::new(),
    }
    .encode(&mut bytes);
    bytes
}

fn intake(c: &mut Criterion) {
    let mut group = c.benchmark_group("core with compression");
    group.sample_size(10);
    for (name, points) in [("records of 1 KiB", 110), ("records of 71 B", 4)] {
        let mut rng = fastrand::Rng::with_seed(3);
        let values: Vec<Vec<u8>> = (0..80).map(|org| payload(&mut rng, org, points)).collect();
        group.throughput(Throughput::Elements(RECORDS as u64));
        group.bench_function(name, |b| {
            let mut driven = Driven::start();
            b.iter(|| driven.take_all(&values));
            assert!(driven.core.stats().records >= RECORDS as u64);
        });
    }
    group.finish();
}

criterion_group!(benches, intake);
criterion_main!(benches);
