//! How many retries may be sent, so that a store in trouble is not answered with more load.
//!
//! Each lane has a budget of its own: a group of keys that the store throttles takes nothing from the others. A
//! first attempt earns its lane a tenth of a retry, so that over any storm at most a tenth of the requests are
//! repeats. Three exceptions let work go on:
//!
//! - Once a run of answers came without a failure, each further one earns two, so that what has waited goes out
//!   in waves that double. A store that still refuses every fifth request almost never gives such a run.
//! - A lane of which for two minutes a few requests in a hundred fail, and no more than three in ten now, is in no
//!   storm: that is how the store is today. Of five requests one then needs a second try, which a tenth never pays
//!   for, and what waits would come to fill the memory. So each answer earns a half, which is enough for as many.
//! - After a second without any first attempt one retry goes out whatever was earned, as a probe; in a calm of all
//!   lanes there are more, for those that have nothing new to send. The lane that was tried the longest ago has
//!   the first. Look-ups have one a second of their own: a partition that waits to be read has nothing new to send.
//!
//! A hiccup may hit many requests of one lane: what it needs beyond its own savings comes from a spare of all
//! lanes, which only a calm fills again, and slowly. A lane of which more than one in four of the latest 64 or so
//! failed does not touch it; one that was sound until a storm began may use it up before that shows.

use skein_shared::units::Millis;

/// Thousandths of a retry: sums stay exact.
const RETRY: u64 = 1000;
/// What a first attempt earns.
const EARNED_BY_FIRST: u64 = RETRY / 10;
/// What an answer earns in a calm.
const EARNED_IN_CALM: u64 = 2 * RETRY;
/// What an answer earns while a few fail all the time: three in ten need 3/7 of a retry for each answer.
const EARNED_WHEN_USUAL: u64 = RETRY / 2;
/// Answers in a row without a failure that make a calm.
const CALM_ANSWERS: u32 = 24;
/// Most that a lane saves up; what is more than a hiccup needs is gone with the next failure.
const MOST_SAVED: u64 = 20 * RETRY;
/// Time between two probes.
const PROBE_INTERVAL: Millis = Millis::seconds(1);
/// Probes that a calm saves up.
const MOST_PROBES: u32 = 20;
/// Retries that a calm saves up for whichever lane has a hiccup.
const MOST_SPARE: u32 = 10 * ANSWERS_PER_SPARE;
/// Answers in a calm that save up one of them.
const ANSWERS_PER_SPARE: u32 = 50;
/// Failures that go on for longer are no storm.
const LONGEST_STORM: Millis = Millis::seconds(120);

/// Retries that one lane has saved up.
#[derive(Debug)]
pub(super) struct RetryBudget {
    /// What a hiccup needs.
    hiccup: u64,
    saved: u64,
    answers_in_row: u32,
    failures: FailureShare,
    /// When a request was last sent for the first time, or as a probe.
    tried_at: Option<Millis>,
}

/// How large a part of the latest requests failed, and since when it is more than a stray one.
#[derive(Debug, Clone, Copy, Default)]
struct FailureShare {
    millionths: u64,
    since: Option<Millis>,
    last_at: Option<Millis>,
}

/// Retries that are sent whatever a lane has earned, of all lanes together.
#[derive(Debug)]
pub(super) struct Probes {
    next_at: Millis,
    answers_in_row: u32,
    saved: u32,
    /// In answers.
    spare: u32,
}

impl RetryBudget {
    /// As many retries as a short hiccup needs.
    pub(super) const fn new(hiccup: u64) -> Self {
        Self {
            hiccup: hiccup * RETRY,
            saved: hiccup * RETRY,
            answers_in_row: CALM_ANSWERS,
            failures: FailureShare {
                millionths: 0,
                since: None,
                last_at: None,
            },
            tried_at: None,
        }
    }

    /// A request is sent for the first time.
    pub(super) fn first_attempt(&mut self, now: Millis) {
        self.earn(EARNED_BY_FIRST);
        // It is as good a probe.
        self.tried_at = Some(now);
    }

    /// A request was answered.
    pub(super) fn answered(&mut self, now: Millis) {
        self.answers_in_row = self.answers_in_row.saturating_add(1);
        self.failures.answered();
        if self.is_calm() {
            self.earn(EARNED_IN_CALM);
        } else if self.failures.are_usual(now) {
            self.earn(EARNED_WHEN_USUAL);
        }
    }

    /// A request failed in a way that is tried again.
    pub(super) fn failed(&mut self, now: Millis) {
        self.answers_in_row = 0;
        self.failures.failed(now);
        if !self.failures.are_usual(now) {
            // A calm pays for waves of what has waited, not for the beginning of a storm.
            self.saved = self.saved.min(self.hiccup);
        }
    }

    /// What was refused for a reason other than load is accepted: nothing is held back for it.
    pub(super) fn refill(&mut self) {
        let tried_at = self.tried_at;
        *self = Self {
            tried_at,
            ..Self::new(self.hiccup / RETRY)
        };
    }

    /// Whether nothing has failed for a while.
    pub(super) fn is_calm(&self) -> bool {
        self.answers_in_row >= CALM_ANSWERS
    }

    /// Whether a retry may be sent; if so, it is paid for.
    pub(super) fn try_spend(&mut self) -> bool {
        let left = self.saved.checked_sub(RETRY);
        self.saved = left.unwrap_or(self.saved);
        left.is_some()
    }

    /// Whether so few of its requests fail that it may have a hiccup, and no more.
    pub(super) fn is_sound(&self) -> bool {
        self.failures.millionths <= FailureShare::HICCUP
    }

    /// When something was last tried that may tell how the store is.
    pub(super) fn tried_at(&self) -> Option<Millis> {
        self.tried_at
    }

    /// Whether a probe of this lane would tell anything new.
    pub(super) fn may_probe(&self, now: Millis) -> bool {
        self.tried_at
            .is_none_or(|at| at.0 + PROBE_INTERVAL.0 <= now.0)
    }

    /// A probe is sent.
    pub(super) fn probed(&mut self, now: Millis) {
        self.tried_at = Some(now);
    }

    fn earn(&mut self, thousandths: u64) {
        self.saved = (self.saved + thousandths).min(MOST_SAVED);
    }
}

impl FailureShare {
    const WHOLE: u64 = 1_000_000;
    /// About as many requests are looked back at.
    const REMEMBERED: u64 = 64;
    /// Above this it is more than a stray failure.
    const NOTICED: u64 = Self::WHOLE / 50;
    /// Above this it is more than a hiccup.
    const HICCUP: u64 = Self::WHOLE / 4;
    /// Above this it is a storm, however long it lasts.
    const STORM: u64 = 3 * Self::WHOLE / 10;

    fn answered(&mut self) {
        self.millionths -= self.millionths / Self::REMEMBERED;
        if self.millionths < Self::NOTICED {
            self.since = None;
        }
    }

    fn failed(&mut self, now: Millis) {
        let is_news = |last: Millis| last.0 + LONGEST_STORM.0 <= now.0;
        if self.last_at.replace(now).is_none_or(is_news) {
            // Nothing failed in between.
            self.since = None;
        }
        self.millionths += (Self::WHOLE - self.millionths) / Self::REMEMBERED;
        if self.millionths >= Self::NOTICED {
            self.since.get_or_insert(now);
        }
    }

    fn are_usual(&self, now: Millis) -> bool {
        let is_long = self.since.is_some_and(|at| at.0 + LONGEST_STORM.0 <= now.0);
        is_long && self.millionths <= Self::STORM
    }
}

impl Probes {
    /// What a hiccup needs.
    pub(super) const fn new() -> Self {
        Self {
            next_at: Millis(0),
            answers_in_row: 0,
            saved: 0,
            spare: MOST_SPARE,
        }
    }

    /// A request of any lane is sent for the first time: it is as good a probe.
    pub(super) fn first_attempt(&mut self, now: Millis) {
        self.next_at = Millis(now.0 + PROBE_INTERVAL.0);
    }

    /// A request of any lane was answered.
    pub(super) fn answered(&mut self) {
        self.answers_in_row = self.answers_in_row.saturating_add(1);
        if self.answers_in_row >= CALM_ANSWERS {
            self.saved = (self.saved + 2).min(MOST_PROBES);
            self.spare = (self.spare + 1).min(MOST_SPARE);
        }
    }

    /// A request of any lane failed in a way that is tried again.
    pub(super) fn failed(&mut self) {
        self.answers_in_row = 0;
        self.saved = 0;
    }

    /// Whether a lane that is sound may send a retry beyond its own; if so, it is paid for.
    pub(super) fn try_spare(&mut self) -> bool {
        let left = self.spare.checked_sub(ANSWERS_PER_SPARE);
        self.spare = left.unwrap_or(self.spare);
        left.is_some()
    }

    /// Whether a probe may be sent.
    pub(super) fn has_one(&self, now: Millis) -> bool {
        self.saved > 0 || self.next_at <= now
    }

    /// A probe is sent.
    pub(super) fn spend(&mut self, now: Millis) {
        match self.saved.checked_sub(1) {
            Some(left) => self.saved = left,
            None => self.next_at = Millis(now.0 + PROBE_INTERVAL.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Retries that a budget of twenty pays for, out of so many.
    fn spent(budget: &mut RetryBudget, wanted: u32) -> u32 {
        let each = (0..wanted).filter(|_| budget.try_spend());
        u32::try_from(each.count()).unwrap()
    }

    #[test]
    fn a_short_hiccup_is_retried_at_once_and_a_storm_by_a_tenth_of_its_first_attempts() {
        let mut budget = RetryBudget::new(20);
        assert_eq!(spent(&mut budget, 99), 20);
        budget.failed(Millis(0));
        (0..1000).for_each(|_| budget.first_attempt(Millis(0)));
        assert_eq!(spent(&mut budget, 100), 20, "savings are bounded");
        let mut sent = 0;
        for _ in 0..1000 {
            budget.first_attempt(Millis(0));
            sent += spent(&mut budget, 5);
        }
        assert_eq!(sent, 100);
    }

    #[test]
    fn failures_with_a_long_silence_between_them_do_not_go_on() {
        let mut budget = RetryBudget::new(1);
        (0..3).for_each(|_| budget.failed(Millis(0)));
        (0..40).for_each(|_| budget.answered(Millis(1000)));
        budget.failed(Millis(600_000));
        assert_eq!(spent(&mut budget, 99), 1, "it is the beginning of a storm");
    }

    #[test]
    fn one_probe_a_second_is_there_unless_first_attempts_are_sent_and_a_calm_brings_more() {
        let mut probes = Probes::new();
        let spent = |wanted: usize, now: u64, probes: &mut Probes| {
            let mut count = 0;
            while count < wanted && probes.has_one(Millis(now)) {
                probes.spend(Millis(now));
                count += 1;
            }
            count
        };
        let in_a_minute: usize = (0..600).map(|n| spent(9, n * 100, &mut probes)).sum();
        assert_eq!(in_a_minute, 60);
        probes.first_attempt(Millis(70_000));
        assert_eq!(spent(9, 70_900, &mut probes), 0);
        assert_eq!(spent(9, 71_000, &mut probes), 1);
        (0..23).for_each(|_| probes.answered());
        assert_eq!(spent(9, 71_001, &mut probes), 0, "not calm yet");
        probes.answered();
        assert_eq!(spent(9, 71_001, &mut probes), 2);
    }

    #[test]
    fn after_a_calm_what_has_waited_goes_out_in_waves_that_double() {
        let mut budget = RetryBudget::new(20);
        budget.failed(Millis(0));
        spent(&mut budget, 20);
        (0..23).for_each(|_| budget.answered(Millis(0)));
        assert_eq!(spent(&mut budget, 9), 0, "not calm yet");
        budget.answered(Millis(0));
        assert_eq!(spent(&mut budget, 9), 2);
        (0..2).for_each(|_| budget.answered(Millis(0)));
        assert_eq!(spent(&mut budget, 9), 4);
    }

    /// Retries paid for in the last ten of these seconds, while so many of ten requests fail.
    fn paid(failures: u64, seconds: u64) -> u32 {
        let mut budget = RetryBudget::new(20);
        spent(&mut budget, 20);
        let mut paid = 0;
        for n in 0..seconds * 10 {
            let now = Millis(n * 100);
            if n % 10 < failures {
                budget.failed(now);
            } else {
                budget.answered(now);
            }
            if n + 100 >= seconds * 10 {
                paid += spent(&mut budget, 9);
            }
        }
        paid
    }

    #[test]
    fn a_few_failures_that_go_on_are_paid_for_by_answers_and_a_storm_never_is() {
        assert_eq!(paid(2, 110), 0, "it may be a storm");
        assert!(paid(2, 200) >= 39);
        assert_eq!(paid(5, 2000), 0);
        assert_eq!(paid(10, 2000), 0);
    }
}
