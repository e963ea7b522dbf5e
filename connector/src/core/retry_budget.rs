//! How many retries all requests together may send, so that a store in trouble is not answered with more load.
//!
//! Every first attempt earns a tenth of a retry, so that over any storm at most a tenth of the requests are
//! repeats. Two exceptions let work go on when the storm ends: after a second without a first attempt one
//! retry goes out whatever was earned, as a probe, and once a run of answers came without a failure, each further one earns two, so that
//! what has waited goes out in waves that double. A store that still refuses every fifth request almost
//! never gives such a run.

use skein_shared::units::Millis;

/// Thousandths of a retry: sums stay exact.
const RETRY: u64 = 1000;
/// What a first attempt earns.
const EARNED_BY_FIRST: u64 = RETRY / 10;
/// What an answer earns in a calm.
const EARNED_IN_CALM: u64 = 2 * RETRY;
/// Most that is saved up: what a short hiccup needs.
const MOST_SAVED: u64 = 20 * RETRY;
/// Answers in a row without a failure that make a calm.
const CALM_ANSWERS: u32 = 24;
/// Time between two probes.
const PROBE_INTERVAL: Millis = Millis::seconds(1);

/// Retries saved up.
#[derive(Debug)]
pub(super) struct RetryBudget {
    saved: u64,
    answers_in_row: u32,
    probe_at: Millis,
}

impl RetryBudget {
    /// What a short hiccup needs.
    pub(super) const fn new() -> Self {
        Self {
            saved: MOST_SAVED,
            answers_in_row: CALM_ANSWERS,
            probe_at: Millis(0),
        }
    }

    /// A request is sent for the first time.
    pub(super) fn first_attempt(&mut self, now: Millis) {
        self.earn(EARNED_BY_FIRST);
        // It is as good a probe.
        self.probe_at = Millis(now.0 + PROBE_INTERVAL.0);
    }

    /// A request was answered.
    pub(super) fn answered(&mut self) {
        self.answers_in_row = self.answers_in_row.saturating_add(1);
        if self.is_calm() {
            self.earn(EARNED_IN_CALM);
        }
    }

    /// A request failed in a way that is tried again.
    pub(super) fn failed(&mut self) {
        self.answers_in_row = 0;
    }

    /// What was refused for a reason other than load is accepted: nothing is held back for it.
    pub(super) fn refill(&mut self) {
        self.saved = MOST_SAVED;
        self.answers_in_row = CALM_ANSWERS;
    }

    /// Whether nothing has failed for a while.
    pub(super) fn is_calm(&self) -> bool {
        self.answers_in_row >= CALM_ANSWERS
    }

    /// Whether a retry may be sent; if so, it is paid for.
    pub(super) fn try_spend(&mut self, now: Millis) -> bool {
        if self.saved >= RETRY {
            self.saved -= RETRY;
        } else if self.probe_at <= now {
            self.probe_at = Millis(now.0 + PROBE_INTERVAL.0);
        } else {
            return false;
        }
        true
    }

    fn earn(&mut self, thousandths: u64) {
        self.saved = (self.saved + thousandths).min(MOST_SAVED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Retries that go out when `wanted` are due at `now`.
    fn spent(budget: &mut RetryBudget, wanted: u32, now: u64) -> u32 {
        let each = (0..wanted).filter(|_| budget.try_spend(Millis(now)));
        u32::try_from(each.count()).unwrap()
    }

    #[test]
    fn a_short_hiccup_is_retried_at_once_and_a_storm_by_a_tenth_of_its_first_attempts() {
        let mut budget = RetryBudget::new();
        assert_eq!(spent(&mut budget, 20, 0), 20);
        budget.failed();
        spent(&mut budget, 1, 0);
        (0..1000).for_each(|_| budget.first_attempt(Millis(0)));
        assert_eq!(spent(&mut budget, 100, 0), 20, "savings are bounded");
        let mut sent = 0;
        for _ in 0..1000 {
            budget.first_attempt(Millis(0));
            sent += spent(&mut budget, 5, 0);
        }
        assert_eq!(sent, 100);
    }

    #[test]
    fn one_probe_a_second_goes_out_whatever_was_earned_unless_first_attempts_do() {
        let mut budget = RetryBudget::new();
        budget.failed();
        spent(&mut budget, 20, 0);
        let sent: u32 = (0..600).map(|n| spent(&mut budget, 9, n * 100)).sum();
        assert_eq!(sent, 60);
        budget.first_attempt(Millis(70_000));
        assert_eq!(spent(&mut budget, 9, 70_900), 0);
        assert_eq!(spent(&mut budget, 9, 71_000), 1);
    }

    #[test]
    fn after_a_calm_what_has_waited_goes_out_in_waves_that_double() {
        let mut budget = RetryBudget::new();
        budget.failed();
        spent(&mut budget, 21, 0);
        (0..23).for_each(|_| budget.answered());
        assert_eq!(spent(&mut budget, 9, 1), 0, "not calm yet");
        budget.answered();
        assert_eq!(spent(&mut budget, 9, 1), 2);
        (0..2).for_each(|_| budget.answered());
        assert_eq!(spent(&mut budget, 9, 1), 4);
    }
}
