//! What is compared, and how carefully: all that a comparison that was interrupted has to know to go on.

use serde::{Deserialize, Serialize};
use skein_shared::ids::{OrgId, SeriesKey};
use skein_shared::window::{Resolution, TimeSpan, TimestampMs};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Names the form of a report.
pub const SCHEMA: &str = "skein.diff/v1";

/// One comparison, as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// What it is called.
    pub comparison: String,
    /// What is compared with what: the name of a `DiffSides`.
    pub sides: String,
    /// Whose points, ascending.
    pub orgs: Vec<u64>,
    /// First event time.
    pub from_ms: i64,
    /// First event time beyond.
    pub to_ms: i64,
    /// Points as they are, or buckets of them.
    pub resolution: Resolution,
    /// Which series.
    pub sample: Sample,
    /// How often what differs is looked at again before it counts.
    pub rechecks: u32,
    /// How long the first of them waits; each later one waits twice as long.
    pub backoff_ms: u64,
    /// For which event times a person says that both sides had the same input.
    pub declared: Vec<Declared>,
    /// The share, in a hundred, of windows and of points that must have been compared.
    pub wanted_percent: u8,
}

/// Which series of an org are compared: always the same ones for the same seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// How many of a million.
    pub per_million: u32,
    /// Which ones.
    pub seed: u64,
}

/// What a person says of the input of a span that nobody can prove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// First event time.
    pub from_ms: i64,
    /// First event time beyond.
    pub to_ms: i64,
    /// Why it was equal.
    pub reason: String,
}

impl Definition {
    /// The event times that are compared.
    pub fn span(&self) -> TimeSpan {
        TimeSpan {
            from: TimestampMs(self.from_ms),
            to: TimestampMs(self.to_ms),
        }
    }

    /// Whose points are compared.
    pub fn orgs(&self) -> impl Iterator<Item = OrgId> {
        self.orgs.iter().map(|org| OrgId(*org))
    }

    /// What was declared of all of `span`.
    pub fn declared_of(&self, span: TimeSpan) -> Option<&Declared> {
        let holds = |it: &&Declared| it.from_ms <= span.from.0 && span.to.0 <= it.to_ms;
        self.declared.iter().find(holds)
    }
}

impl Sample {
    /// All of them.
    pub const ALL: Self = Self {
        per_million: Self::MILLION,
        seed: 0,
    };

    const MILLION: u32 = 1_000_000;

    /// So many of a hundred.
    ///
    /// # Errors
    /// A message when it is none of them, or more than all.
    pub fn of_percent(percent: f64, seed: u64) -> Result<Self, String> {
        let per_million = (percent * 10_000.0).round();
        if !(1.0..=f64::from(Self::MILLION)).contains(&per_million) {
            return Err(format!("a sample of {percent} % is none: 0.0001 to 100"));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is between 1 and a million"
        )]
        let per_million = per_million as u32;
        Ok(Self { per_million, seed })
    }

    /// Whether it is all of them.
    pub fn is_all(self) -> bool {
        self.per_million >= Self::MILLION
    }

    /// Share of a hundred.
    pub fn percent(self) -> f64 {
        f64::from(self.per_million) / 10_000.0
    }

    /// Whether the series is one of them: by its key alone, so that every run takes the same.
    pub fn takes(self, key: SeriesKey) -> bool {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&key.org.0.to_le_bytes());
        bytes[8..].copy_from_slice(&key.metric.0.to_le_bytes());
        let hash = xxh3_64_with_seed(&bytes, self.seed);
        self.is_all() || hash % u64::from(Self::MILLION) < u64::from(self.per_million)
    }
}

#[cfg(test)]
mod tests {
    use skein_shared::ids::MetricId;

    use super::*;

    #[test]
    fn a_sample_is_sticky_and_about_as_large_as_was_asked_for() {
        let sample = Sample::of_percent(10.0, 7).unwrap();
        let taken = |sample: Sample| {
            let keys = (0..10_000).map(|metric| SeriesKey {
                org: OrgId(5),
                metric: MetricId(metric),
            });
            keys.filter(|key| sample.takes(*key)).collect::<Vec<_>>()
        };
        assert_eq!(taken(sample), taken(sample));
        assert!((900..1_100).contains(&taken(sample).len()));
        assert_ne!(taken(sample), taken(Sample { seed: 8, ..sample }));
        assert_eq!(taken(Sample::ALL).len(), 10_000);
        assert!(Sample::of_percent(0.0, 0).is_err() && Sample::of_percent(101.0, 0).is_err());
    }
}
