//! How a payload arrives: on time, late, out of order, or more than once.

use skein_shared::window::TimestampMs;

use crate::generator::GeneratorSettings;
use crate::generator::random::Dice;

/// What happens to one payload on its way. `delay` counts steps; in each step every series sends one
/// payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Once, in its step.
    OnTime,
    /// Once, several steps later, with the record timestamp of then.
    Late {
        /// How many.
        delay: u64,
    },
    /// Once, behind its successor, but with its own step's record timestamp.
    OutOfOrder,
    /// In its step, and the same again later.
    Twice {
        /// How much later.
        delay: u64,
    },
    /// In its step, and later with other values and a newer record timestamp: those win.
    Corrected {
        /// How much later.
        delay: u64,
    },
    /// In its step, and later with other values and the same record timestamp: the higher offset wins.
    CorrectedAtOnce,
    /// In its step, and later with other values but an *older* record timestamp: those lose.
    Outdated {
        /// How much later.
        delay: u64,
    },
    /// In its step, with its first points a second time and with other values behind its last: those win.
    Repeating,
}

/// Most steps by which anything is late.
pub const MAX_DELAY: u64 = 6;

/// How many points a repeating payload has a second time.
pub const REPEATED_POINTS: usize = 5;

impl Arrival {
    /// What happens to payload `chunk` of series `number`.
    pub(super) fn of(settings: &GeneratorSettings, number: u32, chunk: u64) -> Self {
        let mut dice = Dice::new(!settings.seed, u64::from(number), chunk);
        let roll = dice.below(1000);
        let late = u64::from(settings.late_permille);
        let disordered = late + u64::from(settings.out_of_order_permille);
        let delay = 1 + dice.below(MAX_DELAY);
        if roll < late {
            return Self::Late { delay };
        }
        if roll < disordered {
            return Self::OutOfOrder;
        }
        if roll >= disordered + u64::from(settings.duplicate_permille) {
            return Self::OnTime;
        }
        match dice.below(6) {
            0..2 => Self::Twice { delay },
            2 => Self::Corrected { delay },
            3 => Self::CorrectedAtOnce,
            4 => Self::Outdated { delay },
            _ => Self::Repeating,
        }
    }

    /// Whether the payload is sent in its own step.
    pub(super) const fn is_sent_in_its_step(self) -> bool {
        match self {
            Self::Late { .. } | Self::OutOfOrder => false,
            Self::OnTime
            | Self::Twice { .. }
            | Self::Corrected { .. }
            | Self::CorrectedAtOnce
            | Self::Outdated { .. }
            | Self::Repeating => true,
        }
    }

    /// What is sent after the payload's own step: how much later, with which values, and with which
    /// record timestamp.
    pub(super) fn follow_up(self, settings: &GeneratorSettings, chunk: u64) -> Option<FollowUp> {
        let own = record_time(settings, chunk);
        let then = |delay| record_time(settings, chunk + delay);
        let (delay, values, timestamp) = match self {
            Self::OnTime | Self::Repeating => return None,
            Self::Late { delay } | Self::Twice { delay } => (delay, Values::Own, then(delay)),
            Self::OutOfOrder => (1, Values::Own, own),
            Self::Corrected { delay } => (delay, Values::Others, then(delay)),
            Self::CorrectedAtOnce => (1, Values::Others, own),
            Self::Outdated { delay } => (delay, Values::Others, TimestampMs(own.0 - 1)),
        };
        Some(FollowUp {
            step: chunk + delay,
            values,
            timestamp,
        })
    }
}

/// Which values a payload is sent with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    /// The series' own.
    Own,
    /// The same, each moved one place on: of the same kind, and nearly all different.
    Others,
}

/// A payload that is sent later.
#[derive(Debug, Clone, Copy)]
pub(super) struct FollowUp {
    pub(super) step: u64,
    pub(super) values: Values,
    pub(super) timestamp: TimestampMs,
}

/// Record timestamp of what is sent in `step`: after the points of its chunk, also of a
/// last one that takes the rest.
pub(super) fn record_time(settings: &GeneratorSettings, step: u64) -> TimestampMs {
    let step_ms = u64::from(settings.payload_points) * settings.interval.0;
    TimestampMs(settings.start.0 + ((step + 2) * step_ms + 1000).cast_signed())
}
