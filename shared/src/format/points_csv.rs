//! Points as CSV: what `produce --csv` takes and `read --format csv` gives.
//!
//! A header row `org,metric,timestamp,value[,tag…]`, then one point a row. `org` is a number. A `metric`
//! of digits is an id, any other a name, which with the row's tags makes a series; an empty tag is absent.
//! `timestamp` is epoch milliseconds or RFC 3339. `value` is the shortest text that reads back as the same
//! bits: `NaN` is 0x7ff8000000000000, any other NaN is written `nan:0x…`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use csv::{ByteRecord, ErrorKind};

use crate::error::{Error, Result};
use crate::ids::{MetricId, OrgId};
use crate::series::Series;
use crate::window::TimestampMs;

const COLUMNS: [&str; 4] = ["org", "metric", "timestamp", "value"];
const CANONICAL_NAN: u64 = 0x7ff8_0000_0000_0000;

/// What the columns `metric` and the tags say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// A bare id.
    Id(MetricId),
    /// A named series.
    Named(Series),
}

impl Metric {
    /// The id, given or made from the series' text.
    pub fn id(&self) -> MetricId {
        match self {
            Self::Id(id) => *id,
            Self::Named(series) => series.id(),
        }
    }

    /// The column `metric`.
    pub fn column(&self) -> String {
        match self {
            Self::Id(id) => id.to_string(),
            Self::Named(series) => series.name().to_owned(),
        }
    }

    /// The value of the tag `key`; empty where it is absent.
    pub fn tag(&self, key: &str) -> &str {
        match self {
            Self::Id(_) => "",
            Self::Named(series) => series.tags().get(key).map_or("", String::as_str),
        }
    }
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct PointRow {
    /// Where the row begins; the first line of the file is 1.
    pub line: u64,
    /// Whose.
    pub org: OrgId,
    /// Which series.
    pub metric: Metric,
    /// When.
    pub timestamp: TimestampMs,
    /// What.
    pub value: f64,
}

/// A row that cannot become a point.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct BadRow {
    /// Where the row begins; the first line of the file is 1.
    pub line: u64,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// Reads rows one after the other. A bad row does not end it; a failure of the input does, and is no row's
/// fault: it is the outer error.
#[derive(Debug)]
pub struct PointsReader<R> {
    csv: csv::Reader<R>,
    record: ByteRecord,
    tag_keys: Vec<String>,
    failed: bool,
}

impl<R: io::Read> PointsReader<R> {
    /// Reads the header row.
    ///
    /// # Errors
    /// What the input says; and, inside, [`Error::Invalid`] where it is not
    /// `org,metric,timestamp,value[,tag…]`.
    pub fn new(input: R) -> io::Result<Result<Self>> {
        let mut csv = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(input);
        let mut record = ByteRecord::new();
        let header_error = |input: String, reason: String| Error::Invalid {
            what: "csv header",
            input,
            reason,
        };
        if let Err(error) = csv.read_byte_record(&mut record) {
            return input_failure(error)
                .map(|error| Err(header_error(String::new(), error.to_string())));
        }
        let fields: Vec<String> = record
            .iter()
            .map(|field| String::from_utf8_lossy(field).into_owned())
            .collect();
        let keys = tag_keys(&fields).map_err(|reason| header_error(fields.join(","), reason));
        Ok(keys.map(|tag_keys| Self {
            csv,
            record,
            tag_keys,
            failed: false,
        }))
    }

    fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    fn row(&self) -> std::result::Result<PointRow, String> {
        let field = |i: usize| {
            str::from_utf8(&self.record[i]).map_err(|_| format!("column {} is not UTF-8", i + 1))
        };
        let org = field(0)?;
        let org =
            parse_number(org).ok_or(format!("org `{org}` is not a number from 0 to 2^64 - 1"))?;
        let mut tags = BTreeMap::new();
        for (i, key) in self.tag_keys.iter().enumerate() {
            let value = field(COLUMNS.len() + i)?;
            if !value.is_empty() {
                tags.insert(key.clone(), value.to_owned());
            }
        }
        Ok(PointRow {
            line: self.line(),
            org: OrgId(org),
            metric: parse_metric(field(1)?, tags)?,
            timestamp: parse_timestamp(field(2)?)?,
            value: parse_value(field(3)?)?,
        })
    }
}

impl<R: io::Read> Iterator for PointsReader<R> {
    type Item = io::Result<std::result::Result<PointRow, BadRow>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let read = self.csv.read_byte_record(&mut self.record);
        let row = match read {
            Ok(false) => return None,
            Ok(true) => self.row(),
            Err(error) => match input_failure(error) {
                Ok(error) => Err(csv_reason(&error)),
                Err(failure) => {
                    self.failed = true;
                    return Some(Err(failure));
                }
            },
        };
        let line = self.line();
        Some(Ok(row.map_err(|reason| BadRow { line, reason })))
    }
}

/// Writes rows.
#[derive(Debug)]
pub struct PointsWriter<W: io::Write> {
    csv: csv::Writer<W>,
    tag_keys: Vec<String>,
}

impl<W: io::Write> PointsWriter<W> {
    /// Writes the header row. A series' tags outside `tag_keys` are an error when its points come.
    ///
    /// # Errors
    /// What `output` says.
    pub fn new(output: W, tag_keys: BTreeSet<String>) -> io::Result<Self> {
        let mut csv = csv::Writer::from_writer(output);
        let tag_keys: Vec<String> = tag_keys.into_iter().collect();
        csv.write_record(
            COLUMNS
                .into_iter()
                .chain(tag_keys.iter().map(String::as_str)),
        )?;
        Ok(Self { csv, tag_keys })
    }

    /// Writes the points of one series, one row each; both slices have the same length.
    ///
    /// # Errors
    /// What the output says, or `InvalidInput` for a tag that has no column.
    pub fn write_points(
        &mut self,
        org: OrgId,
        metric: &Metric,
        timestamps_ms: &[i64],
        values: &[f64],
    ) -> io::Result<()> {
        if let Metric::Named(series) = metric
            && let Some(key) = series
                .tags()
                .keys()
                .find(|key| !self.tag_keys.contains(key))
        {
            let reason = format!("tag `{key}` of series `{series}` has no column");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let (org, name) = (org.to_string(), metric.column());
        for (timestamp, value) in timestamps_ms.iter().zip(values) {
            self.csv.write_field(&org)?;
            self.csv.write_field(&name)?;
            self.csv.write_field(timestamp.to_string())?;
            self.csv.write_field(value_text(*value))?;
            for key in &self.tag_keys {
                self.csv.write_field(metric.tag(key))?;
            }
            self.csv.write_record(None::<&[u8]>)?;
        }
        Ok(())
    }

    /// Hands everything to the output.
    ///
    /// # Errors
    /// What the output says.
    pub fn flush(&mut self) -> io::Result<()> {
        self.csv.flush()
    }
}

/// The text of a value: the shortest that reads back as the same bits.
pub fn value_text(value: f64) -> String {
    if value.is_nan() && value.to_bits() != CANONICAL_NAN {
        return format!("nan:{:#018x}", value.to_bits());
    }
    format!("{value:?}")
}

/// Reads the text of a value.
///
/// # Errors
/// A message that names what is wrong.
pub fn parse_value(text: &str) -> std::result::Result<f64, String> {
    let refusal = |why: &str| Err(format!("value `{text}` {why}"));
    if let Some(digits) = text.strip_prefix("nan:0x") {
        return match u64::from_str_radix(digits, 16).map(f64::from_bits) {
            Ok(value) if value.is_nan() && digits.len() == 16 => Ok(value),
            Ok(_) | Err(_) => refusal("is not the 16 hex digits of a NaN"),
        };
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_nan() => Ok(f64::from_bits(CANONICAL_NAN)),
        Ok(value) if value.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit()) => {
            refusal("is too large for 64 bits; write `inf` if that is meant")
        }
        Ok(value) => Ok(value),
        Err(_) => refusal("is not a number, `NaN`, `nan:0x…`, `inf` or `-inf`"),
    }
}

/// Reads epoch milliseconds or RFC 3339.
///
/// # Errors
/// A message that names what is wrong; a time finer than a millisecond is refused, never rounded.
pub fn parse_timestamp(text: &str) -> std::result::Result<TimestampMs, String> {
    if let Ok(ms) = text.parse() {
        return Ok(TimestampMs(ms));
    }
    let time: jiff::Timestamp = text.parse().map_err(|_| {
        format!("timestamp `{text}` is not epoch milliseconds or RFC 3339 with a zone")
    })?;
    if time.subsec_nanosecond() % 1_000_000 != 0 {
        return Err(format!("timestamp `{text}` is finer than a millisecond"));
    }
    Ok(TimestampMs(time.as_millisecond()))
}

/// Reads the column `metric` together with the tags.
pub(super) fn parse_metric(
    text: &str,
    tags: BTreeMap<String, String>,
) -> std::result::Result<Metric, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Series::new(text, tags).map(Metric::Named);
    }
    let id = parse_number(text).ok_or(format!("metric id `{text}` is beyond 2^64 - 1"))?;
    match tags.first_key_value() {
        None => Ok(Metric::Id(MetricId(id))),
        Some((key, _)) => Err(format!(
            "metric `{text}` is an id and takes no tag, but has `{key}`; give a name"
        )),
    }
}

fn tag_keys(fields: &[String]) -> std::result::Result<Vec<String>, String> {
    let expected = || format!("expected `{}[,tag…]`", COLUMNS.join(","));
    let tags = fields
        .strip_prefix(&COLUMNS.map(str::to_owned))
        .ok_or_else(expected)?;
    let mut seen = BTreeSet::new();
    for key in tags {
        Series::new("name", BTreeMap::from([(key.clone(), "value".to_owned())]))?;
        if !seen.insert(key) {
            return Err(format!("tag `{key}` has two columns"));
        }
    }
    Ok(tags.to_vec())
}

/// Digits alone: `str::parse` would take a `+` too.
pub(super) fn parse_number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| !text.starts_with('+'))
}

/// Parts what is wrong with the text from what the input said.
fn input_failure(error: csv::Error) -> io::Result<csv::Error> {
    if matches!(error.kind(), ErrorKind::Io(_)) {
        return Err(error.into());
    }
    Ok(error)
}

fn csv_reason(error: &csv::Error) -> String {
    if let ErrorKind::UnequalLengths {
        expected_len, len, ..
    } = error.kind()
    {
        return format!("{len} columns, but the header has {expected_len}");
    }
    format!("is not CSV: {error}")
}

#[cfg(test)]
mod tests;
