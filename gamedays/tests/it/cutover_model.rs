//! The states of a cutover in every interleaving: no trap, no broken promise, every broken rule is found.

use skein_gamedays::cutover_model::scope::{BUGS, Bug, Scope, Sleep};
use skein_gamedays::cutover_model::search::{Explored, explore};

/// One org, and enough requests to go on, back and on again.
const SMALL: Scope = Scope {
    orgs: 1,
    requests: 3,
    faults: 1,
    ticks: 7,
    sleep: Sleep::Never,
    bug: None,
};

#[track_caller]
fn is_clean(scope: &Scope) -> Explored {
    let explored = explore(scope);
    let broken = explored.broken.as_ref();
    let broken = broken.map(|it| format!("{}\n{}", it.promise, it.way));
    assert_eq!(broken, None, "{scope:?}");
    explored
}

#[test]
#[ignore = "explores for many minutes"]
fn no_state_of_a_cutover_is_a_trap_whatever_fails_once() {
    let explored = is_clean(&SMALL);
    assert!(explored.states > 10_000, "{explored:?}");
}

#[test]
fn orgs_go_on_and_back_beside_each_other() {
    is_clean(&Scope {
        orgs: 2,
        requests: 2,
        faults: 0,
        ticks: 5,
        ..SMALL
    });
}

#[test]
#[ignore = "explores for many minutes"]
fn every_broken_rule_of_cutovers_is_found() {
    let missed: Vec<Bug> = BUGS
        .into_iter()
        .filter(|bug| {
            let scope = Scope {
                bug: Some(*bug),
                ..SMALL
            };
            let broken = explore(&scope).broken;
            broken.is_none()
        })
        .collect();
    assert_eq!(missed, Vec::<Bug>::new());
}
