//! Verbs on a bucket: one winner of a race, repair after a crash between any two steps, and a log that shows every change.

use std::path::Path;

use skein_config::cutover::fact_finding::{Plane, look};
use skein_config::cutover::log_check;
use skein_config::cutover::request::{EdgeChoice, NextVersion, RefusalKind, Request};
use skein_config::cutover::rules::Rules;
use skein_config::cutover::saga::{Ended, Mode, Repaired, Verb, carry_out, carry_out_on, repair};
use skein_config::cutover::transition::decide;
use skein_config::load::{Layers, load};
use skein_shared::bucket::{Bucket, DirectorySettings};
use skein_shared::cutover::CutoverState;
use skein_shared::cutover_log::{self, Appended};
use skein_shared::fleet_log;
use skein_shared::format::delete_entry::{EntryHash, Statement};
use skein_shared::format::object_key::{CutoverKey, ObjectKey};
use skein_shared::ids::{OrgId, WriteId};
use skein_shared::retry::RetryPolicy;
use skein_shared::units::Millis;

const ORG: OrgId = OrgId(7);

async fn plane(root: &Path) -> Plane {
    let bucket = DirectorySettings {
        root: root.to_owned(),
        retry: RetryPolicy::default(),
    };
    let mut settings = load(&Layers::default()).unwrap().cutover;
    settings.unenrolled = skein_config::cutover::settings::Unenrolled::Old;
    Plane {
        bucket: Bucket::open(&bucket).await.unwrap(),
        settings,
        watermark_delay: Millis(0),
    }
}

fn stated() -> Statement {
    Statement {
        actor: "ann".to_owned(),
        reason: "try it".to_owned(),
        ticket: Some("OPS-1".to_owned()),
    }
}

fn verb(request: Request) -> Verb {
    Verb {
        org: ORG,
        request,
        stated: stated(),
        evidence: vec![],
        expected: None,
    }
}

const CREATE: Request = Request::Create(EdgeChoice::Soonest);

async fn done(plane: &Plane, request: Request) -> u64 {
    match carry_out(plane, &verb(request), Mode::Real).await.unwrap() {
        Ended::Done(done) => done.version.version,
        Ended::Refused(refusal) => panic!("{refusal:?}"),
    }
}

/// What the next version would be.
async fn next(plane: &Plane, request: &Request) -> (NextVersion, Option<u64>) {
    let seen = look(plane, ORG).await.unwrap();
    let before = seen.history.last().map(|(before, _)| before);
    let rules = Rules::of(&plane.settings);
    let next = decide(before, request, &seen.facts, &rules).unwrap();
    (next, before.map(|before| before.version))
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_says_what_the_real_one_does() {
    let directory = tempfile::tempdir().unwrap();
    let plane = plane(directory.path()).await;
    let verb = verb(CREATE);
    let dry = carry_out(&plane, &verb, Mode::DryRun).await.unwrap();
    assert!(
        cutover_log::newest(&plane.bucket, ORG)
            .await
            .unwrap()
            .is_none()
    );
    let real = carry_out(&plane, &verb, Mode::Real).await.unwrap();
    let (Ended::Done(dry), Ended::Done(real)) = (dry, real) else {
        panic!("refused");
    };
    assert_eq!((dry.fleet, real.fleet), (None, Some(1)));
    assert_eq!(dry.version.timeline, real.version.timeline);
    assert_eq!(real.version.change.stated, stated());
}

#[tokio::test]
async fn of_two_operators_one_wins_and_the_other_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let plane = plane(directory.path()).await;
    done(&plane, CREATE).await;
    let seen = look(&plane, ORG).await.unwrap();
    let (cancel, pause) = (verb(Request::Cancel), verb(Request::Pause));
    let first = carry_out_on(&plane, (&cancel, &seen), Mode::Real)
        .await
        .unwrap();
    assert!(matches!(first, Ended::Done(_)));
    let second = carry_out_on(&plane, (&pause, &seen), Mode::Real)
        .await
        .unwrap();
    let Ended::Refused(refusal) = second else {
        panic!("both won");
    };
    assert_eq!(refusal.kind, RefusalKind::Conflict);
    let history = cutover_log::history(&plane.bucket, ORG).await.unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!(history[1].0.state, CutoverState::Off);
    // One who says which version was looked at is refused before anything is decided.
    let mut stale = verb(Request::Pause);
    stale.expected = Some(1);
    let said = carry_out(&plane, &stale, Mode::Real).await.unwrap();
    assert!(matches!(said, Ended::Refused(refusal) if refusal.kind == RefusalKind::Conflict));
}

#[tokio::test]
async fn a_version_whose_maker_ended_before_the_fleet_is_published_by_a_repair() {
    let directory = tempfile::tempdir().unwrap();
    let plane = plane(directory.path()).await;
    let sound = |repaired| assert_eq!(repaired, Repaired::Sound);
    let stated = stated();
    sound(repair(&plane, (ORG, &stated), Mode::Real).await.unwrap());
    let (made, _) = next(&plane, &CREATE).await;
    let now = plane.bucket.now().await.unwrap();
    let version = made.numbered(ORG, None, (stated.clone(), now));
    let appended = cutover_log::append(&plane.bucket, &version).await.unwrap();
    assert!(matches!(appended, Appended::Ours(_)));
    assert!(fleet_log::newest(&plane.bucket).await.unwrap().is_none());
    let said = repair(&plane, (ORG, &stated), Mode::DryRun).await.unwrap();
    assert_eq!(said, Repaired::Published(0));
    let said = repair(&plane, (ORG, &stated), Mode::Real).await.unwrap();
    assert_eq!(said, Repaired::Published(1));
    let fleet = fleet_log::newest(&plane.bucket).await.unwrap().unwrap();
    assert_eq!(fleet.heads[&ORG].version, 1);
    sound(repair(&plane, (ORG, &stated), Mode::Real).await.unwrap());
}

#[tokio::test]
async fn a_gap_a_forged_version_and_a_step_that_no_verb_makes_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let plane = plane(directory.path()).await;
    done(&plane, CREATE).await;
    done(&plane, Request::Pause).await;
    done(&plane, Request::Resume).await;
    let check = || async { log_check::check(&plane, ORG).await.unwrap() };
    let found = check().await;
    assert_eq!((found.versions, found.faults), (3, vec![]));

    let key = |version| ObjectKey::from(CutoverKey::Version { org: ORG, version }).to_string();
    let kept = plane.bucket.get(&key(2)).await.unwrap();
    plane.bucket.delete(&key(2)).await.unwrap();
    assert!(check().await.faults[0].contains("missing"));

    // The same version with another reason: whole in itself, but not what the next one was made after.
    let (mut forged, _) = cutover_log::load(&plane.bucket, ORG, 1).await.unwrap();
    let hash = EntryHash::of(&plane.bucket.get(&key(1)).await.unwrap());
    (forged.version, forged.previous) = (2, hash);
    let id = WriteId::random();
    plane
        .bucket
        .put(&key(2), forged.encode(id), id)
        .await
        .unwrap();
    assert!(check().await.faults[0].contains("after another version"));

    let id = WriteId::random();
    plane.bucket.put(&key(2), kept, id).await.unwrap();
    assert_eq!(check().await.faults, Vec::<String>::new());
    let (mut odd, _) = cutover_log::load(&plane.bucket, ORG, 3).await.unwrap();
    odd.previous = EntryHash::of(&plane.bucket.get(&key(3)).await.unwrap());
    odd.version = 4;
    odd.change.from = CutoverState::Done;
    assert!(matches!(
        cutover_log::append(&plane.bucket, &odd).await.unwrap(),
        Appended::Ours(_)
    ));
    assert!(check().await.faults[0].contains("was made of state done"));
}

#[tokio::test]
async fn a_fleet_that_the_log_does_not_bear_out_stops_the_cutover_until_it_is_repaired() {
    let directory = tempfile::tempdir().unwrap();
    let plane = plane(directory.path()).await;
    done(&plane, CREATE).await;
    let mut fleet = fleet_log::newest(&plane.bucket).await.unwrap().unwrap();
    fleet.number += 1;
    fleet.heads.get_mut(&ORG).unwrap().hash = EntryHash(1);
    let key = ObjectKey::from(CutoverKey::Fleet(fleet.number)).to_string();
    let id = WriteId::random();
    plane.bucket.put(&key, fleet.encode(id), id).await.unwrap();
    let stated = stated();
    let said = repair(&plane, (ORG, &stated), Mode::Real).await.unwrap();
    assert!(matches!(said, Repaired::Faulty(_)), "{said:?}");
    // The version that says so is in a fleet that is right again.
    let said = repair(&plane, (ORG, &stated), Mode::Real).await.unwrap();
    assert_eq!(said, Repaired::Cleared(3));
    let said = repair(&plane, (ORG, &stated), Mode::Real).await.unwrap();
    assert_eq!(said, Repaired::Sound);
}
