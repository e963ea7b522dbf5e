use std::collections::BTreeMap;

use proptest::prelude::*;
use skein_shared::cutover::{CutoverState as S, NodeRole};
use skein_shared::format::cutover_version::CutoverVersion;
use skein_shared::timeline::Pipeline;

use super::org::*;
use crate::cutover::examples::{at, node};
use crate::cutover::facts::{NewFacts, OldFacts, OldProgress};
use crate::cutover::gate;
use crate::cutover::request::{Confirmation, Request};
use crate::cutover::steps::is_step;

/// One thing that happens: the number chooses which, and how much time goes by before.
fn request(number: u8) -> Request {
    match number {
        0 => CREATE,
        1 => Request::MirrorTraffic(0),
        2 | 3 => Request::MirrorTraffic(50),
        4..=6 => SWITCH,
        7 => FORWARD,
        8 => VOID,
        9 | 10 => COMPLETE,
        11 => Request::Cancel,
        12 => Request::Purge(Confirmation::Of(ORG)),
        13 => Request::Pause,
        14 => Request::Resume,
        _ => Request::Advance,
    }
}

fn set_facts(org: &mut Org, (old_lag, new_lag, aware, compared): (i64, i64, u8, u8)) {
    let known = org.newest().map_or(0, |newest| newest.version);
    let version = if aware == 0 {
        known.saturating_sub(1)
    } else {
        known
    };
    org.nodes = [NodeRole::Compactor, NodeRole::OldPipeline, NodeRole::Server]
        .map(|role| node(role, version, org.now))
        .to_vec();
    org.is_compared = if compared == 0 {
        Compared::No
    } else {
        Compared::Yes
    };
    org.old = Some(OldFacts::Active(OldProgress {
        complete_to: Some(at(org.now - old_lag)),
        positions: Some(BTreeMap::new()),
        not_written_to: None,
    }));
    org.new = Some(NewFacts {
        complete_to: Some(at(org.now - new_lag)),
        not_owned_to: None,
        unaccounted: 0,
    });
}

/// What holds from a version to the next, whatever was asked.
fn check_step(org: &Org, asked: &Request) {
    let newest = org.newest().unwrap();
    assert_eq!(newest.version, org.versions.len() as u64);
    let before = org
        .versions
        .len()
        .checked_sub(2)
        .map(|at| &org.versions[at]);
    let kinds = |kind: &str| newest.evidence.iter().filter(|it| it.kind == kind).count();
    if [S::Scheduled, S::Switched].contains(&newest.state) {
        assert!(kinds(gate::DIFF) > 0, "{asked:?}: {newest:?}");
    }
    let change = &newest.change;
    let is_known = is_step(&change.verb, (change.from, newest.state));
    assert!(is_known, "{asked:?}: {newest:?}");
    let Some(before) = before else { return };
    let changes_past = matches!(asked, Request::ReverseTraffic(_) | Request::Cancel);
    // Both are the same from one of these instants to the next.
    let instants = before
        .timeline
        .phases()
        .iter()
        .chain(newest.timeline.phases());
    for instant in instants.map(|phase| phase.from) {
        let visible = |version: &CutoverVersion| version.timeline.phase_at(instant).visible;
        let is_past = instant < at(org.now);
        let is_same = visible(before) == visible(newest);
        let is_void = changes_past && visible(newest) == Pipeline::Old;
        assert!(
            !is_past || is_same || is_void,
            "{asked:?} at {instant}: {newest:?}"
        );
    }
}

/// With facts that are good, everything can be ended.
fn check_way_out(org: &mut Org) {
    org.nodes.clear();
    (org.old, org.new) = (None, None);
    org.is_compared = Compared::Yes;
    let is_purged = org
        .newest()
        .is_some_and(|it| it.evidence.iter().any(|it| it.kind == gate::PURGE));
    if org.state() == S::Off || is_purged {
        return;
    }
    let taken = [Request::Cancel, FORWARD]
        .into_iter()
        .any(|out| org.ask(&out).is_ok());
    assert!(taken, "{:?}", org.newest());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn whatever_is_asked_the_past_stays_evidence_is_there_and_a_way_out(
        steps in prop::collection::vec(
            (0_u8..24, 0_i64..700, (0_i64..300, 0_i64..300, 0_u8..4, 0_u8..4)),
            0..40,
        ),
    ) {
        let mut org = Org::new();
        org.kept_from = Some(12_000);
        for (number, later, facts) in steps {
            org.now += later;
            set_facts(&mut org, facts);
            let asked = request(number);
            if org.ask(&asked).is_ok() {
                check_step(&org, &asked);
            }
        }
        check_way_out(&mut org);
    }
}
