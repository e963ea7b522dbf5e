//! `skein migrate plan`.

use clap::{Args, ValueEnum};
use serde::Serialize;
use skein_config::cutover::fact_finding::look;
use skein_config::cutover::rules::Rules;
use skein_config::cutover::wanted::{WantedOrg, WantedPhase};
use skein_config::settings::Need;
use skein_shared::cutover::{CutoverState, UndoCost};
use skein_shared::ids::OrgId;

use crate::cli::migrate::plane::open;
use crate::cli::migrate::print;
use crate::cli::migrate::show::{VerbRow, verbs};
use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::ReportFormat;

/// Flags of `skein migrate plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Which org
    #[arg(long)]
    org: u64,
    /// Where it is to stand in the end
    #[arg(long, default_value = "done")]
    to: Phase,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// Where an org is to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Phase {
    /// The old pipeline has everything
    Off,
    /// Both write
    Shadow,
    /// A share of reads is compared
    Canary,
    /// Readers see the new pipeline
    Switched,
    /// The old one has ended
    Sealed,
    /// It is kept for what it holds
    Done,
}

#[derive(Serialize)]
struct PlanReport {
    org: u64,
    state: &'static str,
    /// Nothing is changed for this long before an edge, and both pipelines write so long around one.
    lead: String,
    hold: String,
    release: Vec<Step>,
    rollback: Vec<Step>,
    /// What can be asked now, and what gates say of it.
    now: Vec<VerbRow>,
}

#[derive(Serialize)]
struct Step {
    verb: &'static str,
    /// Where the cutover stands when it is asked.
    from: &'static str,
    /// Where it will stand once it has taken effect.
    to: &'static str,
    /// What it waits for, or needs.
    needs: &'static str,
    /// What taking it back costs once it has taken effect.
    undo: &'static str,
}

impl Phase {
    fn wanted(self) -> WantedPhase {
        match self {
            Self::Off => WantedPhase::Off,
            Self::Shadow => WantedPhase::Shadow,
            Self::Canary => WantedPhase::Canary,
            Self::Switched => WantedPhase::Switched,
            Self::Sealed => WantedPhase::Sealed,
            Self::Done => WantedPhase::Done,
        }
    }
}

/// Runs it.
pub(super) fn run(args: &PlanArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start(&[Need::Bucket])?;
    let report = runtime()?.block_on(async {
        let plane = open(&settings).await?;
        let seen = look(&plane, OrgId(args.org)).await?;
        let newest = seen.history.last().map(|(version, _)| version);
        let wanted = WantedOrg {
            id: args.org,
            phase: args.to.wanted(),
            mirror_percent: 5,
            confirmed: None,
        };
        let rules = Rules::of(&plane.settings);
        let state = newest.map_or(CutoverState::Off, |newest| newest.state);
        let steps = wanted
            .way(newest)
            .into_iter()
            .map(|(from, request, to)| Step {
                verb: request.verb(),
                from: from.name(),
                to: to.name(),
                needs: needs(request.verb(), from),
                undo: undo_in(to).text(),
            });
        Ok::<_, Failure>(PlanReport {
            org: args.org,
            state: state.name(),
            lead: rules.lead.to_string(),
            hold: rules.hold.to_string(),
            release: steps.collect(),
            rollback: ROLLBACK.iter().map(rollback).collect(),
            now: verbs(OrgId(args.org), newest, (&seen.facts, &rules)),
        })
    })?;
    print(args.format, &report, || report.shown())?;
    Ok(ExitCode::Ok)
}

/// What it costs to leave a state backwards.
fn undo_in(state: CutoverState) -> UndoCost {
    match state {
        CutoverState::Off
        | CutoverState::Starting
        | CutoverState::Shadow
        | CutoverState::Canary
        | CutoverState::Scheduled
        | CutoverState::Armed
        | CutoverState::Switched
        | CutoverState::Reversing
        | CutoverState::Reversed => UndoCost::Metadata,
        CutoverState::Contracting => UndoCost::OneLead,
        CutoverState::Sealed => UndoCost::Replay,
        CutoverState::Done => UndoCost::Restore,
    }
}

fn needs(verb: &str, from: CutoverState) -> &'static str {
    match (verb, from) {
        ("create", _) => {
            "nothing; then all writers acknowledge, and the first points after the edge are committed"
        }
        ("mirror-traffic", CutoverState::Shadow) => "a full comparison that passes",
        ("switch-traffic", _) => {
            "a fresh comparison that passes, and the way back rehearsed; then all nodes acknowledge"
        }
        ("complete", CutoverState::Switched) => {
            "the hold is over and a fresh comparison passes; then the old pipeline's late horizon is over"
        }
        ("complete", _) => "the hold after the seal is over, and the org is named",
        ("reverse-traffic", _) => "the old pipeline writes",
        _ => "nothing",
    }
}

/// States, the verb that leads back from each, and where to.
const ROLLBACK: [(CutoverState, &str, CutoverState, &str); 7] = [
    (
        CutoverState::Starting,
        "cancel",
        CutoverState::Off,
        "nothing",
    ),
    (CutoverState::Canary, "cancel", CutoverState::Off, "nothing"),
    (
        CutoverState::Armed,
        "cancel",
        CutoverState::Canary,
        "nothing",
    ),
    (
        CutoverState::Switched,
        "reverse-traffic",
        CutoverState::Reversed,
        "the old pipeline writes; with --void it is complete, and answers since the switch change",
    ),
    (
        CutoverState::Contracting,
        "reverse-traffic",
        CutoverState::Reversed,
        "before the old pipeline's end one lead; after it the old one first writes again, and what it lacks is replayed",
    ),
    (
        CutoverState::Sealed,
        "reverse-traffic",
        CutoverState::Reversed,
        "the old pipeline writes again first; what it lacks is replayed, compared and reassigned",
    ),
    (
        CutoverState::Done,
        "reverse-traffic",
        CutoverState::Reversed,
        "the old pipeline gets its access back, or is restored from what was retained",
    ),
];

fn rollback(way: &(CutoverState, &'static str, CutoverState, &'static str)) -> Step {
    let (from, verb, to, needs) = *way;
    Step {
        verb,
        from: from.name(),
        to: to.name(),
        needs,
        undo: undo_in(from).text(),
    }
}

impl PlanReport {
    fn shown(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "org {} is {}; lead {}, hold {}",
            self.org, self.state, self.lead, self.hold
        )];
        lines.push("release:".to_owned());
        lines.extend(self.release.iter().map(|step| {
            let Step {
                verb,
                from,
                to,
                needs,
                undo,
            } = step;
            format!("  {verb}: {from} -> {to}; needs {needs}; undo {undo}")
        }));
        lines.push("rollback, from wherever it stands then:".to_owned());
        lines.extend(self.rollback.iter().map(|step| {
            let Step {
                verb,
                from,
                to,
                needs,
                undo,
            } = step;
            format!("  {from}: {verb} -> {to}; needs {needs}; costs {undo}")
        }));
        lines.push("now:".to_owned());
        lines.extend(self.now.iter().map(VerbRow::shown));
        lines
    }
}
