//! `skein delete create`.

use std::io::{self, BufRead as _, IsTerminal as _};

use clap::Args;
use serde::Serialize;
use skein_config::cutover::timelines::Timelines;
use skein_config::settings::{Need, Settings};
use skein_reader::inspect::deletes::{DeleteReach, reach};
use skein_reader::series_names;
use skein_reader::snapshot::{Selection, Snapshot};
use skein_shared::bucket::Bucket;
use skein_shared::delete_log::{self, NewDelete};
use skein_shared::format::delete_entry::{DeleteEntry, DeleteSelector, Statement};
use skein_shared::format::points_csv::parse_timestamp;
use skein_shared::ids::OrgId;
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};

/// Flags of `skein delete create`.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Whose points
    #[arg(long)]
    org: u64,
    /// Which series, as `skein read` takes it; without it all of the org
    #[arg(long)]
    metric: Option<String>,
    /// First event time that goes: RFC 3339 or epoch milliseconds
    #[arg(long, value_name = "TIME", value_parser = parse_timestamp)]
    from: Option<TimestampMs>,
    /// First event time beyond
    #[arg(long, value_name = "TIME", value_parser = parse_timestamp)]
    to: Option<TimestampMs>,
    /// Why, for those who come after
    #[arg(long)]
    reason: String,
    /// Where it was asked for
    #[arg(long)]
    ticket: Option<String>,
    /// Who does it; the user of this process by default
    #[arg(long)]
    actor: Option<String>,
    /// Says what would be touched, and deletes nothing
    #[arg(long)]
    dry_run: bool,
    /// Does not ask
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

#[derive(Serialize)]
struct Report {
    /// `None` of a dry run.
    delete: Option<u64>,
    org: u64,
    metric: Option<u64>,
    masked_since: Option<String>,
    deadline: Option<String>,
    touches: DeleteReach,
}

/// Runs it.
pub(super) fn run(args: &CreateArgs, settings: &SettingsArgs) -> Outcome {
    let span = TimeSpan {
        from: args.from.unwrap_or(TimeSpan::ALL.from),
        to: args.to.unwrap_or(TimeSpan::ALL.to),
    };
    if span.is_empty() {
        return Err(Failure::usage("--from does not lie before --to"));
    }
    if args.reason.trim().is_empty() {
        return Err(Failure::usage(
            "--reason is empty: say why, for those who come after",
        ));
    }
    let settings = settings.start(&[Need::Bucket])?;
    let report = runtime()?.block_on(create(args, span, &settings))?;
    match args.format {
        ReportFormat::Json => output::json(&report)?,
        ReportFormat::Text => output::lines(&report.shown())?,
    }
    Ok(ExitCode::Ok)
}

async fn create(args: &CreateArgs, span: TimeSpan, settings: &Settings) -> Result<Report, Failure> {
    let bucket = Bucket::open(&settings.bucket.settings()?).await?;
    let selector = selector_of(args, span, (&bucket, settings)).await?;
    let touches = reach(&bucket, selector).await?;
    let report = Report {
        delete: None,
        org: selector.org.0,
        metric: selector.metric.map(|metric| metric.0),
        masked_since: None,
        deadline: None,
        touches,
    };
    if args.dry_run {
        return Ok(report);
    }
    confirm(args, &touches)?;
    let new = NewDelete {
        selector,
        stated: Statement {
            actor: actor(args),
            reason: args.reason.clone(),
            ticket: args.ticket.clone(),
        },
        deadline_after: settings.compactor.delete_deadline,
    };
    let DeleteEntry {
        number,
        at,
        deadline,
        ..
    } = delete_log::append(&bucket, new).await?;
    Ok(Report {
        delete: Some(number),
        masked_since: Some(at.to_string()),
        deadline: Some(deadline.to_string()),
        ..report
    })
}

/// Who is named, else who the system says runs this.
fn actor(args: &CreateArgs) -> String {
    let user = || std::env::var("USER").ok();
    let named = args.actor.clone().or_else(user);
    named.unwrap_or_else(|| "unknown".to_owned())
}

async fn selector_of(
    args: &CreateArgs,
    span: TimeSpan,
    (bucket, settings): (&Bucket, &Settings),
) -> Result<DeleteSelector, Failure> {
    let org = OrgId(args.org);
    let metric = match &args.metric {
        None => None,
        Some(metric) => {
            let unenrolled = settings.cutover.unenrolled.pipeline();
            let timelines = Timelines::load(bucket, unenrolled).await?;
            let snapshot = Snapshot::load(bucket, timelines, Selection::Org(org)).await?;
            Some(series_names::find(&snapshot, org, metric).await?)
        }
    };
    Ok(DeleteSelector { org, metric, span })
}

/// What cannot be undone is done by a person who was asked, or by a script that says so.
fn confirm(args: &CreateArgs, touches: &DeleteReach) -> Result<(), Failure> {
    if args.yes {
        return Ok(());
    }
    let refused = |how: &str| {
        Failure::Said(
            ExitCode::Irreversible,
            format!(
                "a delete cannot be undone; org=`{}`: it touches {}; {how}",
                args.org,
                shown_reach(touches)
            ),
        )
    };
    if !io::stdin().is_terminal() {
        return Err(refused("give --yes to do it, --dry-run to look first"));
    }
    eprintln!(
        "This touches {} and cannot be undone.",
        shown_reach(touches)
    );
    eprintln!("Type the org's number to go on:");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() == args.org.to_string() {
        return Ok(());
    }
    Err(refused("the answer was not the org's number"))
}

fn shown_reach(touches: &DeleteReach) -> String {
    let bound = if touches.is_upper_bound {
        "at most "
    } else {
        ""
    };
    format!(
        "{bound}{} points in {} bytes, in {} segments ({} bytes, all rewritten) of {} windows of {} shards",
        touches.points,
        touches.point_bytes,
        touches.segments,
        touches.segment_bytes,
        touches.windows,
        touches.shards,
    )
}

impl Report {
    fn shown(&self) -> Vec<String> {
        let reach = shown_reach(&self.touches);
        let (Some(number), Some(since), Some(deadline)) =
            (self.delete, &self.masked_since, &self.deadline)
        else {
            return vec![format!(
                "would delete {reach}; records that are not compacted yet come on top"
            )];
        };
        vec![
            format!("delete {number}: masked since {since}: {reach}"),
            format!("gone from all segments by {deadline}; see `skein delete show {number}`"),
        ]
    }
}
