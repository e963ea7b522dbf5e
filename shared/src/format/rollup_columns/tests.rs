use proptest::prelude::*;

use super::*;
use crate::rollup::Bucket;
use crate::window::Resolution;

fn columns(rollup: &Rollup) -> Vec<[u64; 8]> {
    let bits = |index| RollupColumn::ALL.map(|column| column.of(rollup, index).to_bits());
    (0..rollup.len()).map(bits).collect()
}

#[track_caller]
fn check(rollup: &Rollup) -> [usize; 8] {
    let mut bytes = Vec::new();
    let (mut encoder, mut values) = (RollupEncoder::default(), ValueEncoder::default());
    let sizes = encoder.encode(rollup, 0..rollup.len(), &mut values, &mut bytes);
    assert_eq!(sizes.iter().sum::<usize>(), bytes.len());
    let mut back = Rollup::new(rollup.resolution());
    for _ in 0..2 {
        let starts = back.starts_ms.len();
        decode(&bytes, rollup.len(), &mut back).unwrap();
        back.starts_ms.extend(&rollup.starts_ms);
        assert_eq!(columns(&back)[starts..], columns(rollup));
    }
    for end in 0..bytes.len() {
        let result = decode(&bytes[..end], rollup.len(), &mut Rollup::default());
        assert!(result.is_err(), "cut at {end}");
    }
    sizes
}

/// Any bits, in buckets of which some have no values.
fn any_bucket() -> impl Strategy<Value = Bucket> {
    let count = prop_oneof![Just(0_u64), 1_u64..40];
    let bits = prop_oneof![any::<u64>(), (0_u64..9).prop_map(|n| n << 60)];
    (count, 0_u64..3, proptest::collection::vec(bits, 6)).prop_map(|(count, nans, bits)| {
        let value = |index: usize| f64::from_bits(bits[index]);
        let any = Bucket {
            start_ms: 0,
            count,
            nans,
            sum: value(0),
            min: value(1),
            max: value(2),
            first: value(3),
            last: value(4),
            increase: value(5),
        };
        let empty = Bucket::empty(0);
        if count > 0 {
            any
        } else {
            Bucket { nans, ..empty }
        }
    })
}

proptest! {
    #[test]
    fn any_buckets_read_back(buckets in proptest::collection::vec(any_bucket(), 1..60)) {
        let mut rollup = Rollup::default();
        for (number, bucket) in (0..).zip(&buckets) {
            rollup.push(&Bucket { start_ms: number * 300_000, ..*bucket });
        }
        check(&rollup);
    }

    #[test]
    fn rolled_points_read_back(
        points in proptest::collection::btree_map(0_i64..90_000_000, any::<i16>(), 1..400),
        scale in 1_i32..1000,
    ) {
        let value = |n: &i16| if n % 50 == 0 { f64::NAN } else { f64::from(*n) / f64::from(scale) };
        let values: Vec<f64> = points.values().map(value).collect();
        let mut fine = Rollup::default();
        fine.roll(&points.into_keys().collect::<Vec<_>>(), &values);
        check(&fine);
        let mut coarse = Rollup::default();
        for resolution in [Resolution::OneHour, Resolution::OneDay] {
            fine.coarsen(resolution, &mut coarse);
            check(&coarse);
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>, buckets in 1_usize..9000) {
        let _ = decode(&bytes, buckets, &mut Rollup::default());
    }

    #[test]
    fn no_columns_make_the_decoder_panic(
        columns in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![9 => 0_u8..9, 1 => Just(128)], 0..12),
            8,
        ),
        buckets in 1_usize..20,
    ) {
        let mut bytes = Vec::new();
        for column in columns {
            varint::put_u64(&mut bytes, column.len() as u64);
            bytes.extend(column);
        }
        let _ = decode(&bytes, buckets, &mut Rollup::default());
    }
}

#[test]
fn a_counter_takes_its_first_and_last_values_and_sums_alone() {
    let timestamps: Vec<i64> = (0..8640).map(|at| at * 10_000).collect();
    let mut rng = fastrand::Rng::with_seed(1);
    let mut level = 0;
    let mut next = |_: &i64| {
        level += rng.i32(0..100);
        f64::from(level)
    };
    let values: Vec<f64> = timestamps.iter().map(&mut next).collect();
    let mut rollup = Rollup::default();
    rollup.roll(&timestamps, &values);
    let [count, nans, first, last, min, max, sum, increase] = check(&rollup);
    assert_eq!((count, nans, min, max, increase), (4, 1, 1, 1, 1));
    assert!(first + last + sum < 288 * 6, "{first} {last} {sum}");
}

#[test]
fn sums_of_decimals_are_small_although_additions_round() {
    let timestamps: Vec<i64> = (0..8640).map(|at| at * 10_000).collect();
    let mut rng = fastrand::Rng::with_seed(2);
    let mut level = 5_000;
    let mut next = |_: &i64| {
        level += rng.i32(-40..=40);
        f64::from(level) / 100.0
    };
    let values: Vec<f64> = timestamps.iter().map(&mut next).collect();
    let mut rollup = Rollup::default();
    rollup.roll(&timestamps, &values);
    let places = |value: &f64| (value * 100.0).round() / 100.0 - value;
    assert!(
        rollup.sum.iter().any(|sum| places(sum) != 0.0),
        "some are no decimals"
    );
    let [.., sum, increase] = check(&rollup);
    assert!(sum < 288 * 3 && increase < 288 * 4, "{sum} {increase}");
}

#[test]
fn counts_that_are_no_whole_numbers_are_refused() {
    for count in [0, 1, 300_000, u64::from(u32::MAX)] {
        assert_eq!(whole(number(count)), Some(count));
    }
    for value in [-0.0, -1.0, 0.5, 4e9 * 2.0, f64::NAN, f64::INFINITY, 1e300] {
        assert_eq!(whole(value), None, "{value}");
    }
}
