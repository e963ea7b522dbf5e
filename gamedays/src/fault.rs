//! What goes wrong, when, and how often: drawn from a seed before a world begins.
//!
//! Faults come in periods with quiet time between. Each period strikes some families, each aimed at one dependency.

use fastrand::Rng;

/// One kind of fault of one dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// The bucket answers late, some requests after the client has given them up.
    Slow,
    /// The bucket says 503 `SlowDown`.
    Throttle,
    /// The bucket says 500 or 400 `RequestTimeout`, before or after it has done what was asked.
    Error,
    /// A request, or the answer to one that succeeded, is lost.
    Lost,
    /// The bucket says 403.
    Denied,
    /// The bucket says 400 for good.
    Refused,
    /// The bucket says 409 to a conditional write.
    Conflict,
    /// A completion of an upload answers 200 with an error in its body, done or not.
    FalseCompletion,
    /// A part of the bucket's keys is away.
    Outage,
    /// A bit of what is read or written is flipped on its way.
    Damage,
    /// Kafka refuses commits, or loses its answers.
    CommitRefused,
    /// Brokers do not answer.
    KafkaOutage,
    /// The coordinator cannot be reached by one worker, which goes on reading as a zombie.
    Unreachable,
    /// Members come and go.
    Rebalance,
    /// Retention removes records before they are read; topics are truncated and made anew.
    LogLoss,
    /// A process is killed.
    Crash,
    /// A process is stopped and goes on later, some beyond the session's time-out.
    Pause,
    /// A process' clock jumps.
    ClockJump,
    /// A process is asked to end.
    Shutdown,
    /// The shard map gets a version.
    ShardMap,
    /// The janitor runs.
    Janitor,
    /// The bucket's own rule drops an upload that is under way.
    Expiry,
}

/// How many families there are.
pub const FAMILIES: usize = 22;

impl Family {
    /// All of them, in order.
    pub const ALL: [Self; FAMILIES] = [
        Self::Slow,
        Self::Throttle,
        Self::Error,
        Self::Lost,
        Self::Denied,
        Self::Refused,
        Self::Conflict,
        Self::FalseCompletion,
        Self::Outage,
        Self::Damage,
        Self::CommitRefused,
        Self::KafkaOutage,
        Self::Unreachable,
        Self::Rebalance,
        Self::LogLoss,
        Self::Crash,
        Self::Pause,
        Self::ClockJump,
        Self::Shutdown,
        Self::ShardMap,
        Self::Janitor,
        Self::Expiry,
    ];

    /// Its name in counts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Slow => "struck_slow",
            Self::Throttle => "struck_throttle",
            Self::Error => "struck_error",
            Self::Lost => "struck_lost",
            Self::Denied => "struck_denied",
            Self::Refused => "struck_refused",
            Self::Conflict => "struck_conflict",
            Self::FalseCompletion => "struck_false_completion",
            Self::Outage => "struck_outage",
            Self::Damage => "struck_damage",
            Self::CommitRefused => "struck_commit_refused",
            Self::KafkaOutage => "struck_kafka_outage",
            Self::Unreachable => "struck_unreachable",
            Self::Rebalance => "struck_rebalance",
            Self::LogLoss => "struck_log_loss",
            Self::Crash => "struck_crash",
            Self::Pause => "struck_pause",
            Self::ClockJump => "struck_clock_jump",
            Self::Shutdown => "struck_shutdown",
            Self::ShardMap => "struck_shard_map",
            Self::Janitor => "struck_janitor",
            Self::Expiry => "struck_expiry",
        }
    }

    /// Whether it leaves the bucket, the brokers and the clocks alone, so that everybody else works on as before.
    const fn is_local(self) -> bool {
        matches!(self, Self::Crash | Self::Shutdown | Self::ShardMap)
    }

    /// Highest rate in a thousand occasions: a request, or a fifth of a second for what strikes by itself.
    const fn highest(self) -> u16 {
        match self {
            Self::Slow
            | Self::Throttle
            | Self::Error
            | Self::Lost
            | Self::Outage
            | Self::CommitRefused
            | Self::KafkaOutage => 500,
            Self::Denied | Self::Conflict | Self::FalseCompletion | Self::Damage => 300,
            Self::Janitor | Self::Rebalance | Self::ShardMap | Self::Expiry => 200,
            Self::Unreachable | Self::Crash | Self::Pause | Self::ClockJump | Self::Shutdown => 60,
            Self::LogLoss => 80,
            Self::Refused => 20,
        }
    }
}

/// All faults of one world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultPlan {
    periods: Vec<Period>,
    ends_at: u64,
    struck: Strikes,
    trouble_at: Option<u64>,
}

/// How often each family has struck, at its place.
pub type Strikes = [u64; FAMILIES];

#[derive(Debug, Clone, PartialEq, Eq)]
struct Period {
    from: u64,
    to: u64,
    rates: [u16; FAMILIES],
    /// Of the keys, which quarter an outage takes.
    quarter: u64,
}

impl FaultPlan {
    /// No fault at all, for `ends_at` milliseconds.
    pub const fn quiet(ends_at: u64) -> Self {
        Self {
            periods: Vec::new(),
            ends_at,
            struck: [0; FAMILIES],
            trouble_at: None,
        }
    }

    /// One family alone, on so many of a thousand occasions, all the time until `ends_at`.
    pub fn of_one(family: Family, rate: u16, ends_at: u64) -> Self {
        let mut rates = [0; FAMILIES];
        rates[family as usize] = rate;
        let period = Period {
            from: 0,
            to: ends_at,
            rates,
            quarter: 0,
        };
        Self {
            periods: vec![period],
            ..Self::quiet(ends_at)
        }
    }

    /// The same, but only in this time.
    #[must_use]
    pub fn between(mut self, from: u64, to: u64) -> Self {
        for period in &mut self.periods {
            (period.from, period.to) = (from, to);
        }
        self
    }

    /// Draws periods of faults and quiet.
    pub fn draw(rng: &mut Rng) -> Self {
        let enabled = draw_families(rng);
        let mut periods = Vec::new();
        let mut now = rng.u64(0..2_000);
        for _ in 0..rng.u32(1..4) {
            let to = now + rng.u64(500..6_000);
            periods.push(Period {
                from: now,
                to,
                rates: draw_rates(&enabled, rng),
                quarter: rng.u64(..4),
            });
            now = to + rng.u64(500..3_000);
        }
        Self {
            periods,
            ..Self::quiet(now)
        }
    }

    /// When the last fault has passed and only time heals.
    pub const fn ends_at(&self) -> u64 {
        self.ends_at
    }

    /// Whether a fault of this family strikes now.
    pub fn strikes(&mut self, family: Family, now: u64, rng: &mut Rng) -> bool {
        let rate = self.rate(family, now);
        let strikes = rate > 0 && rng.u16(..1000) < rate;
        if strikes {
            self.struck[family as usize] += 1;
            if !family.is_local() {
                self.trouble_at = Some(now);
            }
        }
        strikes
    }

    /// How often each family has struck.
    pub const fn struck(&self) -> &Strikes {
        &self.struck
    }

    /// Whether nothing but processes that ended has disturbed the world since then.
    pub fn is_calm_since(&self, then: u64) -> bool {
        self.trouble_at.is_none_or(|at| at < then)
    }

    /// Whether a key lies in the part of the bucket that an outage takes.
    pub fn is_out(&mut self, hash: u64, now: u64, rng: &mut Rng) -> bool {
        let Some(quarter) = self.period(now).map(|period| period.quarter) else {
            return false;
        };
        hash % 4 == quarter && self.strikes(Family::Outage, now, rng)
    }

    /// Occasions out of a thousand on which a family strikes.
    pub fn rate(&self, family: Family, now: u64) -> u16 {
        self.period(now)
            .map_or(0, |period| period.rates[family as usize])
    }

    fn period(&self, now: u64) -> Option<&Period> {
        self.periods
            .iter()
            .find(|period| period.from <= now && now < period.to)
    }
}

/// Two of three enabled families strike in a period.
fn draw_rates(enabled: &[Family], rng: &mut Rng) -> [u16; FAMILIES] {
    let mut rates = [0; FAMILIES];
    for family in enabled {
        if rng.u8(..3) > 0 {
            rates[*family as usize] = rng.u16(1..=family.highest());
        }
    }
    rates
}

/// One family alone, a few, or many: single ones show what a dependency does, many what they do together.
fn draw_families(rng: &mut Rng) -> Vec<Family> {
    let share = match rng.u8(..16) {
        // A quiet world, or one whose processes are killed while nothing else goes wrong.
        0 => 0,
        1 => return vec![Family::Crash],
        2..6 => 12,
        6..12 => 30,
        _ => 60,
    };
    let mut families: Vec<Family> = Family::ALL.to_vec();
    families.retain(|_| rng.u8(..100) < share);
    if families.is_empty() && share > 0 {
        families.extend(rng.choice(Family::ALL));
    }
    families
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_drawn_and_quiet_worlds_are_too() {
        let mut seen = [false; FAMILIES];
        let mut quiet = 0;
        for seed in 0..500 {
            let plan = FaultPlan::draw(&mut Rng::with_seed(seed));
            let struck = |place: usize| plan.periods.iter().any(|period| period.rates[place] > 0);
            quiet += u32::from(!(0..FAMILIES).any(struck));
            for (place, seen) in seen.iter_mut().enumerate() {
                *seen |= struck(place);
            }
        }
        assert_eq!(seen, [true; FAMILIES]);
        assert!(quiet > 10);
    }

    #[test]
    fn families_stand_at_their_place() {
        for (place, family) in Family::ALL.into_iter().enumerate() {
            assert_eq!(family as usize, place);
        }
    }
}
