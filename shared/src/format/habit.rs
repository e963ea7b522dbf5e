//! Which candidate encoder won lately, so that not every block is encoded by all of them.
//!
//! A habit lives within one run of a segment: its decisions are a function of the run's points alone (SK-10).

/// Most blocks that are encoded without trying all candidates.
const MOST_UNTRIED: u8 = 31;

/// The memory of one choice. The more often in a row a candidate wins, the longer it is taken unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Habit {
    winner: u8,
    streak: u8,
    untried: u8,
}

impl Habit {
    /// The candidate to take; `None` when all have to be tried.
    pub(super) fn known(&mut self) -> Option<u8> {
        self.untried = self.untried.checked_sub(1)?;
        Some(self.winner)
    }

    /// Takes note of who won when all were tried.
    pub(super) fn won(&mut self, winner: u8) {
        let goes_on = self.streak > 0 && self.winner == winner;
        self.streak = if goes_on { self.streak + 1 } else { 1 };
        self.winner = winner;
        let trusted = 1_u32
            .checked_shl(u32::from(self.streak))
            .unwrap_or(u32::MAX);
        let untried = u8::try_from(trusted - 1).unwrap_or(u8::MAX);
        self.untried = untried.min(MOST_UNTRIED);
        self.streak = self.streak.min(u8::MAX - 1);
    }
}

/// Appends candidate after candidate and keeps the smallest; the first of those that are equal.
#[derive(Debug)]
pub(super) struct Contest {
    start: usize,
    best_end: usize,
    winner: u8,
}

impl Contest {
    /// The first candidate stands in `out` from `start` on.
    pub(super) fn with_first(out: &[u8], start: usize) -> Self {
        Self {
            start,
            best_end: out.len(),
            winner: 0,
        }
    }

    /// Takes what was appended to `out` since as the candidate with this number.
    pub(super) fn next(&mut self, number: u8, out: &mut Vec<u8>) {
        let (best, this) = (self.best_end - self.start, out.len() - self.best_end);
        if this < best {
            out.copy_within(self.best_end.., self.start);
            self.best_end = self.start + this;
            self.winner = number;
        }
        out.truncate(self.best_end);
    }

    /// Who won.
    pub(super) fn winner(&self) -> u8 {
        self.winner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tries(winners: impl IntoIterator<Item = u8>) -> Vec<bool> {
        let mut habit = Habit::default();
        let tried = winners.into_iter().map(|winner| match habit.known() {
            None => {
                habit.won(winner);
                true
            }
            Some(_) => false,
        });
        tried.collect()
    }

    #[test]
    fn a_candidate_that_wins_again_and_again_is_tried_ever_less() {
        let tried = tries(std::iter::repeat_n(3, 400));
        let places: Vec<usize> = (0..400).filter(|place| tried[*place]).collect();
        assert_eq!(places[..5], [0, 2, 6, 14, 30]);
        let gaps = places.windows(2).map(|pair| pair[1] - pair[0]);
        assert_eq!(gaps.max(), Some(usize::from(MOST_UNTRIED) + 1));
    }

    #[test]
    fn candidates_that_take_turns_are_tried_at_every_second_block() {
        let mut habit = Habit::default();
        let mut tried = 0;
        for block in 0..100 {
            if habit.known().is_none() {
                tried += 1;
                habit.won(u8::from(tried % 2 == 0));
            }
            assert!(tried * 2 > block, "block {block}");
        }
    }

    #[test]
    fn the_smallest_candidate_stays_and_of_equal_ones_the_first() {
        for (sizes, winner) in [([3, 2, 2], 1), ([1, 1, 2], 0), ([5, 4, 3], 2)] {
            let mut out = vec![9; 4];
            let start = out.len();
            out.extend(std::iter::repeat_n(0, sizes[0]));
            let mut contest = Contest::with_first(&out, start);
            for number in 1..3 {
                out.extend(std::iter::repeat_n(number, sizes[usize::from(number)]));
                contest.next(number, &mut out);
            }
            assert_eq!(contest.winner(), winner);
            let expected = vec![winner; sizes[usize::from(winner)]];
            assert_eq!((&out[..start], &out[start..]), (&[9; 4][..], &expected[..]));
        }
    }
}
