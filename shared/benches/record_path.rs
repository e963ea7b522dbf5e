//! A record's way through the contract: routed, appended to a block, compressed, read back.

#![expect(clippy::unwrap_used, reason = "a benchmark fails like a test")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use skein_shared::format::block::{BlockBuffer, BlockDecoder, SyncMarker};
use skein_shared::format::frame::{HeadersRef, RecordRef, RecordTimestamp, Stream};
use skein_shared::ids::{
    Chain, Incarnation, MetricId, OrgId, PartitionId, SourceName, Tenure, TopicName,
};
use skein_shared::offset::Offset;
use skein_shared::payload::{Payload, org_of};
use skein_shared::shard_map::{Routing, ShardMap};
use skein_shared::window::TimestampMs;

const BLOCK_BYTES: usize = 1 << 20;
const RECORD_TIME: TimestampMs = TimestampMs(1_700_000_000_000);

/// Payloads of `points` points that differ: a walk with two decimals, as gauges have.
fn payloads(points: usize) -> Vec<Vec<u8>> {
    let mut rng = fastrand::Rng::with_seed(7);
    let payload = |number: u64| {
        let mut bytes = Vec::new();
        let mut value = 50.0;
        Payload {
            org: OrgId(number % 80),
            metric: MetricId(number % 2000),
            timestamps: (0..points)
                .map(|i| TimestampMs(RECORD_TIME.0 + 15_000 * i64::try_from(i).unwrap()))
                .collect(),
            values: (0..points)
                .map(|_| {
                    value += f64::from(rng.i32(-100..100)) / 100.0;
                    value
                })
                .collect(),
            metadata: Vec::new(),
        }
        .encode(&mut bytes);
        bytes
    };
    (0..4096).map(payload).collect()
}

fn record(value: &[u8], offset: i64) -> RecordRef<'_> {
    RecordRef {
        offset: Offset(offset),
        timestamp: RecordTimestamp::Created(TimestampMs(RECORD_TIME.0 + offset)),
        key: Some(b"0123456789abcdef"),
        value: Some(value),
        headers: HeadersRef::EMPTY,
    }
}

fn stream() -> Stream {
    Stream {
        chain: Chain {
            source: SourceName::new("main").unwrap(),
            topic: TopicName::new("points").unwrap(),
            incarnation: Incarnation::default(),
            partition: PartitionId(3),
        },
        tenure: Tenure(1),
    }
}

fn full_block(values: &[Vec<u8>]) -> BlockBuffer {
    let stream = stream();
    let mut block = BlockBuffer::with_capacity(BLOCK_BYTES + 4096);
    for (offset, value) in (0..).zip(values.iter().cycle()) {
        if block.raw_bytes() >= BLOCK_BYTES {
            break;
        }
        block.append(&stream, Some(OrgId(1)), &record(value, offset));
    }
    block
}

fn read_every_frame(decoder: &mut BlockDecoder, marker: &SyncMarker, bytes: &[u8]) {
    let block = decoder.decode(marker, bytes).unwrap();
    for frame in block.frames() {
        black_box(frame.unwrap());
    }
}

fn router(c: &mut Criterion) {
    let map = ShardMap::new(Routing {
        modulus: 64,
        dedicated: (1000..1006).map(OrgId).collect(),
    });
    let values = payloads(110);
    let mut group = c.benchmark_group("router");
    group.throughput(Throughput::Elements(values.len() as u64));
    group.bench_function("org and shard of a record", |b| {
        b.iter(|| {
            for value in &values {
                let org = org_of(Some(value), None).unwrap();
                black_box(map.shard_of(org, Some(RECORD_TIME)));
            }
        });
    });
    group.finish();
}

fn blocks(c: &mut Criterion) {
    for (name, points) in [("1 KiB", 110), ("71 B", 4)] {
        let values = payloads(points);
        let marker = SyncMarker([7; 16]);
        let mut group = c.benchmark_group(format!("block of records of {name}"));
        group.throughput(Throughput::Bytes(BLOCK_BYTES as u64));
        group.bench_function("append", |b| b.iter(|| black_box(full_block(&values))));
        group.bench_function("compress", |b| {
            b.iter_batched(
                || full_block(&values),
                |block| black_box(block.encode(&marker)),
                BatchSize::LargeInput,
            );
        });
        let encoded = full_block(&values).encode(&marker);
        let mut decoder = BlockDecoder::new();
        group.bench_function("read back every frame", |b| {
            b.iter(|| read_every_frame(&mut decoder, &marker, &encoded.bytes));
        });
        group.finish();
    }
}

criterion_group!(benches, router, blocks);
criterion_main!(benches);
