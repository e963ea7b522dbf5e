//! Every step that anybody may take.

use skein_config::cutover::facts::Facts;
use skein_config::cutover::request::{
    Confirmation, EdgeChoice, NextVersion, Refusal, RefusalKind, Request, Reverse,
};
use skein_config::cutover::transition::decide;
use skein_shared::cutover::{CutoverState, NodeRole};
use skein_shared::format::diff_verdict::Verdict;
use skein_shared::timeline::Pipeline;
use skein_shared::window::TimestampMs;

use crate::cutover_model::promises::{Broken, Made};
use crate::cutover_model::scope::{Bug, RULES, Scope, Sleep, WINDOW};
use crate::cutover_model::state::{BUILD, Compared, Org, Reach, State, id};

/// A step and the state after it.
#[derive(Debug)]
pub struct Step {
    /// What was done.
    pub what: String,
    /// What is then.
    pub state: State,
    /// A promise that the step broke.
    pub broken: Option<Broken>,
}

/// What operators may ask for, besides what is due.
pub fn verbs(place: usize) -> [Request; 12] {
    [
        Request::Create(EdgeChoice::Soonest),
        Request::MirrorTraffic(50),
        Request::MirrorTraffic(0),
        Request::SwitchTraffic(EdgeChoice::Soonest),
        Request::ReverseTraffic(Reverse::Void),
        Request::ReverseTraffic(Reverse::Forward(EdgeChoice::Soonest)),
        Request::Complete(Confirmation::Missing),
        Request::Complete(Confirmation::Of(id(place))),
        Request::Cancel,
        Request::Pause,
        Request::Resume,
        Request::Fault("log and facts disagree".to_owned()),
    ]
}

/// What a request makes of an org, with the rule that is broken.
///
/// # Errors
/// As the product says.
pub fn decided(
    org: &Org,
    request: &Request,
    (now, scope): (i64, &Scope),
) -> Result<NextVersion, Refusal> {
    let mut facts = org.facts(now);
    if let Some(bug) = scope.bug {
        let refused = |reason: &str| Err(Refusal::new(RefusalKind::Invalid, reason));
        match (bug, request) {
            (Bug::KnowsNoWayBack, Request::Cancel | Request::ReverseTraffic(_)) => {
                return refused("there is no way back");
            }
            (Bug::NeverRepairs, Request::Repair) => return refused("nothing is repaired"),
            (_, _) => mistake(bug, &mut facts, org),
        }
    }
    decide(org.head.as_ref(), request, &facts, &RULES)
}

fn mistake(bug: Bug, facts: &mut Facts, org: &Org) {
    match bug {
        Bug::TakesAnyComparison => {
            for fact in &mut facts.verdicts {
                fact.verdict.cutover_version = org.version();
                fact.verdict.at = TimestampMs(facts.now.0 + 4 * WINDOW);
            }
        }
        Bug::IgnoresBuild => {
            for fact in &mut facts.verdicts {
                BUILD.clone_into(&mut fact.verdict.build);
            }
        }
        Bug::IgnoresNodes => facts.nodes.clear(),
        Bug::DecidesLate => facts.now.0 -= WINDOW,
        Bug::IgnoresPassedOver => facts.new.not_owned_to = None,
        Bug::KnowsNoWayBack | Bug::NeverRepairs => {}
    }
}

/// All steps out of `state`.
pub fn steps(state: &State, scope: &Scope) -> Vec<Step> {
    let mut all = Vec::new();
    for place in 0..state.orgs.len() {
        requested(state, scope, place, &mut all);
        observed(state, place, &mut all);
        if state.faults > 0 {
            faults(state, place, &mut all);
        }
    }
    if state.ticks > 0 {
        let mut after = state.clone();
        after.ticks -= 1;
        after.tick();
        all.push(step("a window passes".to_owned(), after));
    }
    all
}

fn step(what: String, state: State) -> Step {
    Step {
        what,
        state,
        broken: None,
    }
}

/// Requests, each appended and published at once, or left half done by somebody who ends or sleeps.
fn requested(state: &State, scope: &Scope, place: usize, all: &mut Vec<Step>) {
    let org = &state.orgs[place];
    let due = [Request::Advance, Request::Repair];
    let asked = verbs(place);
    let asked = asked.iter().filter(|_| state.requests > 0);
    for request in due.iter().chain(asked) {
        let Ok(next) = decided(org, request, (state.now, scope)) else {
            continue;
        };
        let mut spent = state.clone();
        let is_due = matches!(request, Request::Advance | Request::Repair);
        spent.requests -= u8::from(!is_due);
        let what = format!("org {place}: {request:?} -> {}", next.state);
        let mut made = append(&spent, place, &next);
        made.what.clone_from(&what);
        if state.faults > 0 {
            let mut unpublished = made.state.clone();
            unpublished.faults -= 1;
            unpublished.orgs[place].published = org.published;
            all.push(Step {
                what: format!("{what}, and ends before the fleet"),
                state: unpublished,
                broken: made.broken,
            });
            if scope.sleep == Sleep::Between {
                let mut asleep = spent;
                asleep.faults -= 1;
                asleep.orgs[place].pending_after = org.version();
                asleep.orgs[place].pending = Some(next);
                all.push(step(format!("{what}, decided and not written"), asleep));
            }
        }
        all.push(made);
    }
}

/// The step that makes `next` the newest version.
pub fn append(state: &State, place: usize, next: &NextVersion) -> Step {
    let mut after = state.clone();
    let facts = state.orgs[place].facts(state.now);
    let org = &mut after.orgs[place];
    org.append(place, next, state.now);
    org.published = org.version();
    let broken = Made {
        before: &state.orgs[place],
        after: &after.orgs[place],
        facts: &facts,
    }
    .broken();
    Step {
        what: String::new(),
        state: after,
        broken,
    }
}

/// What happens when nothing fails.
fn observed(state: &State, place: usize, all: &mut Vec<Step>) {
    let org = &state.orgs[place];
    let mut push = |what: &str, change: &dyn Fn(&mut Org)| {
        let mut after = state.clone();
        change(&mut after.orgs[place]);
        all.push(step(format!("org {place}: {what}"), after));
    };
    if org.published < org.version() {
        push("the fleet catches up", &|org| org.published = org.version());
    }
    for (node, role) in [NodeRole::Compactor, NodeRole::OldPipeline]
        .into_iter()
        .enumerate()
    {
        let now = state.now;
        match org.nodes[node].reach {
            Reach::CutOff => push(&format!("{} is back", role.name()), &|org| {
                org.nodes[node].reach = Reach::Connected;
                org.nodes[node].at = now;
            }),
            Reach::Connected if org.nodes[node].version < org.published => {
                push(&format!("{} acknowledges", role.name()), &|org| {
                    org.nodes[node].version = org.published;
                });
            }
            Reach::Connected => {}
        }
    }
    if org.lags.is_some() {
        let now = state.now;
        push("the one that lags catches up", &|org| {
            org.lags = None;
            org.complete_to = [now; 2];
        });
    }
    let is_useful = org
        .head
        .as_ref()
        .is_some_and(|head| needs_comparison(head.state));
    let compared = Compared {
        verdict: Verdict::Pass,
        version: org.version(),
        build: BUILD,
        at: state.now,
    };
    if is_useful && org.compared != Some(compared) && org.lags.is_none() {
        push("a comparison passes", &|org| org.compared = Some(compared));
    }
    if org.pending_after != org.version() && org.pending.is_some() {
        push("a decision of long ago loses", &|org| org.pending = None);
    } else if let Some(pending) = &org.pending {
        let mut written = append(state, place, pending);
        written.state.orgs[place].pending = None;
        written.what = format!("org {place}: a decision of long ago is written");
        all.push(written);
    }
}

/// In other states nothing rests on one.
pub fn needs_comparison(state: CutoverState) -> bool {
    match state {
        CutoverState::Shadow
        | CutoverState::Canary
        | CutoverState::Scheduled
        | CutoverState::Armed
        | CutoverState::Switched
        | CutoverState::Reversing
        | CutoverState::Reversed => true,
        CutoverState::Off
        | CutoverState::Starting
        | CutoverState::Contracting
        | CutoverState::Sealed
        | CutoverState::Done => false,
    }
}

/// What goes wrong; each uses one fault up.
fn faults(state: &State, place: usize, all: &mut Vec<Step>) {
    let org = &state.orgs[place];
    let (now, version) = (state.now, org.version());
    let mut push = |what: &str, change: &dyn Fn(&mut Org)| {
        let mut after = state.clone();
        after.faults -= 1;
        change(&mut after.orgs[place]);
        all.push(step(format!("org {place}: {what}"), after));
    };
    for (node, role) in [NodeRole::Compactor, NodeRole::OldPipeline]
        .into_iter()
        .enumerate()
    {
        if org.nodes[node].reach == Reach::Connected {
            push(&format!("{} is cut off", role.name()), &|org| {
                org.nodes[node].reach = Reach::CutOff;
            });
        }
    }
    for pipeline in [Pipeline::Old, Pipeline::New] {
        if org.lags.is_none() {
            push(&format!("{pipeline} lags"), &|org| {
                org.lags = Some(pipeline);
            });
        }
    }
    if org
        .head
        .as_ref()
        .is_some_and(|head| needs_comparison(head.state))
    {
        let compared = |verdict, build| Compared {
            verdict,
            version,
            build,
            at: now,
        };
        push("a comparison fails", &|org| {
            org.compared = Some(compared(Verdict::Fail, BUILD));
        });
        push("a comparison of another build passes", &|org| {
            org.compared = Some(compared(Verdict::Pass, "other"));
        });
    }
    let at = now + 3 * WINDOW;
    let writers = org.timeline().phase_at(TimestampMs(at)).writers;
    if org.passed_over.is_none() && !writers.contain(Pipeline::New) {
        push("a point of the future is passed over", &|org| {
            org.passed_over = Some(at);
        });
    }
}
