//! Hands every metric to two keepers: Prometheus' text form, and OpenTelemetry's instruments.
//!
//! The second read the same cells whenever they are exported, so that counting costs one more addition and
//! nothing else.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use metrics_exporter_prometheus::PrometheusRecorder;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

/// The recorder of a process that exports its metrics.
pub(super) struct Mirror {
    prometheus: PrometheusRecorder,
    meter: Meter,
    counters: Instruments,
    gauges: Instruments,
}

/// Instruments by name.
type Instruments = Mutex<BTreeMap<String, Arc<Cells>>>;

/// The values of one instrument, by their labels.
#[derive(Debug, Default)]
struct Cells(Mutex<BTreeMap<Labels, Arc<AtomicU64>>>);

/// Names and values.
type Labels = Vec<(String, String)>;

impl Mirror {
    pub(super) fn new(prometheus: PrometheusRecorder, meter: Meter) -> Self {
        Self {
            prometheus,
            meter,
            counters: Instruments::default(),
            gauges: Instruments::default(),
        }
    }

    fn counter_cell(&self, key: &Key) -> Arc<AtomicU64> {
        cell(&self.counters, key, |cells| {
            let observed = move |observer: &dyn opentelemetry::metrics::AsyncInstrument<u64>| {
                cells.each(|bits, labels| observer.observe(bits, labels));
            };
            let name = key.name().to_owned();
            let built = self.meter.u64_observable_counter(name);
            let _lives_in_the_meter = built.with_callback(observed).build();
        })
    }

    fn gauge_cell(&self, key: &Key) -> Arc<AtomicU64> {
        cell(&self.gauges, key, |cells| {
            let observed = move |observer: &dyn opentelemetry::metrics::AsyncInstrument<f64>| {
                cells.each(|bits, labels| observer.observe(f64::from_bits(bits), labels));
            };
            let name = key.name().to_owned();
            let built = self.meter.f64_observable_gauge(name);
            let _lives_in_the_meter = built.with_callback(observed).build();
        })
    }
}

/// The cell of a name with its labels; an instrument is made at the name's first use.
fn cell(instruments: &Instruments, key: &Key, make: impl FnOnce(Arc<Cells>)) -> Arc<AtomicU64> {
    let mut instruments = lock(instruments);
    let cells = instruments.entry(key.name().to_owned()).or_insert_with(|| {
        let cells = Arc::new(Cells::default());
        make(Arc::clone(&cells));
        cells
    });
    let labels = key
        .labels()
        .map(|label| (label.key().to_owned(), label.value().to_owned()));
    let mut cells = lock(&cells.0);
    Arc::clone(cells.entry(labels.collect()).or_default())
}

impl Cells {
    fn each(&self, mut observe: impl FnMut(u64, &[KeyValue])) {
        for (labels, bits) in lock(&self.0).iter() {
            let labels = labels
                .iter()
                .map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
            observe(bits.load(Ordering::Relaxed), &labels.collect::<Vec<_>>());
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recorder for Mirror {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.prometheus.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.prometheus.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.prometheus.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(Mirrored {
            first: self.prometheus.register_counter(key, metadata),
            cell: self.counter_cell(key),
        }))
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::new(Mirrored {
            first: self.prometheus.register_gauge(key, metadata),
            cell: self.gauge_cell(key),
        }))
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        let labels = key
            .labels()
            .map(|label| KeyValue::new(label.key().to_owned(), label.value().to_owned()));
        Histogram::from_arc(Arc::new(MirroredHistogram {
            first: self.prometheus.register_histogram(key, metadata),
            second: self.meter.f64_histogram(key.name().to_owned()).build(),
            labels: labels.collect(),
        }))
    }
}

/// A counter or gauge and its cell.
struct Mirrored<T> {
    first: T,
    cell: Arc<AtomicU64>,
}

impl CounterFn for Mirrored<Counter> {
    fn increment(&self, value: u64) {
        self.first.increment(value);
        self.cell.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.first.absolute(value);
        self.cell.fetch_max(value, Ordering::Relaxed);
    }
}

impl Mirrored<Gauge> {
    fn change(&self, change: impl Fn(f64) -> f64) {
        let changed = |bits| Some(change(f64::from_bits(bits)).to_bits());
        // It never refuses.
        let _ = self
            .cell
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed);
    }
}

impl GaugeFn for Mirrored<Gauge> {
    fn increment(&self, value: f64) {
        self.first.increment(value);
        self.change(|now| now + value);
    }

    fn decrement(&self, value: f64) {
        self.first.decrement(value);
        self.change(|now| now - value);
    }

    fn set(&self, value: f64) {
        self.first.set(value);
        self.cell.store(value.to_bits(), Ordering::Relaxed);
    }
}

struct MirroredHistogram {
    first: Histogram,
    second: opentelemetry::metrics::Histogram<f64>,
    labels: Vec<KeyValue>,
}

impl HistogramFn for MirroredHistogram {
    fn record(&self, value: f64) {
        self.first.record(value);
        self.second.record(value, &self.labels);
    }
}
