//! `[cutover]`: how nodes learn of cutovers, and how careful a cutover is.

use serde::{Deserialize, Serialize};
use skein_shared::timeline::Pipeline;
use skein_shared::units::Millis;

use crate::bound::{Bounds, Breach};

/// Settings of cutovers between an old pipeline and this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutoverSettings {
    /// Who has the orgs that were never cut over: `old` or `new`. The first cutover in a bucket makes it fast.
    pub unenrolled: Unenrolled,
    /// Time between two looks of a node at the fleet.
    pub poll: Millis,
    /// How long a node that says nothing counts as alive.
    pub liveness: Millis,
    /// The furthest that two clocks of the system are apart.
    pub clock_skew: Millis,
    /// The longest time from a point's record to the segment or file that holds it.
    pub flush_interval: Millis,
    /// Edges lie on multiples of it.
    pub grid: Millis,
    /// How long both pipelines write after a switch before the old one may end, and a seal before `complete`.
    pub hold: Millis,
    /// How long a page token is good for.
    pub token_lifetime: Millis,
    /// How late a point may come and still be counted to the old pipeline after it has ended.
    pub late_horizon: Millis,
    /// How old the evidence for a step may be.
    pub evidence_age: Millis,
    /// The share of windows, in a hundred, that a comparison must have covered to count as evidence.
    pub coverage_percent: u8,
    /// Where the old pipeline's files are: empty for this bucket, or a URL of a bucket or folder of Parquet files.
    pub old_place: String,
    /// Whether a read of one series that finds nothing after a switch is made again on the old pipeline, and counted.
    pub dual_lookup: bool,
}

/// Who has the orgs that were never cut over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unenrolled {
    /// The old pipeline: Skein is being introduced.
    Old,
    /// Skein: there is no old pipeline, or no longer.
    New,
}

impl Unenrolled {
    /// The pipeline.
    pub fn pipeline(self) -> Pipeline {
        match self {
            Self::Old => Pipeline::Old,
            Self::New => Pipeline::New,
        }
    }
}

impl CutoverSettings {
    /// How far in the future an edge must lie when it is set, before it is rounded up to the grid: every node has seen it
    /// by then, and everything that it had begun before is over.
    pub fn lead(&self) -> Millis {
        /// The longest that a request of a node may take.
        const FETCH: Millis = Millis(10_000);
        let (poll, fetch) = (self.poll.0.saturating_mul(3), FETCH.0.min(self.poll.0));
        let nodes = poll.saturating_add(fetch);
        Millis(nodes.saturating_add(self.margin().0))
    }

    /// What must be left of the lead when a node learns of an edge: time for what it had begun before, by any clock.
    pub fn margin(&self) -> Millis {
        Millis(self.clock_skew.0.saturating_add(self.flush_interval.0))
    }

    /// How long a node may go by a fleet without having read it again: less than it takes an edge to come that it does not
    /// know of, and no longer than others take it for alive.
    pub fn patience(&self) -> Millis {
        let until_edge = self.lead().0.saturating_sub(self.clock_skew.0);
        Millis(self.liveness.0.min(until_edge))
    }

    pub(crate) fn check(&self, breaches: &mut Vec<Breach>) {
        let mut bounds = Bounds::of("cutover", breaches);
        let (second, day) = (Millis::seconds(1), Millis::seconds(86_400));
        let year = Millis::seconds(366 * 86_400);
        bounds.range("poll", &self.poll, Millis(10)..=Millis::seconds(3600));
        let least = Millis(self.poll.0.saturating_mul(3));
        bounds.range("liveness", &self.liveness, least..=day);
        bounds.range("clock_skew", &self.clock_skew, Millis(0)..=day);
        bounds.range("flush_interval", &self.flush_interval, Millis(0)..=day);
        bounds.range("grid", &self.grid, second..=day);
        bounds.range("hold", &self.hold, Millis(0)..=year);
        bounds.range("token_lifetime", &self.token_lifetime, second..=year);
        bounds.range("late_horizon", &self.late_horizon, Millis(0)..=year);
        bounds.range("evidence_age", &self.evidence_age, second..=year);
        bounds.range("coverage_percent", &self.coverage_percent, 1..=100);
    }
}
