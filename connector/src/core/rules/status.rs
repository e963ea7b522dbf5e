//! What a worker tells of itself.

use fastrand::Rng;
use skein_shared::ids::WorkerId;
use skein_shared::offset::Offset;

use crate::core::Until;
use crate::core::action::{ExitReason, Request};
use crate::core::event::{Event, Remedy};
use crate::core::model::{Worker, World, name, options};
use crate::core::rules::{deliver_all, find, reading};

fn is_status(request: &Request) -> bool {
    matches!(request, Request::WriteStatus { .. })
}

/// Positions that the worker told last, partition by partition.
fn told(worker: WorkerId, world: &World) -> Vec<i64> {
    let standings = world.statuses[&worker].iter();
    standings.map(|standing| standing.position.0).collect()
}

fn settle(worker: &mut Worker, world: &mut World) {
    worker.settle(world, &mut Rng::with_seed(1));
}

#[test]
fn every_partition_is_told_once_it_is_ours_and_after_every_flush_idle_ones_too() {
    let mut world = World::new(&[100, 0, 50]);
    let options = options(1);
    let id = options.worker;
    let mut worker = reading(&mut world, options);
    settle(&mut worker, &mut world);
    assert_eq!(told(id, &world), [0, 0, 0]);
    deliver_all(&mut worker, &world);
    worker.tell(Event::FlushNow);
    settle(&mut worker, &mut world);
    assert_eq!(told(id, &world), [100, 0, 50]);
}

#[test]
fn an_idle_worker_tells_at_each_interval_one_status_at_a_time() {
    let mut world = World::new(&[0]);
    let mut options = options(1);
    options.settings.flush_interval.0 = 3_600_000;
    let interval = options.settings.status_interval.0;
    let mut worker = reading(&mut world, options);
    settle(&mut worker, &mut world);
    worker.advance(interval - 1);
    assert!(find(&worker, is_status).is_empty());
    worker.advance(1);
    let first = find(&worker, is_status);
    assert_eq!(first.len(), 1);
    worker.advance(2 * interval);
    assert_eq!(find(&worker, is_status), first, "the first is under way");
    worker.answer(&mut world, first[0]);
    let second = find(&worker, is_status);
    assert!(second.len() == 1 && second != first);
}

#[test]
fn a_status_that_fails_is_told_anew_with_what_is_known_then_and_ends_no_worker() {
    let mut world = World::new(&[100]);
    let options = options(1);
    let id = options.worker;
    let mut worker = reading(&mut world, options);
    deliver_all(&mut worker, &world);
    for remedy in [
        Remedy::Again,
        Remedy::GiveUp(skein_shared::ErrorKind::Invalid),
    ] {
        worker.advance(60_000);
        for status in find(&worker, is_status) {
            worker.fail(status, remedy);
        }
    }
    assert_eq!(worker.exit, None);
    worker.advance(1_000);
    settle(&mut worker, &mut world);
    assert_eq!(told(id, &world), [100]);
}

#[test]
fn a_stopped_partition_is_told_with_what_to_do() {
    let mut world = World::new(&[100]);
    world.lows[0] = 0;
    let id = options(1).worker;
    let mut worker = reading(&mut world, options(1));
    deliver_all(&mut worker, &world);
    worker.tell(Event::FlushNow);
    settle(&mut worker, &mut world);
    world.ends[0] = 40;
    worker.tell(Event::OffsetsLost);
    settle(&mut worker, &mut world);
    // What looks short is looked at twice more.
    for _ in 0..2 {
        worker.advance(options(1).settings.lookup_timeout.0);
        settle(&mut worker, &mut world);
    }
    let standing = &world.statuses[&id][0];
    assert_eq!(standing.position, Offset(100));
    let reason = standing.stopped.as_deref().unwrap();
    assert!(reason.contains("log ends at 40"), "{reason}");
}

#[test]
fn a_worker_that_ends_tells_its_last_word_after_its_last_entry() {
    for until in [Until::Asked, Until::EndAtAssignment] {
        let mut world = World::new(&[100, 0]);
        let mut options = options(1);
        options.until = until;
        let id = options.worker;
        let mut worker = reading(&mut world, options);
        deliver_all(&mut worker, &world);
        worker.tell(Event::Shutdown);
        settle(&mut worker, &mut world);
        assert!(worker.exit.is_some());
        assert_eq!(told(id, &world), [100, 0]);
    }
}

#[test]
fn a_worker_that_cannot_tell_ends_all_the_same() {
    let mut world = World::new(&[0]);
    let mut worker = reading(&mut world, options(1));
    settle(&mut worker, &mut world);
    worker.tell(Event::Shutdown);
    for _ in 0..3 {
        assert_eq!(worker.exit, None);
        let status = find(&worker, is_status);
        worker.fail(status[0], Remedy::Again);
        worker.advance(1_000);
    }
    assert_eq!(worker.exit, Some(ExitReason::Stopped));
}

#[test]
fn a_flush_that_was_given_up_is_not_counted_as_one_that_became_durable() {
    let mut world = World::new(&[100, 100]);
    let mut zombie = reading(&mut world, options(1));
    let mut owner = reading(&mut world, options(2));
    for _ in 0..10 {
        zombie.deliver(&world, 0);
        owner.deliver(&world, 0);
    }
    owner.tell(Event::FlushNow);
    settle(&mut owner, &mut world);
    assert_eq!(owner.core.stats().flushes, 1);
    zombie.tell(Event::FlushNow);
    settle(&mut zombie, &mut world);
    let stats = zombie.core.stats();
    assert_eq!((stats.conflicts, stats.flushes), (1, 0));
    zombie.deliver(&world, 1);
    zombie.tell(Event::Lost(vec![name(1)]));
    assert_eq!(zombie.core.stats().flushes, 0);
    deliver_all(&mut zombie, &world);
    zombie.tell(Event::FlushNow);
    settle(&mut zombie, &mut world);
    assert_eq!(zombie.core.stats().flushes, 1);
}
