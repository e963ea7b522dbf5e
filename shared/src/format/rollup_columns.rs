//! Buckets of a block: eight columns, one after the other, each with its length before it.
//!
//! Counts and NaNs are those of all buckets; the other columns hold those of the buckets that have values, encoded as
//! the values of a block of points. A column of no bytes is what the columns before it let expect: the least value of a
//! counter, for example, is its first. Sums of decimals are stored as the decimals that they would be if additions did
//! not round, and how far they are away.

mod near_decimal;

use std::ops::Range;

use crate::error::{Error, Result};
use crate::format::value_column::{self, ValueEncoder, ValueHabits};
use crate::format::varint;
use crate::rollup::{CANONICAL_NAN, Rollup, greater, increase_between, lesser};
use crate::units::Millis;

use self::near_decimal::NearDecimals;

const FORMAT: &str = "rollup columns";

/// A column, in the order in which they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RollupColumn {
    /// How many values.
    Count,
    /// How many NaNs.
    Nans,
    /// First values.
    First,
    /// Last values.
    Last,
    /// Least values.
    Min,
    /// Greatest values.
    Max,
    /// Sums.
    Sum,
    /// Increases.
    Increase,
}

impl RollupColumn {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::Count,
        Self::Nans,
        Self::First,
        Self::Last,
        Self::Min,
        Self::Max,
        Self::Sum,
        Self::Increase,
    ];

    /// The name that reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "rollup count",
            Self::Nans => "rollup nans",
            Self::First => "rollup first",
            Self::Last => "rollup last",
            Self::Min => "rollup min",
            Self::Max => "rollup max",
            Self::Sum => "rollup sum",
            Self::Increase => "rollup increase",
        }
    }

    /// Whether buckets without a value are in the column.
    const fn is_of_all_buckets(self) -> bool {
        matches!(self, Self::Count | Self::Nans)
    }

    /// What stands in a bucket without a value.
    const fn of_no_value(self) -> f64 {
        match self {
            Self::Count | Self::Nans | Self::Sum | Self::Increase => 0.0,
            Self::First | Self::Last | Self::Min | Self::Max => CANONICAL_NAN,
        }
    }

    /// What the column holds of a bucket if it has no bytes; `None` when it has to have some.
    fn expected(self, count: u64, first: f64, last: f64) -> Option<f64> {
        match self {
            Self::Count | Self::First => None,
            Self::Nans => Some(0.0),
            Self::Last => Some(first),
            Self::Min => Some(lesser(first, last)),
            Self::Max => Some(greater(first, last)),
            // Plus zero, because a sum is never -0.0.
            Self::Sum => Some(number(count) * first + 0.0),
            Self::Increase => Some(increase_between(first, last)),
        }
    }

    /// The column's number of the bucket at `index`.
    pub fn of(self, rollup: &Rollup, index: usize) -> f64 {
        match self {
            Self::Count => number(rollup.count[index]),
            Self::Nans => number(rollup.nans[index]),
            Self::First => rollup.first[index],
            Self::Last => rollup.last[index],
            Self::Min => rollup.min[index],
            Self::Max => rollup.max[index],
            Self::Sum => rollup.sum[index],
            Self::Increase => rollup.increase[index],
        }
    }

    fn floats(self, rollup: &mut Rollup) -> Option<&mut Vec<f64>> {
        match self {
            Self::Count | Self::Nans => None,
            Self::First => Some(&mut rollup.first),
            Self::Last => Some(&mut rollup.last),
            Self::Min => Some(&mut rollup.min),
            Self::Max => Some(&mut rollup.max),
            Self::Sum => Some(&mut rollup.sum),
            Self::Increase => Some(&mut rollup.increase),
        }
    }
}

/// Encodes the buckets of one run's blocks; memory is kept from one block to the next.
#[derive(Debug, Default)]
pub struct RollupEncoder {
    habits: [ValueHabits; RollupColumn::ALL.len()],
    near_sums: NearDecimals,
    near_increases: NearDecimals,
    /// With how many places the block's first values are decimals.
    places: Option<u8>,
    numbers: Vec<f64>,
    bytes: Vec<u8>,
}

impl RollupEncoder {
    /// Forgets what won in the run before.
    pub fn begin_run(&mut self) {
        self.habits = Default::default();
        self.near_sums.begin_run();
        self.near_increases.begin_run();
    }

    /// Appends the encoding of the buckets in `range`, of which there is at least one, without their starts. Answers how
    /// many bytes each column takes, its length included.
    pub fn encode(
        &mut self,
        rollup: &Rollup,
        range: Range<usize>,
        values: &mut ValueEncoder,
        out: &mut Vec<u8>,
    ) -> [usize; RollupColumn::ALL.len()] {
        self.places = None;
        RollupColumn::ALL.map(|column| {
            let start = out.len();
            self.bytes.clear();
            if !self.take_numbers(column, rollup, range.clone()) {
                self.encode_column(column, values);
            }
            varint::put_u64(out, self.bytes.len() as u64);
            out.extend_from_slice(&self.bytes);
            out.len() - start
        })
    }

    /// Encodes `self.numbers`, of which there is at least one, into `self.bytes`.
    fn encode_column(&mut self, column: RollupColumn, values: &mut ValueEncoder) {
        let (numbers, bytes) = (&self.numbers, &mut self.bytes);
        if column == RollupColumn::First {
            self.places = values.decimal_places(numbers);
        }
        let near_decimals = match column {
            RollupColumn::Sum => Some(&mut self.near_sums),
            RollupColumn::Increase => Some(&mut self.near_increases),
            RollupColumn::Count
            | RollupColumn::Nans
            | RollupColumn::First
            | RollupColumn::Last
            | RollupColumn::Min
            | RollupColumn::Max => None,
        };
        if let (Some(near_decimals), Some(places)) = (near_decimals, self.places)
            && near_decimals.encode(numbers, places, values, bytes)
        {
            return;
        }
        values.encode_apart(&mut self.habits[column as usize], numbers, bytes);
    }

    /// Puts a column's numbers into `self.numbers`; whether they are as expected.
    fn take_numbers(&mut self, column: RollupColumn, rollup: &Rollup, range: Range<usize>) -> bool {
        let mut are_expected = true;
        self.numbers.clear();
        for index in range {
            let count = rollup.count[index];
            let number = column.of(rollup, index);
            if count == 0 && !column.is_of_all_buckets() {
                debug_assert_eq!(number.to_bits(), column.of_no_value().to_bits());
                continue;
            }
            let expected = column.expected(count, rollup.first[index], rollup.last[index]);
            are_expected &= expected.is_some_and(|it| it.to_bits() == number.to_bits());
            self.numbers.push(number);
        }
        are_expected
    }
}

/// Cuts a block's buckets into the bytes of their columns.
///
/// # Errors
/// Corrupt when there are not eight columns.
pub fn cut(mut bytes: &[u8]) -> Result<[&[u8]; RollupColumn::ALL.len()]> {
    let mut columns = [bytes; RollupColumn::ALL.len()];
    for column in &mut columns {
        let length = varint::take_u64(&mut bytes);
        match length.and_then(|length| varint::take_bytes(&mut bytes, length)) {
            Some(taken) => *column = taken,
            None => return refuse("end inside a column"),
        }
    }
    if bytes.is_empty() {
        Ok(columns)
    } else {
        refuse("go on after the last column")
    }
}

/// Appends all columns but the starts of the `buckets` that `bytes` encode, whose width is that of `out`.
///
/// # Errors
/// Corrupt when the bytes are no such columns; what was appended is then without meaning, and the columns may differ in
/// length.
pub fn decode(bytes: &[u8], buckets: usize, out: &mut Rollup) -> Result<()> {
    let columns = cut(bytes)?;
    let start = out.count.len();
    let most = out.resolution().bucket_width().unwrap_or(Millis(0)).0;
    let [counts, nans, ..] = columns;
    take_counts(counts, buckets, &mut out.count)?;
    if nans.is_empty() {
        out.nans.resize(start + buckets, 0);
    } else {
        take_counts(nans, buckets, &mut out.nans)?;
    }
    let points = out.count[start..].iter().zip(&out.nans[start..]);
    // There is at most one point in a millisecond.
    if points.into_iter().any(|(count, nans)| count + nans > most) {
        return refuse("more points than a bucket can have");
    }
    let held = out.count[start..].iter().filter(|count| **count > 0);
    let held = held.count();
    for column in RollupColumn::ALL {
        let bytes = columns[column as usize];
        let Some(values) = column.floats(out) else {
            continue;
        };
        let mut values = std::mem::take(values);
        let taken = take_values(column, bytes, held, out, &mut values);
        if let Some(place) = column.floats(out) {
            *place = values;
        }
        taken?;
    }
    Ok(())
}

/// Appends a column of floats to `values`; the columns before it are already in `out`.
fn take_values(
    column: RollupColumn,
    bytes: &[u8],
    held: usize,
    out: &Rollup,
    values: &mut Vec<f64>,
) -> Result<()> {
    let start = values.len();
    let counts = &out.count[start..];
    if held == 0 || bytes.is_empty() {
        if !bytes.is_empty() {
            return refuse("values of buckets that have none");
        }
        for (index, count) in (start..).zip(counts) {
            let value = if *count == 0 {
                Some(column.of_no_value())
            } else {
                let first = out.first.get(index).copied().unwrap_or(CANONICAL_NAN);
                let last = out.last.get(index).copied().unwrap_or(CANONICAL_NAN);
                column.expected(*count, first, last)
            };
            match value {
                Some(value) => values.push(value),
                None => return refuse("no first values"),
            }
        }
        return Ok(());
    }
    match bytes.split_first() {
        Some((&near_decimal::TAG, rest)) => near_decimal::decode(rest, held, values)?,
        _ => value_column::decode(bytes, held, values)?,
    }
    if held < counts.len() {
        spread(values, start, counts, column.of_no_value());
    }
    Ok(())
}

/// Moves the values behind `start` to the buckets that have any.
fn spread(values: &mut Vec<f64>, start: usize, counts: &[u64], of_no_value: f64) {
    let mut from = values.len();
    values.resize(start + counts.len(), of_no_value);
    for (index, count) in counts.iter().enumerate().rev() {
        values[start + index] = if *count == 0 {
            of_no_value
        } else {
            from -= 1;
            values[from]
        };
    }
}

fn take_counts(bytes: &[u8], buckets: usize, out: &mut Vec<u64>) -> Result<()> {
    let mut numbers = Vec::with_capacity(buckets);
    value_column::decode(bytes, buckets, &mut numbers)?;
    for number in numbers {
        match whole(number) {
            Some(count) => out.push(count),
            None => return refuse("a count is no whole number"),
        }
    }
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a bucket has at most as many points as milliseconds"
)]
fn number(count: u64) -> f64 {
    count as f64
}

/// The inverse of [`number`], up to 2^32.
fn whole(number: f64) -> Option<u64> {
    // 2^52 added, the last 32 bits of a float are the integer.
    const SHIFT: f64 = 4_503_599_627_370_496.0;
    let shifted = (number + SHIFT).to_bits().wrapping_sub(SHIFT.to_bits());
    let count = u64::from(u32::try_from(shifted).ok()?);
    (self::number(count).to_bits() == number.to_bits()).then_some(count)
}

fn refuse<T>(reason: &str) -> Result<T> {
    Err(Error::decode(FORMAT, 0, reason))
}

#[cfg(test)]
mod tests;
