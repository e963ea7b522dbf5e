//! The verbs of the way on: create, mirror-traffic, switch-traffic, complete, purge.

use skein_shared::cutover::{CutoverState, UndoCost};
use skein_shared::format::cutover_version::{CutoverVersion, Evidence};
use skein_shared::ids::Chain;
use skein_shared::offset::Offset;
use skein_shared::timeline::{Pipeline, Timeline, Writers};
use skein_shared::window::TimestampMs;

use crate::cutover::edge_rules::{self, PastChange};
use crate::cutover::facts::OldFacts;
use crate::cutover::gate::{self, Wanted};
use crate::cutover::request::{Confirmation, EdgeChoice, Refusal, RefusalKind};
use crate::cutover::rules;
use crate::cutover::transition::proposal::{
    Case, Proposed, chosen, keeping, passed, refuse, shown, written_by,
};

pub(super) fn create(case: &Case, choice: EdgeChoice) -> Result<Proposed, Refusal> {
    if case.before.is_some() {
        case.standing_in(&[CutoverState::Off])?;
    } else if case.facts.unenrolled == Pipeline::New {
        return refuse(
            RefusalKind::Invalid,
            "the new pipeline has every org that was never cut over: a cutover begins where `cutover.unenrolled` is `old`",
        );
    }
    let (facts, rules) = (case.facts, case.rules);
    let w0 = chosen(choice, rules.nearest_edge(facts.now))?;
    let mut next = case.next();
    next.timeline = written_by(&next.timeline, Writers::Both, w0)?;
    next.state = CutoverState::Starting;
    next.edges.new_writes_from = Some(w0);
    next.edges.switch_at = None;
    next.edges.old_ends_at = None;
    next.mirror_percent = 0;
    next.evidence.clear();
    next.undo = UndoCost::Metadata;
    Ok(keeping(next))
}

pub(super) fn mirror_traffic(case: &Case, percent: u8) -> Result<Proposed, Refusal> {
    let before = case.standing_in(&[CutoverState::Shadow, CutoverState::Canary])?;
    if percent > 100 {
        return refuse(
            RefusalKind::Invalid,
            format!("{percent} is no share in a hundred"),
        );
    }
    let mut next = case.next();
    next.mirror_percent = percent;
    next.undo = UndoCost::Metadata;
    if percent == 0 {
        case.standing_in(&[CutoverState::Canary])?;
        next.state = CutoverState::Shadow;
        return Ok(keeping(next));
    }
    if before.state == CutoverState::Shadow {
        next.evidence = passed(compared(case))?;
    }
    next.state = CutoverState::Canary;
    Ok(keeping(next))
}

pub(super) fn switch_traffic(case: &Case, choice: EdgeChoice) -> Result<Proposed, Refusal> {
    let before = case.standing_in(&[
        CutoverState::Canary,
        CutoverState::Reversing,
        CutoverState::Reversed,
    ])?;
    let (facts, rules) = (case.facts, case.rules);
    let is_shown = before.timeline.phase_at(facts.now).visible == Pipeline::New;
    if before.state == CutoverState::Reversing && is_shown {
        return refuse(
            RefusalKind::Conflict,
            "readers have not gone back yet: `cancel` takes the reversal back",
        );
    }
    let mut evidence = passed(compared(case))?;
    let soonest = rules.acknowledged_edge(facts.now);
    let b = chosen(choice, soonest)?;
    evidence.extend(passed(gate::new_is_ready(facts, rules, b))?);
    let mut next = case.next();
    next.timeline = shown(&next.timeline, Pipeline::New, b)?;
    evidence.push(rehearsed(case, &next.timeline, b)?);
    next.state = CutoverState::Scheduled;
    next.edges.switch_at = Some(b);
    next.edges.old_ends_at = None;
    next.evidence = evidence;
    next.undo = UndoCost::Metadata;
    Ok(keeping(next))
}

/// Both ways back are tried on the timeline that the switch would leave, one lead after it.
fn rehearsed(case: &Case, switched: &Timeline, b: TimestampMs) -> Result<Evidence, Refusal> {
    let rules = case.rules;
    let now = rules::after(b, rules.lead);
    let back = rules.nearest_edge(now);
    let ways = [(back, PastChange::Nothing), (b, PastChange::Void(b))];
    for (at, past) in ways {
        let next = shown(switched, Pipeline::Old, at)?;
        edge_rules::check(switched, &next, past, (now, rules)).map_err(|reason| {
            let reason = format!("the way back does not hold: {reason}");
            Refusal::new(RefusalKind::Gate, reason)
        })?;
    }
    let text =
        format!("from {now} on, readers can be sent back from {back} on, or from {b} on at once");
    Ok(gate::stated(gate::REHEARSAL, text, case.facts.now))
}

pub(super) fn complete(case: &Case, confirmation: Confirmation) -> Result<Proposed, Refusal> {
    let before = case.standing_in(&[CutoverState::Switched, CutoverState::Sealed])?;
    if before.state == CutoverState::Switched {
        return contract(case, before);
    }
    finish(case, before, confirmation)
}

fn contract(case: &Case, before: &CutoverVersion) -> Result<Proposed, Refusal> {
    let (facts, rules) = (case.facts, case.rules);
    let b = before.edges.switch_at.unwrap_or(facts.now);
    let held = rules::after(b, rules.hold);
    if facts.now < held {
        return refuse(
            RefusalKind::Gate,
            format!("both pipelines go on until {held} (cutover.hold after the switch at {b})"),
        );
    }
    let mut next = case.next();
    next.evidence = passed(compared(case))?;
    next.evidence
        .extend(passed(gate::new_is_ready(facts, rules, b))?);
    next.state = CutoverState::Contracting;
    next.mirror_percent = 0;
    if facts.old == OldFacts::Passive {
        next.evidence.push(gate::declared(facts.now));
        next.undo = UndoCost::Metadata;
        return Ok(keeping(next));
    }
    let t2 = rules
        .acknowledged_edge(facts.now)
        .max(rules.edge_from(rules::after(b, rules.token_lifetime)));
    next.timeline = written_by(&next.timeline, Writers::Only(Pipeline::New), t2)?;
    next.edges.old_ends_at = Some(t2);
    next.undo = UndoCost::OneLead;
    Ok(keeping(next))
}

fn finish(
    case: &Case,
    before: &CutoverVersion,
    confirmation: Confirmation,
) -> Result<Proposed, Refusal> {
    let (facts, rules) = (case.facts, case.rules);
    let ended = before.evidence.iter().rev();
    let ended = ended.filter(|it| it.kind == gate::SEAL || it.kind == gate::DECLARATION);
    let since = ended.map(|it| it.at).next().unwrap_or(before.change.at);
    let held = rules::after(since, rules.hold);
    if facts.now < held {
        return refuse(
            RefusalKind::Gate,
            format!("it stays sealed until {held} (cutover.hold after {since})"),
        );
    }
    if let (OldFacts::Active(old), Some(seal)) = (&facts.old, &facts.seal) {
        let Some(positions) = &old.positions else {
            return refuse(
                RefusalKind::Inconclusive,
                "the old pipeline does not say how far it is",
            );
        };
        let has_reached =
            |(chain, end): (&Chain, &Offset)| positions.get(chain).is_some_and(|at| at >= end);
        if !seal.0.iter().all(has_reached) {
            return refuse(
                RefusalKind::Gate,
                "the old pipeline has not reached the positions of the seal",
            );
        }
    }
    named(before, confirmation, "the old pipeline loses its access")?;
    let mut next = case.next();
    next.state = CutoverState::Done;
    next.old_place = Some(facts.old_place.clone());
    next.undo = UndoCost::Restore;
    Ok(keeping(next))
}

pub(super) fn purge(case: &Case, confirmation: Confirmation) -> Result<Proposed, Refusal> {
    let before = case.standing_in(&[CutoverState::Done])?;
    if is_purged(before) {
        return refuse(RefusalKind::Conflict, "it is purged already");
    }
    let mut shown = before.timeline.phases().windows(2);
    let last = shown.rfind(|pair| pair[0].visible == Pipeline::Old);
    let until = last.map(|pair| pair[1].from);
    let Some(kept_from) = case.facts.kept_from else {
        return refuse(
            RefusalKind::Gate,
            "the org's points are kept for ever, and readers see those of the old pipeline",
        );
    };
    if let Some(until) = until.filter(|until| kept_from < *until) {
        return refuse(
            RefusalKind::Gate,
            format!(
                "readers see the old pipeline's points up to {until}, and only what is before {kept_from} has expired"
            ),
        );
    }
    named(
        before,
        confirmation,
        "what the old pipeline has is given up",
    )?;
    let mut next = case.next();
    let text = format!("all that is before {kept_from} has expired");
    next.evidence
        .push(gate::stated(gate::PURGE, text, case.facts.now));
    next.old_place = None;
    next.undo = UndoCost::Restore;
    Ok(keeping(next))
}

/// Whether what the old pipeline had is given up.
pub(super) fn is_purged(before: &CutoverVersion) -> bool {
    before.evidence.iter().any(|it| it.kind == gate::PURGE)
}

fn named(before: &CutoverVersion, confirmation: Confirmation, what: &str) -> Result<(), Refusal> {
    let org = before.org;
    if confirmation == Confirmation::Of(org) {
        return Ok(());
    }
    refuse(
        RefusalKind::Irreversible,
        format!(
            "{what}, and taking that back costs {}: name the org ({org}) to do it",
            UndoCost::Restore.text()
        ),
    )
}

/// Whether a comparison of the timeline as it is passes, now.
fn compared(case: &Case) -> gate::Gate {
    let wanted = Wanted {
        at: case.facts.now,
        since: case.facts.same_timeline_since,
        carried: &[],
        span: None,
    };
    gate::comparison(case.facts, case.rules, &wanted)
}
