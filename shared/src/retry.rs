//! Which failures are tried again, how often, and how long to wait between: for all requests but the
//! connector's writes, whose waits are bounded here and whose loop is its core.
//!
//! Exponential back-off with full jitter: each wait is uniform between nothing and a bound that doubles.
//! Two limits: tries per request, and a budget of retries that all requests share, so that an outage is
//! not answered with a multiple of the load. The retries of the libraries below are switched off.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};

use crate::error::{Error, Result};
use crate::error_kind::ErrorKind;
use crate::units::{MIB, Millis};

/// How failed requests are tried again, and how long one try may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries per request, the first included; at least 1.
    pub attempts: u32,
    /// Upper bound of the wait before the first retry; it doubles with each one.
    pub base: Millis,
    /// Upper bound of any wait.
    pub cap: Millis,
    /// Retries that all requests together may spend at once; refilled evenly within a minute.
    pub budget: u32,
    /// Longest wait for a connection.
    pub connect_timeout: Millis,
    /// Longest wait for the answer to a try that moves no body; a body adds a second per
    /// [`SLOWEST_BYTES_PER_SECOND`].
    pub attempt_timeout: Millis,
}

/// The slowest transfer that still counts as alive.
pub const SLOWEST_BYTES_PER_SECOND: u64 = MIB;

/// In what time an empty budget is full again.
const REFILL_TIME: Duration = Duration::from_mins(1);

/// Runs requests under one policy and one shared budget.
#[derive(Debug)]
pub struct Retrier {
    policy: RetryPolicy,
    budget: Mutex<RetryBudget>,
}

impl Default for RetryPolicy {
    /// Ten tries within 16 s on average, 33 s at most: rides out the restart of a server.
    fn default() -> Self {
        Self {
            attempts: 10,
            base: Millis(100),
            cap: Millis(10_000),
            budget: 500,
            connect_timeout: Millis(5_000),
            attempt_timeout: Millis(15_000),
        }
    }
}

impl RetryPolicy {
    /// How long one try may take that moves `body_bytes`.
    pub fn time_limit(&self, body_bytes: u64) -> Duration {
        let transfer_ms = body_bytes.saturating_mul(1000) / SLOWEST_BYTES_PER_SECOND;
        self.attempt_timeout
            .duration()
            .saturating_add(Duration::from_millis(transfer_ms))
    }

    /// The same policy for a caller that has a retry loop of its own: one try a call.
    #[must_use]
    pub fn single_attempt(&self) -> Self {
        Self {
            attempts: 1,
            ..self.clone()
        }
    }

    /// The longest wait after so many failures of one request, at least one. Full jitter draws from
    /// nothing to this.
    pub fn longest_wait(&self, failures: u32) -> Duration {
        // The cap is reached long before; the bound only keeps this short.
        let earlier = failures.clamp(1, 64) as usize - 1;
        let mut waits = self.longest_waits().without_max_times().build();
        waits.nth(earlier).unwrap_or(self.cap.duration())
    }

    fn longest_waits(&self) -> ExponentialBuilder {
        ExponentialBuilder::new()
            .with_min_delay(self.base.duration().min(self.cap.duration()))
            .with_max_delay(self.cap.duration())
    }

    /// The waits between the tries of one request.
    fn waits(&self) -> impl Iterator<Item = Duration> + use<> {
        let retries = usize::try_from(self.attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        // Its own jitter adds to the wait and never shortens it: full jitter spreads a crowd better.
        let longest = self.longest_waits().with_max_times(retries).build();
        longest.map(|longest| longest.mul_f64(fastrand::f64()))
    }
}

impl Retrier {
    /// Starts with a full budget.
    pub fn new(policy: RetryPolicy) -> Self {
        let budget = Mutex::new(RetryBudget::full(policy.budget, Instant::now()));
        Self { policy, budget }
    }

    /// The policy it follows.
    pub fn policy(&self) -> &RetryPolicy {
        &self.policy
    }

    /// Calls `attempt` until it succeeds, fails with an error that is not [`ErrorKind::Transient`], or a
    /// limit is reached. `on_retry` sees each error that is followed by another try.
    ///
    /// # Errors
    /// The last try's; one that was given up on says after how many tries and why.
    ///
    /// # Cancel safety
    /// As safe as `attempt`: nothing is kept between calls but the budget.
    pub async fn run<T, F, Fut>(&self, mut attempt: F, on_retry: impl Fn(&Error)) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let mut waits = self.policy.waits();
        let mut tries = 0_u32;
        loop {
            tries += 1;
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if error.kind() != ErrorKind::Transient {
                return Err(error);
            }
            if self.policy.attempts <= 1 {
                return Err(error);
            }
            let Some(wait) = waits.next() else {
                return Err(given_up(error, tries, ""));
            };
            if !self.spend_one() {
                return Err(given_up(error, tries, ": the retry budget is spent"));
            }
            on_retry(&error);
            tokio::time::sleep(wait).await;
        }
    }

    fn spend_one(&self) -> bool {
        self.budget
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .spend_one(Instant::now())
    }
}

fn given_up(error: Error, tries: u32, why: &str) -> Error {
    error.with_reason(&format!("; gave up, tries={tries}{why}"))
}

/// A bucket of tokens, one a retry.
#[derive(Debug)]
struct RetryBudget {
    capacity: f64,
    tokens: f64,
    refilled_at: Instant,
}

impl RetryBudget {
    fn full(capacity: u32, now: Instant) -> Self {
        let capacity = f64::from(capacity);
        Self {
            capacity,
            tokens: capacity,
            refilled_at: now,
        }
    }

    fn spend_one(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.refilled_at);
        self.refilled_at = now;
        let refill = self.capacity * elapsed.as_secs_f64() / REFILL_TIME.as_secs_f64();
        self.tokens = (self.tokens + refill).min(self.capacity);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::error::BucketCause;

    fn failure(cause: BucketCause) -> Error {
        Error::Bucket {
            operation: "get",
            key: "k".into(),
            cause,
            reason: "no".into(),
        }
    }

    fn quick(attempts: u32, budget: u32) -> Retrier {
        Retrier::new(RetryPolicy {
            attempts,
            budget,
            base: Millis(1),
            cap: Millis(2),
            ..RetryPolicy::default()
        })
    }

    /// Tries that `retrier` makes of a request that always fails, and the last error's text.
    async fn tries_until_error(retrier: &Retrier, cause: BucketCause) -> (u32, String) {
        let tries = Cell::new(0);
        let attempt = || {
            tries.set(tries.get() + 1);
            async { Err::<(), _>(failure(cause)) }
        };
        let error = retrier.run(attempt, |_| ()).await.unwrap_err();
        (tries.get(), error.to_string())
    }

    #[tokio::test]
    async fn only_transient_failures_are_tried_again() {
        for cause in [
            BucketCause::Denied,
            BucketCause::NotFound,
            BucketCause::Refused,
            BucketCause::Damaged,
            BucketCause::UploadGone,
        ] {
            assert_eq!(tries_until_error(&quick(5, 9), cause).await.0, 1);
        }
        for cause in [BucketCause::Unavailable, BucketCause::Throttled] {
            let (tries, text) = tries_until_error(&quick(5, 9), cause).await;
            assert_eq!(tries, 5);
            assert!(text.contains("tries=5"), "{text}");
        }
    }

    #[tokio::test]
    async fn all_requests_share_one_budget_of_retries() {
        let retrier = quick(4, 5);
        let causes = BucketCause::Unavailable;
        assert_eq!(tries_until_error(&retrier, causes).await.0, 4);
        let (tries, text) = tries_until_error(&retrier, causes).await;
        assert_eq!(tries, 3);
        assert!(text.contains("budget"), "{text}");
    }

    #[test]
    fn an_empty_budget_is_full_again_after_a_minute() {
        let start = Instant::now();
        let mut budget = RetryBudget::full(60, start);
        let spend =
            |budget: &mut RetryBudget, now| (0..99).filter(|_| budget.spend_one(now)).count();
        assert_eq!(spend(&mut budget, start), 60);
        assert_eq!(spend(&mut budget, start + Duration::from_secs(10)), 10);
        assert_eq!(spend(&mut budget, start + Duration::from_hours(1)), 60);
    }

    #[test]
    fn waits_lie_under_a_doubling_bound() {
        let policy = RetryPolicy::default();
        for _ in 0..100 {
            let waits: Vec<Duration> = policy.waits().collect();
            assert_eq!(waits.len(), 9);
            for (n, wait) in (0..).zip(waits) {
                let bound = policy.base.0 << n;
                assert!(wait <= Duration::from_millis(bound).min(policy.cap.duration()));
            }
        }
    }

    #[test]
    fn the_longest_wait_doubles_up_to_its_cap() {
        let policy = RetryPolicy::default();
        let longest = |failures| policy.longest_wait(failures).as_millis();
        assert_eq!([1, 2, 3, 7].map(longest), [100, 200, 400, 6400]);
        assert_eq!([8, 9, u32::MAX].map(longest), [10_000; 3]);
    }

    #[tokio::test]
    async fn a_caller_with_a_loop_of_its_own_gets_one_try_and_the_error_as_it_is() {
        let policy = RetryPolicy::default().single_attempt();
        let retrier = Retrier::new(policy);
        let (tries, text) = tries_until_error(&retrier, BucketCause::Throttled).await;
        assert_eq!(tries, 1);
        assert!(!text.contains("tries"), "{text}");
    }

    #[test]
    fn a_try_may_take_longer_the_more_it_moves() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.time_limit(0), Duration::from_secs(15));
        assert_eq!(policy.time_limit(64 * MIB), Duration::from_secs(15 + 64));
        assert!(policy.time_limit(u64::MAX) > Duration::from_secs(1 << 20));
    }
}
