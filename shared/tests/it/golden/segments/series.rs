//! Series that take every encoding there is. Their numbers are made of whole ones, so that every machine has the same.

use std::collections::BTreeMap;

use skein_shared::format::order_column::{ChainIndex, Order, OrderRun};
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::format::segment_writer::SeriesMetadata;
use skein_shared::ids::SeriesKey;
use skein_shared::offset::Offset;
use skein_shared::rollup::Rollup;

use super::super::fixed::{at, key};

/// The value of a point, by its place.
type ValueAt = Box<dyn Fn(u64) -> f64>;

#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) key: SeriesKey,
    pub(super) points: SeriesBuffer,
    pub(super) metadata: Option<SeriesMetadata>,
}

/// Values are equal when their bits are.
impl PartialEq for Series {
    fn eq(&self, other: &Self) -> bool {
        let bits = |series: &Self| -> Vec<u64> {
            series
                .points
                .values
                .iter()
                .map(|value| value.to_bits())
                .collect()
        };
        self.key == other.key
            && self.points.timestamps_ms == other.points.timestamps_ms
            && bits(self) == bits(other)
            && self.points.orders == other.points.orders
            && self.metadata == other.metadata
    }
}

impl Series {
    /// As a base has it.
    pub(super) fn without_orders(mut self) -> Self {
        self.points.orders = vec![OrderRun {
            order: Order::default(),
            points: u32::try_from(self.points.values.len()).unwrap(),
        }];
        if let Some(metadata) = &mut self.metadata {
            metadata.order = Order {
                record_timestamp: metadata.order.record_timestamp,
                ..Order::default()
            };
        }
        self
    }
}

/// A number that looks drawn, from 0 up to `below`.
fn scattered(index: u64, below: u64) -> u64 {
    let mixed = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ mixed >> 32) % below
}

/// Few small numbers and some that are far away: bits would take the width of the latter for all.
fn skewed(index: u64, far: u64) -> i64 {
    let near = scattered(index, 200);
    let number = if index % 10 == 3 { far + near } else { near };
    number.cast_signed()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "whole numbers below 2^52 are exact"
)]
fn hundredths(number: i64) -> f64 {
    number as f64 / 100.0
}

/// No decimal, and as near to its like as `number` is small.
fn no_decimal(number: u64) -> f64 {
    f64::from_bits((1.0_f64 / 3.0).to_bits() + number)
}

/// One series for each encoding of values: raw, constant, decimals of three widths, packed, zstd, dictionary, decimal
/// bits, packed bits, constant decimal; those of timestamps among them.
pub(super) fn series() -> Vec<Series> {
    let far_apart = |i: u64| f64::from_bits(scattered(i, u64::MAX >> 2));
    let values: [(u64, ValueAt); 12] = [
        (3, Box::new(move |i| f64::from_bits(scattered(i, u64::MAX)))),
        (1, Box::new(|_| f64::from_bits(0x7ff8_0000_0000_0007))),
        (150, Box::new(|i| hundredths(skewed(i, 30_000)))),
        (150, Box::new(|i| hundredths(skewed(i, 2_000_000_000)))),
        (150, Box::new(|i| hundredths(skewed(i, 2_000_000_000_000)))),
        (
            150,
            Box::new(|i| no_decimal(skewed(i, 1 << 60).cast_unsigned())),
        ),
        (160, Box::new(move |i| far_apart(i % 40))),
        (
            400,
            Box::new(|i| no_decimal(scattered(scattered(i, 60), 1 << 30))),
        ),
        (30, Box::new(|i| hundredths(skewed(i, 500)))),
        (30, Box::new(|i| no_decimal(scattered(i, 500)))),
        (40, Box::new(|_| -2.5)),
        (1, Box::new(|_| 0.0)),
    ];
    let all = (0..).zip(values);
    all.map(|(number, (count, value))| {
        let points = SeriesBuffer {
            timestamps_ms: (0..count).map(|i| timestamp(number, i)).collect(),
            values: (0..count).map(value).collect(),
            orders: orders(number, count),
        };
        // Of two orgs, so that there are two runs.
        let key = if number < 7 {
            key(300, number + 1)
        } else {
            key(301, number * 1_000_000_007)
        };
        Series {
            key,
            points,
            metadata: number.is_multiple_of(2).then(|| metadata(number)),
        }
    })
    .collect()
}

/// Even, hardly uneven, uneven.
fn timestamp(series: u64, index: u64) -> i64 {
    let jitter = match series % 4 {
        0 | 1 => scattered(index, 9_999),
        2 => 0,
        _ => index / 50 * 7,
    };
    at((index * 10_000 + jitter).cast_signed()).0
}

fn order(number: u64, index: u64) -> Order {
    Order {
        seals: 1,
        record_timestamp: (!(number + index).is_multiple_of(3)).then(|| at(index.cast_signed())),
        chain: ChainIndex([2, 0, 1][usize::try_from((number + index) % 3).unwrap()]),
        offset: Offset((4_000 + number * 50 + index).cast_signed()),
    }
}

/// Stretches of at most 60 points.
fn orders(number: u64, count: u64) -> Vec<OrderRun> {
    let starts = (0..count).step_by(60);
    let stretches = starts.map(|start| OrderRun {
        order: order(number, start / 60),
        points: u32::try_from(60.min(count - start)).unwrap(),
    });
    stretches.collect()
}

fn metadata(number: u64) -> SeriesMetadata {
    let entries = [
        ("skein.series", format!("cpu{{host=\"host-{number}\"}}")),
        ("unit", "percent".into()),
    ];
    SeriesMetadata {
        order: order(number, 1),
        entries: BTreeMap::from(entries.map(|(key, value)| (key.to_owned(), value))),
    }
}

/// Decimals whose sums are none, then values that are NaN, and counters that fall.
pub(super) fn rolled() -> Vec<(Series, Rollup)> {
    let value = |series: u64, i: u64| match series {
        0 => hundredths(scattered(i, 10_000).cast_signed()),
        _ if i / 40 == 1 || i % 7 == 3 => f64::NAN,
        _ => no_decimal(scattered(i, 1 << 50)),
    };
    let of = |number: u64| {
        let count = 200_u64;
        let points = SeriesBuffer {
            timestamps_ms: (0..count)
                .map(|i| at((i * 7_500).cast_signed()).0)
                .collect(),
            values: (0..count).map(|i| value(number, i)).collect(),
            orders: orders(number, count),
        };
        let mut rollup = Rollup::default();
        rollup.roll(&points.timestamps_ms, &points.values);
        let series = Series {
            key: key(300, number + 1),
            points,
            metadata: (number == 0).then(|| metadata(number)),
        };
        (series.without_orders(), rollup)
    };
    vec![of(0), of(1)]
}
