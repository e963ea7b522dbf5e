//! How long the pieces of one stage took: how often, in all, and the quantiles.

use std::time::Duration;

use hdrhistogram::Histogram;

/// A value is kept to two digits: a quantile is off by less than a hundredth.
const DIGITS: u8 = 2;

/// Longer pieces count as this long in quantiles; the total and the longest are exact.
const LONGEST_NANOS: u64 = 86_400_000_000_000;

/// The times of a stage's pieces.
#[derive(Debug, Clone, PartialEq)]
pub struct StageTime {
    histogram: Histogram<u64>,
    total_nanos: u64,
    longest_nanos: u64,
}

/// Pieces that took equally long, to two digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EqualPieces {
    /// Shortest time that counts as equal, in nanoseconds.
    pub nanos: u64,
    /// How many.
    pub pieces: u64,
}

// Its histogram counts in integers.
impl Eq for StageTime {}

impl Default for StageTime {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_NANOS, DIGITS);
        Self {
            histogram: histogram.expect("the bounds ascend and two digits are few"),
            total_nanos: 0,
            longest_nanos: 0,
        }
    }
}

impl StageTime {
    /// Takes one piece in.
    pub fn record(&mut self, elapsed: Duration) {
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        // The histogram would take a little more than its bound.
        self.histogram.saturating_record(nanos.min(LONGEST_NANOS));
        self.total_nanos = self.total_nanos.saturating_add(nanos);
        self.longest_nanos = self.longest_nanos.max(nanos);
    }

    /// How many pieces.
    pub fn pieces(&self) -> u64 {
        self.histogram.len()
    }

    /// All of them together.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.total_nanos)
    }

    /// The longest.
    pub fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest_nanos)
    }

    /// What `share` of the pieces, between 0 and 1, took at most; to two digits.
    pub fn quantile(&self, share: f64) -> Duration {
        let nanos = self.histogram.value_at_quantile(share);
        // The histogram answers with the greatest time that counts as equal.
        Duration::from_nanos(nanos.min(self.longest_nanos))
    }

    /// Every time that occurred, ascending, and how often: what [`StageTime::from_pieces`] takes.
    pub fn equal_pieces(&self) -> impl Iterator<Item = EqualPieces> {
        self.histogram.iter_recorded().map(|step| EqualPieces {
            nanos: self.histogram.lowest_equivalent(step.value_iterated_to()),
            pieces: step.count_at_value(),
        })
    }

    /// The times that were written down.
    ///
    /// # Errors
    /// The reason when no [`StageTime::equal_pieces`] gives these.
    pub fn from_pieces(
        pieces: impl IntoIterator<Item = EqualPieces>,
        (total, longest): (Duration, Duration),
    ) -> std::result::Result<Self, String> {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mut stage = Self {
            total_nanos: nanos(total),
            longest_nanos: nanos(longest),
            ..Self::default()
        };
        let mut last: Option<u64> = None;
        let mut count: u64 = 0;
        for EqualPieces { nanos, pieces } in pieces {
            let is_lowest = stage.histogram.lowest_equivalent(nanos) == nanos;
            let summed = count.checked_add(pieces);
            let (true, true, Some(summed)) = (pieces > 0 && is_lowest, last < Some(nanos), summed)
            else {
                return Err(format!("{pieces} pieces of {nanos} ns stand out of order"));
            };
            count = summed;
            last = Some(nanos);
            let recorded = stage.histogram.record_n(nanos, pieces);
            if nanos > LONGEST_NANOS || recorded.is_err() {
                return Err(format!("{nanos} ns are more than a day"));
            }
        }
        let longest = stage.longest_nanos.min(LONGEST_NANOS);
        let longest = (count > 0).then(|| stage.histogram.lowest_equivalent(longest));
        if longest != last {
            return Err("the longest piece is not among the pieces".to_owned());
        }
        Ok(stage)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(nanos: &[u64]) -> StageTime {
        let mut stage = StageTime::default();
        for nanos in nanos {
            stage.record(Duration::from_nanos(*nanos));
        }
        stage
    }

    fn nanos_in(time: Duration) -> u64 {
        u64::try_from(time.as_nanos()).unwrap()
    }

    proptest! {
        #[test]
        fn a_quantile_is_the_exact_one_to_a_hundredth(
            mut nanos in prop::collection::vec(0_u64..10_000_000_000, 1..200),
            share in 0.0_f64..=1.0,
        ) {
            let stage = of(&nanos);
            nanos.sort_unstable();
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss,
                reason = "a place among 200")]
            let place = ((share * nanos.len() as f64).ceil() as usize).max(1) - 1;
            let (exact, told) = (nanos[place], nanos_in(stage.quantile(share)));
            prop_assert!(told.abs_diff(exact) <= exact / 100 + 1, "{} for {}", told, exact);
            prop_assert_eq!(nanos_in(stage.longest()), nanos[nanos.len() - 1]);
            prop_assert_eq!(nanos_in(stage.total()), nanos.iter().sum::<u64>());
        }

        #[test]
        fn times_that_were_written_down_read_back(nanos: Vec<u64>) {
            let stage = of(&nanos);
            let pieces: Vec<_> = stage.equal_pieces().collect();
            prop_assert_eq!(pieces.iter().map(|equal| equal.pieces).sum::<u64>(), nanos.len() as u64);
            let read = StageTime::from_pieces(pieces, (stage.total(), stage.longest()));
            prop_assert_eq!(read, Ok(stage));
        }

        #[test]
        fn any_pieces_are_read_as_they_are_or_refused(
            pieces: Vec<(u64, u64)>,
            total: u64,
            longest: u64,
        ) {
            let pieces = pieces.into_iter().map(|(nanos, pieces)| EqualPieces { nanos, pieces });
            let pieces: Vec<_> = pieces.collect();
            let bounds = (Duration::from_nanos(total), Duration::from_nanos(longest));
            if let Ok(read) = StageTime::from_pieces(pieces.clone(), bounds) {
                prop_assert_eq!(read.equal_pieces().collect::<Vec<_>>(), pieces);
            }
        }
    }
}
