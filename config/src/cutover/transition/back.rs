//! The verbs of the way back, and those that stop a cutover: always granted where there is anything to take back.

use skein_shared::cutover::{CutoverState, Standing, UndoCost};
use skein_shared::format::cutover_version::CutoverVersion;
use skein_shared::timeline::{Pipeline, Writers};
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::cutover::edge_rules::PastChange;
use crate::cutover::gate::{self, Wanted};
use crate::cutover::request::{EdgeChoice, NextVersion, Refusal, RefusalKind, Reverse};
use crate::cutover::rules;
use crate::cutover::transition::forward::is_purged;
use crate::cutover::transition::proposal::{
    Case, Proposed, both_write_from, chosen, keeping, passed, refuse, shown, written_by,
};

pub(super) fn cancel(case: &Case) -> Result<Proposed, Refusal> {
    use CutoverState as S;
    let before = case.standing_in(&[
        S::Starting,
        S::Shadow,
        S::Canary,
        S::Scheduled,
        S::Armed,
        S::Reversing,
        S::Reversed,
    ])?;
    match before.state {
        S::Scheduled | S::Armed => match pending_switch(case, before) {
            Some(b) => unscheduled(case, b),
            // The switch has taken place, whatever the state says.
            None => voided(case, before),
        },
        S::Reversing if before.timeline.phase_at(case.facts.now).visible == Pipeline::New => {
            unreversed(case, before)
        }
        S::Off
        | S::Starting
        | S::Shadow
        | S::Canary
        | S::Switched
        | S::Contracting
        | S::Sealed
        | S::Done
        | S::Reversing
        | S::Reversed => off(case, before),
    }
}

/// The edge of a switch that has not taken place.
fn pending_switch(case: &Case, before: &CutoverVersion) -> Option<TimestampMs> {
    before.edges.switch_at.filter(|b| case.facts.now < *b)
}

/// Readers stay with the old pipeline.
pub(super) fn unscheduled(case: &Case, b: TimestampMs) -> Result<Proposed, Refusal> {
    let mut next = going_back(case);
    next.timeline = shown(&next.timeline, Pipeline::Old, b)?;
    next.state = CutoverState::Canary;
    next.edges.switch_at = None;
    next.evidence.clear();
    Ok(keeping(next))
}

/// Readers stay with the new pipeline, and both write.
fn unreversed(case: &Case, before: &CutoverVersion) -> Result<Proposed, Refusal> {
    let mut next = going_back(case);
    next.timeline = shown(&next.timeline, Pipeline::New, case.facts.now)?;
    next.state = CutoverState::Switched;
    next.edges.reverse_at = None;
    next.edges.old_ends_at = None;
    next.edges.switch_at = before.edges.switch_at;
    Ok(keeping(next))
}

/// The old pipeline has everything that the new one has not shown.
fn off(case: &Case, before: &CutoverVersion) -> Result<Proposed, Refusal> {
    let mut next = going_back(case);
    next.state = CutoverState::Off;
    next.edges.new_writes_from = None;
    next.edges.switch_at = None;
    next.edges.old_ends_at = None;
    next.mirror_percent = 0;
    next.evidence.clear();
    next.undo = UndoCost::OneLead;
    let w0 = before.edges.new_writes_from;
    let was_shown_since = |w0: TimestampMs| {
        before
            .edges
            .reverse_at
            .is_some_and(|reversed| reversed >= w0)
    };
    if let Some(w0) = w0.filter(|w0| !was_shown_since(*w0)) {
        next.timeline = written_by(&next.timeline, Writers::Only(Pipeline::Old), w0)?;
        let past = PastChange::Withdraw;
        return Ok(Proposed { next, past });
    }
    // What was shown once is kept, and marked by being written still.
    let mut changes = before.timeline.phases().windows(2);
    let last = changes.rfind(|pair| pair[0].visible != pair[1].visible);
    let last = last.map_or(case.facts.now, |pair| pair[1].from);
    let end = case.rules.nearest_edge(case.facts.now.max(last));
    next.timeline = written_by(&next.timeline, Writers::Only(Pipeline::Old), end)?;
    Ok(keeping(next))
}

pub(super) fn reverse_traffic(case: &Case, reverse: Reverse) -> Result<Proposed, Refusal> {
    use CutoverState as S;
    let before = case.standing_in(&[
        S::Scheduled,
        S::Armed,
        S::Switched,
        S::Contracting,
        S::Sealed,
        S::Done,
    ])?;
    if matches!(before.state, S::Scheduled | S::Armed) && pending_switch(case, before).is_some() {
        return refuse(
            RefusalKind::Conflict,
            "readers have not been sent to the new pipeline yet: `cancel`",
        );
    }
    match reverse {
        Reverse::Void if matches!(before.state, S::Scheduled | S::Armed | S::Switched) => {
            voided(case, before)
        }
        Reverse::Void => refuse(
            RefusalKind::Gate,
            "the old pipeline may have ended, and has not all that the new one has shown: reverse forward, replay the span's \
             state through the old pipeline, compare, and `reassign` it",
        ),
        Reverse::Forward(choice) => forward(case, before, choice),
    }
}

fn voided(case: &Case, before: &CutoverVersion) -> Result<Proposed, Refusal> {
    let now = case.facts.now;
    let b = before.edges.switch_at.unwrap_or(now);
    if both_write_from(&before.timeline).is_none_or(|both| both > b) {
        return refuse(
            RefusalKind::Gate,
            format!(
                "the old pipeline has not written all that is at or after {b}: reverse forward"
            ),
        );
    }
    let mut next = going_back(case);
    next.evidence = passed(gate::old_is_complete(case.facts, case.rules, b))?;
    next.timeline = shown(&next.timeline, Pipeline::Old, b)?;
    next.state = CutoverState::Reversing;
    next.edges.reverse_at = Some(b);
    restate(&mut next, TimeSpan { from: b, to: now }, now);
    let past = PastChange::Void(b);
    Ok(Proposed { next, past })
}

/// Puts on record of which event times answers that were given change, so that what used them can run again.
fn restate(next: &mut NextVersion, span: TimeSpan, now: TimestampMs) {
    let text = format!("answers for {} to {} change", span.from, span.to);
    next.evidence
        .push(gate::stated(gate::RESTATEMENT, text, now));
    next.restated = Some(span);
}

fn forward(case: &Case, before: &CutoverVersion, choice: EdgeChoice) -> Result<Proposed, Refusal> {
    let (facts, rules) = (case.facts, case.rules);
    let mut next = going_back(case);
    next.state = CutoverState::Reversing;
    let free_from = rules::after(facts.now, rules.lead);
    let ends = before.edges.old_ends_at;
    if let Some(t2) = ends.filter(|t2| *t2 >= free_from) {
        next.timeline = written_by(&next.timeline, Writers::Both, t2)?;
    }
    next.edges.old_ends_at = None;
    if let Some(both) = both_write_from(&next.timeline) {
        let b2 = chosen(choice, rules.nearest_edge(facts.now.max(both)))?;
        let alive = passed(gate::old_is_alive(facts, rules, b2))?;
        next.evidence.extend(alive);
        next.timeline = shown(&next.timeline, Pipeline::Old, b2)?;
        next.edges.reverse_at = Some(b2);
        return Ok(keeping(next));
    }
    if is_purged(before) {
        return refuse(
            RefusalKind::Irreversible,
            "what the old pipeline had is given up: a restore is all that is left",
        );
    }
    if choice != EdgeChoice::Soonest {
        return refuse(
            RefusalKind::Invalid,
            "the old pipeline has ended: it has to write again before an edge can be set, so no edge can be chosen now",
        );
    }
    // Readers follow once it has committed what it writes from then on.
    let w2 = rules.nearest_edge(facts.now.max(ends.unwrap_or(facts.now)));
    next.timeline = written_by(&next.timeline, Writers::Both, w2)?;
    next.edges.reverse_at = None;
    Ok(keeping(next))
}

pub(super) fn reassign(case: &Case, span: TimeSpan) -> Result<Proposed, Refusal> {
    case.standing_in(&[CutoverState::Reversed])?;
    if span.is_empty() || span.to > case.facts.now {
        return refuse(
            RefusalKind::Invalid,
            "only a span of the past can be given back",
        );
    }
    let wanted = Wanted {
        at: case.facts.now,
        since: case.facts.same_timeline_since,
        carried: &[],
        span: Some(span),
    };
    let mut next = going_back(case);
    next.evidence = passed(gate::comparison(case.facts, case.rules, &wanted))?;
    let changed = next.timeline.changed(span, |phase| {
        phase.writers = Writers::Both;
        phase.visible = Pipeline::Old;
    });
    next.timeline = changed.map_err(|reason| Refusal::new(RefusalKind::Invalid, reason))?;
    next.undo = UndoCost::Replay;
    restate(&mut next, span, case.facts.now);
    let past = PastChange::Reassign(span);
    Ok(Proposed { next, past })
}

/// Stops it. An edge that nobody would watch is taken back where that costs nothing.
pub(super) fn pause(case: &Case) -> Result<Proposed, Refusal> {
    let before = versioned(case)?;
    if let Standing::Paused | Standing::Faulted(_) = before.standing {
        return refuse(RefusalKind::Conflict, "it is stopped already");
    }
    let free_from = rules::after(case.facts.now, case.rules.lead);
    let ends = before.edges.old_ends_at.filter(|t2| *t2 >= free_from);
    let mut proposed = match (before.state, pending_switch(case, before), ends) {
        (CutoverState::Scheduled | CutoverState::Armed, Some(b), _) => unscheduled(case, b)?,
        (CutoverState::Contracting, _, Some(t2)) => {
            let mut next = going_back(case);
            next.timeline = written_by(&next.timeline, Writers::Both, t2)?;
            next.state = CutoverState::Switched;
            next.edges.old_ends_at = None;
            keeping(next)
        }
        (_, _, _) => keeping(case.next()),
    };
    proposed.next.standing = Standing::Paused;
    Ok(proposed)
}

pub(super) fn resume(case: &Case) -> Result<Proposed, Refusal> {
    let before = versioned(case)?;
    match before.standing {
        Standing::Paused => Ok(keeping(case.next())),
        Standing::Going
        | Standing::Blocked(_)
        | Standing::Inconclusive(_)
        | Standing::Faulted(_) => refuse(RefusalKind::Conflict, "it is not paused"),
    }
}

pub(super) fn fault(case: &Case, why: &str) -> Result<Proposed, Refusal> {
    versioned(case)?;
    let mut next = case.next();
    next.standing = Standing::Faulted(why.to_owned());
    Ok(keeping(next))
}

pub(super) fn repair(case: &Case) -> Result<Proposed, Refusal> {
    let before = versioned(case)?;
    match before.standing {
        Standing::Faulted(_) => Ok(keeping(case.next())),
        Standing::Going | Standing::Blocked(_) | Standing::Inconclusive(_) | Standing::Paused => {
            refuse(RefusalKind::Conflict, "there is nothing to repair")
        }
    }
}

fn versioned<'a>(case: &Case<'a>) -> Result<&'a CutoverVersion, Refusal> {
    case.standing_in(&CutoverState::ALL)
}

/// What is to be changed; a cutover that needs repair needs it on the way back as well.
fn going_back(case: &Case) -> NextVersion {
    let mut next = case.next();
    next.undo = UndoCost::Metadata;
    let standing = case.before.map(|before| &before.standing);
    if let Some(faulted @ Standing::Faulted(_)) = standing {
        next.standing = faulted.clone();
    }
    next
}
