//! Rules about how many requests are sent, and when.

use std::collections::BTreeMap;

use fastrand::Rng;
use skein_shared::units::{MIB, Millis};
use skein_shared::window::TimestampMs;

use crate::core::action::Request;
use crate::core::event::Event;
use crate::core::model::{Worker, World, name, options};
use crate::core::rules::{find, reading};

/// Gives a worker records of one org that do not compress, and has what it sends answered as it comes; counts
/// requests by step.
fn write_object(bytes: usize) -> (BTreeMap<&'static str, u64>, World) {
    const VALUE_BYTES: usize = 900_000;
    let mut world = World::new(&[100]);
    let mut options = options(1);
    options.settings.roll_records = 1_000_000;
    options.payload_limit_bytes = 1 << 20;
    let mut worker = reading(&mut world, options);
    let mut rng = Rng::with_seed(3);
    let mut counts = BTreeMap::new();
    let mut answer = |worker: &mut Worker, world: &mut World, rng: &mut Rng| {
        worker.encode(rng);
        for id in find(worker, |_| true) {
            *counts.entry(worker.requests[&id].step()).or_default() += 1;
            worker.answer(world, id);
        }
    };
    for offset in 0..bytes.div_ceil(VALUE_BYTES) {
        let mut value = vec![8, 1];
        value.extend(std::iter::repeat_with(|| rng.u8(..)).take(VALUE_BYTES));
        worker.give(0, i64::try_from(offset).unwrap(), &value);
        answer(&mut worker, &mut world, &mut rng);
    }
    worker.tell(Event::FlushNow);
    for _ in 0..10 {
        answer(&mut worker, &mut world, &mut rng);
    }
    assert_eq!(world.objects.len(), 1);
    (counts, world)
}

#[test]
fn an_object_of_many_parts_costs_at_most_fifteen_in_a_hundred_more_requests_than_its_parts() {
    for parts in [14, 20] {
        let part_bytes = options(1).settings.part_bytes.0;
        let (counts, world) = write_object(usize::try_from(parts * part_bytes).unwrap());
        let object_bytes = world.objects.values().next().unwrap().len() as u64;
        let ideal = object_bytes.div_ceil(part_bytes);
        assert!(ideal >= parts);
        // The first part starts the upload, which is a request of its own.
        let requests = 1 + counts["upload part"] + counts["complete upload"];
        assert!(
            requests * 100 <= ideal * 115,
            "{requests} of {ideal}: {counts:?}"
        );
        assert!(!counts.contains_key("put object"));
    }
}

#[test]
fn a_small_object_is_one_request() {
    let (counts, world) = write_object(usize::try_from(6 * MIB).unwrap());
    assert_eq!(counts["put object"], 1);
    assert!(!counts.contains_key("upload part"), "{counts:?}");
    assert_eq!(world.manifests.len(), 1);
}

fn deliver_one_each(worker: &mut Worker, world: &World, partitions: &[usize]) {
    for partition in partitions {
        worker.deliver(world, *partition);
    }
}

/// Answers whatever is asked until nothing is; gives the number of writes.
fn answer_all(worker: &mut Worker, world: &mut World, rng: &mut Rng) -> u32 {
    let mut writes = 0;
    worker.encode(rng);
    while let Some(id) = worker.requests.keys().next().copied() {
        writes += u32::from(!matches!(worker.requests[&id], Request::LookUpChain(_)));
        worker.answer(world, id);
        worker.encode(rng);
    }
    worker.finish_commit(world);
    writes
}

/// The busiest minute of half an hour against the mean, of fifty workers with 20 partitions each.
fn peak_to_mean(owner_of: impl Fn(usize) -> usize) -> f64 {
    const WORKERS: usize = 50;
    const PARTITIONS: usize = 1000;
    let mut world = World::new(&[100_000; PARTITIONS]);
    let mut rng = Rng::with_seed(1);
    let mut workers: Vec<Worker> = (0..WORKERS as u64)
        .map(|seed| {
            let mut options = options(seed);
            options.settings.roll_records = 100_000;
            options.settings.flush_interval = Millis::seconds(600);
            // Each process starts at a time of its own.
            options.epoch = TimestampMs(1_700_000_000_000 + rng.i64(0..3_600_000));
            Worker::new(options)
        })
        .collect();
    let owned = |worker| (0..PARTITIONS).filter(|p| owner_of(*p) == worker).collect();
    let owned: Vec<Vec<usize>> = (0..WORKERS).map(owned).collect();
    let mut per_minute = BTreeMap::new();
    for (worker, partitions) in workers.iter_mut().zip(&owned) {
        worker.tell(Event::Assigned(
            partitions.iter().copied().map(name).collect(),
        ));
        worker.settle(&mut world, &mut rng);
        let start = worker.core_epoch().0;
        for second in 0..5400 {
            if second % 60 == 0 {
                deliver_one_each(worker, &world, partitions);
            }
            worker.advance(1000);
            let writes = answer_all(worker, &mut world, &mut rng);
            let wall = start + second * 1000;
            // A half hour in which all have started and none has ended.
            if (1_700_003_600_000..1_700_005_400_000).contains(&wall) {
                *per_minute.entry(wall / 60_000).or_insert(0_u32) += writes;
            }
        }
    }
    let sum: u32 = per_minute.values().sum();
    assert!(sum > 1000, "{sum}");
    let mean = f64::from(sum) / 30.0;
    f64::from(*per_minute.values().max().unwrap()) / mean
}

#[test]
fn fifty_workers_never_ask_for_half_more_in_a_minute_than_on_average() {
    let round_robin = peak_to_mean(|partition| partition % 50);
    let range = peak_to_mean(|partition| partition / 20);
    assert!(round_robin < 1.5 && range < 1.5, "{round_robin} {range}");
}
