//! `skein produce`: points into Kafka.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use skein_config::Settings;
use skein_config::settings::Need;
use skein_loadtest::generator::{Expectation, Generator, GeneratorSettings};
use skein_loadtest::producer::{
    Backlog, Ending, LedgerEnds, ProduceOptions, ProduceProgress, ProduceReport, produce_csv,
    produce_generated, produce_json_lines,
};
use skein_shared::bucket::Bucket;
use skein_shared::format::points_csv::parse_timestamp;
use skein_shared::ids::TopicName;
use skein_shared::ledger::Ledger;
use skein_shared::units::Millis;
use skein_shared::window::TimestampMs;
use tokio::runtime::Runtime;

use crate::cli::{SettingsArgs, now, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};
use crate::signals::cancel_on_signal;

/// Sends points to Kafka: rows of CSV, lines of JSON, or generated series
///
/// CSV has a header row `org,metric,timestamp,value[,tag…]`: an integer org; a metric that is a number
/// (its id) or a name; a timestamp in RFC 3339 or epoch milliseconds; an empty tag is absent. A bad row is
/// reported with its line and left out, and the exit code is then 3.
///
/// A line of JSON is an object with the same columns: {"org":1,"metric":"up","timestamp":1700000000000,
/// "value":1.5,"job":"x"}; any other member is a tag. Bad lines are treated like bad rows.
///
/// Generated series are a function of --seed: the same flags always send the same records.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skein produce --topic points --csv metrics.csv
  promtool tsdb dump … | my-converter | skein produce --topic points --csv -
  skein produce --topic points --jsonl metrics.jsonl
  skein produce --topic points --partitions 64 --orgs 10 --series 1000 --points 1000000 --interval '15 s'")]
pub(crate) struct ProduceArgs {
    /// Topic to send to
    #[arg(long)]
    topic: String,
    /// Creates the topic with so many partitions if it is not there
    #[arg(long, value_name = "N")]
    partitions: Option<u32>,
    /// File of rows, `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["orgs", "series", "points", "seed"])]
    csv: Option<PathBuf>,
    /// File of JSON objects, one a line, `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["csv", "orgs", "series", "points", "seed"])]
    jsonl: Option<PathBuf>,
    #[command(flatten)]
    generator: GeneratorArgs,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Generated series")]
struct GeneratorArgs {
    /// Decides every value and all disorder
    #[arg(long)]
    seed: Option<u64>,
    /// How many orgs; the first has half of the series
    #[arg(long)]
    orgs: Option<u32>,
    /// How many series, of all orgs together
    #[arg(long)]
    series: Option<u32>,
    /// How many points, each time of a series counted once
    #[arg(long)]
    points: Option<u64>,
    /// Time between two points of a series
    #[arg(long, value_name = "TIME")]
    interval: Option<Millis>,
    /// Event time of the first points: RFC 3339 or epoch milliseconds
    #[arg(long, value_name = "TIME", value_parser = parse_timestamp)]
    start: Option<TimestampMs>,
    /// Points in one payload
    #[arg(long, value_name = "N")]
    payload_points: Option<u32>,
    /// Payloads in a thousand that arrive late
    #[arg(long, value_name = "PERMILLE")]
    late: Option<u32>,
    /// Payloads in a thousand that come twice, half of them with other values
    #[arg(long, value_name = "PERMILLE")]
    duplicates: Option<u32>,
    /// Payloads in a thousand that arrive behind their successor
    #[arg(long, value_name = "PERMILLE")]
    out_of_order: Option<u32>,
    /// Records that have to end in quarantine
    #[arg(long, value_name = "N")]
    poison: Option<u32>,
}

impl GeneratorArgs {
    fn settings(&self) -> GeneratorSettings {
        let default = GeneratorSettings::default();
        GeneratorSettings {
            seed: self.seed.unwrap_or(default.seed),
            orgs: self.orgs.unwrap_or(default.orgs),
            series: self.series.unwrap_or(default.series),
            points: self.points.unwrap_or(default.points),
            mix: default.mix,
            interval: self.interval.unwrap_or(default.interval),
            start: self.start.unwrap_or(default.start),
            payload_points: self.payload_points.unwrap_or(default.payload_points),
            late_permille: self.late.unwrap_or(default.late_permille),
            duplicate_permille: self.duplicates.unwrap_or(default.duplicate_permille),
            out_of_order_permille: self.out_of_order.unwrap_or(default.out_of_order_permille),
            poison: self.poison.unwrap_or(default.poison),
        }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    topic: &'a str,
    partitions: u32,
    records: u64,
    points: u64,
    value_bytes: u64,
    elapsed_ms: u128,
    points_per_second: f64,
    bad_rows: u64,
    first_bad_rows: Vec<String>,
    expected: Option<&'a Expectation>,
    sent_digest: Option<String>,
    ending: Ending,
}

/// Runs it.
pub(crate) fn run(args: &ProduceArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start_watched("produce", &[Need::Brokers])?;
    let runtime = runtime()?;
    let _inside = runtime.enter();
    let options = ProduceOptions {
        kafka: &settings.kafka,
        topic: TopicName::new(args.topic.as_str()).map_err(Failure::usage)?,
        partitions: args.partitions,
        backlog: backlog(&settings, &runtime)?,
        cancel: cancel_on_signal()?,
        progress: tell,
    };
    let limits = settings.limits.limits();
    let report = match (&args.csv, &args.jsonl) {
        (Some(file), _) => produce_csv(options, open(file)?, limits, now()),
        (None, Some(file)) => produce_json_lines(options, open(file)?, limits, now()),
        (None, None) => produce_generated(options, &Generator::new(args.generator.settings())?),
    }?;
    print(&report, args.format)?;
    Ok(match report.ending {
        Ending::Cancelled => {
            eprintln!("skein: ended on request before all was sent: the rest was not sent");
            ExitCode::Internal
        }
        Ending::Complete if report.bad_rows.count == 0 => ExitCode::Ok,
        Ending::Complete => ExitCode::Difference,
    })
}

fn backlog(settings: &Settings, runtime: &Runtime) -> Result<Option<Backlog>, Failure> {
    let limit = settings.kafka.backlog_limit;
    if limit.0 == 0 {
        return Ok(None);
    }
    settings.require(&[Need::Bucket])?;
    let bucket = runtime.block_on(Bucket::open(&settings.bucket.settings()?))?;
    let ends = LedgerEnds {
        ledger: Ledger::new(bucket),
        source: settings.kafka.source_name(),
        runtime: runtime.handle().clone(),
    };
    Ok(Some(Backlog::new(limit, ends)))
}

fn open(file: &PathBuf) -> Result<Box<dyn Read>, Failure> {
    if file.as_os_str() == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let opened = File::open(file);
    let refused = |error| {
        Failure::usage(format!(
            "open input failed; file=`{}` reason=`{error}`",
            file.display()
        ))
    };
    Ok(Box::new(opened.map_err(refused)?))
}

fn tell(progress: ProduceProgress) {
    let ProduceProgress {
        records, points, ..
    } = progress;
    tracing::info!(records, points, "sent");
}

fn print(report: &ProduceReport, format: ReportFormat) -> Result<(), Failure> {
    for row in &report.bad_rows.first {
        eprintln!("skein: left out, {row}");
    }
    let shown = Report {
        topic: report.topic.as_str(),
        partitions: report.partitions,
        records: report.records,
        points: report.points,
        value_bytes: report.value_bytes,
        elapsed_ms: report.elapsed.as_millis(),
        points_per_second: report.points_per_second(),
        bad_rows: report.bad_rows.count,
        first_bad_rows: report
            .bad_rows
            .first
            .iter()
            .map(ToString::to_string)
            .collect(),
        expected: report.expected.as_ref(),
        sent_digest: report.sent_digest.map(|digest| digest.to_string()),
        ending: report.ending,
    };
    match format {
        ReportFormat::Json => output::json(&shown),
        ReportFormat::Text => {
            let Report {
                topic,
                partitions,
                records,
                points,
                value_bytes,
                points_per_second,
                bad_rows,
                ..
            } = shown;
            output::text(&format!(
                "sent {points} points in {records} records ({value_bytes} bytes) to {topic} ({partitions} partitions), \
                 {points_per_second:.0} points/s, {bad_rows} bad rows left out\n"
            ))
        }
    }
}
