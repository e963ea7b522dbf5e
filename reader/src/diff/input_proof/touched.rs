//! The points that a record may have touched which only one side has read.

use std::collections::BTreeMap;

use skein_shared::ids::{MetricId, SeriesKey};
use skein_shared::window::{Resolution, TimeSpan, TimestampMs};

/// Event times of one org, by series.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Touched {
    /// Ascending, without doubles, once [`Touched::seal`] was called.
    series: BTreeMap<MetricId, Vec<i64>>,
    /// How many records they came in.
    pub records: u64,
    points: usize,
}

impl Touched {
    /// Takes in a record's points.
    pub fn add(&mut self, metric: MetricId, times_ms: &[i64]) {
        self.records += 1;
        self.points += times_ms.len();
        let times = self.series.entry(metric).or_default();
        times.extend_from_slice(times_ms);
    }

    /// How many points were taken in.
    pub fn points(&self) -> usize {
        self.points
    }

    /// Makes it ready to be asked.
    pub fn seal(&mut self) {
        for times in self.series.values_mut() {
            times.sort_unstable();
            times.dedup();
        }
        self.points = self.series.values().map(Vec::len).sum();
    }

    /// Whether nothing is set aside.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Whether any record of the series is among them: its metadata may differ for that alone.
    pub fn names(&self, key: SeriesKey) -> bool {
        self.series.contains_key(&key.metric)
    }

    /// The times of the series that are set aside; none of most.
    pub fn times(&self, key: SeriesKey) -> &[i64] {
        self.series.get(&key.metric).map_or(&[], Vec::as_slice)
    }

    /// How many rows of `resolution` are set aside in `span`, of the series that `is_wanted` says.
    pub fn rows_in(
        &self,
        resolution: Resolution,
        span: TimeSpan,
        is_wanted: impl Fn(MetricId) -> bool,
    ) -> u64 {
        let wanted = self.series.iter().filter(|(metric, _)| is_wanted(**metric));
        let rows = wanted.map(|(_, times)| {
            let inside = within(times, span).iter();
            let mut rows: Vec<i64> = inside
                .map(|at| resolution.bucket_start(TimestampMs(*at)).0)
                .collect();
            rows.dedup();
            rows.len() as u64
        });
        rows.sum()
    }

    /// Whether any time in `span` is set aside.
    pub fn touches(times: &[i64], span: TimeSpan) -> bool {
        !within(times, span).is_empty()
    }
}

fn within(times: &[i64], span: TimeSpan) -> &[i64] {
    let from = times.partition_point(|at| *at < span.from.0);
    let to = times.partition_point(|at| *at < span.to.0);
    &times[from..to.max(from)]
}
