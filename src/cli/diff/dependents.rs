//! `skein diff dependents`.

use std::path::PathBuf;

use clap::Args;
use skein_config::settings::Need;
use skein_reader::diff::dependents::run_dependent;
use skein_shared::format::points_csv::parse_timestamp;
use skein_shared::ids::OrgId;
use skein_shared::window::{Resolution, TimestampMs};

use super::side_args::SideArgs;
use crate::cli::{SettingsArgs, read, runtime};
use crate::exit_code::ExitCode;
use crate::failure::Outcome;
use crate::output::{self, ReportFormat};

/// Runs a command on the points of the old side, of the new one and of both as readers see them, and compares its outputs
///
/// The command gets `org,metric,timestamp,value` on its standard input, by day, series and time, and finds in
/// `SKEIN_DIFF_FEED` which points these are. Exit code 3 when its outputs differ, or it fails.
#[derive(Debug, Args)]
pub(super) struct DependentsArgs {
    /// The command, for `sh -c`
    #[arg(long)]
    command: String,
    /// Whose points
    #[arg(long)]
    org: u64,
    /// First instant: RFC 3339 or epoch milliseconds
    #[arg(long, value_name = "TIME", value_parser = parse_timestamp)]
    from: Option<TimestampMs>,
    /// First instant beyond
    #[arg(long, value_name = "TIME", value_parser = parse_timestamp)]
    to: Option<TimestampMs>,
    /// Where its outputs go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    sides: SideArgs,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// Runs it.
pub(super) fn run(args: &DependentsArgs, settings: &SettingsArgs) -> Outcome {
    let span = read::span(args.from, args.to, Resolution::Raw)?;
    let settings = settings.start_watched("diff", &[Need::Bucket])?;
    let report = runtime()?.block_on(async {
        let sides = args.sides.open(&settings).await?;
        let of = (OrgId(args.org), span);
        let report = run_dependent(&sides, of, &args.command, &args.out).await?;
        Ok::<_, crate::failure::Failure>(report)
    })?;
    match args.format {
        ReportFormat::Json => output::json(&report)?,
        ReportFormat::Text => {
            let outputs = report.outputs.iter().map(|it| {
                let code = it
                    .exit_code
                    .map_or("a signal".to_owned(), |code| code.to_string());
                let (feed, points) = (it.feed.name(), it.points);
                format!(
                    "{feed}: {points} points, ended with {code}, output {}",
                    it.output.display()
                )
            });
            let differences = report.differences.iter().map(|it| {
                let text = |line: &Option<String>| line.clone().unwrap_or_default();
                format!(
                    "{} differs in {} lines, the first is {}: `{}`, not `{}`",
                    it.feed.name(),
                    it.lines,
                    it.first_line,
                    text(&it.other),
                    text(&it.old)
                )
            });
            output::lines(&outputs.chain(differences).collect::<Vec<_>>())?;
        }
    }
    Ok(if report.is_same() {
        ExitCode::Ok
    } else {
        ExitCode::Difference
    })
}
