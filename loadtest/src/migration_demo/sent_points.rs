//! Every point that was sent: what one system alone would have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use skein_shared::ids::{OrgId, SeriesKey};
use skein_shared::payload::Payload;

/// Differences that are told in words; the others are counted.
const TOLD: usize = 10;

type Points = BTreeMap<SeriesKey, BTreeMap<i64, u64>>;

/// The points of all payloads so far, by series and time; clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct SentPoints(Arc<Mutex<Points>>);

/// What one read after the other gave, against what was sent.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    seen: BTreeMap<SeriesKey, BTreeSet<i64>>,
    /// Points that were read and compared, in all reads.
    pub(super) compared: u64,
    /// How many differences there were.
    pub(super) differences: u64,
    /// The first of them.
    pub(super) first: Vec<String>,
}

impl SentPoints {
    /// Notes what is about to be sent: before anybody can read it.
    pub(super) fn note(&self, payload: &Payload) {
        let mut points = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = SeriesKey {
            org: payload.org,
            metric: payload.metric,
        };
        let series = points.entry(key).or_default();
        for (at, value) in payload.timestamps.iter().zip(&payload.values) {
            series.insert(at.0, value.to_bits());
        }
    }

    /// How many points there are.
    pub(super) fn count(&self) -> u64 {
        let points = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        points.values().map(|series| series.len() as u64).sum()
    }

    fn of(&self, key: SeriesKey) -> BTreeMap<i64, u64> {
        let points = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        points.get(&key).cloned().unwrap_or_default()
    }

    fn keys(&self) -> Vec<SeriesKey> {
        let points = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        points.keys().copied().collect()
    }
}

/// What one read gave of every series.
#[derive(Debug, Default)]
pub(super) struct ReadPoints(BTreeMap<SeriesKey, Vec<(i64, u64)>>);

impl ReadPoints {
    /// Points of a series, which come after those before.
    pub(super) fn push(&mut self, key: SeriesKey, timestamps_ms: &[i64], values: &[f64]) {
        let points = timestamps_ms.iter().copied();
        let points = points.zip(values.iter().map(|value| value.to_bits()));
        self.0.entry(key).or_default().extend(points);
    }
}

impl Comparison {
    /// A read while points go on coming: each point is one that was sent, once, and none that was ever seen is gone.
    pub(super) fn take(&mut self, sent: &SentPoints, read: &ReadPoints) {
        for (key, points) in &read.0 {
            let sent = sent.of(*key);
            if !points.is_sorted_by(|a, b| a.0 < b.0) {
                self.differ(*key, "a point came twice, or too early");
            }
            for (at, bits) in points {
                self.compared += 1;
                let what = match sent.get(at) {
                    Some(value) if value == bits => continue,
                    Some(_) => format!("another value at {at}"),
                    None => format!("a point at {at} that nobody sent"),
                };
                self.differ(*key, &what);
            }
            let now: BTreeSet<i64> = points.iter().map(|(at, _)| *at).collect();
            let seen = self.seen.entry(*key).or_default();
            let gone: Vec<i64> = seen.difference(&now).copied().collect();
            seen.extend(&now);
            for at in gone {
                self.differ(*key, &format!("the point at {at} was there before"));
            }
        }
        let missing: Vec<SeriesKey> = self.seen.keys().copied().collect();
        for key in missing {
            if !read.0.contains_key(&key) {
                self.differ(key, "the series was there before");
            }
        }
    }

    /// The last read, when everything has arrived: besides, every point that was sent is there.
    pub(super) fn take_last(&mut self, sent: &SentPoints, read: &ReadPoints) {
        self.take(sent, read);
        for key in sent.keys() {
            let there: BTreeSet<i64> = read
                .0
                .get(&key)
                .into_iter()
                .flatten()
                .map(|(at, _)| *at)
                .collect();
            for at in sent.of(key).into_keys().filter(|at| !there.contains(at)) {
                self.differ(key, &format!("the point at {at} is missing"));
            }
        }
    }

    fn differ(&mut self, key: SeriesKey, what: &str) {
        self.differences += 1;
        if self.first.len() < TOLD {
            let SeriesKey {
                org: OrgId(org),
                metric,
            } = key;
            self.first
                .push(format!("org {org} metric {metric}: {what}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use skein_shared::ids::MetricId;
    use skein_shared::window::TimestampMs;

    use super::*;

    const KEY: SeriesKey = SeriesKey {
        org: OrgId(1),
        metric: MetricId(2),
    };

    fn sent(times: &[i64]) -> SentPoints {
        let points = SentPoints::default();
        points.note(&Payload {
            org: KEY.org,
            metric: KEY.metric,
            timestamps: times.iter().copied().map(TimestampMs).collect(),
            values: vec![0.5; times.len()],
            metadata: Vec::new(),
        });
        points
    }

    fn read(times: &[i64]) -> ReadPoints {
        let mut read = ReadPoints::default();
        read.push(KEY, times, &vec![0.5; times.len()]);
        read
    }

    #[test]
    fn reads_that_grow_and_end_with_everything_are_right() {
        let sent = sent(&[1, 2, 3]);
        let mut comparison = Comparison::default();
        comparison.take(&sent, &ReadPoints::default());
        comparison.take(&sent, &read(&[1, 3]));
        comparison.take_last(&sent, &read(&[1, 2, 3]));
        assert_eq!((comparison.differences, comparison.compared), (0, 5));
    }

    #[test]
    fn what_is_foreign_double_gone_or_missing_differs() {
        let count = |first: &[i64], last: &[i64]| {
            let sent = sent(&[1, 2]);
            let mut comparison = Comparison::default();
            comparison.take(&sent, &read(first));
            comparison.take_last(&sent, &read(last));
            comparison.differences
        };
        assert_eq!(count(&[1], &[1, 2]), 0);
        assert_eq!(
            count(&[9], &[1, 2]),
            2,
            "nobody sent it, and then it is gone"
        );
        assert_eq!(count(&[1, 1], &[1, 2]), 1);
        assert_eq!(
            count(&[1, 2], &[1]),
            2,
            "it was there before, and it is missing"
        );
        assert_eq!(count(&[], &[1]), 1);
        let mut other = ReadPoints::default();
        other.push(KEY, &[1], &[0.25]);
        let mut comparison = Comparison::default();
        comparison.take(&sent(&[1]), &other);
        assert_eq!(comparison.differences, 1);
    }
}
