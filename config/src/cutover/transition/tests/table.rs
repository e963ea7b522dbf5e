use skein_shared::cutover::{CutoverState as S, Edges, NodeRole, Standing, UndoCost};
use skein_shared::window::TimeSpan;

use super::org::*;
use crate::cutover::examples::{at, node, timeline};
use crate::cutover::facts::{NewFacts, OldFacts, OldProgress};
use crate::cutover::gate;
use crate::cutover::request::{Confirmation, EdgeChoice, RefusalKind as K, Request};
use crate::cutover::transition::states_of;

fn requests() -> Vec<Request> {
    vec![
        CREATE,
        Request::MirrorTraffic(50),
        SWITCH,
        FORWARD,
        COMPLETE,
        Request::Cancel,
        Request::Purge(Confirmation::Of(ORG)),
        Request::Pause,
    ]
}

#[test]
fn a_verb_is_granted_in_the_states_of_the_table_and_in_no_other() {
    for state in S::ALL {
        for request in requests() {
            let mut org = Org::in_state(state);
            org.now += 5000;
            org.kept_from = Some(i64::MAX);
            // A reversal whose time has not come is taken back, so that traffic need not be switched.
            let said = org.decide(&request);
            let is_granted = states_of(&request).contains(&state);
            let name = request.verb();
            match said {
                Ok(_) => assert!(is_granted, "{name} in {state}"),
                Err(refusal) if is_granted => {
                    let is_early = state == S::Switched || refusal.kind == K::Gate;
                    assert!(is_early, "{name} in {state}: {refusal:?}");
                }
                Err(refusal) => {
                    assert_eq!(refusal.kind, K::Conflict, "{name} in {state}: {refusal:?}");
                }
            }
        }
    }
}

#[test]
fn from_every_state_there_is_a_way_out() {
    for state in S::ALL.into_iter().filter(|state| *state != S::Off) {
        for later in [0, 1, 5000] {
            let mut org = Org::in_state(state);
            org.now += later;
            let out = [Request::Cancel, FORWARD].map(|request| org.decide(&request));
            assert!(
                out.iter().any(Result::is_ok),
                "{state} after {later}: {out:?}"
            );
        }
    }
}

#[test]
fn what_was_created_and_cancelled_leaves_the_start() {
    for state in [S::Starting, S::Shadow, S::Canary] {
        let mut org = Org::in_state(state);
        org.ask(&Request::Cancel).unwrap();
        let newest = org.newest().unwrap();
        assert_eq!(newest.timeline, timeline("o"), "{state}");
        assert_eq!((newest.state, newest.mirror_percent), (S::Off, 0));
        assert_eq!(newest.edges, Edges::default());
    }
    for state in [S::Scheduled, S::Armed] {
        let canary = Org::in_state(S::Canary).newest().unwrap().timeline.clone();
        let mut org = Org::in_state(state);
        org.ask(&Request::Cancel).unwrap();
        assert_eq!(org.newest().unwrap().timeline, canary);
        assert_eq!(org.state(), S::Canary);
    }
}

#[test]
fn a_void_restores_who_was_visible_and_says_what_it_changed() {
    let before = Org::in_state(S::Canary).newest().unwrap().timeline.clone();
    let mut org = Org::in_state(S::Switched);
    org.now += 500;
    let b = org.newest().unwrap().edges.switch_at.unwrap();
    let next = org.ask(&VOID).unwrap();
    assert_eq!(next.timeline, before);
    assert_eq!(
        next.restated,
        Some(TimeSpan {
            from: b,
            to: at(org.now)
        })
    );
    org.reach(S::Reversed, &Request::Advance);
    org.ask(&SWITCH).unwrap();
    org.reach(S::Switched, &Request::Advance);
}

#[test]
fn a_void_needs_the_old_pipeline_complete_and_nothing_of_the_new_one() {
    let mut org = Org::in_state(S::Switched);
    org.is_compared = Compared::No;
    org.new = Some(NewFacts::default());
    assert!(org.decide(&VOID).is_ok());
    org.old_complete_to(org.now - 101);
    assert_eq!(org.decide(&VOID).unwrap_err().kind, K::Gate);
    org.old = Some(OldFacts::Active(OldProgress::default()));
    assert_eq!(org.decide(&VOID).unwrap_err().kind, K::Inconclusive);
    org.old = Some(OldFacts::Passive);
    assert!(org.decide(&VOID).is_ok());
    let org = Org::in_state(S::Contracting);
    assert_eq!(org.decide(&VOID).unwrap_err().kind, K::Gate);
}

#[test]
fn a_cancel_after_the_switch_has_come_goes_back_at_once() {
    for state in [S::Scheduled, S::Armed] {
        let mut org = Org::in_state(state);
        assert_eq!(org.decide(&FORWARD).unwrap_err().kind, K::Conflict);
        org.now = org.newest().unwrap().edges.switch_at.unwrap().0;
        let next = org.ask(&Request::Cancel).unwrap();
        assert_eq!(next.state, S::Reversing);
        org.reach(S::Reversed, &Request::Advance);
    }
}

#[test]
fn an_edge_that_not_all_know_is_put_off_and_one_that_they_know_is_armed() {
    let mut org = Org::in_state(S::Scheduled);
    let b = org.newest().unwrap().edges.switch_at.unwrap();
    let reader = |org: &Org, version| vec![node(NodeRole::Reader, version, org.now)];
    let known = org.newest().unwrap().version;
    org.nodes = reader(&org, known - 1);
    assert_eq!(org.decide(&Request::Advance).unwrap_err().kind, K::NotYet);
    org.now = b.0 - 99;
    org.nodes = reader(&org, known - 1);
    let next = org.ask(&Request::Advance).unwrap();
    assert_eq!((next.state, next.verb), (S::Scheduled, "postpone"));
    assert_eq!(next.edges.switch_at, Some(at(b.0 + 110)));
    // The new edge is a new timeline, which has to be known again.
    org.nodes = reader(&org, known);
    assert_eq!(org.decide(&Request::Advance).unwrap_err().kind, K::NotYet);
    org.nodes = reader(&org, known + 1);
    assert_eq!(org.ask(&Request::Advance).unwrap().state, S::Armed);
}

#[test]
fn the_new_pipelines_begin_is_put_off_until_all_writers_know_it() {
    let mut org = Org::in_state(S::Starting);
    let w0 = org.newest().unwrap().edges.new_writes_from.unwrap();
    org.now = w0.0 + 5;
    org.nodes = vec![node(NodeRole::Compactor, 0, org.now)];
    let next = org.ask(&Request::Advance).unwrap();
    assert_eq!(next.verb, "postpone");
    assert_eq!(next.timeline, timeline(&format!("o {}:Bo", w0.0 + 210)));
    org.nodes = vec![node(NodeRole::Compactor, 2, org.now)];
    org.now = w0.0 + 211;
    org.new = Some(org.facts().new);
    org.new.as_mut().unwrap().complete_to = Some(at(w0.0 + 210));
    assert_eq!(org.decide(&Request::Advance).unwrap_err().kind, K::NotYet);
    org.new.as_mut().unwrap().complete_to = Some(at(w0.0 + 211));
    assert_eq!(org.decide(&Request::Advance).unwrap().state, S::Shadow);
    // Points that were passed over before it was known put it off, too.
    org.new.as_mut().unwrap().not_owned_to = Some(at(w0.0 + 250));
    assert_eq!(org.decide(&Request::Advance).unwrap().verb, "postpone");
}

#[test]
fn nobody_switches_without_evidence_and_a_newer_failure_takes_the_switch_back() {
    for state in [S::Canary, S::Reversed] {
        let mut org = Org::in_state(state);
        org.is_compared = Compared::No;
        assert_eq!(org.decide(&SWITCH).unwrap_err().kind, K::Inconclusive);
    }
    let mut org = Org::in_state(S::Armed);
    let mut facts = org.facts();
    facts.verdicts[0].verdict.verdict = skein_shared::format::diff_verdict::Verdict::Fail;
    let rules = crate::cutover::examples::rules();
    let fell = super::super::decide(org.newest(), &Request::Advance, &facts, &rules).unwrap();
    assert_eq!(fell.state, S::Canary);
    assert!(matches!(fell.standing, Standing::Blocked(_)));
    // Evidence that will be too old when the switch comes is no evidence.
    org.is_compared = Compared::No;
    assert_eq!(org.decide(&Request::Advance).unwrap_err().kind, K::NotYet);
    org.now = org.newest().unwrap().edges.switch_at.unwrap().0 - 50;
    let fell = org.decide(&Request::Advance).unwrap();
    assert_eq!(fell.state, S::Canary);
    assert!(matches!(fell.standing, Standing::Inconclusive(_)));
    // Once it has come, it is put on record, once.
    org.now += 50;
    let held = org.ask(&Request::Advance).unwrap();
    assert_eq!(held.state, S::Armed);
    assert!(matches!(held.standing, Standing::Inconclusive(_)));
    assert_eq!(
        org.decide(&Request::Advance).unwrap_err().kind,
        K::Inconclusive
    );
}

#[test]
fn the_old_pipeline_ends_after_the_hold_and_is_sealed_after_the_late_horizon() {
    let mut org = Org::in_state(S::Switched);
    let b = org.newest().unwrap().edges.switch_at.unwrap();
    assert_eq!(org.decide(&COMPLETE).unwrap_err().kind, K::Gate);
    org.now = b.0 + 1000;
    let next = org.ask(&COMPLETE).unwrap();
    let t2 = next.edges.old_ends_at.unwrap();
    assert!(t2.0 >= org.now + 100 && next.undo == UndoCost::OneLead);
    org.ask(&Request::Advance).unwrap();
    org.now = t2.0 + 199;
    assert_eq!(org.decide(&Request::Advance).unwrap_err().kind, K::NotYet);
    org.now += 1;
    org.old_complete_to(org.now);
    let held = org.ask(&Request::Advance).unwrap();
    assert!(matches!(held.standing, Standing::Inconclusive(_)));
    org.old = None;
    let sealed = org.ask(&Request::Advance).unwrap();
    assert_eq!((sealed.state, sealed.undo), (S::Sealed, UndoCost::Replay));
    assert!(org.newest().unwrap().seal == Some(org.versions.len() as u64));
}

#[test]
fn what_cannot_be_taken_back_wants_the_orgs_name() {
    let mut org = Org::in_state(S::Sealed);
    org.now += 1000;
    let unnamed = [
        Confirmation::Missing,
        Confirmation::Of(skein_shared::ids::OrgId(8)),
    ];
    for confirmation in unnamed {
        let said = org.decide(&Request::Complete(confirmation));
        assert_eq!(said.unwrap_err().kind, K::Irreversible);
    }
    let done = org.ask(&COMPLETE).unwrap();
    assert_eq!((done.state, done.undo), (S::Done, UndoCost::Restore));
    assert_eq!(done.old_place.as_deref(), Some("here"));
    let purge = |confirmation| Request::Purge(confirmation);
    assert_eq!(
        org.decide(&purge(Confirmation::Of(ORG))).unwrap_err().kind,
        K::Gate
    );
    org.kept_from = Some(org.now);
    assert_eq!(
        org.decide(&purge(unnamed[1])).unwrap_err().kind,
        K::Irreversible
    );
    org.ask(&purge(Confirmation::Of(ORG))).unwrap();
    assert_eq!(org.decide(&FORWARD).unwrap_err().kind, K::Irreversible);
}

#[test]
fn readers_return_to_an_old_pipeline_that_had_ended_only_once_it_has_written_again() {
    let mut org = Org::in_state(S::Sealed);
    let w2 = org.now + 100;
    org.old_complete_to(org.now);
    let next = org.ask(&FORWARD).unwrap();
    assert_eq!((next.state, next.edges.reverse_at), (S::Reversing, None));
    let visible = |org: &Org, ms| {
        org.newest()
            .unwrap()
            .timeline
            .phase_at(at(ms))
            .visible
            .name()
    };
    assert_eq!(visible(&org, i64::MAX), "new");
    org.now = w2 + 50;
    assert_eq!(org.decide(&Request::Advance).unwrap_err().kind, K::NotYet);
    org.old_complete_to(w2 + 20);
    let next = org.ask(&Request::Advance).unwrap();
    assert!(next.edges.reverse_at.unwrap().0 >= w2 + 150);
    assert_eq!(visible(&org, i64::MAX), "old");
    org.old = None;
    org.reach(S::Reversed, &Request::Advance);
    // What the new pipeline alone had is given back with evidence that covers it.
    let edges: Vec<i64> = org
        .newest()
        .unwrap()
        .timeline
        .phases()
        .iter()
        .map(|it| it.from.0)
        .collect();
    let span = TimeSpan {
        from: at(edges[2]),
        to: at(edges[5]),
    };
    org.is_compared = Compared::No;
    assert_eq!(
        org.decide(&Request::Reassign(span)).unwrap_err().kind,
        K::Inconclusive
    );
    org.is_compared = Compared::Yes;
    let back = org.ask(&Request::Reassign(span)).unwrap();
    assert_eq!((back.restated, back.undo), (Some(span), UndoCost::Replay));
    assert_eq!(back.timeline, timeline(&format!("o {}:Bo", edges[1])));
}

#[test]
fn a_reversal_is_taken_back_before_it_has_come() {
    let mut org = Org::in_state(S::Switched);
    let before = org.newest().unwrap().clone();
    org.ask(&FORWARD).unwrap();
    assert_eq!(org.decide(&SWITCH).unwrap_err().kind, K::Conflict);
    org.ask(&Request::Cancel).unwrap();
    assert_eq!(
        (org.state(), &org.newest().unwrap().timeline),
        (S::Switched, &before.timeline)
    );
}

#[test]
fn a_pause_is_granted_at_once_and_takes_an_edge_back_that_nobody_would_watch() {
    for state in S::ALL.into_iter().filter(|state| *state != S::Off) {
        let mut org = Org::in_state(state);
        let next = org.ask(&Request::Pause).unwrap();
        assert_eq!(next.standing, Standing::Paused);
        let taken_back = [
            (S::Scheduled, S::Canary),
            (S::Armed, S::Canary),
            (S::Contracting, S::Switched),
        ];
        let back = taken_back.iter().find(|(from, _)| *from == state);
        let expected = back.map_or(state, |(_, to)| *to);
        assert_eq!(next.state, expected);
        assert_eq!(org.decide(&Request::Advance).unwrap_err().kind, K::Conflict);
        assert_eq!(org.decide(&Request::Pause).unwrap_err().kind, K::Conflict);
        assert_eq!(org.ask(&Request::Resume).unwrap().standing, Standing::Going);
        assert_eq!(org.decide(&Request::Resume).unwrap_err().kind, K::Conflict);
    }
}

#[test]
fn a_fault_stops_the_way_on_and_stays_on_the_way_back() {
    let mut org = Org::in_state(S::Canary);
    assert_eq!(org.decide(&Request::Repair).unwrap_err().kind, K::Conflict);
    org.ask(&Request::Fault("odd".to_owned())).unwrap();
    assert_eq!(org.decide(&SWITCH).unwrap_err().kind, K::Conflict);
    let off = org.ask(&Request::Cancel).unwrap();
    assert!(matches!(off.standing, Standing::Faulted(_)));
    assert_eq!(org.ask(&Request::Repair).unwrap().standing, Standing::Going);
}

#[test]
fn a_system_that_nobody_can_ask_writes_for_ever_and_acknowledges_nothing() {
    let mut org = Org::new();
    org.old = Some(OldFacts::Passive);
    org.ask(&CREATE).unwrap();
    org.reach(S::Shadow, &Request::Advance);
    org.ask(&Request::MirrorTraffic(100)).unwrap();
    org.ask(&SWITCH).unwrap();
    org.reach(S::Switched, &Request::Advance);
    let before = org.newest().unwrap().timeline.clone();
    org.reach(S::Contracting, &COMPLETE);
    org.reach(S::Sealed, &Request::Advance);
    org.reach(S::Done, &COMPLETE);
    let newest = org.newest().unwrap();
    assert_eq!((&newest.timeline, newest.seal), (&before, None));
    assert!(
        newest
            .evidence
            .iter()
            .any(|it| it.kind == gate::DECLARATION)
    );
    org.ask(&FORWARD).unwrap();
    org.reach(S::Reversed, &Request::Advance);
}

#[test]
fn a_chosen_edge_is_kept_and_one_too_early_or_off_the_grid_is_refused() {
    let org = Org::in_state(S::Canary);
    let ask = |ms| org.decide(&Request::SwitchTraffic(EdgeChoice::At(at(ms))));
    let soonest = org.decide(&SWITCH).unwrap().edges.switch_at.unwrap().0;
    assert_eq!(
        ask(soonest + 50).unwrap().edges.switch_at,
        Some(at(soonest + 50))
    );
    assert_eq!(ask(soonest - 10).unwrap_err().kind, K::Invalid);
    assert_eq!(ask(soonest + 55).unwrap_err().kind, K::Invalid);
}
