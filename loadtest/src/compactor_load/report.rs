//! What the rounds measured.

use serde::Serialize;
use skein_shared::units::{ByteCount, MIB};

use crate::compactor_load::engines::{Engine, EngineRun};
use crate::spread::{Spread, float};

/// Where state lies and segments go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// `SeaweedFS`, which takes its share of the same cores.
    S3,
    /// Files of this machine, while no server runs.
    File,
}

/// Memory that a compactor may take beside its budget.
pub const MEMORY_BESIDE_BUDGET: ByteCount = ByteCount::mib(128);

/// How many times its budget a compaction has to spill, or it proves nothing about it.
const BUDGETS_OF_INPUT: u64 = 10;

/// One `skein compact run` over all of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Compaction {
    /// Tasks at the same time.
    pub threads: u32,
    /// Points read.
    pub points_in: u64,
    /// Points left.
    pub points_out: u64,
    /// Bytes of segments.
    pub segment_bytes: u64,
    /// From start to end.
    pub elapsed_ms: u64,
    /// Processor time of the process, user and system, requests included.
    pub cpu_ms: u64,
    /// The most memory that was resident.
    pub peak_memory_bytes: u64,
    /// Bytes of payloads that memory had no room for.
    pub spilled_bytes: u64,
    /// Requests that read.
    pub read_requests: u64,
    /// Requests that write.
    pub write_requests: u64,
}

/// What was measured with one set of points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CompactorLoad {
    /// From where to where.
    pub store: Store,
    /// The memory budget that has to be kept; `None` where it is not looked at.
    pub budget: Option<ByteCount>,
    /// Bytes of the state objects.
    pub state_bytes: u64,
    /// Bytes of the records in them, before compression.
    pub raw_bytes: u64,
    /// One entry a process.
    pub compactions: Vec<Compaction>,
    /// What engines took for the same points, one entry a process.
    pub others: Vec<EngineRun>,
}

impl CompactorLoad {
    /// Each number of threads that was measured, once, as they came.
    pub fn threads(&self) -> Vec<u32> {
        let mut threads = Vec::new();
        for compaction in &self.compactions {
            if !threads.contains(&compaction.threads) {
                threads.push(compaction.threads);
            }
        }
        threads
    }

    /// Points for each second of processor time of the whole process.
    pub fn points_per_cpu_second(&self, threads: u32) -> Spread {
        self.spread(threads, |it| {
            float(it.points_in) * 1000.0 / float(it.cpu_ms.max(1))
        })
    }

    /// Points for each second from start to end.
    pub fn points_per_second(&self, threads: u32) -> Spread {
        self.spread(threads, |it| {
            float(it.points_in) * 1000.0 / float(it.elapsed_ms.max(1))
        })
    }

    /// Bytes of segments for each point in them.
    pub fn bytes_per_point(&self, threads: u32) -> Spread {
        self.spread(threads, |it| {
            float(it.segment_bytes) / float(it.points_out.max(1))
        })
    }

    /// MiB of memory at most.
    pub fn peak_mib(&self, threads: u32) -> Spread {
        self.spread(threads, |it| float(it.peak_memory_bytes) / float(1 << 20))
    }

    /// Requests of both kinds.
    pub fn requests(&self, threads: u32) -> Spread {
        self.spread(threads, |it| float(it.read_requests + it.write_requests))
    }

    /// Points for each second with `threads`, of those with one thread.
    pub fn times_of_one_thread(&self, threads: u32) -> f64 {
        self.points_per_second(threads).median / self.points_per_second(1).median
    }

    /// What does not hold of what is promised about memory.
    pub fn broken_promises(&self) -> Vec<String> {
        let Some(budget) = self.budget else {
            return Vec::new();
        };
        let promised = budget.0 + MEMORY_BESIDE_BUDGET.0;
        let mut broken = Vec::new();
        for it in &self.compactions {
            let (threads, peak, spilled) = (it.threads, it.peak_memory_bytes, it.spilled_bytes);
            if peak > promised {
                broken.push(format!(
                    "{threads} threads: {} MiB were resident, {} are promised",
                    peak / MIB,
                    promised / MIB
                ));
            }
            if spilled < BUDGETS_OF_INPUT * budget.0 {
                broken.push(format!(
                    "{threads} threads: {} MiB were spilled, less than {BUDGETS_OF_INPUT} times the budget: take \
                     more points, or it proves nothing",
                    spilled / MIB
                ));
            }
        }
        broken
    }

    /// Each engine that was measured, once, as they came.
    pub fn engines(&self) -> Vec<Engine> {
        let mut engines = Vec::new();
        for run in &self.others {
            if !engines.contains(&run.engine) {
                engines.push(run.engine);
            }
        }
        engines
    }

    /// What the runs of an engine come to.
    pub fn of_engine(&self, engine: Engine, figure: impl Fn(&EngineRun) -> f64) -> Spread {
        let runs = self.others.iter().filter(|it| it.engine == engine);
        Spread::of(runs.map(figure))
    }

    /// How many points the compactor takes in, with as many threads, in the processor time in which the engine takes one.
    pub fn times_of_engine(&self, engine: Engine) -> f64 {
        let runs = self.others.iter().find(|it| it.engine == engine);
        let threads = runs.map_or(0, |run| run.threads);
        let theirs = self.of_engine(engine, EngineRun::points_per_cpu_second);
        self.points_per_cpu_second(threads).median / theirs.median
    }

    /// The engines that left another number of points than the compactor.
    pub fn differing(&self) -> Vec<Engine> {
        let points = self.compactions.first().map(|it| it.points_out);
        let mut engines = self.engines();
        engines.retain(|engine| {
            let mut runs = self.others.iter().filter(|it| it.engine == *engine);
            runs.any(|it| Some(it.took.points_out) != points)
        });
        engines
    }

    fn spread(&self, threads: u32, figure: impl Fn(&Compaction) -> f64) -> Spread {
        let rounds = self.compactions.iter().filter(|it| it.threads == threads);
        Spread::of(rounds.map(figure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compactor_load::engines::Took;

    #[test]
    fn figures_are_of_one_number_of_threads_and_in_the_units_they_name() {
        let compaction = |threads, cpu_ms| Compaction {
            threads,
            points_in: 2_000,
            points_out: 1_000,
            segment_bytes: 1_500,
            elapsed_ms: 500,
            cpu_ms,
            peak_memory_bytes: 3 << 20,
            spilled_bytes: 0,
            read_requests: 4,
            write_requests: 5,
        };
        let load = CompactorLoad {
            store: Store::S3,
            budget: None,
            state_bytes: 1,
            raw_bytes: 2,
            compactions: vec![
                compaction(1, 1_000),
                compaction(2, 4_000),
                compaction(1, 500),
            ],
            others: vec![engine_run(1_000), engine_run(999)],
        };
        let middle = |spread: Spread| format!("{:.1}", spread.median);
        assert_eq!(load.threads(), [1, 2]);
        assert_eq!(middle(load.points_per_cpu_second(1)), "4000.0");
        assert_eq!(middle(load.points_per_cpu_second(2)), "500.0");
        assert_eq!(middle(load.points_per_second(2)), "4000.0");
        assert_eq!(middle(load.bytes_per_point(1)), "1.5");
        assert_eq!(middle(load.peak_mib(1)), "3.0");
        assert_eq!(middle(load.requests(1)), "9.0");
        assert_eq!(format!("{:.1}", load.times_of_one_thread(2)), "1.0");
        // 500 points in a second, beside 250.
        assert_eq!(format!("{:.1}", load.times_of_engine(Engine::Spark)), "2.0");
        assert_eq!(load.differing(), [Engine::Spark]);
    }

    #[test]
    fn a_budget_is_kept_by_input_ten_times_as_large_in_little_more_memory() {
        let mib = |n: u64| n << 20;
        let broken = |spilled_bytes, peak_memory_bytes| {
            let compaction = Compaction {
                threads: 1,
                points_in: 1,
                points_out: 1,
                segment_bytes: 1,
                elapsed_ms: 1,
                cpu_ms: 1,
                peak_memory_bytes,
                spilled_bytes,
                read_requests: 1,
                write_requests: 1,
            };
            let load = CompactorLoad {
                store: Store::File,
                budget: Some(ByteCount::mib(128)),
                state_bytes: 1,
                raw_bytes: 1,
                compactions: vec![compaction],
                others: Vec::new(),
            };
            load.broken_promises().len()
        };
        assert_eq!(broken(mib(1280), mib(256)), 0);
        assert_eq!(broken(mib(1280), mib(256) + 1), 1);
        assert_eq!(broken(mib(1280) - 1, mib(256)), 1);
    }

    fn engine_run(points_out: u64) -> EngineRun {
        EngineRun {
            engine: Engine::Spark,
            threads: 2,
            points_in: 2_000,
            took: Took {
                points_out,
                bytes_out: 1,
                elapsed_ms: 1,
                cpu_ms: 8_000,
                peak_memory_bytes: 1,
            },
        }
    }
}
