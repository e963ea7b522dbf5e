//! Payloads of many orgs, computed from a seed, and what they must come to.
//!
//! Every series is a pure function of seed and number, walked in time order, so memory is flat however
//! many points there are. Records come interleaved, time step by time step across all series, and a share
//! of them late, out of order or twice.

mod random;
pub mod series_plan;
mod walk;
pub mod arrival;
pub mod outgoing;
mod poison;
pub mod records;
pub mod oracle;

use skein_shared::units::Millis;
use skein_shared::window::TimestampMs;

use crate::error::{Error, Result};
use crate::generator::series_plan::SeriesPlan;

pub use oracle::{Expectation, ExpectedSeries};
pub use outgoing::OutgoingRecord;
pub use records::Records;
pub use series_plan::{Kind, Mix};

/// What to generate. The same settings always give the same records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratorSettings {
    /// Decides every value and every disorder.
    pub seed: u64,
    /// How many orgs; the first has half of the series.
    pub orgs: u32,
    /// How many series of all orgs together; at least one for each org.
    pub series: u32,
    /// How many points, each `(org, metric, timestamp)` counted once.
    pub points: u64,
    /// How many of the series are of which kind.
    pub mix: Mix,
    /// Time between two points of a series.
    pub interval: Millis,
    /// Event time at which the first points lie.
    pub start: TimestampMs,
    /// Points of a payload; the last of a series takes the rest too.
    pub payload_points: u32,
    /// Payloads in a thousand that arrive several steps late.
    pub late_permille: u32,
    /// Payloads in a thousand that come twice, or hold a point twice; half of them with other values.
    pub duplicate_permille: u32,
    /// Payloads in a thousand that arrive behind their successor.
    pub out_of_order_permille: u32,
    /// Records that have to end in quarantine.
    pub poison: u32,
}

/// Number of the first org, which has half of the series; the others follow it.
pub const FIRST_ORG: u64 = 1000;

const YEAR_MS: u64 = 365 * 86_400_000;

impl Default for GeneratorSettings {
    fn default() -> Self {
        Self {
            seed: 1,
            orgs: 20,
            series: 2000,
            points: 1_000_000,
            mix: Mix::Noisy,
            interval: Millis::seconds(15),
            // 2024-01-01, six in the evening: half a day of points crosses a window's edge.
            start: TimestampMs(1_704_132_000_000),
            payload_points: 60,
            late_permille: 20,
            duplicate_permille: 20,
            out_of_order_permille: 20,
            poison: 0,
        }
    }
}

impl GeneratorSettings {
    /// # Errors
    /// [`Error::Setting`] that names what is out of bounds.
    pub fn check(&self) -> Result<()> {
        let refuse = |key: &'static str, value: u64, allowed: String| {
            Err(Error::Setting {
                key,
                value: value.to_string(),
                allowed,
            })
        };
        let permille = u64::from(self.late_permille)
            + u64::from(self.duplicate_permille)
            + u64::from(self.out_of_order_permille);
        if self.orgs == 0 {
            return refuse("orgs", 0, "at least 1".to_owned());
        }
        if self.series < self.orgs * 2 && self.orgs > 1 || self.series == 0 {
            let allowed = format!("at least {}, two for each org", self.orgs.saturating_mul(2));
            return refuse("series", self.series.into(), allowed);
        }
        if self.points < u64::from(self.series) {
            return refuse(
                "points",
                self.points,
                format!("at least {}, one for each series", self.series),
            );
        }
        if !(10..=86_400_000).contains(&self.interval.0) {
            return refuse("interval", self.interval.0, "10 ms to 1 d".to_owned());
        }
        if !(1..=10_000).contains(&self.payload_points) {
            return refuse(
                "payload_points",
                self.payload_points.into(),
                "1 to 10000".to_owned(),
            );
        }
        if permille > 1000 {
            return refuse(
                "late, duplicate and out-of-order share",
                permille,
                "together at most 1000 in a thousand".to_owned(),
            );
        }
        // A late payload must stay within the limits on how far points may lie from their record.
        let payload_ms = u64::from(self.payload_points) * self.interval.0;
        if payload_ms > YEAR_MS {
            let allowed = "payloads that span at most a year".to_owned();
            return refuse("payload_points", self.payload_points.into(), allowed);
        }
        let steps = u128::from(self.points / u64::from(self.series));
        if steps * u128::from(self.interval.0) > 1000 * u128::from(YEAR_MS) {
            let allowed = "at most 1000 years of points for each series".to_owned();
            return refuse("points", self.points, allowed);
        }
        Ok(())
    }
}

/// All series of one seed.
#[derive(Debug)]
pub struct Generator {
    settings: GeneratorSettings,
    /// Sorted by key.
    plans: Vec<SeriesPlan>,
}

impl Generator {
    /// Plans every series.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn new(settings: GeneratorSettings) -> Result<Self> {
        settings.check()?;
        let mut plans: Vec<SeriesPlan> = (0..settings.series)
            .map(|number| SeriesPlan::new(&settings, number))
            .collect();
        plans.sort_by_key(|plan| plan.key);
        Ok(Self { settings, plans })
    }

    /// What it was made from.
    pub const fn settings(&self) -> &GeneratorSettings {
        &self.settings
    }

    /// Every series, in the order of their keys.
    pub fn plans(&self) -> &[SeriesPlan] {
        &self.plans
    }

    /// The records, in the order in which they have to be sent.
    pub fn records(&self) -> Records<'_> {
        Records::new(self)
    }

    /// What `plan` must hold in the end, in time order.
    pub const fn expected<'a>(&'a self, plan: &'a SeriesPlan) -> ExpectedSeries<'a> {
        ExpectedSeries::new(&self.settings, plan)
    }

    /// What everything must come to; walks every series once.
    pub fn expectation(&self) -> Expectation {
        Expectation::of(self)
    }
}

#[cfg(test)]
mod tests;
