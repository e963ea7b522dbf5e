//! One generated series: whose it is, what it measures, how its points are cut into payloads.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use skein_shared::ids::{OrgId, SeriesKey};
use skein_shared::series::Series;

use crate::generator::{FIRST_ORG, GeneratorSettings};

/// How a series' values move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Whole numbers that rise, with rare resets.
    Counter,
    /// A random walk with two decimals.
    Gauge,
    /// A random walk of whole numbers.
    IntegerGauge,
    /// One number.
    Constant,
    /// Random bits in every digit, with rare NaNs, infinities, subnormals and `-0.0`.
    Noise,
}

/// How many series there are of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mix {
    /// 35 % noise, 20 % counters, 20 % gauges, 15 % integer gauges, 10 % constants: much that no encoder makes small.
    #[default]
    Noisy,
    /// 30 % counters, 30 % gauges, 20 % integer gauges, 15 % constants, 5 % noise: as monitoring has it.
    Monitoring,
}

impl Mix {
    /// The kinds by twentieths.
    const fn kinds(self) -> &'static [Kind; 20] {
        match self {
            Self::Noisy => &NOISY,
            Self::Monitoring => &MONITORING,
        }
    }
}

const MONITORING: [Kind; 20] = [
    Kind::Counter,
    Kind::Gauge,
    Kind::IntegerGauge,
    Kind::Constant,
    Kind::Noise,
    Kind::Gauge,
    Kind::Counter,
    Kind::IntegerGauge,
    Kind::Gauge,
    Kind::Counter,
    Kind::Constant,
    Kind::Gauge,
    Kind::Counter,
    Kind::IntegerGauge,
    Kind::Gauge,
    Kind::Counter,
    Kind::Constant,
    Kind::Gauge,
    Kind::Counter,
    Kind::IntegerGauge,
];

const NOISY: [Kind; 20] = [
    Kind::Noise,
    Kind::Counter,
    Kind::Gauge,
    Kind::Noise,
    Kind::IntegerGauge,
    Kind::Noise,
    Kind::Counter,
    Kind::Gauge,
    Kind::Noise,
    Kind::Constant,
    Kind::Noise,
    Kind::Counter,
    Kind::IntegerGauge,
    Kind::Gauge,
    Kind::Noise,
    Kind::Constant,
    Kind::Counter,
    Kind::IntegerGauge,
    Kind::Gauge,
    Kind::Noise,
];

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Counter,
        Self::Gauge,
        Self::IntegerGauge,
        Self::Constant,
        Self::Noise,
    ];

    const fn metric_name(self) -> &'static str {
        match self {
            Self::Counter => "http_requests_total",
            Self::Gauge => "cpu_load",
            Self::IntegerGauge => "queue_length",
            Self::Constant => "disk_bytes",
            Self::Noise => "request_seconds",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::IntegerGauge => "integer-gauge",
            Self::Constant => "constant",
            Self::Noise => "noise",
        })
    }
}

/// One series of a generator.
#[derive(Debug, Clone)]
pub struct SeriesPlan {
    /// Its number, from 0.
    pub number: u32,
    /// Org, and the id of its text.
    pub key: SeriesKey,
    /// Its text, for the metadata.
    pub text: String,
    /// How its values move.
    pub kind: Kind,
    /// How many points it has.
    pub points: u64,
}

impl SeriesPlan {
    pub(super) fn new(settings: &GeneratorSettings, number: u32) -> Self {
        let pair = number / 2;
        let others = settings.orgs - 1;
        // The first org has a mixture; each other org is of one kind, so that bytes can be told by kind.
        let (org, turn) = if others > 0 && number % 2 == 1 {
            (FIRST_ORG + 1 + u64::from(pair % others), pair % others)
        } else {
            (FIRST_ORG, pair)
        };
        let kind = settings.mix.kinds()[(turn % 20) as usize];
        let tags = BTreeMap::from([
            ("host".to_owned(), format!("host-{number:05}")),
            ("job".to_owned(), "api".to_owned()),
        ]);
        let series = Series::new(kind.metric_name(), tags).expect("the generated names are legal");
        let (each, rest) = (
            settings.points / u64::from(settings.series),
            settings.points % u64::from(settings.series),
        );
        Self {
            number,
            key: SeriesKey {
                org: OrgId(org),
                metric: series.id(),
            },
            text: series.to_string(),
            kind,
            points: each + u64::from(u64::from(number) < rest),
        }
    }

    /// How many payloads its points are cut into.
    pub(super) fn chunk_count(&self, settings: &GeneratorSettings) -> u64 {
        (self.points / u64::from(settings.payload_points)).max(1)
    }

    /// How many points the payload `chunk` has; the last takes the rest.
    pub(super) fn chunk_points(&self, settings: &GeneratorSettings, chunk: u64) -> u64 {
        let each = u64::from(settings.payload_points);
        if chunk + 1 == self.chunk_count(settings) {
            self.points - chunk * each
        } else {
            each
        }
    }
}
