//! Points as a table, CSV, JSON lines or a plot, piece by piece as they are read.

use std::collections::BTreeSet;
use std::io::Write;

use serde::Serialize;
use skein_shared::format::points_csv::{PointsWriter, value_text};
use skein_shared::ids::SeriesKey;
use skein_shared::window::TimestampMs;

use crate::error::{Error, Result};
use crate::plot::{Plot, PlotSize, render};
use crate::segment_scan::Piece;
use crate::series_names::{label_of, metric_of, name_of};

/// How points are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputFormat {
    /// One aligned line for each point.
    Table,
    /// What `produce --csv` takes; with these tag columns, which are all that the series have.
    Csv(BTreeSet<String>),
    /// One JSON document a line, for each series and day.
    Json,
    /// A chart of one series for the terminal.
    Plot(PlotSize),
}

/// Writes the pieces of a scan.
#[derive(Debug)]
pub struct PointsOutput<W: Write> {
    output: Output<W>,
}

#[derive(Debug)]
enum Output<W: Write> {
    Table(W),
    Csv(Box<PointsWriter<W>>),
    Json(W),
    Plot(Box<PlotOutput<W>>),
}

#[derive(Debug)]
struct PlotOutput<W> {
    output: W,
    size: PlotSize,
    what: String,
    series: Option<PlotSeries>,
}

#[derive(Debug)]
struct PlotSeries {
    key: SeriesKey,
    title: String,
    unit: Option<String>,
    timestamps_ms: Vec<i64>,
    values: Vec<f64>,
}

/// The part of a JSON line before the points. Ids are text: many readers of JSON know only doubles.
#[derive(Serialize)]
struct JsonHead<'a> {
    org: String,
    metric: String,
    series: Option<String>,
    metadata: Option<&'a std::collections::BTreeMap<String, String>>,
    timestamps_ms: &'a [i64],
}

impl<W: Write> PointsOutput<W> {
    /// Begins the output, with a header where the format has one.
    ///
    /// # Errors
    /// What `output` says.
    pub fn new(format: OutputFormat, mut output: W) -> Result<Self> {
        let output = match format {
            OutputFormat::Table => {
                writeln!(
                    output,
                    "{:>8}  {:24}  {:>22}  series",
                    "org", "time (UTC)", "value"
                )
                .map_err(Error::Output)?;
                Output::Table(output)
            }
            OutputFormat::Csv(tag_keys) => {
                let writer = PointsWriter::new(output, tag_keys).map_err(Error::Output)?;
                Output::Csv(Box::new(writer))
            }
            OutputFormat::Json => Output::Json(output),
            OutputFormat::Plot(size) => return Ok(Self::plot(size, String::new(), output)),
        };
        Ok(Self { output })
    }

    /// Begins a plot; `what` stands in its title.
    pub(crate) fn plot(size: PlotSize, what: String, output: W) -> Self {
        Self {
            output: Output::Plot(Box::new(PlotOutput {
                output,
                size,
                what,
                series: None,
            })),
        }
    }

    /// Writes one piece.
    ///
    /// # Errors
    /// What the output says, or `Unsuitable` for a second series in a plot.
    pub fn write(&mut self, piece: &Piece<'_>) -> Result<()> {
        match &mut self.output {
            Output::Table(output) => write_table(output, piece).map_err(Error::Output),
            Output::Csv(writer) => {
                let metric = metric_of(piece.key.metric, piece.metadata);
                let (times, values) = (piece.timestamps_ms, piece.values);
                writer
                    .write_points(piece.key.org, &metric, times, values)
                    .map_err(Error::Output)
            }
            Output::Json(output) => write_json(output, piece).map_err(Error::Output),
            Output::Plot(plot) => plot.collect(piece),
        }
    }

    /// Ends the output; a plot is drawn now.
    ///
    /// # Errors
    /// What the output says, or `Unsuitable` for a plot of nothing.
    pub fn finish(self) -> Result<()> {
        match self.output {
            Output::Table(mut output) | Output::Json(mut output) => output.flush(),
            Output::Csv(mut writer) => writer.flush(),
            Output::Plot(plot) => return (*plot).draw(),
        }
        .map_err(Error::Output)
    }
}

impl<W: Write> PlotOutput<W> {
    fn collect(&mut self, piece: &Piece<'_>) -> Result<()> {
        let series = self.series.get_or_insert_with(|| PlotSeries {
            key: piece.key,
            title: format!(
                "{}  ({}org {})",
                label_of(piece.key.metric, piece.metadata),
                self.what,
                piece.key.org
            ),
            unit: piece
                .metadata
                .and_then(|known| known.entries.get("unit").cloned()),
            timestamps_ms: Vec::new(),
            values: Vec::new(),
        });
        if series.key != piece.key {
            return unsuitable("a plot shows one series: name it with --org and --metric");
        }
        series.timestamps_ms.extend_from_slice(piece.timestamps_ms);
        series.values.extend_from_slice(piece.values);
        Ok(())
    }

    fn draw(mut self) -> Result<()> {
        let Some(series) = self.series else {
            return unsuitable("there are no points to show");
        };
        let text = render(&Plot {
            title: &series.title,
            unit: series.unit.as_deref(),
            timestamps_ms: &series.timestamps_ms,
            values: &series.values,
            size: self.size,
        });
        let written = self.output.write_all(text.as_bytes());
        written
            .and_then(|()| self.output.flush())
            .map_err(Error::Output)
    }
}

fn write_table(output: &mut impl Write, piece: &Piece<'_>) -> std::io::Result<()> {
    let label = label_of(piece.key.metric, piece.metadata);
    for (timestamp, value) in piece.timestamps_ms.iter().zip(piece.values) {
        let time = TimestampMs(*timestamp).to_string();
        let (org, value) = (piece.key.org, value_text(*value));
        writeln!(output, "{org:>8}  {time:24}  {value:>22}  {label}")?;
    }
    Ok(())
}

fn write_json(output: &mut impl Write, piece: &Piece<'_>) -> std::io::Result<()> {
    let head = serde_json::to_string(&JsonHead {
        org: piece.key.org.to_string(),
        metric: piece.key.metric.to_string(),
        series: name_of(piece.key.metric, piece.metadata).map(|series| series.to_string()),
        metadata: piece.metadata.map(|known| &known.entries),
        timestamps_ms: piece.timestamps_ms,
    })?;
    let open = head.strip_suffix('}').unwrap_or(&head);
    write!(output, "{open},\"values\":[")?;
    for (index, value) in piece.values.iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        let text = value_text(*value);
        // JSON has no word for NaN and infinity: those come as the text that CSV has for them.
        let quote = if value.is_finite() { "" } else { "\"" };
        write!(output, "{separator}{quote}{text}{quote}")?;
    }
    writeln!(output, "]}}")
}

fn unsuitable<T>(reason: &str) -> Result<T> {
    Err(Error::Unsuitable {
        format: "plot",
        reason: reason.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use skein_shared::format::series_metadata::SeriesMetadata;
    use skein_shared::ids::{MetricId, OrgId};
    use skein_shared::series::{SERIES_METADATA_KEY, Series};

    use super::*;

    fn metadata(text: &str) -> SeriesMetadata {
        SeriesMetadata {
            entries: BTreeMap::from([(SERIES_METADATA_KEY.to_owned(), text.to_owned())]),
            ..SeriesMetadata::default()
        }
    }

    fn shown(format: OutputFormat, text: &str) -> String {
        let series: Series = text.parse().unwrap();
        let metadata = metadata(text);
        let piece = Piece {
            key: SeriesKey {
                org: OrgId(7),
                metric: series.id(),
            },
            metadata: Some(&metadata),
            timestamps_ms: &[1_700_000_000_123, 1_700_000_001_123],
            values: &[0.5, f64::NEG_INFINITY],
        };
        let mut bytes = Vec::new();
        let mut output = PointsOutput::new(format, &mut bytes).unwrap();
        output.write(&piece).unwrap();
        output.finish().unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_table_has_a_line_for_each_point() {
        let table = shown(OutputFormat::Table, r#"up{job="x"}"#);
        let expected = concat!(
            "     org  time (UTC)                                 value  series\n",
            "       7  2023-11-14T22:13:20.123Z                     0.5  up{job=\"x\"}\n",
            "       7  2023-11-14T22:13:21.123Z                    -inf  up{job=\"x\"}\n",
        );
        assert_eq!(table, expected);
    }

    #[test]
    fn csv_has_the_columns_that_produce_takes() {
        let keys = BTreeSet::from(["job".to_owned(), "zone".to_owned()]);
        let csv = shown(OutputFormat::Csv(keys), r#"up{job="x"}"#);
        let expected = concat!(
            "org,metric,timestamp,value,job,zone\n",
            "7,up,1700000000123,0.5,x,\n",
            "7,up,1700000001123,-inf,x,\n",
        );
        assert_eq!(csv, expected);
    }

    #[test]
    fn a_json_line_is_a_document_with_all_values() {
        let json = shown(OutputFormat::Json, "up");
        let line: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json.lines().count(), 1);
        assert_eq!(line["series"], "up");
        assert_eq!(line["timestamps_ms"][1], 1_700_000_001_123_i64);
        assert_eq!(line["values"][0], 0.5);
        assert_eq!(line["values"][1], "-inf");
    }

    #[test]
    fn a_text_with_another_id_describes_and_does_not_name() {
        let metadata = metadata("up");
        assert_eq!(name_of(MetricId(1), Some(&metadata)), None);
    }

    #[test]
    fn a_plot_refuses_nothing_and_a_second_series() {
        let format = OutputFormat::Plot(PlotSize::default());
        let output = PointsOutput::new(format.clone(), Vec::new()).unwrap();
        assert!(output.finish().is_err());
        let mut output = PointsOutput::new(format, Vec::new()).unwrap();
        let piece = |metric| Piece {
            key: SeriesKey {
                org: OrgId(1),
                metric: MetricId(metric),
            },
            metadata: None,
            timestamps_ms: &[0],
            values: &[1.0],
        };
        output.write(&piece(1)).unwrap();
        let error = output.write(&piece(2)).unwrap_err().to_string();
        assert!(error.contains("one series"), "{error}");
    }
}
