//! `skein migrate history` and `explain`.

use clap::Args;
use serde::Serialize;
use skein_config::cutover::explanation::{Explanation, explain as explained};
use skein_config::settings::Need;
use skein_shared::cutover_log;
use skein_shared::format::points_csv::parse_timestamp;
use skein_shared::ids::OrgId;
use skein_shared::window::TimestampMs;

use crate::cli::migrate::plane::open;
use crate::cli::migrate::print;
use crate::cli::migrate::row::{PhaseRow, VersionRow};
use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::ReportFormat;

/// Flags of `skein migrate history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Which org
    #[arg(long)]
    org: u64,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// Flags of `skein migrate explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Which org
    #[arg(long)]
    org: u64,
    /// The event time: RFC 3339 or epoch milliseconds
    #[arg(long, value_name = "TIME", value_parser = parse_timestamp)]
    at: TimestampMs,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

#[derive(Serialize)]
struct ExplainReport {
    org: u64,
    at: String,
    /// Who writes and who is visible at that time.
    phase: PhaseRow,
    /// The version that made it so; `None` where no version ever did.
    since: Option<VersionRow>,
    /// What was said of that time before, the latest first.
    before: Vec<SaidBefore>,
    /// Whether late points of that time are written by the new pipeline although it is not the new one's.
    is_amended: bool,
    shards: Vec<ShardRow>,
}

#[derive(Serialize)]
struct SaidBefore {
    version: u64,
    verb: String,
    actor: String,
    phase: PhaseRow,
}

#[derive(Serialize)]
struct ShardRow {
    shard: String,
    /// Of the newest manifest.
    generation: u64,
    /// The fleet that it was made with.
    fleet: u64,
    segments: Vec<SegmentRow>,
}

#[derive(Serialize)]
struct SegmentRow {
    key: String,
    generation: u64,
    layer: String,
}

/// Runs `history`.
pub(super) fn history(args: &HistoryArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start(&[Need::Bucket])?;
    let rows: Vec<VersionRow> = runtime()?.block_on(async {
        let plane = open(&settings).await?;
        let history = cutover_log::history(&plane.bucket, OrgId(args.org)).await?;
        Ok::<_, Failure>(
            history
                .iter()
                .map(|(version, _)| VersionRow::of(version))
                .collect(),
        )
    })?;
    print(args.format, &rows, || lines_of(args.org, &rows))?;
    Ok(ExitCode::Ok)
}

fn lines_of(org: u64, rows: &[VersionRow]) -> Vec<String> {
    if rows.is_empty() {
        return vec![format!("org {org} was never cut over")];
    }
    let mut lines = Vec::new();
    for row in rows {
        let ticket = row
            .ticket
            .as_ref()
            .map_or_else(String::new, |ticket| format!(" ({ticket})"));
        lines.push(format!(
            "version {} at {}: {}: {} -> {} by {}: {}{ticket}",
            row.version, row.at, row.verb, row.from, row.state, row.actor, row.reason
        ));
        lines.extend(
            row.why
                .iter()
                .map(|why| format!("  {}: {why}", row.standing)),
        );
        lines.extend(row.edges().into_iter().map(|edge| format!("  {edge}")));
        lines.extend(
            row.evidence
                .iter()
                .map(|it| format!("  {}: {}", it.kind, it.text)),
        );
        lines.push(format!("  undo: {}", row.undo));
    }
    lines
}

/// Runs `explain`.
pub(super) fn explain(args: &ExplainArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start(&[Need::Bucket])?;
    let report = runtime()?.block_on(async {
        let plane = open(&settings).await?;
        let explanation = explained(&plane, OrgId(args.org), args.at).await?;
        Ok::<_, Failure>(ExplainReport::of(args, &explanation))
    })?;
    print(args.format, &report, || report.shown())?;
    Ok(ExitCode::Ok)
}

impl ExplainReport {
    fn of(args: &ExplainArgs, explanation: &Explanation) -> Self {
        let before = explanation
            .before
            .iter()
            .map(|(version, phase)| SaidBefore {
                version: version.version,
                verb: version.change.verb.clone(),
                actor: version.change.stated.actor.clone(),
                phase: PhaseRow::of(*phase),
            });
        let shards = explanation.shards.iter().map(|shard| ShardRow {
            shard: shard.shard.to_string(),
            generation: shard.generation.0,
            fleet: shard.fleet,
            segments: shard
                .segments
                .iter()
                .map(|segment| SegmentRow {
                    key: segment.key.clone(),
                    generation: segment.generation.0,
                    layer: format!("{:?}", segment.layer).to_lowercase(),
                })
                .collect(),
        });
        Self {
            org: args.org,
            at: args.at.to_string(),
            phase: PhaseRow::of(explanation.phase),
            since: explanation.since.as_ref().map(VersionRow::of),
            before: before.collect(),
            is_amended: explanation.is_amended,
            shards: shards.collect(),
        }
    }

    fn shown(&self) -> Vec<String> {
        let mut lines = vec![
            format!("org {} at {}", self.org, self.at),
            format!("  {}", self.phase.shown()),
        ];
        match &self.since {
            None => lines.push("no version of the org ever said otherwise".to_owned()),
            Some(since) => lines.push(format!(
                "since version {} of {}: {} by {}: {}",
                since.version, since.at, since.verb, since.actor, since.reason
            )),
        }
        lines.extend(self.before.iter().map(|it| {
            format!(
                "until version {} ({} by {}): {}",
                it.version,
                it.verb,
                it.actor,
                it.phase.shown()
            )
        }));
        if self.is_amended {
            lines.push(
                "late points of it that come after the seal are the new pipeline's amendments"
                    .to_owned(),
            );
        }
        for shard in &self.shards {
            lines.push(format!(
                "shard {}: generation {}, made with fleet {}",
                shard.shard, shard.generation, shard.fleet
            ));
            lines.extend(shard.segments.iter().map(|segment| {
                format!(
                    "  {} ({}, generation {})",
                    segment.key, segment.layer, segment.generation
                )
            }));
        }
        lines
    }
}
