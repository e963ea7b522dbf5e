//! `skein retention plan` and `apply`: points and buckets that are older than they are to be kept.

use std::fmt::Write as _;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use skein_compactor::retention::{self, Mode, ShardExpiry};
use skein_compactor::run::RunOptions;
use skein_config::cutover::timelines::Timelines;
use skein_config::settings::Need;
use skein_shared::bucket::Bucket;

use crate::cli::compact::run::teller;
use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};
use crate::signals::cancel_on_signal;

const PLAN_HELP: &str = "\
Undoing it costs nothing as long as `skein retention apply` has not run: change the settings. What `apply` has
expired does not come back, whatever the settings say later; state still holds its records until retention.state
has passed, and `skein replay` can read them into a topic. The segments themselves are there until `skein compact
gc` runs, and no earlier than compactor.reader_pin after `apply`.";

/// Shows which points and buckets are older than `[retention]` lets them be, and changes nothing
///
/// A window of a day is expired for an org once its end lies so far before the time up to which its shard has read
/// everything. By org and resolution: windows, points or buckets, and bytes that readers would no longer be given. Segments
/// go when all orgs in them are expired; until then they stay and the expired orgs in them are masked.
#[derive(Debug, Args)]
#[command(after_help = PLAN_HELP)]
pub(crate) struct PlanArgs {
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// Expires what `skein retention plan` shows
///
/// One commit of metadata a shard; before it windows whose raw points go are merged, so that their rollups say all that
/// the points did. Run it as often as windows end: once a day. Nothing comes back by changing the settings afterwards.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

#[derive(Serialize)]
struct Report {
    dry_run: bool,
    shards: Vec<ShardRow>,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct ShardRow {
    shard: String,
    /// Up to this time the shard has read everything: it decides what is old.
    as_of: String,
    /// Segments and rollups that are live no more, since all in them is expired.
    segments_dropped: u64,
    bytes_dropped: u64,
    points_dropped: u64,
    windows_merged: usize,
}

#[derive(Serialize)]
struct Row {
    shard: String,
    org: u64,
    resolution: &'static str,
    windows: u64,
    /// Raw points, or buckets.
    points: u64,
    bytes: u64,
}

/// Runs `plan`.
pub(super) fn plan(args: &PlanArgs, settings: &SettingsArgs) -> Outcome {
    run(Mode::DryRun, args.format, settings)
}

/// Runs `apply`.
pub(super) fn apply(args: &ApplyArgs, settings: &SettingsArgs) -> Outcome {
    run(Mode::Act, args.format, settings)
}

fn run(mode: Mode, format: ReportFormat, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start_watched("retention", &[Need::Bucket])?;
    let expired = runtime()?.block_on(async {
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        let options = RunOptions {
            limits: settings.limits.limits(),
            timelines: Timelines::load(&bucket, settings.cutover.unenrolled.pipeline()).await?,
        };
        let controls = (cancel_on_signal()?, Arc::new(teller()) as _);
        let what = (&settings.compactor, &settings.retention);
        let expired = retention::apply(what, &bucket, options, mode, controls);
        Ok::<_, Failure>(expired.await?)
    })?;
    let report = Report::of(mode, &expired);
    match format {
        ReportFormat::Json => output::json(&report)?,
        ReportFormat::Text => output::text(&report.shown())?,
    }
    Ok(ExitCode::Ok)
}

impl Report {
    fn of(mode: Mode, expired: &[ShardExpiry]) -> Self {
        let rows = expired.iter().flat_map(|of_shard| {
            let sums = of_shard.expiring.iter();
            sums.map(|((org, resolution), sum)| Row {
                shard: of_shard.shard.to_string(),
                org: org.0,
                resolution: resolution.name(),
                windows: sum.windows,
                points: sum.points,
                bytes: sum.bytes,
            })
        });
        let shards = expired.iter().map(|of_shard| ShardRow {
            shard: of_shard.shard.to_string(),
            as_of: of_shard.as_of.to_string(),
            segments_dropped: of_shard.dropped.segments,
            bytes_dropped: of_shard.dropped.bytes,
            points_dropped: of_shard.dropped.points,
            windows_merged: of_shard.merged,
        });
        Self {
            dry_run: mode == Mode::DryRun,
            rows: rows.collect(),
            shards: shards.collect(),
        }
    }

    fn shown(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            vec![
                row.shard.clone(),
                row.org.to_string(),
                row.resolution.to_owned(),
                row.windows.to_string(),
                row.points.to_string(),
                row.bytes.to_string(),
            ]
        });
        let head = ["shard", "org", "resolution", "windows", "points", "bytes"];
        let mut text = output::table(&head, rows.collect());
        let sum = |of: fn(&ShardRow) -> u64| self.shards.iter().map(of).sum::<u64>();
        let (expire, leave) = if self.dry_run {
            ("would expire", "would no longer be live")
        } else {
            ("expired", "are no longer live")
        };
        let _ = writeln!(
            text,
            "{expire} in {} shards; {} segments and rollups ({} bytes, {} points) {leave}; {} windows to merge before",
            self.shards.len(),
            sum(|row| row.segments_dropped),
            sum(|row| row.bytes_dropped),
            sum(|row| row.points_dropped),
            self.shards
                .iter()
                .map(|row| row.windows_merged)
                .sum::<usize>(),
        );
        text
    }
}
