//! Points into buckets, and buckets into coarser ones: how fast, by the distance of the points. Buckets into a block:
//! how fast and how small, by the kind of series.

#![expect(clippy::unwrap_used, reason = "a benchmark fails like a test")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use skein_shared::format::rollup_columns::{self, RollupColumn, RollupEncoder};
use skein_shared::format::value_column::ValueEncoder;
use skein_shared::rollup::Rollup;
use skein_shared::window::Resolution;

const DAY_MS: i64 = 86_400_000;

/// A day of one series.
fn day(step_ms: i64, jitter_ms: i64) -> (Vec<i64>, Vec<f64>) {
    let mut rng = fastrand::Rng::with_seed(5);
    let mut level = 5_000;
    let points = (0..DAY_MS / step_ms).map(|at| {
        level += rng.i32(-40..=40);
        let jitter = rng.i64(0..=jitter_ms);
        (at * step_ms + jitter, f64::from(level) / 100.0)
    });
    points.unzip()
}

fn roll(c: &mut Criterion) {
    let mut group = c.benchmark_group("points into 5-minute buckets");
    for step_ms in [1_000, 10_000, 15_000, 60_000] {
        for jitter_ms in [0, step_ms / 2] {
            let (timestamps_ms, values) = day(step_ms, jitter_ms);
            let mut rollup = Rollup::default();
            group.throughput(Throughput::Elements(values.len() as u64));
            let id = BenchmarkId::new(format!("every {} s", step_ms / 1000), jitter_ms);
            let mut roll = || {
                rollup.begin(Rollup::FINEST);
                rollup.roll(black_box(&timestamps_ms), black_box(&values));
                rollup.len()
            };
            group.bench_function(id, |b| b.iter(&mut roll));
        }
    }
    group.finish();
}

fn coarsen(c: &mut Criterion) {
    let (timestamps_ms, values) = day(10_000, 0);
    let mut fine = Rollup::default();
    fine.roll(&timestamps_ms, &values);
    let mut coarse = Rollup::default();
    let mut group = c.benchmark_group("5-minute buckets into coarser ones");
    group.throughput(Throughput::Elements(fine.len() as u64));
    for resolution in [Resolution::OneHour, Resolution::OneDay] {
        let mut coarsen = || {
            black_box(&fine).coarsen(resolution, &mut coarse);
            coarse.len()
        };
        group.bench_function(resolution.name(), |b| b.iter(&mut coarsen));
    }
    group.finish();
}

/// Days of one kind of series, a point every 10 seconds.
fn days(kind: &str, resolution: Resolution) -> Vec<Rollup> {
    let mut rng = fastrand::Rng::with_seed(6);
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
        "noise" => rng.f64() * 100.0,
        _ => 0.5,
    };
    let timestamps_ms: Vec<i64> = (0..8640).map(|at| at * 10_000).collect();
    let mut day = || {
        let values: Vec<f64> = timestamps_ms.iter().map(&mut value).collect();
        let (mut fine, mut rollup) = (Rollup::default(), Rollup::default());
        fine.roll(&timestamps_ms, &values);
        fine.coarsen(resolution, &mut rollup);
        rollup
    };
    (0..40).map(|_| day()).collect()
}

fn encode(c: &mut Criterion, resolution: Resolution) {
    let mut group = c.benchmark_group(format!("encode {resolution} buckets"));
    for kind in ["counter", "gauge", "integer gauge", "noise", "constant"] {
        let days = days(kind, resolution);
        let (mut rollups, mut values) = (RollupEncoder::default(), ValueEncoder::default());
        let mut bytes = Vec::new();
        let mut encode = || {
            bytes.clear();
            rollups.begin_run();
            let mut sums = [0; RollupColumn::ALL.len()];
            for day in &days {
                let sizes = rollups.encode(black_box(day), 0..day.len(), &mut values, &mut bytes);
                sums = std::array::from_fn(|column| sums[column] + sizes[column]);
            }
            sums
        };
        let buckets: usize = days.iter().map(Rollup::len).sum();
        group.throughput(Throughput::Elements(buckets as u64));
        let millibytes = encode().map(|bytes| bytes * 1000 / buckets);
        let sum: usize = millibytes.iter().sum();
        let size = format!("{sum} millibytes, by column {millibytes:?}");
        group.bench_function(BenchmarkId::new(kind, size), |b| b.iter(&mut encode));
    }
    group.finish();
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode 5m buckets");
    for kind in ["counter", "gauge", "noise"] {
        let day = days(kind, Rollup::FINEST).swap_remove(0);
        let (mut rollups, mut values) = (RollupEncoder::default(), ValueEncoder::default());
        let mut bytes = Vec::new();
        rollups.encode(&day, 0..day.len(), &mut values, &mut bytes);
        let mut back = Rollup::default();
        let mut decode = || {
            back.begin(Rollup::FINEST);
            rollup_columns::decode(black_box(&bytes), day.len(), &mut back).unwrap();
        };
        group.throughput(Throughput::Elements(day.len() as u64));
        group.bench_function(kind, |b| b.iter(&mut decode));
    }
    group.finish();
}

fn stored(c: &mut Criterion) {
    encode(c, Resolution::FiveMinutes);
    encode(c, Resolution::OneHour);
    decode(c);
}

criterion_group!(benches, roll, coarsen, stored);
criterion_main!(benches);
