//! What a node of either pipeline knows, and what it does about what it does not.

use skein_config::cutover::settings::CutoverSettings;
use skein_config::cutover::timelines::Timelines;

use crate::cutover_history::plan::Plan;
use crate::cutover_history::versions::Versions;

/// A node.
#[derive(Debug, Clone)]
pub struct Node {
    /// How far its clock is ahead of the bucket's.
    skew: i64,
    /// The fleet that it took last.
    pub fleet: u64,
    /// When, by its own clock.
    taken_at: i64,
    /// When it said so last, by the bucket's clock.
    pub acknowledged_at: i64,
    /// Until when it reaches nothing, by the bucket's clock.
    pub cut_off_until: i64,
}

/// By what a node filters.
#[derive(Debug, Clone)]
pub struct Known {
    /// The number of the fleet.
    pub fleet: u64,
    /// What it says, marked when nobody knows how old it is.
    pub timelines: Timelines,
    /// Where the clock stands, for those who ask the wrong question.
    pub now: i64,
}

impl Node {
    /// One that has just started.
    pub fn started(now: i64, skew: i64) -> Self {
        Self {
            skew,
            fleet: 0,
            taken_at: now + skew,
            acknowledged_at: now,
            cut_off_until: now,
        }
    }

    /// Takes the newest fleet and acknowledges it, unless it is cut off.
    pub fn poll(&mut self, now: i64, versions: &Versions) {
        if self.is_cut_off(now) {
            return;
        }
        self.take(versions.newest());
        self.taken_at = now + self.skew;
        self.acknowledged_at = now;
    }

    /// A fleet that it has come upon elsewhere; it never goes back.
    pub fn take(&mut self, fleet: u64) {
        self.fleet = self.fleet.max(fleet);
    }

    /// Whether it reaches nothing.
    pub fn is_cut_off(&self, now: i64) -> bool {
        now < self.cut_off_until
    }

    /// Whether nobody waits for it, or it has acknowledged `fleet`.
    pub fn has_acknowledged(&self, fleet: u64, now: i64, settings: &CutoverSettings) -> bool {
        let is_live = now - self.acknowledged_at <= ms(settings.liveness.0);
        !is_live || self.fleet >= fleet
    }

    /// By what it filters now.
    pub fn known(&self, now: i64, versions: &Versions, plan: &Plan) -> Known {
        let settings = &plan.settings;
        let fresh = ms(settings.poll.0) * 4;
        let is_stale = now + self.skew - self.taken_at > fresh;
        let timelines = versions.fleet(self.fleet);
        let timelines = if is_stale {
            timelines.unfiltered()
        } else {
            timelines.clone()
        };
        Known {
            fleet: self.fleet,
            timelines,
            now,
        }
    }
}

/// A length of time as the model's clock counts it.
///
/// # Panics
/// If it is beyond 2^63 ms.
pub fn ms(length: u64) -> i64 {
    i64::try_from(length).expect("times are short")
}
