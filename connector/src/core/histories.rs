//! Random histories of several workers: whatever happens, the promises hold, and when it stops everything ends
//! up in the ledger.

use fastrand::Rng;
use proptest::prelude::*;

use crate::core::action::RequestId;
use crate::core::event::{Event, Remedy};
use crate::core::model::{Worker, World, name, options};

const PARTITIONS: usize = 3;

/// Workers, and who owns which partition in the group's eyes.
pub(super) struct Fleet {
    pub(super) world: World,
    workers: Vec<Worker>,
    owners: [usize; PARTITIONS],
    pub(super) rng: Rng,
    made: u64,
}

impl Fleet {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let ends: Vec<i64> = (0..PARTITIONS).map(|_| rng.i64(1..160)).collect();
        let workers = vec![
            Worker::new(options(seed + 1)),
            Worker::new(options(seed + 2)),
        ];
        let mut fleet = Self {
            world: World::new(&ends),
            workers,
            owners: [0, 1, 0],
            rng,
            made: seed + 2,
        };
        for worker in 0..2 {
            fleet.assign_owned(worker);
        }
        fleet
    }

    fn assign_owned(&mut self, worker: usize) {
        let owned = (0..PARTITIONS).filter(|p| self.owners[*p] == worker);
        self.workers[worker].tell(Event::Assigned(owned.map(name).collect()));
    }

    fn any_request(&mut self, worker: usize) -> Option<RequestId> {
        let ids: Vec<RequestId> = self.workers[worker].requests.keys().copied().collect();
        self.rng.choice(ids)
    }

    pub(super) fn step(&mut self) {
        let worker = self.rng.usize(..self.workers.len());
        let partition = self.rng.usize(..PARTITIONS);
        match self.rng.u8(..100) {
            0..40 => {
                self.workers[worker].deliver(&self.world, partition);
            }
            40..62 => {
                if let Some(id) = self.any_request(worker) {
                    self.workers[worker].answer(&mut self.world, id);
                }
            }
            62..66 => {
                if let Some(id) = self.any_request(worker) {
                    self.workers[worker].lose_answer(&mut self.world, id);
                }
            }
            66..68 => {
                if let Some(id) = self.any_request(worker) {
                    self.workers[worker].fail(id, Remedy::AgainAndAlert);
                }
            }
            68..78 => self.workers[worker].encode(&mut self.rng),
            78..84 => self.workers[worker].tell_positions(),
            84..89 => self.workers[worker].finish_commit(&mut self.world),
            89..93 => self.workers[worker].tell(Event::FlushNow),
            93..96 => {
                let millis = self.rng.u64(1..3000);
                self.workers[worker].advance(millis);
            }
            96..98 => self.hand_over(partition),
            98 => self.steal(partition),
            _ => self.crash(worker),
        }
        self.workers.iter_mut().for_each(Worker::check_census);
    }

    /// An orderly rebalance: the old owner drains, as far as its requests go, or misses its drain.
    fn hand_over(&mut self, partition: usize) {
        let old = self.owners[partition];
        self.workers[old].tell_positions();
        self.workers[old].tell(Event::Revoked(vec![name(partition)]));
        if self.rng.bool() {
            self.workers[old].settle(&mut self.world, &mut self.rng);
        }
        self.workers[old].advance(10_000);
        self.give_to_other(partition);
    }

    /// The group gives a partition away while its owner, a zombie for now, still reads.
    fn steal(&mut self, partition: usize) {
        let old = self.owners[partition];
        self.give_to_other(partition);
        for _ in 0..self.rng.usize(..60) {
            self.workers[old].deliver(&self.world, partition);
            if let Some(id) = self.any_request(old) {
                self.workers[old].answer(&mut self.world, id);
            }
            self.workers[old].encode(&mut self.rng);
            self.workers[old].commit = None;
        }
        self.workers[old].tell(Event::Lost(vec![name(partition)]));
        self.workers[old].advance(20_000);
    }

    fn give_to_other(&mut self, partition: usize) {
        let new = 1 - self.owners[partition];
        self.owners[partition] = new;
        self.workers[new].tell(Event::Assigned(vec![name(partition)]));
    }

    fn crash(&mut self, worker: usize) {
        self.made += 1;
        self.workers[worker] = Worker::new(options(self.made));
        self.assign_owned(worker);
    }

    fn deliver_all(&mut self, worker: usize) {
        for partition in 0..PARTITIONS {
            while self.workers[worker].deliver(&self.world, partition) {}
        }
    }

    /// When faults stop, everything is read, flushed and committed (SK-15).
    pub(super) fn calm_down(&mut self) {
        for _ in 0..30 {
            for worker in 0..2 {
                let rng = &mut self.rng;
                self.workers[worker].advance(60_000);
                self.workers[worker].settle(&mut self.world, rng);
                self.deliver_all(worker);
                let rng = &mut self.rng;
                self.workers[worker].tell_positions();
                self.workers[worker].tell(Event::FlushNow);
                self.workers[worker].settle(&mut self.world, rng);
            }
        }
    }
}

impl Fleet {
    /// SK-15: every record is in the ledger.
    pub(super) fn check_ends(&self) {
        for (partition, end) in self.world.ends.iter().enumerate() {
            let mut chains = self.world.genesis.keys();
            let chain = chains.find(|c| c.partition.0 as usize == partition);
            let ledger_end = self.world.end_of(chain.unwrap()).unwrap();
            assert!(ledger_end.0 >= end - 1, "{ledger_end} of {end}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn whatever_happens_every_record_counts_exactly_once(seed in any::<u32>()) {
        let mut fleet = Fleet::new(u64::from(seed));
        for _ in 0..600 {
            fleet.step();
        }
        fleet.world.check_frames();
        fleet.calm_down();
        fleet.world.check_frames();
        fleet.check_ends();
    }

    #[test]
    fn the_same_seed_gives_the_same_history(seed in any::<u32>()) {
        let run = || {
            let mut fleet = Fleet::new(u64::from(seed));
            for _ in 0..200 {
                fleet.step();
            }
            format!("{:?} {:?}", fleet.world.ledger, fleet.world.objects.keys())
        };
        prop_assert_eq!(run(), run());
    }
}
