//! `skein read`: points, stitched from all segments, or buckets of them.

mod plan;
mod mirrored;
mod summary;

use std::io::{self, BufWriter, StdoutLock};

use clap::{Args, ValueEnum};
use skein_config::Settings;
use skein_config::settings::Need;
use skein_reader::bucket_scan::{BucketOptions, BucketScan};
use skein_reader::buckets_output::BucketsOutput;
use skein_reader::plot::PlotSize;
use skein_reader::points_output::{OutputFormat, PointsOutput};
use skein_reader::segment_scan::{Scan, ScanOptions};
use skein_reader::series_names;
use skein_reader::snapshot::Snapshot;
use skein_shared::bucket::Bucket;
use skein_shared::format::points_csv::parse_timestamp;
use skein_shared::ids::OrgId;
use skein_shared::segment_fetch::MetadataFetch;
use skein_shared::window::{Resolution, TimeSpan, TimestampMs};

use crate::cli::incomplete::{self, Demand};
use crate::cli::owner::OwnerArgs;
use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};

use summary::{Found, Summary};

/// Reads points back, or buckets of them, in order of org, metric and time
///
/// The metric is an id of digits, a full name `cpu{host="a"}`, or a bare name where the org has one series
/// of it. `--format csv` has the columns that `produce --csv` takes. A summary with the digest of all points
/// goes to stderr; with `--format json` it is the stream's last line.
///
/// With `--resolution` a bucket of 5 minutes, an hour or a day (of UTC) stands for the points in it: count, nans, sum,
/// min, max, first, last, increase and avg. NaNs count in nans alone; a value that is less than the one before counts
/// for increase as a whole, because a counter was reset. A bucket that begins between `--from` and `--to` is shown, and
/// is whole. What the compactor stored is read where no later point touches it, raw points elsewhere: the numbers are
/// the same.
///
/// Of an org that moves from an old pipeline to this one every point is that of the pipeline that is visible at the
/// point's time, and no place of the old one's points that cannot be reached is passed over. `--explain` shows instead of
/// points which objects they come from, and why.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
#[command(after_help = "\
Examples:
  skein read --org 7 --metric 'http_requests{job=\"api\"}' --format plot
  skein read --org 7 --from 2026-01-01T00:00:00Z --to 2026-01-02T00:00:00Z
  skein read --org 7 --metric cpu --resolution 1h --from 2026-01-01T00:00:00Z --stats
  skein read --org 7 --explain
  skein read --org 7 --mirror > points.txt
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
    /// Points as they are, or buckets of 5 minutes, an hour or a day
    #[arg(long, value_name = "raw|5m|1h|1d", default_value = "raw")]
    resolution: Resolution,
    /// Reads all of it again on both pipelines, where both write and the old one is visible, and compares them; exit code 3
    /// when they differ, 4 when one has not come so far yet
    #[arg(long, requires = "org", conflicts_with = "explain")]
    mirror: bool,
    /// Says what the read cost: requests, bytes, and where buckets came from
    #[arg(long)]
    stats: bool,
    /// Shows which objects points come from, from which pipeline and why, instead of the points
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    owner: OwnerArgs,
    #[command(flatten)]
    demand: Demand,
    /// Form of the points
    #[arg(long, default_value = "table")]
    format: PointsFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PointsFormat {
    /// One line a point or bucket
    Table,
    /// What `produce --csv` takes; of buckets their columns
    Csv,
    /// One JSON document a line, for each series and day
    Json,
    /// A chart of one series; of buckets their averages
    Plot,
}

type Stdout = BufWriter<StdoutLock<'static>>;

/// Runs it.
pub(crate) fn run(args: &ReadArgs, settings: &SettingsArgs) -> Outcome {
    let span = span(args.from, args.to, args.resolution)?;
    let settings = settings.start_watched("read", &[Need::Bucket])?;
    let (summary, code) = runtime()?.block_on(async {
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        let found = read(args, span, (&settings, &bucket)).await?;
        let costs = args.stats.then(|| bucket.requests());
        let summary = found.map(|found| Summary::new(&found, costs.as_ref()));
        let code = match args.org {
            Some(org) if args.mirror => {
                mirror(args, (OrgId(org), span), (&settings, bucket)).await?
            }
            Some(_) | None => ExitCode::Ok,
        };
        Ok::<_, Failure>((summary, code))
    })?;
    let Some(summary) = summary else {
        return Ok(ExitCode::Ok);
    };
    if args.format == PointsFormat::Json {
        summary.as_last_line()?;
    } else {
        eprint!("{summary}");
    }
    Ok(code)
}

async fn mirror(
    args: &ReadArgs,
    (org, span): (OrgId, TimeSpan),
    (settings, bucket): (&Settings, Bucket),
) -> Result<ExitCode, Failure> {
    let what = mirrored::Mirrored {
        org,
        metric: args.metric.as_deref(),
        span,
        resolution: args.resolution,
    };
    mirrored::compare(settings, bucket, what).await
}

/// What was read; `None` where only the way was asked for.
async fn read(
    args: &ReadArgs,
    span: TimeSpan,
    (settings, bucket): (&Settings, &Bucket),
) -> Result<Option<Found>, Failure> {
    let what = (args.org.map(OrgId), args.metric.as_deref());
    let snapshot = args.owner.select(settings, bucket, what).await?;
    let times = args.resolution.buckets_in(span);
    if args.explain {
        plan::show(&snapshot, times, args.format).await?;
        return Ok(None);
    }
    incomplete::check(&snapshot, times, args.demand)?;
    let format = match args.format {
        PointsFormat::Table => OutputFormat::Table,
        PointsFormat::Csv => OutputFormat::Csv(series_names::tag_keys(&snapshot).await?),
        PointsFormat::Json => OutputFormat::Json,
        PointsFormat::Plot => OutputFormat::Plot(PlotSize::default()),
    };
    let output: Stdout = BufWriter::new(io::stdout().lock());
    let found = if args.resolution.is_raw() {
        read_points(snapshot, span, PointsOutput::new(format, output)?).await
    } else {
        let resolution = args.resolution;
        let output = BucketsOutput::new(format, resolution, output)?;
        read_buckets(snapshot, (span, resolution), output).await
    };
    found.map(Some)
}

async fn read_points(
    snapshot: Snapshot,
    span: TimeSpan,
    mut output: PointsOutput<Stdout>,
) -> Result<Found, Failure> {
    let options = ScanOptions {
        span,
        metadata: MetadataFetch::Fetch,
    };
    let mut reading = Scan::start(snapshot, options).await?;
    while let Some(piece) = reading.next().await? {
        output.write(&piece)?;
    }
    output.finish()?;
    Ok(Found::Points(reading.summary()))
}

async fn read_buckets(
    snapshot: Snapshot,
    (span, resolution): (TimeSpan, Resolution),
    mut output: BucketsOutput<Stdout>,
) -> Result<Found, Failure> {
    let options = BucketOptions {
        resolution,
        span,
        metadata: MetadataFetch::Fetch,
    };
    let mut reading = BucketScan::start(snapshot, options).await?;
    while let Some(piece) = reading.next().await? {
        output.write(&piece)?;
    }
    output.finish()?;
    Ok(Found::Buckets(reading.summary(), resolution))
}

/// The span between `--from` and `--to`, which must hold the begin of a bucket.
pub(super) fn span(
    from: Option<TimestampMs>,
    to: Option<TimestampMs>,
    resolution: Resolution,
) -> Result<TimeSpan, Failure> {
    let span = TimeSpan {
        from: from.unwrap_or(TimeSpan::ALL.from),
        to: to.unwrap_or(TimeSpan::ALL.to),
    };
    let (from, to) = (span.from, span.to);
    if span.is_empty() {
        let reason = format!("--from {from} does not lie before --to {to}");
        return Err(Failure::usage(reason));
    }
    if resolution.buckets_in(span).is_empty() {
        let reason = format!(
            "no bucket of {resolution} begins between --from {from} and --to {to}; \
             give a wider span or a finer --resolution"
        );
        return Err(Failure::usage(reason));
    }
    Ok(span)
}
