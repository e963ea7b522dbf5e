//! Rules about a store that refuses until a person has acted.

use fastrand::Rng;

use crate::core::action::{Notice, Request};
use crate::core::event::{Event, Remedy};
use crate::core::model::{Worker, World, name, options};
use crate::core::rules::{deliver_all, reading};

fn alerts(worker: &Worker) -> usize {
    let told = worker.notices.iter();
    told.filter(|notice| matches!(notice, Notice::StoreRefuses { .. }))
        .count()
}

fn refuse_all(worker: &mut Worker) {
    worker.encode(&mut Rng::with_seed(1));
    let ids: Vec<_> = worker.requests.keys().copied().collect();
    for id in ids {
        worker.fail(id, Remedy::AgainAndAlert);
    }
}

#[test]
fn a_refusal_pauses_alerts_once_a_minute_and_resumes_by_itself() {
    let mut world = World::new(&[100, 100]);
    let mut worker = reading(&mut world, options(1));
    for _ in 0..40 {
        worker.deliver(&world, 0);
    }
    worker.tell(Event::FlushNow);
    refuse_all(&mut worker);
    assert!(worker.paused);
    assert_eq!(alerts(&worker), 1, "one alert for all requests");
    for _ in 0..1300 {
        worker.advance(100);
        refuse_all(&mut worker);
    }
    assert!(worker.paused);
    assert_eq!(alerts(&worker), 3);
    for _ in 0..600 {
        worker.advance(100);
        worker.settle(&mut world, &mut Rng::with_seed(1));
    }
    assert!(!worker.paused);
    assert_eq!(worker.notices.last(), Some(&Notice::StoreAccepts));
    deliver_all(&mut worker, &world);
    worker.tell(Event::FlushNow);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    world.check_frames();
}

#[test]
fn a_request_of_another_kind_that_succeeds_does_not_end_a_refusal() {
    let mut world = World::new(&[100]);
    let mut worker = reading(&mut world, options(1));
    deliver_all(&mut worker, &world);
    worker.tell(Event::FlushNow);
    super::store_objects(&mut worker, &mut world);
    let manifest = super::find(&worker, super::is_manifest)[0];
    worker.fail(manifest, Remedy::AgainAndAlert);
    assert!(worker.paused);
    worker.tell(Event::OffsetsLost);
    let look_up = super::find(&worker, |r| matches!(r, Request::LookUpChain(_)))[0];
    worker.answer(&mut world, look_up);
    assert!(worker.paused, "a look-up says nothing about writing");
}

#[test]
fn an_odd_answer_about_one_partition_is_asked_again_with_one_alert_a_minute_and_holds_up_no_other()
{
    let mut world = World::new(&[100, 100]);
    let mut worker = reading(&mut world, options(1));
    worker.tell(Event::Lost(vec![name(1)]));
    worker.tell(Event::Assigned(vec![name(1)]));
    let mut asked = 0;
    for _ in 0..1300 {
        for id in super::find(&worker, |r| matches!(r, Request::LookUpChain(_))) {
            worker.fail(id, Remedy::AskAgain);
            asked += 1;
        }
        worker.deliver(&world, 0);
        worker.advance(100);
    }
    assert!((20..200).contains(&asked), "with back-off: {asked}");
    let told = worker.notices.iter();
    let odd = told.filter(
        |notice| matches!(notice, Notice::OddAnswer { partition, .. } if *partition == name(1)),
    );
    assert_eq!(odd.count(), 3);
    assert!(worker.alerts.is_empty(), "no partition is stopped");
    assert!(
        !worker.paused && !worker.deliver(&world, 0),
        "the other is read"
    );
    worker.advance(20_000);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    worker.advance(1);
    deliver_all(&mut worker, &world);
    worker.tell(Event::FlushNow);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    assert_eq!(world.committed.len(), 2);
    world.check_frames();
}
