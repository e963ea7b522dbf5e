//! Every step that anybody may take.

use crate::commit_model::scope::{Bug, Scope};
use crate::commit_model::state::{Compactor, Pin, Stage, State, Tries};
use crate::commit_model::step::{Kind, Successor, Who, land};
use crate::commit_model::{collector, compactor};

/// All steps out of `state`; their states are as they come, not in their one form.
pub fn steps(state: &State, scope: &Scope) -> Vec<Successor> {
    let mut all = Vec::new();
    for place in 0..scope.compactors {
        compactor::steps(state, scope, place, &mut all);
    }
    for place in 0..scope.collectors {
        collector::steps(state, scope, place, &mut all);
    }
    all.extend(late_requests(state));
    all.extend(reader(state));
    if !tells_tries_apart(scope) {
        for step in &mut all {
            forget_tries(&mut step.state);
        }
    }
    all
}

/// Whether all input is committed.
pub fn is_done(state: &State, scope: &Scope) -> bool {
    state.newest().positions == scope.units
}

fn late_requests(state: &State) -> impl Iterator<Item = Successor> {
    (0..state.late.len()).map(|place| {
        let mut after = state.clone();
        let manifest = after.late.remove(place);
        let number = manifest.number;
        if after.manifest(number).is_none() {
            land(&mut after, manifest);
        }
        let what = ("arrives for", Some(number));
        Successor {
            kind: Kind::Fault,
            ..Successor::progress(Who::LateRequest, what, after)
        }
    })
}

fn reader(state: &State) -> Option<Successor> {
    let mut after = state.clone();
    let newest = state.newest();
    let what = match state.pin {
        Some(pin) => {
            after.pin = None;
            ("lets go of", Some(pin.number))
        }
        None if newest.number == 0 => return None,
        None => {
            after.pin = Some(Pin {
                number: newest.number,
                live: newest.live,
            });
            ("pins", Some(newest.number))
        }
    };
    Some(Successor::progress(Who::Reader, what, after))
}

/// Only broken rules ask whether a request was sent before.
fn tells_tries_apart(scope: &Scope) -> bool {
    matches!(
        scope.bug,
        Some(Bug::TakesExistenceForSuccess | Bug::ReusesCollectedNumber)
    )
}

fn forget_tries(state: &mut State) {
    for compactor in &mut state.compactors {
        match compactor {
            Compactor::Creating(_, creation) => creation.tries = Tries::First,
            Compactor::Created(_, _, tries) => *tries = Tries::First,
            Compactor::Idle | Compactor::Planned(..) | Compactor::Refused(_) => {}
        }
    }
    for collector in &mut state.collectors {
        if let Stage::Creating(creation) = &mut collector.stage {
            creation.tries = Tries::First;
        }
    }
}
