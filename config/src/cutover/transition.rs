//! The state machine of a cutover: a version, a request and facts give the next version, or a refusal. No I/O, no clock.

mod proposal;
mod forward;
mod back;
mod due;

use skein_shared::cutover::{CutoverState, Standing};
use skein_shared::format::cutover_version::CutoverVersion;
use skein_shared::timeline::{Pipeline, Timeline};

use crate::cutover::edge_rules;
use crate::cutover::facts::Facts;
use crate::cutover::request::{NextVersion, Refusal, RefusalKind, Request};
use crate::cutover::rules::Rules;
use crate::cutover::transition::proposal::{Case, Proposed, refuse};

/// What `request` makes of a cutover whose newest version is `before`.
///
/// # Errors
/// Why nothing, and what the caller must do about it.
pub fn decide(
    before: Option<&CutoverVersion>,
    request: &Request,
    facts: &Facts,
    rules: &Rules,
) -> Result<NextVersion, Refusal> {
    let case = Case {
        before,
        facts,
        rules,
        verb: request.verb(),
    };
    let Proposed { next, past } = proposed(&case, request)?;
    let start = Timeline::owned_by(Pipeline::Old);
    let timeline = before.map_or(&start, |before| &before.timeline);
    edge_rules::check(timeline, &next.timeline, past, (facts.now, rules))
        .map_err(|reason| Refusal::new(RefusalKind::Invalid, reason))?;
    Ok(next)
}

fn proposed(case: &Case, request: &Request) -> Result<Proposed, Refusal> {
    match request {
        Request::Cancel => return back::cancel(case),
        Request::ReverseTraffic(reverse) => return back::reverse_traffic(case, *reverse),
        Request::Pause => return back::pause(case),
        Request::Resume => return back::resume(case),
        Request::Fault(why) => return back::fault(case, why),
        Request::Repair => return back::repair(case),
        Request::Create(_)
        | Request::MirrorTraffic(_)
        | Request::SwitchTraffic(_)
        | Request::Complete(_)
        | Request::Purge(_)
        | Request::Reassign(_)
        | Request::Advance => {}
    }
    may_go_on(case)?;
    match request {
        Request::Create(edge) => forward::create(case, *edge),
        Request::MirrorTraffic(percent) => forward::mirror_traffic(case, *percent),
        Request::SwitchTraffic(edge) => forward::switch_traffic(case, *edge),
        Request::Complete(confirmation) => forward::complete(case, *confirmation),
        Request::Purge(confirmation) => forward::purge(case, *confirmation),
        Request::Reassign(span) => back::reassign(case, *span),
        Request::Advance
        | Request::Cancel
        | Request::ReverseTraffic(_)
        | Request::Pause
        | Request::Resume
        | Request::Fault(_)
        | Request::Repair => due::advance(case),
    }
}

/// The way on is closed to a cutover that was stopped; the way back never is.
fn may_go_on(case: &Case) -> Result<(), Refusal> {
    let Some(before) = case.before else {
        return Ok(());
    };
    match &before.standing {
        Standing::Going | Standing::Blocked(_) | Standing::Inconclusive(_) => Ok(()),
        Standing::Paused => refuse(
            RefusalKind::Conflict,
            "it is paused: `skein migrate resume` lets it go on",
        ),
        Standing::Faulted(why) => refuse(
            RefusalKind::Conflict,
            format!("it needs `skein migrate repair`: {why}"),
        ),
    }
}

/// The states in which a request can be granted, when its gates pass.
pub fn states_of(request: &Request) -> &'static [CutoverState] {
    use CutoverState as S;
    match request {
        Request::Create(_) => &[S::Off],
        Request::MirrorTraffic(_) => &[S::Shadow, S::Canary],
        Request::SwitchTraffic(_) => &[S::Canary, S::Reversing, S::Reversed],
        Request::ReverseTraffic(_) => &[
            S::Scheduled,
            S::Armed,
            S::Switched,
            S::Contracting,
            S::Sealed,
            S::Done,
        ],
        Request::Complete(_) => &[S::Switched, S::Sealed],
        Request::Cancel => &[
            S::Starting,
            S::Shadow,
            S::Canary,
            S::Scheduled,
            S::Armed,
            S::Reversing,
            S::Reversed,
        ],
        Request::Purge(_) => &[S::Done],
        Request::Reassign(_) => &[S::Reversed],
        Request::Pause
        | Request::Resume
        | Request::Fault(_)
        | Request::Repair
        | Request::Advance => &S::ALL,
    }
}

#[cfg(test)]
mod tests;
