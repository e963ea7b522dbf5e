//! Rules about rebalances: few flushes, quick answers, little that is read twice.

use fastrand::Rng;
use skein_shared::units::Millis;

use crate::core::CoreOptions;
use crate::core::action::{Action, StopReason};
use crate::core::event::Event;
use crate::core::model::{Worker, World, name, options};
use crate::core::rules::reading;

/// Partitions of the fleet's topic.
const PARTITIONS: usize = 6;

fn roomy(seed: u64) -> CoreOptions {
    let mut options = options(seed);
    options.settings.roll_records = 100_000;
    options.settings.flush_interval = Millis::seconds(600);
    options
}

fn deliver(worker: &mut Worker, world: &World, (partition, records): (usize, usize)) {
    for _ in 0..records {
        worker.deliver(world, partition);
    }
}

#[test]
fn revocations_in_quick_succession_are_covered_by_one_flush() {
    let mut world = World::new(&[1000; 4]);
    let mut worker = reading(&mut world, roomy(1));
    for partition in 0..4 {
        deliver(&mut worker, &world, (partition, 300));
    }
    for partition in 0..3 {
        worker.tell(Event::Revoked(vec![name(partition)]));
        worker.settle(&mut world, &mut Rng::with_seed(1));
        worker.deliver(&world, partition + 1);
        worker.advance(500);
    }
    assert_eq!(world.manifests.len(), 1);
    assert_eq!(worker.core.stats().left_offsets, 2);
    // What is too much to be read again, or too long ago, is flushed.
    deliver(&mut worker, &world, (3, 200));
    worker.tell(Event::Revoked(vec![name(3)]));
    worker.settle(&mut world, &mut Rng::with_seed(1));
    assert_eq!(world.manifests.len(), 2);
    world.check_frames();
}

#[test]
fn a_revocation_long_after_the_last_flush_is_a_whole_flush_however_little_was_read() {
    let mut world = World::new(&[1000; 2]);
    let mut worker = reading(&mut world, roomy(1));
    deliver(&mut worker, &world, (0, 300));
    worker.tell(Event::FlushNow);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    worker.advance(11_000);
    worker.deliver(&world, 0);
    worker.tell(Event::Revoked(vec![name(0)]));
    worker.settle(&mut world, &mut Rng::with_seed(1));
    assert_eq!(world.manifests.len(), 2);
}

#[test]
fn what_stops_while_the_group_waits_is_taken_from_the_consumer_only_after_the_answer() {
    let mut world = World::new(&[1000; 2]);
    let mut worker = reading(&mut world, roomy(1));
    deliver(&mut worker, &world, (0, 300));
    worker.tell(Event::Revoked(vec![name(0)]));
    let slot = worker.core.partitions.slot_of(&name(1));
    let reason = StopReason::LedgerUnreadable("it is damaged".to_owned());
    let mut actions = Vec::new();
    worker.core.stop_partition(slot, reason, &mut actions);
    let is_unassigned = |action: &Action| matches!(action, Action::Unassign { .. });
    assert!(
        !actions.iter().any(is_unassigned),
        "it would be taken for the answer: {actions:?}"
    );
    assert_eq!(worker.reads.len(), 2);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    assert_eq!(worker.reads.len(), 0);
}

#[test]
fn an_assignment_is_answered_with_its_last_look_up_and_what_comes_late_is_assigned_together() {
    let mut world = World::new(&[100; 40]);
    let mut worker = Worker::new(roomy(1));
    worker.tell(Event::Assigned((0..40).map(name).collect()));
    worker.settle(&mut world, &mut Rng::with_seed(1));
    assert_eq!(
        (worker.answered, worker.reads.len()),
        (1, 40),
        "no time has passed"
    );

    worker.tell(Event::Lost((0..40).map(name).collect()));
    worker.tell(Event::Assigned((0..40).map(name).collect()));
    let answered = worker.answered;
    worker.advance(10_000);
    assert_eq!(
        worker.answered,
        answered + 1,
        "the group is not kept waiting"
    );
    assert!(worker.reads.is_empty());
    worker.settle(&mut world, &mut Rng::with_seed(1));
    assert_eq!(worker.reads.len(), 40);
    assert!(
        worker.answered <= answered + 3,
        "{}",
        worker.answered - answered
    );
}

#[test]
fn what_comes_back_before_its_revocation_is_answered_is_read_again() {
    let mut world = World::new(&[1000; 2]);
    let mut worker = reading(&mut world, roomy(1));
    deliver(&mut worker, &world, (0, 300));
    let answered = worker.answered;
    worker.tell(Event::Revoked(vec![name(0)]));
    assert_eq!(worker.answered, answered, "its flush is on the way");
    worker.tell(Event::Assigned(vec![name(0)]));
    assert_eq!(
        worker.answered,
        answered + 1,
        "in the order of the questions"
    );
    worker.settle(&mut world, &mut Rng::with_seed(1));
    assert!(worker.reads.contains_key(&name(0)), "{:?}", worker.reads);
}

/// Three workers and the group's idea of who owns what.
struct Fleet {
    world: World,
    workers: Vec<Worker>,
    owners: [usize; PARTITIONS],
    taken: u64,
}

impl Fleet {
    /// A second of records, at a hundred each for every partition.
    fn read(&mut self) {
        for partition in 0..PARTITIONS {
            let owner = self.owners[partition];
            deliver(&mut self.workers[owner], &self.world, (partition, 100));
        }
        for worker in &mut self.workers {
            worker.advance(1000);
            worker.settle(&mut self.world, &mut Rng::with_seed(1));
        }
    }

    fn hand_over(&mut self, partition: usize, to: usize) {
        let from = self.owners[partition];
        if from != to {
            self.workers[from].tell(Event::Revoked(vec![name(partition)]));
            self.workers[from].settle(&mut self.world, &mut Rng::with_seed(1));
            self.owners[partition] = to;
            self.workers[to].tell(Event::Assigned(vec![name(partition)]));
            self.workers[to].settle(&mut self.world, &mut Rng::with_seed(1));
        }
    }

    /// One worker goes, its partitions move to the others, it comes again and gets its share back.
    fn restart(&mut self, worker: usize, seed: u64) {
        self.workers[worker].tell(Event::Shutdown);
        self.workers[worker].settle(&mut self.world, &mut Rng::with_seed(1));
        assert!(self.workers[worker].exit.is_some());
        self.taken += self.workers[worker].core.stats().records;
        self.workers[worker] = Worker::new(roomy(seed));
        for partition in 0..PARTITIONS {
            if self.owners[partition] == worker {
                let to = (worker + 1 + partition % 2) % 3;
                self.owners[partition] = to;
                self.workers[to].tell(Event::Assigned(vec![name(partition)]));
                self.workers[to].settle(&mut self.world, &mut Rng::with_seed(1));
            }
        }
        self.read();
        for partition in 0..PARTITIONS {
            self.hand_over(partition, partition % 3);
            if partition % 2 == 0 {
                self.read();
            }
        }
    }
}

#[test]
fn a_rolling_restart_reads_less_than_a_hundredth_twice() {
    let mut fleet = Fleet {
        world: World::new(&[1_000_000; PARTITIONS]),
        workers: (1..4).map(|seed| Worker::new(roomy(seed))).collect(),
        owners: std::array::from_fn(|partition| partition % 3),
        taken: 0,
    };
    for worker in 0..3 {
        let owned = (0..PARTITIONS).filter(|partition| partition % 3 == worker);
        fleet.workers[worker].tell(Event::Assigned(owned.map(name).collect()));
        fleet.workers[worker].settle(&mut fleet.world, &mut Rng::with_seed(1));
    }
    (0..30).for_each(|_| fleet.read());
    for worker in 0..3 {
        fleet.restart(worker, 10 + worker as u64);
        (0..5).for_each(|_| fleet.read());
    }
    for worker in 0..3 {
        fleet.workers[worker].tell(Event::FlushNow);
        fleet.workers[worker].settle(&mut fleet.world, &mut Rng::with_seed(1));
        fleet.taken += fleet.workers[worker].core.stats().records;
    }
    let entries = fleet.world.ledger.values().flatten();
    let durable: u64 = entries.map(|entry| entry.frames).sum();
    let twice = fleet.taken - durable;
    assert!(twice * 100 < durable, "{twice} of {durable}");
    assert!(durable > 20_000, "{durable}");
}
