//! When the faults have stopped: everything is durable within a bounded time, or a person was told why not.

use skein_shared::promise::Promise;

use crate::model_kafka::Place;
use crate::promise_check::{Verdict, Violation, broken};
use crate::world::World;

/// How long healing may take: the longest back-off, twice, and a few flushes and sessions.
const HEALING_MS: u64 = 150_000;

/// How often it is looked whether everything is healed.
const LOOK_MS: u64 = 500;

/// How often a person restarts what has said that it needs one: a stopped partition may be readable again, when a write
/// that was late has reached the ledger.
const PERSON_MS: u64 = 30_000;

#[derive(Debug, Default)]
pub(super) struct Liveness {
    look_at: u64,
    person_at: u64,
}

impl World {
    /// Whether the world has come to its good end.
    pub(super) fn is_done(&mut self) -> Result<bool, Violation> {
        if self.is_unsafe() || self.now < self.liveness.look_at {
            return Ok(false);
        }
        if self.liveness.person_at <= self.now {
            self.liveness.person_at = self.now + PERSON_MS;
            self.heal()?;
        }
        self.liveness.look_at = self.now + LOOK_MS;
        let stuck: Vec<Place> = (0..self.plan.partitions)
            .filter(|place| !self.is_whole(*place))
            .collect();
        if stuck.is_empty() {
            return Ok(true);
        }
        self.check_patience(&stuck)?;
        Ok(false)
    }

    /// The faults are over: what was cut off is reached again, and a person restarts what said that it needs one.
    fn heal(&mut self) -> Verdict {
        self.trace.note(self.now, "heal", &[]);
        for slot in 0..self.slots.len() {
            let Some(worker) = self.slots[slot].worker.as_mut() else {
                continue;
            };
            worker.unreachable_until = 0;
            if worker.needs_a_person {
                self.kill(slot)?;
            }
        }
        Ok(())
    }

    /// Whether everything that Kafka has of a partition is durable and committed, or a person knows why not.
    fn is_whole(&self, place: Place) -> bool {
        let log = self.kafka.log(place);
        let Some(chain) = self.check.newest_chain(place) else {
            return false;
        };
        if !chain.goes_on_in(log) {
            return self.alerts.contains_key(&place);
        }
        let committed = self
            .kafka
            .committed
            .get(&place)
            .copied()
            .unwrap_or_default();
        chain.has_all_of(log) && (committed == chain.end || chain.end == chain.start)
    }

    fn check_patience(&self, stuck: &[Place]) -> Verdict {
        let since = self.plan.faults.ends_at();
        if self.now < since + HEALING_MS {
            return Ok(());
        }
        let how = stuck.iter().map(|place| {
            let log = self.kafka.log(*place);
            let chain = self.check.newest_chain(*place);
            let committed = self.kafka.committed.get(place);
            format!(
                "partition {place}: kafka has [{}, {}), chain {chain:?}, committed {committed:?}",
                log.low(),
                log.high()
            )
        });
        let how: Vec<String> = how.collect();
        let words = format!(
            "{} s after the last fault: {}",
            HEALING_MS / 1000,
            how.join("; ")
        );
        broken(Promise::Liveness, words)
    }
}
