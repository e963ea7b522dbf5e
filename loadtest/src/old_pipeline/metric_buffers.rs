//! Points in memory, metric by metric, until they are written.

use std::collections::BTreeMap;

use skein_shared::format::order_column::{Order, OrderRun};
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::format::series_metadata::SeriesMetadata;
use skein_shared::ids::SeriesKey;
use skein_shared::payload::{PayloadPoints, PayloadView};
use skein_shared::window::TimestampMs;

/// Memory of one point. A vector may hold room for as many again.
const POINT_BYTES: u64 = 2 * (size_of::<i64>() + size_of::<f64>()) as u64;
/// Memory of where one record's points came from.
const RECORD_BYTES: u64 = 2 * size_of::<OrderRun>() as u64;
/// Memory of a metric besides its points.
const METRIC_BYTES: u64 = 256;

/// Every metric of which points came in since the last flush.
#[derive(Debug, Default)]
pub(super) struct MetricBuffers {
    metrics: BTreeMap<SeriesKey, MetricBuffer>,
    bytes: u64,
}

/// The points of one metric, in the order of their records.
#[derive(Debug, Default)]
pub(super) struct MetricBuffer {
    timestamps_ms: Vec<i64>,
    values: Vec<f64>,
    records: Vec<OrderRun>,
    metadata: Option<SeriesMetadata>,
}

/// What is left of a metric's points when it is decided which count.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// The points to write, in strictly ascending time.
    pub(super) points: SeriesBuffer,
    /// Points that lost to a later one of equal time.
    pub(super) duplicates: u64,
    /// Points that another pipeline writes.
    pub(super) not_owned: u64,
    /// The latest of them.
    pub(super) not_owned_to: Option<TimestampMs>,
}

/// A point in the order in which it counts: by time, then by its record, then by its place in it.
type Row = (i64, Order, usize);

impl MetricBuffers {
    /// Takes the points of a record in.
    pub(super) fn add(&mut self, view: &PayloadView<'_>, order: Order) {
        let points = view.points();
        let Some(count) = u32::try_from(points.count()).ok().filter(|it| *it > 0) else {
            return;
        };
        let metric = self.metrics.entry(view.series()).or_insert_with(|| {
            self.bytes += METRIC_BYTES;
            MetricBuffer::default()
        });
        points.decode_into(&mut metric.timestamps_ms, &mut metric.values);
        metric.records.push(OrderRun {
            order,
            points: count,
        });
        self.bytes += u64::from(count) * POINT_BYTES + RECORD_BYTES;
        self.bytes += metric.take_metadata(points, order);
    }

    /// About how much memory they take.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Every metric, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SeriesKey, &MetricBuffer)> {
        self.metrics.iter().map(|(key, metric)| (*key, metric))
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl MetricBuffer {
    /// What the record that was written last said of the metric.
    pub(super) fn metadata(&self) -> Option<&SeriesMetadata> {
        self.metadata.as_ref()
    }

    /// Decides which points count. `is_owned` says whether the old pipeline writes a time.
    pub(super) fn settle(&self, is_owned: impl Fn(TimestampMs) -> bool) -> Settled {
        let mut settled = Settled::default();
        let mut rows = self.rows();
        rows.sort_unstable();
        for same_time in rows.chunk_by(|a, b| a.0 == b.0) {
            let (ms, order, place) = same_time[same_time.len() - 1];
            if !is_owned(TimestampMs(ms)) {
                settled.not_owned += same_time.len() as u64;
                settled.not_owned_to = Some(TimestampMs(ms));
                continue;
            }
            settled.duplicates += same_time.len() as u64 - 1;
            settled.points.timestamps_ms.push(ms);
            settled.points.values.push(self.values[place]);
            settled.points.push_order(OrderRun { order, points: 1 });
        }
        let left = settled.points.values.len() as u64 + settled.duplicates + settled.not_owned;
        assert_eq!(left, self.values.len() as u64, "SK-11: no point is lost");
        settled
    }

    fn rows(&self) -> Vec<Row> {
        let orders = self.records.iter();
        let orders = orders.flat_map(|run| std::iter::repeat_n(run.order, run.points as usize));
        let points = self.timestamps_ms.iter().zip(orders).zip(0..);
        points
            .map(|((ms, order), place)| (*ms, order, place))
            .collect()
    }

    /// Answers by how much the metadata grew.
    fn take_metadata(&mut self, points: &PayloadPoints<'_>, order: Order) -> u64 {
        let is_newer = self.metadata.as_ref().is_none_or(|it| it.order < order);
        if !is_newer || !points.has_metadata() {
            return 0;
        }
        if let Some(metadata) = &mut self.metadata
            && is_same(&metadata.entries, points)
        {
            metadata.order = order;
            return 0;
        }
        let entries = points.metadata();
        let entries = entries.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let entries: BTreeMap<String, String> = entries.collect();
        let text: usize = entries
            .iter()
            .map(|(key, value)| key.len() + value.len() + 64)
            .sum();
        self.metadata = Some(SeriesMetadata { order, entries });
        text as u64
    }
}

fn is_same(entries: &BTreeMap<String, String>, points: &PayloadPoints<'_>) -> bool {
    let mut count = 0;
    let all_same = points.metadata().all(|(key, value)| {
        count += 1;
        entries.get(key).is_some_and(|ours| ours == value)
    });
    all_same && count == entries.len()
}

#[cfg(test)]
mod tests;
