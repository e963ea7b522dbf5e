//! Rows on their way into a table, column by column.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray,
    TimestampMillisecondArray, UInt64Array,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use skein_shared::ids::SeriesKey;
use skein_shared::rollup::Bucket;
use skein_shared::series::Series;
use skein_shared::window::Resolution;

use crate::buckets_output::{BUCKET_COLUMNS, float_columns};

/// Rows of one batch.
const BATCH_ROWS: usize = 1 << 16;

/// How many of a bucket's columns are counts; the others are floats.
const COUNTS: usize = 2;

/// Rows of one kind; memory is kept from one batch to the next where Arrow does not take it.
pub(crate) struct Rows {
    schema: SchemaRef,
    series: SeriesColumns,
    times_ms: Vec<i64>,
    counts: Vec<Vec<u64>>,
    floats: Vec<Vec<f64>>,
}

/// The columns that are the same for all rows of a series.
#[derive(Default)]
struct SeriesColumns {
    current: Option<(SeriesKey, Option<String>)>,
    /// Place of the current series' name in `names`, once a row of this batch has it.
    place: Option<i32>,
    orgs: Vec<u64>,
    metrics: Vec<u64>,
    places: Vec<Option<i32>>,
    names: Vec<String>,
}

impl Rows {
    /// No rows, of raw points or of buckets.
    pub(crate) fn new(resolution: Resolution, provenance: &BTreeMap<String, String>) -> Self {
        let (time, counts, floats) = if resolution.is_raw() {
            ("timestamp", &[][..], &["value"][..])
        } else {
            let (counts, floats) = BUCKET_COLUMNS.split_at(COUNTS);
            ("start", counts, floats)
        };
        let name = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let moment = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let mut fields = vec![
            Field::new("org", DataType::UInt64, false),
            Field::new("metric", DataType::UInt64, false),
            Field::new("series", name, true),
            Field::new(time, moment, false),
        ];
        let of = |name: &&str, kind: DataType| Field::new(*name, kind, false);
        fields.extend(counts.iter().map(|name| of(name, DataType::UInt64)));
        fields.extend(floats.iter().map(|name| of(name, DataType::Float64)));
        let schema = Schema::new(fields).with_metadata(provenance.clone());
        Self {
            schema: Arc::new(schema),
            series: SeriesColumns::default(),
            times_ms: Vec::new(),
            counts: vec![Vec::new(); counts.len()],
            floats: vec![Vec::new(); floats.len()],
        }
    }

    /// Names and types of the columns.
    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Whose the next rows are.
    pub(crate) fn begin_series(&mut self, key: SeriesKey, name: Option<Series>) {
        let same = self.series.current.as_ref();
        if same.is_none_or(|(current, _)| *current != key) {
            self.series.current = Some((key, name.map(|name| name.to_string())));
            self.series.place = None;
        }
    }

    /// # Panics
    /// If no series was begun, or rows are buckets.
    pub(crate) fn push_point(&mut self, timestamp_ms: i64, value: f64) {
        self.series.push();
        self.times_ms.push(timestamp_ms);
        self.floats[0].push(value);
    }

    /// # Panics
    /// If no series was begun, or rows are points.
    pub(crate) fn push_bucket(&mut self, bucket: &Bucket) {
        self.series.push();
        self.times_ms.push(bucket.start_ms);
        self.counts[0].push(bucket.count);
        self.counts[1].push(bucket.nans);
        for (column, float) in self.floats.iter_mut().zip(float_columns(bucket)) {
            column.push(float);
        }
    }

    /// Whether the rows should be taken.
    pub(crate) fn is_full(&self) -> bool {
        self.times_ms.len() >= BATCH_ROWS
    }

    /// The rows so far; the next batch begins.
    ///
    /// # Errors
    /// Never, unless columns and schema do not fit.
    pub(crate) fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let [orgs, metrics, names] = self.series.take()?;
        let times = TimestampMillisecondArray::from(std::mem::take(&mut self.times_ms));
        let mut columns = vec![
            orgs,
            metrics,
            names,
            Arc::new(times.with_timezone("UTC")) as ArrayRef,
        ];
        for column in &mut self.counts {
            columns.push(Arc::new(UInt64Array::from(std::mem::take(column))));
        }
        for column in &mut self.floats {
            columns.push(Arc::new(Float64Array::from(std::mem::take(column))));
        }
        RecordBatch::try_new(self.schema(), columns)
    }
}

impl SeriesColumns {
    fn push(&mut self) {
        let current = self.current.as_ref();
        let (key, name) = current.expect("a series was begun");
        if let (None, Some(name)) = (self.place, name) {
            self.place = i32::try_from(self.names.len()).ok();
            self.names.push(name.clone());
        }
        self.orgs.push(key.org.0);
        self.metrics.push(key.metric.0);
        self.places.push(self.place);
    }

    fn take(&mut self) -> Result<[ArrayRef; 3], ArrowError> {
        self.place = None;
        let places = Int32Array::from(std::mem::take(&mut self.places));
        let names = StringArray::from(std::mem::take(&mut self.names));
        let names = DictionaryArray::<Int32Type>::try_new(places, Arc::new(names))?;
        Ok([
            Arc::new(UInt64Array::from(std::mem::take(&mut self.orgs))),
            Arc::new(UInt64Array::from(std::mem::take(&mut self.metrics))),
            Arc::new(names),
        ])
    }
}
