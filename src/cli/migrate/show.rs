//! `skein migrate show`.

use clap::Args;
use serde::Serialize;
use skein_config::cutover::fact_finding::{Seen, look};
use skein_config::cutover::facts::{Facts, NodeFence, OldFacts};
use skein_config::cutover::request::{Confirmation, EdgeChoice, Request, Reverse};
use skein_config::cutover::rules::Rules;
use skein_config::cutover::transition::{decide, states_of};
use skein_config::settings::Need;
use skein_shared::cutover::CutoverState;
use skein_shared::format::cutover_version::CutoverVersion;
use skein_shared::ids::OrgId;
use skein_shared::window::TimestampMs;

use crate::cli::migrate::plane::open;
use crate::cli::migrate::print;
use crate::cli::migrate::row::{PhaseRow, VersionRow};
use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::ReportFormat;

/// Flags of `skein migrate show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Which org
    #[arg(long)]
    org: u64,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

#[derive(Serialize)]
struct OrgReport {
    org: u64,
    now: String,
    /// `None` before it was ever cut over.
    newest: Option<VersionRow>,
    new_complete_to: Option<String>,
    new_not_owned_to: Option<String>,
    /// `active`, or `passive` of a system that nobody can ask.
    old: &'static str,
    old_complete_to: Option<String>,
    nodes: Vec<NodeRow>,
    comparisons: Vec<ComparisonRow>,
    /// What time and nodes would do now, or what they are waited for.
    due: String,
    verbs: Vec<VerbRow>,
}

#[derive(Serialize)]
struct NodeRow {
    node: String,
    version: u64,
    at: String,
    fenced: bool,
}

#[derive(Serialize)]
struct ComparisonRow {
    comparison: String,
    sides: &'static str,
    verdict: &'static str,
    version: u64,
    build: String,
    windows: (u64, u64),
    differences: u64,
    at: String,
}

/// A verb that the state allows, and whether its gates would let it go on now.
#[derive(Debug, Serialize)]
pub(crate) struct VerbRow {
    verb: &'static str,
    /// What it would lead to.
    leads_to: Option<&'static str>,
    undo: Option<&'static str>,
    refused: Option<String>,
}

/// Runs it.
pub(super) fn run(args: &ShowArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start(&[Need::Bucket])?;
    let report = runtime()?.block_on(async {
        let plane = open(&settings).await?;
        let seen = look(&plane, OrgId(args.org)).await?;
        let rules = Rules::of(&plane.settings);
        Ok::<_, Failure>(report(args.org, &seen, &rules))
    })?;
    print(args.format, &report, || report.shown())?;
    Ok(ExitCode::Ok)
}

fn report(org: u64, seen: &Seen, rules: &Rules) -> OrgReport {
    let time = |at: Option<TimestampMs>| at.map(|at| at.to_string());
    let facts = &seen.facts;
    let newest = seen.history.last().map(|(version, _)| version);
    let due = match decide(newest, &Request::Advance, facts, rules) {
        Ok(next) => format!("{} would be made now", next.state),
        Err(refusal) => refusal.reason,
    };
    let (old, old_complete_to) = match &facts.old {
        OldFacts::Active(old) => ("active", old.complete_to),
        OldFacts::Passive => ("passive", None),
    };
    let nodes = facts.nodes.iter().map(|node| NodeRow {
        node: node.name.clone(),
        version: node.version,
        at: node.at.to_string(),
        fenced: node.fence == NodeFence::Fenced,
    });
    let comparisons = facts.verdicts.iter().map(|fact| ComparisonRow {
        comparison: fact.verdict.comparison.to_string(),
        sides: fact.verdict.sides.name(),
        verdict: fact.verdict.verdict.name(),
        version: fact.verdict.cutover_version,
        build: fact.verdict.build.clone(),
        windows: fact.verdict.windows,
        differences: fact.verdict.counts.differences(),
        at: fact.verdict.at.to_string(),
    });
    OrgReport {
        org,
        now: facts.now.to_string(),
        newest: newest.map(VersionRow::of),
        new_complete_to: time(facts.new.complete_to),
        new_not_owned_to: time(facts.new.not_owned_to),
        old,
        old_complete_to: time(old_complete_to),
        nodes: nodes.collect(),
        comparisons: comparisons.collect(),
        due,
        verbs: verbs(OrgId(org), newest, (facts, rules)),
    }
}

/// Every verb that the state allows.
pub(super) fn verbs(
    org: OrgId,
    newest: Option<&CutoverVersion>,
    (facts, rules): (&Facts, &Rules),
) -> Vec<VerbRow> {
    let soonest = EdgeChoice::Soonest;
    let all = [
        Request::Create(soonest),
        Request::MirrorTraffic(50),
        Request::SwitchTraffic(soonest),
        Request::ReverseTraffic(Reverse::Forward(soonest)),
        Request::ReverseTraffic(Reverse::Void),
        Request::Complete(Confirmation::Of(org)),
        Request::Purge(Confirmation::Of(org)),
        Request::Cancel,
        Request::Pause,
    ];
    let state = newest.map_or(CutoverState::Off, |newest| newest.state);
    let allowed = all.into_iter().filter(|request| {
        states_of(request).contains(&state) && (newest.is_some() || *request != Request::Pause)
    });
    let row = |request: Request| {
        let is_void = request == Request::ReverseTraffic(Reverse::Void);
        let verb = if is_void {
            "reverse-traffic --void"
        } else {
            request.verb()
        };
        let decided = decide(newest, &request, facts, rules);
        let next = decided.as_ref().ok();
        VerbRow {
            verb,
            leads_to: next.map(|next| next.state.name()),
            undo: next.map(|next| next.undo.text()),
            refused: decided.as_ref().err().map(|refusal| refusal.reason.clone()),
        }
    };
    allowed.map(row).collect()
}

impl VerbRow {
    pub(crate) fn shown(&self) -> String {
        match (&self.leads_to, &self.undo, &self.refused) {
            (_, _, Some(why)) => format!("  {}: not now: {why}", self.verb),
            (Some(state), Some(undo), None) => format!("  {}: to {state}; undo: {undo}", self.verb),
            (_, _, None) => format!("  {}", self.verb),
        }
    }
}

impl OrgReport {
    fn shown(&self) -> Vec<String> {
        let mut lines = vec![format!("org {} at {}", self.org, self.now)];
        if let Some(newest) = &self.newest {
            lines.push(format!(
                "{} ({}), version {} of {}: {} by {}: {}",
                newest.state,
                newest.standing,
                newest.version,
                newest.at,
                newest.verb,
                newest.actor,
                newest.reason
            ));
            lines.extend(newest.why.iter().map(|why| format!("  {why}")));
            lines.extend(
                newest
                    .timeline
                    .iter()
                    .map(|phase| format!("  {}", PhaseRow::shown(phase))),
            );
            lines.extend(
                newest
                    .evidence
                    .iter()
                    .map(|it| format!("  {}: {}", it.kind, it.text)),
            );
        } else {
            lines.push("was never cut over".to_owned());
        }
        let unknown = || "nobody knows".to_owned();
        lines.push(format!(
            "new is complete up to {}, old ({}) up to {}",
            self.new_complete_to.clone().unwrap_or_else(unknown),
            self.old,
            self.old_complete_to.clone().unwrap_or_else(unknown)
        ));
        lines.extend(self.nodes.iter().map(|node| {
            let fenced = if node.fenced { ", fenced" } else { "" };
            format!(
                "node {}: version {} at {}{fenced}",
                node.node, node.version, node.at
            )
        }));
        lines.extend(self.comparisons.iter().map(|it| {
            format!(
                "comparison {} ({}): {}, {} of {} windows, {} differences, version {}, at {}",
                it.comparison,
                it.sides,
                it.verdict,
                it.windows.0,
                it.windows.1,
                it.differences,
                it.version,
                it.at
            )
        }));
        lines.push(format!("due: {}", self.due));
        lines.push("verbs:".to_owned());
        lines.extend(self.verbs.iter().map(VerbRow::shown));
        lines
    }
}
