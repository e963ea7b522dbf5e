//! What a history is made of, drawn from its seed.

use fastrand::Rng;
use skein_config::cutover::settings::{CutoverSettings, Unenrolled};
use skein_shared::units::Millis;

use crate::cutover_history::mutant::Mutant;

/// Partitions of the topic.
pub const CHAINS: usize = 2;

/// Series of each org.
pub const METRICS: usize = 2;

/// How large a history is, and what is rare in it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Orgs.
    pub orgs: usize,
    /// Compactors, and as many nodes of the old pipeline.
    pub nodes: usize,
    /// Steps before everything comes to rest.
    pub steps: usize,
    /// Whether records' timestamps rise with their offsets.
    pub record_clock: RecordClock,
    /// Of a thousand points so many are from the future.
    pub future_per_mille: u32,
    /// Of a thousand steps so many cut a node off.
    pub cut_off_per_mille: u32,
    /// The settings that everybody goes by; times are shorter than in life.
    pub settings: CutoverSettings,
    /// The rule that is broken.
    pub mutant: Option<Mutant>,
    /// Whose rules operators go by.
    pub rulebook: Rulebook,
}

/// Whose rules operators go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rulebook {
    /// Those of the model, which leave nothing to chance.
    Model,
    /// The product's.
    Product,
}

/// How records' timestamps and offsets go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordClock {
    /// They rise together. Compactors also make bases, which keep no orders.
    Steady,
    /// They do not; a record that comes again keeps its timestamp.
    Jittered,
}

/// `times` as long as the shortest settings under which every wait is longer than a step.
pub fn settings(times: u64) -> CutoverSettings {
    let ms = |ms: u64| Millis(ms * times);
    CutoverSettings {
        unenrolled: Unenrolled::Old,
        poll: ms(10),
        liveness: ms(60),
        clock_skew: ms(5),
        flush_interval: ms(30),
        grid: ms(50),
        hold: ms(60),
        token_lifetime: ms(90),
        late_horizon: ms(40),
        evidence_age: ms(1000),
        coverage_percent: 95,
        old_place: String::new(),
        dual_lookup: false,
    }
}

impl Plan {
    /// Draws one.
    pub fn draw(rng: &mut Rng, mutant: Option<Mutant>, rulebook: Rulebook) -> Self {
        Self {
            orgs: rng.usize(2..=3),
            nodes: rng.usize(1..=2),
            steps: rng.usize(80..=220),
            record_clock: if rng.bool() {
                RecordClock::Steady
            } else {
                RecordClock::Jittered
            },
            future_per_mille: rng.choice([0, 0, 30, 120]).unwrap_or(0),
            cut_off_per_mille: rng.choice([0, 10, 40]).unwrap_or(0),
            settings: settings(1),
            mutant,
            rulebook,
        }
    }

    /// How many series there are.
    pub fn series(&self) -> usize {
        self.orgs * METRICS
    }
}
