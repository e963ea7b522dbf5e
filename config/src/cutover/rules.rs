//! How careful a cutover is: its settings in the form in which edges and gates are computed.

use skein_shared::units::Millis;
use skein_shared::window::TimestampMs;

use crate::cutover::settings::CutoverSettings;

/// Durations and bounds that every change of a cutover keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Edges lie on multiples of it.
    pub grid: Millis,
    /// How far in the future an edge must lie when it is set; also how long both pipelines write before and after the
    /// event time at which readers go from one to the other.
    pub lead: Millis,
    /// How long both pipelines go on after a switch, and how long a sealed cutover stays before it is done.
    pub hold: Millis,
    /// How long a page token is good for.
    pub token_lifetime: Millis,
    /// How long after the old pipeline's last event time points of before it are still the old pipeline's.
    pub late_horizon: Millis,
    /// How long a node that says nothing counts as alive.
    pub liveness: Millis,
    /// How old evidence may be.
    pub evidence_age: Millis,
    /// The share of windows, in a hundred, that a comparison must have covered.
    pub coverage_percent: u8,
}

impl Rules {
    /// What the settings say.
    pub fn of(settings: &CutoverSettings) -> Self {
        Self {
            grid: settings.grid,
            lead: settings.lead(),
            hold: settings.hold,
            token_lifetime: settings.token_lifetime,
            late_horizon: settings.late_horizon,
            liveness: settings.liveness,
            evidence_age: settings.evidence_age,
            coverage_percent: settings.coverage_percent,
        }
    }

    /// The first edge at or after `at`.
    pub fn edge_from(&self, at: TimestampMs) -> TimestampMs {
        let grid = i64::try_from(self.grid.0).unwrap_or(i64::MAX).max(1);
        let below = at.0.div_euclid(grid).saturating_mul(grid);
        if below >= at.0 {
            return TimestampMs(below);
        }
        TimestampMs(below.saturating_add(grid))
    }

    /// The first edge that may be set at `now`.
    pub fn nearest_edge(&self, now: TimestampMs) -> TimestampMs {
        self.edge_from(after(now, self.lead))
    }

    /// The first edge for which nodes have one lead to say that they know it, before one lead of rest.
    pub fn acknowledged_edge(&self, now: TimestampMs) -> TimestampMs {
        self.edge_from(after(after(now, self.lead), self.lead))
    }

    /// Whether `at` may be an edge.
    pub fn is_edge(&self, at: TimestampMs) -> bool {
        self.edge_from(at) == at
    }
}

/// `at` and `later`; stops at the end of time.
pub fn after(at: TimestampMs, later: Millis) -> TimestampMs {
    let later = i64::try_from(later.0).unwrap_or(i64::MAX);
    TimestampMs(at.0.saturating_add(later))
}

/// `at` less `earlier`; stops at the beginning of time.
pub fn before(at: TimestampMs, earlier: Millis) -> TimestampMs {
    let earlier = i64::try_from(earlier.0).unwrap_or(i64::MAX);
    TimestampMs(at.0.saturating_sub(earlier))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cutover::examples::rules;

    #[test]
    fn edges_lie_on_the_grid_and_ahead() {
        let rules = rules();
        let edge = |ms| rules.edge_from(TimestampMs(ms)).0;
        assert_eq!([edge(0), edge(1), edge(10), edge(-1)], [0, 10, 10, 0]);
        assert_eq!(rules.nearest_edge(TimestampMs(1)), TimestampMs(110));
        assert_eq!(rules.acknowledged_edge(TimestampMs(1)), TimestampMs(210));
        assert!(rules.is_edge(TimestampMs(-20)) && !rules.is_edge(TimestampMs(5)));
        let end = TimestampMs(i64::MAX);
        assert_eq!(rules.nearest_edge(end), end);
    }
}
