//! What the rounds measured, and whether the connector kept its promise.

use serde::Serialize;

use crate::spread::{Spread, float};

/// What one process took to read the whole topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Consumption {
    /// Records read.
    pub records: u64,
    /// Processor time of the process, user and system.
    pub cpu_ms: u64,
    /// From the first record to the end.
    pub reading_ms: u64,
    /// The most memory that was resident.
    pub peak_memory_bytes: u64,
}

/// The same topic read three times, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Round {
    /// A poll loop that does nothing.
    pub bare: Consumption,
    /// The same, compressing what it reads at zstd level 1 in blocks of 1 MiB.
    pub compressing: Consumption,
    /// `skein connect --until-end`.
    pub connector: Consumption,
    /// What the connector made of it.
    pub stored: Stored,
}

/// What a connector wrote into the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// State objects.
    pub objects: u64,
    /// Their bytes.
    pub object_bytes: u64,
    /// Requests that write, those for ledger and manifests included.
    pub write_requests: u64,
}

/// What was measured with records of one size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConnectorLoad {
    /// Records in the topic.
    pub records: u64,
    /// Bytes of their values.
    pub value_bytes: u64,
    /// One entry a round.
    pub rounds: Vec<Round>,
}

/// Processor time of the connector, of that of the loop that reads and compresses, that is promised.
pub const PROMISED_CPU_RATIO: f64 = 1.25;
/// Resident memory that is promised at the default budget with 70 shards.
pub const PROMISED_MEMORY_BYTES: u64 = 512 << 20;

impl ConnectorLoad {
    /// Processor seconds for each GiB of values.
    pub fn cpu_seconds_per_gib(&self, of: impl Fn(&Round) -> Consumption) -> Spread {
        let gib = float(self.value_bytes) / float(1 << 30);
        self.spread(|round| float(of(round).cpu_ms) / 1000.0 / gib)
    }

    /// Megabytes of values a second.
    pub fn megabytes_per_second(&self, of: impl Fn(&Round) -> Consumption) -> Spread {
        self.spread(|round| float(self.value_bytes) / 1000.0 / float(of(round).reading_ms.max(1)))
    }

    /// MiB of memory at most.
    pub fn peak_mib(&self, of: impl Fn(&Round) -> Consumption) -> Spread {
        self.spread(|round| float(of(round).peak_memory_bytes) / float(1 << 20))
    }

    /// MiB of an object, on average.
    pub fn object_mib(&self) -> Spread {
        self.spread(|round| {
            let Stored { objects, .. } = round.stored;
            float(round.stored.object_bytes) / float(1 << 20) / float(objects.max(1))
        })
    }

    /// Requests that write for each GiB stored.
    pub fn writes_per_gib(&self) -> Spread {
        self.spread(|round| {
            let gib = float(round.stored.object_bytes.max(1)) / float(1 << 30);
            float(round.stored.write_requests) / gib
        })
    }

    /// The connector's processor time by that of the loop that reads and compresses, round by round.
    pub fn cpu_ratio(&self) -> Spread {
        self.spread(|round| float(round.connector.cpu_ms) / float(round.compressing.cpu_ms.max(1)))
    }

    /// The connector's rate by that of the loop that reads and compresses, round by round.
    pub fn rate_ratio(&self) -> Spread {
        let ms = |c: Consumption| float(c.reading_ms.max(1));
        self.spread(|round| ms(round.compressing) / ms(round.connector))
    }

    /// What does not hold of what is promised, and by how much; the middle of all rounds counts.
    pub fn broken_promises(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let lost = |read: Consumption| read.records != self.records;
        if self.rounds.iter().any(|round| lost(round.connector)) {
            broken.push("the connector did not read every record once".to_owned());
        }
        let ratio = self.cpu_ratio().median;
        if ratio > PROMISED_CPU_RATIO {
            broken.push(format!(
                "the connector took {ratio:.2} of the processor time of reading and compressing, \
                 {PROMISED_CPU_RATIO} is promised"
            ));
        }
        let rate = self.rate_ratio().median;
        if rate < 1.0 {
            broken.push(format!(
                "the connector was at {rate:.2} of the rate of reading and compressing, 1 is promised"
            ));
        }
        let memory = self.peak_mib(|round| round.connector).max;
        if memory > float(PROMISED_MEMORY_BYTES >> 20) {
            broken.push(format!(
                "the connector had {memory:.0} MiB resident, {} are promised",
                PROMISED_MEMORY_BYTES >> 20
            ));
        }
        broken
    }

    fn spread(&self, figure: impl Fn(&Round) -> f64) -> Spread {
        Spread::of(self.rounds.iter().map(figure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(cpu_ms: [u64; 3], reading_ms: [u64; 3], mib: u64) -> ConnectorLoad {
        let consumption = |place: usize| Consumption {
            records: 10,
            cpu_ms: cpu_ms[place],
            reading_ms: reading_ms[place],
            peak_memory_bytes: mib << 20,
        };
        ConnectorLoad {
            records: 10,
            value_bytes: 1 << 30,
            rounds: vec![Round {
                bare: consumption(0),
                compressing: consumption(1),
                connector: consumption(2),
                stored: Stored {
                    objects: 64,
                    object_bytes: 512 << 20,
                    write_requests: 100,
                },
            }],
        }
    }

    #[test]
    fn a_broken_promise_is_named_and_a_kept_one_is_not() {
        let kept = load([2000, 6000, 7500], [1000, 2000, 2000], 512);
        assert_eq!(kept.broken_promises(), Vec::<String>::new());
        assert!((kept.cpu_seconds_per_gib(|r| r.connector).median - 7.5).abs() < 1e-9);
        assert!((kept.object_mib().median - 8.0).abs() < 1e-9);
        assert!((kept.writes_per_gib().median - 200.0).abs() < 1e-9);
        let broken = load([2000, 6000, 7600], [1000, 2000, 2001], 513);
        let words: Vec<String> = broken.broken_promises();
        assert_eq!(words.len(), 3, "{words:?}");
        let mut lost = kept;
        lost.rounds[0].connector.records = 9;
        assert!(lost.broken_promises()[0].contains("every record once"));
    }
}
