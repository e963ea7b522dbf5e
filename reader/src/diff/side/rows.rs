//! The rows of a series: points, or buckets of points.

use std::collections::BTreeMap;

use skein_shared::ids::{MetricId, SeriesKey};
use skein_shared::rollup::Rollup;
use skein_shared::window::Resolution;

/// Rows in ascending time: a value each, or the eight columns of a bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    width: usize,
    /// When: of a bucket its begin.
    pub times_ms: Vec<i64>,
    cells: Vec<f64>,
}

/// What a side has of one series in a window.
#[derive(Debug, Clone, PartialEq)]
pub struct SideSeries {
    /// Which series.
    pub key: SeriesKey,
    /// What is known about it; `None` when there is nothing.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Its rows, in strictly ascending time.
    pub rows: Rows,
    /// Rows that are too many, or in the wrong place.
    pub faults: Vec<Fault>,
}

/// A row that should not be where it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// The same record's point once more.
    Duplicate {
        /// When.
        at_ms: i64,
        /// What.
        value: f64,
    },
    /// A point outside of the times of the file that holds it.
    OutOfWindow {
        /// When.
        at_ms: i64,
        /// What.
        value: f64,
    },
}

/// Series that do not read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The first of them.
    pub first: SeriesKey,
    /// The last of them.
    pub last: SeriesKey,
    /// The object that holds them.
    pub object: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Columns of a bucket.
const BUCKET_COLUMNS: usize = 8;

impl Rows {
    /// No points.
    pub const fn of_points() -> Self {
        Self {
            width: 1,
            times_ms: Vec::new(),
            cells: Vec::new(),
        }
    }

    /// No buckets.
    pub const fn of_buckets() -> Self {
        Self {
            width: BUCKET_COLUMNS,
            times_ms: Vec::new(),
            cells: Vec::new(),
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.times_ms.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.times_ms.is_empty()
    }

    /// The cells of the row at `index`.
    ///
    /// # Panics
    /// If there is none.
    pub fn row(&self, index: usize) -> &[f64] {
        &self.cells[index * self.width..(index + 1) * self.width]
    }

    /// Appends a point.
    ///
    /// # Panics
    /// If these are buckets.
    pub fn push_point(&mut self, at_ms: i64, value: f64) {
        assert_eq!(self.width, 1, "a point has one value");
        self.times_ms.push(at_ms);
        self.cells.push(value);
    }

    /// Appends points.
    ///
    /// # Panics
    /// If these are buckets.
    pub fn push_points(&mut self, times_ms: &[i64], values: &[f64]) {
        assert_eq!(self.width, 1, "a point has one value");
        self.times_ms.extend_from_slice(times_ms);
        self.cells.extend_from_slice(values);
    }

    /// Appends buckets.
    ///
    /// # Panics
    /// If these are points.
    pub fn push_buckets(&mut self, rollup: &Rollup) {
        assert_eq!(self.width, BUCKET_COLUMNS, "a bucket has eight numbers");
        for bucket in rollup.buckets() {
            self.times_ms.push(bucket.start_ms);
            self.cells.extend(bucket.columns());
        }
    }

    /// Keeps the rows of which `keep` says so, by their time.
    pub fn retain(&mut self, mut keep: impl FnMut(i64) -> bool) {
        let mut kept = 0;
        for index in 0..self.times_ms.len() {
            if keep(self.times_ms[index]) {
                self.times_ms[kept] = self.times_ms[index];
                let from = index * self.width;
                self.cells
                    .copy_within(from..from + self.width, kept * self.width);
                kept += 1;
            }
        }
        self.times_ms.truncate(kept);
        self.cells.truncate(kept * self.width);
    }
}

impl SideSeries {
    /// Of a series of which nothing is known.
    pub fn empty(key: SeriesKey, rows: Rows) -> Self {
        Self {
            key,
            metadata: None,
            rows,
            faults: Vec::new(),
        }
    }

    /// Whether there is neither a row nor a fault.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.faults.is_empty()
    }
}

impl Fault {
    /// When.
    pub const fn at_ms(self) -> i64 {
        match self {
            Self::Duplicate { at_ms, .. } | Self::OutOfWindow { at_ms, .. } => at_ms,
        }
    }

    /// What.
    pub const fn value(self) -> f64 {
        match self {
            Self::Duplicate { value, .. } | Self::OutOfWindow { value, .. } => value,
        }
    }
}

/// The series behind `key` of the same org.
pub(super) fn after(key: SeriesKey) -> Option<SeriesKey> {
    let metric = key.metric.0.checked_add(1)?;
    Some(SeriesKey {
        metric: MetricId(metric),
        ..key
    })
}

impl Gap {
    /// Whether the series is one of them.
    pub fn holds(&self, key: SeriesKey) -> bool {
        self.first <= key && key <= self.last
    }

    /// Whether any series between these is one of them.
    pub fn overlaps(&self, (first, last): (SeriesKey, SeriesKey)) -> bool {
        self.first <= last && first <= self.last
    }
}

/// The buckets of points, as the compactor makes them.
pub(super) fn rolled(points: &Rows, resolution: Resolution) -> Rows {
    let values: Vec<f64> = (0..points.len())
        .map(|index| points.row(index)[0])
        .collect();
    let (mut finest, mut coarse) = (Rollup::default(), Rollup::default());
    finest.roll(&points.times_ms, &values);
    finest.coarsen(resolution, &mut coarse);
    let mut rows = Rows::of_buckets();
    rows.push_buckets(&coarse);
    rows
}
