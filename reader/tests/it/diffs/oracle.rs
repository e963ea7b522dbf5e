//! What a comparison counts is what a naive one counts.

use std::collections::BTreeMap;

use proptest::prelude::*;
use skein_config::cutover::timelines::Timelines;
use skein_reader::diff::report::Counts;
use skein_reader::diff::side::{Side, Table, TablePoint, TableSeries};
use skein_shared::window::{TimestampMs, Window};

use super::bench::{definition, empty_bucket, run, sides};
use crate::world::key;

const DAY: i64 = 86_400_000;

/// One point of one side: series, time, bits, and whether it lies in the file of the window before.
type Drawn = (u64, i64, u64, bool);

/// Values that only their bits tell apart.
const BITS: [u64; 6] = [
    0,
    0x8000_0000_0000_0000,
    0x7ff8_0000_0000_0000,
    0x7ff8_0000_0000_0001,
    0xfff0_0000_0000_0000,
    0x3ff0_0000_0000_0000,
];

fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
    let at = (0_i64..3, 0_i64..4).prop_map(|(day, minute)| day * DAY + minute * 60_000);
    let point = (
        0_u64..4,
        at,
        prop::sample::select(&BITS[..]),
        prop::bool::weighted(0.05),
    );
    prop::collection::vec(point, 0..40)
}

fn table(points: &[Drawn]) -> Table {
    let mut table = Table::new("table");
    for (metric, at_ms, bits, is_misplaced) in points {
        let series = table.series.entry(key(7, *metric)).or_default();
        let own = Window::of(TimestampMs(*at_ms));
        series.points.push(TablePoint {
            window: Window::from_number(own.number() - i64::from(*is_misplaced)),
            at_ms: *at_ms,
            value: f64::from_bits(*bits),
        });
    }
    table
}

/// What a side has of each `(series, time)` in its own file: the last counts, the others are doubles.
fn own(points: &[Drawn], counts: &mut Counts) -> BTreeMap<(u64, i64), u64> {
    let mut own = BTreeMap::new();
    for (metric, at_ms, bits, is_misplaced) in points {
        if *is_misplaced {
            counts.out_of_window += 1;
        } else if own.insert((*metric, *at_ms), *bits).is_some() {
            counts.duplicates += 1;
        }
    }
    own
}

fn naive(left: &[Drawn], right: &[Drawn]) -> Counts {
    let mut counts = Counts::default();
    let (left, right) = (own(left, &mut counts), own(right, &mut counts));
    for (at, bits) in &left {
        match right.get(at) {
            Some(other) if other == bits => counts.equal += 1,
            Some(_) => counts.different_value += 1,
            None => counts.missing_right += 1,
        }
    }
    let alone = right.keys().filter(|at| !left.contains_key(at));
    counts.missing_left = alone.count() as u64;
    counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn counts_are_those_of_a_naive_comparison_bit_by_bit(
        left in drawn(),
        right in drawn(),
        mostly_same: bool,
        changes in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        // Half of the cases differ in a few points only: ranges that are equal are not looked into.
        let right = if mostly_same && !left.is_empty() {
            let mut same = left.clone();
            for change in changes {
                let at = change.index(same.len());
                same[at].2 ^= 1;
            }
            same
        } else {
            right
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (report, lines) = runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let bucket = empty_bucket(dir.path()).await;
            let other = Side::Table(table(&right).into());
            let timelines = Timelines::new_owns_everything();
            let sides = sides(table(&left), other, &bucket, &timelines);
            run(&sides, definition(&[7])).await
        });
        let expected = naive(&left, &right);
        prop_assert_eq!(report.counts, expected);
        prop_assert_eq!(lines.len() as u64, expected.differences());
        let verdict = match (expected.differences(), expected.equal) {
            (0, 0) => "inconclusive",
            (0, _) => "pass (declared input)",
            (_, _) => "fail",
        };
        prop_assert_eq!(report.verdict, verdict);
        let by_window: u64 = report.by.window.values().map(Counts::differences).sum();
        prop_assert_eq!(by_window, expected.differences());
    }
}

#[tokio::test]
async fn a_sample_compares_the_same_series_on_both_sides() {
    let points: Vec<Drawn> = (0..400).map(|metric| (metric, 0, BITS[5], false)).collect();
    let dir = tempfile::tempdir().unwrap();
    let bucket = empty_bucket(dir.path()).await;
    let mut right = table(&points);
    right.series.insert(key(7, 1_000), TableSeries::default());
    let timelines = Timelines::new_owns_everything();
    let sides = sides(
        table(&points),
        Side::Table(right.into()),
        &bucket,
        &timelines,
    );
    let sample = skein_reader::diff::definition::Sample::of_percent(25.0, 3).unwrap();
    let mut definition = definition(&[7]);
    definition.sample = sample;
    let (report, _) = run(&sides, definition).await;
    let taken = (0..400)
        .filter(|metric| sample.takes(key(7, *metric)))
        .count();
    assert_eq!(report.counts.equal, taken as u64);
    assert!(
        report.reasons[1].contains("a sample of 25 %"),
        "{:?}",
        report.reasons
    );
}
