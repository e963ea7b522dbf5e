//! `skein read`: points, stitched from all segments.

use std::io::{self, BufWriter, StdoutLock, Write};

use clap::{Args, ValueEnum};
use serde::Serialize;
use skein_config::cutover::timeline::Timelines;
use skein_config::settings::Need;
use skein_reader::plot::PlotSize;
use skein_reader::points_output::{OutputFormat, PointsOutput};
use skein_reader::segment_scan::{Scan, ScanOptions, ScanSummary};
use skein_reader::series_names;
use skein_reader::snapshot::{Selection, Snapshot};
use skein_shared::bucket::Bucket;
use skein_shared::format::points_csv::parse_timestamp;
use skein_shared::ids::{OrgId, SeriesKey};
use skein_shared::segment_fetch::MetadataFetch;
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};

/// Reads points back, in order of org, metric and time
///
/// The metric is an id of digits, a full name `cpu{host="a"}`, or a bare name where the org has one series
/// of it. `--format csv` has the columns that `produce --csv` takes. A summary with the digest of all points
/// goes to stderr; with `--format json` it is the stream's last line.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skein read --org 7 --metric 'http_requests{job=\"api\"}' --format plot
  skein read --org 7 --from 2026-01-01T00:00:00Z --to 2026-01-02T00:00:00Z
  skein read --all --format csv > points.csv")]
pub(crate) struct ReadArgs {
    /// Whose points
    #[arg(long, required_unless_present = "all", conflicts_with = "all")]
    org: Option<u64>,
    /// Which series; without it all of the org
    #[arg(long, requires = "org")]
    metric: Option<String>,
    /// Every series of every org
    #[arg(long)]
    all: bool,
    /// First instant: RFC 3339 or epoch milliseconds
    #[arg(long, value_name = "TIME", value_parser = parse_timestamp)]
    from: Option<TimestampMs>,
    /// First instant beyond
    #[arg(long, value_name = "TIME", value_parser = parse_timestamp)]
    to: Option<TimestampMs>,
    /// Form of the points
    #[arg(long, default_value = "table")]
    format: PointsFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PointsFormat {
    /// One line a point
    Table,
    /// What `produce --csv` takes
    Csv,
    /// One JSON document a line, for each series and day
    Json,
    /// A chart of one series
    Plot,
}

#[derive(Serialize)]
struct SummaryLine {
    summary: Summary,
}

#[derive(Serialize)]
struct Summary {
    points: u64,
    series: u64,
    digest: String,
    superseded: u64,
    segments: u64,
    requests: u64,
    received_bytes: u64,
}

type Stdout = BufWriter<StdoutLock<'static>>;

/// Runs it.
pub(crate) fn run(args: &ReadArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start_watched("read", &[Need::Bucket])?;
    let summary = runtime()?.block_on(async {
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        read(args, &bucket).await
    })?;
    tell(args.format, &summary)?;
    Ok(ExitCode::Ok)
}

async fn read(args: &ReadArgs, bucket: &Bucket) -> Result<ScanSummary, Failure> {
    let snapshot = select(args, bucket).await?;
    let format = match args.format {
        PointsFormat::Table => OutputFormat::Table,
        PointsFormat::Csv => OutputFormat::Csv(series_names::tag_keys(&snapshot).await?),
        PointsFormat::Json => OutputFormat::Json,
        PointsFormat::Plot => OutputFormat::Plot(PlotSize::default()),
    };
    let options = ScanOptions {
        span: args.span()?,
        metadata: MetadataFetch::Fetch,
    };
    let mut output: PointsOutput<Stdout> =
        PointsOutput::new(format, BufWriter::new(io::stdout().lock()))?;
    let mut scan = Scan::start(snapshot, options).await?;
    while let Some(piece) = scan.next().await? {
        output.write(&piece)?;
    }
    output.finish()?;
    Ok(scan.summary())
}

async fn select(args: &ReadArgs, bucket: &Bucket) -> Result<Snapshot, Failure> {
    let timelines = Timelines::new_owns_everything;
    let Some(org) = args.org.map(OrgId) else {
        return Ok(Snapshot::load(bucket, timelines(), Selection::All).await?);
    };
    let whole = Snapshot::load(bucket, timelines(), Selection::Org(org)).await?;
    let Some(metric) = &args.metric else {
        return Ok(whole);
    };
    let metric = series_names::find(&whole, org, metric).await?;
    let series = Selection::Series(SeriesKey { org, metric });
    Ok(Snapshot::load(bucket, timelines(), series).await?)
}

impl ReadArgs {
    fn span(&self) -> Result<TimeSpan, Failure> {
        let span = TimeSpan {
            from: self.from.unwrap_or(TimeSpan::ALL.from),
            to: self.to.unwrap_or(TimeSpan::ALL.to),
        };
        if span.from < span.to {
            return Ok(span);
        }
        Err(Failure::usage(format!(
            "--from {} does not lie before --to {}",
            span.from, span.to
        )))
    }
}

fn tell(format: PointsFormat, summary: &ScanSummary) -> Result<(), Failure> {
    let summary = Summary {
        points: summary.points,
        series: summary.series,
        digest: summary.digest.to_string(),
        superseded: summary.superseded,
        segments: summary.segments,
        requests: summary.requests,
        received_bytes: summary.received_bytes,
    };
    if format == PointsFormat::Json {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, &SummaryLine { summary })?;
        return Ok(writeln!(out)?);
    }
    let Summary {
        points,
        series,
        digest,
        segments,
        requests,
        received_bytes,
        ..
    } = summary;
    eprintln!(
        "{points} points of {series} series, digest {digest}; {segments} segments, {requests} requests, {received_bytes} bytes"
    );
    Ok(())
}
