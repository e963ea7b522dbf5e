//! `skein migrate controller`.

use std::time::Duration;

use clap::Args;
use skein_config::cutover::controller::{Taken, round};
use skein_config::cutover::fact_finding::Plane;
use skein_config::cutover::request::RefusalKind;
use skein_config::cutover::saga::Mode;
use skein_config::settings::Need;
use skein_shared::format::delete_entry::Statement;

use crate::cli::migrate::plane::{actor, open};
use crate::cli::migrate::print;
use crate::cli::migrate::row::{OrgRow, worst};
use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::ReportFormat;
use crate::signals::cancel_on_signal;

/// Takes every org on when its time has come
///
/// Looks at all orgs every `cutover.poll`, until a signal: publishes versions that a process which ended too early left
/// unpublished, arms what all nodes know, puts off what they do not, and records what gates say. Several may run: of two that
/// do the same one wins. None has to: `--wait` does it for one org, and edges come by event time alone.
#[derive(Debug, Args)]
pub(crate) struct ControllerArgs {
    /// One look, and its report; exit code 3 or 4 when a gate says no or cannot say
    #[arg(long)]
    once: bool,
    /// Says what would be done
    #[arg(long, requires = "once")]
    dry_run: bool,
    /// Who does it; the user of this process by default
    #[arg(long)]
    actor: Option<String>,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// Runs it.
pub(super) fn run(args: &ControllerArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start(&[Need::Bucket])?;
    let mode = if args.dry_run {
        Mode::DryRun
    } else {
        Mode::Real
    };
    let stated = Statement {
        actor: actor(args.actor.as_ref()),
        reason: "its time has come".to_owned(),
        ticket: None,
    };
    runtime()?.block_on(async {
        let plane = open(&settings).await?;
        if args.once {
            return look(&plane, (&stated, mode), args.format).await;
        }
        let cancel = cancel_on_signal()?;
        while !cancel.is_cancelled() {
            match look(&plane, (&stated, mode), args.format).await {
                Ok(_) => {}
                // What fails now may succeed at the next look.
                Err(Failure::Said(_, why)) => tracing::warn!("look at cutovers failed; {why}"),
                Err(gone @ Failure::BrokenPipe) => return Err(gone),
            }
            let pause = Duration::from_millis(plane.settings.poll.0);
            let _ = tokio::time::timeout(pause, cancel.cancelled()).await;
        }
        Ok(ExitCode::Ok)
    })
}

async fn look(plane: &Plane, (stated, mode): (&Statement, Mode), format: ReportFormat) -> Outcome {
    let taken = round(plane, stated, mode).await?;
    let rows: Vec<OrgRow> = taken
        .iter()
        .flat_map(|taken| rows_of(taken, mode))
        .collect();
    if !rows.is_empty() || format == ReportFormat::Json {
        let lines = || rows.iter().flat_map(OrgRow::shown).collect();
        print(format, &rows, lines)?;
    }
    Ok(worst(rows.iter().map(|row| row.code)))
}

/// What was made of an org, and why there was no more, unless it only waits.
fn rows_of(taken: &Taken, mode: Mode) -> Vec<OrgRow> {
    let steps = taken.steps.iter().map(|version| OrgRow {
        dry_run: mode == Mode::DryRun,
        ..OrgRow::changed(taken.org, version)
    });
    let mut rows: Vec<OrgRow> = steps.collect();
    match &taken.rest {
        Ok(refusal) => match refusal.kind {
            // It waits, or somebody has stopped it: nothing is wrong.
            RefusalKind::NotYet | RefusalKind::Conflict => {}
            RefusalKind::Invalid
            | RefusalKind::Gate
            | RefusalKind::Inconclusive
            | RefusalKind::Irreversible => rows.push(OrgRow::refused(taken.org, refusal)),
        },
        Err(error) => {
            let mut row = OrgRow::changed_nothing(taken.org, crate::failure::with_sources(error));
            row.code = ExitCode::of(error.kind());
            rows.push(row);
        }
    }
    rows
}
