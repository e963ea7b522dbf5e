//! Rules about whose a partition is, and from where it is read.

use fastrand::Rng;
use skein_shared::offset::Offset;

use crate::core::event::Event;
use crate::core::model::{World, name, options};
use crate::core::rules::{deliver_all, reading, store_objects};

#[test]
fn a_revocation_is_answered_when_the_ledger_and_kafka_have_everything() {
    let mut world = World::new(&[100, 100]);
    let mut worker = reading(&mut world, options(1));
    deliver_all(&mut worker, &world);
    worker.tell(Event::Revoked(vec![name(0)]));
    assert_eq!(worker.answered, 1);
    worker.give(0, 99, &[8, 1]);
    assert_eq!(
        worker.core.stats().ignored_records,
        1,
        "it takes no more of it"
    );
    worker.settle(&mut world, &mut Rng::with_seed(1));
    assert_eq!(worker.answered, 2);
    assert_eq!(world.committed[&name(0)], Offset(100));
    assert_eq!(worker.reads.keys().collect::<Vec<_>>(), [&name(1)]);
    world.check_frames();
}

#[test]
fn a_missed_drain_gives_the_partition_up_and_never_commits_it() {
    let mut world = World::new(&[100]);
    let mut worker = reading(&mut world, options(1));
    deliver_all(&mut worker, &world);
    worker.tell(Event::Revoked(vec![name(0)]));
    worker.encode(&mut Rng::with_seed(1));
    worker.advance(2000);
    assert_eq!(worker.answered, 2, "the drain is bounded");
    assert_eq!(worker.core.stats().missed_drains, 1);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    assert!(world.ledger.is_empty() && world.committed.is_empty());
}

#[test]
fn a_lost_partition_is_given_up_at_once_and_never_committed() {
    let mut world = World::new(&[100]);
    let mut worker = reading(&mut world, options(1));
    deliver_all(&mut worker, &world);
    worker.tell(Event::FlushNow);
    store_objects(&mut worker, &mut world);
    worker.tell(Event::Lost(vec![name(0)]));
    assert_eq!(worker.answered, 2);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    assert!(world.committed.is_empty());
    world.check_frames();
}

#[test]
fn after_a_conflict_the_partition_is_read_again_from_the_chains_end_in_a_new_tenure() {
    let mut world = World::new(&[100]);
    let mut zombie = reading(&mut world, options(1));
    for _ in 0..30 {
        zombie.deliver(&world, 0);
    }
    let mut owner = reading(&mut world, options(2));
    for _ in 0..10 {
        owner.deliver(&world, 0);
    }
    owner.tell(Event::FlushNow);
    owner.settle(&mut world, &mut Rng::with_seed(1));
    let end = world.end_of(world.genesis.keys().next().unwrap()).unwrap();
    zombie.tell(Event::FlushNow);
    zombie.settle(&mut world, &mut Rng::with_seed(1));
    assert_eq!(zombie.core.stats().conflicts, 1);
    let from = zombie.reads[&name(0)];
    assert_eq!(from, end.0 - 1, "the last record is compared first");
    deliver_all(&mut zombie, &world);
    zombie.tell(Event::FlushNow);
    zombie.settle(&mut world, &mut Rng::with_seed(1));
    world.check_frames();
    assert_eq!(world.committed[&name(0)], Offset(100));
}

#[test]
fn a_stale_position_of_the_consumer_never_skips_records_of_a_new_tenure() {
    let mut world = World::new(&[100]);
    let mut worker = reading(&mut world, options(1));
    for _ in 0..30 {
        worker.deliver(&world, 0);
    }
    worker.tell(Event::Lost(vec![name(0)]));
    worker.tell(Event::Assigned(vec![name(0)]));
    worker.settle(&mut world, &mut Rng::with_seed(1));
    worker.tell(Event::Positions(vec![(name(0), Offset(32))]));
    worker.tell(Event::FlushNow);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    assert!(
        world.ledger.is_empty(),
        "nothing of the new tenure was read"
    );
}

#[test]
fn a_log_that_ends_below_the_ledger_or_has_a_hole_stops_its_partition_alone() {
    let mut world = World::new(&[100, 100, 100]);
    let mut first = reading(&mut world, options(1));
    deliver_all(&mut first, &world);
    first.tell(Event::FlushNow);
    first.settle(&mut world, &mut Rng::with_seed(1));
    world.ends = vec![50, 200, 200];
    world.lows = vec![0, 150, 0];
    let mut second = reading(&mut world, options(2));
    // What looks short is looked at twice.
    second.advance(options(2).settings.lookup_timeout.0);
    second.settle(&mut world, &mut Rng::with_seed(1));
    assert_eq!(second.reads.keys().collect::<Vec<_>>(), [&name(2)]);
    let alerts = &second.alerts;
    assert_eq!(alerts.len(), 2);
    assert!(alerts[0].contains("[100, 150)"), "{alerts:?}");
    assert!(alerts[1].contains("ends at 50"), "{alerts:?}");
}

#[test]
fn a_topic_that_was_made_anew_stops_its_partitions_before_anything_is_taken() {
    let mut world = World::new(&[100, 100]);
    let mut first = reading(&mut world, options(1));
    for _ in 0..10 {
        first.deliver(&world, 0);
        first.deliver(&world, 1);
    }
    first.tell(Event::FlushNow);
    first.settle(&mut world, &mut Rng::with_seed(1));
    let mut second = reading(&mut world, options(2));
    let last = second.reads[&name(0)];
    second.give(0, last, b"another record");
    second.give(0, last + 1, &[8, 1]);
    while second.deliver(&world, 1) {}
    assert_eq!(second.alerts.len(), 1);
    assert!(second.alerts[0].contains("made"), "{:?}", second.alerts);
    assert_eq!(second.reads.keys().collect::<Vec<_>>(), [&name(1)]);
    second.tell(Event::FlushNow);
    second.settle(&mut world, &mut Rng::with_seed(1));
    world.check_frames();
}

#[test]
fn offsets_that_kafka_deleted_while_reading_stop_their_partition_after_what_was_read_is_flushed() {
    let mut world = World::new(&[100, 100]);
    let mut worker = reading(&mut world, options(1));
    for _ in 0..10 {
        worker.deliver(&world, 0);
        worker.deliver(&world, 1);
    }
    world.lows[0] = 60;
    worker.tell(Event::OffsetsLost);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    assert_eq!(worker.alerts.len(), 1);
    assert_eq!(worker.reads.keys().collect::<Vec<_>>(), [&name(1)]);
    world.check_frames();
    let end = world.end_of(world.genesis.keys().next().unwrap()).unwrap();
    assert!(
        end >= Offset(10),
        "what was read of the stopped one is kept"
    );
}

#[test]
fn a_position_that_kafka_refused_and_has_again_is_read_anew_from_the_chains_end() {
    let mut world = World::new(&[100]);
    let mut worker = reading(&mut world, options(1));
    for _ in 0..10 {
        worker.deliver(&world, 0);
    }
    worker.tell(Event::FlushNow);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    for _ in 0..10 {
        worker.deliver(&world, 0);
    }
    // The consumer fetches nothing of it until it is assigned again.
    worker.reads.clear();
    worker.tell(Event::OffsetsLost);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    worker.advance(50);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    assert!(worker.alerts.is_empty(), "{:?}", worker.alerts);
    let last_in_ledger = world
        .end_of(world.genesis.keys().next().unwrap())
        .unwrap()
        .0
        - 1;
    assert_eq!(worker.reads[&name(0)], last_in_ledger);
    deliver_all(&mut worker, &world);
    worker.tell(Event::FlushNow);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    world.check_frames();
    assert_eq!(world.committed[&name(0)], Offset(100));
}
