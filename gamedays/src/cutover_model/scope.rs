//! How large a world is, and which rule it breaks.

use skein_config::cutover::rules::Rules;
use skein_shared::units::Millis;

/// How many of what there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Orgs.
    pub orgs: usize,
    /// What operators may ask for, in all.
    pub requests: u8,
    /// Things that go wrong, in all.
    pub faults: u8,
    /// How often the clock moves on, by a window each time.
    pub ticks: u8,
    /// Whether an operator may sleep between a decision and its version.
    pub sleep: Sleep,
    /// The rule that is broken.
    pub bug: Option<Bug>,
}

/// Whether an operator may sleep between a decision and its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sleep {
    /// It decides and writes at once, or never.
    Never,
    /// A decision of long ago may be written, if nobody else has written anything.
    Between,
}

/// A rule that is left out: decisions are made on something else than the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Any comparison counts, whenever it was made.
    TakesAnyComparison,
    /// A comparison counts whatever build made it.
    IgnoresBuild,
    /// Nobody is waited for.
    IgnoresNodes,
    /// The clock of who decides is behind by a window.
    DecidesLate,
    /// There is no way back.
    KnowsNoWayBack,
    /// What needs repair is not repaired.
    NeverRepairs,
    /// What the new pipeline has passed over is not asked for.
    IgnoresPassedOver,
}

/// Every bug.
pub const BUGS: [Bug; 7] = [
    Bug::TakesAnyComparison,
    Bug::IgnoresBuild,
    Bug::IgnoresNodes,
    Bug::DecidesLate,
    Bug::KnowsNoWayBack,
    Bug::NeverRepairs,
    Bug::IgnoresPassedOver,
];

/// Length of a window: what the clock moves on by, and the grid.
pub const WINDOW: i64 = 10;

/// Everything waits for one window, and evidence is good for four.
pub const RULES: Rules = Rules {
    grid: Millis(10),
    lead: Millis(10),
    hold: Millis(10),
    token_lifetime: Millis(10),
    late_horizon: Millis(10),
    liveness: Millis(20),
    evidence_age: Millis(40),
    coverage_percent: 95,
};

/// What lies farther back than this has no effect on any rule.
pub const FORGOTTEN: i64 = 60;
