//! What the scenarios measured, and whether the promise was kept.

use serde::Serialize;
use skein_config::connector::MEMORY_BESIDE_BUDGET;

use crate::memory_load::scenario::Scenario;
use crate::memory_load::worker::Said;

/// What one scenario measured.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Which one.
    pub scenario: Scenario,
    /// Whether the kernel would have killed the worker at the promised bound.
    pub is_caged: bool,
    /// How long the bucket did not answer.
    pub stalled_ms: u64,
    /// What the worker said last; `None` when it said nothing.
    pub last: Option<Said>,
    /// How the worker ended, unless well.
    pub fault: Option<String>,
}

impl Measured {
    /// The most that may be resident.
    pub fn promised_bytes(&self) -> u64 {
        self.scenario.budget_bytes + MEMORY_BESIDE_BUDGET.0
    }

    /// What does not hold of what is promised.
    pub fn broken_promises(&self) -> Vec<String> {
        let mut broken = Vec::new();
        broken.extend(self.fault.clone());
        let Some(last) = &self.last else {
            broken.push("the worker said nothing".to_owned());
            return broken;
        };
        let (peak, promised) = (last.peak_bytes, self.promised_bytes());
        if peak > promised {
            broken.push(format!(
                "{} MiB were resident, {} are promised",
                peak >> 20,
                promised >> 20
            ));
        }
        if last.paused_ms == 0 {
            broken.push(
                "fetching never paused: the scenario is too small to prove anything".to_owned(),
            );
        }
        if last.longest_silence_ms >= self.scenario.session_ms {
            broken.push(format!(
                "the member was silent for {} ms, and its session lasts {}",
                last.longest_silence_ms, self.scenario.session_ms
            ));
        }
        if !last.caught_up {
            broken.push(format!(
                "{} of {} records became durable",
                last.durable_records,
                self.scenario.records()
            ));
        }
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_load::scenario::Skew;

    fn measured() -> Measured {
        let scenario = Scenario {
            partitions: 1,
            shards: 1,
            skew: Skew::Even,
            record_bytes: 100,
            batch_records: 1,
            budget_bytes: 128 << 20,
            volume_bytes: 1000,
            session_ms: 100,
        };
        Measured {
            scenario,
            is_caged: false,
            stalled_ms: 200,
            last: Some(Said {
                is_last: true,
                caught_up: true,
                records: 10,
                durable_records: 10,
                buffered_bytes: 0,
                is_paused: false,
                paused_ms: 300,
                longest_silence_ms: 99,
                baseline_bytes: 1,
                peak_bytes: 224 << 20,
                resident_bytes: 1,
                cpu_ms: 1,
                objects: 1,
            }),
            fault: None,
        }
    }

    #[test]
    fn each_part_of_the_promise_is_checked() {
        assert_eq!(measured().broken_promises(), Vec::<String>::new());
        let breaks: [fn(&mut Said); 4] = [
            |said| said.peak_bytes += 1 << 20,
            |said| said.longest_silence_ms = 100,
            |said| said.caught_up = false,
            |said| said.paused_ms = 0,
        ];
        for broken in breaks {
            let mut measured = measured();
            broken(measured.last.as_mut().unwrap());
            assert_eq!(measured.broken_promises().len(), 1);
        }
        let silent = Measured {
            last: None,
            fault: Some("killed".to_owned()),
            ..measured()
        };
        assert_eq!(silent.broken_promises().len(), 2);
    }
}
