//! Rules about workers with very many partitions.

use fastrand::Rng;

use crate::core::event::Event;
use crate::core::model::{Worker, World, options};
use crate::core::rules::reading;

const PARTITIONS: usize = 1000;

/// Partitions that are looked at for all sums together while something happens.
fn looks(worker: &mut Worker, happens: impl FnOnce(&mut Worker)) -> u64 {
    let before = worker.core.partitions.counted;
    happens(worker);
    worker.check_census();
    worker.core.partitions.counted - before
}

#[test]
fn an_event_costs_what_it_changes_and_not_what_the_worker_has() {
    let mut world = World::new(&[9; PARTITIONS]);
    let mut worker = reading(&mut world, options(1));
    let assigning = worker.core.partitions.counted;
    // Each is looked up, begun, looked up again and assigned.
    assert!(assigning <= 6 * PARTITIONS as u64, "{assigning}");
    let waiting = |worker: &mut Worker| (0..100).for_each(|_| worker.advance(1));
    assert_eq!(looks(&mut worker, waiting), 0);
    let one_record = |worker: &mut Worker| {
        assert!(worker.deliver(&world, 700));
        worker.advance(1);
    };
    assert_eq!(looks(&mut worker, one_record), 1);
    for partition in 0..PARTITIONS {
        assert!(worker.deliver(&world, partition));
    }
    worker.tell(Event::FlushNow);
    let flushing = looks(&mut worker, |worker| {
        worker.settle(&mut world, &mut Rng::with_seed(1));
    });
    // Each gets its manifest, its entry and its commit.
    assert!(flushing <= 6 * PARTITIONS as u64, "{flushing}");
    assert_eq!(world.committed.len(), PARTITIONS);
}
