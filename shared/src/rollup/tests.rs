use std::cmp::Ordering;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const WIDTH: i128 = 300_000;

/// Bits of all columns, so that NaNs and zeros are told apart.
type Bits = (i64, [u64; 8]);

fn bits(bucket: &Bucket) -> Bits {
    let floats = [
        bucket.sum,
        bucket.min,
        bucket.max,
        bucket.first,
        bucket.last,
        bucket.increase,
    ];
    let [sum, min, max, first, last, increase] = floats.map(f64::to_bits);
    let (count, nans) = (bucket.count, bucket.nans);
    (
        bucket.start_ms,
        [count, nans, sum, min, max, first, last, increase],
    )
}

fn all_bits(rollup: &Rollup) -> Vec<Bits> {
    rollup.buckets().map(|bucket| bits(&bucket)).collect()
}

/// The definition, said with sorted lists in place of one pass.
fn plain_bucket(start_ms: i64, points: &[f64]) -> Bucket {
    let values: Vec<f64> = points.iter().copied().filter(|v| !v.is_nan()).collect();
    let mut sorted = values.clone();
    sorted.sort_by(f64::total_cmp);
    let or_nan = |value: Option<&f64>| value.copied().unwrap_or(CANONICAL_NAN);
    let steps = values.windows(2).map(|pair| match pair {
        [a, b] => match b.partial_cmp(a) {
            Some(Ordering::Less) => *b,
            Some(Ordering::Equal) => 0.0,
            _ => b - a,
        },
        _ => unreachable!(),
    });
    let total = |numbers: &mut dyn Iterator<Item = f64>| {
        let total = numbers.fold(0.0, |sum, number| sum + number);
        if total.is_nan() { CANONICAL_NAN } else { total }
    };
    Bucket {
        start_ms,
        count: values.len() as u64,
        nans: (points.len() - values.len()) as u64,
        sum: total(&mut values.iter().copied()),
        min: or_nan(sorted.first()),
        max: or_nan(sorted.last()),
        first: or_nan(values.first()),
        last: or_nan(values.last()),
        increase: total(&mut { steps }),
    }
}

fn plain_roll(points: &[(i64, f64)]) -> Vec<Bits> {
    let mut buckets: BTreeMap<i128, Vec<f64>> = BTreeMap::new();
    for (timestamp, value) in points {
        let number = i128::from(*timestamp).div_euclid(WIDTH);
        buckets.entry(number).or_default().push(*value);
    }
    let bucket = |(number, values): (i128, Vec<f64>)| {
        let start = i64::try_from(number * WIDTH).unwrap_or(i64::MIN);
        bits(&plain_bucket(start, &values))
    };
    buckets.into_iter().map(bucket).collect()
}

/// Neighbours of one coarser bucket, joined from left to right.
fn plain_coarsen(rollup: &Rollup, width: i128) -> Rollup {
    let mut groups: BTreeMap<i128, Vec<Bucket>> = BTreeMap::new();
    for bucket in rollup.buckets() {
        let number = i128::from(bucket.start_ms).div_euclid(width);
        groups.entry(number).or_default().push(bucket);
    }
    let mut out = Rollup::default();
    for (number, group) in groups {
        let joined = group.into_iter().reduce(|a, b| a.join(&b)).unwrap();
        let start_ms = i64::try_from(number * width).unwrap_or(i64::MIN);
        out.push(&Bucket { start_ms, ..joined });
    }
    out
}

fn values() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => any::<u64>().prop_map(f64::from_bits),
        8 => (0_i32..500).prop_map(|n| f64::from(n) / 100.0),
        2 => Just(0.0),
        2 => Just(-0.0),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
        1 => Just(f64::MAX),
        1 => Just(f64::MIN),
    ]
}

/// Points in ascending time, in dense stretches and with gaps, also at the ends of time.
fn points() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let step = prop_oneof![6 => 1_i64..40_000, 2 => Just(10_000_i64), 1 => 300_000..90_000_000_i64];
    let start = prop_oneof![
        Just(i64::MIN),
        -100_000_000_i64..100_000_000,
        Just(i64::MAX - 30_000_000)
    ];
    let steps = proptest::collection::vec((step, values()), 0..300);
    let finite = any::<bool>();
    (start, steps, finite).prop_map(|(start, steps, finite)| {
        let mut timestamp = Some(start);
        let mut points = Vec::new();
        for (step, value) in steps {
            let Some(now) = timestamp else {
                break;
            };
            let value = if finite && !value.is_finite() {
                1.5
            } else {
                value
            };
            points.push((now, value));
            timestamp = now.checked_add(step);
        }
        points
    })
}

fn rolled(points: &[(i64, f64)]) -> Rollup {
    let mut rollup = Rollup::default();
    append(&mut rollup, points);
    rollup
}

fn append(rollup: &mut Rollup, points: &[(i64, f64)]) {
    let (timestamps_ms, values): (Vec<i64>, Vec<f64>) = points.iter().copied().unzip();
    rollup.roll(&timestamps_ms, &values);
}

proptest! {
    #[test]
    fn a_bucket_is_what_its_definition_says(points in points()) {
        let rollup = rolled(&points);
        prop_assert_eq!(all_bits(&rollup), plain_roll(&points));
        prop_assert_eq!(rollup.raw_points(), points.len() as u64);
    }

    #[test]
    fn pieces_give_the_same_buckets_wherever_they_are_cut(
        points in points(),
        lengths in proptest::collection::vec(1_usize..40, 1..20),
    ) {
        let mut pieces = Rollup::default();
        let mut rest = points.as_slice();
        for length in lengths.iter().cycle() {
            let (piece, others) = rest.split_at(rest.len().min(*length));
            append(&mut pieces, piece);
            rest = others;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(all_bits(&pieces), all_bits(&rolled(&points)));
    }

    #[test]
    fn days_are_joined_from_hours_whichever_way_they_come(points in points()) {
        let fine = rolled(&points);
        let (mut hours, mut days, mut at_once) = (Rollup::default(), Rollup::default(), Rollup::default());
        fine.coarsen(Resolution::OneHour, &mut hours);
        hours.coarsen(Resolution::OneDay, &mut days);
        fine.coarsen(Resolution::OneDay, &mut at_once);
        let plain_hours = plain_coarsen(&fine, 12 * WIDTH);
        prop_assert_eq!(all_bits(&hours), all_bits(&plain_hours));
        prop_assert_eq!(all_bits(&days), all_bits(&plain_coarsen(&plain_hours, 288 * WIDTH)));
        prop_assert_eq!(all_bits(&at_once), all_bits(&days));
        prop_assert_eq!(days.raw_points(), points.len() as u64);
        let mut same = Rollup::new(Resolution::OneDay);
        fine.coarsen(Resolution::FiveMinutes, &mut same);
        prop_assert_eq!(all_bits(&same), all_bits(&fine));
    }

    #[test]
    fn an_increase_goes_on_from_bucket_to_bucket(values in proptest::collection::vec(0_u32..1000, 1..200)) {
        let points: Vec<(i64, f64)> = (0..).map(|i| i * 20_000).zip(values.iter().map(|v| f64::from(*v))).collect();
        let whole = rolled(&points).buckets().reduce(|a, b| a.join(&b)).unwrap();
        // Integers: no order of additions shows.
        let values: Vec<f64> = points.iter().map(|point| point.1).collect();
        prop_assert_eq!(bits(&whole), bits(&plain_bucket(0, &values)));
    }
}

#[track_caller]
fn check(values: &[f64], expected: [f64; 6]) {
    let points: Vec<(i64, f64)> = (0..).zip(values.iter().copied()).collect();
    let found = rolled(&points).bucket(0);
    let found = [
        found.sum,
        found.min,
        found.max,
        found.first,
        found.last,
        found.increase,
    ];
    assert_eq!(found.map(f64::to_bits), expected.map(f64::to_bits));
}

#[test]
fn resets_count_as_a_whole_and_nan_counts_apart() {
    const NAN: f64 = CANONICAL_NAN;
    const INF: f64 = f64::INFINITY;
    let negative_nan = f64::from_bits(0xfff8_0000_0000_0001);
    check(&[5.0, 8.0, 2.0, 3.0], [18.0, 2.0, 8.0, 5.0, 3.0, 6.0]);
    check(&[5.0, negative_nan, 7.0], [12.0, 5.0, 7.0, 5.0, 7.0, 2.0]);
    check(&[negative_nan], [0.0, NAN, NAN, NAN, NAN, 0.0]);
    check(&[0.0, -0.0], [0.0, -0.0, 0.0, 0.0, -0.0, 0.0]);
    check(&[-0.0], [0.0, -0.0, -0.0, -0.0, -0.0, 0.0]);
    check(&[INF, INF], [INF, INF, INF, INF, INF, 0.0]);
    check(&[INF, -INF], [NAN, -INF, INF, INF, -INF, -INF]);
    check(&[-INF, INF, -INF], [NAN, -INF, INF, -INF, -INF, NAN]);
}

#[test]
#[should_panic(expected = "pieces ascend")]
fn a_piece_is_not_rolled_before_the_last_bucket() {
    let mut rollup = Rollup::default();
    rollup.roll(&[300_000], &[1.0]);
    rollup.roll(&[299_999], &[1.0]);
}
