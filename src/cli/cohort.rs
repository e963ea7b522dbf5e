//! `skein cohort`: proposes which orgs are next, and shows how much is left.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Serialize;
use skein_config::cutover::cohort::{Cohort, Member, Proposal, Share, burn_down};
use skein_config::cutover::fact_finding::Plane;
use skein_config::cutover::org_census::census;
use skein_config::cutover::request::{EdgeChoice, Request};
use skein_config::cutover::saga::{Ended, Mode, Verb, carry_out};
use skein_config::settings::Need;
use skein_shared::format::cutover_version::Evidence;
use skein_shared::format::delete_entry::Statement;
use skein_shared::ids::OrgId;

use crate::cli::migrate::{OrgRow, WhyArgs, open, row_of, worst};
use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};

/// Moves orgs in shares of a hundred: proposes, begins, and shows how much is left
///
/// The hash of a salt and an org ranks all orgs. Raising the percentage adds orgs, lowering it takes the last added out, and
/// neither it nor another salt ever moves an org whose readers were sent to the new pipeline: from then on it has edges of
/// its own, and `skein migrate` is for it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skein cohort plan --percent 5 --salt wave-1
  skein cohort advance --percent 5 --salt wave-1 --reason 'first wave'
  skein migrate mirror-traffic 50 --cohort wave-1 --reason 'first wave'
  skein cohort shrink --percent 2 --salt wave-1 --reason 'too many at once'")]
pub(crate) struct CohortArgs {
    #[command(subcommand)]
    command: CohortCommand,
}

#[derive(Debug, Subcommand)]
enum CohortCommand {
    /// Shows which orgs are in, what would be done, and how much stands where
    Plan {
        #[command(flatten)]
        share: ShareArgs,
        /// Form of the report
        #[arg(long, default_value = "text")]
        format: ReportFormat,
    },
    /// Begins the cutover of the orgs that are in and have none
    Advance(ChangeArgs),
    /// Cancels the cutover of the orgs that came by it, are in no more, and were never switched
    Shrink(ChangeArgs),
}

/// Which share.
#[derive(Debug, Args)]
struct ShareArgs {
    /// Of a hundred orgs
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=100))]
    percent: u8,
    /// Ranks the orgs; keep it for as long as the wave lasts
    #[arg(long)]
    salt: String,
}

/// A change, and why.
#[derive(Debug, Args)]
struct ChangeArgs {
    #[command(flatten)]
    share: ShareArgs,
    #[command(flatten)]
    why: WhyArgs,
    /// Says what would be, and changes nothing
    #[arg(long)]
    dry_run: bool,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

#[derive(Serialize)]
struct Report {
    percent: u8,
    salt: String,
    create: Vec<u64>,
    cancel: Vec<u64>,
    burn_down: Vec<BurnRow>,
    done: Vec<OrgRow>,
}

/// How much stands in a state.
#[derive(Serialize)]
struct BurnRow {
    state: &'static str,
    orgs: u64,
    orgs_percent: f64,
    points: u64,
    points_percent: f64,
    bytes: u64,
    bytes_percent: f64,
}

/// Which half of a proposal is carried out.
#[derive(Clone, Copy)]
enum Half {
    Create,
    Cancel,
}

/// Runs it.
pub(crate) fn run(args: &CohortArgs, settings: &SettingsArgs) -> Outcome {
    match &args.command {
        CohortCommand::Plan { share, format } => plan(share, *format, settings),
        CohortCommand::Advance(args) => change(args, Half::Create, settings),
        CohortCommand::Shrink(args) => change(args, Half::Cancel, settings),
    }
}

impl ShareArgs {
    fn cohort(&self) -> Cohort {
        Cohort {
            percent: self.percent,
            salt: self.salt.clone(),
        }
    }
}

fn plan(share: &ShareArgs, format: ReportFormat, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start(&[Need::Bucket])?;
    let orgs = runtime()?.block_on(async {
        let plane = open(&settings).await?;
        Ok::<_, Failure>(census(&plane).await?)
    })?;
    let cohort = share.cohort();
    let report = Report::of(&cohort, (&orgs, &cohort.propose(&orgs)));
    report.print(format)?;
    Ok(ExitCode::Ok)
}

fn change(args: &ChangeArgs, half: Half, settings: &SettingsArgs) -> Outcome {
    let stated = args.why.stated()?;
    let mode = if args.dry_run {
        Mode::DryRun
    } else {
        Mode::Real
    };
    let cohort = args.share.cohort();
    let settings = settings.start(&[Need::Bucket])?;
    let report = runtime()?.block_on(async {
        let plane = open(&settings).await?;
        let orgs = census(&plane).await?;
        let proposal = cohort.propose(&orgs);
        let evidence = cohort.evidence(plane.bucket.now().await?);
        let (chosen, request, evidence) = match half {
            Half::Create => (
                &proposal.create,
                Request::Create(EdgeChoice::Soonest),
                vec![evidence],
            ),
            Half::Cancel => (&proposal.cancel, Request::Cancel, vec![]),
        };
        let mut report = Report::of(&cohort, (&orgs, &proposal));
        for org in chosen {
            let verb = verb(*org, (&request, &evidence), &stated);
            report.done.push(one(&plane, &verb, mode).await);
        }
        Ok::<_, Failure>(report)
    })?;
    report.print(args.format)?;
    Ok(worst(report.done.iter().map(|row| row.code)))
}

fn verb(org: OrgId, (request, evidence): (&Request, &[Evidence]), stated: &Statement) -> Verb {
    Verb {
        org,
        request: request.clone(),
        stated: stated.clone(),
        evidence: evidence.to_vec(),
        expected: None,
    }
}

/// One org; what fails of it stops nobody else.
async fn one(plane: &Plane, verb: &Verb, mode: Mode) -> OrgRow {
    match carry_out(plane, verb, mode).await {
        Ok(Ended::Done(done)) => row_of(verb.org, &done, mode),
        Ok(Ended::Refused(refusal)) => OrgRow::refused(verb.org, &refusal),
        Err(error) => OrgRow {
            code: ExitCode::of(error.kind()),
            ..OrgRow::changed_nothing(verb.org, crate::failure::with_sources(&error))
        },
    }
}

impl Report {
    fn of(cohort: &Cohort, (orgs, proposal): (&BTreeMap<OrgId, Member>, &Proposal)) -> Self {
        let (states, all) = burn_down(orgs);
        let ids = |orgs: &[OrgId]| orgs.iter().map(|org| org.0).collect();
        let row = |(state, share): (skein_shared::cutover::CutoverState, Share)| BurnRow {
            state: state.name(),
            orgs: share.orgs,
            orgs_percent: percent(share.orgs, all.orgs),
            points: share.points,
            points_percent: percent(share.points, all.points),
            bytes: share.bytes,
            bytes_percent: percent(share.bytes, all.bytes),
        };
        Self {
            percent: cohort.percent,
            salt: cohort.salt.clone(),
            create: ids(&proposal.create),
            cancel: ids(&proposal.cancel),
            burn_down: states.into_iter().map(row).collect(),
            done: Vec::new(),
        }
    }

    fn print(&self, format: ReportFormat) -> Result<(), Failure> {
        match format {
            ReportFormat::Json => output::json(self),
            ReportFormat::Text => output::text(&self.shown()),
        }
    }

    fn shown(&self) -> String {
        let listed = |orgs: &[u64]| {
            let orgs: Vec<String> = orgs.iter().map(u64::to_string).collect();
            if orgs.is_empty() {
                "none".to_owned()
            } else {
                orgs.join(", ")
            }
        };
        let mut text = format!(
            "{} % with salt `{}`\nto begin: {}\nto take out: {}\n\n",
            self.percent,
            self.salt,
            listed(&self.create),
            listed(&self.cancel)
        );
        let head = ["state", "orgs", "%", "points", "%", "bytes", "%"];
        let rows = self.burn_down.iter().map(|row| {
            vec![
                row.state.to_owned(),
                row.orgs.to_string(),
                format!("{:.1}", row.orgs_percent),
                row.points.to_string(),
                format!("{:.1}", row.points_percent),
                row.bytes.to_string(),
                format!("{:.1}", row.bytes_percent),
            ]
        });
        text.push_str(&output::table(&head, rows.collect()));
        for line in self.done.iter().flat_map(OrgRow::shown) {
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}

#[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
fn percent(part: u64, all: u64) -> f64 {
    part as f64 * 100.0 / all.max(1) as f64
}
