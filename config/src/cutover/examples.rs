//! Timelines and rules that tests of several modules use.

use skein_shared::timeline::{Phase, Pipeline, Timeline, Writers};
use skein_shared::units::Millis;
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::cutover::rules::Rules;

/// A grid of 10 ms and a lead of 100 ms.
pub(crate) fn rules() -> Rules {
    Rules {
        grid: Millis(10),
        lead: Millis(100),
        hold: Millis(1000),
        token_lifetime: Millis(300),
        late_horizon: Millis(200),
        liveness: Millis(50),
        evidence_age: Millis(5000),
        coverage_percent: 95,
    }
}

pub(crate) fn at(ms: i64) -> TimestampMs {
    TimestampMs(ms)
}

/// `o 500:Bo 900:Bn`: `o` or `n` alone is one pipeline that writes and is seen; `B` is both, and who is seen.
pub(crate) fn timeline(text: &str) -> Timeline {
    let phase = |word: &str| {
        let (from, says) = word.split_once(':').map_or((TimeSpan::ALL.from, word), |(from, says)| {
            (TimestampMs(from.parse().unwrap()), says)
        });
        let side = |name| if name == "o" { Pipeline::Old } else { Pipeline::New };
        let (writers, visible) = match says.strip_prefix('B') {
            Some(name) => (Writers::Both, side(name)),
            None => (Writers::Only(side(says)), side(says)),
        };
        Phase { from, writers, visible }
    };
    Timeline::new(text.split(' ').map(phase)).unwrap()
}
