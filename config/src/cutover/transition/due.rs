//! What is due by time, acknowledgements and progress: the same for the controller and for a person who waits.

use skein_shared::cutover::{CutoverState, NodeRole, Standing, UndoCost};
use skein_shared::format::cutover_version::{CutoverVersion, Evidence};
use skein_shared::timeline::{Pipeline, Writers};
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::cutover::edge_rules::PastChange;
use crate::cutover::facts::{NodeFact, OldFacts};
use crate::cutover::gate::{self, Gate, Wanted};
use crate::cutover::request::{NextSeal, Refusal, RefusalKind};
use crate::cutover::rules;
use crate::cutover::transition::back::unscheduled;
use crate::cutover::transition::proposal::{
    Case, Proposed, WRITERS, both_write_from, keeping, names, passed, refuse, shown, written_by,
};

pub(super) fn advance(case: &Case) -> Result<Proposed, Refusal> {
    let before = case.standing_in(&CutoverState::ALL)?;
    let due = match before.state {
        CutoverState::Starting => starting(case, before),
        CutoverState::Scheduled => scheduled(case, before),
        CutoverState::Armed => armed(case, before),
        CutoverState::Contracting => contracting(case, before),
        CutoverState::Reversing => reversing(case, before),
        CutoverState::Off
        | CutoverState::Shadow
        | CutoverState::Canary
        | CutoverState::Switched
        | CutoverState::Sealed
        | CutoverState::Done
        | CutoverState::Reversed => not_yet(format!("{} waits for a person", before.state)),
    };
    due.or_else(|refusal| held(case, before, refusal))
}

fn not_yet<T>(why: impl Into<String>) -> Result<T, Refusal> {
    refuse(RefusalKind::NotYet, why)
}

/// A gate that says no is put on record once.
fn held(case: &Case, before: &CutoverVersion, refusal: Refusal) -> Result<Proposed, Refusal> {
    let why = refusal.reason.clone();
    let (standing, is_known) = match refusal.kind {
        RefusalKind::Gate => {
            let is_known = matches!(before.standing, Standing::Blocked(_));
            (Standing::Blocked(why), is_known)
        }
        RefusalKind::Inconclusive => {
            let is_known = matches!(before.standing, Standing::Inconclusive(_));
            (Standing::Inconclusive(why), is_known)
        }
        RefusalKind::NotYet
        | RefusalKind::Invalid
        | RefusalKind::Conflict
        | RefusalKind::Irreversible => return Err(refusal),
    };
    if is_known {
        return Err(refusal);
    }
    let mut next = case.next();
    next.standing = standing;
    Ok(keeping(next))
}

fn waits_for(nodes: &[&NodeFact]) -> String {
    format!("these nodes do not go by it yet: {}", names(nodes))
}

fn starting(case: &Case, before: &CutoverVersion) -> Result<Proposed, Refusal> {
    let (facts, rules) = (case.facts, case.rules);
    let w0 = before.edges.new_writes_from.unwrap_or(facts.now);
    let unaware = case.unaware(&WRITERS);
    let next_edge = rules.acknowledged_edge(facts.now);
    let is_near = rules::after(facts.now, rules.lead) > w0;
    let passed_over = facts.new.not_owned_to;
    let has_missed = passed_over.is_some_and(|last| w0 <= last && last < next_edge);
    if has_missed || (is_near && !unaware.is_empty()) {
        let why = match (unaware.as_slice(), passed_over) {
            ([], Some(last)) => format!("points up to {last} were passed over"),
            (nodes, _) => waits_for(nodes),
        };
        let mut next = case.next();
        next.verb = "postpone";
        next.timeline = written_by(&next.timeline, Writers::Only(Pipeline::Old), w0)?;
        next.timeline = written_by(&next.timeline, Writers::Both, next_edge)?;
        next.edges.new_writes_from = Some(next_edge);
        next.evidence = vec![gate::stated("postponed", why, facts.now)];
        let past = PastChange::Withdraw;
        return Ok(Proposed { next, past });
    }
    if !unaware.is_empty() {
        return not_yet(waits_for(&unaware));
    }
    if facts.now < w0 {
        return not_yet(format!("the new pipeline writes from {w0} on"));
    }
    if facts
        .new
        .complete_to
        .is_none_or(|complete_to| complete_to <= w0)
    {
        return not_yet(format!(
            "nothing after {w0} is in the new pipeline's segments yet"
        ));
    }
    let mut next = case.next();
    next.state = CutoverState::Shadow;
    next.evidence = vec![case.acknowledged()];
    next.undo = UndoCost::Metadata;
    Ok(keeping(next))
}

/// What a comparison says of a switch at `b`.
fn compared(case: &Case, before: &CutoverVersion, b: TimestampMs) -> Gate {
    let wanted = Wanted {
        at: b,
        since: case.facts.same_timeline_since,
        carried: &before.evidence,
        span: None,
    };
    gate::comparison(case.facts, case.rules, &wanted)
}

/// Readers stay where they are, because a switch would rest on nothing.
fn fallen_back(case: &Case, b: TimestampMs, standing: Standing) -> Result<Proposed, Refusal> {
    let mut proposed = unscheduled(case, b)?;
    proposed.next.standing = standing;
    Ok(proposed)
}

fn scheduled(case: &Case, before: &CutoverVersion) -> Result<Proposed, Refusal> {
    let (facts, rules) = (case.facts, case.rules);
    let b = before.edges.switch_at.unwrap_or(facts.now);
    let is_near = rules::after(facts.now, rules.lead) > b;
    let unaware = case.unaware(&NodeRole::ALL);
    let evidence = match compared(case, before, b) {
        Gate::Pass(evidence) => evidence,
        Gate::Blocked(why) if facts.now < b => {
            return fallen_back(case, b, Standing::Blocked(why));
        }
        Gate::Inconclusive(why) if facts.now < b && is_near => {
            return fallen_back(case, b, Standing::Inconclusive(why));
        }
        Gate::Blocked(why) => return refuse(RefusalKind::Gate, why),
        Gate::Inconclusive(why) => return refuse(RefusalKind::Inconclusive, why),
    };
    if unaware.is_empty() {
        let mut next = case.next();
        next.state = CutoverState::Armed;
        next.evidence.retain(|it| it.kind == gate::REHEARSAL);
        next.evidence.extend(evidence);
        next.evidence.push(case.acknowledged());
        return Ok(keeping(next));
    }
    if facts.now >= b {
        let why = format!("{b} has passed, and {}", waits_for(&unaware));
        return refuse(RefusalKind::Gate, why);
    }
    if !is_near {
        return not_yet(waits_for(&unaware));
    }
    let later = rules.acknowledged_edge(facts.now);
    let mut next = case.next();
    next.verb = "postpone";
    next.timeline = shown(&next.timeline, Pipeline::Old, b)?;
    next.timeline = shown(&next.timeline, Pipeline::New, later)?;
    next.edges.switch_at = Some(later);
    put(
        &mut next.evidence,
        gate::stated("postponed", waits_for(&unaware), facts.now),
    );
    Ok(keeping(next))
}

fn armed(case: &Case, before: &CutoverVersion) -> Result<Proposed, Refusal> {
    let (facts, rules) = (case.facts, case.rules);
    let b = before.edges.switch_at.unwrap_or(facts.now);
    let is_near = rules::after(facts.now, rules.lead) > b;
    let has_come = facts.now >= b;
    match compared(case, before, b) {
        Gate::Blocked(why) if !has_come => fallen_back(case, b, Standing::Blocked(why)),
        Gate::Inconclusive(why) if !has_come && is_near => {
            fallen_back(case, b, Standing::Inconclusive(why))
        }
        Gate::Pass(evidence) if has_come => {
            let mut next = case.next();
            next.state = CutoverState::Switched;
            next.evidence.retain(|it| it.kind != gate::DIFF);
            next.evidence.extend(evidence);
            Ok(keeping(next))
        }
        Gate::Blocked(why) => refuse(RefusalKind::Gate, why),
        Gate::Inconclusive(why) if has_come => refuse(RefusalKind::Inconclusive, why),
        Gate::Pass(_) | Gate::Inconclusive(_) => {
            not_yet(format!("readers go to the new pipeline from {b} on"))
        }
    }
}

fn contracting(case: &Case, before: &CutoverVersion) -> Result<Proposed, Refusal> {
    let (facts, rules) = (case.facts, case.rules);
    let mut acknowledged = before.evidence.iter();
    let acknowledged = acknowledged.rfind(|it| it.kind == gate::ACKNOWLEDGEMENTS);
    let Some(acknowledged) = acknowledged else {
        let unaware = case.unaware(&WRITERS);
        if !unaware.is_empty() {
            return not_yet(waits_for(&unaware));
        }
        let mut next = case.next();
        next.evidence.push(case.acknowledged());
        return Ok(keeping(next));
    };
    let ends = before.edges.old_ends_at.unwrap_or(acknowledged.at);
    let due = rules::after(ends.max(acknowledged.at), rules.late_horizon);
    if facts.now < due {
        return not_yet(format!("late points are the old pipeline's until {due}"));
    }
    if facts.new.unaccounted > 0 {
        let points = facts.new.unaccounted;
        let why =
            format!("{points} points went into the new pipeline and nothing accounts for them");
        return refuse(RefusalKind::Gate, why);
    }
    if facts
        .new
        .complete_to
        .is_none_or(|complete_to| complete_to < due)
    {
        return not_yet(format!(
            "the new pipeline's segments are not complete up to {due}"
        ));
    }
    let mut next = case.next();
    match &facts.old {
        OldFacts::Passive => put(&mut next.evidence, gate::declared(facts.now)),
        OldFacts::Active(old) => {
            let (Some(complete_to), Some(positions)) = (old.complete_to, &old.positions) else {
                let why = "the old pipeline does not say how far it is";
                return refuse(RefusalKind::Inconclusive, why);
            };
            if complete_to < due {
                return not_yet(format!(
                    "the old pipeline's files are not complete up to {due}"
                ));
            }
            let text = format!("the old pipeline has written all that came before {complete_to}");
            put(
                &mut next.evidence,
                gate::stated(gate::SEAL, text, facts.now),
            );
            // What is beyond an earlier seal is the new pipeline's for good.
            if before.seal.is_none() {
                next.seal = NextSeal::Taken(skein_shared::timeline::SealVector(positions.clone()));
            }
        }
    }
    next.state = CutoverState::Sealed;
    next.undo = UndoCost::Replay;
    Ok(keeping(next))
}

/// In place of what there is of its kind.
fn put(evidence: &mut Vec<Evidence>, new: Evidence) {
    evidence.retain(|it| it.kind != new.kind);
    evidence.push(new);
}

fn reversing(case: &Case, before: &CutoverVersion) -> Result<Proposed, Refusal> {
    let facts = case.facts;
    let Some(back) = before.edges.reverse_at else {
        return resuming(case, before);
    };
    let unaware = case.unaware(&NodeRole::ALL);
    if !unaware.is_empty() {
        return not_yet(waits_for(&unaware));
    }
    let due = back.max(before.change.at);
    old_has(case, due)?;
    if facts.now < due {
        return not_yet(format!(
            "readers go back to the old pipeline from {back} on"
        ));
    }
    let mut next = case.next();
    next.state = CutoverState::Reversed;
    next.evidence.retain(|it| it.kind != gate::DIFF);
    put(&mut next.evidence, case.acknowledged());
    Ok(keeping(next))
}

fn old_has(case: &Case, due: TimestampMs) -> Result<(), Refusal> {
    let OldFacts::Active(old) = &case.facts.old else {
        return Ok(());
    };
    match old.complete_to {
        None => refuse(
            RefusalKind::Inconclusive,
            "the old pipeline does not say how far it is",
        ),
        Some(complete_to) if complete_to < due => not_yet(format!(
            "the old pipeline's files are not complete up to {due}"
        )),
        Some(_) => Ok(()),
    }
}

/// The old pipeline writes again: readers are sent to it once it has committed.
fn resuming(case: &Case, before: &CutoverVersion) -> Result<Proposed, Refusal> {
    let (facts, rules) = (case.facts, case.rules);
    let w2 = both_write_from(&before.timeline).unwrap_or(facts.now);
    let unaware = case.unaware(&WRITERS);
    let is_near = rules::after(facts.now, rules.lead) > w2;
    let mut next = case.next();
    if !unaware.is_empty() && is_near {
        let later = rules.acknowledged_edge(facts.now);
        let missed = TimeSpan {
            from: w2,
            to: later,
        };
        let alone = |phase: &mut skein_shared::timeline::Phase| {
            phase.writers = Writers::Only(Pipeline::New);
        };
        next.verb = "postpone";
        next.timeline = next
            .timeline
            .changed(missed, alone)
            .map_err(|reason| Refusal::new(RefusalKind::Invalid, reason))?;
        put(
            &mut next.evidence,
            gate::stated("postponed", waits_for(&unaware), facts.now),
        );
        let past = PastChange::Withdraw;
        return Ok(Proposed { next, past });
    }
    if !unaware.is_empty() {
        return not_yet(waits_for(&unaware));
    }
    if facts.now < w2 {
        return not_yet(format!("the old pipeline writes from {w2} on"));
    }
    old_has(case, TimestampMs(w2.0.saturating_add(1)))?;
    let b2 = rules.nearest_edge(facts.now);
    passed(gate::old_is_alive(facts, rules, b2))?;
    next.timeline = shown(&next.timeline, Pipeline::Old, b2)?;
    next.edges.reverse_at = Some(b2);
    Ok(keeping(next))
}
