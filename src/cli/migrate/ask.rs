//! Asks for a verb, of one org or of several, and waits where that is wanted.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::time::Duration;

use clap::Args;
use skein_config::cutover::cohort;
use skein_config::cutover::controller::{self, Waited};
use skein_config::cutover::fact_finding::Plane;
use skein_config::cutover::request::{Confirmation, Refusal, RefusalKind, Request};
use skein_config::cutover::saga::{Done, Ended, Mode, Verb, carry_out};
use skein_config::cutover::wanted::waited;
use skein_config::settings::Need;
use skein_shared::cutover_log;
use skein_shared::format::delete_entry::Statement;
use skein_shared::ids::OrgId;
use skein_shared::units::Millis;

use crate::cli::migrate::plane::{actor, open};
use crate::cli::migrate::print;
use crate::cli::migrate::row::{
    OrgRow, SpanRow, VersionRow, code_of, code_of_standing, standing, worst,
};
use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::ReportFormat;

/// Of whom, why, and how.
#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    #[command(flatten)]
    pub(crate) who: WhoArgs,
    #[command(flatten)]
    pub(crate) why: WhyArgs,
    /// Says what would be, on the same way, and changes nothing
    #[arg(long)]
    dry_run: bool,
    /// The version that was looked at: with another one it is refused with exit code 5
    #[arg(long, value_name = "VERSION")]
    expect: Option<u64>,
    /// The org's number once more, where taking it back costs more than metadata; a terminal is asked
    #[arg(long, value_name = "ORG")]
    confirm: Vec<u64>,
    /// Waits until it has taken effect, taking it on as the controller does
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// How long to wait; exit code 6 when that is over
    #[arg(long, default_value = "1 h", requires = "wait")]
    timeout: Millis,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// Which orgs.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct WhoArgs {
    /// Which org; may be given more than once
    #[arg(long)]
    org: Vec<u64>,
    /// All orgs that came in by the cohort with this salt
    #[arg(long, value_name = "SALT")]
    cohort: Option<String>,
}

/// Why, for those who come after.
#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// Why, for those who come after
    #[arg(long)]
    reason: String,
    /// Where it was asked for
    #[arg(long)]
    ticket: Option<String>,
    /// Who does it; the user of this process by default
    #[arg(long)]
    actor: Option<String>,
}

/// A verb whose request may need the org's name.
#[derive(Debug)]
pub(crate) enum Asked {
    Request(Request),
    Complete,
    Purge,
}

impl WhyArgs {
    /// The statement that versions keep.
    pub(crate) fn stated(&self) -> Result<Statement, Failure> {
        if self.reason.trim().is_empty() {
            return Err(Failure::usage(
                "--reason is empty: say why, for those who come after",
            ));
        }
        Ok(Statement {
            actor: actor(self.actor.as_ref()),
            reason: self.reason.clone(),
            ticket: self.ticket.clone(),
        })
    }
}

impl Asked {
    fn request(&self, confirmation: Confirmation) -> Request {
        match self {
            Self::Request(request) => request.clone(),
            Self::Complete => Request::Complete(confirmation),
            Self::Purge => Request::Purge(confirmation),
        }
    }
}

/// Runs it.
pub(super) fn run(asked: &Asked, args: &AskArgs, settings: &SettingsArgs) -> Outcome {
    let stated = args.why.stated()?;
    let settings = settings.start(&[Need::Bucket])?;
    let rows = runtime()?.block_on(async {
        let plane = open(&settings).await?;
        let mut rows = Vec::new();
        for org in orgs(&plane, &args.who).await? {
            rows.push(one(&plane, (asked, args), (org, &stated)).await);
        }
        Ok::<_, Failure>(rows)
    })?;
    let lines = || rows.iter().flat_map(OrgRow::shown).collect();
    print(args.format, &rows, lines)?;
    Ok(worst(rows.iter().map(|row| row.code)))
}

/// The orgs that are meant.
async fn orgs(plane: &Plane, who: &WhoArgs) -> Result<Vec<OrgId>, Failure> {
    let Some(salt) = &who.cohort else {
        return Ok(who.org.iter().copied().map(OrgId).collect());
    };
    let mut members = Vec::new();
    for org in cutover_log::orgs(&plane.bucket).await? {
        let history = cutover_log::history(&plane.bucket, org).await?;
        let came_by = cohort::came_by(history.iter().map(|(version, _)| version));
        if came_by.as_ref() == Some(salt) {
            members.push(org);
        }
    }
    if members.is_empty() {
        let why = format!("no org came in by a cohort with salt `{salt}`");
        return Err(Failure::usage(why));
    }
    Ok(members)
}

/// One org; what fails of it is its own.
async fn one(plane: &Plane, asked: (&Asked, &AskArgs), of: (OrgId, &Statement)) -> OrgRow {
    let (org, _) = of;
    match try_one(plane, asked, of).await {
        Ok(row) => row,
        Err(Failure::Said(code, why)) => OrgRow {
            code,
            ..OrgRow::changed_nothing(org, why)
        },
        Err(Failure::BrokenPipe) => OrgRow::changed_nothing(org, String::new()),
    }
}

async fn try_one(
    plane: &Plane,
    (asked, args): (&Asked, &AskArgs),
    (org, stated): (OrgId, &Statement),
) -> Result<OrgRow, Failure> {
    let mode = if args.dry_run {
        Mode::DryRun
    } else {
        Mode::Real
    };
    let named = args.confirm.contains(&org.0);
    let mut verb = Verb {
        org,
        request: asked.request(if named {
            Confirmation::Of(org)
        } else {
            Confirmation::Missing
        }),
        stated: stated.clone(),
        evidence: vec![],
        expected: args.expect,
    };
    let mut ended = carry_out(plane, &verb, mode).await?;
    if let Ended::Refused(refusal) = &ended
        && refusal.kind == RefusalKind::Irreversible
        && is_named(org, refusal)?
    {
        verb.request = asked.request(Confirmation::Of(org));
        ended = carry_out(plane, &verb, mode).await?;
    }
    let done = match ended {
        Ended::Done(done) => done,
        Ended::Refused(refusal) => return Ok(OrgRow::refused(org, &refusal)),
    };
    let mut row = row_of(org, &done, mode);
    if args.wait {
        let patience = Duration::from_millis(args.timeout.0);
        let wanted = waited(done.version.state);
        let reached = controller::wait(plane, (org, stated), (wanted, patience)).await?;
        after_waiting(&mut row, &reached);
        if let Some((newest, _)) = cutover_log::newest(&plane.bucket, org).await? {
            row.version = Some(VersionRow::of(&newest));
        }
    }
    Ok(row)
}

/// What a verb made.
pub(crate) fn row_of(org: OrgId, done: &Done, mode: Mode) -> OrgRow {
    OrgRow {
        fleet: done.fleet,
        restated: done.restated.map(SpanRow::of),
        dry_run: mode == Mode::DryRun,
        ..OrgRow::changed(org, &done.version)
    }
}

fn after_waiting(row: &mut OrgRow, waited: &Waited) {
    match waited {
        Waited::Reached(_) => {}
        Waited::Elsewhere(state, how) => {
            let (name, why) = standing(how);
            let why = why.unwrap_or_default();
            row.refused = Some(format!("it is {state} now, and {name}: {why}"));
            row.code = code_of_standing(how);
            if row.code == ExitCode::Ok {
                row.code = ExitCode::Conflict;
            }
        }
        Waited::TimedOut(refusal) => {
            row.refused = Some(refusal.reason.clone());
            let code = code_of(refusal.kind);
            let says_more = [ExitCode::Difference, ExitCode::Inconclusive].contains(&code);
            row.code = if says_more { code } else { ExitCode::TimedOut };
        }
    }
}

/// Whether a person at a terminal types the org's number.
fn is_named(org: OrgId, refusal: &Refusal) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    eprintln!("org {org}: {refusal}");
    eprintln!("Type the org's number to go on:");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim() == org.to_string())
}
