//! `skein export`: points or buckets of an org in a file for other systems.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use skein_config::settings::Need;
use skein_reader::export::{ExportFormat, ExportOptions, Exported, export};
use skein_reader::snapshot::Selection;
use skein_shared::bucket::Bucket;
use skein_shared::format::points_csv::parse_timestamp;
use skein_shared::ids::OrgId;
use skein_shared::window::{Resolution, TimestampMs};

use crate::cli::incomplete::{self, Demand};
use crate::cli::owner::OwnerArgs;
use crate::cli::{SettingsArgs, read, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};

/// Writes points or buckets of an org into a file: Parquet, an Arrow stream, CSV or JSON lines
///
/// Rows stand in order of series (by id) and time, in row groups of a million; memory does not grow with their number.
/// Columns: org, metric (the series' id), series (its name, where it has one), timestamp (milliseconds, UTC) and value;
/// of buckets start instead of timestamp, and count, nans, sum, min, max, first, last, increase and avg. Parquet and
/// Arrow also say where the rows come from, with which versions and up to where. A file has its name once it is whole;
/// until then, and where an export was killed, it is called FILE.part.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skein export --org 7 --format parquet --out org-7.parquet
  skein export --org 7 --metric cpu --resolution 1h --format parquet --out exports/
  duckdb -c \"select series, avg(value) from 'org-7.parquet' group by series\"")]
pub(crate) struct ExportArgs {
    /// Whose points
    #[arg(long)]
    org: u64,
    /// Which series, as for `read`; without it all of the org
    #[arg(long)]
    metric: Option<String>,
    /// First instant: RFC 3339 or epoch milliseconds
    #[arg(long, value_name = "TIME", value_parser = parse_timestamp)]
    from: Option<TimestampMs>,
    /// First instant beyond
    #[arg(long, value_name = "TIME", value_parser = parse_timestamp)]
    to: Option<TimestampMs>,
    /// Points as they are, or buckets of 5 minutes, an hour or a day
    #[arg(long, value_name = "raw|5m|1h|1d", default_value = "raw")]
    resolution: Resolution,
    #[command(flatten)]
    owner: OwnerArgs,
    #[command(flatten)]
    demand: Demand,
    /// Form of the file
    #[arg(long)]
    format: Format,
    /// The file, which must not be there; or a directory, for a file named after what it holds
    #[arg(long, value_name = "FILE|DIR")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Apache Parquet, compressed with zstd
    Parquet,
    /// The streaming format of Arrow IPC
    Arrow,
    /// One row a point, as `read --format csv`
    Csv,
    /// One document for each series and day, as `read --format json`
    Jsonl,
}

/// Runs it.
pub(crate) fn run(args: &ExportArgs, settings: &SettingsArgs) -> Outcome {
    let span = read::span(args.from, args.to, args.resolution)?;
    let settings = settings.start_watched("export", &[Need::Bucket])?;
    let (file, done) = runtime()?.block_on(async {
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        let what = (Some(OrgId(args.org)), args.metric.as_deref());
        let snapshot = args.owner.select(&settings, &bucket, what).await?;
        let times = args.resolution.buckets_in(span);
        incomplete::check(&snapshot, times, args.demand)?;
        let options = ExportOptions {
            format: args.format.into(),
            resolution: args.resolution,
            span,
            file: args.file(snapshot.selection()),
        };
        let done = export(snapshot, &options).await?;
        Ok::<_, Failure>((options.file, done))
    })?;
    tell(&file, &done);
    Ok(ExitCode::Ok)
}

impl From<Format> for ExportFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Parquet => Self::Parquet,
            Format::Arrow => Self::Arrow,
            Format::Csv => Self::Csv,
            Format::Jsonl => Self::Jsonl,
        }
    }
}

impl ExportArgs {
    /// Where to, named after what is exported if that is a directory.
    fn file(&self, selection: Selection) -> PathBuf {
        let is_directory =
            self.out.is_dir() || self.out.as_os_str().as_encoded_bytes().ends_with(b"/");
        if !is_directory {
            return self.out.clone();
        }
        let metric = match selection {
            Selection::Series(key) => format!("-metric-{}", key.metric),
            Selection::All | Selection::Org(_) | Selection::OrgFrom(_) => String::new(),
        };
        let extension = match self.format {
            Format::Parquet => "parquet",
            Format::Arrow => "arrows",
            Format::Csv => "csv",
            Format::Jsonl => "jsonl",
        };
        let (org, resolution) = (self.org, self.resolution);
        self.out
            .join(format!("org-{org}{metric}-{resolution}.{extension}"))
    }
}

fn tell(file: &Path, done: &Exported) {
    let Exported {
        rows,
        series,
        digest,
        file_bytes,
        ..
    } = done;
    let file = file.display();
    eprintln!("{file}: {rows} rows of {series} series, digest {digest}, {file_bytes} bytes");
}
