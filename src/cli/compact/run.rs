//! `skein compact run`: every shard, on this machine.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use skein_compactor::Error;
use skein_compactor::report::{Progress, RunReport};
use skein_compactor::run::{self, RunOptions};
use skein_config::Settings;
use skein_config::cutover::acknowledger::Acknowledger;
use skein_config::cutover::timelines::Timelines;
use skein_config::settings::Need;
use skein_shared::bucket::Bucket;
use skein_shared::cutover::NodeRole;
use skein_shared::units::Millis;
use skein_shared::{ErrorKind, process_use};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};
use crate::signals::cancel_on_signal;

/// Time between two lines of progress.
const PROGRESS_MS: u64 = 5_000;

#[derive(Serialize)]
struct Report {
    shards: usize,
    shards_advanced: usize,
    superseded: u64,
    generations: u64,
    objects: u64,
    object_bytes: u64,
    records: u64,
    quarantined_records: u64,
    damaged_frames: u64,
    undecided_damages: usize,
    void_frames: u64,
    points_in: u64,
    duplicates: u64,
    not_owned: u64,
    deleted: u64,
    expired: u64,
    points_merged: u64,
    points_out: u64,
    segments: u64,
    segment_bytes: u64,
    bytes_per_point: Option<f64>,
    rollups: u64,
    buckets: u64,
    rollup_bytes: u64,
    spilled_bytes: u64,
    encodings: Vec<EncodingRow>,
    elapsed_ms: u128,
    busy_ms: u128,
    cpu_ms: u64,
    points_per_core_second: Option<f64>,
    write_requests: u64,
    read_requests: u64,
    peak_memory_bytes: Option<u64>,
}

#[derive(Serialize)]
struct EncodingRow {
    encoding: &'static str,
    blocks: u64,
    points: u64,
    bytes: u64,
}

/// Flags of `skein compact run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Compacts again and again; a report, with --format json one line, for each round that had something to do
    #[arg(long)]
    watch: bool,
    /// Time from the begin of one round to that of the next
    #[arg(long, default_value = "1 min", requires = "watch", value_name = "TIME")]
    every: Millis,
    /// Form of the reports
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// Runs it.
pub(super) fn run(args: &RunArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start_watched("compact", &[Need::Bucket])?;
    runtime()?.block_on(async {
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        let cancel = cancel_on_signal()?;
        let node = Acknowledger::start(&bucket, NodeRole::Compactor, &settings.cutover).await?;
        if args.watch {
            let watched = watch(args, &settings, (&bucket, &node), &cancel).await;
            let ended = node.end().await;
            let code = watched?;
            ended?;
            return Ok(code);
        }
        let report = round(&settings, &bucket, node.timelines(), &cancel).await;
        let ended = node.end().await;
        let report = Report::of(&report?);
        ended?;
        match args.format {
            ReportFormat::Json => output::json(&report)?,
            ReportFormat::Text => output::lines(&report.shown())?,
        }
        Ok(ExitCode::Ok)
    })
}

async fn round(
    settings: &Settings,
    bucket: &Bucket,
    timelines: Timelines,
    cancel: &CancellationToken,
) -> skein_compactor::Result<RunReport> {
    let options = RunOptions {
        limits: settings.limits.limits(),
        timelines,
    };
    let progress = Arc::new(teller());
    let compactor = &settings.compactor;
    run::run(compactor, bucket, options, cancel.clone(), progress).await
}

/// Round after round, each by the newest cutovers that the node has read; what fails is told of, and tried again. What is
/// refused in the first round is refused for good.
async fn watch(
    args: &RunArgs,
    settings: &Settings,
    (bucket, node): (&Bucket, &Acknowledger),
    cancel: &CancellationToken,
) -> Outcome {
    let mut rounds = tokio::time::interval(Duration::from_millis(args.every.0.max(1)));
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0_u64.. {
        let is_first = number == 0;
        tokio::select! {
            () = cancel.cancelled() => return Ok(ExitCode::Ok),
            _ = rounds.tick() => {}
        }
        match round(settings, bucket, node.timelines(), cancel).await {
            Ok(report) if report.steps.generations > 0 => tell(args, &Report::of(&report))?,
            Ok(_) => tracing::debug!("nothing to compact"),
            Err(Error::Cancelled) => return Ok(ExitCode::Ok),
            Err(error) if error.kind() == ErrorKind::Invalid && is_first => {
                return Err(error.into());
            }
            Err(error) => tracing::error!(%error, "round failed; trying again in the next"),
        }
    }
    Ok(ExitCode::Ok)
}

fn tell(args: &RunArgs, report: &Report) -> Result<(), Failure> {
    match args.format {
        ReportFormat::Json => output::lines(&[serde_json::to_string(report)?]),
        ReportFormat::Text => output::lines(&report.shown()[..1]),
    }
}

/// Tells the progress, but not each time it is told.
pub(crate) fn teller() -> impl Fn(Progress) + Send + Sync {
    let next = AtomicU64::new(PROGRESS_MS);
    move |progress| {
        if progress.elapsed_ms < next.load(Ordering::Relaxed) {
            return;
        }
        next.store(progress.elapsed_ms + PROGRESS_MS, Ordering::Relaxed);
        let remaining_s = progress.remaining().map(|rest| rest.as_secs());
        let Progress {
            shards_done,
            shards,
            points,
            bytes,
            bytes_total,
            ..
        } = progress;
        tracing::info!(
            shards_done,
            shards,
            points,
            bytes,
            bytes_total,
            remaining_s,
            "compacting"
        );
    }
}

impl Report {
    fn of(report: &RunReport) -> Self {
        let (steps, counts) = (&report.steps, &report.steps.counts);
        let row = |(encoding, count): (
            &&'static str,
            &skein_shared::format::segment_writer::EncodingCount,
        )| EncodingRow {
            encoding,
            blocks: count.blocks,
            points: count.points,
            bytes: count.bytes,
        };
        Self {
            shards: report.shards,
            shards_advanced: report.shards_advanced,
            superseded: report.superseded,
            generations: steps.generations,
            objects: steps.objects,
            object_bytes: steps.object_bytes,
            records: counts.records,
            quarantined_records: counts.quarantined_records,
            damaged_frames: counts.damaged_frames,
            undecided_damages: report.undecided_damages,
            void_frames: steps.void_frames,
            points_in: counts.points_in,
            duplicates: counts.duplicates,
            not_owned: counts.not_owned,
            deleted: counts.deleted,
            expired: counts.expired,
            points_merged: steps.points_merged,
            points_out: steps.points_out,
            segments: steps.segments,
            segment_bytes: steps.segment_bytes,
            bytes_per_point: report.bytes_per_point(),
            rollups: steps.rollups,
            buckets: steps.buckets,
            rollup_bytes: steps.rollup_bytes,
            spilled_bytes: steps.spilled_bytes,
            encodings: steps.encodings.0.iter().map(row).collect(),
            elapsed_ms: report.elapsed.as_millis(),
            busy_ms: steps.busy.as_millis(),
            cpu_ms: process_use::cpu_ms(),
            points_per_core_second: report.points_per_core_second(),
            write_requests: report.requests.writes(),
            read_requests: report.requests.reads(),
            peak_memory_bytes: report.peak_memory_bytes,
        }
    }

    fn shown(&self) -> Vec<String> {
        let rate = self.points_per_core_second.unwrap_or_default();
        let density = self.bytes_per_point.unwrap_or_default();
        let mut lines = vec![format!(
            "{} of {} shards advanced in {} ms: {} records, {} points in, {} duplicates, {} not owned, {} deleted, {} expired, {} quarantined
{} segments, {} points, {} bytes, {density:.3} bytes/point, {rate:.0} points/s each core
{} rollups, {} buckets, {} bytes; {} bytes went over the local disk
{} write and {} read requests, peak memory {} bytes",
            self.shards_advanced,
            self.shards,
            self.elapsed_ms,
            self.records,
            self.points_in,
            self.duplicates,
            self.not_owned,
            self.deleted,
            self.expired,
            self.quarantined_records,
            self.segments,
            self.points_out,
            self.segment_bytes,
            self.rollups,
            self.buckets,
            self.rollup_bytes,
            self.spilled_bytes,
            self.write_requests,
            self.read_requests,
            self.peak_memory_bytes.unwrap_or_default(),
        )];
        if self.undecided_damages > 0 {
            let undecided = self.undecided_damages;
            let words = "damages of state wait for a person: `skein quarantine ls`";
            let _ = write!(lines[0], "\n{undecided} {words}");
        }
        for EncodingRow {
            encoding,
            blocks,
            points,
            bytes,
        } in &self.encodings
        {
            lines.push(format!(
                "{encoding:28} {blocks:>8} blocks {points:>12} points {bytes:>12} bytes"
            ));
        }
        lines
    }
}
