//! One bucket, and how two of them are joined.

/// What stands where there is no value, and where arithmetic gives a NaN: its bits are the same on every machine.
pub const CANONICAL_NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0000);

/// Points of one series and one bucket. A value is one that is not NaN; infinities are values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// First instant inside.
    pub start_ms: i64,
    /// How many values.
    pub count: u64,
    /// How many NaNs; they count for nothing else.
    pub nans: u64,
    /// Sum of the values, added one by one in ascending time from 0.0 on.
    pub sum: f64,
    /// Least value, -0.0 being less than 0.0; [`CANONICAL_NAN`] without a value, like the next three.
    pub min: f64,
    /// Greatest value, 0.0 being greater than -0.0.
    pub max: f64,
    /// First value.
    pub first: f64,
    /// Last value.
    pub last: f64,
    /// Sum of [`increase_between`] neighbouring values, added in ascending time from 0.0 on.
    pub increase: f64,
}

impl Bucket {
    /// A bucket of no points.
    pub const fn empty(start_ms: i64) -> Self {
        Self {
            start_ms,
            count: 0,
            nans: 0,
            sum: 0.0,
            min: CANONICAL_NAN,
            max: CANONICAL_NAN,
            first: CANONICAL_NAN,
            last: CANONICAL_NAN,
            increase: 0.0,
        }
    }

    /// Everything but the start as numbers: count, NaNs, first, last, min, max, sum, increase.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a bucket has at most as many points as milliseconds"
    )]
    pub const fn columns(&self) -> [f64; 8] {
        [
            self.count as f64,
            self.nans as f64,
            self.first,
            self.last,
            self.min,
            self.max,
            self.sum,
            self.increase,
        ]
    }

    /// The sum over the count; [`CANONICAL_NAN`] without a value, and of infinities that cancel out.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a bucket has at most as many points as milliseconds"
    )]
    pub fn average(&self) -> f64 {
        canonical(self.sum / self.count as f64)
    }

    /// This bucket and one of later points as one; it begins where this one does.
    ///
    /// The sum is that of both sums; the increase is this one's, plus that between this one's last and the next one's
    /// first value, plus the next one's.
    #[must_use]
    pub fn join(&self, next: &Self) -> Self {
        let (start_ms, nans) = (self.start_ms, self.nans + next.nans);
        if self.count == 0 || next.count == 0 {
            let holder = if self.count == 0 { next } else { self };
            return Self {
                start_ms,
                nans,
                ..*holder
            };
        }
        let between = increase_between(self.last, next.first);
        Self {
            start_ms,
            count: self.count + next.count,
            nans,
            sum: canonical(self.sum + next.sum),
            min: lesser(self.min, next.min),
            max: greater(self.max, next.max),
            first: self.first,
            last: next.last,
            increase: canonical(self.increase + between + next.increase),
        }
    }
}

/// How much a counter rose from one value to the next, neither of them NaN: the difference where the next is greater,
/// nothing where it is equal. A lesser one tells of a counter that was reset, and counts as a whole.
pub fn increase_between(value: f64, next: f64) -> f64 {
    if next > value {
        next - value
    } else if next < value {
        next
    } else {
        // Not the difference: that of two infinities is NaN.
        0.0
    }
}

/// [`CANONICAL_NAN`] for any NaN.
pub(super) fn canonical(number: f64) -> f64 {
    if number.is_nan() {
        CANONICAL_NAN
    } else {
        number
    }
}

/// The lesser of two values, -0.0 being less than 0.0.
pub fn lesser(a: f64, b: f64) -> f64 {
    if b.total_cmp(&a).is_lt() { b } else { a }
}

/// The greater of two values, 0.0 being greater than -0.0.
pub fn greater(a: f64, b: f64) -> f64 {
    if b.total_cmp(&a).is_gt() { b } else { a }
}
