//! A side that is a table of points: what an old pipeline was dumped to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use skein_shared::format::points_csv::PointsReader;
use skein_shared::ids::{MetricId, OrgId, SeriesKey};
use skein_shared::window::{TimestampMs, Window};

use super::rows::{Fault, Gap, Rows, SideSeries, rolled};
use super::{Positions, UnitScope};
use crate::error::{Error, Result};

/// All points of one side, in memory.
#[derive(Debug, Clone, Default)]
pub struct Table {
    place: String,
    /// In ascending order.
    pub series: BTreeMap<SeriesKey, TableSeries>,
    /// Up to where it holds the input; `None` when nobody can say.
    pub positions: Option<Positions>,
    /// Series that do not read back, and why.
    pub damaged: BTreeMap<SeriesKey, String>,
}

/// One series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TableSeries {
    /// What is known about it.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Its points, in any order.
    pub points: Vec<TablePoint>,
}

/// One point, and in the file of which window it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TablePoint {
    /// Of which window.
    pub window: Window,
    /// When.
    pub at_ms: i64,
    /// What.
    pub value: f64,
}

impl TablePoint {
    /// A point in the file of its own window.
    pub fn new(at_ms: i64, value: f64) -> Self {
        Self {
            window: Window::of(TimestampMs(at_ms)),
            at_ms,
            value,
        }
    }
}

impl Table {
    /// No points, at a place that reports name.
    pub fn new(place: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            ..Self::default()
        }
    }

    /// Reads a CSV file of points, or all `*.csv` of a directory; they have the columns that `produce --csv` takes.
    ///
    /// # Errors
    /// [`Error::Comparison`] when one cannot be read or a row is none.
    pub fn from_csv(place: &Path) -> Result<Self> {
        let mut table = Self::new(place.display().to_string());
        for file in csv_files(place).map_err(|error| refused(place, &error))? {
            table.read_file(&file)?;
        }
        Ok(table)
    }

    fn read_file(&mut self, path: &Path) -> Result<()> {
        let file = File::open(path).map_err(|error| refused(path, &error))?;
        let reader = PointsReader::new(BufReader::new(file));
        let reader = reader.map_err(|error| refused(path, &error))??;
        for row in reader {
            let row = row.map_err(|error| refused(path, &error))?;
            let row = row.map_err(|error| refused(path, &error))?;
            let key = SeriesKey {
                org: row.org,
                metric: row.metric.id(),
            };
            let point = TablePoint::new(row.timestamp.0, row.value);
            self.series.entry(key).or_default().points.push(point);
        }
        Ok(())
    }

    /// Where it is.
    pub fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn positions(&self) -> Option<&Positions> {
        self.positions.as_ref()
    }

    pub(super) fn has_metadata(&self) -> bool {
        self.series.values().any(|series| series.metadata.is_some())
    }

    pub(super) fn windows(&self, org: OrgId) -> BTreeSet<Window> {
        let bound = |metric| SeriesKey {
            org,
            metric: MetricId(metric),
        };
        let series = self.series.range(bound(0)..=bound(u64::MAX));
        let points = series.flat_map(|(_, series)| &series.points);
        points.map(|point| point.window).collect()
    }
}

fn refused(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Comparison {
        place: path.display().to_string(),
        reason: error.to_string(),
    }
}

fn csv_files(place: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !place.is_dir() {
        return Ok(vec![place.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(place)? {
        files.push(entry?.path());
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "csv"));
    files.sort();
    Ok(files)
}

/// The series of a table in a scope.
#[derive(Debug)]
pub(crate) struct TableStream {
    table: Arc<Table>,
    scope: UnitScope,
    passed: Bound<SeriesKey>,
    gaps: Vec<Gap>,
}

impl TableStream {
    pub(super) fn new(table: Arc<Table>, scope: UnitScope) -> Self {
        Self {
            table,
            passed: Bound::Included(scope.keys.0),
            scope,
            gaps: Vec::new(),
        }
    }

    pub(super) fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    pub(super) fn next(&mut self) -> Option<SideSeries> {
        let last = Bound::Included(self.scope.keys.1);
        let table = Arc::clone(&self.table);
        if is_past(self.passed, self.scope.keys.1) {
            return None;
        }
        for (key, series) in table.series.range((self.passed, last)) {
            self.passed = Bound::Excluded(*key);
            if !self.scope.sample.takes(*key) {
                continue;
            }
            if let Some(reason) = table.damaged.get(key) {
                self.gaps.push(Gap {
                    first: *key,
                    last: *key,
                    object: table.place.clone(),
                    reason: reason.clone(),
                });
                continue;
            }
            let read = self.read(*key, series);
            if !read.is_empty() {
                return Some(read);
            }
        }
        self.passed = Bound::Excluded(self.scope.keys.1);
        None
    }

    fn read(&self, key: SeriesKey, series: &TableSeries) -> SideSeries {
        let scope = &self.scope;
        let mut points: Vec<&TablePoint> = series.points.iter().collect();
        points.retain(|point| point.window == scope.window);
        points.sort_by_key(|point| point.at_ms);
        let mut read = SideSeries::empty(key, Rows::of_points());
        read.metadata.clone_from(&series.metadata);
        for (index, point) in points.iter().enumerate() {
            let (at_ms, value) = (point.at_ms, point.value);
            let is_last = points.get(index + 1).is_none_or(|next| next.at_ms != at_ms);
            if !scope.window.span().contains(TimestampMs(at_ms)) {
                read.faults.push(Fault::OutOfWindow { at_ms, value });
            } else if !is_last && scope.span.contains(TimestampMs(at_ms)) {
                read.faults.push(Fault::Duplicate { at_ms, value });
            } else if scope.span.contains(TimestampMs(at_ms)) {
                read.rows.push_point(at_ms, value);
            }
        }
        if !scope.resolution.is_raw() {
            read.rows = rolled(&read.rows, scope.resolution);
            read.faults.clear();
        }
        read
    }
}

fn is_past(passed: Bound<SeriesKey>, last: SeriesKey) -> bool {
    match passed {
        Bound::Included(key) => key > last,
        Bound::Excluded(key) => key >= last,
        Bound::Unbounded => false,
    }
}
