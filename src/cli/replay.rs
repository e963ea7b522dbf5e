//! `skein replay`: a range of offsets once more, from Kafka into lost spans or from state into a topic.

mod range;

use std::sync::atomic::{AtomicU64, Ordering};

use clap::{Args, Subcommand};
use skein_config::Settings;
use skein_config::settings::Need;
use skein_connector::replay::deleted_points::DeletedCounts;
use skein_connector::replay::{
    self, Rate, ReplayControls, ReplayPlan, ReplayProgress, ReplayReport, ReplaySetup, ReplayStatus,
};
use skein_shared::bucket::Bucket;
use skein_shared::format::replay_job::ReplayInto;
use skein_shared::ids::JobId;

use crate::cli::replay::range::RangeArgs;
use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};
use crate::signals::cancel_on_signal;

/// Replays a range of offsets: from Kafka into lost spans, or from state into a topic
///
/// `--into state` reads what the ledger holds as lost and Kafka has again; what the ledger covers is never
/// written twice. `--into topic` sends records out of state with the same partition, key, value, headers and
/// timestamp; the header `skein-position` says where each stood. Points that a delete takes are not brought back:
/// records without others are left out, those with others go without them, and the report counts both. A replay
/// has an id: any process can carry it on, look at it or cancel it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skein replay plan --topic points --partition 3 --offsets 1000..2000 --into state
  skein replay run  --topic points --org 7 --from 2026-01-01T00:00:00Z --into topic --target points-again --rate 10MiB/s
  skein replay run --job 00c0ffee00c0ffee      carries on what was interrupted
  skein replay status
  skein replay cancel --job 00c0ffee00c0ffee")]
pub(crate) struct ReplayArgs {
    #[command(subcommand)]
    command: ReplayCommand,
}

#[derive(Debug, Subcommand)]
enum ReplayCommand {
    /// Shows offsets, bytes, requests, dollars and what of the range is gone; does nothing
    ///
    /// Exit code 3 when a part of the range is gone.
    Plan {
        #[command(flatten)]
        range: RangeArgs,
        /// Form of the plan
        #[arg(long, default_value = "text")]
        format: ReportFormat,
    },
    /// Replays, or carries on
    ///
    /// SIGTERM and Ctrl-C end it after what is in flight; `--job` carries it on. Exit code 3 when a part of the
    /// range is gone, unless --skip-gone; 5 when another process carries on the same replay.
    Run {
        /// Carries this replay on, as it was planned
        #[arg(long, value_name = "ID", conflicts_with_all = ["topic", "into"])]
        job: Option<JobId>,
        #[command(flatten)]
        range: RangeArgs,
        /// Creates the target topic with so many partitions if it is not there
        #[arg(long, value_name = "N")]
        partitions: Option<u32>,
        /// How fast it may go, `10MiB/s` or `5000/s` (records); may be given twice
        #[arg(long, value_name = "RATE")]
        rate: Vec<Rate>,
        /// Form of the closing report
        #[arg(long, default_value = "text")]
        format: ReportFormat,
    },
    /// Shows how far replays are
    Status {
        /// Only this one
        #[arg(long, value_name = "ID")]
        job: Option<JobId>,
        /// Form of the table
        #[arg(long, default_value = "text")]
        format: ReportFormat,
    },
    /// Ends a replay at its next step, wherever it runs
    Cancel {
        /// Which
        #[arg(long, value_name = "ID")]
        job: JobId,
    },
}

/// Time between two lines of progress.
const PROGRESS_MS: u64 = 5_000;

/// Runs it.
pub(crate) fn run(args: &ReplayArgs, settings: &SettingsArgs) -> Outcome {
    match &args.command {
        ReplayCommand::Plan { range, format } => {
            let settings = settings.start(&[Need::Bucket, Need::Brokers])?;
            plan(range, &settings, *format)
        }
        ReplayCommand::Run {
            job,
            range,
            partitions,
            rate,
            format,
        } => {
            let settings = settings.start_watched("replay", &[Need::Bucket, Need::Brokers])?;
            let report = runtime()?.block_on(async {
                let setup = setup(&settings).await?;
                let job = match job {
                    Some(job) => *job,
                    None => begin(range, *partitions, (&setup, &settings)).await?,
                };
                eprintln!("replay {job}: `skein replay run --job {job}` carries it on");
                let controls = ReplayControls {
                    rates: rate.clone(),
                    stop: cancel_on_signal()?,
                    progress: Box::new(teller()),
                };
                Ok::<_, Failure>(Box::pin(replay::run(&setup, job, controls)).await?)
            })?;
            show_report(&report, *format)
        }
        ReplayCommand::Status { job, format } => {
            let settings = settings.start(&[Need::Bucket])?;
            let all = runtime()?.block_on(async {
                let bucket = Bucket::open(&settings.bucket.settings()?).await?;
                Ok::<_, Failure>(replay::status(&bucket, *job).await?)
            })?;
            match format {
                ReportFormat::Json => output::json(&all)?,
                ReportFormat::Text => output::text(&table(&all))?,
            }
            Ok(ExitCode::Ok)
        }
        ReplayCommand::Cancel { job } => {
            let settings = settings.start(&[Need::Bucket])?;
            runtime()?.block_on(async {
                let bucket = Bucket::open(&settings.bucket.settings()?).await?;
                Ok::<_, Failure>(replay::cancel(&bucket, *job).await?)
            })?;
            eprintln!(
                "replay {job} ends at its next step; `skein replay status --job {job}` shows when"
            );
            Ok(ExitCode::Ok)
        }
    }
}

fn plan(range: &RangeArgs, settings: &Settings, format: ReportFormat) -> Outcome {
    let request = range.request(settings)?;
    let plan = runtime()?.block_on(async {
        let setup = setup(settings).await?;
        Ok::<_, Failure>(Box::pin(replay::plan(&setup, &request)).await?)
    })?;
    match format {
        ReportFormat::Json => output::json(&plan)?,
        ReportFormat::Text => output::lines(&shown(&plan))?,
    }
    Ok(if plan.gone.is_empty() {
        ExitCode::Ok
    } else {
        ExitCode::Difference
    })
}

async fn begin(
    range: &RangeArgs,
    partitions: Option<u32>,
    (setup, settings): (&ReplaySetup, &Settings),
) -> Result<JobId, Failure> {
    let request = range.request(settings)?;
    if let (ReplayInto::Topic(target), Some(partitions)) = (&request.into, partitions) {
        let kafka = setup.kafka.clone();
        let view = tokio::task::spawn_blocking(move || kafka.look()).await;
        let view = view.expect("looking at the cluster does not panic")?;
        if !view.topics.contains_key(target) {
            setup.kafka.create_topic(target, partitions).await?;
        }
    }
    let plan = Box::pin(replay::plan(setup, &request)).await?;
    for line in shown(&plan) {
        eprintln!("{line}");
    }
    Ok(replay::begin(&setup.bucket, &plan).await?)
}

async fn setup(settings: &Settings) -> Result<ReplaySetup, Failure> {
    Ok(ReplaySetup {
        bucket: Bucket::open(&settings.bucket.settings()?).await?,
        kafka: settings.kafka.clone(),
        payload_limit: settings.limits.payload_bytes,
        prices: settings.prices.clone(),
    })
}

/// Tells the progress, but not each time it is told.
fn teller() -> impl Fn(&ReplayProgress) + Send {
    let next = AtomicU64::new(PROGRESS_MS);
    move |progress| {
        if progress.elapsed_ms < next.load(Ordering::Relaxed) {
            return;
        }
        next.store(progress.elapsed_ms + PROGRESS_MS, Ordering::Relaxed);
        let ReplayProgress {
            records,
            record_bytes,
            offsets_done,
            offsets_total,
            remaining_ms,
            ..
        } = *progress;
        let remaining_s = remaining_ms.map(|ms| ms / 1000);
        tracing::info!(
            records,
            record_bytes,
            offsets_done,
            offsets_total,
            remaining_s,
            "replaying"
        );
    }
}

fn shown(plan: &ReplayPlan) -> Vec<String> {
    let mut lines: Vec<String> = plan
        .parts
        .iter()
        .map(|part| format!("{} [{}, {})", part.chain, part.from, part.to))
        .collect();
    lines.push(format!(
        "at most {} records, {} bytes; {} bytes to read from state
{} read and {} write requests: {}; traffic between zones at most {}",
        plan.records_at_most,
        plan.record_bytes_at_most,
        plan.state_bytes_read,
        plan.read_requests,
        plan.write_requests,
        plan.request_cost,
        plan.traffic_cost,
    ));
    lines.extend(plan.gone.iter().map(|gone| format!("gone: {gone}")));
    lines
}

fn show_report(report: &ReplayReport, format: ReportFormat) -> Outcome {
    match format {
        ReportFormat::Json => output::json(report)?,
        ReportFormat::Text => {
            let mut lines = vec![format!(
                "replay {} {}: {} records, {} bytes; {} bytes read from state, {} read and {} write requests",
                report.job,
                report.state,
                report.records,
                report.record_bytes,
                report.state_bytes_read,
                report.read_requests,
                report.write_requests,
            )];
            lines.extend(report.gone.iter().map(|gone| format!("left out: {gone}")));
            let deleted = report.deleted;
            if deleted != DeletedCounts::default() {
                lines.push(format!(
                    "deleted: {} records left out, {} sent without some of their points; {} points in all",
                    deleted.records_left_out, deleted.records_cut, deleted.points,
                ));
            }
            output::lines(&lines)?;
        }
    }
    Ok(ExitCode::Ok)
}

fn table(all: &[ReplayStatus]) -> String {
    let rows = all.iter().map(|replay| {
        vec![
            replay.job.clone(),
            replay.into.clone(),
            replay.state.to_owned(),
            replay.records.to_string(),
            format!("{}/{}", replay.offsets_done, replay.offsets_total),
            replay.created.clone(),
            replay.newest_step.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    });
    let head = [
        "replay",
        "into",
        "state",
        "records",
        "offsets",
        "planned",
        "newest step",
    ];
    output::table(&head, rows.collect())
}
