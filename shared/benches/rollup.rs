//! Points into buckets, and buckets into coarser ones: how fast, by the distance of the points.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
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

criterion_group!(benches, roll, coarsen);
criterion_main!(benches);
