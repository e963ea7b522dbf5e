//! `skein connect`: Kafka to state.

use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use skein_config::Settings;
use skein_config::settings::Need;
use skein_connector::pipeline::{self, Controls, Setup, Until};
use skein_connector::report::{ConnectReport, Outcome as Ended, Progress};
use skein_connector::retention::state_warnings;
use skein_shared::admin_http;
use skein_shared::bucket::Bucket;

use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};
use crate::settings_watch::{self, SettingsWatch};
use crate::signals::{cancel_on_signal, on_flush_signal};

/// Takes records out of Kafka and keeps them as state objects in the bucket
///
/// A member of the consumer group `kafka.group`: start as many as you like. Records are durable, and their
/// offsets committed, at every flush (`connector.flush_interval`). SIGTERM and Ctrl-C flush and end; SIGUSR1
/// flushes and goes on. A topic added to the settings file is read without a restart, within seconds or at
/// SIGHUP; what needs a restart is said. Partitions start where the ledger in the bucket ends, and new ones at
/// `kafka.first_position`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skein connect --brokers kafka:9092 --topics points,'^metrics-' --bucket s3://timeseries/prod
  skein --config skein.toml connect --until-end --format json")]
pub(crate) struct ConnectArgs {
    /// Ends once every partition is read to the end it had when it was assigned
    #[arg(long)]
    until_end: bool,
    /// Form of the closing report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// Time between two lines of progress.
const PROGRESS_MS: u64 = 10_000;

/// Runs it.
pub(crate) fn run(args: &ConnectArgs, settings: &SettingsArgs) -> Outcome {
    let layers = settings.layers()?;
    let settings = settings.start_as("connect", &[Need::Brokers, Need::Topics, Need::Bucket])?;
    let until = if args.until_end {
        Until::EndAtAssignment
    } else {
        Until::Asked
    };
    let report = runtime()?.block_on(async {
        let stop = cancel_on_signal()?;
        let controls = Controls {
            progress: Box::new(teller()),
            ..Controls::stopped_by(stop)
        };
        let (raised, operations) = (controls.flush.clone(), controls.operations.clone());
        on_flush_signal(move || raised.raise())?;
        let http = settings.http.settings()?;
        let _served = http
            .map(|http| admin_http::serve(&http, operations.role()))
            .transpose()?;
        settings_watch::start(SettingsWatch {
            layers: layers.clone(),
            in_force: Settings::clone(&settings),
            operations,
        })?;
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        warn_of_retention(&settings);
        Ok::<_, Failure>(pipeline::run(Setup::of(&settings, bucket, until), controls).await?)
    })?;
    match args.format {
        ReportFormat::Json => output::json(&report)?,
        ReportFormat::Text => output::lines(&shown(&report))?,
    }
    Ok(code_of(&report))
}

/// Looks beside the start, which a cluster that is slow to tell, or may not, must not hold up.
fn warn_of_retention(settings: &Settings) {
    let (kafka, retention) = (settings.kafka.clone(), settings.retention.clone());
    tokio::spawn(async move {
        for warning in state_warnings(&kafka, &retention).await {
            tracing::warn!("{warning}");
        }
    });
}

fn code_of(report: &ConnectReport) -> ExitCode {
    if !report.stopped_partitions.is_empty() {
        return ExitCode::Difference;
    }
    match report.outcome {
        Ended::Stopped | Ended::EndReached => ExitCode::Ok,
        Ended::FlushMissed | Ended::Stalled => ExitCode::TimedOut,
    }
}

/// Tells the progress, but not each time it is told.
fn teller() -> impl Fn(&Progress) + Send {
    let next = AtomicU64::new(PROGRESS_MS);
    move |progress| {
        if progress.elapsed_ms < next.load(Ordering::Relaxed) {
            return;
        }
        next.store(progress.elapsed_ms + PROGRESS_MS, Ordering::Relaxed);
        let Progress {
            records,
            durable_records,
            records_behind,
            partitions,
            buffered_bytes,
            ..
        } = *progress;
        tracing::info!(
            records,
            durable_records,
            records_behind,
            partitions,
            buffered_bytes,
            "connecting"
        );
    }
}

fn shown(report: &ConnectReport) -> Vec<String> {
    let mut lines = match report.outcome {
        Ended::Stopped | Ended::EndReached => Vec::new(),
        Ended::FlushMissed => vec![
            "the last flush missed connector.shutdown_timeout: its records are read again at the next start".to_owned(),
        ],
        Ended::Stalled => vec![
            "nothing came forward for connector.stall_timeout: see the log for the server that does not \
             answer, then start again"
                .to_owned(),
        ],
    };
    lines.push(format!(
        "{} records ({} bytes) in {} ms, {} of them durable
{} objects ({} bytes), {} flushes, {} ledger entries, {} conflicts
{} quarantined, {} write and {} read requests, {} ms of processor, peak memory {} bytes",
        report.records,
        report.raw_bytes,
        report.elapsed_ms,
        report.durable_records,
        report.objects,
        report.object_bytes,
        report.flushes,
        report.ledger_entries,
        report.conflicts,
        report.quarantined(),
        report.write_requests,
        report.read_requests,
        report.cpu_ms,
        report.peak_memory_bytes,
    ));
    for (reason, records) in &report.quarantined_records {
        lines.push(format!("quarantined {records} records: {reason}"));
    }
    for stopped in &report.stopped_partitions {
        lines.push(format!(
            "stopped {}/{}: {}",
            stopped.topic, stopped.partition, stopped.reason
        ));
    }
    lines
}
