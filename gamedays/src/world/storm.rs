//! A fleet whose bucket says 503 for a while, and nothing else goes wrong: how it fares meanwhile, and after.

use fastrand::Rng;
use skein_shared::format::ledger_entry::StartPolicy;
use skein_shared::units::{ByteCount, Millis};

use crate::fault::{Family, FaultPlan};
use crate::promise_check::Verdict;
use crate::trace::Trace;
use crate::world::World;
use crate::world::plan::Plan;
use crate::world::start::world_with;

/// How long the storm's world goes on, and when it storms.
#[derive(Debug, Clone, Copy)]
pub struct Storm {
    /// Its begin.
    pub from_ms: u64,
    /// Its end.
    pub to_ms: u64,
    /// Of a thousand requests, how many are refused.
    pub refused: u16,
    /// Until when anything is produced.
    pub ends_ms: u64,
}

/// How a fleet has fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fared {
    /// Requests that were sent, each once.
    pub first_tries: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// Offsets that are durable.
    pub durable: u64,
    /// How old the oldest record is that is not durable.
    pub lag_ms: u64,
}

impl World {
    /// Three workers with four partitions, a flush a second, and a storm.
    pub fn in_storm(seed: u64, storm: Storm) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut plan = Plan::draw(&mut rng);
        plan.faults = FaultPlan::of_one(Family::Throttle, storm.refused, storm.ends_ms)
            .between(storm.from_ms, storm.to_ms);
        (plan.workers, plan.partitions) = (3, 4);
        plan.session_ms = 3_000;
        plan.start = StartPolicy::Earliest;
        plan.produce_every_ms = 100;
        plan.settings.flush_interval = Millis(1_000);
        plan.settings.memory_budget = ByteCount(120_000);
        plan.settings.upload_concurrency = 8;
        world_with((plan, rng), None, Trace::silent())
    }

    /// Takes every turn until a time.
    ///
    /// # Errors
    /// The promise that is broken by then.
    pub fn run_until(&mut self, until: u64) -> Verdict {
        while self.agenda.due_at().is_some_and(|at| at <= until) {
            if let Some((at, turn)) = self.agenda.next() {
                self.take_at(at, turn)?;
            }
        }
        self.now = until;
        Ok(())
    }

    /// How its fleet has fared until now.
    pub fn fared(&self) -> Fared {
        let mut fared = Fared::default();
        for worker in self.slots.iter().filter_map(|slot| slot.worker.as_ref()) {
            let requests = worker.core().request_stats();
            fared.first_tries += requests.first_tries;
            fared.retries += requests.retried();
        }
        for place in 0..self.plan.partitions {
            let Some(chain) = self.check.newest_chain(place) else {
                continue;
            };
            fared.durable += chain.end.0.cast_unsigned();
            if let Some((_, oldest)) = self.kafka.log(place).next_at(chain.end) {
                fared.lag_ms = fared.lag_ms.max(self.now - oldest.appended_at);
            }
        }
        fared
    }
}
