//! Compares what is read back with what the generator computes, point by point.

use std::collections::VecDeque;

use skein_shared::format::points_csv::value_text;
use skein_shared::ids::SeriesKey;
use skein_shared::window::TimestampMs;

use crate::generator::series_plan::SeriesPlan;
use crate::generator::{ExpectedSeries, Generator};

/// Walks the expected points beside those that are read. Memory holds one payload's points.
#[derive(Debug)]
pub struct Comparison<'a> {
    generator: &'a Generator,
    /// Series that are not read to their end yet, the current one first.
    plans: &'a [SeriesPlan],
    expected: Option<ExpectedSeries<'a>>,
    ahead: VecDeque<(i64, f64)>,
    differences: Differences,
}

/// How what was read differs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Differences {
    /// Points compared that are equal bit by bit.
    pub equal: u64,
    /// Points that were not read.
    pub missing: u64,
    /// Points that were read and should not be.
    pub extra: u64,
    /// Points with another value.
    pub different: u64,
    /// The first differences, located.
    pub first: Vec<String>,
}

impl<'a> Comparison<'a> {
    /// How many differences are kept; all are counted.
    pub const KEPT: usize = 10;

    /// Before the first point.
    pub fn new(generator: &'a Generator) -> Self {
        Self {
            generator,
            plans: generator.plans(),
            expected: None,
            ahead: VecDeque::new(),
            differences: Differences::default(),
        }
    }

    /// Takes in the next points that were read: in order of series, then of time.
    pub fn take(&mut self, series: SeriesKey, timestamps_ms: &[i64], values: &[f64]) {
        while self.plans.first().is_some_and(|plan| plan.key < series) {
            self.end_series();
        }
        let is_known = self.plans.first().is_some_and(|plan| plan.key == series);
        for (timestamp, value) in timestamps_ms.iter().zip(values) {
            if is_known {
                self.take_point(series, *timestamp, *value);
            } else {
                self.extra(series, *timestamp, *value);
            }
        }
    }

    /// Nothing more was read.
    pub fn finish(mut self) -> Differences {
        while !self.plans.is_empty() {
            self.end_series();
        }
        self.differences
    }

    fn take_point(&mut self, series: SeriesKey, timestamp: i64, value: f64) {
        while let Some((expected_timestamp, expected)) = self.peek() {
            if timestamp < expected_timestamp {
                break;
            }
            self.ahead.pop_front();
            if expected_timestamp < timestamp {
                self.missing(series, expected_timestamp, expected);
                continue;
            }
            if expected.to_bits() == value.to_bits() {
                self.differences.equal += 1;
            } else {
                self.differences.different += 1;
                let (value, expected) = (value_text(value), value_text(expected));
                self.note(
                    series,
                    timestamp,
                    &format!("read `{value}`, expected `{expected}`"),
                );
            }
            return;
        }
        self.extra(series, timestamp, value);
    }

    /// What the current series still expects is missing.
    fn end_series(&mut self) {
        let Some(plan) = self.plans.first() else {
            return;
        };
        while let Some((timestamp, value)) = self.peek() {
            self.ahead.pop_front();
            self.missing(plan.key, timestamp, value);
        }
        self.plans = &self.plans[1..];
        self.expected = None;
    }

    /// The next point that the current series expects.
    fn peek(&mut self) -> Option<(i64, f64)> {
        if self.ahead.is_empty() {
            let plan = self.plans.first()?;
            let generator = self.generator;
            let expected = self
                .expected
                .get_or_insert_with(|| generator.expected(plan));
            let (mut timestamps, mut values) = (Vec::new(), Vec::new());
            expected.next_into(&mut timestamps, &mut values);
            self.ahead.extend(timestamps.into_iter().zip(values));
        }
        self.ahead.front().copied()
    }

    fn missing(&mut self, series: SeriesKey, timestamp: i64, value: f64) {
        self.differences.missing += 1;
        self.note(
            series,
            timestamp,
            &format!("missing, expected `{}`", value_text(value)),
        );
    }

    fn extra(&mut self, series: SeriesKey, timestamp: i64, value: f64) {
        self.differences.extra += 1;
        self.note(
            series,
            timestamp,
            &format!("should not be there, read `{}`", value_text(value)),
        );
    }

    fn note(&mut self, series: SeriesKey, timestamp: i64, what: &str) {
        if self.differences.first.len() < Self::KEPT {
            let (org, metric) = (series.org, series.metric);
            let time = TimestampMs(timestamp);
            let place = format!("org `{org}` metric `{metric}` at {time}: {what}");
            self.differences.first.push(place);
        }
    }
}

impl Differences {
    /// How many there are.
    pub const fn count(&self) -> u64 {
        self.missing + self.extra + self.different
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::GeneratorSettings;
    use skein_shared::ids::MetricId;

    type Points = Vec<(SeriesKey, Vec<i64>, Vec<f64>)>;

    fn generator() -> Generator {
        Generator::new(GeneratorSettings {
            orgs: 2,
            series: 4,
            points: 1000,
            ..GeneratorSettings::default()
        })
        .unwrap()
    }

    fn all(generator: &Generator) -> Points {
        let points = |plan| {
            let (mut timestamps, mut values) = (Vec::new(), Vec::new());
            let mut expected = generator.expected(plan);
            while expected.next_into(&mut timestamps, &mut values) {}
            (timestamps, values)
        };
        let plans = generator.plans().iter();
        plans
            .map(|plan| (plan.key, points(plan).0, points(plan).1))
            .collect()
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Points), [missing, extra, different]: [u64; 3]) {
        let generator = generator();
        let mut points = all(&generator);
        change(&mut points);
        let mut comparison = Comparison::new(&generator);
        for (series, timestamps, values) in points {
            let (early, late) = (
                timestamps.split_at(timestamps.len() / 2),
                values.split_at(values.len() / 2),
            );
            comparison.take(series, early.0, late.0);
            comparison.take(series, early.1, late.1);
        }
        let differences = comparison.finish();
        let found = [
            differences.missing,
            differences.extra,
            differences.different,
        ];
        assert_eq!(found, [missing, extra, different]);
        assert_eq!(differences.equal + missing + different, 1000);
        assert_eq!(differences.first.is_empty(), differences.count() == 0);
    }

    fn remove(points: &mut (SeriesKey, Vec<i64>, Vec<f64>), at: usize) {
        points.1.remove(at);
        points.2.remove(at);
    }

    #[test]
    fn every_difference_is_found() {
        check(|_| {}, [0, 0, 0]);
        check(|all| drop(all.remove(0)), [250, 0, 0]);
        check(|all| drop(all.pop()), [250, 0, 0]);
        check(|all| remove(&mut all[1], 0), [1, 0, 0]);
        check(|all| remove(&mut all[3], 249), [1, 0, 0]);
        check(
            |all| all[2].2[7] = f64::from_bits(all[2].2[7].to_bits() ^ 1),
            [0, 0, 1],
        );
        check(|all| all[2].1[7] += 1, [1, 1, 0]);
        check(
            |all| all[0].0.metric = MetricId(all[0].0.metric.0 - 1),
            [250, 250, 0],
        );
        check(
            |all| {
                let (timestamp, value) = (all[1].1[9], all[1].2[9]);
                all[1].1.insert(9, timestamp);
                all[1].2.insert(9, value);
            },
            [0, 1, 0],
        );
    }
}
