//! How fast a comparison may read, and whether it is to stop.

use std::fmt;
use std::time::{Duration, Instant};

use crate::diff::side::Side;
use crate::error::{Error, Result};

/// Series between two looks at the clock.
const LOOK_EVERY: u32 = 64;

/// Keeps a comparison below its share of the bucket.
pub struct Pace<'a> {
    sides: (&'a Side, &'a Side),
    most_bytes_per_second: Option<u64>,
    must_stop: &'a dyn Fn() -> bool,
    began: Instant,
    received_before: u64,
    calls: u32,
}

impl fmt::Debug for Pace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace")
            .field("most_bytes_per_second", &self.most_bytes_per_second)
            .finish_non_exhaustive()
    }
}

impl<'a> Pace<'a> {
    /// Reads of both sides together take at most so many bytes a second.
    pub fn new(
        sides: (&'a Side, &'a Side),
        most_bytes_per_second: Option<u64>,
        must_stop: &'a dyn Fn() -> bool,
    ) -> Self {
        Self {
            received_before: received(sides).1,
            sides,
            most_bytes_per_second,
            must_stop,
            began: Instant::now(),
            calls: 0,
        }
    }

    /// Waits where it was too fast.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub(super) async fn keep(&mut self) -> Result<()> {
        self.calls = self.calls.wrapping_add(1);
        if !self.calls.is_multiple_of(LOOK_EVERY) {
            return Ok(());
        }
        self.keep_now().await
    }

    /// As [`Pace::keep`], at once.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub(super) async fn keep_now(&self) -> Result<()> {
        if (self.must_stop)() {
            return Err(Error::Stopped);
        }
        if let Some(most) = self.most_bytes_per_second {
            let read = received(self.sides).1.saturating_sub(self.received_before);
            tokio::time::sleep(ahead(read, most, self.began.elapsed())).await;
        }
        Ok(())
    }

    /// Waits for `time`, unless it is to stop.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub(super) async fn rest(&self, time: Duration) -> Result<()> {
        /// Between two looks at whether to stop.
        const STEP: Duration = Duration::from_millis(100);
        let until = Instant::now() + time;
        loop {
            if (self.must_stop)() {
                return Err(Error::Stopped);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            tokio::time::sleep(left.min(STEP)).await;
        }
    }
}

/// Requests to, and bytes received from, both sides; what lies in one bucket is counted once.
pub(super) fn received((left, right): (&Side, &Side)) -> (u64, u64) {
    let one = left.traffic();
    if left.place() == right.place() {
        return one;
    }
    let other = right.traffic();
    (one.0 + other.0, one.1 + other.1)
}

/// How much too early so many bytes were read.
fn ahead(read: u64, most_per_second: u64, elapsed: Duration) -> Duration {
    let millis = u128::from(read) * 1000 / u128::from(most_per_second.max(1));
    let due = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
    due.saturating_sub(elapsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_too_fast_is_waited_for() {
        let second = Duration::from_secs(1);
        assert_eq!(ahead(3_000, 1_000, second), 2 * second);
        assert_eq!(ahead(1_000, 1_000, second), Duration::ZERO);
        assert_eq!(ahead(0, 0, Duration::ZERO), Duration::ZERO);
    }
}
