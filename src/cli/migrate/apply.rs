//! `skein migrate apply`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use skein_config::cutover::fact_finding::Plane;
use skein_config::cutover::saga::{Ended, Mode, Verb, carry_out};
use skein_config::cutover::wanted::{Lead, WantedOrg, WantedOrgs};
use skein_config::settings::Need;
use skein_shared::cutover::CutoverState;
use skein_shared::cutover_log;
use skein_shared::format::delete_entry::Statement;
use skein_shared::ids::OrgId;

use crate::cli::migrate::ask::{WhyArgs, row_of};
use crate::cli::migrate::plane::open;
use crate::cli::migrate::print;
use crate::cli::migrate::row::{OrgRow, worst};
use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::ReportFormat;

const HELP: &str = "\
The file, one table an org; orgs that are absent stay as they are:
  [[org]]
  id = 7
  phase = \"switched\"        # off, shadow, canary, switched, sealed or done
  mirror_percent = 50       # on the way; 5 by default
  confirmed = 7             # where the way there cannot be taken back with metadata

What has to be waited for is left to the controller: apply the file again, as often as you like.";

/// Leads orgs to where a file wants them; shows the plan first
///
/// Per org the verbs that lead from where it stands to where it is wanted, each with its gates, until one has to be waited
/// for or is refused. One org's refusal stops that org alone.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct ApplyArgs {
    /// The file
    file: PathBuf,
    #[command(flatten)]
    why: WhyArgs,
    /// Shows the plan alone
    #[arg(long)]
    dry_run: bool,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

#[derive(Serialize)]
struct Report {
    plan: Vec<PlanRow>,
    done: Vec<OrgRow>,
}

#[derive(Serialize)]
struct PlanRow {
    org: u64,
    state: &'static str,
    /// Verbs, with what they are asked in.
    verbs: Vec<String>,
    /// Why no verb leads there.
    nowhere: Option<&'static str>,
}

/// Runs it.
pub(super) fn run(args: &ApplyArgs, settings: &SettingsArgs) -> Outcome {
    let stated = args.why.stated()?;
    let text = std::fs::read_to_string(&args.file).map_err(|error| {
        let file = args.file.display();
        Failure::usage(format!(
            "read wanted orgs failed; file=`{file}` reason=`{error}`"
        ))
    })?;
    let wanted = WantedOrgs::read(&text).map_err(|reason| {
        let file = args.file.display();
        Failure::usage(format!(
            "wanted orgs are not valid; file=`{file}` reason=`{reason}`"
        ))
    })?;
    let settings = settings.start(&[Need::Bucket])?;
    let report = runtime()?.block_on(async {
        let plane = open(&settings).await?;
        let mut report = Report {
            plan: Vec::new(),
            done: Vec::new(),
        };
        for (org, wanted) in &wanted {
            report.plan.push(planned(&plane, *org, wanted).await?);
        }
        if !args.dry_run {
            for (org, wanted) in &wanted {
                let rows = lead(&plane, (*org, wanted), &stated).await;
                report.done.extend(rows);
            }
        }
        Ok::<_, Failure>(report)
    })?;
    print(args.format, &report, || report.shown())?;
    let nowhere = report.plan.iter().filter(|row| row.nowhere.is_some());
    let codes = nowhere.map(|_| ExitCode::Conflict);
    Ok(worst(codes.chain(report.done.iter().map(|row| row.code))))
}

async fn planned(plane: &Plane, org: OrgId, wanted: &WantedOrg) -> Result<PlanRow, Failure> {
    let newest = cutover_log::newest(&plane.bucket, org).await?;
    let newest = newest.as_ref().map(|(version, _)| version);
    let verbs = wanted
        .way(newest)
        .into_iter()
        .map(|(from, request, to)| format!("{} ({from} -> {to})", request.verb()));
    Ok(PlanRow {
        org: org.0,
        state: newest
            .map_or(CutoverState::Off, |newest| newest.state)
            .name(),
        verbs: verbs.collect(),
        nowhere: match wanted.lead(newest) {
            Lead::Nowhere(why) => Some(why),
            Lead::There | Lead::Ask(_) | Lead::Wait => None,
        },
    })
}

/// Asks until there is nothing to ask; what fails of an org is its own.
async fn lead(plane: &Plane, of: (OrgId, &WantedOrg), stated: &Statement) -> Vec<OrgRow> {
    let mut rows = Vec::new();
    // No way through the table is longer.
    for _ in CutoverState::ALL {
        match next(plane, of, stated).await {
            Ok(None) | Err(Failure::BrokenPipe) => break,
            Ok(Some(row)) => {
                let is_refused = row.refused.is_some();
                rows.push(row);
                if is_refused {
                    break;
                }
            }
            Err(Failure::Said(code, why)) => {
                rows.push(OrgRow {
                    code,
                    ..OrgRow::changed_nothing(of.0, why)
                });
                break;
            }
        }
    }
    rows
}

async fn next(
    plane: &Plane,
    (org, wanted): (OrgId, &WantedOrg),
    stated: &Statement,
) -> Result<Option<OrgRow>, Failure> {
    let newest = cutover_log::newest(&plane.bucket, org).await?;
    let newest = newest.as_ref().map(|(version, _)| version);
    let request = match wanted.lead(newest) {
        Lead::Ask(request) => request,
        Lead::There | Lead::Wait | Lead::Nowhere(_) => return Ok(None),
    };
    let verb = Verb {
        org,
        request,
        stated: stated.clone(),
        evidence: vec![],
        expected: Some(newest.map_or(0, |newest| newest.version)),
    };
    Ok(Some(match carry_out(plane, &verb, Mode::Real).await? {
        Ended::Done(done) => row_of(org, &done, Mode::Real),
        Ended::Refused(refusal) => OrgRow::refused(org, &refusal),
    }))
}

impl Report {
    fn shown(&self) -> Vec<String> {
        let mut lines = vec!["plan:".to_owned()];
        lines.extend(self.plan.iter().map(|row| {
            let way = match (row.nowhere, row.verbs.as_slice()) {
                (Some(why), _) => why.to_owned(),
                (None, []) => "nothing to ask".to_owned(),
                (None, verbs) => verbs.join(", then "),
            };
            format!("  org {} is {}: {way}", row.org, row.state)
        }));
        lines.extend(self.done.iter().flat_map(OrgRow::shown));
        lines
    }
}
