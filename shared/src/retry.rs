//! The only retry loop: which failures are tried again, how often, and how long it waits between.
//!
//! Exponential back-off with full jitter (each wait is uniform in `[0, base · 2ⁿ]`, capped). Two bounds:
//! attempts per request, and a budget of retries for the whole process, so that an outage is not answered
//! with a multiple of the load. Libraries below have their own retries switched off.

use std::cell::Cell;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder, Retryable};

use crate::error::{Error, Result};
use crate::error_kind::ErrorKind;
use crate::units::Millis;

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
    /// Longest wait for the answer to a try without a body; a body adds a second per
    /// [`SLOWEST_BYTES_PER_SECOND`].
    pub attempt_timeout: Millis,
}

/// The slowest transfer that still counts as alive.
pub const SLOWEST_BYTES_PER_SECOND: u64 = 1024 * 1024;

/// In what time an empty budget is full again.
const REFILL_TIME: Duration = Duration::from_mins(1);

/// Runs requests under one policy and one shared budget.
#[derive(Debug)]
pub struct Retrier {
    policy: RetryPolicy,
    budget: Mutex<RetryBudget>,
}

impl Default for RetryPolicy {
    /// Eight tries within about half a minute: rides out a leader election or a partition split.
    fn default() -> Self {
        Self {
            attempts: 8,
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
    pub fn attempt_timeout(&self, body_bytes: u64) -> Duration {
        let transfer_ms = body_bytes.saturating_mul(1000) / SLOWEST_BYTES_PER_SECOND;
        self.attempt_timeout
            .duration()
            .saturating_add(Duration::from_millis(transfer_ms))
    }

    /// The same policy with at most `attempts` tries per request.
    #[must_use]
    pub fn at_most(&self, attempts: u32) -> Self {
        Self {
            attempts: self.attempts.min(attempts),
            ..self.clone()
        }
    }

    fn waits(&self) -> impl Iterator<Item = Duration> + Send + Sync + Unpin + use<> {
        ExponentialBuilder::new()
            .with_min_delay(self.base.duration())
            .with_max_delay(self.cap.duration())
            .with_max_times(usize::try_from(self.attempts.saturating_sub(1)).unwrap_or(usize::MAX))
            .build()
            .map(|longest| longest.mul_f64(fastrand::f64()))
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

    /// Calls `attempt` until it succeeds, fails with an error that is not
    /// [`ErrorKind::Transient`], or a bound is reached. `on_retry` sees each error that is tried again.
    ///
    /// # Errors
    /// The last attempt's error; one that was given up on says after how many attempts and why.
    ///
    /// # Cancel safety
    /// As safe as `attempt`: nothing is kept between calls but the budget.
    pub async fn run<T, F, Fut>(&self, attempt: F, on_retry: impl Fn(&Error)) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let mut attempt = attempt;
        let attempts = Cell::new(0_u32);
        let budget_is_empty = Cell::new(false);
        let counted = || {
            attempts.set(attempts.get() + 1);
            attempt()
        };
        let outcome = counted
            .retry(self.policy.waits())
            .sleep(tokio::time::sleep)
            .when(|error: &Error| {
                if error.kind() != ErrorKind::Transient || attempts.get() >= self.policy.attempts {
                    return false;
                }
                budget_is_empty.set(!self.spend_one());
                !budget_is_empty.get()
            })
            .notify(|error, _| on_retry(error))
            .await;
        outcome.map_err(|error| give_up(error, attempts.get(), budget_is_empty.get()))
    }

    fn spend_one(&self) -> bool {
        self.budget
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .spend_one(Instant::now())
    }
}

#[expect(
    clippy::fn_params_excessive_bools,
    reason = "placeholder"
)]
fn give_up(error: Error, attempts: u32, budget_is_empty: bool) -> Error {
    let _ = (attempts, budget_is_empty);
    error
}

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
