//! `skein janitor`: takes away what will never count.

use clap::{Args, Subcommand};
use skein_config::settings::Need;
use skein_connector::janitor::{self, JanitorOptions, JanitorReport, Mode, Scope};
use skein_shared::ErrorKind;
use skein_shared::bucket::Bucket;

use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};
use crate::signals::cancel_on_signal;

/// Takes away uploads and objects that dead workers left behind
#[derive(Debug, Args)]
pub(crate) struct JanitorArgs {
    #[command(subcommand)]
    command: JanitorCommand,
}

#[derive(Debug, Subcommand)]
enum JanitorCommand {
    /// Looks at every upload and object once, and takes away those that can never count
    ///
    /// Before anything of a flush is touched, the flush is declared void at its own key, or the ledger is
    /// seen to hold every one of its spans otherwise: so a worker that is only slow loses nothing, it reads
    /// again. Workers that told something within `connector.janitor_patience` are left alone. Safe at any
    /// time, any number at once, and after being killed.
    #[command(after_help = "\
Examples:
  skein --config skein.toml janitor run --dry-run
  skein --config skein.toml janitor run --uploads-only")]
    Run(RunArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Changes nothing and says what would be done
    #[arg(long)]
    dry_run: bool,
    /// Looks at uploads only, which takes a few requests; objects take one for each thousand in the bucket
    #[arg(long)]
    uploads_only: bool,
    /// Looks at objects behind this key only: where a run was cut short
    #[arg(long, value_name = "KEY")]
    start_after: Option<String>,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// Runs it.
pub(crate) fn run(args: &JanitorArgs, settings: &SettingsArgs) -> Outcome {
    let JanitorCommand::Run(args) = &args.command;
    let settings = settings.start_watched("janitor", &[Need::Bucket])?;
    let options = JanitorOptions {
        patience: settings.connector.janitor_patience,
        mode: if args.dry_run {
            Mode::DryRun
        } else {
            Mode::Act
        },
        scope: if args.uploads_only {
            Scope::Uploads
        } else {
            Scope::Everything
        },
        start_after: args.start_after.clone(),
    };
    let report = runtime()?.block_on(async {
        let cancel = cancel_on_signal()?;
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        Ok::<_, Failure>(janitor::run(&bucket, &options, &cancel).await?)
    })?;
    match args.format {
        ReportFormat::Json => output::json(&report)?,
        ReportFormat::Text => output::lines(&shown(&report, options.mode))?,
    }
    Ok(if report.damaged.is_empty() {
        ExitCode::Ok
    } else {
        ExitCode::of(ErrorKind::Corrupt)
    })
}

fn shown(report: &JanitorReport, mode: Mode) -> Vec<String> {
    let verb = match mode {
        Mode::DryRun => "would be",
        Mode::Act => "were",
    };
    let mut lines = vec![format!(
        "{} uploads ({} bytes) and {} objects ({} bytes) {verb} taken away
{} flushes {verb} declared void, {} spent statuses deleted
{} uploads and objects stay, {} uploads are not a connector's",
        report.uploads,
        report.upload_bytes,
        report.objects,
        report.object_bytes,
        report.flushes_voided,
        report.statuses,
        report.kept,
        report.others,
    )];
    for (key, reason) in &report.damaged {
        lines.push(format!(
            "damaged, what it decides about stays: {key}: {reason}"
        ));
    }
    if let Some(key) = &report.cut_short_at {
        lines.push(format!("cut short: go on with --start-after '{key}'"));
    }
    lines
}

/// What a janitor would take away, in one line; nothing when there is nothing.
pub(crate) fn note(report: &JanitorReport) -> Option<String> {
    let JanitorReport {
        uploads,
        upload_bytes,
        objects,
        object_bytes,
        ..
    } = report;
    (uploads + objects > 0).then(|| {
        format!(
            "note: {uploads} uploads ({upload_bytes} bytes) and {objects} objects ({object_bytes} bytes) will never \
             count; `skein janitor run` takes them away"
        )
    })
}
