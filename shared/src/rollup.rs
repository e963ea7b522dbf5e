//! Buckets of points: count, sum, least, greatest, first and last value and increase of 5 minutes, an hour, a day.
//!
//! A bucket is made of its own points alone. 5-minute buckets come from points, hours from their 5-minute buckets and
//! days from their hours, joined in ascending time ([`Bucket::join`]): that is what an hour *is*, so compactor and
//! reader get the same bits whichever way they come. The sum of an hour is the sum of its twelve 5-minute sums, which
//! in floating point need not be the sum of its points one by one.

mod bucket;
mod roll;

use crate::window::{Resolution, TimestampMs};

pub use self::bucket::{Bucket, CANONICAL_NAN, greater, increase_between, lesser};

/// Buckets of one series in strictly ascending time, column by column; memory is kept from one series to the next.
///
/// All columns have the same length. See [`Bucket`] for what they hold.
#[derive(Debug, Clone)]
pub struct Rollup {
    resolution: Resolution,
    /// Begin of each bucket: a multiple of the resolution's width.
    pub starts_ms: Vec<i64>,
    /// How many values that are not NaN.
    pub count: Vec<u64>,
    /// How many NaNs.
    pub nans: Vec<u64>,
    /// Their sum.
    pub sum: Vec<f64>,
    /// The least.
    pub min: Vec<f64>,
    /// The greatest.
    pub max: Vec<f64>,
    /// The first.
    pub first: Vec<f64>,
    /// The last.
    pub last: Vec<f64>,
    /// How much they rose.
    pub increase: Vec<f64>,
}

impl Default for Rollup {
    fn default() -> Self {
        Self::new(Resolution::FiveMinutes)
    }
}

impl Rollup {
    /// The resolution that points are rolled into; the others are joined from it.
    pub const FINEST: Resolution = Resolution::FiveMinutes;

    /// No buckets of `resolution`.
    ///
    /// # Panics
    /// If it is [`Resolution::Raw`], which has no buckets.
    pub fn new(resolution: Resolution) -> Self {
        assert!(!resolution.is_raw(), "raw points have no buckets");
        Self {
            resolution,
            starts_ms: Vec::new(),
            count: Vec::new(),
            nans: Vec::new(),
            sum: Vec::new(),
            min: Vec::new(),
            max: Vec::new(),
            first: Vec::new(),
            last: Vec::new(),
            increase: Vec::new(),
        }
    }

    /// How long a bucket is.
    pub fn resolution(&self) -> Resolution {
        self.resolution
    }

    /// How many buckets.
    pub fn len(&self) -> usize {
        self.starts_ms.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.starts_ms.is_empty()
    }

    /// Points that the buckets are made of, NaNs too.
    pub fn raw_points(&self) -> u64 {
        self.count.iter().sum::<u64>() + self.nans.iter().sum::<u64>()
    }

    /// Forgets the buckets and keeps the memory; those to come are of `resolution`.
    ///
    /// # Panics
    /// As [`Rollup::new`].
    pub fn begin(&mut self, resolution: Resolution) {
        assert!(!resolution.is_raw(), "raw points have no buckets");
        self.resolution = resolution;
        self.truncate(0);
    }

    /// Keeps the first `buckets`.
    pub fn truncate(&mut self, buckets: usize) {
        self.starts_ms.truncate(buckets);
        self.count.truncate(buckets);
        self.nans.truncate(buckets);
        self.sum.truncate(buckets);
        self.min.truncate(buckets);
        self.max.truncate(buckets);
        self.first.truncate(buckets);
        self.last.truncate(buckets);
        self.increase.truncate(buckets);
    }

    /// Takes out the buckets from `from` to `to`, without the latter.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn remove(&mut self, from: usize, to: usize) {
        self.starts_ms.drain(from..to);
        self.count.drain(from..to);
        self.nans.drain(from..to);
        self.sum.drain(from..to);
        self.min.drain(from..to);
        self.max.drain(from..to);
        self.first.drain(from..to);
        self.last.drain(from..to);
        self.increase.drain(from..to);
    }

    /// The bucket at `index`.
    ///
    /// # Panics
    /// If there is none.
    pub fn bucket(&self, index: usize) -> Bucket {
        Bucket {
            start_ms: self.starts_ms[index],
            count: self.count[index],
            nans: self.nans[index],
            sum: self.sum[index],
            min: self.min[index],
            max: self.max[index],
            first: self.first[index],
            last: self.last[index],
            increase: self.increase[index],
        }
    }

    /// All buckets in order.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> {
        (0..self.len()).map(|index| self.bucket(index))
    }

    /// Appends a bucket; its start is later than the last one's.
    #[inline]
    pub fn push(&mut self, bucket: &Bucket) {
        self.starts_ms.push(bucket.start_ms);
        self.count.push(bucket.count);
        self.nans.push(bucket.nans);
        self.sum.push(bucket.sum);
        self.min.push(bucket.min);
        self.max.push(bucket.max);
        self.first.push(bucket.first);
        self.last.push(bucket.last);
        self.increase.push(bucket.increase);
    }

    /// Appends the 5-minute buckets of points in ascending time, all of which are later than those that were rolled
    /// before: however points are cut into pieces, the buckets have the same bits.
    ///
    /// # Panics
    /// If the resolution is another, the lengths differ, or the first point lies before the last bucket.
    pub fn roll(&mut self, timestamps_ms: &[i64], values: &[f64]) {
        assert_eq!(self.resolution, Self::FINEST, "points are rolled finest");
        assert_eq!(timestamps_ms.len(), values.len(), "a value for each time");
        let last = self.starts_ms.last();
        let is_later = |first: &i64| last.is_none_or(|start| start <= first);
        assert!(timestamps_ms.first().is_none_or(is_later), "pieces ascend");
        roll::append(timestamps_ms, values, self);
    }

    /// Joins the buckets into those of `resolution`, in place of what `out` held.
    ///
    /// # Panics
    /// If `resolution` is finer than that of the buckets.
    pub fn coarsen(&self, resolution: Resolution, out: &mut Self) {
        assert!(self.resolution <= resolution, "buckets are joined, not cut");
        out.begin(resolution);
        // A day is the join of its hours, and an hour that of its 5 minutes: one open bucket for each step.
        let mut steps = [(Resolution::OneHour, None), (Resolution::OneDay, None)];
        let from = steps.partition_point(|(step, _)| *step <= self.resolution);
        let to = steps.partition_point(|(step, _)| *step <= resolution);
        let open = &mut steps[from..to];
        for bucket in self.buckets() {
            if let Some(ended) = join_into(open, bucket) {
                out.push(&ended);
            }
        }
        for index in 0..open.len() {
            let Some(ended) = open[index].1.take() else {
                continue;
            };
            if let Some(ended) = join_into(&mut open[index + 1..], ended) {
                out.push(&ended);
            }
        }
    }
}

/// Takes a bucket into the open one of the first step; what that ends goes into the next step's, and what ends the last
/// step's comes back.
fn join_into(open: &mut [(Resolution, Option<Bucket>)], mut bucket: Bucket) -> Option<Bucket> {
    for (resolution, joined) in open {
        bucket.start_ms = resolution.bucket_start(TimestampMs(bucket.start_ms)).0;
        match joined {
            Some(joined) if joined.start_ms == bucket.start_ms => {
                *joined = joined.join(&bucket);
                return None;
            }
            Some(_) | None => bucket = joined.replace(bucket)?,
        }
    }
    Some(bucket)
}

#[cfg(test)]
mod tests;
