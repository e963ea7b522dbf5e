//! `skein compact rebuild`: segments anew from state.

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use skein_compactor::rebuild::{self, Found, Mode, RebuildOptions, WindowRow};
use skein_compactor::run::RunOptions;
use skein_config::cutover::timelines::Timelines;
use skein_config::settings::Need;
use skein_shared::bucket::Bucket;
use skein_shared::format::points_csv::parse_timestamp;
use skein_shared::ids::{OrgId, ShardId};
use skein_shared::shard_map_log;
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::cli::compact::run::teller;
use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};
use crate::signals::cancel_on_signal;

/// Flags of `skein compact rebuild`.
#[derive(Debug, Args)]
pub(crate) struct RebuildArgs {
    /// Only this shard, as `skein ls` names it; may be repeated
    #[arg(long, value_name = "SHARD")]
    shard: Vec<ShardId>,
    /// Only the shards that have this org's points; may be repeated
    #[arg(long, value_name = "ORG")]
    org: Vec<u64>,
    /// Only windows that hold this time or a later one: RFC 3339 or epoch milliseconds
    #[arg(long, value_name = "TIME", value_parser = parse_timestamp)]
    from: Option<TimestampMs>,
    /// Only windows that hold a time before this one
    #[arg(long, value_name = "TIME", value_parser = parse_timestamp)]
    to: Option<TimestampMs>,
    /// Compares and commits nothing; exit code 3 when a window is damaged or has other points
    #[arg(long, conflicts_with = "replace_other_points")]
    dry_run: bool,
    /// Replaces windows with other points, too: after a bug, or where overlays hold points twice
    #[arg(long)]
    replace_other_points: bool,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

#[derive(Serialize)]
struct Row {
    shard: String,
    window: String,
    segments: usize,
    points_before: u64,
    points_after: u64,
    /// `same`, `damaged`, `other bytes`, `other points` or `deletes to carry out`.
    found: &'static str,
    replaced: bool,
}

/// Runs it.
pub(super) fn run(args: &RebuildArgs, settings: &SettingsArgs) -> Outcome {
    let span = TimeSpan {
        from: args.from.unwrap_or(TimeSpan::ALL.from),
        to: args.to.unwrap_or(TimeSpan::ALL.to),
    };
    if span.from >= span.to {
        return Err(Failure::usage("--from does not lie before --to"));
    }
    let settings = settings.start_watched("rebuild", &[Need::Bucket])?;
    let rows = runtime()?.block_on(async {
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        let what = RebuildOptions {
            shards: shards(args, &bucket).await?,
            span,
            mode: match (args.dry_run, args.replace_other_points) {
                (true, _) => Mode::Compare,
                (false, true) => Mode::ReplaceOtherPoints,
                (false, false) => Mode::Replace,
            },
        };
        let options = RunOptions {
            limits: settings.limits.limits(),
            timelines: Timelines::load(&bucket, settings.cutover.unenrolled.pipeline()).await?,
        };
        let controls = (cancel_on_signal()?, Arc::new(teller()) as _);
        let compactor = &settings.compactor;
        let rows = rebuild::rebuild(compactor, &bucket, options, &what, controls);
        Ok::<_, Failure>(rows.await?)
    })?;
    let is_wrong = |row: &WindowRow| match row.found {
        Found::Damaged => !row.is_replaced,
        Found::OtherPoints => !row.is_replaced && !row.waits_for_deletes,
        Found::Same | Found::OtherBytes => false,
    };
    let is_left_wrong = rows.iter().any(is_wrong);
    let rows: Vec<Row> = rows.iter().map(Row::of).collect();
    match args.format {
        ReportFormat::Json => output::json(&rows)?,
        ReportFormat::Text => output::lines(&shown(&rows))?,
    }
    if is_left_wrong {
        return Ok(ExitCode::Difference);
    }
    Ok(ExitCode::Ok)
}

async fn shards(args: &RebuildArgs, bucket: &Bucket) -> Result<BTreeSet<ShardId>, Failure> {
    let mut shards: BTreeSet<ShardId> = args.shard.iter().copied().collect();
    if !args.org.is_empty()
        && let Some(map) = shard_map_log::load(bucket).await?
    {
        for org in &args.org {
            shards.extend(map.shards_of(OrgId(*org)));
        }
    }
    Ok(shards)
}

impl Row {
    fn of(row: &WindowRow) -> Self {
        Self {
            shard: row.shard.to_string(),
            window: row.window.to_string(),
            segments: row.segments,
            points_before: row.points_before,
            points_after: row.points_after,
            found: match row.found {
                Found::Same => "same",
                Found::Damaged => "damaged",
                Found::OtherBytes => "other bytes",
                Found::OtherPoints if row.waits_for_deletes => "deletes to carry out",
                Found::OtherPoints => "other points",
            },
            replaced: row.is_replaced,
        }
    }
}

fn shown(rows: &[Row]) -> Vec<String> {
    let mut lines = Vec::new();
    for row in rows.iter().filter(|row| row.found != "same") {
        lines.push(format!(
            "{} {}: {} in {} segments, {} -> {} points{}",
            row.shard,
            row.window,
            row.found,
            row.segments,
            row.points_before,
            row.points_after,
            if row.replaced { ", replaced" } else { "" }
        ));
    }
    let same = rows.iter().filter(|row| row.found == "same").count();
    lines.push(format!(
        "{same} of {} windows are the same, byte by byte",
        rows.len()
    ));
    lines
}
