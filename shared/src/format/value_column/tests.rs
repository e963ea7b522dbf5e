use proptest::prelude::*;

use super::*;
use crate::format::profile::Profile;

const PROFILES: [Profile; 3] = [Profile::Fast, Profile::Balanced, Profile::Archive];

fn encoded(values: &[f64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    ValueEncoder::default().encode(values, &mut bytes);
    bytes
}

#[track_caller]
fn check(values: &[f64]) -> (ValueEncoding, usize) {
    let mut bytes = Vec::new();
    let encoding = ValueEncoder::default().encode(values, &mut bytes);
    let mut back = vec![7.5];
    decode(&bytes, values.len(), &mut back).unwrap();
    let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&back[1..]), bits(values));
    assert!(bytes.len() <= values.len() * 8 + 1);
    (encoding, bytes.len())
}

/// Thousandths of a byte for each value.
#[track_caller]
fn check_density(values: &[f64], expected: ValueEncoding, most_millibytes: usize) {
    let (encoding, bytes) = check(values);
    assert_eq!(encoding, expected);
    let millibytes = bytes * 1000 / values.len();
    assert!(millibytes <= most_millibytes, "{millibytes}");
}

fn integers(seed: u64, next: impl Fn(&mut fastrand::Rng, i64) -> i64) -> Vec<i64> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut value = 5000;
    (0..8192)
        .map(|_| {
            value = next(&mut rng, value);
            value
        })
        .collect()
}

fn divided(integers: &[i64], by: i32) -> Vec<f64> {
    integers
        .iter()
        .map(|n| f64::from(i32::try_from(*n).unwrap()) / f64::from(by))
        .collect()
}

#[test]
fn each_kind_of_series_takes_few_bytes() {
    let counter = integers(1, |rng, n| n + rng.i64(0..50));
    check_density(&divided(&counter, 1), ValueEncoding::Decimal, 720);
    let walk = integers(2, |rng, n| n + rng.i64(-20..=20));
    check_density(&divided(&walk, 100), ValueEncoding::Decimal, 690);
    let gauge = integers(3, |rng, n| (n + rng.i64(-3..=3)).clamp(0, 100));
    check_density(&divided(&gauge, 1), ValueEncoding::Decimal, 380);
    check_density(&vec![0.1; 8192], ValueEncoding::Constant, 2);
    let mut rng = fastrand::Rng::with_seed(4);
    let noise: Vec<f64> = (0..8192).map(|_| rng.f64() * 100.0).collect();
    check_density(&noise, ValueEncoding::Packed, 6800);
    let levels = [0.1_f64.sqrt(), 0.7_f64.sqrt(), 0.3_f64.sqrt()];
    let repeating: Vec<f64> = (0..8192).map(|i| levels[i % 3]).collect();
    check_density(&repeating, ValueEncoding::Zstd, 10);
}

#[test]
fn floats_that_are_no_decimals_come_back_bit_by_bit() {
    let strange = [
        f64::from_bits(0x7ff8_0000_dead_beef),
        f64::from_bits(0xfff0_0000_0000_0001),
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        0.0,
        f64::MIN_POSITIVE / 3.0,
        f64::from_bits(1),
        f64::MAX,
        f64::MIN,
        9_007_199_254_740_993.0,
    ];
    check(&strange);
    for value in strange {
        check(&[value]);
        check(&[value, 1.0]);
        check(&[1.5, value, 2.25]);
    }
    assert_eq!(check(&[0.0, -0.0, 1.0]).0, ValueEncoding::PackedBits);
    let far_apart = [
        0x0123_4567_89ab_cdef,
        0xfedc_ba98_7654_3210,
        0x5555_aaaa_5555_aaaa,
    ];
    let far_apart = far_apart.map(f64::from_bits);
    assert_eq!(check(&far_apart).0, ValueEncoding::Raw);
}

#[test]
fn the_largest_decimals_that_jump_the_farthest_read_back() {
    let largest = 2_251_799_813_685_247.0_f64;
    let values: Vec<f64> = [largest, -largest].into_iter().cycle().take(8192).collect();
    check(&values);
    let nearly: Vec<f64> = (0..8192)
        .map(|at| (largest - f64::from(at)) * if at % 2 == 0 { 1.0 } else { -1.0 })
        .collect();
    assert_eq!(check(&nearly).0, ValueEncoding::Decimal);
}

#[test]
fn few_levels_in_any_order_become_a_dictionary() {
    let mut rng = fastrand::Rng::with_seed(6);
    let levels: Vec<f64> = (0..50).map(|_| rng.f64()).collect();
    let values: Vec<f64> = (0..8192).map(|_| levels[rng.usize(..50)]).collect();
    check_density(&values, ValueEncoding::Dictionary, 770);
    let no_index = [super::DICTIONARY, 1, 0];
    assert!(decode(&no_index, 3, &mut Vec::new()).is_err());
}

/// Blocks of different kinds in one run, by number.
fn block(kind: u8, seed: u64) -> Vec<f64> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let points = rng.usize(1..400);
    let mut level = rng.i32(0..100_000);
    let mut next = |rng: &mut fastrand::Rng| match kind {
        0 => {
            level += rng.i32(0..50);
            f64::from(level)
        }
        1 => {
            level += rng.i32(-20..20);
            f64::from(level) / 100.0
        }
        2 => f64::from(rng.i32(0..1_000)),
        3 => f64::from(rng.i32(1..20)).sqrt(),
        4 => f64::from(level),
        _ => f64::from_bits(rng.u64(..)),
    };
    (0..points).map(|_| next(&mut rng)).collect()
}

proptest! {
    #[test]
    fn blocks_of_a_run_read_back_and_what_came_in_the_run_before_does_not_show(
        before in proptest::collection::vec((0_u8..6, any::<u64>()), 0..20),
        run in proptest::collection::vec((0_u8..6, any::<u64>()), 1..40),
        profile in proptest::sample::select(&PROFILES[..]),
    ) {
        let (mut used, mut fresh) = (ValueEncoder::new(profile), ValueEncoder::new(profile));
        for (kind, seed) in before {
            used.encode(&block(kind, seed), &mut Vec::new());
        }
        used.begin_run();
        for (kind, seed) in run {
            let values = block(kind, seed);
            let (mut bytes, mut again) = (Vec::new(), Vec::new());
            used.encode(&values, &mut bytes);
            fresh.encode(&values, &mut again);
            prop_assert_eq!(&bytes, &again);
            let mut back = Vec::new();
            decode(&bytes, values.len(), &mut back).unwrap();
            let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&back), bits(&values));
        }
    }
}

#[test]
fn an_archive_takes_no_more_bytes_than_what_it_also_tries() {
    for kind in 0..6 {
        let bytes = [Profile::Balanced, Profile::Archive].map(|profile| {
            let (mut encoder, mut bytes) = (ValueEncoder::new(profile), Vec::new());
            for seed in 0..40 {
                encoder.encode(&block(kind, seed), &mut bytes);
            }
            bytes.len()
        });
        assert!(bytes[1] <= bytes[0], "kind {kind}: {bytes:?}");
    }
}

#[test]
fn the_same_values_give_the_same_bytes() {
    let mut rng = fastrand::Rng::with_seed(5);
    let noise: Vec<f64> = (0..3000).map(|_| rng.f64() * 100.0).collect();
    let first = encoded(&noise);
    for _ in 0..5 {
        let copy = noise.clone();
        let bytes = std::thread::spawn(move || encoded(&copy));
        assert_eq!(bytes.join().unwrap(), first);
    }
}

proptest! {
    #[test]
    fn all_bit_patterns_read_back(bits in proptest::collection::vec(any::<u64>(), 1..300)) {
        check(&bits.into_iter().map(f64::from_bits).collect::<Vec<_>>());
    }

    #[test]
    fn decimals_read_back(
        integers in proptest::collection::vec(any::<i64>(), 1..300),
        shift in 0_u32..64,
        exponent in 0_usize..16,
    ) {
        let power = 10_f64.powi(i32::try_from(exponent).unwrap());
        #[expect(clippy::cast_precision_loss, reason = "any float will do")]
        let values: Vec<f64> = integers.iter().map(|n| (n >> shift) as f64 / power).collect();
        check(&values);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(tag in 0_u8..8, mut bytes: Vec<u8>, count in 1_usize..9000) {
        bytes.insert(0, tag);
        let _ = decode(&bytes, count, &mut Vec::new());
    }

    #[test]
    fn a_truncated_column_is_refused(values in proptest::collection::vec(-1e6_f64..1e6, 1..300)) {
        let rounded: Vec<f64> = values.iter().map(|v| v.round()).collect();
        let repeated: Vec<f64> = (0..600).map(|at| values[at * at % values.len().min(7)]).collect();
        for values in [values, rounded, repeated] {
            let bytes = encoded(&values);
            for cut in 0..bytes.len() {
                let result = decode(&bytes[..cut], values.len(), &mut Vec::new());
                prop_assert!(result.is_err(), "cut at {}", cut);
            }
        }
    }
}
