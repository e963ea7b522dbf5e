//! How records are kept from coming in.
//!
//! librdkafka's own pause throws away what it has fetched ahead, and a resumed partition starts with a fetch that
//! takes up to a second. Most of the time memory is short only until the next upload is done, so first the consumer is
//! just not asked for records: what it has fetched stays within its queue's share. Only when that takes long is it
//! paused, because a member that does not poll does not hear what its group decides.

use std::time::{Duration, Instant};

use crate::core::byte_budget::Intake;

/// How long the consumer is not asked before it is paused.
const WITHHELD_FOR: Duration = Duration::from_secs(1);

/// Whether the consumer is asked for records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// It is, and what is assigned is fetched.
    Open,
    /// It is not, until then.
    Withheld {
        /// When it has to be paused instead.
        until: Instant,
    },
    /// It is, for what the group decides; what is assigned is paused.
    Paused,
}

impl Gate {
    /// The gate after the core decided.
    pub(super) fn after(self, intake: Intake, now: Instant) -> Self {
        match (intake, self) {
            (Intake::Open, _) => Self::Open,
            (Intake::Closed, Self::Open) => Self::Withheld {
                until: now + WITHHELD_FOR,
            },
            (Intake::Closed, Self::Withheld { .. } | Self::Paused) => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_that_is_closed_again_does_not_wait_longer() {
        let start = Instant::now();
        let until = start + WITHHELD_FOR;
        let withheld = Gate::Open.after(Intake::Closed, start);
        assert_eq!(withheld, Gate::Withheld { until });
        assert_eq!(withheld.after(Intake::Closed, until), withheld);
        assert_eq!(withheld.after(Intake::Open, start), Gate::Open);
        assert_eq!(Gate::Paused.after(Intake::Closed, start), Gate::Paused);
    }
}
