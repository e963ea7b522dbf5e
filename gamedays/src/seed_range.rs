//! Many seeds on all cores.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::mutants::Mutation;
use crate::trace::Trace;
use crate::world::World;
use crate::world::counts::Counts;

/// A seed that broke a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The promise and how it was broken, or the words of the core's own assertion.
    pub words: String,
}

/// What worlds have seen, added up.
pub trait Tally: Default + Send {
    /// Takes in what another has seen.
    fn add(&mut self, other: &Self);

    /// Every count with its name.
    fn named(&self) -> Vec<(&'static str, u64)>;
}

impl Tally for Counts {
    fn add(&mut self, other: &Self) {
        Counts::add(self, other);
    }

    fn named(&self) -> Vec<(&'static str, u64)> {
        Counts::named(self)
    }
}

/// What a range of seeds came to.
#[derive(Debug, Clone, Default)]
pub struct RangeReport<C = Counts> {
    /// Seeds that were run.
    pub seeds: u64,
    /// Those that failed, by seed; a few at most.
    pub failures: Vec<Failure>,
    /// What all worlds have seen.
    pub counts: C,
    /// How long it took.
    pub elapsed: Duration,
}

/// How to run a range.
#[derive(Debug, Clone)]
pub struct RangeOptions<M = Mutation> {
    /// Which seeds.
    pub seeds: Range<u64>,
    /// A bug in every world.
    pub mutation: Option<M>,
    /// Failures after which no more seeds are begun.
    pub enough_failures: usize,
    /// On how many threads; 0 is one for each core.
    pub threads: usize,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Seeds that were run.
    pub done: u64,
    /// Seeds in all.
    pub seeds: u64,
    /// Since the beginning.
    pub elapsed: Duration,
}

/// Seeds that a thread takes at once.
const BATCH: u64 = 16;

thread_local! {
    /// Whether this thread is in a world.
    static IN_WORLD: Cell<bool> = const { Cell::new(false) };
    /// What the last panic in a world of this thread said, and where.
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// From now on panics in worlds are remembered, not printed: they are results.
pub fn keep_panics_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if IN_WORLD.get() {
                LAST_PANIC.set(panic.to_string());
            } else {
                others(panic);
            }
        }));
    });
}

/// Runs something in a world; `None` when it panicked.
pub(crate) fn in_world<T>(run: impl FnOnce() -> T) -> Option<T> {
    IN_WORLD.set(true);
    let ran = catch_unwind(AssertUnwindSafe(run)).ok();
    IN_WORLD.set(false);
    ran
}

/// What one seed came to.
#[derive(Debug)]
pub struct SeedReport<C = Counts> {
    /// What the world has seen.
    pub counts: C,
    /// Hash of everything that happened.
    pub digest: u64,
    /// How it failed, if it did.
    pub failure: Option<Failure>,
}

/// Runs one seed. A panic of the core is a failure, too: its assertions are promises.
pub fn run_seed(seed: u64, mutation: Option<Mutation>) -> SeedReport {
    match in_world(|| World::new(seed, mutation, Trace::silent()).run()) {
        Some(ended) => SeedReport {
            counts: ended.counts,
            digest: ended.trace.digest(),
            failure: ended.violation.map(|violation| Failure {
                seed,
                words: violation.to_string(),
            }),
        },
        None => SeedReport {
            counts: Counts::default(),
            digest: 0,
            failure: Some(panicked(seed)),
        },
    }
}

/// What the last panic of this thread's world said, as the failure of its seed.
pub(crate) fn panicked(seed: u64) -> Failure {
    Failure {
        seed,
        words: format!("an assertion failed: {}", LAST_PANIC.take()),
    }
}

/// Runs one seed and gives everything that happened in it, line by line.
pub fn trace_seed(seed: u64, mutation: Option<Mutation>) -> (Vec<String>, Option<Failure>) {
    let mut world = World::new(seed, mutation, Trace::speaking());
    let failure = match in_world(|| world.run_all()) {
        Some(verdict) => verdict.err().map(|violation| Failure {
            seed,
            words: violation.to_string(),
        }),
        None => Some(panicked(seed)),
    };
    (world.end().trace.into_lines(), failure)
}

/// Runs a range of seeds; `progress` is told now and then.
///
/// # Panics
/// Never: panics of worlds are caught.
pub fn run(options: &RangeOptions, progress: impl Fn(Progress) + Sync) -> RangeReport {
    run_each(options, run_seed, progress)
}

/// The same for worlds of any kind.
///
/// # Panics
/// If `run_seed` does: it has to catch what its worlds do.
pub fn run_each<M: Copy + Sync, C: Tally>(
    options: &RangeOptions<M>,
    run_seed: impl Fn(u64, Option<M>) -> SeedReport<C> + Sync,
    progress: impl Fn(Progress) + Sync,
) -> RangeReport<C> {
    let start = Instant::now();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = if options.threads == 0 {
        cores
    } else {
        options.threads
    };
    let shared = Shared {
        options,
        next: AtomicU64::new(options.seeds.start),
        done: AtomicU64::new(0),
        is_enough: AtomicBool::new(false),
        start,
    };
    let parts: Vec<RangeReport<C>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| shared.work(&run_seed, &progress)))
            .collect();
        let parts = workers.into_iter();
        let parts = parts.map(|worker| worker.join().expect("panics of worlds are caught"));
        parts.collect()
    });
    let mut report: RangeReport<C> = RangeReport::default();
    for part in parts {
        report.seeds += part.seeds;
        report.failures.extend(part.failures);
        report.counts.add(&part.counts);
    }
    report.failures.sort_by_key(|failure| failure.seed);
    report.elapsed = start.elapsed();
    report
}

impl<C: Tally> RangeReport<C> {
    fn add(&mut self, seed: SeedReport<C>) {
        self.seeds += 1;
        self.counts.add(&seed.counts);
        self.failures.extend(seed.failure);
    }
}

struct Shared<'a, M> {
    options: &'a RangeOptions<M>,
    next: AtomicU64,
    done: AtomicU64,
    is_enough: AtomicBool,
    start: Instant,
}

impl<M: Copy> Shared<'_, M> {
    fn work<C: Tally>(
        &self,
        run_seed: &impl Fn(u64, Option<M>) -> SeedReport<C>,
        progress: &impl Fn(Progress),
    ) -> RangeReport<C> {
        let mut report = RangeReport::default();
        loop {
            let first = self.next.fetch_add(BATCH, Ordering::Relaxed);
            let end = self.options.seeds.end;
            if first >= end || self.is_enough.load(Ordering::Relaxed) {
                return report;
            }
            for seed in first..end.min(first + BATCH) {
                report.add(run_seed(seed, self.options.mutation));
            }
            if report.failures.len() >= self.options.enough_failures {
                self.is_enough.store(true, Ordering::Relaxed);
            }
            let run = end.min(first + BATCH) - first;
            progress(Progress {
                done: self.done.fetch_add(run, Ordering::Relaxed) + run,
                seeds: end - self.options.seeds.start,
                elapsed: self.start.elapsed(),
            });
        }
    }
}
