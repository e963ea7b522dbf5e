//! Rules about what Kafka no longer has, or has anew: never a silent jump.

use fastrand::Rng;
use skein_config::connector::{OnLostOffsets, OnReplacedLog};
use skein_shared::format::ledger_entry::EntryKind;
use skein_shared::ids::Incarnation;
use skein_shared::offset::{Offset, Span};

use crate::core::CoreOptions;
use crate::core::action::{Notice, Request};
use crate::core::event::Event;
use crate::core::model::{Worker, World, name, options};
use crate::core::rules::{deliver_all, find, reading};
use crate::core::standing::PartitionState;

fn skipping(seed: u64) -> CoreOptions {
    let mut options = options(seed);
    options.settings.on_lost_offsets = OnLostOffsets::SkipAndRecord;
    options.settings.on_replaced_log = OnReplacedLog::NewIncarnation;
    options
}

/// A world whose first `read` records are in the ledger.
fn world_read_to(ends: &[i64], read: usize) -> World {
    let mut world = World::new(ends);
    let mut first = reading(&mut world, options(1));
    for partition in 0..ends.len() {
        for _ in 0..read {
            first.deliver(&world, partition);
        }
    }
    first.tell(Event::FlushNow);
    first.settle(&mut world, &mut Rng::with_seed(1));
    world
}

fn wait(worker: &mut Worker, world: &mut World, millis: u64) {
    worker.advance(millis);
    worker.settle(world, &mut Rng::with_seed(1));
}

fn lost_spans(world: &World) -> Vec<Span> {
    let entries = world.ledger.values().flatten();
    let lost = entries.filter(|entry| matches!(entry.kind, EntryKind::LostSpan { .. }));
    lost.map(|entry| entry.span).collect()
}

#[test]
fn a_hole_at_the_start_is_recorded_after_a_flush_interval_and_reading_goes_on_behind_it() {
    let mut world = world_read_to(&[100, 100], 10);
    let end = world.end_of(world.genesis.keys().next().unwrap()).unwrap();
    world.lows[0] = 60;
    let mut worker = reading(&mut world, skipping(2));
    assert_eq!(worker.reads.keys().collect::<Vec<_>>(), [&name(1)]);
    assert!(matches!(&worker.notices[..], [Notice::HoleFound { .. }]));
    let wellbeing = worker.core.wellbeing();
    assert_eq!((wellbeing.looking_up, wellbeing.doubted), (0, 1));
    assert_eq!(worker.core.state_of(&name(0)), PartitionState::Doubted);
    wait(&mut worker, &mut world, 900);
    assert!(
        lost_spans(&world).is_empty(),
        "the flush interval is a second"
    );
    world.lows[0] = 70;
    wait(&mut worker, &mut world, 200);
    assert_eq!(lost_spans(&world), [Span::new(end, Offset(70))]);
    assert_eq!(worker.reads[&name(0)], 70);
    assert!(matches!(
        worker.notices.last(),
        Some(Notice::HoleRecorded { .. })
    ));
    assert_eq!(worker.core.stats().lost_spans, 1);
    deliver_all(&mut worker, &world);
    worker.tell(Event::FlushNow);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    world.check_frames();
    assert_eq!(world.committed[&name(0)], Offset(100));
}

#[test]
fn a_hole_while_reading_is_recorded_behind_what_was_read_and_flushed() {
    let mut world = World::new(&[100, 100]);
    let mut worker = reading(&mut world, skipping(1));
    for _ in 0..10 {
        worker.deliver(&world, 0);
        worker.deliver(&world, 1);
    }
    let position = worker.reads[&name(0)];
    world.lows[0] = 60;
    worker.tell(Event::OffsetsLost);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    assert_eq!(worker.reads.keys().collect::<Vec<_>>(), [&name(1)]);
    wait(&mut worker, &mut world, 1100);
    assert_eq!(
        lost_spans(&world),
        [Span::new(Offset(position), Offset(60))]
    );
    deliver_all(&mut worker, &world);
    worker.tell(Event::FlushNow);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    world.check_frames();
}

#[test]
fn a_log_that_looks_short_for_a_moment_stops_nothing_and_one_that_stays_so_does() {
    let mut world = world_read_to(&[100], 50);
    world.ends[0] = 20;
    let mut worker = reading(&mut world, options(2));
    assert!(worker.reads.is_empty());
    assert!(
        worker.alerts.is_empty(),
        "brokers may err: {:?}",
        worker.alerts
    );
    world.ends[0] = 100;
    let look_up = options(2).settings.lookup_timeout.0;
    wait(&mut worker, &mut world, look_up + 100);
    deliver_all(&mut worker, &world);
    worker.tell(Event::FlushNow);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    world.check_frames();
    assert_eq!(world.committed[&name(0)], Offset(100));

    world.ends[0] = 20;
    let mut worker = reading(&mut world, options(3));
    wait(&mut worker, &mut world, look_up + 100);
    assert_eq!(worker.alerts.len(), 1, "{:?}", worker.alerts);
    assert!(worker.reads.is_empty());
}

#[test]
fn positions_that_are_lost_together_are_looked_up_once() {
    let mut world = World::new(&[100, 100]);
    let mut worker = reading(&mut world, options(1));
    for _ in 0..10 {
        worker.tell(Event::OffsetsLost);
    }
    assert_eq!(worker.requests.len(), 2, "{:?}", worker.requests);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    assert_eq!(worker.reads.len(), 2);
}

#[test]
fn whoever_still_holds_the_records_may_bring_them_before_they_are_recorded_as_lost() {
    let mut world = World::new(&[100]);
    let mut slow = reading(&mut world, options(1));
    for _ in 0..80 {
        slow.deliver(&world, 0);
    }
    world.lows[0] = 60;
    let mut owner = reading(&mut world, skipping(2));
    slow.tell(Event::FlushNow);
    slow.settle(&mut world, &mut Rng::with_seed(1));
    wait(&mut owner, &mut world, 1100);
    assert!(lost_spans(&world).is_empty());
    deliver_all(&mut owner, &world);
    owner.tell(Event::FlushNow);
    owner.settle(&mut world, &mut Rng::with_seed(1));
    world.check_frames();
    assert_eq!(world.committed[&name(0)], Offset(100));
}

#[test]
fn a_hole_that_another_recorded_first_is_gone_on_behind() {
    let mut world = world_read_to(&[100], 10);
    world.lows[0] = 60;
    let mut one = reading(&mut world, skipping(2));
    let mut other = reading(&mut world, skipping(3));
    wait(&mut one, &mut world, 1100);
    wait(&mut other, &mut world, 1100);
    assert_eq!(lost_spans(&world).len(), 1);
    assert_eq!(other.reads[&name(0)], 60);
}

#[test]
fn a_log_that_ends_below_the_chain_begins_a_new_incarnation_at_the_second_look() {
    let mut world = world_read_to(&[100], 60);
    world.ends = vec![30];
    let mut worker = reading(&mut world, skipping(2));
    assert!(worker.reads.is_empty() && worker.notices.is_empty());
    wait(&mut worker, &mut world, 10_000);
    assert_eq!(world.genesis.len(), 2);
    assert_eq!(worker.reads[&name(0)], 0);
    assert!(matches!(
        &worker.notices[..],
        [Notice::IncarnationBegun {
            incarnation: Incarnation(1),
            ..
        }]
    ));
    deliver_all(&mut worker, &world);
    worker.tell(Event::FlushNow);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    let newest = world.genesis.keys().next_back().unwrap();
    assert_eq!(newest.incarnation, Incarnation(1));
    assert_eq!(world.end_of(newest), Some(Offset(30)));

    let third = reading(&mut world, options(3));
    assert_eq!(
        third.reads[&name(0)],
        28,
        "the newest life is found, and its last record compared"
    );
}

#[test]
fn an_end_that_was_too_low_for_a_moment_begins_nothing() {
    let mut world = world_read_to(&[100], 60);
    world.ends = vec![30];
    let mut worker = reading(&mut world, skipping(2));
    world.ends = vec![100];
    wait(&mut worker, &mut world, 10_000);
    assert_eq!(world.genesis.len(), 1);
    deliver_all(&mut worker, &world);
    worker.tell(Event::FlushNow);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    world.check_frames();
}

#[test]
fn another_record_at_the_ledgers_end_begins_a_new_incarnation_before_anything_is_taken() {
    let mut world = world_read_to(&[100], 10);
    let mut worker = reading(&mut world, skipping(2));
    let last = worker.reads[&name(0)];
    worker.give(0, last, b"another record");
    worker.give(0, last + 1, &[8, 1]);
    assert_eq!(worker.core.stats().records, 0);
    wait(&mut worker, &mut world, 100);
    assert_eq!(world.genesis.len(), 2);
    assert_eq!(worker.reads[&name(0)], 0);
}

#[test]
fn records_that_come_while_kafka_is_asked_for_its_ends_are_no_sign_of_another_log() {
    for options in [options(1), skipping(1)] {
        let mut world = World::new(&[100, 100]);
        let mut worker = reading(&mut world, options);
        for _ in 0..10 {
            worker.deliver(&world, 0);
            worker.deliver(&world, 1);
        }
        let ends: Vec<i64> = (0..2).map(|place| worker.reads[&name(place)]).collect();
        worker.tell(Event::OffsetsLost);
        for _ in 0..10 {
            worker.deliver(&world, 0);
            worker.deliver(&world, 1);
        }
        let later = std::mem::replace(&mut world.ends, ends);
        for id in find(&worker, |request| {
            matches!(request, Request::LookUpChain(_))
        }) {
            worker.answer(&mut world, id);
        }
        world.ends = later;
        worker.settle(&mut world, &mut Rng::with_seed(1));
        wait(&mut worker, &mut world, 50);
        assert!(worker.alerts.is_empty(), "{:?}", worker.alerts);
        assert!(worker.notices.is_empty(), "{:?}", worker.notices);
        deliver_all(&mut worker, &world);
        worker.tell(Event::FlushNow);
        worker.settle(&mut world, &mut Rng::with_seed(1));
        let chain = world.genesis.keys().next().unwrap();
        assert!(world.end_of(chain).unwrap() >= Offset(99));
        world.check_frames();
    }
}

#[test]
fn one_refused_position_throws_away_nothing_that_was_read_of_others() {
    let mut world = World::new(&[100, 100, 100]);
    let mut worker = reading(&mut world, skipping(1));
    for _ in 0..10 {
        (0..3).for_each(|place| assert!(worker.deliver(&world, place)));
    }
    let read_to: Vec<i64> = (0..3).map(|place| worker.reads[&name(place)]).collect();
    world.lows[0] = 60;
    for _ in 0..5 {
        worker.tell(Event::OffsetsLost);
        // Others go on meanwhile.
        assert!(worker.deliver(&world, 1));
    }
    worker.settle(&mut world, &mut Rng::with_seed(1));
    wait(&mut worker, &mut world, 60);
    assert_eq!(world.manifests.len(), 2, "one more for what came meanwhile");
    let chains: Vec<_> = world.genesis.keys().collect();
    assert!(world.end_of(chains[1]).unwrap().0 >= read_to[1]);
    assert_eq!(world.end_of(chains[2]), Some(Offset(read_to[2])));
    let from = worker.reads[&name(2)];
    assert_eq!(from, read_to[2] - 1, "the last record is compared");
    deliver_all(&mut worker, &world);
    worker.tell(Event::FlushNow);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    world.check_frames();
}

#[test]
fn a_partition_that_stands_still_is_looked_at_alone_and_read_anew_or_behind_its_hole() {
    for low in [0, 60] {
        let mut world = World::new(&[100, 100]);
        let mut worker = reading(&mut world, skipping(1));
        for _ in 0..10 {
            worker.deliver(&world, 0);
            worker.deliver(&world, 1);
        }
        let position = worker.reads[&name(1)];
        world.lows[0] = low;
        // The consumer fetches nothing of it until it is assigned again, and does not say so.
        worker.reads.remove(&name(0));
        let away = name(7);
        worker.tell(Event::StoodStill(vec![name(0), away]));
        let is_look_up = |request: &Request| matches!(request, Request::LookUpChain(_));
        assert_eq!(find(&worker, is_look_up).len(), 1);
        worker.settle(&mut world, &mut Rng::with_seed(1));
        wait(&mut worker, &mut world, 1100);
        assert_eq!(worker.reads[&name(1)], position, "it is read on");
        assert!(worker.reads.contains_key(&name(0)));
        deliver_all(&mut worker, &world);
        worker.tell(Event::FlushNow);
        worker.settle(&mut world, &mut Rng::with_seed(1));
        world.check_frames();
        assert_eq!(world.committed[&name(0)], Offset(100));
    }
}
