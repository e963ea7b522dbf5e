//! The columns of a block: how fast each kind of series is encoded and decoded. The names tell the sizes.

#![expect(clippy::unwrap_used, reason = "a benchmark fails like a test")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use skein_shared::format::run_page::BLOCK_POINTS;
use skein_shared::format::timestamp_column::{self, TimestampEncoder};
use skein_shared::format::value_column::{self, ValueEncoder};

const KINDS: [&str; 6] = [
    "counter",
    "gauge",
    "integer gauge",
    "levels",
    "noise",
    "constant",
];

/// Blocks of one kind, as a run has them.
fn blocks(kind: &str, points: usize) -> Vec<Vec<f64>> {
    let mut rng = fastrand::Rng::with_seed(3);
    let levels: Vec<f64> = (0..20).map(|_| rng.f64()).collect();
    let mut level = 5_000;
    let mut value = |_| match kind {
        "counter" => {
            level += rng.i32(0..200);
            f64::from(level)
        }
        "gauge" => {
            level += rng.i32(-40..=40);
            f64::from(level) / 100.0
        }
        "integer gauge" => {
            level = (level + rng.i32(-2..=2)).abs();
            f64::from(level)
        }
        "levels" => levels[rng.usize(..20)],
        "noise" => rng.f64() * 100.0,
        _ => 0.5,
    };
    let blocks = 32 * BLOCK_POINTS / points;
    (0..blocks.min(64))
        .map(|_| (0..points).map(&mut value).collect())
        .collect()
}

fn timestamps(jitter_ms: i64) -> Vec<i64> {
    let mut rng = fastrand::Rng::with_seed(4);
    let mut timestamp = |at: i64| 1_700_000_000_000 + at * 10_000 + rng.i64(-jitter_ms..=jitter_ms);
    (0..).map(&mut timestamp).take(BLOCK_POINTS).collect()
}

fn values(c: &mut Criterion) {
    for points in [1440, BLOCK_POINTS] {
        for kind in KINDS {
            encode_values(c, kind, points);
            decode_values(c, kind, points);
        }
    }
}

/// A whole run, so that the encoder has its habits.
fn encode_values(c: &mut Criterion, kind: &str, points: usize) {
    let blocks = blocks(kind, points);
    let count = blocks.len() * points;
    let mut encoder = ValueEncoder::default();
    let mut bytes = Vec::new();
    let mut encode = || {
        encoder.begin_run();
        bytes.clear();
        for block in &blocks {
            encoder.encode(black_box(block), &mut bytes);
        }
        bytes.len()
    };
    let size = millibytes(encode(), count);
    let mut group = c.benchmark_group(format!("encode values, {points} a block"));
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function(BenchmarkId::new(kind, size), |b| b.iter(&mut encode));
    group.finish();
}

fn decode_values(c: &mut Criterion, kind: &str, points: usize) {
    let mut bytes = Vec::new();
    ValueEncoder::default().encode(&blocks(kind, points)[0], &mut bytes);
    let mut values = Vec::new();
    let mut decode = || {
        values.clear();
        value_column::decode(black_box(&bytes), points, &mut values).unwrap();
    };
    let mut group = c.benchmark_group(format!("decode values, {points} a block"));
    group.throughput(Throughput::Elements(points as u64));
    group.bench_function(kind, |b| b.iter(&mut decode));
    group.finish();
}

fn times(c: &mut Criterion) {
    let mut group = c.benchmark_group("timestamps");
    group.throughput(Throughput::Elements(BLOCK_POINTS as u64));
    for jitter_ms in [0, 500] {
        let timestamps = timestamps(jitter_ms);
        let mut encoder = TimestampEncoder::default();
        let mut bytes = Vec::new();
        let mut encode = || {
            bytes.clear();
            encoder.encode(black_box(&timestamps), &mut bytes);
            bytes.len()
        };
        let size = millibytes(encode(), timestamps.len());
        let id = BenchmarkId::new(format!("encode, {jitter_ms} ms of jitter"), size);
        group.bench_function(id, |b| b.iter(&mut encode));
        let mut back = Vec::new();
        let mut decode = || {
            back.clear();
            let (points, first_ms) = (timestamps.len(), timestamps[0]);
            timestamp_column::decode(black_box(&bytes), points, first_ms, &mut back).unwrap();
        };
        let id = format!("decode, {jitter_ms} ms of jitter");
        group.bench_function(id, |b| b.iter(&mut decode));
    }
    group.finish();
}

fn millibytes(bytes: usize, points: usize) -> String {
    format!("{} millibytes a point", bytes * 1000 / points)
}

criterion_group!(benches, values, times);
criterion_main!(benches);
