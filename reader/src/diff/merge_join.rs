//! Joins the series of two sides row by row, and names each difference.

use std::collections::BTreeMap;

use skein_shared::ids::SeriesKey;

use crate::diff::discrepancy::{Difference, Hand, Kind, cells_text, how_values_differ};
use crate::diff::pace::Pace;
use crate::diff::side::{Fault, Gap, PinnedSide, Rows, SideSeries, UnitScope};
use crate::diff::sieve::{Sieve, Sieved};
use crate::error::Result;

/// The largest relative difference of two numbers of a bucket that counts as none: sums are floating-point sums, and
/// another order of adding gives other last bits.
pub(super) const TOLERANCE: f64 = 1e-5;

/// What the join of some series gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Joined {
    pub(super) equal: u64,
    pub(super) within_tolerance: u64,
    /// Rows that differ.
    pub(super) differing: u64,
}

/// Takes differences as they are found, in the order of [`Difference::identity`].
pub(super) type Sink<'a> = &'a mut dyn FnMut(&Difference) -> Result<()>;

/// Joins the series of the scope.
///
/// # Errors
/// The bucket's, or what the sink says.
pub(super) async fn join(
    (left, right): (&PinnedSide, &PinnedSide),
    scope: UnitScope,
    sieve: &Sieve<'_>,
    pace: &mut Pace<'_>,
    sink: Sink<'_>,
) -> Result<Joined> {
    let mut streams = [left.stream(scope).await?, right.stream(scope).await?];
    let [one, other] = &mut streams;
    let mut heads = [one.next().await?, other.next().await?];
    let mut damage = Damage::default();
    let mut joined = Joined::default();
    let with_metadata = left.has_metadata() && right.has_metadata();
    loop {
        for (index, stream) in streams.iter().enumerate() {
            damage.look(index, stream.gaps(), sieve);
        }
        let key = heads.iter().flatten().map(|series| series.key).min();
        let Some(key) = key else {
            let rest = damage.up_to(SeriesKey::MAX);
            return rest.iter().try_for_each(sink).map(|()| joined);
        };
        let mut pair = Pair::empty(key, sieve);
        pair.with_metadata = with_metadata;
        for (index, stream) in streams.iter_mut().enumerate() {
            let held = stream.gaps().iter().find(|gap| gap.holds(key));
            pair.gaps[index] = held.cloned();
            if let Some(series) = heads[index].take_if(|series| series.key == key) {
                pair.take(index, series);
                heads[index] = stream.next().await?;
            }
        }
        let mut found = damage.up_to(key);
        pair.compare(&mut joined, &mut found);
        found.sort_by_key(Difference::identity);
        found.iter().try_for_each(&mut *sink)?;
        pace.keep().await?;
    }
}

const HANDS: [Hand; 2] = [Hand::Left, Hand::Right];

/// What does not read back, until its place in the order of keys has come.
#[derive(Debug, Default)]
struct Damage {
    seen: [usize; 2],
    waiting: Vec<Difference>,
}

impl Damage {
    /// Takes in what a side has come upon since.
    fn look(&mut self, index: usize, gaps: &[Gap], sieve: &Sieve<'_>) {
        let new = gaps[self.seen[index]..].iter();
        let differences = new.map(|gap| of_gap(sieve, gap, HANDS[index]));
        self.waiting.extend(differences);
        self.seen[index] = gaps.len();
    }

    /// Gives out what begins at `key` or before.
    fn up_to(&mut self, key: SeriesKey) -> Vec<Difference> {
        let all = std::mem::take(&mut self.waiting).into_iter();
        let (mut due, waiting) = all.partition::<Vec<_>, _>(|it| it.metric <= key.metric.0);
        self.waiting = waiting;
        due.sort_by_key(Difference::identity);
        due
    }
}

/// The damage itself is a difference too: there may be no point on the other side to show it.
fn of_gap(sieve: &Sieve<'_>, gap: &Gap, hand: Hand) -> Difference {
    let of = (Kind::Undecodable, Some(hand));
    let mut difference = sieve.difference((gap.first, None), of, "object", None);
    difference.detail = Some(format!(
        "{} of series {} to {}: {}",
        gap.object, gap.first, gap.last, gap.reason
    ));
    difference
}

/// One series of both sides.
struct Pair<'a> {
    key: SeriesKey,
    sieve: &'a Sieve<'a>,
    /// Whether both sides have metadata at all.
    with_metadata: bool,
    series: [Option<SideSeries>; 2],
    sieved: [Sieved; 2],
    gaps: [Option<Gap>; 2],
}

impl<'a> Pair<'a> {
    fn empty(key: SeriesKey, sieve: &'a Sieve<'a>) -> Self {
        Self {
            key,
            sieve,
            with_metadata: false,
            series: [None, None],
            sieved: [Sieved::default(), Sieved::default()],
            gaps: [None, None],
        }
    }

    fn take(&mut self, index: usize, mut series: SideSeries) {
        self.sieved[index] = self.sieve.apply(HANDS[index], &mut series);
        self.series[index] = Some(series);
    }

    fn metadata(&self) -> Option<&BTreeMap<String, String>> {
        let mut said = self.series.iter().flatten();
        said.find_map(|series| series.metadata.as_ref())
    }

    fn difference(&self, of: (Kind, Option<Hand>), how: &str, at_ms: Option<i64>) -> Difference {
        let series = (self.key, self.metadata());
        self.sieve.difference(series, of, how, at_ms)
    }

    fn compare(&self, joined: &mut Joined, found: &mut Vec<Difference>) {
        if self.with_metadata {
            found.extend(self.metadata_differs());
        }
        for index in 0..2 {
            self.faults_of(index, found);
        }
        self.join_rows(joined, found);
    }

    /// Metadata is compared of series of which both sides have rows.
    fn metadata_differs(&self) -> Option<Difference> {
        let [Some(left), Some(right)] = &self.series else {
            return None;
        };
        let both_have_rows = !left.rows.is_empty() && !right.rows.is_empty();
        let is_same = left.metadata == right.metadata;
        if is_same || !both_have_rows || self.sieve.is_named(self.key) {
            return None;
        }
        let how = match (&left.metadata, &right.metadata) {
            (None, Some(_)) => "none on the left",
            (Some(_), None) => "none on the right",
            (Some(_) | None, _) => "other entries",
        };
        let mut difference = self.difference((Kind::DifferentMetadata, None), how, None);
        difference.left = left.metadata.as_ref().map(|it| format!("{it:?}"));
        difference.right = right.metadata.as_ref().map(|it| format!("{it:?}"));
        Some(difference)
    }

    /// What a side has that it should not have.
    fn faults_of(&self, index: usize, found: &mut Vec<Difference>) {
        let hand = HANDS[index];
        let mut push = |kind, at_ms, text: String| {
            let mut difference = self.difference((kind, Some(hand)), "", Some(at_ms));
            match hand {
                Hand::Left => difference.left = Some(text),
                Hand::Right => difference.right = Some(text),
            }
            found.push(difference);
        };
        for fault in self.series[index].iter().flat_map(|series| &series.faults) {
            let kind = match fault {
                Fault::Duplicate { .. } => Kind::Duplicate,
                Fault::OutOfWindow { .. } => Kind::OutOfWindow,
            };
            push(kind, fault.at_ms(), cells_text(&[fault.value()]));
        }
        for (at_ms, cells) in &self.sieved[index].wrong_owner {
            push(Kind::WrongOwner, *at_ms, cells.clone());
        }
    }

    fn join_rows(&self, joined: &mut Joined, found: &mut Vec<Difference>) {
        let none = Rows::of_points();
        let rows = |index: usize| self.series[index].as_ref().map_or(&none, |it| &it.rows);
        let (left, right) = (rows(0), rows(1));
        let (mut l, mut r) = (0, 0);
        while l < left.len() || r < right.len() {
            let at = |rows: &Rows, index: usize| rows.times_ms.get(index).copied();
            let (of_left, of_right) = (at(left, l), at(right, r));
            let now = of_left.into_iter().chain(of_right).min();
            let (has_left, has_right) = (of_left == now, of_right == now);
            if has_left && has_right {
                let pair = (left.row(l), right.row(r));
                self.compare_cells(now, pair, joined, found);
            } else if has_left {
                found.push(self.missing(1, now, left.row(l)));
                joined.differing += 1;
            } else {
                found.push(self.missing(0, now, right.row(r)));
                joined.differing += 1;
            }
            l += usize::from(has_left);
            r += usize::from(has_right);
        }
    }

    fn compare_cells(
        &self,
        at_ms: Option<i64>,
        (left, right): (&[f64], &[f64]),
        joined: &mut Joined,
        found: &mut Vec<Difference>,
    ) {
        let same_bits = |(one, other): (&f64, &f64)| one.to_bits() == other.to_bits();
        if left.iter().zip(right).all(same_bits) {
            joined.equal += 1;
            return;
        }
        let how = match (left, right) {
            ([left], [right]) => how_values_differ(*left, *right),
            (left, right) if is_within(left, right) => {
                joined.within_tolerance += 1;
                return;
            }
            (left, right) => columns_beyond(left, right),
        };
        joined.differing += 1;
        let mut difference = self.difference((Kind::DifferentValue, None), how, at_ms);
        difference.left = Some(cells_text(left));
        difference.right = Some(cells_text(right));
        found.push(difference);
    }

    /// A row that the side at `index` lacks; where that side does not read back nobody knows whether it does.
    fn missing(&self, index: usize, at_ms: Option<i64>, cells: &[f64]) -> Difference {
        let kind = match index {
            0 => Kind::MissingLeft,
            _ => Kind::MissingRight,
        };
        let gap = self.gaps[index].as_ref();
        let mut difference = match gap {
            Some(gap) => {
                let of = (Kind::Undecodable, Some(HANDS[index]));
                let mut difference = self.difference(of, "points", at_ms);
                difference.detail = Some(gap.object.clone());
                difference
            }
            None => self.difference((kind, None), self.whole_series(index), at_ms),
        };
        let text = Some(cells_text(cells));
        match index {
            0 => difference.right = text,
            _ => difference.left = text,
        }
        difference
    }

    /// Whether the side at `index` has nothing of the series in the window, or only lacks some.
    fn whole_series(&self, index: usize) -> &'static str {
        match &self.series[index] {
            None => "all of the series",
            Some(_) => "some of the series",
        }
    }
}

/// The first column of two buckets that differs by more than the tolerance.
fn columns_beyond(left: &[f64], right: &[f64]) -> &'static str {
    const NAMES: [&str; 8] = [
        "count", "nans", "first", "last", "min", "max", "sum", "increase",
    ];
    let pairs = left.iter().zip(right);
    let beyond = pairs
        .zip(NAMES)
        .find(|((one, other), _)| !is_close(**one, **other));
    beyond.map_or("", |(_, name)| name)
}

fn is_within(left: &[f64], right: &[f64]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .all(|(one, other)| is_close(*one, *other))
}

/// Whether two numbers differ by at most [`TOLERANCE`] of the greater one; NaNs and infinities only equal their like.
pub(super) fn is_close(one: f64, other: f64) -> bool {
    if one.to_bits() == other.to_bits() || (one.is_nan() && other.is_nan()) {
        return true;
    }
    if !one.is_finite() || !other.is_finite() {
        return false;
    }
    (one - other).abs() <= TOLERANCE * one.abs().max(other.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_close_within_a_hundred_thousandth_of_the_greater() {
        assert!(is_close(100_000.0, 100_001.0) && is_close(-1.0, -1.000_001));
        assert!(!is_close(100_000.0, 100_002.0) && !is_close(0.0, 1e-300));
        assert!(is_close(f64::NAN, -f64::NAN) && is_close(0.0, -0.0));
        assert!(!is_close(f64::NAN, 1.0) && !is_close(f64::INFINITY, f64::MAX));
        assert!(!is_close(f64::INFINITY, f64::NEG_INFINITY));
    }
}
