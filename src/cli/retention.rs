//! `skein retention`: how long Kafka and state keep records, and segments points; and what becomes of what is older.

mod points;
mod state;

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde::Serialize;
use skein_config::prices::Dollars;
use skein_config::settings::Need;
use skein_connector::retention::{RetentionSetup, TopicReport, report};
use skein_shared::bucket::Bucket;
use skein_shared::units::Millis;

use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};

/// Shows how long Kafka and state keep records, and expires points
#[derive(Debug, Args)]
pub(crate) struct RetentionArgs {
    #[command(subcommand)]
    command: RetentionCommand,
}

#[derive(Debug, Subcommand)]
enum RetentionCommand {
    /// Shows, for each topic, how short Kafka's retention can be and what that saves
    ///
    /// Kafka has to hold a record until the ledger names it, and through the longest outage that it is to bridge
    /// (`retention.outage`). So the report looks at how long the records of the newest ledger entries waited, from
    /// their own timestamps on, and allows for twice the longest wait. Exit code 3 when state is kept for less
    /// than twice as long as a topic.
    Report {
        /// Newest ledger entries of each partition that are looked at
        #[arg(long, value_name = "N", default_value_t = 100)]
        entries: usize,
        /// Form of the report
        #[arg(long, default_value = "text")]
        format: ReportFormat,
    },
    Plan(points::PlanArgs),
    Apply(points::ApplyArgs),
    State(state::StateArgs),
}

#[derive(Serialize)]
struct Report {
    topics: Vec<TopicReport>,
    saved_per_month: Dollars,
}

/// Runs it.
pub(crate) fn run(args: &RetentionArgs, settings: &SettingsArgs) -> Outcome {
    match &args.command {
        RetentionCommand::Report { entries, format } => records(*entries, *format, settings),
        RetentionCommand::Plan(args) => points::plan(args, settings),
        RetentionCommand::Apply(args) => points::apply(args, settings),
        RetentionCommand::State(args) => state::run(args, settings),
    }
}

fn records(entries: usize, format: ReportFormat, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start(&[Need::Bucket, Need::Brokers])?;
    let topics = runtime()?.block_on(async {
        let setup = RetentionSetup {
            bucket: Bucket::open(&settings.bucket.settings()?).await?,
            kafka: settings.kafka.clone(),
            retention: settings.retention.clone(),
            prices: settings.prices.clone(),
            entries: entries.max(2),
        };
        Ok::<_, Failure>(report(&setup).await?)
    })?;
    let saved = topics.iter().filter_map(|topic| topic.saved_per_month);
    let report = Report {
        saved_per_month: saved.fold(Dollars(0), Dollars::plus),
        topics,
    };
    match format {
        ReportFormat::Json => output::json(&report)?,
        ReportFormat::Text => output::text(&shown(&report))?,
    }
    let is_sound = report.topics.iter().all(|topic| topic.state.is_empty());
    Ok(if is_sound {
        ExitCode::Ok
    } else {
        ExitCode::Difference
    })
}

fn shown(report: &Report) -> String {
    let time = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), |ms| Millis(ms).to_string());
    let rows = report.topics.iter().map(|topic| {
        vec![
            topic.topic.clone(),
            topic.partitions.to_string(),
            time(topic.longest_wait_ms),
            time(topic.longest_gap_ms),
            topic
                .bytes_per_day
                .map_or_else(|| "-".to_owned(), |bytes| bytes.to_string()),
            match topic.kafka_retention_ms {
                None => topic.kafka_keeps.to_owned(),
                kept => time(kept),
            },
            time(topic.shortest_retention_ms),
            topic
                .saved_per_month
                .map_or_else(|| "-".to_owned(), |saved| saved.to_string()),
        ]
    });
    let head = [
        "topic",
        "partitions",
        "longest wait",
        "longest gap",
        "bytes/day",
        "kept",
        "shortest",
        "saved/month",
    ];
    let mut text = output::table(&head, rows.collect());
    let _ = writeln!(text, "saved in all: {} a month", report.saved_per_month);
    for topic in report.topics.iter().filter(|topic| !topic.state.is_empty()) {
        let _ = writeln!(text, "warning: {}", topic.state);
    }
    text
}
