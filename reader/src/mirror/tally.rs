//! How the rows of two pipelines are alike, and in which ways they are not.

use std::cmp::Ordering;

use serde::Serialize;
use skein_shared::rollup::Bucket;
use skein_shared::window::TimestampMs;

use crate::buckets_output::float_columns;
use crate::reading::SeriesRows;

/// By how much floats of two buckets may differ, as a share of the greater: sums depend on the order of adding.
const TOLERANCE: f64 = 1e-5;

/// A way in which rows differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Difference {
    /// Both have the row, with other values.
    Value = 0,
    /// The new pipeline lacks a row between others that it has.
    MissingInNew = 1,
    /// What is visible lacks it.
    MissingInVisible = 2,
    /// The new pipeline has not read everything up to the row's time, or has nothing of the series from there on: it may
    /// come yet.
    NewIsBehind = 3,
    /// What is visible has nothing from there on.
    VisibleIsBehind = 4,
}

/// What comparing has found, in rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct MirrorTally {
    /// Series that were compared.
    pub series: u64,
    /// Those of them in which a row differs.
    pub differing_series: u64,
    /// Rows that are alike: points bit by bit, buckets within a hundred-thousandth.
    pub alike: u64,
    #[serde(flatten)]
    differences: Differences,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
struct Differences {
    value: u64,
    missing_in_new: u64,
    missing_in_visible: u64,
    new_is_behind: u64,
    visible_is_behind: u64,
}

impl Difference {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Value,
        Self::MissingInNew,
        Self::MissingInVisible,
        Self::NewIsBehind,
        Self::VisibleIsBehind,
    ];

    /// The name that metrics and reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::MissingInNew => "missing_in_new",
            Self::MissingInVisible => "missing_in_visible",
            Self::NewIsBehind => "new_is_behind",
            Self::VisibleIsBehind => "visible_is_behind",
        }
    }
}

impl MirrorTally {
    /// Compares the rows of one series; `complete_to` is up to where the new pipeline has read everything, if that is
    /// known.
    ///
    /// # Panics
    /// If one side has points and the other buckets.
    pub fn of_series(
        visible: &SeriesRows,
        new: &SeriesRows,
        complete_to: Option<TimestampMs>,
    ) -> Self {
        let mut tally = Self {
            series: 1,
            ..Self::default()
        };
        let (left, right) = (visible.times_ms(), new.times_ms());
        let left_end = left.last().copied().unwrap_or(i64::MAX);
        let right_end = right.last().copied().unwrap_or(i64::MAX);
        let has_read = |at: i64| complete_to.map_or(at <= right_end, |to| at < to.0);
        let (mut at_left, mut at_right) = (0, 0);
        while at_left < left.len() || at_right < right.len() {
            let order = match (left.get(at_left), right.get(at_right)) {
                (Some(left), Some(right)) => left.cmp(right),
                (Some(_), None) => Ordering::Less,
                (None, _) => Ordering::Greater,
            };
            match order {
                Ordering::Equal if are_alike((visible, at_left), (new, at_right)) => {
                    tally.alike += 1;
                }
                Ordering::Equal => tally.count(Difference::Value, 1),
                Ordering::Less if has_read(left[at_left]) => {
                    tally.count(Difference::MissingInNew, 1);
                }
                Ordering::Less => tally.count(Difference::NewIsBehind, 1),
                Ordering::Greater if right[at_right] > left_end => {
                    tally.count(Difference::VisibleIsBehind, 1);
                }
                Ordering::Greater => tally.count(Difference::MissingInVisible, 1),
            }
            at_left += usize::from(order != Ordering::Greater);
            at_right += usize::from(order != Ordering::Less);
        }
        tally.differing_series = u64::from(tally.is_differing());
        tally
    }

    /// Rows that differ in this way.
    pub fn rows(&self, difference: Difference) -> u64 {
        let found = &self.differences;
        match difference {
            Difference::Value => found.value,
            Difference::MissingInNew => found.missing_in_new,
            Difference::MissingInVisible => found.missing_in_visible,
            Difference::NewIsBehind => found.new_is_behind,
            Difference::VisibleIsBehind => found.visible_is_behind,
        }
    }

    /// Whether any row differs.
    pub fn is_differing(&self) -> bool {
        Difference::ALL.iter().any(|kind| self.rows(*kind) > 0)
    }

    /// Takes in what another has found.
    pub fn add(&mut self, other: &Self) {
        self.series += other.series;
        self.differing_series += other.differing_series;
        self.alike += other.alike;
        for kind in Difference::ALL {
            self.count(kind, other.rows(kind));
        }
    }

    fn count(&mut self, difference: Difference, rows: u64) {
        let found = &mut self.differences;
        *match difference {
            Difference::Value => &mut found.value,
            Difference::MissingInNew => &mut found.missing_in_new,
            Difference::MissingInVisible => &mut found.missing_in_visible,
            Difference::NewIsBehind => &mut found.new_is_behind,
            Difference::VisibleIsBehind => &mut found.visible_is_behind,
        } += rows;
    }
}

fn are_alike(left: (&SeriesRows, usize), right: (&SeriesRows, usize)) -> bool {
    match (left, right) {
        (
            (SeriesRows::Points { values, .. }, at),
            (SeriesRows::Points { values: new, .. }, row),
        ) => values[at].to_bits() == new[row].to_bits(),
        ((SeriesRows::Buckets(visible), at), (SeriesRows::Buckets(new), row)) => {
            are_buckets_alike(&visible.bucket(at), &new.bucket(row))
        }
        ((SeriesRows::Points { .. }, _), (SeriesRows::Buckets(_), _))
        | ((SeriesRows::Buckets(_), _), (SeriesRows::Points { .. }, _)) => {
            panic!("points are not compared with buckets")
        }
    }
}

fn are_buckets_alike(visible: &Bucket, new: &Bucket) -> bool {
    let (counts, floats) = (
        (visible.count, visible.nans),
        (float_columns(visible), float_columns(new)),
    );
    let mut pairs = floats.0.iter().zip(floats.1);
    counts == (new.count, new.nans) && pairs.all(|(left, right)| are_close(*left, right))
}

/// Infinities and NaNs are close to themselves alone.
fn are_close(left: f64, right: f64) -> bool {
    let is_same = left.to_bits() == right.to_bits() || (left.is_nan() && right.is_nan());
    let most = left.abs().max(right.abs()) * TOLERANCE;
    is_same || (most.is_finite() && (left - right).abs() <= most)
}

#[cfg(test)]
mod tests {
    use skein_shared::rollup::Rollup;
    use skein_shared::window::Resolution;

    use super::*;

    fn points(points: &[(i64, f64)]) -> SeriesRows {
        SeriesRows::Points {
            timestamps_ms: points.iter().map(|(at, _)| *at).collect(),
            values: points.iter().map(|(_, value)| *value).collect(),
        }
    }

    fn buckets(values: &[f64]) -> SeriesRows {
        let mut rollup = Rollup::new(Resolution::FiveMinutes);
        rollup.roll(&(0..).take(values.len()).collect::<Vec<_>>(), values);
        SeriesRows::Buckets(rollup)
    }

    #[track_caller]
    fn check(visible: &SeriesRows, new: &SeriesRows, expected: &[(Difference, u64)]) {
        let tally = MirrorTally::of_series(visible, new, None);
        for kind in Difference::ALL {
            let of_kind = expected.iter().find(|(expected, _)| *expected == kind);
            assert_eq!(
                tally.rows(kind),
                of_kind.map_or(0, |(_, rows)| *rows),
                "{kind:?}"
            );
        }
        assert_eq!(tally.differing_series == 1, !expected.is_empty());
    }

    #[test]
    fn points_are_compared_bit_by_bit() {
        let nan = f64::from_bits(0x7ff8_0000_0000_0001);
        let visible = points(&[(1, 0.5), (2, nan), (3, 0.0)]);
        check(&visible, &visible, &[]);
        let other = points(&[(1, 0.5), (2, f64::NAN), (3, -0.0)]);
        check(&visible, &other, &[(Difference::Value, 2)]);
    }

    #[test]
    fn a_row_that_one_side_lacks_is_missing_or_may_come_yet() {
        let visible = points(&[(1, 1.0), (2, 1.0), (4, 1.0), (6, 1.0), (7, 1.0)]);
        let new = points(&[(1, 1.0), (3, 1.0), (4, 1.0)]);
        let expected = [
            (Difference::MissingInNew, 1),
            (Difference::MissingInVisible, 1),
            (Difference::NewIsBehind, 2),
        ];
        check(&visible, &new, &expected);
        check(&points(&[]), &new, &[(Difference::MissingInVisible, 3)]);
        check(&new, &points(&[]), &[(Difference::MissingInNew, 3)]);
        let told = MirrorTally::of_series(&visible, &new, Some(TimestampMs(7)));
        assert_eq!(told.rows(Difference::MissingInNew), 2);
        assert_eq!(told.rows(Difference::NewIsBehind), 1);
    }

    #[test]
    fn buckets_may_differ_by_a_hundred_thousandth_and_counts_not_at_all() {
        check(&buckets(&[1.0, 2.0]), &buckets(&[1.0, 2.000_001]), &[]);
        let off = [(Difference::Value, 1)];
        check(&buckets(&[1.0, 2.0]), &buckets(&[1.0, 2.001]), &off);
        check(&buckets(&[1.0, 1.0]), &buckets(&[1.0, 1.0, f64::NAN]), &off);
        check(&buckets(&[f64::INFINITY]), &buckets(&[f64::INFINITY]), &[]);
        check(&buckets(&[f64::INFINITY]), &buckets(&[f64::MAX]), &off);
        check(&buckets(&[f64::NAN]), &buckets(&[f64::NAN]), &[]);
    }
}
