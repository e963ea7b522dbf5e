//! Random histories of producers, workers and a bucket's clock. The model knows what really came when and
//! computes nothing as the code does: it only asks whether a record was missed that the watermark promised.

use fastrand::Rng;
use proptest::prelude::*;

use super::*;

const PARTITIONS: u32 = 3;
const WORKERS: usize = 3;

struct History {
    rng: Rng,
    now: i64,
    /// Timestamps of the records, in the order in which Kafka got them.
    logs: Vec<Vec<i64>>,
    /// Ends of the entries of each chain.
    ledger: Vec<Vec<usize>>,
    /// What each worker believes to be the end of each chain.
    beliefs: Vec<Vec<usize>>,
    /// The last status of each worker.
    statuses: Vec<Option<WorkerStatus>>,
}

impl History {
    fn new(seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            now: NOW,
            logs: vec![Vec::new(); PARTITIONS as usize],
            ledger: vec![vec![0]; PARTITIONS as usize],
            beliefs: vec![vec![0; PARTITIONS as usize]; WORKERS],
            statuses: vec![None; WORKERS],
        }
    }

    fn step(&mut self) {
        let partition = self.rng.usize(..self.logs.len());
        let worker = self.rng.usize(..WORKERS);
        match self.rng.u8(..10) {
            0..4 => self.produce(partition),
            4..6 => self.flush(worker, partition),
            6 => self.beliefs[worker][partition] = self.end(partition),
            7..9 => self.tell(worker),
            _ => self.now += self.rng.i64(0..5_000),
        }
    }

    fn end(&self, partition: usize) -> usize {
        *self.ledger[partition].last().unwrap()
    }

    /// A record whose clock is right within half the delay, or centuries ahead.
    fn produce(&mut self, partition: usize) {
        let half = i64::try_from(DELAY.0 / 2).unwrap();
        let timestamp = match self.rng.u8(..8) {
            0 => YEAR_2100 + self.rng.i64(0..1_000_000),
            _ => self.now + self.rng.i64(-half..=half),
        };
        self.logs[partition].push(timestamp);
    }

    /// A worker whose belief is right appends what it read; one that is wrong is refused and learns.
    fn flush(&mut self, worker: usize, partition: usize) {
        let end = self.end(partition);
        if self.beliefs[worker][partition] == end {
            let to = self.rng.usize(end..=self.logs[partition].len());
            if end < to {
                self.ledger[partition].push(to);
            }
        }
        self.beliefs[worker][partition] = self.end(partition);
    }

    /// The bucket's clock first, then Kafka's ends; and it takes a while.
    fn tell(&mut self, worker: usize) {
        let as_of = self.now - self.rng.i64(0..1_000);
        let mut claims = Vec::new();
        for partition in 0..PARTITIONS {
            let place = partition as usize;
            let position = i64::try_from(self.beliefs[worker][place]).unwrap();
            let log_end = i64::try_from(self.logs[place].len()).unwrap();
            claims.push((partition, position, log_end));
        }
        self.statuses[worker] = Some(status(as_of, &claims));
    }

    fn facts(&self, partition: usize) -> ChainFacts {
        let ends = &self.ledger[partition];
        let times: Vec<i64> = match ends.as_slice() {
            [.., from, to] => self.logs[partition][*from..*to].to_vec(),
            _ => Vec::new(),
        };
        facts(i64::try_from(self.end(partition)).unwrap(), &times)
    }

    fn judge(&self) -> Completeness {
        let chains: Vec<ChainFacts> = (0..self.logs.len()).map(|p| self.facts(p)).collect();
        let statuses: Vec<WorkerStatus> = self.statuses.iter().flatten().cloned().collect();
        judge(&chains, &statuses)
    }

    /// Every record with a timestamp before the watermark, whenever it came, is durable.
    fn assert_kept(&self, watermark: TimestampMs) {
        for (partition, log) in self.logs.iter().enumerate() {
            let missing = log[self.end(partition)..].iter().min();
            assert!(
                missing.is_none_or(|oldest| watermark.0 <= *oldest),
                "{missing:?} of {partition} is before {watermark:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn no_record_before_the_watermark_is_ever_missing(seed: u64) {
        let mut history = History::new(seed);
        let mut highest = None;
        for _ in 0..150 {
            history.step();
            let watermark = history.judge().watermark();
            highest = highest.max(watermark);
            // What was promised once must hold for ever, also for records that come later.
            if let Some(promised) = highest {
                history.assert_kept(promised);
            }
        }
    }

    #[test]
    fn once_everybody_has_told_the_watermark_is_a_moment_ago(seed: u64) {
        let mut history = History::new(seed);
        (0..80).for_each(|_| history.step());
        for partition in 0..history.logs.len() {
            let all = history.logs[partition].len();
            if history.end(partition) < all {
                history.ledger[partition].push(all);
            }
            history.beliefs[0][partition] = all;
        }
        history.tell(0);
        let watermark = history.judge().watermark().unwrap();
        let delay = i64::try_from(DELAY.0).unwrap();
        prop_assert!(watermark.0 > history.now - 1_000 - delay);
        prop_assert!(watermark.0 <= history.now - delay);
    }
}
