//! The core's rules, one test each.

mod ownership;
mod status;
mod void_flush;
mod commits;
mod lost;
mod memory;
mod rebalances;
mod requests;
mod refused;
mod many;

use fastrand::Rng;
use skein_shared::ErrorKind;
use skein_shared::format::frame::HeaderBuffer;
use skein_shared::ids::ShardId;
use skein_shared::offset::Offset;
use skein_shared::payload::UNREADABLE_HEADERS;
use skein_shared::shard_map::{Routing, ShardMap};
use skein_shared::units::{ByteCount, Millis};

use crate::core::action::{ExitReason, Request, RequestId};
use crate::core::event::{Event, Remedy};
use crate::core::model::{Worker, World, name, options};
use crate::core::{CoreOptions, Until};

/// A worker that reads all partitions of a world.
fn reading(world: &mut World, options: CoreOptions) -> Worker {
    let mut worker = Worker::new(options);
    let names = (0..world.ends.len()).map(name).collect();
    worker.tell(Event::Assigned(names));
    worker.settle(world, &mut Rng::with_seed(1));
    assert_eq!(worker.answered, 1, "the assignment is answered");
    worker
}

fn deliver_all(worker: &mut Worker, world: &World) {
    for partition in 0..world.ends.len() {
        while worker.deliver(world, partition) {}
    }
    worker.tell_positions();
}

fn find(worker: &Worker, wanted: fn(&Request) -> bool) -> Vec<RequestId> {
    let all = worker.requests.iter();
    all.filter(|(_, request)| wanted(request))
        .map(|(id, _)| *id)
        .collect()
}

fn is_append(request: &Request) -> bool {
    matches!(request, Request::AppendLedger { .. })
}

fn is_manifest(request: &Request) -> bool {
    matches!(request, Request::CreateFlushManifest { .. })
}

/// Answers everything that carries data, so that manifests come next.
fn store_objects(worker: &mut Worker, world: &mut World) {
    for _ in 0..10 {
        worker.encode(&mut Rng::with_seed(2));
        for id in find(worker, |r| !is_append(r) && !is_manifest(r)) {
            worker.answer(world, id);
        }
    }
}

#[test]
fn a_record_is_durable_before_it_is_committed_and_nothing_is_read_before_the_genesis() {
    let mut world = World::new(&[100, 50]);
    let mut worker = Worker::new(options(1));
    worker.tell(Event::Assigned(vec![name(0), name(1)]));
    worker.give(0, 0, &[8, 1]);
    assert_eq!(worker.core.stats().records, 0);
    assert_eq!(worker.core.stats().ignored_records, 1);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    assert_eq!(world.genesis.len(), 2);
    deliver_all(&mut worker, &world);
    assert!(world.ledger.is_empty() && worker.commit.is_none());
    worker.tell(Event::FlushNow);
    store_objects(&mut worker, &mut world);
    assert!(
        find(&worker, is_append).is_empty(),
        "no entry before the manifest"
    );
    worker.settle(&mut world, &mut Rng::with_seed(1));
    world.check_frames();
    assert_eq!(
        world.committed[&name(0)],
        Offset(100),
        "beyond the trailing marker"
    );
    assert_eq!(world.committed[&name(1)], Offset(50));
}

#[test]
fn entries_of_one_partition_are_sent_one_after_the_other() {
    let mut world = World::new(&[100]);
    let mut worker = reading(&mut world, options(1));
    for _ in 0..3 {
        for _ in 0..10 {
            worker.deliver(&world, 0);
        }
        worker.tell(Event::FlushNow);
        store_objects(&mut worker, &mut world);
    }
    // The last flush's manifest is done first: its entry has to wait.
    for id in find(&worker, is_manifest).into_iter().rev() {
        worker.answer(&mut world, id);
        assert!(find(&worker, is_append).len() <= 1);
    }
    let first = find(&worker, is_append);
    worker.lose_answer(&mut world, first[0]);
    assert!(
        find(&worker, is_append).is_empty(),
        "not before the one before is proven ours"
    );
    worker.advance(60_000);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    assert_eq!(world.ledger.values().next().unwrap().len(), 3);
    world.check_frames();
}

#[test]
fn a_flush_never_stops_consuming() {
    let mut world = World::new(&[100]);
    let mut worker = reading(&mut world, options(1));
    for _ in 0..10 {
        worker.deliver(&world, 0);
    }
    worker.tell(Event::FlushNow);
    for _ in 0..10 {
        assert!(worker.deliver(&world, 0));
    }
    assert_eq!(worker.core.stats().records, 20);
    worker.tell(Event::FlushNow);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    assert_eq!(world.manifests.len(), 2);
    world.check_frames();
}

#[test]
fn an_object_rolls_at_its_limits_and_a_flush_names_them_all() {
    let mut world = World::new(&[400]);
    let mut worker = reading(&mut world, options(1));
    deliver_all(&mut worker, &world);
    let records = worker.core.stats().records;
    worker.tell(Event::FlushNow);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    assert_eq!(world.manifests.len(), 1);
    assert!(
        world.objects.len() as u64 >= records / 20,
        "rolled at 20 records"
    );
    world.check_frames();
}

#[test]
fn without_anything_new_a_flush_writes_nothing() {
    let mut world = World::new(&[100]);
    let mut worker = reading(&mut world, options(1));
    worker.tell(Event::FlushNow);
    worker.advance(600_000);
    let is_status = |request: &Request| matches!(request, Request::WriteStatus { .. });
    assert!(worker.requests.values().all(is_status) && worker.blocks.is_empty());
}

#[test]
fn age_flushes_what_no_further_record_pushes_out() {
    let mut world = World::new(&[100]);
    let mut worker = reading(&mut world, options(1));
    worker.deliver(&world, 0);
    worker.advance(1000);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    assert_eq!(world.manifests.len(), 1);
}

#[test]
fn what_cannot_be_routed_goes_into_quarantine_as_it_came_and_blocks_nothing() {
    let mut world = World::new(&[100]);
    let mut worker = reading(&mut world, options(1));
    worker.give(0, 0, b"{not a payload");
    worker.give(0, 1, &[&[8, 1][..], &[0; 2000]].concat());
    worker.give(0, 2, &[8, 1]);
    let mut headers = HeaderBuffer::default();
    headers.push(UNREADABLE_HEADERS.as_bytes(), None);
    worker.give_with(0, 3, &[8, 1], headers.headers());
    let stats = worker.core.stats();
    assert_eq!(stats.records, 4);
    assert_eq!(stats.quarantined["org-missing"], 1);
    assert_eq!(stats.quarantined["payload-bytes"], 1);
    assert_eq!(stats.quarantined["headers-unreadable"], 1);
    worker.tell(Event::FlushNow);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    let quarantine = ShardId::Quarantine.to_string();
    assert!(world.objects.keys().any(|key| key.contains(&quarantine)));
    assert_eq!(world.ledger.values().next().unwrap()[0].frames, 4);
}

#[test]
fn memory_stays_within_the_budget_and_intake_resumes() {
    let mut world = World::new(&[100]);
    let mut options = options(1);
    options.settings.memory_budget = ByteCount::mib(64);
    options.settings.roll_records = 1_000_000;
    options.payload_limit_bytes = 1 << 20;
    options.shard_map = ShardMap::new(Routing {
        modulus: 64,
        dedicated: std::iter::empty().collect(),
    });
    let limit = options.settings.memory_shares().buffers.0;
    let mut worker = reading(&mut world, options);
    let mut rng = Rng::with_seed(3);
    for offset in 0..5000 {
        if worker.paused {
            worker.settle(&mut world, &mut rng);
            assert!(
                !worker.paused,
                "what is held alone never keeps the intake closed"
            );
        }
        let mut value = vec![8, u8::try_from(offset % 128).unwrap()];
        value.extend(std::iter::repeat_with(|| rng.u8(..)).take(30_000));
        worker.give(0, offset, &value);
        assert!(worker.core.buffered_bytes() <= limit);
        if rng.u8(..) < 8 {
            worker.encode(&mut rng);
        }
    }
    assert!(worker.core.stats().pauses > 0);
}

#[test]
fn large_objects_go_out_in_parts_while_they_are_open() {
    let mut world = World::new(&[100]);
    let mut options = options(1);
    options.settings.roll_records = 1_000_000;
    options.payload_limit_bytes = 1 << 20;
    let mut worker = reading(&mut world, options);
    let mut rng = Rng::with_seed(3);
    for offset in 0..30 {
        let mut value = vec![8, 1];
        value.extend(std::iter::repeat_with(|| rng.u8(..)).take(900_000));
        worker.give(0, offset, &value);
        worker.encode(&mut rng);
    }
    let parts = find(&worker, |r| matches!(r, Request::UploadPart { .. }));
    assert!(parts.len() >= 2, "{}", parts.len());
    let sizes = parts.iter().map(|id| worker.requests[id].body_bytes());
    assert!(sizes.min() >= Some(5 << 20));
    worker.tell(Event::FlushNow);
    worker.settle(&mut world, &mut rng);
    assert_eq!(world.objects.len(), 1);
    assert_eq!(worker.core.buffered_bytes(), 0);
    assert_eq!(world.ledger.values().next().unwrap()[0].frames, 30);
}

#[test]
fn a_shutdown_flushes_commits_and_leaves() {
    let mut world = World::new(&[100]);
    let mut worker = reading(&mut world, options(1));
    deliver_all(&mut worker, &world);
    worker.tell(Event::Shutdown);
    assert_eq!(worker.exit, None);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    assert_eq!(worker.exit, Some(ExitReason::Stopped));
    assert_eq!(world.committed[&name(0)], Offset(100));
    world.check_frames();
}

#[test]
fn a_shutdown_that_misses_its_deadline_says_so() {
    let mut world = World::new(&[100]);
    let mut worker = reading(&mut world, options(1));
    deliver_all(&mut worker, &world);
    worker.tell(Event::Shutdown);
    worker.advance(60_000);
    assert_eq!(worker.exit, Some(ExitReason::FlushMissed));
}

#[test]
fn until_end_ends_when_every_position_has_reached_the_end_it_had() {
    let mut world = World::new(&[100, 40]);
    let mut options = options(1);
    options.until = Until::EndAtAssignment;
    let mut worker = reading(&mut world, options);
    while worker.deliver(&world, 0) {}
    worker.tell_positions();
    worker.advance(1);
    assert_eq!(worker.exit, None);
    deliver_all(&mut worker, &world);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    assert_eq!(worker.exit, Some(ExitReason::EndReached));
    world.check_frames();
}

#[test]
fn until_end_gives_up_when_nothing_comes_forward_for_too_long() {
    let mut world = World::new(&[100]);
    let mut options = options(1);
    options.until = Until::EndAtAssignment;
    options.settings.stall_timeout = Millis(60_000);
    let mut worker = reading(&mut world, options);
    for _ in 0..3 {
        worker.advance(40_000);
        assert!(worker.deliver(&world, 0));
    }
    worker.advance(59_999);
    assert_eq!(worker.exit, None);
    worker.advance(1);
    assert_eq!(worker.exit, Some(ExitReason::Stalled));
}

#[test]
fn a_request_that_cannot_succeed_ends_the_worker_with_its_reason() {
    let mut world = World::new(&[100]);
    let mut worker = reading(&mut world, options(1));
    deliver_all(&mut worker, &world);
    worker.tell(Event::FlushNow);
    worker.encode(&mut Rng::with_seed(1));
    let put = find(&worker, |_| true)[0];
    worker.fail(put, Remedy::GiveUp(ErrorKind::Invalid));
    assert!(
        matches!(worker.exit, Some(ExitReason::Failed { .. })),
        "{:?}",
        worker.exit
    );
}
