//! Which columns of a file hold what of a point.

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use parquet::schema::types::SchemaDescriptor;

use crate::error::{Error, Result};

const ORG: [&str; 2] = ["org", "org_id"];
const METRIC: [&str; 2] = ["metric", "metric_id"];
const SERIES: [&str; 1] = ["series"];
const TIME: [&str; 3] = ["timestamp", "time", "ts"];
const VALUE: [&str; 1] = ["value"];

/// The columns of a file that points are read from.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    pub(super) org: Column,
    pub(super) metric: Column,
    /// The text that names a series whose metric is an id.
    pub(super) series: Option<Column>,
    pub(super) time: Column,
    pub(super) per_ms: PerMs,
    pub(super) value: Column,
    /// What makes a series of a metric's name, besides it.
    pub(super) tags: Vec<Column>,
}

/// A column that has no others inside.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    /// Its place among all columns without others inside.
    pub(super) leaf: usize,
    pub(super) kind: DataType,
}

/// How many of a column's units a millisecond has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PerMs(pub(super) i64);

impl Columns {
    /// The columns of `file`.
    ///
    /// # Errors
    /// That names the file, the column, and what to do.
    pub(super) fn of(file: &str, schema: &Schema, parquet: &SchemaDescriptor) -> Result<Self> {
        let finder = Finder {
            file,
            schema,
            parquet,
        };
        let metric = finder.required(&METRIC, "the id or the name of a series")?;
        let time = finder.time()?;
        let columns = Self {
            org: finder.required(&ORG, "the number of an org")?,
            per_ms: finder.per_ms(&time)?,
            value: finder.required(&VALUE, "a number")?,
            series: None,
            tags: Vec::new(),
            metric,
            time,
        };
        finder.check_whole(&columns.org, "a whole number")?;
        finder.check_number(&columns.value)?;
        if is_text(&columns.metric.kind) {
            let tags = finder.tags(&columns)?;
            return Ok(Self { tags, ..columns });
        }
        finder.check_whole(&columns.metric, "text or a whole number")?;
        let series = finder.optional(&SERIES)?;
        Ok(Self {
            series: series.filter(|series| is_text(&series.kind)),
            ..columns
        })
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Column> {
        let always = [&self.org, &self.metric, &self.time, &self.value];
        always.into_iter().chain(&self.series).chain(&self.tags)
    }
}

struct Finder<'a> {
    file: &'a str,
    schema: &'a Schema,
    parquet: &'a SchemaDescriptor,
}

impl Finder<'_> {
    fn refuse<T>(&self, column: &str, reason: impl Into<String>) -> Result<T> {
        Err(Error::ParquetColumn {
            file: self.file.to_owned(),
            column: column.to_owned(),
            reason: reason.into(),
        })
    }

    fn column(&self, root: usize, field: &Field) -> Option<Column> {
        let mut leaves = 0..self.parquet.num_columns();
        let leaf = leaves.find(|leaf| self.parquet.get_column_root_idx(*leaf) == root)?;
        Some(Column {
            name: field.name().clone(),
            leaf,
            kind: field.data_type().clone(),
        })
    }

    fn optional(&self, names: &[&str]) -> Result<Option<Column>> {
        let mut found: Vec<Column> = Vec::new();
        for (root, field) in self.schema.fields().iter().enumerate() {
            if names.contains(&field.name().as_str()) {
                found.extend(self.column(root, field));
            }
        }
        if let [first, second, ..] = found.as_slice() {
            let reason = format!("column `{}` says the same: leave one out", second.name);
            return self.refuse(&first.name, reason);
        }
        Ok(found.pop())
    }

    fn required(&self, names: &[&str], what: &str) -> Result<Column> {
        if let Some(column) = self.optional(names)? {
            return Ok(column);
        }
        let fields = self.schema.fields().iter();
        let there: Vec<&str> = fields.map(|field| field.name().as_str()).collect();
        let reason = format!(
            "there is no such column, {what}; name one `{}`: the file has {}",
            names.join("` or `"),
            there.join(", ")
        );
        self.refuse(names[0], reason)
    }

    /// `timestamp`, `time` or `ts`, which may say their unit.
    fn time(&self) -> Result<Column> {
        let units = ["", "_ms", "_us", "_ns"];
        let names = units
            .iter()
            .flat_map(|unit| TIME.map(|name| format!("{name}{unit}")));
        let names: Vec<String> = names.collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if let Some(column) = self.optional(&names)? {
            return Ok(column);
        }
        let is_of_buckets = self.schema.field_with_name("start").is_ok();
        let reason = if is_of_buckets {
            "the file holds buckets, and points are needed: export with --resolution raw"
        } else {
            "there is no such column, the time of a point; name one `timestamp`, `time` or `ts`, with the unit behind it \
             (`timestamp_ms`, `timestamp_us`, `timestamp_ns`) where its type is a whole number"
        };
        self.refuse(TIME[0], reason)
    }

    fn per_ms(&self, time: &Column) -> Result<PerMs> {
        let by_name = match time.name.rsplit_once('_') {
            Some((_, "us")) => 1_000,
            Some((_, "ns")) => 1_000_000,
            Some(_) | None => 1,
        };
        if time.kind == DataType::Int64 {
            return Ok(PerMs(by_name));
        }
        if let DataType::Timestamp(unit, _) = &time.kind {
            match unit {
                TimeUnit::Millisecond => return Ok(PerMs(1)),
                TimeUnit::Microsecond => return Ok(PerMs(1_000)),
                TimeUnit::Nanosecond => return Ok(PerMs(1_000_000)),
                // Parquet has none of seconds.
                TimeUnit::Second => {}
            }
        }
        let reason = format!(
            "is of type {}: write it as a TIMESTAMP of milliseconds, microseconds or nanoseconds, or as INT64",
            time.kind
        );
        self.refuse(&time.name, reason)
    }

    fn check_whole(&self, column: &Column, wanted: &str) -> Result<()> {
        if column.kind.is_integer() {
            return Ok(());
        }
        let reason = format!("is of type {}: write it as {wanted}", column.kind);
        self.refuse(&column.name, reason)
    }

    fn check_number(&self, column: &Column) -> Result<()> {
        let kind = &column.kind;
        if kind.is_integer() || [DataType::Float64, DataType::Float32].contains(kind) {
            return Ok(());
        }
        let reason = format!("is of type {kind}: write it as DOUBLE");
        self.refuse(&column.name, reason)
    }

    /// The other columns, which are tags.
    fn tags(&self, known: &Columns) -> Result<Vec<Column>> {
        let mut tags = Vec::new();
        for (root, field) in self.schema.fields().iter().enumerate() {
            let is_known = known.all().any(|column| column.name == *field.name());
            if is_known {
                continue;
            }
            let kind = field.data_type();
            if !is_text(kind) {
                let reason = format!(
                    "is of type {kind}: beside a metric's name every further column is a tag and has to be text; write \
                     it as text, or leave it out"
                );
                return self.refuse(field.name(), reason);
            }
            tags.extend(self.column(root, field));
        }
        Ok(tags)
    }
}

/// Types are those of Parquet itself: what Arrow made of them is not asked for.
fn is_text(kind: &DataType) -> bool {
    *kind == DataType::Utf8
}
