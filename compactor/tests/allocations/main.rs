//! A point costs no allocation: the compactor allocates for series, payloads and requests, not for what is in them.
//!
//! A test binary of its own, because every allocation of the process is counted; the bucket's are among them.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

#[path = "../it/world.rs"]
#[expect(dead_code, reason = "made for the other tests")]
mod world;

use std::alloc::System;

use skein_compactor::report::RunReport;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::Builder;

use crate::world::{NOON, World, flush_of, record, settings};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SERIES: u64 = 20;
const PAYLOADS: u64 = 40;
const STEP_MS: i64 = 100;

/// What a run takes.
struct Cost {
    allocations: usize,
    points: u64,
}

/// Runs over as many payloads each time, of `payload_points` and one that the next payload has as well.
async fn compact(payload_points: i64, value_of: fn(i64) -> f64) -> Cost {
    let world = World::new().await;
    let mut records = Vec::new();
    for number in 0..PAYLOADS * SERIES {
        let (payload, series) = (number / SERIES, number % SERIES);
        // Every other series comes backwards.
        let payload = [payload, PAYLOADS - 1 - payload][usize::from(series % 2 == 1)];
        let first = i64::try_from(payload).unwrap() * payload_points;
        let points: Vec<(i64, f64)> = (first..=first + payload_points)
            .map(|index| (NOON + index * STEP_MS, value_of(index)))
            .collect();
        let offset = i64::try_from(number).unwrap();
        records.push(record((0, offset, NOON), (1, series), &points));
    }
    world.flush(&flush_of(records)).await;
    let mut settings = settings();
    settings.threads = 1;
    let region = Region::new(ALLOCATOR);
    let report: RunReport = world.compact_with(&settings).await.unwrap();
    let change = region.change();
    Cost {
        allocations: change.allocations + change.reallocations,
        points: report.steps.counts.points_in,
    }
}

fn constant(_: i64) -> f64 {
    4.5
}

/// A gauge with two decimals: integers to the encoder.
fn decimals(number: i64) -> f64 {
    let hundredths = i32::try_from((number * 7_919) % 10_007).unwrap();
    f64::from(hundredths) / 100.0
}

/// Every digit differs.
fn noise(number: i64) -> f64 {
    (f64::from(i32::try_from(number).unwrap()) * 0.7).sin()
}

/// How many more allocations many more points take, for each million.
fn more_for_a_million(value_of: fn(i64) -> f64) -> u64 {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    // What is allocated once for a process is not a run's.
    runtime.block_on(compact(100, value_of));
    let few = runtime.block_on(compact(400, value_of));
    let many = runtime.block_on(compact(1_600, value_of));
    let points = many.points - few.points;
    assert!(points >= 900_000, "{points}");
    let more = many.allocations.saturating_sub(few.allocations);
    u64::try_from(more).unwrap() * 1_000_000 / points
}

/// One test, because the counter knows no threads.
#[test]
fn a_point_costs_no_allocation() {
    let own = more_for_a_million(constant);
    let pco = [decimals, noise].map(more_for_a_million);
    assert!(own < 1_000, "{own} allocations for a million points");
    // pco makes its tables anew for each of a column's blocks, 8,192 points each.
    for pco in pco {
        assert!(pco < 16_000, "{pco} allocations for a million points");
    }
}
