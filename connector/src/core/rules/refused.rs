//! Rules about a store that refuses until a person has acted.

use fastrand::Rng;

use crate::core::action::{Notice, Request};
use crate::core::event::{Event, Remedy};
use crate::core::model::{Worker, World, options};
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
