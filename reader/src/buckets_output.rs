//! Buckets as a table, CSV, JSON lines or a plot, piece by piece as they are read.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use serde::Serialize;
use skein_shared::format::points_csv::value_text;
use skein_shared::rollup::{Bucket, Rollup};
use skein_shared::window::{Resolution, TimestampMs};

use crate::bucket_scan::BucketPiece;
use crate::error::{Error, Result};
use crate::points_output::{OutputFormat, PointsOutput};
use crate::segment_scan::Piece;
use crate::series_names::{label_of, metric_of, name_of};

/// What stands in the columns of a bucket, in their order, besides its start.
pub const BUCKET_COLUMNS: [&str; 9] = [
    "count", "nans", "sum", "min", "max", "first", "last", "increase", "avg",
];

/// Writes the pieces of a scan of buckets.
#[derive(Debug)]
pub struct BucketsOutput<W: Write> {
    output: Output<W>,
}

#[derive(Debug)]
enum Output<W: Write> {
    Table(W),
    Csv(Box<csv::Writer<W>>, Vec<String>),
    Json(W),
    /// Of the averages.
    Plot(Box<PointsOutput<W>>),
}

/// The part of a JSON line before the columns of floats. Ids are text: many readers of JSON know only doubles.
#[derive(Serialize)]
struct JsonHead<'a> {
    org: String,
    metric: String,
    series: Option<String>,
    metadata: Option<&'a BTreeMap<String, String>>,
    resolution: Resolution,
    starts_ms: &'a [i64],
    count: &'a [u64],
    nans: &'a [u64],
}

impl<W: Write> BucketsOutput<W> {
    /// Begins the output of buckets of `resolution`, with a header where the format has one.
    ///
    /// # Errors
    /// What `output` says.
    pub fn new(format: OutputFormat, resolution: Resolution, mut output: W) -> Result<Self> {
        let output = match format {
            OutputFormat::Table => {
                write_head(&mut output).map_err(Error::Output)?;
                Output::Table(output)
            }
            OutputFormat::Csv(tag_keys) => {
                let mut csv = csv::Writer::from_writer(output);
                let tags: Vec<String> = tag_keys.into_iter().collect();
                let head = ["org", "metric", "start"].into_iter().chain(BUCKET_COLUMNS);
                let head = head.chain(tags.iter().map(String::as_str));
                csv.write_record(head).map_err(csv_error)?;
                Output::Csv(Box::new(csv), tags)
            }
            OutputFormat::Json => Output::Json(output),
            OutputFormat::Plot(size) => {
                let what = format!("averages of {resolution}, ");
                Output::Plot(Box::new(PointsOutput::plot(size, what, output)))
            }
        };
        Ok(Self { output })
    }

    /// Writes one piece.
    ///
    /// # Errors
    /// What the output says, or `Unsuitable` for a second series in a plot.
    pub fn write(&mut self, piece: &BucketPiece<'_>) -> Result<()> {
        match &mut self.output {
            Output::Table(output) => write_table(output, piece).map_err(Error::Output),
            Output::Csv(csv, tags) => write_csv(csv, tags, piece).map_err(csv_error),
            Output::Json(output) => write_json(output, piece).map_err(Error::Output),
            Output::Plot(plot) => {
                let averages: Vec<f64> = piece.rollup.buckets().map(|it| it.average()).collect();
                plot.write(&Piece {
                    key: piece.key,
                    metadata: piece.metadata,
                    timestamps_ms: &piece.rollup.starts_ms,
                    values: &averages,
                })
            }
        }
    }

    /// Ends the output; a plot is drawn now.
    ///
    /// # Errors
    /// What the output says, or `Unsuitable` for a plot of nothing.
    pub fn finish(self) -> Result<()> {
        match self.output {
            Output::Table(mut output) | Output::Json(mut output) => output.flush(),
            Output::Csv(mut csv, _) => csv.flush(),
            Output::Plot(plot) => return plot.finish(),
        }
        .map_err(Error::Output)
    }
}

/// The floats of a bucket in the order of their columns.
pub fn float_columns(bucket: &Bucket) -> [f64; 7] {
    [
        bucket.sum,
        bucket.min,
        bucket.max,
        bucket.first,
        bucket.last,
        bucket.increase,
        bucket.average(),
    ]
}

fn write_head(output: &mut impl Write) -> std::io::Result<()> {
    let [count, nans, floats @ ..] = BUCKET_COLUMNS;
    write!(
        output,
        "{:>8}  {:24}  {count:>10}  {nans:>6}",
        "org", "start (UTC)"
    )?;
    for name in floats {
        write!(output, "  {name:>22}")?;
    }
    writeln!(output, "  series")
}

fn write_table(output: &mut impl Write, piece: &BucketPiece<'_>) -> std::io::Result<()> {
    let (org, label) = (piece.key.org, label_of(piece.key.metric, piece.metadata));
    for bucket in piece.rollup.buckets() {
        let start = TimestampMs(bucket.start_ms).to_string();
        let (count, nans) = (bucket.count, bucket.nans);
        write!(output, "{org:>8}  {start:24}  {count:>10}  {nans:>6}")?;
        for float in float_columns(&bucket) {
            write!(output, "  {:>22}", value_text(float))?;
        }
        writeln!(output, "  {label}")?;
    }
    Ok(())
}

fn write_csv(
    csv: &mut csv::Writer<impl Write>,
    tags: &[String],
    piece: &BucketPiece<'_>,
) -> csv::Result<()> {
    let metric = metric_of(piece.key.metric, piece.metadata);
    let own = name_of(piece.key.metric, piece.metadata);
    let own = own.iter().flat_map(|series| series.tags().keys());
    let known: BTreeSet<&String> = tags.iter().collect();
    if let Some(key) = own.into_iter().find(|key| !known.contains(key)) {
        let reason = format!("tag `{key}` has no column");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, reason).into());
    }
    let (org, column) = (piece.key.org.to_string(), metric.column());
    for bucket in piece.rollup.buckets() {
        let numbers = [
            bucket.start_ms.to_string(),
            bucket.count.to_string(),
            bucket.nans.to_string(),
        ];
        let floats = float_columns(&bucket).map(value_text);
        let names = [org.as_str(), column.as_str()].into_iter();
        let numbers = numbers.iter().chain(&floats).map(String::as_str);
        let tags = tags.iter().map(|key| metric.tag(key));
        csv.write_record(names.chain(numbers).chain(tags))?;
    }
    Ok(())
}

fn write_json(output: &mut impl Write, piece: &BucketPiece<'_>) -> std::io::Result<()> {
    let rollup = piece.rollup;
    let head = serde_json::to_string(&JsonHead {
        org: piece.key.org.to_string(),
        metric: piece.key.metric.to_string(),
        series: name_of(piece.key.metric, piece.metadata).map(|series| series.to_string()),
        metadata: piece.metadata.map(|known| &known.entries),
        resolution: rollup.resolution(),
        starts_ms: &rollup.starts_ms,
        count: &rollup.count,
        nans: &rollup.nans,
    })?;
    write!(output, "{}", head.strip_suffix('}').unwrap_or(&head))?;
    for (column, name) in BUCKET_COLUMNS[2..].iter().enumerate() {
        write_json_column(output, name, float_column(rollup, column))?;
    }
    writeln!(output, "}}")
}

fn float_column(rollup: &Rollup, column: usize) -> impl Iterator<Item = f64> {
    rollup
        .buckets()
        .map(move |bucket| float_columns(&bucket)[column])
}

/// JSON has no word for NaN and infinity: those come as the text that CSV has for them.
fn write_json_column(
    output: &mut impl Write,
    name: &str,
    values: impl Iterator<Item = f64>,
) -> std::io::Result<()> {
    write!(output, ",\"{name}\":[")?;
    for (index, value) in values.enumerate() {
        let separator = if index == 0 { "" } else { "," };
        let quote = if value.is_finite() { "" } else { "\"" };
        let text = value_text(value);
        write!(output, "{separator}{quote}{text}{quote}")?;
    }
    write!(output, "]")
}

fn csv_error(error: csv::Error) -> Error {
    Error::Output(error.into())
}

#[cfg(test)]
mod tests {
    use skein_shared::ids::{MetricId, OrgId, SeriesKey};

    use super::*;
    use crate::plot::PlotSize;

    const START: i64 = 1_700_000_100_000;

    fn shown(format: OutputFormat) -> String {
        let mut rollup = Rollup::default();
        rollup.roll(
            &[START, START + 1, START + 300_000],
            &[0.5, -0.25, f64::NAN],
        );
        let piece = BucketPiece {
            key: SeriesKey {
                org: OrgId(7),
                metric: MetricId(9),
            },
            metadata: None,
            rollup: &rollup,
        };
        let mut bytes = Vec::new();
        let mut output = BucketsOutput::new(format, Resolution::FiveMinutes, &mut bytes).unwrap();
        output.write(&piece).unwrap();
        output.finish().unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn csv_has_a_row_for_each_bucket_and_nan_where_there_is_no_value() {
        let expected = concat!(
            "org,metric,start,count,nans,sum,min,max,first,last,increase,avg,job\n",
            "7,9,1700000100000,2,0,0.25,-0.25,0.5,0.5,-0.25,-0.25,0.125,\n",
            "7,9,1700000400000,0,1,0.0,NaN,NaN,NaN,NaN,0.0,NaN,\n",
        );
        let keys = BTreeSet::from(["job".to_owned()]);
        assert_eq!(shown(OutputFormat::Csv(keys)), expected);
    }

    #[test]
    fn a_table_has_a_line_for_each_bucket() {
        let table = shown(OutputFormat::Table);
        let rows: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            rows[0][4..],
            [
                "nans", "sum", "min", "max", "first", "last", "increase", "avg", "series"
            ]
        );
        let first = [
            "7",
            "2023-11-14T22:15:00.000Z",
            "2",
            "0",
            "0.25",
            "-0.25",
            "0.5",
        ];
        assert_eq!(rows[1][..7], first);
        assert_eq!(rows[1][7..], ["0.5", "-0.25", "-0.25", "0.125", "9"]);
        assert_eq!(rows.len(), 3);
    }

    #[test]
    fn a_json_line_has_a_list_for_each_column() {
        let json = shown(OutputFormat::Json);
        assert_eq!(json.lines().count(), 1);
        let line: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(line["resolution"], "5m");
        assert_eq!(line["starts_ms"][1], START + 300_000);
        assert_eq!(line["count"], serde_json::json!([2, 0]));
        assert_eq!(line["avg"], serde_json::json!([0.125, "NaN"]));
    }

    #[test]
    fn a_plot_is_of_the_averages_and_says_so() {
        let plot = shown(OutputFormat::Plot(PlotSize::default()));
        assert!(plot.contains("averages of 5m"), "{plot}");
    }
}
