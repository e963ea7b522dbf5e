//! The points of a row group, by series.

use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, RecordBatch, StringArray};
use bytes::{Buf as _, Bytes};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use skein_shared::ids::{MetricId, OrgId, SeriesKey};
use skein_shared::series::Series;

use super::columns::{Column, Columns};
use crate::error::{Error, Result};

/// Rows that are turned over at a time.
const BATCH_ROWS: usize = 1 << 14;

/// The points of a row group in order of series and time, of equal ones the last row's.
#[derive(Debug, Default)]
pub(super) struct RowGroup {
    pub(super) series: Vec<GroupSeries>,
    pub(super) timestamps_ms: Vec<i64>,
    pub(super) values: Vec<f64>,
}

/// One series of a row group.
#[derive(Debug, Clone)]
pub(super) struct GroupSeries {
    pub(super) key: SeriesKey,
    /// What names it.
    pub(super) text: Option<Arc<str>>,
    /// Its points.
    pub(super) points: Range<usize>,
}

/// Stretches of a file that were fetched.
#[derive(Debug)]
pub(super) struct Stretches {
    pub(super) file_bytes: u64,
    pub(super) stretches: Vec<(u64, Bytes)>,
}

/// Rows as they come, before they are sorted.
struct Gathered<'a> {
    file: &'a str,
    columns: &'a Columns,
    rows: Vec<(SeriesKey, i64, f64)>,
    texts: HashMap<SeriesKey, Arc<str>>,
    /// What was made of a metric's name and its tags.
    named: HashMap<Vec<Option<String>>, SeriesKey>,
}

impl RowGroup {
    /// Decodes the row group `number` out of `stretches`, which hold its columns.
    pub(super) fn decode(
        file: &str,
        (metadata, columns): (&ArrowReaderMetadata, &Columns),
        number: usize,
        stretches: Stretches,
    ) -> Result<Self> {
        let broken = |error: String| Error::ParquetFile {
            file: file.to_owned(),
            reason: format!("row group {number}: {error}"),
        };
        let leaves = columns.all().map(|column| column.leaf);
        let mask = ProjectionMask::leaves(metadata.parquet_schema(), leaves);
        let reader =
            ParquetRecordBatchReaderBuilder::new_with_metadata(stretches, metadata.clone())
                .with_row_groups(vec![number])
                .with_projection(mask)
                .with_batch_size(BATCH_ROWS)
                .build()
                .map_err(|error| broken(error.to_string()))?;
        let mut gathered = Gathered {
            file,
            columns,
            rows: Vec::new(),
            texts: HashMap::new(),
            named: HashMap::new(),
        };
        for batch in reader {
            gathered.take(&batch.map_err(|error| broken(error.to_string()))?)?;
        }
        Ok(gathered.sorted())
    }

    /// Roughly what it takes in memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.values.len() * 16 + self.series.len() * size_of::<GroupSeries>()
    }

    /// A series.
    pub(super) fn find(&self, key: SeriesKey) -> Option<&GroupSeries> {
        let at = self.series.binary_search_by_key(&key, |series| series.key);
        at.ok().map(|at| &self.series[at])
    }
}

impl Gathered<'_> {
    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns = self.columns;
        let orgs = self.unsigned(batch, &columns.org)?;
        let times = self.times_ms(batch)?;
        let values = self.floats(batch, &columns.value)?;
        let keys = self.keys(batch, &orgs)?;
        let points = times.into_iter().zip(values);
        let rows = keys.into_iter().zip(points);
        self.rows
            .extend(rows.map(|(key, (ms, value))| (key, ms, value)));
        Ok(())
    }

    fn sorted(mut self) -> RowGroup {
        // Stable: of equal ones the last row stays last.
        self.rows.sort_by_key(|(key, ms, _)| (*key, *ms));
        let mut group = RowGroup::default();
        for (key, ms, value) in self.rows {
            let at = group.values.len();
            let last = group.series.last_mut().filter(|last| last.key == key);
            let is_again = last.is_some() && group.timestamps_ms.last() == Some(&ms);
            if is_again {
                group.values[at - 1] = value;
                continue;
            }
            match last {
                Some(last) => last.points.end = at + 1,
                None => group.series.push(GroupSeries {
                    key,
                    text: self.texts.get(&key).cloned(),
                    points: at..at + 1,
                }),
            }
            group.timestamps_ms.push(ms);
            group.values.push(value);
        }
        group
    }

    fn refuse<T>(&self, column: &Column, reason: impl Into<String>) -> Result<T> {
        Err(Error::ParquetColumn {
            file: self.file.to_owned(),
            column: column.name.clone(),
            reason: reason.into(),
        })
    }

    /// A column, every row of which has something.
    fn whole<'b>(&self, batch: &'b RecordBatch, column: &Column) -> Result<&'b dyn Array> {
        let Some(array) = batch.column_by_name(&column.name) else {
            return self.refuse(column, "is not among those that were read");
        };
        match array.null_count() {
            0 => Ok(&**array),
            nulls => {
                let reason = format!("is null in {nulls} rows: write the file without them");
                self.refuse(column, reason)
            }
        }
    }

    fn texts<'b>(&self, batch: &'b RecordBatch, column: &Column) -> Result<&'b StringArray> {
        let array = batch.column_by_name(&column.name);
        match array.and_then(|array| array.as_string_opt::<i32>()) {
            Some(texts) => Ok(texts),
            None => self.refuse(column, "is no text"),
        }
    }

    fn unsigned(&self, batch: &RecordBatch, column: &Column) -> Result<Vec<u64>> {
        let array = self.whole(batch, column)?;
        let Some(numbers) = whole_numbers(array) else {
            return self.refuse(column, format!("is of type {}", array.data_type()));
        };
        let ids: Option<Vec<u64>> = numbers.iter().map(|it| u64::try_from(*it).ok()).collect();
        match ids {
            Some(ids) => Ok(ids),
            None => self.refuse(column, "has a number below 0, which is no id"),
        }
    }

    fn times_ms(&self, batch: &RecordBatch) -> Result<Vec<i64>> {
        let (column, per_ms) = (&self.columns.time, self.columns.per_ms.0);
        let array = self.whole(batch, column)?;
        let Some(times) = moments(array) else {
            return self.refuse(column, format!("is of type {}", array.data_type()));
        };
        if let Some(fine) = times.iter().find(|time| **time % per_ms != 0) {
            let reason = format!(
                "{fine} is finer than a millisecond, which no point's time is: round it in the file"
            );
            return self.refuse(column, reason);
        }
        Ok(times.into_iter().map(|time| time / per_ms).collect())
    }

    fn floats(&self, batch: &RecordBatch, column: &Column) -> Result<Vec<f64>> {
        let array = self.whole(batch, column)?;
        if let Some(values) = array.as_primitive_opt::<Float64Type>() {
            return Ok(values.values().to_vec());
        }
        if let Some(values) = array.as_primitive_opt::<Float32Type>() {
            return Ok(values
                .values()
                .iter()
                .map(|value| f64::from(*value))
                .collect());
        }
        let numbers = whole_numbers(array).unwrap_or_default();
        let exact = |number: i128| {
            #[expect(clippy::cast_precision_loss, reason = "what would be lost is refused")]
            let value = number as f64;
            (number.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS).then_some(value)
        };
        let values: Option<Vec<f64>> = numbers.iter().map(|number| exact(*number)).collect();
        match values {
            Some(values) if values.len() == batch.num_rows() => Ok(values),
            Some(_) | None => self.refuse(
                column,
                "has a number that no double holds: write it as DOUBLE",
            ),
        }
    }

    fn keys(&mut self, batch: &RecordBatch, orgs: &[u64]) -> Result<Vec<SeriesKey>> {
        let columns = self.columns;
        if columns.metric.kind.is_integer() {
            let metrics = self.unsigned(batch, &columns.metric)?;
            let keys = orgs.iter().zip(metrics).map(|(org, metric)| SeriesKey {
                org: OrgId(*org),
                metric: MetricId(metric),
            });
            let keys: Vec<SeriesKey> = keys.collect();
            if let Some(series) = &columns.series {
                let texts = self.texts(batch, series)?.iter();
                let described = keys.iter().zip(texts);
                described.for_each(|(key, text)| self.describe(*key, text));
            }
            return Ok(keys);
        }
        let _ = self.whole(batch, &columns.metric)?;
        let named = [&columns.metric].into_iter().chain(&columns.tags);
        let named: Result<Vec<&StringArray>> =
            named.map(|column| self.texts(batch, column)).collect();
        let named = named?;
        let row = |row: usize| {
            let texts = named.iter().map(|texts| {
                let is_there = texts.is_valid(row) && !texts.value(row).is_empty();
                is_there.then(|| texts.value(row).to_owned())
            });
            texts.collect::<Vec<Option<String>>>()
        };
        let keys = orgs.iter().enumerate();
        keys.map(|(at, org)| self.key_of(OrgId(*org), row(at)))
            .collect()
    }

    /// The series of a metric's name and its tags, in the order of their columns.
    fn key_of(&mut self, org: OrgId, texts: Vec<Option<String>>) -> Result<SeriesKey> {
        if let Some(known) = self.named.get(&texts) {
            let key = SeriesKey { org, ..*known };
            if !self.texts.contains_key(&key)
                && let Some(text) = self.texts.get(known).cloned()
            {
                self.texts.insert(key, text);
            }
            return Ok(key);
        }
        let name = texts[0].clone().unwrap_or_default();
        let metric = if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
            name.parse().ok().map(MetricId)
        } else {
            None
        };
        let key = |metric| SeriesKey { org, metric };
        let key = match metric {
            Some(metric) => key(metric),
            None => match self.series_of(&name, &texts[1..]) {
                Ok(series) => {
                    let key = key(series.id());
                    self.describe(key, Some(&series.to_string()));
                    key
                }
                Err(reason) => return self.refuse(&self.columns.metric, reason),
            },
        };
        self.named.insert(texts, key);
        Ok(key)
    }

    fn series_of(
        &self,
        name: &str,
        tags: &[Option<String>],
    ) -> std::result::Result<Series, String> {
        let named: Series = name.parse()?;
        let mut all = named.tags().clone();
        for (column, value) in self.columns.tags.iter().zip(tags) {
            if let Some(value) = value {
                all.insert(column.name.clone(), value.clone());
            }
        }
        Series::new(named.name(), all)
    }

    fn describe(&mut self, key: SeriesKey, text: Option<&str>) {
        let Some(text) = text else {
            return;
        };
        if self.texts.get(&key).is_none_or(|known| **known != *text) {
            self.texts.insert(key, text.into());
        }
    }
}

/// Numbers of any of the types that whole ones have.
fn whole_numbers(array: &dyn Array) -> Option<Vec<i128>> {
    macro_rules! first_of {
        ($($kind:ty),*) => {$(
            if let Some(numbers) = array.as_primitive_opt::<$kind>() {
                return Some(numbers.values().iter().map(|it| i128::from(*it)).collect());
            }
        )*};
    }
    first_of!(
        UInt64Type, Int64Type, UInt32Type, Int32Type, UInt16Type, Int16Type, UInt8Type, Int8Type
    );
    None
}

/// Numbers of any of the types that times have.
fn moments(array: &dyn Array) -> Option<Vec<i64>> {
    macro_rules! first_of {
        ($($kind:ty),*) => {$(
            if let Some(times) = array.as_primitive_opt::<$kind>() {
                return Some(times.values().to_vec());
            }
        )*};
    }
    first_of!(
        TimestampMillisecondType,
        TimestampMicrosecondType,
        TimestampNanosecondType,
        Int64Type
    );
    None
}

impl Length for Stretches {
    fn len(&self) -> u64 {
        self.file_bytes
    }
}

impl Stretches {
    /// What was fetched from `start` on.
    fn from(&self, start: u64) -> parquet::errors::Result<Bytes> {
        let holds = |(at, bytes): &&(u64, Bytes)| *at <= start && start < at + bytes.len() as u64;
        let found = self.stretches.iter().find(holds).and_then(|(at, bytes)| {
            let skipped = usize::try_from(start - at).ok()?;
            Some(bytes.slice(skipped..))
        });
        found.ok_or_else(|| ParquetError::General(format!("byte {start} lies in no column")))
    }
}

impl ChunkReader for Stretches {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(Box::new(self.from(start)?.reader()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let bytes = self.from(start)?;
        if bytes.len() < length {
            return Err(ParquetError::EOF(format!(
                "a column ends before byte {start} + {length}"
            )));
        }
        Ok(bytes.slice(..length))
    }
}
