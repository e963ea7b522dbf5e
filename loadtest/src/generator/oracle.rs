//! What a generator's records must come to: computed from the seed, without any decoder.

use std::collections::BTreeMap;

use serde::Serialize;
use skein_shared::format::digest::ContentDigest;

use crate::generator::arrival::{Arrival, REPEATED_POINTS};
use crate::generator::poison::Poison;
use crate::generator::series_plan::{Kind, SeriesPlan};
use crate::generator::walk::Walk;
use crate::generator::{Generator, GeneratorSettings};

/// The points that one series must hold, payload by payload, in time order.
#[derive(Debug)]
pub struct ExpectedSeries<'a> {
    settings: &'a GeneratorSettings,
    plan: &'a SeriesPlan,
    walk: Option<Walk>,
    chunk: u64,
}

impl<'a> ExpectedSeries<'a> {
    pub(super) const fn new(settings: &'a GeneratorSettings, plan: &'a SeriesPlan) -> Self {
        Self {
            settings,
            plan,
            walk: None,
            chunk: 0,
        }
    }

    /// Appends the points of the next payload's span, each timestamp once, with the value that wins;
    /// `false` at the end.
    pub fn next_into(&mut self, timestamps_ms: &mut Vec<i64>, values: &mut Vec<f64>) -> bool {
        if self.chunk >= self.plan.chunk_count(self.settings) {
            return false;
        }
        let walk = self
            .walk
            .get_or_insert_with(|| Walk::new(self.settings, self.plan));
        let first = values.len();
        for _ in 0..self.plan.chunk_points(self.settings, self.chunk) {
            let (timestamp, value) = walk.next();
            timestamps_ms.push(timestamp);
            values.push(value);
        }
        let values = &mut values[first..];
        match Arrival::of(self.settings, self.plan.number, self.chunk) {
            Arrival::OnTime
            | Arrival::Late { .. }
            | Arrival::OutOfOrder
            | Arrival::Twice { .. }
            | Arrival::Outdated { .. } => {}
            Arrival::Corrected { .. } | Arrival::CorrectedAtOnce => values.rotate_left(1),
            Arrival::Repeating => take_the_next_ones(values),
        }
        self.chunk += 1;
        true
    }
}

/// The first points take the value of the one behind them; the last one's successor is the first.
fn take_the_next_ones(values: &mut [f64]) {
    let Some(first) = values.first().copied() else {
        return;
    };
    for i in 0..REPEATED_POINTS.min(values.len()) {
        values[i] = values.get(i + 1).copied().unwrap_or(first);
    }
}

/// What all records of a generator must come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Expectation {
    /// Points, each `(org, metric, timestamp)` once.
    pub points: u64,
    /// How many of them by kind of series.
    pub points_by_kind: BTreeMap<Kind, u64>,
    /// How many series.
    pub series: u64,
    /// Digest of the points.
    #[serde(serialize_with = "as_text")]
    pub digest: ContentDigest,
    /// Records that have to be in quarantine, by the name of the reason.
    pub quarantined: BTreeMap<&'static str, u64>,
}

impl Expectation {
    pub(super) fn of(generator: &Generator) -> Self {
        let mut digest = ContentDigest::EMPTY;
        let mut points_by_kind = BTreeMap::new();
        let (mut timestamps, mut values) = (Vec::new(), Vec::new());
        for plan in generator.plans() {
            let mut expected = generator.expected(plan);
            while expected.next_into(&mut timestamps, &mut values) {
                digest.add_points(plan.key, &timestamps, &values);
                *points_by_kind.entry(plan.kind).or_default() += values.len() as u64;
                timestamps.clear();
                values.clear();
            }
        }
        let mut quarantined = BTreeMap::new();
        for number in 0..generator.settings().poison {
            *quarantined.entry(Poison::of(number).reason()).or_default() += 1;
        }
        Self {
            points: points_by_kind.values().sum(),
            points_by_kind,
            series: generator.plans().len() as u64,
            digest,
            quarantined,
        }
    }
}

fn as_text<S: serde::Serializer>(
    digest: &ContentDigest,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(digest)
}
