//! How a role is: does it move, and is it ready?

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A loop that has not turned for this long stands still.
const STALLED_AFTER: Duration = Duration::from_mins(1);

/// What a role tells about itself; clones tell the same.
#[derive(Debug, Clone)]
pub struct Vitals(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    start: Instant,
    pulse: Pulse,
    reasons: Mutex<Vec<String>>,
}

#[derive(Debug)]
enum Pulse {
    /// It has no loop: as long as the process runs, it moves.
    Steady,
    /// Milliseconds from the start to the last turn of its loop.
    Beating(AtomicU64),
}

impl Vitals {
    /// Ready, and without a loop that could stand still.
    pub fn steady() -> Self {
        Self::new(Pulse::Steady, Vec::new())
    }

    /// With a loop, and not ready yet, which `reason` explains.
    pub fn starting(reason: &str) -> Self {
        Self::new(Pulse::Beating(AtomicU64::new(0)), vec![reason.to_owned()])
    }

    /// The loop turned; `reasons` say why it is not ready, if it is not.
    pub fn beat(&self, reasons: Vec<String>) {
        if let Pulse::Beating(at) = &self.0.pulse {
            at.store(millis(self.uptime()), Ordering::Relaxed);
        }
        *self
            .0
            .reasons
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = reasons;
    }

    /// Time since the start.
    pub fn uptime(&self) -> Duration {
        self.0.start.elapsed()
    }

    /// Why the role is not ready; empty when it is. One that stands still is not.
    pub fn reasons(&self) -> Vec<String> {
        let reasons = self.0.reasons.lock();
        let mut reasons = reasons.unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(since) = self.stalled() {
            reasons.push(format!("nothing has moved for {} s", since.as_secs()));
        }
        reasons
    }

    /// For how long the role has stood still, if it does.
    pub fn stalled(&self) -> Option<Duration> {
        let Pulse::Beating(at) = &self.0.pulse else {
            return None;
        };
        let last = Duration::from_millis(at.load(Ordering::Relaxed));
        let since = self.uptime().saturating_sub(last);
        (since > STALLED_AFTER).then_some(since)
    }

    fn new(pulse: Pulse, reasons: Vec<String>) -> Self {
        Self(Arc::new(Shared {
            start: Instant::now(),
            pulse,
            reasons: Mutex::new(reasons),
        }))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started_ago(ago: Duration) -> Vitals {
        Vitals(Arc::new(Shared {
            start: Instant::now().checked_sub(ago).unwrap(),
            pulse: Pulse::Beating(AtomicU64::new(0)),
            reasons: Mutex::new(Vec::new()),
        }))
    }

    #[test]
    fn a_loop_that_does_not_turn_stands_still_until_it_turns_again() {
        assert_eq!(started_ago(Duration::from_secs(50)).stalled(), None);
        let vitals = started_ago(Duration::from_secs(70));
        assert!(vitals.stalled().is_some());
        assert!(vitals.reasons()[0].contains("70 s"));
        vitals.beat(Vec::new());
        assert_eq!(vitals.stalled(), None);
        assert!(vitals.reasons().is_empty());
    }

    #[test]
    fn a_role_that_starts_is_not_ready_and_says_why() {
        assert_eq!(Vitals::starting("joining").reasons(), ["joining"]);
        assert!(Vitals::steady().reasons().is_empty());
    }
}
