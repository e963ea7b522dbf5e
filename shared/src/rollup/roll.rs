//! Points into 5-minute buckets, in one pass.

use super::Rollup;
use super::bucket::{Bucket, canonical, greater, increase_between, lesser};
use crate::units::Millis;

/// Width of the buckets.
const WIDTH_MS: i64 = match Rollup::FINEST.bucket_width() {
    Some(Millis(width)) => width.cast_signed(),
    None => panic!("the finest buckets have a width"),
};

/// Appends the buckets of `timestamps_ms`, which ascend, and as many values. Those that still lie in the last bucket
/// are added to it.
pub(super) fn append(timestamps_ms: &[i64], values: &[f64], out: &mut Rollup) {
    let in_last = in_last_bucket(timestamps_ms, out);
    let ((_, timestamps_ms), (added, values)) =
        (timestamps_ms.split_at(in_last), values.split_at(in_last));
    if in_last > 0 {
        let mut last = out.bucket(out.len() - 1);
        out.truncate(out.len() - 1);
        add(&mut last, added);
        out.push(&last);
    }
    // Nearly always, and then no bucket has to be looked at twice.
    let all_finite = are_finite(values);
    let (mut from, mut points) = (0, 1);
    while let Some(&timestamp) = timestamps_ms.get(from) {
        let inside = timestamp.rem_euclid(WIDTH_MS);
        let last_ms = timestamp.saturating_add(WIDTH_MS - 1 - inside);
        let end = end_of_bucket(timestamps_ms, from, from + points, last_ms);
        let start_ms = timestamp.saturating_sub(inside);
        let values = &values[from..end];
        let bucket = if all_finite || are_finite(values) {
            of_finite(start_ms, values)
        } else {
            of_any(start_ms, values)
        };
        out.push(&bucket);
        (from, points) = (end, end - from);
    }
}

/// How many of the first points lie in the last bucket.
fn in_last_bucket(timestamps_ms: &[i64], out: &Rollup) -> usize {
    let (Some(first), Some(start)) = (timestamps_ms.first(), out.starts_ms.last()) else {
        return 0;
    };
    let inside = first.rem_euclid(WIDTH_MS);
    if first.saturating_sub(inside) != *start {
        return 0;
    }
    let last_ms = first.saturating_add(WIDTH_MS - 1 - inside);
    timestamps_ms.partition_point(|ms| *ms <= last_ms)
}

/// Where the bucket that begins at `from` and ends with `last_ms` ends. A bucket has about as many points as the one
/// before, so the look begins at `guess`.
#[inline]
fn end_of_bucket(timestamps_ms: &[i64], from: usize, guess: usize, last_ms: i64) -> usize {
    let mut end = guess.min(timestamps_ms.len());
    while end > from + 1 && timestamps_ms[end - 1] > last_ms {
        end -= 1;
    }
    while timestamps_ms.get(end).is_some_and(|next| *next <= last_ms) {
        end += 1;
    }
    end
}

/// Without a branch for each value, so that the compiler makes vector instructions of it.
fn are_finite(values: &[f64]) -> bool {
    values
        .iter()
        .fold(true, |all, value| all & (value.abs() < f64::INFINITY))
}

/// The bucket of at least one value, all finite.
#[inline]
fn of_finite(start_ms: i64, values: &[f64]) -> Bucket {
    let first = values[0];
    let (mut min, mut max, mut sum, mut increase) = (first, first, 0.0 + first, 0.0);
    let mut previous = first;
    for &value in &values[1..] {
        sum += value;
        min = if value < min { value } else { min };
        max = if value > max { value } else { max };
        // As `increase_between`, without a branch: finite values that are equal differ by nothing.
        let risen_from = if value < previous { 0.0 } else { previous };
        increase += value - risen_from;
        previous = value;
    }
    if min == 0.0 || max == 0.0 {
        // A comparison does not tell -0.0 from 0.0.
        min = values.iter().copied().fold(min, lesser);
        max = values.iter().copied().fold(max, greater);
    }
    Bucket {
        start_ms,
        count: values.len() as u64,
        nans: 0,
        sum: canonical(sum),
        min,
        max,
        first,
        last: previous,
        increase: canonical(increase),
    }
}

/// The bucket of any values, NaNs and infinities among them.
fn of_any(start_ms: i64, values: &[f64]) -> Bucket {
    let mut bucket = Bucket::empty(start_ms);
    add(&mut bucket, values);
    bucket
}

/// Adds any values, which come later than those of the bucket.
fn add(bucket: &mut Bucket, values: &[f64]) {
    for &value in values {
        if value.is_nan() {
            bucket.nans += 1;
            continue;
        }
        if bucket.count == 0 {
            (bucket.first, bucket.min, bucket.max) = (value, value, value);
        } else {
            bucket.min = lesser(bucket.min, value);
            bucket.max = greater(bucket.max, value);
            bucket.increase += increase_between(bucket.last, value);
        }
        bucket.count += 1;
        bucket.sum += value;
        bucket.last = value;
    }
    bucket.sum = canonical(bucket.sum);
    bucket.increase = canonical(bucket.increase);
}
