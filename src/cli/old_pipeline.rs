//! `skein old-pipeline`: the system that Skein takes over from.

use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use skein_config::settings::Need;
use skein_loadtest::old_pipeline::{self, OldControls, OldReport, OldSetup, Until};
use skein_shared::bucket::Bucket;
use skein_shared::timeline::Pipeline;
use skein_shared::units::{ByteCount, Millis};

use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};
use crate::signals::cancel_on_signal;

/// Takes records out of Kafka as the system did that Skein takes over from: to try migrations, and to compare costs
///
/// A consumer for each partition, a buffer for each metric, and at every flush a file for each metric in the bucket, and
/// then the partition's progress. SIGTERM and Ctrl-C flush and end. A process goes on where the progress ends: start
/// another one to hand over. It writes what the cutovers say that the old pipeline writes, and orgs that were never cut
/// over if `cutover.unenrolled` is `old`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skein old-pipeline --every '1 h' --set cutover.unenrolled=old
  skein --config skein.toml old-pipeline --until-end --format json
  skein --config skein.toml old-pipeline --partitions 0,1,2     and elsewhere: --partitions 3,4,5")]
pub(crate) struct OldPipelineArgs {
    /// Time between two flushes of a partition
    #[arg(long, default_value = "4 h", value_name = "TIME")]
    every: Millis,
    /// Memory for records and points; a partition that fills its share is flushed early
    #[arg(long, default_value = "512 MiB", value_name = "SIZE")]
    memory: ByteCount,
    /// The partitions of each topic to read, separated by commas; all when it is not given
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS")]
    partitions: Vec<u32>,
    /// Ends once every partition is read to the end that it had at the start
    #[arg(long)]
    until_end: bool,
    /// Form of the closing report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// Time between two lines of progress.
const PROGRESS_MS: u64 = 10_000;

/// Runs it.
pub(crate) fn run(args: &OldPipelineArgs, settings: &SettingsArgs) -> Outcome {
    let needs = [Need::Brokers, Need::Topics, Need::Bucket];
    let settings = settings.start_watched("old-pipeline", &needs)?;
    let until = if args.until_end {
        Until::End
    } else {
        Until::Asked
    };
    if settings.cutover.unenrolled.pipeline() == Pipeline::New {
        tracing::warn!(
            "cutover.unenrolled is new: of orgs that were never cut over nothing is written, unless the bucket's first \
             cutover says otherwise"
        );
    }
    let report = runtime()?.block_on(async {
        let controls = OldControls {
            stop: cancel_on_signal()?,
            progress: Box::new(teller()),
        };
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        let setup = OldSetup {
            every: args.every,
            memory: args.memory,
            partitions: args.partitions.clone(),
            ..OldSetup::of(&settings, bucket, until)
        };
        Ok::<_, Failure>(old_pipeline::run(setup, controls).await?)
    })?;
    match args.format {
        ReportFormat::Json => output::json(&report)?,
        ReportFormat::Text => output::lines(&shown(&report))?,
    }
    Ok(ExitCode::Ok)
}

/// Tells the progress, but not each time it is told.
fn teller() -> impl Fn(&OldReport) + Send + Sync {
    let next = AtomicU64::new(PROGRESS_MS);
    move |report| {
        if report.elapsed_ms < next.load(Ordering::Relaxed) {
            return;
        }
        next.store(report.elapsed_ms + PROGRESS_MS, Ordering::Relaxed);
        let OldReport {
            records,
            points,
            not_owned,
            files,
            flushes,
            ..
        } = *report;
        tracing::info!(records, points, not_owned, files, flushes, "reading");
    }
}

fn shown(report: &OldReport) -> Vec<String> {
    let per_point = report.bytes_per_point.unwrap_or_default();
    vec![format!(
        "{} records of {} partitions in {} ms, {} of them no payloads
{} points: {} written, {} duplicates, {} another pipeline's
{} files ({} bytes, {per_point:.2} a point), {} flushes, {} write and {} read requests, {} ms of processor",
        report.records,
        report.partitions,
        report.elapsed_ms,
        report.refused_records,
        report.points_in,
        report.points,
        report.duplicates,
        report.not_owned,
        report.files,
        report.file_bytes,
        report.flushes,
        report.write_requests,
        report.read_requests,
        report.cpu_ms,
    )]
}
