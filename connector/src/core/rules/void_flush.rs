//! A worker that was slow, and whose flush was declared void meanwhile.

use fastrand::Rng;
use skein_shared::format::flush_manifest::{FlushBody, FlushManifest};
use skein_shared::format::object_key::ObjectKey;
use uuid::Uuid;

use crate::core::action::{Request, RequestId};
use crate::core::event::Event;
use crate::core::model::{Worker, World, options};
use crate::core::rules::{find, reading};

fn is_part(request: &Request) -> bool {
    matches!(request, Request::UploadPart { .. })
}

fn is_complete(request: &Request) -> bool {
    matches!(request, Request::CompleteUpload(_))
}

/// Declares the flush of a part void and drops its upload, as a janitor does.
fn sweep(world: &mut World, worker: &Worker, part: RequestId) {
    let Request::UploadPart { key, .. } = &worker.requests[&part] else {
        panic!("no part");
    };
    let Ok(ObjectKey::State { flush, .. }) = key.parse() else {
        panic!("no state object");
    };
    let body = FlushBody::Void {
        reason: String::new(),
    };
    world.create_manifest(FlushManifest { flush, body }, Uuid::from_u128(7));
    world.dropped.insert(key.clone());
}

/// Reads 30 large records, so that some of their object is on its way in parts.
fn with_large_object(world: &mut World) -> Worker {
    let mut options = options(1);
    options.settings.roll_records = 1_000_000;
    options.payload_limit_bytes = 1 << 20;
    let mut worker = reading(world, options);
    give_large(&mut worker, 0);
    assert!(find(&worker, is_part).len() >= 2);
    worker
}

/// Gives 30 large records from `from` on.
fn give_large(worker: &mut Worker, from: i64) {
    let mut rng = Rng::with_seed(3);
    for offset in from..30 {
        let mut value = vec![8, 1];
        value.extend(std::iter::repeat_with(|| rng.u8(..)).take(900_000));
        worker.give(0, offset, &value);
        worker.encode(&mut rng);
    }
}

/// The worker reads again from the ledger's end, and all of it is durable once.
fn check_read_again(mut world: World, mut worker: Worker) {
    let rng = &mut Rng::with_seed(1);
    worker.settle(&mut world, rng);
    assert_eq!(worker.exit, None);
    assert_eq!(worker.core.stats().lost_objects, 1);
    assert_eq!(worker.core.buffered_bytes(), 0, "nothing of it is kept");
    give_large(&mut worker, 0);
    worker.tell(Event::FlushNow);
    worker.settle(&mut world, rng);
    let entries = world.ledger.values().next().unwrap();
    assert_eq!(entries.iter().map(|entry| entry.frames).sum::<u64>(), 30);
    assert_eq!(worker.core.buffered_bytes(), 0);
}

#[test]
fn a_part_whose_upload_was_dropped_makes_the_worker_read_again() {
    let mut world = World::new(&[100]);
    let mut worker = with_large_object(&mut world);
    let part = find(&worker, is_part)[0];
    sweep(&mut world, &worker, part);
    worker.answer(&mut world, part);
    check_read_again(world, worker);
}

#[test]
fn an_upload_dropped_after_its_object_was_full_ends_the_flush_that_still_takes_others() {
    let mut world = World::new(&[100]);
    let mut options = options(1);
    options.settings.roll_records = 30;
    options.payload_limit_bytes = 1 << 20;
    let mut worker = reading(&mut world, options);
    give_large(&mut worker, 0);
    let part = find(&worker, is_part)[0];
    sweep(&mut world, &worker, part);
    worker.answer(&mut world, part);
    check_read_again(world, worker);
}

#[test]
fn blocks_that_come_back_after_their_upload_was_dropped_are_nobodys() {
    let mut world = World::new(&[100]);
    let mut worker = with_large_object(&mut world);
    let mut rng = Rng::with_seed(4);
    let mut value = vec![8, 1];
    value.extend(std::iter::repeat_with(|| rng.u8(..)).take(900_000));
    (30..33).for_each(|offset| worker.give(0, offset, &value));
    assert!(!worker.blocks.is_empty(), "some are being compressed");
    let part = find(&worker, is_part)[0];
    sweep(&mut world, &worker, part);
    worker.answer(&mut world, part);
    check_read_again(world, worker);
}

#[test]
fn a_completion_whose_upload_was_dropped_makes_the_worker_read_again() {
    let mut world = World::new(&[100]);
    let mut worker = with_large_object(&mut world);
    worker.tell(Event::FlushNow);
    worker.encode(&mut Rng::with_seed(1));
    let parts = find(&worker, is_part);
    sweep(&mut world, &worker, parts[0]);
    let dropped = std::mem::take(&mut world.dropped);
    for part in find(&worker, is_part) {
        worker.answer(&mut world, part);
    }
    world.dropped = dropped;
    let complete = find(&worker, is_complete);
    assert_eq!(complete.len(), 1);
    worker.answer(&mut world, complete[0]);
    check_read_again(world, worker);
}
