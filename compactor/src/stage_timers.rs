//! Times the stages of a run, piece by piece: a request, a range, a block, a batch of series, a segment; never a point.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use skein_shared::format::run_record::{RecordedStage, StagePlace};
use skein_shared::stage_time::StageTime;

use crate::metrics::StageMetrics;

/// What points pass, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// One request for state; several are under way beside the tasks.
    Fetch,
    /// A task waits for the next range of state.
    Wait,
    /// One block: decompressed, its records checked, and those that count copied into the arena.
    Decode,
    /// What is in memory: sorted, and written to the local disk when memory is full.
    Sort,
    /// One batch of series: payloads decoded, live segments read, merged and deduplicated.
    Merge,
    /// The same batch encoded, with its rollups; or a segment's end.
    Encode,
    /// One request with bytes of a segment, beside the tasks.
    Upload,
    /// A task waits until uploads have room or are done, or writes what goes beside segments: seals and lists.
    Close,
    /// One commit of a shard's manifest.
    Commit,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Fetch,
        Self::Wait,
        Self::Decode,
        Self::Sort,
        Self::Merge,
        Self::Encode,
        Self::Upload,
        Self::Close,
        Self::Commit,
    ];

    /// Its name in records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Wait => "wait",
            Self::Decode => "decode",
            Self::Sort => "sort",
            Self::Merge => "merge",
            Self::Encode => "encode",
            Self::Upload => "upload",
            Self::Close => "close",
            Self::Commit => "commit",
        }
    }

    /// Whether it is part of a task's time.
    pub const fn place(self) -> StagePlace {
        match self {
            Self::Fetch | Self::Upload => StagePlace::Beside,
            Self::Wait
            | Self::Decode
            | Self::Sort
            | Self::Merge
            | Self::Encode
            | Self::Close
            | Self::Commit => StagePlace::InTask,
        }
    }
}

/// The times of every stage of a run, from all of its threads.
#[derive(Debug, Clone)]
pub struct StageTimers(Arc<Timers>);

#[derive(Debug)]
struct Timers {
    stages: [Timer; Stage::ALL.len()],
    /// Of whole tasks, or steps of shards.
    tasks: Mutex<Duration>,
}

/// A stage's times, in the record and as metrics.
#[derive(Debug)]
struct Timer {
    time: Mutex<StageTime>,
    metrics: StageMetrics,
}

impl Default for StageTimers {
    fn default() -> Self {
        let timer = |stage: Stage| Timer {
            time: Mutex::default(),
            metrics: StageMetrics::of(stage.name()),
        };
        Self(Arc::new(Timers {
            stages: Stage::ALL.map(timer),
            tasks: Mutex::default(),
        }))
    }
}

impl StageTimers {
    /// Does `work`, a piece of `stage`.
    pub fn time<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let done = work();
        self.record(stage, started.elapsed());
        done
    }

    /// Waits for `work`, a piece of `stage`.
    ///
    /// # Cancel safety
    /// That of `work`; what was dropped is not counted.
    pub async fn time_async<F: Future>(&self, stage: Stage, work: F) -> F::Output {
        let started = Instant::now();
        let done = work.await;
        self.record(stage, started.elapsed());
        done
    }

    /// Counts a piece that took `elapsed`.
    pub fn record(&self, stage: Stage, elapsed: Duration) {
        let timer = &self.0.stages[stage as usize];
        lock(&timer.time).record(elapsed);
        timer.metrics.timed(elapsed);
    }

    /// Counts a step that took `elapsed`, with all of its stages.
    pub fn task_over(&self, elapsed: Duration) {
        *lock(&self.0.tasks) += elapsed;
    }

    /// Time of all steps, one after the other.
    pub fn tasks(&self) -> Duration {
        *lock(&self.0.tasks)
    }

    /// What was timed so far, as a record keeps it; stages that did not occur are left out.
    pub fn recorded(&self) -> Vec<RecordedStage> {
        let stages = Stage::ALL.iter().zip(&self.0.stages);
        let recorded = stages.map(|(stage, timer)| RecordedStage {
            name: stage.name().to_owned(),
            place: stage.place(),
            time: lock(&timer.time).clone(),
        });
        recorded.filter(|stage| stage.time.pieces() > 0).collect()
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Times are whole after every change.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_has_a_place_of_its_own() {
        let timers = StageTimers::default();
        for (pieces, stage) in (1..).zip(Stage::ALL) {
            for _ in 0..pieces {
                timers.record(stage, Duration::from_micros(pieces));
            }
        }
        for (pieces, recorded) in (1..).zip(timers.recorded()) {
            assert_eq!(recorded.time.pieces(), pieces, "{}", recorded.name);
            let total = Duration::from_micros(pieces * pieces);
            assert_eq!(recorded.time.total(), total);
        }
        assert_eq!(timers.recorded().len(), Stage::ALL.len());
    }
}
